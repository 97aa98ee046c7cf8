"""What each preset promises, in simulations."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client import HttpClientConfig, presets
from http_service_client.simulation import (
    Errors,
    LogNormal,
    Outage,
    RateLimit,
    Report,
    Service,
    Slowdown,
    check,
    simulate,
)

pytestmark = pytest.mark.once

FAST = LogNormal(median=0.05, p99=0.25)
NAIVE = {"enable_circuit_breaker": False, "enable_retry_budget": False, "enable_throttle_gate": False}


def run(config: HttpClientConfig, *faults: Any, **how: Any) -> Report:
    latency = how.pop("latency", FAST)
    workers, queue = how.pop("workers", None), how.pop("queue", None)
    how = {"clients": 5, "rate": 2.0, "seconds": 240.0, **how}
    return simulate(
        config, Service(latency=latency, workers=workers, queue=queue, faults=list(faults)), **how
    )


def amplification(report: Report, begin: float, end: float) -> float:
    """Requests for each call, of those made in a time."""
    moments = [each for each in report.moments if begin <= each.at < end]
    return sum(each.exchanges for each in moments) / sum(each.calls for each in moments)


@pytest.mark.parametrize("how", ["refused", "silent", "reset", 503])
def test_gentle_sends_hardly_more_than_one_request_for_a_call_in_an_outage(how: Any) -> None:
    """At most 1.05, where naive retries send three."""
    outage = Outage(how=how, start=60, seconds=120)
    assert amplification(run(presets.gentle(), outage), 60, 180) <= 1.05
    assert amplification(run(HttpClientConfig(**NAIVE), Outage(start=60, seconds=120)), 60, 180) >= 2.9


@pytest.mark.parametrize(("share", "most"), [(0.3, 1.15), (0.7, 1.05), (0.9, 1.05)])
def test_gentle_adds_little_to_a_service_that_half_works(share: float, most: float) -> None:
    """And takes no call away from it: the circuit stays closed while something succeeds."""
    report = run(presets.gentle(), Errors(rate=share))
    assert report.amplification <= most
    assert report.success_share >= 0.9 * (1 - share)


def test_gentle_refuses_nothing_of_a_healthy_service() -> None:
    """However many calls there are: its limit is no fixed number."""
    assert run(presets.gentle(), clients=1, rate=220.0, seconds=60.0).success_share == 1.0


def test_gentle_keeps_few_requests_in_an_overloaded_service() -> None:
    """Calls beyond what it can do are refused here, so the service works on less, and none of it for nobody."""
    slow = Slowdown(factor=6, start=60, seconds=60)
    gentle, naive = (run(config, slow, workers=2, queue=100, clients=2, rate=10) for config in (presets.gentle(), HttpClientConfig(**NAIVE)))  # fmt: skip
    assert amplification(gentle, 60, 120) <= 1.0
    assert gentle.wasted_work <= naive.wasted_work
    assert gentle.p99_call is not None
    assert naive.p99_call is not None
    assert gentle.p99_call < naive.p99_call


def test_aggressive_succeeds_where_three_in_ten_requests_fail() -> None:
    """At least 99.5 %, for at most 1.5 requests a call; and it is spent in an outage."""
    failing = run(presets.aggressive(), Errors(rate=0.3))
    assert failing.success_share >= 0.995
    assert failing.amplification <= 1.5
    down = run(presets.aggressive(), Outage(start=60, seconds=120))
    assert amplification(down, 60, 180) <= 1.0


def test_aggressive_cuts_the_tail() -> None:
    """Hedges beat the slow responses, for at most 12 % more requests."""
    tail = LogNormal(median=0.05, p99=2.0)
    plain, hedged = run(HttpClientConfig(), latency=tail), run(presets.aggressive(), latency=tail)
    assert plain.p99_call is not None
    assert hedged.p99_call is not None
    assert hedged.p99_call < 0.6 * plain.p99_call
    assert hedged.amplification <= 1.12


@pytest.mark.parametrize("retry_after", [None, 5.0])
def test_llm_makes_no_storm_of_429s(retry_after: float | None) -> None:
    """Of a service that admits half of the calls: nine tenths of its rate and more are used, and few requests are refused."""
    limit = RateLimit(per_second=5, burst=25, retry_after=retry_after, start=20, seconds=160)
    how = {"clients": 1, "rate": 10.0, "method": "POST", "latency": LogNormal(median=4.0, p99=20.0)}
    report = run(presets.llm(), limit, **how)
    succeeded = sum(each.succeeded for each in report.moments if 40 <= each.at < 180)
    assert succeeded >= 0.9 * 5 * 140
    assert report.amplification <= 1.05
    assert report.success_share >= 0.9
    naive = HttpClientConfig(
        base_timeout=600.0, auto_idempotency_key=True, max_connections_per_host=200, max_connections=400, **NAIVE
    )  # fmt: skip
    assert run(naive, limit, **how).amplification >= 1.6


def test_llm_repeats_no_completion_without_a_key() -> None:
    """Each POST has one, the same over its attempts."""
    lost = run(presets.llm(), Outage(how="reset", share=0.2), method="POST")
    assert lost.duplicates == 0
    assert lost.success_share >= 0.95


def test_batch_outlasts_a_minute() -> None:
    """All calls succeed, within the total timeout, where the defaults lose a quarter."""
    outage = Outage(start=60, seconds=60)
    batch = run(presets.batch(), outage, clients=1)
    assert batch.success_share == 1.0
    assert batch.worst_call < 300
    assert run(HttpClientConfig(), outage, clients=1).success_share < 0.85


def test_standard_ends_in_the_time_of_a_person() -> None:
    """Whatever the service does; and at any share of failures it is no worse than a client without retries."""
    for fault in (
        Outage(how="silent", start=60, seconds=60),
        Outage(how=429, retry_after=9, start=60, seconds=60),
    ):
        assert run(presets.standard(), fault).worst_call <= 30.5
    for share in (0.1, 0.5, 0.9):
        assert run(presets.standard(), Errors(rate=share)).success_share >= 0.98 * (1 - share)


@pytest.mark.parametrize("name", ["standard", "gentle", "aggressive", "llm"])
def test_no_preset_contradicts_itself(name: str) -> None:
    """`check` finds nothing at a call a second and at a hundred."""
    config = getattr(presets, name)()
    for rate in (1, 100):
        assert check(config, rate=rate) == []

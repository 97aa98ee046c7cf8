"""Each fault of a modelled service does what it says, while it lasts."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client import HttpClientConfig, RetryPolicy, Timeout
from http_service_client.simulation import (
    NO_CLIENT,
    Bursts,
    Errors,
    Fault,
    Flapping,
    Outage,
    Poison,
    RateLimit,
    Report,
    Service,
    simulate,
)

LIMITS = {"timeout": 2.0}


def alone(*faults: Fault, rate: float = 20, seconds: float = 40, **settings: Any) -> Report:
    """Calls without a client's help to a service with these faults."""
    settings = {"options": LIMITS} | settings
    return simulate(NO_CLIENT, Service(latency=0.05, faults=faults), rate=rate, seconds=seconds, **settings)


@pytest.mark.parametrize(
    ("how", "error", "seconds"),
    [
        ("refused", "ConnectError", 0.002),
        ("unreachable", "ConnectTimeoutError", 2.0),
        ("silent", "AttemptTimeoutError", 2.0),
        ("reset", "ConnectionLostError", 0.002),
        (503, "503", 0.002),
    ],
)
def test_an_outage_fails_in_its_way_while_it_lasts(how: str | int, error: str, seconds: float) -> None:
    """The errors are those of the transports, and come when they would come."""
    report = alone(Outage(how=how, start=10, seconds=10))
    assert report.errors == {error: report.failed}
    assert report.success_share_between(0, 10) == report.success_share_between(23, 40) == 1.0
    assert report.success_share_between(13, 20) == 0.0
    assert report.between(13, 20)[0].p50 == pytest.approx(seconds, rel=0.02)


@pytest.mark.parametrize(
    ("how", "timeout", "error", "seconds"),
    [
        ("silent", Timeout(total=9.0, read=3.0), "ReadTimeoutError", 3.0),
        ("silent", Timeout(total=2.0, read=3.0), "AttemptTimeoutError", 2.0),
        ("unreachable", Timeout(total=9.0, connect=4.0), "ConnectTimeoutError", 4.0),
    ],
)
def test_the_earliest_limit_ends_a_wait(how: str, timeout: Timeout, error: str, seconds: float) -> None:
    """Of the attempt as a whole, of the connection, or of the time without bytes."""
    report = alone(Outage(how=how), rate=2, seconds=10, options={"timeout": timeout})
    assert report.errors == {error: report.calls}
    assert report.worst_call == pytest.approx(seconds)


def test_a_partial_outage_is_met_by_a_share_of_the_requests() -> None:
    """With one of four back ends down, by a quarter."""
    assert alone(Outage(share=0.25), seconds=100).success_share == pytest.approx(0.75, abs=0.04)


def test_errors_come_by_chance_after_the_usual_work() -> None:
    """Each request fails with the same chance, with the status that was set."""
    report = alone(Errors(rate=0.3, status=500), seconds=100)
    assert report.errors == {"500": report.failed}
    assert report.success_share == pytest.approx(0.7, abs=0.04)
    assert report.p50_call == pytest.approx(0.052, rel=0.02)


def test_poison_keeps_workers_busy() -> None:
    """A few requests take long, and with few workers the others wait for them."""
    poison = Poison(share=0.02, work=5.0)
    free = simulate(NO_CLIENT, Service(latency=0.05, faults=[poison]), rate=10, seconds=60)
    assert free.p50_call == pytest.approx(0.052, rel=0.02)
    assert 5.0 < free.worst_call < 5.2
    few = simulate(NO_CLIENT, Service(latency=0.05, workers=2, faults=[poison]), rate=10, seconds=60)
    assert (few.mean_call or 0) > 1.5 * (free.mean_call or 0)


def test_a_flapping_service_is_down_and_up_in_turn() -> None:
    """It is down first."""
    report = alone(Flapping(up=3, down=1, start=8), seconds=40, rate=50)
    assert report.success_share_between(0, 8) == 1.0
    assert report.success_share_between(8.25, 9) == 0.0
    assert report.success_share_between(9.25, 12) == 1.0
    assert report.success_share_between(8, 40) == pytest.approx(0.75, abs=0.05)


def test_failures_in_bursts_come_together() -> None:
    """As many fail as by single errors of the same share, but next to each other."""
    bursts = Bursts(good=4, bad=1)
    report = alone(bursts, seconds=400, rate=10)
    assert report.success_share == pytest.approx(0.8, abs=0.08)
    shares = [
        moment.succeeded / (moment.succeeded + moment.failed) for moment in report.moments if moment.calls
    ]
    assert sum(share in (0.0, 1.0) for share in shares) > 0.5 * len(shares)


def test_a_rate_limit_refuses_what_comes_too_fast() -> None:
    """By a 429 that says when to come back; in the long run so many a second pass."""
    report = alone(RateLimit(per_second=5, burst=10), rate=20, seconds=40)
    assert report.errors == {"429": report.failed}
    assert report.succeeded == pytest.approx(10 + 5 * 40, abs=3)


def test_a_client_waits_as_long_as_the_rate_limit_asks() -> None:
    """The response has a Retry-After header, which the real core reads."""
    limit = RateLimit(per_second=1, burst=1, retry_after=7)
    config = HttpClientConfig(
        enable_circuit_breaker=False,
        enable_throttle_gate=False,
        retry_policy_config=RetryPolicy(max_attempts=2),
    )
    report = simulate(config, Service(latency=0.05, faults=[limit]), rate=0.5, seconds=100)
    assert report.retries > 0
    assert report.worst_call == pytest.approx(7.05, abs=0.1)


def test_a_response_of_an_outage_may_say_when_to_come_back() -> None:
    """A 503 for maintenance, with Retry-After: one call meets it, all wait for its end, and pass gently."""
    outage = Outage(how=503, retry_after=3, start=5, seconds=3)
    config = HttpClientConfig(enable_circuit_breaker=False)
    report = simulate(config, Service(latency=0.05, faults=[outage]), rate=5, seconds=30)
    assert report.failed == 0
    assert report.retries == 1
    assert 3.06 <= report.worst_call <= 3.7


def test_faults_are_met_in_the_order_of_their_list() -> None:
    """The first one that fails a request decides."""
    both = alone(Outage(how=500), RateLimit(per_second=1, burst=1))
    assert set(both.errors) == {"500"}
    other = alone(RateLimit(per_second=1, burst=1), Outage(how=500))
    assert set(other.errors) == {"429", "500"}


def test_a_list_of_faults_can_be_simulated_again() -> None:
    """What a fault remembers is of one simulation."""
    faults = [RateLimit(per_second=5, burst=10), Bursts(good=2, bad=2)]
    assert alone(*faults) == alone(*faults)

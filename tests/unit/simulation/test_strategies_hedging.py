"""What hedging is good for, and what it costs: simulated figures, each with a bound."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from http_service_client import HttpClientConfig
from http_service_client.simulation import (
    NO_CLIENT,
    Empirical,
    Errors,
    Latency,
    LogNormal,
    Report,
    Service,
    Slowdown,
    simulate,
)

pytestmark = pytest.mark.once

# One response in fifty is slow by chance.
LONG_TAIL = Empirical([0.04, 0.045, 0.05, 0.05, 0.055, 0.06, 0.07] * 7 + [1.0])


def run(latency: Latency, hedging: Any, **service: Any) -> Report:
    config = HttpClientConfig(hedging=hedging)
    return simulate(config, Service(latency=latency, **service), rate=20, seconds=150, seed=3)


def test_the_tail_is_cut_off_for_a_few_requests_more() -> None:
    """The 99th percentile is at most half of what it was, here a quarter, for at most 3 % more requests."""
    without, hedged = run(LONG_TAIL, None), run(LONG_TAIL, {})
    assert without.p99_call is not None
    assert hedged.p99_call is not None
    assert hedged.p50_call is not None
    assert hedged.p99_call <= without.p99_call / 4
    assert hedged.amplification <= 1.03
    assert hedged.success_share == 1.0
    assert hedged.p50_call == without.p50_call


@pytest.mark.parametrize("hedging", [{}, {"delay": 0.05}])
def test_a_service_that_is_slow_as_a_whole_gets_hardly_more_requests(hedging: Any) -> None:
    """Its slowness is no chance, and a second request would make it slower: the share and the quota bound the hedges."""
    latency = LogNormal(median=0.04, p99=0.08)
    report = run(latency, hedging, faults=[Slowdown(start=30.0, seconds=90.0, factor=10.0)])
    assert report.amplification <= 1.06


def test_a_hedge_is_an_exchange_of_its_call() -> None:
    """Such a call has sent its requests: it is not among those that were refused, and all beyond the first are retries."""
    config = replace(NO_CLIENT, hedging={"delay": 0.05, "max_share": 1.0})
    report = simulate(config, Service(latency=0.1, faults=[Errors(rate=0.5)]), rate=2, seconds=50)
    assert report.exchanges > report.calls
    assert report.retries == report.exchanges - report.calls
    assert (report.failed > 0, report.refusals) == (True, {})

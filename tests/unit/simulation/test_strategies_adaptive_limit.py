"""What adaptive limits are for, in figures: they do about as well as the best limit that one could have set.

Callers wait for a second, without retries and circuits, so that the limit is alone. The service goes on working for those that
have given up, as most services do.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from http_service_client import BulkheadPolicy, HttpClientConfig
from http_service_client.simulation import Errors, LogNormal, Report, Service, Slowdown, simulate

pytestmark = pytest.mark.once

ALGORITHMS = ["gradient", "vegas", "aimd"]
WORKERS = 10
LATENCY = LogNormal(median=0.05, p99=0.25)
SERVICE = Service(latency=LATENCY, workers=WORKERS)


def run(service: Service, load: float, *, clients: int = 1, seconds: float = 25.0, **settings: Any) -> Report:
    """load: of the capacity of the service without faults."""
    config = HttpClientConfig(
        enable_retry_policy=False,
        enable_circuit_breaker=False,
        max_connections=1000,
        max_connections_per_host=1000,
        **settings,
    )
    rate = load * service.capacity / clients
    options = {"timeout": 1.0}
    return simulate(config, service, clients=clients, rate=rate, seconds=seconds, options=options, seed=1)


def goodput(report: Report, load: float, start: float = 8.0, end: float = 25.0) -> float:
    """Of the capacity: what was answered in time."""
    share = report.success_share_between(start, end)
    return 0.0 if share is None else load * share


@cache
def best_fixed() -> float:
    """The goodput of the best limit at twice the capacity: as many as there are workers, or some more."""
    limits = [WORKERS, 2 * WORKERS]
    return max(goodput(run(SERVICE, 2.0, bulkhead=BulkheadPolicy(limit)), 2.0) for limit in limits)


def test_without_a_limit_twice_the_capacity_is_the_end() -> None:
    """Else there would be nothing to show: the service works for callers that have given up."""
    report = run(SERVICE, 2.0)
    assert goodput(report, 2.0) <= 0.01
    assert report.wasted_work >= 0.9 * report.work


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_goodput_at_twice_the_capacity(algorithm: str) -> None:
    """Within a tenth of the best fixed limit, which nobody knows beforehand; and hardly any work is wasted."""
    report = run(SERVICE, 2.0, adaptive_limit={"algorithm": algorithm})
    assert goodput(report, 2.0) >= 0.9 * best_fixed()
    assert report.wasted_work <= 0.03 * report.work


@pytest.mark.parametrize("algorithm", ["gradient", "vegas"])
def test_goodput_of_many_clients(algorithm: str) -> None:
    """Their limits add up to what the service can do, though none of them knows of the others."""
    service = Service(latency=LATENCY, workers=20)
    report = run(service, 2.0, clients=4, seconds=25.0, adaptive_limit={"algorithm": algorithm})
    assert goodput(report, 2.0, 5.0, 25.0) >= 0.9
    assert report.wasted_work <= 0.05 * report.work


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(("load", "least"), [(0.5, 1.0), (0.75, 1.0), (0.9, 0.998)])
def test_no_loss_below_the_capacity(algorithm: str, load: float, least: float) -> None:
    """All calls succeed, but for a burst that no queue takes, and wait no longer than without a limit."""
    report = run(SERVICE, load, adaptive_limit={"algorithm": algorithm})
    without = run(SERVICE, load)
    assert report.success_share >= least
    assert report.p99_call is not None
    assert report.p99_call <= 1.2 * (without.p99_call or 0.0)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_it_follows_when_the_capacity_halves_and_returns(algorithm: str) -> None:
    """Within 15 s, in both directions, to at least nine tenths of what there is."""
    service = Service(latency=LATENCY, workers=WORKERS, faults=[Slowdown(factor=2, start=12, seconds=25)])
    report = run(service, 2.0, seconds=65.0, adaptive_limit={"algorithm": algorithm})
    assert goodput(report, 2.0, 4, 12) >= 0.9
    assert goodput(report, 2.0, 27, 37) >= 0.45
    assert goodput(report, 2.0, 52, 65) >= 0.9


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_service_that_refuses_at_once_is_not_asked_all_the_time(algorithm: str) -> None:
    """It has no queue: of the attempts, at most a quarter are refused, and the workers are busy."""
    service = Service(latency=LATENCY, workers=WORKERS, queue=0)
    report = run(service, 2.0, seconds=20.0, adaptive_limit={"algorithm": algorithm})
    assert goodput(report, 2.0, 5, 20) >= 0.85
    assert report.exchanges - report.succeeded <= 0.25 * report.exchanges


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("share", [0.03, 0.1, 0.3])
def test_refusals_by_chance_cost_no_more_than_the_time_to_find_out(algorithm: str, share: float) -> None:
    """A bug that answers 503 is no overload: after 20 s, as many calls succeed as without a limit."""
    service = Service(latency=LATENCY, workers=WORKERS, faults=[Errors(rate=share, status=503)])
    report = run(service, 0.6, seconds=45.0, adaptive_limit={"algorithm": algorithm})
    recovered = report.success_share_between(20, 45)
    assert recovered is not None
    assert recovered >= 1 - share - 0.04


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_requests_that_hang_by_chance_do_not_pin_the_limit(algorithm: str) -> None:
    """A tenth of them is late whatever the limit is: it has grown again half a minute later."""
    service = Service(latency=LATENCY, workers=200, faults=[Slowdown(factor=200, share=0.1, start=5)])
    report = run(service, 0.03, seconds=70.0, adaptive_limit={"algorithm": algorithm})
    recovered = report.success_share_between(45, 70)
    assert recovered is not None
    assert recovered >= 0.85

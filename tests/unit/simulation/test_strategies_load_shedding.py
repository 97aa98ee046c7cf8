"""What load shedding is for, in figures: work that is wasted in an overload, and the recovery from it."""

from __future__ import annotations

import pytest

from http_service_client import HttpClientConfig, LoadSheddingPolicy
from http_service_client.simulation import Errors, LogNormal, Report, Service, Slowdown, simulate

pytestmark = pytest.mark.once

# A service at 85 % of its capacity, which for half a minute needs three times as long for each request. Its queue has no
# bound, and it goes on working for clients that have given up.
SERVICE = Service(
    latency=LogNormal(median=0.05, p99=0.25), workers=12, faults=[Slowdown(factor=3, start=20, seconds=30)]
)


def overloaded(clients: int, shedding: LoadSheddingPolicy | None, seconds: float = 100.0) -> Report:
    """Callers that wait for half a second, without retries and circuits, so that the shedding is alone."""
    config = HttpClientConfig(enable_retry_policy=False, enable_circuit_breaker=False, load_shedding=shedding)
    rate = 0.85 * SERVICE.capacity / clients
    return simulate(
        config, SERVICE, clients=clients, rate=rate, seconds=seconds, options={"timeout": 0.5}, seed=3
    )


def test_without_it_the_service_never_recovers() -> None:
    """Else there would be nothing to show: all the time goes into requests that nobody waits for any longer."""
    report = overloaded(8, None)
    assert report.success_share_between(60, 100) == pytest.approx(0.0, abs=0.01)
    assert report.wasted_work >= 0.7 * report.work


@pytest.mark.parametrize("clients", [8, 120])
def test_with_it_little_work_is_wasted_and_the_recovery_is_full(clients: int) -> None:
    """Less than half of the work, over the whole time; and 35 s after the trigger all calls succeed again."""
    report = overloaded(clients, LoadSheddingPolicy())
    assert report.wasted_work <= 0.45 * report.work
    recovered = report.success_share_between(85, 100)
    assert recovered is not None
    assert recovered >= 0.97


@pytest.mark.parametrize("share", [0.1, 0.3, 0.45])
def test_a_service_that_fails_at_random_in_part_is_used_no_less(share: float) -> None:
    """Below half, nothing is shed but by chance."""
    config = HttpClientConfig(
        enable_retry_policy=False, enable_circuit_breaker=False, load_shedding=LoadSheddingPolicy()
    )
    report = simulate(config, Service(faults=[Errors(rate=share)]), rate=20, seconds=200, seed=3)
    assert report.success_share >= 1 - share - 0.05


def test_at_least_a_tenth_is_sent_whatever_happens() -> None:
    """If failures come at random and are many, the formula goes wrong: the cap bounds what that costs."""
    config = HttpClientConfig(
        enable_retry_policy=False, enable_circuit_breaker=False, load_shedding=LoadSheddingPolicy()
    )
    report = simulate(config, Service(faults=[Errors(rate=0.8)]), rate=50, seconds=100, seed=3)
    assert 0.08 <= report.amplification <= 0.3

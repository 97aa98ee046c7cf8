"""The defaults are no worse than no client, and relieve a service that is down: shown by simulation.

Each figure is a bound of the law, not what was measured. Several independent clients stand for several seeds.
"""

from __future__ import annotations

import pytest

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
    Slowdown,
    simulate,
)

pytestmark = pytest.mark.once

NOISE = 0.01  # of the shares that are compared: what the number of calls leaves to chance
RATES = [(0.5, 6, 600.0), (2.0, 2, 600.0), (20.0, 1, 60.0), (100.0, 1, 15.0)]  # rate, clients, seconds


@pytest.mark.parametrize(("rate", "clients", "seconds"), RATES)
@pytest.mark.parametrize("failing", [0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9])
def test_a_service_that_fails_in_part_is_used_no_less(
    failing: float, rate: float, clients: int, seconds: float
) -> None:
    """Its success share is never below that of no client; where few attempts fail, nearly all calls succeed."""
    service = Service(faults=[Errors(rate=failing)])
    report = simulate(None, service, rate=rate, clients=clients, seconds=seconds, seed=1)
    assert report.success_share >= 1 - failing - 0.02 - NOISE
    if failing <= 0.1:
        assert report.success_share >= 0.985
    if failing >= 0.7:
        assert report.amplification <= 1.35


@pytest.mark.parametrize(("rate", "seconds", "most"), [(20.0, 300.0, 0.06), (2.0, 600.0, 0.25)])
@pytest.mark.parametrize("how", ["refused", 503])
def test_a_dead_service_is_relieved(rate: float, seconds: float, most: float, how: str | int) -> None:
    """It gets a small share of the calls as exchanges."""
    report = simulate(None, Service(faults=[Outage(how=how)]), rate=rate, seconds=seconds)
    assert report.amplification <= most


@pytest.mark.parametrize("rate", [2.0, 20.0])
@pytest.mark.parametrize("seconds", [2.0, 10.0, 30.0, 120.0])
def test_an_outage_is_over_when_it_is_over(rate: float, seconds: float) -> None:
    """After one of L seconds, the first success comes within max(5, L) s, and all is normal 10 s after its end."""
    fault = Outage(start=30.0, seconds=seconds)
    report = simulate(None, Service(faults=[fault]), rate=rate, seconds=fault.end + 60)
    assert report.time_to_recover is not None
    assert report.time_to_recover <= max(5.0, seconds)
    share = report.success_share_between(fault.end + 10, fault.end + 60)
    assert share is not None
    assert share >= 0.99


@pytest.mark.parametrize(
    "fault",
    [
        Bursts(good=20.0, bad=5.0),
        Bursts(good=10.0, bad=10.0, rate=0.8),
        Flapping(up=5.0, down=5.0),
        Flapping(up=1.0, down=30.0),
        Outage(how="reset", share=0.5),
        Outage(how=503, share=0.25),
        Poison(share=0.05, work=20.0),
        Slowdown(factor=20.0),
        RateLimit(per_second=10.0, burst=1),
        RateLimit(per_second=10.0, burst=10),
        RateLimit(per_second=2.0, burst=20),
    ],
    ids=repr,
)
@pytest.mark.parametrize("rate", [2.0, 20.0])
def test_no_fault_makes_the_client_worse_than_none(fault: Fault, rate: float) -> None:
    """Correlated failures, slow work and limits of the rate: at least as many calls succeed as without a client."""
    service = Service(faults=[fault])
    ours, none = (simulate(config, service, rate=rate, seconds=90.0) for config in (None, NO_CLIENT))
    assert ours.success_share >= none.success_share - 0.02 - NOISE


@pytest.mark.parametrize("factor", [1.5, 4.0])
def test_an_overloaded_service_is_not_loaded_more(factor: float) -> None:
    """With a queue before its workers, a brown-out costs no more than its own work, and ends with its cause."""
    service = Service(
        latency=0.05, workers=2, queue=400, faults=[Slowdown(factor=factor, start=30.0, seconds=30.0)]
    )
    reports: list[Report] = [
        simulate(config, service, clients=16, rate=2.0, seconds=120.0, options={"timeout": 2.0})
        for config in (None, NO_CLIENT)
    ]
    ours, none = reports
    assert ours.amplification <= 1.25
    assert ours.success_share >= none.success_share - 0.02 - NOISE
    assert ours.is_metastable is not True

"""What alternate hosts and the deadline check are good for, as figures with bounds."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client import ConfigurationError, HttpClientConfig
from http_service_client.simulation import Errors, Fault, Outage, Report, Service, Slowdown, simulate

pytestmark = pytest.mark.once

HEALTHY = Service(latency=0.05)
MINUTE: dict[str, Any] = {"start": 30.0, "seconds": 60.0}  # of 120 s


def with_one_host_and_two(fault: Fault, rate: float) -> tuple[Report, Report]:
    """The same calls to a service with a fault, without and with an alternate host that is well."""
    service = Service(latency=0.05, faults=[fault])
    one, two = (
        simulate(None, service, alternates=alternates, rate=rate, seconds=120.0)
        for alternates in ([], [HEALTHY])
    )
    return one, two


@pytest.mark.parametrize("rate", [2.0, 20.0])
@pytest.mark.parametrize("how", ["refused", "reset", 500, 503])
def test_an_outage_of_one_of_two_hosts_costs_no_call_and_hardly_any_time(how: Any, rate: float) -> None:
    """Half of the calls fail with one host; none with two, and 99 % take no more than twice the usual time."""
    one, two = with_one_host_and_two(Outage(how=how, **MINUTE), rate)
    assert one.success_share < 0.6
    assert two.success_share == 1.0
    assert two.p99_call < 0.11
    assert two.amplification < 1.3


@pytest.mark.parametrize("rate", [2.0, 20.0])
def test_a_host_that_cannot_be_reached_costs_some_calls_a_connect_timeout(rate: float) -> None:
    """Its hung connections are not waited for: nobody waits longer than for one, and half of the calls not at all."""
    one, two = with_one_host_and_two(Outage(how="unreachable", **MINUTE), rate)
    assert one.success_share < 0.6
    assert one.worst_call > 10.0
    assert two.success_share == 1.0
    assert two.p50_call < 0.06
    assert two.worst_call < 5.2


@pytest.mark.parametrize("rate", [2.0, 20.0])
def test_a_half_sick_host_costs_no_call(rate: float) -> None:
    """Every second request fails there: with one host, a sixth of the calls."""
    one, two = with_one_host_and_two(Errors(rate=0.5, **MINUTE), rate)
    assert one.success_share < 0.9
    assert two.success_share == 1.0
    assert two.p99_call < 0.11
    assert two.amplification < 1.35


def test_a_host_that_hangs_has_its_connections_and_no_more() -> None:
    """With one host, all calls wait for them; with two, one call in 50 does."""
    one, two = with_one_host_and_two(Outage(how="silent", **MINUTE), 20.0)
    assert one.mean_call > 10.0
    assert two.success_share == 1.0
    assert two.mean_call < 1.0
    assert two.p50_call < 0.06


def test_both_hosts_down_cost_no_more_than_one() -> None:
    """The circuits and the budget hold for both."""
    down = Service(latency=0.05, faults=[Outage(how=500, **MINUTE)])
    one = simulate(None, down, rate=20.0, seconds=120.0)
    two = simulate(None, down, alternates=[down], rate=20.0, seconds=120.0)
    assert two.amplification < 1.2 * one.amplification
    assert two.success_share > one.success_share - 0.02


DEADLINE = HttpClientConfig(total_timeout=1.0)
CHECKED = HttpClientConfig(total_timeout=1.0, deadline_check={})


def without_and_with_the_check(service: Service, rate: float) -> tuple[Report, Report]:
    unchecked, checked = (
        simulate(config, service, clients=4, rate=rate / 4, seconds=150.0) for config in (DEADLINE, CHECKED)
    )
    return unchecked, checked


def test_a_service_that_is_too_slow_is_spared_a_third_of_its_work() -> None:
    """For a minute it takes 3 s, and its callers have one: success is the same, within one call in 200."""
    service = Service(latency=0.1, faults=[Slowdown(factor=30, **MINUTE)])
    unchecked, checked = without_and_with_the_check(service, 20.0)
    assert checked.work < 0.7 * unchecked.work
    assert checked.success_share > unchecked.success_share - 0.005
    assert checked.refusals["DeadlineTooShortError"] > 300


def test_an_overloaded_service_gets_well_sooner() -> None:
    """A slowdown has filled its queue with requests that nobody waits for: the check lets it work on the others."""
    service = Service(latency=0.05, workers=4, queue=400, faults=[Slowdown(factor=8, **MINUTE)])
    unchecked, checked = without_and_with_the_check(service, 20.0)
    assert checked.success_share > unchecked.success_share + 0.1
    assert checked.wasted_work < 0.8 * unchecked.wasted_work


def test_a_healthy_service_is_refused_nothing() -> None:
    """Neither is one that is near its capacity."""
    for service in (HEALTHY, Service(latency=0.05, workers=2)):
        unchecked, checked = without_and_with_the_check(service, 20.0)
        assert checked.refusals == {}
        assert checked.success_share == unchecked.success_share


@pytest.mark.parametrize("alternates", [HEALTHY, [5], "services", None])
def test_alternates_are_services(alternates: Any) -> None:
    """A list of them."""
    with pytest.raises(ConfigurationError, match="alternates must be a list of services"):
        simulate(None, HEALTHY, alternates=alternates)


def test_a_guarded_function_has_no_alternates() -> None:
    """It has no base URL."""
    with pytest.raises(ConfigurationError, match="alternates are the base URLs of a client"):
        simulate(lambda environment: environment.send, HEALTHY, alternates=[HEALTHY])

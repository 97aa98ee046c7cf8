"""The settings of a modelled service, its faults, its latencies and the scenarios: what they may be, and what not."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import pytest

from http_service_client import ConfigurationError
from http_service_client.simulation import (
    Bursts,
    Constant,
    Empirical,
    Errors,
    Exponential,
    Fault,
    Flapping,
    LogNormal,
    Outage,
    Poison,
    RateLimit,
    Scenario,
    Service,
    Slowdown,
    Uniform,
)
from http_service_client.simulation.faults import Treatment
from kit.rows import each_row

NUMBERS: list[Any] = [-1, math.nan, math.inf, "1", None]
DURATIONS: list[Any] = [*NUMBERS, 0]
SHARES: list[Any] = [*NUMBERS, 1.001]
COUNTS: list[Any] = [0, -1, 1.5, "1"]
HOWS: list[Any] = ["slow", 399, 600, 503.0, True, None]

MODELS: list[tuple[Any, dict[str, Any], dict[str, list[Any]]]] = [
    (Outage, {}, {"how": HOWS, "share": SHARES}),
    (Outage, {"how": 503}, {"retry_after": [-1, math.nan, "1"]}),
    (Errors, {"rate": 0.5}, {"rate": SHARES, "status": [399, 600, 503.0, "503", None, True]}),
    (Slowdown, {"factor": 2}, {"factor": [*NUMBERS, 0, 0.0009, 1e6 + 1], "share": SHARES}),
    (Poison, {"share": 0.5, "work": 1}, {"share": SHARES, "work": DURATIONS}),
    (Flapping, {"up": 1, "down": 1}, {"up": DURATIONS, "down": DURATIONS, "how": HOWS}),
    (Bursts, {"good": 1, "bad": 1}, {"good": DURATIONS, "bad": DURATIONS, "rate": SHARES, "how": HOWS}),
    (RateLimit, {"per_second": 1}, {"per_second": DURATIONS, "burst": COUNTS, "retry_after": [-1, math.nan, "1"]}),
    (Service, {}, {"latency": [*DURATIONS, Uniform], "workers": COUNTS, "network": [*NUMBERS, 10.01], "stops_abandoned_work": [0, 1, None, "no"], "faults": [None, "", b"", 5, {Outage()}]}),
    (Service, {"workers": 1}, {"queue": [-1, 1.5, "1"]}),
    (Constant, {"seconds": 1}, {"seconds": DURATIONS}),
    (Uniform, {"least": 1, "most": 2}, {"least": DURATIONS, "most": DURATIONS}),
    (Exponential, {"expected": 1}, {"expected": DURATIONS}),
    (LogNormal, {"median": 1, "p99": 2}, {"median": DURATIONS, "p99": DURATIONS}),
    (Empirical, {"samples": [1]}, {"samples": [[], "12", b"12", None, 5, {1, 2}]}),
    (Scenario, {"service": Service()}, {"service": [None, Service], "about": [None, 5], "method": [None, b"GET"], "options": [None, [], "{}"], "clients": COUNTS, "rate": NUMBERS, "seconds": DURATIONS}),
]  # fmt: skip
FAULTS: list[tuple[Any, dict[str, Any]]] = [
    (Outage, {}),
    (Errors, {"rate": 0.5}),
    (Slowdown, {"factor": 2}),
    (Poison, {"share": 0.5, "work": 1}),
    (Flapping, {"up": 1, "down": 1}),
    (Bursts, {"good": 1, "bad": 1}),
    (RateLimit, {"per_second": 1}),
]


@each_row(
    ("kind", "settings", "name", "value"),
    [
        (kind, settings, name, value)
        for kind, settings, wrong in MODELS
        for name, values in wrong.items()
        for value in values
    ]
    + [
        (kind, settings, name, value)
        for kind, settings in FAULTS
        for name, values in {"start": NUMBERS, "seconds": [0, -1, math.nan, "1"]}.items()
        for value in values
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_wrong_value_is_an_error_that_begins_with_its_name(
    kind: Any, settings: dict[str, Any], name: str, value: Any
) -> None:
    """When the model is made, and not in the simulation."""
    kind(**settings)
    with pytest.raises(ConfigurationError, match=rf"^{name} must "):
        kind(**settings | {name: value})


@each_row(
    "make",
    [
        lambda: Outage(how=400, share=0, retry_after=0),
        lambda: Outage(how=599, share=1),
        lambda: Errors(rate=0, status=400),
        lambda: Errors(rate=1, status=599, start=0, seconds=None),
        lambda: Slowdown(factor=0.001, share=0),
        lambda: Slowdown(factor=1e6, share=1),
        lambda: Poison(share=0, work=0.001),
        lambda: Poison(share=1, work=1),
        lambda: Bursts(good=1, bad=1, rate=0),
        lambda: Bursts(good=1, bad=1, rate=1, how="silent"),
        lambda: RateLimit(per_second=0.001, burst=1, retry_after=0),
        lambda: Service(workers=1, queue=0, network=0),
        lambda: Service(network=10, faults=()),
        lambda: Uniform(1, 1),
        lambda: LogNormal(1, 1),
        lambda: Scenario(service=Service(), clients=1, rate=0, seconds=0.001),
    ],
)
def test_the_bounds_of_a_setting_are_possible_values(make: Any) -> None:
    """The least and the most of each."""
    make()


def test_settings_that_contradict_each_other_are_errors() -> None:
    """With both values, and the remedy."""
    with pytest.raises(ConfigurationError, match=r"^retry_after needs .* not 'refused'$"):
        Outage(retry_after=0)
    with pytest.raises(ConfigurationError, match=r"^queue needs workers: .*; set both$"):
        Service(queue=0)
    with pytest.raises(ConfigurationError, match=r"^most=1 is below least=2; exchange them$"):
        Uniform(2, 1)
    with pytest.raises(ConfigurationError, match=r"^p99=1 is below median=2; exchange them$"):
        LogNormal(2, 1)
    with pytest.raises(ConfigurationError, match=r"^samples\[1\] must be a positive"):
        Empirical([1, None])  # type: ignore[list-item]
    with pytest.raises(ConfigurationError, match=r"^faults has 5, which is no fault"):
        Service(faults=[Outage(), 5])  # type: ignore[list-item]
    with pytest.raises(
        ConfigurationError, match=r"^faults must be .*, not Outage\(.*\); write it in a list$"
    ):
        Service(faults=Outage())  # type: ignore[arg-type]
    with pytest.raises(
        ConfigurationError, match=r"^latency must be a positive, finite number of seconds, not 0$"
    ):
        Service(latency=0)
    with pytest.raises(ConfigurationError, match=r"^faults must be .*, not 5$"):
        Service(faults=5)  # type: ignore[arg-type]


def test_lists_may_be_changed_afterwards() -> None:
    """A model keeps what it was given."""
    faults: list[Fault] = [Outage()]
    samples = [1.0]
    service, latency = Service(faults=faults), Empirical(samples)
    faults.clear()
    samples.clear()
    assert (service.faults, latency.samples) == ((Outage(),), (1.0,))


class Least(Random):
    """Draws the least number that there is."""

    def random(self) -> float:
        return 0.0


@pytest.mark.parametrize(
    "fault",
    [
        Outage(share=0),
        Errors(rate=0),
        Slowdown(factor=2, share=0),
        Poison(share=0, work=1),
        Bursts(good=1e-3, bad=1e9, rate=0),
    ],
    ids=repr,
)
def test_a_share_of_nothing_is_never_met(fault: Fault) -> None:
    """Whatever number is drawn."""
    treatment = Treatment()
    fault.begin(Least())(1.0, treatment)
    usual = Treatment()
    assert [getattr(treatment, name) for name in Treatment.__slots__] == [
        getattr(usual, name) for name in Treatment.__slots__
    ]


class Never(Random):
    """Has no number to draw."""

    def random(self) -> float:
        raise AssertionError("a number was drawn")


@pytest.mark.parametrize("fault", [Outage(), Slowdown(factor=2)], ids=repr)
def test_what_is_certain_draws_no_number(fault: Fault) -> None:
    """So that beside an outage of all, other faults meet the same requests as without it."""
    treatment = Treatment()
    fault.begin(Never())(1.0, treatment)
    assert (treatment.how, treatment.factor) != (None, 1.0)

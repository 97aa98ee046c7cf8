"""Several configurations in several scenarios, and what the built-in scenarios are about."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from http_service_client import ConfigurationError, HttpClientConfig
from http_service_client.simulation import (
    NO_CLIENT,
    SCENARIOS,
    Comparison,
    Environment,
    Errors,
    Outage,
    Report,
    Scenario,
    Service,
    compare,
    simulate,
)
from kit.rows import each_row

# Three attempts whatever happens: what a loop around a plain HTTP library does.
NAIVE = HttpClientConfig(enable_circuit_breaker=False, enable_retry_budget=False, enable_throttle_gate=False)

# The built-in retry storm at a fiftieth of its size. The jitter is the default's.
STORM = Scenario(
    service=Service(latency=0.1, workers=5, faults=[Outage(start=15, seconds=20)]),
    clients=200,
    rate=0.2,
    seconds=90,
    options={"timeout": 0.5},
)


def short(name: str) -> Scenario:
    """A built-in scenario with a third of its calls."""
    return replace(SCENARIOS[name], clients=4, rate=1.7)


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    """Of two configurations in two scenarios."""
    scenarios = {"outage": short("outage-refused"), "errors": short("failing-10")}
    return compare({"none": NO_CLIENT, "naive": NAIVE}, scenarios)


def test_a_comparison_has_a_report_for_each_pair(comparison: Comparison) -> None:
    """By the names that were given, in their order."""
    assert comparison.scenarios == ["outage", "errors"]
    assert comparison.configurations == ["none", "naive"]
    assert list(comparison.reports) == [
        (scenario, config) for scenario in ("outage", "errors") for config in ("none", "naive")
    ]
    assert comparison["errors", "naive"].success_share > comparison["errors", "none"].success_share


def test_the_same_calls_come_to_all_configurations(comparison: Comparison) -> None:
    """So that a difference is a difference of the configurations."""
    for scenario in comparison.scenarios:
        assert len({comparison[scenario, name].calls for name in comparison.configurations}) == 1


def test_a_comparison_as_text_is_a_table(comparison: Comparison) -> None:
    """A line for each pair, with the columns aligned and each scenario named once."""
    header, rule, *rows = str(comparison).partition("\n\n")[0].splitlines()
    assert re.split(r" {2,}", header)[:4] == ["scenario", "configuration", "success", "exchanges"]
    assert rule.startswith("-" * len("scenario") + "  ")
    assert [row.split()[0] for row in rows] == ["outage", "naive", "errors", "naive"]
    assert len({len(row) for row in rows}) == 1


def test_a_report_of_a_comparison_is_that_of_its_simulation() -> None:
    """With all settings of the scenario, and the same seed. It stays as it is."""
    scenario = Scenario(
        service=Service(faults=[Errors(rate=0.5)]),
        clients=3,
        rate=2,
        seconds=20,
        method="POST",
        options={"idempotent": True},
    )
    comparison = compare({"naive": NAIVE}, {"x": scenario})
    settings = {name: getattr(scenario, name) for name in ("clients", "rate", "seconds", "method", "options")}
    assert comparison["x", "naive"] == simulate(NAIVE, scenario.service, **settings)
    with pytest.raises(AttributeError):
        comparison.reports = {}  # type: ignore[misc]  # the mistake


def test_progress_is_reported_before_each_simulation() -> None:
    """By names, for a bar."""
    seen: list[tuple[str, str]] = []
    scenario = Scenario(service=Service(), seconds=1)
    compare({"a": None, "b": NO_CLIENT}, {"x": scenario}, progress=lambda *names: seen.append(names))
    assert seen == [("x", "a"), ("x", "b")]


def test_a_guarded_function_can_be_compared() -> None:
    """The options of a scenario are for the calls of clients."""

    def make(environment: Environment) -> Any:
        return lambda: environment.send(timeout=1.0)

    scenario = Scenario(service=Service(faults=[Errors(rate=0.5)]), seconds=10, options={"timeout": 1.0})
    comparison = compare({"function": make, "none": NO_CLIENT}, {"x": scenario})
    assert comparison["x", "function"].success_share == comparison["x", "none"].success_share


# A small retry storm is below.
@pytest.mark.once
@pytest.mark.parametrize("name", [name for name in SCENARIOS if name != "retry-storm"])
def test_a_built_in_scenario_shows_what_it_is_about(name: str) -> None:
    """Without a client's help it hurts after the start, or all the time, but for the healthy one."""
    scenario = SCENARIOS[name]
    assert scenario.about
    report = compare({"": NO_CLIENT}, [name])[name, ""]
    trigger, relief = scenario.service.trigger, scenario.service.relief
    if name == "healthy":
        assert report.failed == 0
    elif name.startswith("failing"):
        assert report.success_share == pytest.approx(1 - int(name[-2:]) / 100, abs=0.04)
    else:
        assert report.success_share_between(0, trigger - 5) == 1.0
        during = report.between(trigger, relief)
        assert any(moment.failed or (moment.p99 or 0) > 0.5 for moment in during)
        assert report.is_metastable is False


@pytest.mark.once
def test_naive_retries_stay_in_a_retry_storm() -> None:
    """The outage is over, and its failure stays: everything that the service does is too late."""
    report = simulate(
        NAIVE, STORM.service, clients=200, rate=STORM.rate, seconds=STORM.seconds, options=STORM.options
    )
    assert report.is_metastable is True
    assert report.success_share_between(0, 14) == pytest.approx(1, abs=0.01)
    assert report.success_share_between(60, 90) == pytest.approx(0, abs=0.01)
    assert report.amplification > 2.4
    assert report.wasted_work > 0.6 * report.work
    assert (report.time_to_normal, report.openings) == (None, 0)


@pytest.mark.once
@pytest.mark.parametrize("config", [NO_CLIENT, None], ids=["no client", "defaults"])
def test_other_clients_come_out_of_the_same_storm(config: HttpClientConfig | None) -> None:
    """Without retries, or with a circuit breaker, the load after the outage is what the service can do."""
    report = simulate(config, STORM.service, clients=200, rate=STORM.rate, seconds=150, options=STORM.options)
    assert report.is_metastable is False
    assert report.amplification < 1.25
    assert report.time_to_recover is not None


@each_row(
    ("configs", "scenarios", "part"),
    [
        ({}, ["healthy"], "configs must be a mapping of names"),
        (None, ["healthy"], "configs must be a mapping of names"),
        ([None], ["healthy"], "configs must be a mapping of names"),
        ({"a": None}, ["helthy"], "there is no scenario 'helthy'; did you mean 'healthy'"),
        ({"a": None}, ["q"], "there is no scenario 'q'; there are healthy, failing-10"),
        ({"a": None}, "healthy", "a list of names"),
        ({"a": None}, 5, "a list of names"),
        ({"a": None}, {"x": Service()}, r"scenarios\['x'\] must be a Scenario"),
        ({"a": 5}, {"x": Scenario(service=Service())}, "config must be an HttpClientConfig"),
    ],
)
def test_wrong_arguments_of_a_comparison_are_errors(configs: Any, scenarios: Any, part: str) -> None:
    """They name the argument and what to write instead."""
    with pytest.raises(ConfigurationError, match=part):
        compare(configs, scenarios)


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"service": 5}, "service must be a Service"),
        ({"clients": 0}, "clients must be"),
        ({"rate": -1}, "rate must be"),
        ({"seconds": 0}, "seconds must be"),
        ({"options": 5}, "options must be a mapping"),
    ],
)
def test_wrong_settings_of_a_scenario_are_errors(settings: dict[str, Any], part: str) -> None:
    """When it is made."""
    with pytest.raises(ConfigurationError, match=part):
        Scenario(**({"service": Service()} | settings))


TABLE = """
scenario  configuration  success  exchanges     p50    p99  opened  normal  wasted  doubled  metastable
--------  -------------  -------  ---------  ------  -----  ------  ------  ------  -------  ----------
outage    mine             75.0%       1.25  518 ms  1.5 s     4 s       -     25%        3         YES
          other            75.0%       1.25  518 ms  1.5 s     4 s       -       -        3           -
errors    mine             75.0%       1.25  518 ms  1.5 s     4 s       -     25%        3          no

exchanges: for each call, retries included.  p50, p99: of the durations of calls.  opened: from the first fault until
a circuit opened.  normal: from the end of the last fault until as many calls succeed as before.  wasted: work of the
service on requests that were given up.  doubled: calls that were acted on twice, with harm.  metastable: the failure
outlives its cause.
"""


def test_the_table_has_the_main_figures() -> None:
    """Text to the left, numbers to the right."""
    known = Report(
        calls=200, succeeded=150, failed=50, exchanges=250, retries=60, seconds=100.0,
        mean_call=0.1, p50_call=0.5178, p99_call=1.5, worst_call=12.3, errors={}, refusals={}, stops={},
        work=80.0, wasted_work=20.0, duplicates=3, openings=2, time_to_open=4.0, time_to_recover=0.5,
        time_to_normal=None, is_metastable=True, moments=(), service=Service(),
    )  # fmt: skip
    reports = {
        ("outage", "mine"): known,
        ("outage", "other"): replace(known, work=0.0, is_metastable=None),
        ("errors", "mine"): replace(known, is_metastable=False),
    }
    assert str(Comparison(reports, {})) == TABLE.strip()

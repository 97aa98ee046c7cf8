"""The figures of a report mean what its documentation says."""

from __future__ import annotations

import pickle
from statistics import fmean
from typing import Any

import pytest

from http_service_client import HttpClientConfig
from http_service_client.simulation import (
    NO_CLIENT,
    Constant,
    Errors,
    Outage,
    Report,
    Service,
    simulate,
)
from http_service_client.simulation.histogram import Histogram

pytestmark = pytest.mark.once

OUTAGE = Outage(start=30, seconds=20)


def steady(config: HttpClientConfig | None, *faults: Any, **settings: Any) -> Report:
    settings = {"clients": 10, "rate": 2, "seconds": 120} | settings
    return simulate(config, Service(latency=Constant(0.05), faults=faults), **settings)


def test_the_calls_of_a_report_are_those_of_its_moments() -> None:
    """Nothing is counted twice, and nothing is left out."""
    report = steady(None, OUTAGE, Errors(rate=0.1))
    for name in ("calls", "succeeded", "failed", "exchanges"):
        assert getattr(report, name) == sum(getattr(moment, name) for moment in report.moments)
    assert report.calls == report.succeeded + report.failed
    assert (
        report.failed
        == sum(report.errors.values())
        == sum(report.stops.values()) + sum(report.refusals.values())
    )
    assert sum(report.refusals.values()) == sum(moment.refused for moment in report.moments)
    assert report.success_share == report.succeeded / report.calls


def test_retries_are_exchanges_beyond_the_first_of_a_call() -> None:
    """Amplification is exchanges over calls; a call that is refused sends none."""
    config = HttpClientConfig(enable_circuit_breaker=False, enable_retry_budget=False)
    report = steady(config, Outage())
    assert (report.amplification, report.retries) == (3.0, 2 * report.calls)
    assert report.refusals == {}
    plain = HttpClientConfig(circuit_breaker_config={"failure_threshold": 5, "recovery_timeout": 60})
    open_circuit = steady(plain, Outage())
    assert open_circuit.amplification < 0.2
    assert open_circuit.refusals == {"CircuitOpenError": open_circuit.errors["CircuitOpenError"]}


def test_the_throughput_is_that_of_the_calls_that_succeeded() -> None:
    """Over the whole time."""
    report = steady(NO_CLIENT, Errors(rate=0.5))
    assert report.throughput == pytest.approx(report.succeeded / report.seconds)


def test_the_times_after_an_outage() -> None:
    """Until a circuit opened, until the first success after it, and until all is as before."""
    report = steady(
        HttpClientConfig(circuit_breaker_config={"failure_threshold": 5, "recovery_timeout": 15.0}), OUTAGE
    )
    assert report.time_to_open is not None
    assert 0 < report.time_to_open < 5
    assert report.time_to_recover is not None
    assert 0 < report.time_to_recover < 15
    assert report.time_to_normal is not None
    assert report.time_to_recover < report.time_to_normal < 25
    assert report.is_metastable is False


def test_a_client_without_circuits_is_back_at_once() -> None:
    """With nothing between the calls and the service."""
    report = steady(NO_CLIENT, OUTAGE)
    assert (report.time_to_open, report.openings) == (None, 0)
    assert report.time_to_recover is not None
    assert report.time_to_recover < 1
    assert report.time_to_normal == pytest.approx(0, abs=0.6)


def test_single_failures_do_not_put_off_the_return_to_normal() -> None:
    """The share before the outage counts, and one failure in ten seconds is no trend."""
    report = steady(NO_CLIENT, OUTAGE, Errors(rate=0.002, start=1e-9))
    assert report.time_to_normal is None  # the fault that goes on is not over
    faults = [OUTAGE, Errors(rate=0.1, start=30, seconds=60)]
    assert steady(NO_CLIENT, *faults).time_to_normal == pytest.approx(0, abs=0.6)


@pytest.mark.parametrize(
    ("faults", "seconds"),
    [((), 120), ((Outage(seconds=20),), 120), ((Outage(start=30),), 120), ((OUTAGE,), 70)],
    ids=["no fault", "from the start", "to the end", "too short"],
)
def test_there_is_no_verdict_without_a_before_and_an_after(faults: Any, seconds: float) -> None:
    """Metastable means: the trigger is gone, and its effects stay."""
    report = steady(NO_CLIENT, *faults, seconds=seconds)
    assert report.is_metastable is None
    assert "no verdict" in str(report)


def test_a_circuit_that_stays_open_is_not_normal() -> None:
    """The report says so, whatever the reason."""
    report = steady(HttpClientConfig(circuit_breaker_config={"recovery_timeout": 500.0}), OUTAGE)
    assert (report.time_to_recover, report.time_to_normal, report.is_metastable) == (None, None, True)
    assert report.moments[-1].open_circuits == 10
    assert "YES" in str(report)


def test_a_late_recovery_is_a_recovery() -> None:
    """Though it takes until the last fifth of the time."""
    config = HttpClientConfig(circuit_breaker_config={"failure_threshold": 5, "recovery_timeout": 72.0})
    report = steady(config, OUTAGE)
    assert report.is_metastable is False
    assert report.time_to_normal is not None
    assert 50 < report.time_to_normal < 60


def test_a_few_calls_that_fail_are_not_normal() -> None:
    """With a call in ten seconds, each failure counts."""
    config = HttpClientConfig(circuit_breaker_config={"failure_threshold": 1, "recovery_timeout": 5000.0})
    report = steady(config, Outage(start=300, seconds=60), clients=1, rate=0.1, seconds=900)
    assert (report.time_to_normal, report.is_metastable) == (None, True)


@pytest.mark.parametrize(
    ("method", "options", "doubled"),
    [
        ("POST", {"idempotent": True}, True),
        ("POST", {}, False),
        ("POST", {"headers": {"Idempotency-Key": "k"}}, False),
        ("PUT", {}, False),
    ],
)
def test_duplicates_are_calls_that_were_acted_on_twice(method: str, options: Any, doubled: bool) -> None:
    """A lost response hides that the request was processed; whoever repeats it without a key does harm."""
    config = HttpClientConfig(enable_circuit_breaker=False)
    report = steady(config, Outage(how="reset", share=0.1), method=method, options=options)
    assert (report.duplicates > 0.05 * report.calls) is doubled
    assert report.duplicates == 0 or doubled


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "QUERY", "PUT", "DELETE", "POST", "PATCH"])
def test_a_method_that_may_be_repeated_does_no_harm(method: str) -> None:
    """Whether it changes something or not."""
    config = HttpClientConfig(enable_circuit_breaker=False)
    report = simulate(
        config,
        Service(faults=[Outage(how="reset", share=0.5)]),
        rate=2,
        seconds=30,
        method=method,
        options={"idempotent": True},
    )
    assert report.retries > 5
    assert (report.duplicates > 0) is (method in {"POST", "PATCH"})


def test_a_request_that_the_service_did_not_act_on_does_no_harm() -> None:
    """However often it is sent."""
    config = HttpClientConfig(enable_circuit_breaker=False)
    service = Service(faults=[Outage(how="refused", share=0.5)])
    report = simulate(config, service, rate=2, seconds=30, method="POST", options={"idempotent": True})
    assert (report.retries > 5, report.duplicates) == (True, 0)


def test_the_text_of_a_report_names_the_figures() -> None:
    """For people who print it."""
    text = str(steady(None, OUTAGE))
    for part in ("succeeded", "exchanges a call", "first circuit opened after", "failed by CircuitOpenError"):
        assert part in text


def test_a_report_pickles() -> None:
    """So simulations may run in other processes."""
    report = steady(None, OUTAGE, seconds=40)
    assert pickle.loads(pickle.dumps(report)) == report


def test_a_histogram_has_quantiles_to_a_hundredth() -> None:
    """Of any values; count, mean and the largest one are exact, also of several histograms together."""
    values = [0.0, 1e-7, *(1.1**k / 1000 for k in range(200))]
    parts = [Histogram(), Histogram()]
    for position, value in enumerate(values):
        parts[position % 2].add(value)
    whole = Histogram.merged(parts)
    assert (whole.count, whole.most) == (len(values), max(values))
    assert whole.mean == pytest.approx(fmean(values))
    for position in (10, 50, 101, 180, 201):
        share = (position + 1) / len(values)
        assert whole.quantile(share) == pytest.approx(values[position], rel=0.011)
    assert whole.quantile(0.001) == 0.0
    assert (Histogram().quantile(0.5), Histogram().mean) == (None, None)


@pytest.mark.parametrize(("seconds", "value"), [(1e-6, 1e-6), (9e-7, 0.0)])
def test_a_histogram_tells_microseconds_apart(seconds: float, value: float) -> None:
    """What is shorter counts as nothing."""
    histogram = Histogram()
    histogram.add(seconds)
    assert histogram.quantile(0.5) == pytest.approx(value, rel=0.011)


@pytest.mark.parametrize(("timeout", "wasted"), [(2.0, 0.0), (0.5, 1.0)])
def test_the_work_of_a_report_is_that_of_the_service(timeout: float, wasted: float) -> None:
    """It works for a second on each request, in vain if nobody waits for it."""
    report = simulate(NO_CLIENT, Service(latency=1.0), rate=5, seconds=20, options={"timeout": timeout})
    assert report.work == report.exchanges == report.calls > 0
    assert report.wasted_work == wasted * report.work

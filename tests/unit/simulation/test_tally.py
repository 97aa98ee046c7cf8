"""What is counted while a simulation runs, and the figures that a report has from it."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import ConnectError, HttpResponse, SentState, StateChange
from http_service_client.core.machines.circuit_breaker.states import CircuitBreakerState
from http_service_client.errors import Failure
from http_service_client.events import AttemptFinished, FallbackSource, FallbackUsed, RetryStopped, StopReason
from http_service_client.simulation import Outage, Service
from http_service_client.simulation.report import Report, in_seconds, make_report
from http_service_client.simulation.tally import Moment, Tally
from kit.rows import each_row

OK = HttpResponse(200)
CLOSED, OPEN, HALF_OPEN = (
    CircuitBreakerState.CLOSED,
    CircuitBreakerState.OPEN,
    CircuitBreakerState.HALF_OPEN,
)


def tally(span: float = 10.0, trigger: float = 30.0, relief: float = 50.0) -> Tally:
    return Tally(span, trigger, relief)


def change(
    old: CircuitBreakerState, new: CircuitBreakerState, at: float, is_shadow: bool = False
) -> StateChange:
    return StateChange("key", old, new, "", at, 1, None, is_shadow)


def stopped(*reasons: StopReason) -> Any:
    """A call with other events beside these."""
    attempt = AttemptFinished(0.0, 1, "", 0.1, 503, None, "", SentState.ANSWERED)
    return SimpleNamespace(
        options=SimpleNamespace(fallback=None),
        events=[attempt, *(RetryStopped(0.0, 1, "", reason, None, None) for reason in reasons)],
    )


def test_spans_follow_each_other_without_gaps() -> None:
    """A span in which nothing happens has its own moment; an instant belongs to the span that begins with it."""
    counted = tally()
    counted.at(3.0).calls += 1
    counted.at(10.0).exchanges += 2
    assert counted.at(10.0) is counted.at(19.9)
    counted.at(35.0).calls += 4
    figures = [(moment.at, moment.calls, moment.exchanges) for moment in counted.moments()]
    assert figures == [(0.0, 1, 0), (10.0, 0, 2), (20.0, 0, 0), (30.0, 4, 0)]


def test_a_moment_has_what_ended_in_it() -> None:
    """Successes, failures, those of them that sent nothing, and the durations of all of them."""
    counted = tally()
    counted.count_call(1.0, 0.5, OK, None, 1)
    counted.count_call(2.0, 0.0, HttpResponse(503), None, 3)
    counted.count_call(3.0, 2.9, ConnectError(), None, 0)
    counted.count_call(4.0, 3.5, "the value of a function", None, 1)
    first = counted.moments()[0]
    assert first == Moment(0.0, 0, 2, 2, 1, 0, 0, first.p50, first.p99)
    assert (first.p50, first.p99) == (pytest.approx(0.5, rel=0.01), pytest.approx(2.0, rel=0.01))
    assert counted.senders == 3
    assert counted.errors == {"503": 1, "ConnectError": 1}
    assert counted.refusals == {"ConnectError": 1}


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        (HttpResponse(399), None),
        (HttpResponse(400), "400"),
        (Failure(ConnectError, "", SentState.NEVER_SENT), "ConnectError"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (None, None),
    ],
)
def test_a_call_fails_by_an_error_or_a_status(outcome: object, error: str | None) -> None:
    """A status below 400 is a success, and so is whatever a guarded function returns."""
    counted = tally()
    counted.count_call(1.0, 0.0, outcome, None, 1)
    assert counted.errors == ({} if error is None else {error: 1})


def test_the_reasons_of_failed_calls_are_counted() -> None:
    """Not those of a call that succeeded in the end."""
    counted = tally()
    counted.count_call(1.0, 0.0, OK, stopped(StopReason.BUDGET), 1)
    counted.count_call(1.0, 0.0, HttpResponse(500), stopped(StopReason.BUDGET, StopReason.NOT_SAFE), 1)
    counted.count_call(1.0, 0.0, HttpResponse(500), stopped(StopReason.BUDGET), 1)
    assert counted.stops == {StopReason.BUDGET.value: 2, StopReason.NOT_SAFE.value: 1}


def test_the_first_success_after_the_faults_is_remembered() -> None:
    """At the very end of the fault or later; an earlier one and a failure do not count."""
    counted = tally()
    counted.count_call(49.9, 49.0, OK, None, 1)
    counted.count_call(50.0, 49.0, HttpResponse(500), None, 1)
    assert counted.recovered_at == math.inf
    counted.count_call(50.0, 49.0, OK, None, 1)
    counted.count_call(51.0, 50.0, OK, None, 1)
    assert counted.recovered_at == 50.0


def test_a_success_that_a_fallback_stands_in_for_is_no_recovery() -> None:
    """A call that has a fallback and does not need it is one."""
    counted = tally()
    options = SimpleNamespace(fallback=object())
    used = FallbackUsed(0.0, 1, "", FallbackSource.VALUE, "status 503")
    stood_in: Any = SimpleNamespace(options=options, events=[used, *stopped().events])
    not_used: Any = SimpleNamespace(options=options, events=stopped().events)
    counted.count_call(51.0, 50.0, OK, stood_in, 1)
    assert (counted.fallbacks, counted.recovered_at) == (1, math.inf)
    counted.count_call(52.0, 50.0, OK, not_used, 1)
    assert (counted.fallbacks, counted.recovered_at) == (1, 52.0)


def test_circuits_are_counted_while_they_are_not_closed() -> None:
    """Each opening is counted, also one after a failed trial; changes of shadows are not."""
    counted = tally()
    counted.count_change(change(CLOSED, OPEN, 29.0))
    counted.count_change(change(CLOSED, OPEN, 29.5, is_shadow=True))
    assert (counted.openings, counted.opened_at) == (1, math.inf)
    counted.count_change(change(CLOSED, OPEN, 30.0))
    counted.count_change(change(OPEN, HALF_OPEN, 31.0))
    counted.count_change(change(HALF_OPEN, OPEN, 41.0))
    counted.count_change(change(OPEN, HALF_OPEN, 51.0))
    counted.count_change(change(HALF_OPEN, CLOSED, 52.0))
    assert (counted.openings, counted.opened_at) == (3, 30.0)
    assert [moment.open_circuits for moment in counted.moments()] == [0, 0, 1, 2, 2, 1]


SERVICE = Service(latency=0.05, faults=[Outage(start=30, seconds=20)])


def series(*shares: tuple[int, int], seconds: float = 120.0) -> Report:
    """The report of spans of ten seconds, in which so many calls succeed and fail."""
    counted = tally()
    for index, (succeeded, failed) in enumerate(shares):
        span = counted.at(index * 10.0)
        span.succeeded, span.failed, span.calls = succeeded, failed, succeeded + failed
    return make_report(counted, SERVICE, seconds, seconds + 1.0)


GOOD, BAD = (10, 0), (0, 10)


@each_row(
    ("shares", "normal", "is_metastable"),
    [
        ([GOOD] * 3 + [BAD] * 2 + [GOOD] * 7, 0.0, False),
        ([GOOD] * 3 + [BAD] * 4 + [GOOD] * 5, 20.0, False),
        ([GOOD] * 3 + [BAD] * 2 + [GOOD, BAD] + [GOOD] * 5, 20.0, False),
        ([GOOD] * 3 + [BAD] * 8 + [GOOD], 60.0, False),
        ([GOOD] * 3 + [BAD] * 9, None, True),
        ([GOOD] * 3 + [BAD] * 6 + [(9, 1)] * 3, None, False),  # 90 % as many as before: not normal, and no collapse
        ([GOOD] * 3 + [BAD] * 6 + [(8, 2)] * 3, None, True),
        ([(8, 2)] * 3 + [BAD] * 2 + [(8, 2)] * 7, 0.0, False),  # as bad as before is normal
        ([GOOD] * 2 + [BAD] * 3 + [(6, 4)] * 7, None, False),  # before the fault, two of three succeeded
        ([GOOD] * 3 + [BAD] * 2 + [(19, 1)] * 7, 0.0, False),  # a single failure of twenty is no trend
        ([GOOD] * 3 + [BAD] * 2 + [(18, 1)] * 7, None, False),  # of nineteen it counts
        ([GOOD] * 3 + [BAD] * 2 + [(18, 2)] * 7, None, False),
        ([BAD] * 12, 0.0, False),
        ([(0, 0)] * 12, None, None),
        ([(0, 0)] * 3 + [BAD] * 2 + [GOOD] * 7, None, None),  # there is no before
        ([GOOD] * 3 + [(0, 0)] * 9, None, None),
        ([GOOD] * 3 + [BAD] * 2 + [(0, 0), GOOD] + [(0, 0)] * 5, 10.0, None),
    ],
)  # fmt: skip
def test_a_service_is_normal_when_as_many_calls_succeed_as_before(
    shares: list[tuple[int, int]], normal: float | None, is_metastable: bool | None
) -> None:
    """And stay so to the end; a failure that outlives its cause is metastable."""
    report = series(*shares)
    assert (report.time_to_normal, report.is_metastable) == (normal, is_metastable)


@pytest.mark.parametrize(("seconds", "is_metastable"), [(79.9, None), (80.1, True)])
def test_there_is_no_verdict_soon_after_the_fault(seconds: float, is_metastable: bool | None) -> None:
    """It takes 30 s until a state counts as lasting."""
    assert series(*[GOOD] * 3, *[BAD] * 9, seconds=seconds).is_metastable is is_metastable


@pytest.mark.parametrize(
    ("shares", "seconds"),
    [
        ([*[GOOD] * 3, *[BAD] * 8, (1000, 0)], 110.0),  # what ended after the time
        ([*[GOOD] * 3, *[BAD] * 4, (950, 50), BAD], 85.0),  # what ended soon after the fault
    ],
)
def test_the_verdict_is_that_of_the_end(shares: list[tuple[int, int]], seconds: float) -> None:
    """Of the last fifth of the time, without the first 30 s after the fault, and without what came later."""
    assert series(*shares, seconds=seconds).is_metastable is True


@pytest.mark.parametrize(("seconds", "normal"), [(100.0, 0.0), (109.9, 0.0), (110.0, None)])
def test_a_window_ends_before_the_time_is_over(seconds: float, normal: float | None) -> None:
    """One that goes beyond it is too short to say, and calls that ended later do not count."""
    shares = [*[GOOD] * 3, *[BAD] * 2, *[GOOD] * 5, *[BAD] * 2]
    assert series(*shares, seconds=seconds).time_to_normal == normal


def test_a_report_has_the_times_since_trigger_and_relief() -> None:
    """None for what never happened."""
    counted = tally()
    counted.at(0.0).calls += 1
    report = make_report(counted, SERVICE, 120.0, 120.0)
    assert (report.time_to_open, report.time_to_recover) == (None, None)
    counted.opened_at, counted.recovered_at = 33.0, 57.0
    report = make_report(counted, SERVICE, 120.0, 125.0)
    assert (report.time_to_open, report.time_to_recover, report.seconds) == (3.0, 7.0, 125.0)


FIGURES: dict[str, Any] = {
    "calls": 200,
    "succeeded": 150,
    "failed": 40,
    "exchanges": 250,
    "retries": 60,
    "seconds": 100.0,
    "mean_call": 0.1,
    "p50_call": 0.05178,
    "p99_call": 1.5,
    "worst_call": 12.345,
    "errors": {"503": 30, "ConnectError": 10},
    "refusals": {},
    "stops": {"that was the last attempt": 7},
    "work": 80.0,
    "wasted_work": 20.0,
    "duplicates": 3,
    "openings": 2,
    "time_to_open": 4.0,
    "time_to_recover": 0.5,
    "time_to_normal": None,
    "is_metastable": True,
    "moments": (),
    "service": SERVICE,
}

TEXT = """
calls                                200
succeeded                            75.0%
useful throughput                    1.5 a second
exchanges a call                     1.250
median, p99, worst call              51.8 ms, 1.5 s, 12.3 s
first circuit opened after           4 s
first success after the end          500 ms
normal again after the end           -
wasted work                          25.0%
duplicates                           3
metastable                           YES
never ended                          10
failed by 503                        30
failed by ConnectError               10
no retry: that was the last attempt  7
"""


def test_the_text_of_a_report_has_a_line_for_each_figure() -> None:
    """The values are aligned."""
    assert str(Report(**FIGURES)) == TEXT.strip()


def test_the_text_of_a_report_says_how_often_a_fallback_stood_in() -> None:
    """If one did."""
    lines = str(Report(**FIGURES, fallbacks=5)).splitlines()
    assert [line for line in lines if "fallback" in line] == ["stood in by a fallback               5"]


def test_the_99th_percentile_leaves_out_the_worst_call_of_two_hundred() -> None:
    """And the median half of them: of a moment, and of the report."""
    counted = tally()
    for number in range(200):
        counted.count_call(9.0, 9.0 - (0.1 if number < 101 else 1.0 if number < 199 else 8.0), OK, None, 1)
    (moment,) = counted.moments()
    report = make_report(counted, SERVICE, 120.0, 120.0)
    for p50, p99 in ((moment.p50, moment.p99), (report.p50_call, report.p99_call)):
        assert (p50, p99) == (pytest.approx(0.1, rel=0.02), pytest.approx(1.0, rel=0.02))
    assert report.worst_call == 8.0
    assert report.mean_call == pytest.approx((101 * 0.1 + 98 * 1.0 + 8.0) / 200)
    assert (report.work, report.wasted_work) == (0.0, 0.0)


def test_figures_without_a_value_are_dashes() -> None:
    """And no call that never ended is not mentioned."""
    report = Report(**FIGURES | {"work": 0.0, "failed": 50, "is_metastable": None, "errors": {}, "stops": {}})
    lines = dict(line.split("  ", 1) for line in str(report).splitlines())
    assert "never ended" not in lines
    assert lines["wasted work"].strip() == "-"
    assert lines["metastable"].strip() == "no verdict"
    assert Report(**FIGURES | {"is_metastable": False})._rows()[10] == ("metastable", "no")


def test_a_report_without_calls_has_figures() -> None:
    """No division by zero: all succeeded, and nothing was sent."""
    report = Report(**FIGURES | {"calls": 0, "succeeded": 0, "failed": 0, "exchanges": 0, "seconds": 0.0})
    assert (report.success_share, report.amplification, report.throughput, report.unfinished) == (1, 0, 0, 0)


@each_row(
    ("value", "text"),
    [(None, "-"), (0.0, "0 s"), (1e-6, "0.001 ms"), (0.9994, "999 ms"), (0.9995, "1 s"), (61.0, "61 s")],
)
def test_a_duration_has_three_digits(value: float | None, text: str) -> None:
    """In the unit in which it is easy to read."""
    assert in_seconds(value) == text

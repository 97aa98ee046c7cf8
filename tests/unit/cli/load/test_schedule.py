"""When the calls of a load are due, and how many were."""

from __future__ import annotations

import pytest

from http_service_client import ConfigurationError
from http_service_client.cli.load.schedule import Load, Schedule, Start
from kit.rows import each_row


def schedule(begins: float = 100.0, **settings: float | None) -> Schedule:
    made = Schedule(Load(**settings))  # type: ignore[arg-type]
    made.begin(begins)
    return made


def test_calls_of_an_open_loop_are_due_at_fixed_times() -> None:
    """However late a worker takes one; the time for calls ends them."""
    due = schedule(rate=4.0, duration=1.0)
    assert [due.take(100.0 + late) for late in (0.0, 0.9, 0.9, 0.95, 0.96)] == [
        Start(100.0, True), Start(100.25, True), Start(100.5, True), Start(100.75, True), None,
    ]  # fmt: skip


def test_a_call_of_a_closed_loop_is_due_when_a_worker_is_free() -> None:
    """And none is due by itself."""
    due = schedule(duration=1.0)
    assert [due.take(now) for now in (100.0, 100.7, 101.0)] == [Start(100.0, True), Start(100.7, True), None]
    assert due.due(101.0) == 0


def test_a_worker_that_is_free_after_the_end_begins_nothing() -> None:
    """What was due before then and never began is counted as due."""
    due = schedule(rate=4.0, duration=1.0)
    assert due.take(100.0) == Start(100.0, True)
    assert due.take(101.0) is None
    assert due.due(105.0) == 4


@each_row(("begins", "duration", "warm_up"), [(1234.5678, 0.3, 0.1), (100.0, 0.7, 0.0), (100.0, 0.3, 0.7)])
@each_row("rate", [7.0, 10.0, 30.0, 100.0, 333.0])
def test_as_many_are_due_as_are_handed_out(
    rate: float, begins: float, duration: float, warm_up: float
) -> None:
    """Whatever the sums of floats are rounded to."""
    due = schedule(begins, rate=rate, duration=duration, warm_up=warm_up)
    taken = [due.take(begins) for _ in range(400)]
    assert taken[-1] is None
    assert due.due(2000.0) == sum(start is not None and start.is_counted for start in taken)


@pytest.mark.parametrize("begins", [0.0, 100.0, 100.1, 1234.5678])
def test_calls_are_due_from_when_the_load_begins(begins: float) -> None:
    """Whatever the clock shows then: the first at once, each of the others when the one before is half a second old."""
    due = schedule(begins, rate=2.0)
    assert [due.due(begins + later) for later in (0.1, 0.4, 0.6, 0.9, 1.1)] == [1, 1, 2, 2, 3]


def test_nothing_is_due_before_the_load_begins() -> None:
    """Nor in a closed loop, nor before a load that was stopped begins after all."""
    assert Schedule(Load(rate=5.0)).due(100.0) == 0
    assert Schedule(Load()).due(100.0) == 0
    late = Schedule(Load(rate=5.0))
    late.stop(99.0)
    late.begin(100.0)
    assert late.due(101.0) == 0


def test_calls_of_the_warm_up_are_not_counted() -> None:
    """Neither as due nor as requests."""
    due = schedule(rate=2.0, duration=None, requests=2, warm_up=1.0)
    taken = [due.take(100.0) for _ in range(5)]
    assert taken == [
        Start(100.0, False), Start(100.5, False), Start(101.0, True), Start(101.5, True), None,
    ]  # fmt: skip
    assert due.due(100.1) == 0
    assert due.due(100.9) == 0
    assert due.due(101.2) == 1
    assert due.due(200.0) == 2


def test_a_stopped_schedule_hands_out_nothing() -> None:
    """What would have been due later was never due."""
    due = schedule(rate=10.0, duration=10.0)
    due.stop(100.35)
    due.stop(109.0)
    assert due.take(100.4) is None
    assert due.due(110.0) == 4


@each_row(
    ("settings", "message"),
    [
        ({"concurrency": 0}, "--concurrency must be a whole number of 1 or more, not 0"),
        ({"rate": 0.0}, "--rate must be a finite number of calls a second above 0, not 0"),
        ({"rate": float("inf")}, "--rate must be a finite number of calls a second above 0, not inf"),
        ({"duration": -1.0}, "--duration must be a finite number of seconds above 0, not -1"),
        ({"duration": float("nan")}, "--duration must be a finite number of seconds above 0, not nan"),
        ({"requests": 0}, "--requests must be a whole number of 1 or more, not 0"),
        ({"warm_up": -1.0}, "--warm-up must be a finite number of seconds of 0 or more, not -1.0"),
        ({"duration": None}, "a load needs an end: set --duration or --requests"),
    ],
)
def test_a_wrong_load_is_named(settings: dict[str, float | None], message: str) -> None:
    """The option, its value, and what to write."""
    with pytest.raises(ConfigurationError, match=f"^{message}$"):
        Load(**settings)  # type: ignore[arg-type]

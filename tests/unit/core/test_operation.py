"""One call of a guarded function: its time, its id and its story."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client import deadline
from http_service_client.core.operation import GuardedFunction, Operation, Stopped, shown
from kit.fakes import FakeClock


class Stage:
    """An operation that began at 1000 s, and what was notified of it."""

    def __init__(self) -> None:
        self.clock, self.heard = FakeClock(), list[Any]()
        ids = iter("abc")
        self.guarded = GuardedFunction(
            max, True, "payments", self.clock.monotonic, self.heard.append, lambda: next(ids), lambda: None
        )
        self.operation = Operation(self.guarded, (3, 5), {"key": abs}, None)


def test_the_time_of_an_operation() -> None:
    """Since it began, and until the deadline around it; without one there is no limit."""
    stage = Stage()
    stage.clock.now += 2.0
    assert (stage.operation.elapsed(), stage.operation.remaining(), stage.operation.slack()) == (
        2.0,
        None,
        None,
    )
    with deadline(5.0, clock=stage.clock.monotonic):
        stage.clock.now += 1.0
        assert (stage.operation.elapsed(), stage.operation.remaining(), stage.operation.slack()) == (
            3.0,
            4.0,
            4.0,
        )


def test_an_operation_begins_with_its_first_attempt() -> None:
    """Which waits for nothing, and may be repeated."""
    operation = Stage().operation
    assert (operation.attempt, operation.may_repeat, operation.is_queued, operation.is_over) == (
        1,
        True,
        False,
        False,
    )
    assert (operation.expires_at, operation.is_paused, operation.call_name) == (None, None, None)
    assert (operation.key, operation.begin()) == ("payments", 5)


def test_the_story_of_an_operation_ends_with_it() -> None:
    """Its id is made once. What runs beside the caller has a state of its own, and the same story."""
    stage: Any = Stage()
    operation = stage.operation
    twin = operation.twin()
    twin.attempt = 2
    assert (operation.call_id, twin.call_id, operation.call_id, operation.attempt) == ("a", "a", "a", 1)
    operation.record("first")
    twin.record("second")
    assert operation.events == twin.events == stage.heard == ["first", "second"]
    twin.is_over = True
    twin.record("third")
    assert (operation.events, stage.heard) == (["first", "second"],) * 2


def test_a_stop_iteration_of_the_guarded_code_is_shown_as_it_was() -> None:
    """A generator cannot pass it on itself. It is the cause of what does, and any other error is shown as it is."""
    error, other = StopIteration(5), ValueError()
    stopped = Stopped(error)
    assert (stopped.error, stopped.__cause__, stopped.args) == (error, error, (error,))
    assert (shown(stopped), shown(other), shown("a result")) == (error, other, "a result")
    with pytest.raises(Stopped):
        raise stopped

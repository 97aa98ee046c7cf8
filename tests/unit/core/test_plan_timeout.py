"""A plan that is ended at an instant: which of its waits are cut, and which answers end it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from http_service_client.core.effects import (
    TIMED_OUT,
    Acquire,
    Begin,
    Branch,
    Effect,
    FirstOf,
    Invoke,
    Plan,
    Sleep,
    Start,
    Work,
)
from http_service_client.core.operation import Body
from http_service_client.core.plan_timeout import within
from http_service_client.core.timeouts import TIMER_SLACK
from kit.rows import each_row

END = 12.0
WAITER: Any = object()

Wait = Callable[[Any], Any]  # the seconds that it may take → the effect


def sleep(seconds: Any) -> Any:
    return Sleep(60.0 if seconds is None else seconds)


WAITS: list[tuple[Wait, object]] = [
    (sleep, None),
    (lambda seconds: Invoke(print, timeout=seconds), TIMED_OUT),
    (lambda seconds: Work(print, timeout=seconds), TIMED_OUT),
    (lambda seconds: Acquire(WAITER, seconds), False),
    (lambda seconds: FirstOf((), seconds), None),
]
of_each_kind = pytest.mark.parametrize(("wait", "at_the_end"), WAITS, ids=["sleep", "invoke", "work", "acquire", "first"])  # fmt: skip


def limit_of(effect: Any) -> float | None:
    limit: float | None = effect.seconds if isinstance(effect, Sleep) else effect.timeout
    return limit


class Timed:
    """A plan of one effect, at 10 s, that is ended at 12 s. Its result is the answer that it got."""

    def __init__(self, effect: Effect[Any], now: float = 10.0) -> None:
        self.now = now
        self.is_closed = False
        self._inside = self._make(effect)  # kept: what nobody refers to is closed in any case
        self._plan = within(self._inside, END, lambda: self.now)
        self._effect = effect

    def _make(self, effect: Effect[Any]) -> Plan[Any]:
        try:
            return ["answered", (yield effect)]
        finally:
            self.is_closed = True

    def begin(self) -> Effect[Any]:
        """The wait, as a driver is to perform it."""
        effect = next(self._plan)
        assert effect is self._effect
        return effect

    def answer(self, answer: object, at: float) -> Any:
        """The result of the plan, whose wait is answered at that instant."""
        self.now = at
        with pytest.raises(StopIteration) as ended:
            self._plan.send(answer)
        assert self.is_closed
        return ended.value.value

    def result(self) -> Any:
        """The result of a plan that waits for nothing."""
        with pytest.raises(StopIteration) as ended:
            next(self._plan)
        assert self.is_closed
        return ended.value.value


@of_each_kind
@pytest.mark.parametrize("seconds", [None, 60.0, 2.0011])
@pytest.mark.parametrize("left", [2.0, 0.25])
def test_a_wait_that_would_go_on_is_cut(
    wait: Wait, at_the_end: object, seconds: float | None, left: float
) -> None:
    """It has the time that is left. If it takes that long, the plan ends: a timer may be a tick early."""
    for at in (END, END - TIMER_SLACK, END + 1.0):
        timed = Timed(wait(seconds), END - left)
        assert limit_of(timed.begin()) == left
        assert timed.answer(at_the_end, at) is TIMED_OUT


@of_each_kind
def test_what_comes_just_in_time_counts(wait: Wait, at_the_end: object) -> None:
    """The permit or the result of a wait that was cut is used, however late the plan goes on."""
    timed = Timed(wait(None))
    timed.begin()
    assert timed.answer("granted", END + 1.0) == ["answered", "granted"]


@of_each_kind
def test_a_wait_that_ends_early_is_not_the_end(wait: Wait, at_the_end: object) -> None:
    """As a sleep that is interrupted when its client is closed."""
    timed = Timed(wait(None))
    timed.begin()
    assert timed.answer(at_the_end, END - 2 * TIMER_SLACK) == ["answered", at_the_end]


@of_each_kind
@pytest.mark.parametrize("seconds", [0.5, 2.0, 2.001])
def test_a_wait_that_ends_by_then_keeps_its_own_end(wait: Wait, at_the_end: object, seconds: float) -> None:
    """What waits until the deadline was given the same instant, and says more about it than a timeout could."""
    timed = Timed(wait(seconds))
    assert limit_of(timed.begin()) == seconds
    assert timed.answer(at_the_end, 10.0 + seconds) == ["answered", at_the_end]


@of_each_kind
@pytest.mark.parametrize("now", [END, END + 0.5, END + 60.0])
def test_no_wait_begins_after_the_instant(wait: Wait, at_the_end: object, now: float) -> None:
    """The plan is closed instead."""
    assert Timed(wait(None), now).result() is TIMED_OUT


@each_row("effect", [Body(), Begin(Branch(list)), Start(list)], ids=["body", "begin", "start"])
@each_row("answer", [None, True, False])
def test_what_is_no_wait_is_left_alone(effect: Effect[Any], answer: object) -> None:
    """A block is not interrupted, and what runs beside the plan has its own end."""
    timed = Timed(effect, END + 1.0)
    timed.begin()
    assert timed.answer(answer, END + 2.0) == ["answered", answer]


def test_an_error_reaches_the_plan_which_may_wait_once_more() -> None:
    """That wait has what is left by then."""

    def plan() -> Plan[str]:
        try:
            yield Invoke(print)
        except OSError:
            yield Sleep(60.0)
        return "recovered"

    now = [10.0]
    timed = within(plan(), END, lambda: now[0])
    next(timed)
    now[0] = 11.5
    assert limit_of(timed.throw(OSError())) == 0.5
    with pytest.raises(KeyError):
        timed.throw(KeyError())


def test_a_plan_is_closed_with_the_one_around_it() -> None:
    """What it holds is released then."""
    timed = Timed(Invoke(print))
    timed.begin()
    timed._plan.close()
    assert timed.is_closed

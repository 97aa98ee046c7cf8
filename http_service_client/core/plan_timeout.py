"""Ends a plan at an instant, in every driver alike: each of its waits is limited to what is left of the time.

So no driver needs a way to interrupt a plan from outside. It performs a wait with a timeout, as it always does: it cancels an
async function, and leaves the queue of a limit. What cannot be interrupted, such as a plain function, is not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from .effects import TIMED_OUT, Acquire, Effect, FirstOf, Invoke, Plan, Sleep, Work
from .timeouts import TIMER_SLACK

__all__ = ["within"]

T = TypeVar("T")

_UNLIMITED = object()
# A strategy that waits until the deadline was given the same instant, and ends its wait itself: with an error that says more.
_SAME = 1e-3
_AT_THE_END: dict[type, object] = {Invoke: TIMED_OUT, Work: TIMED_OUT, Acquire: False, FirstOf: None}


def within(plan: Plan[T], expires_at: float, clock: Callable[[], float]) -> Plan[T]:
    """The plan's result; `TIMED_OUT` once the instant has come during one of its waits. The plan is closed then.

    A wait that has ended just in time counts: its grant or its result is used.
    """
    try:
        effect = next(plan)
        while True:
            left = expires_at - clock()
            if type(effect) is Invoke and effect.timeout is None and left > 0:  # nearly always
                effect.timeout = left
                at_the_end: Any = TIMED_OUT
            else:
                at_the_end = _limit(effect, left)
                if left <= 0 and at_the_end is not _UNLIMITED:
                    return TIMED_OUT  # type: ignore[return-value]  # as every wait with a timeout
            try:
                answer = yield effect
            except BaseException as error:
                effect = plan.throw(error)
                continue
            if answer is at_the_end and clock() >= expires_at - TIMER_SLACK:
                return TIMED_OUT  # type: ignore[return-value]
            effect = plan.send(answer)
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        plan.close()


def _limit(effect: Effect[Any], left: float) -> object:
    """Limit a wait to the seconds that are left. Returns its answer in case that it takes so long; _UNLIMITED if it will not.

    Without time left it is not performed, so that its limit does not matter.
    """
    kind = type(effect)
    if kind is Sleep:
        if effect.seconds <= left + _SAME:  # type: ignore[attr-defined]
            return _UNLIMITED
        effect.seconds = left  # type: ignore[attr-defined]
        return None
    if kind not in _AT_THE_END:
        return _UNLIMITED
    timeout: float | None = effect.timeout  # type: ignore[attr-defined]
    if timeout is not None and timeout <= left + _SAME:
        return _UNLIMITED
    effect.timeout = left  # type: ignore[attr-defined]
    return _AT_THE_END[kind]

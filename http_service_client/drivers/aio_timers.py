"""Timeouts that rarely fire: one asyncio timer a second instead of one a wait.

An asyncio timer costs as much as the rest of a short wait: a handle, a context, an entry in a heap, and the same
again to cancel it. So a wait is filed under the second of the loop's clock in which it expires, and gets a timer
of its own only if it is still pending when that second begins. A wait that expires in more than a minute is
filed under the second that is a minute away: an entry takes memory until its second comes.
"""

from __future__ import annotations

import asyncio
from asyncio import CancelledError, current_task
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import Context
from time import monotonic
from types import coroutine
from typing import Any
from weakref import ref

from ..core.effects import TIMED_OUT

__all__ = ["TimerWheel", "TimerWheels", "cut_after", "new_timer_wheel"]

Waiter = asyncio.Future[Any]

_FURTHEST = 60.0  # seconds ahead that get an entry


class TimerWheel:
    """The timeouts of the waits on one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._by_second: dict[int, dict[Waiter, float]] = {}

    def schedule(self, now: float, seconds: float, waiter: Waiter) -> dict[Waiter, float]:
        """Resolve the waiter with TIMED_OUT after `seconds`. To cancel that, pop the waiter from the result.

        now: the loop's time.
        """
        at = now + seconds
        second = int(at if seconds < _FURTHEST else now + _FURTHEST)
        pending = self._by_second.get(second)
        if pending is None:
            pending = self._by_second[second] = {}
            # In an empty context: the timer would keep that of the first call alive until it fires.
            self.loop.call_at(second, self._arm, second, context=Context())
        pending[waiter] = at
        return pending

    def _arm(self, second: int) -> None:
        for waiter, at in self._by_second.pop(second).items():
            # A weak reference: nobody cancels this timer, and it must not keep a finished wait's result alive.
            self.loop.call_at(at, _fire, ref(waiter))


def _fire(reference: ref[Waiter]) -> None:
    waiter = reference()
    if waiter is not None and not waiter.done():
        waiter.set_result(TIMED_OUT)


TimerWheels = dict[asyncio.AbstractEventLoop, TimerWheel]


class _Cut:
    """Cancels a task when its time has come: in the place of a waiter in a wheel."""

    __slots__ = ("__weakref__", "has_fired", "task")

    task: asyncio.Task[Any] | None  # both are set where it is made: an `__init__` would take longer than that
    has_fired: bool

    def done(self) -> bool:
        """As that of a waiter; `set_result` sees for itself whether there is still something to cancel."""
        return False

    def set_result(self, result: object) -> None:
        """The time has come. An alarm calls it, too, when it is cancelled."""
        if self.task is not None:
            self.has_fired = True
            self.task.cancel()


@coroutine
def cut_after(
    work: Coroutine[Any, Any, Any],
    seconds: float,
    known: TimerWheels,
    alarm: Callable[[float], Awaitable[None]] | None = None,
    *,
    keeps_late: bool,
) -> Generator[Any, Any, Any]:
    """The coroutine's result, or `TIMED_OUT` when it was cancelled after so many seconds. It runs in the present task.

    alarm: sleeps so long, by another clock; None for the loop's own timers.
    keeps_late: an error, or a result, of a coroutine that goes on after it was cancelled is its own; else it is not used.

    A cancellation from outside is raised, also if it comes at the same instant: the task counts how often it is cancelled.
    So this needs Python 3.11.

    Nothing is armed before the coroutine waits for the first time: a timer fires only while the event loop has the thread,
    and a function that finds its result in memory never gives it up.
    """
    began = monotonic()
    try:
        wait = work.send(None)
    except StopIteration as stop:
        return stop.value
    left = seconds - (monotonic() - began)
    task: Any = current_task()
    # A cancellation that the work itself has just asked for comes with its first wait, and is not one from before.
    cancels, cut = task.cancelling() - getattr(task, "_must_cancel", False), _Cut()
    cut.task, cut.has_fired = task, False
    waking = None
    if alarm is None:
        loop = task.get_loop()
        timers = known.get(loop) or new_timer_wheel(known)
        due = timers.schedule(loop.time(), left, cut)  # type: ignore[arg-type]  # as a future
    else:
        due, waking = {}, asyncio.ensure_future(alarm(seconds))
        waking.add_done_callback(cut.set_result)
    try:
        while True:
            thrown: BaseException
            try:
                yield wait
            except BaseException as error:  # GeneratorExit, too: what it is thrown into ends
                thrown = error
            else:
                result = yield from work
                return result if keeps_late or not cut.has_fired else TIMED_OUT
            try:
                # Not while it is handled: it would be the context of what the work raises.
                wait = work.throw(thrown)
            finally:
                del thrown  # its traceback holds this frame
    except StopIteration as stop:
        return stop.value if keeps_late or not cut.has_fired else TIMED_OUT
    except CancelledError:
        if cut.has_fired:
            cut.has_fired = False
            if task.uncancel() <= cancels:
                return TIMED_OUT
        raise
    except Exception:
        if keeps_late or not cut.has_fired:
            raise
        return TIMED_OUT
    finally:
        cut.task = None  # a task refers to its own frames
        due.pop(cut, None)  # type: ignore[call-overload]
        if waking is not None:
            waking.cancel()
        if cut.has_fired:
            task.uncancel()


def new_timer_wheel(known: TimerWheels) -> TimerWheel:
    """A wheel for the running loop, added to `known`; closed loops are removed from it."""
    for loop in list(known):
        if loop.is_closed():
            known.pop(loop, None)  # another thread may be removing it, too
    loop = asyncio.get_running_loop()
    timers = known[loop] = TimerWheel(loop)
    return timers

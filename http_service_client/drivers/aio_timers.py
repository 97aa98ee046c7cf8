"""The ends of waits that hardly ever end by them.

A timer of asyncio costs as much as all else that a short wait does: a handle, a context, a place in a heap, and
all of it again when it is taken back. So a wait is noted under the second of the clock in which its time is
over, and is given a timer of its own only if it is still there when that second comes, or when it is a minute old:
a second that is noted takes its memory until it comes.
"""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import Any
from weakref import ref

from ..core.effects import TIMED_OUT

__all__ = ["TimerWheel", "new_timer_wheel"]

Waiter = asyncio.Future[Any]

_FURTHEST = 60.0  # seconds ahead that are noted


class TimerWheel:
    """The ends of the waits on one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._by_second: dict[int, dict[Waiter, float]] = {}

    def set(self, now: float, seconds: float, waiter: Waiter) -> dict[Waiter, float]:
        """Have the waiter told TIMED_OUT after so many seconds, unless it is taken out of the result before.

        now: the time of the loop.
        """
        second = int(now + min(seconds, _FURTHEST))
        waiting = self._by_second.get(second)
        if waiting is None:
            waiting = self._by_second[second] = {}
            # In a context of its own: that of the call which came first would be kept until then.
            self.loop.call_at(second, self._begin, second, context=Context())
        waiting[waiter] = now + seconds
        return waiting

    def _begin(self, second: int) -> None:
        for waiter, at in self._by_second.pop(second).items():
            self.loop.call_at(at, _fire, ref(waiter))  # nobody takes this back: it must not keep an answer


def _fire(reference: ref[Waiter]) -> None:
    waiter = reference()
    if waiter is not None and not waiter.done():
        waiter.set_result(TIMED_OUT)


def new_timer_wheel(known: dict[asyncio.AbstractEventLoop, TimerWheel]) -> TimerWheel:
    """Those of the running loop, known from now on; those of closed loops are forgotten."""
    for loop in list(known):
        if loop.is_closed():
            known.pop(loop, None)  # another thread may be at it, too
    loop = asyncio.get_running_loop()
    timers = known[loop] = TimerWheel(loop)
    return timers

"""Timeouts that rarely fire: one asyncio timer a second instead of one a wait.

An asyncio timer costs as much as the rest of a short wait: a handle, a context, an entry in a heap, and the same
again to cancel it. So a wait is filed under the second of the loop's clock in which it expires, and gets a timer
of its own only if it is still pending when that second begins. A wait that expires in more than a minute is
filed under the second that is a minute away: an entry takes memory until its second comes.
"""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import Any
from weakref import ref

from ..core.effects import TIMED_OUT

__all__ = ["TimerWheel", "new_timer_wheel"]

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
        second = int(now + min(seconds, _FURTHEST))
        pending = self._by_second.get(second)
        if pending is None:
            pending = self._by_second[second] = {}
            # In an empty context: the timer would keep that of the first call alive until it fires.
            self.loop.call_at(second, self._arm, second, context=Context())
        pending[waiter] = now + seconds
        return pending

    def _arm(self, second: int) -> None:
        for waiter, at in self._by_second.pop(second).items():
            # A weak reference: nobody cancels this timer, and it must not keep a finished wait's result alive.
            self.loop.call_at(at, _fire, ref(waiter))


def _fire(reference: ref[Waiter]) -> None:
    waiter = reference()
    if waiter is not None and not waiter.done():
        waiter.set_result(TIMED_OUT)


def new_timer_wheel(known: dict[asyncio.AbstractEventLoop, TimerWheel]) -> TimerWheel:
    """A wheel for the running loop, added to `known`; closed loops are removed from it."""
    for loop in list(known):
        if loop.is_closed():
            known.pop(loop, None)  # another thread may be removing it, too
    loop = asyncio.get_running_loop()
    timers = known[loop] = TimerWheel(loop)
    return timers

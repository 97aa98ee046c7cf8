"""The ends of waits that hardly ever end by them.

A timer of asyncio costs as much as all else that a short wait does: a handle, a context, a place in a heap, and
all of it again when it is taken back. So a wait is noted under the second of the clock in which its time is
over, and is given a timer of its own only if it is still there when that second comes.
"""

from __future__ import annotations

import asyncio
from typing import Any

from ..core.effects import TIMED_OUT

__all__ = ["Alarms", "alarms_of"]

Waiter = asyncio.Future[Any]


class Alarms:
    """The ends of the waits on one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._by_second: dict[int, dict[Waiter, float]] = {}

    def set(self, at: float, waiter: Waiter) -> dict[Waiter, float]:
        """Have the waiter told TIMED_OUT at this time of the loop, unless it is taken out of the result before."""
        second = int(at)
        waiting = self._by_second.get(second)
        if waiting is None:
            waiting = self._by_second[second] = {}
            self.loop.call_at(second, self._begin, second)
        waiting[waiter] = at
        return waiting

    def _begin(self, second: int) -> None:
        for waiter, at in self._by_second.pop(second).items():
            self.loop.call_at(at, _ring, waiter)


def _ring(waiter: Waiter) -> None:
    if not waiter.done():
        waiter.set_result(TIMED_OUT)


def alarms_of(known: dict[asyncio.AbstractEventLoop, Alarms]) -> Alarms:
    """Those of the running loop, made where they are not known; those of closed loops are forgotten then."""
    loop = asyncio.get_running_loop()
    alarms = known.get(loop)
    if alarms is None:
        for other in list(known):
            if other.is_closed():
                known.pop(other, None)  # another thread may be at it, too
        alarms = known[loop] = Alarms(loop)
    return alarms

"""The time that the waits of one exchange may take."""

from __future__ import annotations

import asyncio
from typing import Any

from ...core.effects import TIMED_OUT
from ...core.timeouts import TIMER_SLACK, Timeout
from ...drivers.aio_timers import TimerWheel

__all__ = ["Limits", "shorter"]


class Limits:
    """The limits of one exchange, or of a part of it.

    timeout: its own.   began: in the loop's time.   timers: of the loop.
    """

    __slots__ = ("_loop", "began", "timeout", "timers")

    timers: TimerWheel  # set before the first wait

    def __init__(self, timeout: Timeout, began: float | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self.timeout = timeout
        self.began = self._loop.time() if began is None else began

    def now(self) -> float:
        """The loop's time."""
        return self._loop.time()

    def left(self, limit: float | None = None) -> float | None:
        """Seconds that a wait may take that has this limit of its own; None for any number."""
        total = self.timeout.total
        if total is None:
            return limit
        left = max(0.0, self.began + total - self._loop.time())
        return left if limit is None or left < limit else limit

    @property
    def are_reached(self) -> bool:
        """Whether the time for the whole is over."""
        left = self.left()
        return left is not None and left <= TIMER_SLACK

    async def wait(self, waiter: asyncio.Future[Any], limit: float | None) -> bool:
        """Whether the waiter was woken within so many seconds. Raises TimeoutError when the time for the whole is over."""
        left = self.left(limit)
        if left is None:
            await waiter
            return True
        due = self.timers.schedule(self._loop.time(), left, waiter)
        try:
            result = await waiter
        finally:
            due.pop(waiter, None)
        if result is not TIMED_OUT:
            return True
        if self.are_reached:
            raise TimeoutError
        return False


def shorter(one: float | None, other: float | None) -> float | None:
    """The shorter of two durations; None is no limit."""
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)

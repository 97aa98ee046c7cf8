"""The world's time, behind one object, so that a test can put another in its place."""

from __future__ import annotations

import time
from typing import Protocol, runtime_checkable

__all__ = ["Clock", "SystemClock"]


@runtime_checkable
class Clock(Protocol):
    """Two clocks and two ways to wait, which agree with each other."""

    def monotonic(self) -> float:
        """Seconds that never go back; durations and deadlines are measured with it."""
        ...

    def wall(self) -> float:
        """Seconds since the epoch; Retry-After dates are compared with it."""
        ...

    def sleep(self, seconds: float) -> None:
        """Block for so many seconds."""
        ...

    async def sleep_async(self, seconds: float) -> None:
        """Suspend the task for so many seconds."""
        ...


class SystemClock:
    """The machine's time."""

    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)

    @staticmethod
    def sleep(seconds: float) -> None:
        """Block for so many seconds."""
        time.sleep(seconds)

    @staticmethod
    async def sleep_async(seconds: float) -> None:
        """Suspend the task for so many seconds."""
        import asyncio

        await asyncio.sleep(seconds)

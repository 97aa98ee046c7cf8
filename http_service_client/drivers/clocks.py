"""The system's time behind one object, so that a test can replace it."""

from __future__ import annotations

import sys
import time
from typing import Protocol, runtime_checkable

__all__ = ["Clock", "SystemClock", "is_in_trio"]


@runtime_checkable
class Clock(Protocol):
    """Two clocks and two ways to wait, all consistent with each other."""

    def monotonic(self) -> float:
        """Seconds that never go backwards; used for durations and deadlines."""
        ...

    def wall(self) -> float:
        """Seconds since the epoch; used for Retry-After dates."""
        ...

    def sleep(self, seconds: float) -> None:
        """Block for this many seconds."""
        ...

    async def sleep_async(self, seconds: float) -> None:
        """Suspend the task for this many seconds."""
        ...


class SystemClock:
    """The system's clocks."""

    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)

    @staticmethod
    def sleep(seconds: float) -> None:
        """Block for this many seconds."""
        time.sleep(seconds)

    @staticmethod
    async def sleep_async(seconds: float) -> None:
        """Suspend the task for this many seconds."""
        if is_in_trio():
            from .on_trio import sleep

            await sleep(seconds)
            return
        import asyncio

        await asyncio.sleep(seconds)


def is_in_trio() -> bool:
    """Whether the running code is a task of trio. Nobody can be in one who has not imported trio."""
    if "trio" not in sys.modules:
        return False
    from .on_trio import in_trio

    return in_trio()

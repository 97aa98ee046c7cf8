"""The system's time behind one object, so that a test can replace it."""

from __future__ import annotations

import sys
import time
from typing import Protocol, runtime_checkable

from ..core.checks import check_function, class_remedy, shown
from ..errors import ConfigurationError

__all__ = ["Clock", "SystemClock", "check_clock", "check_seconds", "is_in_trio"]


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


def check_clock(clock: object, *, or_none: bool = False) -> None:
    """Raise ConfigurationError for anything but a clock: for its class and for one of its functions, too."""
    if (clock is None and or_none) or (isinstance(clock, Clock) and not isinstance(clock, type)):
        return
    remedy = class_remedy(clock)
    if isinstance(getattr(clock, "__self__", None), Clock):  # such as clock.monotonic
        remedy = "; pass the clock itself"
    wanted = "a clock such as SystemClock()" + (" or None" if or_none else "")
    raise ConfigurationError(f"clock must be {wanted}, not {shown(clock)}{remedy}")


def check_seconds(clock: object) -> None:
    """Raise ConfigurationError for anything but a function that returns monotonic seconds."""
    if isinstance(clock, Clock):
        raise ConfigurationError(f"clock must be a function, not {shown(clock)}; pass its monotonic")
    check_function("clock", clock)


_LONGEST = 1e6  # seconds of one wait: the system refuses one of a million years, which a backoff may ask for


class SystemClock:
    """The system's clocks."""

    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)

    @staticmethod
    def sleep(seconds: float) -> None:
        """Block for this many seconds."""
        while seconds > _LONGEST:
            time.sleep(_LONGEST)
            seconds -= _LONGEST
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

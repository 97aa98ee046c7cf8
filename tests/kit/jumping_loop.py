"""An event loop in virtual time: where it would wait for a timer, the time moves to it."""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["InVirtualTime", "JumpingLoop", "run_jumping"]


class _Jumping(selectors.SelectSelector):
    """A selector that moves the time where it would wait."""

    now = 0.0
    furthest = math.inf

    def select(self, timeout: float | None = None) -> Any:
        found = super().select(0)
        if not found and timeout is None:
            found = super().select(5)
            assert found, "the tasks wait for ever"
        elif not found and timeout:
            self.now += timeout
            assert self.now < self.furthest, "the tasks wait for ever"
        return found


class JumpingLoop(asyncio.SelectorEventLoop):
    """It begins at 0.0, and no timer of it takes real time.

    furthest: a time that it must not reach, where some of its timers are set again and again.
    """

    def __init__(self, furthest: float = math.inf) -> None:
        self._jumping = _Jumping()
        self._jumping.furthest = furthest
        super().__init__(self._jumping)

    def jump(self, seconds: float) -> None:
        """So long does what runs now take."""
        self._jumping.now += seconds

    def time(self) -> float:
        return self._jumping.now


def run_jumping(work: Coroutine[Any, Any, Any]) -> Any:
    """As `run_task`, in virtual time: what would wait for ever fails at once."""
    loop = JumpingLoop()
    try:
        return loop.run_until_complete(asyncio.wait_for(work, timeout=20))
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


class InVirtualTime:
    """What happens on a loop, and when.   loop: which the subclass makes."""

    loop: JumpingLoop

    @property
    def now(self) -> float:
        """Seconds since the beginning."""
        return self.loop.time()

    def says(self, data: bytes) -> None:
        """Bytes of the latest server arrive."""
        raise NotImplementedError

    def at(self, seconds: float, *acts: bytes | Callable[[], object]) -> None:
        """After so many seconds from now, bytes of the latest server arrive, or something else happens."""

        def act() -> None:
            for each in acts:
                if isinstance(each, bytes):
                    self.says(each)
                else:
                    each()

        self.loop.call_later(seconds, act)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """What the coroutine returns."""
        return self.loop.run_until_complete(work)

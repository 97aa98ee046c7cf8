"""An event loop in virtual time: where it would wait for a timer, the time moves to it."""

from __future__ import annotations

import asyncio
import math
import selectors
from typing import Any

__all__ = ["JumpingLoop"]


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

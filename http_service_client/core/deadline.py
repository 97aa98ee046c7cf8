"""The instant by which a call must end: its own, or that of an enclosing `deadline`.

The earliest of nested deadlines holds. An instant belongs to the clock that it was read from, so only the
remaining seconds are carried from one clock to another.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import NamedTuple

__all__ = ["AMBIENT_DEADLINE", "Deadline", "earliest"]


class Deadline(NamedTuple):
    """An instant on a clock."""

    at: float
    clock: Callable[[], float]

    def remaining(self) -> float:
        """Seconds left; negative when it has passed."""
        return self.at - self.clock()


AMBIENT_DEADLINE: ContextVar[Deadline | None] = ContextVar("http_service_client.deadline", default=None)


def earliest(total_timeout: float | None, clock: Callable[[], float]) -> float | None:
    """The deadline of a call that begins now, as an instant on `clock`; None for no deadline."""
    ambient = AMBIENT_DEADLINE.get()
    if ambient is None:
        return None if total_timeout is None else clock() + total_timeout
    left = ambient.remaining()
    return clock() + (left if total_timeout is None else min(left, total_timeout))

"""The instant by which a call must end: its own, or that of an enclosing `deadline`.

Of the deadlines around a call, the earliest holds. Each holds until its block is left: a task that was started
inside and outlives the block is free of it from then on.

An instant belongs to the clock that it was read from, so only the remaining seconds are carried from one clock to
another. But a virtual clock does not move with the system's: a deadline notes its instant on each virtual clock
as well, and calls in that time go by it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any
from weakref import ref

__all__ = ["AMBIENT_DEADLINE", "Deadline", "earliest", "follow", "remaining", "running", "virtual_instants"]


class Deadline:
    """An instant on a clock, around the running code until `has_ended`.

    virtual: the same instant on virtual clocks, by their `monotonic`.
    outer: the deadline around this one, or None.
    is_paused: whether the code that runs is outside for a while; None for never.
    was_used: a call went by it.   was_skipped: a call did not, since it was paused.
    """

    __slots__ = ("_at", "_clock", "_virtual", "has_ended", "is_paused", "outer", "was_skipped", "was_used")

    def __init__(
        self,
        at: float,
        clock: Callable[[], float],
        outer: Deadline | None = None,
        virtual: Mapping[Callable[[], float], float] | None = None,
        is_paused: Callable[[], bool] | None = None,
    ) -> None:
        self.has_ended = self.was_used = self.was_skipped = False
        self._at = at
        self._clock = clock
        self._virtual = virtual
        # A chain of tasks that start the next must not grow.
        self.outer: Deadline | None = None if outer is None else running(outer)
        self.is_paused = is_paused

    def forget(self) -> None:
        """It has ended: forget the frame of its block, and those around it that have ended before."""
        self.is_paused = None
        if self.outer is not None:
            self.outer = running(self.outer)

    def remaining(self, clock: Callable[[], float]) -> float:
        """Seconds left for code that lives by `clock`; negative when it has passed."""
        at = self._virtual.get(clock) if self._virtual else None
        return self._at - self._clock() if at is None else at - clock()

    def least_remaining(self) -> float:
        """Seconds left of it and of those around it, by the clock that has run most."""
        least = self.remaining(self._clock)
        for clock, at in (self._virtual or {}).items():
            least = min(least, at - clock())
        left = None if self.outer is None else remaining(self._clock, self.outer)
        return least if left is None else min(least, left)

    def applies(self) -> bool:
        """Whether the running code is inside."""
        if self.has_ended:
            return False
        if self.is_paused is not None and self.is_paused():
            self.was_skipped = True
            return False
        return True


AMBIENT_DEADLINE: ContextVar[Deadline | None] = ContextVar("http_service_client.deadline", default=None)

_virtual_clocks: tuple[ref[Any], ...] = ()


def follow(clock: Any) -> None:
    """From now on, deadlines note their instant on this virtual clock, which has a `monotonic`."""
    global _virtual_clocks  # replaced whole: threads may be reading it
    _virtual_clocks = (*(each for each in _virtual_clocks if each() is not None), ref(clock))


def virtual_instants(seconds: float) -> dict[Callable[[], float], float] | None:
    """The instant in so many seconds, by the `monotonic` of each virtual clock; None without any."""
    if not _virtual_clocks:
        return None
    clocks = [clock.monotonic for each in _virtual_clocks if (clock := each()) is not None]
    return {clock: clock() + seconds for clock in clocks}


def running(deadline: Deadline | None) -> Deadline | None:
    """The innermost one, of this deadline and those around it, that has not ended."""
    while deadline is not None and deadline.has_ended:
        deadline = deadline.outer
    return deadline


def remaining(clock: Callable[[], float], deadline: Deadline | None) -> float | None:
    """Seconds left, of this deadline and those around it, for code that lives by `clock`; None for no limit."""
    least: float | None = None
    while deadline is not None:
        if deadline.applies():
            deadline.was_used = True
            left = deadline.remaining(clock)
            least = left if least is None else min(least, left)
        deadline = deadline.outer
    return least


def earliest(total_timeout: float | None, clock: Callable[[], float]) -> float | None:
    """The deadline of a call that begins now, as an instant on `clock`; None for no deadline."""
    left = remaining(clock, AMBIENT_DEADLINE.get())
    if left is None:
        return None if total_timeout is None else clock() + total_timeout
    return clock() + (left if total_timeout is None else min(left, total_timeout))

"""A clock under a test's control: waits return at once, and the time reads as if they had lasted.

    clock = VirtualClock()
    client = HttpServiceClient(transport=ScriptedTransport([HttpResponse(503), HttpResponse(200)]), clock=clock)
    client.get("https://api.example.com/")
    assert clock.waits == [...]     # what the client waited between its attempts

A blocking sleep advances the time at once. Tasks that sleep wake in the order in which they are due: each
sleep suspends its task until no task of its loop can run, then the time jumps to the earliest one.

A `deadline` counts the time of a virtual clock that was made before its block, for calls of clients on that clock.

Limits: work in other threads and on real sockets counts as waiting, so the time jumps ahead of it; a task
that yields to the loop a hundred times in a row without waiting is overtaken; each loop and each blocking
thread advances the time on its own. Timeouts of asyncio run by the loop's own clock.
"""

from __future__ import annotations

import heapq
import threading
from itertools import count
from typing import TYPE_CHECKING, Any, NoReturn

from ..core.deadline import follow

if TYPE_CHECKING:
    import asyncio

__all__ = ["VirtualClock"]

_PATIENCE = 100  # rounds of the loop to wait for a busy task

# A task that sleeps: when it is due, the number of its sleep, and what it waits for. Of those that are due together, the one
# that began first is the first to wake.
_Sleeper = tuple[float, int, "asyncio.Future[None]"]


class VirtualClock:
    """A `Clock` in virtual time. Thread-safe.

    start: the first value of `monotonic()`.   wall: the first value of `wall()`; 2024-01-01 00:00 UTC.
    """

    def __init__(self, start: float = 0.0, wall: float = 1_704_067_200.0) -> None:
        for name, value in (("start", start), ("wall", wall)):
            if not isinstance(value, (int, float)):
                raise TypeError(f"{name} must be a number of seconds, not {value!r}")
        self._now = start
        self._wall_offset = wall - start
        self._lock = threading.RLock()
        self._waits: list[float] = []
        self._sleepers: dict[asyncio.AbstractEventLoop, list[_Sleeper]] = {}
        self._numbers = count()
        follow(self)

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return self._now

    def wall(self) -> float:
        """Seconds since the epoch."""
        return self._now + self._wall_offset

    @property
    def waits(self) -> list[float]:
        """Every requested sleep, in seconds, in order."""
        with self._lock:
            return list(self._waits)

    def sleep(self, seconds: float) -> None:
        """Record the wait, and advance the time at once."""
        with self._lock:
            self._waits.append(seconds)
            self.elapse(seconds)

    async def sleep_async(self, seconds: float) -> None:
        """Record the wait; the task continues when all others wait too and it is the next one due."""
        with self._lock:
            self._waits.append(seconds)
        await self.elapse_async(seconds)

    def elapse(self, seconds: float) -> None:
        """As `sleep`, but not recorded as a wait of the client: for the latency of a server."""
        self.advance(max(0.0, seconds))

    async def elapse_async(self, seconds: float) -> None:
        """As `sleep_async`, but not recorded as a wait of the client."""
        import asyncio

        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        with self._lock:
            for other in [known for known in self._sleepers if known.is_closed()]:
                del self._sleepers[other]
            sleepers = self._sleepers.setdefault(loop, [])
            if not sleepers:
                loop.call_soon(self._jump_when_idle, loop, _PATIENCE)
            heapq.heappush(sleepers, (self._now + max(0.0, seconds), next(self._numbers), future))
        await future

    def advance(self, seconds: float) -> None:
        """Advance the time, and wake the sleepers that are due."""
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
            raise TypeError(f"seconds must be a number, not {seconds!r}")
        if not seconds >= 0:
            raise ValueError(f"seconds must be a number of 0 or more, not {seconds!r}; time does not go back")
        with self._lock:
            self._now += seconds
            for loop in list(self._sleepers):
                if not loop.is_closed():
                    loop.call_soon_threadsafe(self._wake_due, loop)

    def set_wall(self, wall: float) -> None:
        """Set the wall clock, forward or back, as an administrator may; `monotonic` is unaffected."""
        self._wall_offset = wall - self._now

    def __copy__(self) -> VirtualClock:
        return self  # what is copied stays in the same time

    def __deepcopy__(self, memo: object) -> VirtualClock:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a VirtualClock cannot be pickled: its time is of this process; make one in the other process"
        )

    def __repr__(self) -> str:
        return f"<VirtualClock at {self._now:.3f} s>"

    def _jump_when_idle(self, loop: asyncio.AbstractEventLoop, patience: int) -> None:
        # The loop's queue of callbacks that can run now. Other implementations have none: they get all rounds.
        ready: Any = getattr(loop, "_ready", True)
        if ready and patience:
            loop.call_soon(self._jump_when_idle, loop, patience - 1)
            return
        with self._lock:
            sleepers = self._sleepers.get(loop, [])
            while sleepers and sleepers[0][2].done():
                heapq.heappop(sleepers)
            if sleepers:
                self._now = max(self._now, sleepers[0][0])
            self._wake_due(loop)
            if sleepers:
                loop.call_soon(self._jump_when_idle, loop, _PATIENCE)
            else:
                self._sleepers.pop(loop, None)

    def _wake_due(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            sleepers = self._sleepers.get(loop, [])
            while sleepers and sleepers[0][0] <= self._now:
                _, _, future = heapq.heappop(sleepers)
                if not future.done():
                    future.set_result(None)

"""The timer wheel: each wait times out on time, and one that ends before that needs no timer of its own."""

from __future__ import annotations

import asyncio
import heapq
import weakref
from collections.abc import Callable
from contextvars import Context, ContextVar
from itertools import count
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from http_service_client.core.effects import TIMED_OUT
from http_service_client.drivers.aio_timers import TimerWheel, new_timer_wheel


class HandMadeLoop:
    """The part of an event loop that timers need; the test advances its time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers = 0
        self._due: list[tuple[float, int, Callable[..., Any], tuple[Any, ...]]] = []
        self._number = count()

    def call_at(
        self, at: float, function: Callable[..., Any], *arguments: Any, context: Context | None = None
    ) -> None:
        self.timers += 1
        heapq.heappush(self._due, (at, next(self._number), function, arguments))

    def advance_to(self, then: float) -> None:
        while self._due and self._due[0][0] <= then:
            at, _, function, arguments = heapq.heappop(self._due)
            self.now = max(self.now, at)
            function(*arguments)
        self.now = then


class Waiter:
    """A future that records when it was resolved."""

    def __init__(self, loop: HandMadeLoop) -> None:
        self._loop = loop
        self.resolved_at: float | None = None

    def done(self) -> bool:
        return self.resolved_at is not None

    def set_result(self, result: object) -> None:
        assert result is TIMED_OUT
        self.resolved_at = self._loop.now


WAITS = st.lists(
    st.tuples(st.floats(0, 5), st.floats(0.001, 400), st.floats(0, 500)), min_size=1, max_size=20
)


@given(WAITS)
def test_each_wait_times_out_on_time_or_not_at_all(waits: list[tuple[float, float, float]]) -> None:
    """A wait that has not ended by then is resolved at exactly that instant, any other never."""
    loop: Any = HandMadeLoop()
    timers = TimerWheel(loop)
    waiters = [Waiter(loop) for _ in waits]
    due: dict[int, dict[Any, float]] = {}

    steps: list[tuple[float, int, int]] = []
    for index, (start, _, lasts) in enumerate(waits):
        steps += [(start, 0, index), (start + lasts, 1, index)]
    for then, is_end, index in sorted(steps):
        loop.advance_to(then)
        waiter: Any = waiters[index]
        if not is_end:
            due[index] = timers.schedule(then, waits[index][1], waiter)
        elif not waiter.done():
            due[index].pop(waiter, None)
            waiter.resolved_at = -1.0  # its result has arrived
    loop.advance_to(1000.0)
    for (start, length, lasts), waiter in zip(waits, waiters, strict=True):
        if lasts > length:
            assert waiter.resolved_at == start + length
        elif lasts < length:
            assert waiter.resolved_at == -1.0
    assert not timers._by_second


def test_waits_that_end_in_time_share_a_timer() -> None:
    """Ten thousand calls in a second, each with a timeout of half a minute: one timer, and no entry is left."""
    loop: Any = HandMadeLoop()
    timers = TimerWheel(loop)
    for number in range(10_000):
        loop.advance_to(number / 10_000)
        waiter: Any = Waiter(loop)
        due = timers.schedule(loop.now, 30, waiter)
        due.pop(waiter)
        assert not due
    assert loop.timers == 1


def test_long_timeouts_leave_entries_for_a_minute_only() -> None:
    """One call a second, each with a timeout of an hour: the entries of finished waits are soon dropped."""
    loop: Any = HandMadeLoop()
    timers = TimerWheel(loop)
    for number in range(1000):
        loop.advance_to(number)
        waiter: Any = Waiter(loop)
        timers.schedule(loop.now, 3600, waiter).pop(waiter)
    assert len(timers._by_second) <= 61
    assert len(loop._due) <= 61


def test_a_timer_does_not_keep_a_finished_wait_alive() -> None:
    """A timeout of less than a second has a timer of its own, which must not hold the result until it fires."""
    loop: Any = HandMadeLoop()
    waiter: Any = Waiter(loop)
    due = TimerWheel(loop).schedule(loop.now, 0.9, waiter)
    loop.advance_to(0.1)
    due.pop(waiter)
    seen = weakref.ref(waiter)
    del waiter
    assert seen() is None


def test_a_wait_does_not_keep_the_context_of_its_task() -> None:
    """The context variables of a request may be freed when the request is over."""

    class Kept:
        pass

    variable: ContextVar[Kept] = ContextVar("variable")

    async def wait(timers: TimerWheel) -> weakref.ref[Kept]:
        kept = Kept()
        variable.set(kept)
        waiter = timers.loop.create_future()
        timers.schedule(timers.loop.time(), 30, waiter).pop(waiter)
        return weakref.ref(kept)

    async def main() -> bool:
        seen = await asyncio.create_task(wait(TimerWheel(asyncio.get_running_loop())))
        await asyncio.sleep(0)
        return seen() is None

    assert asyncio.run(main())


def test_a_timeout_fires_on_a_real_loop() -> None:
    """With the precision of a fraction of a second."""

    async def wait() -> tuple[object, float]:
        loop = asyncio.get_running_loop()
        timers, waiter = TimerWheel(loop), loop.create_future()
        began = loop.time()
        timers.schedule(began, 0.05, waiter)
        return await waiter, loop.time() - began

    result, after = asyncio.run(wait())
    assert result is TIMED_OUT
    assert 0.049 <= after < 5


def test_wheels_of_closed_loops_are_dropped() -> None:
    """A program that runs one loop after the other keeps one wheel."""
    known: dict[asyncio.AbstractEventLoop, TimerWheel] = {}

    async def one() -> None:
        new_timer_wheel(known)

    for _ in range(3):
        asyncio.run(one())
    assert len(known) == 1

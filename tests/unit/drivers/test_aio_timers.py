"""The ends of waits: each is told in its time, and one that ends before costs no timer of its own."""

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
    """As much of an event loop as timers need; its time goes on by hand."""

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

    def go_on_until(self, then: float) -> None:
        while self._due and self._due[0][0] <= then:
            at, _, function, arguments = heapq.heappop(self._due)
            self.now = max(self.now, at)
            function(*arguments)
        self.now = then


class Waiter:
    """A future that knows when it was told."""

    def __init__(self, loop: HandMadeLoop) -> None:
        self._loop = loop
        self.told_at: float | None = None

    def done(self) -> bool:
        return self.told_at is not None

    def set_result(self, result: object) -> None:
        assert result is TIMED_OUT
        self.told_at = self._loop.now


WAITS = st.lists(
    st.tuples(st.floats(0, 5), st.floats(0.001, 400), st.floats(0, 500)), min_size=1, max_size=20
)


@given(WAITS)
def test_each_wait_is_told_in_its_time_or_not_at_all(waits: list[tuple[float, float, float]]) -> None:
    """A wait that has not ended by then hears at that instant; one that has, never."""
    loop: Any = HandMadeLoop()
    timers = TimerWheel(loop)
    waiters = [Waiter(loop) for _ in waits]
    due: dict[int, dict[Any, float]] = {}

    steps: list[tuple[float, int, int]] = []
    for index, (start, _, lasts) in enumerate(waits):
        steps += [(start, 0, index), (start + lasts, 1, index)]
    for then, is_end, index in sorted(steps):
        loop.go_on_until(then)
        waiter: Any = waiters[index]
        if not is_end:
            due[index] = timers.schedule(then, waits[index][1], waiter)
        elif not waiter.done():
            due[index].pop(waiter, None)
            waiter.told_at = -1.0  # its result is here
    loop.go_on_until(1000.0)
    for (start, length, lasts), waiter in zip(waits, waiters, strict=True):
        if lasts > length:
            assert waiter.told_at == start + length
        elif lasts < length:
            assert waiter.told_at == -1.0
    assert not timers._by_second


def test_waits_that_end_in_time_share_a_timer() -> None:
    """Ten thousand calls in a second, each with half a minute to go: one timer, and nothing is kept of them."""
    loop: Any = HandMadeLoop()
    timers = TimerWheel(loop)
    for number in range(10_000):
        loop.go_on_until(number / 10_000)
        waiter: Any = Waiter(loop)
        due = timers.schedule(loop.now, 30, waiter)
        due.pop(waiter)
        assert not due
    assert loop.timers == 1


def test_waits_with_an_hour_to_go_leave_no_more_than_a_minute_of_seconds() -> None:
    """One call a second, each with an hour to go: what is noted of those that are over is soon forgotten."""
    loop: Any = HandMadeLoop()
    timers = TimerWheel(loop)
    for number in range(1000):
        loop.go_on_until(number)
        waiter: Any = Waiter(loop)
        timers.schedule(loop.now, 3600, waiter).pop(waiter)
    assert len(timers._by_second) <= 61
    assert len(loop._due) <= 61


def test_an_answer_that_came_in_time_is_not_kept_until_its_time_is_over() -> None:
    """A wait of less than a second has a timer of its own, which does not hold the result."""

    loop: Any = HandMadeLoop()
    waiter: Any = Waiter(loop)
    due = TimerWheel(loop).schedule(loop.now, 0.9, waiter)
    loop.go_on_until(0.1)
    due.pop(waiter)
    seen = weakref.ref(waiter)
    del waiter
    assert seen() is None


def test_a_wait_does_not_keep_the_context_of_its_task() -> None:
    """What a service keeps in context variables for a request may go when that request is over."""

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


def test_on_a_real_loop() -> None:
    """A future that nobody sets comes out after its time; a fraction of a second is kept to."""

    async def wait() -> tuple[object, float]:
        loop = asyncio.get_running_loop()
        timers, waiter = TimerWheel(loop), loop.create_future()
        began = loop.time()
        timers.schedule(began, 0.05, waiter)
        return await waiter, loop.time() - began

    told, after = asyncio.run(wait())
    assert told is TIMED_OUT
    assert 0.049 <= after < 5


def test_each_loop_has_its_own_and_closed_ones_are_forgotten() -> None:
    """A program that runs one loop after the other keeps none of them."""
    known: dict[asyncio.AbstractEventLoop, TimerWheel] = {}

    async def one() -> None:
        new_timer_wheel(known)

    for _ in range(3):
        asyncio.run(one())
    assert len(known) == 1

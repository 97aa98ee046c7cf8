"""Waiting for a slot: grants, timeouts and cancellations that come together lose no slot."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from http_service_client import HttpResponse
from http_service_client.core.effects import Acquire, Sleep
from http_service_client.core.machines.circuit_breaker.states import CircuitBreakerState
from http_service_client.core.machines.limits.semaphore import FairSemaphore, PermitPair
from http_service_client.drivers.aio import AsyncioDriver
from http_service_client.drivers.blocking import BlockingDriver
from kit.fakes import URL, Harness
from kit.front_ends import AsyncioFrontEnd, FrontEnd, run_task
from kit.rows import each_row
from kit.threads import in_time


def wait_for(limit: FairSemaphore, timeout: float | None = None) -> Acquire:
    return Acquire(limit.acquire_later(), timeout)


@each_row("ticks", range(8))
@each_row("timeout", [None, 60.0])
def test_a_cancellation_that_comes_with_the_grant_is_not_swallowed(ticks: int, timeout: float | None) -> None:
    """However many ticks after the grant it comes, the task is cancelled, and the slot is released.

    `asyncio.wait_for` swallowed it before Python 3.12.
    """
    limit = FairSemaphore(1, lock=threading.Lock())

    def plan() -> Any:
        acquire = wait_for(limit, timeout)
        try:
            yield acquire
            yield Sleep(0.0)
        finally:
            acquire.waiter.release()

    async def never(seconds: float) -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        holder = limit.acquire_later()
        task = asyncio.create_task(AsyncioDriver(None, never).run(plan()))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert limit.waiting == 1
        holder.release()
        for _ in range(ticks):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 5)

    run_task(main())
    assert (limit.in_use, limit.waiting) == (0, 0)


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_a_finished_wait_leaves_no_entry_until_its_timeout(is_cancelled: bool) -> None:
    """Or a thousand waits a second with ten seconds each would keep ten thousand entries."""
    limit = FairSemaphore(1, lock=threading.Lock())

    async def main() -> list[Any]:
        driver = AsyncioDriver(None)  # type: ignore[arg-type]
        holder = limit.acquire_later()
        task: Any = asyncio.ensure_future(driver.perform(wait_for(limit, 10.0)))
        await asyncio.sleep(0)
        (timers,) = driver._timers.values()
        assert any(timers._by_second.values())
        if is_cancelled:
            task.cancel()
        else:
            holder.release()
        await asyncio.wait([task], timeout=5)
        return [waiter for waiting in timers._by_second.values() for waiter in waiting]

    assert run_task(main()) == []


def test_the_waits_of_a_loop_share_their_timers() -> None:
    """Timers for each wait would cost more than the timeouts of asyncio that they replace."""
    limit = FairSemaphore(1, lock=threading.Lock())

    async def main() -> None:
        driver = AsyncioDriver(None)  # type: ignore[arg-type]
        holder = limit.acquire_later()
        tasks = [asyncio.create_task(driver.perform(wait_for(limit, 10.0))) for _ in range(2)]
        await asyncio.sleep(0)
        (timers,) = driver._timers.values()
        assert sum(map(len, timers._by_second.values())) == 2
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=5)
        holder.release()

    run_task(main())


def test_a_grant_from_another_thread_wakes_the_task() -> None:
    """Threads and tasks share one semaphore."""
    limit = FairSemaphore(1, lock=threading.Lock())
    holder = limit.acquire_later()

    def plan() -> Any:
        acquire = wait_for(limit)
        try:
            return (yield acquire)
        finally:
            acquire.waiter.release()

    async def main() -> Any:
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(AsyncioDriver(None).run(plan()))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        await loop.run_in_executor(None, holder.release)
        return await task

    # In debug mode a loop rejects calls of another thread that are not thread-safe.
    assert in_time(lambda: asyncio.run(asyncio.wait_for(main(), 20), debug=True)) is True
    assert limit.in_use == 0


class GrantedInTheTickOfTheTimeout:
    """A waiter that was granted in time, but is not notified in time."""

    is_granted = True

    def notify(self, on_grant: Callable[[], object]) -> None:
        pass


@pytest.mark.parametrize("driver", ["blocking", "asyncio"])
def test_a_grant_in_the_tick_of_the_timeout_is_used(driver: str) -> None:
    """The slot is acquired, even if the timeout fired first."""

    def plan() -> Any:
        return (yield Acquire(GrantedInTheTickOfTheTimeout(), 0.001))  # type: ignore[arg-type]

    if driver == "blocking":
        assert BlockingDriver(None, None).run(plan()) is True  # type: ignore[arg-type]
    else:
        assert run_task(AsyncioDriver(None).run(plan())) is True  # type: ignore[arg-type]


@pytest.mark.parametrize("driver", ["blocking", "asyncio"])
def test_a_wait_that_times_out_returns_false(driver: str) -> None:
    """The waiter leaves the queue."""
    limit = FairSemaphore(1, lock=threading.Lock())
    limit.acquire_later()

    def plan() -> Any:
        acquire = wait_for(limit, 0.001)
        try:
            return (yield acquire)
        finally:
            acquire.waiter.release()

    if driver == "blocking":
        assert BlockingDriver(None, None).run(plan()) is False  # type: ignore[arg-type]
    else:
        assert run_task(AsyncioDriver(None).run(plan())) is False  # type: ignore[arg-type]
    assert (limit.in_use, limit.waiting) == (1, 0)


def test_many_calls_cancelled_at_random_leave_nothing_behind() -> None:
    """Sixty calls share two slots, and every third is cancelled after a different number of ticks."""
    harness = Harness(AsyncioFrontEnd(), 200, max_connections=2, max_connections_per_host=2)

    async def main() -> None:
        urls = [f"{URL}?call={call}" for call in range(60)]
        tasks = [asyncio.create_task(harness.client.get_async(url)) for url in urls]
        for task in tasks[::3]:
            await asyncio.sleep(0)
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for call, (url, result) in enumerate(zip(urls, results, strict=True)):
            if isinstance(result, HttpResponse):
                assert result.url == url  # its own, and not that of a cancelled call
            else:
                assert call % 3 == 0, result

    run_task(main())
    assert [(limit.in_use, limit.waiting) for limit in harness.limits] == [(0, 0)] * 2
    snapshot = harness.state.breaker.snapshot()
    assert snapshot.successes + snapshot.abandoned == 60
    assert harness.state.breaker.state is CircuitBreakerState.CLOSED


def test_ctrl_c_while_slots_are_released_costs_none(
    front_end: FrontEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The release is tried again."""
    release, interruptions = PermitPair.release, [KeyboardInterrupt()]

    def interrupted(pair: PermitPair) -> None:
        if interruptions:
            raise interruptions.pop()
        release(pair)

    monkeypatch.setattr(PermitPair, "release", interrupted)
    harness = Harness(front_end)
    with pytest.raises(KeyboardInterrupt):
        harness.request()
    assert [limit.in_use for limit in harness.limits] == [0, 0]

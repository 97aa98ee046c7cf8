"""A wait that is over leaves nothing in its driver: a client lives as long as its program, and waits a million times."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest

from http_service_client.core.effects import (
    TIMED_OUT,
    Acquire,
    Begin,
    Branch,
    FirstOf,
    Invoke,
    Plan,
    Sleep,
    Start,
    Work,
)
from http_service_client.core.machines.limits.semaphore import FairSemaphore, Latch
from http_service_client.drivers import aio, aio_timers, blocking
from http_service_client.drivers.aio import AsyncioDriver
from http_service_client.drivers.blocking import BlockingDriver
from http_service_client.drivers.locks import ForkSafeLock
from http_service_client.drivers.portal import PORTAL
from http_service_client.drivers.threads import DaemonThreads
from kit.front_ends import run_task
from kit.threads import Held, wait_until

LONG = 20.0  # seconds


def closed() -> FairSemaphore:
    """A limit without a free permit."""
    limit = FairSemaphore(1, lock=ForkSafeLock())
    limit.try_acquire()
    return limit


def driver_of(kind: str, **settings: Any) -> Any:
    return BlockingDriver(None, PORTAL, **settings) if kind == "blocking" else AsyncioDriver(None, **settings)  # type: ignore[arg-type]


def run(driver: Any, plan: Plan[Any]) -> Any:
    result = driver.run(plan)
    return run_task(result) if isinstance(driver, AsyncioDriver) else result


def quick() -> Plan[None]:
    yield from Sleep(0.0)


def at_once() -> Plan[None]:
    yield from Invoke(abs, -1)


async def waiting() -> str:
    await asyncio.sleep(0)
    return "done"


def waits() -> Plan[None]:
    """Each kind of wait twice, the first time until it is granted or done; with a timeout that does not come."""
    for _ in range(2):
        latch = Latch(lock=ForkSafeLock())
        waiter = latch.wait_later()
        latch.open()
        assert (yield from Acquire(waiter, LONG)) is True
        branch = Branch(quick)
        yield from Begin(branch)
        assert (yield from FirstOf([branch], LONG)) == 0
        assert (yield from Work(abs, -1, timeout=LONG)) == 1
        assert (yield from Invoke(waiting, timeout=LONG)) == "done"


def test_the_timeouts_of_a_loop_share_a_wheel_and_leave_no_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever waits: a timer for each wait would cost as much as the wait."""
    made: list[object] = []

    class Noted(aio_timers.TimerWheel):
        def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
            made.append(self)
            super().__init__(loop)

    monkeypatch.setattr(aio_timers, "TimerWheel", Noted)
    driver = AsyncioDriver(None)  # type: ignore[arg-type]
    run(driver, waits())
    (wheel,) = driver._timers.values()
    assert made == [wheel]
    assert [entries for entries in wheel._by_second.values() if entries] == []


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
def test_a_wait_is_forgotten_by_its_driver_and_by_what_it_waited_for(kind: str) -> None:
    """After its grant, its timeout and its sleep."""
    driver, limit = driver_of(kind), closed()
    # In threads of other tests, or left by those that are interrupted anywhere.
    others = blocking._NEVER.waiting

    def plan() -> Plan[None]:
        yield from waits()
        waiter = limit.acquire_later()
        assert (yield from Acquire(waiter, 0.0)) is False
        waiter.release()
        yield from Sleep(0.0)

    run(driver, plan())
    assert driver._waits._pending == set()
    assert driver._waits._never.waiting == 0
    wait_until(lambda: blocking._NEVER.waiting <= others)
    assert limit.waiting == 0
    assert driver.running == set()


async def sleep_async(seconds: float) -> None:
    await asyncio.sleep(seconds)


@pytest.mark.parametrize("has_own_clock", [False, True])
@pytest.mark.parametrize("is_granted", [False, True])
def test_a_sleep_that_a_grant_may_end_is_forgotten_by_what_grants_it(
    is_granted: bool, has_own_clock: bool
) -> None:
    """Whether the grant came or not; on another clock, no task is left that sleeps on."""
    driver = AsyncioDriver(None, sleep_async if has_own_clock else None)  # type: ignore[arg-type]
    limit = closed()

    def plan() -> Plan[None]:
        waiter = limit.acquire_later()
        if is_granted:
            limit.release()
        yield from Sleep(LONG if is_granted else 0.0, waiter)

    async def main() -> None:
        before = asyncio.all_tasks()
        await driver.run(plan())
        for _ in range(3):
            await asyncio.sleep(0)
        assert asyncio.all_tasks() == before

    run_task(main())
    assert (limit.waiting, limit.in_use) == (0, 0 if is_granted else 1)


def test_a_thread_s_sleep_that_a_grant_may_end_is_forgotten_too() -> None:
    """By what would have granted it."""
    limit = closed()

    def plan() -> Plan[None]:
        yield from Sleep(0.0, limit.acquire_later())

    run(driver_of("blocking"), plan())
    assert limit.waiting == 0


@pytest.mark.parametrize("is_needed", [False, True])
def test_a_plan_that_ran_beside_another_makes_room(is_needed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else, after a while, none would be begun that nobody waits for."""
    monkeypatch.setattr(aio, "MOST_BEHIND", 1)
    driver: Any = driver_of("asyncio")

    def start() -> Plan[bool]:
        return (yield from Start(at_once, is_needed=is_needed))

    async def main() -> None:
        for _ in range(3):
            assert await driver.run(start()) is True
            for _ in range(10):
                await asyncio.sleep(0)
            assert (driver._beside, driver._behind) == (set(), set())

    run_task(main())


def test_a_wait_for_a_branch_without_a_timeout_needs_no_clock() -> None:
    """That of a driver with a clock of its own either."""
    asleep: list[float] = []

    async def sleep(seconds: float) -> None:
        asleep.append(seconds)

    def plan() -> Plan[int | None]:
        branch = Branch(at_once)
        yield from Begin(branch)
        return (yield from FirstOf([branch]))

    assert run(driver_of("asyncio", sleep=sleep), plan()) == 0
    assert asleep == []


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
def test_a_plan_that_has_begun_goes_on_with_the_effect_that_it_waits_for(kind: str) -> None:
    """It may have been begun where nothing can be waited for."""

    def plan() -> Plan[list[int]]:
        return [(yield Invoke(abs, -1)), (yield Invoke(abs, -2))]

    begun = plan()
    result = driver_of(kind).run(begun, effect=next(begun))
    assert (result if kind == "blocking" else run_task(result)) == [1, 2]


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
def test_one_effect_has_its_answer(kind: str) -> None:
    """Without a plan."""
    answer = driver_of(kind).perform(Invoke(abs, -1))
    assert (answer if kind == "blocking" else run_task(answer)) == 1


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
def test_after_the_end_of_a_client_every_wait_is_over(kind: str) -> None:
    """A slot counts as granted, so that the plan goes on to its exchange, which is refused."""
    driver = driver_of(kind)
    driver.end_waits()

    def plan() -> Plan[bool]:
        yield from Sleep(LONG)
        return (yield from Acquire(closed().acquire_later(), LONG))

    assert run(driver, plan()) is True
    assert driver._waits._pending == set()


def test_the_end_of_a_client_wakes_the_loops_that_have_waited() -> None:
    """A signal handler may call it, while a loop waits for the network."""
    driver: Any = driver_of("asyncio")
    closed_loop, loop = Mock(), Mock()
    closed_loop.call_soon_threadsafe.side_effect = RuntimeError("Event loop is closed")
    driver._timers.update({closed_loop: None, loop: None})
    driver.end_waits()
    loop.call_soon_threadsafe.assert_called_once()


class TestWorkInThreads:
    """Of asyncio's driver."""

    class Threads:
        """Work is begun when the test has it so."""

        def __init__(self) -> None:
            self.works: list[Callable[[], None]] = []

        def start(self, work: Callable[[], None]) -> None:
            self.works.append(work)

    @pytest.mark.parametrize("state", ["not begun", "running", "done"])
    def test_a_cancelled_task_waits_only_for_work_that_is_running(
        self, state: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """For a moment; what no thread has begun is never done, and what is done needs no wait."""
        threads, held, log = self.Threads(), Held(), list[str]()
        monkeypatch.setattr(aio, "WORKERS", threads)
        monkeypatch.setattr(aio, "_LAST_WAIT", LONG)
        runner = DaemonThreads(1)

        def plan() -> Plan[None]:
            yield from Work(
                held if state == "running" else log.append, *([] if state == "running" else ["done"])
            )

        async def main() -> None:
            task = asyncio.ensure_future(driver_of("asyncio").run(plan()))
            await asyncio.sleep(0)
            if state == "running":
                runner.start(threads.works[0])
                while not held.began.is_set():
                    await asyncio.sleep(0.001)
            elif state == "done":
                threads.works[0]()
            task.cancel()
            for _ in range(10):
                await asyncio.sleep(0)
            assert task.done() is (state != "running")
            held.may_end.set()
            await asyncio.wait([task])
            assert task.cancelled()
            if state == "not begun":
                threads.works[0]()

        run_task(main())
        assert log == (["done"] if state == "done" else [])

    def test_work_without_time_is_not_begun(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Though a thread is free."""
        threads = self.Threads()
        monkeypatch.setattr(aio, "WORKERS", threads)
        for timeout in (0.0, -1.0):
            assert run_task(driver_of("asyncio").perform(Work(int, timeout=timeout))) is TIMED_OUT
        assert threads.works == []

    @pytest.mark.parametrize("is_needed", [True, False])
    def test_work_that_a_call_can_do_without_has_threads_of_its_own(
        self, is_needed: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Functions that hang keep theirs."""
        needed, dispensable = self.Threads(), self.Threads()
        monkeypatch.setattr(aio, "WORKERS", needed)
        monkeypatch.setattr(aio, "_DISPENSABLE", dispensable)
        work = Work(int, timeout=0.001, is_needed=is_needed)
        assert run_task(driver_of("asyncio").perform(work)) is TIMED_OUT
        assert (len(needed.works), len(dispensable.works)) == ((1, 0) if is_needed else (0, 1))

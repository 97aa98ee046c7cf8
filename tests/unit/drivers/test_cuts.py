"""The timeout of an async function, on the loop's own timers: it is armed when the function waits for the first time."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Generator
from typing import Any

import pytest

from http_service_client.core.effects import TIMED_OUT
from http_service_client.drivers.aio import AsyncioDriver
from http_service_client.drivers.aio_timers import TimerWheel
from http_service_client.drivers.clocks import SystemClock
from http_service_client.drivers.functions import asyncio_driver
from kit.front_ends import run_task

SHORT, LONG = 0.01, 60.0  # seconds

pytestmark = pytest.mark.skipif(sys.version_info < (3, 11), reason="a task of its own does it there")


def bounded(awaitable: Awaitable[Any], seconds: float) -> Awaitable[Any]:
    driver = asyncio_driver(SystemClock())
    assert isinstance(driver, AsyncioDriver)
    return driver.bounded(awaitable, seconds)


@pytest.fixture
def armed(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds of each timeout that was armed."""
    seconds: list[float] = []
    schedule = TimerWheel.schedule

    def noted(self: TimerWheel, now: float, left: float, waiter: Any) -> Any:
        seconds.append(left)
        return schedule(self, now, left, waiter)

    monkeypatch.setattr(TimerWheel, "schedule", noted)
    return seconds


def test_a_function_that_never_waits_arms_nothing(armed: list[float]) -> None:
    """A result that is there at once needs no timer."""

    async def at_once() -> str:
        return "done"

    async def main() -> None:
        assert await bounded(at_once(), LONG) == "done"

    run_task(main())
    assert armed == []


def test_the_time_before_the_first_wait_counts(armed: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """What the function did before it waited is part of its time."""
    now = [100.0]
    monkeypatch.setattr("http_service_client.drivers.aio_timers.monotonic", lambda: now[0])

    async def busy() -> None:
        now[0] += 7.0
        await asyncio.sleep(0)

    run_task(bounded(busy(), 10.0))
    assert armed == [3.0]


def test_a_function_whose_time_is_over_at_its_first_wait_is_cancelled_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It does not wait for the next second of the timers."""
    now = [100.0]
    monkeypatch.setattr("http_service_client.drivers.aio_timers.monotonic", lambda: now[0])

    async def busy() -> None:
        now[0] += 7.0
        await asyncio.sleep(LONG)

    async def main() -> None:
        assert await bounded(busy(), 5.0) is TIMED_OUT

    run_task(main())


async def waits_in_its_clean_up() -> str:
    """It is cancelled in its first wait, and waits once more: what is thrown in may be followed by another wait."""
    try:
        await asyncio.sleep(LONG)
    except asyncio.CancelledError:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return "cleaned up"
    return "slept"


def test_a_wait_in_the_clean_up_is_waited_for() -> None:
    """The result of a function that handles its cancellation is used, however often it waits for that."""

    async def main() -> None:
        assert await bounded(waits_in_its_clean_up(), SHORT) == "cleaned up"
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0  # type: ignore[attr-defined]  # 3.11

    run_task(main())


class Countdown:
    """An awaitable that is no coroutine."""

    def __await__(self) -> Generator[Any, Any, str]:
        yield from asyncio.sleep(0).__await__()
        return "done"


@pytest.mark.parametrize("make", [Countdown, lambda: asyncio.ensure_future(asyncio.sleep(0, "done"))])
def test_any_awaitable_will_do(make: Callable[[], Awaitable[str]]) -> None:
    """Not only coroutines are bounded: also tasks, futures and objects of a user's own."""

    async def main() -> None:
        assert await bounded(make(), LONG) == "done"

    run_task(main())


@pytest.mark.parametrize("waits", [0, 1, 2])
def test_an_error_is_raised_as_it_is(waits: int) -> None:
    """An exception has the context that it was raised with, whether the function waited before or not."""
    error = ValueError("mine")

    async def fails() -> None:
        for _ in range(waits):
            await asyncio.sleep(0)
        raise error

    async def main() -> None:
        with pytest.raises(ValueError, match="mine"):
            await bounded(fails(), LONG)

    run_task(main())
    assert error.__context__ is None
    assert error.__cause__ is None


def test_an_error_after_a_handled_cancellation_has_no_context() -> None:
    """The cancellation that a function has dealt with is not the context of what it raises afterwards."""
    error = ValueError("mine")

    async def fails() -> None:
        try:
            await asyncio.sleep(LONG)
        except asyncio.CancelledError:
            pass
        raise error

    async def main() -> None:
        with pytest.raises(ValueError, match="mine"):
            await bounded(fails(), SHORT)

    run_task(main())
    assert error.__context__ is None


def test_a_task_that_cancels_itself_before_its_first_wait_is_cancelled() -> None:
    """Also if its time is over while it cleans up: the cancellation came first."""
    ended: list[object] = []

    async def cancels_itself() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        try:
            await asyncio.sleep(LONG)
        except asyncio.CancelledError:
            await asyncio.sleep(LONG)  # the time ends here

    async def inner() -> None:
        ended.append(await bounded(cancels_itself(), SHORT))

    async def main() -> None:
        task = asyncio.ensure_future(inner())
        await asyncio.wait([task])
        assert task.cancelled()
        assert ended == []

    run_task(main())


def test_a_function_that_is_abandoned_in_its_first_wait_is_closed() -> None:
    """Its `finally` runs, as that of any coroutine which is closed."""
    closed: list[str] = []

    async def waits() -> None:
        try:
            await asyncio.sleep(LONG)
        finally:
            closed.append("closed")

    async def main() -> None:
        async def around() -> None:
            await bounded(waits(), LONG)

        abandoned = around()
        abandoned.send(None)
        abandoned.close()

    run_task(main())
    assert closed == ["closed"]

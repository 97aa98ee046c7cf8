"""The time that the waits of an asyncio exchange may take, on a loop whose time stands still until it is moved."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from http_service_client import Timeout
from http_service_client.core.effects import TIMED_OUT
from http_service_client.core.timeouts import TIMER_SLACK
from http_service_client.transports.over_aiohttp.exchange_timeouts import Limits, shorter
from kit.front_ends import run_task
from kit.rows import each_row


@each_row(
    ("one", "other", "expected"),
    [
        (None, None, None),
        (2.0, None, 2.0),
        (None, 2.0, 2.0),
        (2.0, 3.0, 2.0),
        (3.0, 2.0, 2.0),
        (0.0, None, 0.0),
        (None, 0.0, 0.0),
    ],
)
def test_the_shorter_of_two_limits_holds(
    one: float | None, other: float | None, expected: float | None
) -> None:
    """None is no limit."""
    assert shorter(one, other) == expected


class Moment:
    """A loop's time, and a timer of it that notes how long it was set for."""

    def __init__(self) -> None:
        self.now = 100.0
        asyncio.get_running_loop().time = lambda: self.now  # type: ignore[method-assign]
        self.waits: list[tuple[float, float]] = []
        self.due: dict[Any, Any] = {}
        self.timers: Any = self

    def schedule(self, now: float, seconds: float, waiter: Any) -> dict[Any, Any]:
        self.waits.append((now, seconds))
        self.due[waiter] = None
        return self.due

    def limits(self, total: float | None = None, **options: Any) -> Limits:
        limits = Limits(Timeout(total=total), **options)
        limits.timers = self.timers
        return limits


def on_a_loop(test: Callable[[Moment], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        await test(Moment())

    run_task(run())


@each_row(
    ("total", "elapsed", "limit", "left"),
    [
        (None, 1.0, None, None),
        (None, 1.0, 3.0, 3.0),
        (5.0, 1.0, None, 4.0),
        (5.0, 1.0, 3.0, 3.0),
        (5.0, 1.0, 9.0, 4.0),
        (5.0, 5.0, 3.0, 0.0),
        (5.0, 6.0, None, 0.0),
    ],
)
def test_a_wait_may_take_what_is_left_of_the_whole(
    total: float | None, elapsed: float, limit: float | None, left: float | None
) -> None:
    """Or its own limit, if that is shorter; never less than nothing."""

    async def test(moment: Moment) -> None:
        limits = moment.limits(total)
        moment.now += elapsed
        assert (limits.now(), limits.left(limit)) == (moment.now, left)

    on_a_loop(test)


@pytest.mark.parametrize(
    ("total", "elapsed", "are_reached"),
    [
        (None, 1000.0, False),
        (5.0, 5.0 - 2 * TIMER_SLACK, False),
        (5.0, 5.0 - TIMER_SLACK / 2, True),
        (5.0, 5.0, True),
        (5.0, 6.0, True),
    ],
)
def test_the_time_for_the_whole_may_be_over(total: float | None, elapsed: float, are_reached: bool) -> None:
    """A timer may go off a little before its instant."""

    async def test(moment: Moment) -> None:
        limits = moment.limits(total)
        moment.now += elapsed
        assert limits.are_reached is are_reached

    on_a_loop(test)


def test_an_exchange_may_have_begun_before() -> None:
    """Its time counts from there."""

    async def test(moment: Moment) -> None:
        limits = moment.limits(5.0, began=98.0)
        assert (limits.began, limits.left()) == (98.0, 3.0)

    on_a_loop(test)


@pytest.mark.parametrize(
    ("total", "limit", "waits"),
    [(None, None, []), (None, 3.0, [(100.0, 3.0)]), (5.0, None, [(100.0, 5.0)]), (5.0, 3.0, [(100.0, 3.0)])],
)
def test_what_is_woken_in_time_has_no_timer_any_more(
    total: float | None, limit: float | None, waits: list[Any]
) -> None:
    """It needs one only where there is a limit."""

    async def test(moment: Moment) -> None:
        limits = moment.limits(total)
        waiter: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(waiter.set_result, None)
        assert await limits.wait(waiter, limit)
        assert (moment.waits, moment.due) == (waits, {})

    on_a_loop(test)


@pytest.mark.parametrize("elapsed", [3.0, 5.0], ids=["its own limit", "that of the whole"])
def test_a_wait_in_vain_ends(elapsed: float) -> None:
    """Where the time for the whole is over, by an error."""

    async def test(moment: Moment) -> None:
        limits = moment.limits(5.0)
        waiter: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        waiter.set_result(TIMED_OUT)
        moment.now += elapsed
        if elapsed == 5.0:
            with pytest.raises(TimeoutError):
                await limits.wait(waiter, None)
        else:
            assert not await limits.wait(waiter, 3.0)

    on_a_loop(test)


def test_a_wait_that_is_cancelled_leaves_no_timer() -> None:
    """A timer that stayed would keep what waits alive."""

    async def test(moment: Moment) -> None:
        waiter: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(waiter.cancel)
        with pytest.raises(asyncio.CancelledError):
            await moment.limits(5.0).wait(waiter, None)
        assert moment.due == {}

    on_a_loop(test)

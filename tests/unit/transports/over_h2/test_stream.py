"""A stream of HTTP/2: how much content its head allows, what ends it, and the task that waits for a change."""

from __future__ import annotations

import asyncio
import math
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("h2", reason="the extra http2 is not installed")

from http_service_client.drivers.aio_timers import TimerWheel
from http_service_client.transports.over_h2.heads import ResponseHead
from http_service_client.transports.over_h2.stream import Http2Stream
from kit.jumping_loop import JumpingLoop


class Wheel(TimerWheel):
    """It keeps what was scheduled."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.waiters: list[weakref.ref[Any]] = []
        self.pending: list[dict[Any, float]] = []

    def schedule(self, now: float, seconds: float, waiter: Any) -> dict[Any, float]:
        """As that of any wheel."""
        due = super().schedule(now, seconds, waiter)
        self.waiters.append(weakref.ref(waiter))
        self.pending.append(due)
        return due


@pytest.fixture
def wheel() -> Iterator[Wheel]:
    """The timers of a loop in virtual time."""
    loop = JumpingLoop()
    yield Wheel(loop)
    loop.close()


@pytest.mark.parametrize(
    ("method", "status", "length", "most"),
    [
        ("GET", None, None, 0),
        ("HEAD", None, None, 0),
        ("GET", 200, None, math.inf),
        ("GET", 200, 0, 0),
        ("GET", 200, 5, 5),
        ("GET", 404, 5, 5),
        ("GET", 204, None, 0),
        ("GET", 204, 5, 0),
        ("GET", 304, 5, 0),
        ("HEAD", 200, None, 0),
        ("HEAD", 200, 5, 0),
    ],
)
def test_a_head_allows_so_much_content(
    wheel: Wheel, method: str, status: int | None, length: int | None, most: float
) -> None:
    """None before it has come. The length is that of another response where this one has no content."""
    stream = Http2Stream(1, method, wheel)
    stream.head = None if status is None else ResponseHead(status, [], length)
    assert stream.most_content() == most


def test_the_first_error_ends_a_stream(wheel: Wheel) -> None:
    """Unless the response is complete."""
    first, second = OSError("first"), OSError("second")
    stream = Http2Stream(1, "GET", wheel)
    stream.fail(first)
    stream.fail(second)
    assert stream.error is first
    stream = Http2Stream(1, "GET", wheel)
    stream.is_complete = True
    stream.fail(first)
    assert stream.error is None


@pytest.mark.parametrize(
    ("within", "woken_at", "changed", "ends_at"),
    [
        (None, 2.0, True, 2.0),
        (3.0, 2.0, True, 2.0),
        (3.0, None, False, 3.0),
        (3.0, 4.0, False, 3.0),
    ],
)
@pytest.mark.parametrize("by", ["wake", "fail"])
def test_a_wait_ends_with_a_change_or_its_time(
    wheel: Wheel, within: float | None, woken_at: float | None, changed: bool, ends_at: float, by: str
) -> None:
    stream = Http2Stream(1, "GET", wheel)

    async def run() -> None:
        if woken_at is not None:
            arguments = () if by == "wake" else (OSError(),)
            wheel.loop.call_later(woken_at, getattr(stream, by), *arguments)
        assert (await stream.wait(within)) is changed
        assert wheel.loop.time() == ends_at
        await asyncio.sleep(5.0)

    wheel.loop.run_until_complete(run())


@pytest.mark.parametrize("how", ["woken", "out of time", "cancelled"])
def test_a_wait_that_is_over_leaves_nothing(wheel: Wheel, how: str) -> None:
    """A stream has many, and each had a timer."""
    stream = Http2Stream(1, "GET", wheel)

    async def run() -> None:
        waiting = asyncio.ensure_future(stream.wait(20.0))
        await asyncio.sleep(1.0)
        if how == "woken":
            for _ in range(2):
                stream.wake()
        elif how == "cancelled":
            waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled() is (how == "cancelled")

    wheel.loop.run_until_complete(run())
    assert wheel.pending == [{}]
    assert [waiter() for waiter in wheel.waiters] == [None]

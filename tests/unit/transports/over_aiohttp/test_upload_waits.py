"""The body of a request on an event loop: what is written, how long each wait for room may take, and what ends it.

The connection records what is written, and the time is set.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from http_service_client import Timeout
from http_service_client.http.bodies.body import RequestBody, stream_body
from http_service_client.transports.failures import BodySourceError
from http_service_client.transports.over_aiohttp import upload as module
from http_service_client.transports.over_aiohttp.upload import Upload, is_short
from kit.front_ends import run_task
from kit.rows import each_row

PIECE = 64 * 1024
LONG = bytes(range(256)) * 600  # more than two pieces


class World:
    """A connection, its transport, and the limits of its exchange.

    written: what was.   waits: the limit of each wait, and whether the upload was stuck.
    takes: seconds of each wait that nothing ends.   sizes: what is unsent after each of them.
    """

    has_unread = is_full = is_lost = are_reached = closing = False
    upload: Upload
    change: asyncio.Future[Any] | None = None

    def __init__(self, write: float | None = None) -> None:
        self.timeout = Timeout(write=write)
        self.written: list[bytes] = []
        self.waits: list[Any] = []
        self.time = 50.0
        self.takes = 0.0
        self.unsent = 0
        self.sizes: list[int] = []
        self.transport = self

    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def now(self) -> float:
        return self.time

    def drained(self) -> asyncio.Future[Any]:
        return asyncio.get_running_loop().create_future()

    def changed(self, *, takes_more: bool) -> asyncio.Future[Any]:
        self.change = asyncio.get_running_loop().create_future()
        return self.change

    def wake(self) -> None:
        if self.change is not None and not self.change.done():
            self.change.set_result(None)

    async def wait(self, waiter: Any, limit: float | None) -> bool:
        if waiter is self.change:
            await waiter
            return True
        self.waits.append((limit, self.upload.is_stuck))
        self.time += self.takes
        if not self.sizes:
            self.is_full = False
            self.unsent = 0
            return True
        self.unsent = self.sizes.pop(0)
        return False


async def send(world: Any, body: Any, *, is_chunked: bool = False) -> bool:
    world.upload = Upload(world, world)
    given = RequestBody(body) if isinstance(body, bytes) else stream_body(body, "data")
    return await world.upload.send(given, is_chunked=is_chunked)


async def later(*pieces: Any) -> AsyncIterator[bytes]:
    for piece in pieces:
        await asyncio.sleep(0)
        if isinstance(piece, Exception):
            raise piece
        yield piece


def now(*pieces: Any) -> Iterator[bytes]:
    for piece in pieces:
        if isinstance(piece, Exception):
            raise piece
        yield piece


def source(kind: str, *pieces: Any) -> Any:
    return {"async": later, "iterator": now}[kind](*pieces)


KINDS = pytest.mark.parametrize("kind", ["async", "iterator"])


@pytest.mark.parametrize(
    ("content", "expected"), [(None, False), (b"", True), (bytes(PIECE), True), (bytes(PIECE + 1), False)]
)
def test_a_short_body_goes_with_its_head(content: bytes | None, expected: bool) -> None:
    """One in memory, of 64 KiB at most."""
    assert is_short(content) is expected


# What is written.


def test_bytes_go_in_pieces() -> None:
    """Each with a timeout of its own."""
    world = World()
    assert run_task(send(world, LONG)) is True
    assert world.written == [LONG[:PIECE], LONG[PIECE : 2 * PIECE], LONG[2 * PIECE :]]


@KINDS
@pytest.mark.parametrize("is_chunked", [True, False])
def test_a_stream_goes_as_it_comes(kind: str, is_chunked: bool) -> None:
    """Each piece is a chunk where the length is not known, and the last chunk is empty."""
    world = World()
    assert run_task(send(world, source(kind, b"ab", LONG[:17]), is_chunked=is_chunked)) is True
    pieces = [b"ab", LONG[:17]]
    if is_chunked:
        pieces = [b"2\r\nab\r\n", b"11\r\n" + LONG[:17] + b"\r\n", b"0\r\n\r\n"]
    assert world.written == pieces


def test_tls_keeps_what_the_server_says_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may refuse the upload and close."""
    kept: list[Any] = []
    monkeypatch.setattr(module, "keep_last_bytes", kept.append)
    world = World()
    run_task(send(world, b"ab"))
    assert kept == [world]


# What ends it.


@KINDS
def test_the_source_of_a_body_is_not_the_network(kind: str) -> None:
    """Its error is kept apart, and no last chunk makes the body look complete."""
    world, error = World(), KeyError("x")
    with pytest.raises(BodySourceError) as caught:
        run_task(send(world, source(kind, b"ab", error), is_chunked=True))
    assert caught.value.error is error
    assert world.written == [b"2\r\nab\r\n"]


@KINDS
def test_a_source_that_takes_its_time_is_ended_by_the_time_of_the_whole(kind: str) -> None:
    world = World()
    world.are_reached = True
    with pytest.raises(TimeoutError):
        run_task(send(world, source(kind, b"ab")))
    assert world.written == []


@each_row("why", ["is_lost", "closing"])
@each_row("kind", ["async", "iterator", "bytes"])
def test_nothing_is_sent_when_it_no_longer_matters(kind: str, why: str) -> None:
    """Nor is the last chunk: the body is not complete."""
    world = World()
    setattr(world, why, True)
    body = LONG if kind == "bytes" else source(kind, b"ab")
    assert run_task(send(world, body, is_chunked=True)) is False
    assert world.written == []


@pytest.mark.parametrize("ends", ["answered", "closed"])
def test_a_source_that_waits_is_ended_with_its_exchange(ends: str) -> None:
    """By the response, and where the coroutine is closed, which may wait for nothing."""

    async def run() -> list[str]:
        world, seen = World(), []

        async def body() -> AsyncIterator[bytes]:
            try:
                yield b"ab"
                seen.append("waits")
                await asyncio.get_running_loop().create_future()
            finally:
                seen.append("ended")

        sending = send(world, body())
        if ends == "closed":
            sending.send(None)
            for _ in range(3):
                await asyncio.sleep(0)
            sending.close()
            assert seen == ["waits"]
        else:
            task = asyncio.ensure_future(sending)
            for _ in range(3):
                await asyncio.sleep(0)
            world.is_lost = True
            world.wake()
            assert await task is False
            assert seen == ["waits", "ended"]
        for _ in range(3):
            await asyncio.sleep(0)
        return seen

    assert run_task(run()) == ["waits", "ended"]


# Waits for room.


@pytest.mark.parametrize(("write", "limit"), [(None, None), (2.0, 0.5)])
@pytest.mark.parametrize("kind", ["bytes", "finish"])
def test_an_upload_waits_for_room(kind: str, write: float | None, limit: float | None) -> None:
    """A quarter of the write timeout each time, to see what was accepted. Without one, the rest is left to the kernel."""
    world: Any = World(write)
    world.upload = Upload(world, world)
    assert not world.upload.is_stuck
    if kind == "bytes":
        world.is_full = True
        assert run_task(send(world, b"ab"))
    else:
        world.unsent = 5
        run_task(world.upload.finish())
    assert world.waits == ([] if (kind, write) == ("finish", None) else [(limit, True)])
    assert not world.upload.is_stuck


@pytest.mark.parametrize(("takes", "waits"), [(0.5, 4), (0.75, 3), (2.0, 1), (1.0, 2)])
def test_an_upload_of_which_nothing_is_accepted_times_out(takes: float, waits: int) -> None:
    """After the write timeout in all, and it is known that it was stuck."""
    world = World(2.0)
    world.is_full, world.takes, world.unsent, world.sizes = True, takes, 7, [7] * 9
    with pytest.raises(TimeoutError):
        run_task(send(world, b"ab"))
    assert (len(world.waits), world.upload.is_stuck) == (waits, True)


def test_an_upload_without_a_write_timeout_waits_on() -> None:
    """Whatever ends its waits."""
    world = World()
    world.is_full, world.takes, world.unsent, world.sizes = True, 1e6, 7, [7] * 9
    assert run_task(send(world, b"ab"))
    assert len(world.waits) == 10


@pytest.mark.parametrize("kind", ["bytes", "finish"])
def test_an_upload_that_no_longer_matters_waits_no_more(kind: str) -> None:
    world: Any = World(2.0)
    world.upload = Upload(world, world)
    world.unsent = 7
    if kind == "finish":
        world.is_lost = True
        run_task(world.upload.finish())
    else:
        world.is_full = True
        write = world.write
        world.write = lambda data: (write(data), setattr(world, "is_lost", True))
        run_task(send(world, b"ab"))
    assert world.waits == []

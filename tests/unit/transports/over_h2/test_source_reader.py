"""The reader of an asynchronous body: one task, a chunk when it is wanted, and nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from http_service_client.transports.over_h2.source_reader import SourceReader
from kit.jumping_loop import JumpingLoop


class FailedError(Exception):
    """Of a source. A class of its own can be referred to weakly."""


class Reading:
    """A reader on a loop in virtual time.   news: how often it told.   reports: what the loop would log."""

    def __init__(self) -> None:
        self.loop = JumpingLoop(furthest=100.0)
        self.reports: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda loop, context: self.reports.append(context))
        self.news = 0

    def tell(self) -> None:
        self.news += 1

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    async def made(self, chunks: AsyncIterator[bytes]) -> SourceReader:
        return SourceReader(chunks, self.tell)

    async def next(self, reader: SourceReader) -> bytes | None:
        """What has come, once the next chunk was wanted."""
        reader.want()
        while not reader.is_ready:
            await asyncio.sleep(0.5)
        return reader.take()


@pytest.fixture
def reading() -> Iterator[Reading]:
    made = Reading()
    yield made
    made.loop.close()


async def chunks(*parts: bytes, then: Exception | None = None) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
    if then is not None:
        raise then


async def failing() -> AsyncIterator[bytes]:
    """Nothing but its traceback holds its error."""
    raise FailedError("x")
    yield b""


def test_each_chunk_comes_once_it_is_wanted(reading: Reading) -> None:
    """And each is told, as is the end, which is ready from then on."""

    async def run() -> None:
        reader = await reading.made(chunks(b"a", b"b"))
        await asyncio.sleep(1.0)
        seen: list[Any] = [(reader.is_ready, reading.news)]
        for _ in range(3):
            seen.append((await reading.next(reader), reading.news))
            await asyncio.sleep(1.0)
        for _ in range(2):
            seen.append((reader.is_ready, reader.take()))
        reader.want()
        await asyncio.sleep(1.0)
        seen.append((reader.is_ready, reader.take(), reading.news))
        await reader.close(True)
        assert seen == [
            (False, 0),
            (b"a", 1),
            (b"b", 2),
            (None, 3),
            (True, None),
            (True, None),
            (True, None, 3),
        ]

    reading.run(run())


def test_a_chunk_that_is_wanted_twice_is_one(reading: Reading) -> None:
    """Nothing is read ahead."""

    async def run() -> None:
        reader = await reading.made(chunks(b"a", b"b"))
        reader.want()
        reader.want()
        await asyncio.sleep(1.0)
        assert (reader.is_ready, reading.news, reader.take(), reader.is_ready) == (True, 1, b"a", False)
        await reader.close(True)

    reading.run(run())


def test_one_task_reads_all_chunks(reading: Reading) -> None:
    """What the source sets in its context is set at its next chunk, and is not set for the exchange."""
    variable: ContextVar[int] = ContextVar("variable", default=0)
    tasks: list[Any] = []

    async def source() -> AsyncIterator[bytes]:
        for number in (1, 2):
            tasks.append(asyncio.current_task())
            variable.set(variable.get() + number)
            yield str(variable.get()).encode()

    async def run() -> None:
        reader = await reading.made(source())
        assert [await reading.next(reader) for _ in range(3)] == [b"1", b"3", None]
        assert tasks[0] is tasks[1] is not asyncio.current_task()
        assert variable.get() == 0

    reading.run(run())


def test_what_the_source_raises_is_raised_where_it_is_taken(reading: Reading) -> None:
    """Once. After it, there is nothing more."""
    failed = FailedError("x")

    async def run() -> None:
        reader = await reading.made(chunks(b"a", then=failed))
        assert await reading.next(reader) == b"a"
        with pytest.raises(FailedError) as caught:
            await reading.next(reader)
        assert caught.value is failed
        assert (reader.is_ready, reader.take(), reading.news) == (True, None, 2)
        await reader.close(True)

    reading.run(run())


def test_an_error_that_was_taken_is_freed_with_its_last_reference(reading: Reading) -> None:
    """The cycle collector is off."""

    async def run() -> None:
        reader = await reading.made(failing())
        gc.collect()
        gc.disable()
        try:
            try:
                await reading.next(reader)
            except FailedError as error:
                freed = weakref.ref(error)
            await asyncio.sleep(1.0)
            assert freed() is None
        finally:
            gc.enable()
        await reader.close(True)

    reading.run(run())


def test_an_error_that_nobody_takes_is_not_logged(reading: Reading) -> None:
    """The exchange has ended before: it has its outcome, such as the response of a server that refused the body."""

    async def run() -> None:
        reader = await reading.made(failing())
        reader.want()
        await asyncio.sleep(1.0)
        assert reader.is_ready
        await reader.close(True)

    reading.run(run())
    gc.collect()
    assert reading.reports == []


@pytest.mark.parametrize(
    ("may_wait", "ends_at"), [(True, 3.0), (False, 1.0)], ids=["may wait", "must not wait"]
)
def test_a_source_that_is_left_is_ended(reading: Reading, may_wait: bool, ends_at: float) -> None:
    """In the midst of its step. The end of that is awaited where it may be."""
    ended: list[float] = []

    async def source() -> AsyncIterator[bytes]:
        try:
            await asyncio.sleep(99.0)
            yield b"x"
        finally:
            await asyncio.sleep(2.0)
            ended.append(reading.loop.time())

    async def run() -> None:
        reader = await reading.made(source())
        reader.want()
        await asyncio.sleep(1.0)
        await reader.close(may_wait)
        assert reading.loop.time() == ends_at
        await asyncio.sleep(5.0)
        assert ended == [3.0]

    reading.run(run())
    assert reading.reports == []


@pytest.mark.parametrize("wants", [False, True], ids=["nothing was wanted", "a chunk has come"])
def test_a_source_that_waits_to_be_asked_ends_at_once(reading: Reading, wants: bool) -> None:
    """It gets no further step of its own."""
    steps: list[int] = []

    async def source() -> AsyncIterator[bytes]:
        for number in range(3):
            steps.append(number)
            yield b"x"

    async def run() -> None:
        reader = await reading.made(source())
        if wants:
            reader.want()
        await asyncio.sleep(1.0)
        await reader.close(True)
        assert reading.loop.time() == 1.0
        await asyncio.sleep(5.0)
        assert steps == [0] * wants

    reading.run(run())
    assert reading.reports == []

"""Sources of uploads, such as generators and files, that fail, end the call, are too slow, or become shorter."""

from __future__ import annotations

import asyncio
import gc
import io
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import pytest

from http_service_client.errors import AttemptTimeoutError, ConnectionLostError, EgressRefusedError
from http_service_client.testing.server import LoopbackServer, respond
from http_service_client.transports.over_aiohttp.hook_detection import is_hooked as is_hooked_async
from kit.front_ends import AsyncioFrontEnd, BlockingFrontEnd, FrontEnd
from kit.threads import wait_until
from network.faults import failing


class Source(Exception):
    """An error of the caller's own generator."""


def failing_source() -> Iterator[bytes]:
    yield b"x" * 100_000
    raise Source


async def failing_source_async() -> AsyncIterator[bytes]:
    for piece in failing_source():
        yield piece


@pytest.mark.parametrize("source", [failing_source, failing_source_async])
def test_an_error_of_the_body_s_source_is_raised_unchanged(
    front_end: FrontEnd, server: LoopbackServer, source: Any
) -> None:
    """The server is not to blame, and nothing is retried."""
    if source is failing_source_async and isinstance(front_end, BlockingFrontEnd):
        pytest.skip("see test_an_async_body_needs_a_loop")
    server.script("/", respond(204))
    client = front_end.client()
    with pytest.raises(Source) as caught:
        front_end.request(client, "POST", server.url + "/", data=source(), idempotent=True)
    assert caught.value.__context__ is None
    del caught
    assert server.wait_for(lambda: server.open_connections == 0)
    assert front_end.request(client, "GET", server.url + "/").status_code == 204
    assert [request.method for request in server.requests] == ["GET"]


class FailingSource:
    """A body that could be sent again, and that raises in its midst."""

    def __init__(self, error: BaseException) -> None:
        self.error, self.reads = error, 0

    def __iter__(self) -> Iterator[bytes]:
        self.reads += 1
        yield b"x" * 100_000
        raise self.error


class AsyncFailingSource(FailingSource):
    """The same, for asyncio."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece


@pytest.mark.parametrize("kind", [FailingSource, AsyncFailingSource])
@pytest.mark.parametrize(
    "error",
    [
        ConnectionLostError("the connection to another service was lost"),
        EgressRefusedError("another service is not allowed", host="h", address=None),
        TimeoutError("another service"),
        ConnectionResetError("another service"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_of_another_service_is_none_of_this_one(
    front_end: FrontEnd, server: LoopbackServer, kind: Any, error: Exception
) -> None:
    """A body may be the response of another call. Its error is raised as it is, repeats nothing, and is no evidence."""
    if kind is AsyncFailingSource and isinstance(front_end, BlockingFrontEnd):
        pytest.skip("see test_an_async_body_needs_a_loop")
    client, source = front_end.client(), kind(error)
    with pytest.raises(type(error)) as caught:
        front_end.request(client, "PUT", server.url + "/", data=source)
    assert (caught.value is error, source.reads) == (True, 1)
    snapshot = client.get_circuit_breaker(server.url).snapshot()
    assert (snapshot.successes, snapshot.failures, snapshot.abandoned) == (0, 0, 1)


def test_a_plain_generator_is_bounded_by_the_timeout(each_path: FrontEnd, server: LoopbackServer) -> None:
    """It cannot be interrupted, but what it yields too late makes no whole request, though there is room to send it."""
    read: list[bytes] = []

    def slow() -> Iterator[bytes]:
        for piece in (b"in time", b"too late", b"later still"):
            if read:
                wait_until(lambda: time.monotonic() > began + 0.6)
            read.append(piece)
            yield piece

    server.script("/", respond(204))
    client = each_path.client()
    each_path.request(client, "GET", server.url + "/")
    began = time.monotonic()
    with pytest.raises(AttemptTimeoutError):
        each_path.request(client, "POST", server.url + "/", data=slow(), timeout=0.5)
    assert b"later still" not in read
    assert [request.method for request in server.requests] == ["GET"]


@pytest.mark.parametrize("error", [asyncio.CancelledError, GeneratorExit])
def test_a_source_that_ends_the_call_is_read_once(
    each_path: FrontEnd, server: LoopbackServer, error: type[BaseException]
) -> None:
    """What is no `Exception` is no lost connection either, also where a task of aiohttp reads the source."""
    if sys.version_info < (3, 11) and error is asyncio.CancelledError and is_hooked_async():
        pytest.skip("a task does not know whether it was cancelled")
    client, source = each_path.client(), FailingSource(error())
    with pytest.raises(error):
        each_path.request(client, "PUT", server.url + "/", data=source)
    assert source.reads == 1
    snapshot = client.get_circuit_breaker(server.url).snapshot()
    assert (snapshot.successes, snapshot.failures, snapshot.abandoned) == (0, 0, 1)


@pytest.mark.parametrize("as_file", [False, True], ids=["generator", "file"])
def test_a_source_cannot_end_by_an_exception(
    front_end: FrontEnd, server: LoopbackServer, as_file: bool
) -> None:
    """The one that ends an asynchronous iterator would make a part of a body look like a whole one."""

    class File(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise StopAsyncIteration

    source: Any = File(b"x" * 10) if as_file else FailingSource(StopAsyncIteration())
    with pytest.raises((RuntimeError, StopAsyncIteration)):
        front_end.request(front_end.client(), "PUT", server.url + "/", data=source)
    assert server.wait_for(lambda: server.open_connections == 0)
    assert server.requests == []


@pytest.mark.parametrize("source", [failing_source, failing_source_async])
def test_an_error_of_a_source_leaves_no_cycle(
    front_end: FrontEnd,
    mute: str,
    source: Any,
    no_reference_cycles: None,  # the last: it looks while the client is still there
) -> None:
    """It would keep the exchange, and what the source holds, until the collector runs."""
    client, url = front_end.client(), f"http://{mute}/"

    async def call() -> None:
        with suppress(Source):
            await client.post_async(url, data=source())

    if isinstance(front_end, AsyncioFrontEnd):
        front_end.loop.run_until_complete(call())
    elif source is failing_source:
        with suppress(Source):
            client.post(url, data=source())


def test_an_error_of_a_source_whose_call_has_ended_is_not_logged(mute: str) -> None:
    """Nobody waits for it any more. asyncio would log it as one that was never retrieved."""

    async def source() -> AsyncIterator[bytes]:
        try:
            yield b"x"
            await asyncio.sleep(100)
        finally:
            raise Source

    logged: list[Any] = []
    with AsyncioFrontEnd() as front_end:
        front_end.loop.set_exception_handler(lambda loop, context: logged.append(context))
        client = front_end.client(enable_retry_policy=False)
        caught = failing(front_end, client, "POST", f"http://{mute}/", data=source(), timeout=0.1)
        assert caught.type == "AttemptTimeoutError"
        gc.collect()
    assert logged == []


def test_a_file_that_shrinks_is_refused(front_end: FrontEnd, server: LoopbackServer) -> None:
    """Its length was declared in the head already."""
    server.script("/", respond(204))
    client = front_end.client()

    class Shrinking(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(size) if self.tell() < 65536 else b""

    caught = failing(front_end, client, "POST", server.url + "/", data=Shrinking(b"x" * 600_000))
    assert caught.type == "InvalidRequestError"
    assert "shorter" in caught.message

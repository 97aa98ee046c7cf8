"""The two front ends of a command: what each asks of its client, and how a call and the client end."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import ConnectError, HttpResponse
from http_service_client.cli.request.front_ends import AsyncioFrontEnd, BlockingFrontEnd, FrontEnd

RESPONSE = HttpResponse(200)
PIECES = [b"green", b" ", b"tea"]


class Client:
    """Notes what it is asked for.   close_async: replaced by a test."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def _answer(self, *what: Any, **keywords: Any) -> HttpResponse:
        self.asked.append((*what, keywords))
        return RESPONSE

    def request(self, *arguments: Any, **keywords: Any) -> HttpResponse:
        return self._answer("request", *arguments, **keywords)

    def download(self, *arguments: Any, **keywords: Any) -> HttpResponse:
        return self._answer("download", *arguments, **keywords)

    def download_parallel(self, *arguments: Any, **keywords: Any) -> HttpResponse:
        return self._answer("download_parallel", *arguments, **keywords)

    def close(self) -> None:
        self._answer("close")

    async def request_async(self, *arguments: Any, **keywords: Any) -> HttpResponse:
        return self._answer("request", *arguments, **keywords)

    async def download_async(self, *arguments: Any, **keywords: Any) -> HttpResponse:
        return self._answer("download", *arguments, **keywords)

    async def download_parallel_async(self, *arguments: Any, **keywords: Any) -> HttpResponse:
        return self._answer("download_parallel", *arguments, **keywords)

    async def close_async(self) -> None:
        self._answer("close")


@pytest.fixture
def client() -> Any:
    return Client()


@pytest.fixture(params=[BlockingFrontEnd, AsyncioFrontEnd], ids=["blocking", "asyncio"])
def front_end(request: pytest.FixtureRequest, client: Any) -> Iterator[FrontEnd]:
    made: FrontEnd = request.param(client)
    yield made
    made.close()


def test_a_request_is_that_of_the_client(front_end: FrontEnd, client: Client) -> None:
    """With its keywords, and with its response."""
    assert front_end.request("PUT", "http://h/", data=b"tea") is RESPONSE
    assert client.asked == [("request", "PUT", "http://h/", {"data": b"tea"})]


@pytest.mark.parametrize(
    ("parts", "asked"),
    [
        (None, ("download", "http://h/", "tea.txt", {"resume": True})),
        (1, ("download_parallel", "http://h/", "tea.txt", {"parts": 1, "resume": True})),
        (4, ("download_parallel", "http://h/", "tea.txt", {"parts": 4, "resume": True})),
    ],
)
def test_a_file_is_saved_whole_or_in_parts(
    parts: int | None, asked: tuple[Any, ...], front_end: FrontEnd, client: Client
) -> None:
    """In parallel, where a number of parts was given: also where it is one."""
    assert front_end.download("http://h/", "tea.txt", parts, resume=True) is RESPONSE
    assert client.asked == [asked]


def test_the_pieces_of_a_body_come_one_by_one(front_end: FrontEnd) -> None:
    """Until its end."""

    async def pieces_async() -> AsyncIterator[bytes]:
        for piece in PIECES:
            yield piece

    is_blocking = isinstance(front_end, BlockingFrontEnd)
    response = SimpleNamespace(iter_bytes=lambda: iter(PIECES) if is_blocking else pieces_async())
    assert list(front_end.pieces(response)) == PIECES


def test_the_client_is_closed_with_its_front_end(client: Client) -> None:
    """Once."""
    for kind in (BlockingFrontEnd, AsyncioFrontEnd):
        kind(client).close()  # type: ignore[arg-type]
    assert client.asked == [("close", {})] * 2


class OnALoop:
    """A front end whose client's calls are a coroutine of a test."""

    def __init__(self, client: Any) -> None:
        self.front_end = AsyncioFrontEnd(client)
        self.client = client

    def call(self, function: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        self.client.request_async = lambda *_: function()
        return self.front_end.request("GET", "http://h/")


@pytest.fixture
def loop(client: Any) -> OnALoop:
    return OnALoop(client)


def test_nothing_is_left_of_a_loop(loop: OnALoop) -> None:
    """Neither the loop itself, nor its threads, such as those that look up names, nor an iteration without an end."""
    left: list[AsyncIterator[int]] = []
    ended = []
    threads: list[threading.Thread] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            ended.append(1)

    def look_up() -> None:
        threads.append(threading.current_thread())
        time.sleep(0.02)

    async def call() -> asyncio.AbstractEventLoop:
        left.append(numbers())
        await anext(left[0])
        running = asyncio.get_running_loop()
        running.run_in_executor(None, look_up)
        return running

    running = loop.call(call)
    loop.front_end.close()
    assert running.is_closed()
    assert [thread.is_alive() for thread in threads] == [False]
    assert ended == [1]


def test_a_loop_is_closed_whatever_its_client_says(loop: OnALoop) -> None:
    """And the error of the client is raised."""

    async def running() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    async def close() -> None:
        raise ZeroDivisionError

    found = loop.call(running)
    loop.client.close_async = close
    with pytest.raises(ZeroDivisionError):
        loop.front_end.close()
    assert found.is_closed()


def interrupt() -> None:
    """As Ctrl-C does, in the middle of whatever a loop is doing."""

    def press() -> None:
        raise KeyboardInterrupt

    asyncio.get_running_loop().call_soon(press)


def test_a_call_that_is_interrupted_comes_to_its_end(loop: OnALoop) -> None:
    """So that it closes its connection; then the interruption goes on, and the next step works."""
    seen = []

    async def interrupted() -> None:
        interrupt()
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            seen.append("cancelled")
            await asyncio.sleep(0.01)
            seen.append("ended")
            raise

    with pytest.raises(KeyboardInterrupt):
        loop.call(interrupted)
    assert seen == ["cancelled", "ended"]
    loop.front_end.close()
    assert loop.client.asked == [("close", {})]


@pytest.mark.parametrize("fails", [True, False], ids=["error", "response"])
def test_what_becomes_of_an_interrupted_call_is_not_told(
    fails: bool, loop: OnALoop, caplog: pytest.LogCaptureFixture
) -> None:
    """Its error is not even logged, as that of a task which nobody asked: it was asked to end."""

    async def interrupted() -> None:
        interrupt()
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            if fails:
                raise ConnectError("gone") from None

    with suppress(KeyboardInterrupt):  # unlike `pytest.raises`, it keeps nothing of it
        loop.call(interrupted)
    loop.front_end.close()
    gc.collect()
    assert caplog.messages == []

"""Who may read a stream: any thread, any task of its event loop, but no two of them at the same time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from http_service_client import HttpServiceClient, StreamError
from kit.streaming import ScriptedSource, StreamingTransport
from kit.threads import in_time

URL = "https://api.example.com/feed"
ITERATORS: dict[str, Callable[[Any], Any]] = {
    "bytes": lambda response: response.iter_bytes(),
    "pieces of a size": lambda response: response.iter_bytes(3),
    "lines": lambda response: response.iter_lines(),
    "JSON": lambda response: response.iter_json(),
}


class Source(ScriptedSource):
    """A body whose first read is going on when `during` runs, once."""

    during: Callable[[], Any] | None = None

    def read(self, timeout: Any) -> Any:
        during, self.during = self.during, None
        if during is not None:
            during()
        return super().read(timeout)

    async def read_async(self, timeout: Any) -> Any:
        during, self.during = self.during, None
        if during is not None:
            await during()
        return super().read(timeout)


class Transport(StreamingTransport):
    def send(self, request: Any, timeout: Any) -> Any:
        response = super().send(request, timeout)
        response.source = Source(self._script)
        return response

    open_response = send

    async def send_async(self, request: Any, timeout: Any) -> Any:
        return self.send(request, timeout)

    open_response_async: Any = send_async


def source_of(response: Any) -> Source:
    source: Source = response._body._source
    return source


@pytest.mark.parametrize("kind", ITERATORS)
def test_a_second_thread_is_refused_and_the_first_one_reads_on(kind: str) -> None:
    """Each would get a part of the bytes, or of the framing around them."""
    client = HttpServiceClient(transport=Transport(b"1\n2\n", b"3\n"))
    with client.stream("GET", URL) as response:
        items = ITERATORS[kind](response)
        refused: list[str] = []

        def read_too() -> None:
            with pytest.raises(StreamError) as caught:
                in_time(lambda: next(items))
            refused.append(str(caught.value))

        source_of(response).during = read_too
        whole = [str(item) for item in items]
    assert refused == ["another thread is reading this body; read it in one thread at a time"]
    assert len(whole) == {"bytes": 2, "pieces of a size": 2, "lines": 3, "JSON": 3}[kind]


@pytest.mark.parametrize("kind", ITERATORS)
def test_a_second_task_is_refused_and_the_first_one_reads_on(kind: str) -> None:
    """As with threads."""

    async def main() -> None:
        client = HttpServiceClient(transport=Transport(b"1\n2\n", b"3\n"))
        async with client.stream_async("GET", URL) as response:
            items = ITERATORS[kind](response)
            refused: list[str] = []

            async def read_too() -> None:
                with pytest.raises(StreamError) as caught:
                    await asyncio.wait_for(asyncio.ensure_future(anext(items)), 10)
                refused.append(str(caught.value))

            source_of(response).during = read_too
            whole = [item async for item in items]
        assert refused == ["another task is reading this body; read it in one task at a time"]
        assert len(whole) == {"bytes": 2, "pieces of a size": 2, "lines": 3, "JSON": 3}[kind]

    asyncio.run(main())


def test_another_event_loop_is_refused() -> None:
    """The connection belongs to the loop on which it was made. There, the stream goes on."""

    async def main() -> None:
        client = HttpServiceClient(transport=Transport(b"one", b"two"))
        async with client.stream_async("GET", URL) as response:
            pieces = response.iter_bytes()

            def elsewhere() -> None:
                async def read() -> bytes:
                    return await anext(pieces)

                with pytest.raises(StreamError, match="was opened on another event loop; read it there"):
                    asyncio.run(read())

            await asyncio.to_thread(elsewhere)
            assert [piece async for piece in pieces] == [b"one", b"two"]

    asyncio.run(main())


def test_threads_and_tasks_may_take_turns() -> None:
    """A stream belongs to nobody between two reads."""
    client = HttpServiceClient(transport=Transport(b"one", b"two"))
    with client.stream("GET", URL) as response:
        pieces = response.iter_bytes()
        threads: set[int] = set()

        def read() -> bytes:
            threads.add(threading.get_ident())
            return next(pieces)

        assert [in_time(read), read()] == [b"one", b"two"]
        assert len(threads) == 2

    async def main() -> None:
        async with client.stream_async("GET", URL) as response:
            pieces = response.iter_bytes()
            assert [await asyncio.ensure_future(anext(pieces)), await anext(pieces)] == [b"one", b"two"]

    asyncio.run(main())

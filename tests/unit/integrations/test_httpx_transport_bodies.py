"""The bodies of requests and responses under our transports for httpx: read, discarded, and sent again."""

from __future__ import annotations

import gzip
import io
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from http_service_client import HttpClientConfig, HttpServiceClient
from http_service_client.integrations import AsyncResilientTransport, ResilientTransport, adapter_base
from http_service_client.testing import LoopbackServer, VirtualClock, raw, respond, stall
from kit.httpx_clients import DOWN, STOPS, Clients, Reads

URL = "https://api.test/"


def test_a_stream_is_left_unread(clients: Clients, server: LoopbackServer) -> None:
    """Its body is read by the code that asked for it."""
    server.script("/", DOWN, respond(200, body="piece by piece"))
    client = clients.client()
    if clients.is_async:

        async def read() -> tuple[bool, bytes]:
            async with client.stream("GET", server.url) as response:
                return response.is_stream_consumed, await response.aread()

        was_read, content = clients.wait(read())
    else:
        with client.stream("GET", server.url) as response:
            was_read, content = response.is_stream_consumed, response.read()
    assert (was_read, content) == (False, b"piece by piece")


def test_a_discarded_response_keeps_its_connection(clients: Clients, server: LoopbackServer) -> None:
    """Its short body is read before the retry."""
    server.script("/", DOWN, respond(200))
    assert clients.request(clients.client(), "GET", server.url).status_code == 200
    assert server.connection_count == 1


def test_a_long_discarded_response_is_closed(clients: Clients, server: LoopbackServer) -> None:
    """It is not read to its end, and its connection does not block the pool."""
    limits = clients.library.Limits(max_connections=1)
    server.script("/", respond(503, body=b"x" * 3_000_000), respond(200))
    transport = clients.transport(transport=clients.inner(limits=limits))
    assert clients.request(clients.client(transport), "GET", server.url).status_code == 200
    assert server.connection_count == 2


def test_the_body_of_a_discarded_response_costs_no_more_than_the_attempt_has(
    clients: Clients, server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body that stops is read for a part of the next attempt's time, which ends when it would have ended."""
    monkeypatch.setattr(adapter_base, "DRAIN_TIME", 6.0)
    server.script("/", raw(STOPS, b"y", every=30.0), stall())
    config = HttpClientConfig(base_timeout=0.3, retry_policy_config={"max_attempts": 2})
    began = time.monotonic()
    with pytest.raises(clients.library.TransportError):
        clients.request(clients.client(clients.transport(config)), "GET", server.url)
    assert time.monotonic() - began < 5
    assert server.wait_for(lambda: len(server.requests) == 2)


def test_a_discarded_response_has_a_time_of_its_own(
    clients: Clients, server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body that stops does not take what the next attempt could use."""
    monkeypatch.setattr(adapter_base, "DRAIN_TIME", 0.1)
    server.script("/", raw(STOPS, b"y", every=30.0), respond(200))
    client = clients.client(clients.transport(HttpClientConfig(base_timeout=4.0)))
    began = time.monotonic()
    assert clients.request(client, "GET", server.url).status_code == 200
    assert time.monotonic() - began < 3


def test_the_last_of_some_failures_can_be_read(clients: Clients, server: LoopbackServer) -> None:
    """It is a response like any other."""
    server.script("/", DOWN)
    response = clients.request(clients.client(), "GET", server.url)
    assert (response.status_code, response.text) == (503, "down")


@pytest.mark.parametrize("read_bodies", [True, False])
def test_a_body_that_is_lost(clients: Clients, server: LoopbackServer, read_bodies: bool) -> None:
    """It is fetched again if an attempt includes it; else httpx reads it, after the call."""
    cut = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    server.script("/", cut, respond(200, body="whole"))
    client = clients.client(clients.transport(read_bodies=read_bodies))
    if read_bodies:
        assert clients.request(client, "GET", server.url).text == "whole"
    else:
        with pytest.raises(clients.library.RemoteProtocolError):
            clients.request(client, "GET", server.url)


def test_a_coded_body_that_was_read_is_decoded(clients: Clients, server: LoopbackServer) -> None:
    """By httpx, as ever."""
    server.script("/", respond(200, headers={"Content-Encoding": "gzip"}, body=gzip.compress(b"hello")))
    client = clients.client(clients.transport(read_bodies=True))
    assert clients.request(client, "GET", server.url).text == "hello"


def test_a_generator_is_sent_once(clients: Clients, server: LoopbackServer) -> None:
    """What was read cannot be sent again: the 503 is the result, and no empty body is sent."""
    server.script("/", DOWN, respond(200))

    def plain() -> Iterator[bytes]:
        yield b"pay"

    async def asynchronous() -> Any:
        yield b"pay"

    body: Any = asynchronous() if clients.is_async else plain()
    response = clients.request(clients.client(), "PUT", server.url, content=body)
    assert response.status_code == 503
    assert [request.body for request in server.requests] == [b"pay"]


def test_a_generator_that_was_not_read_is_sent(clients: Clients) -> None:
    """A refused connection has read nothing."""
    with LoopbackServer() as server:
        server.script("/", respond(200))
        server.refuse()
        client = HttpServiceClient(
            clock=VirtualClock(), on_event=lambda event: server.accept() if "Retry" in repr(event) else None
        )
        transport = (AsyncResilientTransport if clients.is_async else ResilientTransport)(client=client)

        async def asynchronous() -> Any:
            yield b"pay"

        body: Any = asynchronous() if clients.is_async else iter([b"pay"])
        response = clients.request(clients.client(transport), "POST", server.url, content=body)
        assert response.status_code == 200
        assert [request.body for request in server.requests] == [b"pay"]


def test_what_can_be_iterated_again_is_sent_again(clients: Clients, server: LoopbackServer) -> None:
    """Each time from its start: it is no iterator itself."""

    class Pieces:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"pa", b"y"])

    class AsyncPieces:
        async def __aiter__(self) -> AsyncIterator[bytes]:
            for piece in (b"pa", b"y"):
                yield piece

    server.script("/", DOWN, respond(200))
    body: Any = AsyncPieces() if clients.is_async else Pieces()
    response = clients.request(clients.client(), "PUT", server.url, content=body)
    assert response.status_code == 200
    assert [request.body for request in server.requests] == [b"pay", b"pay"]


def test_files_of_a_form_are_sent_again(clients: Clients, server: LoopbackServer) -> None:
    """From their start."""
    server.script("/", DOWN, respond(200))
    files = {"file": ("a.txt", io.BytesIO(b"content"))}
    response = clients.request(clients.client(), "PUT", server.url, files=files)
    assert response.status_code == 200
    first, second = (request.body for request in server.requests)
    assert first == second
    assert b"content" in second


class Pipe:
    """A file that has no position, or whose position cannot be set."""

    def __init__(self) -> None:
        self._left = [b"pay"]

    def read(self, size: int = -1) -> bytes:
        return self._left.pop() if self._left else b""

    def __iter__(self) -> Iterator[bytes]:
        return iter([b"pay"])


class Untellable(Pipe):
    def tell(self) -> int:
        raise io.UnsupportedOperation

    def seek(self, *arguments: int) -> int:
        return 0


class Unseekable(Pipe):
    def tell(self) -> int:
        return 0

    def seek(self, *arguments: int) -> int:
        raise io.UnsupportedOperation


KINDS = pytest.mark.parametrize("kind", [Pipe, Untellable, Unseekable])
BLOCKING = pytest.mark.parametrize("library", ["httpx", "httpx2"])  # an AsyncClient takes no plain file


@KINDS
@BLOCKING
def test_a_file_that_cannot_be_rewound_is_sent_once(library: str, kind: Any) -> None:
    """The 503 is the result."""
    with ExitStack() as stack:
        clients = Clients(library, False, stack)
        sends = Reads(clients, 503)
        client = clients.client(clients.transport(transport=sends))
        assert client.put(URL, content=kind()).status_code == 503
    assert len(sends.sent) == 1


@KINDS
def test_a_form_with_a_file_that_cannot_be_rewound_is_sent_once(clients: Clients, kind: Any) -> None:
    """Though others in it can be."""
    files = {"first": b"text", "second": kind(), "third": io.BytesIO(b"file")}
    sends = Reads(clients, 503)
    response = clients.request(clients.client(clients.transport(transport=sends)), "PUT", URL, files=files)
    assert (response.status_code, len(sends.sent)) == (503, 1)


def test_a_form_without_pipes_is_sent_again(clients: Clients, server: LoopbackServer) -> None:
    """Its fields, its texts, its bytes, and its files from their start."""
    server.script("/", DOWN, respond(200))
    files = {"bytes": b"one", "file": ("a.txt", io.BytesIO(b"two")), "text": ("b.txt", "three")}
    response = clients.request(clients.client(), "PUT", server.url, data={"field": "four"}, files=files)
    assert response.status_code == 200
    first, second = (request.body for request in server.requests)
    assert first == second
    assert all(part in second for part in (b"one", b"two", b"three", b"four"))


def test_a_form_that_is_unlike_the_library_s_is_sent_once(clients: Clients) -> None:
    """What is inside it is not known."""

    class MultipartStream(clients.library.SyncByteStream, clients.library.AsyncByteStream):  # type: ignore[misc,name-defined]
        """It has no `fields`."""

        def __iter__(self) -> Iterator[bytes]:
            yield b"pay"

        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"pay"

    sends = Reads(clients, 503)
    request = clients.library.Request("PUT", URL, stream=MultipartStream())
    assert clients.handled(clients.transport(transport=sends), request).status_code == 503
    assert len(sends.sent) == 1


@BLOCKING
def test_a_file_is_sent_again_from_where_it_was(library: str, server: LoopbackServer) -> None:
    """When the client got it."""
    with ExitStack() as stack:
        clients = Clients(library, False, stack)
        server.script("/", DOWN, DOWN, respond(200))
        file = io.BytesIO(b"header,body")
        file.seek(7)
        headers = {"Content-Length": "4"}  # some versions of the library declare that of the whole file
        response = clients.client().put(server.url, content=file, headers=headers)
    assert response.status_code == 200
    assert [request.body for request in server.requests] == [b"body"] * 3


class FileOfBothKinds(io.BytesIO):
    """A file whose lines may be awaited as well."""

    def __aiter__(self) -> Any:
        return self


@BLOCKING
def test_a_file_that_may_be_awaited_as_well_is_sent_again(library: str, server: LoopbackServer) -> None:
    """By a client that does not await it."""
    with ExitStack() as stack:
        clients = Clients(library, False, stack)
        server.script("/", DOWN, respond(200))
        response = clients.client().put(server.url, content=FileOfBothKinds(b"pay"))
    assert response.status_code == 200
    assert [request.body for request in server.requests] == [b"pay"] * 2


class AsyncFile:
    """A file whose methods are awaited, as those of aiofiles and anyio are."""

    def __init__(self, *, has_iterator: bool) -> None:
        self._left = [b"pay"]
        self._has_iterator = has_iterator

    async def read(self, size: int = -1) -> bytes:
        return self._left.pop() if self._left else b""

    async def tell(self) -> int:
        return 0

    async def seek(self, *arguments: int) -> int:
        return 0

    def __aiter__(self) -> Any:
        return self._lines() if self._has_iterator else self

    async def _lines(self) -> AsyncIterator[bytes]:
        while line := await self.read():
            yield line

    async def __anext__(self) -> bytes:
        if line := await self.read():
            return line
        raise StopAsyncIteration


class AsyncFileOfHttpx:
    """A file as httpx itself would name its methods."""

    def __init__(self) -> None:
        self._left = [b"pay"]

    async def aread(self, size: int = -1) -> bytes:
        return self._left.pop() if self._left else b""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while line := await self.aread():
            yield line


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "make",
    [lambda: AsyncFile(has_iterator=False), lambda: AsyncFile(has_iterator=True), AsyncFileOfHttpx],
    ids=["aiofiles", "anyio", "httpx"],
)
@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_a_file_that_is_awaited_is_sent_once(
    library: str, make: Callable[[], object], server: LoopbackServer
) -> None:
    """It is not rewound, and no empty body is sent in its place."""
    with ExitStack() as stack:
        clients = Clients(library, True, stack)
        server.script("/", DOWN, respond(200))
        response = clients.request(clients.client(), "PUT", server.url, content=make())
    assert response.status_code == 503
    assert [request.body for request in server.requests] == [b"pay"]


def test_a_stream_of_one_s_own_is_sent_once(clients: Clients) -> None:
    """What is inside it is not known."""

    class Plain(clients.library.SyncByteStream):  # type: ignore[misc,name-defined]
        def __iter__(self) -> Iterator[bytes]:
            yield b"pay"

    class Asynchronous(clients.library.AsyncByteStream):  # type: ignore[misc,name-defined]
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"pay"

    sends = Reads(clients, 503)
    stream = Asynchronous() if clients.is_async else Plain()
    request = clients.library.Request("PUT", URL, stream=stream)
    assert clients.handled(clients.transport(transport=sends), request).status_code == 503
    assert len(sends.sent) == 1

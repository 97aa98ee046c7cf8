"""HTTP/2: bodies that are sent and received, whole and as streams, of one call among others on its connection."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import pytest

pytest.importorskip("h2", reason="the extra http2 is not installed")

from h2.errors import ErrorCodes

from http_service_client import HttpServiceClient, Timeout
from http_service_client.errors import AttemptTimeoutError, HttpClientError
from http_service_client.testing.server import LoopbackServer, answer, respond
from kit.front_ends import AsyncioFrontEnd, FrontEnd
from kit.http2_server import Exchange, Http2Server, NewClient
from kit.threads import wait_until
from network.faults import Certificates, failing
from network.http2_calls import echo, ok


def never(exchange: Exchange) -> None:
    """No response."""


# Bodies.


def test_large_bodies_go_both_ways(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server
) -> None:
    """More than any window has room for: from memory, a file and a generator."""
    content = bytes(range(256)) * 10_000
    http2_server.on("/", echo)
    for data in (
        content,
        io.BytesIO(content),
        (content[i : i + 99_999] for i in range(0, len(content), 99_999)),
    ):
        response = front_end.request(http2_client, "POST", http2_server.url + "/", data=data)
        assert response.content == content
    assert len(http2_server.connections) == 1


def test_a_response_that_is_too_large_is_not_read(
    front_end: FrontEnd, new_client: NewClient, http2_server: Http2Server
) -> None:
    """Reading stops at the limit, and the stream is reset."""
    http2_server.on("/", lambda exchange: exchange.respond(body=b"x" * 5_000_000))
    caught = failing(front_end, new_client(max_response_size=10_000), "GET", http2_server.url + "/")
    assert (caught.type, caught.sent) == ("ResponseTooLargeError", "answered")
    assert http2_server.exchanges[0].was_cancelled.wait(5)


def test_a_file_is_rewound_for_a_retry(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server
) -> None:
    """A request that the server refused is sent whole again."""
    http2_server.on("/", lambda exchange: exchange.reset(ErrorCodes.REFUSED_STREAM), echo)
    response = front_end.request(http2_client, "POST", http2_server.url + "/", data=io.BytesIO(b"file"))
    assert (response.content, response.attempts) == (b"file", 2)


def test_a_generator_that_was_read_is_not_sent_again(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server
) -> None:
    """The server did not process it, but the body is gone: the call fails, and no empty body is sent."""
    http2_server.on("/", lambda exchange: exchange.reset(ErrorCodes.REFUSED_STREAM), echo)
    caught_of = pytest.raises(HttpClientError)
    with caught_of as caught:
        front_end.request(http2_client, "POST", http2_server.url + "/", data=iter([b"pay"]))
    assert caught.value.sent_state.value == "refused"
    assert [exchange.body for exchange in http2_server.exchanges] == [b"pay"]


def test_a_plain_generator_is_bounded_by_the_timeout(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server
) -> None:
    """It cannot be interrupted, but what it yields too late is not sent, though there is room for it."""
    read: list[bytes] = []

    def slow() -> Iterator[bytes]:
        for piece in (b"in time", b"too late", b"later still"):
            if read:
                wait_until(lambda: time.monotonic() > began + 0.6)
            read.append(piece)
            yield piece

    http2_server.on("/", ok)
    front_end.request(http2_client, "GET", http2_server.url + "/")
    began = time.monotonic()
    with pytest.raises(AttemptTimeoutError):
        front_end.request(http2_client, "POST", http2_server.url + "/", data=slow(), timeout=0.5)
    assert b"later still" not in read
    whole = [exchange for exchange in http2_server.exchanges if exchange.is_whole.is_set()]
    assert [exchange.headers[":method"] for exchange in whole] == ["GET"]


def test_an_error_of_the_callers_generator_is_raised(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server
) -> None:
    """As it is; the server gets no end of the body, but a reset."""

    def broken() -> Any:
        yield b"half"
        raise KeyError("mine")

    http2_server.on("/", never)
    with pytest.raises(KeyError, match="mine"):
        front_end.request(http2_client, "POST", http2_server.url + "/", data=broken())
    while not http2_server.exchanges:  # it may not have read the head yet
        time.sleep(0.001)
    assert http2_server.exchanges[0].was_cancelled.wait(5)
    assert not http2_server.exchanges[0].is_whole.is_set()


def test_progress_is_reported_on_the_thread_of_the_call(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server
) -> None:
    """On that of all connections, a function that is slow would stop them, and one that makes a call would wait for itself."""
    http2_server.on("/", ok)
    threads: set[int] = set()

    def note(*at: object) -> None:
        threads.add(threading.get_ident())

    front_end.request(http2_client, "PUT", http2_server.url + "/", data=b"x", progress=note)
    assert threads == {threading.get_ident()}


def test_an_upload_goes_on_after_the_head_of_a_success(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server
) -> None:
    """A server may begin its response while it reads the request: a body that is cut off is not a success."""

    def count(exchange: Exchange) -> None:
        exchange.head(200)

        def finish() -> None:
            is_whole = exchange.is_whole.wait(2)
            exchange.data(
                b"%d bytes, %s" % (len(exchange.body), b"whole" if is_whole else b"cut off"), ends=True
            )

        threading.Thread(target=finish).start()

    def chunks() -> Any:
        for _ in range(3):
            yield b"x" * 1000
            time.sleep(0.05)  # the head arrives

    async def async_chunks() -> Any:
        for _ in range(3):
            yield b"x" * 1000
            await asyncio.sleep(0.05)

    http2_server.on("/", count, early=True)
    body = async_chunks() if isinstance(front_end, AsyncioFrontEnd) else chunks()
    response = front_end.request(http2_client, "POST", http2_server.url + "/", data=body)
    assert (response.status_code, response.text) == (200, "3000 bytes, whole")


def test_an_async_generator_is_bounded_by_the_timeout(
    http2_server: Http2Server, certificates: Certificates
) -> None:
    """The caller's code may wait without end."""

    async def stalling() -> Any:
        yield b"half"
        await asyncio.sleep(60)

    http2_server.on("/", never)
    with AsyncioFrontEnd() as front_end:
        client = front_end.client(http2=True, connection_pool=certificates.pool())
        caught = failing(front_end, client, "POST", http2_server.url + "/", data=stalling(), timeout=0.1)
    assert (caught.type, caught.sent) == ("AttemptTimeoutError", "maybe_processed")


@pytest.mark.parametrize("http2", [False, True], ids=["HTTP/1.1", "HTTP/2"])
def test_one_task_reads_an_async_body(
    http2_server: Http2Server, server: LoopbackServer, certificates: Certificates, http2: bool
) -> None:
    """A scope of the body, of anyio or of a tracer, is left by the task and in the context that it was entered in."""
    tasks: set[Any] = set()
    scope: ContextVar[str] = ContextVar("scope")

    async def body() -> AsyncIterator[bytes]:
        token = scope.set("entered")
        for _ in range(3):
            tasks.add(asyncio.current_task())
            await asyncio.sleep(0)
            yield b"abc"
            assert scope.get() == "entered"
        scope.reset(token)

    http2_server.on("/", echo)
    server.script("/", answer(lambda received: respond(body=received.body)))
    with AsyncioFrontEnd() as front_end:
        client = front_end.client(http2=http2, connection_pool=certificates.pool())
        url = http2_server.url if http2 else server.url
        assert front_end.request(client, "POST", url + "/", data=body()).text == "abcabcabc"
    assert len(tasks) == 1


@pytest.mark.parametrize("when", ["at once", "after a chunk", "at the end"])
def test_an_error_of_an_async_body_leaves_no_cycle(
    front_end: FrontEnd,
    http2_client: HttpServiceClient,
    http2_server: Http2Server,
    when: str,
    no_reference_cycles: None,  # the last: it looks while the client is still there
) -> None:
    """It is raised as it is, and its stream is reset: a part of the body is no whole one."""
    if not isinstance(front_end, AsyncioFrontEnd):
        pytest.skip("a blocking call cannot read it")

    class SourceError(Exception):
        pass

    async def body() -> AsyncIterator[bytes]:
        if when != "at once":
            yield b"abc"
        if when == "at the end":
            await asyncio.sleep(0)
        raise SourceError

    async def call() -> None:
        with suppress(SourceError):
            await http2_client.post_async(http2_server.url + "/", data=body())
            pytest.fail("no error")

    http2_server.on("/", never)
    front_end.loop.run_until_complete(call())
    wait_until(lambda: bool(http2_server.exchanges))
    (exchange,) = http2_server.exchanges
    assert exchange.was_cancelled.wait(5)
    assert not exchange.is_whole.is_set()


# Streams.


def test_a_stream_is_read_as_it_arrives(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server
) -> None:
    """Piece by piece, while others use the connection."""

    def begin(exchange: Exchange) -> None:
        exchange.head(200)
        exchange.data(b"one")

    http2_server.on("/", begin)
    http2_server.on("/other", ok)
    with front_end.stream(http2_client, "GET", http2_server.url + "/") as response:
        assert (response.status_code, response.http_version) == (200, "HTTP/2")
        pieces = iter(response.iter_bytes())
        assert next(pieces) == b"one"
        assert front_end.request(http2_client, "GET", http2_server.url + "/other").text == "ok"
        http2_server.exchanges[0].data(b"two", ends=True)
        assert list(pieces) == [b"two"]
    assert len(http2_server.connections) == 1


@pytest.mark.parametrize("sends", ["bytes", "generator"])
def test_a_server_that_responds_as_it_reads_is_read_during_the_upload(
    front_end: FrontEnd, new_client: NewClient, http2_server: Http2Server, sends: str
) -> None:
    """It reads on only when its response is read: more of it than a window, and no more than the limit."""

    def respond_first(exchange: Exchange) -> None:
        connection = exchange.connection
        exchange.head(200, [("content-length", "3000003")])
        exchange.data(bytes(3_000_000))

        def finish() -> None:
            wait_until(lambda: len(exchange.body) > 0 and exchange.id not in connection._unsent)
            exchange._do(lambda h2: h2.increment_flow_control_window(2_000_000, exchange.id))
            exchange._do(lambda h2: h2.increment_flow_control_window(2_000_000))
            assert exchange.is_whole.wait(20)
            exchange.data(b"end", ends=True)

        threading.Thread(target=finish).start()

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield bytes(250_000)

    body: Any = bytes(1_000_000)
    if sends == "generator":
        body = chunks() if isinstance(front_end, AsyncioFrontEnd) else iter([bytes(250_000)] * 4)
    http2_server.on("/", respond_first, early=True)
    client = new_client(max_response_size=3_000_003)
    timeout = Timeout(total=60, write=20)
    response = front_end.request(client, "POST", http2_server.url + "/", data=body, timeout=timeout)
    assert response.content == bytes(3_000_000) + b"end"


def test_a_slow_reader_stops_its_own_stream_alone(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server
) -> None:
    """It takes one window of memory. Leaving the stream resets it."""
    http2_server.on("/", lambda exchange: exchange.respond(body=b"x" * 30_000_000))
    http2_server.on("/other", lambda exchange: exchange.respond(body=b"y" * 3_000_000))
    with front_end.stream(http2_client, "GET", http2_server.url + "/"):
        for _ in range(3):
            other = front_end.request(http2_client, "GET", http2_server.url + "/other")
            assert len(other.content) == 3_000_000
        connection = http2_server.connections[0]
        assert len(connection._unsent[http2_server.exchanges[0].id][0]) > 28_000_000
    assert http2_server.exchanges[0].was_cancelled.wait(5)
    assert len(http2_server.connections) == 1


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        (lambda exchange: exchange.reset(ErrorCodes.INTERNAL_ERROR), "ConnectionLostError"),
        (lambda exchange: exchange.hang_up(), "ConnectionLostError"),
        (never, "ReadTimeoutError"),
    ],
)
def test_a_stream_that_is_lost_fails(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server, end: Any, kind: str
) -> None:
    """After the bytes that did arrive."""

    def half(exchange: Exchange) -> None:
        exchange.head(200)
        exchange.data(b"half")

    http2_server.on("/", half)
    timeout = Timeout(total=5, read=0.2)
    with front_end.stream(http2_client, "GET", http2_server.url + "/", timeout=timeout) as response:
        pieces = iter(response.iter_bytes())
        assert next(pieces) == b"half"
        end(http2_server.exchanges[0])
        with pytest.raises(HttpClientError) as caught:
            next(pieces)
    assert type(caught.value).__name__ == kind

"""HTTP/2: timeouts, windows, sizes, cancellation and closing, of one stream among others on its connection."""

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
from h2.exceptions import H2Error
from h2.settings import SettingCodes

from http_service_client import HttpServiceClient, Timeout, TimeoutPolicy
from http_service_client.errors import (
    AttemptTimeoutError,
    ConnectionLostError,
    HttpClientError,
    OperationTimeoutError,
)
from http_service_client.testing.server import LoopbackServer, answer, respond
from http_service_client.transports.over_h2 import connection as http2_connection
from kit.front_ends import AsyncioFrontEnd, FrontEnd
from kit.http2_server import Exchange, Http2Server, NewClient
from kit.threads import wait_until
from network.faults import Certificates, failing, served
from network.test_http2 import at_once, echo, ok, paths


def never(exchange: Exchange) -> None:
    """No response."""


# Timeouts.


def test_a_timeout_ends_its_own_call_alone(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server
) -> None:
    """On time, while another call on the connection waits for longer; its stream is reset."""
    slow: list[Exchange] = []
    http2_server.on("/first", ok)
    http2_server.on("/slow", slow.append)
    http2_server.on("/stalled", never)
    front_end.request(http2_client, "GET", http2_server.url + "/first")

    def answer() -> None:
        stalled = next(each for each in http2_server.exchanges if each.path == "/stalled")
        assert stalled.was_cancelled.wait(5)
        slow[0].respond(body=b"in the end")

    results: dict[str, Any] = {}
    if isinstance(front_end, AsyncioFrontEnd):

        async def run() -> None:
            slow_call = asyncio.ensure_future(http2_client.get_async(http2_server.url + "/slow", timeout=5))
            while not slow:
                await asyncio.sleep(0.001)
            try:
                await http2_client.get_async(http2_server.url + "/stalled", timeout=0.1, retry_policy=None)
            except HttpClientError as error:
                results["error"] = error
            await asyncio.get_running_loop().run_in_executor(None, answer)
            results["slow"] = await slow_call

        front_end.loop.run_until_complete(run())
    else:
        thread = threading.Thread(
            target=lambda: results.update(slow=http2_client.get(http2_server.url + "/slow", timeout=5))
        )
        thread.start()
        while not slow:
            time.sleep(0.001)
        caught = failing_while_busy(http2_client, http2_server.url + "/stalled", timeout=0.1)
        results["error"] = caught
        answer()
        thread.join(5)
    assert type(results["error"]).__name__ == "AttemptTimeoutError"
    assert results["error"].sent_state.value == "maybe_processed"
    assert results["slow"].content == b"in the end"
    stalled = next(each for each in http2_server.exchanges if each.path == "/stalled")
    assert stalled.cancelled == ErrorCodes.CANCEL
    assert len(http2_server.connections) == 1


def failing_while_busy(client: HttpServiceClient, url: str, **options: Any) -> HttpClientError:
    with pytest.raises(HttpClientError) as caught:
        client.get(url, retry_policy=None, **options)
    return caught.value


def test_a_connection_that_was_silent_gets_no_other_call(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server
) -> None:
    """Nothing arrived since the request: it may be dead, and each call on it would wait for its timeout."""

    def go_deaf(exchange: Exchange) -> None:
        exchange.connection.transport.pause_reading()

    http2_server.on("/", go_deaf, ok)
    caught = failing(front_end, http2_client, "GET", http2_server.url + "/", timeout=0.1)
    assert (caught.type, caught.sent) == ("AttemptTimeoutError", "maybe_processed")
    assert front_end.request(http2_client, "GET", http2_server.url + "/").text == "ok"
    assert len(http2_server.connections) == 2


def test_a_dead_connection_is_not_kept_in_use_by_calls_that_are_cancelled(
    front_end: FrontEnd,
    http2_client: HttpServiceClient,
    http2_server: Http2Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A caller's patience may be shorter than all timeouts: each call would be lost on it until it is too old."""
    monkeypatch.setattr(http2_connection, "_SILENCE", 0.05)
    http2_server.on("/", ok, never, ok)
    url = http2_server.url + "/"
    front_end.request(http2_client, "GET", url)
    if isinstance(front_end, AsyncioFrontEnd):
        with pytest.raises(asyncio.TimeoutError):
            front_end.loop.run_until_complete(asyncio.wait_for(http2_client.get_async(url), 0.2))
    else:
        with pytest.raises(OperationTimeoutError):
            TimeoutPolicy(0.2).apply(lambda: http2_client.get(url))()
    assert front_end.request(http2_client, "GET", url).text == "ok"
    assert len(http2_server.connections) == 2


@pytest.mark.parametrize(("silence", "connections"), [(0.0, 2), (60.0, 1)])
def test_new_calls_do_not_join_those_that_wait_on_a_dead_connection(
    front_end: FrontEnd,
    http2_client: HttpServiceClient,
    http2_server: Http2Server,
    monkeypatch: pytest.MonkeyPatch,
    silence: float,
    connections: int,
) -> None:
    """They would be lost until the first of these times out. A server that is slow keeps its one connection."""
    monkeypatch.setattr(http2_connection, "_LONG_SILENCE", silence)
    waiting: list[Exchange] = []
    http2_server.on("/first", ok)
    http2_server.on("/waits", waiting.append)
    http2_server.on("/new", ok)
    front_end.request(http2_client, "GET", http2_server.url + "/first")
    if isinstance(front_end, AsyncioFrontEnd):

        async def run() -> str:
            waits = asyncio.ensure_future(http2_client.get_async(http2_server.url + "/waits"))
            await asyncio.to_thread(wait_until, lambda: bool(waiting))
            found = await http2_client.get_async(http2_server.url + "/new")
            waiting[0].respond()
            await waits
            return found.text

        assert front_end.loop.run_until_complete(run()) == "ok"
    else:
        thread = threading.Thread(target=http2_client.get, args=(http2_server.url + "/waits",))
        thread.start()
        wait_until(lambda: bool(waiting))
        assert http2_client.get(http2_server.url + "/new").text == "ok"
        waiting[0].respond()
        thread.join(10)
    assert len(http2_server.connections) == connections


@pytest.mark.parametrize(
    ("timeout", "kind", "words"),
    [
        (Timeout(total=5, read=0.1), "ReadTimeoutError", "nothing arrived for 0.1 s"),
        (Timeout(total=5, first_byte=0.1), "ReadTimeoutError", "no first byte within 0.1 s"),
        (Timeout(total=0.1), "AttemptTimeoutError", "no complete response"),
    ],
)
def test_the_limits_of_a_response(
    front_end: FrontEnd,
    http2_client: HttpServiceClient,
    http2_server: Http2Server,
    timeout: Timeout,
    kind: str,
    words: str,
) -> None:
    """Each ends the exchange by its own error."""
    http2_server.on("/", never)
    caught = failing(front_end, http2_client, "GET", http2_server.url + "/", timeout=timeout)
    assert (caught.type, caught.sent) == (kind, "maybe_processed")
    assert words in caught.message
    caught.check_took(0.1)


def test_the_wait_between_two_pieces_is_limited(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server
) -> None:
    """`between` holds once the head has arrived."""

    def half(exchange: Exchange) -> None:
        exchange.head(200)
        exchange.data(b"half")

    http2_server.on("/", half)
    timeout = Timeout(total=5, read=4, between=0.1)
    caught = failing(front_end, http2_client, "GET", http2_server.url + "/", timeout=timeout)
    assert (caught.type, caught.sent) == ("ReadTimeoutError", "maybe_processed")
    caught.check_took(0.1)


def test_an_upload_that_is_not_accepted_times_out(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server
) -> None:
    """The server opens no window: `write` bounds that."""
    http2_server.on("/", never, early=True)  # such a path acknowledges no data
    timeout = Timeout(total=5, write=0.1)
    caught = failing(
        front_end, http2_client, "POST", http2_server.url + "/", data=b"x" * 200_000, timeout=timeout
    )
    assert (caught.type, caught.sent) == ("WriteTimeoutError", "maybe_processed")
    caught.check_took(0.1)


def test_an_upload_that_is_not_accepted_times_out_on_a_busy_connection(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server
) -> None:
    """What the server accepts of other streams opens the window of the connection, and is no progress of this one."""

    def busy(exchange: Exchange) -> None:
        with suppress(H2Error):  # once the connection is closed
            exchange.connection.do(lambda h2: h2.increment_flow_control_window(1))
            http2_server.loop.call_later(0.02, busy, exchange)

    http2_server.on("/", busy, early=True)
    timeout = Timeout(total=15, write=0.2)
    caught = failing(
        front_end, http2_client, "POST", http2_server.url + "/", data=b"x" * 200_000, timeout=timeout
    )
    assert (caught.type, caught.sent) == ("WriteTimeoutError", "maybe_processed")


def test_an_upload_that_times_out_is_reset_and_never_complete(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server
) -> None:
    """A body of which a part was accepted must not look like a whole one, which would break the rules of HTTP/2."""

    def talking(exchange: Exchange) -> None:  # else the client would take the connection for a dead one
        with suppress(H2Error):  # once the connection is closed
            exchange.connection.do(lambda h2: h2.ping(b"are you?"))
            http2_server.loop.call_later(0.02, talking, exchange)

    http2_server.on("/", talking, early=True)
    http2_server.on("/next", ok)
    timeout = Timeout(total=15, write=0.2)
    caught = failing(
        front_end, http2_client, "POST", http2_server.url + "/", data=b"x" * 200_000, timeout=timeout
    )
    assert (caught.type, caught.sent) == ("WriteTimeoutError", "maybe_processed")
    upload = http2_server.exchanges[0]
    assert upload.was_cancelled.wait(5)
    assert (upload.cancelled, upload.is_whole.is_set()) == (ErrorCodes.CANCEL, False)
    assert front_end.request(http2_client, "GET", http2_server.url + "/next").text == "ok"
    assert http2_server.errors == []  # of the connection, with which other calls would be lost


def test_an_upload_ends_with_its_connection_whatever_its_window(
    front_end: FrontEnd, new_client: NewClient, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    """The server has gone, and its window would take all of it. asyncio logs each piece that it drops."""

    def leave(exchange: Exchange) -> None:
        exchange.connection.do(lambda h2: h2.increment_flow_control_window(2**30))
        exchange.hang_up()

    with Http2Server(
        certificates.server_context(), settings={SettingCodes.INITIAL_WINDOW_SIZE: 2**30}
    ) as server:
        server.on("/", ok)
        server.on("/upload", leave, early=True)
        client = new_client(enable_circuit_breaker=False)
        for _ in range(5):
            front_end.request(client, "GET", server.url + "/")  # the window is known
            caught = failing(front_end, client, "POST", server.url + "/upload", data=b"x" * 20_000_000)
            assert (caught.type, caught.sent) == ("ConnectionLostError", "maybe_processed")
    assert [record for record in caplog.records if record.name == "asyncio"] == []


def test_a_handshake_that_stalls_is_never_sent(front_end: FrontEnd, new_client: NewClient, mute: str) -> None:
    """The connect timeout covers TLS."""
    client = new_client()
    timeout = Timeout(total=5, connect=0.1)
    caught = failing(front_end, client, "POST", f"https://{mute}/", timeout=timeout)
    assert (caught.type, caught.sent) == ("ConnectTimeoutError", "never_sent")
    assert "within the connect timeout" in caught.message
    caught.check_took(0.1)


def test_a_server_that_hangs_up_in_the_handshake_is_never_sent(
    front_end: FrontEnd, new_client: NewClient
) -> None:
    """Nothing of the request had left."""
    with served(lambda accepted, is_over: accepted.recv(1)) as address:
        caught = failing(front_end, new_client(), "POST", f"https://{address}/")
    assert (caught.type, caught.sent) == ("ConnectError", "never_sent")


def test_a_port_that_refuses_is_never_sent(front_end: FrontEnd, new_client: NewClient) -> None:
    """The same error as over HTTP/1.1."""
    caught = failing(front_end, new_client(), "POST", "https://127.0.0.1:1/")
    assert (caught.type, caught.sent, caught.cause) == (
        "ConnectError",
        "never_sent",
        "ConnectionRefusedError",
    )


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


# Connections.


def test_a_connection_that_the_server_closed_while_idle_is_not_used(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server
) -> None:
    """Also where the event loop did not run meanwhile."""
    http2_server.on("/", ok)
    front_end.request(http2_client, "POST", http2_server.url + "/")
    http2_server.exchanges[0].hang_up()
    assert http2_server.connections[0].is_lost.wait(5)
    response = front_end.request(http2_client, "POST", http2_server.url + "/", retry_policy=None)
    assert response.text == "ok"
    assert len(http2_server.connections) == 2


@pytest.mark.parametrize("pool", [{"keep_alive_max_requests": 1}, {"keep_alive_timeout": 0.01}])
def test_a_connection_is_kept_as_long_as_the_settings_say(
    front_end: FrontEnd, new_client: NewClient, http2_server: Http2Server, pool: dict[str, Any]
) -> None:
    """By its requests, and by its idle time."""
    http2_server.on("/", ok)
    client = new_client(pool)
    front_end.request(client, "GET", http2_server.url + "/")
    time.sleep(0.05)
    front_end.request(client, "GET", http2_server.url + "/")
    assert len(http2_server.connections) == 2
    assert http2_server.connections[0].is_lost.wait(5)


def test_idle_connections_can_be_dropped(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server
) -> None:
    """They are among those of the client."""
    http2_server.on("/", ok)
    front_end.request(http2_client, "GET", http2_server.url + "/")
    assert http2_client.drop_idle_connections() == 1
    front_end.request(http2_client, "GET", http2_server.url + "/")
    assert len(http2_server.connections) == 2


def test_closing_closes_the_connection(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server
) -> None:
    """And the client takes no other call."""
    http2_server.on("/", ok)
    front_end.request(http2_client, "GET", http2_server.url + "/")
    front_end.close(http2_client)
    assert http2_server.connections[0].is_lost.wait(5)
    with pytest.raises(HttpClientError, match="was closed"):
        front_end.request(http2_client, "GET", http2_server.url + "/")


def test_a_cancelled_task_resets_its_stream(http2_server: Http2Server, certificates: Certificates) -> None:
    """The connection goes on."""
    http2_server.on("/", never)
    http2_server.on("/other", ok)

    async def run() -> str:
        async with front_end.client(http2=True, connection_pool=certificates.pool()) as client:
            task = asyncio.ensure_future(client.get_async(http2_server.url + "/"))
            while not http2_server.exchanges:
                await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return (await client.get_async(http2_server.url + "/other")).text

    with AsyncioFrontEnd() as front_end:
        assert front_end.loop.run_until_complete(run()) == "ok"
    assert http2_server.exchanges[0].was_cancelled.wait(5)
    assert len(http2_server.connections) == 1


def test_a_cancelled_handshake_does_not_harm_those_that_wait_for_it(
    http2_server: Http2Server, certificates: Certificates
) -> None:
    """The first call began it, and is cancelled; the second gets the connection."""
    http2_server.on("/", ok)

    async def run() -> str:
        async with front_end.client(http2=True, connection_pool=certificates.pool()) as client:
            first, second = (
                asyncio.ensure_future(client.get_async(http2_server.url + "/")) for _ in range(2)
            )
            await asyncio.sleep(0.001)
            first.cancel()
            return (await second).text

    with AsyncioFrontEnd() as front_end:
        assert front_end.loop.run_until_complete(run()) == "ok"
    assert paths(http2_server).count("/") <= 2


def test_each_event_loop_has_its_own_connection(
    http2_server: Http2Server, certificates: Certificates
) -> None:
    """A client is used by one `asyncio.run` after another; each closes its connection."""
    http2_server.on("/", ok)
    client = HttpServiceClient(config_of(certificates))

    async def call() -> str:
        return (await client.get_async(http2_server.url + "/")).text

    for _ in range(2):
        assert asyncio.run(call()) == "ok"
    assert len(http2_server.connections) == 2
    assert all(connection.is_lost.wait(5) for connection in http2_server.connections)
    client.close()


def config_of(certificates: Certificates) -> Any:
    from http_service_client import HttpClientConfig

    return HttpClientConfig(http2=True, connection_pool=certificates.pool())


@pytest.mark.parametrize("says_goaway", [False, True])
def test_calls_that_are_in_flight_when_the_client_is_closed(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server, says_goaway: bool
) -> None:
    """`close(abort=True)` ends them by ClientClosedError, also those that the server would still complete."""

    def close(exchange: Exchange) -> None:
        if says_goaway:
            exchange.go_away(exchange.id)
        threading.Timer(0.1, http2_client.close, kwargs={"abort": True}).start()

    http2_server.on("/", close)
    began = time.monotonic()
    (error,) = at_once(http2_client, front_end, [http2_server.url + "/"], timeout=20)
    assert (type(error).__name__, error.sent_state.value) == ("ClientClosedError", "abandoned")
    assert time.monotonic() - began < 15  # not at the end of the attempt


@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
@pytest.mark.parametrize(
    "error",
    [ConnectionLostError("another service"), TimeoutError("another service"), ConnectionResetError("mine")],
    ids=lambda error: type(error).__name__,
)
def test_an_error_of_a_source_is_raised_as_it_is(
    front_end: FrontEnd,
    http2_client: HttpServiceClient,
    http2_server: Http2Server,
    error: Exception,
    is_async: bool,
) -> None:
    """It says nothing about this service: the stream is reset, nothing is repeated, and the circuit counts nothing."""
    if is_async and front_end.name == "blocking":
        pytest.skip("a blocking call cannot read it")
    reads: list[int] = []

    class Source:
        def __iter__(self) -> Any:
            reads.append(1)
            yield b"x"
            raise error

    class AsyncSource:
        async def __aiter__(self) -> AsyncIterator[bytes]:
            for piece in Source():
                yield piece

    http2_server.on("/", ok)
    with pytest.raises(type(error)) as caught:
        front_end.request(
            http2_client, "PUT", http2_server.url + "/", data=AsyncSource() if is_async else Source()
        )
    assert (caught.value is error, reads) == (True, [1])
    snapshot = http2_client.get_circuit_breaker(http2_server.url).snapshot()
    assert (snapshot.successes, snapshot.failures, snapshot.abandoned) == (0, 0, 1)

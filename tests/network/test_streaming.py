"""`stream` and `stream_async`: bodies as they come, within size, silence and deadline; nothing left open."""

from __future__ import annotations

import asyncio
import copy
import gzip
import pickle
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest

from http_service_client import (
    ConfigurationError,
    ConnectionLostError,
    ConnectionPoolConfig,
    DeadlineExceededError,
    DecodingError,
    HttpClientError,
    HttpResponse,
    HttpServiceClient,
    ReadTimeoutError,
    ResponseTooLargeError,
    ServerSentEvent,
    StreamError,
    Timeout,
    TransportError,
)
from http_service_client.drivers.aio_timers import TimerWheel
from http_service_client.events import CallFinished
from http_service_client.testing import LoopbackServer, ScriptedTransport, drip, hang_up, raw, respond, stall
from http_service_client.transports.over_aiohttp.protocol import StrictResponseHandler
from http_service_client.transports.over_aiohttp.transport import AiohttpTransport  # noqa: F401  # its import takes a while
from kit.front_ends import FrontEnd
from kit.stopwatch import Stopwatch
from network.faults import places_in_use

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
SMALL_POOL = ConnectionPoolConfig(max_connections=1, pool_timeout=0.2)


@pytest.fixture
def big(server: LoopbackServer) -> bytes:
    content = bytes(range(256)) * 4096
    server.script("/big", respond(body=content))
    return content


def test_a_body_comes_in_pieces(front_end: FrontEnd, server: LoopbackServer, big: bytes) -> None:
    client = front_end.client()
    with front_end.stream(client, "GET", server.url + "/big") as response:
        assert (response.status_code, response.is_success) == (200, True)
        pieces = list(response.iter_bytes())
    assert b"".join(pieces) == big
    assert len(pieces) > 1


@pytest.mark.parametrize("size", [1, 4, 5, 100])
def test_pieces_of_one_size(front_end: FrontEnd, server: LoopbackServer, size: int) -> None:
    """However they come: each of that size, the last one of what is left."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
    server.script("/", raw(head, b"ab", b"cdefg", b"h", b"ij", every=0.01, close=False))
    with front_end.stream(front_end.client(), "GET", server.url + "/") as response:
        pieces = list(response.iter_bytes(size))
    assert pieces == [b"abcdefghij"[at : at + size] for at in range(0, 10, size)]


def test_a_size_that_is_none_takes_nothing(front_end: FrontEnd, server: LoopbackServer) -> None:
    """It is told at once, and the body is still there."""
    server.script("/", respond(body=b"abc"))
    with front_end.stream(front_end.client(), "GET", server.url + "/") as response:
        for wrong in (0, -1, 1.5, True, "8"):
            with pytest.raises(ConfigurationError, match="chunk_size"):
                next(iter(response.iter_bytes(wrong)))  # type: ignore[arg-type]
        assert response.read() == b"abc"


@pytest.mark.parametrize("method", ["iter_lines", "iter_events"])
def test_a_length_that_is_none_takes_nothing(
    front_end: FrontEnd, server: LoopbackServer, method: str
) -> None:
    """It is told at once, and not taken for a line that is too long."""
    server.script("/", respond(body=b"abc"))
    with front_end.stream(front_end.client(), "GET", server.url + "/") as response:
        for wrong in (0, -1, 1.5, True, "8"):
            with pytest.raises(ConfigurationError, match="max_length must be a whole number"):
                next(iter(getattr(response, method)(max_length=wrong)))
        assert response.read() == b"abc"


def test_read_takes_all_of_it(front_end: FrontEnd, server: LoopbackServer) -> None:
    server.script("/", respond(json={"a": 1}))
    with front_end.stream(front_end.client(), "GET", server.url + "/") as response:
        assert response.read() == b'{"a": 1}'
        assert response.read() == response.content == b'{"a": 1}'  # kept
        assert (response.json(), response.text) == ({"a": 1}, '{"a": 1}')
        assert list(response.iter_bytes()) == [b'{"a": 1}']


def test_the_first_piece_comes_before_the_last_is_sent(front_end: FrontEnd, server: LoopbackServer) -> None:
    arrived = threading.Event()

    def slow(sending: Any, _: threading.Event) -> None:
        sending.recv(65536)
        sending.sendall(HEAD % 10 + b"first")
        assert arrived.wait(5)
        sending.sendall(b"later")

    from network.faults import served

    with (
        served(slow) as address,
        front_end.stream(front_end.client(), "GET", f"http://{address}/") as response,
    ):
        pieces = response.iter_bytes()
        assert next(pieces) == b"first"
        arrived.set()
        assert b"".join(pieces) == b"later"


@pytest.mark.parametrize("size", [None, 4])
def test_who_has_taken_all_may_ask_again(
    front_end: FrontEnd, server: LoopbackServer, size: int | None
) -> None:
    """There is no more, before and behind the end of the block."""
    server.script("/", respond(body=b"all of it"))
    with front_end.stream(front_end.client(), "GET", server.url + "/") as response:
        pieces = response.iter_bytes(size)
        assert b"".join(pieces) == b"all of it"
        assert next(pieces, None) is None
    assert next(pieces, None) is None


def test_the_connection_is_kept_when_the_body_was_read(
    front_end: FrontEnd, server: LoopbackServer, big: bytes
) -> None:
    client = front_end.client(connection_pool=SMALL_POOL)
    for _ in range(3):
        with front_end.stream(client, "GET", server.url + "/big") as response:
            for _ in response.iter_bytes():
                pass
    assert server.connection_count == 1
    assert places_in_use(client) == 0


def test_breaking_off_closes_the_connection(front_end: FrontEnd, server: LoopbackServer, big: bytes) -> None:
    client = front_end.client(connection_pool=SMALL_POOL)
    for _ in range(3):
        with front_end.stream(client, "GET", server.url + "/big") as response:
            next(response.iter_bytes())
        assert places_in_use(client) == 0
    assert server.wait_for(lambda: server.open_connections == 0)
    assert server.connection_count == 3


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_of_the_caller_s_closes_the_connection(
    front_end: FrontEnd, server: LoopbackServer, big: bytes, error: type[BaseException]
) -> None:
    client = front_end.client(connection_pool=SMALL_POOL)
    with pytest.raises(error), front_end.stream(client, "GET", server.url + "/big") as response:
        next(response.iter_bytes())
        raise error
    assert places_in_use(client) == 0
    assert server.wait_for(lambda: server.open_connections == 0)


def test_a_place_is_held_while_the_body_is_open(
    front_end: FrontEnd, server: LoopbackServer, big: bytes
) -> None:
    client = front_end.client(connection_pool=SMALL_POOL)
    with front_end.stream(client, "GET", server.url + "/big") as response:
        assert places_in_use(client) == 2  # the host's, and the common one
        for _ in response.iter_bytes():
            pass
        assert places_in_use(client) == 0  # at its end, not only at that of the block


@pytest.mark.parametrize("status", [302, 404, 503])
def test_what_is_no_success_is_read_whole(front_end: FrontEnd, server: LoopbackServer, status: int) -> None:
    """So an error has its body, and what is discarded holds nothing."""
    server.script("/", respond(status, body=b"why"))
    client = front_end.client()
    with front_end.stream(client, "GET", server.url + "/", retry_policy=None) as response:
        assert (response.status_code, response.content) == (status, b"why")
        assert list(response.iter_bytes()) == [b"why"]
        assert places_in_use(client) == 0


def test_a_stream_is_retried_until_its_head_is_there(front_end: FrontEnd, server: LoopbackServer) -> None:
    server.script("/", respond(503), respond(body=b"ok"))
    client = front_end.client(retry_policy_config={"initial_delay": 0.001})
    with front_end.stream(client, "GET", server.url + "/") as response:
        assert response.read() == b"ok"
    assert response.attempts == 2


def test_a_redirect_is_followed(front_end: FrontEnd, server: LoopbackServer) -> None:
    server.script("/", respond(302, headers={"Location": "/there"}))
    server.script("/there", respond(body=b"ok"))
    with front_end.stream(front_end.client(), "GET", server.url + "/") as response:
        assert (response.read(), response.url) == (b"ok", server.url + "/there")
    assert [hop.status_code for hop in response.history] == [302]


# Wrong turns.


def test_content_before_it_was_read(front_end: FrontEnd, server: LoopbackServer, big: bytes) -> None:
    with front_end.stream(front_end.client(), "GET", server.url + "/big") as response:
        for read in (lambda: response.content, lambda: response.text, response.json):
            with pytest.raises(StreamError, match="call read"):
                read()


def test_a_body_comes_but_once(front_end: FrontEnd, server: LoopbackServer, big: bytes) -> None:
    with front_end.stream(front_end.client(), "GET", server.url + "/big") as response:
        next(response.iter_bytes())
        for again in (lambda: next(response.iter_bytes()), response.read):
            with pytest.raises(StreamError, match="read only once"):
                again()


def test_after_the_block_there_is_nothing_to_read(
    front_end: FrontEnd, server: LoopbackServer, big: bytes
) -> None:
    with front_end.stream(front_end.client(), "GET", server.url + "/big") as response:
        begun = response.iter_bytes()
        next(begun)
    with pytest.raises(StreamError, match="with block"):
        for _ in begun:
            pass
    with front_end.stream(front_end.client(), "GET", server.url + "/big") as response:
        pass
    with pytest.raises(StreamError, match="with block"):
        response.read()


def test_a_response_type_needs_the_whole(front_end: FrontEnd, server: LoopbackServer) -> None:
    with (
        pytest.raises(HttpClientError, match="read whole"),
        front_end.stream(front_end.client(), "GET", server.url + "/", response_type=int),
    ):
        pass
    assert not server.requests


def test_stream_is_no_keyword_of_the_verbs(front_end: FrontEnd, server: LoopbackServer) -> None:
    with pytest.raises(TypeError, match=r"client\.stream"):
        front_end.request(front_end.client(), "GET", server.url + "/", stream=True)


# Bounds.


def test_the_size_limit_holds(front_end: FrontEnd, server: LoopbackServer, big: bytes) -> None:
    client = front_end.client(max_response_size=100_000)
    received = 0
    with (
        pytest.raises(ResponseTooLargeError, match="max_response_size"),
        front_end.stream(client, "GET", server.url + "/big") as response,
    ):
        for piece in response.iter_bytes():
            received += len(piece)
    assert received <= 100_000
    assert places_in_use(client) == 0
    with front_end.stream(client, "GET", server.url + "/big", max_response_size=None) as response:
        assert response.read() == big


def test_a_bomb_comes_in_small_pieces(front_end: FrontEnd, server: LoopbackServer) -> None:
    """What one packet decodes to does not come at once."""
    packed = gzip.compress(bytes(30_000_000), mtime=0)
    server.script("/", respond(headers={"Content-Encoding": "gzip"}, body=packed))
    with front_end.stream(front_end.client(), "GET", server.url + "/", max_response_size=None) as response:
        sizes = [len(piece) for piece in response.iter_bytes()]
    assert sum(sizes) == 30_000_000
    assert max(sizes) <= 64 * 1024


def test_codings_are_left_on_when_the_configuration_says_so(
    front_end: FrontEnd, server: LoopbackServer
) -> None:
    packed = gzip.compress(b"plain", mtime=0)
    server.script("/", respond(headers={"Content-Encoding": "gzip"}, body=packed))
    client = front_end.client(enable_response_decompression=False)
    with front_end.stream(client, "GET", server.url + "/") as response:
        assert response.read() == packed


@pytest.mark.parametrize("cut", [1, 10])
def test_a_coding_cut_short_is_an_error(front_end: FrontEnd, server: LoopbackServer, cut: int) -> None:
    packed = gzip.compress(b"plain", mtime=0)[:-cut]
    server.script("/", respond(headers={"Content-Encoding": "gzip"}, body=packed))
    client = front_end.client()
    with pytest.raises(DecodingError), front_end.stream(client, "GET", server.url + "/") as response:
        response.read()
    assert places_in_use(client) == 0


def test_silence_is_bounded(front_end: FrontEnd, server: LoopbackServer) -> None:
    server.script("/", raw(HEAD % 10 + b"12345", b"67890", every=5.0))
    client = front_end.client()
    with (
        Stopwatch() as watch,
        pytest.raises(ReadTimeoutError) as caught,
        front_end.stream(client, "GET", server.url + "/", timeout=Timeout(read=0.1)) as response,
    ):
        response.read()
    watch.check_took(0.1)
    assert caught.value.response is not None
    assert caught.value.response.status_code == 200
    assert caught.value.sent_state.value == "maybe_processed"
    assert places_in_use(client) == 0


def test_a_chunk_is_there_before_its_end_comes_with_the_next_one(
    front_end: FrontEnd, server: LoopbackServer
) -> None:
    """Some servers write the CR LF behind a chunk in front of the next: an event must not wait for that."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    server.script("/", raw(head + b"5\r\nfirst", b"\r\n6\r\nsecond", b"\r\n0\r\n\r\n", every=1.0))
    with front_end.stream(front_end.client(), "GET", server.url + "/") as response:
        started, pieces = time.monotonic(), response.iter_bytes()
        assert next(pieces) == b"first"
        assert time.monotonic() - started < 0.8
        assert list(pieces) == [b"second"]


def test_bytes_that_are_none_of_the_body_do_not_break_the_silence(
    front_end: FrontEnd, server: LoopbackServer
) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n5;"
    server.script("/", raw(head, *[b"x"] * 100, every=0.05))
    client = front_end.client()
    with (
        Stopwatch() as watch,
        pytest.raises(ReadTimeoutError),
        front_end.stream(client, "GET", server.url + "/", timeout=Timeout(read=0.3)) as response,
    ):
        response.read()
    watch.check_took(0.3)
    assert places_in_use(client) == 0


def test_without_a_read_timeout_the_attempt_s_bounds_each_silence(
    front_end: FrontEnd, server: LoopbackServer
) -> None:
    server.script("/", raw(HEAD % 10 + b"12345", b"67890", every=5.0))
    with (
        Stopwatch() as watch,
        pytest.raises(ReadTimeoutError),
        front_end.stream(front_end.client(), "GET", server.url + "/", timeout=0.2) as response,
    ):
        response.read()
    watch.check_took(0.2)


def test_a_stream_in_good_order_outlives_the_attempt_s_timeout(
    front_end: FrontEnd, server: LoopbackServer
) -> None:
    server.script("/", drip(b"x" * 12, every=0.05))
    started = time.monotonic()
    with front_end.stream(front_end.client(), "GET", server.url + "/", timeout=0.3) as response:
        assert response.read() == b"x" * 12
    assert time.monotonic() - started > 0.4


def test_a_slow_reader_is_no_silent_server(front_end: FrontEnd, server: LoopbackServer) -> None:
    server.script("/", respond(body=b"x" * 1000))
    with front_end.stream(
        front_end.client(), "GET", server.url + "/", timeout=Timeout(read=0.05)
    ) as response:
        time.sleep(0.15)
        assert len(response.read()) == 1000


def test_the_deadline_holds(front_end: FrontEnd, server: LoopbackServer) -> None:
    server.script("/", drip(b"x" * 200, every=0.05))
    client = front_end.client()
    with (
        Stopwatch() as watch,
        pytest.raises(DeadlineExceededError) as caught,
        front_end.stream(client, "GET", server.url + "/", total_timeout=0.3) as response,
    ):
        response.read()
    watch.check_took(0.3)
    assert isinstance(caught.value, TimeoutError)
    assert places_in_use(client) == 0


def test_headers_have_the_attempt_s_time(front_end: FrontEnd, server: LoopbackServer) -> None:
    server.script("/", stall())
    client = front_end.client()
    with (
        Stopwatch() as watch,
        pytest.raises(TransportError) as caught,
        front_end.stream(client, "GET", server.url + "/", timeout=0.1, retry_policy=None),
    ):
        pass
    watch.check_took(0.1)
    assert type(caught.value).__name__ == "AttemptTimeoutError"
    assert places_in_use(client) == 0


# Breaks.

BREAKS = {
    "cut short": hang_up(HEAD % 10 + b"12345"),
    "cut in a chunk": hang_up(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n123"),
    "bad chunk": raw(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"5\r\n12345\r\nzz\r\n", every=0.05
    ),
}


@pytest.mark.parametrize("action", BREAKS.values(), ids=BREAKS)
def test_a_broken_body_is_no_whole_one(front_end: FrontEnd, server: LoopbackServer, action: Any) -> None:
    server.script("/", action)
    client = front_end.client()
    with (
        pytest.raises(TransportError) as caught,
        front_end.stream(client, "GET", server.url + "/") as response,
    ):
        response.read()
    error = caught.value
    assert (type(error).__name__, error.sent_state.value) == ("ProtocolError", "maybe_processed")
    assert isinstance(error.response, HttpResponse)
    assert error.timeline is not None
    assert isinstance(error.timeline[-1], CallFinished)
    assert error.timeline[-1].error == "ProtocolError"
    assert pickle.loads(pickle.dumps(error)).response.status_code == 200
    assert places_in_use(client) == 0


LATE_BREAKS = {
    "cut short": raw(HEAD % 20, b"first", b"second", every=0.05),
    "cut in a chunk": raw(CHUNKED, b"5\r\nfirst\r\n", b"6\r\nsecond\r\n", every=0.05),
    "bad chunk": raw(CHUNKED, b"5\r\nfirst\r\n", b"6\r\nsecond\r\n", b"zz\r\n", every=0.05),
}


@pytest.mark.parametrize("action", LATE_BREAKS.values(), ids=LATE_BREAKS)
def test_what_came_before_the_break_is_given(
    front_end: FrontEnd, server: LoopbackServer, action: Any
) -> None:
    """A slow reader has as much of the body as a quick one, and then the error."""
    server.script("/", action)
    server.script("/other", respond(204))
    client = front_end.client()
    with pytest.raises(TransportError), front_end.stream(client, "GET", server.url + "/") as response:
        pieces = response.iter_bytes()
        taken = [next(pieces)]
        assert server.wait_for(lambda: server.open_connections == 0)
        front_end.request(client, "GET", server.url + "/other")  # a loop reads on meanwhile
        for piece in pieces:
            taken.append(piece)
    assert b"".join(taken) == b"firstsecond"


def test_the_timeline_ends_with_the_stream(front_end: FrontEnd, server: LoopbackServer, big: bytes) -> None:
    events: list[Any] = []
    client = front_end.client(on_event=events.append)
    with front_end.stream(client, "GET", server.url + "/big?token=s3cret") as response:
        assert not any(isinstance(event, CallFinished) for event in events)
        first, attempt = response.explain().splitlines()
        assert first == f"GET {server.url}/big?token=***"
        assert "attempt 1: 200" in attempt
    assert [type(event).__name__ for event in events][-1] == "CallFinished"
    assert sum(isinstance(event, CallFinished) for event in events) == 1
    assert response.explain().startswith(f"{first}\n")
    assert "done: 200" in response.explain()


# What is taken from the pieces.


def test_lines(front_end: FrontEnd, server: LoopbackServer) -> None:
    text = "eins\r\nzwei\nd\u00fcrr\n\nlast"
    server.script(
        "/",
        drip(text.encode("latin-1"), every=0.001, headers={"Content-Type": "text/plain; charset=latin-1"}),
    )
    with front_end.stream(front_end.client(), "GET", server.url + "/") as response:
        assert list(response.iter_lines()) == ["eins", "zwei", "d\u00fcrr", "", "last"]


def test_a_line_that_never_ends(front_end: FrontEnd, server: LoopbackServer) -> None:
    server.script("/", respond(body=b"x" * 200_000))
    client = front_end.client()
    with (
        pytest.raises(DecodingError),
        front_end.stream(client, "GET", server.url + "/") as response,
    ):
        list(response.iter_lines(max_length=1000))
    assert places_in_use(client) == 0


def test_server_sent_events(front_end: FrontEnd, server: LoopbackServer) -> None:
    body = b": hello\n\nevent: paid\nid: 7\ndata: a\ndata: b\n\ndata: c\n\ndata: never finished"
    server.script("/", drip(body, every=0.001, headers={"Content-Type": "text/event-stream"}))
    with front_end.stream(front_end.client(), "GET", server.url + "/") as response:
        events = list(response.iter_events())
    assert events == [ServerSentEvent("paid", "a\nb", "7"), ServerSentEvent("message", "c", "7")]


# Over a transport that streams nothing, and under interceptors.


def test_a_scripted_response_can_be_streamed(front_end: FrontEnd) -> None:
    transport = ScriptedTransport([HttpResponse(503), HttpResponse(200, content=b"a\nb")])
    client = front_end.client(transport=transport, retry_policy_config={"initial_delay": 0.001})
    with front_end.stream(client, "GET", "https://api.example.com/") as response:
        assert list(response.iter_lines()) == ["a", "b"]


class _Answer:
    def __init__(self, replace: Callable[[HttpResponse], HttpResponse]) -> None:
        self.replace = replace

    def intercept_response(self, response: HttpResponse, context: Any) -> HttpResponse:
        return self.replace(response)


def test_a_response_that_an_interceptor_replaced_is_closed(
    front_end: FrontEnd, server: LoopbackServer, big: bytes
) -> None:
    other = HttpResponse(200, content=b"other")
    client = front_end.client(response_interceptors=[_Answer(lambda _: other)])
    with front_end.stream(client, "GET", server.url + "/big") as response:
        assert places_in_use(client) == 0
        assert response.read() == b"other"


def test_an_interceptor_that_raises_leaves_nothing_open(
    front_end: FrontEnd, server: LoopbackServer, big: bytes
) -> None:
    def refuse(_: HttpResponse) -> HttpResponse:
        raise LookupError("no")

    client = front_end.client(response_interceptors=[_Answer(refuse)])
    with pytest.raises(LookupError), front_end.stream(client, "GET", server.url + "/big"):
        pass
    assert places_in_use(client) == 0
    assert server.wait_for(lambda: server.open_connections == 0)


def test_a_success_that_is_retried_is_closed(front_end: FrontEnd, server: LoopbackServer, big: bytes) -> None:
    from http_service_client import RetryCondition, RetryPolicy

    policy = RetryPolicy(
        2, retry_conditions=[RetryCondition.on_result(lambda response: response.status_code == 200)]
    )
    client = front_end.client(connection_pool=SMALL_POOL, retry_policy_config=policy)
    with front_end.stream(client, "GET", server.url + "/big", timeout=5.0) as response:
        assert response.read() == big
    assert response.attempts == 2
    assert places_in_use(client) == 0


@pytest.mark.parametrize("kind", ["stream", "request"])
def test_nonsense_in_mid_body_ends_at_once(front_end: FrontEnd, server: LoopbackServer, kind: str) -> None:
    """aiohttp's own parser closes the connection, and tells nobody who waits for the body."""
    server.script("/", BREAKS["bad chunk"])
    client = front_end.client(enable_retry_policy=False)
    with Stopwatch() as watch, pytest.raises(TransportError, match="not valid HTTP"):
        if kind == "request":
            front_end.request(client, "GET", server.url + "/")
        else:
            with front_end.stream(client, "GET", server.url + "/") as response:
                response.read()
    watch.check_took(0.0)


def test_closing_the_client_under_an_open_stream(front_end: FrontEnd, server: LoopbackServer) -> None:
    """A blocking one goes on to its end; on a loop, whose connections are closed with it, it is an error of ours."""
    server.script("/", drip(b"x" * 6, every=0.05))
    client = front_end.client()
    is_cut = front_end.name == "asyncio"
    with (
        pytest.raises(ConnectionLostError) if is_cut else nullcontext(),
        front_end.stream(client, "GET", server.url + "/") as response,
    ):
        pieces = response.iter_bytes()
        first = next(pieces)
        front_end.close(client)
        assert first + b"".join(pieces) == b"x" * 6
    assert places_in_use(client) == 0
    assert server.wait_for(lambda: server.open_connections == 0)


def test_an_interceptor_sees_the_head_alone(front_end: FrontEnd, server: LoopbackServer, big: bytes) -> None:
    """Who looks for the body is told, not given an empty one; a copy is as good as the original."""
    seen: list[Any] = []

    def look(response: HttpResponse) -> HttpResponse:
        with pytest.raises(StreamError, match="streamed"):
            response.json()
        seen.append(response.headers["Content-Length"])
        return copy.copy(response)

    client = front_end.client(response_interceptors=[_Answer(look)])
    with front_end.stream(client, "GET", server.url + "/big") as response:
        assert response.read() == big
    assert seen == [str(len(big))]
    assert places_in_use(client) == 0


def test_after_an_error_there_is_no_end(server: LoopbackServer) -> None:
    """Whoever goes on behind an error must not take it for the end of the body."""
    server.script("/", raw(HEAD % 10 + b"12345", close=False))
    silence = Timeout(read=0.2)
    with HttpServiceClient() as client, client.stream("GET", server.url + "/", timeout=silence) as response:
        pieces = response.iter_bytes()
        assert next(pieces) == b"12345"
        with pytest.raises(ReadTimeoutError):
            next(pieces)
        with pytest.raises(StreamError, match="before its body ended"):
            next(pieces)


@pytest.mark.asyncio
async def test_a_timeout_of_the_caller_s_own_is_no_end(server: LoopbackServer) -> None:
    """A cancelled read closes the stream; an async generator would just be over."""
    server.script("/", raw(HEAD % 10 + b"12345", close=False))
    async with HttpServiceClient() as client, client.stream_async("GET", server.url + "/") as response:
        pieces = response.iter_bytes()
        assert await pieces.__anext__() == b"12345"
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(pieces.__anext__(), 0.1)
        with pytest.raises(StreamError, match="before its body ended"):
            await pieces.__anext__()


def test_a_silence_without_bound_leaves_no_timer(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each wait of over a minute would leave one, for as many years as the loop lives."""
    noted: list[float] = []
    monkeypatch.setattr(
        TimerWheel, "schedule", lambda self, now, seconds, waiter: noted.append(seconds) or {}
    )
    server.script("/", raw(HEAD % 2, b"a", b"b", every=0.05, close=False))

    async def take(timeout: Timeout) -> bytes:
        async with (
            HttpServiceClient() as client,
            client.stream_async("GET", server.url + "/", timeout=timeout) as response,
        ):
            body: bytes = await response.read()
            return body

    assert asyncio.run(take(Timeout(total=None))) == b"ab"
    assert noted == []
    assert asyncio.run(take(Timeout(total=None, read=5.0))) == b"ab"
    assert noted != []


def test_a_loop_that_gives_bytearrays(server: LoopbackServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of Windows did until Python 3.10.9: the pieces are bytes all the same."""
    receive = StrictResponseHandler.data_received
    monkeypatch.setattr(
        StrictResponseHandler, "data_received", lambda self, data: receive(self, bytearray(data))
    )
    server.script("/", raw(HEAD % 6, b"abc", b"def", every=0.05, close=False))

    async def take() -> list[bytes]:
        async with HttpServiceClient() as client, client.stream_async("GET", server.url + "/") as response:
            return [piece async for piece in response.iter_bytes()]

    pieces = asyncio.run(take())
    assert b"".join(pieces) == b"abcdef"
    assert {type(piece) for piece in pieces} == {bytes}


def test_two_tasks_that_read_one_body_are_told(server: LoopbackServer) -> None:
    """A program that does is wrong: its stream is closed, and neither of the two waits on."""
    server.script("/", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", close=False))

    async def read_twice() -> None:
        async with HttpServiceClient() as client, client.stream_async("GET", server.url + "/") as response:
            pieces = response.iter_bytes()
            first = asyncio.ensure_future(pieces.__anext__())
            await asyncio.sleep(0.01)
            with pytest.raises(RuntimeError, match="another task"):
                await pieces.__anext__()
            with pytest.raises(ConnectionLostError):
                await asyncio.wait_for(first, 5)

    asyncio.run(read_twice())

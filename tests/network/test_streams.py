"""`stream` and `stream_async`: a body in pieces, lines and events, and the connection that it holds."""

from __future__ import annotations

import asyncio
import copy
import gzip
import threading
from collections.abc import Callable
from typing import Any

import pytest

from http_service_client import (
    ConfigurationError,
    ConnectionPoolConfig,
    DecodingError,
    HttpClientConfig,
    HttpClientError,
    HttpResponse,
    HttpServiceClient,
    RetryCondition,
    RetryPolicy,
    ServerSentEvent,
    StreamError,
)
from http_service_client.events import CallFinished
from http_service_client.testing import LoopbackServer, ScriptedTransport, drip, raw, respond
from http_service_client.transports.over_aiohttp.connection import Connection
from kit.front_ends import FrontEnd
from network.faults import served, slots_in_use

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
SMALL_POOL = ConnectionPoolConfig(max_connections=1, pool_timeout=0.2)


def test_a_body_is_read_in_pieces(front_end: FrontEnd, server: LoopbackServer, big: bytes) -> None:
    """The pieces together are the body."""
    client = front_end.client()
    with front_end.stream(client, "GET", server.url + "/big") as response:
        assert (response.status_code, response.is_success) == (200, True)
        pieces = list(response.iter_bytes())
    assert b"".join(pieces) == big
    assert len(pieces) > 1


@pytest.mark.parametrize("size", [1, 4, 5, 100])
def test_pieces_may_have_a_fixed_size(front_end: FrontEnd, server: LoopbackServer, size: int) -> None:
    """Whatever the size of the bytes that arrive; the last piece has the rest."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
    server.script("/", raw(head, b"ab", b"cdefg", b"h", b"ij", every=0.01, close=False))
    with front_end.stream(front_end.client(), "GET", server.url + "/") as response:
        pieces = list(response.iter_bytes(size))
    assert pieces == [b"abcdefghij"[at : at + size] for at in range(0, 10, size)]


def test_an_invalid_size_reads_nothing(front_end: FrontEnd, server: LoopbackServer) -> None:
    """It is refused at once, and the body can still be read."""
    server.script("/", respond(body=b"abc"))
    with front_end.stream(front_end.client(), "GET", server.url + "/") as response:
        for wrong in (0, -1, 1.5, True, "8"):
            with pytest.raises(ConfigurationError, match="chunk_size"):
                next(iter(response.iter_bytes(wrong)))  # type: ignore[arg-type]
        assert response.read() == b"abc"


@pytest.mark.parametrize("method", ["iter_lines", "iter_events"])
def test_an_invalid_max_length_reads_nothing(
    front_end: FrontEnd, server: LoopbackServer, method: str
) -> None:
    """It is refused at once, and not reported as a line that is too long."""
    server.script("/", respond(body=b"abc"))
    with front_end.stream(front_end.client(), "GET", server.url + "/") as response:
        for wrong in (0, -1, 1.5, True, "8"):
            with pytest.raises(ConfigurationError, match="max_length must be a whole number"):
                next(iter(getattr(response, method)(max_length=wrong)))
        assert response.read() == b"abc"


def test_read_returns_and_keeps_the_whole_body(front_end: FrontEnd, server: LoopbackServer) -> None:
    """After it, the response can be used like one that was not streamed."""
    server.script("/", respond(json={"a": 1}))
    with front_end.stream(front_end.client(), "GET", server.url + "/") as response:
        assert response.read() == b'{"a": 1}'
        assert response.read() == response.content == b'{"a": 1}'  # kept
        assert (response.json(), response.text) == ({"a": 1}, '{"a": 1}')
        assert list(response.iter_bytes()) == [b'{"a": 1}']


def test_the_first_piece_is_returned_before_the_last_is_sent(
    front_end: FrontEnd, server: LoopbackServer
) -> None:
    """A piece does not wait for the next."""
    arrived = threading.Event()

    def slow(sending: Any, _: threading.Event) -> None:
        sending.recv(65536)
        sending.sendall(HEAD % 10 + b"first")
        assert arrived.wait(5)
        sending.sendall(b"later")

    with (
        served(slow) as address,
        front_end.stream(front_end.client(), "GET", f"http://{address}/") as response,
    ):
        pieces = response.iter_bytes()
        assert next(pieces) == b"first"
        arrived.set()
        assert b"".join(pieces) == b"later"


@pytest.mark.parametrize("size", [None, 4])
def test_an_exhausted_iterator_stays_exhausted(
    front_end: FrontEnd, server: LoopbackServer, size: int | None
) -> None:
    """Inside the block and after it."""
    server.script("/", respond(body=b"all of it"))
    with front_end.stream(front_end.client(), "GET", server.url + "/") as response:
        pieces = response.iter_bytes(size)
        assert b"".join(pieces) == b"all of it"
        assert next(pieces, None) is None
    assert next(pieces, None) is None


def test_the_connection_of_a_body_read_to_its_end_is_kept(
    front_end: FrontEnd, server: LoopbackServer, big: bytes
) -> None:
    """The next stream reuses it."""
    client = front_end.client(connection_pool=SMALL_POOL)
    for _ in range(3):
        with front_end.stream(client, "GET", server.url + "/big") as response:
            for _ in response.iter_bytes():
                pass
    assert server.connection_count == 1
    assert slots_in_use(client) == 0


def test_leaving_a_body_half_read_closes_the_connection(
    front_end: FrontEnd, server: LoopbackServer, big: bytes
) -> None:
    """Its slots are released with it."""
    client = front_end.client(connection_pool=SMALL_POOL)
    for _ in range(3):
        with front_end.stream(client, "GET", server.url + "/big") as response:
            next(response.iter_bytes())
        assert slots_in_use(client) == 0
    assert server.wait_for(lambda: server.open_connections == 0)
    assert server.connection_count == 3


def test_leaving_at_the_last_event_keeps_the_connection(front_end: FrontEnd, server: LoopbackServer) -> None:
    """The end of the body has come with it. Services of models announce it by `[DONE]`, at which callers leave."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    last = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
    server.script("/", raw(head, b"b\r\ndata: one\n\n\r\n" + last, every=0.01, close=False))
    client = front_end.client()
    for _ in range(2):
        with front_end.stream(client, "GET", server.url + "/") as response:
            for event in response.iter_events():
                if event.data == "[DONE]":
                    break
    assert len(server.requests) == 2
    assert server.connection_count == 1


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_inside_the_block_closes_the_connection(
    front_end: FrontEnd, server: LoopbackServer, big: bytes, error: type[BaseException]
) -> None:
    """The error passes through unchanged."""
    client = front_end.client(connection_pool=SMALL_POOL)
    with pytest.raises(error), front_end.stream(client, "GET", server.url + "/big") as response:
        next(response.iter_bytes())
        raise error
    assert slots_in_use(client) == 0
    assert server.wait_for(lambda: server.open_connections == 0)


def test_slots_are_held_until_the_end_of_the_body(
    front_end: FrontEnd, server: LoopbackServer, big: bytes
) -> None:
    """Not until the end of the block."""
    client = front_end.client(connection_pool=SMALL_POOL)
    with front_end.stream(client, "GET", server.url + "/big") as response:
        assert slots_in_use(client) == 2  # the host's, and the client's
        for _ in response.iter_bytes():
            pass
        assert slots_in_use(client) == 0


@pytest.mark.parametrize("status", [302, 404, 503])
def test_a_response_that_is_no_success_is_read_whole(
    front_end: FrontEnd, server: LoopbackServer, status: int
) -> None:
    """So an error has its body, and a discarded response holds no slot."""
    server.script("/", respond(status, body=b"why"))
    client = front_end.client()
    with front_end.stream(client, "GET", server.url + "/", retry_policy=None) as response:
        assert (response.status_code, response.content) == (status, b"why")
        assert list(response.iter_bytes()) == [b"why"]
        assert slots_in_use(client) == 0


def test_a_stream_is_retried_until_its_head_has_arrived(front_end: FrontEnd, server: LoopbackServer) -> None:
    """A 503 is retried as for any call."""
    server.script("/", respond(503), respond(body=b"ok"))
    client = front_end.client(retry_policy_config={"initial_delay": 0.001})
    with front_end.stream(client, "GET", server.url + "/") as response:
        assert response.read() == b"ok"
    assert response.attempts == 2


def test_a_stream_follows_redirects(front_end: FrontEnd, server: LoopbackServer) -> None:
    """The body is that of the last hop."""
    server.script("/", respond(302, headers={"Location": "/there"}))
    server.script("/there", respond(body=b"ok"))
    with front_end.stream(front_end.client(), "GET", server.url + "/") as response:
        assert (response.read(), response.url) == (b"ok", server.url + "/there")
    assert [hop.status_code for hop in response.history] == [302]


def test_decompression_can_be_switched_off(front_end: FrontEnd, server: LoopbackServer) -> None:
    """The body is then returned as it arrived."""
    packed = gzip.compress(b"plain", mtime=0)
    server.script("/", respond(headers={"Content-Encoding": "gzip"}, body=packed))
    client = front_end.client(enable_response_decompression=False)
    with front_end.stream(client, "GET", server.url + "/") as response:
        assert response.read() == packed


def test_a_chunk_is_returned_before_its_line_end_arrives(front_end: FrontEnd) -> None:
    """Some servers send the CR LF after a chunk together with the next chunk: an event must not wait for that."""
    arrived = threading.Event()

    def serve(sending: Any, _: threading.Event) -> None:
        sending.recv(65536)
        sending.sendall(CHUNKED + b"5\r\nfirst")
        assert arrived.wait(5)
        sending.sendall(b"\r\n6\r\nsecond\r\n0\r\n\r\n")

    with (
        served(serve) as address,
        front_end.stream(front_end.client(), "GET", f"http://{address}/") as response,
    ):
        pieces = response.iter_bytes()
        assert next(pieces) == b"first"
        arrived.set()
        assert list(pieces) == [b"second"]


def test_a_loop_that_passes_bytearrays(server: LoopbackServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of Windows did before Python 3.10.9: the pieces are bytes nevertheless."""
    receive = Connection.data_received
    monkeypatch.setattr(Connection, "data_received", lambda self, data: receive(self, bytearray(data)))
    server.script("/", raw(HEAD % 6, b"abc", b"def", every=0.05, close=False))

    async def read() -> list[bytes]:
        async with HttpServiceClient() as client, client.stream_async("GET", server.url + "/") as response:
            return [piece async for piece in response.iter_bytes()]

    pieces = asyncio.run(read())
    assert b"".join(pieces) == b"abcdef"
    assert {type(piece) for piece in pieces} == {bytes}


def test_the_call_is_finished_at_the_end_of_the_stream(
    front_end: FrontEnd, server: LoopbackServer, big: bytes
) -> None:
    """The event and the last line of `explain` come then, once."""
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


# Misuse.


def test_content_before_read_is_an_error(front_end: FrontEnd, server: LoopbackServer, big: bytes) -> None:
    """The message names the method to call."""
    with front_end.stream(front_end.client(), "GET", server.url + "/big") as response:
        for read in (lambda: response.content, lambda: response.text, response.json):
            with pytest.raises(StreamError, match="call read"):
                read()


def test_a_body_can_be_read_only_once(front_end: FrontEnd, server: LoopbackServer, big: bytes) -> None:
    """A second iterator is refused."""
    with front_end.stream(front_end.client(), "GET", server.url + "/big") as response:
        next(response.iter_bytes())
        for again in (lambda: next(response.iter_bytes()), response.read):
            with pytest.raises(StreamError, match="read only once"):
                again()


def test_a_body_cannot_be_read_after_the_block(
    front_end: FrontEnd, server: LoopbackServer, big: bytes
) -> None:
    """The message names the block."""
    with front_end.stream(front_end.client(), "GET", server.url + "/big") as response:
        pieces = response.iter_bytes()
        next(pieces)
    with pytest.raises(StreamError, match="with block"):
        for _ in pieces:
            pass
    with front_end.stream(front_end.client(), "GET", server.url + "/big") as response:
        pass
    with pytest.raises(StreamError, match="with block"):
        response.read()


def test_a_response_type_is_refused_for_a_stream(front_end: FrontEnd, server: LoopbackServer) -> None:
    """It needs the whole body."""
    with (
        pytest.raises(HttpClientError, match="read whole"),
        front_end.stream(front_end.client(), "GET", server.url + "/", response_type=int),
    ):
        pass
    assert not server.requests


def test_the_keyword_stream_names_the_method(front_end: FrontEnd, server: LoopbackServer) -> None:
    """The keyword of requests does not exist here."""
    with pytest.raises(TypeError, match=r"client\.stream"):
        front_end.request(front_end.client(), "GET", server.url + "/", stream=True)


# Lines and events.


def test_iter_lines_decodes_and_splits(front_end: FrontEnd, server: LoopbackServer) -> None:
    """In the charset of the response, at every kind of line end."""
    text = "eins\r\nzwei\nd\u00fcrr\n\nlast"
    server.script(
        "/",
        drip(text.encode("latin-1"), every=0.001, headers={"Content-Type": "text/plain; charset=latin-1"}),
    )
    with front_end.stream(front_end.client(), "GET", server.url + "/") as response:
        assert list(response.iter_lines()) == ["eins", "zwei", "d\u00fcrr", "", "last"]


def test_a_line_that_never_ends_is_an_error(front_end: FrontEnd, server: LoopbackServer) -> None:
    """`max_length` bounds the memory of a line."""
    server.script("/", respond(body=b"x" * 200_000))
    client = front_end.client()
    with (
        pytest.raises(DecodingError),
        front_end.stream(client, "GET", server.url + "/") as response,
    ):
        list(response.iter_lines(max_length=1000))
    assert slots_in_use(client) == 0


def test_iter_events_parses_server_sent_events(front_end: FrontEnd, server: LoopbackServer) -> None:
    """Comments and an unfinished event are dropped."""
    body = b": hello\n\nevent: paid\nid: 7\ndata: a\ndata: b\n\ndata: c\n\ndata: never finished"
    server.script("/", drip(body, every=0.001, headers={"Content-Type": "text/event-stream"}))
    with front_end.stream(front_end.client(), "GET", server.url + "/") as response:
        events = list(response.iter_events())
    assert events == [ServerSentEvent("paid", "a\nb", "7"), ServerSentEvent("message", "c", "7")]


# With a transport that streams nothing, and with interceptors.


def test_a_scripted_response_can_be_streamed(front_end: FrontEnd) -> None:
    """It is read whole, and returned in pieces."""
    transport = ScriptedTransport([HttpResponse(503), HttpResponse(200, content=b"a\nb")])
    client = front_end.client(transport=transport, retry_policy_config={"initial_delay": 0.001})
    with front_end.stream(client, "GET", "https://api.example.com/") as response:
        assert list(response.iter_lines()) == ["a", "b"]


class _Replaces:
    """An interceptor that replaces the response."""

    def __init__(self, replace: Callable[[HttpResponse], HttpResponse]) -> None:
        self.replace = replace

    def intercept_response(self, response: HttpResponse, context: Any) -> HttpResponse:
        return self.replace(response)


def test_a_response_that_an_interceptor_replaced_is_closed(
    front_end: FrontEnd, server: LoopbackServer, big: bytes
) -> None:
    """The replacement is the response, and holds no slot."""
    other = HttpResponse(200, content=b"other")
    client = front_end.client(response_interceptors=[_Replaces(lambda _: other)])
    with front_end.stream(client, "GET", server.url + "/big") as response:
        assert slots_in_use(client) == 0
        assert response.read() == b"other"


def test_an_interceptor_that_raises_leaves_nothing_open(
    front_end: FrontEnd, server: LoopbackServer, big: bytes
) -> None:
    """The open body is closed with its connection."""

    def refuse(_: HttpResponse) -> HttpResponse:
        raise LookupError("no")

    client = front_end.client(response_interceptors=[_Replaces(refuse)])
    with pytest.raises(LookupError), front_end.stream(client, "GET", server.url + "/big"):
        pass
    assert slots_in_use(client) == 0
    assert server.wait_for(lambda: server.open_connections == 0)


def test_a_success_that_is_retried_is_closed(front_end: FrontEnd, server: LoopbackServer, big: bytes) -> None:
    """Its open body would hold the only slot."""
    policy = RetryPolicy(
        2, retry_conditions=[RetryCondition.on_result(lambda response: response.status_code == 200)]
    )
    client = front_end.client(connection_pool=SMALL_POOL, retry_policy_config=policy)
    with front_end.stream(client, "GET", server.url + "/big", timeout=5.0) as response:
        assert response.read() == big
    assert response.attempts == 2
    assert slots_in_use(client) == 0


def test_an_interceptor_sees_the_head_only(front_end: FrontEnd, server: LoopbackServer, big: bytes) -> None:
    """Reading the body there is an error, not an empty body. A copy of the response can be returned."""
    seen: list[Any] = []

    def look(response: HttpResponse) -> HttpResponse:
        with pytest.raises(StreamError, match="streamed"):
            response.json()
        seen.append(response.headers["Content-Length"])
        return copy.copy(response)

    client = front_end.client(response_interceptors=[_Replaces(look)])
    with front_end.stream(client, "GET", server.url + "/big") as response:
        assert response.read() == big
    assert seen == [str(len(big))]
    assert slots_in_use(client) == 0


@pytest.mark.parametrize("name", ["blocking", "asyncio"])
def test_a_dropped_stream_closes_its_connection(server: LoopbackServer, name: str) -> None:
    """The server sees the end of it, and the client's only slot is free for the next call."""
    server.script("/endless", drip(b"x", every=0.05))
    server.script("/", respond(204))
    with HttpServiceClient(
        HttpClientConfig(connection_pool=ConnectionPoolConfig(max_connections=1))
    ) as client:

        async def in_asyncio() -> int:
            held = [await client.stream_async("GET", server.url + "/endless").__aenter__()]
            with pytest.warns(ResourceWarning):
                held.clear()
            return (await client.get_async(server.url + "/")).status_code

        def blocking() -> int:
            held = [client.stream("GET", server.url + "/endless").__enter__()]
            with pytest.warns(ResourceWarning):
                held.clear()
            return client.get(server.url + "/").status_code

        assert (blocking() if name == "blocking" else asyncio.run(in_asyncio())) == 204
        assert server.wait_for(lambda: server.open_connections <= 1)

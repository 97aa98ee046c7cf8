"""A streamed body that breaks off, or is closed under its reader, is an error and never a complete body."""

from __future__ import annotations

import asyncio
import gzip
import pickle
from contextlib import nullcontext
from typing import Any

import pytest

from http_service_client import (
    ClientClosedError,
    DecodingError,
    HttpResponse,
    HttpServiceClient,
    ReadTimeoutError,
    StreamError,
    Timeout,
    TransportError,
)
from http_service_client.events import CallFinished
from http_service_client.testing import LoopbackServer, drip, hang_up, raw, respond
from kit.front_ends import FrontEnd
from kit.stopwatch import Stopwatch
from network.faults import slots_in_use

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


BREAKS = {
    "cut short": hang_up(HEAD % 10 + b"12345"),
    "cut in a chunk": hang_up(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n123"),
    "bad chunk": raw(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"5\r\n12345\r\nzz\r\n", every=0.05
    ),
}


@pytest.mark.parametrize("action", BREAKS.values(), ids=BREAKS)
def test_a_body_that_breaks_off_is_an_error(front_end: FrontEnd, server: LoopbackServer, action: Any) -> None:
    """It has the response, the timeline and the sent-state, and can be pickled."""
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
    assert slots_in_use(client) == 0


LATE_BREAKS = {
    "cut short": raw(HEAD % 20, b"first", b"second", every=0.05),
    "cut in a chunk": raw(CHUNKED, b"5\r\nfirst\r\n", b"6\r\nsecond\r\n", every=0.05),
    "bad chunk": raw(CHUNKED, b"5\r\nfirst\r\n", b"6\r\nsecond\r\n", b"zz\r\n", every=0.05),
}


@pytest.mark.parametrize("action", LATE_BREAKS.values(), ids=LATE_BREAKS)
def test_bytes_that_arrived_before_a_break_are_returned(
    front_end: FrontEnd, server: LoopbackServer, action: Any
) -> None:
    """A slow reader gets as much of the body as a fast one, and then the error."""
    server.script("/", action)
    server.script("/other", respond(204))
    client = front_end.client()
    with pytest.raises(TransportError), front_end.stream(client, "GET", server.url + "/") as response:
        pieces = response.iter_bytes()
        received = [next(pieces)]
        assert server.wait_for(lambda: server.open_connections == 0)
        # The loop reads from both connections meanwhile.
        front_end.request(client, "GET", server.url + "/other")
        for piece in pieces:
            received.append(piece)
    assert b"".join(received) == b"firstsecond"


@pytest.mark.parametrize("kind", ["stream", "request"])
def test_invalid_framing_in_mid_body_is_an_error_at_once(
    front_end: FrontEnd, server: LoopbackServer, kind: str
) -> None:
    """The reader of the body does not wait until a timeout."""
    server.script("/", BREAKS["bad chunk"])
    client = front_end.client(enable_retry_policy=False)
    with Stopwatch() as watch, pytest.raises(TransportError, match="not valid HTTP"):
        if kind == "request":
            front_end.request(client, "GET", server.url + "/")
        else:
            with front_end.stream(client, "GET", server.url + "/") as response:
                response.read()
    watch.check_took(0.0)


@pytest.mark.parametrize("cut", [1, 10])
def test_a_truncated_coding_is_an_error(front_end: FrontEnd, server: LoopbackServer, cut: int) -> None:
    """A body that is complete on the wire may be incomplete once decoded."""
    packed = gzip.compress(b"plain", mtime=0)[:-cut]
    server.script("/", respond(headers={"Content-Encoding": "gzip"}, body=packed))
    client = front_end.client()
    with pytest.raises(DecodingError), front_end.stream(client, "GET", server.url + "/") as response:
        response.read()
    assert slots_in_use(client) == 0


def test_closing_the_client_during_a_stream(front_end: FrontEnd, server: LoopbackServer) -> None:
    """A sync stream continues to its end. In asyncio the pool is closed with all its connections: it is an error."""
    server.script("/", drip(b"x" * 6, every=0.05))
    client = front_end.client()
    is_cut = front_end.name == "asyncio"
    with (
        pytest.raises(ClientClosedError) if is_cut else nullcontext(),
        front_end.stream(client, "GET", server.url + "/") as response,
    ):
        pieces = response.iter_bytes()
        first = next(pieces)
        front_end.close(client)
        assert first + b"".join(pieces) == b"x" * 6
    assert slots_in_use(client) == 0
    assert server.wait_for(lambda: server.open_connections == 0)


def test_a_read_after_an_error_is_not_the_end_of_the_body(server: LoopbackServer) -> None:
    """Code that continues after an error must not take the body for complete."""
    server.script("/", raw(HEAD % 10 + b"12345", close=False))
    bounds: Any = {"timeout": Timeout(read=0.3), "total_timeout": 10}
    with HttpServiceClient() as client, client.stream("GET", server.url + "/", **bounds) as response:
        pieces = response.iter_bytes()
        assert next(pieces) == b"12345"
        with pytest.raises(ReadTimeoutError):
            next(pieces)
        with pytest.raises(StreamError, match="before its body ended"):
            next(pieces)


@pytest.mark.asyncio
async def test_a_cancelled_read_is_not_the_end_of_the_body(server: LoopbackServer) -> None:
    """It closes the stream. An async generator would simply stop."""
    server.script("/", raw(HEAD % 10 + b"12345", close=False))
    async with HttpServiceClient() as client, client.stream_async("GET", server.url + "/") as response:
        pieces = response.iter_bytes()
        assert await pieces.__anext__() == b"12345"
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(pieces.__anext__(), 0.1)
        with pytest.raises(StreamError, match="before its body ended"):
            await pieces.__anext__()


def test_a_second_task_that_reads_one_body_gets_an_error(server: LoopbackServer) -> None:
    """The first one reads on, until the stream is closed say, and neither keeps waiting."""
    server.script("/", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", close=False))

    async def read_twice() -> None:
        async with HttpServiceClient() as client, client.stream_async("GET", server.url + "/") as response:
            pieces = response.iter_bytes()
            first = asyncio.ensure_future(pieces.__anext__())
            await asyncio.sleep(0)
            with pytest.raises(StreamError, match="another task"):
                await pieces.__anext__()
            assert not first.done()
            response.close()
            with pytest.raises(StreamError, match="closed while it was being read"):
                await asyncio.wait_for(first, 5)

    asyncio.run(read_twice())

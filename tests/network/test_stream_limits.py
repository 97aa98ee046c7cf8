"""A streamed body is bounded: its size, each wait for more of it, and the deadline of the call."""

from __future__ import annotations

import asyncio
import gzip
import time

import pytest

from http_service_client import (
    DeadlineExceededError,
    HttpServiceClient,
    ReadTimeoutError,
    ResponseTooLargeError,
    Timeout,
    TransportError,
)
from http_service_client.drivers.aio_timers import TimerWheel
from http_service_client.testing import LoopbackServer, drip, raw, respond, stall
from http_service_client.transports.over_aiohttp.transport import AiohttpTransport  # noqa: F401  # its import takes a while
from kit.front_ends import FrontEnd
from kit.stopwatch import Stopwatch
from network.faults import slots_in_use

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"


def test_a_call_s_size_limit_applies_to_its_stream(
    front_end: FrontEnd, server: LoopbackServer, big: bytes
) -> None:
    """However it is read."""
    client = front_end.client(max_response_size=None)
    received = 0
    with (
        pytest.raises(ResponseTooLargeError, match="use None for no limit"),
        front_end.stream(client, "GET", server.url + "/big", max_response_size=100_000) as response,
    ):
        for piece in response.iter_bytes():
            received += len(piece)
    assert received <= 100_000
    assert slots_in_use(client) == 0


def test_the_client_s_size_limit_bounds_what_is_kept_of_a_stream(
    front_end: FrontEnd, server: LoopbackServer, big: bytes
) -> None:
    """A stream of small items may go on for hours; what `read` keeps in memory may not."""
    client = front_end.client(max_response_size=100_000)
    with front_end.stream(client, "GET", server.url + "/big") as response:
        assert b"".join(response.iter_bytes()) == big
    with (
        pytest.raises(
            ResponseTooLargeError,
            match=r"max_response_size \(100000 bytes\); raise it, or read the body in pieces",
        ) as caught,
        front_end.stream(client, "GET", server.url + "/big") as response,
    ):
        response.read()
    assert big.startswith(response.partial_content)
    assert len(response.partial_content) <= 100_000
    assert caught.value.sent_state.value == "answered"
    assert slots_in_use(client) == 0
    with front_end.stream(client, "GET", server.url + "/big", max_response_size=None) as response:
        assert response.read() == big


def test_a_decompression_bomb_is_returned_in_small_pieces(
    front_end: FrontEnd, server: LoopbackServer
) -> None:
    """One packet may decode to megabytes: they are not returned at once."""
    packed = gzip.compress(bytes(30_000_000), mtime=0)
    server.script("/", respond(headers={"Content-Encoding": "gzip"}, body=packed))
    with front_end.stream(front_end.client(), "GET", server.url + "/", max_response_size=None) as response:
        sizes = [len(piece) for piece in response.iter_bytes()]
    assert sum(sizes) == 30_000_000
    assert max(sizes) <= 64 * 1024


def test_the_read_timeout_bounds_each_wait(front_end: FrontEnd, server: LoopbackServer) -> None:
    """The error has the head of the response."""
    server.script("/", raw(HEAD % 10 + b"12345", b"67890", every=5.0))
    client = front_end.client()
    with (
        Stopwatch() as watch,
        pytest.raises(ReadTimeoutError) as caught,
        front_end.stream(client, "GET", server.url + "/", timeout=Timeout(read=0.3)) as response,
    ):
        response.read()
    watch.check_took(0.3)
    assert caught.value.response is not None
    assert caught.value.response.status_code == 200
    assert caught.value.sent_state.value == "maybe_processed"
    assert slots_in_use(client) == 0


def test_bytes_that_only_frame_the_body_do_not_reset_the_read_timeout(
    front_end: FrontEnd, server: LoopbackServer
) -> None:
    """Here an endless chunk extension."""
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
    assert slots_in_use(client) == 0


def test_without_a_read_timeout_the_attempt_s_timeout_bounds_each_wait(
    front_end: FrontEnd, server: LoopbackServer
) -> None:
    """It is used for each wait, not for the whole body."""
    server.script("/", raw(HEAD % 10 + b"12345", b"67890", every=5.0))
    with (
        Stopwatch() as watch,
        pytest.raises(ReadTimeoutError),
        front_end.stream(front_end.client(), "GET", server.url + "/", timeout=0.4) as response,
    ):
        response.read()
    watch.check_took(0.4)


def test_a_stream_that_keeps_sending_outlasts_the_attempt_s_timeout(
    front_end: FrontEnd, server: LoopbackServer
) -> None:
    """From the head on, the timeout applies to each wait."""
    server.script("/", drip(b"x" * 12, every=0.05))
    started = time.monotonic()
    with front_end.stream(front_end.client(), "GET", server.url + "/", timeout=0.4) as response:
        assert response.read() == b"x" * 12
    assert time.monotonic() - started > 0.45


def test_the_read_timeout_ignores_the_time_between_reads(front_end: FrontEnd, server: LoopbackServer) -> None:
    """A slow reader is not an idle server."""
    server.script("/", respond(body=b"x" * 1000))
    with front_end.stream(front_end.client(), "GET", server.url + "/", timeout=Timeout(read=0.3)) as response:
        time.sleep(0.5)
        assert len(response.read()) == 1000


def test_the_deadline_ends_a_stream(front_end: FrontEnd, server: LoopbackServer) -> None:
    """Also one that keeps sending."""
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
    assert slots_in_use(client) == 0


def test_the_attempt_s_timeout_bounds_the_wait_for_the_head(
    front_end: FrontEnd, server: LoopbackServer
) -> None:
    """Until then a stream is an attempt like any other."""
    server.script("/", stall())
    client = front_end.client()
    with (
        Stopwatch() as watch,
        pytest.raises(TransportError) as caught,
        front_end.stream(client, "GET", server.url + "/", timeout=0.1, retry_policy=None),
    ):
        pass
    assert type(caught.value).__name__ == "AttemptTimeoutError"
    assert slots_in_use(client) == 0
    watch.check_took(0.1)


def test_a_wait_without_a_timeout_leaves_no_timer(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is scheduled for a wait that never expires."""
    scheduled: list[float] = []
    monkeypatch.setattr(
        TimerWheel, "schedule", lambda self, now, seconds, waiter: scheduled.append(seconds) or {}
    )
    server.script("/", raw(HEAD % 2, b"a", b"b", every=0.05, close=False))

    async def read(timeout: Timeout) -> bytes:
        async with (
            HttpServiceClient() as client,
            client.stream_async("GET", server.url + "/", timeout=timeout) as response,
        ):
            body: bytes = await response.read()
            return body

    assert asyncio.run(read(Timeout(total=None))) == b"ab"
    assert scheduled == []
    assert asyncio.run(read(Timeout(total=None, read=5.0))) == b"ab"
    assert scheduled != []

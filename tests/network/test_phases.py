"""`Timeout(first_byte=…, between=…)`: other limits for the first byte of a body, and for the waits after it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from http_service_client import AttemptTimeoutError, HttpResponse, ReadTimeoutError, Timeout
from http_service_client.core.open_body import OpenResponse
from http_service_client.http.messages import HttpRequest
from http_service_client.testing import (
    LoopbackServer,
    ScriptedTransport,
    VirtualClock,
    late,
    raw,
    respond,
    stall,
)
from http_service_client.transports.over_aiohttp.transport import AiohttpTransport  # noqa: F401  # its import takes a while
from kit.fakes import URL
from kit.front_ends import AsyncioFrontEnd, BlockingFrontEnd, FrontEnd
from kit.stopwatch import Stopwatch
from network.faults import slots_in_use
from network.hooked_path import go_through_aiohttp


@pytest.fixture(params=["blocking", "asyncio", "asyncio, through aiohttp"])
def front_end(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[FrontEnd]:
    """Both front ends, and asyncio once more through aiohttp, as if something had hooked in."""
    if request.param == "asyncio, through aiohttp":
        go_through_aiohttp(monkeypatch)
    with BlockingFrontEnd() if request.param == "blocking" else AsyncioFrontEnd() as front_end:
        yield front_end


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"


@pytest.mark.parametrize(
    ("before", "reads"),
    [((), "request"), ((), "stream"), ((HEAD,), "stream")],
    ids=["no head, read whole", "no head", "a head"],
)
def test_the_first_byte_has_a_limit_of_its_own(
    front_end: FrontEnd, server: LoopbackServer, before: tuple[bytes, ...], reads: str
) -> None:
    """Whether the head is late or the body after it. The error names the limit that was set."""
    server.script("/", raw(*before, b"late", every=5.0) if before else stall())
    client = front_end.client()
    timeout = Timeout(first_byte=0.3, read=9.0, between=9.0)
    with (
        Stopwatch() as watch,
        pytest.raises(ReadTimeoutError, match=r"no first byte within 0\.3 s$") as caught,
    ):
        if reads == "request":
            front_end.request(client, "GET", server.url + "/", timeout=timeout, retry_policy=None)
        else:
            with front_end.stream(
                client, "GET", server.url + "/", timeout=timeout, retry_policy=None
            ) as response:
                response.read()
    watch.check_took(0.3)
    assert caught.value.sent_state.value == "maybe_processed"
    assert slots_in_use(client) == 0


@pytest.mark.parametrize("reads", ["stream", "request"])
def test_the_waits_after_the_first_byte_have_another(
    front_end: FrontEnd, server: LoopbackServer, reads: str
) -> None:
    """A head that takes longer than `between` does no harm."""
    server.script("/", raw(b"", HEAD + b"ab", b"cd", every=0.5))
    client = front_end.client()
    timeout = Timeout(between=0.2)
    with pytest.raises(ReadTimeoutError, match=r"nothing arrived for 0\.2 s$") as caught:
        if reads == "request":
            front_end.request(client, "GET", server.url + "/", timeout=timeout, retry_policy=None)
        else:
            with front_end.stream(
                client, "GET", server.url + "/", timeout=timeout, retry_policy=None
            ) as response:
                response.read()
    assert caught.value.sent_state.value == "maybe_processed"
    assert slots_in_use(client) == 0


def test_a_first_byte_may_take_longer_than_those_after_it(
    front_end: FrontEnd, server: LoopbackServer
) -> None:
    """The limit after the first byte does not hold before it."""
    server.script("/", raw(HEAD, b"a", every=0.4, close=False))
    timeout, pieces = Timeout(first_byte=5.0, between=0.1), []
    with (
        pytest.raises(ReadTimeoutError, match=r"nothing arrived for 0\.1 s"),
        front_end.stream(front_end.client(), "GET", server.url + "/", timeout=timeout) as response,
    ):
        for piece in response.iter_bytes():
            pieces.append(piece)
    assert pieces == [b"a"]


class TimedTransport:
    """Responds after 2 seconds of `waited`, with a body of three pieces; keeps the limits of its reads."""

    def __init__(self) -> None:
        self.limits: list[float | None] = []
        self.pieces = [b"a", b"b", b""]

    def send(self, request: HttpRequest, timeout: Timeout) -> OpenResponse:
        return OpenResponse(200, source=self, waited=2.0, url=request.url, request=request)

    async def send_async(self, request: HttpRequest, timeout: Timeout) -> OpenResponse:
        return self.send(request, timeout)

    open_response = send
    open_response_async = send_async

    def read(self, timeout: Timeout) -> bytes:
        self.limits.append(timeout.read)
        return self.pieces.pop(0)

    async def read_async(self, timeout: Timeout) -> bytes:
        return self.read(timeout)

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("timeout", "limits"),
    [
        (Timeout(total=9.0), [9.0, 9.0, 9.0]),
        (Timeout(total=9.0, read=4.0), [4.0, 4.0, 4.0]),
        (Timeout(total=9.0, first_byte=6.0), [4.0, 9.0, 9.0]),
        (Timeout(total=9.0, first_byte=6.0, read=5.0), [4.0, 5.0, 5.0]),
        (Timeout(total=9.0, between=3.0), [9.0, 3.0, 3.0]),
        (Timeout(total=9.0, between=3.0, read=5.0), [5.0, 3.0, 3.0]),
        (Timeout(first_byte=6.0, between=3.0, read=1.0), [4.0, 3.0, 3.0]),
        (Timeout(first_byte=1.0), [0.001, None, None]),
    ],
)
def test_each_wait_for_the_body_has_the_limit_of_its_phase(
    front_end: FrontEnd, timeout: Timeout, limits: list[float | None]
) -> None:
    """`first_byte`, less the wait for the head, then `between`; `read` or `total` for a phase without its own."""
    transport = TimedTransport()
    with front_end.stream(front_end.client(transport=transport), "GET", URL, timeout=timeout) as response:
        assert response.read() == b"ab"
    assert transport.limits == limits


@pytest.mark.parametrize("reads", ["stream", "request"])
def test_the_read_timeout_holds_for_the_head_beside_between(
    front_end: FrontEnd, server: LoopbackServer, reads: str
) -> None:
    """A limit for one phase leaves the other phases theirs."""
    server.script("/", stall())
    client, timeout = front_end.client(), Timeout(read=0.2, between=9.0)
    with pytest.raises(ReadTimeoutError, match=r"nothing arrived for 0\.2 s$"):
        if reads == "request":
            front_end.request(client, "GET", server.url + "/", timeout=timeout, retry_policy=None)
        else:
            with front_end.stream(client, "GET", server.url + "/", timeout=timeout, retry_policy=None):
                pass


def test_the_time_to_send_the_body_does_not_count(front_end: FrontEnd, server: LoopbackServer) -> None:
    """The limit of the first byte starts when the request was sent."""

    def slow() -> Iterator[bytes]:
        yield b"first"
        time.sleep(0.4)
        yield b"second"

    server.script("/", respond(body=b"done"))
    timeout = Timeout(first_byte=0.3)
    response = front_end.request(front_end.client(), "POST", server.url + "/", data=slow(), timeout=timeout)
    assert response.content == b"done"


def test_the_total_bounds_the_first_byte_too(front_end: FrontEnd, server: LoopbackServer) -> None:
    """The shorter one ends the attempt, and is named."""
    server.script("/", stall())
    timeout = Timeout(total=0.2, first_byte=9.0, between=9.0)
    with pytest.raises(AttemptTimeoutError, match=r"within 0\.2 s"):
        front_end.request(front_end.client(), "GET", server.url + "/", timeout=timeout, retry_policy=None)


def test_a_scripted_latency_counts_against_the_first_byte(front_end: FrontEnd) -> None:
    """In virtual time, as on a network."""
    clock = VirtualClock()
    transport = ScriptedTransport([late(8.0, HttpResponse(200))], clock=clock)
    client = front_end.client(transport=transport, clock=clock)
    with pytest.raises(ReadTimeoutError, match="no first byte within 6 s"):
        front_end.request(client, "GET", URL, timeout=Timeout(total=30, first_byte=6.0), retry_policy=None)
    assert clock.monotonic() == 6.0
    assert front_end.request(client, "GET", URL, timeout=Timeout(first_byte=9.0, read=1.0)).is_success

"""An open body releases its connection slots once, however its closes and interrupts interleave."""

from __future__ import annotations

import gzip
import sys
import tracemalloc
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from http_service_client import (
    DeadlineExceededError,
    HttpClientConfig,
    HttpClientError,
    HttpServiceClient,
    ReadTimeoutError,
)
from http_service_client.core import open_body as streaming
from http_service_client.core.layers.exchange import Exchange
from http_service_client.core.open_body import OpenResponse
from http_service_client.core.timeouts import Timeout
from http_service_client.http.messages import HttpRequest
from kit.fakes import FakeClock
from kit.front_ends import FrontEnd
from kit.streaming import StreamingTransport


class Source:
    """An empty body."""

    def read(self, timeout: Timeout) -> bytes:
        return b""

    def close(self) -> None:
        pass


class OpeningTransport:
    """A transport that leaves each body open."""

    def send(self, request: HttpRequest, timeout: Timeout) -> OpenResponse:
        return OpenResponse(200, source=Source(), url=request.url, request=request)

    open_response = send


def client_of_two() -> HttpServiceClient:
    config = HttpClientConfig(max_connections=2, max_connections_per_host=2)
    return HttpServiceClient(config, transport=OpeningTransport(), clock=FakeClock())


def slots_in_use(client: HttpServiceClient) -> int:
    return sum(state.connections.in_use for _, state in client._call_builder.origins.items())


class AtLine:
    """A trace function that calls `action` at the n-th executed line of a file. was_reached: if it did."""

    def __init__(self, file: str, number: int, action: Callable[[], object]) -> None:
        self._file, self._remaining, self._action = file, number, action

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename != self._file:
            return None
        if event == "line":
            self._remaining -= 1
            if self._remaining == 0:
                self._action()
        return self

    @property
    def was_reached(self) -> bool:
        return self._remaining <= 0


def run_traced(trace: AtLine, function: Callable[[], object]) -> None:
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)


def test_two_concurrent_closes_release_the_slots_once() -> None:
    """At whichever line the second close happens, neither fails, and the slots are released once."""
    for number in range(1, 100):
        client = client_of_two()
        with client.stream("GET", "http://h/"), client.stream("GET", "http://h/") as response:
            body = response._body
            assert body is not None
            trace = AtLine(streaming.__file__, number, body.close)  # type: ignore[union-attr]  # it is open
            run_traced(trace, response.close)
            assert slots_in_use(client) == 1
        assert slots_in_use(client) == 0
        if not trace.was_reached:
            break
    assert number > 3


def test_an_interrupt_while_a_stream_opens_releases_no_slot_twice() -> None:
    """After Ctrl-C between any two lines, the slot of another open stream is still in use."""
    file = Exchange.__call__.__code__.co_filename

    def interrupt() -> None:
        raise KeyboardInterrupt

    for number in range(1, 100):
        client = client_of_two()
        with client.stream("GET", "http://h/"):
            trace = AtLine(file, number, interrupt)
            stream = client.stream("GET", "http://h/")
            try:
                run_traced(trace, stream.__enter__)
            except KeyboardInterrupt:
                assert slots_in_use(client) >= 1
            else:
                stream.__exit__(None, None, None)
        if not trace.was_reached:
            break
    assert number > 10


class TickingClock(FakeClock):
    """Each step of the event loop, or of a thread, takes a tenth of a second."""

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds or 0.1)


@pytest.mark.parametrize(
    ("options", "error"),
    [({"timeout": Timeout(read=1.0)}, ReadTimeoutError), ({"total_timeout": 1.0}, DeadlineExceededError)],
    ids=["read timeout", "deadline"],
)
def test_frames_that_decode_to_nothing_outlast_no_timeout(
    front_end: FrontEnd, options: dict[str, Any], error: type[HttpClientError]
) -> None:
    """The server keeps sending, yet no byte of the content arrives."""
    transport = StreamingTransport(
        *[gzip.compress(b"", mtime=0)] * 100, gzip.compress(b"late"), headers={"Content-Encoding": "gzip"}
    )
    client = front_end.client(transport=transport, clock=TickingClock())
    with front_end.stream(client, "GET", "http://h/", **options) as response, pytest.raises(error):
        response.read()
    assert transport.sources[0].is_closed


def test_a_body_in_tiny_pieces_takes_little_memory(front_end: FrontEnd) -> None:
    """As objects of their own, pieces of two bytes would take many times their size."""
    client = front_end.client(transport=StreamingTransport(*[b"xy"] * 8_000))
    with front_end.stream(client, "GET", "http://h/") as response:
        tracemalloc.start()
        response.read()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 150_000

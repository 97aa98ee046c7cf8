"""The places of an open body, which are given back once, whoever closes it and whatever comes between."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from http_service_client import HttpClientConfig, HttpServiceClient
from http_service_client.core import open_body as streaming
from http_service_client.core.layers.exchange import Exchange
from http_service_client.core.open_body import OpenResponse
from http_service_client.core.timeouts import Timeout
from http_service_client.http.messages import HttpRequest
from kit.fakes import FakeClock


class Source:
    """A body that has no bytes."""

    def read(self, timeout: Timeout) -> bytes:
        return b""

    def close(self) -> None:
        pass


class OpeningTransport:
    """Leaves each body open."""

    def send(self, request: HttpRequest, timeout: Timeout) -> OpenResponse:
        return OpenResponse(200, source=Source(), url=request.url, request=request)

    open_response = send


def client_of_two() -> HttpServiceClient:
    config = HttpClientConfig(max_connections=2, max_connections_per_host=2)
    return HttpServiceClient(config, transport=OpeningTransport(), clock=FakeClock())


def places_in_use(client: HttpServiceClient) -> int:
    return sum(state.connections.in_use for _, state in client._call_builder.origins.items())


class AtLine:
    """Traces what runs of a file: at its n-th line, `happens` is called. has_come: whether it was."""

    def __init__(self, file: str, number: int, happens: Callable[[], object]) -> None:
        self._file, self._left, self._happens = file, number, happens

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename != self._file:
            return None
        if event == "line":
            self._left -= 1
            if self._left == 0:
                self._happens()
        return self

    @property
    def has_come(self) -> bool:
        return self._left <= 0


def traced(trace: AtLine, function: Callable[[], object]) -> None:
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)


def test_a_stream_that_two_close_at_once() -> None:
    """Wherever the second one comes in between, neither fails, and the places are free once."""
    for number in range(1, 100):
        client = client_of_two()
        with client.stream("GET", "http://h/"), client.stream("GET", "http://h/") as response:
            body = response._body
            assert body is not None
            trace = AtLine(streaming.__file__, number, body.close)  # type: ignore[union-attr]  # it is open
            traced(trace, response.close)
            assert places_in_use(client) == 1
        assert places_in_use(client) == 0
        if not trace.has_come:
            break
    assert number > 3


def test_an_interrupt_while_a_stream_is_opened_gives_nothing_back_twice() -> None:
    """Ctrl-C between any two lines: more places than there are would be as wrong as fewer."""
    file = Exchange.__call__.__code__.co_filename

    def interrupt() -> None:
        raise KeyboardInterrupt

    for number in range(1, 100):
        client = client_of_two()
        with client.stream("GET", "http://h/"):
            trace = AtLine(file, number, interrupt)
            try:
                traced(trace, client.stream("GET", "http://h/").__enter__)
            except KeyboardInterrupt:
                assert places_in_use(client) >= 1
        if not trace.has_come:
            break
    assert number > 10

"""A call in an `except` block says what happened to it, and not what happened before: Python links the two by `__context__`."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator

import pytest
import requests

from http_service_client import ConnectError, ConnectionLostError
from http_service_client.testing.server import LoopbackServer, hang_up, reset
from kit.front_ends import AsyncioFrontEnd, BlockingFrontEnd, FrontEnd
from kit.hooks import HookedFrontEnd
from network.faults import failing
from network.hooked_path import go_through_aiohttp

BEFORE: dict[str, Callable[[], BaseException]] = {
    "a refused connection": lambda: ConnectionRefusedError(111, "Connection refused"),
    "an unknown name": lambda: socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
    "a wrong certificate": lambda: ssl.SSLCertVerificationError(1, "certificate verify failed"),
    "a timeout": lambda: TimeoutError("timed out"),
    "an error of ours": lambda: _with_cause(ConnectError("could not connect"), ConnectionRefusedError()),
    "an error of requests": lambda: requests.ConnectTimeout(TimeoutError()),
}


def _with_cause(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


@pytest.fixture(params=["blocking", "through requests", "asyncio", "through aiohttp"])
def each_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[FrontEnd]:
    """Over the client's own connections, and as if something had hooked in."""
    if request.param == "through aiohttp":
        go_through_aiohttp(monkeypatch)
    kinds: dict[str, type[FrontEnd]] = {"blocking": BlockingFrontEnd, "through requests": HookedFrontEnd}
    with kinds.get(request.param, AsyncioFrontEnd)() as front_end:
        yield front_end


@pytest.mark.parametrize("before", BEFORE)
def test_a_request_that_was_sent_is_not_taken_for_one_that_was_not(
    each_way: FrontEnd, server: LoopbackServer, before: str
) -> None:
    """It would be sent again: a second charge."""
    server.script("/charges", reset())
    client = each_way.client()
    try:
        raise BEFORE[before]()
    except Exception:
        caught = failing(each_way, client, "POST", f"{server.url}/charges", json={"amount": 25})
        with pytest.raises(ConnectionLostError):
            each_way.request(client, "POST", f"{server.url}/charges", json={"amount": 25})
    assert (caught.type, caught.sent, caught.cause) == (
        "ConnectionLostError",
        "maybe_processed",
        "ConnectionResetError",
    )
    assert len(server.received("/charges")) == 2


def test_what_the_caller_handles_remains_as_it_is(each_way: FrontEnd, server: LoopbackServer) -> None:
    """Its traceback is what a later `raise` shows; it is the context of the error of the call, as Python has it."""
    server.refuse()
    client = each_way.client()
    mine, cause = ValueError("mine"), KeyError("cause")
    try:
        raise mine from cause
    except ValueError:
        caught = failing(each_way, client, "GET", f"{server.url}/")
    assert mine.__traceback__ is not None
    assert mine.__cause__ is cause
    assert caught.error.__context__ is mine
    assert (caught.type, caught.sent, caught.cause) == (
        "ConnectError",
        "never_sent",
        "ConnectionRefusedError",
    )


def test_a_body_that_is_cut_short_is_not_taken_for_the_error_before(
    each_way: FrontEnd, server: LoopbackServer
) -> None:
    """Nor is its response, in a stream."""
    server.script("/", hang_up(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"))
    client = each_way.client()
    try:
        raise TimeoutError
    except TimeoutError:
        caught = failing(each_way, client, "GET", f"{server.url}/")
        raises = pytest.raises(Exception, match="was cut short")
        with raises as raised, each_way.stream(client, "GET", f"{server.url}/") as response:
            response.read()
    assert caught.type == type(raised.value).__name__ == "ProtocolError"

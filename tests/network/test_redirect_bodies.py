"""The body of a redirect that is followed: nobody reads it, so nothing about it may stop the call."""

from __future__ import annotations

import asyncio
import math
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import HttpServiceClient
from http_service_client.testing import LoopbackServer, raw, respond
from http_service_client.transports.over_aiohttp import exchange as over_aiohttp
from http_service_client.transports.over_aiohttp.hooked.exchanges import AiohttpExchanges
from http_service_client.transports.over_requests import transport as requests_transport
from kit.front_ends import FrontEnd, run_task
from kit.stopwatch import Stopwatch

HEAD = b"HTTP/1.1 302 Found\r\nLocation: /to\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
LONG = b"x" * 100_000

UNREADABLE = {
    "without an end": (HEAD + b"\r\n", b"moved"),
    "without an end, from a server that says so": (HEAD + b"Connection: close\r\n\r\n", b"moved"),
    "in chunks without an end": (CHUNKED, b"5\r\nmoved\r\n"),
    "that never arrives": (HEAD + b"Content-Length: 5\r\n\r\n", b"mov"),
    "that is larger than the limit": (HEAD + b"Content-Length: 100000\r\n\r\n", LONG),
    "that is too large, in chunks": (CHUNKED, b"186a0\r\n" + LONG),
    "in a broken coding": (HEAD + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\n", b"moved"),
    "in invalid chunks": (CHUNKED, b"two\r\nhi\r\n"),
}


@pytest.fixture(autouse=True)
def short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the usual wait."""
    for transport in (requests_transport, over_aiohttp):
        monkeypatch.setattr(transport, "REDIRECT_WAIT", 0.1)


def warm(front_end: FrontEnd, client: HttpServiceClient, server: LoopbackServer, is_warm: bool) -> None:
    """Leave an idle connection, on which asyncio reads a response in another way."""
    if is_warm:
        server.script("/warm", respond(204))
        front_end.request(client, "GET", server.url + "/warm")


@pytest.mark.parametrize("is_warm", [False, True])
@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_redirect_is_followed_whatever_its_body(
    front_end: FrontEnd, server: LoopbackServer, kind: str, is_warm: bool
) -> None:
    """Long before the timeout, with another connection; the redirect in the history has no content."""
    client = front_end.client(base_timeout=15.0, max_response_size=90_000)
    warm(front_end, client, server, is_warm)
    server.script("/from", raw(*UNREADABLE[kind], close=False))
    server.script("/to", respond(body=b"here"))
    with Stopwatch() as watch:
        response = front_end.request(client, "POST", server.url + "/from", retry_policy=None)
    assert (response.status_code, response.content) == (200, b"here")
    assert [hop.content for hop in response.history] == [b""]
    assert watch.seconds < 10.0


@pytest.mark.parametrize("is_warm", [False, True])
@pytest.mark.parametrize("close", [False, True])
def test_a_short_body_is_kept(
    front_end: FrontEnd, server: LoopbackServer, is_warm: bool, close: bool
) -> None:
    """And the connection of a framed one is used again."""
    client = front_end.client()
    warm(front_end, client, server, is_warm)
    head = HEAD + b"Connection: close\r\n" if close else HEAD
    server.script("/from", raw(head + b"Content-Length: 5\r\n\r\nmoved", close=close))
    server.script("/to", respond(body=b"here"))
    response = front_end.request(client, "GET", server.url + "/from")
    assert [hop.content for hop in response.history] == [b"moved"]
    first, second = server.requests[-2:]
    assert close or first.connection == second.connection


def test_a_redirect_that_is_returned_is_read_whole(front_end: FrontEnd, server: LoopbackServer) -> None:
    """With `allow_redirects=False`, and without a Location, it is a response like any other."""
    server.script("/from", raw(HEAD + b"\r\n" + LONG))
    response = front_end.request(front_end.client(), "GET", server.url + "/from", allow_redirects=False)
    assert response.content == LONG
    server.script("/nowhere", raw(b"HTTP/1.1 302 Found\r\nLocation: \r\n\r\n" + LONG))
    assert front_end.request(front_end.client(), "GET", server.url + "/nowhere").content == LONG


def test_the_wait_for_a_body_leaves_time_to_follow_the_redirect(
    front_end: FrontEnd, server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short attempt spends no more than half of its time on it."""
    for transport in (requests_transport, over_aiohttp):
        monkeypatch.setattr(transport, "REDIRECT_WAIT", 60.0)
    server.script("/from", raw(HEAD + b"Content-Length: 5\r\n\r\nmov", close=False))
    server.script("/to", respond(body=b"here"))
    response = front_end.request(
        front_end.client(), "POST", server.url + "/from", timeout=1.6, retry_policy=None
    )
    assert response.content == b"here"


@pytest.mark.parametrize("ticks", range(6))
def test_a_cancellation_that_comes_with_the_body_is_not_swallowed(ticks: int) -> None:
    """Or a cancelled task would go on to the next hop, with the body of a POST."""

    async def main() -> None:
        arrived: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        exchange: Any = AiohttpExchanges.__new__(AiohttpExchanges)
        exchange._read = lambda *about: arrived
        timer = SimpleNamespace(connection=None, seconds_left=math.inf)
        task = asyncio.create_task(exchange._read_redirect(None, None, timer))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        arrived.set_result(b"moved")
        for _ in range(ticks):
            await asyncio.sleep(0)
        if task.cancel():
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            assert task.result() == b"moved"

    run_task(main())

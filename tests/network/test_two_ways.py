"""The two ways of an asyncio exchange, over our own connections and through aiohttp: the same to the server and the caller."""

from __future__ import annotations

import asyncio
import functools
import gc
import gzip
import random
from collections.abc import Iterator
from typing import Any
from unittest.mock import AsyncMock

import aiohttp
import pytest

from http_service_client import (
    AttemptTimeoutError,
    ClientClosedError,
    ConnectionLostError,
    HttpClientError,
    HttpServiceClient,
    ResponseTooLargeError,
    SentState,
    Timeout,
)
from http_service_client.http.content_codings.decoder import Decoder
from http_service_client.http.http1.fast_path import FastHead
from http_service_client.testing.server import Action, LoopbackServer, hang_up, raw, reset, respond, stall
from http_service_client.transports.over_aiohttp import transport
from http_service_client.transports.over_aiohttp.exchange import Exchange
from kit.front_ends import AsyncioFrontEnd
from network.hooked_path import go_through_aiohttp

Urls = list[str]


@pytest.fixture
def asyncio_front_end() -> Any:
    """The asyncio front end."""
    with AsyncioFrontEnd() as front_end:
        yield front_end


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("GET", {}),
        ("GET", {"params": {"q": "a b/ü"}, "headers": {"X-Name": "Zoë", "Accept": "text/plain"}}),
        ("GET", {"headers": [("X-Many", "1"), ("X-Many", "2"), ("Host", "other.example.com")]}),
        ("HEAD", {}),
        ("OPTIONS", {}),
        ("QUERY", {"json": {"a": "ü"}}),
        ("DELETE", {}),
        ("POST", {}),
        ("POST", {"json": {"a": "ü"}}),
        ("PUT", {"data": b"\0" * 60_000, "headers": {"Content-Type": "x/y"}}),
        ("PATCH", {"data": {"a": "1"}, "cookies": {"c": "1"}, "auth": ("user", "secret")}),
    ],
    ids=repr,
)
def test_both_ways_send_the_same_request(
    asyncio_front_end: AsyncioFrontEnd, server: LoopbackServer, method: str, options: dict[str, Any]
) -> None:
    """Request line, header fields and body are the same, whether aiohttp wrote the request or we did."""
    server.script("/", respond(200))
    client = asyncio_front_end.client()
    asyncio_front_end.request(client, method, server.url + "/", **options)
    with pytest.MonkeyPatch.context() as patch:
        go_through_aiohttp(patch)
        asyncio_front_end.request(client, method, server.url + "/", **options)
    first, second = server.requests
    assert (first.connection, second.connection) == (1, 2)
    assert (first.method, first.target, first.body) == (second.method, second.target, second.body)
    assert sorted((name.lower(), value) for name, value in first.headers) == sorted(
        (name.lower(), value) for name, value in second.headers
    )


def outcome(
    front_end: AsyncioFrontEnd, client: HttpServiceClient, url: str, timeout: Timeout
) -> tuple[Any, ...]:
    """Everything that a caller can observe of a call."""
    try:
        response = front_end.request(client, "GET", url, timeout=timeout, retry_policy=None)
    except HttpClientError as error:
        return type(error), str(error), error.sent_state, type(error.__cause__)
    return (
        response.status_code,
        response.reason_phrase,
        response.headers.multi_items(),
        response.content,
        response.text,
    )


@pytest.mark.parametrize(
    "action",
    [
        respond(json={"a": 1}),
        respond(404, body="ü", headers={"X-A": "ü"}),
        respond(body="x" * 300_000),
        respond(body="x" * 300_000, chunked=True),
        respond(204),
        raw(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 Fine\r\nContent-Length: 1\r\n\r\na"),
        raw(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nnot http"),
        raw(b"HTTP/1.1 200 OK\r\n\r\nuntil the end"),
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort"),
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        raw(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"),
        raw(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\n\r\n"),
        raw(b"SSH-2.0-OpenSSH_9.6\r\n"),
        hang_up(),
        hang_up(b"HTTP/1.1 200 OK\r\nContent-"),
        reset(),
        reset(b"HTTP/1.1 200 OK\r\n\r\nabc"),
        reset(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nnot gzip"),
        hang_up(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort"),
        reset(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort"),
        stall(),
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", close=False),
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", b"in ", b"pieces!", every=0.01),
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", b"too ", b"many pieces", every=0.01),
        raw(b"HTTP/1.1 200 OK\r\nContent-", b"Length: 2\r\n\r\nok", every=0.01),
    ],
    ids=repr,
)
@pytest.mark.parametrize("timeout", [Timeout(total=5, read=0.2), Timeout(total=0.25)], ids=["read", "total"])
def test_a_response_is_the_same_in_each_way(
    asyncio_front_end: AsyncioFrontEnd, server: LoopbackServer, action: Action, timeout: Timeout
) -> None:
    """Through aiohttp, on a new connection and on a kept one: the same error with the same message and sent-state, too."""
    server.script("/", action, action, respond(204), action)
    with pytest.MonkeyPatch.context() as patch:
        go_through_aiohttp(patch)
        by_aiohttp = outcome(asyncio_front_end, asyncio_front_end.client(), server.url + "/", timeout)
    new = outcome(asyncio_front_end, asyncio_front_end.client(), server.url + "/", timeout)
    client = asyncio_front_end.client()
    asyncio_front_end.request(client, "GET", server.url + "/")
    assert outcome(asyncio_front_end, client, server.url + "/", timeout) == new == by_aiohttp
    assert server.requests[-1].connection == server.requests[-2].connection


def replaced(calls: Urls) -> Any:
    """As aioresponses and vcrpy patch it."""
    return AsyncMock(side_effect=lambda method, url, **_: calls.append(str(url)))


def wrapped(calls: Urls) -> Any:
    """As tracers patch it."""
    real = aiohttp.ClientSession._request

    @functools.wraps(real)
    async def seen(self: Any, method: str, url: Any, **options: Any) -> Any:
        calls.append(str(url))
        return await real(self, method, url, **options)

    return seen


@pytest.mark.parametrize("hook", [replaced, wrapped])
def test_a_late_hook_sees_every_call(
    asyncio_front_end: AsyncioFrontEnd, server: LoopbackServer, monkeypatch: pytest.MonkeyPatch, hook: Any
) -> None:
    """A mock or tracer that is installed when connections exist already misses nothing."""
    server.script("/", respond(204))
    client = asyncio_front_end.client()
    asyncio_front_end.request(client, "GET", server.url + "/")
    calls: Urls = []
    monkeypatch.setattr(aiohttp.ClientSession, "_request", hook(calls))
    try:
        asyncio_front_end.request(client, "GET", server.url + "/", retry_policy=None)
    except AttributeError:
        pass  # the mock returns None
    assert calls == [server.url + "/"]


def test_a_session_with_a_hook_sends_nothing_twice(
    asyncio_front_end: AsyncioFrontEnd, server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """aiohttp would send a GET again itself, unseen, if a kept connection is lost."""
    server.script("/", respond(204), reset())
    client = asyncio_front_end.client()
    asyncio_front_end.request(client, "GET", server.url + "/")
    calls: Urls = []
    monkeypatch.setattr(aiohttp.ClientSession, "_request", wrapped(calls))
    with pytest.raises(ConnectionLostError):
        asyncio_front_end.request(client, "GET", server.url + "/", retry_policy=None)
    assert (len(calls), len(server.requests)) == (1, 2)


def test_trace_configs_see_every_exchange(
    asyncio_front_end: AsyncioFrontEnd, server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenTelemetry adds them to each new session: they see the exchanges on kept connections, too."""
    started: Urls = []
    tracing = aiohttp.TraceConfig()

    async def on_start(session: Any, context: Any, parameters: Any) -> None:
        started.append(parameters.method)

    tracing.on_request_start.append(on_start)
    real = aiohttp.ClientSession.__init__

    def instrumented(self: Any, **options: Any) -> None:
        real(self, trace_configs=[tracing], **options)

    monkeypatch.setattr(aiohttp.ClientSession, "__init__", instrumented)
    server.script("/", respond(204))
    client = asyncio_front_end.client()
    for _ in range(2):
        asyncio_front_end.request(client, "GET", server.url + "/")
    assert started == ["GET", "GET"]


def test_a_small_exchange_on_a_kept_connection_is_one_step(
    asyncio_front_end: AsyncioFrontEnd, server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes the short way, which costs half as much; any other needs an `Exchange`."""
    made: list[Any] = []

    class Counted(Exchange):
        def __init__(self, *about: Any) -> None:
            made.append(about)
            super().__init__(*about)

    monkeypatch.setattr(transport, "Exchange", Counted)
    server.script("/", respond(body="x"))
    client = asyncio_front_end.client()
    for options, is_short in (
        ({}, False),  # it makes the connection
        ({}, True),
        ({"data": b"x" * 65_536}, True),
        ({"data": b"x" * 65_537}, False),
        ({"progress": lambda sent, total: None, "data": b"x"}, False),
        ({"headers": {"Connection": "close"}}, False),
    ):
        made.clear()
        asyncio_front_end.request(client, "POST", server.url + "/", **options)
        assert (made == []) is is_short, options
    assert [request.connection for request in server.requests] == [1] * 6


def test_a_response_that_is_too_large_is_refused_at_the_limit(
    asyncio_front_end: AsyncioFrontEnd, server: LoopbackServer
) -> None:
    """As soon as more bytes than allowed have arrived, whatever length the head declares."""
    client = asyncio_front_end.client(max_response_size=1000)
    endless = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1001, close=False)
    server.script("/", respond(204), endless)
    asyncio_front_end.request(client, "GET", server.url + "/")
    kind, *_ = outcome(asyncio_front_end, client, server.url + "/", Timeout(total=20))
    assert kind is ResponseTooLargeError
    assert [request.connection for request in server.requests] == [1, 1]


def test_a_long_response_is_decoded_in_pieces(
    asyncio_front_end: AsyncioFrontEnd, server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short one is decoded at once. Decoding stops the loop."""
    fed: list[int] = []
    real = Decoder.pieces

    def noted(self: Any, data: bytes) -> Iterator[bytes]:
        fed.append(len(data))
        return real(self, data)

    monkeypatch.setattr(Decoder, "pieces", noted)
    client = asyncio_front_end.client()
    for length in (60_000, 4_000_000):
        body = gzip.compress(random.Random(1).randbytes(length))
        server.script("/", respond(204), respond(body=body, headers={"Content-Encoding": "gzip"}))
        asyncio_front_end.request(client, "GET", server.url + "/")
        assert len(asyncio_front_end.request(client, "GET", server.url + "/").content) == length
    assert fed[0] > 60_000
    assert max(fed[1:]) <= 1024 * 1024


@pytest.mark.parametrize("ends_by", ["timeout", "cancellation"])
def test_an_abandoned_exchange_closes_its_connection(
    asyncio_front_end: AsyncioFrontEnd, server: LoopbackServer, ends_by: str
) -> None:
    """At once: a late response must not be taken for that of the next request."""

    async def abandon() -> None:
        await client.get_async(server.url + "/")
        call = asyncio.ensure_future(client.get_async(server.url + "/", timeout=0.1, retry_policy=None))
        await asyncio.to_thread(server.wait_for, lambda: len(server.requests) == 2)
        if ends_by == "cancellation":
            call.cancel()
        with pytest.raises((AttemptTimeoutError, asyncio.CancelledError)):
            await call
        assert await asyncio.to_thread(server.wait_for, lambda: server.open_connections == 0)

    server.script("/", respond(204), stall())
    client = asyncio_front_end.client()
    asyncio_front_end.loop.run_until_complete(abandon())
    assert [request.connection for request in server.requests] == [1, 1]


def test_a_request_in_flight_during_close_is_abandoned(
    asyncio_front_end: AsyncioFrontEnd, server: LoopbackServer
) -> None:
    """On a kept connection as on the first."""

    async def close_during_a_call(is_kept: bool) -> tuple[type, SentState, str]:
        client = asyncio_front_end.client()
        if is_kept:
            await client.get_async(server.url + "/first")
        before = len(server.requests)
        call = asyncio.ensure_future(client.post_async(server.url + "/", retry_policy=None))
        await asyncio.to_thread(server.wait_for, lambda: len(server.requests) > before)
        await client.close_async()
        with pytest.raises(HttpClientError) as caught:
            await call
        return type(caught.value), caught.value.sent_state, str(caught.value)

    server.script("/first", respond(204))
    server.script("/", stall())
    fresh, kept = (
        asyncio_front_end.loop.run_until_complete(close_during_a_call(is_kept)) for is_kept in (False, True)
    )
    assert kept == fresh
    assert kept[:2] == (ClientClosedError, SentState.ABANDONED)


def test_an_idle_connection_keeps_no_response(
    asyncio_front_end: AsyncioFrontEnd, server: LoopbackServer
) -> None:
    """The head of its last response is freed with that response."""
    server.script("/", respond(body="x" * 1000))
    client = asyncio_front_end.client()
    before = {id(thing) for thing in gc.get_objects() if isinstance(thing, FastHead)}
    for _ in range(2):
        asyncio_front_end.request(client, "GET", server.url + "/")
    assert [request.connection for request in server.requests] == [1, 1]
    held = [thing for thing in gc.get_objects() if isinstance(thing, FastHead)]
    assert [thing for thing in held if id(thing) not in before] == []

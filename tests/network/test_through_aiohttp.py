"""Calls that a library has hooked into go through aiohttp, and keep their promises."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from multidict import CIMultiDict

from http_service_client import (
    ClientClosedError,
    ConnectionPoolConfig,
    EgressPolicy,
    HttpServiceClient,
    Timeout,
)
from http_service_client.http.http1.errors import NotHttpError
from http_service_client.testing import LoopbackServer, answer, raw, reset, respond, stall, stall_reading
from http_service_client.transports.over_aiohttp.hooked import exchanges, resolver
from http_service_client.transports.over_aiohttp.hooked.connector import watch_body
from kit.front_ends import AsyncioFrontEnd
from network.faults import Certificates, failing, slots_in_use
from network.hooked_path import go_through_aiohttp
from network.proxy_server import running_proxy
from network.socks_server import running_socks

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """`app.test` is this machine."""
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *about, **options: real("127.0.0.1" if host == "app.test" else host, *about, **options),
    )


@pytest.fixture
def front_end(monkeypatch: pytest.MonkeyPatch) -> Iterator[AsyncioFrontEnd]:
    """The asyncio front end, through aiohttp."""
    go_through_aiohttp(monkeypatch)
    with AsyncioFrontEnd() as front_end:
        yield front_end


@pytest.fixture(params=["own connections", "through aiohttp"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[AsyncioFrontEnd]:
    """The asyncio front end, in each of the two ways."""
    if request.param == "through aiohttp":
        go_through_aiohttp(monkeypatch)
    with AsyncioFrontEnd() as front_end:
        yield front_end


def test_a_socket_that_leads_elsewhere_carries_no_request(
    front_end: AsyncioFrontEnd, server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The peer's address is judged, whatever chose it."""

    def all_of_them(found: Any, *about: Any) -> Any:
        return found

    monkeypatch.setattr(resolver, "permitted", all_of_them)
    server.script("/", respond(200))
    client = front_end.client(egress_policy=EgressPolicy())
    caught = failing(front_end, client, "GET", f"http://app.test:{server.port}/")
    assert (caught.type, caught.sent) == ("EgressRefusedError", "never_sent")
    assert caught.message.startswith("egress to 'app.test' is refused: 127.0.0.1 is loopback")
    assert not server.requests
    assert slots_in_use(client) == 0


@pytest.mark.parametrize("gone", ["SEES_CONNECTIONS", "MAKES_SOCKETS"])
def test_a_socks_proxy_is_refused_where_its_socket_cannot_be_passed_on(
    front_end: AsyncioFrontEnd, server: LoopbackServer, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    """Once, with the version; the server sees nothing."""
    monkeypatch.setattr(exchanges, gone, False)
    client = front_end.client(proxy="socks5://127.0.0.1:9")
    caught = failing(front_end, client, "GET", server.url + "/")
    assert (caught.type, caught.sent) == ("ConfigurationError", "never_sent")
    assert f"a SOCKS proxy cannot be used in asyncio with aiohttp {aiohttp.__version__}" in caught.message
    assert not server.requests


@pytest.mark.parametrize("is_named", [False, True], ids=["address", "name"])
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_calls_go_through_a_socks_proxy(
    front_end: AsyncioFrontEnd,
    server: LoopbackServer,
    tls_server: LoopbackServer,
    certificates: Certificates,
    secure: bool,
    is_named: bool,
) -> None:
    """One connection, made there, serves them one after the other; several at once have one each."""
    server = tls_server if secure else server
    server.script("/", respond(200, body="hello"))
    url = server.url.replace("127.0.0.1", "localhost") if is_named else server.url

    async def at_once(count: int) -> list[str]:
        return [
            each.text for each in await asyncio.gather(*[client.get_async(url + "/") for _ in range(count)])
        ]

    with running_socks() as proxy:
        client = front_end.client(
            proxy=f"socks5h://{proxy.address}", connection_pool=certificates.pool(), base_timeout=10.0
        )
        for _ in range(3):
            assert front_end.request(client, "GET", url + "/").text == "hello"
        assert server.connection_count == len(proxy.requests) == 1
        assert front_end.loop.run_until_complete(at_once(5)) == ["hello"] * 5
        assert server.connection_count == len(proxy.requests)
        assert {request.host for request in proxy.requests} == {"localhost" if is_named else "127.0.0.1"}


def test_an_egress_policy_needs_a_connector_that_is_called(
    front_end: AsyncioFrontEnd, server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a look at the socket, a call under a policy is refused, and one through a proxy is not."""
    monkeypatch.setattr(exchanges, "SEES_CONNECTIONS", False)
    server.script("/", respond(200))
    client = front_end.client(egress_policy=EgressPolicy(allow_loopback=True))
    caught = failing(front_end, client, "GET", server.url + "/")
    assert (caught.type, caught.sent) == ("ConfigurationError", "never_sent")
    assert "an egress policy cannot be kept in asyncio with aiohttp" in caught.message
    assert not server.requests
    proxied = front_end.client(egress_policy=EgressPolicy(), proxy=server.url)
    assert front_end.request(proxied, "GET", "http://service.example/").status_code == 200


BROKEN: dict[str, tuple[Any, str]] = {
    "reset in a body without length": (reset(HEAD + b"abc"), "ConnectionLostError"),
    "bad chunk in a later packet": (
        raw(CHUNKED + b"1\r\na\r\n", b"zz\r\n", every=0.01, close=False),
        "ProtocolError",
    ),
    "two framings": (
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        "ProtocolError",
    ),
    "interim responses without end": (
        raw(*[b"HTTP/1.1 103 E\r\nA: b\r\n\r\n" * 9000] * 9),
        "ProtocolError",
    ),
    "reset": (reset(), "ConnectionLostError"),
}


@pytest.mark.parametrize(("script", "error"), BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("streamed", [False, True], ids=["read", "stream"])
def test_a_broken_response_is_an_error_at_once(
    front_end: AsyncioFrontEnd, server: LoopbackServer, script: Any, error: str, streamed: bool
) -> None:
    """Never an end, a wait until the timeout, or a request that aiohttp repeats."""
    server.script("/", script)
    client = front_end.client(enable_retry_policy=False, base_timeout=20.0)

    async def read() -> None:
        if not streamed:
            await client.get_async(server.url + "/")
            return
        async with client.stream_async("GET", server.url + "/") as response:
            async for _ in response.iter_bytes():
                pass

    with pytest.raises(Exception) as caught:
        front_end.loop.run_until_complete(asyncio.wait_for(read(), 10))
    assert type(caught.value).__name__ == error
    assert len(server.requests) == 1
    assert slots_in_use(client) == 0


def test_a_reader_may_pause_for_longer_than_the_read_timeout(
    front_end: AsyncioFrontEnd, server: LoopbackServer
) -> None:
    """The timeout bounds the waits for data, the one for the head included."""
    server.script("/", raw(CHUNKED + b"1\r\na\r\n", b"1\r\nb\r\n0\r\n\r\n", every=0.02))
    server.script("/head", stall())
    server.script("/body", raw(CHUNKED + b"1\r\na\r\n", b"", every=10.0))
    client = front_end.client(enable_retry_policy=False)
    timeout = Timeout(total=20, read=0.1)

    async def read(path: str, pause: float) -> bytes:
        async with client.stream_async("GET", server.url + path, timeout=timeout) as response:
            await asyncio.sleep(pause)
            return b"".join([piece async for piece in response.iter_bytes()])

    assert front_end.loop.run_until_complete(read("/", 0.3)) == b"ab"
    for path in ("/head", "/body"):
        with pytest.raises(Exception) as caught:
            front_end.loop.run_until_complete(read(path, 0))
        assert type(caught.value).__name__ == "ReadTimeoutError"


def test_connections_are_kept_over_tls_and_through_a_proxy(
    front_end: AsyncioFrontEnd, certificates: Certificates
) -> None:
    """An ordinary response leaves a connection that serves the next one."""
    with LoopbackServer(tls=certificates.server_context()) as server, running_proxy() as proxy:
        server.script("/", respond(200, body="hello"), respond(200, body="hello", chunked=True), respond(204))
        for options in ({}, {"proxy": f"http://{proxy.address}"}):
            client = front_end.client(connection_pool=certificates.pool(), **options)
            before = server.connection_count
            for _ in range(4):
                front_end.request(client, "GET", server.url + "/")
            assert server.connection_count == before + 1
    assert [head.partition(" ")[0] for head in proxy.heads] == ["CONNECT"]


def test_the_limits_of_a_connection_are_kept(front_end: AsyncioFrontEnd, server: LoopbackServer) -> None:
    """Its requests, and how many may be idle."""
    server.script("/", respond(200, body="hello"))
    pool = ConnectionPoolConfig(keep_alive_max_requests=2)
    client = front_end.client(connection_pool=pool)
    for _ in range(4):
        front_end.request(client, "GET", server.url + "/")
    assert server.connection_count == 2
    client = front_end.client(connection_pool=ConnectionPoolConfig(max_idle_connections=1))
    with LoopbackServer() as other:
        other.script("/", respond(200, body="hello"))
        for each in (server, other):
            front_end.request(client, "GET", each.url + "/")
        front_end.loop.run_until_complete(asyncio.sleep(0.01))
        assert server.wait_for(lambda: server.open_connections == 0)
        assert other.open_connections == 1


def test_a_connection_that_the_server_closed_is_not_used(
    front_end: AsyncioFrontEnd, server: LoopbackServer
) -> None:
    """Also when the loop has not noticed it yet."""
    server.script("/", answer(lambda received: respond(200, body="hello", close=False)))
    server.script("/last", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"))
    client = front_end.client(enable_retry_policy=False)
    front_end.request(client, "GET", server.url + "/last")
    assert server.wait_for(lambda: server.open_connections == 0)
    assert front_end.request(client, "POST", server.url + "/").text == "hello"


def test_closing_the_client_ends_the_reader_of_a_body(
    front_end: AsyncioFrontEnd, server: LoopbackServer
) -> None:
    """It does not wait for data that will never come."""
    server.script("/", raw(CHUNKED + b"1\r\na\r\n", b"", every=10.0))
    client = front_end.client()

    async def close_while_reading() -> str:
        async with client.stream_async("GET", server.url + "/") as response:
            pieces = response.iter_bytes()
            await pieces.__anext__()
            reading = asyncio.ensure_future(pieces.__anext__())
            await asyncio.sleep(0)
            await client.close_async()
            try:
                await asyncio.wait_for(reading, 10)
            except Exception as error:
                return type(error).__name__
        return ""

    assert front_end.loop.run_until_complete(close_while_reading()) == "ClientClosedError"


def test_sockets_of_a_loop_that_was_closed_without_a_shutdown_are_closed(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the client is closed later, without the loop."""
    go_through_aiohttp(monkeypatch)
    server.script("/", respond(200, body="hello"))
    front_end = AsyncioFrontEnd()
    client = front_end.client()
    front_end.request(client, "GET", server.url + "/")
    front_end.loop.close()
    client.close()
    assert server.wait_for(lambda: server.open_connections == 0)


def test_a_client_outlives_its_event_loops(either: AsyncioFrontEnd, server: LoopbackServer) -> None:
    """Each `asyncio.run` closes the connections of its own loop. The next one, and `close`, find nothing left of it."""
    server.script("/", respond(200))
    client = HttpServiceClient()
    for _ in range(3):
        assert asyncio.run(client.get_async(server.url + "/")).status_code == 200
    client.close()
    assert server.wait_for(lambda: server.open_connections == 0)


def test_a_close_does_not_wait_for_an_upload_that_the_server_does_not_read(
    either: AsyncioFrontEnd, server: LoopbackServer
) -> None:
    """The connection is aborted with what is still in its buffer."""
    server.script("/", stall_reading())
    client = either.client()

    async def closed_during_the_call() -> list[Any]:
        call = asyncio.ensure_future(client.post_async(server.url + "/", data=bytes(8_000_000), timeout=20))
        while not server.requests:
            await asyncio.sleep(0.005)
        await asyncio.wait_for(client.close_async(), 10)
        return await asyncio.gather(call, return_exceptions=True)

    (error,) = either.loop.run_until_complete(closed_during_the_call())
    assert type(error) is ClientClosedError
    assert slots_in_use(client) == 0


@pytest.mark.parametrize(
    ("fields", "is_refused"),
    [
        ([], False),
        ([("Content-Length", "5")], False),
        ([("Transfer-Encoding", "chunked")], False),
        ([("Transfer-Encoding", "Identity")], False),
        ([("Transfer-Encoding", "gzip")], True),
        ([("Content-Length", "5"), ("Content-Length", "5")], True),
        ([("Content-Length", "5"), ("Transfer-Encoding", "chunked")], True),
    ],
)
def test_a_head_without_its_connection_must_have_one_framing(
    fields: list[tuple[str, str]], is_refused: bool
) -> None:
    """aiohttp's parser has read it alone then, which accepts more."""
    closed: list[bool] = []
    response: Any = SimpleNamespace(headers=CIMultiDict(fields), close=lambda: closed.append(True))
    if is_refused:
        with pytest.raises(NotHttpError):
            watch_body(response, None)
    else:
        watch_body(response, None)
    assert closed == [True] * is_refused

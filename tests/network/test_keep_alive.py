"""Connections are used again while they are fit for it, and a request is never sent twice behind our back."""

from __future__ import annotations

import asyncio
import socket
import threading
import time

import pytest

from http_service_client import ConnectionPoolConfig, HttpServiceClient
from http_service_client.testing.server import Action, LoopbackServer, raw, reset, respond
from kit.front_ends import AsyncioFrontEnd, FrontEnd
from network.faults import failing, places_in_use, served

NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"


def connections_for(
    front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, calls: int
) -> list[int]:
    """The connection on which each of so many calls came."""
    for _ in range(calls):
        assert front_end.request(client, "GET", server.url + "/").status_code in (200, 204)
    return [request.connection for request in server.requests]


@pytest.mark.parametrize(
    "action",
    [
        respond(204),
        respond(json={"a": 1}),
        respond(body="x" * 300_000),
        respond(body="x" * 300_000, chunked=True),
        respond(body="", chunked=True),
    ],
    ids=["no content", "short", "long", "chunked", "empty chunked"],
)
def test_a_connection_is_used_again(front_end: FrontEnd, server: LoopbackServer, action: Action) -> None:
    """A response that was read to its end leaves a connection for the next."""
    server.script("/", action)
    assert connections_for(front_end, server, front_end.client(), 3) == [1, 1, 1]


@pytest.mark.parametrize("wish", ["close", "Close", "TE, close"])
@pytest.mark.parametrize("length", [0, 300_000])
def test_who_asks_for_the_end_of_a_connection_keeps_to_it(
    front_end: FrontEnd, wish: str, length: int
) -> None:
    """No other request goes out on it, though the server leaves it open (RFC 9112, 9.6)."""
    connections: list[list[bytes]] = []

    def serve(accepted: socket.socket, is_over: threading.Event) -> None:
        connections.append([])
        while head := accepted.recv(65536):
            connections[-1].append(head)
            accepted.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length + b"x" * length)

    with served(serve) as address:
        client = front_end.client()
        for headers in ({}, {"Connection": wish}, {}, {}):
            front_end.request(client, "GET", f"http://{address}/", headers=headers)
        front_end.close(client)
    assert [len(requests) for requests in connections] == [2, 2]


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_an_idle_connection_expires(
    front_end: FrontEnd, server: LoopbackServer, tls_server: LoopbackServer, certificates, secure: bool
) -> None:
    """After `keep_alive_timeout` a connection is not trusted any more."""
    server = tls_server if secure else server
    server.script("/", respond(204))
    pool = ConnectionPoolConfig(keep_alive_timeout=0.1, ssl_ca_file=certificates.ca_file)
    client = front_end.client(connection_pool=pool)
    assert connections_for(front_end, server, client, 2) == [1, 1]
    time.sleep(0.15)
    assert connections_for(front_end, server, client, 1) == [1, 1, 2]


def test_a_connection_is_retired(front_end: FrontEnd, server: LoopbackServer) -> None:
    """It serves `keep_alive_max_requests` and no more."""
    server.script("/", respond(204))
    client = front_end.client(connection_pool=ConnectionPoolConfig(keep_alive_max_requests=2))
    assert connections_for(front_end, server, client, 5) == [1, 1, 2, 2, 3]
    assert server.wait_for(lambda: server.open_connections == 1)


@pytest.mark.parametrize(
    "action",
    [
        raw(NO_CONTENT, close=True),
        respond(204, close=True),
        raw(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", close=False),
        raw(b"HTTP/1.1 200 OK\r\n\r\nhi"),
        raw(NO_CONTENT, POISON, every=0.02, close=False),
        raw(NO_CONTENT, b"H", every=0.02, close=False),
        raw(NO_CONTENT + POISON, close=False),
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", b"hi" + POISON, every=0.02, close=False),
    ],
    ids=[
        "closed while idle", "closed with a word", "http/1.0", "until close", "poisoned while idle",
        "half poisoned", "poisoned at once", "poisoned with the body",
    ],
)  # fmt: skip
def test_an_unfit_connection_is_not_used(front_end: FrontEnd, server: LoopbackServer, action: Action) -> None:
    """A connection that ended, or has bytes that nobody asked for, serves no other request."""
    server.script("/", action, respond(200, body="fine"))
    client = front_end.client()
    front_end.request(client, "GET", server.url + "/")
    time.sleep(0.08)
    response = front_end.request(client, "POST", server.url + "/", retry_policy=None)
    assert (response.status_code, response.text) == (200, "fine")
    assert [request.connection for request in server.requests] == [1, 2]


@pytest.mark.parametrize("junk", [POISON, b"H", b"\r\n"], ids=["a response", "a byte", "a line end"])
def test_poison_that_the_loop_has_read_is_noticed(server: LoopbackServer, junk: bytes) -> None:
    """aiohttp reads from idle connections: what it has read there is not the next response."""
    server.script("/", raw(NO_CONTENT, junk, every=0.02, close=False), respond(200, body="fine"))

    async def calls() -> str:
        async with HttpServiceClient() as client:
            await client.get_async(server.url + "/")
            await asyncio.sleep(0.08)
            return (await client.get_async(server.url + "/")).text

    assert asyncio.run(calls()) == "fine"
    assert [request.connection for request in server.requests] == [1, 2]


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
@pytest.mark.parametrize("used_before", [0, 1])
def test_nothing_is_sent_twice_behind_our_back(
    front_end: FrontEnd, server: LoopbackServer, method: str, used_before: int
) -> None:
    """A reset, on a fresh connection or a used one, is told; whether to repeat is the core's to say."""
    server.script("/", *[respond(204)] * used_before, reset())
    client = front_end.client()
    for _ in range(used_before):
        front_end.request(client, "GET", server.url + "/")
    caught = failing(front_end, client, method, server.url + "/")
    assert (caught.type, caught.sent, caught.cause) == (
        "ConnectionLostError", "maybe_processed", "ConnectionResetError",
    )  # fmt: skip
    assert caught.message == (
        f"the connection to {server.url}/ was lost (ConnectionResetError: Connection reset by peer)"
    )
    assert len(server.requests) == used_before + 1
    assert server.connection_count == 1


def test_a_client_of_many_hosts_keeps_its_head(
    front_end: FrontEnd, server: LoopbackServer, monkeypatch
) -> None:
    """More hosts than pools are kept: the oldest are forgotten, and nothing fails."""
    from http_service_client.transports.over_requests import adapter as over_requests_adapter

    monkeypatch.setattr(over_requests_adapter, "_MAX_POOLS", 3)
    server.script("/", respond(204))
    client = front_end.client()
    for _ in range(2):
        for host in range(1, 7):
            url = f"http://127.0.0.{host}:{server.port}/" if host == 1 else f"{server.url}/"
            assert front_end.request(client, "GET", url).status_code == 204
    assert places_in_use(client) == 0


def test_a_discarded_response_frees_its_connection(front_end: FrontEnd, server: LoopbackServer) -> None:
    """A response of a size that is not wanted is not read on, and its connection is not used again."""
    server.script("/", respond(body=b"x" * 5_000_000), respond(204))
    client = front_end.client(max_response_size=1000)
    caught = failing(front_end, client, "GET", server.url + "/")
    assert (caught.type, caught.sent) == ("ResponseTooLargeError", "answered")
    assert front_end.request(client, "GET", server.url + "/").status_code == 204
    assert [request.connection for request in server.requests] == [1, 2]
    assert server.wait_for(lambda: server.open_connections == 1)


def test_the_seams_of_aiohttp_are_where_we_cut(server: LoopbackServer) -> None:
    """What we override in aiohttp exists, and is called: a version that renames it fails here."""
    from aiohttp import ClientSession, TCPConnector
    from aiohttp.client_proto import ResponseHandler

    for owner, names in {
        ClientSession: ("_request",),
        TCPConnector: (
            "connect", "_create_connection", "_get", "_release", "_resolve_host", "_wrap_create_connection",
            "_wrap_existing_connection", "_update_proxy_auth_header_and_build_proxy_req",
        ),
        ResponseHandler: (
            "set_exception", "connection_lost", "abort", "should_close", "set_response_params", "start_timeout",
            "read", "read_timeout", "_drop_timeout", "upgraded",
        ),
    }.items():  # fmt: skip
        assert all(hasattr(owner, name) for name in names)
    server.script("/", respond(204))
    with AsyncioFrontEnd() as front_end:
        client = front_end.client()
        front_end.request(client, "GET", server.url + "/")
        (session,) = client._backends._over_aiohttp._sessions._sessions.values()
        connector = session.session.connector
        ((protocol, _),) = next(iter(connector._conns.values()))
        assert protocol.served == 1
        for seam, names in {
            session.session: ("_trace_configs", "_middlewares", "_retry_connection"),
            connector: ("_conns", "_acquired", "_cleanup_handle", "_closed", "_factory", "_loop"),
            protocol: ("_buffer", "_parser", "_payload", "_skip_payload", "_should_close", "_loop"),
        }.items():
            assert all(_is_theirs(seam, name) for name in names)


def _is_theirs(seam: object, name: str) -> bool:
    """Whether the attribute is there, and aiohttp's own code knows it."""
    import inspect

    aiohttps = [kind for kind in type(seam).__mro__ if kind.__module__.startswith("aiohttp.")]
    return hasattr(seam, name) and any(name in inspect.getsource(kind) for kind in aiohttps)

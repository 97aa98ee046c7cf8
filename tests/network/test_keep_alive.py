"""Connections are reused while they are usable, and a request is never silently sent twice."""

from __future__ import annotations

import asyncio
import itertools
import select
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from http_service_client import ConnectionPoolConfig, HedgingPolicy, HttpServiceClient, TransportError
from http_service_client.testing.server import (
    Action,
    LoopbackServer,
    Received,
    answer,
    raw,
    reset,
    respond,
    stall,
)
from kit.front_ends import AsyncioFrontEnd, FrontEnd
from network.faults import failing, served

NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
LONG = 4_000_000  # bytes of a body, of which a part stays in the kernel while nobody reads it
POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"


def connections_for(
    front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, calls: int
) -> list[int]:
    """The connection that each request of this many calls came on."""
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
def test_a_connection_is_reused(front_end: FrontEnd, server: LoopbackServer, action: Action) -> None:
    """A response that was read to its end leaves its connection for the next request."""
    server.script("/", action)
    assert connections_for(front_end, server, front_end.client(), 3) == [1, 1, 1]


@pytest.mark.parametrize("option", ["close", "Close", "TE, close"])
@pytest.mark.parametrize("length", [0, 300_000])
def test_a_request_with_connection_close_is_the_last_on_its_connection(
    front_end: FrontEnd, option: str, length: int
) -> None:
    """No other request is sent on it, although the server leaves it open (RFC 9112, 9.6)."""
    connections: list[list[bytes]] = []

    def serve(accepted: socket.socket, is_over: threading.Event) -> None:
        connections.append([])
        while head := accepted.recv(65536):
            connections[-1].append(head)
            accepted.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length + b"x" * length)

    with served(serve) as address:
        client = front_end.client()
        for headers in ({}, {"Connection": option}, {}, {}):
            front_end.request(client, "GET", f"http://{address}/", headers=headers)
        front_end.close(client)
    assert [len(requests) for requests in connections] == [2, 2]


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_an_idle_connection_expires(
    front_end: FrontEnd, server: LoopbackServer, tls_server: LoopbackServer, certificates, secure: bool
) -> None:
    """After `keep_alive_timeout` a connection is not reused."""
    server = tls_server if secure else server
    server.script("/", respond(204))
    pool = ConnectionPoolConfig(keep_alive_timeout=0.5, ssl_ca_file=certificates.ca_file)
    client = front_end.client(connection_pool=pool)
    assert connections_for(front_end, server, client, 2) == [1, 1]
    time.sleep(0.6)
    assert connections_for(front_end, server, client, 1) == [1, 1, 2]


def test_a_connection_serves_a_limited_number_of_requests(
    front_end: FrontEnd, server: LoopbackServer
) -> None:
    """It is closed after `keep_alive_max_requests`."""
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
        "closed while idle", "connection: close", "http/1.0", "until close", "poisoned while idle",
        "half poisoned", "poisoned at once", "poisoned with the body",
    ],
)  # fmt: skip
def test_an_unusable_connection_is_not_reused(
    front_end: FrontEnd, server: LoopbackServer, action: Action
) -> None:
    """A connection that ended, or on which unexpected bytes arrived, serves no other request."""
    server.script("/", action, respond(200, body="fine"))
    client = front_end.client()
    front_end.request(client, "GET", server.url + "/")
    wait_for_data(idle_connections(client))
    response = front_end.request(client, "POST", server.url + "/", retry_policy=None)
    assert (response.status_code, response.text) == (200, "fine")
    assert [request.connection for request in server.requests] == [1, 2]


class FailingOver:
    """A server with a function for `served`. Once it has failed over, its older connections serve nobody.

    mode: what becomes of a request on one of those: "silent" or "reset".   used: the connection of each request, from 1.
    """

    def __init__(self, mode: str) -> None:
        self.has_failed_over = threading.Event()
        self.used: list[int] = []
        self._mode = mode
        self._connections = itertools.count(1)

    def serve(self, accepted: socket.socket, is_over: threading.Event) -> None:
        """Serve a connection."""
        number, is_old = next(self._connections), not self.has_failed_over.is_set()
        reader = accepted.makefile("rb")
        while line := reader.readline():
            self.used.append(number)
            if is_old and self.has_failed_over.is_set():
                break
            length = 0
            while (line := reader.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    length = int(line[15:])
            reader.read(length)
            accepted.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LONG + bytes(LONG))
        if self._mode == "silent":
            is_over.wait(30)
        else:
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        reader.close()


@pytest.mark.parametrize("how", ["whole", "stream", "upload"])
@pytest.mark.parametrize("mode", ["silent", "reset"])
def test_a_retry_uses_no_connection_that_was_idle_beside_a_dead_one(
    each_path: FrontEnd, mode: str, how: str
) -> None:
    """After a failover all of them are dead, and nothing shows it before a request: the second one would be lost, too."""
    server = FailingOver(mode)
    with served(server.serve) as address, ExitStack() as streams:
        url = f"http://{address}/"
        retries = {"max_attempts": 2, "initial_delay": 0.01}
        pool = ConnectionPoolConfig(keep_alive_timeout=60.0)
        client = each_path.client(retry_policy_config=retries, connection_pool=pool)
        for response in [streams.enter_context(each_path.stream(client, "GET", url)) for _ in range(4)]:
            response.read()
        assert len(idle_connections(client)) == 4
        server.has_failed_over.set()
        if how == "stream":
            opened = streams.enter_context(each_path.stream(client, "GET", url, timeout=1.0))
            status = opened.status_code
        else:
            body = bytes(200_000) if how == "upload" else None
            status = each_path.request(client, "PUT", url, data=body, timeout=1.0).status_code
        each_path.close(client)
    assert status == 200
    assert sorted(server.used[:4]) == [1, 2, 3, 4]
    assert (server.used[4] <= 4, server.used[5:]) == (True, [5])


@pytest.mark.parametrize(
    ("last", "timeout", "hedging", "kept"),
    [
        ([raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", close=False)], 0.5, None, 3),
        ([raw(b"nonsense\r\n\r\n")], 30.0, None, 3),
        ([stall(), respond(200)], 30.0, HedgingPolicy(delay=0.1), 3),
        ([reset()], 30.0, None, 0),
    ],
    ids=["in the body", "no HTTP", "it lost to its hedge", "nothing came"],
)
def test_an_exchange_closes_idle_connections_only_if_nothing_came(
    each_path: FrontEnd,
    server: LoopbackServer,
    last: list[Action],
    timeout: float,
    hedging: HedgingPolicy | None,
    kept: int,
) -> None:
    """A server that has begun to respond is alive, and one that was not waited for may be."""
    server.script("/", *[respond(body=bytes(LONG))] * 4, *last)
    pool = ConnectionPoolConfig(keep_alive_timeout=60.0)
    client = each_path.client(enable_retry_policy=False, hedging=hedging, connection_pool=pool)
    with ExitStack() as streams:
        opened = [streams.enter_context(each_path.stream(client, "GET", server.url + "/")) for _ in range(4)]
        for response in opened:
            response.read()
        with suppress(TransportError):
            each_path.request(client, "GET", server.url + "/", timeout=timeout)
    assert len(idle_connections(client)) == kept


def idle_connections(client: Any) -> list[Any]:
    """The client's idle connections, of one front end."""
    backends = client._backends
    if backends._over_requests is not None:
        pools = backends._over_requests._pools._pools.values()
        return [connection for pool in pools for connection in pool._idle]
    through_aiohttp = backends._over_aiohttp._through_aiohttp
    if through_aiohttp is not None:
        (session,) = through_aiohttp._sessions.all()
        watching = session.current().connector._WatchingConnector__open
        return [each for each in watching if each.is_idle and not is_closing(each.transport)]
    (pool,) = backends._over_aiohttp._pools.all()
    return [connection for connections in pool._idle.values() for connection in connections]


def is_closing(transport: Any) -> bool:
    """Whether a connection is closed, or about to be."""
    return transport is None or transport.is_closing()


def wait_for_data(connections: list[Any]) -> None:
    """Wait until data, or its end, has arrived on each of these connections."""
    for connection in connections:
        sock = getattr(connection, "sock", None)
        if sock is None and connection.transport is not None:
            sock = connection.transport.get_extra_info("socket")
        if sock is not None:  # None: it is closed already
            assert select.select([sock.fileno()], [], [], 5)[0]


@pytest.mark.parametrize("junk", [POISON, b"H", b"\r\n"], ids=["a response", "a byte", "a line end"])
def test_bytes_that_the_loop_read_from_an_idle_connection_are_not_the_next_response(
    server: LoopbackServer, junk: bytes
) -> None:
    """The event loop reads from idle connections, too."""
    server.script("/", raw(NO_CONTENT, junk, every=0.02, close=False), respond(200, body="fine"))

    async def until_it_is_read(client: HttpServiceClient) -> None:
        (connection,) = idle_connections(client)
        while not connection.must_close:
            await asyncio.sleep(0.005)

    async def calls() -> str:
        async with HttpServiceClient() as client:
            await client.get_async(server.url + "/")
            await asyncio.wait_for(until_it_is_read(client), 5)
            return (await client.get_async(server.url + "/")).text

    assert asyncio.run(calls()) == "fine"
    assert [request.connection for request in server.requests] == [1, 2]


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
@pytest.mark.parametrize("used_before", [0, 1])
def test_nothing_is_silently_sent_twice(
    front_end: FrontEnd, server: LoopbackServer, method: str, used_before: int
) -> None:
    """A reset, on a new connection or a reused one, is reported. Only the core decides on retries."""
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


def test_the_connection_of_a_discarded_response_is_closed(
    front_end: FrontEnd, server: LoopbackServer
) -> None:
    """A response that is too large is not read to its end, so its connection cannot be reused."""
    server.script("/", respond(body=b"x" * 5_000_000), respond(204))
    client = front_end.client(max_response_size=1000)
    caught = failing(front_end, client, "GET", server.url + "/")
    assert (caught.type, caught.sent) == ("ResponseTooLargeError", "answered")
    assert front_end.request(client, "GET", server.url + "/").status_code == 204
    assert [request.connection for request in server.requests] == [1, 2]
    assert server.wait_for(lambda: server.open_connections == 1)


def test_an_idle_connection_is_closed_after_its_time(front_end: FrontEnd, server: LoopbackServer) -> None:
    """Also if its host is never called again: at the latest when the client connects to another host."""
    server.script("/", respond(204))
    client = front_end.client(connection_pool=ConnectionPoolConfig(keep_alive_timeout=0.2))
    with LoopbackServer() as other:
        other.script("/", respond(204, delay=0.4))
        front_end.request(client, "GET", server.url + "/")
        time.sleep(0.3)
        front_end.request(client, "GET", other.url + "/")
        assert server.wait_for(lambda: server.open_connections == 0)
        assert other.open_connections == 1


def test_a_connection_that_is_not_idle_for_long_outlives_a_call_to_another_host(
    front_end: FrontEnd, server: LoopbackServer
) -> None:
    """Only those whose time is over are closed."""
    server.script("/", respond(204))
    client = front_end.client()
    with LoopbackServer() as other:
        other.script("/", respond(204))
        for called in (server, other, server):
            front_end.request(client, "GET", called.url + "/")
    assert [request.connection for request in server.requests] == [1, 1]


@pytest.mark.parametrize("unfit", [1, 3])
def test_an_unusable_connection_is_not_used_for_an_upload(
    front_end: FrontEnd, server: LoopbackServer, unfit: int
) -> None:
    """A large body, sent in pieces, goes over a connection that was looked at, as a small one does."""
    server.script("/spoils", answer(Meeting(unfit, raw(NO_CONTENT, POISON, every=0.02, close=False))))
    server.script("/", respond(200, body="fine"))
    client = front_end.client()
    if isinstance(front_end, AsyncioFrontEnd):

        async def together() -> None:
            await asyncio.gather(*[client.get_async(server.url + "/spoils") for _ in range(unfit)])

        front_end.loop.run_until_complete(together())
    else:
        with ThreadPoolExecutor(unfit) as threads:
            list(threads.map(client.get, [server.url + "/spoils"] * unfit))
    wait_for_data(idle_connections(client))
    response = front_end.request(client, "POST", server.url + "/", data=b"x" * 300_000, retry_policy=None)
    assert (response.status_code, response.text) == (200, "fine")
    assert server.requests[-1].connection == unfit + 1
    assert server.wait_for(lambda: server.open_connections == 1)


class Meeting:
    """Responds when so many requests are there, so that each has a connection of its own."""

    def __init__(self, parties: int, action: Action) -> None:
        self._barrier = threading.Barrier(parties, timeout=5)
        self._action = action

    def __call__(self, received: Received) -> Action:
        self._barrier.wait()
        return self._action

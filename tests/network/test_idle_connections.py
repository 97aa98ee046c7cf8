"""The number of idle connections is bounded, over all hosts and both front ends: the least recently used is closed."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from contextlib import ExitStack
from typing import Any

import pytest

from http_service_client import ConnectionPoolConfig, HttpClientConfig, HttpServiceClient
from http_service_client.testing.server import LoopbackServer, respond
from http_service_client.transports.over_requests import origin_pools
from kit.front_ends import AsyncioFrontEnd, BlockingFrontEnd, FrontEnd, run_task
from network.faults import Certificates, slots_in_use


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every name resolves to this machine."""
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, port, *about, **options: real("127.0.0.1", port, type=socket.SOCK_STREAM),
    )


def call(front_end: FrontEnd, client: HttpServiceClient, server: LoopbackServer, *hosts: int) -> list[int]:
    """The connections that calls to these hosts came on."""
    server.script("/", respond(204))
    before = len(server.requests)
    for host in hosts:
        url = f"{server.url.partition(':')[0]}://host{host}.test:{server.port}/"
        assert front_end.request(client, "GET", url).status_code == 204
    return [request.connection for request in server.requests[before:]]


def pool(**settings: Any) -> dict[str, Any]:
    return {"connection_pool": ConnectionPoolConfig(**settings), "trust_env_proxy_settings": False}


def test_the_least_recently_used_connection_is_closed_first(
    front_end: FrontEnd, server: LoopbackServer
) -> None:
    """A call to many hosts leaves no more open than `max_idle_connections`."""
    client = front_end.client(**pool(max_idle_connections=2))
    assert call(front_end, client, server, 1, 2, 1, 3) == [1, 2, 1, 3]
    assert server.wait_for(lambda: server.open_connections == 2)
    assert call(front_end, client, server, 1, 3, 2) == [1, 3, 4]
    assert server.wait_for(lambda: server.open_connections == 2)
    assert slots_in_use(client) == 0


def test_a_tls_connection_counts_like_any_other(front_end: FrontEnd, certificates: Certificates) -> None:
    """It is closed without waiting for the server's close_notify."""
    with LoopbackServer(tls=certificates.server_context("host1.test", "host2.test")) as server:
        client = front_end.client(connection_pool=certificates.pool(max_idle_connections=1))
        assert call(front_end, client, server, 1, 2, 2, 1) == [1, 2, 2, 3]
        assert server.wait_for(lambda: server.open_connections == 1)


def test_no_connection_is_kept_where_none_may_be(front_end: FrontEnd, server: LoopbackServer) -> None:
    """`max_idle_connections=0` switches keep-alive off."""
    client = front_end.client(**pool(max_idle_connections=0))
    assert call(front_end, client, server, 1, 1) == [1, 2]
    assert server.wait_for(lambda: server.open_connections == 0)


def test_as_many_may_be_idle_as_may_be_in_use_by_default(front_end: FrontEnd, server: LoopbackServer) -> None:
    """So a burst of calls finds its connections again."""
    client = front_end.client(**pool(max_connections=2))
    call(front_end, client, server, 1, 2, 3)
    assert server.wait_for(lambda: server.open_connections == 2)


def test_the_connections_of_a_burst_are_closed_while_calls_go_on(
    front_end: FrontEnd, server: LoopbackServer
) -> None:
    """Each call uses the latest connection, which never becomes too old; the others do."""
    client = front_end.client(**pool(keep_alive_timeout=0.2))
    streams = [front_end.stream(client, "GET", server.url + "/") for _ in range(3)]
    server.script("/", respond(200, body=bytes(2_000_000)))
    with ExitStack() as stack:
        for response in [stack.enter_context(stream) for stream in streams]:
            assert sum(map(len, response.iter_bytes())) == 2_000_000
    assert server.open_connections == 3
    server.script("/", respond(204))
    for _ in range(8):
        time.sleep(0.05)
        front_end.request(client, "GET", server.url + "/")
    assert server.wait_for(lambda: server.open_connections == 1)


def test_a_connection_that_its_server_closed_does_not_count(server: LoopbackServer) -> None:
    """asyncio notices it at once, and keeps the others."""
    with AsyncioFrontEnd() as front_end:
        client = front_end.client(**pool(max_idle_connections=2))
        with LoopbackServer() as leaving:
            call(front_end, client, server, 1)
            call(front_end, client, leaving, 2)
        front_end.loop.run_until_complete(asyncio.sleep(0.02))
        assert call(front_end, client, server, 3, 1) == [2, 1]


@pytest.mark.parametrize("first", [BlockingFrontEnd, AsyncioFrontEnd])
def test_both_front_ends_share_the_bound(server: LoopbackServer, first: type[FrontEnd]) -> None:
    """Each closes connections of the other one; those of an event loop are closed on it."""
    asyncio_front_end, blocking = AsyncioFrontEnd(), BlockingFrontEnd()
    with asyncio_front_end, blocking:
        client = asyncio_front_end.client(**pool(max_idle_connections=1))
        in_order = (
            (blocking, asyncio_front_end) if first is BlockingFrontEnd else (asyncio_front_end, blocking)
        )
        for host, front_end in enumerate(in_order):
            call(front_end, client, server, host)
        asyncio_front_end.loop.run_until_complete(asyncio.sleep(0))
        assert server.wait_for(lambda: server.open_connections == 1)
        assert call(in_order[1], client, server, 1) == [2]


def test_the_connection_of_a_closed_loop_is_closed(server: LoopbackServer) -> None:
    """Also of one that was closed without a shutdown, which runs nothing any more."""
    loop = asyncio.new_event_loop()
    with HttpServiceClient(HttpClientConfig(**pool(max_idle_connections=1))) as client:
        server.script("*", respond(204))
        loop.run_until_complete(client.get_async(f"http://host1.test:{server.port}/"))
        loop.close()
        client.get(f"http://host2.test:{server.port}/")
        assert server.wait_for(lambda: server.open_connections == 1)


def test_connections_of_a_loop_that_has_ended_do_not_count(server: LoopbackServer) -> None:
    """They were closed with it, so those of the next loop, and of blocking calls, stay."""
    with HttpServiceClient(HttpClientConfig(**pool(max_idle_connections=1))) as client:
        server.script("*", respond(204))
        client.get(f"{server.url}/")
        for _ in range(3):
            run_task(client.get_async(f"{server.url}/"))
        backends: Any = client._backends
        assert len(backends._settings.idle) == 0
        client.get(f"{server.url}/")
        client.get(f"{server.url}/")
    assert [request.connection for request in server.requests] == [1, 2, 3, 4, 5, 5]


def test_a_client_of_many_hosts_forgets_pools_without_a_connection(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing fails, and those with a connection stay."""
    monkeypatch.setattr(origin_pools, "_POOLS", 3)
    with BlockingFrontEnd() as front_end:
        client = front_end.client(**pool(max_idle_connections=2))
        assert call(front_end, client, server, *range(8)) == [*range(1, 9)]
        backends: Any = client._backends
        assert len(backends._over_requests._pools._pools) <= 4
        assert call(front_end, client, server, 7, 6) == [8, 7]
    assert server.wait_for(lambda: server.open_connections == 0)


def test_an_expired_connection_is_closed_when_another_host_is_called(server: LoopbackServer) -> None:
    """No timer runs for it."""
    with BlockingFrontEnd() as front_end:
        client = front_end.client(**pool(keep_alive_timeout=0.001))
        call(front_end, client, server, 1, 2, 3)
        assert server.wait_for(lambda: server.open_connections <= 2)


def test_idle_connections_are_dropped_and_calls_connect_again(
    each_path: FrontEnd, server: LoopbackServer
) -> None:
    """The number is returned. The client stays open."""
    server.script("/", respond(204))
    client = each_path.client()
    assert client.drop_idle_connections() == 0
    each_path.request(client, "GET", server.url + "/")
    assert [client.drop_idle_connections(), client.drop_idle_connections()] == [1, 0]
    each_path.request(client, "GET", server.url + "/")
    assert [request.connection for request in server.requests] == [1, 2]
    assert server.wait_for(lambda: server.open_connections == 1)


def test_connections_of_all_threads_and_loops_are_dropped(server: LoopbackServer) -> None:
    """By one method, in a thread of its own, while an event loop runs that keeps another connection."""
    server.script("/", respond(204))
    with HttpServiceClient() as client:
        client.get(server.url + "/")

        async def calls() -> int:
            for _ in range(2):
                await client.get_async(server.url + "/")
            dropped: list[int] = []
            thread = threading.Thread(target=lambda: dropped.append(client.drop_idle_connections()))
            thread.start()
            thread.join()  # without a pause of this loop, which cannot close its connection before the next call
            await client.get_async(server.url + "/")
            return dropped[0]

        assert asyncio.run(calls()) == 2
    assert [request.connection for request in server.requests] == [1, 2, 2, 3]


def test_a_connection_in_use_is_not_dropped(each_path: FrontEnd, server: LoopbackServer) -> None:
    """An open stream goes on, and its connection serves the next call."""
    server.script("/", respond(body=b"x" * 5_000_000), respond(204))
    client = each_path.client()
    with each_path.stream(client, "GET", server.url + "/") as response:
        assert client.drop_idle_connections() == 0
        assert len(response.read()) == 5_000_000
    each_path.request(client, "GET", server.url + "/")
    assert server.connection_count == 1

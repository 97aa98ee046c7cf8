"""Views of a client with other proxies: their own routes, within the limits of the client."""

from __future__ import annotations

import gc
import sys
import threading

from http_service_client import ConnectionPoolConfig, HttpServiceClient
from http_service_client.testing.server import LoopbackServer, respond
from kit.front_ends import FrontEnd
from network.proxy_server import running_proxy
from network.socks_server import running_socks


def test_a_view_goes_through_its_proxy_and_the_client_does_not(
    front_end: FrontEnd, server: LoopbackServer
) -> None:
    """And a view of a client behind a proxy may go directly."""
    server.script("/", respond(body="x"))
    with running_proxy() as proxy:
        client = front_end.client(trust_env_proxy_settings=False)
        view = client.with_options(proxy=f"http://{proxy.address}")
        for each in (client, view, view.with_options(timeout=5.0), view.with_options(proxy={}), client):
            assert front_end.request(each, "GET", server.url + "/").text == "x"
        assert len(proxy.heads) == 2
        behind = front_end.client(proxy=f"http://{proxy.address}")
        front_end.request(behind, "GET", server.url + "/")
        front_end.request(behind.with_options(proxy={}), "GET", server.url + "/")
        assert len(proxy.heads) == 3
        for each in (client, behind):
            front_end.close(each)


def test_a_connection_through_a_proxy_serves_no_direct_call(
    front_end: FrontEnd, server: LoopbackServer
) -> None:
    """Nor the other way round. To the server, a tunnel of SOCKS looks like any connection."""
    server.script("/", respond(body="x"))
    with running_socks() as socks:
        client = front_end.client(trust_env_proxy_settings=False)
        view = client.with_options(proxy=f"socks5://{socks.address}")
        for each in (view, client, view, client):
            front_end.request(each, "GET", server.url + "/")
        first, second, third, fourth = (request.connection for request in server.requests)
        assert first == third != second == fourth
        front_end.close(client)


def test_views_through_the_same_proxy_share_its_connections(
    front_end: FrontEnd, server: LoopbackServer
) -> None:
    """Idle ones count for the client's limit, and are dropped and closed with its own."""
    server.script("/", respond(body="x"))
    with running_socks() as socks:
        client = front_end.client(
            connection_pool=ConnectionPoolConfig(max_idle_connections=2), trust_env_proxy_settings=False
        )
        one = client.with_options(proxy=f"socks5://{socks.address}")
        other = client.with_options(proxy={"all": f"socks5://{socks.address}"}, key="a")
        for each in (one, other, client):
            front_end.request(each, "GET", server.url + "/")
        assert [request.connection for request in server.requests] == [1, 1, 2]
        assert client.drop_idle_connections() == 2
        front_end.request(one, "GET", server.url + "/")
        assert server.requests[-1].connection == 3
        front_end.close(client)
        assert client.drop_idle_connections() == 0


def test_the_connections_of_a_view_that_is_gone_count_no_more(
    front_end: FrontEnd, server: LoopbackServer
) -> None:
    """They were closed with it, and must not push the client's own out of the limit."""
    server.script("/", respond(body="x"))
    with running_proxy() as proxy:
        client = front_end.client(
            connection_pool=ConnectionPoolConfig(max_idle_connections=2), trust_env_proxy_settings=False
        )
        for tenant in range(3):
            view = client.with_options(proxy=f"http://tenant{tenant}:pass@{proxy.address}")
            front_end.request(view, "GET", server.url + "/")
            del view
            gc.collect()
            front_end.request(client, "GET", server.url + "/")
        assert len({request.connection for request in server.requests}) == 4
        assert client.drop_idle_connections() == 1
        front_end.close(client)


def test_views_may_be_made_while_the_client_is_closed_or_looked_at() -> None:
    """From other threads, as in a service that has a view for each tenant."""
    client = HttpServiceClient()

    def views(tenants: range) -> list[HttpServiceClient]:
        return [client.with_options(proxy=f"http://tenant{each}:pass@proxy.test") for each in tenants]

    kept = [views(range(2000))]
    thread = threading.Thread(target=lambda: kept.append(views(range(2000, 3000))))
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    thread.start()
    try:
        while thread.is_alive():
            assert client._backends.is_idle()
    finally:
        thread.join()
        sys.setswitchinterval(interval)
    client.close()

"""How the sockets of connections are made: TCP keep-alive, options, the local address."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

import pytest

from http_service_client import ConnectionPoolConfig, HttpServiceClient
from http_service_client.testing import LoopbackServer, respond
from http_service_client.transports.network import sockets
from http_service_client.transports.over_aiohttp.hooked import connector, exchanges
from kit.front_ends import AsyncioFrontEnd, FrontEnd
from network.faults import failing
from network.hooked_path import go_through_aiohttp
from network.proxy_server import running_proxy
from network.socks_server import running_socks
from network.test_keep_alive import idle_connections

TCP = socket.IPPROTO_TCP


def only_socket(client: HttpServiceClient) -> Any:
    """The socket of the client's one idle connection."""
    (connection,) = idle_connections(client)
    sock = getattr(connection, "sock", None)
    return sock if sock is not None else connection.transport.get_extra_info("socket")


def options_of(sock: Any, *names: tuple[int, int]) -> list[int]:
    """The values of these options of a socket."""
    return [sock.getsockopt(level, name) for level, name in names]


@pytest.mark.skipif(not hasattr(socket, "TCP_KEEPIDLE"), reason="this system calls it otherwise")
def test_tcp_keep_alive_is_on(each_path: FrontEnd, server: LoopbackServer) -> None:
    """The first probe after a minute, which is before NAT gateways and load balancers forget a connection."""
    server.script("/", respond(204))
    client = each_path.client()
    each_path.request(client, "GET", server.url + "/")
    names = (
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE), (TCP, socket.TCP_KEEPIDLE),
        (TCP, socket.TCP_KEEPINTVL), (TCP, socket.TCP_KEEPCNT),
    )  # fmt: skip
    is_on, *timing = options_of(only_socket(client), *names)
    assert (bool(is_on), timing) == (True, [60, 15, 4])


def test_a_system_without_tcp_keep_alive_is_no_obstacle(
    each_path: FrontEnd, server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The options that are ours are left out where the system refuses them."""
    monkeypatch.setattr(sockets, "_KEEP_ALIVE", ((socket.SOL_SOCKET, 99_999, 1),))
    server.script("/", respond(204))
    assert each_path.request(each_path.client(), "GET", server.url + "/").status_code == 204


GIVEN = [(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, False)]


def check_given_options(front_end: FrontEnd, server: LoopbackServer, **settings: Any) -> None:
    server.script("/", respond(204))
    client = front_end.client(connection_pool=ConnectionPoolConfig(socket_options=GIVEN), **settings)
    front_end.request(client, "GET", server.url + "/")
    size, is_on = options_of(only_socket(client), *[(level, name) for level, name, _ in GIVEN])
    assert size in (65536, 131072)  # Linux doubles it
    assert not is_on


@pytest.mark.parametrize("proxy", [False, True])
def test_the_users_socket_options_are_set(each_path: FrontEnd, server: LoopbackServer, proxy: bool) -> None:
    """After ours, which they may override; on connections to a proxy too."""
    if not proxy:
        check_given_options(each_path, server)
        return
    with running_proxy() as through:
        check_given_options(each_path, server, proxy=f"http://{through.address}")


def test_the_users_socket_options_are_set_on_connections_to_a_socks_proxy(
    front_end: FrontEnd, server: LoopbackServer
) -> None:
    """As on any other."""
    with running_socks() as proxy:
        check_given_options(front_end, server, proxy=f"socks5://{proxy.address}")


def test_an_option_that_the_system_refuses_is_named(each_path: FrontEnd, server: LoopbackServer) -> None:
    """It is a fault of the configuration: nothing is sent, and nothing tried again."""
    client = each_path.client(
        connection_pool=ConnectionPoolConfig(socket_options=[(socket.SOL_SOCKET, 99_999, 1)])
    )
    caught = failing(each_path, client, "GET", server.url + "/")
    assert (caught.type, caught.sent) == ("ConfigurationError", "never_sent")
    assert caught.message.startswith(
        f"socket_options has ({int(socket.SOL_SOCKET)}, 99999, 1), which the system"
    )
    assert server.connection_count == 0


@pytest.mark.parametrize("with_port", [False, True])
def test_calls_come_from_the_source_address(
    each_path: FrontEnd, server: LoopbackServer, with_port: bool
) -> None:
    """A partner's firewall lets one address of a machine in."""
    try:
        with socket.socket() as probe:
            probe.bind(("127.0.0.7", 0))
            port = probe.getsockname()[1]
    except OSError:
        pytest.skip("this machine has one loopback address")
    server.script("/", respond(204))
    source: Any = ("127.0.0.7", port) if with_port else "127.0.0.7"
    client = each_path.client(connection_pool=ConnectionPoolConfig(source_address=source))
    each_path.request(client, "GET", server.url + "/")
    host, from_port = only_socket(client).getsockname()
    assert host == "127.0.0.7"
    assert not with_port or from_port == port


@pytest.mark.parametrize("source", ["192.0.2.1", "::1"], ids=["not of this machine", "of another family"])
def test_a_source_address_that_cannot_be_used_is_named(
    each_path: FrontEnd, server: LoopbackServer, source: str
) -> None:
    """The request was never sent, and the message says which setting to look at."""
    client = each_path.client(connection_pool=ConnectionPoolConfig(source_address=source))
    caught = failing(each_path, client, "GET", server.url + "/")
    assert (caught.type, caught.sent) == ("ConnectError", "never_sent")
    assert caught.message == (
        f"could not connect to {server.url} (OSError: {os.strerror(errno.EADDRNOTAVAIL)}); "
        "no local address and port are free for it: check source_address"
    )


def test_settings_that_an_upgraded_aiohttp_cannot_keep_are_refused(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that something has hooked into needs a documented keyword of aiohttp. A call from another address might be let in nowhere."""
    go_through_aiohttp(monkeypatch)
    monkeypatch.setattr(connector, "MAKES_SOCKETS", False)
    monkeypatch.setattr(exchanges, "MAKES_SOCKETS", False)
    server.script("/", respond(204))
    with AsyncioFrontEnd() as front_end:
        assert front_end.request(front_end.client(), "GET", server.url + "/").status_code == 204
        client = front_end.client(connection_pool=ConnectionPoolConfig(source_address="127.0.0.1"))
        caught = failing(front_end, client, "GET", server.url + "/")
    assert (caught.type, caught.sent) == ("ConfigurationError", "never_sent")
    assert caught.message.startswith(
        "socket_options and source_address cannot be used in asyncio with aiohttp 3."
    )

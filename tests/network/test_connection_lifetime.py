"""A connection is given up before the server closes it, and before a name that moved is lost sight of."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from http_service_client import ConnectionPoolConfig
from http_service_client.testing import LoopbackServer, respond
from kit.front_ends import FrontEnd
from network.faults import served


@pytest.mark.parametrize("chunked", [False, True])
def test_a_connection_is_not_used_when_the_server_is_about_to_close_it(
    each_path: FrontEnd, server: LoopbackServer, chunked: bool
) -> None:
    """`Keep-Alive: timeout=1`: half of it may pass, so that a request and the server's close do not meet."""
    server.script("/", respond(200, body="hello", headers={"Keep-Alive": "timeout=1"}, chunked=chunked))
    client = each_path.client()
    for _ in range(2):
        each_path.request(client, "GET", server.url + "/")
    time.sleep(0.6)
    each_path.request(client, "POST", server.url + "/", json={})
    assert [request.connection for request in server.requests] == [1, 1, 2]


def test_a_connection_with_no_request_left_is_closed(each_path: FrontEnd, server: LoopbackServer) -> None:
    """`Keep-Alive: max=0`, as some servers count down."""
    server.script(
        "/",
        respond(200, body="hello", headers={"Keep-Alive": "timeout=5, max=1"}),
        respond(200, body="hello", headers={"Keep-Alive": "timeout=5, max=0"}),
    )
    client = each_path.client()
    for _ in range(3):
        each_path.request(client, "GET", server.url + "/")
    assert [request.connection for request in server.requests] == [1, 1, 2]


@pytest.mark.parametrize("size", [5, 300_000], ids=["short", "long"])
def test_an_old_connection_serves_its_exchange_and_no_other(
    each_path: FrontEnd, server: LoopbackServer, size: int
) -> None:
    """`max_connection_age` passes in the exchange, which is not cut; the connection is closed after it."""
    server.script("/slow", respond(200, body="x" * size, delay=0.3))
    server.script("/", respond(204))
    client = each_path.client(connection_pool=ConnectionPoolConfig(max_connection_age=0.25))
    each_path.request(client, "GET", server.url + "/")
    assert len(each_path.request(client, "GET", server.url + "/slow").content) == size
    assert server.wait_for(lambda: server.open_connections == 0)
    each_path.request(client, "GET", server.url + "/")
    assert [request.connection for request in server.requests] == [1, 1, 2]


def test_an_old_idle_connection_serves_no_other_exchange(each_path: FrontEnd, server: LoopbackServer) -> None:
    """`max_connection_age` passes while the connection is idle."""
    server.script("/", respond(204))
    client = each_path.client(connection_pool=ConnectionPoolConfig(max_connection_age=0.25))
    for _ in range(2):
        each_path.request(client, "GET", server.url + "/")
    time.sleep(0.3)
    each_path.request(client, "GET", server.url + "/", data=b"x" * 300_000)
    assert [request.connection for request in server.requests] == [1, 1, 2]


def test_a_name_that_moved_is_followed(each_path: FrontEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steady calls keep a connection busy, and it would stay with the old address without end."""
    addresses = ["127.0.0.1", "127.0.0.2"]

    def serve(accepted: socket.socket, is_over: threading.Event) -> None:
        while accepted.recv(65536):
            name = accepted.getsockname()[0].encode()
            accepted.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(name), name))

    try:
        with served(serve, host="127.0.0.2") as probe:
            pass
    except OSError:
        pytest.skip("this machine has one loopback address")
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *about, **options: real(addresses[0] if host == "api.test" else host, *about, **options),
    )
    del probe
    with served(serve) as old, served(serve, host=addresses[1], port=int(old.rpartition(":")[2])):
        url = f"http://api.test:{old.rpartition(':')[2]}/"
        client = each_path.client(connection_pool=ConnectionPoolConfig(max_connection_age=0.3))
        assert each_path.request(client, "GET", url).text == addresses.pop(0)
        seen = "127.0.0.1"
        patience = time.monotonic() + 20
        while seen == "127.0.0.1" and time.monotonic() < patience:
            seen = each_path.request(client, "GET", url).text
            time.sleep(0.02)
        assert seen == "127.0.0.2"
        each_path.close(client)

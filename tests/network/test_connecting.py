"""From a host name to a connection, on machines that lack an address family."""

from __future__ import annotations

import errno
import gc
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from http_service_client.testing.server import LoopbackServer, respond
from http_service_client.transports.network import resolver
from http_service_client.transports.over_aiohttp import exchange as over_aiohttp_exchange
from kit.front_ends import FrontEnd
from network.faults import Certificates, failing, served


class WithoutIPv6(socket.socket):
    """The sockets of a machine whose kernel has no IPv6."""

    def __init__(self, family: int = -1, *about: Any, **options: Any) -> None:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        super().__init__(family, *about, **options)


@pytest.fixture
def no_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names resolve to an address of each family, but only IPv4 sockets can be made."""

    def look_up(host: str, port: int) -> list[resolver.Address]:
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("::1", port, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", port)),
        ]

    monkeypatch.setattr(resolver, "_look_up", look_up)
    monkeypatch.setattr(socket, "socket", WithoutIPv6)


def test_an_address_of_an_unsupported_family_is_skipped(
    front_end: FrontEnd, server: LoopbackServer, no_ipv6: None
) -> None:
    """The next address gets the connection."""
    server.script("/", respond(204))
    client = front_end.client()
    assert front_end.request(client, "GET", f"http://localhost:{server.port}/").status_code == 204


def test_a_failure_of_all_addresses_was_never_sent(
    front_end: FrontEnd, server: LoopbackServer, no_ipv6: None
) -> None:
    """With IPv6 unsupported and IPv4 refused, the error is a ConnectError."""
    server.refuse()
    caught = failing(front_end, front_end.client(), "GET", f"http://localhost:{server.port}/")
    assert (caught.type, caught.sent) == ("ConnectError", "never_sent")


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_a_socket_that_refuses_an_option_is_only_a_failed_attempt(
    front_end: FrontEnd,
    server: LoopbackServer,
    tls_server: LoopbackServer,
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
    secure: bool,
) -> None:
    """As macOS does where the server has reset the connection already. Its number may be that of the next socket."""
    server = tls_server if secure else server
    refused: list[int] = []

    class Reset(socket.socket):
        __module__ = "socket"  # as Python's own: see `must_wait_itself`

        def setsockopt(self, level: int, option: int, *value: Any) -> None:
            is_refused = (level, option) == (socket.IPPROTO_TCP, socket.TCP_NODELAY)
            if is_refused and len(refused) < 2 and self.getpeername()[1] == server.port:
                refused.append(self.fileno())
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
            super().setsockopt(level, option, *value)

    server.script("/", respond(204))
    client = front_end.client(connection_pool=certificates.pool(), retry_policy_config={"initial_delay": 0.0})
    monkeypatch.setattr(socket, "socket", Reset)
    gc.disable()  # it would take away what is left of the first connection
    try:
        response = front_end.request(client, "POST", f"{server.url}/", data=b"x")
    finally:
        gc.enable()
    assert (response.status_code, response.attempts, len(refused)) == (204, 3, 2)
    assert len(server.received("/")) == 1


@pytest.fixture
def on_ipv6() -> Iterator[tuple[int, list[bytes]]]:
    """The port of a server that listens on ::1 only and serves one request, and the requests that it received."""
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6")
    received: list[bytes] = []

    def serve() -> None:
        with suppress(OSError):
            accepted, _ = listener.accept()
            with accepted:
                received.append(accepted.recv(65536))
                accepted.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with listener:
        yield listener.getsockname()[1], received
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # wakes the thread if there was no call
    thread.join(5)


@pytest.mark.parametrize("host", ["[::1]", "six.test"])
def test_a_host_that_has_only_an_ipv6_address_is_reached(
    front_end: FrontEnd, on_ipv6: tuple[int, list[bytes]], monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """As a literal, which the Host field has in brackets, or by its name."""
    port, received = on_ipv6
    real = socket.getaddrinfo

    def fake(name: str, port: Any, *arguments: Any, **options: Any) -> Any:
        return real("::1" if name == "six.test" else name, port, type=socket.SOCK_STREAM)

    monkeypatch.setattr(socket, "getaddrinfo", fake)
    assert (
        front_end.request(front_end.client(), "GET", f"http://{host}:{port}/", timeout=5).status_code == 204
    )
    assert received[0].split(b"\r\n")[1] == f"Host: {host}:{port}".encode()


BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy"


@pytest.mark.parametrize("said", [b"", BUSY], ids=["nothing", "a response"])
def test_a_server_may_end_a_connection_as_soon_as_it_is_made(
    each_path: FrontEnd, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    """What it has said is the response, also if asyncio has seen the end before the request is sent."""
    connect = over_aiohttp_exchange.connect

    async def connect_until_it_ends(*about: Any) -> Any:
        connection = await connect(*about)
        while not connection.is_lost:
            await connection.changed()
        return connection

    monkeypatch.setattr(over_aiohttp_exchange, "connect", connect_until_it_ends)

    def serve(accepted: socket.socket, is_over: threading.Event) -> None:
        accepted.sendall(said)
        accepted.shutdown(socket.SHUT_WR)
        is_over.wait(5)

    with served(serve) as address:
        client, url = each_path.client(), f"http://{address}/"
        if said:
            response = each_path.request(client, "POST", url, data=b"x", timeout=5, retry_policy=None)
            assert (response.status_code, response.text) == (503, "busy")
        else:
            caught = failing(each_path, client, "POST", url, data=b"x", timeout=5)
            assert (caught.type, caught.sent) == ("ConnectionLostError", "maybe_processed")

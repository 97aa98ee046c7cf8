"""From a host name to a connection, on machines that lack an address family."""

from __future__ import annotations

import errno
import socket
from typing import Any

import pytest

from http_service_client.testing.server import LoopbackServer, respond
from http_service_client.transports.network import resolver
from kit.front_ends import FrontEnd
from network.faults import failing


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

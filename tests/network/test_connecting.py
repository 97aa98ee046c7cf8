"""From a host name to a connection: whichever of its addresses can be reached."""

from __future__ import annotations

import errno
import socket
from typing import Any

import pytest

from http_service_client.testing.server import LoopbackServer, respond
from http_service_client.transports.network import resolver as names
from kit.front_ends import World
from network.faults import failing


class WithoutIPv6(socket.socket):
    """What sockets are on a machine whose kernel has no IPv6."""

    def __init__(self, family: int = -1, *about: Any, **options: Any) -> None:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        super().__init__(family, *about, **options)


@pytest.fixture
def no_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names have an address of each family; sockets are of one."""

    def look_up(host: str, port: int) -> list[names.Address]:
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("::1", port, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", port)),
        ]

    monkeypatch.setattr(names, "_look_up", look_up)
    monkeypatch.setattr(socket, "socket", WithoutIPv6)


def test_an_address_of_a_family_that_is_not_spoken_is_passed_over(
    world: World, server: LoopbackServer, no_ipv6: None
) -> None:
    """The next address is tried."""
    server.script("/", respond(204))
    client = world.client()
    assert world.request(client, "GET", f"http://localhost:{server.port}/").status_code == 204


def test_the_last_address_says_why(world: World, server: LoopbackServer, no_ipv6: None) -> None:
    """When all fail, the failure says that nothing was sent."""
    server.refuse()
    caught = failing(world, world.client(), "GET", f"http://localhost:{server.port}/")
    assert (caught.type, caught.sent) == ("ConnectError", "never_sent")

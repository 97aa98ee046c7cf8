"""Sockets whose waits end with the attempt: the limit of each, and the timeout of the socket itself."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from http_service_client.integrations import bounded_sockets
from http_service_client.integrations.bounded_sockets import BoundedExchange

OPERATIONS: dict[str, Callable[[socket.socket], Any]] = {
    "receive": lambda bounded: bounded.recv_into(bytearray(1)),
    "send": lambda bounded: bounded.sendall(b"x"),
}


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A bounded socket, to which a byte was sent, and the other end."""
    bounded, other = socket.socketpair()
    with bounded, other:
        bounded_sockets._bound(bounded)
        other.sendall(b"x")
        yield bounded, other


@pytest.fixture(params=OPERATIONS)
def operation(request: pytest.FixtureRequest) -> Callable[[socket.socket], Any]:
    return OPERATIONS[request.param]


@pytest.mark.parametrize("own", [None, 30.0, 90.0])
@pytest.mark.parametrize("seconds", [None, 60.0])
def test_a_socket_keeps_its_own_timeout(
    pair: tuple[socket.socket, socket.socket],
    operation: Callable[[socket.socket], Any],
    own: float | None,
    seconds: float | None,
) -> None:
    """It has another one during a wait alone: what is read after the attempt has the time of its reader."""
    bounded, _ = pair
    bounded.settimeout(own)
    with BoundedExchange(seconds):
        operation(bounded)
        assert bounded.gettimeout() == own


@pytest.mark.parametrize("own", [None, 30.0])
def test_no_wait_begins_when_the_attempt_is_over(
    pair: tuple[socket.socket, socket.socket], operation: Callable[[socket.socket], Any], own: float | None
) -> None:
    """Also where it would take no time."""
    bounded, _ = pair
    bounded.settimeout(own)
    with BoundedExchange(0.0), pytest.raises(TimeoutError, match="the time of the attempt is over"):
        operation(bounded)
    assert bounded.gettimeout() == own


@pytest.mark.parametrize(("seconds", "own"), [(0.05, None), (0.05, 30.0), (60.0, 0.05), (None, 0.05)])
def test_a_wait_has_the_smaller_limit(
    pair: tuple[socket.socket, socket.socket], seconds: float | None, own: float | None
) -> None:
    """Of what is left of the attempt and the socket's own timeout."""
    bounded, _ = pair
    bounded.settimeout(own)
    with BoundedExchange(seconds), pytest.raises(TimeoutError):
        bounded.recv_into(bytearray(1))
        bounded.recv_into(bytearray(1))  # for which nothing was sent
    assert bounded.gettimeout() == own


def test_a_block_inside_another_has_its_own_end(pair: tuple[socket.socket, socket.socket]) -> None:
    """The outer one is back after it."""
    bounded, _ = pair
    with BoundedExchange(0.0):
        with BoundedExchange(None):
            bounded.sendall(b"x")
        with pytest.raises(TimeoutError):
            bounded.sendall(b"x")
    bounded.sendall(b"x")

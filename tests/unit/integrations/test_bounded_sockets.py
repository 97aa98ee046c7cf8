"""Sockets whose waits end with the attempt: the limit of each, and the timeout of the socket itself."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
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
    ends = threading.Timer(5.0, other.shutdown, [socket.SHUT_RDWR])  # a wait that has no limit
    ends.start()
    with bounded, other:
        bounded_sockets._bound(bounded)
        other.sendall(b"x")
        yield bounded, other
        ends.cancel()
        ends.join()


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
        assert operation(bounded) in (1, None)
        assert bounded.gettimeout() == own


def test_what_is_received_is_counted(pair: tuple[socket.socket, socket.socket]) -> None:
    """As any socket does, in an exchange and outside of one."""
    bounded, other = pair
    buffer = bytearray(9)
    assert bounded.recv_into(buffer) == 1
    for seconds, own in ((None, None), (60.0, None), (60.0, 30.0), (30.0, 60.0)):
        bounded.settimeout(own)
        other.sendall(b"xyz")
        with BoundedExchange(seconds):
            assert bounded.recv_into(buffer) == 3
            bounded.sendall(b"ab")
        assert other.recv(9) == b"ab"


def test_an_attempt_is_over_at_its_very_end(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A timeout of 0 would be none to a socket, but an error where it has to wait."""
    bounded, _ = pair
    monkeypatch.setattr(bounded_sockets, "time", SimpleNamespace(monotonic=lambda: 5.0))
    with BoundedExchange(0.0), pytest.raises(TimeoutError, match="the time of the attempt is over"):
        bounded.recv_into(bytearray(1))


def test_a_socket_may_be_closed_while_it_waits(pair: tuple[socket.socket, socket.socket]) -> None:
    """It has no timeout any more that could be set back."""
    bounded, _ = pair
    with BoundedExchange(60.0):
        assert bounded_sockets._in_time(bounded, bounded.close) is None


def test_a_socket_whose_class_cannot_change_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of some green threads."""

    class Green:
        __slots__ = ("own",)

    monkeypatch.setitem(bounded_sockets._KINDS, Green, bounded_sockets._Socket)
    green = Green()
    bounded_sockets._bound(green)
    assert type(green) is Green


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

"""Connections of a pool that are closed, cut or taken, by their pool, by a branch or by another thread."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from http_service_client.drivers.interruption import INTERRUPTION, Interruption
from http_service_client.http.http1.errors import NotHttpError
from http_service_client.transports.failures import PhaseError
from kit.wired_pools import OPEN, Wire, pool_for, send


@pytest.mark.parametrize("is_cut", [False, True])
def test_a_branch_can_cut_its_own_exchange_alone(wire: Wire, is_cut: bool) -> None:
    """Once the exchange is over, its connection may serve another one."""
    interruption = Interruption()
    token = INTERRUPTION.set(interruption)
    pool = pool_for()
    try:
        response = send(pool, wire, OPEN)
        assert response.read() == b"ab"
        if is_cut:
            interruption.set()
            assert wire.connections[0].peer.recv(1) == b""
            response.close()
            return
        wire.connections[0].peer.sendall(b"cd")
        assert [response.read(), response.read()] == [b"cd", b""]
        interruption.set()
    finally:
        INTERRUPTION.reset(token)
    send(pool, wire).read()
    assert wire.connections[0].served == 2


def close_pool(pool: Any, wire: Wire) -> None:
    pool.close()


def forget_pool(pool: Any, wire: Wire) -> None:
    pass  # the caller's reference is the last one


def close_from_outside(pool: Any, wire: Wire) -> None:
    pool._settings.idle.resize(0)


@pytest.mark.parametrize("close", [close_pool, forget_pool, close_from_outside])
def test_idle_connections_are_closed_with_their_pool(wire: Wire, close: Callable[[Any, Wire], None]) -> None:
    """Or when there are too many. Nobody counts them any more."""
    pool = pool_for()
    idle = pool._settings.idle
    send(pool, wire).read()
    assert (wire.are_open, len(idle)) == ([True], 1)
    close(pool, wire)
    if close is forget_pool:
        del pool
    assert (wire.are_open, len(idle)) == ([False], 0)


def test_a_connection_in_use_is_closed_when_its_pool_is_by_then(wire: Wire) -> None:
    """Its exchange is completed."""
    pool = pool_for()
    response = send(pool, wire, OPEN)
    pool.close()
    wire.connections[0].peer.sendall(b"cd")
    assert [response.read(), response.read(), response.read()] == [b"ab", b"cd", b""]
    assert (wire.are_open, pool.has_idle_connections) == ([False], False)


def test_a_connection_that_is_in_use_by_now_is_left_to_its_exchange(wire: Wire) -> None:
    """Another thread took it out while it was the one too many."""
    pool = pool_for()
    response = send(pool, wire, OPEN)
    pool._close_idle(wire.connections[0])
    assert wire.are_open == [True]
    response.close()


def test_all_connections_of_a_transport_can_be_cut(wire: Wire) -> None:
    """Those in use, too; no other one is made."""
    pool = pool_for()
    response = send(pool, wire, OPEN)
    pool._opened.cut()
    assert wire.connections[0].peer.recv(1) == b""
    with pytest.raises(PhaseError) as caught:
        send(pool, wire)
    assert isinstance(caught.value.error, ConnectionAbortedError)
    response.close()
    assert wire.are_open == [False, False]


@pytest.mark.parametrize(
    ("failure", "are_open"), [(OSError("x"), [False, False]), (b"SSH-2.0\r\n", [True, False])]
)
def test_a_dead_connection_takes_those_along_that_were_idle_for_longer(
    wire: Wire, failure: Any, are_open: list[bool]
) -> None:
    """They have most likely died with it. One whose peer sends nonsense says nothing of the others."""
    pool = pool_for()
    waiting = [send(pool, wire, OPEN) for _ in range(2)]
    for response, connection in zip(waiting, wire.connections, strict=True):
        connection.peer.sendall(b"cd")
        while response.read():
            pass
    with pytest.raises(PhaseError):
        send(pool, wire, failure)
    assert wire.are_open == are_open
    assert len(pool._settings.idle) == sum(are_open)


@pytest.mark.parametrize(
    "outcome", [b"ab", b"", OSError("x"), NotHttpError()], ids=["piece", "end", "lost", "invalid"]
)
def test_a_response_that_another_thread_closes_is_not_at_its_end(
    wire: Wire, outcome: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the read comes to meanwhile."""
    response = send(pool_for(), wire, OPEN)

    def read() -> bytes:
        response.close()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome  # type: ignore[no-any-return]

    monkeypatch.setattr(wire.connections[0], "read_body", read)
    with pytest.raises(ConnectionAbortedError) as caught:
        response.read()
    assert caught.value.__cause__ is None
    assert wire.are_open == [False]


class Taken(deque[Any]):
    """Idle connections that another thread takes between a look and the next step."""

    def __bool__(self) -> bool:
        return True

    def __len__(self) -> int:
        return 1


def test_an_idle_connection_that_another_thread_takes_is_not_used(wire: Wire) -> None:
    """A new one is made. Whoever closes the idle ones closes those that are left."""
    pool = pool_for()
    pool._idle = Taken()
    assert send(pool, wire, OPEN).read() == b"ab"
    assert len(wire.connections) == 1
    pool._idle = Taken()
    pool.close()


@pytest.fixture
def interruption() -> Iterator[Interruption]:
    """Of the branch in which a test runs."""
    made = Interruption()
    token = INTERRUPTION.set(made)
    yield made
    INTERRUPTION.reset(token)


def test_an_exchange_that_its_branch_has_cut_says_nothing_of_other_connections(
    wire: Wire, interruption: Interruption
) -> None:
    """They did not die with it."""
    pool = pool_for()
    waiting = [send(pool, wire, OPEN) for _ in range(2)]
    for response, connection in zip(waiting, wire.connections, strict=True):
        connection.peer.sendall(b"cd")
        while response.read():
            pass

    def cut() -> OSError:
        interruption.set()
        return ConnectionResetError()

    with pytest.raises(PhaseError):
        send(pool, wire, cut)
    assert wire.are_open == [True, False]


def test_a_connection_that_is_cut_at_the_last_moment_is_not_used_again(
    wire: Wire, interruption: Interruption, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The response is complete, and its connection was shut down."""
    pool = pool_for()
    response = send(pool, wire, OPEN)
    connection = wire.connections[0]
    connection.peer.sendall(b"cd")
    assert response.read() == b"ab"
    read = connection.read_body

    def read_and_cut() -> bytes:
        piece = read()
        interruption.set()
        return piece

    monkeypatch.setattr(connection, "read_body", read_and_cut)
    assert response.read() == b"cd"
    assert (wire.are_open, pool.has_idle_connections) == ([False], False)


@pytest.mark.parametrize("error", [None, OSError("x")], ids=["connected", "failed"])
def test_a_branch_that_is_connected_holds_no_other_socket(
    wire: Wire, interruption: Interruption, error: OSError | None
) -> None:
    """Those of other addresses are closed for their peers, too, whether one of them was connected or none."""
    wire.error = error
    wire.loser = socket.socketpair()
    wire.loser[1].settimeout(0.0)
    if error is None:
        response = send(pool_for(), wire, OPEN)
    else:
        with pytest.raises(PhaseError):
            send(pool_for(), wire, OPEN)
    with wire.loser[1]:
        assert wire.loser[1].recv(1) == b""
    if error is None:
        response.close()

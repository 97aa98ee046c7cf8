"""How another thread ends an exchange of the blocking transport, over pairs of sockets without a network."""

from __future__ import annotations

import asyncio
import socket
import weakref
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client.drivers.interruption import Interruption
from http_service_client.http.http1.framing import ParserSettings
from http_service_client.http.proxies.settings import ProxySettings
from http_service_client.http.urls import split_url
from http_service_client.transports.base import TransportSettings
from http_service_client.transports.network.sockets import SocketSettings
from http_service_client.transports.network.tls import TlsSettings
from http_service_client.transports.over_requests.aborts import Cut, OpenConnections
from http_service_client.transports.over_requests.connection import Connection
from http_service_client.transports.over_requests.connector import _CuttableSockets
from http_service_client.transports.over_requests.pool import Pool


class Pair:
    """A socket of ours, and its peer's."""

    def __init__(self) -> None:
        self.ours, self.peer = socket.socketpair()
        self.peer.setblocking(False)

    @property
    def has_ended(self) -> bool:
        """Whether the peer sees the end: ours was shut down, or all that refer to it are closed."""
        try:
            return self.peer.recv(1) == b""
        except BlockingIOError:
            return False

    def close(self) -> None:
        self.ours.close()
        self.peer.close()


@pytest.fixture
def new_pair() -> Iterator[Callable[[], Pair]]:
    """Makes pairs, which are closed after the test."""
    made: list[Pair] = []

    def new() -> Pair:
        made.append(Pair())
        return made[-1]

    yield new
    for pair in made:
        pair.close()


@pytest.fixture
def interruption() -> Interruption:
    return Interruption()


def test_a_cut_ends_the_connection_and_leaves_the_socket_to_its_owner(
    interruption: Interruption, new_pair: Callable[[], Pair]
) -> None:
    """The thread that uses the socket closes it."""
    cut, pair = Cut(interruption), new_pair()
    cut.watch(pair.ours)
    assert not pair.has_ended
    assert not cut.is_made
    interruption.set()
    assert pair.has_ended
    assert cut.is_made
    assert pair.ours.fileno() >= 0
    cut.end()


def test_a_cut_ends_all_that_it_watches(interruption: Interruption, new_pair: Callable[[], Pair]) -> None:
    """While several addresses are tried, there are several sockets."""
    cut, pairs = Cut(interruption), [new_pair(), new_pair()]
    for pair in pairs:
        cut.watch(pair.ours)
    interruption.set()
    assert [pair.has_ended for pair in pairs] == [True, True]
    cut.end()


def test_a_cut_ends_the_connection_that_was_made_alone(
    interruption: Interruption, new_pair: Callable[[], Pair]
) -> None:
    """Nothing refers to the sockets that were watched before."""
    cut, closed, other, made = Cut(interruption), new_pair(), new_pair(), new_pair()
    for pair in (closed, other):
        cut.watch(pair.ours)
    cut.watch(made.ours, is_only=True)
    closed.ours.close()
    assert closed.has_ended
    interruption.set()
    assert (other.has_ended, made.has_ended) == (False, True)
    cut.end()


def test_a_socket_that_comes_after_the_cut_ends_at_once(
    interruption: Interruption, new_pair: Callable[[], Pair]
) -> None:
    """Another thread may have made it just before, without having seen this socket."""
    cut, pair = Cut(interruption), new_pair()
    interruption.set()
    cut.watch(pair.ours)
    assert pair.has_ended
    cut.end()


def test_a_branch_that_was_cancelled_begins_no_exchange(interruption: Interruption) -> None:
    """Nothing is sent for it."""
    interruption.set()
    with pytest.raises(asyncio.CancelledError):
        Cut(interruption)


def test_a_socket_that_is_not_connected_can_be_cut(interruption: Interruption) -> None:
    """There is nothing to shut down yet; the other ones are still cut."""
    cut = Cut(interruption)
    with socket.socket() as sock:
        cut.watch(sock)
        interruption.set()
        assert cut.is_made
        cut.end()


def connection_over(sock: Any) -> Connection:
    lifetime: Any = SimpleNamespace(allows=lambda since: True)
    return Connection(sock, None, ParserSettings(), lifetime)


@pytest.mark.parametrize("end", ["end", "end_exchange", "close", "abort"])
def test_what_is_over_is_not_cut(interruption: Interruption, new_pair: Callable[[], Pair], end: str) -> None:
    """Nothing refers to the socket any more: the connection may serve another call, or its number another connection."""
    cut, pair, connection = Cut(interruption), new_pair(), connection_over(new_pair().ours)
    cut.watch(pair.ours)
    if end == "end":
        cut.end()
    else:
        connection.cut = cut
        getattr(connection, end)()
        assert connection.cut is None
    interruption.set()
    assert not pair.has_ended
    pair.ours.close()
    assert pair.has_ended
    cut.end()  # a second time does nothing


def test_a_branch_forgets_an_exchange_that_is_over(interruption: Interruption) -> None:
    """One branch may make many, one after the other: it must not keep what each of them had."""
    cut = Cut(interruption)
    kept = weakref.ref(cut)
    cut.end()
    del cut
    assert kept() is None


@pytest.mark.parametrize("is_made", [False, True])
def test_a_connection_that_was_cut_serves_no_other_exchange(
    interruption: Interruption, new_pair: Callable[[], Pair], is_made: bool
) -> None:
    """Even if its response had arrived by then: its socket is shut down. Without a cut there is nothing to ask."""
    connection = connection_over(new_pair().ours)
    assert connection.end_exchange()
    connection.cut = Cut(interruption)
    if is_made:
        interruption.set()
    assert connection.end_exchange() is not is_made


def test_sockets_are_cut_while_they_connect(interruption: Interruption) -> None:
    """They have the settings of any other; one that would be made after the cut is closed."""
    settings = SocketSettings(((socket.SOL_SOCKET, socket.SO_RCVBUF, 65536),), ("127.0.0.1", 0))
    cut = Cut(interruption)
    cuttable = _CuttableSockets(settings, cut)
    assert (cuttable.options, cuttable.source) == (settings.options, settings.source)
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        cuttable.new(socket.AF_INET, socket.SOCK_STREAM, 0) as sock,
    ):
        sock.connect(listener.getsockname())
        accepted, _ = listener.accept()
        with accepted:
            accepted.settimeout(10)
            interruption.set()
            assert accepted.recv(1) == b""
    with pytest.raises(ConnectionAbortedError):
        cuttable.new(socket.AF_INET, socket.SOCK_STREAM, 0)
    cut.end()


@pytest.mark.parametrize("is_made", [False, True])
def test_a_pool_keeps_no_connection_that_was_cut(
    interruption: Interruption, new_pair: Callable[[], Pair], is_made: bool
) -> None:
    """Nor does it keep the cut of one that was not."""
    proxies = ProxySettings()
    settings = TransportSettings(60.0, 100, None, True, TlsSettings(), proxies)
    pool = Pool(split_url("http://api.test/"), None, settings, OpenConnections())
    connection = connection_over(new_pair().ours)
    connection.lifetime = settings.new_lifetime()
    connection.cut = Cut(interruption)
    if is_made:
        interruption.set()
    pool.release(connection)
    assert pool.has_idle_connections is not is_made
    assert connection.cut is None
    assert (connection.sock.fileno() == -1) is is_made
    pool.close()

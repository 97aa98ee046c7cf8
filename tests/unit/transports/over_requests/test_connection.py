"""One connection of the blocking transport: what it waits for and how long, how a response ends, and when its socket is closed."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client.http.http1.framing import ParserSettings
from http_service_client.transports.network.polling import LONGEST
from http_service_client.transports.over_requests import connection
from http_service_client.transports.over_requests.connection import Connection
from http_service_client.transports.over_requests.exchange_timeouts import ExchangeTimeouts
from kit.blocking_sockets import (
    BLOCKED,
    CHUNKED,
    CREATED,
    NO_LIMITS,
    OK,
    WANT_READ,
    WANT_WRITE,
    Sock,
    TlsSock,
    World,
    connected,
)


def eof(reason: str) -> ssl.SSLEOFError:
    error = ssl.SSLEOFError(ssl.SSL_ERROR_EOF, reason)
    error.reason = reason
    return error


# Waits.


@pytest.mark.parametrize(
    ("expires_at", "read_within", "milliseconds"),
    [
        (None, None, None),
        (110.0, None, 10_000.0),
        (None, 3.0, 3_000.0),
        (110.0, 3.0, 3_000.0),
        (102.0, 3.0, 2_000.0),
        (None, 1e9, LONGEST * 1000),
    ],
)
@pytest.mark.parametrize("data", [b"ab", b""])
def test_a_wait_takes_no_longer_than_the_exchange_or_a_read_may(
    world: World, expires_at: float | None, read_within: float | None, milliseconds: float | None, data: bytes
) -> None:
    """What is left of the one, or all of the other."""
    opened = connected(Sock(data), ExchangeTimeouts(expires_at, None, read_within, None))
    assert opened.receive() == data
    assert world.waits == [milliseconds]


def test_a_wait_in_which_nothing_came_is_a_timeout(world: World) -> None:
    """Also where no time is left to begin with."""
    with pytest.raises(TimeoutError, match=r"^timed out$"):
        connected(Sock(), ExchangeTimeouts(101.0, None, None, None)).receive()
    with pytest.raises(TimeoutError, match=r"^timed out$"):
        connected(Sock(b"ab"), ExchangeTimeouts(100.0, None, None, None)).receive()
    assert world.waits == [1000.0]


def test_what_tls_has_decrypted_already_is_not_waited_for(world: World) -> None:
    """The kernel has nothing more."""
    sock = TlsSock(b"ab", b"cd")
    sock.pending_bytes = 2
    opened = connected(sock)
    assert opened.receive() == b"ab"
    assert world.waits == []
    sock.pending_bytes = 0
    assert opened.receive() == b"cd"
    assert world.waits == [None]


@pytest.mark.parametrize("first", [BLOCKED, WANT_READ, WANT_WRITE])
@pytest.mark.parametrize("expires_at", [None, 110.0])
def test_records_of_tls_itself_take_their_part_of_the_time(
    world: World, first: Exception, expires_at: float | None
) -> None:
    """Such as a new key: the wait goes on for what TLS needs next."""
    world.takes = 2.0
    opened = connected(
        TlsSock(first, BLOCKED, WANT_READ, WANT_WRITE, b"ab"), ExchangeTimeouts(expires_at, None, None, None)
    )
    assert opened.receive() == b"ab"
    left = [None] * 3 if expires_at is None else [8.0, 6.0, 4.0]
    assert world.waits[1:] == list(zip(left, ["r", "r", "rw"], strict=True))


def test_a_piece_of_a_body_has_one_time_for_all_of_it(world: World) -> None:
    """What frames it comes byte for byte; the next piece has the whole time again."""
    world.takes = 2.0
    sock = Sock(CHUNKED, b"2", b"\r\n", b"ab", b"\r\n2\r\n", b"cd", b"\r\n0", b"\r\n", b"\r", b"\n")
    opened = connected(sock, ExchangeTimeouts(None, None, 5.0, None))
    opened.read_response()
    world.waits.clear()
    assert opened.read_body() == b"ab"
    assert opened.read_body() == b"cd"
    assert world.waits == [5000.0, 3000.0, 1000.0, 5000.0, 3000.0]
    with pytest.raises(TimeoutError):
        opened.read_body()
    assert len(sock.incoming) == 1


def test_the_whole_body_has_no_limit_of_its_own(world: World) -> None:
    """Where a read has none."""
    opened = connected(Sock(CHUNKED, b"2\r\n", b"ab\r\n0\r\n\r\n"))
    opened.read_response()
    assert [opened.read_body(), opened.read_body()] == [b"ab", b""]
    assert world.waits == [None] * 3


# Ends.


@pytest.mark.parametrize(
    ("end", "outcome"),
    [
        (b"", b""),
        (0, b""),
        (eof("UNEXPECTED_EOF_WHILE_READING"), b""),
        (eof("SOMETHING_ELSE"), ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))),
        (ConnectionResetError(errno.ECONNRESET, "reset"), ConnectionResetError(errno.ECONNRESET, "reset")),
    ],
    ids=["end", "zero", "ragged", "reset within TLS", "reset"],
)
@pytest.mark.parametrize("cut_by", [None, "abort", "cut"])
def test_an_end_is_that_of_the_server_unless_it_was_cut_here(
    world: World, end: Any, outcome: Any, cut_by: str | None
) -> None:
    """A thread that closes the client, or cancels a branch, ends no body. Bytes that came before are as valid as ever."""
    sock = TlsSock(b"ab", end)
    opened = connected(sock)
    if cut_by is not None:
        opened.cut = SimpleNamespace(is_made=cut_by == "cut", end=lambda: None)  # type: ignore[assignment]
        opened._is_aborted = cut_by == "abort"
        sock.pending_bytes = 1  # the wait is over
        if isinstance(outcome, bytes) and not isinstance(end, Exception):
            outcome = ConnectionAbortedError(errno.ECONNABORTED, os.strerror(errno.ECONNABORTED))
        elif isinstance(end, Exception):
            outcome = end
    assert opened.receive() == b"ab"
    if isinstance(outcome, bytes):
        assert opened.receive() == outcome
        return
    with pytest.raises(type(outcome)) as caught:
        opened.receive()
    assert caught.value.args == outcome.args
    assert caught.value.__context__ is None


def test_a_cut_that_was_not_made_changes_nothing(world: World) -> None:
    """The end is the server's."""
    opened = connected(Sock(b""))
    opened.cut = SimpleNamespace(is_made=False)  # type: ignore[assignment]
    assert not opened.was_cut
    assert opened.receive() == b""


def test_a_connection_that_was_closed_by_another_thread_waits_for_nothing(world: World) -> None:
    """Its socket may have another's number by then. It begins no exchange, either."""
    opened = connected(Sock(b"ab"))
    opened._is_aborted = True
    for use in (opened.receive, lambda: opened.begin("GET", NO_LIMITS)):
        with pytest.raises(ConnectionAbortedError):
            use()
    assert world.waits == []


# Records of TLS.


@pytest.mark.parametrize(("size", "is_more"), [(1023, False), (1024, True), (16_384, True), (16_385, False)])
@pytest.mark.parametrize("nothing", [BLOCKED, WANT_READ, WANT_WRITE])
def test_a_record_is_read_with_those_that_are_here(
    world: World, size: int, is_more: bool, nothing: Exception
) -> None:
    """After a short one, an event of a stream, nothing is looked for; more than a record is no record."""
    sock = TlsSock(b"HTTP/1.1 200 OK\r\n\r\n", bytes(size), b"ab", nothing, b"")
    opened = connected(sock)
    opened.read_response()
    assert len(opened.read_body()) == size + 2 * is_more
    assert sock.received == 2 + 2 * is_more


@pytest.mark.parametrize("nothing", [BLOCKED, WANT_READ, WANT_WRITE])
def test_a_connection_on_which_no_further_record_was_found_is_used_again(
    world: World, nothing: Exception
) -> None:
    """The body was complete."""
    opened = connected(TlsSock(b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n", bytes(2000), nothing))
    opened.read_response()
    assert [len(opened.read_body()), len(opened.read_body())] == [2000, 0]
    assert opened.is_reusable()


def test_without_tls_one_receipt_is_one_piece(world: World) -> None:
    """There is nothing to put together."""
    sock = Sock(b"HTTP/1.1 200 OK\r\n\r\n", bytes(2000), b"ab")
    opened = connected(sock)
    opened.read_response()
    assert (len(opened.read_body()), sock.received) == (2000, 2)


# The session of TLS.


def test_the_session_is_kept_once_the_first_response_has_begun(world: World) -> None:
    """By then, its ticket has come."""
    kept: list[Any] = []
    sock = TlsSock(OK, OK)
    opened = connected(sock)
    opened.resumption = SimpleNamespace(keep=kept.append)  # type: ignore[assignment]
    opened.read_response()
    assert (kept, opened.resumption) == ([sock], None)
    opened.begin("GET", NO_LIMITS)
    opened.read_response()
    assert kept == [sock]


# Closing, and others that close.


class Pair:
    """A connection, and its peer."""

    def __init__(self, is_begun: bool = True) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.theirs.settimeout(5.0)
        self.connection = Connection(self.ours, None, ParserSettings(), SimpleNamespace(allows=bool))  # type: ignore[arg-type]
        if is_begun:
            self.connection.begin("GET", NO_LIMITS)

    @property
    def is_open(self) -> bool:
        return self.ours.fileno() >= 0


@pytest.fixture
def pairs() -> Any:
    made: list[Pair] = []

    def make(is_begun: bool = True) -> Pair:
        made.append(Pair(is_begun))
        return made[-1]

    yield make
    for pair in made:
        pair.ours.close()
        pair.theirs.close()


def test_no_operation_of_a_socket_waits(pairs: Any) -> None:
    """What cannot be done at once is waited for elsewhere."""
    assert pairs().ours.gettimeout() == 0.0


def test_a_connection_that_rests_is_closed_at_once(pairs: Any) -> None:
    """Before its first exchange, and after a response; the peer gets the end."""
    fresh, served, reading = pairs(False), pairs(), pairs()
    served.theirs.sendall(OK)
    served.connection.read_response()
    reading.theirs.sendall(CREATED + b"ab")
    reading.connection.read_response()
    assert reading.connection.read_body() == b"ab"
    for pair in (fresh, served, reading):
        assert not pair.connection.was_cut
        pair.connection.abort()
        assert pair.connection.was_cut
        assert not pair.is_open
        assert pair.theirs.recv(1) == b""


@pytest.mark.parametrize("reads", ["head", "body"])
def test_a_connection_in_use_is_closed_by_the_thread_that_uses_it(
    pairs: Any, reads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread shuts it down, and the wait ends with that; the number of the socket stays its own until then."""
    pair = pairs()
    if reads == "body":
        pair.theirs.sendall(CREATED)
        pair.connection.read_response()
    states: list[bool] = []
    receive = pair.connection.receive

    def abort_and_receive() -> bytes:
        pair.connection.abort()
        states.append(pair.is_open)
        return receive()  # type: ignore[no-any-return]

    monkeypatch.setattr(pair.connection, "receive", abort_and_receive)
    with pytest.raises(ConnectionAbortedError):
        getattr(pair.connection, "read_response" if reads == "head" else "read_body")()
    assert states == [True]
    assert pair.theirs.recv(1) == b""
    if reads == "body":
        assert not pair.is_open
    pair.connection.close()
    assert not pair.is_open


def test_a_response_that_was_complete_when_its_connection_was_closed_is_read(
    pairs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the socket is closed after it."""
    pair = pairs()
    pair.theirs.sendall(OK)
    receive = pair.connection.receive

    def receive_and_abort() -> bytes:
        data = receive()
        pair.connection.abort()
        return data  # type: ignore[no-any-return]

    monkeypatch.setattr(pair.connection, "receive", receive_and_abort)
    assert pair.connection.read_response()[1] == b"hi"
    assert not pair.is_open


def test_a_forked_child_does_not_shut_down_a_connection_of_its_parent(
    pairs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It closes its own number alone."""
    pair = pairs(False)
    with pair.ours.dup() as parents:
        monkeypatch.setattr(connection, "os", SimpleNamespace(getpid=lambda: -1))
        pair.connection.abort()
        assert not pair.is_open
        parents.sendall(b"x")
        assert pair.theirs.recv(1) == b"x"


@pytest.mark.parametrize("error", [OSError("not connected"), AttributeError("of a mock")])
def test_a_socket_that_cannot_be_shut_down_is_closed(
    pairs: Any, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server was first, or a library has mocked the class."""

    def shutdown(sock: Any, how: int) -> None:
        assert how == socket.SHUT_RDWR
        raise error

    fake = SimpleNamespace(socket=SimpleNamespace(shutdown=shutdown), SHUT_RDWR=socket.SHUT_RDWR)
    monkeypatch.setattr(connection, "socket", fake)
    pair = pairs(False)
    pair.connection.abort()
    assert not pair.is_open


def test_an_idle_connection_is_looked_at_without_a_wait(world: World) -> None:
    """Anything that has come, an end or bytes outside of any exchange, makes it useless."""
    for incoming, is_reusable in (([], True), ([b""], False), ([b"ab"], False)):
        assert connected(Sock(*incoming)).is_reusable() is is_reusable
    assert world.waits == [0, 0, 0]

"""The limits of one exchange on a blocking connection, in virtual time, and a connection that listens while it sends."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import AttemptTimeoutError, HttpRequest, ReadTimeoutError, Timeout
from http_service_client.http.http1.framing import ParserSettings
from http_service_client.transports.failures import Phase, PhaseError
from http_service_client.transports.over_requests import connection, errors, exchange_timeouts, pool
from http_service_client.transports.over_requests.aborts import OpenConnections
from http_service_client.transports.over_requests.connection import Connection, SelfWaitingConnection
from http_service_client.transports.over_requests.exchange_timeouts import ExchangeTimeouts, seconds_left
from kit.fakes import URL


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An instant that a test sets."""
    made = SimpleNamespace(now=100.0)
    for module in (connection, exchange_timeouts):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: made.now))
    return made


def limits(timeouts: ExchangeTimeouts) -> tuple[float | None, ...]:
    return (
        timeouts.expires_at,
        timeouts.connect_expires_at,
        timeouts.read_within,
        timeouts.write_within,
    )


@pytest.mark.parametrize(
    ("timeout", "expected"),
    [
        (Timeout(), (None, None, None, None)),
        (Timeout(total=5.0), (105.0, 105.0, None, None)),
        (Timeout(connect=2.0), (None, 102.0, None, None)),
        (Timeout(total=5.0, connect=2.0), (105.0, 102.0, None, None)),
        (Timeout(total=5.0, connect=9.0), (105.0, 105.0, None, None)),
        (Timeout(total=5.0, read=3.0, write=4.0), (105.0, 105.0, 3.0, 4.0)),
    ],
)
def test_an_exchange_has_its_limits_from_its_beginning(timeout: Timeout, expected: tuple[Any, ...]) -> None:
    """The connection must be there by the earlier of its own limit and that of the whole."""
    timeouts = ExchangeTimeouts.starting(timeout, 100.0)
    assert limits(timeouts) == expected
    assert (timeouts.phases, timeouts.sent_at) == (None, None)


@pytest.mark.parametrize(
    ("timeout", "head", "body"),
    [
        (Timeout(first_byte=2.0), (103.0, None, None, None), (None, None, None, None)),
        (Timeout(total=9.0, first_byte=2.0), (103.0, None, None, None), (109.0, None, None, None)),
        (Timeout(total=2.5, first_byte=2.0), (102.5, None, None, None), (102.5, None, None, None)),
        (Timeout(total=9.0, between=2.0, read=4.0), (109.0, 109.0, 4.0, None), (109.0, None, 2.0, None)),
    ],
)
def test_head_and_body_may_have_limits_of_their_own(
    clock: Any, timeout: Timeout, head: tuple[Any, ...], body: tuple[Any, ...]
) -> None:
    """That of the head begins when the request was sent."""
    timeouts = ExchangeTimeouts.starting(timeout, 100.0)
    assert timeouts.phases is timeout
    clock.now = 101.0
    assert limits(timeouts.for_head(timeout)) == head
    assert timeouts.sent_at == 101.0
    assert limits(timeouts.for_body(timeout)) == body


@pytest.mark.parametrize(
    ("expires_at", "within", "left"),
    [(None, None, None), (None, 3.0, 3.0), (104.0, None, 4.0), (104.0, 3.0, 3.0), (104.0, 5.0, 4.0)],
)
def test_an_operation_may_take_what_is_left(
    clock: Any, expires_at: float | None, within: float | None, left: float | None
) -> None:
    """Of the exchange, or its own limit if that is shorter."""
    assert seconds_left(expires_at, within) == left


def test_nothing_is_left_at_the_very_instant(clock: Any) -> None:
    """A socket with a timeout of zero would not wait and not raise."""
    for expires_at in (100.0, 99.0):
        with pytest.raises(TimeoutError, match="timed out"):
            seconds_left(expires_at, 5.0)


class Socket:
    """Takes at most so many bytes at once, and gives what it was filled with; it never waits."""

    def __init__(self, *received: Any, takes: int = 1000) -> None:
        self.received, self.takes = list(received), takes
        self.sent: list[bytes] = []
        self.timeouts: list[float | None] = []
        self.decrypted = 0  # bytes of TLS that were not given yet

    def settimeout(self, seconds: float | None) -> None:
        self.timeouts.append(seconds)

    def pending(self) -> int:
        return self.decrypted

    def send(self, data: Any) -> int:
        self.sent.append(bytes(data[: self.takes]))
        return min(self.takes, len(data))

    def recv(self, size: int) -> Any:
        assert size == 65536
        piece = self.received.pop(0)
        if isinstance(piece, Exception):
            raise piece
        return piece


class Waits:
    """The waits of connections for their sockets: in milliseconds to read; in seconds to be usable.

    readable: what a look, or a wait, finds.   to_read, usable: those made so far.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.readable: list[bool] = []
        self.to_read: list[float | None] = []
        self.usable: list[tuple[float | None, bool]] = []
        monkeypatch.setattr(connection, "read_waiter", lambda sock: self._wait)
        monkeypatch.setattr(connection, "wait_until_usable", self._wait_until_usable)

    def _wait(self, milliseconds: float | None) -> bool:
        if milliseconds != 0:
            self.to_read.append(milliseconds)
            return self.readable.pop(0) if self.readable else True
        return bool(self.readable) and self.readable.pop(0)

    def _wait_until_usable(self, sock: Any, within: float | None, *, to_write: bool, **_: bool) -> None:
        self.usable.append((within, to_write))


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    """The waits of the connections that a test makes."""
    return Waits(monkeypatch)


def connected(sock: Any, expires_at: float | None = None) -> Connection:
    return Connection(sock, expires_at, ParserSettings())


def test_no_operation_waits_beyond_what_is_left(clock: Any, waits: Waits) -> None:
    """The socket itself never waits; a wait to read gets what is left, or the limit of a read if that is shorter."""
    sock = Socket(b"x", b"y", b"z")
    opened = connected(sock, 110.0)
    assert sock.timeouts == [0.0]
    assert opened.send(b"abc")
    assert opened.receive() == b"x"
    clock.now = 104.0
    assert opened.receive() == b"y"
    opened.set_timeouts(ExchangeTimeouts(120.0, None, 3.0, 4.0))
    assert opened.receive() == b"z"
    assert waits.to_read == [10_000.0, 6_000.0, 3_000.0]
    assert (waits.usable, sock.timeouts) == ([], [0.0])


def test_a_wait_in_vain_is_a_timeout(waits: Waits) -> None:
    """Nothing is read then."""
    waits.readable = [False]
    with pytest.raises(TimeoutError, match="timed out"):
        connected(Socket()).receive()


def test_a_wait_is_no_longer_than_the_system_can_count(clock: Any, waits: Waits) -> None:
    """`poll` takes its milliseconds as a C int."""
    connected(Socket(b"x"), 1e9).receive()
    assert waits.to_read == [2e9]


def test_what_tls_has_decrypted_is_not_waited_for(waits: Waits) -> None:
    """The socket beneath is not readable any more."""
    sock = Socket(b"x")
    sock.decrypted = 1
    assert connected(sock).receive() == b"x"
    assert waits.to_read == []


def test_a_record_of_tls_itself_does_not_begin_the_wait_again(
    clock: Any, waits: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that sends such records now and then is cut on time. TLS may have to write in order to read."""
    sock = Socket(ssl.SSLWantReadError(), ssl.SSLWantReadError(), ssl.SSLWantWriteError(), b"x")
    opened = connected(sock, 200.0)
    opened.set_timeouts(ExchangeTimeouts(200.0, None, 5.0, None))
    usable = waits._wait_until_usable

    def pass_time(*given: Any, **options: Any) -> None:
        usable(*given, **options)
        clock.now += 2.0

    monkeypatch.setattr(connection, "wait_until_usable", pass_time)
    assert opened.receive() == b"x"
    assert waits.to_read == [5_000.0]
    assert waits.usable == [(5.0, False), (3.0, True)]
    sock.received = [ssl.SSLWantReadError()] * 9
    with pytest.raises(TimeoutError):
        opened.receive()


NOT_NOW = [BlockingIOError(), ssl.SSLWantReadError(), ssl.SSLWantWriteError()]


@pytest.mark.parametrize("error", NOT_NOW, ids=lambda error: type(error).__name__)
def test_what_cannot_be_done_now_is_done_later(error: Exception, clock: Any, waits: Waits) -> None:
    """A socket says so by its error, and one of TLS by two: it may have to write in order to read, and the reverse."""

    class Busy(Socket):
        is_busy = True

        def send(self, data: Any) -> int:
            if self.is_busy:
                self.is_busy = False
                raise error
            return super().send(data)

    sock = Busy(error, error, b"x")
    opened = connected(sock, 110.0)
    assert opened.send(b"abc")
    assert sock.sent == [b"abc"]
    assert opened.receive() == b"x"


def test_a_part_of_a_record_does_not_begin_the_wait_again(clock: Any, waits: Waits) -> None:
    """It may arrive at the last moment: the whole attempt would take twice as long as it may."""
    opened = connected(Socket(ssl.SSLWantReadError(), ssl.SSLWantReadError(), b"x"), 110.0)

    def arrive(milliseconds: float | None) -> bool:
        clock.now += 9.0
        return True

    opened._wait_to_read = arrive
    assert opened.receive() == b"x"
    assert waits.usable == [(1.0, False)]


def test_a_connection_that_another_thread_has_closed_is_not_waited_for(waits: Waits) -> None:
    """The number of its socket may be that of another one by now."""
    cut = connected(Socket(b"x"))
    cut._is_aborted = True
    with pytest.raises(ConnectionAbortedError) as raised:
        cut.receive()
    assert raised.value.args == (errno.ECONNABORTED, os.strerror(errno.ECONNABORTED))
    assert waits.to_read == []


def test_an_end_without_close_notify_is_an_end(waits: Waits) -> None:
    """Many servers omit it; but not when another thread has cut the connection during the wait."""
    unexpected = ssl.SSLEOFError(8, "EOF")
    unexpected.reason = "UNEXPECTED_EOF_WHILE_READING"
    other = ssl.SSLEOFError(8, "EOF")
    other.reason = "OTHER"
    for piece in (b"", unexpected):
        assert connected(Socket(piece)).receive() == b""
    with pytest.raises(ConnectionResetError) as raised:
        connected(Socket(other)).receive()
    assert raised.value.args == (errno.ECONNRESET, os.strerror(errno.ECONNRESET))
    assert raised.value.__context__ is None  # it would be reported as the reason
    for piece, error in ((b"", ConnectionAbortedError), (unexpected, ssl.SSLEOFError)):
        cut = connected(Socket(piece))

        def abort(milliseconds: float | None, cut: Connection = cut) -> bool:
            cut._is_aborted = True
            return True

        cut._wait_to_read = abort
        with pytest.raises(error):
            cut.receive()


@pytest.mark.parametrize(
    ("piece", "is_answer"),
    [
        (b"HTTP/1.1 413 Too Large\r\n\r\n", True),
        (b"HTTP/1.1 413 Too Large\r\n", False),
        (b"HTTP/1.1 200 OK\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 100 Continue\r\n\r\n", False),
        (b"", True),  # the server has gone
        (BlockingIOError(), False),
        (ssl.SSLWantReadError(), False),
    ],
)
def test_an_upload_stops_when_the_server_responds(piece: Any, is_answer: bool, waits: Waits) -> None:
    """The head of a refusal, or a whole response. An interim one does not stop it, nor does a record of TLS itself."""
    waits.readable = [False, True]
    sock = Socket(piece, takes=2)
    assert connected(sock).send_all([b"abcd", b"ef"]) is not is_answer
    assert b"".join(sock.sent) == (b"ab" if is_answer else b"abcdef")


def test_the_beginning_of_an_exchange_is_sent_without_a_look(waits: Waits) -> None:
    """The connection has just been looked at. What the kernel does not accept at once is sent while listening."""
    sock = Socket(takes=4)
    assert connected(sock).send(b"abcd")
    waits.readable = [True]
    assert connected(sock).send(b"efgh")
    assert waits.readable == [True]
    sock.received = [b"HTTP/1.1 413 Too Large\r\n\r\n"]
    assert not connected(sock).send(b"ijklmn")
    assert b"".join(sock.sent) == b"abcdefghijkl"


def test_an_upload_waits_for_a_socket_that_takes_nothing(clock: Any, waits: Waits) -> None:
    """To write, or to read what TLS needs first; within the limit of a write, for each part that is accepted."""
    errors: list[Any] = [
        BlockingIOError(),
        BlockingIOError(),
        ssl.SSLWantWriteError(),
        ssl.SSLWantReadError(),
    ]

    class Stalling(Socket):
        def send(self, data: Any) -> int:
            if errors:
                raise errors.pop(0)
            return super().send(data)

    sock = Stalling(takes=2)
    opened = connected(sock, 110.0)
    opened.set_timeouts(ExchangeTimeouts(110.0, None, None, 4.0))
    assert opened.send(b"abc")
    assert waits.usable == [(4.0, True), (4.0, True), (4.0, False)]
    assert sock.sent == [b"ab", b"c"]


def test_a_response_that_arrives_whole_needs_no_parser(waits: Waits) -> None:
    """The parser has not seen it. One in pieces, or after bytes that came during the upload, is read by the parser."""
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
    opened = connected(Socket(whole, whole[:-1], whole[-1:]))
    for content in (b"hi", None):
        opened.begin("GET", ExchangeTimeouts(None, None, None, None))
        head, found = opened.read_response()
        assert (head.status, found) == (200, content)
        assert (opened.parser.head is head) is (content is None)
    assert opened.read_body() == b"h"
    assert opened.read_body() == b"i"
    early = connected(Socket(whole))
    early.begin("POST", ExchangeTimeouts(None, None, None, None))
    waits.readable = [True]
    assert not early.send_all([b"body"])
    head, found = early.read_response()
    assert (head.status, found, early.parser.is_complete) == (200, b"hi", True)


def test_connections_are_cut_once_and_for_all() -> None:
    """Those that are open, and each that would be opened later."""
    cut: list[str] = []

    class Stub:
        def abort(self) -> None:
            cut.append("first")

    first: Any = Stub()
    opened = OpenConnections()
    opened.add(first)
    assert not opened.is_cut
    opened.cut()
    assert (cut, opened.is_cut) == (["first"], True)
    with pytest.raises(ConnectionAbortedError) as raised:
        opened.add(first)
    assert raised.value.args == (errno.ECONNABORTED, os.strerror(errno.ECONNABORTED))


class Recording:
    """A connection that notes in which portions a request is sent."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.bodies: list[list[bytes]] = []

    def send(self, data: bytes) -> bool:
        self.heads.append(data)
        return True

    def send_all(self, chunks: Any) -> bool:
        self.bodies.append([bytes(chunk) for chunk in chunks])
        return True


LONG = b"x" * 65536
LONGEST_PIECE = LONG * 4


@pytest.mark.parametrize(
    ("body", "chunked", "heads", "bodies"),
    [
        (None, False, [b"HEAD"], []),
        (b"a=1", False, [b"HEADa=1"], []),
        (LONG, False, [b"HEAD" + LONG], []),
        (LONG + b"y", False, [b"HEAD"], [[LONG + b"y"]]),
        ([LONGEST_PIECE + b"y", b"z"], False, [b"HEAD"], [[LONGEST_PIECE, b"y", b"z"]]),
        (
            [LONG + b"y"],
            True,
            [b"HEAD"],
            [[b"10000\r\n" + LONG + b"\r\n", b"1\r\ny\r\n", b"0\r\n\r\n"]],
        ),
        (
            [b"y" * 16, b"z"],
            True,
            [b"HEAD"],
            [[b"10\r\n" + b"y" * 16 + b"\r\n", b"1\r\nz\r\n", b"0\r\n\r\n"]],
        ),
    ],
    ids=["none", "form", "short", "long", "stream", "long chunk", "chunks"],
)
def test_a_short_body_goes_out_with_its_head(
    body: Any, chunked: bool, heads: list[bytes], bodies: list[list[bytes]]
) -> None:
    """In one packet where it fits; a longer one in pieces, between which the server may respond."""
    recording: Any = Recording()
    assert pool._send(recording, b"HEAD", body, chunked)
    assert (recording.heads, recording.bodies) == (heads, bodies)


@pytest.mark.parametrize("error", [BrokenPipeError, ConnectionResetError])
def test_a_server_that_closes_may_have_responded(error: type[Exception]) -> None:
    """The response is read then; any other error of the connection is raised."""
    recording: Any = Recording()

    def fail(data: Any) -> bool:
        raise error

    recording.send = fail
    assert not pool._send(recording, b"HEAD", None, False)
    error = ConnectionAbortedError
    with pytest.raises(ConnectionAbortedError):
        pool._send(recording, b"HEAD", None, False)


@pytest.mark.parametrize(
    ("total", "now", "error"),
    [
        (5.0, 104.97, ReadTimeoutError),
        (5.0, 104.98, AttemptTimeoutError),
        (5.0, 106.0, AttemptTimeoutError),
        (None, 106.0, ReadTimeoutError),
    ],
)
def test_a_timer_may_end_a_tick_before_its_instant(
    total: float | None, now: float, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is the end of the whole exchange then, and not of a read. An exchange without a limit has no such end."""
    monkeypatch.setattr(errors, "time", SimpleNamespace(monotonic=lambda: now))
    timeout = Timeout(total=total, read=5.0)
    timeouts = ExchangeTimeouts.starting(timeout, 100.0)
    failure = errors.failure_from(Phase.RECEIVE, TimeoutError(), HttpRequest("GET", URL), timeout, timeouts)
    assert failure.error_type is error


def test_a_failure_of_a_phase_names_both() -> None:
    """In its arguments too, which a log of an unexpected one shows."""
    cause = OSError(1, "x")
    error = PhaseError(Phase.SEND, cause)
    assert (error.args, error.phase, error.error) == ((Phase.SEND, cause), Phase.SEND, cause)


def test_a_socket_that_waits_itself_is_not_asked_for_more_than_has_arrived(clock: Any, waits: Waits) -> None:
    """A look for more records of TLS would wait for them: this body is complete."""
    body = b"x" * 10_000
    sock = Socket(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n", body)
    opened = SelfWaitingConnection(sock, None, ParserSettings())
    opened.begin("GET", ExchangeTimeouts(None, None, 5.0, None))
    assert opened.send(b"GET")
    opened.read_response()
    assert opened.read_body() == body
    assert sock.timeouts == [0.0, 5.0, 5.0]


@pytest.mark.parametrize("reads_body", [False, True])
def test_a_socket_in_use_is_closed_by_the_thread_that_uses_it(reads_body: bool) -> None:
    """Another one only shuts it down, which ends the wait: its number must not become that of another socket."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        opened = connected(ours)
        opened.begin("GET", ExchangeTimeouts(None, None, None, None))
        if reads_body:
            theirs.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
            opened.read_response()
        wait, numbers = opened._wait_to_read, []

        def wait_and_be_aborted(milliseconds: float | None) -> object:
            opened.abort()
            numbers.append(ours.fileno())
            return wait(milliseconds)

        opened._wait_to_read = wait_and_be_aborted
        with pytest.raises(ConnectionAbortedError):
            opened.read_body() if reads_body else opened.read_response()
        assert numbers[0] >= 0
        if not reads_body:
            opened.close()  # by the pool, as after any error of the exchange
        assert ours.fileno() == -1


def test_a_socket_that_no_thread_uses_is_closed_at_once() -> None:
    """It serves no other exchange."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        opened = connected(ours)
        opened.abort()
        assert ours.fileno() == -1
        with pytest.raises(ConnectionAbortedError):
            opened.begin("GET", ExchangeTimeouts(None, None, None, None))

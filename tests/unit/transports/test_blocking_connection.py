"""One connection of the blocking transport: what it waits for and how long, what it sends, and when its socket is closed.

The socket gives what a test has put there, in virtual time. Where another thread closes it, it is a real one.
"""

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
from http_service_client.transports.over_requests import connection, exchange_timeouts
from http_service_client.transports.over_requests.connection import Connection, SelfWaitingConnection
from http_service_client.transports.over_requests.exchange_timeouts import ExchangeTimeouts

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
NO_LIMITS = ExchangeTimeouts(None, None, None, None)
WANT_READ, WANT_WRITE, BLOCKED = ssl.SSLWantReadError(), ssl.SSLWantWriteError(), BlockingIOError()


def eof(reason: str) -> ssl.SSLEOFError:
    error = ssl.SSLEOFError(ssl.SSL_ERROR_EOF, reason)
    error.reason = reason
    return error


class World:
    """now: the time.   takes: seconds of each wait.   waits: for how long, and for what."""

    def __init__(self) -> None:
        self.now = 100.0
        self.takes = 0.0
        self.waits: list[Any] = []

    def monotonic(self) -> float:
        return self.now

    def read_waiter(self, sock: Any) -> Any:
        def wait(milliseconds: float | None) -> bool:
            self.waits.append(milliseconds)
            if milliseconds != 0:
                self.now += self.takes
            return bool(sock.incoming)

        return wait

    def wait_until_usable(
        self, sock: Any, within: float | None, *, to_write: bool, to_read: bool = True
    ) -> None:
        self.waits.append((within, "r" * to_read + "w" * to_write))
        self.now += self.takes


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    for module in (connection, exchange_timeouts):
        monkeypatch.setattr(module, "time", made)
    monkeypatch.setattr(connection, "read_waiter", made.read_waiter)
    monkeypatch.setattr(connection, "wait_until_usable", made.wait_until_usable)
    monkeypatch.setattr(connection, "is_readable", lambda sock: bool(sock.incoming))
    return made


class Sock:
    """incoming: what each `recv` returns or raises.   accepts: how many bytes each `send` does, or its error; then all."""

    def __init__(self, *incoming: Any, accepts: Any = ()) -> None:
        self.incoming = list(incoming)
        self.accepts = list(accepts)
        self.sent = b""
        self.timeouts: list[float | None] = []
        self.received = 0
        self.is_closed = False

    def settimeout(self, seconds: float | None) -> None:
        self.timeouts.append(seconds)

    def recv(self, size: int) -> Any:
        self.received += 1
        found = self.incoming.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    def send(self, data: Any) -> int:
        accepted = self.accepts.pop(0) if self.accepts else len(data)
        if isinstance(accepted, Exception):
            raise accepted
        self.sent += bytes(data[:accepted])
        return int(accepted)

    def close(self) -> None:
        self.is_closed = True


class TlsSock(Sock):
    """pending_bytes: what TLS has decrypted already."""

    pending_bytes = 0

    def pending(self) -> int:
        return self.pending_bytes


def connected(
    sock: Any,
    timeouts: ExchangeTimeouts = NO_LIMITS,
    method: str = "GET",
    kind: type[Connection] = Connection,
) -> Connection:
    """A connection in an exchange."""
    lifetime: Any = SimpleNamespace(allows=lambda since: True)
    made = kind(sock, None, ParserSettings(), lifetime)
    made.begin(method, timeouts)
    return made


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


# Sending.

DATA = b"POST / HTTP/1.1\r\n\r\n"


@pytest.mark.parametrize("began", [True, False], ids=["in an exchange", "for a tunnel"])
@pytest.mark.parametrize(
    ("accepts", "waits"),
    [
        ([], []),
        ([len(DATA)], []),
        ([3], [0]),
        ([0], [0]),
        ([3, 4], [0, 0]),
        ([BLOCKED], [0]),
        ([WANT_WRITE], [0]),
        ([WANT_READ], [0]),
        ([3, BLOCKED], [0, (None, "rw"), 0]),
        ([3, WANT_WRITE, 2], [0, (None, "rw"), 0, 0]),
        ([3, WANT_READ], [0, (None, "r"), 0]),
    ],
)
def test_the_beginning_of_a_request_is_sent_whole(
    world: World, accepts: list[Any], waits: list[Any], began: bool
) -> None:
    """The kernel nearly always accepts it at once; what it does not is sent while the connection listens."""
    sock = TlsSock(accepts=accepts)
    opened = connected(sock) if began else Connection(sock, None, ParserSettings())
    assert opened.send(DATA) is True
    assert sock.sent == DATA
    assert world.waits == waits


@pytest.mark.parametrize(
    ("expires_at", "write_within", "within"),
    [
        (None, None, [None, None]),
        (None, 3.0, [3.0, 3.0]),
        (110.0, None, [10.0, 8.0]),
        (109.5, 9.0, [9.0, 7.5]),
    ],
)
def test_each_part_that_is_accepted_has_the_time_of_a_write(
    world: World, expires_at: float | None, write_within: float | None, within: list[Any]
) -> None:
    """Within that of the exchange."""
    world.takes = 2.0
    sock = Sock(accepts=[BLOCKED, 2, BLOCKED])
    opened = connected(sock, ExchangeTimeouts(expires_at, None, None, write_within))
    assert opened.send_all([b"ab", memoryview(b"cd")])
    assert sock.sent == b"abcd"
    assert [wait[0] for wait in world.waits if wait] == within


CREATED = b"HTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\n"


@pytest.mark.parametrize(
    ("incoming", "is_sent"),
    [
        ([OK], False),
        ([b"HTTP/1.1 300 Multiple Choices\r\nContent-Length: 4\r\n\r\n"], False),
        ([b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n\r\n"], False),
        ([b"HTTP/1.1 299 Odd\r\nContent-Length: 4\r\n\r\n"], True),
        ([CREATED], True),
        ([CREATED + b"ab"], True),
        ([CREATED, b"abcd"], False),
        ([CREATED + b"ab", b"cd"], False),
        ([b"HTTP/1.1 413 Content"], True),
        ([b"HTTP/1.1 413 Content", b" Too Large\r\n\r\n"], False),
        ([b"HTTP/1.1 100 Continue\r\n\r\n"], True),
        ([WANT_READ], True),
        ([BLOCKED], True),
        ([b""], False),
    ],
)
def test_a_response_that_settles_it_ends_the_request(
    world: World, incoming: list[Any], is_sent: bool
) -> None:
    """A refusal, or a whole response, or the end. A success that has begun may still depend on the rest."""
    sock = Sock(*incoming)
    opened = connected(sock)
    chunks = [b"1", b"2", b"3"]
    assert opened.send_all(chunks) is is_sent
    assert len(sock.sent) == (3 if is_sent else len(incoming) - 1)
    assert sock.incoming == []


def test_what_came_early_is_the_response(world: World) -> None:
    """With its body, if that is complete; else its first pieces come first."""
    opened = connected(Sock(CREATED + b"ab", b"cd"))
    assert not opened.send_all([b"1", b"2", b"3"])
    head, content = opened.read_response()
    assert (head.status, content) == (201, b"abcd")
    opened = connected(Sock(CREATED + b"ab", b"cd"))
    assert opened.send_all([b"1"])
    head, content = opened.read_response()
    assert (head.status, content) == (201, None)
    assert [opened.read_body(), opened.read_body(), opened.read_body()] == [b"ab", b"cd", b""]


@pytest.mark.parametrize("status", [b"204 No Content", b"413 No\r\nContent-Length: 2"])
def test_a_head_that_came_early_is_read_by_itself(world: World, status: bytes) -> None:
    """Without a body, or before it."""
    opened = connected(Sock(b"HTTP/1.1 %s\r\n\r\n" % status, b"hi"))
    assert not opened.send_all([b"1"])
    head, content = opened.read_response()
    assert (head.status, content) == (int(status[:3]), None)


def in_two(data: bytes) -> list[bytes]:
    return [data[:20], data[20:]]


HEAD = OK.removesuffix(b"hi")


def test_each_exchange_reads_its_own_response(world: World) -> None:
    """The one before may have had an early one, or another method; the head may come in several pieces."""
    opened = connected(Sock(OK, HEAD, OK, *in_two(HEAD), *in_two(OK), *in_two(OK), OK))
    assert not opened.send_all([b"1"])
    assert opened.read_response()[1] == b"hi"
    for method, body in (("HEAD", b""), ("GET", b"hi"), ("HEAD", b""), ("GET", b"hi"), ("GET", b"hi")):
        opened.begin(method, NO_LIMITS)
        head, content = opened.read_response()
        assert (head.status, opened.read_body() if content is None else content) == (200, body)
        if content is None:
            assert opened.parser.is_complete
            opened.parser.forget()
    opened.begin("HEAD", NO_LIMITS)
    assert not opened.read_response()[1]  # what follows is no body


@pytest.mark.parametrize(("most", "early"), [(2, b"ab"), (3, b"ab"), (0, b"")])
def test_only_so_much_of_a_body_is_taken_early(world: World, most: int, early: bytes) -> None:
    """Then the connection listens no more: it looks for nothing, and waits to write only."""
    sock = Sock(CREATED + b"ab", accepts=[BLOCKED, 1, BLOCKED, 1, WANT_READ])
    opened = connected(sock)
    opened.most_early = most
    assert opened.send_all([b"1", b"2", b"3"])
    assert bytes(opened._early) == early
    wanted = {0: ["w", "w", "r"], 2: ["rw", "w", "r"], 3: ["rw", "rw", "r"]}[most]
    assert [wait[1] for wait in world.waits if wait] == wanted
    assert world.waits.count(0) == {0: 0, 2: 1, 3: 6}[most]


@pytest.mark.parametrize(("most", "early"), [(3, b"abcd"), (4, b"abcd"), (5, b"abcdef"), (99, b"abcdef")])
def test_no_further_piece_is_taken_early_once_there_is_enough(world: World, most: int, early: bytes) -> None:
    """Whatever more has arrived is read after the request."""
    opened = connected(Sock(CHUNKED + b"4\r\nab", b"cd\r\n2\r\nef\r\n0\r\n\r\n"))
    opened.most_early = most
    assert opened.send_all([b"1", b"2"]) is (len(early) == 4)
    assert bytes(opened._early) == early
    content = opened.read_response()[1]
    assert content == (None if len(early) == 4 else b"abcdef")
    if content is None:
        assert [opened.read_body(), opened.read_body(), opened.read_body()] == [b"abcd", b"ef", b""]


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


# Sockets that wait themselves.


def test_a_socket_that_waits_itself_has_the_time_of_each_operation(world: World) -> None:
    """It is made to wait for bytes, and not to send the beginning of a request; what it has is only looked at."""
    sock = Sock(b"ab", accepts=[BLOCKED])
    opened = connected(sock, ExchangeTimeouts(110.0, None, 3.0, None), kind=SelfWaitingConnection)
    assert not opened.is_reusable()
    assert sock.timeouts == []
    assert opened.receive() == b"ab"
    assert sock.timeouts == [3.0]
    assert opened.is_reusable()
    assert opened.send(DATA)
    assert sock.timeouts == [3.0, 0.0]
    assert sock.sent == DATA
    assert world.waits == []

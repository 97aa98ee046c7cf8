"""One connection of an event loop, step by step: what it sends, what its readers learn, and when it may serve again.

Its transport records what is asked of it, bytes arrive by hand, and the loop does not run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from http_service_client.http.http1.framing import ParserSettings
from http_service_client.transports.over_aiohttp import connection as module
from http_service_client.transports.over_aiohttp.asyncio_transports import LONG_READ, SHORT_READ
from http_service_client.transports.over_aiohttp.connection import Connection

REQUEST = b"GET / HTTP/1.1\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
MUCH = bytes(600_000)  # more than may wait for a reader


class FakeTransport:
    """calls: what was asked of it.   written: what was written.   sizes: of its reads.   sock: its socket."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.written: list[bytes] = []
        self.sizes: list[int] = []
        self.sock: Any = None
        self.closing = False

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "max_size":
            self.sizes.append(value)
        super().__setattr__(name, value)

    max_size = 0

    def get_extra_info(self, name: str) -> Any:
        return self.sock if name == "socket" else None

    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def __getattr__(self, name: str) -> Callable[[], None]:
        return lambda: self.calls.append(name)


class Loop(asyncio.SelectorEventLoop):
    """now: its time.   timers: how many were made."""

    now = 0.0
    timers = 0

    def time(self) -> float:
        return self.now

    def call_at(self, *args: Any, **more: Any) -> asyncio.TimerHandle:
        self.timers += 1
        return super().call_at(*args, **more)


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.close()


@pytest.fixture
def transport() -> FakeTransport:
    return FakeTransport()


@pytest.fixture
def made(loop: Loop) -> Connection:
    """A connection without a transport."""
    return Connection(loop, ParserSettings(), None, Mock(), Mock())


@pytest.fixture
def connection(made: Connection, transport: Any) -> Connection:
    made.connection_made(transport)
    return made


def test_a_new_connection_has_served_nothing(loop: Loop) -> None:
    """It belongs to no origin before its pool says so, and can be closed before it has a transport."""
    lifetime, lost = Mock(), Mock()
    made = Connection(loop, ParserSettings(), None, lifetime, lost)
    assert (made.key, made.served, made.idle_since) == (("", None), 0, 0.0)
    assert (made.transport, made.lifetime, made.resumption, made.error) == (None, lifetime, None, None)
    assert not any((made.must_close, made.is_idle, made.is_lost, made.is_full, made.has_unread))
    made.abort()
    assert made.must_close
    made.connection_lost(None)
    lost.assert_called_once_with(made)
    assert made.is_lost


# What is sent.


def test_a_request_is_written_at_once(connection: Connection, transport: FakeTransport) -> None:
    connection.request_whole(REQUEST)
    connection.write(b"ab")
    assert transport.written == [REQUEST, b"ab"]


def test_nothing_is_written_on_a_closing_transport(connection: Connection, transport: FakeTransport) -> None:
    """uvloop's would raise; the reader learns of the end."""
    transport.closing = True
    connection.request_whole(REQUEST)
    assert transport.written == []


def test_timeouts_of_the_same_millisecond_share_a_timer(connection: Connection, loop: Loop) -> None:
    """A shorter one has its own."""
    for ends_at, timers in ((0.002, 1), (0.001, 1), (0.0009, 2)):
        connection.request_whole(REQUEST, ends_at)
        connection.data_received(HEAD + b"ok")
        assert loop.timers == timers


# Responses in one step.


def test_a_connection_that_was_lost_as_it_was_made_has_no_whole_response(connection: Connection) -> None:
    """Its reader gets the error from the parser, and no wait is without end."""
    connection.connection_lost(None)
    assert connection.request_whole(REQUEST).result() is None
    with pytest.raises(ConnectionResetError):
        connection.parser.read_head()


@pytest.mark.parametrize(
    "data",
    [
        CHUNKED,
        b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 65537\r\n\r\nhi",
    ],
    ids=["chunked", "redirect", "long to decode"],
)
def test_a_response_that_needs_more_steps_is_read_in_pieces(connection: Connection, data: bytes) -> None:
    """Also on a connection whose last response had no body, since its request was HEAD."""
    connection.begin("HEAD")
    connection.data_received(HEAD)
    connection.parser.read_head()
    connection.end_exchange()
    whole = connection.request_whole(REQUEST)
    connection.data_received(data)
    assert whole.result() is None
    assert connection.parser.read_head() is not None
    assert connection.parser.read_body() == b"hi"


@pytest.mark.parametrize("cuts", [[], [3], [len(HEAD) + 30]], ids=["whole", "cut head", "cut body"])
def test_each_whole_response_has_its_own_body(connection: Connection, cuts: list[int]) -> None:
    """One in pieces leaves nothing to the next one."""
    first = HEAD.replace(b": 2", b": 40") + bytes(40)
    whole = connection.request_whole(REQUEST)
    for start, end in zip([0, *cuts], [*cuts, len(first)], strict=True):
        connection.data_received(first[start:end])
    if cuts == [3]:
        assert whole.result() is None
        connection.parser.read_head()
        assert connection.parser.read_body() == bytes(40)
    else:
        assert whole.result()[1] == bytes(40)
    connection.end_exchange()
    assert not connection.must_close
    whole = connection.request_whole(REQUEST)
    connection.data_received(HEAD + b"ok")
    assert whole.result()[1] == b"ok"


@pytest.mark.parametrize(
    ("field", "announced"),
    [(b"", []), (b"Keep-Alive: timeout=5\r\n", ["timeout=5"])],
    ids=["no field", "field"],
)
def test_what_a_server_says_of_its_connections_is_heeded(
    connection: Connection, field: bytes, announced: list[str]
) -> None:
    """Its Keep-Alive field may shorten the time that it is kept idle."""
    connection.request_whole(REQUEST)
    connection.data_received(HEAD.replace(b"Content", field + b"Content") + b"ok")
    heard: Any = connection.lifetime.announce
    assert [call.args[0] for call in heard.call_args_list] == announced


@pytest.mark.parametrize(
    ("after", "must_close"), [(b"", False), (b"\r\n", False), (b"X", True), (b"\r\nX", True)]
)
def test_only_line_ends_may_follow_a_whole_response(
    connection: Connection, after: bytes, must_close: bool
) -> None:
    """Some servers send one; all else belongs to no request."""
    connection.request_whole(REQUEST)
    connection.data_received(HEAD + b"ok" + after)
    assert connection.must_close is must_close


# Responses in pieces.


def test_a_response_to_head_has_no_body(connection: Connection) -> None:
    """Whatever its length says."""
    connection.begin("HEAD")
    connection.data_received(HEAD)
    assert not connection.parser.is_complete
    assert connection.parser.read_head() is not None
    assert connection.parser.is_complete


def test_one_task_reads_a_body(connection: Connection) -> None:
    """A second one is told so. What another exchange has left behind is no reader."""
    connection.begin("GET")
    connection.changed()
    with pytest.raises(RuntimeError) as caught:
        connection.changed()
    assert str(caught.value) == "another task is already reading this body; read it in one task only"
    connection.begin("GET")
    assert not connection.changed().done()


def test_a_byte_that_has_come_is_unread_until_its_reader_waits_again(connection: Connection) -> None:
    connection.begin("GET")
    assert not connection.has_unread
    connection.data_received(b"H")
    assert connection.has_unread
    connection.changed(takes_more=False)
    assert connection.has_unread
    connection.read_on()
    assert not connection.has_unread


def test_a_transport_pauses_once_and_reads_on_each_time(
    connection: Connection, transport: FakeTransport
) -> None:
    """What arrives while it is paused does not pause it again. The end of the exchange is a reader, too."""
    connection.begin("GET")
    connection.data_received(HEAD.replace(b": 2", b": 1200000"))
    for _ in range(2):
        connection.data_received(MUCH[:550_000])
        connection.data_received(MUCH[550_000:])
        connection.read_on()
        connection.read_on()
    assert transport.calls == ["pause_reading", "resume_reading"] * 2
    connection.data_received(MUCH)
    connection.end_exchange()
    assert transport.calls == ["pause_reading", "resume_reading"] * 3


def test_a_paused_transport_that_is_closing_is_left_alone(
    connection: Connection, transport: FakeTransport
) -> None:
    """uvloop's would raise."""
    connection.begin("GET")
    connection.data_received(MUCH)
    transport.closing = True
    connection.read_on()
    assert transport.calls == ["pause_reading"]


# The end of an exchange.


@pytest.mark.parametrize(("after", "must_close"), [(b"", False), (b"X", True)], ids=["nothing", "a byte"])
def test_an_exchange_leaves_nothing_on_its_connection(
    connection: Connection, after: bytes, must_close: bool
) -> None:
    """No head, no unread byte, and no error where the connection is closed later. More bytes spoil it."""
    connection.begin("GET")
    connection.data_received(HEAD + b"ok" + after)
    connection.parser.read_head()
    assert connection.has_head
    assert connection.parser.read_body() == b"ok"
    connection.end_exchange()
    assert connection.must_close is must_close
    assert not connection.has_head
    assert not connection.has_unread
    connection.abort()
    assert connection.error is None


def test_an_exchange_after_one_in_pieces_may_be_whole(connection: Connection) -> None:
    """What was read of the other is not waiting for it."""
    connection.begin("GET")
    connection.data_received(HEAD + b"ok")
    connection.parser.read_head()
    connection.parser.read_body()
    connection.end_exchange()
    whole = connection.request_whole(REQUEST)
    assert not whole.done()
    connection.data_received(HEAD + b"ok")
    assert whole.result()[1] == b"ok"


def test_reads_are_long_once_for_each_long_response(connection: Connection, transport: FakeTransport) -> None:
    """From the first full read to the end of the exchange."""
    for _ in range(2):
        connection.begin("GET")
        connection.data_received(HEAD.replace(b": 2", b": 131072"))
        for _ in range(2):
            connection.data_received(bytes(SHORT_READ))
        connection.end_exchange()
    assert transport.sizes == [SHORT_READ, *[LONG_READ, SHORT_READ] * 2]


def test_the_session_of_tls_is_kept_once(connection: Connection) -> None:
    """After the first response, or as soon as its head is there."""
    resumption: Any = Mock()
    connection.resumption = resumption
    connection.end_exchange()
    resumption.keep.assert_called_once_with()
    assert connection.resumption is None
    connection.keep_session()
    connection.end_exchange()
    resumption.keep.assert_called_once_with()


def test_a_tunnel_begins_anew(connection: Connection) -> None:
    """Of what the proxy said, nothing is left; the exchange in the tunnel is no part of that with the proxy."""
    connection.begin("CONNECT")
    connection.data_received(b"HTTP/1.1 200 OK\r\n\r\nmore")
    connection.parser.read_head()
    connection.start_over()
    assert not connection.has_unread
    assert connection.parser.rest == b""
    whole = connection.request_whole(REQUEST)
    assert not whole.done()
    connection.data_received(HEAD + b"ok")
    connection.end_exchange()
    connection.abort()
    assert connection.error is None


def test_a_tunnel_that_is_closed_before_its_exchange_has_no_error(connection: Connection) -> None:
    """The exchange with the proxy is over."""
    connection.begin("CONNECT")
    connection.start_over()
    connection.abort()
    assert connection.error is None


# Whether it may serve again.


@pytest.mark.parametrize(
    ("number", "is_readable", "is_reusable"),
    [(5, False, True), (0, False, True), (5, True, False), (-1, False, False), (None, False, False)],
    ids=["intact", "number 0", "bytes or the end", "closed", "no socket"],
)
def test_an_idle_connection_is_used_again_if_its_socket_is_silent(
    connection: Connection,
    transport: FakeTransport,
    number: int | None,
    is_readable: bool,
    is_reusable: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The loop may not have read yet what is there. The check of a socket is made once."""
    checked: list[Any] = []

    def check(sock: Any) -> Callable[[], bool]:
        checked.append(sock)
        return lambda: is_readable

    monkeypatch.setattr(module, "readability_check", check)
    if number is not None:
        transport.sock = SimpleNamespace(fileno=lambda: number)
    assert [connection.is_reusable(), connection.is_reusable()] == [is_reusable] * 2
    assert checked == ([transport.sock] if number in (0, 5) else [])


@pytest.mark.parametrize("why", ["lost", "must close", "closing"])
def test_an_idle_connection_that_ends_is_not_used_again(
    connection: Connection, transport: FakeTransport, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "readability_check", lambda sock: lambda: False)
    transport.sock = SimpleNamespace(fileno=lambda: 5)
    assert connection.is_reusable()
    connection.is_lost = why == "lost"
    connection.must_close = why == "must close"
    transport.closing = why == "closing"
    assert not connection.is_reusable()


def test_bytes_on_an_idle_connection_close_it(connection: Connection, transport: FakeTransport) -> None:
    connection.is_idle = True
    connection.data_received(b"HTTP/1.1 408 Timeout\r\n\r\n")
    assert transport.calls == ["abort"]
    assert connection.must_close


# Its end.


@pytest.mark.parametrize(
    ("exchange", "is_error"), [("none", False), ("whole", True), ("in pieces", True)], ids=str
)
def test_a_connection_that_is_closed_in_an_exchange_has_an_error(
    connection: Connection, exchange: str, is_error: bool
) -> None:
    if exchange == "whole":
        connection.request_whole(REQUEST)
    elif exchange == "in pieces":
        connection.begin("GET")
    connection.abort()
    assert str(connection.error) == ("closed in mid-exchange" if is_error else "None")


@pytest.mark.parametrize("earlier", [None, OSError("first")], ids=["no error yet", "an error"])
def test_an_error_that_tls_finds_behind_a_response_ends_the_connection(
    made: Connection, transport: Any, earlier: OSError | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came before it counts. The first error is kept."""
    tls, found = SimpleNamespace(found=None), OSError("bad record")
    monkeypatch.setattr(module, "defer_errors", lambda transport: tls)
    made.connection_made(transport)
    made.begin("GET")
    made.data_received(HEAD)
    assert (made.error, transport.calls) == (None, [])
    made.error, tls.found = earlier, found  # type: ignore[assignment]
    made.data_received(b"ok")
    assert made.error is (earlier or found)
    assert transport.calls == ["abort"]
    assert made.parser.read_head() is not None
    assert made.parser.read_body() == b"ok"


@pytest.mark.parametrize("exchange", ["none", "whole", "in pieces"])
def test_the_last_bytes_of_a_lost_connection_are_of_its_exchange(
    connection: Connection, transport: FakeTransport, exchange: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that refuses an upload may respond and close at once. An idle connection has no response."""
    monkeypatch.setattr(module, "last_bytes", lambda transport: HEAD + b"ok")
    whole = connection.request_whole(REQUEST) if exchange == "whole" else None
    if exchange == "in pieces":
        connection.begin("GET")
    lost = ConnectionResetError()
    connection.connection_lost(lost)
    assert connection.error is lost
    assert transport.calls == ["close"]
    if whole is not None:
        assert whole.result()[1] == b"ok"
    elif exchange == "in pieces":
        assert connection.parser.read_head() is not None
        assert connection.parser.read_body() == b"ok"
    else:
        assert connection.parser.rest == b""


@pytest.mark.parametrize("error", [OSError("late"), MemoryError(), None], ids=repr)
def test_the_first_error_of_a_connection_is_kept(
    connection: Connection, error: BaseException | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as that which TLS has found. What arrived behind it is not read."""
    monkeypatch.setattr(module, "last_bytes", lambda transport: HEAD + b"ok")
    connection.begin("GET")
    connection.error = first = OSError("first")
    connection.connection_lost(error)
    assert connection.error is first
    assert connection.parser.rest == b""


def test_nothing_is_left_to_read_where_nothing_came(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader gets the error, and no orderly end."""
    monkeypatch.setattr(module, "last_bytes", lambda transport: b"")
    connection.begin("GET")
    connection.connection_lost(OSError("lost"))
    assert str(connection.error) == "lost"
    assert not connection.has_unread
    assert connection.parser.read_head() is None


def test_an_end_wakes_whatever_waits(connection: Connection) -> None:
    """A reader, and an upload that waits for room."""
    connection.begin("GET")
    waiters = [connection.changed(), connection.drained()]
    connection.eof_received()
    assert [waiter.done() for waiter in waiters] == [True, True]
    assert connection.must_close

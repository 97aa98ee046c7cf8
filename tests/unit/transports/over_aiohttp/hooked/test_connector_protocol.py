"""The protocol that stands between a connection and aiohttp's own, without a network."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from http_service_client.http.http1.framing import ParserSettings
from http_service_client.transports.idle import IdleConnections
from http_service_client.transports.lifetime import Lifetime
from http_service_client.transports.over_aiohttp.hooked import connector
from http_service_client.transports.over_aiohttp.hooked.connector import WatchingProtocol
from kit.front_ends import run_task
from kit.rows import each_row


class Inner:
    """The protocol of aiohttp. calls: those that it got, in order."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.should_close = False
        self.error: Exception | None = None

    def exception(self) -> Exception | None:
        return self.error

    def eof_received(self) -> bool:
        self.calls.append("eof")
        return True

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")

    def force_close(self) -> None:
        self.should_close = True

    def data_received(self, data: bytes) -> None:
        self.calls.append(data)

    def connection_lost(self, error: BaseException | None) -> None:
        self.calls.append(("lost", error))


class Transport:
    """A connection whose state a test sets."""

    def __init__(self) -> None:
        self.closing = self.is_aborted = self.is_closed = False
        self.buffered = 0
        self.socket: Any = SimpleNamespace(fileno=lambda: 0)

    def is_closing(self) -> bool:
        return self.closing

    def get_extra_info(self, name: str) -> Any:
        return {"socket": self.socket}[name]

    def get_write_buffer_size(self) -> int:
        return self.buffered

    def abort(self) -> None:
        self.is_aborted = True

    def close(self) -> None:
        self.is_closed = True


class Content:
    """The body of a response, as its reader sees it."""

    def __init__(self, *, is_over: bool = False) -> None:
        self.is_over = is_over
        self.error: Exception | None = None

    def is_eof(self) -> bool:
        return self.is_over

    def exception(self) -> Exception | None:
        return self.error

    def set_exception(self, error: Exception) -> None:
        self.error = error


class Setup:
    """A watching protocol between stand-ins."""

    def __init__(self, **limits: Any) -> None:
        self.inner, self.transport, self.idle = Inner(), Transport(), IdleConnections()
        self.lifetime = Lifetime(**{"max_idle": 60.0, "max_requests": 10, "max_age": None, **limits})
        self.made = WatchingProtocol(self.inner, self.transport, ParserSettings(), self.lifetime, self.idle)


def on_a_loop(test: Callable[[], None]) -> None:
    async def run() -> None:
        test()

    run_task(run())


WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab"
CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def exchanged(setup: Setup, response: bytes = WHOLE) -> None:
    """One exchange, whose response arrives."""
    setup.made.begin("GET")
    if response:
        setup.made.data_received(response)
    content: Any = Content()
    setup.made.content = content
    setup.made.end()


def _no_socket(setup: Setup) -> None:
    setup.transport.socket = None


def _closed_socket(setup: Setup) -> None:
    setup.transport.socket = SimpleNamespace(fileno=lambda: -1)


def _closing(setup: Setup) -> None:
    setup.transport.closing = True


def _must_close(setup: Setup) -> None:
    setup.inner.should_close = True


def _gone(setup: Setup) -> None:
    setup.made.transport = None


def _retired(setup: Setup) -> None:
    setup.lifetime.retire()


def _idle_for_long(setup: Setup) -> None:
    setup.made.idle_since -= 61.0


@pytest.mark.parametrize(
    "spoil", [None, _no_socket, _closed_socket, _closing, _must_close, _gone, _retired, _idle_for_long]
)
@pytest.mark.parametrize("is_readable", [False, True])
def test_only_an_intact_connection_is_used_again(
    spoil: Callable[[Setup], None] | None, is_readable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any single fault is enough, and so is a byte that has arrived."""
    monkeypatch.setattr(connector, "is_readable", lambda sock: is_readable)

    def test() -> None:
        setup = Setup()
        exchanged(setup)
        if spoil is not None:
            spoil(setup)
        assert setup.made.is_reusable() is (spoil is None and not is_readable)

    on_a_loop(test)


def _last_request(setup: Setup) -> None:
    setup.lifetime.max_requests = 1


def _buffered(setup: Setup) -> None:
    setup.transport.buffered = 1


@each_row(
    ("spoil", "response", "is_kept"),
    [
        (None, WHOLE, True),
        (_last_request, WHOLE, False),
        (_must_close, WHOLE, False),
        (_buffered, WHOLE, False),
        (None, b"", False),
        (None, WHOLE[:-1], False),
        (None, b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", False),
        (None, CHUNKS + b"0\r\n\r\n", True),
    ],
)
def test_a_connection_is_kept_after_a_whole_exchange(
    spoil: Callable[[Setup], None] | None, response: bytes, is_kept: bool
) -> None:
    """Else it is closed at once: `close` would wait for an upload that the server does not read."""

    def test() -> None:
        setup = Setup()
        if spoil is not None:
            spoil(setup)
        exchanged(setup, response)
        assert (len(setup.idle), setup.transport.is_aborted) == ((1, False) if is_kept else (0, True))
        assert setup.inner.should_close is not is_kept
        assert (setup.made.served, setup.made.is_idle, setup.made.content) == (1, True, None)
        setup.made.begin("GET")
        assert (len(setup.idle), setup.made.is_idle) == (0, False)
        assert setup.made.busy_since >= setup.made.idle_since

    on_a_loop(test)


def test_a_forked_child_closes_the_socket_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """To abort it would take it from the parent's loop."""
    closed: list[Any] = []
    monkeypatch.setattr(connector, "close_socket", closed.append)

    def test() -> None:
        setup = Setup()
        setup.made._pid = -1
        exchanged(setup)
        assert closed == [setup.transport]
        assert (len(setup.idle), setup.transport.is_aborted) == (0, False)

    on_a_loop(test)


def test_the_response_is_written_out_for_aiohttp() -> None:
    """In a form with one reading; the chunks are new ones, and a reason that is no ASCII is UTF-8."""

    def test() -> None:
        setup = Setup()
        setup.made.begin("GET")
        for piece in (b"HTTP/1.0 200 \xc3\xbc\r\n", b"X:  1 \r\nContent-Length: 2\r\n\r\na", bytearray(b"b")):
            setup.made.data_received(piece)  # type: ignore[arg-type]  # a proactor passes a bytearray
        head = b"HTTP/1.1 200 \xc3\xbc\r\nX: 1\r\nContent-Length: 2\r\n\r\n"
        assert setup.inner.calls == [head, b"a", b"b"]
        other = Setup()
        other.made.begin("GET")
        other.made.data_received(CHUNKS + b"11;x=y\r\n" + b"c" * 17 + b"\r\n0\r\nTrailer: 1\r\n\r\n")
        assert b"".join(other.inner.calls[1:]) == b"11\r\n" + b"c" * 17 + b"\r\n0\r\n\r\n"

    on_a_loop(test)


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 304), ("GET", 204)])
def test_a_response_without_a_body_is_written_as_its_head_alone(method: str, status: int) -> None:
    """Whatever framing it announces: aiohttp would take a last chunk for the next response."""

    def test() -> None:
        setup = Setup()
        setup.made.begin(method)
        setup.made.data_received(b"HTTP/1.1 %d \r\nTransfer-Encoding: chunked\r\n\r\n" % status)
        assert setup.inner.calls == [b"HTTP/1.1 %d \r\nTransfer-Encoding: chunked\r\n\r\n" % status]

    on_a_loop(test)


def test_a_server_may_announce_how_long_it_keeps_a_connection() -> None:
    """With the head of a response."""

    def test() -> None:
        setup = Setup()
        head = b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=9\r\nContent-Length: 0\r\n\r\n"
        exchanged(setup, head)
        assert setup.lifetime.max_idle == 8.0

    on_a_loop(test)


def test_bytes_outside_an_exchange_end_the_connection() -> None:
    """On an idle one at once; after a response, when its exchange is over."""

    def test() -> None:
        setup = Setup()
        setup.made.begin("GET")
        setup.made.data_received(WHOLE)
        setup.made.data_received(b"HTTP/1.1 200 OK\r\n")
        assert (setup.inner.should_close, setup.transport.is_aborted) == (True, False)
        idle = Setup()
        exchanged(idle)
        idle.made.data_received(b"x")
        assert idle.transport.is_aborted
        assert b"x" not in idle.inner.calls

    on_a_loop(test)


def test_a_fault_ends_the_body_for_its_reader() -> None:
    """aiohttp would let it wait; what comes after the fault is not read."""

    def test() -> None:
        setup = Setup()
        setup.made.begin("GET")
        setup.made.data_received(CHUNKS)
        assert len(setup.inner.calls) == 1  # the end is not written before it has come
        setup.made.content = content = Content()
        setup.made.data_received(b"zz\r\n")
        assert isinstance(content.error, aiohttp.ClientPayloadError)
        assert setup.made.fatal_error is not None
        assert setup.made.fatal_error.__traceback__ is None
        assert setup.transport.is_aborted
        before, fault = list(setup.inner.calls), setup.made.fatal_error
        setup.made.data_received(b"1\r\na\r\n")
        assert setup.inner.calls == before
        setup.made.connection_lost(ConnectionResetError())
        assert setup.made.fatal_error is fault

    on_a_loop(test)


def test_a_fault_that_aiohttp_finds_ends_the_body_too() -> None:
    """Its parser is stricter in development mode."""

    def test() -> None:
        setup = Setup()
        setup.made.begin("GET")
        setup.inner.error = ValueError()
        setup.made.content = content = Content()
        setup.made.data_received(CHUNKS)
        assert isinstance(content.error, aiohttp.ClientPayloadError)

    on_a_loop(test)


@each_row(
    ("arrived", "error", "fatal"),
    [
        (WHOLE, None, None),
        (WHOLE, ConnectionResetError(), ConnectionResetError),
        (WHOLE, ValueError(), None),
        (WHOLE[:-1], None, "cut"),
        (WHOLE[:-1], ConnectionResetError(), ConnectionResetError),
        (b"HTTP/1.1 200 OK\r\n\r\nab", None, None),  # ends with the connection
        (b"", None, None),
    ],
)
def test_the_end_of_a_connection_is_the_end_of_a_response(
    arrived: bytes, error: Exception | None, fatal: Any
) -> None:
    """Or cuts it short; the error of the socket is kept, and aiohttp hears of it."""

    def test() -> None:
        setup = Setup()
        setup.made.begin("GET")
        if arrived:
            setup.made.data_received(arrived)
        setup.made.connection_lost(error)
        found = setup.made.fatal_error
        assert (type(found).__name__ if found is not None else None) == (
            "CutShortError" if fatal == "cut" else None if fatal is None else fatal.__name__
        )
        assert setup.inner.calls[-1] == ("lost", error)
        assert setup.made.transport is None
        assert setup.transport.is_closed
        setup.made.abort()  # of a connection that is gone: nothing

    on_a_loop(test)


def test_the_end_of_a_connection_is_no_fault_of_an_exchange_that_is_over() -> None:
    """Its caller has left the rest of the body, and nobody waits for it."""

    def test() -> None:
        setup = Setup()
        exchanged(setup, WHOLE[:-1])
        setup.made.connection_lost(None)
        assert setup.made.fatal_error is None

    on_a_loop(test)


@pytest.mark.parametrize(("is_over", "has_failed"), [(False, False), (True, False), (False, True)])
def test_a_body_is_not_left_waiting_when_the_connection_goes(is_over: bool, has_failed: bool) -> None:
    """Unless it is complete; an error that it has already is not replaced."""

    def test() -> None:
        setup = Setup()
        setup.made.begin("GET")
        setup.made.content = content = Content(is_over=is_over)
        first = content.error = ValueError() if has_failed else None
        setup.made.connection_lost(None)
        if is_over or has_failed:
            assert content.error is first
        else:
            assert isinstance(content.error, aiohttp.ClientOSError)
            assert content.error.args == (errno.ECONNRESET, os.strerror(errno.ECONNRESET))

    on_a_loop(test)


def test_the_idle_are_closed_on_their_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was acquired meanwhile is left alone; without a loop its socket is closed."""
    closed: list[Any] = []
    monkeypatch.setattr(connector, "close_socket", closed.append)

    async def run() -> Setup:
        setup = Setup()
        exchanged(setup)
        setup.made._close_idle()
        setup.made.begin("GET")
        await asyncio.sleep(0)
        assert not setup.transport.is_aborted
        setup.made.is_idle = True
        setup.made._close_idle()
        await asyncio.sleep(0)
        assert setup.transport.is_aborted
        return setup

    setup = run_task(run())
    assert closed == []
    setup.made._close_idle()
    assert closed == [setup.transport]


def test_what_the_transport_says_goes_to_aiohttp() -> None:
    """Its flow control is that of the upload."""

    def test() -> None:
        setup = Setup()
        setup.made.pause_writing()
        setup.made.resume_writing()
        assert setup.made.eof_received() is True
        assert setup.inner.calls == ["pause", "resume", "eof"]

    on_a_loop(test)


def test_a_new_connection_was_never_idle() -> None:
    """So its failure says nothing about connections that were."""

    def check() -> None:
        made = Setup().made
        assert (made.idle_since, made.is_idle, made.way) == (0.0, False, ("", None))

    on_a_loop(check)


@pytest.mark.parametrize("buffered", [0, 1])
def test_an_error_after_the_end_of_the_response_says_nothing(buffered: int) -> None:
    """The server had sent all. What is left of an upload is given up, for it may never be read."""

    def check() -> None:
        setup = Setup()
        setup.made.begin("GET")
        setup.made.data_received(b"HTTP/1.1 200 OK\r\n\r\nab")
        setup.transport.buffered = buffered
        setup.made.eof_received()
        assert setup.transport.is_aborted is bool(buffered)
        setup.made.connection_lost(ConnectionResetError())
        assert setup.made.fatal_error is None
        assert setup.inner.calls[-1] == ("lost", None)

    on_a_loop(check)


@pytest.mark.parametrize(
    ("error", "is_idle", "is_read"),
    [(ConnectionResetError(), False, True), (ConnectionResetError(), True, False), (None, False, False)],
)
def test_what_arrived_before_an_error_is_read(
    error: Exception | None, is_idle: bool, is_read: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that refuses an upload responds, and closes at once."""
    monkeypatch.setattr(connector, "last_bytes", lambda transport: WHOLE)

    def check() -> None:
        setup = Setup()
        if is_idle:
            exchanged(setup)
        else:
            setup.made.begin("GET")
        before = len(setup.inner.calls)
        setup.made.connection_lost(error)
        assert (b"ab" in setup.inner.calls[before:]) is is_read
        assert not setup.transport.is_aborted
        assert len(setup.idle) == 0

    on_a_loop(check)


def test_a_tolerated_fault_is_reported() -> None:
    """The head has arrived by then."""
    tolerant = ParserSettings(tolerated=frozenset({"unknown-version"}))

    def test() -> None:
        setup, names = Setup(), list[str]()
        made = WatchingProtocol(setup.inner, setup.transport, tolerant, setup.lifetime, setup.idle)
        made.begin("GET")
        made.data_received(b"HTTP/3.0 204 No Content\r\n\r\n")
        made.report_faults(lambda rule: names.append(rule.name))
        assert names == ["unknown-version"]

    on_a_loop(test)

"""The limits of one exchange on a blocking connection, and of its waits, in virtual time."""

from __future__ import annotations

import errno
import os
import ssl
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import AttemptTimeoutError, HttpRequest, ReadTimeoutError, Timeout
from http_service_client.http.http1.framing import ParserSettings
from http_service_client.transports.failures import Phase, PhaseError
from http_service_client.transports.over_requests import connection, errors
from http_service_client.transports.over_requests.connection import SelfWaitingConnection
from http_service_client.transports.over_requests.exchange_timeouts import ExchangeTimeouts, seconds_left
from kit.connections import Socket, Waits, connected
from kit.fakes import URL
from kit.rows import each_row


def limits(timeouts: ExchangeTimeouts) -> tuple[float | None, ...]:
    return (
        timeouts.expires_at,
        timeouts.connect_expires_at,
        timeouts.read_within,
        timeouts.write_within,
    )


@each_row(
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

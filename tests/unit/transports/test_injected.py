"""Injected faults: each is what the wire would make, and a body is cut at its byte."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from typing import Any

import pytest

from http_service_client import (
    AttemptTimeoutError,
    ConfigurationError,
    ConnectError,
    ConnectionLostError,
    ConnectTimeoutError,
    HttpRequest,
    NameResolutionError,
    ProtocolError,
    ReadTimeoutError,
    SentState,
    Timeout,
    TlsError,
    TlsVerificationError,
    WriteTimeoutError,
)
from http_service_client.errors import Failure
from http_service_client.transports.injected import INJECTED_FAULTS, check_injectable
from kit.rows import each_row

REQUEST = HttpRequest("GET", "https://api.test/a")
TIMEOUT = Timeout(total=9.0, read=4.0, write=3.0)
NEVER, MAYBE = SentState.NEVER_SENT, SentState.MAYBE_PROCESSED


class Source:
    """A body in pieces."""

    def __init__(self, *pieces: bytes | Failure) -> None:
        self.pieces = [*pieces, b""]
        self.closed = 0
        self.timeouts: list[Timeout] = []

    def read(self, timeout: Timeout) -> bytes | Failure:
        self.timeouts.append(timeout)
        return self.pieces.pop(0)

    async def read_async(self, timeout: Timeout) -> bytes | Failure:
        return self.read(timeout)

    def close(self) -> None:
        self.closed += 1


def read(source: Any, form: str) -> list[bytes | Failure]:
    """All that is read, up to the end or a failure."""
    found: list[bytes | Failure] = []
    while True:
        data = source.read(TIMEOUT) if form == "blocking" else asyncio.run(source.read_async(TIMEOUT))
        if data == b"":
            return found
        found.append(data)
        if isinstance(data, Failure):
            return found
        assert isinstance(data, bytes)


FORMS = ["blocking", "asyncio"]


def words(found: list[bytes | Failure]) -> list[object]:
    return [each.message if isinstance(each, Failure) else each for each in found]


@each_row("form", FORMS)
@each_row(
    ("length", "share", "expected"),
    [
        (0, 0.5, ["after 0 bytes"]),
        (3, 0.5, [b"abc", "after 3 bytes"]),
        (4, 0.5, [b"abcd", "after 4 bytes"]),
        (6, 0.5, [b"abcd", b"ef", "after 6 bytes"]),
        (8, 0.5, [b"abcd", b"efgh", "after 8 bytes"]),
        (9, 0.5, [b"abcd", b"efgh"]),
        (None, 0.5, [b"ab", "after 2 bytes"]),
        (None, 0.1, ["after 0 bytes"]),
        (None, 0.99, [b"abc", "after 3 bytes"]),
    ],
)
def test_a_body_ends_at_its_byte(form: str, length: int | None, share: float, expected: list[Any]) -> None:
    """What comes before it arrives; then the connection is closed, and the failure says how much came."""
    source = Source(b"abcd", b"efgh")
    found = read(INJECTED_FAULTS.cut_source(source, REQUEST, length, share, lambda: True), form)
    shown = [each.rpartition("cut short ")[2] if isinstance(each, str) else each for each in words(found)]
    assert shown == expected
    assert source.closed == isinstance(found[-1], Failure)
    assert all(each is TIMEOUT for each in source.timeouts)


@pytest.mark.parametrize("form", FORMS)
def test_a_cut_that_is_taken_back_lets_the_rest_through(form: str) -> None:
    """In the middle of a piece, and between two."""
    for length in (2, 4):
        is_on = [True]
        source = Source(b"abcd", b"efgh")
        cut = INJECTED_FAULTS.cut_source(source, REQUEST, length, 0.5, lambda is_on=is_on: is_on[0])  # type: ignore[misc]
        if length == 2:
            is_on[0] = False
            assert read(cut, form) == [b"abcd", b"efgh"]
        else:
            first = cut.read(TIMEOUT)  # type: ignore[attr-defined]
            is_on[0] = False
            assert [first, *read(cut, form)] == [b"abcd", b"efgh"]
        assert source.closed == 0


@pytest.mark.parametrize("form", FORMS)
def test_a_real_failure_comes_first(form: str) -> None:
    """It is passed on as it is."""
    failure = Failure(ConnectionLostError, "lost", MAYBE)
    cut = INJECTED_FAULTS.cut_source(Source(b"ab", failure), REQUEST, 9, 0.5, lambda: True)
    assert read(cut, form) == [b"ab", failure]


def test_closing_it_closes_the_body() -> None:
    """Before its end, too."""
    source = Source(b"abcd")
    INJECTED_FAULTS.cut_source(source, REQUEST, 2, 0.5, lambda: True).close()
    assert source.closed == 1


@each_row(
    ("kind", "state", "message"),
    [
        (
            ConnectError,
            NEVER,
            "could not connect to https://api.test (ConnectionRefusedError: Connection refused)",
        ),
        (
            NameResolutionError,
            NEVER,
            "could not resolve the host name of https://api.test (gaierror: Name or service not known)",
        ),
        (ConnectTimeoutError, NEVER, "could not connect to https://api.test within the connect timeout"),
        (TlsError, NEVER, "the TLS handshake with https://api.test failed: SSLError"),
        (TlsVerificationError, NEVER, "the certificate of https://api.test could not be verified"),
        (
            ConnectionLostError,
            MAYBE,
            "the connection to https://api.test/a was lost (ConnectionResetError: Connection reset",
        ),
        (ReadTimeoutError, MAYBE, "timed out reading from https://api.test/a: nothing arrived for 4 s"),
        (
            WriteTimeoutError,
            MAYBE,
            "timed out sending the request to https://api.test/a: nothing was accepted for 3 s",
        ),
        (AttemptTimeoutError, MAYBE, "no complete response from https://api.test/a within 9 s"),
        (ProtocolError, MAYBE, "the response from https://api.test/a was cut short after 0 bytes"),
    ],
)
def test_each_error_has_the_words_of_the_wire(kind: Any, state: SentState, message: str) -> None:
    """From the table of the transports."""
    failure = INJECTED_FAULTS.failure(kind, REQUEST, TIMEOUT)
    assert (failure.error_type, failure.sent_state) == (kind, state)
    assert failure.message.startswith(message)


@each_row(
    ("kind", "cause"),
    [
        (ConnectError, ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))),
        (NameResolutionError, socket.gaierror(socket.EAI_NONAME, "Name or service not known")),
        (ConnectTimeoutError, TimeoutError()),
        (TlsError, ssl.SSLError(ssl.SSL_ERROR_SSL, "handshake failure")),
        (
            TlsVerificationError,
            ssl.SSLCertVerificationError(ssl.SSL_ERROR_SSL, "certificate verify failed"),
        ),
        (ConnectionLostError, ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))),
        (ReadTimeoutError, TimeoutError()),
        (WriteTimeoutError, TimeoutError()),
        (AttemptTimeoutError, TimeoutError()),
    ],
)
def test_each_error_has_the_cause_of_the_wire(kind: Any, cause: OSError) -> None:
    """With its number: code that looks at that gets what the system would say."""
    found: Any = INJECTED_FAULTS.failure(kind, REQUEST, TIMEOUT).cause
    assert (type(found), found.errno, found.strerror) == (type(cause), cause.errno, cause.strerror)


def test_what_is_cut_short_says_after_how_much() -> None:
    """Whatever the timeout is."""
    failure = INJECTED_FAULTS.cut_short(REQUEST, TIMEOUT, 7)
    assert failure.message == "the response from https://api.test/a was cut short after 7 bytes"
    assert (failure.error_type, failure.sent_state) == (ProtocolError, MAYBE)


def test_only_what_an_exchange_ends_with_can_be_injected() -> None:
    """The message has the class, and those that can."""
    check_injectable([ConnectError, ProtocolError])
    with pytest.raises(ConfigurationError, match=r"errors has OSError, .* ConnectError, NameResolutionError"):
        check_injectable([ConnectError, OSError])

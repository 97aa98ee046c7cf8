"""A blocking connection that listens while it sends: what stops an upload, and how the connection ends."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from typing import Any

import pytest

from http_service_client.transports.over_requests import pool
from http_service_client.transports.over_requests.aborts import OpenConnections
from http_service_client.transports.over_requests.connection import Connection
from http_service_client.transports.over_requests.exchange_timeouts import ExchangeTimeouts
from kit.connections import Socket, Waits, connected
from kit.rows import each_row


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


@each_row(
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

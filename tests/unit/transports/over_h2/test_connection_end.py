"""The end of an HTTP/2 connection: GOAWAY, losses, the last stream, and what is said to whom."""

from __future__ import annotations

import os
import socket
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

pytest.importorskip("h2", reason="the extra http2 is not installed")

from h2.errors import ErrorCodes

from http_service_client.transports.lifetime import Lifetime
from http_service_client.transports.over_h2.stream import Http1RequiredError, NotProcessedError
from kit.http2_frames import FrameServer, data, failure, go_away, head, ping, reset

GONE = "the server closes the connection, and did not process this request"


@pytest.mark.parametrize(
    ("code", "debug", "words"),
    [
        (ErrorCodes.NO_ERROR, b"", "GOAWAY"),
        (ErrorCodes.NO_ERROR, b"bye", "GOAWAY, 'bye'"),
        (ErrorCodes.ENHANCE_YOUR_CALM, b"", "GOAWAY: ENHANCE_YOUR_CALM"),
        (ErrorCodes.ENHANCE_YOUR_CALM, b"too_many_pings", "GOAWAY: ENHANCE_YOUR_CALM, 'too_many_pings'"),
        (0xBEEF, b"", "GOAWAY: error code 48879"),
        (ErrorCodes.NO_ERROR, b"\xff", "GOAWAY, '\ufffd'"),
        (ErrorCodes.NO_ERROR, b"x" * 200, f"GOAWAY, '{'x' * 200}'"),
        (ErrorCodes.NO_ERROR, b"x" * 201, f"GOAWAY, '{'x' * 196} ...'"),
    ],
)
def test_what_a_goaway_says_is_in_the_errors(
    server: FrameServer, code: int, debug: bytes, words: str
) -> None:
    """Of the streams that it does not process, and of all others if it accuses this side."""
    one, other = server.open(), server.open()
    waiter = server.waiting(other)
    server.says(go_away(1, code, debug))
    assert waiter.done()
    assert failure(other) == (NotProcessedError, f"{GONE} ({words})")
    assert one.error is None
    server.connection.connection_lost(None)
    if code == ErrorCodes.NO_ERROR:
        assert failure(one) == (ConnectionResetError, "the connection was closed")
    else:
        assert failure(one) == (ConnectionError, f"the server closed the connection ({words})")


@pytest.mark.parametrize("last", [0, 1, 3, 2**31 - 1])
def test_a_goaway_names_the_last_stream_that_is_processed(server: FrameServer, last: int) -> None:
    """The others go on, and the connection closes after the last one (RFC 9113, 6.8)."""
    streams = [server.open() for _ in range(3)]
    server.sent()
    server.says(go_away(last))
    left = [stream for stream in streams if stream.id <= last]
    assert [stream for stream in streams if stream.error is None] == left
    assert not server.connection.may_open_stream()
    for stream in left:
        assert server.ended == []
        server.says(head(stream.id), data(stream.id, b"ok", ends=True))
        assert server.connection.take(stream) == b"ok"
        server.connection.release(stream)
    assert server.ended == [server.connection]
    assert server.idle == []
    assert server.sent()[-1] == "GOAWAY 0 NO_ERROR"


def test_a_stream_that_is_being_answered_is_processed(server: FrameServer) -> None:
    """Whatever number a GOAWAY names."""
    stream = server.open()
    server.says(head(1), go_away(0))
    assert stream.error is None
    server.says(data(1, b"ok", ends=True))
    assert stream.is_complete


def test_a_goaway_that_requires_http1_says_so_to_each_stream(server: FrameServer) -> None:
    """RFC 9113, 7."""
    stream = server.open()
    server.says(go_away(0, ErrorCodes.HTTP_1_1_REQUIRED))
    assert failure(stream) == (
        Http1RequiredError,
        "the server did not process this request, and requires HTTP/1.1 for it (HTTP_1_1_REQUIRED)",
    )


def test_a_goaway_on_an_idle_connection_ends_it(server: FrameServer) -> None:
    """Nothing is left to wait for. What follows in the same read is still read."""
    server.says(go_away(0), ping())
    assert server.sent() == ["PING 0 ACK", "GOAWAY 0 NO_ERROR"]
    assert server.ended == [server.connection]
    assert server.wire.is_aborted


@pytest.mark.parametrize("is_draining", [False, True])
@pytest.mark.parametrize("limit", [10, 1])
def test_a_connection_says_once_that_it_is_idle_or_has_ended(is_draining: bool, limit: int) -> None:
    """When the last stream has ended; and it is closed if no other may follow."""
    server = FrameServer(lifetime=Lifetime(60, limit, None))
    streams = [server.open() for _ in range(2)]
    if is_draining:
        server.connection.drain()
    server.connection.idle_since = 0.0
    for stream in streams:
        assert (server.idle, server.ended) == ([], [])
        server.says(head(stream.id, ends=True))
        for _ in range(2):
            server.connection.release(stream)
    ends = is_draining or limit == 1
    assert (server.idle, server.ended) == (([], [server.connection]) if ends else ([server.connection], []))
    assert server.connection.idle_since > 0.0


@pytest.mark.parametrize(
    ("is_complete", "is_sent", "has_failed", "is_reset"),
    [
        (True, True, False, False),
        (True, False, False, True),
        (False, True, False, True),
        (False, False, False, True),
        (False, True, True, False),
    ],
    ids=["over", "answered before the end of the request", "not answered", "in the middle of both", "failed"],
)
def test_a_stream_that_is_left_is_reset_once(
    server: FrameServer, is_complete: bool, is_sent: bool, has_failed: bool, is_reset: bool
) -> None:
    """The server may stop working on it. One that is over for both sides needs no word more."""
    stream = server.open("POST", ends=is_sent)
    if is_complete:
        server.says(head(1, ends=True))
    if has_failed:
        server.says(reset(1))
    server.sent()
    for _ in range(2):
        server.connection.release(stream)
    assert server.sent() == ["RST_STREAM 1 CANCEL"] * is_reset
    assert server.idle == [server.connection]


def close(server: FrameServer) -> None:
    server.connection.close()


def lose(server: FrameServer) -> None:
    server.connection.connection_lost(None)


def lose_by_an_error(server: FrameServer) -> None:
    server.connection.connection_lost(BrokenPipeError(32, "Broken pipe"))


def lose_by_a_bug(server: FrameServer) -> None:
    server.connection.connection_lost(MemoryError())


@pytest.mark.parametrize(
    ("end", "error", "told"),
    [
        (close, (ConnectionResetError, "the connection was closed on this side"), ["GOAWAY 0 NO_ERROR"]),
        (lose, (ConnectionResetError, "the connection was closed"), []),
        (lose_by_an_error, (BrokenPipeError, "[Errno 32] Broken pipe"), []),
        (lose_by_a_bug, (ConnectionResetError, "the connection was closed"), []),
    ],
)
def test_the_end_of_a_connection_is_that_of_its_streams(
    server: FrameServer, end: Any, error: tuple[type[Exception], str], told: list[str]
) -> None:
    """Once, and those that are complete already are not lost. Releasing them says nothing more."""
    over, stream = server.open(), server.open("POST", ends=False)
    server.says(head(1, ends=True))
    server.sent()
    waiter = server.waiting(stream)
    end(server)
    assert waiter.done()
    assert failure(stream) == error
    assert (over.is_complete, over.error) == (True, None)
    assert server.connection.error is stream.error
    assert server.sent() == told
    assert server.wire.is_aborted
    close(server)
    lose(server)
    for each in (over, stream):
        server.connection.release(each)
    assert server.connection.error is stream.error
    assert (server.sent(), server.ended, server.idle) == ([], [server.connection], [])


def test_the_pool_forgets_a_connection_before_its_streams_fail(server: FrameServer) -> None:
    """A call that begins at once must not get it."""
    stream = server.open()
    seen: list[object] = []
    server.connection._on_end = lambda connection: seen.append(stream.error)
    server.connection.close()
    assert seen == [None]


@pytest.mark.parametrize("is_idle", [True, False])
@pytest.mark.parametrize("how", ["close_if_idle", "drain"])
def test_an_idle_connection_is_closed_at_once(server: FrameServer, is_idle: bool, how: str) -> None:
    """Another after its streams, if it is drained."""
    if not is_idle:
        server.open()
    server.sent()
    getattr(server.connection, how)()
    assert server.ended == [server.connection] * is_idle
    assert server.sent() == ["GOAWAY 0 NO_ERROR"] * is_idle
    assert server.connection.is_open is (not is_idle and how == "close_if_idle")


def test_the_session_of_tls_is_kept_once(server: FrameServer) -> None:
    kept = Mock()
    server.connection.keep_session()
    server.connection.resumption = SimpleNamespace(keep=kept)  # type: ignore[assignment]
    for _ in range(2):
        server.connection.keep_session()
    kept.assert_called_once_with()
    assert server.connection.resumption is None


def test_a_forked_child_leaves_the_connection_to_its_parent(
    server: FrameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It sends nothing, and closes its own copy of the socket, not the parent's place in the selector."""
    stream = server.open()
    server.sent()
    with socket.socket() as sock:
        server.wire._sock = sock  # type: ignore[attr-defined]  # as asyncio's has it
        monkeypatch.setattr(os, "getpid", lambda: 0)
        server.connection.close()
        assert sock.fileno() == -1
    assert failure(stream)[0] is ConnectionResetError
    assert (server.sent(), server.wire.is_aborted) == ([], False)


def test_a_transport_that_is_closing_gets_no_write(server: FrameServer) -> None:
    """asyncio would log each of them."""
    server.open()
    server.sent()
    server.wire.closes = True
    server.says(ping())
    assert server.sent() == []

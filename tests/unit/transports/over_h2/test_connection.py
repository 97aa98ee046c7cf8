"""One HTTP/2 connection, frame by frame: how it begins, its streams, and what a server may set."""

from __future__ import annotations

import socket
from unittest.mock import Mock

import pytest

pytest.importorskip("h2", reason="the extra http2 is not installed")

from h2.settings import SettingCodes

from http_service_client.http.http1.framing import ParserSettings
from http_service_client.transports.lifetime import Lifetime
from http_service_client.transports.over_h2.connection import Http2Connection
from http_service_client.transports.over_h2.stream import NotProcessedError
from kit.http2_frames import FIRST_WINDOW, FRAME, WINDOW, FrameServer, head, ping, settings, settings_of

# The beginning.


def test_the_first_bytes_are_the_preface_the_settings_and_a_window() -> None:
    """No push, a megabyte for each stream and 16 for all, heads as large as over HTTP/1.1 (RFC 9113, 3.4)."""
    server = FrameServer(limits=ParserSettings(size=10_000), begins=False)
    assert server.wire.written.startswith(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    first, second = server.frames()
    assert settings_of(first) == {
        "HEADER_TABLE_SIZE": 4096,
        "ENABLE_PUSH": 0,
        "INITIAL_WINDOW_SIZE": WINDOW,
        "MAX_FRAME_SIZE": FRAME,
        "ENABLE_CONNECT_PROTOCOL": 0,
        "MAX_HEADER_LIST_SIZE": 40_000,
    }
    assert (second.stream_id, second.window_increment) == (0, 16 * WINDOW - FIRST_WINDOW)
    assert server.connection.speaks_http2
    assert server.connection.is_idle


@pytest.mark.parametrize("protocol", ["http/1.1", None])
def test_a_server_that_does_not_agree_gets_and_says_nothing(protocol: str | None) -> None:
    """What it sends is not HTTP/2, and the connection is closed unused."""
    server = FrameServer(protocol=protocol, begins=False)
    server.says(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert not server.connection.speaks_http2
    assert (server.wire.written, server.ended, server.connection.error) == (b"", [], None)


def test_a_connection_that_is_not_made_yet_takes_no_stream() -> None:
    """During the TLS handshake."""
    connection = Http2Connection(Mock(), ParserSettings(), Lifetime(60, 10, None), Mock(), Mock())
    assert (connection.speaks_http2, connection.transport) == (False, None)
    assert not connection.is_open
    assert not connection.may_open_stream()
    connection.connection_lost(None)
    assert isinstance(connection.error, ConnectionResetError)


# Streams.


def test_each_request_has_a_stream_of_its_own(server: FrameServer) -> None:
    """Odd numbers, in their order (RFC 9113, 5.1.1)."""
    streams = [server.open(), server.open("POST", ends=False), server.open()]
    assert [stream.id for stream in streams] == [1, 3, 5]
    assert [stream.is_sent for stream in streams] == [True, False, True]
    assert [stream.method for stream in streams] == ["GET", "POST", "GET"]
    assert server.sent() == ["HEADERS 1 end", "HEADERS 3", "HEADERS 5 end"]
    assert server.connection.opened == 3
    assert not server.connection.is_idle


@pytest.mark.parametrize("most", [None, 0, 1, 3, 200])
def test_a_server_allows_so_many_streams_at_a_time(most: int | None) -> None:
    """100 until it has said so (RFC 9113, 6.5.2). One that has ended makes room for another."""
    server = FrameServer(lifetime=Lifetime(60, 1000, None), begins=False)
    if most is not None:
        server.says(settings({SettingCodes.MAX_CONCURRENT_STREAMS: most}))
    streams = []
    while server.connection.may_open_stream():
        streams.append(server.open())
    assert len(streams) == (100 if most is None else most)
    if streams:
        server.connection.release(streams[0])
        assert server.connection.may_open_stream()


def test_a_server_that_names_no_number_allows_any(server: FrameServer) -> None:
    """Once it has sent its settings."""
    server = FrameServer(lifetime=Lifetime(60, 1000, None))
    for _ in range(101):
        assert server.connection.may_open_stream()
        server.open()


@pytest.mark.parametrize("ends", ["drained", "closed", "the transport is closing"])
def test_a_connection_that_ends_gets_no_stream(server: FrameServer, ends: str) -> None:
    """Its loss may be reported in a later step of the loop."""
    server.open()
    assert server.connection.is_open
    if ends == "drained":
        server.connection.drain()
    elif ends == "closed":
        server.connection.close()
    else:
        server.wire.closes = True
    assert not server.connection.is_open
    assert not server.connection.may_open_stream()


@pytest.mark.parametrize(
    ("opened", "in_use", "idle_for", "is_kept"),
    [
        (0, 0, 99.0, True),
        (1, 0, 59.0, True),
        (1, 0, 61.0, False),
        (1, 1, 61.0, True),
        (9, 1, 0.0, True),
        (10, 1, 0.0, False),
        (10, 0, 0.0, False),
    ],
    ids=[
        "a new one waits for its first call",
        "not idle for long",
        "idle for too long",
        "in use",
        "one more request",
        "all requests, in use",
        "all requests",
    ],
)
def test_the_lifetime_of_a_connection(
    server: FrameServer, opened: int, in_use: int, idle_for: float, is_kept: bool
) -> None:
    """60 seconds idle, and ten requests."""
    connection = server.connection
    streams = [server.open() for _ in range(opened)]
    for stream in streams[in_use:]:
        server.says(head(stream.id, ends=True))
        connection.release(stream)
    connection.idle_since -= idle_for
    assert connection.may_be_kept() is is_kept
    assert connection.may_open_stream() is (is_kept and connection.is_open)


def test_a_new_connection_has_been_idle_since_it_was_made() -> None:
    """By the clock of lifetimes."""
    server = FrameServer()
    assert server.connection.lifetime.allows(server.connection.idle_since)


def test_a_connection_whose_numbers_are_used_up_is_drained(server: FrameServer) -> None:
    """2^30 requests (RFC 9113, 5.1.1): the call goes to another connection."""
    server.connection._h2.highest_outbound_stream_id = 2**31 - 1
    with pytest.raises(NotProcessedError, match=r"^the connection has no stream left$") as caught:
        server.open()
    assert caught.value.__cause__ is None
    assert not server.connection.is_open
    assert server.sent() == ["GOAWAY 0 NO_ERROR"]
    assert server.connection.opened == 0


@pytest.mark.parametrize(
    ("state", "has_news"),
    [("no socket", False), ("closed socket", False), ("nothing", False), ("bytes", True), ("the end", True)],
)
def test_news_are_bytes_or_the_end(server: FrameServer, state: str, has_news: bool) -> None:
    """In the socket, where the loop has not read them yet."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        if state != "no socket":
            server.wire.extra["socket"] = ours
        if state == "closed socket":
            ours.close()
        elif state == "bytes":
            theirs.send(b"x")
        elif state == "the end":
            theirs.close()
        assert server.connection.has_news() is has_news


# What the server may set.


def test_the_table_of_known_fields_stays_small(server: FrameServer) -> None:
    """A server may offer any size, and would fill this side's memory. It gets the smaller one."""
    sizes = {}
    for offered in (0, 100, 4096, 4097, 2**32 - 1):
        server = FrameServer()
        server.says(settings({SettingCodes.HEADER_TABLE_SIZE: offered}))
        sizes[offered] = server.connection._h2.encoder.header_table_size
    assert sizes == {0: 0, 100: 100, 4096: 4096, 4097: 4096, 2**32 - 1: 4096}


def test_each_change_of_the_table_is_said_to_the_server(server: FrameServer) -> None:
    """At the front of the next head (RFC 7541, 6.3), or its table would have other fields than this side's."""
    for size, said in ((100, True), (4096, True), (4096, False), (10_000, True)):
        server.says(settings({SettingCodes.HEADER_TABLE_SIZE: size}))
        server.sent()
        server.open()
        (frame,) = server.frames()
        assert (frame.data[0] >> 5 == 1) is said


@pytest.mark.parametrize("received", [ping(), settings()], ids=["PING", "SETTINGS"])
def test_what_must_be_acknowledged_is(server: FrameServer, received: bytes) -> None:
    """RFC 9113, 6.5.3 and 6.7."""
    server.says(received)
    (answer,) = server.sent()
    assert answer in ("PING 0 ACK", "SETTINGS 0 ACK")
    server.says(bytes([0, 0, 0, 0xBB, 0, 0, 0, 0, 0]))  # a type that nobody knows (5.5)
    assert server.sent() == []
    assert server.connection.is_open

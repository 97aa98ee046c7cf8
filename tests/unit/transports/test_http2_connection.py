"""One HTTP/2 connection, frame by frame: what it sends, what each frame of the server does, and how it ends."""

from __future__ import annotations

import os
import socket
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

pytest.importorskip("h2", reason="the extra http2 is not installed")

from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from http_service_client.http.http1.errors import CutShortError, NotHttpError
from http_service_client.http.http1.framing import ParserSettings
from http_service_client.transports.lifetime import Lifetime
from http_service_client.transports.over_h2.connection import Http2Connection
from http_service_client.transports.over_h2.frames import FloodError
from http_service_client.transports.over_h2.stream import Http1RequiredError, Http2Stream, NotProcessedError
from kit.http2_frames import (
    FrameServer,
    data,
    go_away,
    head,
    ping,
    reset,
    settings,
    settings_of,
    trailers,
    window,
)

WINDOW = 1024 * 1024  # bytes, of a stream of a response
FIRST_WINDOW = 65_535  # bytes, of a server that has set none (RFC 9113, 6.9.2)
FRAME = 16_384  # bytes, the most in one frame (RFC 9113, 4.2)


@pytest.fixture
def server() -> FrameServer:
    return FrameServer()


def failure(stream: Http2Stream) -> tuple[type[Exception], str]:
    """What ended a stream."""
    assert stream.error is not None
    return type(stream.error), str(stream.error)


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


# The body of a request.


def upload(server: FrameServer, stream: Http2Stream) -> int:
    """Send as much as there is room for. Returns the number of bytes."""
    size = 0
    while room := server.connection.room_for(stream):
        server.connection.send(stream, b"x" * room)
        size += room
        assert size < 2**24, "the windows stay open"
    return size


@pytest.mark.parametrize(
    ("values", "size"),
    [
        ({}, FIRST_WINDOW),
        ({SettingCodes.INITIAL_WINDOW_SIZE: 100}, 100),
        ({SettingCodes.INITIAL_WINDOW_SIZE: 10**6}, FIRST_WINDOW),  # that of the connection
        ({SettingCodes.MAX_FRAME_SIZE: 2**20}, FIRST_WINDOW),
    ],
)
def test_a_body_is_sent_as_far_as_the_windows_allow(
    server: FrameServer, values: dict[SettingCodes, int], size: int
) -> None:
    """That of its stream, and that of the connection, in frames that the server accepts (RFC 9113, 6.9)."""
    server.says(settings(values))
    stream = server.open("POST", ends=False)
    server.sent()
    assert upload(server, stream) == size
    most = values.get(SettingCodes.MAX_FRAME_SIZE, FRAME)
    sizes = [len(frame.data) for frame in server.frames()]
    assert sum(sizes) == size
    assert sizes == [most] * (size // most) + [size % most]


def test_each_window_that_is_opened_lets_more_out(server: FrameServer) -> None:
    """And wakes who waits for it: the stream's own that stream, the connection's all of them."""
    one, other = (server.open("POST", ends=False) for _ in range(2))
    assert upload(server, one) == FIRST_WINDOW
    waiters = [server.waiting(stream) for stream in (one, other)]
    server.says(window(one.id, 7))
    assert [waiter.done() for waiter in waiters] == [True, False]
    assert upload(server, one) == 0
    waiters = [server.waiting(stream) for stream in (one, other)]
    server.says(window(0, 5))
    assert [waiter.done() for waiter in waiters] == [True, True]
    assert (upload(server, one), upload(server, other)) == (5, 0)
    waiters = [server.waiting(stream) for stream in (one, other)]
    server.says(settings({SettingCodes.INITIAL_WINDOW_SIZE: FIRST_WINDOW + 50}))
    assert [waiter.done() for waiter in waiters] == [True, True]
    server.says(window(0, 100))
    assert (upload(server, one), upload(server, other)) == (52, 48)


def test_a_window_of_a_stream_that_was_released_wakes_nobody(server: FrameServer) -> None:
    """The server sent it before the reset reached it."""
    stream, other = (server.open("POST", ends=False) for _ in range(2))
    server.connection.release(stream)
    waiter = server.waiting(other)
    server.says(window(stream.id, 7))
    assert not waiter.done()
    assert server.connection.error is None


def test_the_end_of_a_body_is_said_once_it_is_sent(server: FrameServer) -> None:
    """With the last bytes, or after them."""
    one, other = (server.open("POST", ends=False) for _ in range(2))
    server.sent()
    server.connection.send(one, b"abc")
    assert not one.is_sent
    server.connection.send(one, b"", ends=True)
    server.connection.send(other, b"de", ends=True)
    assert (one.is_sent, other.is_sent) == (True, True)
    assert server.sent() == ["DATA 1 3", "DATA 1 0 end", "DATA 3 2 end"]


@pytest.mark.parametrize("state", ["full", "failed", "released", "the transport is closing"])
def test_there_is_no_room_where_nothing_should_be_sent(server: FrameServer, state: str) -> None:
    """A connection whose bytes wait in memory, and a stream that is over."""
    stream = server.open("POST", ends=False)
    server.open()
    assert server.connection.room_for(stream) == FRAME
    if state == "full":
        server.connection.pause_writing()
    elif state == "failed":
        stream.fail(ConnectionResetError())
    elif state == "released":
        server.connection.release(stream)
    else:
        server.wire.closes = True
    assert server.connection.room_for(stream) == 0


def test_a_connection_that_was_full_wakes_all_its_streams(server: FrameServer) -> None:
    """There is room again."""
    streams = [server.open("POST", ends=False) for _ in range(2)]
    server.connection.pause_writing()
    waiters = [server.waiting(stream) for stream in streams]
    server.connection.resume_writing()
    assert [waiter.done() for waiter in waiters] == [True, True]
    assert [server.connection.room_for(stream) for stream in streams] == [FRAME, FRAME]


# The body of a response.


def test_a_response_is_a_head_a_body_and_its_end(server: FrameServer) -> None:
    """Each wakes its own stream. Interim heads say nothing that is kept."""
    stream, other = server.open(), server.open()
    beside = server.waiting(other)
    server.says(head(1, 103, [("link", "</a>")]))
    assert stream.head is None
    waiter = server.waiting(stream)
    server.says(head(1, 201, [("x-id", "1")]))
    assert waiter.done()
    assert stream.head is not None
    assert (stream.head.status, stream.head.fields) == (201, [(b"x-id", b"1")])
    assert server.connection.take(stream) == b""
    waiter = server.waiting(stream)
    server.says(data(1, b"ab"), data(1, b"cd"))
    assert waiter.done()
    assert server.connection.take(stream) == b"abcd"
    assert server.connection.take(stream) == b""
    assert not stream.is_complete
    waiter = server.waiting(stream)
    server.says(data(1, b"e"), trailers(1))
    assert waiter.done()
    assert stream.is_complete
    assert server.connection.take(stream) == b"e"
    assert (stream.received, stream.error, beside.done()) == (5, None, False)


def test_an_end_without_data_is_noticed(server: FrameServer) -> None:
    """It comes alone. Empty data before it is none, and changes nothing."""
    stream = server.open()
    server.says(head(1))
    waiter = server.waiting(stream)
    server.says(data(1))
    assert (waiter.done(), stream.pieces) == (False, [])
    server.says(data(1, ends=True))
    assert (waiter.done(), stream.is_complete) == (True, True)


def test_the_windows_are_opened_as_data_arrives_and_as_it_is_read(server: FrameServer) -> None:
    """That of the connection at once; that of a stream once its reader has taken the data. Padding counts (6.1, 6.9.1)."""
    stream = server.open()
    server.sent()
    server.says(head(1), data(1, b"abc", padding=10), data(1, b"", padding=4))
    assert server.sent() == ["WINDOW_UPDATE 0 14", "WINDOW_UPDATE 0 5"]
    assert (stream.window_used, stream.received) == (19, 3)
    assert server.connection.take(stream) == b"abc"
    assert server.sent() == ["WINDOW_UPDATE 1 19"]
    assert stream.window_used == 0
    assert server.connection.take(stream) == b""
    assert server.sent() == []


def test_a_body_that_is_complete_opens_no_window(server: FrameServer) -> None:
    """Though the request may not be complete, so that the stream is open for this side."""
    stream = server.open("POST", ends=False)
    server.says(head(1), data(1, b"abc", ends=True))
    server.sent()
    assert server.connection.take(stream) == b"abc"
    assert server.sent() == []


@pytest.mark.parametrize("ends_by", ["a reset", "malformed trailers", "the end of the connection"])
@pytest.mark.parametrize("is_busy", [False, True])
def test_what_has_arrived_of_a_lost_stream_can_be_read(
    server: FrameServer, ends_by: str, is_busy: bool
) -> None:
    """No window is opened for it: h2 forgets it when another stream is opened."""
    stream = server.open("POST", ends=False)
    server.says(head(1), data(1, b"abc"))
    if ends_by == "a reset":
        server.says(reset(1))
    elif ends_by == "malformed trailers":
        server.says(trailers(1, [("X-A", "1")]))
    else:
        server.connection.close()
    assert stream.error is not None
    if is_busy and server.connection.is_open:
        server.open()
    server.sent()
    assert server.connection.take(stream) == b"abc"
    assert server.sent() == []


@pytest.mark.parametrize(
    ("arrived", "most", "is_opened"), [(3, 4, True), (3, 3, False), (4, 3, False), (0, 3, False)]
)
def test_a_response_may_arrive_while_the_request_is_sent(
    server: FrameServer, arrived: int, most: int, is_opened: bool
) -> None:
    """Up to a limit: its window is opened though nobody reads it yet, once for each byte."""
    stream = server.open("POST", ends=False)
    server.says(head(1), *[data(1, b"x" * arrived)] * bool(arrived))
    server.sent()
    for _ in range(2):
        server.connection.read_on(stream, most)
    assert server.sent() == [f"WINDOW_UPDATE 1 {arrived}"] * is_opened
    assert len(server.connection.take(stream)) == arrived
    assert server.sent() == [f"WINDOW_UPDATE 1 {arrived}"] * (not is_opened and arrived > 0)


@pytest.mark.parametrize("state", ["released", "reset"])
def test_a_stream_that_is_over_opens_no_window_during_the_upload(server: FrameServer, state: str) -> None:
    """The server would take it for an error."""
    stream = server.open("POST", ends=False)
    server.says(head(1), data(1, b"abc"), *[reset(1)] * (state == "reset"))
    if state == "released":
        server.connection.release(stream)
    server.sent()
    server.connection.read_on(stream, 99)
    assert server.sent() == []


@pytest.mark.parametrize(
    ("method", "status", "length", "sizes", "error"),
    [
        ("GET", 200, None, [3], None),
        ("GET", 200, 3, [3], None),
        ("GET", 200, 3, [1, 2], None),
        ("GET", 200, 0, [], None),
        ("GET", 200, 3, [4], "longer"),
        ("GET", 200, 3, [2, 2], "longer"),
        ("GET", 200, 0, [1], "longer"),
        ("GET", 200, 3, [2], 2),
        ("GET", 200, 3, [], 0),
        ("HEAD", 200, 3, [], None),
        ("HEAD", 200, None, [1], "longer"),
        ("GET", 304, 3, [], None),
        ("GET", 304, None, [1], "longer"),
        ("GET", 204, None, [], None),
        ("GET", 204, None, [1], "longer"),
    ],
)
def test_a_body_is_as_long_as_its_head_says(
    server: FrameServer,
    method: str,
    status: int,
    length: int | None,
    sizes: list[int],
    error: str | int | None,
) -> None:
    """Another length makes the response malformed (RFC 9113, 8.1.1). Data beyond it is not kept."""
    stream = server.open(method)
    server.sent()
    fields = [] if length is None else [("content-length", str(length))]
    waiter = server.waiting(stream)
    for frame in [head(1, status, fields), *(data(1, b"x" * size) for size in sizes)]:
        server.says(frame)
    if error != "longer":
        server.says(data(1, ends=True))
    assert waiter.done()
    told = [line for line in server.sent() if not line.startswith("WINDOW_UPDATE 0")]
    if error is None:
        assert (stream.is_complete, stream.error, told) == (True, None, [])
    elif error == "longer":
        assert failure(stream) == (
            NotHttpError,
            "its body is longer than its head allows (RFC 9113, 8.1.1)",
        )
        assert told == ["RST_STREAM 1 PROTOCOL_ERROR"]
        assert sum(map(len, stream.pieces)) <= (length or 0)
    else:
        assert isinstance(stream.error, CutShortError)
        assert (stream.error.offset, told) == (error, [])
    assert stream.is_complete is (error is None)


def test_padding_is_no_content(server: FrameServer) -> None:
    """A response to HEAD may have it."""
    stream = server.open("HEAD")
    server.says(head(1), data(1, padding=3))
    server.says(data(1, padding=3, ends=True))
    assert (stream.is_complete, stream.error) == (True, None)


def test_a_response_that_is_cut_short_ends_its_upload(server: FrameServer) -> None:
    """For the server, the stream would stay open, and count as one of those that it allows."""
    stream = server.open("POST", ends=False)
    server.sent()
    server.says(head(1, 200, [("content-length", "3")], ends=True))
    assert failure(stream)[0] is CutShortError
    assert server.sent() == ["RST_STREAM 1 PROTOCOL_ERROR"]


# Malformed responses.

LONG = 70_000  # bytes, more than a field may have


@pytest.mark.parametrize(
    ("received", "error"),
    [
        (head(1, "abc"), "a header name is not a token (invalid-header-name; RFC 9110, 5.1)"),
        (
            trailers(1, ends=False),
            "its status is not a number from 100 to 999 (invalid-status; RFC 9110, 15)",
        ),
        (head(1, 101), "its status is not a number from 100 to 999 (invalid-status; RFC 9110, 15)"),
        (head(1, 103, [("X-A", "1")]), "a header name is not a token (invalid-header-name; RFC 9110, 5.1)"),
        (
            head(1, 200, [("content-length", "x")]),
            "Content-Length is not a number of up to 18 digits (invalid-content-length; RFC 9110, 8.6)",
        ),
    ],
    ids=["status", "no status", "101", "interim head", "length"],
)
def test_a_malformed_head_ends_its_stream_alone(server: FrameServer, received: bytes, error: str) -> None:
    """RFC 9113, 8.1.1. What follows of it changes nothing."""
    stream, other = server.open(), server.open()
    server.sent()
    waiter = server.waiting(stream)
    server.says(received)
    assert waiter.done()
    assert failure(stream) == (NotHttpError, error)
    assert server.sent() == ["RST_STREAM 1 PROTOCOL_ERROR"]
    server.says(head(1, 103), data(1, b"x", ends=True), head(3, ends=True))
    assert failure(stream) == (NotHttpError, error)
    assert (stream.is_complete, stream.pieces, stream.received) == (False, [], 0)
    assert other.is_complete
    assert server.connection.is_open


@pytest.mark.parametrize("is_sent", [True, False])
def test_malformed_trailers_are_those_of_a_stream_that_is_over(server: FrameServer, is_sent: bool) -> None:
    """It is reset if the request is still being sent. The response is not complete."""
    stream = server.open("POST", ends=is_sent)
    server.sent()
    server.says(head(1), trailers(1, [("X-A", "1")]))
    assert failure(stream)[0] is NotHttpError
    assert not stream.is_complete
    assert server.sent() == ["RST_STREAM 1 PROTOCOL_ERROR"] * (not is_sent)


def test_interim_heads_have_a_limit_in_all() -> None:
    """A server can send any number of them: names and values count, as for one head."""
    server = FrameServer(limits=ParserSettings(size=30))
    one, other = server.open(), server.open()
    hint = [("link", "x" * 16)]  # with the status, 30 bytes
    server.says(*[head(1, 103, hint)] * 4, *[head(3, 103, hint)] * 3, head(3, 103, [("link", "x" * 17)]))
    assert (one.interim_size, one.error) == (120, None)
    assert failure(other) == (
        NotHttpError,
        "its headers are too large (head-too-large; RFC 9110, 5.4)",
    )
    server.says(head(1, ends=True))
    assert one.is_complete


@pytest.mark.parametrize(
    "received",
    [
        head(1, 103),
        head(1),
        head(1) + data(1, b"x"),
        head(1) + trailers(1),
        head(1, ends=True),
        reset(1),
        window(1, 5),
        head(1, 103, [("X-A", "1")]),
        head(1, 200, [("X-A", "1")]),
        go_away(3),
    ],
    ids=[
        "interim head", "head", "data", "trailers", "end", "reset", "window", "malformed interim head", "malformed head", "GOAWAY",
    ],
)  # fmt: skip
@pytest.mark.parametrize("is_sent", [True, False])
def test_what_arrives_for_a_stream_that_was_released_is_dropped(
    server: FrameServer, received: bytes, is_sent: bool
) -> None:
    """The server sent it before the reset reached it (RFC 9113, 5.1). The other streams go on."""
    stream, other = server.open("POST", ends=is_sent), server.open()
    server.connection.release(stream)
    server.says(received)
    server.says(head(3), data(3, b"ok", ends=True))
    assert server.connection.error is None
    assert (other.is_complete, server.connection.take(other)) == (True, b"ok")
    assert (stream.head, stream.error, stream.pieces) == (None, None, [])


@pytest.mark.parametrize(
    "received",
    [head(3, 103), head(3), head(3) + data(3, b"x"), head(3) + trailers(3), head(3, ends=True), reset(3)],
    ids=["interim head", "head", "data", "trailers", "end", "reset"],
)
def test_what_arrives_for_a_stream_that_goaway_has_ended_is_dropped(
    server: FrameServer, received: bytes
) -> None:
    """A server that says that it does not process a request, and responds to it."""
    stream, lost = server.open(), server.open()
    server.says(go_away(1), received)
    assert (failure(lost)[0], lost.head, lost.pieces) == (NotProcessedError, None, [])
    server.says(head(1), data(1, b"ok", ends=True))
    assert (stream.is_complete, server.connection.take(stream)) == (True, b"ok")


@pytest.mark.parametrize(
    "end", [data(1, ends=True), trailers(1), reset(1)], ids=["data", "trailers", "reset"]
)
def test_what_follows_a_malformed_head_in_the_same_read_changes_nothing(
    server: FrameServer, end: bytes
) -> None:
    """h2 has read it before this side resets the stream."""
    stream = server.open()
    server.says(head(1, 200, [("X-A", "1")]), data(1, b"abc"), end)
    assert failure(stream)[0] is NotHttpError
    assert (stream.head, stream.pieces, stream.received, stream.is_complete) == (None, [], 0, False)


def test_data_for_a_stream_that_was_released_uses_no_window_up(server: FrameServer) -> None:
    """That of the connection: sooner or later, nothing would arrive any more."""
    server.open()
    server.connection.release(server.open())
    server.sent()
    server.says(head(3), *[data(3, b"x" * FRAME)] * (15 * WINDOW // FRAME))
    opened = [line.split() for line in server.sent() if line.startswith("WINDOW_UPDATE 0")]
    assert sum(int(size) for *_, size in opened) >= 8 * WINDOW


def test_an_interim_head_after_a_fault_of_one_stream_ends_that_one(server: FrameServer) -> None:
    """It is h2 that has reset the stream: a window of more than 2^31 - 1 bytes."""
    stream, other = server.open(), server.open()
    server.says(window(1, 2**31 - 1))
    server.says(head(1, 103), head(3, ends=True))
    assert (failure(stream)[0], other.is_complete) == (NotHttpError, True)


# Streams that the server ends.


@pytest.mark.parametrize(
    ("before", "code", "error"),
    [
        (
            b"",
            ErrorCodes.REFUSED_STREAM,
            (NotProcessedError, "the server did not process this request (REFUSED_STREAM)"),
        ),
        (
            head(1),
            ErrorCodes.REFUSED_STREAM,
            (ConnectionError, "the server ended the stream: REFUSED_STREAM"),
        ),
        (
            b"",
            ErrorCodes.HTTP_1_1_REQUIRED,
            (
                Http1RequiredError,
                "the server did not process this request, and requires HTTP/1.1 for it (HTTP_1_1_REQUIRED)",
            ),
        ),
        (
            head(1),
            ErrorCodes.HTTP_1_1_REQUIRED,
            (ConnectionError, "the server ended the stream: HTTP_1_1_REQUIRED"),
        ),
        (b"", ErrorCodes.INTERNAL_ERROR, (ConnectionError, "the server ended the stream: INTERNAL_ERROR")),
        (b"", 0xBEEF, (ConnectionError, "the server ended the stream: error code 48879")),
        (head(1, ends=True), ErrorCodes.NO_ERROR, None),
        (head(1, ends=True), ErrorCodes.INTERNAL_ERROR, None),
    ],
)
@pytest.mark.parametrize("is_sent", [True, False])
def test_a_reset_of_the_server_ends_its_stream_alone(
    server: FrameServer, before: bytes, code: int, error: Any, is_sent: bool
) -> None:
    """Whether the request was processed is known by the code, if no response has begun (RFC 9113, 8.1 and 8.7)."""
    stream, other = server.open("POST", ends=is_sent), server.open()
    server.says(before)
    server.sent()
    server.says(reset(1, code))
    if error is None:
        assert (stream.is_complete, stream.error) == (True, None)
    else:
        assert failure(stream) == error
    server.connection.release(stream)
    assert server.sent() == []
    assert other.error is None
    assert server.connection.is_open


def test_a_rule_that_is_about_one_stream_ends_that_one(server: FrameServer) -> None:
    """A window of more than 2^31 - 1 bytes (RFC 9113, 6.9.1). It is this side that resets the stream."""
    stream, other = server.open(), server.open()
    server.sent()
    waiter = server.waiting(stream)
    server.says(window(1, 2**31 - 1))
    assert waiter.done()
    assert failure(stream) == (NotHttpError, "it breaks the rules of HTTP/2: FLOW_CONTROL_ERROR")
    assert server.sent() == ["RST_STREAM 1 FLOW_CONTROL_ERROR"]
    assert other.error is None


# GOAWAY.

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


# The end of the connection.


@pytest.mark.parametrize(
    ("received", "fault", "code"),
    [
        (data(1, b"x"), "cannot receive data before headers", "PROTOCOL_ERROR"),
        (bytes([0, 0, 4, 8, 0]) + bytes(8), "Received frame with non-compliant data", "PROTOCOL_ERROR"),
        (bytes([0, 0, 4, 5, 4, 0, 0, 0, 1, 0, 0, 0, 2]), "Received pushed stream", "PROTOCOL_ERROR"),
        (bytes([0, 0, 1, 0, 8, 0, 0, 0, 1, 5]), "Received frame with invalid padding.", "PROTOCOL_ERROR"),
        (window(0, 2**31 - 1), "May not increment flow control window past 2147483647", "FLOW_CONTROL_ERROR"),
        (bytes([0, 0, 4, 7, 0]) + bytes(8), "Frame data missing or invalid", "FRAME_SIZE_ERROR"),
    ],
    ids=[
        "data before a head",
        "window of nothing",
        "push",
        "padding",
        "window too large",
        "GOAWAY too short",
    ],
)
def test_frames_that_break_the_protocol_end_the_connection(
    server: FrameServer, received: bytes, fault: str, code: str
) -> None:
    """With all its streams (RFC 9113, 5.4.1). Nothing that follows is read."""
    check_broken(server, received, f"it breaks the rules of HTTP/2: {fault}", NotHttpError, code)


@pytest.mark.parametrize(
    ("received", "message", "error", "code"),
    [
        (
            bytes([0, 0x40, 1, 0, 0, 0, 0, 0, 1]),
            "a frame is larger than 16384 bytes (RFC 9113, 4.2)",
            NotHttpError,
            "FRAME_SIZE_ERROR",
        ),
        (ping() * 501, "it is a flood of frames that carry nothing", FloodError, "ENHANCE_YOUR_CALM"),
    ],
    ids=["large", "flood"],
)
def test_frames_that_cost_too_much_end_the_connection(
    server: FrameServer, received: bytes, message: str, error: type[Exception], code: str
) -> None:
    """Before they are worked on."""
    check_broken(server, received, message, error, code)


def check_broken(
    server: FrameServer, received: bytes, message: str, error: type[Exception], code: str
) -> None:
    streams = [server.open(), server.open()]
    server.sent()
    server.wire.waiting = 2 * WINDOW
    server.says(received)
    assert [failure(stream) for stream in streams] == [(error, message)] * 2
    assert server.connection.error is streams[0].error
    assert server.sent() == [f"GOAWAY 0 {code}"]
    assert server.ended == [server.connection]
    assert server.wire.is_aborted
    server.says(ping(), head(1))
    assert server.sent() == []
    assert streams[0].head is None
    assert server.connection.is_idle


@pytest.mark.parametrize(
    ("waiting", "is_full", "is_open"),
    [(WINDOW, True, True), (WINDOW + 1, True, False), (2 * WINDOW, False, True)],
    ids=["a megabyte", "more", "it is read again"],
)
def test_a_server_that_asks_and_does_not_read_loses_the_connection(
    server: FrameServer, waiting: int, is_full: bool, is_open: bool
) -> None:
    """What it asks for would wait in memory without limit."""
    stream = server.open()
    server.connection.pause_writing()
    if not is_full:
        server.connection.resume_writing()
    server.wire.waiting = waiting
    server.says(ping())
    assert server.connection.is_open is is_open
    if not is_open:
        assert failure(stream) == (ConnectionResetError, "the server does not read what it asks for")
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

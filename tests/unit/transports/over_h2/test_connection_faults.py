"""What a server does wrong on an HTTP/2 connection, and whether it ends a stream or the connection."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("h2", reason="the extra http2 is not installed")

from h2.errors import ErrorCodes

from http_service_client.http.http1.errors import NotHttpError
from http_service_client.http.http1.framing import ParserSettings
from http_service_client.transports.over_h2.frames import FloodError
from http_service_client.transports.over_h2.stream import Http1RequiredError, NotProcessedError
from kit.http2_frames import (
    FRAME,
    WINDOW,
    FrameServer,
    data,
    failure,
    go_away,
    head,
    ping,
    reset,
    trailers,
    window,
)

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


# Faults that end the connection.


@pytest.mark.parametrize(
    ("received", "fault", "code"),
    [
        (data(1, b"x"), "cannot receive data before headers", "PROTOCOL_ERROR"),
        (bytes([0, 0, 4, 8, 0]) + bytes(8), "Received frame with non-compliant data", "PROTOCOL_ERROR"),
        (bytes([0, 0, 4, 5, 4, 0, 0, 0, 1, 0, 0, 0, 2]), "Received pushed stream", "PROTOCOL_ERROR"),
        (bytes([0, 0, 1, 0, 8, 0, 0, 0, 1, 5]), "Received frame with invalid padding.", "PROTOCOL_ERROR"),
        (window(0, 2**31 - 1), "May not increment flow control window past 2147483647", "FLOW_CONTROL_ERROR"),
        (bytes([0, 0, 4, 7, 0]) + bytes(8), "Frame data missing or invalid", "FRAME_SIZE_ERROR"),
        (
            bytes([0, 0, 9, 1, 4, 0, 0, 0, 1]) + b"\xff" * 8 + b"\x7f",
            "Error decoding header block: Variable integer representation is too long",
            "PROTOCOL_ERROR",
        ),
    ],
    ids=[
        "data before a head",
        "window of nothing",
        "push",
        "padding",
        "window too large",
        "GOAWAY too short",
        "number too long",
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

"""Bodies over one HTTP/2 connection, frame by frame: the windows of requests and responses, and their lengths."""

from __future__ import annotations

import pytest

pytest.importorskip("h2", reason="the extra http2 is not installed")

from h2.settings import SettingCodes

from http_service_client.http.http1.errors import CutShortError, NotHttpError
from http_service_client.transports.over_h2.stream import Http2Stream
from kit.http2_frames import (
    FIRST_WINDOW,
    FRAME,
    FrameServer,
    data,
    failure,
    head,
    reset,
    settings,
    trailers,
    window,
)

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

"""One HTTP/2 connection in memory: the test is its server, frame by frame. There is no socket, no thread, and no waiting.

server = FrameServer()
stream = server.open()
server.says(head(stream.id), data(stream.id, b"ok", ends=True))
assert server.sent() == ["WINDOW_UPDATE 0 2"]
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hpack import Encoder
from hyperframe import frame as frames

from http_service_client.drivers.aio_timers import TimerWheel
from http_service_client.http.http1.framing import ParserSettings
from http_service_client.transports.lifetime import Lifetime
from http_service_client.transports.over_h2.connection import Http2Connection
from http_service_client.transports.over_h2.stream import Http2Stream

__all__ = [
    "FIRST_WINDOW",
    "FRAME",
    "REQUEST",
    "WINDOW",
    "FrameServer",
    "Wire",
    "data",
    "failure",
    "go_away",
    "head",
    "ping",
    "reset",
    "settings",
    "settings_of",
    "trailers",
    "window",
]

WINDOW = 1024 * 1024  # bytes, of a stream of a response
FIRST_WINDOW = 65_535  # bytes, of a server that has set none (RFC 9113, 6.9.2)
FRAME = 16_384  # bytes, the most in one frame (RFC 9113, 4.2)

REQUEST = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"a.test"), (b":path", b"/")]

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

Fields = Iterable[tuple[str, str]]


# What a server sends.


def settings(values: dict[SettingCodes, int] | None = None) -> bytes:
    """SETTINGS."""
    return frames.SettingsFrame(0, settings=dict(values or {})).serialize()


def head(stream_id: int, status: int | str = 200, fields: Fields = (), *, ends: bool = False) -> bytes:
    """HEADERS of a response."""
    return trailers(stream_id, [(":status", str(status)), *fields], ends=ends)


def trailers(stream_id: int, fields: Fields = (("x-sum", "1"),), *, ends: bool = True) -> bytes:
    """HEADERS with these fields."""
    frame = frames.HeadersFrame(stream_id, flags=["END_HEADERS", *["END_STREAM"] * ends])
    frame.data = Encoder().encode(list(fields))
    return frame.serialize()


def data(stream_id: int, content: bytes = b"", *, ends: bool = False, padding: int | None = None) -> bytes:
    """DATA.   padding: bytes of it, besides the one that says how many; None for none of both."""
    flags = [*["END_STREAM"] * ends, *["PADDED"] * (padding is not None)]
    return frames.DataFrame(stream_id, content, flags=flags, pad_length=padding or 0).serialize()


def reset(stream_id: int, code: int = ErrorCodes.CANCEL) -> bytes:
    """RST_STREAM."""
    return frames.RstStreamFrame(stream_id, error_code=code).serialize()


def go_away(last_stream_id: int, code: int = ErrorCodes.NO_ERROR, debug: bytes = b"") -> bytes:
    """GOAWAY."""
    return frames.GoAwayFrame(
        0, last_stream_id=last_stream_id, error_code=code, additional_data=debug
    ).serialize()


def window(stream_id: int, size: int) -> bytes:
    """WINDOW_UPDATE."""
    return frames.WindowUpdateFrame(stream_id, window_increment=size).serialize()


def ping() -> bytes:
    """PING."""
    return frames.PingFrame(0, opaque_data=b"12345678").serialize()


# What this side does.


class _Loop:
    """As much of an event loop as a connection uses.   now: its time, in seconds."""

    def __init__(self) -> None:
        self.now = 10.0

    def time(self) -> float:
        return self.now

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)  # type: ignore[arg-type]  # as much of one as a future uses

    def get_debug(self) -> bool:
        return False


class Wire:
    """A transport whose bytes stay here.

    protocol: that was agreed by ALPN; None without TLS.   waiting: bytes that the kernel has not accepted.
    """

    def __init__(self, protocol: str | None = "h2") -> None:
        self.written = b""
        self.waiting = 0
        self.is_aborted = False
        self.closes = False  # a write has failed
        self.extra: dict[str, Any] = {}
        if protocol is not None:
            self.extra["ssl_object"] = SimpleNamespace(selected_alpn_protocol=lambda: protocol)

    def get_extra_info(self, name: str) -> Any:
        return self.extra.get(name)

    def write(self, data: bytes) -> None:
        assert data, "an empty write"
        assert not self.closes, "a write to a transport that is closing"
        self.written += data

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def is_closing(self) -> bool:
        return self.closes or self.is_aborted

    def abort(self) -> None:
        self.is_aborted = True


class FrameServer:
    """A connection, and all that its server sees of it.

    connection: one that was made by other code; None for one of its own.
    protocol: agreed by ALPN; None without TLS.   begins: exchange the first SETTINGS, and read what was sent so far.
    idle, ended: the connection, each time that it has reported so.   loop: has the time `now`, which the test sets.
    """

    def __init__(
        self,
        *,
        limits: ParserSettings | None = None,
        lifetime: Lifetime | None = None,
        protocol: str | None = "h2",
        connection: Http2Connection | None = None,
        begins: bool = True,
    ) -> None:
        self.loop = _Loop()
        self.idle: list[Http2Connection] = []
        self.ended: list[Http2Connection] = []
        self.wire = Wire(protocol)
        self._read = 0
        self._waits: list[Any] = []
        self.connection = connection or Http2Connection(
            TimerWheel(self.loop),
            limits or ParserSettings(),
            lifetime or Lifetime(60, 10, None),
            self.idle.append,
            self.ended.append,
        )
        self.connection.connection_made(self.wire)
        if begins:
            self.says(settings())
            self.sent()

    def open(
        self, method: str = "GET", *, ends: bool = True, fields: list[tuple[bytes, bytes]] = REQUEST
    ) -> Http2Stream:
        """Send the head of a request.   ends: it has no body."""
        return self.connection.open_stream(fields, method, ends=ends)

    def says(self, *received: bytes) -> None:
        """These frames arrive, in one read."""
        self.connection.data_received(b"".join(received))

    def sent(self) -> list[str]:
        """What has been sent since the last time, a frame a line: its type, its stream, and what it says."""
        return [_words(frame) for frame in self.frames()]

    def frames(self) -> list[frames.Frame]:
        """The same, as frames."""
        data = self.wire.written[self._read :].removeprefix(_PREFACE)
        self._read = len(self.wire.written)
        found = []
        while data:
            frame, length = frames.Frame.parse_frame_header(memoryview(data)[:9])
            frame.parse_body(memoryview(data)[9 : 9 + length])
            found.append(frame)
            data = data[9 + length :]
        return found

    def waiting(self, stream: Http2Stream) -> asyncio.Future[object]:
        """What a task that waits for a change of this stream waits for: it is done once the stream was woken."""
        wait = stream.wait(None).__await__()
        waiter: asyncio.Future[object] = wait.send(None)
        self._waits.append(wait)  # or it would end here
        return waiter


def _words(frame: frames.Frame) -> str:
    name = _NAMES[type(frame)]
    says: Callable[[Any], object] = _SAYS.get(type(frame), lambda _: "")
    parts = [name, str(frame.stream_id), str(says(frame)), "end" if "END_STREAM" in frame.flags else ""]
    return " ".join(part for part in parts if part)


def settings_of(frame: frames.Frame) -> dict[str, int]:
    """The values of SETTINGS, by name."""
    return {SettingCodes(code).name: value for code, value in frame.settings.items()}


_NAMES = {
    frames.DataFrame: "DATA",
    frames.HeadersFrame: "HEADERS",
    frames.RstStreamFrame: "RST_STREAM",
    frames.SettingsFrame: "SETTINGS",
    frames.PingFrame: "PING",
    frames.GoAwayFrame: "GOAWAY",
    frames.WindowUpdateFrame: "WINDOW_UPDATE",
    frames.ContinuationFrame: "CONTINUATION",
}
_SAYS: dict[type, Callable[[Any], object]] = {
    frames.DataFrame: lambda frame: len(frame.data),
    frames.RstStreamFrame: lambda frame: ErrorCodes(frame.error_code).name,
    frames.SettingsFrame: lambda frame: "ACK" if "ACK" in frame.flags else settings_of(frame),
    frames.PingFrame: lambda frame: "ACK" if "ACK" in frame.flags else "",
    frames.GoAwayFrame: lambda frame: ErrorCodes(frame.error_code).name,
    frames.WindowUpdateFrame: lambda frame: frame.window_increment,
}


def failure(stream: Http2Stream) -> tuple[type[Exception], str]:
    """What ended a stream."""
    assert stream.error is not None
    return type(stream.error), str(stream.error)

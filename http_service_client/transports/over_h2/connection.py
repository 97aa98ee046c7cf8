"""One HTTP/2 connection on an event loop. h2 has the rules of frames and of states; this is the rest of RFC 9113.

    the server says                          what happens here
    GOAWAY                                   no new stream; those that it does not process fail with `NotProcessedError`;
                                             the others go on, and the connection closes after the last one (6.8)
    RST_STREAM with REFUSED_STREAM           `NotProcessedError` (8.7)
    either of them with HTTP_1_1_REQUIRED    `Http1RequiredError`, after which the origin goes over HTTP/1.1 (7)
    RST_STREAM with another code             the stream is lost; nothing, if its response was complete (8.1)
    a malformed response                     the stream is reset, the others go on (8.1.1)
    frames that break the protocol           the connection ends, with all its streams

A stream whose caller has left is reset: the server may stop working on it, and the other streams go on.

Flow control: the window of the connection is opened as data arrives, that of a stream as its data is read. So a reader
that is slow stops its own stream, and no other, and a stream takes at most `WINDOW` bytes of memory.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    InformationalResponseReceived,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import H2Error, NoAvailableStreamIDError
from h2.settings import SettingCodes, Settings

from ...drivers.aio_timers import TimerWheel
from ...http.http1.errors import CutShortError, NotHttpError
from ...http.http1.framing import ParserSettings
from ...http.http1.rules import RULES
from ...http.printable import printable
from ..lifetime import Lifetime
from ..network.polling import is_readable
from ..network.tls_errors import DeferringObject, defer_errors
from ..network.tls_sessions import Resumption
from ..over_aiohttp.asyncio_transports import close_socket, is_closing, keep_last_bytes
from .frames import FloodError, FrameSplitter, GoAway
from .heads import Field, HeadDecoder, check_trailers, response_head
from .huffman import HeadEncoder
from .liveness import Liveness
from .stream import Http1RequiredError, Http2Stream, NotProcessedError

__all__ = ["Http2Connection"]

WINDOW = 1024 * 1024  # bytes of one stream's body that wait for their reader
_CONNECTION_WINDOW = 16 * 1024 * 1024
# Bytes that wait to be sent: a server that makes this side respond (PING, SETTINGS, DATA), and does not read, gets no more.
_BACKLOG = 1024 * 1024
# Of the table of known fields of requests. A server may offer any size, and would fill this side's memory with it.
_TABLE = 4096
# Before the server has said how many streams it takes: the least that the RFC recommends (6.5.2).
_STREAMS_AT_FIRST = 100
_TOO_LONG = "its body is longer than its head allows (RFC 9113, 8.1.1)"
_HTTP1_REQUIRED = "the server did not process this request, and requires HTTP/1.1 for it (HTTP_1_1_REQUIRED)"

_CONFIG = H2Configuration(
    client_side=True,
    header_encoding=None,
    # A malformed head ends its stream alone (see `heads`); h2 would end the connection.
    validate_inbound_headers=False,
    normalize_inbound_headers=False,
)


class Http2Connection(asyncio.Protocol):
    """A connection and its streams.

    on_idle: called when the last stream has ended and another may follow.   on_end: called when none may.
    lifetime: how long it may be kept.   speaks_http2: whether the server agreed to HTTP/2, by ALPN.
    idle_since: by `time.monotonic`, while there is no stream.   liveness: whether its server may be dead.
    opened: how many streams it has had.   error: what ended it, or None.
    resumption: keeps its TLS session; None once it has.
    """

    resumption: Resumption | None = None

    def __init__(
        self,
        timers: TimerWheel,
        limits: ParserSettings,
        lifetime: Lifetime,
        on_idle: Callable[[Http2Connection], object],
        on_end: Callable[[Http2Connection], object],
    ) -> None:
        self.lifetime = lifetime
        self.idle_since = time.monotonic()
        self.liveness = Liveness()
        self.speaks_http2 = False
        self.opened = 0
        self.error: Exception | None = None
        self.transport: Any = None
        self._tls: DeferringObject | None = None
        self._pid = os.getpid()
        self._timers = timers
        self._limits = limits
        self._on_idle = on_idle
        self._on_end = on_end
        self._streams: dict[int, Http2Stream] = {}
        self._is_draining = self._is_closed = self._is_full = False
        self._has_settings = False
        self._accusation = ""  # of the server, by a GOAWAY with an error code
        self._splitter = FrameSplitter()
        self._h2 = H2Connection(_CONFIG)
        self._h2.local_settings = Settings(
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.INITIAL_WINDOW_SIZE: WINDOW,
                SettingCodes.MAX_HEADER_LIST_SIZE: limits.total,
            },
        )
        self._h2.decoder = HeadDecoder(limits.total)
        self._h2.encoder = HeadEncoder()

    # What its users do.

    @property
    def is_open(self) -> bool:
        """Whether it may have new streams, now or later."""
        # A transport that is closing, since a write has failed, reports that in a later step of the loop.
        return not self._is_draining and not self._is_closed and not is_closing(self.transport)

    @property
    def is_idle(self) -> bool:
        return not self._streams

    def keep_session(self) -> None:
        """Keep its TLS session for later connections: it has been idle, or has ended."""
        resumption, self.resumption = self.resumption, None
        if resumption is not None:
            resumption.keep()

    def may_open_stream(self) -> bool:
        """Whether a new stream may be opened now."""
        if not self.is_open or not self.may_be_kept() or self.liveness.is_doubtful(self._timers.loop.time()):
            return False
        most = self._h2.remote_settings.max_concurrent_streams if self._has_settings else _STREAMS_AT_FIRST
        return len(self._streams) < most

    def may_be_kept(self) -> bool:
        """Whether its lifetime allows another stream. A new connection serves one, however late that comes."""
        if not self.opened:
            return True
        is_too_old = not self._streams and not self.lifetime.allows(self.idle_since)
        return not is_too_old and not self.lifetime.is_over(self.opened)

    def ask(self) -> None:
        """Send a PING if the server may be dead and none was sent."""
        if self.is_open and self.liveness.takes_ping(self._timers.loop.time()):
            self._h2.ping(bytes(8))
            self._flush()

    def has_news(self) -> bool:
        """Whether bytes, or the end, have arrived that the loop has not read yet. A server may have closed it meanwhile."""
        sock = self.transport.get_extra_info("socket")
        return sock is not None and sock.fileno() != -1 and is_readable(sock)

    def open_stream(self, fields: list[Field], method: str, *, ends: bool) -> Http2Stream:
        """Send the head of a request.   ends: it has no body."""
        try:
            stream_id = self._h2.get_next_available_stream_id()
        except NoAvailableStreamIDError:
            self.drain()
            raise NotProcessedError("the connection has no stream left") from None
        self._h2.send_headers(stream_id, fields, end_stream=ends)
        self.opened += 1
        self.liveness.asked(self._timers.loop.time())
        stream = self._streams[stream_id] = Http2Stream(stream_id, method, self._timers)
        stream.is_sent = ends
        self._flush()
        return stream

    def room_for(self, stream: Http2Stream) -> int:
        """How many bytes of its body may be sent now."""
        if self._is_full or stream.error is not None or stream.id not in self._streams:
            return 0
        if is_closing(self.transport):  # which it reports soon
            return 0
        window: int = self._h2.local_flow_control_window(stream.id)
        most: int = self._h2.max_outbound_frame_size
        return min(window, most)

    def send(self, stream: Http2Stream, data: bytes, *, ends: bool = False) -> None:
        """Send this much of the body, no more than there is room for."""
        self._h2.send_data(stream.id, data, end_stream=ends)
        stream.is_sent = ends
        self._flush()

    def take(self, stream: Http2Stream) -> bytes:
        """What has arrived of the body and was not taken yet."""
        if not stream.pieces:
            return b""
        data = b"".join(stream.pieces)
        stream.pieces.clear()
        self._open_window(stream)
        return data

    def read_on(self, stream: Http2Stream, most: int) -> None:
        """Let the server send more of the body, though nobody takes it yet: until so many bytes have arrived in all."""
        if stream.received < most:
            self._open_window(stream)

    def release(self, stream: Http2Stream) -> None:
        """Nobody needs the stream any more. It is reset unless both sides are done. A second time does nothing."""
        if self._streams.pop(stream.id, None) is None:
            return
        is_over = (stream.is_complete and stream.is_sent) or stream.error is not None
        if not is_over:
            self._send_reset(stream, ErrorCodes.CANCEL)
            if self.liveness.is_silent(self._timers.loop.time()):
                self.liveness.doubt()
            self._flush()
            if self._streams:  # else it is closed, if there is doubt
                self.ask()
        self._after_stream()

    def drain(self) -> None:
        """Have no new stream, and close after the last one."""
        self._is_draining = True
        if not self._streams:
            self.close()

    def close_if_idle(self) -> None:
        if not self._streams:
            self.close()

    def close(self) -> None:
        """Close it now. Its streams are lost."""
        if not self._is_closed:
            with suppress(H2Error):
                self._h2.close_connection()
            self._flush()
            self._end(ConnectionResetError("the connection was closed on this side"))

    # What asyncio calls.

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._tls = defer_errors(transport)
        tls = transport.get_extra_info("ssl_object")
        self.speaks_http2 = tls is not None and tls.selected_alpn_protocol() == "h2"
        if self.speaks_http2:
            keep_last_bytes(transport)
            self._h2.initiate_connection()
            self._h2.increment_flow_control_window(_CONNECTION_WINDOW - self._h2.inbound_flow_control_window)
            self._flush()

    def data_received(self, data: bytes) -> None:
        self._receive(data)
        if self._tls is not None and self._tls.found is not None:
            self._end(self._tls.found)

    def _receive(self, data: bytes) -> None:
        self.liveness.heard(self._timers.loop.time())
        if not self.speaks_http2 or self._is_closed:
            return
        try:
            for part in self._splitter.split(data):
                if isinstance(part, GoAway):
                    self._go_away(part)
                    continue
                for event in self._h2.receive_data(part):
                    handle = _HANDLERS.get(type(event))
                    if handle is not None:
                        handle(self, event)
        except NotHttpError as error:
            is_flood = isinstance(error, FloodError)
            with suppress(H2Error):
                self._h2.close_connection(
                    ErrorCodes.ENHANCE_YOUR_CALM if is_flood else ErrorCodes.FRAME_SIZE_ERROR
                )
            self._flush()
            self._end(error)
        except H2Error as error:
            self._flush()  # h2 says GOAWAY
            fault = str(error).partition(": <memory at")[0]  # hpack shows the object that it reads from
            self._end(NotHttpError(detail=f"it breaks the rules of HTTP/2: {fault}"))
        else:
            self._flush()
            if self._is_full and self.transport.get_write_buffer_size() > _BACKLOG:
                self._end(ConnectionResetError("the server does not read what it asks for"))
            elif self._is_draining and not self._streams:
                self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._accusation:  # which says more than the end of the connection
            self._end(ConnectionError(f"the server closed the connection ({self._accusation})"))
        elif isinstance(exc, OSError):
            self._end(exc)
        else:  # an error of a protocol, such as MemoryError, is not for every stream's caller, and asyncio has logged it
            self._end(ConnectionResetError("the connection was closed"))

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False
        self._wake_all()

    # What has happened.

    def _go_away(self, received: GoAway) -> None:
        self._is_draining = True
        words = _words(received)
        if received.error_code != ErrorCodes.NO_ERROR:
            self._accusation = words
        for stream in list(self._streams.values()):
            # A server that has begun to respond has processed the request, whatever number it names.
            if stream.id > received.last_stream_id and stream.head is None:
                del self._streams[stream.id]
                if received.error_code == ErrorCodes.HTTP_1_1_REQUIRED:
                    stream.fail(Http1RequiredError(_HTTP1_REQUIRED))
                else:
                    message = f"the server closes the connection, and did not process this request ({words})"
                    stream.fail(NotProcessedError(message))

    def _interim(self, event: InformationalResponseReceived) -> None:
        stream = self._streams.get(event.stream_id)
        if stream is None:
            return
        stream.interim_size += sum(len(name) + len(value) for name, value in event.headers)
        try:
            head = response_head(event.headers, self._limits)
            if head.status == 101:  # RFC 9113, 8.6: there is no 101 in HTTP/2
                raise NotHttpError(RULES["invalid-status"])
            if stream.interim_size > self._limits.total:
                raise NotHttpError(RULES["head-too-large"])
        except NotHttpError as error:
            self._refuse(stream, error)

    def _head(self, event: ResponseReceived) -> None:
        self.liveness.responded()
        stream = self._streams.get(event.stream_id)
        if stream is None:
            return
        try:
            stream.head = response_head(event.headers, self._limits)
        except NotHttpError as error:
            self._refuse(stream, error)
        stream.wake()

    def _data(self, event: DataReceived) -> None:
        self.liveness.responded()
        size = event.flow_controlled_length
        if size:
            self._h2.increment_flow_control_window(size)
        stream = self._streams.get(event.stream_id)
        if stream is not None and stream.error is None and size:
            stream.received += len(event.data)
            if stream.received > stream.most_content():
                self._refuse(stream, NotHttpError(detail=_TOO_LONG))
                return
            stream.window_used += size
            stream.pieces.append(event.data)
            stream.wake()

    def _trailers(self, event: TrailersReceived) -> None:
        """They are read for their rules alone, as those of HTTP/1.1 are."""
        stream = self._streams.get(event.stream_id)
        if stream is not None:
            try:
                check_trailers(event.headers, self._limits)
            except NotHttpError as error:
                self._refuse(stream, error)

    def _ended(self, event: StreamEnded) -> None:
        stream = self._streams.get(event.stream_id)
        if stream is None or stream.error is not None:
            return
        if stream.received < stream.most_content() < math.inf:
            error = CutShortError(stream.received)
            if stream.is_sent:
                stream.fail(error)
            else:  # for the server, the stream would stay open, and count as one of those that it allows
                self._refuse(stream, error)
            return
        stream.is_complete = True
        stream.wake()

    def _reset(self, event: StreamReset) -> None:
        stream = self._streams.get(event.stream_id)
        if stream is None:
            return
        code = event.error_code
        if not event.remote_reset:  # by h2: the server broke a rule that is about this stream alone
            self._forget_closed()
            stream.fail(NotHttpError(detail=f"it breaks the rules of HTTP/2: {_name(code)}"))
        elif code == ErrorCodes.REFUSED_STREAM and stream.head is None:
            stream.fail(NotProcessedError("the server did not process this request (REFUSED_STREAM)"))
        elif code == ErrorCodes.HTTP_1_1_REQUIRED and stream.head is None:
            stream.fail(Http1RequiredError(_HTTP1_REQUIRED))
        else:
            stream.fail(ConnectionError(f"the server ended the stream: {_name(code)}"))

    def _settings_changed(self, event: RemoteSettingsChanged) -> None:
        self._has_settings = True
        encoder = self._h2.encoder
        if encoder.header_table_size > _TABLE:
            encoder.header_table_size = _TABLE
        self._wake_all()  # windows may have grown

    def _window_updated(self, event: WindowUpdated) -> None:
        if not event.stream_id:
            self._wake_all()
        elif (stream := self._streams.get(event.stream_id)) is not None:
            stream.wake()

    def _open_window(self, stream: Http2Stream) -> None:
        """Let the server send as much as it has sent. Not on a stream that is over: h2 may not know it any more."""
        size, stream.window_used = stream.window_used, 0
        is_over = stream.is_complete or stream.error is not None or stream.id not in self._streams
        if size and not is_over:
            self._h2.increment_flow_control_window(size, stream.id)
            self._flush()

    def _wake_all(self) -> None:
        for stream in list(self._streams.values()):
            stream.wake()

    def _refuse(self, stream: Http2Stream, error: NotHttpError) -> None:
        """The response is malformed: the stream ends."""
        self._send_reset(stream, ErrorCodes.PROTOCOL_ERROR)
        stream.fail(error)

    def _send_reset(self, stream: Http2Stream, code: ErrorCodes) -> None:
        with suppress(H2Error):  # the server has just closed it
            self._h2.reset_stream(stream.id, code)
        self._forget_closed()

    def _forget_closed(self) -> None:
        """Have h2 forget the streams that are closed, which it does where it counts the open ones.

        As long as it knows a stream that this side has reset, it ends the connection at an interim head of it. The server may
        have sent that, such as 103, before the reset reached it.
        """
        _ = self._h2.open_outbound_streams

    def _after_stream(self) -> None:
        if self._streams:
            return
        self.idle_since = time.monotonic()
        is_doubtful = self.liveness.is_doubtful(self._timers.loop.time())
        if self._is_draining or is_doubtful or self.lifetime.is_over(self.opened):
            self.close()
        else:
            self._on_idle(self)

    def _end(self, error: Exception) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self.error = error
        self._on_end(self)
        streams = list(self._streams.values())
        self._streams.clear()
        for stream in streams:
            stream.fail(error)
        if os.getpid() != self._pid:
            close_socket(self.transport)  # the loop's selector is the parent's, too
        elif self.transport is not None:
            self.transport.abort()  # `close` would wait for the peer's close_notify

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        is_ours = os.getpid() == self._pid  # in a forked child it is the parent's
        if data and is_ours and not self.transport.is_closing():
            self.transport.write(data)


_HANDLERS: dict[type, Callable[[Http2Connection, Any], None]] = {
    InformationalResponseReceived: Http2Connection._interim,
    ResponseReceived: Http2Connection._head,
    DataReceived: Http2Connection._data,
    TrailersReceived: Http2Connection._trailers,
    StreamEnded: Http2Connection._ended,
    StreamReset: Http2Connection._reset,
    RemoteSettingsChanged: Http2Connection._settings_changed,
    WindowUpdated: Http2Connection._window_updated,
}


def _words(received: GoAway) -> str:
    """A GOAWAY for a message: its error, and what the server says about it."""
    words = "GOAWAY"
    if received.error_code != ErrorCodes.NO_ERROR:
        words += f": {_name(_known(received.error_code))}"
    said = printable(received.debug.decode("utf-8", "replace"), 200)
    return f"{words}, {said!r}" if said else words


def _known(code: int) -> ErrorCodes | int:
    return ErrorCodes(code) if code in set(ErrorCodes) else code


def _name(code: ErrorCodes | int | None) -> str:
    return getattr(code, "name", f"error code {code}")

"""One connection of an event loop, and the parser of the bytes that arrive on it.

A small response is handed over whole, in one step of the loop (`request_whole`). Any other is read in pieces: what
arrives goes to the parser, and its reader waits for the next change (`changed`).
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Callable
from contextvars import Context
from io import BytesIO
from typing import Any

from ...core.effects import TIMED_OUT
from ...http.http1.fast_path import FastHead, read_fast_head
from ...http.http1.framing import ParserSettings
from ...http.http1.response_parser import ResponseParser
from ...http.redirects import REDIRECT_CODES
from ..lifetime import Lifetime
from ..network.polling import readability_check
from ..network.tls_errors import DeferringObject, defer_errors
from ..network.tls_sessions import Resumption
from .asyncio_transports import (
    LONG_READ,
    SHORT_READ,
    close_socket,
    last_bytes,
    most_awaited,
    read_at_most,
    resolver_for,
    write_buffer_size,
)

__all__ = ["Connection"]

_DECODED_AT_ONCE = 64 * 1024  # bytes of an encoded body; a longer one is decoded in pieces
_TOLERANCE = 0.001  # seconds: timeouts that began within one deadline share a timer
_UNREAD = 512 * 1024  # bytes before a reader has waited for any; with more, the transport pauses


class Connection(asyncio.Protocol):
    """One connection.

    transport: None before it is made.   parser: of its responses.
    key: of the origin and of the way to it, in its pool.   lifetime: how long it may be kept.
    resumption: takes its TLS session after the first response; None without TLS, and from then on.
    served: exchanges so far.   idle_since: by `time.monotonic`.   must_close: it may serve no other exchange.
    is_idle: no exchange is using it.   is_lost: nothing will arrive any more.
    error: the error that ended it; None after an orderly end.
    is_full: the kernel has not accepted enough of what was written.
    """

    __slots__ = (
        *("__weakref__", "error", "idle_since", "is_full", "is_idle", "is_lost", "key", "lifetime", "must_close"),
        *("parser", "resumption", "served", "transport"),
        *("_alarm", "_body", "_data", "_drained", "_ends_at", "_head", "_is_paused", "_is_readable", "_is_reading"),
        *("_left", "_looks_at", "_loop", "_max_size", "_most_awaited", "_on_lost", "_pid", "_raw_head", "_reads_long"),
        *("_resolve", "_settings", "_tls", "_unread", "_whole"),
    )  # fmt: skip

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        settings: ParserSettings,
        max_size: int | None,
        lifetime: Lifetime,
        on_lost: Callable[[Connection], object],
    ) -> None:
        self.key: tuple[str, str | None] = ("", None)
        self.lifetime = lifetime
        self.transport: Any = None
        self.parser = ResponseParser(settings)
        self.resumption: Resumption | None = None
        self.served = 0
        self.idle_since = 0.0
        self.must_close = self.is_idle = self.is_lost = self.is_full = False
        self.error: Exception | None = None
        self._loop = loop
        self._settings = settings
        self._max_size = max_size  # bytes of a body
        self._on_lost = on_lost
        self._pid = os.getpid()
        self._tls: DeferringObject | None  # set with `transport`
        self._is_readable: Callable[[], object] | None = None  # polls the socket; made when first needed
        self._reads_long = False
        # Of a response that is read in pieces.
        self._is_reading = False
        self._is_paused = False
        self._unread = 0  # bytes for the parser since a reader last waited
        self._most_awaited = most_awaited(loop)
        self._data: asyncio.Future[Any] | None = None  # the last one of `changed`
        self._drained: asyncio.Future[Any] | None = None  # for `drained`
        # Of a response for `request_whole`.
        self._whole: asyncio.Future[Any] | None = None
        self._head: FastHead | None = None  # once it has arrived
        self._raw_head: bytes  # of a response that does not come in one piece
        # What has arrived of its body then. No list: as objects of their own, tiny pieces would take fifty times their size,
        # and all of them twice their size while they are joined.
        self._body: BytesIO | None = None
        self._left: int  # bytes of it still to come
        self._ends_at: float | None  # the loop's time by which the response must be complete
        self._looks_at = math.inf  # the loop's time when `_alarm` fires
        self._alarm: asyncio.TimerHandle | None = None

    # For its exchanges.

    def request_whole(self, request: bytes, ends_at: float | None = None) -> asyncio.Future[Any]:
        """Send a request whose method is not HEAD.

        ends_at: the loop's time by which the response must be complete; None for no limit.
        The future's result is the FastHead and the undecoded body; None when the response must be read in pieces;
        TIMED_OUT when it was not complete in time.
        """
        self._whole = whole = self._loop.create_future()
        self._ends_at = ends_at
        if ends_at is not None and ends_at < self._looks_at - _TOLERANCE:
            self._look_at(ends_at)
        self.write(request)
        if self.is_lost or self._unread:  # lost as soon as it was made, or the server has spoken first
            self._read_in_pieces(whole)
        return whole

    def write(self, data: bytes | memoryview) -> None:
        """Write bytes, unless the connection has ended, which its reader learns. uvloop would raise RuntimeError then."""
        if not self.transport.is_closing():
            self.transport.write(data)

    def begin(self, method: str) -> None:
        """A request with this method is about to be sent: its response is read in pieces."""
        self.parser.begin(method)
        self._is_reading = True
        self._data = None

    def changed(self, *, takes_more: bool = True) -> asyncio.Future[Any]:
        """Done when bytes have arrived, or the connection is lost. RuntimeError while another task waits.

        takes_more: what has arrived was read. If not, the transport stays paused where too much waits.
        """
        if self._data is not None and not self._data.done():
            raise RuntimeError("another task is already reading this body; read it in one task only")
        if takes_more:
            self.read_on()
        self._data = data = self._loop.create_future()
        return data

    def read_on(self) -> None:
        """What has arrived was read: the transport reads on if it had paused."""
        self._unread = 0
        self._resume_reading()

    def _resume_reading(self) -> None:
        if self._is_paused:
            self._is_paused = False
            if not self.transport.is_closing():  # as in `write`
                # In an empty context: the transport would keep that of the present call alive.
                Context().run(self.transport.resume_reading)

    def drained(self) -> asyncio.Future[Any]:
        """Done when the kernel has accepted most of what was written, and as `changed`."""
        self._drained = drained = self._loop.create_future()
        return drained

    def wake(self) -> None:
        """Have whatever waits for a change look again."""
        for waiter in (self._data, self._drained):
            if waiter is not None and not waiter.done():  # done: its task was cancelled
                waiter.set_result(None)

    @property
    def has_unread(self) -> bool:
        """Whether bytes have arrived since a reader last waited."""
        return self._unread > 0

    @property
    def unsent(self) -> int:
        """Bytes that the kernel has not accepted yet; none of a lost connection, whose transport cannot say."""
        return 0 if self.is_lost else write_buffer_size(self.transport)

    @property
    def has_head(self) -> bool:
        """Whether the head of the present response has arrived."""
        return self._head is not None or self.parser.head is not None

    def end_exchange(self) -> None:
        """The response was read to its end."""
        if self._is_reading:
            self._is_reading = False
            self._resume_reading()
            if self.parser.rest:  # of nobody's request
                self.must_close = True
            self.parser.forget()
        elif self._unread:
            # As well: it came after a response that was handed over whole, and before the task that awaits that ran.
            self.must_close = True
        self._unread = 0
        if self._reads_long:
            self._reads_long = False
            read_at_most(self.transport, SHORT_READ)
        if self.resumption is not None:
            self.keep_session()

    def keep_session(self) -> None:
        """Keep its TLS session for later connections: the head of a response has arrived."""
        resumption, self.resumption = self.resumption, None
        if resumption is not None:
            resumption.keep()

    def is_reusable(self) -> bool:
        """Whether an idle connection may serve another exchange: it is intact, and nothing has arrived on it."""
        transport = self.transport
        if self.is_lost or self.must_close or transport.is_closing():
            return False
        # Data, or the end, may be in the socket without the event loop having read it yet.
        if self._is_readable is None:
            sock = transport.get_extra_info("socket")
            if sock is None or sock.fileno() < 0:
                return False
            self._is_readable = readability_check(sock)
        return not self._is_readable()

    def start_over(self) -> None:
        """The tunnel of a proxy is open: what the proxy sent after its response is dropped."""
        self.parser = ResponseParser(self._settings)
        self._is_reading = False
        self._unread = 0

    def abort(self) -> None:
        """Close it now: without sending what is left of a request, or waiting for TLS's close_notify."""
        if self._whole is not None or self._is_reading:
            self.error = self.error or ConnectionResetError("closed in mid-exchange")
        self.must_close = True
        if self.transport is None:
            return
        # Either the loop was closed during a call that is now being garbage-collected, or this is a forked child, where
        # the loop's selector is the parent's too: to close there would take the connection from the parent.
        if self._loop.is_closed() or os.getpid() != self._pid:
            close_socket(self.transport)
        else:
            self.transport.abort()

    # From the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The transport is there, after the handshake of TLS."""
        self.transport = transport
        self._resolve = resolver_for(self._loop, transport)
        self._tls = defer_errors(transport)
        read_at_most(transport, SHORT_READ)

    def data_received(self, data: bytes) -> None:
        """Bytes have arrived. On an idle connection, they make it unusable."""
        if len(data) >= SHORT_READ and not self._reads_long:
            self._reads_long = True
            read_at_most(self.transport, LONG_READ)
        if self._whole is not None:
            self._receive_whole(data, self._whole)
        elif self.is_idle:
            self.abort()
        else:
            # Before the first exchange: a server that speaks first, such as SSH, is no HTTP server.
            self._unread += len(data)
            self.parser.feed(bytes(data))  # a proactor may pass a bytearray
            most = _UNREAD if self._data is None else self._most_awaited
            if self._unread > most and not self._is_paused:
                self._is_paused = True
                self.transport.pause_reading()
            self.wake()
        if self._tls is not None and (found := self._tls.found) is not None:
            self._fail(found)

    def _fail(self, error: Exception) -> None:
        """The connection has failed behind the bytes that have just arrived. A response that they complete stays valid."""
        if self.error is None:
            self.error = error
        self.abort()

    def pause_writing(self) -> None:
        self.is_full = True

    def resume_writing(self) -> None:
        self.is_full = False
        drained = self._drained
        if drained is not None and not drained.done():
            drained.set_result(None)

    def eof_received(self) -> None:
        """The server will send nothing more.

        asyncio closes the transport now, but only after it has sent what is left of an upload, which the server may never
        read. So this is the end of the response already. An error that follows cannot change it.
        """
        self._receive_end()

    def connection_lost(self, exc: BaseException | None) -> None:
        """It is gone, with the error; None after an orderly end."""
        if self.error is None and not self.is_lost and isinstance(exc, OSError):
            self.error = exc.with_traceback(None)
            if (self._is_reading or self._whole is not None) and (data := last_bytes(self.transport)):
                self.data_received(data)
        elif self.error is None and not self.is_lost and exc is not None:
            # Such as MemoryError in `data_received`, which asyncio has logged. Nor is that the end of a body without a length.
            self.error = ConnectionResetError("closed after an error of this side")
        self._receive_end()
        if self._alarm is not None:
            self._alarm.cancel()
        self._on_lost(self)
        if self.transport is not None:
            self.transport.close()  # Python 3.10 would warn about an unclosed TLS transport

    def _receive_end(self) -> None:
        if self.is_lost:
            return
        self.is_lost = self.must_close = True
        if self._whole is not None:
            self._read_in_pieces(self._whole)
        if self.error is None:
            self.parser.feed(b"")
        self.wake()

    # A response in one step.

    def _receive_whole(self, data: bytes, whole: asyncio.Future[Any]) -> None:
        head, body = self._head, self._body
        if head is None:
            head = read_fast_head(data, self._settings)
            if head is None or head.length is None or not self._may_read_whole(head, head.length):
                self._read_in_pieces(whole, data)
                return
            if head.keep_alive is not None:
                self.lifetime.announce(head.keep_alive)
            left = head.size + head.length - len(data)
            if left > 0:
                self._head, self._left, self._raw_head = head, left, bytes(data[: head.size])
                self._body = body = BytesIO()
                body.write(memoryview(data)[head.size :])
                return
        else:
            self._left = left = self._left - len(data)
            if left > 0:
                body.write(data)  # type: ignore[union-attr]  # it came with the head
                return
        self._whole = self._head = None
        if head.is_last:
            self.must_close = True
        if left:
            if data[left:].strip(b"\r\n"):
                self.must_close = True  # the response is complete; these bytes belong to no request
            data = data[:left]
        if body is None:
            content = bytes(data[head.size :])
        else:
            self._body = None
            body.write(data)
            content = body.getvalue()
        if not whole.done():
            self._resolve(whole, (head, content))  # last: the task may begin its next exchange here

    def _may_read_whole(self, head: FastHead, length: int) -> bool:
        """A body that is too large, or slow to decode, is read in pieces; that of a redirect is hardly waited for."""
        if head.status in REDIRECT_CODES or (self._max_size is not None and length > self._max_size):
            return False
        return not head.is_encoded or length <= _DECODED_AT_ONCE

    def _read_in_pieces(self, whole: asyncio.Future[Any], data: bytes = b"") -> None:
        """Go on in this way.   whole: what `request_whole` returned.   data: has just arrived."""
        body = self._body
        self._whole = self._head = self._body = None
        self.begin("GET")
        if body is not None:
            self.data_received(self._raw_head + body.getvalue())
        if data:
            self.data_received(data)
        if not whole.done():  # done: after a timeout nobody reads the response
            whole.set_result(None)

    def _look_at(self, instant: float) -> None:
        """Have `_look` called at this time of the loop.

        The timer stays when the response is complete: it is that of the next exchange, too, so that a connection in
        steady use needs one in the time that an attempt may take, and not one for each exchange.
        """
        if self._alarm is not None:
            self._alarm.cancel()
        self._looks_at = instant
        # In an empty context: the timer would keep that of the present call alive until it fires.
        self._alarm = self._loop.call_at(instant, self._look, context=Context())

    def _look(self) -> None:
        """End the exchange if its time is over; else come again when that will be."""
        whole, ends_at, looks_at = self._whole, self._ends_at, self._looks_at
        self._alarm, self._looks_at = None, math.inf
        if whole is None or ends_at is None or whole.done():
            return
        if ends_at <= looks_at:
            whole.set_result(TIMED_OUT)
        else:
            self._look_at(ends_at)

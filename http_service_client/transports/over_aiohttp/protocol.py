"""One connection of the asyncio transport: aiohttp's `ResponseHandler`, with the parser of this package.

The responses are read by the parser that the blocking transport uses, so that both transports accept and refuse the
same bytes. aiohttp gets what it expects from its own parser: messages and body streams. A connection also counts its
exchanges, keeps the error that ended it, and notices bytes that arrive outside any exchange. A fault in mid-body
is raised to the reader of the body.

A plain response that is read whole needs no body stream (`request_whole`).

`compatibility` lists what is private to aiohttp here.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextvars import Context
from io import BytesIO
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

from ...core.effects import TIMED_OUT
from ...http.http1.errors import NotHttpError
from ...http.http1.fast_path import FastHead, read_fast_head
from ...http.http1.framing import ParserSettings
from ...http.http1.parser import ResponseParser
from ...http.http1.rules import Rule
from ...http.redirects import REDIRECT_CODES
from ..lifetime import Lifetime
from ..network.polling import readability_check
from ..network.tls_sessions import Resumption
from .asyncio_transports import resolver_for, write_buffer_size
from .messages import Message

__all__ = ["StrictResponseHandler"]

_DECODED_AT_ONCE = 64 * 1024  # encoded bytes; decoding more at once would stop the loop for milliseconds
_TOLERANCE = 0.001  # seconds: a loop's timers are no more exact. The calls of one deadline share a timer
_BUFFERED = 256 * 1024  # bytes of a body that nobody has read yet; with twice as many, the transport pauses


class StrictResponseHandler(ResponseHandler):
    """One connection.

    served: exchanges so far.   is_idle: no exchange is using it.   is_tunnel: it leads through a SOCKS proxy.
    fatal_error: the error that ended it; None after an orderly end.
    key: the connector's key, shared by all connections that can serve the same requests.
    lifetime: how long it may be kept.
    resumption: takes its TLS session after the first exchange; None without TLS, and from then on.
    """

    served = 0
    is_idle = False
    is_tunnel = False
    resumption: Resumption | None = None
    key: Any = None
    fatal_error: Exception | None = None
    _is_reading = False  # `_responses` reads the response of this exchange
    _early: bytes | None = b""  # what arrived before the first exchange began; None since then
    _whole: asyncio.Future[Any] | None = None  # the whole response, for `request_whole`
    _head: FastHead | None = None  # of that response, once it has arrived
    _raw_head: bytes  # of that response, once it is known not to come in one piece
    # What has arrived of its body then. No list: as objects of their own, tiny pieces would take fifty times their size, and
    # all of them twice their size while they are joined.
    _body: BytesIO
    _left = 0  # bytes of it still to come
    _ends_at: float | None = None  # the loop's time by which that response must be complete
    _looks_at = math.inf  # the loop's time when `_alarm` fires
    _alarm: asyncio.TimerHandle | None = None
    _data: asyncio.Future[Any] | None = None  # for `next_data`
    _is_readable: Callable[[], object] | None = None  # polls the socket; made when first needed

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        settings: ParserSettings,
        max_size: int | None,
        on_lost: Callable[[StrictResponseHandler], object],
        new_lifetime: Callable[[], Lifetime],
    ) -> None:
        super().__init__(loop)
        self.lifetime = new_lifetime()
        self._settings = settings
        self._responses = ResponseParser(settings)
        self._max_size = max_size  # bytes of a body
        self._on_lost = on_lost
        self._parser = _NoParser()  # type: ignore[assignment]  # duck-typed

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """From the event loop: the transport is there, after the handshake of TLS."""
        super().connection_made(transport)
        self._resolve = resolver_for(self._loop, transport)

    def request_whole(self, request: bytes, ends_at: float | None = None) -> asyncio.Future[Any]:
        """Send a request whose method is not HEAD.

        ends_at: the loop's time by which the response must be complete; None for no limit.
        The future's result is the FastHead and the undecoded body; None when the response must be read in pieces;
        TIMED_OUT when it was not complete in time.
        """
        self._payload = None
        self._whole = whole = self._loop.create_future()
        self._ends_at = ends_at
        if ends_at is not None and ends_at < self._looks_at - _TOLERANCE:
            self._look_at(ends_at)
        self.transport.write(request)  # type: ignore[union-attr]  # `is_reusable` was just checked
        return whole

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

    def begin_parsing(self, method: str = "GET", read_timeout: float | None = None) -> None:
        """Read the response in pieces.

        method: of the request.   read_timeout: seconds without data, or None.
        """
        self._read_timeout = read_timeout
        self._payload = None
        self._responses.begin(method)
        self._is_reading = True
        early, self._early = self._early, None
        if early:
            self.data_received(early)

    def set_response_params(self, **options: Any) -> None:
        """aiohttp begins an exchange."""
        self._timeout_ceil_threshold = options.get("timeout_ceil_threshold", 5)
        self.begin_parsing("HEAD" if options.get("skip_payload") else "GET", options.get("read_timeout"))

    def _receive_whole(self, data: bytes, whole: asyncio.Future[Any]) -> None:
        head, body = self._head, None
        if head is None:
            head = read_fast_head(data, self._settings)
            if head is None or head.length is None or not self._may_read_whole(head, head.length):
                self._read_in_pieces(data)
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
            body = self._body
            self._left = left = self._left - len(data)
            if left > 0:
                body.write(data)
                return
        self._whole = self._head = None
        if head.is_last:
            self.force_close()
        if left:
            if data[left:].strip(b"\r\n"):
                self.force_close()  # the response is complete; these bytes belong to no request
            data = data[:left]
        if body is None:
            content = bytes(data[head.size :])  # a proactor may pass a bytearray
        else:
            self._body = BytesIO()
            body.write(data)
            content = body.getvalue()
        if not whole.done():
            self._resolve(whole, (head, content))  # last: the task may begin its next exchange here

    def _may_read_whole(self, head: FastHead, length: int) -> bool:
        """A body that is too large, or slow to decode, is read in pieces; that of a redirect is hardly waited for."""
        if head.status in REDIRECT_CODES or (self._max_size is not None and length > self._max_size):
            return False
        return not head.is_encoded or length <= _DECODED_AT_ONCE

    def _read_in_pieces(self, *received: bytes) -> None:
        """Go on in this way.   received: what has arrived of the response."""
        whole, self._whole, self._head = self._whole, None, None
        self.begin_parsing()
        for data in received:
            self.data_received(data)
        if whole is not None and not whole.done():
            whole.set_result(None)

    def next_data(self) -> asyncio.Future[Any]:
        """Done when data has arrived, or the connection is gone. RuntimeError while another task waits."""
        if self._data is not None and not self._data.done():
            raise RuntimeError("another task is already reading this body; read it in one task only")
        self._data = data = self._loop.create_future()
        return data

    def _wake_reader(self) -> None:
        data, self._data = self._data, None
        if data is not None and not data.done():  # done: the reader was cancelled
            data.set_result(None)

    def is_reusable(self) -> bool:
        """Whether an idle connection may serve another exchange: it is intact, and nothing has arrived on it."""
        transport = self.transport
        if transport is None or transport.is_closing() or self.should_close:
            return False
        # Data, or the end, may be in the socket without the event loop having read it yet.
        if self._is_readable is None:
            sock = transport.get_extra_info("socket")
            if sock is None or sock.fileno() < 0:
                return False
            self._is_readable = readability_check(sock)
        return not self._is_readable()

    def data_received(self, data: bytes) -> None:
        """Data from the event loop. Data that arrives on an idle connection makes it unusable."""
        if not data:  # aiohttp calls this without data, to continue with a buffer that it has not got
            return
        if self._whole is not None:
            self._receive_whole(data, self._whole)
            return
        if self.is_idle:
            self.force_close()
        if not self._is_reading:
            self.force_close()  # nobody requested these bytes
            if self._early is not None:  # a server that speaks first, such as SSH, is no HTTP server
                self._early += data
            return
        if self._read_timeout:
            self._reschedule_timeout()
        self._responses.feed(bytes(data))  # a proactor may pass a bytearray
        self._read()
        if self._data is not None:
            self._wake_reader()

    def _read(self) -> None:
        """Pass on what has arrived of the response."""
        responses = self._responses
        try:
            if responses.head is None and not self._read_head():
                return
            payload = self._payload
            while piece := responses.read_body():
                payload.feed_data(piece)  # type: ignore[union-attr]  # `_read_head` has set it
        except NotHttpError as error:
            self._refuse(error)
            return
        if responses.is_complete:
            self._complete()

    def _read_head(self) -> bool:
        """Whether the head is complete; it is passed on."""
        head = self._responses.read_head()
        if head is None:
            return False
        payload: Any = aiohttp.EMPTY_PAYLOAD
        if not self._responses.is_complete:
            payload = aiohttp.StreamReader(self, _BUFFERED, loop=self._loop)
        self._payload = payload
        if head.keep_alive is not None:
            self.lifetime.announce(head.keep_alive)
        if head.status == 101:
            self.force_close()  # the bytes after it are no longer HTTP
        self.feed_data((Message(head), payload), 0)  # type: ignore[arg-type]  # duck-typed
        return True

    def _complete(self) -> None:
        self._is_reading = False
        self._drop_timeout()
        if self._responses.head.is_last:  # type: ignore[union-attr]  # it was read
            self.force_close()
        self._responses.forget()
        if self._payload is not aiohttp.EMPTY_PAYLOAD and self._payload is not None:
            self._payload.feed_eof()

    def _refuse(self, error: Exception) -> None:
        """The response cannot be read further: raise the error to its reader, and close the connection."""
        self._is_reading = False
        if self.fatal_error is None:
            self.fatal_error = error.with_traceback(None)
        payload = self._payload
        if self.transport is not None:
            self.transport.close()
        self.set_exception(error)
        if payload is not None and not payload.is_eof():
            payload.set_exception(aiohttp.ClientPayloadError())  # or its reader would wait forever

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Have the transport resume reading; aiohttp calls this for every piece that is taken."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def close(self) -> None:
        """aiohttp closes the connection: after an exchange, or with its connector in the middle of one."""
        payload = self._payload
        self._is_reading = False
        if self.transport is not None and write_buffer_size(self.transport):
            self.transport.abort()  # closing would first flush an upload that the server may never read
        super().close()  # forgets the payload: its reader would wait until its timeout
        if payload is not None and not payload.is_eof() and payload.exception() is None:
            payload.set_exception(aiohttp.ClientPayloadError("the connection was closed in mid-body"))

    def abort(self) -> None:
        """As `close`, without sending what is left of the request."""
        self._is_reading = False
        super().abort()

    def report_faults(self, report: Callable[[Rule], object]) -> None:
        """As `ResponseParser.report_faults`."""
        self._responses.report_faults(report)

    def connection_lost(self, exc: BaseException | None) -> None:
        """asyncio reports that the connection is gone, with the error; None after an orderly end."""
        if self.fatal_error is None and isinstance(exc, OSError):
            self.fatal_error = exc.with_traceback(None)
        if self._whole is not None and not self._whole.done():  # after a timeout nobody reads the response
            self._read_in_pieces(*([] if self._head is None else [self._raw_head, self._body.getvalue()]))
        if self._is_reading and self.fatal_error is None:
            self._read_end()
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._on_lost(self)
        transport, payload = self.transport, self._payload
        super().connection_lost(exc)
        if payload is not None and not payload.is_eof() and payload.exception() is None:
            payload.set_exception(aiohttp.ClientPayloadError())
        if self._data is not None:
            self._wake_reader()
        if transport is not None:
            transport.close()  # Python 3.10 would warn about an unclosed TLS transport

    def _read_end(self) -> None:
        """The connection has ended in order: the response ends with it, or was cut short."""
        self._responses.feed(b"")
        try:
            self._read()
        except ConnectionResetError:  # before its first byte; aiohttp raises ServerDisconnectedError
            self._is_reading = False


class _NoParser:
    """Replaces aiohttp's parser."""

    def feed_eof(self) -> None:
        """Nothing: the connection reads its own end."""

    def pause_reading(self) -> None:
        """Nothing: the transport pauses."""

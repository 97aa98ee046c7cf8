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
from collections.abc import Callable
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

from ...http.http1.errors import NotHttpError
from ...http.http1.fast_path import FastHead, read_fast_head
from ...http.http1.framing import ParserSettings
from ...http.http1.parser import ResponseParser
from ...http.http1.rules import Rule
from ...http.redirects import REDIRECT_CODES
from ..lifetime import Lifetime
from ..network.polling import readability_check
from ..network.tls_sessions import Resumption
from .asyncio_transports import write_buffer_size
from .messages import Message

__all__ = ["StrictResponseHandler"]

_DECODED_AT_ONCE = 64 * 1024  # encoded bytes; decoding more at once would stop the loop for milliseconds
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
    _pieces: list[bytes]  # of that response, head included
    _left = 0  # bytes of it still to come
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

    def request_whole(self, request: bytes) -> asyncio.Future[Any]:
        """Send a request whose method is not HEAD.

        The future's result is the FastHead and the undecoded body, or None when the response must be read in pieces.
        """
        self._payload = self._head = None
        self._is_reading = False
        self._pieces = []
        self._whole = whole = self._loop.create_future()
        self.transport.write(request)  # type: ignore[union-attr]  # `is_reusable` was just checked
        return whole

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

    def _receive_whole(self, data: bytes) -> None:
        self._pieces.append(data)
        head = self._head
        if head is None:
            self._head = head = read_fast_head(data, self._settings)
            if head is None or head.length is None or not self._may_read_whole(head, head.length):
                self._read_in_pieces()
                return
            self._left = head.size + head.length
            if head.keep_alive is not None:
                self.lifetime.announce(head.keep_alive)
        self._left -= len(data)
        if self._left <= 0 and self._whole is not None:
            whole, self._whole, self._head = self._whole, None, None
            pieces, self._pieces = self._pieces, []
            if head.is_last:
                self.force_close()
            if self._left:
                if data[self._left :].strip(b"\r\n"):
                    self.force_close()  # the response is complete; these bytes belong to no request
                pieces[-1] = data[: self._left]
            pieces[0] = pieces[0][head.size :]
            if not whole.done():
                whole.set_result((head, b"".join(pieces)))

    def _may_read_whole(self, head: FastHead, length: int) -> bool:
        """A body that is too large, or slow to decode, is read in pieces; that of a redirect is hardly waited for."""
        if head.status in REDIRECT_CODES:
            return False
        is_long = head.is_encoded and length > _DECODED_AT_ONCE
        return not is_long and (self._max_size is None or length <= self._max_size)

    def _read_in_pieces(self) -> None:
        whole, self._whole, self._head = self._whole, None, None
        pieces, self._pieces = self._pieces, []
        self.begin_parsing()
        for piece in pieces:
            self.data_received(piece)
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
        if self.is_idle:
            self.force_close()
        if self._whole is not None:
            self._receive_whole(data)
            return
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
            self._read_in_pieces()
        if self._is_reading and self.fatal_error is None:
            self._read_end()
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

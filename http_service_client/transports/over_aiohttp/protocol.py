"""A stricter `ResponseHandler`: one connection that rejects responses which aiohttp would accept.

It counts its exchanges and keeps the error that ended it. It refuses the heads that `framing` refuses and llhttp
would accept, and it notices bytes that arrive outside any exchange. A protocol error in mid-body is raised to
the reader of the body; aiohttp would leave it waiting. Bytes after a complete response end the connection, never the
response.

A plain response that is read whole is parsed here, without aiohttp's parser and body stream (`request_whole`);
the bytes of any other response go to them unchanged, but cut after each head. Where the length of a body is known,
the bytes after the head skip the parser, which would copy them (`_RestOfBody`).

`compatibility` lists what is private to aiohttp here.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import BadHttpMessage, ContentLengthError, HttpProcessingError, LineTooLong

from ...http.http1.errors import NotHttpError
from ...http.http1.fast_path import FastHead, read_fast_head
from ...http.http1.framing import MALFORMED, TOO_LARGE, HeadLimits, is_chunked
from ...http.redirects import REDIRECT_CODES
from ..lifetime import Lifetime
from ..network.polling import readability_check
from .asyncio_transports import write_buffer_size

__all__ = ["StrictResponseHandler"]

# The end of a head, for llhttp. The line before it may have come in an earlier packet. A cut anywhere else is harmless.
_END_OF_HEAD = re.compile(rb"(?:(?:\A|\n) ?\r?|\r\r)\n[\r\n]*").search
_DECODED_AT_ONCE = 64 * 1024  # encoded bytes; decoding more at once would stop the loop for milliseconds


class StrictResponseHandler(ResponseHandler):
    """One connection.

    served: exchanges so far.   is_idle: no exchange is using it.   is_tunnel: it leads through a SOCKS proxy.
    fatal_error: the error that ended it; None after an orderly end.
    response_started: a response, or a part of one, has arrived in this exchange.
    key: the connector's key, shared by all connections that can serve the same requests.
    lifetime: how long it may be kept.
    """

    served = 0
    is_idle = False
    is_tunnel = False
    response_started = False
    key: Any = None
    fatal_error: Exception | None = None
    _expects_head = False  # aiohttp's parser has not passed on the head of the final response yet
    _whole: asyncio.Future[Any] | None = None  # the whole response, for `request_whole`
    _head: FastHead | None = None  # of that response, once it has arrived
    _pieces: list[bytes]  # of that response, head included
    _left = 0  # bytes of it still to come
    _length: int | None = None  # of the body whose head has just arrived
    _data: asyncio.Future[Any] | None = None  # for `next_data`
    _heads_size = 0  # bytes of the interim heads before the one of the response
    _unproductive = 0  # bytes since the last ones that completed a head or belonged to a body
    _is_readable: Callable[[], object] | None = None  # polls the socket; made when first needed

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limits: HeadLimits,
        max_size: int | None,
        on_lost: Callable[[StrictResponseHandler], object],
        new_lifetime: Callable[[], Lifetime],
    ) -> None:
        super().__init__(loop)
        self.lifetime = new_lifetime()
        self._limits = limits
        self._max_size = max_size  # bytes of a body
        self._on_lost = on_lost

    def request_whole(self, request: bytes) -> asyncio.Future[Any]:
        """Send a request whose method is not HEAD.

        The future's result is the FastHead and the undecoded body, or None when aiohttp must read the response.
        """
        self._parser = self._payload = self._head = None
        self._pieces = []
        self._whole = whole = self._loop.create_future()
        self.transport.write(request)  # type: ignore[union-attr]  # `is_reusable` was just checked
        return whole

    def begin_parsing(self, is_head: bool = False, read_timeout: float | None = None) -> None:
        """Have aiohttp parse the response.

        is_head: the request's method is HEAD.   read_timeout: seconds without data, or None.
        """
        self.set_response_params(
            skip_payload=is_head,
            read_until_eof=True,
            auto_decompress=False,
            read_timeout=read_timeout,
            max_line_size=self._limits.size,
            max_field_size=self._limits.size,
            max_headers=self._limits.fields,
        )

    def set_response_params(self, **options: Any) -> None:
        """aiohttp begins an exchange."""
        self._expects_head = True
        super().set_response_params(**options)

    def _receive_whole(self, data: bytes) -> None:
        self._pieces.append(data)
        head = self._head
        if head is None:
            self._head = head = read_fast_head(data, self._limits)
            if head is None or not self._may_read_whole(head):
                self._hand_to_aiohttp()
                return
            self._left = head.size + head.length
            if head.keep_alive is not None:
                self.lifetime.announce(head.keep_alive)
        self._left -= len(data)
        if self._left <= 0 and self._whole is not None:
            whole, self._whole, self._head = self._whole, None, None
            pieces, self._pieces = self._pieces, []
            if self._left:
                if data[self._left :].strip(b"\r\n"):
                    self.force_close()  # the response is complete; these bytes belong to no request
                pieces[-1] = data[: self._left]
            pieces[0] = pieces[0][head.size :]
            if not whole.done():
                whole.set_result((head, b"".join(pieces)))

    def _may_read_whole(self, head: FastHead) -> bool:
        """A body that is too large, or slow to decode, is read in pieces; that of a redirect is hardly waited for."""
        if head.status in REDIRECT_CODES:
            return False
        is_long = head.is_encoded and head.length > _DECODED_AT_ONCE
        return not is_long and (self._max_size is None or head.length <= self._max_size)

    def _hand_to_aiohttp(self) -> None:
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
        if self._parser is not None and _has_partial_response(self._parser):
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
        if data and self.is_idle:  # aiohttp calls this without data, to continue with its buffer
            self.force_close()
        if self._whole is not None:
            self._receive_whole(data)
            return
        # llhttp drops a response if it finds a fault after it in the same bytes. So it gets each head alone.
        start = 0
        while self._expects_head and self.fatal_error is None and (match := _END_OF_HEAD(data, start)):
            self._parse(data[start : match.end()])
            start = match.end()
        if not start:
            self._parse(data)
        elif start < len(data):
            self._parse(data[start:])

    def _parse(self, data: bytes) -> None:
        parser: Any = self._parser
        if type(parser) is _RestOfBody and 0 < len(data) < parser.left:  # within a body
            if self._read_timeout:
                self._reschedule_timeout()
            parser.feed_data(data)
        else:
            # Blank lines do not start a response.
            self.response_started = self.response_started or not data.isspace()
            self._parse_by_aiohttp(data)
        if self._length is not None:
            self._skip_parser_for_body()
        if self._data is not None:
            self._wake_reader()

    def _parse_by_aiohttp(self, data: bytes) -> None:
        """Have aiohttp parse the data, which must not go on without end before it completes a head or is of a body."""
        payload = self._payload
        before = 0 if payload is None else payload.total_bytes
        unproductive = self._unproductive = self._unproductive + len(data)
        super().data_received(data)
        if self._unproductive != unproductive:  # it completed a head
            return
        if not self._expects_head and (payload is None or payload.is_eof() or payload.total_bytes != before):
            self._unproductive = 0
        elif unproductive > (self._limits.total if self._expects_head else self._limits.between):
            self._refuse(TOO_LARGE)

    def _refuse(self, reason: str) -> None:
        """Raise an error to the reader of the response."""
        if self.fatal_error is None:
            self.fatal_error = NotHttpError(reason)
            self.set_exception(HttpProcessingError(message=reason))

    def _skip_parser_for_body(self) -> None:
        length, self._length = self._length, None
        payload = self._payload
        if length and payload is not None and not payload.is_eof():
            self._parser = _RestOfBody(payload, length - payload.total_bytes)  # type: ignore[assignment]  # duck-typed

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Have the transport resume reading; aiohttp calls this for every piece that is taken."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def feed_data(self, data: Any, size: int = 0) -> None:
        """Pass on the head of a response to its reader, unless `framing` refuses it."""
        if self.fatal_error is not None:
            return  # data after a refused response must not be taken for the response
        if not self._expects_head:  # another response, which nobody requested
            self._payload = None
            self.force_close()
            return
        message = data[0]
        try:
            _check_head(message)
        except NotHttpError:
            self._refuse(MALFORMED)
            return
        self._unproductive = 0
        self._heads_size += _head_size(message)
        if self._heads_size > self._limits.total:
            self._refuse(TOO_LARGE)
            return
        self.response_started = False
        self._expects_head = message.code < 200 and message.code != 101
        if not self._expects_head:
            self._heads_size = 0
            keep_alive = message.headers.get("Keep-Alive")
            if keep_alive is not None:
                self.lifetime.announce(keep_alive)
        self._length = None if message.chunked else int(message.headers.get("Content-Length", 0))
        if message.code == 101:  # the data that follows is no longer HTTP
            self.force_close()
        elif message.version.minor == 0 or self._skip_payload:
            # llhttp sees the keep-alive of HTTP/1.0 but not a close beside it, and takes a response to HEAD
            # without a length for one that ends with the connection.
            if _is_to_be_closed(message):
                self.force_close()
            elif message.version.minor:
                self._should_close = False
        super().feed_data(data, size)

    def set_exception(self, exc: Any, exc_cause: Any = None) -> None:
        """Raise an error to the response's reader. aiohttp reports a protocol error by this method alone."""
        is_complete = not self._expects_head and (self._payload is None or self._payload.is_eof())
        if self.fatal_error is None and isinstance(exc, HttpProcessingError) and not is_complete:
            too_large = isinstance(exc_cause, LineTooLong) or "Too many" in exc.message
            self.fatal_error = NotHttpError(TOO_LARGE if too_large else MALFORMED)
        super().set_exception(exc, *(() if exc_cause is None else (exc_cause,)))
        if self.fatal_error is not None and self._payload is not None and not self._payload.is_eof():
            self._payload.set_exception(aiohttp.ClientPayloadError())  # or its reader would wait forever

    def close(self) -> None:
        """aiohttp closes the connection: after an exchange, or with its connector in the middle of one."""
        payload = self._payload
        if self.transport is not None and write_buffer_size(self.transport):
            self.transport.abort()  # closing would first flush an upload that the server may never read
        super().close()  # forgets the payload: its reader would wait until its timeout
        if payload is not None and not payload.is_eof() and payload.exception() is None:
            payload.set_exception(aiohttp.ClientPayloadError("the connection was closed in mid-body"))

    def connection_lost(self, exc: BaseException | None) -> None:
        """asyncio reports that the connection is gone, with the error; None after an orderly end."""
        if self.fatal_error is None and isinstance(exc, OSError):
            self.fatal_error = exc.with_traceback(None)
        if self._whole is not None and not self._whole.done():  # after a timeout nobody reads the response
            self._hand_to_aiohttp()
        self._on_lost(self)
        transport = self.transport
        super().connection_lost(exc)
        if self._data is not None:
            self._wake_reader()
        if transport is not None:
            transport.close()  # Python 3.10 would warn about an unclosed TLS transport


class _RestOfBody:
    """Replaces aiohttp's parser for the rest of a body of known length, which it passes on unparsed.

    left: bytes still to come.
    """

    def __init__(self, payload: aiohttp.StreamReader, left: int) -> None:
        self._payload = payload
        self.left = left

    def feed_data(self, data: bytes) -> tuple[tuple[()], bool, bytes]:
        """As aiohttp's parser: the messages that begin here (none), whether it is an upgrade, and the bytes after it.

        Raises BadHttpMessage for anything but line ends after the body; the body is complete by then.
        """
        left = self.left
        if left and data:
            piece = bytes(data[:left])  # no copy where it is all of them; a proactor may pass a bytearray
            self.left -= len(piece)
            self._payload.feed_data(piece)
            if not self.left:
                self._payload.feed_eof()
        if data[left:].strip(b"\r\n"):
            raise BadHttpMessage("unexpected data after the response")
        return (), False, b""

    def feed_eof(self) -> None:
        """The connection is gone. Raises ContentLengthError in mid-body."""
        if self.left:
            raise ContentLengthError("the connection ended before the body did")

    def pause_reading(self) -> None:
        """Nothing: this parser buffers no data, and the transport pauses."""


def _has_partial_response(parser: Any) -> bool:
    """Whether an unrequested response has begun; the next exchange would replace the parser and lose that."""
    try:
        return parser.feed_eof() is not None
    except Exception:  # of whatever kind: the parser is not between two responses
        return True


def _check_head(message: Any) -> None:
    """Raises NotHttpError for a head that llhttp must not have accepted (see `framing`)."""
    headers = message.headers
    codings = headers.getall("Transfer-Encoding", ())
    is_read_in_chunks = is_chunked(message.code, headers.getall("Content-Length", ()), codings)
    if is_read_in_chunks != message.chunked or b" " in b"".join([name for name, _ in message.raw_headers]):
        raise NotHttpError(MALFORMED)


def _head_size(message: Any) -> int:
    """The bytes of a head as servers write it; aiohttp does not say how many there were."""
    fields = sum([len(name) + len(value) + 4 for name, value in message.raw_headers])
    return len("HTTP/1.1 200 \r\n\r\n") + len(message.reason) + fields


def _is_to_be_closed(message: Any) -> bool:
    names = ("Connection", "Proxy-Connection")
    return any("close" in value.lower() for name in names for value in message.headers.getall(name, ()))

"""aiohttp's protocol of one connection, made to notice what aiohttp lets pass.

It remembers how often it served and what it died of; it refuses the heads that `framing` refuses, which llhttp
would take; it knows when something came that nobody asked for. A broken rule of HTTP in mid-body is told to
the reader of the body, whom aiohttp would leave waiting.

A response that is plain and wanted whole is read here, past aiohttp's parser and its stream of the body
(`ask`); what has come of any other is handed to them as it came. Where the body's length is known, what is left
of it behind the head goes past the parser, which would copy it (`_RestOfBody`).

What is private to aiohttp here: `_buffer`, `_parser`, `_payload`, `_skip_payload`, `_should_close`, `_read_timeout`,
`_reschedule_timeout`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import BadHttpMessage, ContentLengthError, HttpProcessingError, LineTooLong

from ...http.http1.errors import NotHttpError
from ...http.http1.fast_path import FastHead, read_fast_head
from ...http.http1.framing import MALFORMED, TOO_LARGE, HeadLimits, is_chunked
from ..network.polling import readiness_of

__all__ = ["StrictResponseHandler"]

_DECODED_AT_ONCE = 64 * 1024  # bytes as they come; to decode more would stop the loop for milliseconds


class StrictResponseHandler(ResponseHandler):
    """One connection.

    served: exchanges so far.   is_idle: nobody asks anything of it.   died_of: what it ended with, where that
    was more than its orderly end.   has_begun: a response, or a part of one, has come to this exchange.
    key: the connector's, of those that would do as well.
    """

    served = 0
    is_idle = False
    has_begun = False
    key: Any = None
    died_of: Exception | None = None
    _asked: asyncio.Future[Any] | None = None  # for a whole answer
    _head: FastHead | None = None  # of the answer, once it is there
    _pieces: list[bytes]  # of the answer, head included
    _left = 0  # bytes of it to come
    _length: int | None = None  # of the body whose head has just come
    _data: asyncio.Future[Any] | None = None  # for more of a body
    _is_readable: Callable[[], object] | None = None  # its socket, once that was asked

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: HeadLimits, most: int | None) -> None:
        super().__init__(loop)
        self._limits = limits
        self._most = most  # bytes of a body

    def ask(self, request: bytes) -> asyncio.Future[Any]:
        """Send a request that is not HEAD.

        The future's result is the FastHead and the body as it came, or None when aiohttp reads the response.
        """
        self._parser = self._payload = self._head = None
        self._pieces = []
        self._asked = asked = self._loop.create_future()
        self.transport.write(request)  # type: ignore[union-attr]  # it was fit a moment ago
        return asked

    def begin_parsing(self, is_head: bool = False, read_timeout: float | None = None) -> None:
        """Have aiohttp read the response.   read_timeout: seconds of silence."""
        self.set_response_params(
            skip_payload=is_head,
            read_until_eof=True,
            auto_decompress=False,
            read_timeout=read_timeout,
            max_line_size=self._limits.size,
            max_field_size=self._limits.size,
            max_headers=self._limits.fields,
        )

    def _receive_whole(self, data: bytes) -> None:
        self._pieces.append(data)
        head = self._head
        if head is None:
            self._head = head = read_fast_head(data, self._limits)
            if head is None or not self._is_read_here(head):
                self._leave_to_aiohttp()
                return
            self._left = head.size + head.length
        self._left -= len(data)
        if self._left < 0:
            self._leave_to_aiohttp()
        elif not self._left and self._asked is not None:
            asked, self._asked, self._head = self._asked, None, None
            pieces, self._pieces = self._pieces, []
            pieces[0] = pieces[0][head.size :]
            if not asked.done():
                asked.set_result((head, b"".join(pieces)))

    def _is_read_here(self, head: FastHead) -> bool:
        """A body that is too large, or that takes its time to be decoded, is taken in pieces."""
        is_long = head.is_encoded and head.length > _DECODED_AT_ONCE
        return not is_long and (self._most is None or head.length <= self._most)

    def _leave_to_aiohttp(self) -> None:
        asked, self._asked, self._head = self._asked, None, None
        pieces, self._pieces = self._pieces, []
        self.begin_parsing()
        for piece in pieces:
            self.data_received(piece)
        if asked is not None and not asked.done():
            asked.set_result(None)

    def next_data(self) -> asyncio.Future[Any]:
        """Done when something has come, or the connection is gone. RuntimeError while somebody waits already."""
        if self._data is not None and not self._data.done():
            raise RuntimeError("another task is already reading this body; read it in one task only")
        self._data = data = self._loop.create_future()
        return data

    def _tell_of_data(self) -> None:
        data, self._data = self._data, None
        if data is not None and not data.done():  # given up
            data.set_result(None)

    def is_reusable(self) -> bool:
        """Whether an idle connection may serve another exchange: whole, and silent since the last one."""
        transport = self.transport
        if transport is None or transport.is_closing() or self.should_close:
            return False
        if self._parser is not None and _holds_half_a_response(self._parser):
            return False
        # Bytes, or an end, that the event loop has not read yet make it unfit.
        if self._is_readable is None:
            sock = transport.get_extra_info("socket")
            if sock is None or sock.fileno() < 0:
                return False
            self._is_readable = readiness_of(sock)
        return not self._is_readable()

    def data_received(self, data: bytes) -> None:
        """Bytes from the event loop; those that come while nobody asks make the connection unfit."""
        if data and self.is_idle:  # aiohttp calls it without data, to go on with what it has
            self.force_close()
        if self._asked is not None:
            self._receive_whole(data)
            return
        parser: Any = self._parser
        if type(parser) is _RestOfBody and 0 < len(data) < parser.left:  # in the midst of a body
            if self._read_timeout:
                self._reschedule_timeout()
            parser.feed_data(data)
        else:
            self.has_begun = self.has_begun or not data.isspace()  # blank lines are no beginning
            super().data_received(data)
        if self._length is not None:
            self._read_past_the_parser()
        if self._data is not None:
            self._tell_of_data()

    def _read_past_the_parser(self) -> None:
        length, self._length = self._length, None
        payload = self._payload
        if length and payload is not None and not payload.is_eof():
            self._parser = _RestOfBody(payload, length - payload.total_bytes)  # type: ignore[assignment]  # as much of one

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Have the transport go on reading; aiohttp asks for it at every piece that is taken."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def feed_data(self, data: Any, size: int = 0) -> None:
        """The head of a response, on its way to whoever waits for it: refused where both worlds refuse it."""
        if self.died_of is not None:
            return  # what stands behind a refused response must not be taken for it
        message = data[0]
        try:
            _check(message)
        except NotHttpError:
            self._buffer.clear()  # one that stands before it in the same bytes falls with it, as where llhttp fails
            self.set_exception(HttpProcessingError(message=MALFORMED))
            return
        self.has_begun = False
        self._length = None if message.chunked else int(message.headers.get("Content-Length", 0))
        if message.code == 101:  # what follows is no longer HTTP
            self.force_close()
        elif message.version.minor == 0 or self._skip_payload:
            # llhttp sees the keep-alive of HTTP/1.0 and not the close beside it, and takes the answer to HEAD
            # that names no length for one that ends with the connection.
            if _is_to_be_closed(message):
                self.force_close()
            elif message.version.minor:
                self._should_close = False
        super().feed_data(data, size)

    def set_exception(self, exc: Any, exc_cause: Any = None) -> None:
        """What is told to the reader of the response; a broken rule of HTTP is only told here."""
        if self.died_of is None and isinstance(exc, HttpProcessingError):
            too_large = isinstance(exc_cause, LineTooLong) or "Too many" in exc.message
            self.died_of = NotHttpError(TOO_LARGE if too_large else MALFORMED)
        super().set_exception(exc, *(() if exc_cause is None else (exc_cause,)))
        if self.died_of is not None and self._payload is not None and not self._payload.is_eof():
            self._payload.set_exception(aiohttp.ClientPayloadError())  # or its reader would wait for ever

    def connection_lost(self, exc: BaseException | None) -> None:
        """asyncio's word that the connection is gone, and why: None for its orderly end."""
        if self.died_of is None and isinstance(exc, OSError):
            self.died_of = exc.with_traceback(None)
        if self._asked is not None:
            self._leave_to_aiohttp()
        transport = self.transport
        super().connection_lost(exc)
        if self._data is not None:
            self._tell_of_data()
        if transport is not None:
            transport.close()  # Python 3.10 would warn that the TLS one was not


class _RestOfBody:
    """In the place of aiohttp's parser: what is left of a body of so many bytes, handed on as it comes.

    left: bytes of it to come.
    """

    def __init__(self, payload: aiohttp.StreamReader, left: int) -> None:
        self._payload = payload
        self.left = left

    def feed_data(self, data: bytes) -> tuple[tuple[()], bool, bytes]:
        """The messages that begin here (none), whether the connection leaves HTTP, and what is behind that.

        Raises BadHttpMessage for anything behind the body but line ends; the body is whole by then.
        """
        left = self.left
        if left and data:
            piece = bytes(data[:left])  # no copy where it is all of them; a proactor may give a bytearray
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
        """Nothing is held back here: the transport rests."""


def _holds_half_a_response(parser: Any) -> bool:
    """Whether something has begun that nobody asked for; the next exchange would replace the parser."""
    try:
        return parser.feed_eof() is not None
    except Exception:  # whatever it is, it is no end of a response
        return True


def _check(message: Any) -> None:
    """Raises NotHttpError for a head that has been read as it must not be (see `framing`)."""
    headers = message.headers
    codings = headers.getall("Transfer-Encoding", ())
    is_read_in_chunks = is_chunked(message.code, headers.getall("Content-Length", ()), codings)
    if is_read_in_chunks != message.chunked or b" " in b"".join([name for name, _ in message.raw_headers]):
        raise NotHttpError(MALFORMED)


def _is_to_be_closed(message: Any) -> bool:
    names = ("Connection", "Proxy-Connection")
    return any("close" in value.lower() for name in names for value in message.headers.getall(name, ()))

"""aiohttp's protocol of one connection, made to notice what aiohttp lets pass.

It remembers how often it served and what it died of; it refuses the heads that `framing` refuses, which llhttp
would take; it knows when something came that nobody asked for. A broken rule of HTTP in mid-body is told to
the reader of the body, whom aiohttp would leave waiting.

What is private to aiohttp here: `_buffer`, `_parser`, `_payload`, `_skip_payload`, `_should_close`.
"""

from __future__ import annotations

from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from .failures import NotHttpError
from .framing import MALFORMED, TOO_LARGE, is_chunked
from .readiness import is_readable

__all__ = ["MindfulProtocol"]


class MindfulProtocol(ResponseHandler):
    """One connection.

    served: exchanges so far.   is_idle: nobody asks anything of it.   died_of: what it ended with, where that
    was more than its orderly end.   has_begun: a response, or a part of one, has come to this exchange.
    """

    served = 0
    is_idle = False
    has_begun = False
    died_of: Exception | None = None

    def is_fit(self) -> bool:
        """Whether an idle connection may serve another exchange: whole, and silent since the last one."""
        return not (self.should_close or self._has_begun_another() or self._has_something_to_say())

    def _has_begun_another(self) -> bool:
        # The parser, which the next exchange replaces, holds half of a response that nobody asked for.
        try:
            return self._parser is not None and self._parser.feed_eof() is not None
        except Exception:  # whatever it is, it is no end of a response
            return True

    def _has_something_to_say(self) -> bool:
        # Bytes, or an end, that the event loop has not read yet.
        sock = self.transport.get_extra_info("socket") if self.transport is not None else None
        return sock is None or sock.fileno() < 0 or is_readable(sock)

    def data_received(self, data: bytes) -> None:
        """Bytes from the event loop; those that come while nobody asks make the connection unfit."""
        if data and self.is_idle:  # aiohttp calls it without data, to go on with what it has
            self.force_close()
        self.has_begun = self.has_begun or not data.isspace()  # blank lines are no beginning
        super().data_received(data)

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
        transport = self.transport
        super().connection_lost(exc)
        if transport is not None:
            transport.close()  # Python 3.10 would warn that the TLS one was not


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

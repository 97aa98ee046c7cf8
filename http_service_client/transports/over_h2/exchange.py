"""One exchange over HTTP/2, in steps: connect and send the head, send the body, receive the response.

The asyncio transport takes the steps one after another. The blocking one does so for a body in memory; it reads any
other body on the calling thread, between the steps. Each wait has its own limit, so it is known which limit ended an
exchange, and in which phase.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from dataclasses import replace
from io import BytesIO
from typing import Any

from h2.exceptions import H2Error

from ...core.effects import Outcome
from ...core.open_body import OpenResponse
from ...core.outcomes import ended_by_close
from ...core.timeouts import TIMER_SLACK, Timeout
from ...errors import ConnectionLostError, DecodingError, Failure, HttpClientError, ResponseError, SentState
from ...http.content_codings.decoder import Decoder, UndecodedBody
from ...http.headers import Headers, ends_connection
from ...http.http1.errors import NotHttpError
from ...http.http1.framing import RawFields
from ...http.messages import HttpRequest, HttpResponse
from ...http.redirects import leads_on
from ...http.urls import Url, redact_url, split_url
from ..base import REDIRECT_BODY, REDIRECT_WAIT, TransportSettings, smaller
from ..failures import Phase, failure_of, refusal_of
from ..over_aiohttp.decoding import decode_into
from ..over_aiohttp.sessions import LoopSessions
from .connection import Http2Connection
from .heads import ResponseHead, request_fields
from .pool import ConnectingTimeoutError, Http2Pool
from .source_reader import SourceReader
from .stream import Http1RequiredError, Http2Stream, NotProcessedError

__all__ = ["Http2BodySource", "Http2Exchange"]

_ERRORS = (OSError, NotHttpError, NotProcessedError, ConnectingTimeoutError, H2Error)


class Http2Exchange:
    """One exchange on the running loop.

    Each step returns a Failure, or None. After one, or at the end, call `close`.
    is_for_http1: the origin does not speak HTTP/2, and nothing was sent.
    """

    def __init__(
        self, request: HttpRequest, timeout: Timeout, settings: TransportSettings, sessions: LoopSessions
    ) -> None:
        self.is_for_http1 = False
        self._request = request
        self._timeout = timeout
        self._settings = settings
        self._sessions = sessions
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._phase = Phase.CONNECT
        self._pool: Http2Pool  # once there is one, as the next two
        self._connection: Http2Connection
        self._sent_at: float
        self._stream: Http2Stream | None = None

    # The steps.

    async def begin(self) -> Failure | None:
        """Have a connection, and send the head of the request."""
        url = split_url(self._request.url)
        try:
            self._pool = await self._sessions.get()
            while True:
                connection = await self._pool.acquire(url, self._timeout.connect, self._left(None))
                if connection is None:
                    self.is_for_http1 = True
                    return None
                self._phase = Phase.RECEIVE
                try:
                    self._open(connection, url)
                    return None
                except NotProcessedError:  # it has no stream left
                    self._phase = Phase.CONNECT
        except HttpClientError as refused:
            return refusal_of(refused)
        except _ERRORS as error:
            return self._failure(error)

    def _open(self, connection: Http2Connection, url: Url) -> None:
        request = self._request
        self._connection = connection
        self._stream = connection.open_stream(
            request_fields(request, url), request.method, ends=request.body.length == 0
        )
        self._sent_at = self._loop.time()
        if ends_connection(request.headers):
            connection.drain()

    async def send(self, data: bytes) -> Failure | None:
        """Send a piece of the body. The rest is dropped once the server does not want it."""
        connection, stream = self._live()
        sent, since, limit = 0, self._loop.time(), self._timeout.write
        try:
            while sent < len(data) and not self.is_answered:
                # A source may take its time, and where there is room, nothing waits.
                if self._left(None) == 0.0:
                    raise TimeoutError
                room = connection.room_for(stream)
                if room > 0:
                    connection.send(stream, data[sent : sent + room])
                    sent, since = sent + room, self._loop.time()
                    continue
                self._phase = Phase.SEND
                connection.read_on(stream, self._settings.most_early)
                # What happens on the connection also wakes this stream, and is no progress of it.
                await self._wait(
                    stream, None if limit is None else max(0.0, since + limit - self._loop.time())
                )
        except _ERRORS as error:
            return self._failure(error)
        self._phase = Phase.RECEIVE
        return None

    async def send_from(self, chunks: AsyncIterator[bytes]) -> Failure | None:
        """Send an asynchronous body to its end. The rest is dropped once the server does not want it.

        The caller's code may wait for long: the time for the whole, and the server's response, end that.
        Raises what the caller's code raises.
        """
        reader = SourceReader(chunks, self._live()[1].wake)
        may_wait = True
        try:
            while not self.is_answered:
                reader.want()
                if (failure := await self._until_ready(reader)) is not None:
                    return failure
                if self.is_answered:
                    break
                if (chunk := reader.take()) is None:
                    self.end()
                    break
                if (failure := await self.send(chunk)) is not None:
                    return failure
            return None
        except GeneratorExit:  # this coroutine is being closed and must not await
            may_wait = False
            raise
        finally:
            await reader.close(may_wait)

    async def _until_ready(self, reader: SourceReader) -> Failure | None:
        """Wait for the next chunk, or for the response."""
        connection, stream = self._live()
        try:
            while not reader.is_ready and not self.is_answered:
                connection.read_on(stream, self._settings.most_early)
                await self._wait(stream, None)
        except TimeoutError as error:
            return self._failure(error)
        return None

    def end(self) -> None:
        """The body is complete."""
        connection, stream = self._live()
        if not self.is_answered:
            connection.send(stream, b"", ends=True)
            self._sent_at = self._loop.time()

    @property
    def is_answered(self) -> bool:
        """Whether sending the rest of the body no longer matters.

        The head of a success alone is not enough: a server may begin its response while it reads the request, and a
        body that is cut off would count as received.
        """
        _, stream = self._live()
        is_refused = stream.head is not None and stream.head.status >= 300
        return is_refused or stream.is_complete or stream.error is not None

    async def finish(self, leaves_open: bool = False) -> Outcome:
        """The response.   leaves_open: leave the body of a success unread."""
        connection, stream = self._live()
        request = self._request
        try:
            head = await self._head(stream)
            if leaves_open and head.status < 300:  # h2 lets no other below 200 through
                source = Http2BodySource(self, connection, stream)
                self._stream = None  # the source releases it
                return OpenResponse(
                    head.status, source=source, waited=self._loop.time() - self._sent_at, **self._about(head)
                )
            location = Headers(RawFields(head.fields)).get("Location")
            if leads_on(request, head.status, location):
                content = await self._redirect(connection, stream, head)
            else:
                self._timeout = self._timeout.in_body()
                content = await self._body(connection, stream, head, self._timeout.read)
            return HttpResponse(head.status, content=content, **self._about(head))
        except HttpClientError as refused:
            return refusal_of(refused)
        except _ERRORS as error:
            return self._failure(error)

    async def read_open(
        self, connection: Http2Connection, stream: Http2Stream, timeout: Timeout
    ) -> bytes | Failure:
        """More of a body that was left open."""
        bounds = [each for each in (timeout.read, timeout.total) if each is not None]
        limit = min(bounds) if bounds else None
        self._began, self._timeout = self._loop.time(), timeout
        try:
            return await self._piece(connection, stream, limit)
        except TimeoutError:
            self._timeout = timeout if limit == timeout.total else replace(timeout, total=None)
            return self._failure(TimeoutError())
        except _ERRORS as error:
            return self._failure(error)

    def close(self) -> None:
        """Release the stream, unless a body source has it. A second time does nothing."""
        stream, self._stream = self._stream, None
        if stream is not None:
            self._connection.release(stream)

    # Their parts.

    def _live(self) -> tuple[Http2Connection, Http2Stream]:
        assert self._stream is not None
        return self._connection, self._stream

    async def _head(self, stream: Http2Stream) -> ResponseHead:
        timeout = self._timeout
        limit = timeout.read if timeout.first_byte is None else timeout.first_byte
        while stream.head is None:  # h2 lets no stream end without one
            if stream.error is not None:
                raise stream.error
            left = None if limit is None else max(0.0, self._sent_at + limit - self._loop.time())
            await self._wait(stream, left)
        return stream.head

    async def _redirect(self, connection: Http2Connection, stream: Http2Stream, head: ResponseHead) -> bytes:
        """The body of a redirect that is followed: empty if it is not complete soon (see `base.REDIRECT_WAIT`)."""
        left = self._left(None)
        seconds = min(REDIRECT_WAIT, math.inf if left is None else left / 2)
        until = self._loop.time() + seconds
        try:
            return await self._body(connection, stream, head, seconds, REDIRECT_BODY, until)
        except (*_ERRORS, ResponseError):
            return b""

    async def _body(
        self,
        connection: Http2Connection,
        stream: Http2Stream,
        head: ResponseHead,
        limit: float | None,
        most: int | None = None,
        until: float | None = None,
    ) -> bytes:
        """The decoded body.   limit: seconds of each wait.   most: bytes.   until: an instant by which it must end."""
        coding, headers = None, Headers(RawFields(head.fields))
        if self._settings.decompresses(self._request, head.status, headers):
            coding = ", ".join(headers.get_all("Content-Encoding"))
        decoder = Decoder(coding, smaller(most, self._settings.max_response_size))
        undecoded = UndecodedBody(decoder)
        body = BytesIO()
        try:
            while piece := await self._piece(connection, stream, limit, until):
                undecoded.add(piece)
                await decode_into(body, decoder, piece)
            decoder.finish()
        except DecodingError as error:
            while piece := await self._piece(connection, stream, limit, until):
                undecoded.add(piece)
            error.response = HttpResponse(head.status, content=undecoded.content, **self._about(head))
            raise
        return body.getvalue()

    async def _piece(
        self,
        connection: Http2Connection,
        stream: Http2Stream,
        limit: float | None,
        until: float | None = None,
    ) -> bytes:
        """Some bytes of the body, b"" at its end."""
        now = self._loop.time()
        expires_at = None if limit is None else now + limit
        if until is not None:
            expires_at = until
        while True:
            if data := connection.take(stream):
                return data
            if stream.is_complete:
                return b""
            if stream.error is not None:
                raise stream.error
            left = None if expires_at is None else max(0.0, expires_at - self._loop.time())
            await self._wait(stream, left)

    async def _wait(self, stream: Http2Stream, limit: float | None) -> None:
        """Wait for a change of the stream. Raises TimeoutError when the limit, or the time for the whole, is over."""
        began, liveness = self._loop.time(), self._connection.liveness
        if await stream.wait(self._left(limit)):
            return
        if liveness.heard_at < (began + self._loop.time()) / 2:
            liveness.doubt()  # nothing at all has arrived for a while
        raise TimeoutError

    def _left(self, limit: float | None) -> float | None:
        """Seconds that a wait may take."""
        total = self._timeout.total
        if total is None:
            return limit
        left = max(0.0, self._began + total - self._loop.time())
        return left if limit is None else min(left, limit)

    def _about(self, head: ResponseHead) -> dict[str, Any]:
        return {
            "headers": RawFields(head.fields),
            "url": self._request.url,
            "request": self._request,
            "elapsed": self._loop.time() - self._began,
            "http_version": "HTTP/2",
        }

    def _failure(self, error: Exception) -> Failure:
        failure = self._classified(error)
        return ended_by_close(failure) if self._sessions.is_closed else failure

    def _classified(self, error: Exception) -> Failure:
        request, timeout = self._request, self._timeout
        if isinstance(error, Http1RequiredError):
            self._pool.avoid(split_url(request.url).origin)
        if isinstance(error, NotProcessedError):
            message = f"{redact_url(request.url)}: {error}"
            return Failure(ConnectionLostError, message, SentState.REFUSED)
        if isinstance(error, ConnectingTimeoutError):
            error = TimeoutError()
        elif isinstance(error, H2Error):
            error = NotHttpError(detail=f"it breaks the rules of HTTP/2: {error}")
        left = self._left(None)
        timed_out = left is not None and left <= TIMER_SLACK
        return failure_of(self._phase, error, request, timeout, timed_out)


class Http2BodySource:
    """The body of a response of which only the head has been read."""

    def __init__(
        self,
        exchange: Http2Exchange,
        connection: Http2Connection,
        stream: Http2Stream,
    ) -> None:
        self._exchange = exchange
        self._connection = connection
        self._stream = stream

    async def read_async(self, timeout: Timeout) -> bytes | Failure:
        return await self._exchange.read_open(self._connection, self._stream, timeout)

    def close(self) -> None:
        self._connection.release(self._stream)

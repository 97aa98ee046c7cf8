"""One exchange over a connection of our own, in steps: connect, send, receive.

Each wait has its own limit, so it is known which limit ended an exchange, and in which phase. Nothing is cancelled but
the making of a connection, and the reading of an async source of a body.
"""

from __future__ import annotations

import asyncio
import math
from functools import partial
from io import BytesIO
from typing import Any

from ...core.effects import TIMED_OUT, Outcome
from ...core.open_body import OpenResponse
from ...core.outcomes import already_closed, ended_by_close
from ...core.timeouts import Timeout
from ...errors import DecodingError, Failure, HttpClientError, ResponseError, innermost
from ...http.content_codings.decoder import Decoder, UndecodedBody
from ...http.headers import Headers, ends_connection
from ...http.http1.errors import NotHttpError
from ...http.http1.fast_path import FastHead
from ...http.http1.head import Head
from ...http.messages import HttpRequest, HttpResponse
from ...http.proxies.urls import Proxy, read_proxy
from ...http.redirects import leads_on
from ...http.urls import Url, split_url
from ..base import REDIRECT_BODY, REDIRECT_WAIT, TransportSettings, smaller
from ..failures import (
    BodySourceError,
    Phase,
    PhaseError,
    ProxyRefusedError,
    failure_of,
    refusal_of,
    source_failed,
)
from .asyncio_transports import end_task
from .connection import Connection
from .connector import connect
from .decoding import decode_into
from .exchange_timeouts import Limits, shorter
from .heads import head_bytes, request_bytes
from .pool import Pool
from .sessions import LoopSessions
from .upload import Upload, is_short

__all__ = ["Exchange", "may_go_whole", "response_of", "whole_response"]

_ERRORS = (OSError, UnicodeError, NotHttpError, ProxyRefusedError, PhaseError)


class Exchange:
    """One exchange on the running loop. `run` performs it."""

    def __init__(
        self, request: HttpRequest, timeout: Timeout, settings: TransportSettings, pools: LoopSessions
    ) -> None:
        self._request = request
        self._limits = Limits(timeout)
        self._settings = settings
        self._pools = pools
        self._sent_at = self._limits.began
        self._phase = Phase.CONNECT
        self._pool: Pool
        self._connection: Connection | None = None
        self._early = BytesIO()  # what was taken of the body already
        self._head: Head | FastHead
        self._is_sent = True
        self._is_complete = False

    async def run(
        self, sent: tuple[Pool, Connection, float] | None = None, *, leaves_open: bool = False
    ) -> Outcome:
        """The outcome.

        sent: the pool and the connection that the request was sent on, by `request_whole`, and the instant.
        leaves_open: leave the body of a success unread.
        """
        is_open = False
        error: Exception
        try:
            if sent is None:
                outcome = await self._send(leaves_open)
            else:
                self._pool, self._connection, began = sent
                self._phase = Phase.RECEIVE
                self._limits.timers = self._pool.timers
                self._limits.began = self._sent_at = began
                outcome = await self._receive(leaves_open)
            is_open = isinstance(outcome, OpenResponse)
            return outcome
        except HttpClientError as refused:
            return refusal_of(refused)
        except (BodySourceError, *_ERRORS) as failed:
            error = failed
            self._distrust(failed)
        finally:
            if not is_open:
                self.close()
        try:
            if isinstance(error, BodySourceError):
                return source_failed(error.error)  # not while it is handled: each would refer to the other
            return self._failure(error)
        finally:
            del error  # its traceback holds this frame

    def close(self) -> None:
        """Close the connection, unless it is back in the pool. A second time does nothing."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()

    def _distrust(self, error: Exception) -> None:
        """If no response came, the connections that have been idle for longer are closed (see `lifetime`)."""
        connection = self._connection
        if connection is not None and isinstance(error, OSError) and not connection.has_head:
            self._pool.distrust(connection)

    # Sending.

    async def _send(self, leaves_open: bool) -> Outcome:
        request = self._request
        if self._pools.is_closed:
            return already_closed()
        proxy_url = self._settings.proxies.proxy_for(request.url)
        proxy = None if proxy_url is None else read_proxy(proxy_url)
        if isinstance(proxy, Failure):
            return proxy
        if proxy is not None:
            self._phase = Phase.PROXY
        url = split_url(request.url)
        self._pool = pool = await self._pools.get()
        if pool.closed:  # at this very moment
            return already_closed()
        self._limits.timers = pool.timers
        connection = pool.acquire(url.origin, proxy_url)
        if connection is None:
            connection = await self._connect(url, proxy)
            connection.key = (url.origin, proxy_url)
        self._connection = connection
        self._phase = Phase.RECEIVE
        timeout = self._limits.timeout
        if not leaves_open and may_go_whole(request, timeout):
            ends_at = None if timeout.total is None else self._limits.began + timeout.total
            result = await connection.request_whole(request_bytes(request, proxy), ends_at)
            if result is TIMED_OUT:
                raise TimeoutError
            if result is not None:
                return await self._whole(*result)
        else:
            connection.begin(request.method)
            await self._upload(connection, proxy)
            self._sent_at = self._limits.now()
        return await self._receive(leaves_open)

    async def _connect(self, url: Url, proxy: Proxy | None) -> Connection:
        """A new connection. Its task is cancelled when the time is over, and when the pool is closed."""
        pool, limit = self._pool, self._limits.timeout.connect
        ended = pool.loop.create_future()
        make = partial(connect, pool, url, proxy, self._settings, self._limits.left(limit))
        task = pool.begin(make, ended)
        connection: Connection | None = None
        may_wait = True
        try:
            if not await self._limits.wait(ended, limit):
                raise TimeoutError
            if task.cancelled():
                raise ConnectionResetError("closed while connecting")
            connection = task.result()
            if pool.closed:  # since then
                raise ConnectionResetError("closed while connecting")
            return connection
        except GeneratorExit:  # this coroutine is being closed and must not await
            may_wait = False
            raise
        finally:
            if connection is None:
                if task.done():
                    _close_late(task)
                else:
                    task.add_done_callback(_close_late)
                    await end_task(task, may_wait)
            del task  # it holds the error, whose traceback holds this frame

    async def _upload(self, connection: Connection, proxy: Proxy | None) -> None:
        request = self._request
        upload = Upload(connection, self._limits, self._settings.most_early)
        body = request.outgoing_body
        try:
            if body.length == 0 or is_short(body.content):
                connection.write(request_bytes(request, proxy))
            else:
                is_chunked = "Content-Length" not in request.headers
                connection.write(head_bytes(request, proxy, is_chunked))
                self._is_sent = await upload.send(body, is_chunked=is_chunked)
            if self._is_sent:
                await upload.finish()
        except TimeoutError:
            if upload.is_stuck:
                self._phase = Phase.SEND
            raise
        self._early = upload.early

    # Receiving.

    async def _receive(self, leaves_open: bool) -> Outcome:
        request, settings, connection = self._request, self._settings, self._live()
        self._head = head = await self._read_head()
        connection.keep_session()
        if settings.parser.tolerated:
            connection.parser.report_faults(settings.faults.for_origin(connection.key[0]))
        if head.keep_alive is not None:
            connection.lifetime.announce(head.keep_alive)
        if leaves_open and 200 <= head.status <= 299:
            waited = self._limits.now() - self._sent_at
            return OpenResponse(head.status, source=BodyReader(self), waited=waited, **self._about(head))
        if leads_on(request, head.status, Headers(head).get("Location")):
            content = await self._redirect()
        else:
            self._limits.timeout = timeout = self._limits.timeout.in_body()
            content = await self._body(timeout.read)
        return HttpResponse(head.status, content=content, **self._about(head))

    async def _read_head(self) -> Head | FastHead:
        connection, timeout = self._live(), self._limits.timeout
        until = None if timeout.first_byte is None else self._sent_at + timeout.first_byte
        while (head := connection.parser.read_head()) is None:
            await self._more(connection, timeout.read, until)
        return head

    async def _redirect(self) -> bytes:
        """The body of a redirect that is followed: empty if it is not complete soon (see `base.REDIRECT_WAIT`)."""
        if self._live().parser.ends_with_connection:
            return b""
        left = self._limits.left()
        seconds = min(REDIRECT_WAIT, math.inf if left is None else left / 2)
        try:
            return await self._body(None, REDIRECT_BODY, self._limits.now() + seconds)
        except (*_ERRORS, ResponseError):
            return b""

    async def _body(self, limit: float | None, most: int | None = None, until: float | None = None) -> bytes:
        """The decoded body.   limit: seconds of each wait.   most: bytes.   until: an instant by which it must end."""
        coding, head = None, self._head
        if head.is_encoded and self._settings.decompresses(self._request, head.status, Headers(head)):
            coding = _coding(head)
        decoder = Decoder(coding, smaller(most, self._settings.max_response_size))
        undecoded = UndecodedBody(decoder)
        body = BytesIO()  # no list: as objects of their own, tiny pieces would take many times their size
        try:
            while piece := await self._piece(limit, until):
                undecoded.add(piece)
                await decode_into(body, decoder, piece)
            decoder.finish()
        except DecodingError as error:
            while piece := await self._piece(limit, until):
                undecoded.add(piece)
            error.response = HttpResponse(
                self._head.status, content=undecoded.content, **self._about(self._head)
            )
            raise
        return body.getvalue()

    async def read_open(self, timeout: Timeout) -> bytes | Failure:
        """More of a body that was left open."""
        limit = shorter(timeout.read, timeout.total)
        limits = self._limits
        limits.began, limits.timeout = limits.now(), timeout
        error: BaseException
        timed_out = False
        try:
            return await self._piece(limit)
        except TimeoutError:
            error, timed_out = TimeoutError(), limit == timeout.total
        except _ERRORS as failed:
            error = failed
        try:
            return self._failure(error, timed_out)
        finally:
            del error

    async def _piece(self, limit: float | None, until: float | None = None) -> bytes:
        """Some bytes of the body, b"" at its end."""
        connection = self._connection
        if connection is None:
            if self._is_complete:
                return b""
            raise ConnectionResetError("closed in mid-body")
        if self._early.tell():
            piece: bytes | None = self._early.getvalue()
            self._early = BytesIO()
        else:
            if until is None and limit is not None:
                # For the whole wait, even if what arrives is no part of the body.
                until = self._limits.now() + limit
            while (piece := connection.parser.read_body()) is None:
                await self._more(connection, None, until)
        if connection.parser.is_complete and self._connection is connection:
            self._release(connection)
        return piece or b""

    def _release(self, connection: Connection) -> None:
        self._connection, self._is_complete = None, True
        if self._head.is_last or not self._is_sent or ends_connection(self._request.headers):
            connection.must_close = True
        self._pool.release(connection)

    async def _more(self, connection: Connection, limit: float | None, until: float | None) -> None:
        """Wait for more bytes, so many seconds at most, and until an instant. Raises TimeoutError, and what ended it."""
        if connection.is_lost or connection.error is not None:
            raise connection.error or ConnectionResetError("closed in mid-exchange")
        if until is not None:
            limit = max(0.0, until - self._limits.now())
        if not await self._limits.wait(connection.changed(), limit):
            raise TimeoutError

    # Its outcome.

    async def _whole(self, head: FastHead, content: bytes) -> Outcome:
        connection, self._connection = self._live(), None
        self._pool.release(connection)
        return await whole_response(self._settings, self._request, head, content, self._limits.began)

    def _live(self) -> Connection:
        assert self._connection is not None
        return self._connection

    def _about(self, head: Head | FastHead) -> dict[str, Any]:
        return {
            "headers": head,
            "reason_phrase": head.reason,
            "url": self._request.url,
            "request": self._request,
            "elapsed": self._limits.now() - self._limits.began,
        }

    def _failure(self, error: BaseException, timed_out: bool | None = None) -> Failure:
        phase = self._phase
        try:
            if isinstance(error, PhaseError):
                phase, error = error.phase, error.error
            if not isinstance(error, NotHttpError):
                error = innermost(error)  # which also drops the traceback, since a failure is kept
            if timed_out is None:
                timed_out = self._limits.are_reached
            proxy = self._settings.proxies.proxy_for(self._request.url)
            failure = failure_of(phase, error, self._request, self._limits.timeout, timed_out, proxy)
            return ended_by_close(failure) if self._pools.is_closed else failure
        finally:
            del error


class BodyReader:
    """The body of a response of which only the head has been read."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def read_async(self, timeout: Timeout) -> bytes | Failure:
        return await self._exchange.read_open(timeout)

    def close(self) -> None:
        self._exchange.close()


def may_go_whole(request: HttpRequest, timeout: Timeout) -> bool:
    """Whether an exchange may be one step: others need more timers than the total one, or end in another way."""
    return not (
        timeout.read
        or timeout.write
        or timeout.first_byte
        or timeout.between
        or request.method == "HEAD"
        or request.progress is not None
        or not is_short(request.body.content)
        or "Connection" in request.headers
    )


async def whole_response(
    settings: TransportSettings, request: HttpRequest, head: FastHead, content: bytes, began: float
) -> Outcome:
    """The response, decoded; a Failure if that cannot be done.   began: in the loop's time."""
    elapsed = asyncio.get_running_loop().time() - began
    if head.is_encoded and settings.decompresses(request, head.status, Headers(head)):
        try:
            decoder = Decoder(_coding(head), settings.max_response_size)
            body = BytesIO()
            await decode_into(body, decoder, content)
            decoder.finish()
            decoded = body.getvalue()
        except HttpClientError as refused:
            if isinstance(refused, DecodingError):
                refused.response = response_of(request, head, content, elapsed)
            return refusal_of(refused)
        content = decoded
    return response_of(request, head, content, elapsed)


def response_of(request: HttpRequest, head: FastHead, content: bytes, elapsed: float) -> HttpResponse:
    """The response to this request.   elapsed: seconds."""
    return HttpResponse(
        head.status,
        headers=head,
        content=content,
        reason_phrase=head.reason,
        url=request.url,
        request=request,
        elapsed=elapsed,
    )


def _coding(head: Head | FastHead) -> str:
    return ", ".join(Headers(head).get_all("Content-Encoding"))


def _close_late(task: asyncio.Task[Connection]) -> None:
    """Close a connection that was made, but too late."""
    if not task.cancelled() and task.exception() is None:
        task.result().abort()

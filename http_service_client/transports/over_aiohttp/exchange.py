"""One exchange over a connection of our own, in steps: connect, send, receive.

Each wait has its own limit, so it is known which limit ended an exchange, and in which phase. Nothing is cancelled but
the making of a connection.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import lru_cache
from io import BytesIO
from typing import Any

from ...core.effects import TIMED_OUT, Outcome
from ...core.open_body import OpenResponse
from ...core.outcomes import already_closed, ended_by_close
from ...core.timeouts import TIMER_SLACK, Timeout
from ...errors import DecodingError, Failure, HttpClientError, ResponseError, innermost
from ...http.bodies.encoding import RequestBody
from ...http.content_codings.decoder import Decoder, UndecodedBody
from ...http.headers import Headers, ends_connection
from ...http.http1.errors import NotHttpError
from ...http.http1.fast_path import FastHead
from ...http.http1.head import Head, head_of_request, request_head
from ...http.messages import HttpRequest, HttpResponse
from ...http.preparation import METHODS_WITHOUT_CONTENT
from ...http.proxies.urls import HttpProxy, Proxy, read_proxy
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
from .connection import Connection
from .connector import connect
from .decoding import decode_into
from .pool import Pool
from .sessions import LoopSessions

__all__ = ["Exchange", "is_short", "may_go_whole", "request_bytes", "response_of", "whole_response"]

_ERRORS = (OSError, UnicodeError, NotHttpError, ProxyRefusedError, PhaseError)
_PIECE = 64 * 1024  # bytes; a larger body is sent in pieces, each with the write timeout
_EARLY = 256 * 1024  # bytes of a body that are taken while the request is still being sent


class Exchange:
    """One exchange on the running loop. `run` performs it."""

    def __init__(
        self, request: HttpRequest, timeout: Timeout, settings: TransportSettings, pools: LoopSessions
    ) -> None:
        self._request = request
        self._timeout = timeout
        self._settings = settings
        self._pools = pools
        self._loop = asyncio.get_running_loop()
        self._began = self._sent_at = self._loop.time()
        self._phase = Phase.CONNECT
        self._pool: Pool
        self._connection: Connection | None = None
        self._early = BytesIO()  # what was taken of the body already
        self._head: Head | FastHead
        self._is_sent = True
        self._is_complete = False

    async def run(
        self,
        pool: Pool | None = None,
        connection: Connection | None = None,
        began: float | None = None,
        *,
        leaves_open: bool = False,
    ) -> Outcome:
        """The outcome.

        pool, connection: that the request was sent on at the instant `began`, by `request_whole`.
        leaves_open: leave the body of a success unread.
        """
        is_open = False
        error: Exception
        try:
            if connection is None or pool is None or began is None:
                outcome = await self._send(leaves_open)
            else:
                self._pool, self._connection, self._phase = pool, connection, Phase.RECEIVE
                self._began = self._sent_at = began
                outcome = await self._receive(leaves_open)
            is_open = isinstance(outcome, OpenResponse)
            return outcome
        except HttpClientError as refused:
            return refusal_of(refused)
        except BodySourceError as failed:
            return source_failed(failed.error)
        except _ERRORS as failed:
            error = failed
        finally:
            if not is_open:
                self.close()
        try:
            return self._failure(error)
        finally:
            del error  # its traceback holds this frame

    def close(self) -> None:
        """Close the connection, unless it is back in the pool. A second time does nothing."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()

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
        connection = pool.acquire(url.origin, proxy_url)
        if connection is None:
            connection = await self._connect(url, proxy)
            connection.key = (url.origin, proxy_url)
        self._connection = connection
        self._phase = Phase.RECEIVE
        if not leaves_open and may_go_whole(request, self._timeout):
            total = self._timeout.total
            ends_at = None if total is None else self._began + total
            result = await connection.request_whole(request_bytes(request, proxy), ends_at)
            if result is TIMED_OUT:
                raise TimeoutError
            if result is not None:
                return await self._whole(*result)
        else:
            connection.begin(request.method)
            await self._upload(connection, proxy)
            self._sent_at = self._loop.time()
        return await self._receive(leaves_open)

    async def _connect(self, url: Url, proxy: Proxy | None) -> Connection:
        """A new connection. Its task is cancelled when the time is over, and when the pool is closed."""
        left = self._left(self._timeout.connect)
        work = connect(self._pool, url, proxy, self._settings, left)
        task = self._pool.begin(work)
        connection: Connection | None = None
        may_wait = True
        try:
            await asyncio.wait([task], timeout=left)
            if not task.done():
                raise TimeoutError
            if task.cancelled():
                raise ConnectionResetError("closed while connecting")
            connection = task.result()
            if connection.must_close:  # closed since then
                raise ConnectionResetError("closed while connecting")
            return connection
        except GeneratorExit:  # this coroutine is being closed and must not await
            may_wait = False
            raise
        finally:
            if connection is None:
                task.add_done_callback(_close_late)
                task.cancel()
                if may_wait and not task.done():
                    await asyncio.wait([task])
            del task  # it holds the error, whose traceback holds this frame

    async def _upload(self, connection: Connection, proxy: Proxy | None) -> None:
        request = self._request
        body = request.outgoing_body
        if body.length == 0 or is_short(body.content):
            connection.transport.write(request_bytes(request, proxy))
        else:
            self._is_sent = False
            is_chunked = "Content-Length" not in request.headers
            connection.transport.write(_head_bytes(request, proxy, is_chunked))
            self._is_sent = await self._send_body(connection, body, is_chunked)
        if self._is_sent and self._timeout.write is not None:
            while connection.unsent and not self._is_answered():
                await self._until_taken()
        self._phase = Phase.RECEIVE

    async def _send_body(self, connection: Connection, body: RequestBody, is_chunked: bool) -> bool:
        """Whether all of it was sent, and not only until it no longer mattered."""
        if body.content is not None:
            return await self._write(body.content, is_chunked)
        if not body.is_async:
            return await self._write_all(body.async_chunks(), is_chunked)
        # Its source may take its time: the time for the whole, and the response, end that. It is read by one task: some
        # libraries let no other one go on with what a task has begun.
        task = self._loop.create_task(self._write_all(body.async_chunks(), is_chunked))
        task.add_done_callback(lambda _: connection.wake())
        may_wait = True
        try:
            while not task.done() and not self._is_answered():
                await self._wait(connection.changed(), None)
        except GeneratorExit:
            may_wait = False
            raise
        finally:
            if not task.done():
                task.cancel()
                if may_wait:
                    await asyncio.wait([task])
        return not task.cancelled() and task.result()

    async def _write_all(self, chunks: AsyncIterator[bytes], is_chunked: bool) -> bool:
        while True:
            try:
                chunk = await chunks.__anext__()
            except StopAsyncIteration:
                break
            except Exception as error:
                raise BodySourceError(error) from None
            if not await self._write(chunk, is_chunked):
                return False
        if is_chunked:
            self._live().transport.write(b"0\r\n\r\n")
        return True

    async def _write(self, data: bytes, is_chunked: bool) -> bool:
        """Whether all of it was sent, and not only until it no longer mattered."""
        connection, view = self._live(), memoryview(data)
        for start in range(0, len(view), _PIECE):
            if self._is_answered():
                return False
            piece = view[start : start + _PIECE]
            connection.transport.write(
                b"".join((b"%x\r\n" % len(piece), piece, b"\r\n")) if is_chunked else piece
            )
            while connection.is_full and not self._is_answered():
                await self._until_taken()
        return True

    async def _until_taken(self) -> None:
        """Wait until the kernel accepts more, or there is news. Raises TimeoutError where it accepts nothing for too long."""
        connection, limit = self._live(), self._timeout.write
        left, since = connection.unsent, self._loop.time()
        self._phase = Phase.SEND
        while not await self._wait(connection.drained(), None if limit is None else limit / 4):
            if connection.unsent < left:
                break
            if limit is not None and self._loop.time() - since >= limit:
                raise TimeoutError

    def _is_answered(self) -> bool:
        """Whether sending the rest of the request no longer matters.

        The head of a success alone is not enough: a server may begin its response while it reads the request, and a
        body that is cut off would count as received.
        """
        connection = self._live()
        if connection.is_lost:
            return True
        if not connection.has_unread:
            return False
        parser = connection.parser
        head = parser.read_head()
        if head is None:
            return False
        while self._early.tell() < _EARLY and (piece := parser.read_body()):
            self._early.write(piece)
        return head.status >= 300 or parser.is_complete

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
            waited = self._loop.time() - self._sent_at
            return OpenResponse(head.status, source=BodyReader(self), waited=waited, **self._about(head))
        if leads_on(request, head.status, Headers(head).get("Location")):
            content = await self._redirect()
        else:
            self._timeout = self._timeout.in_body()
            content = await self._body(self._timeout.read)
        return HttpResponse(head.status, content=content, **self._about(head))

    async def _read_head(self) -> Head | FastHead:
        connection, timeout = self._live(), self._timeout
        until = None if timeout.first_byte is None else self._sent_at + timeout.first_byte
        while (head := connection.parser.read_head()) is None:
            await self._more(connection, timeout.read, until)
        return head

    async def _redirect(self) -> bytes:
        """The body of a redirect that is followed: empty if it is not complete soon (see `base.REDIRECT_WAIT`)."""
        if self._live().parser.ends_with_connection:
            return b""
        left = self._left(None)
        seconds = min(REDIRECT_WAIT, math.inf if left is None else left / 2)
        try:
            return await self._body(None, REDIRECT_BODY, self._loop.time() + seconds)
        except (*_ERRORS, ResponseError):
            return b""

    async def _body(self, limit: float | None, most: int | None = None, until: float | None = None) -> bytes:
        """The decoded body.   limit: seconds of each wait.   most: bytes.   until: an instant by which it must end."""
        coding = None
        if self._head.is_encoded and self._settings.decompresses(self._request):
            coding = _coding(self._head)
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
        limit = _shorter(timeout.read, timeout.total)
        self._began, self._timeout = self._loop.time(), replace(timeout, total=None)
        error: BaseException
        timed_out = False
        try:
            return await self._piece(limit)
        except TimeoutError:
            error, timed_out = TimeoutError(), limit == timeout.total
        except _ERRORS as failed:
            error = failed
        try:
            return self._failure(error, timeout, timed_out)
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
                until = self._loop.time() + limit
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
            limit = max(0.0, until - self._loop.time())
        if not await self._wait(connection.changed(), limit):
            raise TimeoutError

    # Time.

    async def _wait(self, waiter: asyncio.Future[Any], limit: float | None) -> bool:
        """Whether the waiter was woken within so many seconds. Raises TimeoutError when the time for the whole is over."""
        left = self._left(limit)
        if left is None:
            await waiter
            return True
        due = self._pool.timers.schedule(self._loop.time(), left, waiter)
        try:
            result = await waiter
        finally:
            due.pop(waiter, None)
        if result is not TIMED_OUT:
            return True
        if self._is_over():
            raise TimeoutError
        return False

    def _left(self, limit: float | None) -> float | None:
        """Seconds that a wait may take."""
        total = self._timeout.total
        if total is None:
            return limit
        left = max(0.0, self._began + total - self._loop.time())
        return left if limit is None or left < limit else limit

    def _is_over(self) -> bool:
        left = self._left(None)
        return left is not None and left <= TIMER_SLACK

    # Its outcome.

    async def _whole(self, head: FastHead, content: bytes) -> Outcome:
        connection, self._connection = self._live(), None
        self._pool.release(connection)
        return await whole_response(self._settings, self._request, head, content, self._began)

    def _live(self) -> Connection:
        assert self._connection is not None
        return self._connection

    def _about(self, head: Head | FastHead) -> dict[str, Any]:
        return {
            "headers": head,
            "reason_phrase": head.reason,
            "url": self._request.url,
            "request": self._request,
            "elapsed": self._loop.time() - self._began,
        }

    def _failure(
        self, error: BaseException, timeout: Timeout | None = None, timed_out: bool | None = None
    ) -> Failure:
        phase = self._phase
        try:
            if isinstance(error, PhaseError):
                phase, error = error.phase, error.error
            if not isinstance(error, NotHttpError):
                error = innermost(error)  # which also drops the traceback, since a failure is kept
            if timed_out is None:
                timed_out = self._is_over()
            proxy = self._settings.proxies.proxy_for(self._request.url)
            failure = failure_of(phase, error, self._request, timeout or self._timeout, timed_out, proxy)
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


def is_short(content: bytes | None) -> bool:
    """Whether a body is in memory and short enough to be sent with its head."""
    return content is not None and len(content) <= _PIECE


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
    if head.is_encoded and settings.decompresses(request):
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


def request_bytes(request: HttpRequest, proxy: Proxy | None = None) -> bytes:
    """A request whose body is in memory, as it is sent."""
    content = request.body.content
    head = _head_bytes(request, proxy)
    return head + content if content else head


def _head_bytes(request: HttpRequest, proxy: Proxy | None, is_chunked: bool = False) -> bytes:
    method, headers = request.method, request.headers
    target, host = _target_and_host(request.url)
    added: list[tuple[str, str]] = []
    if is_chunked:
        added.append(("Transfer-Encoding", "chunked"))
    elif (
        not request.body.content and method not in METHODS_WITHOUT_CONTENT and "Content-Length" not in headers
    ):
        added.append(("Content-Length", "0"))
    if isinstance(proxy, HttpProxy) and not request.url.startswith("https:"):
        target = request.url  # of a forwarding proxy (RFC 9112, 3.2.2)
        added = [*proxy.fields, *added]
    if added:
        return request_head(method, target, host, [*headers.pairs(), *added])
    return head_of_request(method, target, host, headers)


@lru_cache(maxsize=1024)
def _target_and_host(url: str) -> tuple[str, str]:
    parts = split_url(url)
    return parts.target, parts.host_field


def _coding(head: Head | FastHead) -> str:
    return ", ".join(Headers(head).get_all("Content-Encoding"))


def _shorter(one: float | None, other: float | None) -> float | None:
    """The shorter of two durations; None is no limit."""
    if one is None or other is None:
        return one or other
    return min(one, other)


def _close_late(task: asyncio.Task[Connection]) -> None:
    """Close a connection that was made, but too late."""
    if not task.cancelled() and task.exception() is None:
        task.result().abort()

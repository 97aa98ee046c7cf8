"""The transports that speak HTTP/2 where the server agrees, one for each front end. All else goes over HTTP/1.1.

An exchange is for HTTP/2 if its URL is https and no proxy leads to it, and if nothing has hooked into the library of its
front end, requests or aiohttp: that may be a mock, which must see the exchange, and the server must not. Whether the server
agrees is known by the TLS handshake (ALPN, RFC 9113, 3.2). Where it does not, the connection is closed unused, and the origin goes over the
HTTP/1.1 transport of the front end for some minutes.

There is one implementation, on asyncio. Blocking callers wait for it: their connections live on the event loop of a
thread of our own, so that all threads share them, and that each call ends on time while others use its connection. A
body that is not in memory, or whose progress is reported, is read on the calling thread, as users expect of their code.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError
from typing import Any

from ...core.effects import Outcome
from ...core.open_body import OpenResponse
from ...core.outcomes import already_closed
from ...core.signals import is_of_signal_handler
from ...core.timeouts import Timeout
from ...drivers.portal import WIRE
from ...errors import ClientClosedError, Failure, HttpClientError, SentState, innermost
from ...http.bodies.body import RequestBody
from ...http.messages import HttpRequest
from ..base import TransportSettings
from ..failures import Phase, failure_of, source_failed
from ..over_aiohttp.hook_detection import is_hooked as is_hooked_async
from ..over_aiohttp.sessions import LoopSessions
from ..over_aiohttp.transport import AiohttpTransport
from ..over_requests.hook_detection import is_hooked
from ..over_requests.transport import RequestsTransport
from .exchange import Http2BodySource, Http2Exchange
from .pool import Http2Pool

__all__ = ["AsyncHttp2Transport", "BlockingHttp2Transport"]

_ALPN = ("h2", "http/1.1")
_LEAST = 0.001  # seconds for the exchange over HTTP/1.1, where the handshake took all


class _Http2:
    """Exchanges over HTTP/2, on the running loop."""

    def __init__(self, settings: TransportSettings) -> None:
        self._settings = settings
        self._is_draining = False
        self.sessions = LoopSessions(self._new_pool)

    def takes(self, request: HttpRequest) -> bool:
        """Whether the exchange is for HTTP/2, as far as this side knows."""
        url = request.url
        return url.startswith("https:") and self._settings.proxies.proxy_for(url) is None

    def _new_pool(self) -> Http2Pool:
        pool = Http2Pool(self._settings, self._settings.tls.offering(*_ALPN))
        if self._is_draining:  # a first call has begun just before the client was closed
            pool.drain()
        return pool

    def drain(self) -> None:
        """Have each connection close after the exchanges that use it."""
        self._is_draining = True
        for pool in self.sessions.all():
            pool.drain()

    async def begin(self, request: HttpRequest, timeout: Timeout) -> Http2Exchange | Failure | None:
        """An exchange whose head was sent; None where it is for HTTP/1.1."""
        exchange = Http2Exchange(request, timeout, self._settings, self.sessions)
        try:
            failure = await exchange.begin()
        except BaseException:
            exchange.close()
            raise
        return failure or (None if exchange.is_for_http1 else exchange)

    async def run(self, request: HttpRequest, timeout: Timeout, leaves_open: bool) -> Outcome | None:
        """The outcome; None where the exchange is for HTTP/1.1."""
        exchange = await self.begin(request, timeout)
        if not isinstance(exchange, Http2Exchange):
            return exchange
        try:
            failure = await _upload(exchange, request)
            return failure or await exchange.finish(leaves_open)
        finally:
            exchange.close()


async def _upload(exchange: Http2Exchange, request: HttpRequest) -> Failure | None:
    body = request.outgoing_body
    if body.length == 0:
        return None
    if body.content is not None:
        failure = await exchange.send(body.content)
        if failure is None:
            exchange.end()
        return failure
    chunks = body.async_chunks()
    try:
        if body.is_async:
            return await exchange.send_from(chunks)
        while not exchange.is_answered:
            chunk = await anext(chunks, None)
            if chunk is None:
                exchange.end()
                break
            if (failure := await exchange.send(chunk)) is not None:
                return failure
    except HttpClientError as error:
        return source_failed(error)
    return None


class AsyncHttp2Transport:
    """One pool of connections for each running loop, closed with it."""

    def __init__(self, settings: TransportSettings) -> None:
        self._http1 = AiohttpTransport(settings)
        self._http2 = _Http2(settings)

    async def send_async(self, request: HttpRequest, timeout: Timeout) -> Outcome:
        """One exchange on the wire, the body read whole."""
        return await self._exchange(request, timeout, self._http1.send_async)

    async def open_response_async(self, request: HttpRequest, timeout: Timeout) -> Outcome:
        """One exchange on the wire; the body of a success is left unread."""
        return await self._exchange(request, timeout, self._http1.open_response_async, leaves_open=True)

    async def _exchange(
        self,
        request: HttpRequest,
        timeout: Timeout,
        over_http1: Callable[[HttpRequest, Timeout], Awaitable[Outcome]],
        leaves_open: bool = False,
    ) -> Outcome:
        if not self._http2.takes(request) or is_hooked_async():
            return await over_http1(request, timeout)
        if self._http2.sessions.is_closed:
            return already_closed()
        began = time.monotonic()
        outcome = await self._http2.run(request, timeout, leaves_open)
        return await over_http1(request, _left(timeout, began)) if outcome is None else outcome

    async def close_async(self) -> None:
        """Close the connections of this loop, and from here those of the others."""
        await self._http2.sessions.close_async()
        await self._http1.close_async()

    def close(self) -> None:
        """Close every connection from outside its loop: immediately if the loop is not running, else on the loop."""
        self._http2.sessions.close()
        self._http1.close()


class BlockingHttp2Transport:
    """The connections of all threads, on the loop of our own thread."""

    def __init__(self, settings: TransportSettings) -> None:
        self._http1 = RequestsTransport(settings)
        self._http2 = _Http2(settings)
        self._is_closed = False

    def send(self, request: HttpRequest, timeout: Timeout) -> Outcome:
        """One exchange on the wire, the body read whole."""
        return self._exchange(request, timeout, self._http1.send)

    def open_response(self, request: HttpRequest, timeout: Timeout) -> Outcome:
        """One exchange on the wire; the body of a success is left unread."""
        outcome = self._exchange(request, timeout, self._http1.open_response, leaves_open=True)
        if isinstance(outcome, OpenResponse) and isinstance(outcome.source, Http2BodySource):
            outcome.source = _BlockingBodySource(outcome.source)
        return outcome

    def _exchange(
        self,
        request: HttpRequest,
        timeout: Timeout,
        over_http1: Callable[[HttpRequest, Timeout], Outcome],
        leaves_open: bool = False,
    ) -> Outcome:
        if not self._http2.takes(request) or is_hooked():
            return over_http1(request, timeout)
        if self._is_closed:
            return already_closed()
        began = time.monotonic()
        try:
            WIRE.start()
        except OSError as error:
            if is_of_signal_handler(error):
                raise
            return failure_of(Phase.CONNECT, innermost(error), request, timeout, False)
        outcome: Outcome | None
        body = request.outgoing_body
        if body.content is not None or body.length == 0:
            outcome = _on_wire(self._http2.run(request, timeout, leaves_open))
        else:  # code of the user's, which must not run on the thread of all connections
            outcome = self._upload(request, body, timeout, leaves_open)
        return over_http1(request, _left(timeout, began)) if outcome is None else outcome

    def _upload(
        self, request: HttpRequest, body: RequestBody, timeout: Timeout, leaves_open: bool
    ) -> Outcome | None:
        """An exchange whose body is read here, on the calling thread."""
        chunks = body.chunks()
        exchange: Http2Exchange | Failure | None = _on_wire(self._http2.begin(request, timeout))
        if not isinstance(exchange, Http2Exchange):
            return exchange
        try:
            while not exchange.is_answered:
                try:
                    chunk = next(chunks, None)
                except HttpClientError as error:
                    return source_failed(error)
                failure: Failure | None = _on_wire(_end(exchange) if chunk is None else exchange.send(chunk))
                if failure is not None:
                    return failure
                if chunk is None:
                    break
            outcome: Outcome = _on_wire(exchange.finish(leaves_open))
            return outcome
        finally:
            WIRE.post(exchange.close)

    def close(self) -> None:
        """Close every connection that is idle; one in use is closed after its exchanges."""
        self._is_closed = True
        WIRE.post(self._http2.drain)
        self._http1.close()

    def abort(self) -> None:
        """Close every connection, also those in use: their exchanges fail with ClientClosedError."""
        self._is_closed = True
        self._http2.sessions.close()
        self._http1.abort()


def _on_wire(step: Awaitable[Any]) -> Any:
    """The result of a step. At the end of the process, while a daemon thread waits for it, a Failure."""
    try:
        return WIRE.run(step)
    except CancelledError:
        return Failure(ClientClosedError, "the process ended during the call", SentState.ABANDONED)


async def _end(exchange: Http2Exchange) -> None:
    exchange.end()


class _BlockingBodySource:
    """The body of a response, for a thread."""

    def __init__(self, source: Http2BodySource) -> None:
        self._source = source

    def read(self, timeout: Timeout) -> bytes | Failure:
        data: bytes | Failure = _on_wire(self._source.read_async(timeout))
        return data

    def close(self) -> None:
        WIRE.post(self._source.close)


def _left(timeout: Timeout, began: float) -> Timeout:
    """What the handshake has left of the time for the whole."""
    total = timeout.total
    return timeout if total is None else timeout.within(max(_LEAST, began + total - time.monotonic()))

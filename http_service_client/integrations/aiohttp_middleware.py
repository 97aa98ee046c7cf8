"""Policies under any aiohttp `ClientSession`: a middleware for it.

aiohttp calls a middleware once for each hop, and lets it call the handler, which sends the request, as often as it likes.
Two traps are in that. A payload that can be written once only is `consumed` then, and would be sent as an empty body. And
aiohttp sends a request again by itself, once, when its connection was lost and its method is idempotent: it looks at the
class of the error that a middleware raises. So an error of these classes never leaves this middleware.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import aiohttp
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse

from ..client.client import HttpServiceClient
from ..client.config.client_config import HttpClientConfig
from ..core.checks import check_flag
from ..core.timeouts import Timeout
from ..drivers.aio import bounded
from ..errors import (
    ConfigurationError,
    ConnectTimeoutError,
    DecodingError,
    Failure,
    HttpClientError,
    InvalidRequestError,
    NetworkError,
    ReadTimeoutError,
    RequestTimeoutError,
    SentState,
)
from ..http.messages import HttpResponse
from ..http.urls import redact_url
from ..transports.failures import Phase, failure_of
from ..transports.over_aiohttp.hooked.errors import translate_error
from .adapter_base import DRAINED, AdaptedRequest, ForeignCalls, Idempotent, headers_of

__all__ = ["ResilienceMiddleware", "resilience_middleware"]

_SENT_AGAIN = (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)
_NOT_SENT_AGAIN = (aiohttp.ClientConnectorError,)  # of the above

_SETTLING = 1.0  # seconds for the task that wrote the body of the attempt before, and was cancelled


def resilience_middleware(
    config: HttpClientConfig | None = None,
    *,
    client: HttpServiceClient | None = None,
    idempotent: Idempotent = None,
    read_bodies: bool = False,
) -> ResilienceMiddleware:
    """A middleware for an aiohttp session: ``ClientSession(middlewares=[resilience_middleware()])``.

    Each hop of the session is a call with the policies of a client: retries, circuit breaker, throttle gate, retry
    budget, deadlines, timeline, metrics, events. `integrations.explain` tells the story of a response or an error. Put it
    before middlewares that must see each attempt, such as one that signs.

    config: settings of a client of its own; None for the defaults.
    client: an `HttpServiceClient`, or a view of it, to share circuits, budgets, metrics and listeners with.
    idempotent: True if processing a request twice does no harm, False if it does; None decides by the method and the
        headers; or a function of an `HttpRequest` that returns one of these.
    read_bodies: True if an attempt includes the response's body, so that a lost one is retried. It must fit into memory,
        and `response.content` is empty then: use `read`, `text` or `json`. False leaves the body to the session's user.

    The middleware may serve several sessions. It has an attribute `client`: the one whose state it uses. Its errors are
    aiohttp's, such as `ClientConnectorError`, with a `timeline` and a `sent_state`. Those of this package, such as
    `CircuitOpenError`, are subclasses of aiohttp's as well.

    Raises ConfigurationError for a wrong setting, and for those that aiohttp owns.
    """
    check_flag("read_bodies", read_bodies)
    calls = ForeignCalls("resilience_middleware", "aiohttp", config, client, idempotent, limits=())
    return ResilienceMiddleware(calls, read_bodies)


class ResilienceMiddleware:
    """What `resilience_middleware` makes. It has an attribute `client`: the one whose state its calls use."""

    def __init__(self, calls: ForeignCalls, read_bodies: bool) -> None:
        self._calls = calls
        self._read_bodies = read_bodies

    @property
    def client(self) -> HttpServiceClient:
        """The client whose state its calls use: for metrics, and for circuits to inspect."""
        return self._calls.client

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Send a request as one call. The session calls it."""
        if self._calls.is_inside(request.method, str(request.url)):
            return await handler(request)
        body = request.body
        content: bytes | None = None
        if not isinstance(body, aiohttp.Payload):
            content = body
        elif isinstance(body, aiohttp.BytesPayload):
            content = await body.as_bytes()
        return await self._calls.run_async(_Request(request, handler, content, self._read_bodies))


class _Request(AdaptedRequest[ClientResponse]):
    """A request on its way through the middleware."""

    __slots__ = ("_content", "_handler", "_has_begun", "_reads_body")

    errors = (aiohttp.ClientError, asyncio.TimeoutError, OSError)
    raises = (
        (ConnectTimeoutError, aiohttp.ConnectionTimeoutError),
        (ReadTimeoutError, aiohttp.SocketTimeoutError),
        (RequestTimeoutError, aiohttp.ServerTimeoutError),
        (NetworkError, aiohttp.ServerConnectionError),
        (InvalidRequestError, aiohttp.ClientError),
        (ConfigurationError, aiohttp.ClientError),
        (HttpClientError, aiohttp.ClientConnectionError),
    )

    def __init__(
        self, native: ClientRequest, handler: ClientHandlerType, content: bytes | None, reads_body: bool
    ) -> None:
        super().__init__(
            native,
            native.method,
            str(native.url),
            headers_of(native.headers.items()),
            content,
            is_replayable=content is not None,
        )
        self._handler = handler
        self._reads_body = reads_body
        self._has_begun = False
        self._content = b""  # of the last response, if it was read

    async def _send_async(self, timeout: Timeout) -> ClientResponse:
        if self._has_begun:
            # The task that wrote the last attempt's body was cancelled; a file is rewound when it has ended.
            with suppress(Exception):
                await bounded(self.native.close(), _SETTLING)
        self._has_begun = True
        response = await self._send_watched()
        if self._reads_body and response.status != 101:
            try:
                self._content = await response.read()
            except BaseException:
                response.close()
                raise
        return response

    async def _send_watched(self) -> ClientResponse:
        body: Any = self.native.body
        write = getattr(body, "write_with_length", None)
        if write is None:  # bytes; or another aiohttp, where its error is taken for one of the exchange
            return await self._handler(self.native)
        errors: list[BaseException] = []
        vars(body)["write_with_length"] = partial(_write_watched, write, errors)
        try:
            return await self._handler(self.native)
        finally:
            # What is left is that of its class. Another request, which shares the body, may have removed it.
            vars(body).pop("write_with_length", None)
            if errors:
                self.source_error = errors.pop()

    def _has_started(self, failure: Failure | None) -> bool:
        body = self.native.body
        return isinstance(body, aiohttp.Payload) and body.consumed

    def _meaning(self, error: Exception, timeout: Timeout, timed_out: bool) -> Failure:
        if type(error.__cause__).__name__ == "ContentEncodingError":
            message = f"the body of the response from {redact_url(self.url)} could not be decoded: {error}"
            return Failure(DecodingError, message, SentState.ANSWERED)
        phase, plain = translate_error(Phase.RECEIVE, error)
        return failure_of(phase, plain, self, Timeout(total=timeout.total), timed_out)

    def _may_raise(self, error: Exception) -> bool:
        return isinstance(error, aiohttp.ClientError) and (
            isinstance(error, _NOT_SENT_AGAIN) or not isinstance(error, _SENT_AGAIN)
        )

    def _head(self, response: ClientResponse, elapsed: float) -> HttpResponse:
        return HttpResponse(
            response.status,
            headers=list(response.headers.items()),
            content=self._content,
            reason_phrase=response.reason or "",
            url=self.url,
            request=self,
            elapsed=elapsed,
        )

    def _close(self, response: ClientResponse) -> None:
        response.close()  # without effect for one that was released

    async def _drain_async(self, response: ClientResponse) -> None:
        left, length = DRAINED, response.content_length
        if length is not None and length > left:
            return
        with suppress(*self.errors):
            async for piece in response.content.iter_any():
                left -= len(piece)
                if left < 0:
                    return
            response.release()

    def _set_header(self, name: str, value: str | None) -> None:
        self.native.headers.popall(name, None)  # aiohttp has made the request for this hop
        if value is not None:
            self.native.headers[name] = value


async def _write_watched(
    write: Callable[..., Awaitable[None]],
    errors: list[BaseException],
    writer: Any,
    content_length: int | None,
) -> None:
    """Write a body, as its payload does.   errors: gets what its source raises."""
    watched = _WatchedWriter(writer)
    try:
        await write(watched, content_length)
    except asyncio.CancelledError:  # by aiohttp, which needs no more of it
        raise
    except BaseException as error:
        if not watched.has_failed:
            errors.append(error)
        raise


class _WatchedWriter:
    """A writer of aiohttp that notes that the connection, and not the source of the body, has failed."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer
        self.has_failed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)

    async def write(self, *arguments: Any, **options: Any) -> None:
        await self._noting(self._writer.write(*arguments, **options))

    async def write_eof(self, *arguments: Any, **options: Any) -> None:
        await self._noting(self._writer.write_eof(*arguments, **options))

    async def drain(self) -> None:
        await self._noting(self._writer.drain())

    async def _noting(self, step: Awaitable[None]) -> None:
        try:
            await step
        except BaseException:
            self.has_failed = True
            raise

"""One exchange over aiohttp: `ClientSession._request`, one session for each event loop.

What mocks and instrumentation hook into (`ClientSession._request`) is on the way of all that they are to
see; where a connection waits and nobody looks, the request goes past it (`over_aiohttp_shortcut`). What aiohttp
would decide on its own (redirects, cookies, a silent second try, header defaults, decoding) is switched off.

What is private to aiohttp here: `_request` of the session.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from ...core.effects import TIMED_OUT, Outcome
from ...core.open_body import OpenResponse
from ...core.timeouts import Timeout
from ...drivers.aio_timers import TimerWheel
from ...errors import Failure, HttpClientError, ProxyError, SentState
from ...http.bodies.encoding import RequestBody
from ...http.content_codings.decoder import Decoder
from ...http.headers import Headers, ends_connection
from ...http.http1.framing import RawFields, field_text
from ...http.messages import HttpRequest, HttpResponse
from ...http.proxies.urls import HttpProxy, Proxy, read_proxy
from ...http.urls import split_url
from ..base import TransportSettings
from ..failures import (
    Phase,
    already_closed,
    failure_of,
    refusal_of,
    source_failed,
)
from .errors import ERRORS, translate_error
from .exchange import EXCHANGE, ExchangeTimer, leave_exchange
from .fast_path import FastResponse, is_watched, read_answer, request_bytes
from .mocks import tell_no_false_coding
from .open_body import AiohttpBodySource, ends_with_the_connection
from .protocol import StrictResponseHandler
from .sessions import LoopSession, LoopSessions

__all__ = ["AiohttpTransport"]

_DIRECT_BODY = 64 * 1024  # bytes; a larger body goes out in pieces, each of which may stall

_TYPED_BY_AIOHTTP = frozenset({"POST", "PUT", "PATCH"})  # with a body or without
_ADDED_BY_AIOHTTP = ("Accept", "Accept-Encoding", "User-Agent", "Content-Type")


def _speaks_tls(proxy: Proxy | None) -> bool:
    return isinstance(proxy, HttpProxy) and proxy.address.scheme == "https"


def _no_tls_in_tls(request: HttpRequest) -> Failure:
    origin = split_url(request.url).origin
    message = (
        f"{origin} cannot be reached through an https:// proxy: asyncio supports TLS within TLS "
        "from Python 3.11 on; use an http:// proxy"
    )
    return Failure(ProxyError, message, SentState.NEVER_SENT)


class AiohttpTransport:
    """One session for each running loop, closed with it."""

    def __init__(self, settings: TransportSettings) -> None:
        self._settings = settings
        self._sessions = LoopSessions(settings)

    async def send_async(self, request: HttpRequest, timeout: Timeout) -> Outcome:
        """One exchange on the wire, the body read in full."""
        idle = self._idle_connection(request)
        # These are bounded in other ways, too, or have an answer that is read to its end in another way.
        is_bounded = timeout.read or timeout.write
        if idle is None or is_bounded or request.method == "HEAD" or "Connection" in request.headers:
            return await self._send_once(request, timeout, idle)
        held, protocol = idle
        started = held.loop.time()
        try:
            asked = protocol.ask(request_bytes(request))
            due = {} if timeout.total is None else held.timers.set(started, timeout.total, asked)
            try:
                answer = await asked
            finally:
                due.pop(asked, None)
        except BaseException:
            held.connector.release(protocol, should_close=True)
            raise
        if answer is None:
            return await self._send_once(request, timeout, idle, started)
        if answer is TIMED_OUT:
            held.connector.release(protocol, should_close=True)
            return failure_of(Phase.RECEIVE, TimeoutError(), request, timeout, timed_out=True)
        held.connector.release(protocol)
        head, content = answer
        if head.is_encoded and self._settings.decompress:
            try:
                decoder = Decoder(Headers(head)["Content-Encoding"], self._settings.max_response_size)
                content = decoder.feed(content) + decoder.finish()
            except HttpClientError as refused:
                return refusal_of(refused)
        return HttpResponse(
            head.status,
            headers=head,
            content=content,
            reason_phrase=head.reason,
            url=request.url,
            request=request,
            elapsed=held.loop.time() - started,
        )

    async def open_response_async(self, request: HttpRequest, timeout: Timeout) -> Outcome:
        """One exchange, a success's body left to be read."""
        return await self._send_once(request, timeout, self._idle_connection(request), leaves_open=True)

    def _idle_connection(self, request: HttpRequest) -> tuple[LoopSession, StrictResponseHandler] | None:
        """One for this request, lent; None where there is none, or `ClientSession._request` has to be asked."""
        held = self._sessions.here()
        if held is None or request.progress is not None or not _is_short(request.body.content):
            return None
        if self._settings.proxies.proxy_for(request.url) is not None or is_watched(held.session):
            return None
        protocol = held.connector.acquire(split_url(request.url))
        return None if protocol is None else (held, protocol)

    async def _send_once(
        self,
        request: HttpRequest,
        timeout: Timeout,
        idle: tuple[LoopSession, StrictResponseHandler] | None = None,
        started: float | None = None,
        leaves_open: bool = False,
    ) -> Outcome:
        """idle: a connection that was lent.   started: when the request was written to it, if it was."""
        if self._sessions.is_closed and started is None:
            return already_closed()
        proxy_url = self._settings.proxies.proxy_for(request.url)
        proxy = None if proxy_url is None else read_proxy(proxy_url)
        if isinstance(proxy, Failure):
            return proxy
        if sys.version_info < (3, 11) and request.url.startswith("https") and _speaks_tls(proxy):
            return _no_tls_in_tls(request)
        held = await self._sessions.get() if idle is None else idle[0]
        session = held.session
        exchange = ExchangeTimer(timeout, proxy, started)
        error: BaseException
        try:
            with exchange:
                answer: Any
                if idle is not None:
                    _, protocol = idle
                    exchange.connected(protocol)
                    unsent = request if started is None else None
                    answer = await read_answer(held.connector, protocol, unsent, timeout.read)
                else:
                    token = EXCHANGE.set(exchange)
                    try:
                        answer = await session._request(
                            request.method,
                            URL(request.url, encoded=True),
                            data=_body(request.outgoing_body, exchange),
                            allow_redirects=False,
                            timeout=exchange.client_timeout,
                            **self._options(request, proxy),
                        )
                    finally:
                        leave_exchange(token)
                exchange.answered()
                if ends_connection(request.headers) and exchange.connection is not None:
                    exchange.connection.force_close()
                if exchange.connection is None and "Content-Encoding" in answer.headers:  # a mock's
                    await tell_no_false_coding(answer)
                if leaves_open and 200 <= answer.status <= 299:
                    return _open_response(request, answer, exchange, held.timers)
                try:
                    content = await self._read(answer, exchange)
                finally:
                    # Read to the end, it has gone back to the pool on its own; otherwise it must not.
                    answer.close()
            return _response(request, answer, content, exchange.elapsed())
        except HttpClientError as refused:
            return refusal_of(refused)
        except ERRORS as failed:
            error = failed
        except RuntimeError:
            if session.closed:  # in this very moment
                return already_closed()
            raise
        try:
            if exchange.source_error is not None:
                return source_failed(exchange.source_error)
            phase, error = translate_error(exchange, error)
            return failure_of(phase, error, request, timeout, exchange.timed_out, proxy_url)
        finally:
            del error, exchange  # a traceback holds this frame

    def _options(self, request: HttpRequest, proxy: Proxy | None) -> dict[str, Any]:
        headers = CIMultiDict(request.headers.pairs())
        url = split_url(request.url)
        if url.host[-1] == "." and "Host" not in headers:  # aiohttp would take the dot off
            headers["Host"] = url.origin.partition("://")[2]
        is_secure = request.url.startswith("https")
        options: dict[str, Any] = {"headers": headers}
        absent = [name for name in _ADDED_BY_AIOHTTP if name not in headers]
        if (
            absent == ["Content-Type"]
            and request.body.length == 0
            and request.method not in _TYPED_BY_AIOHTTP
        ):
            absent = []
        if absent:  # asking it to add nothing costs more than giving it no occasion
            options["skip_auto_headers"] = absent
        http_proxy = proxy if isinstance(proxy, HttpProxy) else None  # the connector sees to others
        if is_secure or (http_proxy is not None and http_proxy.address.scheme == "https"):
            options["ssl"] = self._settings.tls.context
        if http_proxy is not None:
            options["proxy"] = URL(http_proxy.address.origin, encoded=True)
            if is_secure:
                options["proxy_headers"] = CIMultiDict(http_proxy.fields)
            else:
                headers.extend(http_proxy.fields)
        return options

    async def _read(self, answer: aiohttp.ClientResponse | FastResponse, exchange: ExchangeTimer) -> bytes:
        """The decoded body, read no further than the limit."""
        coding = None
        if self._settings.decompress:
            coding = ", ".join(answer.headers.getall("Content-Encoding", ()))
        decoder = Decoder(coding, self._settings.max_response_size)
        parts = [decoder.feed(chunk) async for chunk in answer.content.iter_any()]
        if exchange.died_of is not None and ends_with_the_connection(answer):
            raise exchange.died_of  # aiohttp takes a reset for the end of such a body
        parts.append(decoder.finish())
        return b"".join(parts)

    async def close_async(self) -> None:
        """Close the session of this loop and, from here, those of the others."""
        await self._sessions.close_async()

    def close(self) -> None:
        """Close every session from outside its loop: at once where the loop rests, else on the loop."""
        self._sessions.close()


def _body(body: RequestBody, exchange: ExchangeTimer) -> Any:
    if body.length == 0:
        return None
    return body.content if _is_short(body.content) else exchange.upload(body.async_chunks())


def _is_short(content: bytes | None) -> bool:
    return content is not None and len(content) <= _DIRECT_BODY


def _open_response(
    request: HttpRequest,
    answer: aiohttp.ClientResponse | FastResponse,
    exchange: ExchangeTimer,
    timers: TimerWheel,
) -> OpenResponse:
    return OpenResponse(
        answer.status,
        source=AiohttpBodySource(request, answer, exchange.connection, timers),
        headers=_fields(answer),
        reason_phrase=_reason_phrase(answer),
        url=request.url,
        request=request,
        elapsed=exchange.elapsed(),
    )


def _response(
    request: HttpRequest, answer: aiohttp.ClientResponse | FastResponse, content: bytes, elapsed: float
) -> HttpResponse:
    return HttpResponse(
        answer.status,
        headers=_fields(answer),
        content=content,
        reason_phrase=_reason_phrase(answer),
        url=request.url,
        request=request,
        elapsed=elapsed,
    )


def _fields(answer: aiohttp.ClientResponse | FastResponse) -> Iterable[tuple[str, str]]:
    raw: tuple[tuple[bytes, bytes], ...] | None = answer.raw_headers
    if raw is None:  # a mock's; vcrpy's before its release 9 always
        return [(str(name), value) for name, value in answer.headers.items()]
    return RawFields(raw)


def _reason_phrase(answer: aiohttp.ClientResponse | FastResponse) -> str:
    reason = answer.reason or ""
    return reason if reason.isascii() else field_text(reason.encode("utf-8", "surrogateescape"))

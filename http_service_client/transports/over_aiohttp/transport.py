"""The asyncio transport: a plain response on an idle connection is read here, any other by `session_exchange`.

Mocks and instrumentation hook into `ClientSession._request`, so every exchange that they must see goes through
it. An exchange for which a connection is idle, while nothing is hooked in, skips it (`fast_path`).
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from ...core.effects import TIMED_OUT, Outcome
from ...core.timeouts import Timeout
from ...errors import DecodingError, HttpClientError
from ...http.content_codings.decoder import Decoder
from ...http.headers import Headers
from ...http.http1.fast_path import FastHead
from ...http.messages import HttpRequest, HttpResponse
from ...http.urls import split_url
from ..base import TransportSettings
from ..failures import Phase, failure_of, refusal_of
from .compatibility import AIOHTTP
from .decoding import decode_into
from .fast_path import is_hooked, request_bytes
from .selection import IS_AS_EXPECTED
from .session_exchange import SessionExchange, is_short
from .sessions import LoopSession, LoopSessions

if TYPE_CHECKING:
    from .protocol import StrictResponseHandler

__all__ = ["AiohttpTransport"]


class AiohttpTransport:
    """One session for each running loop, closed with it."""

    def __init__(self, settings: TransportSettings) -> None:
        AIOHTTP.warn()
        self._settings = settings
        self._sessions = LoopSessions(settings)
        self._exchange = SessionExchange(settings, self._sessions)

    async def send_async(self, request: HttpRequest, timeout: Timeout) -> Outcome:
        """One exchange on the wire, the body read whole."""
        idle = self._idle_connection(request)
        # These need more timers than the total one, or a response that ends in another way.
        is_bounded = timeout.read or timeout.write or timeout.first_byte or timeout.between
        if idle is None or is_bounded or request.method == "HEAD" or "Connection" in request.headers:
            return await self._exchange.send(request, timeout, idle)
        loop_session, protocol = idle
        now, total = loop_session.loop.time, timeout.total
        started = now()
        try:
            ends_at = None if total is None else started + total
            result = await protocol.request_whole(request_bytes(request), ends_at)
        except BaseException:
            loop_session.connector.release(protocol, should_close=True)
            raise
        if result is None:
            return await self._exchange.send(request, timeout, idle, started)
        if result is TIMED_OUT:
            loop_session.connector.release(protocol, should_close=True)
            return failure_of(Phase.RECEIVE, TimeoutError(), request, timeout, timed_out=True)
        loop_session.connector.release(protocol)
        head, content = result
        if head.is_encoded and self._settings.decompresses(request):
            try:
                decoder = Decoder(Headers(head)["Content-Encoding"], self._settings.max_response_size)
                body = BytesIO()
                await decode_into(body, decoder, content)
                decoder.finish()
                decoded = body.getvalue()
            except HttpClientError as refused:
                if isinstance(refused, DecodingError):
                    refused.response = _response(request, head, content, now() - started)
                return refusal_of(refused)
            content = decoded
        return _response(request, head, content, now() - started)

    async def open_response_async(self, request: HttpRequest, timeout: Timeout) -> Outcome:
        """One exchange on the wire; the body of a success is left unread."""
        return await self._exchange.send(request, timeout, self._idle_connection(request), leaves_open=True)

    def _idle_connection(self, request: HttpRequest) -> tuple[LoopSession, StrictResponseHandler] | None:
        """An idle connection acquired for this request; None if there is none, or the request needs the session."""
        loop_session = self._sessions.here()
        if (
            loop_session is None
            or not IS_AS_EXPECTED
            or request.progress is not None
            or not is_short(request.body.content)
            or is_hooked(loop_session.session)
            or self._settings.proxies.proxy_for(request.url) is not None
        ):
            return None
        protocol = loop_session.connector.acquire(split_url(request.url))
        return None if protocol is None else (loop_session, protocol)

    async def close_async(self) -> None:
        """Close the session of this loop, and from here those of the others."""
        await self._sessions.close_async()

    def close(self) -> None:
        """Close every session from outside its loop: immediately if the loop is not running, else on the loop."""
        self._sessions.close()


def _response(request: HttpRequest, head: FastHead, content: bytes, elapsed: float) -> HttpResponse:
    return HttpResponse(
        head.status,
        headers=head,
        content=content,
        reason_phrase=head.reason,
        url=request.url,
        request=request,
        elapsed=elapsed,
    )

"""One exchange over aiohttp: `ClientSession._request`, one session for each event loop.

What mocks and instrumentation hook into (`ClientSession._request`) is on the way; what aiohttp would
decide on its own (redirects, cookies, a silent second try, header defaults, decoding) is switched off.
This is the one place where aiohttp's errors are translated.
"""

from __future__ import annotations

import asyncio
import weakref
from typing import Any, AsyncGenerator

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from .. import errors
from ..core.effects import Outcome
from ..core.timeouts import Timeout
from ..errors import Failure, HttpClientError, SentState, innermost
from ..messages import HttpRequest, HttpResponse
from ..protocol.bodies import Body
from ..protocol.decoding import Decoder
from .base import TransportSettings
from .failures import NotHttpError, Phase, ProxyRefusedError, failure_of, unusable_proxy
from .over_aiohttp_connections import EXCHANGE, AsyncExchange, CarefulConnector

__all__ = ["AiohttpTransport"]

_DIRECT_BODY = 256 * 1024  # bytes; a larger body goes out in pieces, so that it does not hold the loop


class AiohttpTransport:
    """One session for each running loop, closed with it."""

    def __init__(self, settings: TransportSettings) -> None:
        self._settings = settings
        self._sessions: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopSession]
        self._sessions = weakref.WeakKeyDictionary()

    async def send_async(self, request: HttpRequest, timeout: Timeout) -> Outcome:
        """One exchange on the wire, the body read in full."""
        proxy = self._settings.proxies.proxy_for(request.url)
        if unusable := unusable_proxy(proxy, request):
            return unusable
        session = await self._session()
        exchange = AsyncExchange(timeout)
        token = EXCHANGE.set(exchange)
        error: BaseException
        try:
            with exchange:
                answer = await session._request(
                    request.method,
                    URL(request.url, encoded=True),
                    headers=CIMultiDict(request.headers.items()),
                    data=_body(request.body, exchange),
                    allow_redirects=False,
                    timeout=exchange.client_timeout,
                    proxy=proxy,
                    ssl=self._settings.tls.context if request.url.startswith("https") else True,
                )
                try:
                    content = await self._read(answer)
                finally:
                    # Read to the end, it has gone back to the pool on its own; otherwise it must not.
                    answer.close()
            return _response(request, answer, content, exchange.elapsed())
        except HttpClientError as refused:
            state = SentState.ANSWERED if isinstance(refused, errors.ResponseError) else SentState.MAYBE_PROCESSED
            return Failure(type(refused), str(refused), state)
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError, ValueError) as failed:
            error = failed
        finally:
            EXCHANGE.reset(token)
        try:
            phase, error = _builtin(exchange.phase, error)
            return failure_of(phase, error, request, timeout, exchange.is_over)
        finally:
            del error  # its traceback holds this frame

    async def _read(self, answer: aiohttp.ClientResponse) -> bytes:
        """The decoded body, read no further than the limit."""
        coding = answer.headers.get("Content-Encoding") if self._settings.decompress else None
        decoder = Decoder(coding, self._settings.max_response_size)
        parts = [decoder.feed(chunk) async for chunk in answer.content.iter_any()]
        parts.append(decoder.finish())
        return b"".join(parts)

    async def _session(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        held = self._sessions.get(loop)
        if held is None:
            for other, orphan in list(self._sessions.items()):
                if other.is_closed():
                    del self._sessions[other]
                    orphan.abandon()
            held = _LoopSession(_new_session(self._settings))
            self._sessions[loop] = held
            await held.open()
        return held.session

    async def close_async(self) -> None:
        """Close the sessions of this loop and, from here, those of the others."""
        current = asyncio.get_running_loop()
        held = self._sessions.pop(current, None)
        self.close()
        if held is not None:
            await held.close()

    def close(self) -> None:
        """Close every session from outside its loop: at once where the loop rests, else on the loop."""
        while self._sessions:
            loop, held = self._sessions.popitem()
            if loop.is_closed():
                held.abandon()
            elif loop.is_running():
                loop.call_soon_threadsafe(_close_soon, loop, held)
            elif asyncio._get_running_loop() is None:
                loop.run_until_complete(held.close())
            # else: a loop at rest cannot run inside a running one; its own shutdown closes the session


class _LoopSession:
    """A session that closes when its loop shuts down.

    `asyncio.run`, pytest-asyncio and the web servers end a loop with `shutdown_asyncgens()`, which closes
    every async generator begun on it. This one's cleanup closes the session.
    """

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session
        self._lifetime = _close_at_the_end(session)

    async def open(self) -> None:
        """Begin the lifetime."""
        await self._lifetime.__anext__()

    async def close(self) -> None:
        """Close the session now."""
        await self._lifetime.aclose()

    def abandon(self) -> None:
        """The loop was closed without a shutdown: free the sockets without it."""
        connector: Any = self.session.connector
        self.session.detach()
        if connector is not None:
            connector.abandon()


def _close_soon(loop: asyncio.AbstractEventLoop, held: _LoopSession) -> None:
    loop.create_task(held.close())


async def _close_at_the_end(session: aiohttp.ClientSession) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await session.close()


def _new_session(settings: TransportSettings) -> aiohttp.ClientSession:
    session = aiohttp.ClientSession(
        connector=CarefulConnector(settings),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        raise_for_status=False,
        skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
    )
    session._retry_connection = False  # a second try is the core's to decide, never a silent one
    return session


def _body(body: Body, exchange: AsyncExchange) -> Any:
    if body.length == 0:
        return None
    direct = body.content is not None and len(body.content) <= _DIRECT_BODY
    return body.content if direct else exchange.watched(body.async_chunks())


def _response(request: HttpRequest, answer: aiohttp.ClientResponse, content: bytes, elapsed: float) -> HttpResponse:
    return HttpResponse(
        answer.status,
        headers=[(_text(name), _text(value)) for name, value in answer.raw_headers],
        content=content,
        reason_phrase=answer.reason or "",
        url=request.url,
        request=request,
        elapsed=elapsed,
    )


def _text(value: bytes) -> str:
    """A header value as UTF-8 where it is, else latin-1."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _builtin(phase: Phase, error: BaseException) -> tuple[Phase, BaseException]:
    """The phase and the builtin error behind an error of aiohttp."""
    root = innermost(error)
    if isinstance(error, (aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError)):
        return Phase.CONNECT, ProxyRefusedError(_proxy_reason(error, root))
    if isinstance(error, aiohttp.ClientConnectorError):
        return Phase.CONNECT, root
    if isinstance(root, asyncio.TimeoutError):
        return phase, TimeoutError(str(root))  # on Python 3.10 they are two classes
    if isinstance(root, OSError):
        return phase, root
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return phase, ConnectionResetError("closed without an answer")
    if isinstance(error, aiohttp.ClientConnectionError):
        return phase, ConnectionError(str(error))
    return phase, NotHttpError(str(root) or type(root).__name__)


def _proxy_reason(error: BaseException, root: BaseException) -> str:
    return f"{error.status} {error.message}" if isinstance(error, aiohttp.ClientHttpProxyError) else str(root)

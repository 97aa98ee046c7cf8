"""Exchanges through aiohttp, for the libraries that have hooked in there (see `hook_detection`).

Everything that aiohttp would decide on its own (redirects, cookies, a silent retry, default headers, decoding) is
switched off here. `compatibility` says what is used of aiohttp, and what is kept if a part of it is gone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import partial
from io import BytesIO
from typing import Any

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from ....core.effects import TIMED_OUT, Outcome
from ....core.open_body import OpenResponse
from ....core.outcomes import already_closed, ended_by_close
from ....core.timeouts import Timeout
from ....drivers.aio import bounded
from ....errors import (
    ConfigurationError,
    DecodingError,
    Failure,
    HttpClientError,
    ProxyError,
    ResponseError,
    SentState,
)
from ....http.bodies.encoding import RequestBody
from ....http.content_codings.decoder import Decoder, UndecodedBody
from ....http.headers import Headers, ends_connection
from ....http.http1.framing import RawFields, field_text
from ....http.messages import HttpRequest, HttpResponse
from ....http.proxies.urls import HttpProxy, Proxy, SocksProxy, read_proxy
from ....http.redirects import leads_on
from ....http.unix_sockets import UNIX
from ....http.urls import Url, split_url
from ...base import REDIRECT_BODY, REDIRECT_WAIT, TransportSettings, smaller
from ...failures import Phase, failure_of, refusal_of, source_failed
from ..connector import open_socket
from ..decoding import decode_into
from ..hook_detection import own_session_class
from ..sessions import LoopSessions
from ..upload import is_short
from .body import AiohttpBodySource, closed_in_mid_body, ends_with_the_connection
from .compatibility import AIOHTTP, MAKES_SOCKETS, SEES_CONNECTIONS
from .connector import WatchingConnector, send_once, watch_body
from .errors import ERRORS, translate_error
from .mocks import BufferedResponse, as_unread, without_false_coding
from .timer import EXCHANGE, ExchangeTimer, leave_exchange

__all__ = ["AiohttpExchanges", "yarl_url"]

AnyResponse = aiohttp.ClientResponse | BufferedResponse

_TYPED_BY_AIOHTTP = frozenset({"POST", "PUT", "PATCH"})  # with a body or without
_ADDED_BY_AIOHTTP = ("Accept", "Accept-Encoding", "User-Agent", "Content-Type")


class AiohttpExchanges:
    """One session of aiohttp for each running loop."""

    def __init__(self, settings: TransportSettings) -> None:
        AIOHTTP.warn()
        self._settings = settings
        self._sessions = LoopSessions(partial(_Session, settings))

    async def send(self, request: HttpRequest, timeout: Timeout, *, leaves_open: bool = False) -> Outcome:
        """One exchange.   leaves_open: leave the body of a success unread."""
        if self._sessions.is_closed:
            return already_closed()
        proxy_url = self._settings.proxies.proxy_for(request.url)
        proxy = None if proxy_url is None else read_proxy(proxy_url)
        if isinstance(proxy, Failure):
            return proxy
        if sys.version_info < (3, 11) and request.url.startswith("https") and _uses_tls(proxy):
            return _no_tls_in_tls(request)
        if unsafe := self._unsafe(proxy, split_url(request.url)):
            return Failure(ConfigurationError, AIOHTTP.refusal(unsafe), SentState.NEVER_SENT)
        session = (await self._sessions.get()).current()
        if session is None:
            return already_closed()
        exchange = ExchangeTimer(timeout, proxy)
        url = split_url(request.url)
        exchange.host, exchange.socket_path = url.host, self._settings.socket_path(url)
        exchange.method, exchange.way = request.method, (url.origin, proxy_url)
        exchange.open_socket = partial(open_socket, url, proxy, self._settings, exchange.time_to_connect())
        exchange.share_bounds(SEES_CONNECTIONS, leaves_open)
        error: BaseException
        try:
            with exchange:
                response: Any
                options = await self._options(request, proxy, exchange)
                token = EXCHANGE.set(exchange)
                try:
                    response = await session.request(
                        request.method,
                        yarl_url(request.url),
                        data=_body(request.outgoing_body, exchange),
                        allow_redirects=False,
                        timeout=exchange.client_timeout,
                        **options,
                    )
                finally:
                    leave_exchange(token)
                exchange.answered()
                if self._settings.parser.tolerated and exchange.connection is not None:
                    exchange.connection.report_faults(self._settings.faults.for_origin(url.origin))
                if ends_connection(request.headers) and exchange.connection is not None:
                    exchange.connection.force_close()
                if (
                    exchange.connection is None
                    and SEES_CONNECTIONS
                    and "Content-Encoding" in response.headers
                ):
                    response = await without_false_coding(response)  # of a mock
                else:
                    watch_body(response, exchange.connection)
                    response = await as_unread(response)
                if leaves_open and 200 <= response.status <= 299:
                    if isinstance(response, BufferedResponse):
                        _check_end(response, exchange)
                    return _open_response(request, response, exchange, self._sessions)
                try:
                    if leads_on(request, response.status, response.headers.get("Location")):
                        content = await self._read_redirect(request, response, exchange)
                    else:
                        # Where aiohttp bounds no read of a body: see `share_bounds`.
                        is_unbounded = timeout.has_phases or leaves_open
                        within = timeout.in_body().read if is_unbounded else None
                        content = await self._read(request, response, exchange, within=within)
                finally:
                    # A connection that was read to the end is in the pool already; any other must not return to it.
                    response.close()
                if self._sessions.is_closed and ends_with_the_connection(response):
                    raise closed_in_mid_body()  # aiohttp takes it for the end of such a body
            return _response(request, response, content, exchange.elapsed())
        except HttpClientError as refused:
            return refusal_of(refused)
        except ERRORS as failed:
            error = failed
        except RuntimeError:
            if session.closed or self._sessions.is_closed:  # at this very moment
                return already_closed()
            raise
        except Exception as failed:  # aiohttp stumbles where its task ends at once, from Python 3.12 on
            if exchange.source_error is None:
                raise
            error = failed
        if exchange.source_error is not None:
            return source_failed(exchange.source_error)
        phase, error = translate_error(exchange.phase, error, exchange.connection_error)
        if exchange.is_answered:
            timeout = timeout.in_body()
        elif exchange.connection is not None and isinstance(error, OSError):
            connector: Any = session.connector
            connector.distrust(exchange.connection)
        failure = failure_of(phase, error, request, timeout, exchange.timed_out, proxy_url)
        return ended_by_close(failure) if self._sessions.is_closed else failure

    async def close_async(self) -> None:
        """Close the session of this loop, and from here those of the others."""
        await self._sessions.close_async()

    def close(self) -> None:
        """Close every session from outside its loop."""
        self._sessions.close()

    def _unsafe(self, proxy: Proxy | None, url: Url) -> str | None:
        """What cannot be done safely with the installed aiohttp, or None."""
        if isinstance(proxy, SocksProxy) and not (MAKES_SOCKETS and SEES_CONNECTIONS):
            return "a SOCKS proxy cannot be used in asyncio"
        if self._settings.egress is not None and proxy is None and not SEES_CONNECTIONS:
            return "an egress policy cannot be kept in asyncio"
        if not MAKES_SOCKETS and self._settings.socket_path(url) is not None:
            return "a Unix socket cannot be used in asyncio"
        if not MAKES_SOCKETS and not self._settings.sockets.are_default:
            return "socket_options and source_address cannot be used in asyncio"
        return None

    async def _options(
        self, request: HttpRequest, proxy: Proxy | None, exchange: ExchangeTimer
    ) -> dict[str, Any]:
        headers = CIMultiDict(request.headers.pairs())
        url = split_url(request.url)
        if (
            url.host[-1] == "." or url.scheme == UNIX
        ) and "Host" not in headers:  # aiohttp would remove the dot
            headers["Host"] = url.host_field
        is_secure = request.url.startswith("https")
        options: dict[str, Any] = {"headers": headers}
        absent = [name for name in _ADDED_BY_AIOHTTP if name not in headers]
        if (
            absent == ["Content-Type"]
            and request.body.length == 0
            and request.method not in _TYPED_BY_AIOHTTP
        ):
            absent = []
        if absent:  # only where aiohttp would add one: `skip_auto_headers` has a cost of its own
            options["skip_auto_headers"] = absent
        http_proxy = proxy if isinstance(proxy, HttpProxy) else None  # the connector handles SOCKS proxies
        if is_secure or (http_proxy is not None and http_proxy.address.scheme == "https"):
            # aiohttp has one context for both, so the certificate is used only if both may see it.
            peers = [url] if is_secure else []
            if http_proxy is not None and http_proxy.address.scheme == "https":
                peers.append(http_proxy.address)
            worst, exchange.phase = exchange.phase, Phase.CONNECT  # a timeout in between: nothing was sent
            options["ssl"] = await self._settings.tls.context_for_async(
                *[(peer.host, peer.port) for peer in peers]
            )
            exchange.phase = worst
        if http_proxy is not None:
            options["proxy"] = URL(http_proxy.address.origin, encoded=True)
            if is_secure:
                options["proxy_headers"] = CIMultiDict(http_proxy.fields)
            else:
                headers.extend(http_proxy.fields_beside(headers))
        return options

    async def _read_redirect(
        self,
        request: HttpRequest,
        response: AnyResponse,
        exchange: ExchangeTimer,
    ) -> bytes:
        """The body of a redirect that is followed: empty if it is not complete soon (see `base.REDIRECT_WAIT`)."""
        if exchange.connection is not None and ends_with_the_connection(response):
            return b""
        body = self._read(request, response, exchange, REDIRECT_BODY)
        try:
            # Not wait_for: before Python 3.12 it swallows a cancellation that arrives in the same tick as the body.
            content = await bounded(body, min(REDIRECT_WAIT, exchange.seconds_left / 2))
        except (*ERRORS, ResponseError):
            return b""
        return b"" if content is TIMED_OUT else content

    async def _read(
        self,
        request: HttpRequest,
        response: AnyResponse,
        exchange: ExchangeTimer,
        most: int | None = None,
        within: float | None = None,
    ) -> bytes:
        """The decoded body, read no further than the size limit, or `most` bytes.

        within: seconds that each piece may take; None if aiohttp bounds that.
        """
        coding = None
        if self._settings.decompresses(request, response.status, Headers(response.headers.items())):
            coding = ", ".join(response.headers.getall("Content-Encoding", ()))
        decoder = Decoder(coding, smaller(most, self._settings.max_response_size))
        undecoded = UndecodedBody(decoder)
        body = BytesIO()  # no list: as objects of their own, tiny pieces would take many times their size
        try:
            pieces = response.content.iter_any()
            async for chunk in pieces if within is None else exchange.pieces(pieces, within):
                undecoded.add(chunk)
                await decode_into(body, decoder, chunk)
            _check_end(response, exchange)
            decoder.finish()
        except DecodingError as error:
            async for chunk in response.content.iter_any():
                undecoded.add(chunk)
            _check_end(response, exchange)
            error.response = _response(request, response, undecoded.content, exchange.elapsed())
            raise
        return body.getvalue()


class _Session:
    """The session of one loop."""

    def __init__(self, settings: TransportSettings) -> None:
        self._settings = settings
        self._made: list[tuple[Any, aiohttp.ClientSession]] = []  # each with the `__init__` that made it
        self._is_closed = False

    def current(self) -> aiohttp.ClientSession | None:
        """The session. Where instrumentation has come or gone since it was made, another one. None once it is closed."""
        if self._is_closed:
            return None
        init = vars(own_session_class())["__init__"]
        for made_by, session in self._made:
            if made_by is init:  # by identity: a wrapper may claim to equal what it wraps
                return session
        session = _new_session(self._settings)
        self._made.append((init, session))
        return session

    async def close(self) -> None:
        self._is_closed = True
        for _, session in self._made:
            await session.close()

    def abandon(self) -> None:
        """The loop is closed. If it was not shut down, close the sockets without it."""
        self._is_closed = True
        for _, session in self._made:
            connector: Any = session.connector
            if connector is not None:  # or `close` was called, as the loop shut down
                session.detach()
                connector.abandon()


def _new_session(settings: TransportSettings) -> aiohttp.ClientSession:
    session: aiohttp.ClientSession = own_session_class()(
        connector=WatchingConnector(settings),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        raise_for_status=False,
        max_line_size=settings.parser.size,
        max_field_size=settings.parser.size,
        max_headers=settings.parser.fields,
        middlewares=[send_once],  # retries are the core's decision, and never silent
    )
    return session


def _check_end(response: AnyResponse, exchange: ExchangeTimer) -> None:
    """Raises the connection's error where aiohttp takes a reset for the end of the body."""
    if exchange.connection_error is not None and ends_with_the_connection(response):
        raise exchange.connection_error


def yarl_url(url: str) -> URL:
    """The URL as yarl has it, unchanged; that of a Unix socket as one of a host that no other URL can have."""
    if url.startswith(f"{UNIX}://"):
        url = url.replace(UNIX, "http", 1)
    if not url.endswith("?") or url.index("?") < len(url) - 1:
        return URL(url, encoded=True)
    # yarl drops the mark of an empty query. As the end of the path, it stays.
    scheme, _, rest = url.partition("://")  # which a path may have, too
    authority, _, path = rest.partition("/")
    return URL.build(scheme=scheme, authority=authority, path=f"/{path}", encoded=True)


def _uses_tls(proxy: Proxy | None) -> bool:
    return isinstance(proxy, HttpProxy) and proxy.address.scheme == "https"


def _no_tls_in_tls(request: HttpRequest) -> Failure:
    origin = split_url(request.url).origin
    message = (
        f"{origin} cannot be reached through an https:// proxy: asyncio supports TLS within TLS "
        "from Python 3.11 on; use an http:// proxy"
    )
    return Failure(ProxyError, message, SentState.NEVER_SENT)


def _body(body: RequestBody, exchange: ExchangeTimer) -> Any:
    if body.length == 0:
        return None
    return body.content if is_short(body.content) else exchange.upload(body.async_chunks())


def _open_response(
    request: HttpRequest,
    response: AnyResponse,
    exchange: ExchangeTimer,
    sessions: LoopSessions,
) -> OpenResponse:
    connection = None if isinstance(response, BufferedResponse) else exchange.connection
    return OpenResponse(
        response.status,
        source=AiohttpBodySource(request, response, connection, sessions),
        waited=exchange.waited(),
        headers=_fields(response),
        reason_phrase=_reason_phrase(response),
        url=request.url,
        request=request,
        elapsed=exchange.elapsed(),
    )


def _response(request: HttpRequest, response: AnyResponse, content: bytes, elapsed: float) -> HttpResponse:
    return HttpResponse(
        response.status,
        headers=_fields(response),
        content=content,
        reason_phrase=_reason_phrase(response),
        url=request.url,
        request=request,
        elapsed=elapsed,
    )


def _fields(response: AnyResponse) -> Iterable[tuple[str, str]]:
    raw: tuple[tuple[bytes, bytes], ...] | None = response.raw_headers
    if raw is None:  # from a mock; with vcrpy before its release 9 always
        return [(str(name), value) for name, value in response.headers.items()]
    return RawFields(raw)


def _reason_phrase(response: AnyResponse) -> str:
    reason = response.reason or ""
    return reason if reason.isascii() else field_text(reason.encode("utf-8", "surrogateescape"))

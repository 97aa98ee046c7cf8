"""One exchange over requests: a hand-built `PreparedRequest` into `Session.send`.

What mocks and instrumentation hook into (`Session.send`, `HTTPAdapter.send`) is on the way; what
requests would decide on its own (redirects, cookies, netrc, proxies, encodings) is not. This is the one
place where the errors of requests and urllib3 are translated.
"""

from __future__ import annotations

import time
from http.client import HTTPException
from typing import Any, Iterable, Iterator

import requests
import requests.adapters
import requests.cookies
import requests.exceptions as rex
import urllib3.exceptions as uex
from requests.structures import CaseInsensitiveDict

from .. import errors
from ..core.effects import Outcome
from ..core.timeouts import Timeout
from ..errors import Failure, HttpClientError, SentState, innermost
from ..messages import HttpRequest, HttpResponse
from ..protocol.decoding import Decoder
from ..protocol.urls import split_url
from .base import TransportSettings
from .failures import NotHttpError, Phase, ProxyRefusedError, failure_of, unusable_proxy
from .over_requests_connections import ExchangeError, ExchangeTimeout, HttpPool, HttpsPool

__all__ = ["RequestsTransport"]

_CHUNK = 65536
_TIMER_SLACK = 0.005  # a socket may time out a clock tick early


class RequestsTransport:
    """One pooled adapter on one session, for all threads."""

    def __init__(self, settings: TransportSettings) -> None:
        self._settings = settings
        self._session = _PlainSession()
        adapter = _PooledAdapter(settings)
        self._session.adapters.clear()
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)

    def close(self) -> None:
        """Close every idle connection; one in use is closed when it is done."""
        self._session.close()

    def send(self, request: HttpRequest, timeout: Timeout) -> Outcome:
        """One exchange on the wire, the body read in full."""
        started = time.monotonic()
        ends_at = None if timeout.total is None else started + timeout.total
        connect_ends_at = None if timeout.connect is None else started + timeout.connect
        if connect_ends_at is None or (ends_at is not None and ends_at < connect_ends_at):
            connect_ends_at = ends_at
        proxy = self._settings.proxies.proxy_for(request.url)
        if unusable := unusable_proxy(proxy, request):
            return unusable
        phase = Phase.RECEIVE
        try:
            answer = self._session.send(
                _prepared(request),
                stream=True,
                allow_redirects=False,
                timeout=ExchangeTimeout(ends_at, connect_ends_at, timeout.read, timeout.write),  # type: ignore[arg-type]  # urllib3's is taken too
                verify=True,
                cert=None,
                proxies={} if proxy is None else {split_url(request.url).scheme: proxy},
            )
            with answer:
                content = self._read(answer)
            return _response(request, answer, content, time.monotonic() - started)
        except ExchangeError as failed:
            phase, error = failed.phase, failed.error
        except HttpClientError as refused:
            state = SentState.ANSWERED if isinstance(refused, errors.ResponseError) else SentState.MAYBE_PROCESSED
            return Failure(type(refused), str(refused), state)
        except (rex.RequestException, uex.HTTPError, HTTPException, OSError) as mocked_or_reading:
            error = mocked_or_reading
        try:
            phase, error = _builtin(phase, error)
            is_over = ends_at is not None and time.monotonic() >= ends_at - _TIMER_SLACK
            return failure_of(phase, error, request, timeout, is_over)
        finally:
            del error  # its traceback holds this frame

    def _read(self, answer: requests.Response) -> bytes:
        """The decoded body, read no further than the limit."""
        limit = self._settings.max_response_size
        raw: Any = answer.raw
        coding = answer.headers.get("Content-Encoding") if self._settings.decompress else None
        decoder = Decoder(coding, limit)
        parts = [decoder.feed(chunk) for chunk in _chunks(raw)]
        parts.append(decoder.finish())
        return b"".join(parts)


def _chunks(raw: Any) -> Iterator[bytes]:
    while chunk := raw.read(_CHUNK, decode_content=False):
        yield chunk


class _PlainSession(requests.Session):
    """A session that remembers nothing and follows nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False
        self.headers.clear()
        self.cookies = _NoCookies()

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """None: redirects are the core's; requests would read an unbounded body to find the next."""
        return None


class _NoCookies(requests.cookies.RequestsCookieJar):
    """A shared client must not mix its users' sessions."""

    def extract_cookies(self, response: Any, request: Any) -> None:
        pass


class _PooledAdapter(requests.adapters.HTTPAdapter):
    """`HTTPAdapter` over pools that keep to deadlines. `send` itself is requests': mocks patch it there."""

    def __init__(self, settings: TransportSettings) -> None:
        self._transport_settings = settings
        self._pools: dict[tuple[str, str | None], Any] = {}
        super().__init__(pool_connections=64, pool_maxsize=settings.max_connections_per_host, max_retries=0)
        self.max_retries = _NO_RETRIES

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:
        """One manager, with our pools."""
        super().init_poolmanager(connections, maxsize, block, **options)
        self.poolmanager.pool_classes_by_scheme = _pool_classes(self._transport_settings)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """The same for a proxy."""
        if proxy.startswith("https"):
            options["proxy_ssl_context"] = self._transport_settings.tls.context
        manager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = _pool_classes(self._transport_settings)
        return manager

    def get_connection_with_tls_context(
        self, request: requests.PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        """The pool for a request. TLS is settled by the context, not per request."""
        url = split_url(request.url or "")
        proxy = proxies.get(url.scheme) if proxies else None
        pool = self._pools.get((url.origin, proxy))
        if pool is None:
            manager = self.poolmanager if proxy is None else self.proxy_manager_for(proxy)
            tls = {"ssl_context": self._transport_settings.tls.context} if url.scheme == "https" else {}
            pool = manager.connection_from_host(url.host.strip("[]"), url.port, url.scheme, pool_kwargs=tls)
            if len(self._pools) >= 1024:
                self._pools.clear()  # the managers keep the pools; this only saves their look-up
            self._pools[(url.origin, proxy)] = pool
        return pool

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Nothing: the context knows."""

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:
        """The request target: absolute for a forwarding proxy (RFC 9112, 3.2.2)."""
        url = split_url(request.url or "")
        forwarded = bool(proxies) and url.scheme == "http"
        return (request.url or "") if forwarded else url.target

    def close(self) -> None:
        """Close the idle connections."""
        self._pools.clear()
        super().close()


def _pool_classes(settings: TransportSettings) -> dict[str, Any]:
    kept = {
        "keep_alive_timeout": settings.keep_alive_timeout,
        "keep_alive_max_requests": settings.keep_alive_max_requests,
    }
    return {"http": type("HttpPool", (HttpPool,), kept), "https": type("HttpsPool", (HttpsPool,), kept)}


def _prepared(request: HttpRequest) -> requests.PreparedRequest:
    """requests' form of a request that is final: nothing is left for requests to decide."""
    prepared = requests.PreparedRequest()
    prepared.method = request.method
    prepared.url = request.url
    prepared.headers = CaseInsensitiveDict(request.headers.items())
    prepared.hooks = {"response": []}
    prepared._cookies = requests.cookies.RequestsCookieJar()  # type: ignore[attr-defined]  # what mocks look for
    body = request.body
    prepared.body = _body(body)
    return prepared


def _body(body: Any) -> Any:
    if body.length == 0:
        return None
    return body.content if body.content is not None else body.chunks()


def _response(request: HttpRequest, answer: requests.Response, content: bytes, elapsed: float) -> HttpResponse:
    raw: Any = answer.raw
    headers = getattr(raw, "headers", None) or answer.headers
    pairs: Iterable[tuple[str, str]] = headers.iteritems() if hasattr(headers, "iteritems") else headers.items()
    return HttpResponse(
        answer.status_code,
        headers=[(name, _text(value)) for name, value in pairs],
        content=content,
        reason_phrase=answer.reason or "",
        url=request.url,
        request=request,
        elapsed=elapsed,
    )


def _text(value: str) -> str:
    """A header value as UTF-8 where it is, else latin-1: http.client knows only the latter."""
    if value.isascii():
        return value
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value


def _builtin(phase: Phase, error: BaseException) -> tuple[Phase, BaseException]:
    """The phase and the builtin error behind an error of requests, urllib3 or http.client.

    Our own pools raise what the socket raised; the library's classes come from mocks and from reading.
    """
    root = innermost(error)
    if isinstance(error, rex.ConnectTimeout):
        phase = Phase.CONNECT
    if isinstance(error, (rex.ProxyError, uex.ProxyError)) or "Tunnel connection failed" in str(root):
        return Phase.CONNECT, ProxyRefusedError(str(root))
    if isinstance(root, ConnectionError):  # RemoteDisconnected is one, and an HTTPException too
        return phase, root
    if isinstance(root, (rex.Timeout, uex.TimeoutError)):
        return phase, TimeoutError(str(root))
    if isinstance(root, (HTTPException, uex.HTTPError, rex.ChunkedEncodingError, ValueError)):
        return phase, NotHttpError(str(root) or type(root).__name__)
    if isinstance(root, rex.RequestException):
        return phase, ConnectionError(str(root))
    return phase, root


_NO_RETRIES = requests.adapters.Retry(0, read=False)

"""One exchange over requests: a hand-built `PreparedRequest` into `Session.send`.

What mocks and instrumentation hook into (`Session.send`, `HTTPAdapter.send`) is on the way; what
requests would decide on its own (redirects, cookies, netrc, proxies, encodings) is not. This is the one
place where the errors of requests and urllib3 are translated: mocks raise them, our own pools do not.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from typing import Any

import requests
import requests.adapters
import requests.cookies
from requests.structures import CaseInsensitiveDict

from ...core.effects import Outcome
from ...core.open_body import OpenResponse
from ...core.timeouts import Timeout
from ...errors import Failure, HttpClientError
from ...http.bodies.encoding import FORM, RequestBody
from ...http.content_codings.decoder import Decoder
from ...http.headers import Headers
from ...http.http1.framing import field_text
from ...http.messages import HttpRequest, HttpResponse
from ...http.preparation import METHODS_WITHOUT_CONTENT
from ...http.proxies.urls import HttpProxy, read_proxy
from ...http.urls import split_url
from ..base import TransportSettings
from ..failures import (
    BodySourceError,
    Phase,
    already_closed,
    failure_of,
    refusal_of,
    source_failed,
)
from .connection import IoTimeouts, PhaseError
from .errors import ERRORS, translate_error
from .pool import Pool, Urllib3StyleResponse
from .vcr import RecordedPool, is_recorded

__all__ = ["RequestsTransport"]

_CHUNK = 65536
_TIMER_SLACK = 0.005  # a socket may time out a clock tick early
_MAX_POOLS = 256


class RequestsTransport:
    """One pooled adapter on one session, for all threads."""

    def __init__(self, settings: TransportSettings) -> None:
        self._settings = settings
        self._is_closed = False
        self._session = _PlainSession()
        self._adapter = _PooledAdapter(settings)
        self._session.adapters.clear()
        self._session.mount("https://", self._adapter)
        self._session.mount("http://", self._adapter)

    def close(self) -> None:
        """Close every idle connection; one in use is closed when it is done."""
        self._is_closed = True
        self._session.close()

    def send(self, request: HttpRequest, timeout: Timeout) -> Outcome:
        """One exchange on the wire, the body read in full."""
        return self._send_once(request, timeout)

    def open_response(self, request: HttpRequest, timeout: Timeout) -> Outcome:
        """One exchange, a success's body left to be read."""
        return self._send_once(request, timeout, leaves_open=True)

    def _send_once(self, request: HttpRequest, timeout: Timeout, leaves_open: bool = False) -> Outcome:
        if self._is_closed:
            return already_closed()
        started = time.monotonic()
        proxy = self._settings.proxies.proxy_for(request.url)
        if proxy is not None and isinstance(unusable := read_proxy(proxy), Failure):
            return unusable
        if request.url.startswith("https"):
            self._settings.tls.context  # noqa: B018  # a wrong file is told before anything is sent
        bounds = _bounds(timeout, started)
        try:
            prepared = _prepared(request)
        except HttpClientError as unsendable:
            return Failure(type(unsendable), str(unsendable), unsendable.sent_state)
        phase = Phase.RECEIVE
        error: BaseException
        try:
            answer = self._session.send(
                prepared,
                stream=True,
                allow_redirects=False,
                timeout=bounds,  # type: ignore[arg-type]  # urllib3's class is taken too
                verify=True,
                cert=None,
                proxies={} if proxy is None else {split_url(request.url).scheme: proxy},
            )
            if leaves_open and 200 <= answer.status_code <= 299:
                return _open_response(request, answer, time.monotonic() - started)
            with answer:
                content = self._read(answer)
            return _response(request, answer, content, time.monotonic() - started)
        except PhaseError as failed:
            phase, error = failed.phase, failed.error
        except HttpClientError as refused:
            return refusal_of(refused)
        except ERRORS as mocked_or_reading:
            error = mocked_or_reading
        try:
            if isinstance(error, BodySourceError):
                return source_failed(error.error)
            return _failed(phase, error, request, timeout, bounds, proxy)
        finally:
            del error  # its traceback holds this frame

    def _read(self, answer: requests.Response) -> bytes:
        """The decoded body, read no further than the limit."""
        raw: Any = answer.raw
        coding = answer.headers.get("Content-Encoding") if self._settings.decompress else None
        decoder = Decoder(coding, self._settings.max_response_size)
        parts = []
        while chunk := raw.read(_CHUNK, decode_content=False):
            parts.append(decoder.feed(chunk))
        parts.append(decoder.finish())
        return b"".join(parts)


class RequestsBodySource:
    """The body of a response that was left open."""

    def __init__(self, request: HttpRequest, answer: requests.Response) -> None:
        self._request = request
        self._answer = answer

    def read(self, timeout: Timeout) -> bytes | Failure:
        raw: Any = self._answer.raw
        started = time.monotonic()
        if isinstance(raw, Urllib3StyleResponse):
            # Bytes that frame the body are none of it: who drips only these is silent.
            raw.bound(_bounds(timeout.within(timeout.read), started))
        try:
            data: bytes = raw.read(_CHUNK, decode_content=False)
            return data
        except ERRORS as failed:
            error: BaseException = failed
        try:
            return _failed(Phase.RECEIVE, error, self._request, timeout, _bounds(timeout, started))
        finally:
            del error  # its traceback holds this frame

    def close(self) -> None:
        self._answer.close()


def _failed(
    phase: Phase,
    error: BaseException,
    request: HttpRequest,
    timeout: Timeout,
    bounds: IoTimeouts,
    proxy: str | None = None,
) -> Failure:
    phase, error = translate_error(phase, error)
    timed_out = bounds.expires_at is not None and time.monotonic() >= bounds.expires_at - _TIMER_SLACK
    return failure_of(phase, error, request, timeout, timed_out, proxy)


def _bounds(timeout: Timeout, started: float) -> IoTimeouts:
    expires_at = None if timeout.total is None else started + timeout.total
    connect_expires_at = None if timeout.connect is None else started + timeout.connect
    if connect_expires_at is None or (expires_at is not None and expires_at < connect_expires_at):
        connect_expires_at = expires_at
    return IoTimeouts(expires_at, connect_expires_at, timeout.read, timeout.write)


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
    """`HTTPAdapter` over pools of our own. `send` itself is requests': mocks patch it there."""

    def __init__(self, settings: TransportSettings) -> None:
        self._transport_settings = settings
        self._pools: dict[tuple[str, str | None], Pool] = {}
        self._lock = threading.Lock()  # made anew in a forked child, with the transport
        self._is_closed = False
        super().__init__(max_retries=_NO_RETRIES)

    def get_connection_with_tls_context(
        self, request: requests.PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        """The pool for a request. TLS is settled by the context, not per request."""
        url = split_url(request.url or "")
        if is_recorded(url.scheme):
            return RecordedPool(super().get_connection_with_tls_context(request, verify, proxies, cert))
        proxy = proxies.get(url.scheme) if proxies else None
        pool = self._pools.get((url.origin, proxy))
        return pool if pool is not None else self._add_pool(url, proxy)

    def _add_pool(self, url: Any, proxy: str | None) -> Pool:
        settings = self._transport_settings
        by_way_of = None if proxy is None else read_proxy(proxy)
        assert not isinstance(by_way_of, Failure)  # `send` has seen to it
        made = Pool(url, by_way_of, settings)
        with self._lock:
            if self._is_closed:  # under a call that was in flight
                made.close()
            pool = self._pools.setdefault((url.origin, proxy), made)
            for other in self._pools.values():
                other.drop_stale()  # here and not by a timer: who calls few hosts has few idle connections
            while len(self._pools) > _MAX_POOLS:
                # Forgotten, not closed: it closes its connections when the last exchange lets go of it.
                del self._pools[next(iter(self._pools))]
        return pool

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> Any:
        """Where a pool of urllib3's connects to, and the context that it is to use."""
        url = split_url(request.url or "")
        tls = {"ssl_context": self._transport_settings.tls.context} if url.scheme == "https" else {}
        return {"scheme": url.scheme, "host": url.host, "port": url.port}, tls

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Nothing: the context knows."""

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:
        """The request target: absolute for a forwarding proxy (RFC 9112, 3.2.2)."""
        url = split_url(request.url or "")
        proxy = proxies.get(url.scheme) if proxies else None
        is_forwarded = proxy is not None and isinstance(read_proxy(proxy), HttpProxy) and url.scheme == "http"
        return (request.url or "") if is_forwarded else url.target

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            self._is_closed = True
            for pool in self._pools.values():
                pool.close()
        super().close()


def _prepared(request: HttpRequest) -> requests.PreparedRequest:
    """requests' form of a request that is final: nothing is left for requests to decide."""
    prepared = requests.PreparedRequest()
    prepared.method = request.method
    prepared.url = request.url
    prepared.headers = CaseInsensitiveDict(request.headers.pairs())
    prepared.hooks = {"response": []}
    prepared._cookies = requests.cookies.RequestsCookieJar()  # type: ignore[attr-defined]  # what mocks look for
    body: RequestBody = request.outgoing_body
    if body.length == 0:
        prepared.body = None
        if request.method not in METHODS_WITHOUT_CONTENT:
            prepared.headers.setdefault("Content-Length", "0")
    elif body.content_type == FORM and body.content is not None and body.content.isascii():
        prepared.body = body.content.decode("ascii")  # as requests has it: matchers of mocks look for text
    else:
        prepared.body = body.content if body.content is not None else body.chunks()  # type: ignore[assignment]  # an iterator is taken too
    return prepared


def _response(
    request: HttpRequest, answer: requests.Response, content: bytes, elapsed: float
) -> HttpResponse:
    return HttpResponse(
        answer.status_code,
        headers=_fields(answer),
        content=content,
        reason_phrase=answer.reason or "",
        url=request.url,
        request=request,
        elapsed=elapsed,
    )


def _open_response(request: HttpRequest, answer: requests.Response, elapsed: float) -> OpenResponse:
    return OpenResponse(
        answer.status_code,
        source=RequestsBodySource(request, answer),
        headers=_fields(answer),
        reason_phrase=answer.reason or "",
        url=request.url,
        request=request,
        elapsed=elapsed,
    )


def _fields(answer: requests.Response) -> Headers | list[tuple[str, str]]:
    headers: Any = getattr(answer.raw, "headers", None) or answer.headers
    return headers if type(headers) is Headers else _mocked_fields(headers)


def _mocked_fields(headers: Any) -> list[tuple[str, str]]:
    """The fields of urllib3's response, as mocks make it; http.client, if it read them, knew latin-1 only."""
    pairs: Iterable[tuple[str, str]] = (
        headers.iteritems() if hasattr(headers, "iteritems") else headers.items()
    )
    return [(name, value if value.isascii() else _text(value)) for name, value in pairs]


def _text(value: str) -> str:
    try:
        return field_text(value.encode("latin-1"))
    except UnicodeError:
        return value


_NO_RETRIES = requests.adapters.Retry(0, read=False)

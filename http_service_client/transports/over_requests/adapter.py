"""requests' session and adapter, made to decide nothing on their own, over the pools of this package.

requests documents that a session asks an adapter's `send` for a response, so nothing of requests' own adapter is
needed. It is used only where another library has replaced `HTTPAdapter.send`, or vcrpy records. `compatibility` lists
what is not documented.
"""

from __future__ import annotations

import time
from typing import Any

import requests
import requests.adapters
import requests.cookies
from requests.structures import CaseInsensitiveDict
from urllib3.util import Retry

from ...drivers.locks import ForkSafeLock
from ...errors import Failure
from ...http.bodies.encoding import FORM, RequestBody
from ...http.messages import HttpRequest
from ...http.preparation import METHODS_WITHOUT_CONTENT
from ...http.proxies.urls import HttpProxy, read_proxy
from ...http.urls import Url, split_url
from ..base import TransportSettings
from .compatibility import is_hooked, past_our_pools
from .connection import OpenConnections
from .pool import Pool
from .vcr import RecordedPool, RecordingPools, is_recorded

__all__ = ["PlainSession", "PooledAdapter", "prepare"]

_POOLS = 256  # pools without a connection are forgotten when there are more pools
_NO_RETRIES = Retry(0, read=False)


def prepare(request: HttpRequest) -> requests.PreparedRequest:
    """requests' form of a request that is final: requests has nothing left to decide."""
    prepared = requests.PreparedRequest()
    prepared.method = request.method
    prepared.url = request.url
    prepared.headers = CaseInsensitiveDict(request.headers.pairs())
    prepared.hooks = {"response": []}
    prepared._cookies = requests.cookies.RequestsCookieJar()  # type: ignore[attr-defined]  # mocks read it
    body: RequestBody = request.outgoing_body
    if body.length == 0:
        prepared.body = None
        if request.method not in METHODS_WITHOUT_CONTENT:
            prepared.headers.setdefault("Content-Length", "0")
    elif body.content_type == FORM and body.content is not None and body.content.isascii():
        # Text, as requests has it: matchers of mocks expect that.
        prepared.body = body.content.decode("ascii")
    else:
        prepared.body = body.content if body.content is not None else body.chunks()  # type: ignore[assignment]  # an iterator is accepted too
    return prepared


class PlainSession(requests.Session):
    """A session that stores no cookies, reads no environment and follows no redirects."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False
        self.headers.clear()
        self.cookies = _NoCookies()

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """None: redirects are the core's. requests would read an unbounded body before it follows one."""
        return None


class _NoCookies(requests.cookies.RequestsCookieJar):
    """Stores nothing: a shared client must not mix the sessions of its users."""

    def extract_cookies(self, response: Any, request: Any) -> None:
        pass


class PooledAdapter(requests.adapters.HTTPAdapter):
    """`HTTPAdapter` over our own pools."""

    def __init__(self, settings: TransportSettings) -> None:
        self._transport_settings = settings
        self._pools: dict[tuple[str, str | None], Pool] = {}
        self._lock = ForkSafeLock()  # reentrant: a signal handler may make a call, or close the client
        self.opened = OpenConnections()
        self._is_closed = False
        self._sweep_at = _POOLS
        super().__init__(max_retries=_NO_RETRIES)

    def send(self, request: requests.PreparedRequest, *arguments: Any, **options: Any) -> requests.Response:
        """The response, up to the end of its head. Calls requests' own `send` only if something is hooked in there."""
        url = split_url(request.url or "")
        if is_hooked() or is_recorded(url.scheme):
            return super().send(request, *arguments, **options)
        proxies, timeout = options["proxies"], options["timeout"]
        pool = self._pool(url, proxies.get(url.scheme))
        raw = pool.urlopen(
            request.method or "",
            self.request_url(request, proxies),
            request.body,
            request.headers,
            timeout=timeout,
            chunked=request.body is not None and "Content-Length" not in request.headers,
        )
        return self.build_response(request, raw)  # type: ignore[arg-type]  # duck-typed

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Keep requests from connecting by itself."""
        self.poolmanager = RecordingPools()

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """urllib3's pools behind a proxy, for recording only."""
        if not is_recorded("http"):
            raise past_our_pools("proxy_manager_for")
        return super().proxy_manager_for(proxy, **options)

    def get_connection_with_tls_context(
        self, request: requests.PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        """The pool for a request. The TLS context is the client's, not the request's."""
        url = split_url(request.url or "")
        if is_recorded(url.scheme):
            return RecordedPool(super().get_connection_with_tls_context(request, verify, proxies, cert))
        return self._pool(url, proxies.get(url.scheme) if proxies else None)

    def _pool(self, url: Url, proxy: str | None) -> Pool:
        pool = self._pools.get((url.origin, proxy))
        return pool if pool is not None else self._add_pool(url, proxy)

    def _add_pool(self, url: Url, proxy_url: str | None) -> Pool:
        settings = self._transport_settings
        proxy = None if proxy_url is None else read_proxy(proxy_url)
        assert not isinstance(proxy, Failure)  # `RequestsTransport` has checked it
        new = Pool(url, proxy, settings, self.opened)
        with self._lock:
            if self._is_closed:  # during a call
                new.close()
            pool = self._pools.setdefault((url.origin, proxy_url), new)
            if len(self._pools) > self._sweep_at:
                self._forget_empty_pools_locked(pool)
        # Here, not by a timer: a client that calls few hosts has few idle connections.
        settings.idle.close_older_than(time.monotonic() - settings.keep_alive_timeout)
        return pool

    def _forget_empty_pools_locked(self, newest: Pool) -> None:
        """Keep the pools that have a connection to offer; `IdleConnections` bounds their number.

        The next time comes when there are twice as many, so that the cost is constant for each new host.
        """
        kept = {}
        for key, pool in list(self._pools.items()):
            if pool.has_idle_connections or pool is newest:
                kept[key] = pool
            else:
                pool.close()  # an exchange may use it, and must not leave its connection there
        self._pools = kept
        self._sweep_at = max(_POOLS, 2 * len(kept))

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> Any:
        """The destination of one of urllib3's own pools, and its TLS context."""
        url = split_url(request.url or "")
        tls = {}
        if url.scheme == "https":
            tls = {"ssl_context": self._transport_settings.tls.context_for((url.host, url.port))}
        return {"scheme": url.scheme, "host": url.host, "port": url.port}, tls

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Nothing: the TLS context verifies."""

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
            for pool in list(self._pools.values()):
                pool.close()
        super().close()

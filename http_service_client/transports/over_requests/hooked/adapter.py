"""requests' session and adapter, made to decide nothing on their own, over the pools of this package.

requests documents that a session asks an adapter's `send` for a response, so nothing of requests' own adapter is
needed. It is used only where another library has replaced `HTTPAdapter.send`, or vcrpy records. `compatibility` lists
what is not documented.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import requests
import requests.cookies
from requests.structures import CaseInsensitiveDict
from urllib3.util import Retry
from urllib3.util import Timeout as Urllib3Timeout

from ....http.bodies.encoding import FORM
from ....http.headers import ends_connection
from ....http.messages import HttpRequest
from ....http.preparation import METHODS_WITHOUT_CONTENT
from ....http.urls import Url, split_url
from ...base import TransportSettings
from ..exchange_timeouts import ExchangeTimeouts
from ..hook_detection import is_recorded, own_classes
from ..origin_pools import Pools, WireBody, target_of
from ..pool import Pool
from .compatibility import is_adapter_replaced, past_our_pools
from .urllib3_style import Urllib3StyleResponse
from .vcr import RecordedPool, RecordingPools

__all__ = ["CarriedTimeouts", "PlainSession", "PooledAdapter", "prepare"]

if TYPE_CHECKING:
    from requests import Session
    from requests.adapters import HTTPAdapter
else:
    # Other classes may be in their place at this moment: what hooks in comes before the first exchange through requests.
    Session, HTTPAdapter = own_classes()

_NO_RETRIES = Retry(0, read=False)


def prepare(request: HttpRequest, body: WireBody) -> requests.PreparedRequest:
    """requests' form of a request that is final: requests has nothing left to decide."""
    prepared = requests.PreparedRequest()
    prepared.method = request.method
    prepared.url = request.url
    prepared.headers = CaseInsensitiveDict(request.headers.pairs())
    prepared._cookies = requests.cookies.RequestsCookieJar()  # type: ignore[attr-defined]  # mocks read it
    prepared.body = body  # type: ignore[assignment]  # an iterator is accepted too
    if body is None:
        if request.method not in METHODS_WITHOUT_CONTENT:
            prepared.headers.setdefault("Content-Length", "0")
    elif isinstance(body, bytes) and request.body.content_type == FORM and body.isascii():
        # Text, as requests has it: matchers of mocks expect that.
        prepared.body = body.decode("ascii")
    return prepared


def _url_of(request: requests.PreparedRequest) -> Url:
    return split_url(request.url or "")


class CarriedTimeouts(Urllib3Timeout):
    """The limits of an exchange, on their way through requests. It lets urllib3's class through unchanged."""

    def __init__(self, limits: ExchangeTimeouts) -> None:
        super().__init__()
        self.limits = limits


class PlainSession(Session):
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


class PooledAdapter(HTTPAdapter):
    """`HTTPAdapter` over our own pools."""

    def __init__(self, settings: TransportSettings, pools: Pools) -> None:
        self._transport_settings = settings
        self._pools = pools
        super().__init__(max_retries=_NO_RETRIES)

    def send(self, request: requests.PreparedRequest, *arguments: Any, **options: Any) -> requests.Response:
        """The response, up to the end of its head. Calls requests' own `send` only if something is hooked in there."""
        url = _url_of(request)
        if is_adapter_replaced() or is_recorded(url.scheme):
            return super().send(request, *arguments, **options)
        proxies = options["proxies"]
        pool = self._pool_for(url, proxies)
        raw = pool.urlopen(
            request.method or "",
            self.request_url(request, proxies),
            request.body,
            request.headers,
            timeout=options["timeout"],
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
        url = _url_of(request)
        if is_recorded(url.scheme):
            return RecordedPool(super().get_connection_with_tls_context(request, verify, proxies, cert))
        return self._pool_for(url, proxies)

    def _pool_for(self, url: Url, proxies: Mapping[str, str] | None) -> _RequestsPool:
        pool = self._pools.get(url, proxies.get(url.scheme) if proxies else None)
        return _RequestsPool(pool, self._transport_settings.max_response_size)

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> Any:
        """The destination of one of urllib3's own pools, and its TLS context."""
        url = _url_of(request)
        tls = {}
        if url.scheme == "https":
            tls = {"ssl_context": self._transport_settings.tls.context_for((url.host, url.port))}
        return {"scheme": url.scheme, "host": url.host, "port": url.port}, tls

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Nothing: the TLS context verifies."""

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:
        """The request target."""
        url = _url_of(request)
        return target_of(request.url or "", url, proxies.get(url.scheme) if proxies else None)


class _RequestsPool:
    """One of our pools, as requests uses those of urllib3.   limit: that of `Urllib3StyleResponse`."""

    def __init__(self, pool: Pool, limit: int | None) -> None:
        self._pool = pool
        self._limit = limit

    def urlopen(
        self,
        method: str,
        url: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        timeout: CarriedTimeouts,
        chunked: bool = False,
        **options: Any,
    ) -> Urllib3StyleResponse:
        """One exchange. Raises PhaseError only, which `HTTPAdapter.send` lets through: it is no error of urllib3."""
        if isinstance(body, str):  # a form
            body = body.encode("ascii")
        fields, is_last = list((headers or {}).items()), ends_connection(headers or {})
        response = self._pool.send(
            method, url, fields, body, timeout.limits, is_chunked=chunked, is_last=is_last
        )
        return Urllib3StyleResponse(response, self._limit)

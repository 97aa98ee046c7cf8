"""The pools of the blocking transport, one for each origin and way to it, and exchanges over them."""

from __future__ import annotations

import time
from collections.abc import Iterator

from ...drivers.locks import ForkSafeLock
from ...errors import Failure
from ...http.headers import Headers, ends_connection
from ...http.messages import HttpRequest
from ...http.preparation import METHODS_WITHOUT_CONTENT
from ...http.proxies.urls import HttpProxy, read_proxy
from ...http.urls import Url, origin_of, split_url
from ..base import TransportSettings
from .aborts import OpenConnections
from .exchange_timeouts import ExchangeTimeouts
from .pool import Pool, PoolResponse

__all__ = ["Pools", "WireBody", "target_of", "wire_body"]

_POOLS = 256  # pools without a connection are forgotten when there are more pools

WireBody = bytes | Iterator[bytes] | None


def wire_body(request: HttpRequest) -> WireBody:
    """The body to send; None for none. Raises InvalidRequestError for one that a thread cannot read."""
    body = request.outgoing_body
    if body.length == 0:
        return None
    return body.content if body.content is not None else body.chunks()


class Pools:
    """The pools of one transport, for all threads.

    opened: the connections of all pools.
    """

    def __init__(self, settings: TransportSettings) -> None:
        self.opened = OpenConnections()
        self._settings = settings
        self._pools: dict[tuple[str, str | None], Pool] = {}
        self._lock = ForkSafeLock()  # reentrant: a signal handler may make a call, or close the client
        self._is_closed = False
        self._sweep_at = _POOLS

    def send(
        self, request: HttpRequest, body: WireBody, timeouts: ExchangeTimeouts, proxy: str | None
    ) -> PoolResponse:
        """One exchange, up to the end of the response's head. Raises PhaseError only.

        body: of the request, by `wire_body`.   proxy: a usable URL, or None.
        """
        headers = request.headers
        fields: Headers | list[tuple[str, str]] = headers
        is_chunked = False
        if body is not None:
            is_chunked = "Content-Length" not in headers
        elif request.method not in METHODS_WITHOUT_CONTENT and "Content-Length" not in headers:
            fields = [*headers.pairs(), ("Content-Length", "0")]
        url = split_url(request.url)
        pool = self._pools.get((origin_of(request.url), proxy))
        return (pool or self._add(url, proxy)).send(
            request.method,
            url.target if proxy is None else target_of(request.url, url, proxy),
            fields,
            body,
            timeouts,
            is_chunked,
            ends_connection(headers),
        )

    def get(self, url: Url, proxy: str | None) -> Pool:
        """The pool for this URL, made if there is none."""
        pool = self._pools.get((url.origin, proxy))
        return pool if pool is not None else self._add(url, proxy)

    def _add(self, url: Url, proxy_url: str | None) -> Pool:
        settings = self._settings
        proxy = None if proxy_url is None else read_proxy(proxy_url)
        assert not isinstance(proxy, Failure)  # the transport has checked it
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

    def close(self) -> None:
        """Close the idle connections; one in use is closed after its exchange."""
        with self._lock:
            self._is_closed = True
            for pool in list(self._pools.values()):
                pool.close()


def target_of(text: str, url: Url, proxy: str | None) -> str:
    """The request target of a URL: absolute for a forwarding proxy (RFC 9112, 3.2.2)."""
    is_forwarded = proxy is not None and url.scheme == "http" and isinstance(read_proxy(proxy), HttpProxy)
    return text if is_forwarded else url.target

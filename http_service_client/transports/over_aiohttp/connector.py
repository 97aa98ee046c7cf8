"""aiohttp connections that are fit for use.

aiohttp takes bytes that arrived on an idle connection for the next response. Here a connection that has anything
to say before it is asked is closed, the addresses of a host are tried in our own way, and an exchange learns
when it has a connection.

What is private to aiohttp here: `_get`, `_release`, `_conns`, `_acquired`, `_cleanup_handle`, `_closed`, `_factory`,
`_create_connection`, `_resolve_host`, `_wrap_create_connection`, `_wrap_existing_connection` and
`_update_proxy_auth_header_and_build_proxy_req` of its connector, and `_key` of a connection. They are the seams that
subclasses have always used; `tests/transports` fails when one of them goes.
"""

from __future__ import annotations

import functools
import os
import socket
from time import monotonic
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from ...http.proxies.urls import SocksProxy
from ...http.urls import Url
from ..base import TransportSettings
from ..failures import Phase
from ..network.happy_eyeballs import connect_to_any_async
from ..network.resolver import address_text, permitted, resolve_async
from ..network.socks5 import connect_by_socks_async, destination
from .exchange import EXCHANGE, ExchangeTimer, raw_transport, write_buffer_size
from .protocol import StrictResponseHandler

__all__ = ["CheckedConnector"]

_MAX_ORIGINS = 1024


class CheckedConnector(aiohttp.TCPConnector):
    """A connector that hands out only connections that are fit for another request.

    How many may be open at once is not its business: the core counts for both worlds.
    """

    def __init__(self, settings: TransportSettings) -> None:
        super().__init__(
            limit=0,
            limit_per_host=0,
            keepalive_timeout=settings.keep_alive_timeout,
            resolver=_Resolver(),
            ttl_dns_cache=0,  # simultaneous look-ups share one; the answer is not kept, as in the other world
        )
        self._pid = os.getpid()
        self._idle_at_most = settings.keep_alive_timeout
        self._max_requests = settings.keep_alive_max_requests
        self._egress = settings.egress
        # aiohttp's keys of connections without proxy, by host, port and whether over TLS.
        self._direct: dict[tuple[str, int | None, bool], Any] = {}
        self._factory = functools.partial(  # type: ignore[assignment]  # a subclass
            StrictResponseHandler, self._loop, settings.head_limits, settings.max_response_size
        )

    async def connect(self, *arguments: Any, **options: Any) -> Any:
        """A connection; the exchange that asked for it learns that it has one."""
        connection = await super().connect(*arguments, **options)
        exchange = EXCHANGE.get()
        protocol: Any = connection.protocol
        protocol.is_idle = protocol.has_begun = False
        if exchange is not None:
            exchange.connected(protocol)
            if exchange.proxy is None and len(self._direct) < _MAX_ORIGINS:
                key = connection._key
                self._direct[key.host, key.port, key.is_ssl] = key
        return connection

    def acquire(self, url: Url) -> StrictResponseHandler | None:
        """An idle connection to the origin, not by way of a proxy, until `take_back`; None when there is none."""
        key = self._direct.get((url.host, url.port, url.scheme == "https"))
        idle: Any = None if key is None else self._conns.get(key)
        if key is None or not idle:
            return None
        oldest = monotonic() - self._idle_at_most
        while idle:
            # The one used last: the likeliest to be alive, and the others may rest.
            protocol, since = idle.pop()
            if not idle:
                del self._conns[key]
            if since >= oldest and protocol.is_reusable():
                self._acquired.add(protocol)
                protocol.key = key
                protocol.is_idle = protocol.has_begun = False
                return protocol  # type: ignore[no-any-return]  # made by this connector's factory
            protocol.abort()
        return None

    def release(self, protocol: StrictResponseHandler, *, should_close: bool = False) -> None:
        """The exchange on a connection that was lent is over.   should_close: it did not come to its end."""
        self._release(protocol.key, protocol, should_close=should_close)

    async def _create_connection(self, *arguments: Any, **options: Any) -> Any:
        exchange = EXCHANGE.get()
        if exchange is not None:
            exchange.connecting()
        return await super()._create_connection(*arguments, **options)

    async def _resolve_host(self, host: str, port: int, traces: Any = None) -> list[ResolveResult]:
        """What may be connected to; a proxy's own address is the operator's choice."""
        exchange = EXCHANGE.get()
        proxy = None if exchange is None else exchange.proxy
        if exchange is not None and isinstance(proxy, SocksProxy):
            return [_resolved(host, port, await self._destination(host, port, exchange, proxy))]
        found = await super()._resolve_host(host, port, traces)
        return permitted(found, _address_of, host, port, self._egress if proxy is None else None)

    async def _destination(self, host: str, port: int, exchange: ExchangeTimer, proxy: SocksProxy) -> str:
        """What the proxy is asked for: the name, or an address of it."""
        if proxy.resolves:
            return host
        exchange.phase = Phase.CONNECT  # whatever goes wrong here is no fault of the proxy
        found = await resolve_async(host, port)
        exchange.phase = Phase.PROXY
        return destination(permitted(found, address_text, host, port, self._egress))

    async def _wrap_create_connection(self, *arguments: Any, addr_infos: list[Any], **options: Any) -> Any:
        """A connection to one of the addresses; by way of a SOCKS proxy, to the one that it is asked for."""
        exchange = EXCHANGE.get()
        proxy = None if exchange is None else exchange.proxy
        within = None if exchange is None else exchange.time_to_connect()
        addresses = addr_infos[:]
        addr_infos.clear()  # all of them are tried here: aiohttp need not begin anew with those that are left
        if isinstance(proxy, SocksProxy):
            host, port = addresses[0][4][:2]
            sock = await connect_by_socks_async(proxy, host, port, within)
        else:
            sock = await connect_to_any_async(addresses, within)
        make_protocol, *others = arguments
        protocol = make_protocol()
        try:
            return await self._wrap_existing_connection(lambda: protocol, *others, sock=sock, **options)
        except BaseException:
            # Cancelled as the handshake ended, asyncio would say farewell at leisure, on a socket that is closed.
            protocol.abort()
            sock.close()
            raise

    def _update_proxy_auth_header_and_build_proxy_req(self, req: Any) -> Any:
        """The request for a tunnel, as the other world makes it: Host with its port, and nothing of aiohttp's own."""
        made = super()._update_proxy_auth_header_and_build_proxy_req(req)
        if req.is_ssl():
            for name in ("Accept", "Accept-Encoding", "User-Agent"):
                made.headers.popall(name, None)
            made.headers["Host"] = f"{req.url.host_subcomponent}:{req.url.port}"
        return made

    async def _get(self, key: Any, traces: Any) -> Any:
        while idle := self._conns.get(key):
            latest = idle.pop()  # as in `lend`
            protocol: Any = latest[0]
            if protocol.is_reusable():
                idle.appendleft(latest)
                break
            protocol.abort()
            if not idle:
                del self._conns[key]
        return await super()._get(key, traces)

    def _release(self, key: Any, protocol: Any, *, should_close: bool = False) -> None:
        protocol.served += 1
        protocol.is_idle = True
        should_close = should_close or protocol.should_close or protocol.served >= self._max_requests
        if not should_close and write_buffer_size(protocol.transport):
            # Answered too early: the rest may never be taken, and a farewell would wait for it.
            should_close = True
        if not should_close and self._cleanup_handle is not None and not self._closed:
            self._acquired.discard(protocol)
            self._conns[key].append((protocol, monotonic()))
            return
        # The loop was closed under a call, which is being collected; or this is a forked child, where the loop's
        # selector is the parent's too: to close there would take the connection away from the parent's loop.
        if should_close and (self._loop.is_closed() or os.getpid() != self._pid):
            _free(protocol.transport)
            return
        if should_close:
            # At once: `close` would first flush an upload that stalls, and wait for TLS's farewell.
            protocol.abort()
        super()._release(key, protocol, should_close=should_close)

    def abandon(self) -> None:
        """Free the sockets when the loop is gone and nothing can be awaited."""
        idle = [protocol for entries in self._conns.values() for protocol, _ in entries]
        for protocol in [*idle, *self._acquired]:
            _free(protocol.transport)
        self._conns.clear()
        self._acquired.clear()
        self._closed = True


def _resolved(host: str, port: int, address: str) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return ResolveResult(
        hostname=host, host=address, port=port, family=family, proto=socket.IPPROTO_TCP, flags=0
    )


def _address_of(found: ResolveResult) -> str:
    return found["host"]


def _free(transport: Any) -> None:
    """Close the socket of an asyncio transport past its loop, which is closed or another process's."""
    if transport is None:
        return
    if hasattr(transport, "_closed"):  # uvloop's has not, and needs not: its sockets end with the loop
        transport._closed = True  # a TLS transport warns when it is collected
    inner = raw_transport(transport)
    sock = getattr(inner, "_sock", None)
    if sock is not None:
        sock.close()
        inner._sock = None


class _Resolver(AbstractResolver):
    """aiohttp's way to the resolver of both worlds."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await resolve_async(host, port)
        return [_resolved(host, address[1], address[0]) for _, _, _, _, address in found]

    async def close(self) -> None:
        pass

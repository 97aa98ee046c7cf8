"""aiohttp's connector, made to hand out usable connections only.

aiohttp takes bytes that arrived on an idle connection for the next response. Here a connection on which anything
arrives between two exchanges is closed, the addresses of a host are tried in our own order, and an exchange is
notified when it has a connection.

Much of this is private to aiohttp. `compatibility` lists it; if a part is gone, `PublicConnector` is used instead.
"""

from __future__ import annotations

import asyncio
import functools
import os
import weakref
from time import monotonic
from typing import Any

import aiohttp
from aiohttp.abc import ResolveResult

from ...drivers.greenlets import is_running_here
from ...errors import ConfigurationError
from ...http.proxies.urls import SocksProxy
from ...http.urls import Url
from ..base import TransportSettings
from ..failures import Phase
from ..network.happy_eyeballs import connect_to_any_async
from ..network.resolver import address_text, permitted, resolve_async
from ..network.socks5 import connect_by_socks_async, destination
from ..network.tls_sessions import RESUMPTION, resumption_for
from ..network.unix import connect_to_unix_async
from .asyncio_transports import check_peer, close_socket, write_buffer_size
from .compatibility import AIOHTTP
from .exchange_timer import EXCHANGE, ExchangeTimer
from .protocol import StrictResponseHandler
from .resolver import NO_ADDRESS, SharedResolver, resolved

__all__ = ["CheckedConnector"]

_MAX_ORIGINS = 1024


class CheckedConnector(aiohttp.TCPConnector):
    """A connector that checks a connection before it hands it out.

    It does not limit the number of connections: the core does, for both transports together.
    """

    def __init__(self, settings: TransportSettings) -> None:
        super().__init__(
            limit=0,
            limit_per_host=0,
            keepalive_timeout=settings.keep_alive_timeout,
            resolver=SharedResolver(),
            # The resolver shares look-ups, and abandons one that nobody waits for. aiohttp's cache, which does not,
            # would keep the task of a look-up as long as the system's resolver hangs.
            use_dns_cache=False,
        )
        self._pid = os.getpid()
        self._idle = settings.idle
        self._close_idle = functools.partial(_close_idle, weakref.ref(self))
        self._egress = settings.egress
        self._sockets = settings.sockets
        # aiohttp's keys of connections without a proxy, by host, port and whether they use TLS.
        self._direct: dict[tuple[str, int | None, bool], Any] = {}
        self._factory = functools.partial(  # type: ignore[assignment]  # a subclass
            StrictResponseHandler,
            self._loop,
            settings.parser,
            settings.max_response_size,
            settings.idle.discard,
            settings.new_lifetime,
        )

    async def connect(self, *arguments: Any, **options: Any) -> Any:
        """A connection; the current exchange is notified of it."""
        connection = await super().connect(*arguments, **options)
        exchange = EXCHANGE.get()
        protocol: Any = connection.protocol
        protocol.is_idle = False
        self._idle.discard(protocol)
        if not protocol.served:
            try:
                self._check_route(exchange, protocol)
            except BaseException:
                connection.close()
                raise
        if exchange is not None:
            exchange.connected(protocol)
            if exchange.proxy is None:
                self._remember(connection._key)
        return connection

    def _remember(self, key: Any) -> None:
        """Have `acquire` find this key. Of too many, the oldest is forgotten until its next exchange by the session."""
        direct, origin = self._direct, (key.host, key.port, key.is_ssl)
        if origin not in direct and len(direct) >= _MAX_ORIGINS:
            del direct[next(iter(direct))]
        direct[origin] = key

    def _check_route(self, exchange: ExchangeTimer | None, protocol: StrictResponseHandler) -> None:
        """Check where a new connection leads, whatever aiohttp did to make it. Raises before anything is sent."""
        proxy = None if exchange is None else exchange.proxy
        if isinstance(proxy, SocksProxy) and not protocol.is_tunnel:
            raise ConfigurationError(AIOHTTP.refusal("a SOCKS proxy cannot be used"))
        is_local = exchange is not None and exchange.socket_path is not None
        if self._egress is not None and proxy is None and not is_local:
            check_peer(self._egress, "" if exchange is None else exchange.host, protocol.transport)

    def acquire(self, url: Url) -> StrictResponseHandler | None:
        """An idle connection to the origin without a proxy, to be returned by `release`; None when there is none."""
        key = self._direct.get((url.host, url.port, url.scheme == "https"))
        idle: Any = None if key is None else self._conns.get(key)
        if key is None or not idle:
            return None
        while idle:
            # The most recently used one: it is the likeliest to be alive, and lets the others expire.
            protocol, since = idle.pop()
            self._idle.discard(protocol)
            if not idle:
                del self._conns[key]
            if protocol.lifetime.allows(since) and protocol.is_reusable():
                self._acquired.add(protocol)
                protocol.key = key
                protocol.is_idle = False
                return protocol  # type: ignore[no-any-return]  # made by this connector's factory
            protocol.abort()
        return None

    def release(self, protocol: StrictResponseHandler, *, should_close: bool = False) -> None:
        """Return an acquired connection after its exchange.   should_close: the exchange was not completed."""
        self._release(protocol.key, protocol, should_close=should_close)

    async def _create_connection(self, *arguments: Any, **options: Any) -> Any:
        exchange = EXCHANGE.get()
        resumption = None
        if exchange is not None:
            exchange.connecting()
            resumption = None if exchange.tls is None else resumption_for(*exchange.tls)
        if resumption is None:
            return await super()._create_connection(*arguments, **options)
        RESUMPTION.set(resumption)
        try:
            protocol: Any = await super()._create_connection(*arguments, **options)
        except BaseException:
            resumption.failed()
            raise
        finally:
            RESUMPTION.set(None)
        protocol.resumption = resumption
        return protocol

    async def _resolve_host(self, host: str, port: int, traces: Any = None) -> list[ResolveResult]:
        """The addresses that may be connected to. Those of a proxy are not checked: the operator chose it."""
        exchange = EXCHANGE.get()
        proxy = None if exchange is None else exchange.proxy
        if exchange is not None and exchange.socket_path is not None:
            return [resolved(host, port, NO_ADDRESS)]
        if exchange is not None and isinstance(proxy, SocksProxy):
            return [resolved(host, port, await self._destination(host, port, exchange, proxy))]
        found = await super()._resolve_host(host, port, traces)
        return permitted(found, _address_of, host, port, self._egress if proxy is None else None)

    async def _destination(self, host: str, port: int, exchange: ExchangeTimer, proxy: SocksProxy) -> str:
        """The destination for a SOCKS proxy: the host's name, or one of its addresses."""
        if proxy.resolves:
            return host
        exchange.phase = Phase.CONNECT  # the proxy is not to blame for an error of our own resolver
        found = await resolve_async(host, port)
        exchange.phase = Phase.PROXY
        return destination(permitted(found, address_text, host, port, self._egress))

    async def _wrap_create_connection(self, *arguments: Any, addr_infos: list[Any], **options: Any) -> Any:
        """A connection to one of the addresses, or through a SOCKS proxy to the only one."""
        exchange = EXCHANGE.get()
        proxy = None if exchange is None else exchange.proxy
        within = None if exchange is None else exchange.time_to_connect()
        addresses = addr_infos[:]
        addr_infos.clear()  # all of them are tried here: nothing is left for aiohttp's own loop
        if exchange is not None and exchange.socket_path is not None:
            sock = await connect_to_unix_async(exchange.socket_path, self._sockets)
        elif isinstance(proxy, SocksProxy):
            host, port = addresses[0][4][:2]
            sock = await connect_by_socks_async(proxy, host, port, within, self._sockets)
        else:
            sock = await connect_to_any_async(addresses, within, self._sockets)
        make_protocol, *others = arguments
        protocol = make_protocol()
        protocol.is_tunnel = isinstance(proxy, SocksProxy)
        try:
            return await self._wrap_existing_connection(lambda: protocol, *others, sock=sock, **options)
        except BaseException:
            # Cancelled at the end of the handshake, asyncio would still send its close_notify, on a closed socket.
            protocol.abort()
            sock.close()
            raise

    def _update_proxy_auth_header_and_build_proxy_req(self, req: Any) -> Any:
        """The CONNECT request, as over requests: Host with its port, and no header of aiohttp's own."""
        connect_request = super()._update_proxy_auth_header_and_build_proxy_req(req)
        if req.is_ssl():
            for name in ("Accept", "Accept-Encoding", "User-Agent"):
                connect_request.headers.popall(name, None)
            connect_request.headers["Host"] = f"{req.url.host_subcomponent}:{req.url.port}"
        return connect_request

    async def _get(self, key: Any, traces: Any) -> Any:
        while idle := self._conns.get(key):
            latest = idle.pop()  # as in `acquire`
            protocol: Any = latest[0]
            if protocol.lifetime.allows(latest[1]) and protocol.is_reusable():
                idle.appendleft(latest)
                break
            protocol.abort()
            if not idle:
                del self._conns[key]
        return await super()._get(key, traces)

    def close_idle(self, protocol: Any) -> None:
        """Close this connection, unless it has been acquired."""
        idle: Any = self._conns.get(protocol.key, ())
        for entry in idle:
            if entry[0] is protocol:
                idle.remove(entry)
                if not idle:
                    del self._conns[protocol.key]
                protocol.abort()
                return

    def _release(self, key: Any, protocol: Any, *, should_close: bool = False) -> None:
        protocol.key = key
        protocol.served = served = protocol.served + 1
        protocol.is_idle = True
        if protocol.resumption is not None:
            protocol.resumption.keep()
            protocol.resumption = None
        since, lifetime = monotonic(), protocol.lifetime
        # `Lifetime.is_over`, without another look at the clock.
        if since >= lifetime.retires_at or served >= lifetime.max_requests or protocol.should_close:
            should_close = True
        elif not should_close and write_buffer_size(protocol.transport):
            # The server responded early: it may never read the rest, and close_notify would wait for that.
            should_close = True
        if not should_close and self._cleanup_handle is not None and not self._closed:
            self._acquired.discard(protocol)
            self._conns[key].append((protocol, since))
            self._idle.add(protocol, since, self._close_idle)
            return
        # Either the loop was closed during a call that is now being garbage-collected, or this is a forked child,
        # where the loop's selector is the parent's too: to close there would take the connection from the parent.
        if should_close and (self._loop.is_closed() or os.getpid() != self._pid):
            close_socket(protocol.transport)
            return
        if should_close:
            # Immediately: `close` would first flush a stalled upload, and wait for TLS's close_notify.
            protocol.abort()
        super()._release(key, protocol, should_close=should_close)
        if not should_close and not self._closed:
            self._idle.add(protocol, since, self._close_idle)

    def abandon(self) -> None:
        """Close the sockets without the loop, which is closed and can run nothing."""
        idle = [protocol for entries in self._conns.values() for protocol, _ in entries]
        for protocol in [*idle, *self._acquired]:
            self._idle.discard(protocol)
            close_socket(protocol.transport)
        self._conns.clear()
        self._acquired.clear()
        self._closed = True


def _close_idle(connector: weakref.ref[CheckedConnector], protocol: Any) -> None:
    """Close an idle connection on its event loop, from whatever thread or loop this is."""
    owner = connector()
    if owner is None:
        return
    loop = owner._loop
    if asyncio._get_running_loop() is loop and is_running_here(loop):
        owner.close_idle(protocol)
        return
    try:
        loop.call_soon_threadsafe(owner.close_idle, protocol)
    except RuntimeError:  # the loop was closed without a shutdown
        close_socket(protocol.transport)


def _address_of(found: ResolveResult) -> str:
    return found["host"]

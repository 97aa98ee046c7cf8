"""Makes the connections of the asyncio transport: directly, or through a proxy, with or without TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from typing import TYPE_CHECKING, Any

from ...http.http1.head import request_head
from ...http.proxies.urls import HttpProxy, Proxy, SocksProxy
from ...http.urls import Url
from ..base import TransportSettings
from ..failures import Phase, PhaseError, ProxyRefusedError
from ..network.happy_eyeballs import connect_to_any_async
from ..network.resolver import Address, address_text, permitted, resolve_async
from ..network.socks5 import connect_by_socks_async, destination
from ..network.tls_sessions import RESUMPTION, resumption_for
from ..network.unix import connect_to_unix_async
from .asyncio_transports import NEVER, forget_half_made
from .connection import Connection
from .pool import Pool

if TYPE_CHECKING:
    from ...http.egress import EgressPolicy

__all__ = ["connect", "open_socket"]


async def connect(
    pool: Pool, url: Url, proxy: Proxy | None, settings: TransportSettings, within: float | None
) -> Connection:
    """A connection to the origin, through the proxy if there is one.

    To be run in a task, and a context, of its own: what asyncio schedules for the connection keeps the context alive.
    within: seconds for connecting, from which the pauses between several addresses follow; the caller enforces them.
    Raises PhaseError, OSError, ProxyRefusedError, NotHttpError, and errors of this package.
    """
    # First, so that a file that cannot be used is reported before anything is done.
    tls = settings.tls
    context = await tls.context_for_async((url.host, url.port)) if url.scheme == "https" else None
    to_proxy = proxy.address if isinstance(proxy, HttpProxy) else None
    outer = None
    if to_proxy is not None and to_proxy.scheme == "https":
        if context is not None and sys.version_info < (3, 11):
            raise ProxyRefusedError(
                "asyncio supports TLS within TLS from Python 3.11 on; use an http:// proxy for https:// URLs"
            )
        outer = await tls.context_for_async((to_proxy.host, to_proxy.port))
    path = settings.socket_path(url)
    resumption = None
    if context is not None and outer is None:
        resumption = resumption_for(context, (url.host, url.port, proxy, path))
    sock = await open_socket(url, proxy, settings, within)
    connection = pool.new_connection()
    loop = pool.loop
    try:
        if to_proxy is None:
            RESUMPTION.set(resumption)
            await _start(loop, connection, sock, context, url)
        else:
            await _start(loop, connection, sock, outer, to_proxy)
            if context is not None:
                await _open_tunnel(connection, url, proxy)  # type: ignore[arg-type]  # `to_proxy` is its address
                connection.start_over()  # before TLS, within which the origin may be the first to send something
                RESUMPTION.set(resumption)
                within_tunnel = await loop.start_tls(
                    connection.transport,
                    connection,
                    context,
                    server_hostname=_server_name(url),
                    ssl_handshake_timeout=NEVER,
                )
                connection.connection_made(within_tunnel)  # type: ignore[arg-type]  # None is what it returns without a task
    except BaseException:
        if resumption is not None:
            resumption.failed()
        # Cancelled at the end of the handshake, asyncio would still send its close_notify, on a closed socket.
        connection.abort()
        # asyncio reports no loss during a handshake, and uvloop none of a connection whose making was cancelled.
        pool.forget(connection)
        forget_half_made(loop, sock)
        sock.close()
        raise
    connection.resumption = resumption
    if pool.closed:
        connection.abort()
    return connection


async def open_socket(
    url: Url, proxy: Proxy | None, settings: TransportSettings, within: float | None
) -> socket.socket:
    """A socket that is connected to the origin, or to its HTTP proxy, whose addresses are not checked: the operator chose it."""
    sockets = settings.sockets
    path = settings.socket_path(url)
    if path is not None:
        return await connect_to_unix_async(path, sockets)
    if isinstance(proxy, SocksProxy):
        host = url.host
        if not proxy.resolves:
            try:
                host = destination(await _addresses(url, settings.egress))
            except (OSError, UnicodeError) as error:  # of our own resolver: the proxy is not to blame
                raise PhaseError(Phase.CONNECT, error) from None
        return await connect_by_socks_async(proxy, host, url.port, within, sockets)
    if proxy is not None:
        found = await resolve_async(proxy.address.host, proxy.address.port)
    else:
        found = await _addresses(url, settings.egress)
    return await connect_to_any_async(found, within, sockets)


async def _addresses(url: Url, egress: EgressPolicy | None) -> list[Address]:
    found = await resolve_async(url.host, url.port)
    return permitted(found, address_text, url.host, url.port, egress)


async def _start(
    loop: asyncio.AbstractEventLoop,
    connection: Connection,
    sock: socket.socket,
    context: ssl.SSLContext | None,
    peer: Url,
) -> None:
    tls: dict[str, Any] = {}
    if context is not None:
        tls = {"ssl": context, "server_hostname": _server_name(peer), "ssl_handshake_timeout": NEVER}
    await loop.create_connection(lambda: connection, sock=sock, **tls)


def _server_name(url: Url) -> str:
    return url.host.rstrip(".")


async def _open_tunnel(connection: Connection, url: Url, proxy: HttpProxy) -> None:
    target = f"[{url.host}]:{url.port}" if ":" in url.host else f"{url.host}:{url.port}"
    connection.begin("CONNECT")
    connection.write(request_head("CONNECT", target, target, proxy.fields))
    while (head := connection.parser.read_head()) is None:
        if connection.error is not None:
            raise connection.error
        await connection.changed()
    if not 200 <= head.status <= 299:  # any of them opens the tunnel (RFC 9110, 9.3.6)
        raise ProxyRefusedError(f"{head.status} {head.reason}".strip())

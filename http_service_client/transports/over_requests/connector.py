"""Makes the connections of the blocking transport: directly, or through a proxy, with or without TLS."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Any

from ...http.http1.head import request_head
from ...http.proxies.urls import HttpProxy, Proxy, SocksProxy
from ...http.urls import Url
from ..base import TransportSettings
from ..failures import Phase, PhaseError, ProxyRefusedError
from ..network.happy_eyeballs import connect_to_any
from ..network.polling import must_wait_itself
from ..network.resolver import Address, address_text, permitted, resolve
from ..network.sockets import SocketSettings
from ..network.socks5 import destination, open_by_socks
from ..network.tls_sessions import Resumption, resumption_for
from ..network.unix import connect_to_unix
from .aborts import Cut, aborted
from .connection import Connection, SelfWaitingConnection
from .exchange_timeouts import ExchangeTimeouts, seconds_left

if TYPE_CHECKING:
    from ...http.egress import EgressPolicy

__all__ = ["connect"]

# Over TLS: before OpenSSL 3 a reset looks the same as an end without close_notify, which must be accepted.
_RESET_LOOKS_LIKE_AN_END = ssl.OPENSSL_VERSION_INFO < (3,)


class _CuttableSockets(SocketSettings):
    """The same settings, for sockets that another thread may shut down from the beginning: while they connect."""

    def __init__(self, settings: SocketSettings, cut: Cut) -> None:
        super().__init__(settings.options, settings.source)
        object.__setattr__(self, "_cut", cut)

    def new(self, family: int, kind: int, protocol: int) -> socket.socket:
        sock = super().new(family, kind, protocol)
        cut: Cut = self.__dict__["_cut"]
        try:
            cut.watch(sock)
            if cut.is_made:
                raise aborted()
            return sock
        except BaseException:
            sock.close()
            raise


def connect(
    url: Url,
    proxy: Proxy | None,
    settings: TransportSettings,
    timeouts: ExchangeTimeouts,
    cut: Cut | None = None,
) -> Connection:
    """A connection to the origin, through the proxy if there is one, within the connect timeout.

    cut: lets another thread end it; None for none.
    """
    expires_at = timeouts.connect_expires_at
    tls, egress, parser, sockets = settings.tls, settings.egress, settings.parser, settings.sockets
    if cut is not None:
        sockets = _CuttableSockets(sockets, cut)
    sock: Any
    # First, so that a file that cannot be used is reported before anything is done.
    context = tls.context_for((url.host, url.port)) if url.scheme == "https" else None
    path = settings.socket_path(url)
    is_nested = isinstance(proxy, HttpProxy) and url.scheme == proxy.address.scheme == "https"
    if path is not None:
        sock = connect_to_unix(path, seconds_left(expires_at), sockets)
    elif isinstance(proxy, SocksProxy):
        sock = _connect_by_socks(url, proxy, egress, expires_at, sockets)
    elif proxy is None:
        sock = _connect_to_any(_addresses(url, egress, expires_at), expires_at, sockets)
    else:
        if is_nested:
            from .nested_tls import check_nested_tls

            check_nested_tls()
        found = resolve(proxy.address.host, proxy.address.port, seconds_left(expires_at))
        sock = _connect_to_any(found, expires_at, sockets)
    try:
        if isinstance(proxy, HttpProxy):
            if proxy.address.scheme == "https":
                address = proxy.address
                outer = tls.context_for((address.host, address.port))
                sock = _start_tls(sock, address, outer, expires_at)
            if url.scheme == "https":
                _open_tunnel(_kind(sock)(sock, expires_at, parser), url, proxy)
        lifetime = settings.new_lifetime()
        if context is None:
            return _kind(sock)(sock, expires_at, parser, lifetime)
        if is_nested:
            from .nested_tls import NestedConnection, start_nested_tls

            sock = start_nested_tls(sock, context, _server_name(url), expires_at)
            return NestedConnection(sock, expires_at, parser, lifetime)
        resumption = resumption_for(context, (url.host, url.port, proxy, path))
        sock = _start_tls(sock, url, context, expires_at, resumption)
        connection = _kind(sock)(sock, expires_at, parser, lifetime)
        connection.resumption = resumption
        return connection
    except BaseException:
        sock.close()
        raise


def _kind(sock: Any) -> type[Connection]:
    return SelfWaitingConnection if must_wait_itself(sock) else Connection


def _addresses(url: Url, egress: EgressPolicy | None, expires_at: float | None) -> list[Address]:
    found = resolve(url.host, url.port, seconds_left(expires_at))
    return permitted(found, address_text, url.host, url.port, egress)


def _connect_by_socks(
    url: Url,
    proxy: SocksProxy,
    egress: EgressPolicy | None,
    expires_at: float | None,
    sockets: SocketSettings,
) -> socket.socket:
    host = url.host
    if not proxy.resolves:
        try:
            host = destination(_addresses(url, egress, expires_at))
        except (OSError, UnicodeError) as error:  # of our own resolver: the proxy is not to blame
            raise PhaseError(Phase.CONNECT, error) from None
    found = resolve(proxy.host, proxy.port, seconds_left(expires_at))
    sock = _connect_to_any(found, expires_at, sockets)
    try:
        open_by_socks(sock, proxy, host, url.port, lambda: seconds_left(expires_at))
    except BaseException:
        sock.close()
        raise
    return sock


def _connect_to_any(
    addresses: list[Address], expires_at: float | None, sockets: SocketSettings
) -> socket.socket:
    sock = connect_to_any(addresses, seconds_left(expires_at), sockets)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock
    except BaseException:  # macOS refuses it once the server has reset the connection
        sock.close()
        raise


def _start_tls(
    sock: Any,
    url: Url,
    context: ssl.SSLContext,
    expires_at: float | None,
    resumption: Resumption | None = None,
) -> Any:
    sock.settimeout(seconds_left(expires_at))  # bounds the handshake as a whole
    session = None if resumption is None else resumption.take()
    # A user's class may not know it.
    options: dict[str, Any] = {} if session is None else {"session": session}
    try:
        return context.wrap_socket(
            sock,
            server_hostname=_server_name(url),
            suppress_ragged_eofs=_RESET_LOOKS_LIKE_AN_END,
            **options,
        )
    except BaseException:
        if resumption is not None:
            resumption.failed()
        raise


def _server_name(url: Url) -> str:
    return url.host.rstrip(".")


def _open_tunnel(connection: Connection, url: Url, proxy: HttpProxy) -> None:
    target = f"[{url.host}]:{url.port}" if ":" in url.host else f"{url.host}:{url.port}"
    connection.parser.begin("CONNECT")
    connection.send(request_head("CONNECT", target, target, proxy.fields))
    head = connection.read_head()
    if not 200 <= head.status <= 299:  # any of them opens the tunnel (RFC 9110, 9.3.6)
        raise ProxyRefusedError(f"{head.status} {head.reason}".strip())

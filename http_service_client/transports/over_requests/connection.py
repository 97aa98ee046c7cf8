"""Connections for the blocking transport: made within their time, and never longer in a wait than they may.

Every wait on a socket is armed with the smaller of its own bound and what is left of the exchange, so a
server that drips a byte at a time is cut on time.
"""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import Iterable
from typing import Any

from urllib3.util import Timeout as Urllib3Timeout
from urllib3.util.ssltransport import SSLTransport

from ...http.egress import EgressPolicy
from ...http.http1.buffer import ReceiveBuffer
from ...http.http1.framing import HeadLimits
from ...http.http1.parser import read_head, request_head
from ...http.proxies.urls import HttpProxy, Proxy, SocksProxy
from ...http.urls import Url
from ..base import TransportSettings
from ..failures import Phase, ProxyRefusedError
from ..network.happy_eyeballs import connect_to_any
from ..network.polling import is_readable, wait_until_usable
from ..network.resolver import Address, address_text, permitted, resolve
from ..network.socks5 import destination, open_by_socks
from ..network.tls import TlsSettings

__all__ = ["Connection", "IoTimeouts", "PhaseError", "connect"]

# Of TLS: before OpenSSL 3 a reset cannot be told from an end without farewell, which must pass for an end.
_RESET_LOOKS_LIKE_AN_END = ssl.OPENSSL_VERSION_INFO < (3,)

_PIECE = 64 * 1024  # bytes handed to the kernel, or asked of it, at a time


class PhaseError(Exception):
    """An exchange failed in this phase, for this reason."""

    def __init__(self, phase: Phase, error: BaseException) -> None:
        super().__init__(phase, error)
        self.phase = phase
        self.error = error


class IoTimeouts(Urllib3Timeout):
    """The bounds of one exchange, on their way through requests. urllib3's class is what requests lets through.

    expires_at: instant by which the exchange must be over, or None.  connect_expires_at: … be connected.
    read_within, write_within: seconds that the other side may keep us waiting at a time, or None.
    """

    def __init__(
        self,
        expires_at: float | None,
        connect_expires_at: float | None,
        read_within: float | None,
        write_within: float | None,
    ) -> None:
        super().__init__()
        self.expires_at = expires_at
        self.connect_expires_at = connect_expires_at
        self.read_within = read_within
        self.write_within = write_within


def _left(expires_at: float | None, within: float | None = None) -> float | None:
    """Seconds that an operation may take. Raises TimeoutError when there are none."""
    if expires_at is None:
        return within
    left = expires_at - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left if within is None or left < within else within


class Connection(ReceiveBuffer):
    """One socket, the bytes that came from it, and what is known of it.

    served: exchanges so far.   idle_since: instant at which the last one ended.
    """

    def __init__(self, sock: Any, expires_at: float | None, limits: HeadLimits) -> None:
        super().__init__(limits)
        self.sock = sock
        self.served = 0
        self.idle_since = 0.0
        self._pid = os.getpid()
        self._ends_at = expires_at
        self._read_within: float | None = None
        self._write_within: float | None = None

    def begin(self, bounds: IoTimeouts) -> None:
        """Take the bounds of the coming exchange."""
        self._ends_at = bounds.expires_at
        self._read_within, self._write_within = bounds.read_within, bounds.write_within

    def receive(self) -> bytes:
        """Some bytes, within the bounds of the exchange."""
        self.sock.settimeout(_left(self._ends_at, self._read_within))
        return self._receive_some()

    def _receive_some(self) -> bytes:
        try:
            data: bytes = self.sock.recv(_PIECE)
            return data
        except ssl.SSLEOFError as error:
            if error.reason == "UNEXPECTED_EOF_WHILE_READING":  # no farewell: many servers leave it out
                return b""
            raise  # a reset

    def send(self, data: bytes | memoryview) -> None:
        """Send bytes; each part of them that the kernel takes has the time of a write."""
        view = memoryview(data)
        while view:
            self.sock.settimeout(_left(self._ends_at, self._write_within))
            view = view[self.sock.send(view) :]

    def send_unless_answered(self, chunks: Iterable[bytes | memoryview]) -> bool:
        """Send a body, listening the while; False when an answer came before all of it had left.

        A server that refuses an upload says so and stops reading: who only wrote would wait for ever.
        """
        if isinstance(self.sock, SSLTransport):  # it loses bytes where it may not wait
            for chunk in chunks:
                self.send(chunk)
            return True
        self.sock.settimeout(0.0)
        for chunk in chunks:
            view = memoryview(chunk)
            while view:
                within = _left(self._ends_at, self._write_within)
                if is_readable(self.sock) and self._is_answered():
                    return False
                try:
                    view = view[self.sock.send(view) :]
                    continue
                except (BlockingIOError, ssl.SSLWantWriteError):
                    to_write = True
                except ssl.SSLWantReadError:
                    to_write = False
                wait_until_usable(self.sock, within, to_write=to_write)
        return True

    def _is_answered(self) -> bool:
        try:
            data = self._receive_some()
        except (BlockingIOError, ssl.SSLWantReadError):  # nothing but a record of TLS's own
            return False
        self.add(data)
        self.skip_interim_heads()
        return not data or not self.may_be_interim

    def is_reusable(self, idle_at_most: float, requests_at_most: int) -> bool:
        """Whether it may serve another exchange: young, and silent since the last one."""
        if self.served >= requests_at_most or time.monotonic() - self.idle_since > idle_at_most:
            return False
        if isinstance(self.sock, SSLTransport) and self.sock.incoming.pending:  # it reads ahead
            return False
        return not is_readable(self.sock)  # closed by the server, or bytes that nobody asked for

    def close(self) -> None:
        """Close the socket."""
        self.sock.close()

    def abort(self) -> None:
        """Close the socket in mid-response, and wake the thread that reads from it, if another one does."""
        if os.getpid() == self._pid:  # a forked child must not end what its parent goes on with
            sock: Any = self.sock
            if isinstance(sock, SSLTransport):
                sock = sock.socket.sock  # type: ignore[attr-defined]  # an _OuterSocket
            try:
                socket.socket.shutdown(sock, socket.SHUT_RDWR)  # not TLS's own, which takes its state away
            except OSError:  # the other side was first
                pass
        self.sock.close()


def connect(url: Url, proxy: Proxy | None, settings: TransportSettings, bounds: IoTimeouts) -> Connection:
    """A connection to the origin, by way of the proxy where there is one, within the time to connect."""
    expires_at = bounds.connect_expires_at
    tls, egress, limits = settings.tls, settings.egress, settings.head_limits
    sock: Any
    if isinstance(proxy, SocksProxy):
        sock = _connect_by_socks(url, proxy, egress, expires_at)
    elif proxy is None:
        sock = _connect_to_any(_addresses(url, egress, expires_at), expires_at)
    else:
        sock = _connect_to_any(resolve(proxy.address.host, proxy.address.port, _left(expires_at)), expires_at)
    try:
        if isinstance(proxy, HttpProxy):
            if proxy.address.scheme == "https":
                sock = _secured(sock, proxy.address.host, tls, expires_at)
            if url.scheme == "https":
                _open_tunnel(Connection(sock, expires_at, limits), url, proxy)
        if url.scheme == "https":
            sock = _secured(sock, url.host, tls, expires_at)
        return Connection(sock, expires_at, limits)
    except BaseException:
        sock.close()
        raise


def _addresses(url: Url, egress: EgressPolicy | None, expires_at: float | None) -> list[Address]:
    found = resolve(url.host, url.port, _left(expires_at))
    return permitted(found, address_text, url.host, url.port, egress)


def _connect_by_socks(
    url: Url, proxy: SocksProxy, egress: EgressPolicy | None, expires_at: float | None
) -> socket.socket:
    host = url.host
    if not proxy.resolves:
        try:
            host = destination(_addresses(url, egress, expires_at))
        except (OSError, UnicodeError) as error:  # of our own resolver, and not of the proxy
            raise PhaseError(Phase.CONNECT, error) from None
    sock = _connect_to_any(resolve(proxy.host, proxy.port, _left(expires_at)), expires_at)
    try:
        open_by_socks(sock, proxy, host, url.port, lambda: _left(expires_at))
    except BaseException:
        sock.close()
        raise
    return sock


def _connect_to_any(addresses: list[Address], expires_at: float | None) -> socket.socket:
    sock = connect_to_any(addresses, _left(expires_at))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


class _OuterSocket:
    """The TLS socket to a proxy, under TLS to the origin: what is one step up there takes many down here.

    So a timeout that is set is that of all steps until the next one is set, and not of each.
    """

    def __init__(self, sock: ssl.SSLSocket, expires_at: float | None) -> None:
        self.sock = sock
        self._ends_at = expires_at

    def settimeout(self, seconds: float | None) -> None:
        self._ends_at = None if seconds is None else time.monotonic() + seconds

    def recv(self, amount: int) -> bytes:
        self.sock.settimeout(_left(self._ends_at))
        return self.sock.recv(amount)

    def sendall(self, data: bytes) -> None:
        self.sock.settimeout(_left(self._ends_at))
        self.sock.sendall(data)

    def fileno(self) -> int:
        return self.sock.fileno()

    def close(self) -> None:
        self.sock.close()


def _secured(sock: Any, host: str, tls: TlsSettings, expires_at: float | None) -> Any:
    sock.settimeout(_left(expires_at))  # bounds the handshake as a whole
    if isinstance(sock, ssl.SSLSocket):  # TLS to the proxy, and within it TLS to the origin
        return SSLTransport(_OuterSocket(sock, expires_at), tls.context, host.rstrip("."))  # type: ignore[arg-type]
    return tls.context.wrap_socket(
        sock, server_hostname=host.rstrip("."), suppress_ragged_eofs=_RESET_LOOKS_LIKE_AN_END
    )


def _open_tunnel(connection: Connection, url: Url, proxy: HttpProxy) -> None:
    target = f"[{url.host}]:{url.port}" if ":" in url.host else f"{url.host}:{url.port}"
    connection.send(request_head("CONNECT", target, target, proxy.fields))
    head = read_head(connection)
    if head.status != 200:
        raise ProxyRefusedError(f"{head.status} {head.reason}".strip())

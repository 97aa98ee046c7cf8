"""Sockets of urllib3 whose waits end with the attempt, and connections that tell when they are being made.

A timeout of requests is that of a single read. A server that sends a byte now and then keeps such a read from ever
timing out, and an upload that it takes slowly likewise. So, while an exchange with an end is made on this thread, each
wait of a socket gets the time that is left, if that is less than its own timeout.

A connection of urllib3 is made as always; then its socket becomes one of the classes below, which have no state. A socket
of any other class stays as it is, and so does a connection of a class that somebody put in the place of urllib3's: a
recorder's, or one for SOCKS. There, an attempt is bounded by its single reads.

urllib3 raises one SSLError for a handshake that failed and for a response that TLS found faulty. Only after the first
can a payment be sent again. So a connection notes that it is being made.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from contextvars import ContextVar, Token
from functools import partial
from typing import Any

from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

__all__ = ["BoundedExchange", "bound_pools"]


class BoundedExchange:
    """A block in which no wait of a socket goes on after these seconds; None for no end.

    is_connecting: a connection was begun in it, and never completed: nothing of the request was sent.
    """

    __slots__ = ("_token", "expires_at", "is_connecting")

    _token: Token[BoundedExchange | None]

    def __init__(self, seconds: float | None) -> None:
        self.expires_at = None if seconds is None else time.monotonic() + seconds
        self.is_connecting = False

    def __enter__(self) -> BoundedExchange:
        self._token = _EXCHANGE.set(self)
        return self

    def __exit__(self, *about: object) -> None:
        _EXCHANGE.reset(self._token)


_EXCHANGE: ContextVar[BoundedExchange | None] = ContextVar(
    "http_service_client.bounded_exchange", default=None
)


def _in_time(sock: socket.socket, operation: Callable[[], Any]) -> Any:
    exchange = _EXCHANGE.get()
    if exchange is None or exchange.expires_at is None:
        return operation()
    left, given = exchange.expires_at - time.monotonic(), sock.gettimeout()
    if left <= 0:
        raise TimeoutError("the time of the attempt is over")
    if given is not None and given <= left:
        return operation()
    sock.settimeout(left)
    try:
        return operation()
    finally:
        if sock.fileno() != -1:  # another thread may have closed it
            sock.settimeout(given)


class _Socket(socket.socket):
    __slots__ = ()  # or a plain socket could not become one

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        return _in_time(self, partial(super().recv_into, buffer, nbytes, flags))  # type: ignore[no-any-return]

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        _in_time(self, partial(super().sendall, data, flags))


class _TlsSocket(ssl.SSLSocket):
    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        return _in_time(self, partial(super().recv_into, buffer, nbytes, flags))  # type: ignore[no-any-return]

    def send(self, data: Any, flags: int = 0) -> int:  # by which `sendall` sends
        return _in_time(self, partial(super().send, data, flags))  # type: ignore[no-any-return]


_KINDS: dict[type, type] = {socket.socket: _Socket, ssl.SSLSocket: _TlsSocket}


def _bound(sock: Any) -> None:
    kind = _KINDS.get(type(sock))
    if kind is not None:
        try:
            sock.__class__ = kind
        except TypeError:
            pass  # green threads have sockets of their own, which may not allow it


def _bounded(kind: Any) -> Any:
    """The connection class, so that its sockets are bounded; one that is not urllib3's own, unchanged."""
    if not kind.__module__.startswith("urllib3."):
        return kind
    made = _CONNECTIONS.get(kind)
    if made is None:

        def connect(self: Any) -> None:
            exchange = _EXCHANGE.get()
            if exchange is not None:
                exchange.is_connecting = True
            kind.connect(self)
            _bound(self.sock)
            if exchange is not None:
                exchange.is_connecting = False

        made = _CONNECTIONS[kind] = type(kind.__name__, (kind,), {"connect": connect})
    return made


_CONNECTIONS: dict[type, type] = {}


class _Pool(HTTPConnectionPool):
    @property
    def ConnectionCls(self) -> Any:  # type: ignore[override]  # read each time: a recorder replaces it for a while
        return _bounded(HTTPConnectionPool.ConnectionCls)


class _TlsPool(HTTPSConnectionPool):
    @property
    def ConnectionCls(self) -> Any:  # type: ignore[override]  # see above
        return _bounded(HTTPSConnectionPool.ConnectionCls)


_PLAIN = {"http": HTTPConnectionPool, "https": HTTPSConnectionPool}


def bound_pools(manager: Any) -> None:
    """Have a manager of urllib3 make pools of bounded sockets, unless it has pools of its own kind."""
    if manager.pool_classes_by_scheme == _PLAIN:
        manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}

"""Pools of the blocking transport without a network: pairs of sockets, whose peer responds as the request is sent."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Any

from http_service_client import Timeout
from http_service_client.http.headers import Headers
from http_service_client.http.proxies.settings import ProxySettings
from http_service_client.http.proxies.urls import read_proxy
from http_service_client.http.urls import split_url
from http_service_client.transports.base import TransportSettings
from http_service_client.transports.idle import IdleConnections
from http_service_client.transports.network.tls import TlsSettings
from http_service_client.transports.over_requests.aborts import OpenConnections
from http_service_client.transports.over_requests.connection import Connection
from http_service_client.transports.over_requests.exchange_timeouts import ExchangeTimeouts
from http_service_client.transports.over_requests.pool import Pool, PoolResponse

__all__ = ["OK", "OPEN", "PROXY", "Wire", "Wired", "pool_for", "send"]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


OPEN = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab"


PROXY = "http://user:secret@proxy.test:3128"


class Wired(Connection):
    """A connection whose peer responds at once."""

    def __init__(self, wire: Wire, settings: TransportSettings) -> None:
        ours, self.peer = socket.socketpair()
        self.peer.settimeout(5.0)
        super().__init__(ours, None, settings.parser, settings.new_lifetime())
        self.wire = wire
        self.prefers_long_pieces = False
        self.limits: list[ExchangeTimeouts] = []

    def set_timeouts(self, timeouts: ExchangeTimeouts) -> None:
        self.limits.append(timeouts)
        super().set_timeouts(timeouts)

    def prefer_long_pieces(self) -> None:
        self.prefers_long_pieces = True

    def send(self, data: bytes) -> bool:
        self.wire.requests.append(data)
        response = self.wire.responses.pop(0)
        if callable(response):
            response = response()
        if isinstance(response, bytes):
            self.peer.sendall(response)
            response = self.wire.error_after
        if response is not None:
            raise response
        return self.wire.is_sent

    def send_all(self, chunks: Iterable[bytes | memoryview]) -> bool:
        self.wire.pieces += map(bytes, chunks)
        return self.wire.is_all_sent

    @property
    def is_open(self) -> bool:
        return bool(self.sock.fileno() >= 0)


class Wire:
    """All connections of a pool.

    requests, pieces: what was sent at the beginning of an exchange, and after that.   responses: to come; an error is raised
        by the sending of the request. A function makes one of them.   error: of connecting.
    error_after: raised by the sending, though a response came.   is_sent, is_all_sent: what the two say.
    loser: a socket that was tried, too, while the next connection was made; its peer is the second of the pair.
    """

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.pieces: list[bytes] = []
        self.error_after: BaseException | None = None
        self.is_all_sent = True
        self.loser: tuple[socket.socket, socket.socket] | None = None
        self.responses: list[Any] = []
        self.connections: list[Wired] = []
        self.error: BaseException | None = None
        self.is_sent = True

    def connect(self, url: Any, proxy: Any, settings: Any, timeouts: Any, cut: Any) -> Wired:
        if self.loser is not None:
            cut.watch(self.loser[0])
            self.loser[0].close()
        if self.error is not None:
            raise self.error
        self.connections.append(Wired(self, settings))
        return self.connections[-1]

    @property
    def are_open(self) -> list[bool]:
        return [connection.is_open for connection in self.connections]


def pool_for(
    url: str = "http://api.test/",
    proxy: str | None = None,
    requests: int = 100,
    size: int | None = None,
    **settings: Any,
) -> Any:
    found: Any = None if proxy is None else read_proxy(proxy)
    all_settings = TransportSettings(
        60.0, requests, size, True, TlsSettings(), ProxySettings(), idle=IdleConnections(), **settings
    )
    return Pool(split_url(url), found, all_settings, OpenConnections())


def send(
    pool: Any, wire: Wire, response: Any = OK, timeout: Timeout | None = None, **options: Any
) -> PoolResponse:
    wire.responses.append(response)
    given = {"fields": Headers({"X-Id": "1"}), "body": None, **options}
    timeouts = ExchangeTimeouts.starting(timeout or Timeout(read=5.0), 0.0)
    return pool.send("GET", "/a", timeouts=timeouts, **given)  # type: ignore[no-any-return]

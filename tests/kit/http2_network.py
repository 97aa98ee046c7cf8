"""The HTTP/2 transport of asyncio, in memory and in virtual time. The test is each server, frame by frame.

    network = Http2Network(monkeypatch)
    network.at(0.5, head(1), data(1, b"ok", ends=True))
    assert network.send("GET").content == b"ok"

The first stream of a connection is 1, the next one 3, and so on. A connection is made at once, and without a handshake.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import HttpRequest, HttpResponse
from http_service_client.core.timeouts import Timeout
from http_service_client.http.proxies.settings import ProxySettings
from http_service_client.transports.base import TransportSettings
from http_service_client.transports.network.tls import TlsSettings
from http_service_client.transports.over_h2.transport import AsyncHttp2Transport
from kit.http2_frames import FrameServer, settings
from kit.jumping_loop import InVirtualTime, JumpingLoop

__all__ = ["URL", "Http2Network"]

URL = "https://a.test/path?q=1"

_PACKAGE = "http_service_client.transports"


class _Tls(TlsSettings):
    """Contexts that nobody looks at."""

    def offering(self, *protocols: str) -> _Tls:
        return self

    async def context_for_async(self, peer: object) -> Any:
        return object()


class _Loop(JumpingLoop):
    """Its connections lead to servers in memory."""

    network: Http2Network

    async def create_connection(self, protocol_factory: Any, **options: Any) -> Any:
        network = self.network
        await asyncio.sleep(network.connecting)
        if network.refuses is not None:
            raise network.refuses
        server = FrameServer(
            connection=protocol_factory(), protocol=network.protocol, begins=network.protocol == "h2"
        )
        network.servers.append(server)
        if network.made is not None:
            network.made()
        if network.closes:
            server.connection.connection_lost(ConnectionResetError(104, "Connection reset by peer"))
        elif network.settings is not None and network.protocol == "h2":
            server.says(settings(network.settings))
            server.sent()
        return server.wire, server.connection


class Http2Network(InVirtualTime):
    """A transport, and the servers of all its connections, in their order.

    connecting: seconds that it takes.   refuses: what it raises.   closes: a server closes a connection at once.
    closed_sockets: when each was closed for which no connection could be made.   made: called when a connection was made.
    protocol: by ALPN.   settings: the servers' own.
    http1: the requests that went over HTTP/1.1, and their timeouts.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
        self.loop = _Loop(furthest=5000.0)
        self.loop.network = self
        self.servers: list[FrameServer] = []
        self.connecting = 0.0
        self.refuses: Exception | None = None
        self.closed_sockets: list[float] = []
        self.closes = False
        self.made: Callable[[], object] | None = None
        self.protocol = "h2"
        self.settings: Any = None
        self.http1: list[tuple[HttpRequest, Timeout]] = []
        self.transport = AsyncHttp2Transport(
            replace(TransportSettings(60.0, 100, None, True, _Tls(), ProxySettings()), **changes)
        )
        http1: Any = self.transport._http1
        http1.send_async = http1.open_response_async = self._over_http1
        clock = SimpleNamespace(monotonic=self.loop.time)
        for module in ("connection", "pool", "transport"):
            monkeypatch.setattr(f"{_PACKAGE}.over_h2.{module}.time", clock)
        monkeypatch.setattr(f"{_PACKAGE}.lifetime.monotonic", self.loop.time)
        monkeypatch.setattr(f"{_PACKAGE}.over_h2.pool.resolve_async", self._resolve)
        monkeypatch.setattr(f"{_PACKAGE}.over_h2.pool.connect_to_any_async", self._connect)

    async def _over_http1(self, request: HttpRequest, timeout: Timeout) -> HttpResponse:
        self.http1.append((request, timeout))
        return HttpResponse(200, content=b"over HTTP/1.1")

    async def _resolve(self, host: str, port: int) -> list[Any]:
        return []

    async def _connect(self, *arguments: Any) -> Any:
        return SimpleNamespace(close=lambda: self.closed_sockets.append(self.now), fileno=lambda: -1)

    @property
    def server(self) -> FrameServer:
        """The latest one."""
        return self.servers[-1]

    def says(self, data: bytes) -> None:
        self.server.says(data)

    def send(self, method: str = "GET", timeout: Timeout | None = None, **request: Any) -> Any:
        """The outcome of an exchange whose response is read whole."""
        return self.run(self.exchange(method, timeout, **request))

    def exchange(self, method: str = "GET", timeout: Timeout | None = None, **request: Any) -> Any:
        """The same, for a task of the test."""
        return self.transport.send_async(HttpRequest(method, URL, **request), timeout or Timeout())

    def open(self, method: str = "GET", timeout: Timeout | None = None, **request: Any) -> Any:
        """The outcome of an exchange whose response is left open."""
        return self.run(
            self.transport.open_response_async(HttpRequest(method, URL, **request), timeout or Timeout())
        )

    def close(self) -> None:
        """End everything."""
        self.run(self.transport.close_async())
        self.loop.close()

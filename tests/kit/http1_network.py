"""The HTTP/1.1 transport of asyncio, in memory and in virtual time. The test is each server, byte by byte.

    network = Http1Network(monkeypatch)
    network.at(0.5, OK)
    assert about(network.send()) == (200, b"ok")

A connection is made at once, and without a handshake.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import HttpRequest
from http_service_client.core.timeouts import Timeout
from http_service_client.errors import Failure, SentState
from http_service_client.http.proxies.settings import ProxySettings
from http_service_client.transports.base import TransportSettings
from http_service_client.transports.network.tls import TlsSettings
from http_service_client.transports.over_aiohttp.connection import Connection
from http_service_client.transports.over_aiohttp.transport import AiohttpTransport
from kit.jumping_loop import InVirtualTime, JumpingLoop

__all__ = ["OK", "URL", "Http1Network", "Wire", "about", "told"]

URL = "http://a.test/path?q=1"
OK = b"HTTP/1.1 200 OK\r\nX-Id: 1\r\nContent-Length: 2\r\n\r\nok"

_PACKAGE = "http_service_client.transports"


def told(failure: Any) -> tuple[str, str, SentState]:
    """A failure's type, message and state."""
    assert isinstance(failure, Failure), failure
    return failure.error_type.__name__, failure.message, failure.sent_state


def about(outcome: Any) -> tuple[int, bytes]:
    """A response's status and content."""
    assert not isinstance(outcome, Failure), outcome
    return outcome.status_code, outcome.content


class Wire:
    """The transport of one connection.

    written: what was written, in so many `writes`.   buffered: bytes that the kernel has not accepted.   is_aborted: by this side.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, connection: Connection) -> None:
        self.loop, self.connection = loop, connection
        self.written = b""
        self.writes = 0
        self.buffered = 0
        self.is_aborted = False
        connection.connection_made(self)  # type: ignore[arg-type]  # what is asked of a transport is here

    def get_extra_info(self, name: str) -> Any:
        return SimpleNamespace(fileno=lambda: 9) if name == "socket" else None

    def get_write_buffer_size(self) -> int:
        return self.buffered

    def is_closing(self) -> bool:
        return self.is_aborted

    def write(self, data: Any) -> None:
        self.written += bytes(data)
        self.writes += 1

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def abort(self) -> None:
        if not self.is_aborted:
            self.is_aborted = True
            self.loop.call_soon(self.connection.connection_lost, None)

    def close(self) -> None:
        pass

    def says(self, data: bytes) -> None:
        """Bytes of the server arrive."""
        if not self.is_aborted:
            self.connection.data_received(data)

    def loses(self, error: Exception | None = None) -> None:
        """The connection is lost by this error."""
        self.connection.connection_lost(error)


class Http1Network(InVirtualTime):
    """A transport, and the wires of all its connections, in their order.

    connecting: seconds that it takes.   resists: seconds that it goes on for when it is cancelled.
    refuses: what it raises.   made: called when a connection was made.
    ways: what was asked for each connection: the origin, the proxy, and the seconds for it.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
        self.loop = JumpingLoop(furthest=5000.0)
        self.wires: list[Wire] = []
        self.connecting = 0.0
        self.resists = 0.0
        self.refuses: BaseException | None = None
        self.made: Callable[[], object] | None = None
        self.ways: list[Any] = []
        self.settings = replace(
            TransportSettings(60.0, 100, None, True, TlsSettings(), ProxySettings()), **changes
        )
        self.transport = AiohttpTransport(self.settings)
        package = f"{_PACKAGE}.over_aiohttp"
        for module in (f"{_PACKAGE}.lifetime", f"{package}.pool"):
            monkeypatch.setattr(f"{module}.monotonic", self.loop.time)
        monkeypatch.setattr(f"{package}.connection.readability_check", lambda sock: lambda: False)
        monkeypatch.setattr(f"{package}.connection.last_bytes", lambda transport: b"")
        monkeypatch.setattr(f"{package}.transport.is_hooked", lambda: False)
        monkeypatch.setattr(f"{package}.exchange.connect", self._connect)

    async def _connect(self, pool: Any, url: Any, proxy: Any, settings: Any, within: Any) -> Any:
        self.ways.append((url.origin, proxy, within))
        assert settings is self.settings
        try:
            await asyncio.sleep(self.connecting)
        except asyncio.CancelledError:
            if not self.resists:
                raise
            await asyncio.sleep(self.resists)
        if self.refuses is not None:
            raise self.refuses
        connection = pool.new_connection()
        self.wires.append(Wire(self.loop, connection))
        if self.made is not None:
            self.made()
        return connection

    @property
    def wire(self) -> Wire:
        """The latest one."""
        return self.wires[-1]

    def says(self, data: bytes) -> None:
        self.wire.says(data)

    def exchange(
        self,
        method: str = "GET",
        timeout: Timeout | None = None,
        *,
        follows: bool = False,
        decompress: bool | None = None,
        **request: Any,
    ) -> Any:
        """The outcome of an exchange whose response is read whole, for a task of the test."""
        made = HttpRequest(method, URL, **request)
        made.follows_redirects, made.decompress = follows, decompress
        return self.transport.send_async(made, timeout or Timeout())

    def send(self, method: str = "GET", timeout: Timeout | None = None, **request: Any) -> Any:
        """The same, awaited."""
        return self.run(self.exchange(method, timeout, **request))

    def open(self, method: str = "GET", timeout: Timeout | None = None, **request: Any) -> Any:
        """The outcome of an exchange whose response is left open."""
        return self.run(
            self.transport.open_response_async(HttpRequest(method, URL, **request), timeout or Timeout())
        )

    def warm(self) -> None:
        """Have one idle connection, whose first exchange is forgotten."""
        self.at(self.connecting + 0.1, OK)
        assert about(self.send()) == (200, b"ok")
        self.wire.written = b""

    def prepared(self, way: str) -> float:
        """The present time, with an idle connection if the exchange is to find one.   way: "idle" or "new"."""
        if way == "idle":
            self.warm()
        return self.now

    def close(self) -> None:
        """End everything."""
        self.run(self.transport.close_async())
        self.loop.close()

"""Servers of the two kinds around one handler, and a client that the handler calls: what reaches the next service."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from http_service_client import HttpClientConfig, HttpResponse, HttpServiceClient, Propagation
from http_service_client.integrations import asgi, wsgi
from http_service_client.testing import ScriptedTransport, VirtualClock

__all__ = ["SERVERS", "AsgiServer", "Downstream", "Server", "WsgiServer"]

URL = "https://stock.internal/items"


class Downstream:
    """A client in virtual time, and the network behind it.   settings: of the client."""

    def __init__(self, *script: Any, **settings: Any) -> None:
        self.clock = VirtualClock()
        self.network = ScriptedTransport(list(script) or [HttpResponse(200)], clock=self.clock)
        config = HttpClientConfig(**{"propagation": Propagation(), "enable_retry_budget": False, **settings})
        self.client = HttpServiceClient(config, transport=self.network, clock=self.clock, random=lambda: 0.5)

    def call(self) -> None:
        """One call, whatever comes of it."""
        try:
            self.client.get(URL)
        except Exception as error:
            self.error: BaseException = error

    def sent(self, name: str) -> list[str | None]:
        """The values of a header, one for each exchange."""
        return [exchange.request.headers.get(name) for exchange in self.network.sent]


class Server(ABC):
    """An application that runs `handle`, then sends the body piece by piece, running `stream` before each of two pieces."""

    def __init__(
        self,
        handle: Callable[[], object],
        stream: Callable[[], object] | None = None,
        after: Callable[[], object] | None = None,
        **settings: Any,
    ) -> None:
        self.handle = handle
        self.stream = stream
        self.after = after
        self.app = self.middleware(self.application, **settings)

    middleware: Any
    application: Any

    @abstractmethod
    def request(self, headers: Mapping[str, str] | None = None) -> int:
        """Handle one request; the status of the response."""


class AsgiServer(Server):
    """`after` runs when the body has been sent. Plain functions run in threads, as in every framework."""

    middleware = asgi.DeadlineMiddleware

    async def application(self, scope: Any, receive: Any, send: Any) -> None:
        await asyncio.to_thread(self.handle)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(2):
            if self.stream is not None:
                await asyncio.to_thread(self.stream)
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await send({"type": "http.response.body"})
        if self.after is not None:
            await asyncio.to_thread(self.after)

    def request(self, headers: Mapping[str, str] | None = None) -> int:
        return asyncio.run(self.request_async([(name, value) for name, value in (headers or {}).items()]))

    async def request_async(self, headers: list[tuple[str, str]], kind: str = "http") -> int:
        """The same, in a task that goes on."""
        statuses = []

        async def send(message: Any) -> None:
            if message["type"].endswith(".start"):
                statuses.append(message["status"])

        fields = [(name.lower().encode(), value.encode()) for name, value in headers]
        await self.app({"type": kind, "headers": fields}, None, send)
        return statuses[-1] if statuses else 0


class WsgiServer(Server):
    """`after` runs when the body has been closed."""

    middleware = wsgi.DeadlineMiddleware

    def application(self, environ: Any, start_response: Any) -> Any:
        self.handle()
        start_response("200 OK", [])
        return _Pieces(self.stream, self.after)

    def request(self, headers: Mapping[str, str] | None = None) -> int:
        environ = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in (headers or {}).items()}
        statuses: list[str] = []
        body = self.app(environ, lambda status, headers: statuses.append(status))
        for piece in body:
            assert isinstance(piece, bytes)
        if hasattr(body, "close"):
            body.close()
        return int(statuses[-1].split()[0])


class _Pieces:
    def __init__(self, stream: Callable[[], object] | None, after: Callable[[], object] | None) -> None:
        self._stream, self._after = stream, after

    def __iter__(self) -> Any:
        for _ in range(2):
            if self._stream is not None:
                self._stream()
            yield b"x"

    def close(self) -> None:
        if self._after is not None:
            self._after()


SERVERS = [AsgiServer, WsgiServer]

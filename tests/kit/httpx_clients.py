"""Clients of httpx and httpx2 over our transports, and a service that is down."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import Any

import pytest

from http_service_client import HttpClientConfig, HttpServiceClient
from http_service_client.integrations import AsyncResilientTransport, ResilientTransport
from http_service_client.testing import VirtualClock, respond

__all__ = ["DOWN", "STOPS", "Clients", "Reads", "Sends"]

DOWN = respond(503, body="down")


STOPS = b"HTTP/1.1 503 Down\r\nContent-Length: 100\r\n\r\nx"


class Clients:
    """Makes clients of one library, blocking or asynchronous, and calls by them as if they were blocking."""

    def __init__(self, library: str, is_async: bool, stack: ExitStack) -> None:
        self.library: Any = pytest.importorskip(library, reason=f"{library} is not installed")
        self.is_async = is_async
        self._stack = stack
        self._loop = asyncio.new_event_loop()
        stack.callback(self._loop.close)
        self._transport: Any = AsyncResilientTransport if is_async else ResilientTransport

    def transport(self, config: HttpClientConfig | None = None, **options: Any) -> Any:
        """A transport that waits in virtual time."""
        client = HttpServiceClient(config, clock=VirtualClock())
        return self._transport(client=client, **options)

    def real(self, *arguments: Any, **options: Any) -> Any:
        """A transport of the constructor's own arguments."""
        return self._transport(*arguments, **options)

    def inner(self, **options: Any) -> Any:
        """The library's own transport."""
        return (self.library.AsyncHTTPTransport if self.is_async else self.library.HTTPTransport)(**options)

    def client(self, transport: Any = None, **options: Any) -> Any:
        kind = self.library.AsyncClient if self.is_async else self.library.Client
        client = kind(transport=transport or self.transport(), **options)
        self._stack.callback(lambda: self.wait(client.aclose()) if self.is_async else client.close())
        return client

    def request(self, client: Any, method: str, url: str, **options: Any) -> Any:
        result = client.request(method, url, **options)
        return self.wait(result) if self.is_async else result

    def wait(self, awaitable: Any) -> Any:
        return self._loop.run_until_complete(awaitable)

    def handled(self, transport: Any, request: Any) -> Any:
        """What a transport makes of a request, without a client around it."""
        if self.is_async:
            return self.wait(transport.handle_async_request(request))
        return transport.handle_request(request)


class Sends:
    """Somebody's own transport: a response, or an error, for each exchange. It notes what is done with it."""

    def __init__(self, clients: Clients, *script: Any) -> None:
        self._library = clients.library
        self._script = list(script)
        self.sent: list[Any] = []
        self.done: list[Any] = []

    def handle_request(self, request: Any) -> Any:
        self.sent.append(request)
        step = self._script.pop(0) if self._script else 200
        try:
            if isinstance(step, Exception):
                raise step
            return self._library.Response(step) if isinstance(step, int) else step
        finally:
            del step  # an error refers to this frame

    async def handle_async_request(self, request: Any) -> Any:
        return self.handle_request(request)

    def __enter__(self) -> None:
        self.done.append("entered")

    def __exit__(self, kind: Any, *about: Any) -> None:
        self.done.append(("exited", kind))

    def close(self) -> None:
        self.done.append("closed")

    async def __aenter__(self) -> None:
        self.__enter__()

    async def __aexit__(self, *about: Any) -> None:
        self.__exit__(*about)

    async def aclose(self) -> None:
        self.close()


class Reads(Sends):
    """It reads the body first, as a transport does that sends it."""

    def handle_request(self, request: Any) -> Any:
        request.read()
        return super().handle_request(request)

    async def handle_async_request(self, request: Any) -> Any:
        await request.aread()
        return super().handle_request(request)

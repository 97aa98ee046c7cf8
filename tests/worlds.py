"""The two front ends behind one face, so that a test is written once and holds for both.

    def test_something(world, ...):
        client = world.client(base_timeout=1.0)
        response = world.request(client, "GET", url)

The fixture `world` is in `conftest.py`.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any, ClassVar

from http_service_client import HttpClientConfig, HttpResponse, HttpServiceClient

__all__ = ["WORLDS", "AsyncioWorld", "BlockingWorld", "World"]


class World(ABC):
    """One front end. Closes the clients that it made."""

    name: ClassVar[str]

    def __init__(self) -> None:
        self._clients: list[HttpServiceClient] = []

    def client(self, *, config: HttpClientConfig | None = None, **settings: Any) -> HttpServiceClient:
        """A client.

        settings: the client's own keywords (`clock`, `transport`, ...); all others are `HttpClientConfig`'s.
        """
        own = ("base_url", "transport", "metrics", "on_event", "interceptor_factory", "clock", "random")
        options = {name: settings.pop(name) for name in own if name in settings}
        client = HttpServiceClient(config or HttpClientConfig(**settings), **options)
        self._clients.append(client)
        return client

    @abstractmethod
    def request(self, client: HttpServiceClient, method: str, url: str, **options: Any) -> HttpResponse:
        """Make a call and wait for it."""

    @abstractmethod
    def close(self, client: HttpServiceClient) -> None:
        """Close a client, in this world's way."""

    def __enter__(self) -> World:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for client in self._clients:
            self.close(client)

    def __repr__(self) -> str:
        return self.name


class BlockingWorld(World):
    """`client.request(...)`, on this thread."""

    name = "blocking"

    def request(self, client: HttpServiceClient, method: str, url: str, **options: Any) -> HttpResponse:
        return client.request(method, url, **options)

    def close(self, client: HttpServiceClient) -> None:
        client.close()


class AsyncioWorld(World):
    """`await client.request_async(...)`, on one loop for as long as the world lasts."""

    name = "asyncio"

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.new_event_loop()

    def request(self, client: HttpServiceClient, method: str, url: str, **options: Any) -> HttpResponse:
        return self._loop.run_until_complete(client.request_async(method, url, **options))

    def close(self, client: HttpServiceClient) -> None:
        self._loop.run_until_complete(client.close_async())

    def __exit__(self, *about: Any) -> None:
        try:
            super().__exit__(*about)
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()


WORLDS: tuple[type[World], ...] = (BlockingWorld, AsyncioWorld)

"""The two front ends behind one face, so that a test is written once and holds for both.

    def test_something(world, ...):
        client = world.client(base_timeout=1.0)
        response = world.request(client, "GET", url)

The fixture `world` is in `conftest.py`.
"""

from __future__ import annotations

import asyncio
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
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
    def stream(
        self, client: HttpServiceClient, method: str, url: str, **options: Any
    ) -> AbstractContextManager[Any]:
        """A streamed response, whose iterators are drawn with plain `for` in both worlds."""

    @abstractmethod
    def download(self, client: HttpServiceClient, url: str, path: Any, **options: Any) -> HttpResponse:
        """Download and wait for it."""

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

    def stream(
        self, client: HttpServiceClient, method: str, url: str, **options: Any
    ) -> AbstractContextManager[Any]:
        return client.stream(method, url, **options)

    def download(self, client: HttpServiceClient, url: str, path: Any, **options: Any) -> HttpResponse:
        return client.download(url, path, **options)

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

    @contextmanager
    def stream(self, client: HttpServiceClient, method: str, url: str, **options: Any) -> Iterator[Any]:
        wait = self._loop.run_until_complete
        opened = client.stream_async(method, url, **options)
        response = wait(opened.__aenter__())
        try:
            yield _Drawn(response, wait)
        except BaseException:
            if not wait(opened.__aexit__(*sys.exc_info())):
                raise
        else:
            wait(opened.__aexit__(None, None, None))

    def download(self, client: HttpServiceClient, url: str, path: Any, **options: Any) -> HttpResponse:
        return self._loop.run_until_complete(client.download_async(url, path, **options))

    def close(self, client: HttpServiceClient) -> None:
        self._loop.run_until_complete(client.close_async())

    def __exit__(self, *about: Any) -> None:
        try:
            super().__exit__(*about)
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()


class _Drawn:
    """A streamed response of asyncio, step by step from outside its loop."""

    def __init__(self, response: Any, wait: Callable[[Any], Any]) -> None:
        self._response = response
        self._wait = wait

    def __getattr__(self, name: str) -> Any:
        return getattr(self._response, name)

    def read(self) -> bytes:
        content: bytes = self._wait(self._response.read())
        return content

    def iter_bytes(self, chunk_size: int | None = None) -> Iterator[bytes]:
        return self._draw(self._response.iter_bytes(chunk_size))

    def iter_lines(self, **options: Any) -> Iterator[str]:
        return self._draw(self._response.iter_lines(**options))

    def iter_events(self, **options: Any) -> Iterator[Any]:
        return self._draw(self._response.iter_events(**options))

    def _draw(self, items: AsyncIterator[Any]) -> Iterator[Any]:
        while True:
            try:
                item = self._wait(items.__anext__())
            except StopAsyncIteration:
                return
            yield item


WORLDS: tuple[type[World], ...] = (BlockingWorld, AsyncioWorld)

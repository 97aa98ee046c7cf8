"""The blocking and the asyncio front end behind one interface: a test is written once and runs for both.

    def test_something(front_end, ...):
        client = front_end.client(base_timeout=1.0)
        response = front_end.request(client, "GET", url)

There are two ways to call:

    request, stream, events, download, download_parallel, paginate, poll, close
                                        in asyncio on one event loop, which lives as long as the front end:
                                        connections are kept from one call to the next
    run                                 in asyncio on a fresh event loop for each call, as `asyncio.run` gives it

The fixture `front_end` is in `conftest.py`.
"""

from __future__ import annotations

import asyncio
import functools
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Any, ClassVar

from http_service_client import HttpClientConfig, HttpResponse, HttpServiceClient

__all__ = ["FRONT_ENDS", "AsyncioFrontEnd", "BlockingFrontEnd", "FrontEnd", "run_task"]


class FrontEnd(ABC):
    """One front end. At the end of the block it closes the clients that it made."""

    name: ClassVar[str]

    def __init__(self) -> None:
        self._clients: list[HttpServiceClient] = []

    def client(self, *, config: HttpClientConfig | None = None, **settings: Any) -> HttpServiceClient:
        """A client.

        settings: the client's own keywords (`clock`, `transport`, ...); all others are `HttpClientConfig`'s.
        """
        own = (
            "base_url",
            "cache",
            "transport",
            "metrics",
            "telemetry",
            "on_event",
            "on_exchange",
            "interceptor_factory",
            "clock",
            "random",
        )
        options = {name: settings.pop(name) for name in own if name in settings}
        client = HttpServiceClient(config or HttpClientConfig(**settings), **options)
        self._clients.append(client)
        return client

    @abstractmethod
    def request(self, client: HttpServiceClient, method: str, url: str, **options: Any) -> HttpResponse:
        """Make a call and wait for it."""

    @abstractmethod
    def send(self, client: HttpServiceClient, request: Any, **options: Any) -> HttpResponse:
        """Send a kept request and wait for the response."""

    @abstractmethod
    def stream(
        self, client: HttpServiceClient, method: str, url: str, **options: Any
    ) -> AbstractContextManager[Any]:
        """A streamed response. A plain `for` reads its iterators, those of asyncio too."""

    @abstractmethod
    def events(self, client: HttpServiceClient, url: str, **options: Any) -> Any:
        """Server-sent events, for `next` and a plain `for`, those of asyncio too."""

    @abstractmethod
    def download(self, client: HttpServiceClient, url: str, path: Any, **options: Any) -> HttpResponse:
        """Download and wait for it."""

    @abstractmethod
    def download_parallel(
        self, client: HttpServiceClient, url: str, path: Any, **options: Any
    ) -> HttpResponse:
        """Download over several connections and wait for it."""

    @abstractmethod
    def poll(self, client: HttpServiceClient, accepted: HttpResponse, **options: Any) -> HttpResponse:
        """Wait for the result of an operation."""

    @abstractmethod
    def paginate(self, client: HttpServiceClient, url: str, **options: Any) -> Iterator[HttpResponse]:
        """The pages of a listing, one step at a time."""

    @abstractmethod
    def close(self, client: HttpServiceClient) -> None:
        """Close a client, by `close` or by `close_async`."""

    @abstractmethod
    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function that `function` or `calling` made."""

    @abstractmethod
    def function(self, body: Callable[..., Any]) -> Callable[..., Any]:
        """A function that does the same as the plain `body`; an `async def` for asyncio."""

    @abstractmethod
    def calling(self, client: HttpServiceClient, method: str, url: str, **options: Any) -> Callable[[], Any]:
        """A function that makes one call; an `async def` for asyncio."""

    def __enter__(self) -> FrontEnd:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for client in self._clients:
            self.close(client)

    def __repr__(self) -> str:
        return self.name


class BlockingFrontEnd(FrontEnd):
    """`client.request(...)`, on this thread."""

    name = "blocking"

    def request(self, client: HttpServiceClient, method: str, url: str, **options: Any) -> HttpResponse:
        return client.request(method, url, **options)

    def send(self, client: HttpServiceClient, request: Any, **options: Any) -> HttpResponse:
        return client.send(request, **options)

    def stream(
        self, client: HttpServiceClient, method: str, url: str, **options: Any
    ) -> AbstractContextManager[Any]:
        return client.stream(method, url, **options)

    def events(self, client: HttpServiceClient, url: str, **options: Any) -> Any:
        return client.events(url, **options)

    def download(self, client: HttpServiceClient, url: str, path: Any, **options: Any) -> HttpResponse:
        return client.download(url, path, **options)

    def download_parallel(
        self, client: HttpServiceClient, url: str, path: Any, **options: Any
    ) -> HttpResponse:
        return client.download_parallel(url, path, **options)

    def poll(self, client: HttpServiceClient, accepted: HttpResponse, **options: Any) -> HttpResponse:
        return client.poll(accepted, **options)

    def paginate(self, client: HttpServiceClient, url: str, **options: Any) -> Iterator[HttpResponse]:
        return client.paginate(url, **options)

    def close(self, client: HttpServiceClient) -> None:
        client.close()

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        return function(*args)

    def function(self, body: Callable[..., Any]) -> Callable[..., Any]:
        return body

    def calling(self, client: HttpServiceClient, method: str, url: str, **options: Any) -> Callable[[], Any]:
        def calling() -> HttpResponse:
            return client.request(method, url, **options)

        return calling


class AsyncioFrontEnd(FrontEnd):
    """`await client.request_async(...)`."""

    name = "asyncio"

    @functools.cached_property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop of `request` and its like: made when it is first needed, closed at the end of the block."""
        return asyncio.new_event_loop()

    def request(self, client: HttpServiceClient, method: str, url: str, **options: Any) -> HttpResponse:
        return self.loop.run_until_complete(client.request_async(method, url, **options))

    def send(self, client: HttpServiceClient, request: Any, **options: Any) -> HttpResponse:
        return self.loop.run_until_complete(client.send_async(request, **options))

    @contextmanager
    def stream(self, client: HttpServiceClient, method: str, url: str, **options: Any) -> Iterator[Any]:
        wait = self.loop.run_until_complete
        opened = client.stream_async(method, url, **options)
        response = wait(opened.__aenter__())
        try:
            yield _SteppedResponse(response, wait)
        except BaseException:
            if not wait(opened.__aexit__(*sys.exc_info())):
                raise
        else:
            wait(opened.__aexit__(None, None, None))

    def events(self, client: HttpServiceClient, url: str, **options: Any) -> Any:
        return _SteppedEvents(client.events_async(url, **options), self.loop.run_until_complete)

    def download(self, client: HttpServiceClient, url: str, path: Any, **options: Any) -> HttpResponse:
        return self.loop.run_until_complete(client.download_async(url, path, **options))

    def download_parallel(
        self, client: HttpServiceClient, url: str, path: Any, **options: Any
    ) -> HttpResponse:
        return self.loop.run_until_complete(client.download_parallel_async(url, path, **options))

    def poll(self, client: HttpServiceClient, accepted: HttpResponse, **options: Any) -> HttpResponse:
        return self.loop.run_until_complete(client.poll_async(accepted, **options))

    def paginate(self, client: HttpServiceClient, url: str, **options: Any) -> Iterator[HttpResponse]:
        return _Steps(client.paginate_async(url, **options), self.loop.run_until_complete)

    def close(self, client: HttpServiceClient) -> None:
        self.loop.run_until_complete(client.close_async())

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        return run_task(function(*args))

    def function(self, body: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(body)
        async def function(*args: Any, **kwargs: Any) -> Any:
            await asyncio.sleep(0)
            return body(*args, **kwargs)

        return function

    def calling(self, client: HttpServiceClient, method: str, url: str, **options: Any) -> Callable[[], Any]:
        async def calling() -> HttpResponse:
            return await client.request_async(method, url, **options)

        return calling

    def __exit__(self, *about: Any) -> None:
        try:
            super().__exit__(*about)
        finally:
            if "loop" in vars(self):
                try:
                    self.loop.run_until_complete(self.loop.shutdown_asyncgens())
                finally:
                    self.loop.close()


class _SteppedResponse:
    """A streamed response of asyncio, read step by step from outside its loop."""

    def __init__(self, response: Any, wait: Callable[[Any], Any]) -> None:
        self._response = response
        self._wait = wait

    def __getattr__(self, name: str) -> Any:
        return getattr(self._response, name)

    def read(self) -> bytes:
        content: bytes = self._wait(self._response.read())
        return content

    def iter_bytes(self, chunk_size: int | None = None) -> Iterator[bytes]:
        return self._steps(self._response.iter_bytes(chunk_size))

    def iter_text(self, **options: Any) -> Iterator[str]:
        return self._steps(self._response.iter_text(**options))

    def iter_lines(self, **options: Any) -> Iterator[str]:
        return self._steps(self._response.iter_lines(**options))

    def iter_json(self, *arguments: Any, **options: Any) -> Iterator[Any]:
        return _Steps(self._response.iter_json(*arguments, **options), self._wait)

    def iter_events(self, **options: Any) -> Iterator[Any]:
        return self._steps(self._response.iter_events(**options))

    def _steps(self, items: AsyncIterator[Any]) -> Iterator[Any]:
        return _Steps(items, self._wait)


class _Steps:
    """An asynchronous iterator, step by step. No generator: that ends with the first error."""

    def __init__(self, items: AsyncIterator[Any], wait: Callable[[Any], Any]) -> None:
        self._items = items
        self._wait = wait

    def __iter__(self) -> _Steps:
        return self

    def __next__(self) -> Any:
        try:
            return self._wait(self._items.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None


class _SteppedEvents(_Steps):
    """An event source of asyncio, read step by step from outside its loop."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._items, name)


def run_task(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """`asyncio.run` with a timeout: a test that hangs shows where."""

    async def bounded() -> Any:
        return await asyncio.wait_for(coroutine, timeout=20)

    return asyncio.run(bounded())


FRONT_ENDS: tuple[type[FrontEnd], ...] = (BlockingFrontEnd, AsyncioFrontEnd)

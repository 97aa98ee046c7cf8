"""The two front ends of the client behind one interface, so that a command is written once and prints the same."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any, Protocol, TypeVar

from ...client.client import HttpServiceClient
from ...client.streams.response import AsyncStreamedResponse, StreamedResponse
from ...http.messages import HttpResponse
from .prefetch import Prefetch, open_async, open_blocking

__all__ = ["AsyncioFrontEnd", "BlockingFrontEnd", "FrontEnd"]

T = TypeVar("T")


class FrontEnd(Protocol):
    """One client, called one way. `close` ends it."""

    def request(self, method: str, url: str, **keywords: Any) -> HttpResponse:
        """As `HttpServiceClient.request`."""
        ...

    def download(self, url: str, path: str, parts: int | None, **keywords: Any) -> HttpResponse:
        """As `HttpServiceClient.download`, or as `download_parallel` in so many parts."""
        ...

    def open(
        self, method: str, url: str, prefetch: Prefetch, **keywords: Any
    ) -> StreamedResponse | AsyncStreamedResponse:
        """As `HttpServiceClient.stream`, with the beginning of the body in `prefetch`. Close the response."""
        ...

    def pieces(self, response: Any) -> Iterator[bytes]:
        """The rest of the body, as it arrives."""
        ...

    def close(self) -> None:
        """Close the client."""
        ...


class BlockingFrontEnd:
    """By blocking verbs, on this thread."""

    def __init__(self, client: HttpServiceClient) -> None:
        self._client = client

    def request(self, method: str, url: str, **keywords: Any) -> HttpResponse:
        return self._client.request(method, url, **keywords)

    def download(self, url: str, path: str, parts: int | None, **keywords: Any) -> HttpResponse:
        if parts is not None:
            return self._client.download_parallel(url, path, parts=parts, **keywords)
        return self._client.download(url, path, **keywords)

    def open(self, method: str, url: str, prefetch: Prefetch, **keywords: Any) -> StreamedResponse:
        return open_blocking(self._client, method, url, prefetch, keywords)

    def pieces(self, response: Any) -> Iterator[bytes]:
        pieces: Iterator[bytes] = response.iter_bytes()
        return pieces

    def close(self) -> None:
        self._client.close()


class AsyncioFrontEnd:
    """By async verbs, on a loop of its own that runs for one step at a time."""

    def __init__(self, client: HttpServiceClient) -> None:
        self._client = client
        self._loop = asyncio.new_event_loop()

    def request(self, method: str, url: str, **keywords: Any) -> HttpResponse:
        return self._run(self._client.request_async(method, url, **keywords))

    def download(self, url: str, path: str, parts: int | None, **keywords: Any) -> HttpResponse:
        if parts is not None:
            return self._run(self._client.download_parallel_async(url, path, parts=parts, **keywords))
        return self._run(self._client.download_async(url, path, **keywords))

    def open(self, method: str, url: str, prefetch: Prefetch, **keywords: Any) -> AsyncStreamedResponse:
        return self._run(open_async(self._client, method, url, prefetch, keywords))

    def pieces(self, response: Any) -> Iterator[bytes]:
        pieces = response.iter_bytes()
        while (piece := self._run(_next(pieces))) is not None:
            yield piece

    def close(self) -> None:
        try:
            self._run(self._client.close_async())
            self._run(self._loop.shutdown_asyncgens())
            self._run(self._loop.shutdown_default_executor())
        finally:
            self._loop.close()

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        task = self._loop.create_task(coroutine)
        try:
            return self._loop.run_until_complete(task)
        except KeyboardInterrupt:
            # The task is still there. Cancelled, it closes its connection and its timeline.
            task.cancel()
            self._loop.run_until_complete(asyncio.wait([task]))
            if not task.cancelled():
                task.exception()
            raise


async def _next(pieces: Any) -> bytes | None:
    """The next piece; None after the last one."""
    piece: bytes | None = await anext(pieces, None)
    return piece

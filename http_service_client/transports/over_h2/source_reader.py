"""Reads the source of an asynchronous body, chunk by chunk, in a task of its own.

One task reads all chunks. In some libraries, such as anyio, a scope must be left by the task that entered it, and what the
source sets in its context must still be set at its next chunk. The source runs only while a chunk is wanted, so that it
is never ahead of what was sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from ..over_aiohttp.asyncio_transports import end_task, wake

__all__ = ["SourceReader"]


class SourceReader:
    """One source.   on_news: called when a chunk has come, and at the end."""

    def __init__(self, chunks: AsyncIterator[bytes], on_news: Callable[[], object]) -> None:
        self._chunks = chunks
        self._on_news = on_news
        self._chunk: bytes | None = None
        self._loop = asyncio.get_running_loop()
        self._wanted: asyncio.Future[None] = self._loop.create_future()
        self._task: asyncio.Task[None] | None = self._loop.create_task(self._read())
        self._task.add_done_callback(_retrieve)
        self._task.add_done_callback(lambda _: on_news())

    def want(self) -> None:
        """Ask for the next chunk."""
        wake(self._wanted)

    @property
    def is_ready(self) -> bool:
        """Whether the chunk has come, or the end."""
        return self._chunk is not None or self._task is None or self._task.done()

    def take(self) -> bytes | None:
        """The chunk that has come; None at the end. Raises what the source raised."""
        chunk, self._chunk = self._chunk, None
        if chunk is None and self._task is not None:
            task, self._task = self._task, None
            try:
                task.result()
            finally:
                del task  # it holds the error, whose traceback holds this frame
        return chunk

    async def close(self, may_wait: bool) -> None:
        """Stop reading.   may_wait: whether the caller may await the end of the source's present step."""
        if self._task is not None:
            await end_task(self._task, may_wait)

    async def _read(self) -> None:
        while True:
            await self._wanted
            self._wanted = self._loop.create_future()
            try:
                self._chunk = await self._chunks.__anext__()
            except StopAsyncIteration:
                return
            self._on_news()


def _retrieve(task: asyncio.Task[None]) -> None:
    """Retrieve the error, or asyncio would log it where nobody takes it any more."""
    if not task.cancelled():
        task.exception()

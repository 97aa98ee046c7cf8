"""Sends the body of a request, and notices a response that comes before its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from io import BytesIO

from ...http.bodies.encoding import RequestBody
from ..base import MOST_EARLY
from ..failures import BodySourceError
from .asyncio_transports import end_task, is_closing, keep_last_bytes
from .connection import Connection
from .exchange_timeouts import Limits

__all__ = ["Upload", "is_short"]

_PIECE = 64 * 1024  # bytes; a larger body is sent in pieces, each with the write timeout


def is_short(content: bytes | None) -> bool:
    """Whether a body is in memory and short enough to be sent with its head."""
    return content is not None and len(content) <= _PIECE


class Upload:
    """The body of one request, whose head has been written.

    most_early: bytes of the response's body that may be taken meanwhile.
    is_stuck: the kernel accepts no more bytes.   early: what was taken of the response's body.
    """

    def __init__(self, connection: Connection, limits: Limits, most_early: int = MOST_EARLY) -> None:
        self.is_stuck = False
        self.early = BytesIO()
        self._connection = connection
        self._limits = limits
        self._most_early = most_early

    async def send(self, body: RequestBody, *, is_chunked: bool) -> bool:
        """Whether all of it was sent, and not only until it no longer mattered.

        Raises BodySourceError, NotHttpError; TimeoutError where nothing is accepted for too long.
        """
        keep_last_bytes(self._connection.transport)
        if body.content is not None:
            return await self._write(body.content, is_chunked)
        if body.is_async:
            return await self._write_beside(body.async_chunks(), is_chunked)
        return await self._write_all(body.async_chunks(), is_chunked)

    async def finish(self) -> None:
        """Wait until the kernel has accepted all that was written, if there is a limit for that. Raises as `send`."""
        if self._limits.timeout.write is not None:
            while self._connection.unsent and not self._is_answered():
                await self._until_taken()

    async def _write_beside(self, chunks: AsyncIterator[bytes], is_chunked: bool) -> bool:
        """Its source may take its time: the time for the whole, and the response, end that.

        It is read by one task: some libraries let no other one go on with what a task has begun.
        """
        connection = self._connection
        task = asyncio.get_running_loop().create_task(self._write_all(chunks, is_chunked))
        task.add_done_callback(_retrieve)
        task.add_done_callback(lambda _: connection.wake())
        may_wait = True
        try:
            while not task.done() and not self._is_answered():
                await self._limits.wait(connection.changed(takes_more=self._listens), None)
        except GeneratorExit:  # this coroutine is being closed and must not await
            may_wait = False
            raise
        finally:
            await end_task(task, may_wait)
        try:
            return not task.cancelled() and task.result()
        finally:
            del task  # it holds the error, whose traceback holds this frame

    async def _write_all(self, chunks: AsyncIterator[bytes], is_chunked: bool) -> bool:
        while True:
            try:
                chunk = await chunks.__anext__()
            except StopAsyncIteration:
                break
            except Exception as error:
                raise BodySourceError(error) from None
            if self._limits.are_reached:  # by a source that took its time: nothing waits where there is room
                raise TimeoutError
            if not await self._write(chunk, is_chunked):
                return False
        if is_chunked:
            self._connection.write(b"0\r\n\r\n")
        return True

    async def _write(self, data: bytes, is_chunked: bool) -> bool:
        connection, view = self._connection, memoryview(data)
        for start in range(0, len(view), _PIECE):
            # Closing: a write has failed, which the next step of the loop reports. asyncio logs each further one.
            if is_closing(connection.transport) or self._is_answered():
                return False
            piece = view[start : start + _PIECE]
            connection.write(b"".join((b"%x\r\n" % len(piece), piece, b"\r\n")) if is_chunked else piece)
            while connection.is_full and not self._is_answered():
                await self._until_taken()
        return True

    async def _until_taken(self) -> None:
        """Wait until the kernel has accepted some bytes, or there is news."""
        connection, limits = self._connection, self._limits
        limit, left, since = limits.timeout.write, connection.unsent, limits.now()
        self.is_stuck = True
        while not await limits.wait(connection.drained(), None if limit is None else limit / 4):
            # It also grows: TLS passes on what it has kept while the transport below was full.
            if connection.unsent != left:
                break
            if limit is not None and limits.now() - since >= limit:
                raise TimeoutError
        self.is_stuck = False

    def _is_answered(self) -> bool:
        """Whether sending the rest of the request no longer matters.

        The head of a success alone is not enough: a server may begin its response while it reads the request, and a
        body that is cut off would count as received.
        """
        connection = self._connection
        if connection.is_lost:
            return True
        if not connection.has_unread:
            return False
        parser = connection.parser
        head = parser.read_head()
        if head is None:
            return False
        while self._listens and (piece := parser.read_body()):
            self.early.write(piece)
        if head.status >= 300 or parser.is_complete:
            return True
        if self._listens:
            connection.read_on()
        return False

    @property
    def _listens(self) -> bool:
        return self.early.tell() < self._most_early


def _retrieve(task: asyncio.Task[bool]) -> None:
    """Retrieve the error, or asyncio would log it where nobody waits for it any more."""
    if not task.cancelled():
        task.exception()

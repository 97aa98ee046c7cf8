"""One exchange on an HTTP/2 connection: what has arrived of its response, and the task that waits for more."""

from __future__ import annotations

import asyncio
import math

from ...core.effects import TIMED_OUT
from ...drivers.aio_timers import TimerWheel
from .heads import ResponseHead

__all__ = ["Http1RequiredError", "Http2Stream", "NotProcessedError"]


class NotProcessedError(Exception):
    """The server says that it did not process the request, and will not (RFC 9113, 8.7). The message says how."""


class Http1RequiredError(NotProcessedError):
    """The same, since the server serves this request over HTTP/1.1 only (HTTP_1_1_REQUIRED; RFC 9113, 7)."""


class Http2Stream:
    """The state of a stream.

    head: of the final response, once it has arrived.   pieces: of its body, not read yet.
    window_used: bytes of the stream's window that they took, padding included.   received: bytes of the body.
    is_sent: the whole request was given to the connection.   is_complete: the response has ended.   error: what ended it before that, or None.
    interim_size: bytes of interim heads, of which a server can send any number.
    """

    def __init__(self, stream_id: int, method: str, timers: TimerWheel) -> None:
        self.id = stream_id
        self.method = method
        self.head: ResponseHead | None = None
        self.pieces: list[bytes] = []
        self.received = self.window_used = 0
        self.interim_size = 0
        self.is_sent = self.is_complete = False
        self.error: Exception | None = None
        self._timers = timers
        self._waiter: asyncio.Future[object] | None = None

    def most_content(self) -> float:
        """How many bytes of content the head allows. The length that it announces may be another's (RFC 9110, 8.6)."""
        if self.head is None or self.method == "HEAD" or self.head.status in (204, 304):
            return 0
        return math.inf if self.head.length is None else self.head.length

    def wake(self) -> None:
        """Something has changed."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def fail(self, error: Exception) -> None:
        """The stream has ended, unless the response is complete."""
        if not self.is_complete and self.error is None:
            self.error = error
        self.wake()

    async def wait(self, within: float | None) -> bool:
        """Wait for a change; False when `within` seconds have passed. One task at a time may wait."""
        loop = self._timers.loop
        waiter = self._waiter = loop.create_future()
        due = {} if within is None else self._timers.schedule(loop.time(), within, waiter)
        try:
            return await waiter is not TIMED_OUT
        finally:
            due.pop(waiter, None)
            self._waiter = None

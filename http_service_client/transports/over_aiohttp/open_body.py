"""The body of a response over aiohttp, read piece by piece.

What is private to aiohttp here: `_drop_timeout` of the protocol, `_buffer` and `_read_nowait` of its body stream.
"""

from __future__ import annotations

from typing import Any

import aiohttp

from ...core.effects import TIMED_OUT
from ...core.timeouts import Timeout
from ...drivers.aio_timers import TimerWheel
from ...errors import Failure
from ...http.messages import HttpRequest
from ..failures import failure_of
from .errors import ERRORS, translate_error
from .exchange_timer import ExchangeTimer
from .fast_path import FastResponse

__all__ = ["AiohttpBodySource", "ends_with_the_connection"]


class AiohttpBodySource:
    """The body of a response of which only the head has been read."""

    def __init__(
        self,
        request: HttpRequest,
        response: aiohttp.ClientResponse | FastResponse,
        connection: Any,
        timers: TimerWheel,
    ) -> None:
        self._request = request
        self._response = response
        self._connection = connection
        self._timers = timers
        if connection is not None:  # None: a mock's response
            # aiohttp's timer also runs while nobody reads; ours bounds each wait.
            connection.read_timeout = None
            connection._drop_timeout()

    async def read_async(self, timeout: Timeout) -> bytes | Failure:
        content, protocol = self._response.content, self._connection
        error: BaseException
        timed_out = False
        longest_wait = _shorter(timeout.read, timeout.total)
        expires_at: float | None = (
            None  # for the whole wait, even if data arrives that is not part of the body
        )
        try:
            if protocol is None:
                return await content.readany()
            while not content.is_eof() and not content._buffer and content.exception() is None:
                if protocol.transport is None:
                    raise ConnectionResetError("closed in mid-body")  # by `close_async`
                now = self._timers.loop.time()
                if expires_at is None and longest_wait is not None:
                    expires_at = now + longest_wait
                waiter = protocol.next_data()
                due = {} if expires_at is None else self._timers.schedule(now, expires_at - now, waiter)
                try:
                    result = await waiter
                finally:
                    due.pop(waiter, None)
                if result is TIMED_OUT:
                    timed_out = timeout.total == longest_wait
                    raise TimeoutError
            if isinstance(content.exception(), aiohttp.ClientPayloadError) and content._buffer:
                return content._read_nowait(-1)  # it arrived before the error, which the next read raises
            data: bytes = content.read_nowait()
            if not data and protocol.fatal_error is not None and ends_with_the_connection(self._response):
                raise protocol.fatal_error
            return data
        except ERRORS as failed:
            error = failed
        try:
            exchange = ExchangeTimer(timeout, proxy=None)
            exchange.connection = protocol
            phase, error = translate_error(exchange, error)
            return failure_of(phase, error, self._request, timeout, timed_out)
        finally:
            del error  # a traceback holds this frame

    def close(self) -> None:
        self._response.close()


def _shorter(one: float | None, other: float | None) -> float | None:
    """The shorter of two durations; None is no limit."""
    if one is None or other is None:
        return one or other
    return min(one, other)


def ends_with_the_connection(response: aiohttp.ClientResponse | FastResponse) -> bool:
    """Whether only the end of the connection ends the body (RFC 9112, 6.3)."""
    coding = response.headers.get("Transfer-Encoding", "identity")
    return "Content-Length" not in response.headers and coding.lower() == "identity"

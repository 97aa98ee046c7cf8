"""The body of a response over aiohttp that was left open, read when it is asked for.

What is private to aiohttp here: `_drop_timeout` of the protocol, `_buffer` and `_read_nowait` of its stream of
the body.
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
from .exchange import ExchangeTimer
from .fast_path import FastResponse

__all__ = ["AiohttpBodySource", "ends_with_the_connection"]


class AiohttpBodySource:
    """The body of a response that was left open."""

    def __init__(
        self,
        request: HttpRequest,
        answer: aiohttp.ClientResponse | FastResponse,
        connection: Any,
        timers: TimerWheel,
    ) -> None:
        self._request = request
        self._answer = answer
        self._connection = connection
        self._alarms = timers
        if connection is not None:  # a mock has none
            # aiohttp's timer runs on while nobody reads; ours bounds each wait.
            connection.read_timeout = None
            connection._drop_timeout()

    async def read_async(self, timeout: Timeout) -> bytes | Failure:
        content, protocol = self._answer.content, self._connection
        error: BaseException
        timed_out = False
        most = _most(timeout)
        expires_at: float | None = None  # of the wait, however often something comes that is none of the body
        try:
            if protocol is None:
                return await content.readany()
            while not content.is_eof() and not content._buffer and content.exception() is None:
                if protocol.transport is None:
                    raise ConnectionResetError("closed in mid-body")  # by `close_async`
                now = self._alarms.loop.time()
                if expires_at is None and most is not None:
                    expires_at = now + most
                waiter = protocol.next_data()
                due = {} if expires_at is None else self._alarms.set(now, expires_at - now, waiter)
                try:
                    told = await waiter
                finally:
                    due.pop(waiter, None)
                if told is TIMED_OUT:
                    timed_out = timeout.total == most
                    raise TimeoutError
            if isinstance(content.exception(), aiohttp.ClientPayloadError) and content._buffer:
                return content._read_nowait(-1)  # it came before the break, which is told behind it
            data: bytes = content.read_nowait()
            if not data and protocol.died_of is not None and ends_with_the_connection(self._answer):
                raise protocol.died_of
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
        self._answer.close()


def _most(timeout: Timeout) -> float | None:
    """Seconds that a silence may last; None for as long as it likes."""
    read, total = timeout.read, timeout.total
    if read is None or total is None:
        return read or total
    return min(read, total)


def ends_with_the_connection(answer: aiohttp.ClientResponse | FastResponse) -> bool:
    """Whether the body has no end of its own (RFC 9112, 6.3)."""
    coding = answer.headers.get("Transfer-Encoding", "identity")
    return "Content-Length" not in answer.headers and coding.lower() == "identity"

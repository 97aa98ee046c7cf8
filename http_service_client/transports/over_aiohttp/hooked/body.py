"""The body of a response through aiohttp, read piece by piece."""

from __future__ import annotations

from typing import Any

import aiohttp

from ....core.outcomes import ended_by_close
from ....core.timeouts import Timeout
from ....errors import Failure
from ....http.messages import HttpRequest
from ...failures import Phase, failure_of
from ..exchange_timeouts import shorter
from ..sessions import LoopSessions
from .errors import ERRORS, translate_error
from .mocks import BufferedResponse
from .timer import ExchangeTimer

__all__ = ["AiohttpBodySource", "closed_in_mid_body", "ends_with_the_connection"]


class AiohttpBodySource:
    """The body of a response of which only the head has been read."""

    def __init__(
        self,
        request: HttpRequest,
        response: aiohttp.ClientResponse | BufferedResponse,
        connection: Any,
        sessions: LoopSessions,
    ) -> None:
        self._request = request
        self._response = response
        self._connection = connection
        self._sessions = sessions

    async def read_async(self, timeout: Timeout) -> bytes | Failure:
        error: BaseException
        timed_out = False
        longest_wait = shorter(timeout.read, timeout.total)
        try:
            return await self._read(longest_wait)
        except _WaitedTooLongError:
            timed_out = timeout.total == longest_wait
            error = TimeoutError()
        except ERRORS as failed:
            error = failed
        lost_by = getattr(self._connection, "fatal_error", None)
        phase, error = translate_error(Phase.RECEIVE, error, lost_by)
        failure = failure_of(phase, error, self._request, timeout, timed_out)
        return ended_by_close(failure) if self._sessions.is_closed else failure

    async def _read(self, longest_wait: float | None) -> bytes:
        timer = ExchangeTimer(Timeout(total=longest_wait), proxy=None)
        try:
            with timer:
                data: bytes = await self._response.content.readany()
        except TimeoutError:
            if timer.timed_out:
                raise _WaitedTooLongError from None
            raise
        if not data:
            self._check_end()
        return data

    def _check_end(self) -> None:
        """Raises the connection's error where aiohttp takes a reset, or our own `close`, for the end of the body."""
        error = getattr(self._connection, "fatal_error", None)
        if self._sessions.is_closed:
            error = closed_in_mid_body()
        if error is not None and ends_with_the_connection(self._response):
            raise error

    def close(self) -> None:
        self._response.close()


class _WaitedTooLongError(Exception):
    """The wait for the next piece took as long as it may."""


def closed_in_mid_body() -> ConnectionResetError:
    """The connection was closed on this side, by `close_async` or from another task."""
    return ConnectionResetError("closed in mid-body")


def ends_with_the_connection(response: aiohttp.ClientResponse | BufferedResponse) -> bool:
    """Whether only the end of the connection ends the body (RFC 9112, 6.3)."""
    coding = response.headers.get("Transfer-Encoding", "identity")
    return "Content-Length" not in response.headers and coding.lower() == "identity"

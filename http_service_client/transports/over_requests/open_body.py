"""The body of a response, read piece by piece on the calling thread."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ...core.outcomes import ended_by_close
from ...core.timeouts import Timeout
from ...errors import Failure
from ...http.http1.errors import NotHttpError
from ...http.messages import HttpRequest
from ..failures import Phase, PhaseError
from .aborts import OpenConnections
from .errors import check_signals, failure_from
from .exchange_timeouts import ExchangeTimeouts

if TYPE_CHECKING:
    from .hooked.exchanges import RequestsResponse
    from .pool import PoolResponse

__all__ = ["PooledBodySource"]

_PIECE = 64 * 1024


class PooledBodySource:
    """The body of a response of which only the head has been read."""

    def __init__(
        self, request: HttpRequest, response: PoolResponse | RequestsResponse, opened: OpenConnections
    ) -> None:
        self._request = request
        self._response = response
        self._opened = opened

    def read(self, timeout: Timeout) -> bytes | Failure:
        started = time.monotonic()
        # Bytes that only frame the body do not count as data: the read timeout bounds the whole read.
        self._response.set_timeouts(ExchangeTimeouts.starting(timeout.within(timeout.read), started))
        phase, error = Phase.RECEIVE, None
        try:
            return self._response.read(_PIECE)
        except PhaseError as failed:
            phase, error = failed.phase, failed.error
        except (OSError, NotHttpError) as unread:
            error = unread
        try:
            check_signals(error)
            timeouts = ExchangeTimeouts.starting(timeout, started)
            failure = failure_from(phase, error, self._request, timeout, timeouts)
            return ended_by_close(failure) if self._opened.is_cut else failure
        finally:
            del error  # its traceback holds this frame

    def prefer_long_pieces(self) -> None:
        self._response.prefer_long_pieces()

    def close(self) -> None:
        self._response.close()

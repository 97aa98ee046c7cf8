"""The body of a response over requests, read piece by piece."""

from __future__ import annotations

import time
from typing import Any

import requests

from ...core.outcomes import ended_by_close
from ...core.timeouts import Timeout
from ...errors import Failure
from ...http.messages import HttpRequest
from ..failures import Phase
from .connection import IoTimeouts, OpenConnections
from .errors import ERRORS, failure_from
from .pool import Urllib3StyleResponse

__all__ = ["RequestsBodySource"]

_PIECE = 64 * 1024


class RequestsBodySource:
    """The body of a response of which only the head has been read."""

    def __init__(self, request: HttpRequest, response: requests.Response, opened: OpenConnections) -> None:
        self._request = request
        self._response = response
        self._opened = opened

    def read(self, timeout: Timeout) -> bytes | Failure:
        raw: Any = self._response.raw
        started = time.monotonic()
        if isinstance(raw, Urllib3StyleResponse):
            # Bytes that only frame the body do not count as data: the read timeout bounds the whole read.
            raw.set_timeouts(IoTimeouts.starting(timeout.within(timeout.read), started))
        try:
            data: bytes = raw.read(_PIECE, decode_content=False)
            return data
        except ERRORS as failed:
            error: BaseException = failed
        try:
            timeouts = IoTimeouts.starting(timeout, started)
            failure = failure_from(Phase.RECEIVE, error, self._request, timeout, timeouts)
            return ended_by_close(failure) if self._opened.is_cut else failure
        finally:
            del error  # its traceback holds this frame

    def close(self) -> None:
        self._response.close()

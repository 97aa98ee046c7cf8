"""From an error of a connection, in some phase of its exchange, to a failure."""

from __future__ import annotations

import time

from ...core.signals import is_of_signal_handler
from ...core.timeouts import TIMER_SLACK, Timeout
from ...errors import Failure, innermost
from ...http.http1.errors import NotHttpError
from ...http.messages import HttpRequest
from ..failures import Phase, PhaseError, failure_of
from .exchange_timeouts import ExchangeTimeouts

__all__ = ["check_signals", "failure_from"]


def failure_from(
    phase: Phase,
    error: BaseException,
    request: HttpRequest,
    timeout: Timeout,
    timeouts: ExchangeTimeouts,
    proxy: str | None = None,
) -> Failure:
    """The failure for an error of a socket, or of what was received."""
    if not isinstance(error, NotHttpError):
        error = innermost(error)  # which also drops the traceback, since a failure is kept
    timed_out = timeouts.expires_at is not None and time.monotonic() >= timeouts.expires_at - TIMER_SLACK
    return failure_of(phase, error, request, timeout, timed_out, proxy)


def check_signals(error: BaseException) -> None:
    """Raise what the handler of a signal raised during the exchange: it is no failure of the exchange."""
    if isinstance(error, PhaseError):
        error = error.error
    if not is_of_signal_handler(error):
        return
    try:
        raise error
    finally:
        del error  # its traceback holds this frame

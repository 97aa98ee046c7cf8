"""When one attempt, redirects included, must end, and whether its timeout or the deadline ended it.

Interceptors are outside: the time that a rate limiter waits is the call's, not the attempt's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import DeadlineExceededError, Failure, RequestTimeoutError, SentState
from ...http.messages import HttpRequest
from ..effects import Outcome, Plan
from ..timeouts import TIMER_SLACK

if TYPE_CHECKING:
    from ..call import Call
    from ..layer import Handler

__all__ = ["AttemptTimeoutLayer"]


class AttemptTimeoutLayer:
    """Sets the instant by which the attempt must end: its timeout's, or the deadline if that is earlier.

    An attempt that the *deadline* ended might have succeeded: the deadline is the call's own limit and says
    nothing about the server. So it is reported as another error than an attempt that timed out.
    """

    def __call__(self, proceed: Handler, request: HttpRequest, call: Call) -> Plan[Outcome]:
        attempt, deadline_at = call.current, call.deadline_at
        attempt.exchange_timeout = timeout = call.options.timeout
        expires_at = None if timeout.total is None else call.clock() + timeout.total
        if deadline_at is None or (expires_at is not None and expires_at <= deadline_at):
            attempt.expires_at = expires_at
            return proceed(request, call)
        attempt.expires_at, attempt.exchange_timeout = deadline_at, None
        return _within_deadline(proceed, request, call, deadline_at)


def _within_deadline(proceed: Handler, request: HttpRequest, call: Call, deadline_at: float) -> Plan[Outcome]:
    outcome = yield from proceed(request, call)
    if isinstance(outcome, Failure) and issubclass(outcome.error_type, RequestTimeoutError):
        is_over = call.clock() >= deadline_at - TIMER_SLACK
        return _deadline_exceeded(outcome) if is_over else outcome
    return outcome


def _deadline_exceeded(failure: Failure) -> Failure:
    was_sent = failure.sent_state is not SentState.NEVER_SENT
    state = SentState.ABANDONED if was_sent else SentState.NEVER_SENT
    return Failure(
        DeadlineExceededError,
        f"the deadline expired during the attempt: {failure.message}",
        state,
        failure.cause,
    )

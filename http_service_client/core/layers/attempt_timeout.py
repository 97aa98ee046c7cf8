"""When one attempt, redirects included, must end, and whether its timeout or the deadline ended it.

Interceptors run outside: the time that a rate limiter waits counts for the call, not for the attempt. The same holds
for the wait for a connection (see `exchange`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import DeadlineExceededError, Failure, RequestTimeoutError, SentState
from ...http.messages import HttpRequest
from ...lazy import lazy_pattern
from ..effects import Outcome, Plan
from ..timeouts import TIMER_SLACK

if TYPE_CHECKING:
    from ..call import Call
    from ..layer import Handler

__all__ = ["AttemptTimeoutLayer", "with_limit"]

# At the end of a message of `transports.failures`.
_LIMIT = lazy_pattern(r"(?: within|: [a-z ]+ for) [0-9.e+-]+ s$")


class AttemptTimeoutLayer:
    """Sets the instant by which the attempt must end: its timeout's, or the deadline if that is earlier.

    An attempt that the *deadline* ended might have succeeded: the deadline is the call's own limit and says
    nothing about the server. So it is reported as another error than an attempt that timed out.
    """

    def __call__(self, proceed: Handler, request: HttpRequest, call: Call) -> Plan[Outcome]:
        attempt, deadline_at = call.current, call.deadline_at
        attempt.exchange_timeout = timeout = call.options.timeout
        total, clock = timeout.total, call.clock
        attempt.expires_at = expires_at = None if total is None else clock() + total
        if deadline_at is None:
            return proceed(request, call)
        if expires_at is None or deadline_at < expires_at:
            attempt.end_with(deadline_at)
        return _within_deadline(proceed, request, call, deadline_at)


def _within_deadline(proceed: Handler, request: HttpRequest, call: Call, deadline_at: float) -> Plan[Outcome]:
    outcome = yield from proceed(request, call)
    # Checked only now: the wait for a connection may have moved the attempt's end to the deadline.
    if not call.current.ends_with_deadline or not isinstance(outcome, Failure):
        return outcome
    is_timeout = issubclass(outcome.error_type, RequestTimeoutError)
    if not is_timeout or outcome.error_type is DeadlineExceededError:
        return outcome
    if call.clock() < deadline_at - TIMER_SLACK:
        return outcome
    return _deadline_exceeded(outcome, deadline_at - call.started_at)


def with_limit(failure: Failure, seconds: float | None) -> str:
    """The message of a timeout with the limit that the caller set, and not what was left of it; None to name none."""
    message = _LIMIT.sub("", failure.message)
    return message if seconds is None or message == failure.message else f"{message} within {seconds:.3g} s"


def _deadline_exceeded(failure: Failure, seconds: float) -> Failure:
    was_sent = failure.sent_state is not SentState.NEVER_SENT
    state = SentState.ABANDONED if was_sent else SentState.NEVER_SENT
    return Failure(
        DeadlineExceededError,
        f"the deadline expired during the attempt, {seconds:.3g} s after the call began: {with_limit(failure, None)}",
        state,
        failure.cause,
    )

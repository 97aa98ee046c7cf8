"""What an outcome says about the server: one table for every layer and policy.

outcome                                          evidence
never sent (refused, DNS, TLS, connect timeout)  failure
never sent (no free connection in time)          none: the limit is our own
maybe processed (reset, read timeout, cut short) failure
abandoned (cancelled, the deadline expired)      none
refused (429, 503 with Retry-After)              none: the service works, and asks for a pause
refused (HTTP/2: GOAWAY, REFUSED_STREAM)         none: it works, and sends its callers to another connection
408, any other 5xx                               failure
any other response                               success
an invalid request, an unsafe redirect, a refusal  none: the server is not to blame
"""

from __future__ import annotations

from collections.abc import Callable

from ..errors import (
    AttemptTimeoutError,
    CircuitOpenError,
    ClientClosedError,
    ConnectionLostError,
    DeadlineExceededError,
    DeadlineTooShortError,
    Failure,
    HttpClientError,
    OperationTimeoutError,
    PoolTimeoutError,
    SentState,
    ThrottledError,
    TokenError,
    TransportError,
)
from ..events import StopReason
from ..http.fields.retry_after import WAIT_HEADERS, requested_delay
from ..http.messages import HttpResponse
from .effects import Outcome
from .machines.failure_kinds import FAILURE_STATUSES

__all__ = [
    "FAILURE_STATUSES",
    "already_closed",
    "behind_token",
    "describe",
    "ended_by_close",
    "is_failure",
    "is_failure_type",
    "requested_wait",
    "sent_state_of",
    "stop_reason",
]


def is_failure(outcome: Outcome) -> bool | None:
    """True: the service failed.  False: it works.  None: no evidence."""
    if isinstance(outcome, HttpResponse):
        if outcome.status_code not in FAILURE_STATUSES:
            return False
        return None if outcome.sent_state is SentState.REFUSED else True
    if outcome.sent_state is SentState.ABANDONED:
        return None
    if outcome.error_type is ConnectionLostError and outcome.sent_state is SentState.REFUSED:
        return None
    if outcome.error_type is AttemptTimeoutError and outcome.sent_state is SentState.NEVER_SENT:
        return None
    return is_failure_type(outcome.error_type)


def is_failure_type(error_type: type[BaseException]) -> bool | None:
    """The same, for the type of an error of ours."""
    if issubclass(error_type, (DeadlineExceededError, PoolTimeoutError)):
        return None
    if issubclass(error_type, (TransportError, OperationTimeoutError)):
        return True
    return None if issubclass(error_type, HttpClientError) else True


def sent_state_of(error: HttpClientError) -> SentState:
    """What an error says became of its request; nobody knows if a subclass of a user's own says nothing valid."""
    try:
        return SentState(error.sent_state)
    except Exception:
        return SentState.MAYBE_PROCESSED


def behind_token(error: HttpClientError) -> HttpClientError:
    """The failure of the token request behind a `TokenError`; any other error itself.

    What a user's own provider raised says nothing of a service, so the `TokenError` is all that is known then.
    """
    cause = error.__cause__ if isinstance(error, TokenError) else None
    return cause if isinstance(cause, HttpClientError) else error


def describe(outcome: Outcome) -> str:
    """The reason for a retry, in two words."""
    return (
        f"status {outcome.status_code}" if isinstance(outcome, HttpResponse) else outcome.error_type.__name__
    )


def requested_wait(outcome: object, wall_clock: Callable[[], float]) -> float | None:
    """Seconds that a response asks its client to wait, or None (see `http.fields.retry_after`).

    wall_clock: seconds since the epoch, for a date in a response without a date of its own.
    """
    if isinstance(outcome, HttpResponse) and outcome.headers.has_any(WAIT_HEADERS):
        return requested_delay(outcome.headers, wall_clock())
    return None


def stop_reason(refusal: type[HttpClientError]) -> StopReason:
    """Why there is no other attempt, when it was refused by an error of this type before it began."""
    found = (reason for kind, reason in _STOPS.items() if issubclass(refusal, kind))
    return next(found, StopReason.REFUSED)


_STOPS: dict[type[HttpClientError], StopReason] = {
    CircuitOpenError: StopReason.CIRCUIT_OPEN,
    ThrottledError: StopReason.THROTTLED,
    TokenError: StopReason.NO_TOKEN,
    DeadlineTooShortError: StopReason.TOO_LITTLE_TIME,
}


def already_closed() -> Failure:
    """The client was closed during a call: the call's next exchange is not started."""
    message = "this HttpServiceClient was closed; make a new one"
    return Failure(ClientClosedError, message, SentState.NEVER_SENT)


def ended_by_close(failure: Failure) -> Failure:
    """The client was closed with `abort` during an exchange, which failed for that reason alone.

    The failure's cause, a lost connection of our own making, is left out: retry conditions would judge the call by it.
    """
    was_sent = failure.sent_state is not SentState.NEVER_SENT
    state = SentState.ABANDONED if was_sent else SentState.NEVER_SENT
    message = "this HttpServiceClient was closed during the call"
    return Failure(ClientClosedError, message, state)

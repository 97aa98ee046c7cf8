"""The rate limit in a call: a token for each attempt, and a wait for it in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import CallRefusedError, Failure, RateLimitExceededError, SentState
from ...events import LimitRefused, LimitWaited
from ...http.messages import HttpRequest
from ..effects import Outcome, Plan, Sleep
from ..machines.rate_limiter import RateLimiter

if TYPE_CHECKING:
    from ..call import Call
    from ..layer import Handler
    from ..operation import Subject

__all__ = ["RateLimitLayer", "wait_for_turn"]

_LIMIT = "rate limit"
_LEAST = 1e-6  # seconds that a deadline must leave after the wait


class RateLimitLayer:
    """Takes a token of the origin's limit for each attempt, and waits for it, or is refused.

    The wait is no part of the attempt's time. A redirect's hop takes none: by then the server before it has acted on the
    request. An attempt that another policy refuses before anything is sent, such as an open circuit, returns its token.
    """

    def __call__(self, proceed: Handler, request: HttpRequest, call: Call) -> Plan[Outcome]:
        limiter = call.origin_state.rate_limiter
        if limiter is None or call.current.passes_gate:
            return (yield from proceed(request, call))
        if not limiter.try_acquire():
            refused = yield from wait_for_turn(limiter, call, call.key)
            if refused is not None:
                return refused
        outcome = yield from proceed(request, call)
        if isinstance(outcome, Failure) and issubclass(outcome.error_type, CallRefusedError):
            limiter.give_back()
        return outcome


def wait_for_turn(limiter: RateLimiter, subject: Subject, key: str) -> Plan[Failure | None]:
    """Wait for a token, in order. None with the token, else why not.   key: what the limit is kept for."""
    max_wait, ends_with_deadline = _longest(limiter, subject, 0.0)
    turn = limiter.acquire_later(max_wait)
    if isinstance(turn, float):
        return _refused(limiter, subject, key, turn, ends_with_deadline)
    has_turn, began_at, clock = turn.is_granted, subject.clock(), subject.clock
    if has_turn:
        return None
    try:
        while (wait := turn.next_wait()) is not None:
            waiter, seconds = wait
            # The settings may have changed since it joined the queue, or those before it.
            longest, ends_with_deadline = _longest(limiter, subject, clock() - began_at)
            if longest is not None and seconds > longest + _LEAST:
                limiter.record_refusal()
                return _refused(limiter, subject, key, seconds, ends_with_deadline)
            yield from Sleep(seconds, waiter)
            if turn.is_cut_short:
                return None  # the client was closed, and the exchange will say so
        has_turn = True
    finally:
        if not has_turn:
            turn.release()
    subject.record(
        LimitWaited(
            subject.elapsed(),
            subject.attempt,
            key,
            _LIMIT,
            clock() - began_at,
            subject.call_id,
            subject.call_name,
        )
    )
    return None


def _longest(limiter: RateLimiter, subject: Subject, waited: float) -> tuple[float | None, bool]:
    """Seconds that the subject may wait from now on, and whether its deadline is the limit."""
    max_wait, remaining = limiter.settings.max_wait, subject.remaining()
    left = None if max_wait is None else max(0.0, max_wait - waited)
    if remaining is not None and (left is None or remaining - _LEAST < left):
        return max(0.0, remaining - _LEAST), True
    return left, False


def _refused(
    limiter: RateLimiter, subject: Subject, key: str, seconds: float, ends_with_deadline: bool
) -> Failure:
    subject.record(
        LimitRefused(
            subject.elapsed(),
            subject.attempt,
            key,
            _LIMIT,
            seconds,
            call_id=subject.call_id,
            call_name=subject.call_name,
        )
    )
    settings = limiter.settings
    if ends_with_deadline:
        limit = "after the deadline"
    elif settings.max_wait:
        limit = f"later than max_wait={settings.max_wait:g} s permits"
    else:
        limit = "and max_wait=0 permits no wait"
    message = (
        f"the rate limit of {key or 'this policy'} refused the call: its turn would come in {seconds:.3g} s, {limit}; "
        "nothing was sent"
    )
    return Failure(
        RateLimitExceededError, message, SentState.NEVER_SENT, details={"key": key, "retry_after": seconds}
    )

"""The rate limit in a call: a token for each attempt, and a wait for it in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ...errors import (
    CallRefusedError,
    DeadlineExceededError,
    Failure,
    PoolTimeoutError,
    RateLimitExceededError,
    SentState,
)
from ...events import LimitRefused, LimitWaited
from ...http.fields.rate_limits import read_quotas
from ...http.fields.retry_after import WAIT_HEADERS
from ...http.messages import HttpRequest, HttpResponse
from ...http.urls import origin_of
from ..effects import Outcome, Plan, Sleep
from ..machines.limits.rate_limit_settings import LateTurn
from ..machines.limits.rate_limiter import RateLimiter, Turn
from ..machines.other_libraries import status_of
from ..outcomes import FAILURE_STATUSES

if TYPE_CHECKING:
    from ..call import Call
    from ..layer import Handler
    from ..operation import Subject

__all__ = ["RateLimitLayer", "is_throttled", "learn", "wait_for_turn"]

_LIMIT = "rate limit"
_NEVER_SENT = SentState.NEVER_SENT  # enum attribute access is slow (50 ns)
_ROUNDING = 1e-6  # seconds
_UNKNOWN = InterruptedError()  # an end that is no evidence


class RateLimitLayer:
    """Takes a token of the origin's limit for each attempt, and waits for it, or is refused.

    The wait is no part of the attempt's time. A redirect's hop takes none: by then the server before it has acted on the
    request. An attempt that ends before anything is sent returns its token: another policy refuses it, such as an open
    circuit, or its time is over, or it is cancelled, while it waits for a permit or a connection.

    A limit that learns is shown the response of the call's own origin, not one that an interceptor made.

    wall_clock: seconds since the epoch, for headers that say an instant.
    """

    def __init__(self, wall_clock: Callable[[], float]) -> None:
        self._wall_clock = wall_clock

    def __call__(self, proceed: Handler, request: HttpRequest, call: Call) -> Plan[Outcome]:
        limiter = call.origin_state.rate_limiter
        if limiter is None or call.current.passes_gate:
            return (yield from proceed(request, call))
        if not limiter.try_acquire():
            refused = yield from wait_for_turn(limiter, call, call.key)
            if refused is not None:
                return refused
        if limiter.learns:
            return (yield from self._learning(proceed, request, call, limiter))
        try:
            outcome = yield from proceed(request, call)
        except BaseException:  # cancelled, say
            if _was_queued(call):
                limiter.give_back()
            raise
        if isinstance(outcome, Failure) and _was_not_sent(outcome, call):
            limiter.give_back()
        return outcome

    def _learning(
        self, proceed: Handler, request: HttpRequest, call: Call, limiter: RateLimiter
    ) -> Plan[Outcome]:
        began_at = call.clock()
        outcome: Outcome | None = None
        try:
            outcome = yield from proceed(request, call)
            return outcome
        finally:
            if (
                _was_queued(call)
                if outcome is None
                else isinstance(outcome, Failure) and _was_not_sent(outcome, call)
            ):
                limiter.give_back()
            else:
                own = None if call.current.answered_by is not None else _of_own_origin(outcome, request)
                learn(limiter, began_at, _UNKNOWN if own is None else own, self._wall_clock)


def _was_queued(call: Call) -> bool:
    """Whether an attempt that was ended from outside had come no further than to a wait of this client."""
    return call.current.is_queued and call.current.sent_state is _NEVER_SENT


def _was_not_sent(failure: Failure, call: Call) -> bool:
    """Whether the attempt got no further than this client. One that could not connect got to the service."""
    if failure.sent_state is not _NEVER_SENT or call.current.sent_state is not _NEVER_SENT:
        return False
    return issubclass(failure.error_type, (CallRefusedError, PoolTimeoutError, DeadlineExceededError))


def _of_own_origin(outcome: Outcome | None, request: HttpRequest) -> Outcome | None:
    """The last response of the request's own origin, if redirects led to another one."""
    if not isinstance(outcome, HttpResponse) or not outcome.history:
        return outcome
    own = origin_of(request.url)
    return next((each for each in (outcome, *reversed(outcome.history)) if origin_of(each.url) == own), None)


def learn(limiter: RateLimiter, began_at: float, outcome: object, wall_clock: Callable[[], float]) -> None:
    """Show a limiter how a call ended.   began_at: when it had its token."""
    reported = read_quotas(outcome.headers, wall_clock()) if isinstance(outcome, HttpResponse) else ()
    limiter.finish(began_at, is_throttled(outcome), reported)


def is_throttled(outcome: object) -> bool | None:
    """Whether the service asked to come back later; False for another response of a service that works, else None."""
    if not isinstance(outcome, HttpResponse):
        # What a guarded function returns is a success, but for a response of another library.
        if isinstance(outcome, (Failure, BaseException)):
            return None
        status, may_wait = status_of(outcome), False
    else:
        status, may_wait = outcome.status_code, outcome.headers.has_any(WAIT_HEADERS)
    if status == 429 or (status == 503 and may_wait):
        return True
    return None if status in FAILURE_STATUSES else False


def wait_for_turn(limiter: RateLimiter, subject: Subject, key: str) -> Plan[Failure | None]:
    """Wait for a token, in order. None with the token, else why not.   key: what the limit is kept for."""
    limits = LateTurn(0.0, 0.0, limiter.settings.max_wait, subject.slack())
    turn = limiter.acquire_later(limits.longest()[0])
    if not isinstance(turn, Turn):
        return _refused(subject, key, limits._replace(wait=turn))
    has_turn, began_at, clock = turn.is_granted, subject.clock(), subject.clock
    if has_turn:
        return None
    try:
        while (wait := turn.next_wait()) is not None:
            waiter, seconds = wait
            # The settings may have changed since it joined the queue, or those before it.
            limits = LateTurn(seconds, clock() - began_at, limiter.settings.max_wait, subject.slack())
            longest, _ = limits.longest()
            if longest is not None and seconds > longest + _ROUNDING:
                limiter.record_refusal()
                return _refused(subject, key, limits)
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


def _refused(subject: Subject, key: str, turn: LateTurn) -> Failure:
    seconds = turn.wait
    subject.record(
        LimitRefused(
            subject.elapsed(),
            subject.attempt,
            key,
            _LIMIT,
            seconds,
            decision=turn,
            call_id=subject.call_id,
            call_name=subject.call_name,
        )
    )
    if turn.longest()[1]:
        limit = "too late for the deadline"
    elif turn.max_wait:
        limit = f"later than max_wait={turn.max_wait:g} s permits"
    else:
        limit = "and max_wait=0 permits no wait"
    message = (
        f"the rate limit of {key or 'this policy'} refused the call: its turn would come in {seconds:.3g} s, {limit}; "
        "nothing was sent"
    )
    return Failure(
        RateLimitExceededError, message, SentState.NEVER_SENT, details={"key": key, "retry_after": seconds}
    )

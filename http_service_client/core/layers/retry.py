"""Attempts, the waits between them, and why there is or is no other.

An outcome is followed by another attempt only when it is **worth** it (a condition holds) and it is
**safe**: the request cannot have been processed, or processing it twice does no harm.

    what became of it      GET, PUT, DELETE, or with a key,     POST, PATCH
                           or idempotent=True
    never sent             retry                                retry
    refused (429, …)       retry                                retry
    maybe processed        retry                                stop: the server may have acted on it
    answered (500, …)      retry                                stop: the server may have acted on it
    abandoned              stop                                 stop

The wait is `max(backoff, Retry-After)`: jitter never shortens what the server asked for. A wait that
would cross the deadline, or a Retry-After longer than the attempt's timeout or the policy's
`max_delay`, is not begun. The budget is asked before the wait and held through it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ...errors import CircuitOpenError, Failure, SentState
from ...events import RetryScheduled, RetryStopped, StopReason
from ...http.messages import HttpRequest, HttpResponse
from ...http.retry_after import parse_retry_after
from ..call import Call
from ..effects import Outcome, Plan, Sleep
from ..machines.backoff import endless_waits
from ..outcomes import describe

if TYPE_CHECKING:
    from ..layer import Handler
    from ..machines.retry_budget import Withdrawal

__all__ = ["RetryLayer"]

_NEVER_SENT = SentState.NEVER_SENT  # a member of an enumeration takes long to be looked up


class RetryLayer:
    """Repeats the attempt while that is worth it, safe, and within attempts, budget and deadline.

    random: uniform in [0, 1), for jitter.  wall_clock: seconds since the epoch, for Retry-After dates.
    """

    def __init__(self, random: Callable[[], float], wall_clock: Callable[[], float]) -> None:
        self._random = random
        self._wall_clock = wall_clock

    def __call__(self, proceed: Handler, request: HttpRequest, call: Call) -> Plan[Outcome]:
        budget = call.origin_state.budget
        if budget is not None:
            budget.record_call()
        settings = call.options.retry
        delays: Iterator[float] | None = None
        last: Outcome | None = None
        withdrawal: Withdrawal | None = None
        while True:
            call.attempt += 1
            call.attempt_state = _NEVER_SENT
            began_at = call.clock()
            outcome = yield from proceed(request, call)
            if isinstance(outcome, Failure) and outcome.error_type is CircuitOpenError:
                if withdrawal is not None:
                    withdrawal.refund()  # the retry was not made after all
                return self._refused(call, outcome, last)
            call.record_attempt(outcome, began_at)
            if settings is None:
                return outcome
            is_worth_it = settings.is_worth_it(outcome)
            if isinstance(outcome, HttpResponse) and not is_worth_it:
                return outcome
            if delays is None:
                delays = endless_waits(settings.backoff_strategy, self._random)
            wait = self._wait(request, call, outcome, delays) if is_worth_it else StopReason.NOT_RETRYABLE
            withdrawal = None
            if not isinstance(wait, StopReason) and budget is not None:
                withdrawal = budget.try_withdraw()
                if withdrawal is None:
                    wait = StopReason.BUDGET
            left = None if budget is None else budget.balance
            if isinstance(wait, StopReason):
                call.record(
                    RetryStopped(call.elapsed(), call.attempt, call.key, wait, left, call.remaining())
                )
                return outcome
            call.discard_body()
            cause, asked = describe(outcome), self._retry_after(outcome)
            call.record(
                RetryScheduled(
                    call.elapsed(), call.attempt, call.key, wait, cause, asked, left, call.remaining()
                )
            )
            try:
                yield from Sleep(wait)
            except BaseException:
                if withdrawal is not None:
                    withdrawal.refund()
                raise
            last = outcome

    def _wait(
        self, request: HttpRequest, call: Call, outcome: Outcome, delays: Iterator[float]
    ) -> float | StopReason:
        """Seconds until the next attempt, which is worth it, or the first reason against it."""
        settings, options = call.options.retry, call.options
        assert settings is not None
        if outcome.sent_state is SentState.ABANDONED:
            return StopReason.DEADLINE  # what else cuts an attempt and lets the call go on
        if call.attempt >= settings.max_attempts:
            return StopReason.EXHAUSTED
        if options.is_nested and not settings.nested:
            return StopReason.NESTED
        untouched = call.attempt_state in (SentState.NEVER_SENT, SentState.REFUSED)
        if not untouched and not call.request.is_safe_to_repeat:
            return StopReason.NOT_SAFE
        if not request.body.may_send:
            return StopReason.NOT_REPLAYABLE
        asked = self._retry_after(outcome)
        delay = next(delays)
        if asked is not None:
            cap = getattr(settings.backoff_strategy, "max_delay", None)
            if any(limit is not None and asked > limit for limit in (options.timeout.total, cap)):
                return StopReason.RETRY_AFTER_TOO_LONG
            delay = max(delay, asked)
        remaining = call.remaining()
        if remaining is not None and delay >= remaining:
            return StopReason.DEADLINE
        if call.blocked_until is not None and call.clock() + delay < call.blocked_until:
            return StopReason.CIRCUIT_OPEN
        return delay

    def _retry_after(self, outcome: Outcome) -> float | None:
        if isinstance(outcome, HttpResponse):
            return parse_retry_after(outcome.headers.get("Retry-After"), self._wall_clock())
        return None

    def _refused(self, call: Call, refusal: Failure, last: Outcome | None) -> Outcome:
        # The refusal ends the retries; what the caller must know is what became of the request that
        # *was* sent. "The circuit is open, nothing was sent" would be a lie about the call.
        if last is not None:
            left = None if call.origin_state.budget is None else call.origin_state.budget.balance
            call.record(
                RetryStopped(
                    call.elapsed(), call.attempt, call.key, StopReason.CIRCUIT_OPEN, left, call.remaining()
                )
            )
        call.attempt -= 1  # this one was not made
        return refusal if last is None else last

"""Attempts, the waits between them, and the reasons against another one.

Another attempt follows only when the outcome is **worth** it (a condition holds) and the repetition is **safe**:
the server cannot have processed the request, or processing it twice does no harm.

    what became of it      GET, PUT, DELETE, or with a key,     POST, PATCH
                           or idempotent=True
    never sent             retry                                retry
    refused (429, …)       retry                                retry
    maybe processed        retry                                stop: the server may have acted on it
    answered (500, …)      retry                                stop: the server may have acted on it
    abandoned              stop                                 stop

A condition with `even_if_unsafe` vouches for the repetition after a response for which it holds, whatever the method.
A 409 to a repetition under an idempotency key means that the server is still working on an earlier attempt: the
request is worth sending again. `core.machines.retry.decision` decides after which wait, and lists the other reasons
against a retry. A retry is withdrawn from the budget before its wait, and refunded if it is not made. A retry is free
if the attempt before it only waited for one of our own connections.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import repeat
from typing import TYPE_CHECKING

from ...errors import (
    CallRefusedError,
    DeadlineExceededError,
    Failure,
    PoolTimeoutError,
    SentState,
    TokenError,
)
from ...events import (
    AttemptFinished,
    ConnectionAwaited,
    LimitWaited,
    ProxyRetried,
    RetryScheduled,
    RetryStopped,
    StopReason,
    ThrottleWaited,
    TokenAwaited,
)
from ...http.fields.meshes import proxy_attempts
from ...http.fields.retry_after import asks_to_retry
from ...http.messages import HttpRequest, HttpResponse
from ..call import Attempt, Call
from ..effects import Outcome, Plan, Sleep
from ..machines.retry.backoff import Waits
from ..machines.retry.conditions import is_final_type
from ..machines.retry.decision import NoRetry, Situation, is_in_progress, next_wait
from ..outcomes import FAILURE_STATUSES, describe, requested_wait, stop_reason
from ..timeouts import TIMER_SLACK
from .deadline_check import record_refusal

if TYPE_CHECKING:
    from ..layer import Handler
    from ..machines.retry.conditions import RetryCondition
    from ..machines.retry.quota import AnyWithdrawal

__all__ = ["RetryLayer"]

# Enum attribute access is slow (50 ns).
_AT_ONCE = repeat(0.0)  # the waits before attempts at other hosts
_NEVER_SENT, _REFUSED, _ABANDONED = SentState.NEVER_SENT, SentState.REFUSED, SentState.ABANDONED


def _is_repeated(call: Call) -> bool:
    """Whether an enclosing retry policy makes this nested call again: a retry, which pays for no other."""
    operation = None if call.scope is None else call.scope.in_charge()
    return operation is not None and operation.attempt > 1


def _adds_no_load(call: Call, outcome: Outcome, moves: bool) -> bool:
    """Whether another attempt asks for nothing twice.

    It goes on with a download where this one broke off, or this one got no further than the client's own queue; or it goes to
    another host, and this one was not processed: each host has the request once.
    """
    state = call.current.sent_state
    if moves and (state is _NEVER_SENT or state is _REFUSED):
        return True
    return call.current.has_progressed or (
        isinstance(outcome, Failure)
        and issubclass(outcome.error_type, PoolTimeoutError)
        and call.current.sent_state is _NEVER_SENT  # no hop of a redirect either
    )


def _record_success(
    call: Call, response: HttpResponse, withdrawal: AnyWithdrawal | None, is_repeated: bool
) -> None:
    """Let a call that succeeded earn something for the retries of others.

    is_repeated: see `_is_repeated`. Its success returns what the repetition cost, to the policy that makes it again.
    """
    budget = call.budget
    if budget is None or response.status_code in FAILURE_STATUSES:
        return
    if call.current.answered_by is not None:
        if withdrawal is not None:
            withdrawal.refund()  # the retry was not sent, and the service has shown nothing
    elif withdrawal is not None or not is_repeated:
        budget.record_success(withdrawal)


class RetryLayer:
    """Repeats the attempt while it is worth it and safe, and attempts, budget and deadline allow it.

    random: uniform in [0, 1), for jitter.  wall_clock: seconds since the epoch, for Retry-After dates.
    report: see `RetrySettings.is_worth_it`.
    """

    def __init__(
        self,
        random: Callable[[], float],
        wall_clock: Callable[[], float],
        report: Callable[[RetryCondition], None],
    ) -> None:
        self._random = random
        self._wall_clock = wall_clock
        self._report = report

    def __call__(self, proceed: Handler, request: HttpRequest, call: Call) -> Plan[Outcome]:
        budget = call.budget
        is_repeated = False
        if budget is not None:
            is_repeated = call.options.is_nested and _is_repeated(call)
            if budget.counts_calls is True and not is_repeated:
                budget.record_call()
        settings = call.options.retry
        waits: Waits | None = None
        before_first = 0  # attempts that do not count: a download that makes progress begins to count again
        last: Outcome | None = None
        withdrawal: AnyWithdrawal | None = None
        resumes_at = 0.0
        while True:
            call.attempt += 1
            if call.attempt > 1:
                call.current = Attempt()
                call.current.passes_gate = call.clock() < resumes_at - TIMER_SLACK
            before = call.sent_state
            clock = call.clock
            began_at = clock()
            outcome = yield from proceed(request, call)
            if isinstance(outcome, Failure) and _was_not_made(outcome):
                if withdrawal is not None:
                    withdrawal.refund()  # the retry was not made after all
                return self._refused(call, outcome, last)
            call.record_attempt(outcome, began_at)
            if isinstance(outcome, HttpResponse) and (
                settings is None or (outcome.status_code < 400 and not settings.may_repeat_successes)
            ):
                _record_success(call, outcome, withdrawal, is_repeated)
                return outcome
            if settings is None:
                return outcome
            if call.current.has_progressed:
                before_first, waits = call.attempt - 1, None
            is_worth_it = settings.is_worth_it(outcome, self._report)
            is_forbidden = False
            if isinstance(outcome, HttpResponse) and not is_worth_it:
                if outcome.status_code < 400:
                    _record_success(call, outcome, withdrawal, is_repeated)
                    return outcome
                is_worth_it = is_in_progress(outcome, before, call.request)
                if not is_worth_it:
                    _record_success(call, outcome, withdrawal, is_repeated)
                    if asks_to_retry(outcome.headers) is not False:
                        return outcome
                    is_forbidden = True
            if waits is None:
                waits = Waits(settings.backoff_strategy, settings.throttled_backoff, self._random)
            is_throttled = call.current.sent_state is _REFUSED
            if isinstance(outcome, HttpResponse) and (count := proxy_attempts(outcome.headers)) > 1:
                _record_proxy(call, settings.max_attempts, count)
            requested = requested_wait(outcome, self._wall_clock)
            delays = waits.series(is_throttled=is_throttled)
            moves = call.hosts is not None and call.hosts.has_untried()
            now = self._situation(request, call, call.attempt - before_first, outcome, requested)
            if moves:  # to a host that has nothing to do with what this one asks for, or is known for
                now = now._replace(retry_after=None, blocked_for=0.0, needed=0.0)
            wait: float | StopReason
            if is_worth_it and not _was_given_up(outcome):
                wait = next_wait(settings, now, _AT_ONCE if moves else delays)
            else:
                wait = StopReason.PUSHBACK if is_forbidden else StopReason.NOT_RETRYABLE
            withdrawal = None
            is_free = _adds_no_load(call, outcome, moves)
            if not isinstance(wait, StopReason) and budget is not None and not is_free:
                withdrawal = budget.try_withdraw(is_throttled=is_throttled, retries=settings.max_attempts - 1)
                if withdrawal is None:
                    wait = StopReason.BUDGET
            if isinstance(wait, StopReason):
                if is_forbidden and isinstance(outcome, HttpResponse):
                    is_worth_it = settings.has_condition_for(outcome, self._report)
                longest = 0.0 if moves else delays.longest()
                decision = _decision(
                    call, outcome, now, longest, is_throttled, is_worth_it, is_forbidden, is_free
                )
                check = call.origin_state.deadline_check
                if wait is StopReason.TOO_LITTLE_TIME and check is not None:
                    left = (now.remaining or 0.0) - max(decision.wait or 0.0, requested or 0.0)
                    record_refusal(call, check, call.key, now.needed, left, call.attempt + 1)
                self._stop(call, wait, decision)
                return outcome
            try:
                call.discard_body()
                decided_at = call.clock()
                resumes_at = decided_at + wait
                call.record(
                    RetryScheduled(
                        call.elapsed(),
                        call.attempt,
                        call.key,
                        wait,
                        describe(outcome) if _is_safe(call) else _vouched_for(outcome),
                        requested,
                        None if budget is None else budget.balance,
                        call.remaining(),
                        call.call_id,
                        call.call_name,
                    )
                )
                # A slow listener uses up some of the wait; the next attempt is not later for it.
                yield from Sleep(max(0.0, wait - (call.clock() - decided_at)))
            except BaseException:
                if withdrawal is not None:
                    withdrawal.refund()
                raise
            last = outcome

    def _situation(
        self, request: HttpRequest, call: Call, number: int, outcome: Outcome, requested: float | None
    ) -> Situation:
        """What is known after the attempt.   number: of this attempt, as it counts."""
        options, attempt = call.options, call.current
        assert options.retry is not None
        is_safe = _is_safe(call)
        if not is_safe and isinstance(outcome, HttpResponse):
            is_safe = options.retry.is_vouched_for(outcome, self._report)
        blocked_until, check = attempt.blocked_until, call.origin_state.deadline_check
        return Situation(
            number,
            options.is_nested,
            requested,
            call.remaining(),
            patience=options.timeout.total,
            blocked_for=0.0 if blocked_until is None else blocked_until - call.clock(),
            is_cut=outcome.sent_state is _ABANDONED,
            is_safe=is_safe,
            is_replayable=request.body.may_send,
            needed=0.0 if check is None else check.time_needed(),
        )

    def _stop(self, call: Call, reason: StopReason, decision: NoRetry | None = None) -> None:
        budget = call.budget
        left = None if budget is None else budget.balance
        call.record(
            RetryStopped(
                call.elapsed(),
                call.attempt,
                call.key,
                reason,
                left,
                call.remaining(),
                decision,
                call.call_id,
                call.call_name,
            )
        )

    def _refused(self, call: Call, refusal: Failure, last: Outcome | None) -> Outcome:
        # The refusal ends the retries, but the caller must learn what became of the request that *was* sent.
        # "The circuit is open, nothing was sent" would be a lie about the call.
        if last is not None:
            self._stop(call, stop_reason(refusal.error_type))
        call.attempt -= 1  # this one was not made
        return refusal if last is None else last


def _was_not_made(failure: Failure) -> bool:
    """Whether the attempt was refused before it began. After a 401 to it, a `TokenError` is the end of one that began."""
    if failure.error_type is TokenError:
        return failure.sent_state is _NEVER_SENT
    return issubclass(failure.error_type, CallRefusedError)


def _is_safe(call: Call) -> bool:
    """Whether the attempt that has ended may be repeated, whatever its response says."""
    state = call.current.sent_state
    return state is _NEVER_SENT or state is _REFUSED or call.request.is_safe_to_repeat


def _record_proxy(call: Call, max_attempts: int, count: int) -> None:
    """A proxy made `count` attempts of this one. Where this client makes none of its own, that is as it should be."""
    state = call.origin_state
    if max_attempts == 1 or call.current.answered_by is not None:
        return
    is_first, state.proxy_attempts = state.proxy_attempts == 1, max(state.proxy_attempts, count)
    call.record(
        ProxyRetried(call.elapsed(), call.attempt, call.key, count, is_first, call.call_id, call.call_name)
    )


def _vouched_for(outcome: Outcome) -> str:
    return f"{describe(outcome)}, which the policy repeats even if unsafe"


def _was_given_up(outcome: Outcome) -> bool:
    """Whether `close` ended the attempt, or a disk that did not write in time; the deadline does not."""
    if not isinstance(outcome, Failure) or outcome.sent_state is not _ABANDONED:
        return False
    return not issubclass(outcome.error_type, DeadlineExceededError)


def _decision(
    call: Call,
    outcome: Outcome,
    now: Situation,
    wait: float | None,
    is_throttled: bool,
    is_worth_it: bool,
    is_forbidden: bool,
    is_free: bool,
) -> NoRetry:
    """Why there is no other attempt, for an explanation. The arguments: see `NoRetry`.   is_free: the budget is not asked."""
    settings, budget = call.options.retry, call.budget
    assert settings is not None
    shortfall = 0.0
    if budget is not None and not is_free:
        shortfall = budget.shortfall(is_throttled=is_throttled, retries=settings.max_attempts - 1)
    is_final = _was_given_up(outcome) or (isinstance(outcome, Failure) and is_final_type(outcome.error_type))
    overrun = _overrun(call) if now.is_cut else None
    return NoRetry.of(settings, now, wait, shortfall, is_worth_it, is_final, is_forbidden, overrun)


def _overrun(call: Call) -> float | None:
    """How much longer the attempt that has ended may have taken, but for the deadline; None for any time."""
    timeout, ended = call.options.timeout.total, call.events[-1]
    if timeout is None or not isinstance(ended, AttemptFinished):
        return None
    waited = 0.0
    for event in call.events:
        if (
            isinstance(event, (ConnectionAwaited, LimitWaited, TokenAwaited))
            and event.attempt == call.attempt
        ):
            waited += event.waited
        elif isinstance(event, ThrottleWaited) and event.attempt == call.attempt:
            waited += event.delay
    return max(0.0, timeout - (ended.duration - waited))

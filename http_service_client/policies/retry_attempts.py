"""The attempts of one guarded call: which is followed by another, after which wait, and on whose account.

They keep the promises of a client's own retries: see `RetryPolicy`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from ..core.deadline import AMBIENT_DEADLINE, remaining
from ..core.machines.other_libraries import requested_delay_of
from ..core.machines.retry.backoff import Waits
from ..core.machines.retry.decision import NoRetry, Situation, is_in_progress, next_wait
from ..core.machines.retry.quota import AnyBudget, AnyWithdrawal, BudgetSettings, QuotaWithdrawal, new_budget
from ..core.machines.retry.settings import RetrySettings
from ..core.nesting import EndedCall, RetryScope
from ..core.operation import Operation
from ..core.operation import shown as raised
from ..core.outcomes import describe, requested_wait, sent_state_of, stop_reason
from ..drivers.clocks import Clock
from ..drivers.forks import reset_in_forked_children
from ..drivers.locks import ForkSafeLock
from ..errors import CallRefusedError, HttpClientError, HttpStatusError, SentState, errors_behind, worst
from ..events import Event, RetryScheduled, RetryStopped, StopReason
from ..http.messages import HttpResponse
from .functions import is_interruption
from .listeners import report_condition
from .logs import log_event

__all__ = ["Attempts", "FunctionBudget"]

# An error's attribute: its sent_state before an operation made it the worst over all attempts.
_OWN_STATE = "_own_sent_state"


class FunctionBudget:
    """The retry budget of the functions under one policy in which no client's call is made.

    A guarded call whose first attempt succeeds does no more than advance `successes`. They are entered into the budget
    when a retry asks for its share; under a lock, or threads that fail at the same time would each enter the same calls.
    A call is counted when its first attempt ends: one that hangs, or is cancelled, has not earned anything.
    """

    __slots__ = (
        *("__weakref__", "_budget", "_clock", "_entered", "_entered_at", "_failed", "_lock"),
        "successes",
    )

    def __init__(self, settings: BudgetSettings | None, clock: Callable[[], float]) -> None:
        self.successes = itertools.count()
        self._failed = 0  # since calls were entered last
        self._clock = clock
        self._entered, self._entered_at = 0, clock()
        reset_in_forked_children(self)
        self._lock = ForkSafeLock()
        self._budget = None if settings is None else new_budget(settings, clock, ForkSafeLock())

    def _reset_after_fork(self) -> None:
        self._entered, self._entered_at = next(self.successes) + 1, self._clock()
        self._failed = 0
        if self._budget is not None:
            self._budget.reset_after_fork()

    def record_failure(self) -> None:
        """The first attempt of a call failed."""
        with self._lock:
            self._failed += 1

    def up_to_date(self) -> AnyBudget | None:
        """The budget, with the calls until now in it; None for no limit."""
        if self._budget is not None:
            with self._lock:
                ended, now = next(self.successes), self._clock()
                succeeded, seconds = ended - self._entered, now - self._entered_at
                self._entered, self._entered_at = ended + 1, now  # reading it advanced it
                failed, self._failed = self._failed, 0
                self._budget.record_calls(succeeded + failed, seconds, failed)
        return self._budget


class Attempts:
    """The attempts of one call under a retry policy, from the end of the first one until `end()`.

    settings, random, clock, budget: the policy's.   handled: see `errors.chain`.
    operation: what is repeated, in a pipeline; None for a function under this policy alone.
    is_refused: the circuit refused a repetition, so that `outcome_before` is the outcome.
    """

    __slots__ = (
        *("_settings", "_random", "_clock", "_function_budget", "_scope", "_handled", "_operation"),
        *("_began_at", "_kept", "_made", "_paid", "_state", "_waits", "_withdrawal"),
        "is_refused",
    )

    _paid: AnyWithdrawal | None  # for the attempt under way; unset during the first

    def __init__(
        self,
        settings: RetrySettings,
        random: Callable[[], float],
        clock: Clock,
        budget: FunctionBudget,
        scope: RetryScope,
        handled: BaseException | None,
        operation: Operation | None = None,
    ) -> None:
        self._operation = operation
        self._settings = settings
        self._random = random
        self._clock = clock
        self._function_budget = budget
        self._scope = scope
        self._handled = handled
        self._made = 0
        self._waits: Waits | None = None
        self._kept: tuple[BaseException | None, Any] | None = None
        self._state = SentState.NEVER_SENT  # the worst over the attempts before
        self._withdrawal: AnyWithdrawal | None = None
        budget.record_failure()
        self.is_refused = False

    def wait_after_error(self, error: BaseException) -> float | None:
        """Seconds until the next attempt; None when this one was the last."""
        self._made += 1
        shown = list(errors_behind(error, self._handled))
        if self._kept is not None and self._was_refused(shown):
            self.is_refused = True
            self._withdrawal = self._paid  # `end` refunds the retry, which was not made after all
            self._stop(next(stop_reason(type(each)) for each in shown if isinstance(each, CallRefusedError)))
            return None
        before = self._state
        self._admit(shown)
        return self._wait(error, None, shown) if self._is_worth_it(error, shown, before) else None

    def wait_after_result(self, result: object) -> float | None:
        """The same, after a result for which a condition holds."""
        self._made += 1
        return self._wait(None, result, [])

    def is_in_progress(self, result: object) -> bool:
        """Whether the result says that the server is still working on an attempt before it."""
        return isinstance(result, HttpResponse) and is_in_progress(result, self._state, result.request)

    def begin_attempt(self) -> None:
        """The wait is over."""
        self._scope.begin_attempt()
        self._paid, self._withdrawal = self._withdrawal, None  # an interruption from now on refunds nothing

    def succeeded(self) -> None:
        """A repetition succeeded."""
        if isinstance(self._paid, QuotaWithdrawal):  # in a share of all calls, they stay paid
            self._paid.refund()

    def outcome_before(self) -> Any:
        """The result of the attempt before the refusal; or raises its error."""
        assert self._kept is not None
        error, value = self._kept
        if error is None:
            return value
        try:
            raise error
        finally:
            del error  # its traceback holds this frame

    def end(self) -> None:
        """The call is over, however it ended."""
        if self._withdrawal is not None:
            self._withdrawal.refund()  # interrupted during its wait, or refused by the circuit
        self._kept = self._handled = None  # the errors' tracebacks hold the frame that holds this object

    def _admit(self, shown: list[HttpClientError]) -> None:
        """Have the errors of an attempt report the worst state, those of the attempts before included."""
        before = self._state
        for error in shown:
            reported = sent_state_of(error)
            # A cached error may be raised by many operations. What it reports never improves, since an earlier
            # catcher may still hold it; but what it admitted for another operation says nothing about this one.
            own = error.__dict__.get(_OWN_STATE, reported)
            self._state = worst(self._state, own)
            state = worst(worst(before, own), reported)
            if state is not reported:
                try:
                    error.sent_state = state
                except Exception:
                    continue  # a subclass of a user's own that decides it itself
                error.__dict__[_OWN_STATE] = own

    def _is_worth_it(self, error: BaseException, shown: list[HttpClientError], before: SentState) -> bool:
        settings = self._settings
        if is_interruption(error) or any(isinstance(each, CallRefusedError) for each in shown):
            return False
        if settings.is_worth_it(error, report_condition, self._handled):
            return True
        response = self._response(None, shown)
        if not isinstance(response, HttpResponse):
            return response is not None and settings.is_worth_it(response, report_condition)
        return settings.is_worth_it(response, report_condition) or is_in_progress(
            response, before, response.request
        )

    def _wait(self, error: BaseException | None, value: object, shown: list[HttpClientError]) -> float | None:
        settings, scope, clock = self._settings, self._scope, self._clock
        if not shown and scope.last_call is not None:
            self._state = worst(self._state, scope.last_call.sent_state)
        if self._waits is None:
            self._waits = Waits(settings.backoff_strategy, settings.throttled_backoff, self._random)
            self._began_at = clock.monotonic()
        left_of_deadline = self._remaining()
        response = self._response(value, shown)
        asked = requested_wait(response, clock.wall)
        if asked is None:
            asked = requested_delay_of(value, error, self._handled, clock.wall())
        is_nested = scope.outer is not None and scope.outer.in_charge() is not None
        situation = Situation(self._made, is_nested, asked, left_of_deadline, is_safe=scope.may_repeat())
        is_throttled = asked is not None or (
            isinstance(response, HttpResponse) and response.sent_state is SentState.REFUSED
        )
        delays = self._waits.series(is_throttled=is_throttled)
        wait = next_wait(settings, situation, delays)
        budget = self._budget()
        if not isinstance(wait, StopReason) and budget is not None:
            self._withdrawal = budget.try_withdraw(
                is_throttled=is_throttled, retries=settings.max_attempts - 1
            )
            if self._withdrawal is None:
                wait = StopReason.BUDGET
        if isinstance(wait, StopReason):
            shortfall = 0.0
            if budget is not None:
                shortfall = budget.shortfall(is_throttled=is_throttled, retries=settings.max_attempts - 1)
            # Not safe is a function here that sends more keyed requests than can be kept in mind: no keyword changes that.
            is_final = not situation.is_safe
            decision = NoRetry.of(settings, situation, delays.longest(), shortfall, True, is_final)
            self._stop(wait, decision)
            return None
        at, left = clock.monotonic() - self._began_at, None if budget is None else budget.balance
        self._kept = (error, value)
        cause = describe(value) if isinstance(value, HttpResponse) else _named(error, shown)
        self._notify(
            RetryScheduled(
                at, self._made, self._key(), wait, cause, asked, left, left_of_deadline, *self._ids()
            )
        )
        return wait

    def _response(self, value: object, shown: list[HttpClientError]) -> object:
        """The HTTP outcome that an attempt came to: what its exception stems from, else the last one inside."""
        if isinstance(value, HttpResponse):
            return value
        if shown:
            return next((each.response for each in shown if isinstance(each, HttpStatusError)), None)
        return None if self._scope.last_call is None else self._scope.last_call.outcome

    def _was_refused(self, shown: list[HttpClientError]) -> bool:
        """Whether this attempt came to nothing. If a call was sent, the attempt has an outcome of its own."""
        return not self._scope.has_sent and any(isinstance(each, CallRefusedError) for each in shown)

    def _payer(self) -> EndedCall | None:
        """The call that a retry is for. A function may well write down a failure, by a call that succeeds."""
        return self._scope.failed_call or self._scope.last_call

    def _key(self) -> str:
        payer, operation = self._payer(), self._operation
        if payer is not None:
            return payer.key
        return "" if operation is None else operation.key

    def _ids(self) -> tuple[str, str | None]:
        """The id and the name of that call, or of the operation in which there was none."""
        source = self._payer() or self._operation
        return ("", None) if source is None else (source.call_id, source.call_name)

    def _budget(self) -> AnyBudget | None:
        """The budget of that call's client, None if it has none; without a call, that of the policy's functions."""
        payer = self._payer()
        return self._function_budget.up_to_date() if payer is None else payer.budget

    def _stop(self, reason: StopReason, decision: NoRetry | None = None) -> None:
        budget = self._budget()
        at = self._clock.monotonic() - self._began_at
        left = None if budget is None else budget.balance
        self._notify(
            RetryStopped(at, self._made, self._key(), reason, left, self._remaining(), decision, *self._ids())
        )

    def _remaining(self) -> float | None:
        return remaining(self._clock.monotonic, AMBIENT_DEADLINE.get())

    def _notify(self, event: Event) -> None:
        payer = self._payer()
        if payer is not None and payer.listener is not None:
            payer.listener(event)
        elif self._operation is not None:
            self._operation.record(event)
        else:
            log_event(event)


def _named(error: BaseException | None, shown: list[HttpClientError]) -> str:
    if error is None:
        return "the result"
    return type(shown[0] if shown else raised(error)).__name__

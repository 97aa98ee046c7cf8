"""The retry policy: for a client, for one call, around any function."""

from __future__ import annotations

import copy
import itertools
import random as _random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, TypeVar

from ..core.call import worst
from ..core.checks import check_function
from ..core.deadline import AMBIENT_DEADLINE
from ..core.machines.backoff import endless_waits
from ..core.machines.retry_budget import RetryBudget, RetryBudgetSettings, Withdrawal
from ..core.machines.retry_decision import Situation, next_wait
from ..core.machines.retry_settings import RetrySettings
from ..core.nesting import EndedCall, Scope
from ..core.outcomes import describe, requested_wait, sent_state_of
from ..drivers.clocks import Clock, SystemClock
from ..drivers.locks import ForkSafeLock
from ..errors import (
    CircuitOpenError,
    ConfigurationError,
    HttpClientError,
    HttpStatusError,
    SentState,
    errors_behind,
)
from ..events import Event, RetryScheduled, RetryStopped, StopReason
from ..http.messages import HttpResponse
from .functions import handled_now, is_interruption, refuse_awaitable, wrap
from .listeners import report_condition

__all__ = ["RetryPolicy"]

F = TypeVar("F", bound=Callable[..., Any])

_OWN_STATE = (
    "_own_sent_state"  # an error's attribute: its sent_state before an operation raised that to its worst
)


@dataclass(frozen=True)
class RetryPolicy(RetrySettings):
    """Repeat what failed transiently, after growing waits.

    max_attempts: attempts in all, the first one included (>= 1).
    backoff_strategy: the waits; `ExponentialBackoff()` by default.
    retry_conditions: list of `RetryCondition`; an outcome for which any holds is retried. None: transport errors
        except TLS verification, and statuses 408, 425, 429, 500, 502, 503, 504.
    nested: retry even when an enclosing retry policy does, which multiplies the attempts.
    random: uniform in [0, 1), for jitter.   clock: the clock for the waits.
    budget: how much of the guarded functions' calls may be repeated; None for no limit. It is for functions in which
        no client's call is made: otherwise the budget of the client whose call failed last counts, or made the last
        one; if that client has none, there is no limit.

    In a client's call, an unsafe request is repeated only when it cannot have been processed. Around a
    function, the conditions alone decide: by guarding it, you vouch that it may be repeated. Both respect an
    enclosing `deadline` and a `Retry-After`, also one behind the function's exception.

    A function's exception is judged by all that it stems from: causes, contexts, members of a group. A retry of
    a function keeps a client's promises: an error reports the worst `sent_state` over all attempts, automatic
    idempotency keys stay the same, a circuit that opens before a repetition does not hide the previous outcome, and
    the client's listener and metrics get `RetryScheduled` and `RetryStopped`.
    """

    random: Callable[[], float] = field(default=_random.random, repr=False, compare=False)
    clock: Clock = field(default=SystemClock(), repr=False, compare=False)
    budget: RetryBudgetSettings | None = field(default=RetryBudgetSettings(), repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_function("random", self.random)
        if not isinstance(self.clock, Clock):
            raise ConfigurationError(f"clock must be a clock such as SystemClock(), not {self.clock!r}")
        if not (self.budget is None or isinstance(self.budget, RetryBudgetSettings)):
            raise ConfigurationError(
                f"budget must be RetryBudgetSettings(…) or None for no limit, not {self.budget!r}"
            )

    @cached_property
    def _function_budget(self) -> _FunctionBudget:
        return _FunctionBudget(self.budget, self.clock.monotonic)

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        state.pop("_function_budget", None)  # live, and of this process
        if self.random == _random.random:
            # A method, whose pickle would hold the generator's state: each process that received the policy would
            # draw the same jitter, and all would come back at the same instants. The class has it as its default.
            state.pop("random", None)  # a copy of a copy has none
        return state

    def __deepcopy__(self, memo: object) -> RetryPolicy:
        return copy.copy(self)  # settings do not change, and the clock is not its own

    def apply(self, function: F) -> F:
        """The function, repeated while a condition holds. The last result is returned, the last error raised."""
        return wrap(function, partial(with_retries, self), partial(with_retries_async, self))

    def call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call a plain function under this policy."""
        return with_retries(self, function)(*args, **kwargs)

    async def call_async(self, function: Callable[..., Awaitable[Any]], /, *args: Any, **kwargs: Any) -> Any:
        """Call and await an async function under this policy."""
        return await with_retries_async(self, function)(*args, **kwargs)


class _FunctionBudget:
    """The retry budget of the functions under one policy in which no client's call is made.

    A guarded call that succeeds does no more than advance `calls`. They are entered into the budget when a retry
    asks for its share; under a lock, or threads that fail at the same time would each enter the same calls.
    """

    __slots__ = ("_budget", "_clock", "_entered", "_entered_at", "_lock", "calls")

    def __init__(self, settings: RetryBudgetSettings | None, clock: Callable[[], float]) -> None:
        self.calls = itertools.count()
        self._clock = clock
        self._entered, self._entered_at = 0, clock()
        self._lock = ForkSafeLock()
        self._budget = None if settings is None else RetryBudget(settings, clock=clock, lock=ForkSafeLock())

    def up_to_date(self) -> RetryBudget | None:
        """The budget, with the calls until now in it; None for no limit."""
        if self._budget is not None:
            with self._lock:
                made, now = next(self.calls), self._clock()
                count, seconds = made - self._entered, now - self._entered_at
                self._entered, self._entered_at = made + 1, now  # reading it advanced it
                self._budget.record_calls(count, seconds)
        return self._budget


class RetryScope(Scope):
    """One call under a retry policy, from its creation until `leave()`. Counts attempts and decides the waits.

    is_refused: the circuit refused a repetition, so that `outcome_before` is the outcome.
    """

    __slots__ = (
        *("_began_at", "_delays", "_handled", "_kept", "_made", "_paid", "_policy", "_state", "_withdrawal"),
        "is_refused",
    )

    def __init__(self, policy: RetryPolicy) -> None:
        next(policy._function_budget.calls)  # first: it may call the policy's clock, which may raise
        Scope.__init__(self, retries=True)
        self._handled = handled_now()
        self._policy = policy
        self._made = 0
        self._delays: Iterator[float] | None = None
        self._kept: tuple[BaseException | None, Any] | None = None
        self._state = SentState.NEVER_SENT  # the worst over the attempts before
        self._withdrawal: Withdrawal | None = None
        self.is_refused = False

    @property
    def is_repetition(self) -> bool:  # type: ignore[override]  # read only
        return self._made > 0

    def wait_after(self, error: BaseException | None, value: object = None) -> float | None:
        """Seconds until the next attempt; None when this one was the last."""
        self._made += 1
        policy = self._policy
        shown = [] if error is None else list(errors_behind(error, self._handled))
        if self._kept is not None and self._was_refused(shown):
            self.is_refused = True
            self._withdrawal = self._paid  # `leave` refunds the retry, which was not made after all
            self._stop(StopReason.CIRCUIT_OPEN)
            return None
        self._admit(shown)
        if not self._is_worth_it(error, value, shown):
            return None
        last = self.last_call
        if not shown and last is not None:
            self._state = worst(self._state, last.sent_state)
        if self._delays is None:
            self._delays = endless_waits(policy.backoff_strategy, policy.random)
            self._began_at = policy.clock.monotonic()
        ambient = AMBIENT_DEADLINE.get()
        remaining = None if ambient is None else ambient.remaining()
        asked = requested_wait(self._response(value, shown), policy.clock.wall)
        is_nested = self.outer is not None and self.outer.in_charge() is not None
        situation = Situation(self._made, is_nested, asked, remaining, is_safe=self.may_repeat())
        wait = next_wait(policy, situation, self._delays)
        budget = self._budget()
        if not isinstance(wait, StopReason) and budget is not None:
            self._withdrawal = budget.try_withdraw()
            if self._withdrawal is None:
                wait = StopReason.BUDGET
        if isinstance(wait, StopReason):
            self._stop(wait)
            return None
        at, left = policy.clock.monotonic() - self._began_at, None if budget is None else budget.balance
        key = self._key()
        self._kept = (error, value)
        cause = describe(value) if isinstance(value, HttpResponse) else _named(error, shown)
        self._notify(RetryScheduled(at, self._made, key, wait, cause, asked, left, remaining))
        return wait

    def begin_attempt(self) -> None:
        """The wait is over. What the attempt before left inside says nothing about the next one."""
        self.last_call = self.failed_call = None
        self.has_sent = False
        self._paid, self._withdrawal = self._withdrawal, None  # an interruption from now on refunds nothing
        if self.keys is not None:
            self.keys.begin_attempt()

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

    def leave(self) -> None:
        if self._withdrawal is not None:
            self._withdrawal.refund()  # interrupted during its wait, or refused by the circuit
        self._kept = self._handled = None  # the errors' tracebacks hold frames that hold this scope
        Scope.leave(self)

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

    def _is_worth_it(self, error: BaseException | None, value: object, shown: list[HttpClientError]) -> bool:
        policy = self._policy
        if error is None:
            return policy.is_worth_it(value, report_condition)
        if is_interruption(error) or any(isinstance(each, CircuitOpenError) for each in shown):
            return False
        if policy.is_worth_it(error, report_condition, self._handled):
            return True
        response = self._response(None, shown)
        return response is not None and policy.is_worth_it(response, report_condition)

    def _response(self, value: object, shown: list[HttpClientError]) -> object:
        """The HTTP outcome that an attempt came to: what its exception stems from, else the last one inside."""
        if isinstance(value, HttpResponse):
            return value
        if shown:
            return next((each.response for each in shown if isinstance(each, HttpStatusError)), None)
        return None if self.last_call is None else self.last_call.outcome

    def _was_refused(self, shown: list[HttpClientError]) -> bool:
        """Whether this attempt came to nothing. If a call was sent, the attempt has an outcome of its own."""
        return not self.has_sent and any(isinstance(each, CircuitOpenError) for each in shown)

    def _payer(self) -> EndedCall | None:
        """The call that a retry is for. A function may well write down a failure, by a call that succeeds."""
        return self.failed_call or self.last_call

    def _key(self) -> str:
        payer = self._payer()
        return "" if payer is None else payer.key

    def _budget(self) -> RetryBudget | None:
        """The budget of that call's client, None if it has none; without a call, that of the policy's functions."""
        payer = self._payer()
        return self._policy._function_budget.up_to_date() if payer is None else payer.budget

    def _stop(self, reason: StopReason) -> None:
        budget, ambient = self._budget(), AMBIENT_DEADLINE.get()
        at = self._policy.clock.monotonic() - self._began_at
        left = None if budget is None else budget.balance
        remaining = None if ambient is None else ambient.remaining()
        self._notify(RetryStopped(at, self._made, self._key(), reason, left, remaining))

    def _notify(self, event: Event) -> None:
        payer = self._payer()
        if payer is not None and payer.listener is not None:
            payer.listener(event)


def _named(error: BaseException | None, shown: list[HttpClientError]) -> str:
    if error is None:
        return "the result"
    return type(shown[0] if shown else error).__name__


def with_retries(policy: RetryPolicy, function: Callable[..., Any]) -> Callable[..., Any]:
    """The plain function, with each call under the retry policy."""

    def guarded(*args: Any, **kwargs: Any) -> Any:
        scope = RetryScope(policy)
        try:
            while True:
                try:
                    result = function(*args, **kwargs)
                    if hasattr(result, "__await__"):
                        refuse_awaitable(function, result)
                except Exception as error:
                    wait = scope.wait_after(error)
                    if wait is None and not scope.is_refused:
                        raise
                else:
                    wait = scope.wait_after(None, result)
                    if wait is None:
                        return result
                if wait is None:
                    return scope.outcome_before()
                policy.clock.sleep(wait)
                scope.begin_attempt()
        finally:
            scope.leave()

    return guarded


def with_retries_async(
    policy: RetryPolicy, function: Callable[..., Awaitable[Any]]
) -> Callable[..., Awaitable[Any]]:
    """Like `with_retries`, for an async function, or one that returns a plain value."""

    async def guarded(*args: Any, **kwargs: Any) -> Any:
        scope = RetryScope(policy)
        try:
            while True:
                try:
                    result = function(*args, **kwargs)
                    if hasattr(result, "__await__"):
                        result = await result
                except Exception as error:
                    wait = scope.wait_after(error)
                    if wait is None and not scope.is_refused:
                        raise
                else:
                    wait = scope.wait_after(None, result)
                    if wait is None:
                        return result
                if wait is None:
                    return scope.outcome_before()
                await policy.clock.sleep_async(wait)
                scope.begin_attempt()
        finally:
            scope.leave()

    return guarded

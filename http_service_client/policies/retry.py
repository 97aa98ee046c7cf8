"""The retry policy: for a client, for one call, around any function."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from ..core.checks import check_function, remedies, suggests_keywords
from ..core.effects import Plan, Sleep
from ..core.machines.retry.budget import RetryBudgetSettings
from ..core.machines.retry.quota import RetryQuotaSettings
from ..core.machines.retry.settings import IS_JUDGED, RetrySettings
from ..core.nesting import RetryScope
from ..core.operation import Operation, Proceed
from ..drivers.clocks import Clock, SystemClock, check_clock
from ..drivers.functions import blocking_driver
from ..drivers.interruption import INTERRUPTION
from ..drivers.randomness import unseeded_random
from ..errors import ConfigurationError
from .functions import (
    AWAITABLE,
    FINISHED,
    UNFINISHED,
    applied_to_a_function,
    handled_now,
    not_a_function,
    refuse,
    wrap,
)
from .listeners import report_condition
from .retry_attempts import Attempts, FunctionBudget
from .strategy import Strategy

if TYPE_CHECKING:
    from ..core.machines.retry.quota import AnyBudget

__all__ = ["RetryPolicy"]

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])


@suggests_keywords(
    remedies(
        {
            "it is called max_attempts, and counts the first attempt too": "attempts limit max_retries max_retry_attempts max_tries retries"
            " retry_max stop total tries",
            "set it in backoff_strategy=ExponentialBackoff(…)": "backoff_factor backoff_limit backoff_max backoff_type exp_base factor"
            " initial_delay jitter max_delay max_timeout min_timeout multiplier"
            " retry_wait_max retry_wait_min use_jitter",
            "write backoff_strategy=ConstantBackoff(…)": "delay interval retry_delay wait wait_duration",
            "pass an object with a method delays(random) as backoff_strategy": "calculate_delay delay_generator interval_function",
            "write retry_conditions=[*RetryCondition.defaults(), …]": "check_retry error_codes exceptions ignore_exceptions on retry"
            " retry_condition retry_exceptions retry_if retry_on retry_on_exception"
            " retry_on_result should_handle should_retry status_codes status_forcelist",
            "unsafe methods are repeated where that is safe; a call says idempotent=True where it always is": "allowed_methods methods",
            "pass on_event to HttpServiceClient, or to ResiliencePipeline": "after before before_retry before_sleep on_failed_attempt on_retry",
            "leave it out: Retry-After is always respected": "respect_retry_after_header should_retry_after_header",
            "set max_delay in backoff_strategy=ExponentialBackoff(…), or a total_timeout": "max_retry_after",
            "leave it out: the last error or response is that of the caller": "fail_after_max_attempts raise_on_status reraise",
            "write ResiliencePipeline(FallbackPolicy(…), RetryPolicy(…))": "fallback retry_error_callback",
        }
    )
)
@dataclass(frozen=True)
class RetryPolicy(RetrySettings, Strategy):
    """Repeat what failed transiently, after growing waits.

    max_attempts: attempts in all, the first one included (>= 1).
    backoff_strategy: the waits; `ExponentialBackoff()` by default.
    retry_conditions: list of `RetryCondition`; an outcome for which any holds is retried. None: transport errors
        except TLS verification, and statuses 408, 425, 429, 500, 502, 503, 504, 520 to 524, 529.
    nested: retry even when an enclosing retry policy does, which multiplies the attempts.
    throttled_backoff: the waits after a response that refused the request (429, 425, 503 with Retry-After); None for
        those of `backoff_strategy`.
    random: uniform in [0, 1), for jitter.   clock: the clock for the waits.
    budget: how much of the guarded functions' calls may be repeated; None for no limit. It is for functions in which
        no client's call is made: otherwise the budget of the client whose call failed last counts, or made the last
        one; if that client has none, there is no limit. In a pipeline it pays for hedges of any function, too.

    In a client's call, an unsafe request is repeated only when it cannot have been processed. Around a
    function, the conditions alone decide: by guarding it, you vouch that it may be repeated. Both respect an
    enclosing `deadline` and a `Retry-After`, also one behind the function's exception.

    A function's exception is judged by all that it stems from: causes, contexts, members of a group. A retry of
    a function keeps a client's promises: an error reports the worst `sent_state` over all attempts, automatic
    idempotency keys stay the same, a circuit that opens before a repetition does not hide the previous outcome, and
    the client's listener and metrics get `RetryScheduled` and `RetryStopped`.
    """

    rank = 30
    repeats = True
    repeats_in_turn = True

    random: Callable[[], float] = field(default=unseeded_random, repr=False, compare=False)
    clock: Clock = field(default=SystemClock(), repr=False, compare=False)
    budget: RetryQuotaSettings | RetryBudgetSettings | None = field(default=RetryQuotaSettings(), repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_function("random", self.random)
        check_clock(self.clock)
        if not isinstance(self.budget, (RetryQuotaSettings, RetryBudgetSettings, type(None))):
            raise ConfigurationError(
                f"budget must be RetryQuotaSettings(…), RetryBudgetSettings(…) or None for no limit, not {self.budget!r}"
            )

    @cached_property
    def _function_budget(self) -> FunctionBudget:
        return FunctionBudget(self.budget, self.clock.monotonic)

    def _attempts(
        self, scope: RetryScope, handled: BaseException | None, operation: Operation | None = None
    ) -> Attempts:
        return Attempts(self, self.random, self.clock, self._function_budget, scope, handled, operation)

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        state.pop("_function_budget", None)  # live, and of this process
        return state

    def __deepcopy__(self, memo: object) -> RetryPolicy:
        return copy.copy(self)  # settings do not change, and the clock is not its own

    def _live_budget(self) -> AnyBudget | None:
        return self._function_budget.up_to_date()

    @property
    def used_clock(self) -> Clock:
        return self.clock

    @applied_to_a_function
    def apply(self, function: F) -> F:
        """The function, repeated while a condition holds. The last result is returned, the last error raised."""
        return wrap(
            function,
            partial(with_retries, self),
            partial(with_retries_async, self),
            self._runner.guards_of_items,
        )

    def call(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a plain function under this policy."""
        if not callable(function):
            raise not_a_function("call", function)
        return with_retries(self, function)(*args, **kwargs)  # type: ignore[no-any-return]  # of the function

    async def call_async(
        self, function: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Call and await an async function under this policy."""
        if not callable(function):
            raise not_a_function("call_async", function)
        return await with_retries_async(self, function)(*args, **kwargs)  # type: ignore[no-any-return]  # of the function

    def guard(self, proceed: Proceed, operation: Operation) -> Plan[Any]:
        """The plan of the attempts in a pipeline; `with_retries` and `with_retries_async` do the same."""
        scope = RetryScope() if operation.is_paused is None else _LoopScope(operation.is_paused)
        attempts: Attempts | None = None
        try:
            scope._begin()
            while True:
                try:
                    result = yield from proceed(operation)
                except Exception as error:
                    if not operation.may_repeat:
                        raise
                    attempts = attempts or self._attempts(scope, operation.handled, operation)
                    wait = attempts.wait_after_error(error)
                    if wait is None and not attempts.is_refused:
                        raise
                else:
                    if attempts is None and not (IS_JUDGED[type(result)] or self.judges_results):
                        next(self._function_budget.successes)  # the usual case
                        return result
                    if not operation.may_repeat or not (
                        self.is_worth_it(result, report_condition)
                        or (attempts is not None and attempts.is_in_progress(result))
                    ):
                        if attempts is None:
                            next(self._function_budget.successes)
                        else:
                            attempts.succeeded()
                        return result
                    attempts = attempts or self._attempts(scope, operation.handled, operation)
                    wait = attempts.wait_after_result(result)
                    if wait is None:
                        return result
                if wait is None:
                    return attempts.outcome_before()
                yield from Sleep(wait)
                attempts.begin_attempt()
                operation.attempt += 1
                operation.is_queued = False
        finally:
            try:
                if attempts is not None:
                    attempts.end()
                scope.leave()
            except BaseException:  # Ctrl-C came just before
                scope.leave()
                raise


class _LoopScope(RetryScope):
    """That of a loop in a generator.   is_paused: the code that iterates over the generator runs, which is not inside."""

    __slots__ = ("_is_paused",)

    may_pause = True

    def __init__(self, is_paused: Callable[[], bool]) -> None:
        RetryScope.__init__(self)
        self._is_paused: Callable[[], bool] | None = is_paused

    @property
    def has_ended(self) -> bool:
        """Or is paused."""
        is_paused = self._is_paused  # read first: another thread may leave it meanwhile
        return self._token is None or is_paused()  # type: ignore[misc]  # until the end there is one

    def leave(self) -> None:
        RetryScope.leave(self)
        self._is_paused = None  # it holds a frame


def with_retries(policy: RetryPolicy, function: Callable[..., Any]) -> Callable[..., Any]:
    """The plain function, with each call under the retry policy."""

    successes = policy._function_budget.successes

    def guarded(*args: Any, **kwargs: Any) -> Any:
        handled, scope = handled_now(), RetryScope()
        attempts: Attempts | None = None  # made when the first one failed: most need no more than one
        try:
            scope._begin()
            while True:
                try:
                    result = function(*args, **kwargs)
                    if UNFINISHED[type(result)] is not None:
                        refuse(function, result, scope.last_call)
                except Exception as error:
                    attempts = attempts or policy._attempts(scope, handled)
                    wait = attempts.wait_after_error(error)
                    if wait is None and not attempts.is_refused:
                        raise
                else:
                    if not policy.is_worth_it(result, report_condition) and not (
                        attempts is not None and attempts.is_in_progress(result)
                    ):
                        if attempts is None:
                            next(successes)
                        else:
                            attempts.succeeded()
                        return result
                    attempts = attempts or policy._attempts(scope, handled)
                    wait = attempts.wait_after_result(result)
                    if wait is None:
                        return result
                if wait is None:
                    return attempts.outcome_before()
                _wait(policy.clock, wait)
                attempts.begin_attempt()
        finally:
            try:
                if attempts is not None:
                    attempts.end()
                scope.leave()
            except BaseException:  # Ctrl-C came just before
                scope.leave()
                raise

    return guarded


def _wait(clock: Clock, seconds: float) -> None:
    """The wait of a plain function. A thread that is left behind, by a timeout or a hedge, ends it with a CancelledError."""
    if INTERRUPTION.get() is None:
        clock.sleep(seconds)
    else:
        blocking_driver(clock).perform(Sleep(seconds))


def with_retries_async(
    policy: RetryPolicy, function: Callable[..., Awaitable[Any]]
) -> Callable[..., Awaitable[Any]]:
    """Like `with_retries`, for an async function, or one that returns a plain value."""

    successes = policy._function_budget.successes

    async def guarded(*args: Any, **kwargs: Any) -> Any:
        handled, scope = handled_now(), RetryScope()
        attempts: Attempts | None = None
        try:
            scope._begin()
            while True:
                try:
                    result = function(*args, **kwargs)
                    if UNFINISHED[type(result)] is AWAITABLE:
                        result = await result
                    if UNFINISHED[type(result)] not in FINISHED:
                        refuse(function, result, scope.last_call)
                except Exception as error:
                    attempts = attempts or policy._attempts(scope, handled)
                    wait = attempts.wait_after_error(error)
                    if wait is None and not attempts.is_refused:
                        raise
                else:
                    if not policy.is_worth_it(result, report_condition) and not (
                        attempts is not None and attempts.is_in_progress(result)
                    ):
                        if attempts is None:
                            next(successes)
                        else:
                            attempts.succeeded()
                        return result
                    attempts = attempts or policy._attempts(scope, handled)
                    wait = attempts.wait_after_result(result)
                    if wait is None:
                        return result
                if wait is None:
                    return attempts.outcome_before()
                await policy.clock.sleep_async(wait)
                attempts.begin_attempt()
        finally:
            try:
                if attempts is not None:
                    attempts.end()
                scope.leave()
            except BaseException:  # Ctrl-C came just before
                scope.leave()
                raise

    return guarded

"""The circuit breaker policy: for a client, for one call, around any function or block.

The outcome of a guarded function is also judged by the HTTP outcome inside it: a 402 that the function turned into
an exception of its own is not a failure of the service.
"""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import fields
from functools import partial
from types import CoroutineType, FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar

from ..core.checks import suggests_keywords
from ..core.effects import Plan
from ..core.layers.circuit_breaker import refused
from ..core.machines.circuit_breaker.breaker import CircuitBreaker, Permit
from ..core.machines.circuit_breaker.states import (
    CIRCUIT_RENAMED,
    CircuitBreakerSettings,
    CircuitBreakerState,
    Refusal,
    StateChange,
)
from ..core.machines.other_libraries import READERS, status_of, status_of_error
from ..core.nesting import EndedCall, Scope, current_scope
from ..core.operation import Operation, Proceed
from ..core.outcomes import FAILURE_STATUSES, is_failure, is_failure_type, sent_state_of
from ..drivers.clocks import check_seconds
from ..drivers.forks import reset_in_forked_children
from ..drivers.locks import ForkSafeLock
from ..drivers.randomness import unseeded_random
from ..errors import (
    CircuitOpenError,
    ConfigurationError,
    HttpClientError,
    HttpStatusError,
    SentState,
    chain,
    errors_behind,
)
from ..events import CircuitRefused
from ..http.messages import HttpResponse
from .deadline import deadline
from .functions import (
    AWAITABLE,
    FINISHED,
    UNFINISHED,
    applied_to_a_function,
    handled_now,
    is_interruption,
    not_a_function,
    refuse,
    wrap,
)
from .generators import pause_of
from .listeners import Listeners, judging
from .strategy import Strategy
from .with_blocks import EnteredBlocks

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..core.machines.circuit_breaker.changes import CircuitBreakerChanges
    from ..core.machines.circuit_breaker.snapshot import CircuitBreakerSnapshot

__all__ = ["CircuitBreakerPolicy"]

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])


@suggests_keywords(CIRCUIT_RENAMED)
class CircuitBreakerPolicy(Strategy):
    """Stop calling a service that is down; after a while, try again with one call at a time.

    By default the circuit opens when nothing has succeeded for 10 s and 30 calls, and makes a trial after 1 s, then after a
    twentieth of the time that the service has been down, at most 60 s. A service that answers one call in ten is never
    cut off for long. `CircuitBreakerSettings` says more of each setting, and what those left out follow from.

    failure_threshold, failure_duration: consecutive failures that open the circuit (>= 1), and seconds that they must
        span; a threshold alone opens it at once.
    failure_rate: 0 to 1, of the calls in the window that failed.
    slow_call_rate, slow_call_duration: 0 to 1, of those that took so many seconds or longer.
    window: seconds that the rates look back; or window_calls: the last so many calls.
    minimum_calls: calls in the window from which on its rates count.
    opens_when: "any" of these tests holds, or "all" of them do.
    recovery_timeout: seconds that it stays open before a trial call (probe) may pass (> 0).
    recovery_multiplier, max_recovery_timeout: growth of the open time at each failed trial, and its limit.
    recovery_jitter: 0 to 1; the open time is prolonged by up to this fraction at random.
    success_threshold, trial_count: so many (>= 1) of so many trials must succeed to close it.
    trials_at_once: trials that may be in flight together.
    trial_lease: seconds after which a trial that was not settled no longer blocks the next one.
    ramp, ramp_step: shares of the calls that pass after the trials, such as [0.1, 0.25, 0.5], each for so many seconds.
    max_rejected: 0 to 1, of the calls of a minute: what may be refused while the service answers some.
    timeout: seconds that one guarded call may take, or None. It bounds the client's calls inside like a
        `deadline`; a guarded call that took longer counts as a failure even if it returned.
        In a client's configuration it bounds each attempt.
    metrics_only: count and change state, but refuse no call.
    shadow: `CircuitBreakerSettings` to observe beside these, by a circuit that refuses nothing.
    failures: what counts as a failure, in place of the rules below: a list of statuses, ranges of them, and exception
        classes, such as [503, range(520, 530), ConnectError].
    is_failure: judges each result and each exception (of a client's call: its response or error): True for a
        failure of the service, False for a success, None for no evidence. It replaces the rules below.
    exclude: exception types, as a list, that count as a success: the service answered, as with a declined card.
    name: the circuit's name in errors and events.
    clock: monotonic seconds.   on_change: called with each `StateChange`, after it.
        In a client's configuration, the client's clock is used, and `on_change` is called for all its circuits.

    Raises ConfigurationError (a ValueError) that names the field, the value and the remedy.

    A copy or a pickle has the same settings and a circuit of its own, closed: state and counts stay where they are.
    Policies with the same settings and name are equal, whatever the states of their circuits. `settings` has the
    settings alone, as a frozen record; `reconfigure` changes them.

    Threads and event loops may share one object. Failures are: transport errors; 408, 429 and 5xx; an exception
    of the guarded function, unless the HTTP outcome inside shows a healthy service (a 402 turned into an
    exception is not a failure of the service). Cancellation is no evidence.
    """

    rank = 70

    def __init__(
        self,
        failure_threshold: int | None = None,
        recovery_timeout: float | None = None,
        success_threshold: int = 1,
        timeout: float | None = None,
        *,
        failure_duration: float | None = None,
        failure_rate: float | None = None,
        slow_call_rate: float | None = None,
        slow_call_duration: float | None = None,
        window: float = 30.0,
        window_calls: int | None = None,
        minimum_calls: int = 20,
        opens_when: Literal["any", "all"] = "any",
        recovery_multiplier: float | None = None,
        max_recovery_timeout: float | None = None,
        recovery_jitter: float = 0.0,
        trial_lease: float = 60.0,
        trial_count: int | None = None,
        trials_at_once: int = 1,
        ramp: Sequence[float] = (),
        ramp_step: float = 1.0,
        max_rejected: float = 1.0,
        metrics_only: bool = False,
        shadow: CircuitBreakerSettings | None = None,
        failures: Iterable[int | range | type[BaseException]] | None = None,
        is_failure: Callable[[Any], bool | None] | None = None,
        exclude: Iterable[type[BaseException]] = (),
        name: str = "",
        clock: Callable[[], float] = time.monotonic,
        on_change: Callable[[StateChange], None] | None = None,
    ) -> None:
        if not isinstance(name, str):
            raise ConfigurationError(f"name must be a str, not {name!r}")
        check_seconds(clock)
        settings = CircuitBreakerSettings(
            failure_threshold=failure_threshold,
            recovery_timeout=recovery_timeout,  # type: ignore[arg-type]  # None: it follows from others
            success_threshold=success_threshold,
            timeout=timeout,
            failure_duration=failure_duration,  # type: ignore[arg-type]
            failure_rate=failure_rate,
            slow_call_rate=slow_call_rate,
            slow_call_duration=slow_call_duration,
            window=window,
            window_calls=window_calls,
            minimum_calls=minimum_calls,
            opens_when=opens_when,
            recovery_multiplier=recovery_multiplier,  # type: ignore[arg-type]
            max_recovery_timeout=max_recovery_timeout,  # type: ignore[arg-type]
            recovery_jitter=recovery_jitter,
            trial_lease=trial_lease,
            trial_count=trial_count,  # type: ignore[arg-type]
            trials_at_once=trials_at_once,
            ramp=ramp,
            ramp_step=ramp_step,
            max_rejected=max_rejected,
            metrics_only=metrics_only,
            shadow=shadow,
            failures=failures,
            is_failure=judging(is_failure),
            exclude=exclude,
            on_change=on_change,
        )
        self._clock = clock
        self._begin(settings, name)

    def _begin(self, settings: CircuitBreakerSettings, name: str) -> None:
        """Make the live parts, of which each copy has its own."""
        self.listeners = Listeners(settings.on_change)
        self.breaker = CircuitBreaker(
            settings,
            key=name,
            clock=self._clock,
            random=unseeded_random,
            lock=ForkSafeLock(),
            on_change=self.listeners,
        )
        self._scopes: EnteredBlocks[_BlockScope] = EnteredBlocks()
        self._reconfiguring = ForkSafeLock()
        reset_in_forked_children(self)

    def _reset_after_fork(self) -> None:
        self.breaker.reset_after_fork()

    def __getstate__(self) -> dict[str, Any]:
        live = {"_runner", "listeners", "breaker", "_scopes", "_reconfiguring"}
        kept = {name: value for name, value in self.__dict__.items() if name not in live}
        return {"settings": self.settings, "name": self.name, "attributes": kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state["attributes"])
        self._begin(state["settings"], state["name"])

    def __deepcopy__(self, memo: object) -> CircuitBreakerPolicy:
        return copy.copy(self)  # the clock and the listener are not its own

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return (self.name, self.settings) == (other.name, other.settings)

    def __hash__(self) -> int:
        return hash((type(self), self.name))  # settings may change

    if not TYPE_CHECKING:  # a type checker would accept an assignment of any name

        def __setattr__(self, name: str, value: object) -> None:
            if name in _SETTINGS:
                raise AttributeError(
                    f"{name} of a CircuitBreakerPolicy cannot be assigned; "
                    f"write policy.reconfigure({name}=…), which keeps the circuit's state"
                )
            if name == "name":
                raise AttributeError(
                    f"a CircuitBreakerPolicy keeps its name, {self.name!r}; make another policy"
                )
            object.__setattr__(self, name, value)

    def reconfigure(self, **changes: Unpack[CircuitBreakerChanges]) -> None:
        """Change settings while the circuit goes on: ``policy.reconfigure(failure_threshold=10)``.

        The state, the counts and the calls in flight stay: an open circuit stays open, and the next result is the
        first one that the new thresholds judge. When `recovery_timeout` changes, an open span lasts for the new time
        from the instant at which the circuit opened.

        changes: any argument of the policy but `name` and `clock`. Those left out keep their values.

        Threads may call it. Raises ConfigurationError for a wrong value and TypeError for an unknown name; then
        nothing has changed.
        """
        if "is_failure" in changes:
            changes["is_failure"] = judging(changes["is_failure"])
        with self._reconfiguring:
            self.listeners.own = self.breaker.reconfigure(changes).on_change

    @property
    def settings(self) -> CircuitBreakerSettings:
        """The settings alone, as a frozen record that compares, pickles and copies."""
        return self.breaker.settings

    @property
    def name(self) -> str:
        """The circuit's name in errors and events."""
        return self.breaker.key

    @property
    def failure_threshold(self) -> int | None:
        """Consecutive failures that open the circuit; None where it is judged by rates alone."""
        return self.breaker.settings.failure_threshold

    @property
    def recovery_timeout(self) -> float:
        """Seconds that the circuit stays open before a trial call may pass."""
        return self.breaker.settings.recovery_timeout

    @property
    def success_threshold(self) -> int:
        """Successful trials in a row that close the circuit."""
        return self.breaker.settings.success_threshold

    @property
    def timeout(self) -> float | None:
        """Seconds that one guarded call may take, or None."""
        return self.breaker.settings.timeout

    @property
    def state(self) -> CircuitBreakerState:
        """Closed, open or half-open. Reading it changes nothing."""
        return self.breaker.state

    @property
    def on_change(self) -> Callable[[StateChange], None] | None:
        """The listener that was set, or None."""
        return self.breaker.settings.on_change

    @property
    def is_isolated(self) -> bool:
        """Whether it is isolated: see `isolate`."""
        return self.breaker.is_isolated

    def isolate(self) -> None:
        """Refuse all calls until `reset()`."""
        self.breaker.isolate()

    def reset(self) -> None:
        """Close the circuit and forget the failures counted so far."""
        self.breaker.reset()

    def snapshot(self) -> CircuitBreakerSnapshot:
        """State and counts, at one instant."""
        return self.breaker.snapshot()

    @applied_to_a_function
    def apply(self, function: F) -> F:
        """The function under this policy: it raises `CircuitOpenError` while the circuit is open."""
        return wrap(
            function,
            partial(with_breaker, self),
            partial(with_breaker_async, self),
            self._runner.guards_of_items,
        )

    def call(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a plain function under this policy."""
        if not callable(function):
            raise not_a_function("call", function)
        return with_breaker(self, function)(*args, **kwargs)  # type: ignore[no-any-return]  # of the function

    async def call_async(
        self, function: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Call and await an async function under this policy."""
        if not callable(function):
            raise not_a_function("call_async", function)
        return await with_breaker_async(self, function)(*args, **kwargs)  # type: ignore[no-any-return]  # of the function

    @property
    def used_clock(self) -> Callable[[], float]:
        return self._clock

    def guard(self, proceed: Proceed, operation: Operation) -> Plan[Any]:
        """The plan of one permit in a pipeline; `with_breaker` and `with_breaker_async` do the same."""
        try:
            scope = (
                CircuitBreakerScope(self)
                if operation.is_paused is None
                else _BlockScope(self, operation.handled, operation.is_paused)
            )
        except CircuitOpenError as refused:
            operation.record(
                CircuitRefused(
                    operation.elapsed(),
                    operation.attempt,
                    self.name or operation.key,
                    refused.reason,
                    refused.retry_after,
                    operation.call_id,
                    operation.call_name,
                )
            )
            raise
        try:
            try:
                scope._begin()
                if scope._deadline is not None:
                    scope._deadline._begin(operation.is_paused)
                result = yield from proceed(operation)
            except BaseException as error:
                scope.raised(error, operation.handled)
                raise
            scope.returned(result)
            return result
        finally:
            if scope._token is not None:  # Ctrl-C came before it could report
                scope.abandon()

    def __enter__(self) -> CircuitBreakerPolicy:
        return self._enter(sys._getframe(1))

    def _enter(self, frame: FrameType) -> CircuitBreakerPolicy:
        is_paused = pause_of(frame)
        scope = _BlockScope(self, handled_now(), is_paused)
        scope._begin()
        if scope._deadline is not None:
            scope._deadline._begin(is_paused)
        self._scopes.enter(scope)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        scope = self._scopes.leave(self)
        if error is None:
            scope.returned(None)
        else:
            scope.raised(error, scope.handled)

    async def __aenter__(self) -> CircuitBreakerPolicy:
        return self._enter(sys._getframe(1))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)

    def __repr__(self) -> str:
        name = f"{self.name!r} " if self.name else ""
        return f"<CircuitBreakerPolicy {name}{self.state.value}>"


# The settings of a policy; its clock and its name stay what they are.
_SETTINGS = frozenset(("settings", *(item.name for item in fields(CircuitBreakerSettings))))


class CircuitBreakerScope(Scope):
    """One call under a circuit breaker: from `_begin` until it `returned` or `raised`.

    A scope that holds a permit and, with a timeout, a deadline. Raises CircuitOpenError when it is made. As that of a retry
    policy, it begins in the `try` block that leaves it. Ctrl-C before that costs a permit, which a trial's lease ends.
    The lines that begin it stand in each loop: as a method, they would take 0.05 us more of each call.
    """

    __slots__ = ("_admission", "_clock", "_deadline", "_is_plain", "_started", "_timeout", "breaker")

    breaker: CircuitBreaker

    def __init__(self, policy: CircuitBreakerPolicy) -> None:
        self.breaker = breaker = policy.breaker  # pyright: ignore[reportIncompatibleVariableOverride]  # never None here
        self.outer = self._token = self.last_call = None
        free_pass, admission, outer = breaker.free_pass, None, current_scope()
        # A scope around it that has a permit has the result that counts, too.
        if outer is None or not outer.holds(breaker):
            # It may call a listener, whose own calls are not inside.
            admission = _permit(breaker) if free_pass is None else free_pass
        self._admission: Any = admission
        # Read once: it may be reconfigured during this call.
        self._timeout = timeout = breaker.settings.timeout
        self._is_plain = admission is free_pass is not None and timeout is None and breaker.judge is None
        self._deadline = None if timeout is None else deadline(timeout, clock=policy._clock)
        if timeout is not None:
            self._clock = policy._clock
            self._started = policy._clock()

    def returned(self, result: object) -> None:
        """Report a result to the breaker."""
        if self._is_plain and READERS[type(result)] is None:  # the usual case: nothing to examine
            self.leave()
            self.breaker.record_success(self._admission)
        else:
            self._settle(None, result, None)

    def raised(self, error: BaseException, handled: BaseException | None) -> None:
        """Report an error to the breaker.   handled: see `errors.chain`."""
        self._settle(error, None, handled)

    def abandon(self) -> None:
        """Leave it, and its deadline, without a result."""
        if self._deadline is not None:
            self._deadline._end()
        self.leave()

    def _settle(self, error: BaseException | None, result: object, handled: BaseException | None) -> None:
        last = self.last_call
        self.abandon()
        failed = _evidence(error, result, last, handled)
        judge = self.breaker.judge  # read once: it may be reconfigured in between
        if judge is not None and not is_interruption(error):
            failed = judge(result if error is None else error, failed)
        if self._timeout is not None and not is_interruption(error):
            failed = failed if self._clock() - self._started < self._timeout else True
        if self._admission is not None:
            self.breaker.settle(self._admission, failed)


class _BlockScope(CircuitBreakerScope):
    """That of a `with` block.

    handled: see `errors.chain`; a guarded function has it in its frame.
    """

    __slots__ = ("_is_paused", "handled")

    may_pause = True

    def __init__(
        self,
        policy: CircuitBreakerPolicy,
        handled: BaseException | None,
        is_paused: Callable[[], bool] | None,
    ) -> None:
        self.handled = handled
        self._is_paused = is_paused
        CircuitBreakerScope.__init__(self, policy)

    @property
    def has_ended(self) -> bool:
        """Or is paused: the code that runs is not inside."""
        return self._token is None or (self._is_paused is not None and self._is_paused())

    def leave(self) -> None:
        self.handled = self._is_paused = None  # they hold frames
        CircuitBreakerScope.leave(self)


def _evidence(
    error: BaseException | None, result: Any, last: EndedCall | None, handled: BaseException | None
) -> bool | None:
    """Whether a guarded call failed: True, False, or None for no evidence.

    it returned            a response, of another library too, is judged by its status; anything else is a success
    it was interrupted     none
    it stems from errors   each by its type, one of `raise_for_status()` by its status; a failure among them decides
        of this package
    any other exception    a failure, unless the last HTTP outcome inside shows a healthy service, or another library
                           raised it for a status that does
    """
    if error is None:
        return (
            is_failure(result) if isinstance(result, HttpResponse) else status_of(result) in FAILURE_STATUSES
        )
    if is_interruption(error):
        return None
    shown = [_shown_by(each) for each in errors_behind(error, handled)]
    if shown:
        return True if True in shown else False if False in shown else None
    if last is not None:
        return is_failure(last.outcome)
    statuses = [status for each in chain(error, handled) if (status := status_of_error(each)) is not None]
    return not statuses or any(status in FAILURE_STATUSES for status in statuses)


def _shown_by(error: HttpClientError) -> bool | None:
    if isinstance(error, HttpStatusError) and error.response is not None:
        return is_failure(error.response)
    return None if sent_state_of(error) is SentState.ABANDONED else is_failure_type(type(error))


def _permit(breaker: CircuitBreaker) -> Permit:
    answer = breaker.try_acquire()
    if isinstance(answer, Refusal):
        failure = refused(answer)
        raise CircuitOpenError(failure.message, **failure.details)
    return answer


def with_breaker(policy: CircuitBreakerPolicy, function: Callable[..., Any]) -> Callable[..., Any]:
    """The plain function, with each call under the circuit breaker."""

    def guarded(*args: Any, **kwargs: Any) -> Any:
        handled, scope = handled_now(), CircuitBreakerScope(policy)
        try:
            try:
                scope._begin()
                if scope._deadline is not None:
                    scope._deadline._begin(None)
                result = function(*args, **kwargs)
                if UNFINISHED[type(result)] is not None:
                    refuse(function, result, scope.last_call)
            except BaseException as error:
                scope.raised(error, handled)
                raise
            scope.returned(result)
            return result
        finally:
            if scope._token is not None:  # Ctrl-C came before it could report
                scope.abandon()

    return guarded


def with_breaker_async(
    policy: CircuitBreakerPolicy, function: Callable[..., Awaitable[Any]]
) -> Callable[..., Awaitable[Any]]:
    """Like `with_breaker`, for an async function, or one that returns a plain value."""

    async def guarded(*args: Any, **kwargs: Any) -> Any:
        handled, scope = handled_now(), CircuitBreakerScope(policy)
        try:
            try:
                scope._begin()
                if scope._deadline is not None:
                    scope._deadline._begin(None)
                result = function(*args, **kwargs)
                # The first is the usual case, and quicker to ask.
                if type(result) is CoroutineType or UNFINISHED[type(result)] is AWAITABLE:
                    result = await result
                if UNFINISHED[type(result)] not in FINISHED:
                    refuse(function, result, scope.last_call)
            except BaseException as error:
                scope.raised(error, handled)
                raise
            scope.returned(result)
            return result
        finally:
            if scope._token is not None:  # Ctrl-C came before it could report
                scope.abandon()

    return guarded

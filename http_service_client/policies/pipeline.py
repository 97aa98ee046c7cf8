"""Several policies around one function, as one plan."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MethodType
from typing import TYPE_CHECKING, Any

from ..core.checks import check_function, suggests_arguments, suggests_keywords
from ..core.effects import Plan
from ..core.operation import Operation, Proceed, shown
from ..drivers.clocks import Clock, SystemClock, check_clock
from ..errors import ConfigurationError
from ..events import Event, OperationFinished
from .listeners import notify
from .logs import log_event
from .order import check_order
from .runner import Runner
from .strategy import Strategy

if TYPE_CHECKING:
    from typing_extensions import Self

    from ..core.machines.retry.quota import AnyBudget

__all__ = ["PipelineRegistry", "ResiliencePipeline"]


_BY_POSITION = "policies are passed by position: ResiliencePipeline(RetryPolicy(), CircuitBreakerPolicy())"


@suggests_keywords(
    dict.fromkeys(
        (
            "retry",
            "circuit_breaker",
            "breaker",
            "timeout",
            "rate_limit",
            "bulkhead",
            "fallback",
            "hedging",
            "policies",
        ),
        _BY_POSITION,
    )
)
class ResiliencePipeline(Strategy):
    """Several policies around any function, method, block or generator, the first one outermost.

        pipeline = ResiliencePipeline(RetryPolicy(), CircuitBreakerPolicy(), TimeoutPolicy(2.0), name="payments")

        @pipeline.apply
        def charge(order): ...

        pipeline.call(charge_by_hand, order)
        await pipeline.call_async(charge_async, order)

        for attempt in pipeline.attempts():   # a block that is repeated
            with attempt:
                ...

    strategies: policies; a pipeline among them stands for its own. An order that is unusual is a UserWarning that
        says why.
    name: in errors, events and metrics.
    clock: for the waits; None for that of the policies, which must agree.
    on_event: called with each event, after the log. It can change nothing.

    Policies keep their state, so pipelines that share a policy share its circuit, limit or budget. Threads and event loops
    may share a pipeline.

    A copy has the same policies, and is reconfigured by itself; a deep copy or a pickle has policies with state of their own.

    Raises ConfigurationError for something that is no policy, and for policies on different clocks.
    """

    def __init__(
        self,
        *strategies: Strategy,
        name: str = "",
        clock: Clock | None = None,
        on_event: Callable[[Event], object] | None = None,
    ) -> None:
        if not isinstance(name, str):
            raise ConfigurationError(f"name must be a str, not {name!r}")
        if hasattr(on_event, "collect"):
            raise ConfigurationError(f"on_event must be a function, not {on_event!r}; pass its collect")
        if on_event is not None:
            check_function("on_event", on_event)
        self._name = name
        self._on_event = on_event
        self._strategies = _flat(strategies)
        self._clock = _common_clock(self._strategies, clock)
        check_order(self._strategies)
        self._runner = Runner(self._around, name, self._clock, self._notify, self._live_budget)

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._runner = Runner(self._around, self._name, self._clock, self._notify, self._live_budget)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        twin = copy.copy(self)  # the clock and the listener are not its own
        twin._strategies = tuple(copy.deepcopy(each, memo) for each in self._strategies)
        twin._runner.compose()
        return twin

    @suggests_arguments(
        lambda name: f"it exchanges policies; for a setting write policy.reconfigure({name}=…)"
    )
    def reconfigure(self, *strategies: Strategy) -> None:
        """Exchange the policies while calls go on: those under way end under the policies that they began with.

        A policy that stays keeps its state. To change its settings, use its own `reconfigure`.

        Raises ConfigurationError as the constructor does; then nothing has changed.
        """
        found = _flat(strategies)
        _common_clock(found, self._clock)
        check_order(found)
        self._strategies = found
        self._runner.compose()

    @property
    def strategies(self) -> tuple[Strategy, ...]:
        """The policies, the outermost first."""
        return self._strategies

    @property
    def name(self) -> str:
        """Its name in errors, events and metrics."""
        return self._name

    def _parts(self) -> tuple[Strategy, ...]:
        return self._strategies

    def _live_budget(self) -> AnyBudget | None:
        """That of its retry policy, which pays for hedges, too; of several, the innermost."""
        budgets = (each._live_budget() for each in reversed(self._strategies))
        return next((budget for budget in budgets if budget is not None), None)

    def guard(self, proceed: Proceed, operation: Operation) -> Plan[Any]:
        """The plan of all its policies."""
        return self._inside(proceed)(operation)

    def _around(self, proceed: Proceed) -> Proceed:
        """All policies around what comes next, and the event of its end if somebody listens."""
        proceed = self._inside(proceed)
        return proceed if self._on_event is None else partial(_finished, proceed)

    def _inside(self, proceed: Proceed) -> Proceed:
        for strategy in reversed(self._strategies):
            # A bound method that is bound once more is entered without a step of Python's own in between.
            proceed = MethodType(strategy.guard, proceed)
        return proceed

    def _notify(self, event: Event) -> None:
        log_event(event)
        if self._on_event is not None:
            notify(self._on_event, event)

    def __repr__(self) -> str:
        name = f"{self._name!r}: " if self._name else ""
        return f"<ResiliencePipeline {name}{', '.join(type(each).__name__ for each in self._strategies)}>"


class PipelineRegistry(Mapping[str, ResiliencePipeline]):
    """Pipelines by their names, for code that has only the name: an administration page, a health check, settings.

    Threads may share it.
    """

    def __init__(self) -> None:
        self._pipelines: dict[str, ResiliencePipeline] = {}

    def add(self, pipeline: ResiliencePipeline) -> ResiliencePipeline:
        """Enter a pipeline, and return it. Raises ConfigurationError for one without a name, or whose name is taken."""
        if not isinstance(pipeline, ResiliencePipeline):
            raise ConfigurationError(
                f"a registry has pipelines, not {pipeline!r:.100}; write ResiliencePipeline(policy, name=…)"
            )
        if not pipeline.name:
            raise ConfigurationError(f"a pipeline in a registry needs a name, not {pipeline!r}; pass name=")
        if self._pipelines.setdefault(pipeline.name, pipeline) is not pipeline:
            raise ConfigurationError(
                f"there is a pipeline of this name already: {pipeline.name!r}; pop it first"
            )
        return pipeline

    def pop(self, name: str) -> ResiliencePipeline:
        """Remove a pipeline, and return it; KeyError if there is none."""
        pipeline = self[name]
        self._pipelines.pop(name, None)
        return pipeline

    def __getitem__(self, name: str) -> ResiliencePipeline:
        try:
            return self._pipelines[name]
        except KeyError:
            known = ", ".join(map(repr, self._pipelines)) or "there are none yet"
            raise KeyError(f"no pipeline is called {name!r}; known: {known}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._pipelines))

    def __len__(self) -> int:
        return len(self._pipelines)

    def __repr__(self) -> str:
        return f"<PipelineRegistry {', '.join(self._pipelines) or 'empty'}>"


def _finished(proceed: Proceed, operation: Operation) -> Plan[Any]:
    try:
        result = yield from proceed(operation)
    except BaseException as error:
        operation.record(_end(operation, type(shown(error)).__name__))
        raise
    operation.record(_end(operation, None))
    return result


def _end(operation: Operation, error: str | None) -> OperationFinished:
    return OperationFinished(
        operation.elapsed(), operation.key, operation.attempt, error, operation.call_id, operation.call_name
    )


def _flat(strategies: tuple[object, ...]) -> tuple[Strategy, ...]:
    if not strategies:
        raise ConfigurationError("a ResiliencePipeline needs at least one policy, such as RetryPolicy()")
    found: list[Strategy] = []
    for each in strategies:
        if isinstance(each, ResiliencePipeline):
            found.extend(each.strategies)
        elif isinstance(each, Strategy):
            found.append(each)
        else:
            raise ConfigurationError(
                f"a ResiliencePipeline is made of policies such as RetryPolicy(), not {_shown(each)}{_remedy(each)}"
            )
    return tuple(found)


def _shown(given: object) -> str:
    """Something that is no policy, at a length that leaves the remedy in sight."""
    text = given.__name__ if isinstance(given, type) else repr(given)
    return text if len(text) <= 100 else f"{text[:99]}…"


def _remedy(given: object) -> str:
    """What to write in place of something that is no policy."""
    if isinstance(given, type) and issubclass(given, Strategy):
        return f"; write {given.__name__}(…)"
    if isinstance(given, (list, tuple)):
        return "; write them one by one: ResiliencePipeline(*policies)"
    if callable(given):
        return "; write @pipeline.apply above the function"
    if type(given).__name__ == "Timeout":
        return "; write TimeoutPolicy(seconds)"
    return ""


def _common_clock(strategies: tuple[Strategy, ...], given: Clock | None) -> Clock:
    """The clock of a pipeline. What its policies remember and what they wait for must be of the same time."""
    check_clock(given, or_none=True)
    clocks = [clock for each in strategies if (clock := each.used_clock) is not None]
    clock = given or next((each for each in clocks if isinstance(each, Clock)), None) or SystemClock()
    for each in strategies:
        used = each.used_clock
        if used is None or used is clock or used == clock.monotonic:
            continue
        if not (type(used) is SystemClock and type(clock) is SystemClock):
            raise ConfigurationError(
                f"clock: {type(each).__name__} goes by {used!r}, and the pipeline by {clock!r}; give each policy of a "
                "pipeline the same clock: clock=clock, or clock=clock.monotonic for a CircuitBreakerPolicy"
            )
    return clock

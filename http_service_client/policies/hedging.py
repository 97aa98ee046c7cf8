"""The hedging policy: a second request when the first one takes unusually long."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ..core.checks import check_flag, suggests_keywords
from ..core.effects import Plan
from ..core.machines.hedging import RENAMED, Hedging, HedgingSettings, HedgingSnapshot
from ..core.operation import Operation, Proceed, shown
from ..core.race import Arm, Race
from ..drivers.clocks import Clock, SystemClock
from ..drivers.locks import ForkSafeLock
from ..errors import CallRefusedError, ConfigurationError, SentState
from ..events import HedgeResult
from .items import is_step
from .strategy import StatefulStrategy

if TYPE_CHECKING:
    from ..core.machines.retry.quota import AnyWithdrawal

__all__ = ["HedgingPolicy"]


@suggests_keywords(RENAMED)
class HedgingPolicy(StatefulStrategy[HedgingSettings]):
    """Send a request again when its response takes unusually long, and use the first success: ``hedging=HedgingPolicy()``.

    In a client's configuration, or with one call, it holds for requests that are safe to repeat: by their method, a key or
    `idempotent=True`. Around an async function, it is up to you that two calls of it at the same time do no harm.

    delay: seconds after which the next request is sent; None to learn the delay.
    quantile: learn it: so large a share of the responses comes sooner, 0.5 to 0.999. None for 0.95, unless `delay` is set.
    max_hedges: requests beside the first one, each a delay after the one before, 1 or more.
    max_share: hedges for each call in the long run, above 0, at most 1. For a moment there may be 5 more.
    min_delay: seconds that a learned delay has at least.
    min_calls: as long as fewer latencies are known, there is no learned delay, and nothing is hedged.
    in_threads: plain functions may be guarded, too. Each of their calls runs on a thread of its own then, and the one that lost runs
        to its end in the background, since a plain function cannot be interrupted.
    name: in errors and events.   clock: for a guarded function.

    A policy knows the latencies of what it guards, and has one budget of hedges for all of it. A client makes one for each
    origin from the settings of its configuration; a policy given to a call (`hedging=`) is used as it is.

    Raises ConfigurationError (a ValueError) that names the argument, its value and the remedy.
    """

    rank = 35
    repeats = True
    _live = ("_hedging",)

    def __init__(
        self,
        *,
        delay: float | None = None,
        quantile: float | None = None,
        max_hedges: int = 1,
        max_share: float = 0.05,
        min_delay: float = 0.005,
        min_calls: int = 20,
        in_threads: bool = False,
        name: str = "",
        clock: Clock = SystemClock(),  # noqa: B008  # it never changes
    ) -> None:
        check_flag("in_threads", in_threads)
        self._in_threads = in_threads
        settings = HedgingSettings(
            delay=delay,
            quantile=quantile,
            max_hedges=max_hedges,
            max_share=max_share,
            min_delay=min_delay,
            min_calls=min_calls,
        )
        self._set_up(settings, name, clock)

    def _begin(self, settings: HedgingSettings) -> None:
        self._hedging = Hedging(settings, clock=self._clock.monotonic, lock=ForkSafeLock())

    def _change(self, settings: HedgingSettings) -> None:
        self._hedging.reconfigure(settings)

    def _reset_after_fork(self) -> None:
        self._hedging.reset_after_fork()

    @property
    def hedging(self) -> Hedging:
        """The live part."""
        return self._hedging

    def guard(self, proceed: Proceed, operation: Operation) -> Plan[Any]:
        """Begin what comes next again, each time that the delay has passed without a result."""
        if operation.guarded.is_plain and not self._in_threads:
            raise ConfigurationError(
                f"{operation.guarded.function!r} is a plain function, which cannot be interrupted when it has lost; guard an async "
                "function, or write HedgingPolicy(in_threads=True), whose losers run to their end in the background"
            )
        if is_step(operation.args):  # two at a time, of one generator, cannot be
            return (yield from proceed(operation))
        hedging = self._hedging
        hedging.record_call()
        delay = hedging.delay()
        if delay is None:
            began_at = operation.clock()
            result = yield from proceed(operation)
            hedging.record(operation.clock() - began_at)
            return result
        arm = yield from _FunctionRace(hedging, delay, operation, proceed).run()
        if arm is None:  # no thread is free: it is called on this one
            return (yield from proceed(operation))
        return arm.branch.take()

    def snapshot(self) -> HedgingSnapshot:
        """The delay as it is now, and how much was hedged."""
        return self._hedging.snapshot()


class _FunctionArm(Arm):
    """A call of the function."""

    __slots__ = ("_operation",)

    def __init__(self, number: int, operation: Operation, proceed: Proceed) -> None:
        super().__init__(number, partial(proceed, operation), operation.clock())
        self._operation = operation

    def abandon(self) -> None:
        self._operation.is_over = True
        super().abandon()


class _FunctionRace(Race):
    """The calls of a function, of which the first that returns counts."""

    fails_by_errors = True

    def __init__(self, hedging: Hedging, delay: float, operation: Operation, proceed: Proceed) -> None:
        super().__init__(hedging, delay, operation)
        self._operation = operation
        self._proceed = proceed

    def new_arm(self, number: int) -> Arm:
        return _FunctionArm(number, self._operation.twin(), self._proceed)

    def try_withdraw(self) -> AnyWithdrawal | str | None:
        budget = self._operation.guarded.budget()
        if budget is None:
            return None
        return budget.try_withdraw() or "the retry budget is spent"

    @property
    def budget_left(self) -> float | None:
        budget = self._operation.guarded.budget()
        return None if budget is None else budget.balance

    def budget_shortfall(self) -> float:
        budget = self._operation.guarded.budget()
        return 0.0 if budget is None else budget.shortfall()

    def judge(self, arm: Arm) -> HedgeResult:
        error = arm.branch.error
        if error is None:
            return HedgeResult.WON
        return (
            HedgeResult.REFUSED if arm.number and isinstance(error, CallRefusedError) else HedgeResult.FAILED
        )

    def measure(self, arm: Arm) -> None:
        if arm.branch.error is None:
            self._hedging.record(self._lasted(arm))

    def describe(self, arm: Arm) -> tuple[int | None, str | None, SentState]:
        error = arm.branch.error
        if error is not None:
            return None, type(shown(error)).__name__, SentState.MAYBE_PROCESSED
        return None, None, SentState.ANSWERED if arm.branch.is_done else SentState.MAYBE_PROCESSED

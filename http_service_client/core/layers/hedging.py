"""Hedging of calls: several requests at the same time for one attempt, of which the first success counts (see `core.race`).

The layer stands inside the retry, so an attempt may consist of several requests. Each has layers of its own from here
on: it gets a permit of the circuit, passes the limits and runs the interceptors by itself. So a hedge counts wherever a request counts.

A request that was cancelled gives back its permits without evidence. It may have been processed, so only requests that are safe to
repeat are hedged, and only those whose body is in memory: two cannot read from one file. They share the attempt's
timeout: a hedge has what the first request has left of it.

Under an idempotency key, 409 may mean that the server is at work on the other one: it is a failure, and that one is waited for.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from ...errors import CallRefusedError, Failure, PoolTimeoutError, RequestTimeoutError, SentState, worst
from ...events import HedgeResult
from ...http.context import HttpContext
from ...http.messages import HttpResponse
from ..call import Attempt, Call
from ..effects import Outcome, Plan, Send
from ..machines.hedging import Hedging
from ..machines.retry.decision import is_in_progress
from ..nesting import CallScope
from ..outcomes import FAILURE_STATUSES
from ..race import Arm, Race
from ..timeouts import TIMER_SLACK

if TYPE_CHECKING:
    from ...events import Event
    from ...http.messages import HttpRequest
    from ..layer import Handler
    from ..machines.retry.conditions import RetryCondition
    from ..machines.retry.quota import AnyWithdrawal

__all__ = ["HedgingLayer"]

_WON, _LOST, _FAILED, _REFUSED = HedgeResult  # enum attribute access is slow (50 ns)
_MAYBE, _UNSENT = SentState.MAYBE_PROCESSED, SentState.NEVER_SENT


class HedgedCall(Call):
    """A call as one of its arms sees it, with an attempt, a scope and a request of its own. All else is the call's.

    whole: the call.   is_over: the arm was abandoned: what it still does is no part of the call's story.
    """

    __slots__ = ("is_over", "whole")

    def __init__(self, whole: Call, current: Attempt) -> None:
        for name, value in zip(_OF_A_CALL, _read(whole), strict=True):
            setattr(self, name, value)
        vars(self).update(vars(whole))  # what interceptors have set
        self.whole = whole
        self.is_over = False
        self.current = current

    def record(self, event: Event) -> None:
        if not self.is_over:
            self.whole.record(event)

    @property
    def correlation_id(self) -> str:
        """The same in all arms."""
        return self.whole.correlation_id

    @correlation_id.setter
    def correlation_id(self, value: str) -> None:
        self.whole.correlation_id = value


_OF_A_CALL = [name for kind in (HttpContext, Call) for name in kind.__slots__ if name != "__dict__"]
_read = attrgetter(*_OF_A_CALL)


class CallArm(Arm):
    """An arm of a call."""

    __slots__ = ("call",)

    def __init__(self, number: int, call: HedgedCall, plan: Callable[[], Plan[Outcome | None]]) -> None:
        super().__init__(number, plan)
        self.call = call

    def abandon(self) -> None:
        self.call.is_over = True
        super().abandon()


class CallRace(Race):
    """The arms of one attempt of a call.   proceed: the layers of each."""

    def __init__(
        self,
        hedging: Hedging,
        delay: float,
        call: Call,
        request: HttpRequest,
        proceed: Handler,
        report: Callable[[RetryCondition], None],
    ) -> None:
        super().__init__(hedging, delay, call)
        self._call = call
        self._request = request
        self._proceed = proceed
        self._report = report
        self._first: CallArm | None = None
        self._arms: list[CallArm] = []

    def new_arm(self, number: int) -> Arm:
        call, first = self._call, self._first
        arm_call = HedgedCall(call, call.current if first is None else Attempt())
        if first is not None and (expires_at := first.call.current.expires_at) is not None:
            left = max(TIMER_SLACK, expires_at - call.clock())
            arm_call.options = call.options.but(timeout=call.options.timeout.within(left))
        arm = CallArm(number, arm_call, lambda: self._plan(arm))
        self._first = first or arm
        self._arms.append(arm)
        return arm

    def _plan(self, arm: CallArm) -> Plan[Outcome | None]:
        """The layers of an arm, in a scope of its own: its permit of the circuit is not that of the others."""
        call = arm.call
        call.scope = scope = CallScope(call.call_id)
        plan = self._proceed(self._request, call)
        try:
            scope._begin()
            effect = next(plan)
            while True:
                if isinstance(effect, Send):
                    # The end of the first arm may have passed its connection on to this one, which is not cancelled yet.
                    if self.is_decided:
                        return None
                    arm.sent_at = arm.sent_at or call.clock()
                try:
                    answer = yield effect
                except BaseException as error:
                    effect = plan.throw(error)
                else:
                    effect = plan.send(answer)
        except StopIteration as stop:
            outcome: Outcome = stop.value
            if self._hedges and self._succeeds(outcome, arm):
                self.is_decided = True
            return outcome
        finally:
            plan.close()
            scope.leave()

    def _succeeds(self, outcome: Outcome, arm: CallArm) -> bool:
        if isinstance(outcome, Failure) or outcome.status_code in FAILURE_STATUSES:
            return False
        others = [each for each in self._arms if each is not arm and each.sent_at is not None]
        if is_in_progress(outcome, _MAYBE if others else _UNSENT, arm.call.request):
            return False  # the server is at work on another arm, under the same idempotency key
        retry = self._call.options.retry
        return retry is None or not retry.is_worth_it(outcome, self._report)

    def obstacle(self) -> str | None:
        assert self._first is not None
        if not self._first.call.request.is_safe_to_repeat:  # an interceptor has made another one of it
            return "the request is not safe to repeat"
        return None

    def measure(self, arm: Arm) -> None:
        assert isinstance(arm, CallArm)
        if arm.sent_at is not None:
            seconds = self._call.clock() - arm.sent_at
            measure(self._hedging, arm.branch.result, arm.call.current, seconds)

    def judge(self, arm: Arm) -> HedgeResult:
        outcome: Outcome | None = arm.branch.result
        if outcome is None:  # an exception, or it had nothing to send any more
            return _FAILED if arm.branch.error is not None else _LOST
        if isinstance(outcome, Failure):
            was_refused = issubclass(outcome.error_type, (CallRefusedError, PoolTimeoutError))
            return _REFUSED if arm.number and was_refused and arm.sent_at is None else _FAILED
        assert isinstance(arm, CallArm)
        return _WON if self._succeeds(outcome, arm) else _FAILED

    def describe(self, arm: Arm) -> tuple[int | None, str | None, SentState]:
        assert isinstance(arm, CallArm)
        outcome, state = arm.branch.result, arm.call.current.sent_state
        if arm.branch.error is not None:
            return None, type(arm.branch.error).__name__, state if arm.sent_at is None else _MAYBE
        if outcome is None:
            return None, None, state if arm.sent_at is None else _MAYBE
        state = worst(state, outcome.sent_state)
        if isinstance(outcome, Failure):
            return None, outcome.error_type.__name__, state
        return outcome.status_code, None, state

    def try_withdraw(self) -> AnyWithdrawal | str | None:
        budget = self._call.budget
        if budget is None:
            return None
        return budget.try_withdraw() or "the retry budget is spent"

    @property
    def budget_left(self) -> float | None:
        budget = self._call.budget
        return None if budget is None else budget.balance

    def budget_shortfall(self) -> float:
        budget = self._call.budget
        return 0.0 if budget is None else budget.shortfall()

    def proceed(self) -> Plan[Outcome]:
        """The attempt without arms."""
        return self._proceed(self._request, self._call)

    def _record_end(self, arm: Arm, result: HedgeResult) -> None:
        if result is not _WON:
            self._call.merge_sent_state(self.describe(arm)[2])
        super()._record_end(arm, result)

    def adopt(self, arm: Arm | None) -> None:
        """Have the call continue with what this arm has: the first one, if none has won."""
        chosen: Any = arm or self._first
        if chosen is None:  # Ctrl-C came before there was any
            return
        call, of = self._call, chosen.call
        call.current, call.request, call.hops = of.current, of.request, of.hops
        call.key, call.origin_state, call.breaker = of.key, of.origin_state, of.breaker  # of its host
        vars(call).update(vars(of))


def measure(hedging: Hedging, outcome: Outcome | None, attempt: Attempt, seconds: float) -> None:
    """Learn how long the service takes: from what it did, and from what it did not do in time."""
    if attempt.answered_by is not None:
        return
    if isinstance(outcome, HttpResponse):
        # An error page comes quickly, and would shorten the delay.
        if outcome.status_code not in FAILURE_STATUSES:
            hedging.record(seconds)
    elif outcome is not None and issubclass(outcome.error_type, RequestTimeoutError):
        hedging.record(seconds, is_cut=True)


class HedgingLayer:
    """Hedges the requests that may be sent twice, and learns from their latencies.

    report: see `RetrySettings.is_worth_it`.
    """

    def __init__(self, report: Callable[[RetryCondition], None]) -> None:
        self._report = report

    def __call__(self, proceed: Handler, request: HttpRequest, call: Call) -> Plan[Outcome]:
        chosen = call.options.hedging
        hedging = call.origin_state.hedging if chosen is True else chosen
        if not hedging or call.options.stream is not None:
            return proceed(request, call)
        # A body that is no memory cannot be read twice at a time, and one progress cannot be that of two uploads.
        if not request.is_safe_to_repeat or request.content is None or request.progress is not None:
            return proceed(request, call)
        hedging.record_call()
        delay = hedging.delay()
        if delay is None:
            return _observed(proceed, request, call, hedging)
        return _hedged(CallRace(hedging, delay, call, request, proceed, self._report))


def _observed(proceed: Handler, request: HttpRequest, call: Call, hedging: Hedging) -> Plan[Outcome]:
    """An attempt without hedges, as long as too little is known."""
    began_at = call.clock()
    outcome = yield from proceed(request, call)
    measure(hedging, outcome, call.current, call.clock() - began_at - call.current.waited)
    return outcome


def _hedged(race: CallRace) -> Plan[Outcome]:
    arm = None
    try:
        arm = yield from race.run()
    finally:
        race.adopt(arm)
    if arm is None:  # no thread is free: it is done on this one
        return (yield from race.proceed())
    outcome: Outcome = arm.branch.take()
    return outcome

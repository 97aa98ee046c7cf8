"""Hedging: several requests at the same time for one attempt, of which the first success counts.

The layer stands inside the retry, so an attempt may consist of several requests, called *arms* here: the first one, and the hedges.
Each is a branch (see `core.effects`) with layers of its own from here on: it gets a permit of the circuit, passes the limits
and runs the interceptors by itself. So a hedge counts wherever a request counts.

    the first arm has had `delay` seconds     a hedge begins, if the share and the retry quota allow one; if they do not,
                                              the first arm simply goes on
    an arm succeeds                           it wins; the others are cancelled
    an arm fails, another one is in flight    the other one is waited for, and no more hedges begin
    all have failed                           the outcome is that of the first arm, as it would be without hedges
    a hedge is refused                        by the circuit or a limit: it is not sent, and that is no failure of the attempt

An arm that was cancelled gives back its permits without evidence. It may have been processed, so only requests that are safe to
repeat are hedged, and only those whose body is in memory: two arms cannot read from one file.

No hedge begins while the first arm waits for something of the client's own, such as a connection: a second request would
join the same queue. The arms share the attempt's timeout: a hedge has what the first arm has left of it.

`Race` is the plan, for calls and for functions alike; `CallRace` has what differs for a call.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...errors import CallRefusedError, Failure, PoolTimeoutError, RequestTimeoutError, SentState, worst
from ...events import HedgeDenied, HedgeFinished, HedgeResult, HedgeStarted
from ...http.context import HttpContext
from ...http.messages import HttpResponse
from ..call import Attempt, Call
from ..effects import Begin, Branch, FirstOf, Outcome, Plan, Send
from ..machines.hedging import HedgeRefusal, HedgeShare, Hedging
from ..nesting import CallScope
from ..outcomes import FAILURE_STATUSES
from ..timeouts import TIMER_SLACK

if TYPE_CHECKING:
    from ...events import Event
    from ...http.messages import HttpRequest
    from ..layer import Handler
    from ..machines.retry_conditions import RetryCondition
    from ..machines.retry_quota import AnyWithdrawal
    from ..operation import Subject

__all__ = ["Arm", "HedgingLayer", "Race"]

_WON, _LOST, _FAILED, _REFUSED = HedgeResult  # enum attribute access is slow (50 ns)
_MAYBE = SentState.MAYBE_PROCESSED
_SLACK = 0.001  # seconds: the first wait begins a moment before the request is sent


class Arm:
    """One of the requests.

    number: 0 for the first one.   share, withdrawal: what a hedge has taken, to be refunded if it is not sent.
    sent_at: the instant at which it was, or may have been; None while it waits for something of our own.
    """

    __slots__ = ("branch", "number", "sent_at", "share", "withdrawal")

    def __init__(self, number: int, plan: Callable[[], Plan[Any]], sent_at: float | None = None) -> None:
        self.number = number
        self.branch: Branch[Any] = Branch(plan)
        self.sent_at = sent_at
        self.share: HedgeShare | None = None
        self.withdrawal: AnyWithdrawal | None = None

    def abandon(self) -> None:
        """Cancel it: its outcome is of no interest any more."""
        self.branch.cancel()

    def refund(self) -> None:
        """It was not sent."""
        if self.share is not None:
            self.share.refund()
        if self.withdrawal is not None:
            self.withdrawal.refund()


class Race(ABC):
    """The arms of one attempt.   delay: seconds before each hedge.   subject: the call or the operation.

    fails_by_errors: an exception of the first arm is a failure like another, for which a hedge may make up. If not, it
        is raised at once: a failed exchange is a value, and an exception comes from the user's code or ends the program.
    """

    fails_by_errors = False

    def __init__(self, hedging: Hedging, delay: float, subject: Subject) -> None:
        self._hedging = hedging
        self._delay = delay
        self._subject = subject
        self._max_hedges = hedging.settings.max_hedges
        self._hedges = 0
        self._is_closed = False  # no more hedges
        self._losers: list[Branch[Any]] = []
        self.is_decided = False  # an arm has succeeded: the others send nothing more

    @abstractmethod
    def new_arm(self, number: int) -> Arm:
        """Another arm, not begun."""

    @abstractmethod
    def judge(self, arm: Arm) -> HedgeResult:
        """What an arm that has ended came to. The first one is never refused. One has lost if it ended for another's success."""

    @abstractmethod
    def measure(self, arm: Arm) -> None:
        """Learn from an arm that has ended."""

    @abstractmethod
    def describe(self, arm: Arm) -> tuple[int | None, str | None, SentState]:
        """Of an arm that has ended, or was cancelled: its status, its error and what became of it."""

    def obstacle(self) -> str | None:
        """Why there may be no hedge now, or None."""
        return None

    def try_withdraw(self) -> AnyWithdrawal | str | None:
        """Pay for a hedge: what was withdrawn, None where hedges are free, or the reason why there is none."""
        return None

    @property
    def budget_left(self) -> float | None:
        """Retries and hedges that the budget still allows."""
        return None

    def budget_shortfall(self) -> float:
        """What the budget lacks for a hedge; 0.0 for nothing."""
        return 0.0

    def run(self) -> Plan[Arm | None]:
        """The arm whose outcome counts. None if the first one could not begin. Raises what ended the first one."""
        first = self.new_arm(0)
        running, failed = [first], list[Arm]()
        try:
            if not (yield from Begin(first.branch)):
                running.clear()
                return None
            while True:
                patience = self._patience(running)
                index = yield from FirstOf([arm.branch for arm in running], patience)
                if index is not None:
                    chosen = self._settle(running.pop(index), running, failed)
                    if chosen is not None:
                        # The losers of a loop end in its next round: let it have that before the call returns.
                        if self._losers:
                            yield from FirstOf(self._losers, 0.0)
                        return chosen
                elif self._is_due(running):
                    yield from self._hedge(running)
        finally:
            for arm in running:
                arm.abandon()

    def _settle(self, arm: Arm, running: list[Arm], failed: list[Arm]) -> Arm | None:
        """An arm has ended: the one whose outcome counts, or None to wait for others."""
        error = arm.branch.error
        is_final = error is not None and not (self.fails_by_errors and isinstance(error, Exception))
        del error  # its traceback holds this frame
        if is_final and (arm.number == 0 or not isinstance(arm.branch.error, Exception)):
            arm.branch.take()  # raises it
        self.measure(arm)
        if not running and not self._hedges:
            return arm  # an ordinary attempt, good or bad
        result = self.judge(arm)
        self._record_end(arm, result)
        if arm.number:
            arm.branch.error = None  # only that of the first one counts, and its traceback holds the arm
        if result is _WON:
            while running:
                self._lose(running.pop())
            return arm
        self._is_closed = True
        if arm.sent_at is None:
            arm.refund()
        if result is _FAILED:
            failed.append(arm)
        return None if running else min(failed, key=_number)

    def _hedge(self, running: list[Arm]) -> Plan[None]:
        """The delay has passed: begin a hedge, if there may be one."""
        hedge = self._new_hedge()
        if hedge is None:
            return
        running.append(hedge)  # first: what is in the list is cancelled in the end
        self._record_start(hedge)
        if not (yield from Begin(hedge.branch)):
            running.remove(hedge)
            hedge.refund()
            self._deny("no thread is free for it", has_thread=False)

    def _patience(self, running: list[Arm]) -> float | None:
        """Seconds until the next hedge may be due; None for none."""
        if self._is_closed or self._hedges >= self._max_hedges:
            return None
        last = running[-1].sent_at
        # While it waits for something of our own, look again after a delay: by then it was sent less than that before.
        wait = self._delay if last is None else max(0.0, last + self._delay - self._subject.clock())
        remaining = self._subject.remaining()
        return None if remaining is not None and remaining <= wait else wait

    def _is_due(self, running: list[Arm]) -> bool:
        last = running[-1].sent_at
        return last is not None and last + self._delay - self._subject.clock() <= _SLACK

    def _new_hedge(self) -> Arm | None:
        """A hedge that may begin; None if there is to be no other."""
        reason = self.obstacle()
        if reason is not None:
            self._deny(reason)
            return None
        share = self._hedging.try_hedge()
        if share is None:
            self._deny(f"hedges are at most {self._hedging.settings.max_share:.1%} of the calls")
            return None
        withdrawn = self.try_withdraw()
        if isinstance(withdrawn, str):
            share.refund()
            self._deny(withdrawn)
            return None
        self._hedges += 1
        arm = self.new_arm(self._hedges)
        arm.share, arm.withdrawal = share, withdrawn
        return arm

    def _deny(self, reason: str, *, has_thread: bool = True) -> None:
        self._is_closed = True
        of = self._subject
        lacking = self._hedging.shortfall, self.budget_shortfall()
        decision = HedgeRefusal(self.obstacle() or "", *lacking, has_thread)
        of.record(HedgeDenied(of.elapsed(), of.attempt, of.key, reason, decision, of.call_id, of.call_name))

    def _lose(self, arm: Arm) -> None:
        """Another arm has won."""
        arm.abandon()
        self._losers.append(arm.branch)
        if arm.sent_at is None:
            arm.refund()
        else:
            self._hedging.record(self._subject.clock() - arm.sent_at, is_cut=True)
        self._record_end(arm, _LOST)

    def _record_start(self, arm: Arm) -> None:
        of = self._subject
        of.record(
            HedgeStarted(
                of.elapsed(), of.attempt, of.key, arm.number, self._delay, self.budget_left, of.call_id, of.call_name
            )
        )  # fmt: skip

    def _record_end(self, arm: Arm, result: HedgeResult) -> None:
        of = self._subject
        status, error, state = self.describe(arm)
        of.record(
            HedgeFinished(
                of.elapsed(), of.attempt, of.key, arm.number, result, self._lasted(arm), status, error, state,
                of.call_id, of.call_name,
            )
        )  # fmt: skip

    def _lasted(self, arm: Arm) -> float:
        return 0.0 if arm.sent_at is None else self._subject.clock() - arm.sent_at


def _number(arm: Arm) -> int:
    return arm.number


class HedgedCall(Call):
    """A call as one of its arms sees it, with an attempt, a scope and a request of its own. All else is the call's.

    whole: the call.   is_over: the arm was abandoned: what it still does is no part of the call's story.
    """

    __slots__ = ("is_over", "whole")

    def __init__(self, whole: Call, current: Attempt) -> None:
        for name in _OF_A_CALL:
            if hasattr(whole, name):
                setattr(self, name, getattr(whole, name))
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

    def new_arm(self, number: int) -> Arm:
        call, first = self._call, self._first
        arm_call = HedgedCall(call, call.current if first is None else Attempt())
        if first is not None and (expires_at := first.call.current.expires_at) is not None:
            left = max(TIMER_SLACK, expires_at - call.clock())
            arm_call.options = call.options._replace(timeout=call.options.timeout.within(left))
        arm = CallArm(number, arm_call, lambda: self._plan(arm))
        self._first = first or arm
        return arm

    def _plan(self, arm: CallArm) -> Plan[Outcome | None]:
        """The layers of an arm, in a scope of its own: its permit of the circuit is not that of the others."""
        call = arm.call
        call.scope = scope = CallScope()
        scope.call_id = call.call_id
        plan = self._proceed(self._request, call)
        try:
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
            if self._hedges and self._succeeds(outcome):
                self.is_decided = True
            return outcome
        finally:
            plan.close()
            scope.leave()

    def _succeeds(self, outcome: Outcome) -> bool:
        if isinstance(outcome, Failure) or outcome.status_code in FAILURE_STATUSES:
            return False
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
        return _WON if self._succeeds(outcome) else _FAILED

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
    measure(hedging, outcome, call.current, call.clock() - began_at)
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

"""A race: the same thing begun several times, of which the first success counts. It is written once, for calls and functions.

What takes part is called an *arm*: the first one, and the hedges. Each is a branch (see `core.effects`).

    the first arm has had `delay` seconds     a hedge begins, if the share and the retry quota allow one; if they do not,
                                              the first arm simply goes on
    an arm succeeds                           it wins; the others are cancelled
    an arm fails, another one is in flight    the other one is waited for, and no more hedges begin
    all have failed                           the outcome is that of the first arm, as it would be without hedges
    a hedge is refused                        by a circuit or a limit: it is not sent, and that is no failure

No hedge begins while the first arm waits for something of our own, such as a connection: a hedge would join the same
queue. `core.machines.hedging` says when, `core.layers.hedging` has the arms of calls, `policies.hedging` those of functions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import SentState
from ..events import HedgeDenied, HedgeFinished, HedgeResult, HedgeStarted
from .effects import Begin, Branch, FirstOf, Plan
from .machines.hedging import HedgeRefusal, HedgeShare, Hedging

if TYPE_CHECKING:
    from .machines.retry.quota import AnyWithdrawal
    from .operation import Subject

__all__ = ["Arm", "Race"]

_WON, _LOST, _FAILED, _REFUSED = HedgeResult  # enum attribute access is slow (50 ns)
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

    @abstractmethod
    def try_withdraw(self) -> AnyWithdrawal | str | None:
        """Pay for a hedge: what was withdrawn, None where hedges are free, or the reason why there is none."""

    @property
    @abstractmethod
    def budget_left(self) -> float | None:
        """Retries and hedges that the budget still allows; None where there is none."""

    @abstractmethod
    def budget_shortfall(self) -> float:
        """What the budget lacks for a hedge; 0.0 for nothing."""

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
        if not self._hedges:
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
        if arm.sent_at is None or result is _REFUSED:
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

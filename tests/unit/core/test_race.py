"""The decisions of a race: when a hedge is due, why there is none, and whose outcome counts."""

from __future__ import annotations

import traceback
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import SentState
from http_service_client.core.race import Arm, Race
from http_service_client.events import HedgeDenied, HedgeFinished, HedgeResult, HedgeStarted
from kit.rows import each_row

WON, LOST, FAILED, REFUSED = HedgeResult.WON, HedgeResult.LOST, HedgeResult.FAILED, HedgeResult.REFUSED


class Track(Race):
    """A race whose arms end as the test says. Its clock stands at 100 s, and a hedge is due after 2 s."""

    def __init__(self, remaining: float | None = None, **settings: Any) -> None:
        self.events: list[Any] = []
        self.arms: list[Any] = []
        self.sent_at: list[float] | None = None
        self.measured: list[int] = []
        self.refunds: list[object] = []
        self.learned: list[tuple[float, bool]] = []
        self.share: Any = SimpleNamespace(refund=lambda: self.refunds.append("share"))
        self.why_not: str | None = None
        self.payment: Any = None
        self.results: dict[int, HedgeResult] = {}
        hedging: Any = SimpleNamespace(
            settings=SimpleNamespace(**{"max_hedges": 2, "max_share": 0.05, **settings}),
            shortfall=0.25,
            try_hedge=lambda: self.share,
            record=lambda seconds, is_cut: self.learned.append((seconds, is_cut)),
        )
        subject: Any = SimpleNamespace(
            clock=lambda: 100.0,
            elapsed=lambda: 3.0,
            remaining=lambda: remaining,
            record=self.events.append,
            attempt=1,
            key="the key",
            call_id="7",
            call_name=None,
        )
        super().__init__(hedging, 2.0, subject)

    def new_arm(self, number: int) -> Any:
        self.arms.append(self.arm(number, None if self.sent_at is None else self.sent_at[number]))
        return self.arms[-1]

    def arm(self, number: int, sent_at: float | None = None, error: BaseException | None = None) -> Any:
        def take() -> None:
            if error is not None:
                raise error

        return SimpleNamespace(
            number=number,
            sent_at=sent_at,
            branch=SimpleNamespace(error=error, take=take),
            share=None,
            withdrawal=None,
            abandon=lambda: self.refunds.append(f"abandoned {number}"),
            refund=lambda: self.refunds.append(number),
        )

    def judge(self, arm: Any) -> HedgeResult:
        return self.results[arm.number]

    def measure(self, arm: Any) -> None:
        self.measured.append(arm.number)

    def describe(self, arm: Any) -> tuple[int | None, str | None, SentState]:
        return 200, None, SentState.ANSWERED

    def obstacle(self) -> str | None:
        return self.why_not

    def try_withdraw(self) -> Any:
        return self.payment

    @property
    def budget_left(self) -> float:
        return 4.0

    def budget_shortfall(self) -> float:
        return 0.5

    def ended(self) -> list[tuple[int, HedgeResult, float]]:
        return [
            (each.hedge, each.result, each.duration)
            for each in self.events
            if isinstance(each, HedgeFinished)
        ]


@each_row(
    ("sent_at", "remaining", "hedges", "is_closed", "patience"),
    [
        (None, None, 0, False, 2.0),
        (100.0, None, 0, False, 2.0),
        (99.5, None, 0, False, 1.5),
        (95.0, None, 0, False, 0.0),
        (99.5, None, 1, False, 1.5),
        (99.5, None, 2, False, None),
        (99.5, None, 0, True, None),
        (99.5, 1.6, 0, False, 1.5),
        (99.5, 1.5, 0, False, None),
        (99.5, 0.5, 0, False, None),
        (None, 2.0, 0, False, None),
    ],
)
def test_how_long_a_race_waits_until_the_next_hedge(
    sent_at: float | None, remaining: float | None, hedges: int, is_closed: bool, patience: float | None
) -> None:
    """The delay since the last request was sent; without end if no hedge may follow, or none before the deadline."""
    race = Track(remaining)
    race._hedges, race._is_closed = hedges, is_closed
    assert race._patience([race.arm(0, 0.0), race.arm(1, sent_at)]) == patience


@pytest.mark.parametrize(
    ("sent_at", "is_due"), [(None, False), (98.0, True), (98.0009, True), (98.002, False), (90.0, True)]
)
def test_a_hedge_is_due_when_the_delay_has_passed(sent_at: float | None, is_due: bool) -> None:
    """Since the last request was sent: while it waits for something of our own, none is. A timer may be early."""
    race = Track()
    assert race._is_due([race.arm(0, 0.0), race.arm(1, sent_at)]) is is_due


@pytest.mark.parametrize(("sent_at", "is_due"), [(0.001, True), (0.00101, False)])
def test_a_hedge_may_begin_a_millisecond_early(sent_at: float, is_due: bool) -> None:
    """The first wait begins a moment before the request is sent."""
    race = Track()
    race._delay, race._subject.clock = 0.0, lambda: 0.0
    assert race._is_due([race.arm(0, sent_at)]) is is_due


@pytest.mark.parametrize(
    ("changes", "reason", "obstacle", "refunds"),
    [
        ({"why_not": "it has a body"}, "it has a body", "it has a body", []),
        ({"share": None}, "hedges are at most 5.0% of the calls", "", []),
        ({"payment": "the budget is spent"}, "the budget is spent", "", ["share"]),
    ],
)
def test_a_hedge_that_is_denied_is_the_last(
    changes: dict[str, Any], reason: str, obstacle: str, refunds: list[object]
) -> None:
    """The event says why and what was lacking, and a share that was taken is returned."""
    race = Track()
    for name, value in changes.items():
        setattr(race, name, value)
    assert race._new_hedge() is None
    (denied,) = race.events
    assert isinstance(denied, HedgeDenied)
    assert (denied.reason, denied.key, denied.at) == (reason, "the key", 3.0)
    assert (*denied.decision,) == (obstacle, 0.25, 0.5, True)
    assert (race.refunds, race._is_closed, race._hedges) == (refunds, True, 0)


def test_hedges_are_numbered_and_paid_for() -> None:
    """From 1 on; each has the share and the withdrawal that it took."""
    race = Track()
    race.payment = object()
    hedges: list[Any] = [race._new_hedge(), race._new_hedge()]
    assert [hedge.number for hedge in hedges] == [1, 2]
    assert all(hedge.share is race.share and hedge.withdrawal is race.payment for hedge in hedges)


def test_an_attempt_without_hedges_counts_as_it_is() -> None:
    """Good or bad, and nothing is recorded of a race."""
    race = Track()
    first = race.arm(0, 90.0)
    assert race._settle(first, [], []) is first
    assert race.events == []


def test_the_first_success_counts_and_the_others_have_lost() -> None:
    """Of a loser that was sent, the hedging learns that it would have taken longer; of another, its share is returned."""
    race = Track()
    race._hedges = 2
    race.results = {1: WON}
    winner, running = race.arm(1, 95.0), [race.arm(0, 90.0), race.arm(2)]
    assert race._settle(winner, running, []) is winner
    assert running == []
    assert race.ended() == [(1, WON, 5.0), (2, LOST, 0.0), (0, LOST, 10.0)]
    assert race.refunds == ["abandoned 2", 2, "abandoned 0"]
    assert (race.learned, race.measured) == ([(10.0, True)], [1])


@pytest.mark.parametrize(
    ("result", "sent_at", "refunds"), [(FAILED, 95.0, []), (FAILED, None, [1]), (REFUSED, 95.0, [1])]
)
def test_a_hedge_that_fails_leaves_the_race_to_the_others(
    result: HedgeResult, sent_at: float | None, refunds: list[object]
) -> None:
    """No other one begins. It is paid for if it was sent."""
    race = Track()
    race._hedges = 1
    race.results = {1: result}
    running = [race.arm(0, 90.0)]
    assert race._settle(race.arm(1, sent_at), running, []) is None
    assert (len(running), race.refunds, race._is_closed) == (1, refunds, True)


@each_row(
    ("first", "hedge", "last", "chosen"),
    [
        (FAILED, FAILED, 0, 0),
        (FAILED, FAILED, 1, 0),
        (FAILED, REFUSED, 0, 0),
        (FAILED, REFUSED, 1, 0),
        (FAILED, WON, 1, 1),
        (WON, FAILED, 0, 0),
    ],
)
def test_the_last_arm_ends_the_race(first: HedgeResult, hedge: HedgeResult, last: int, chosen: int) -> None:
    """If all have failed, the first one counts. A hedge that was refused is no outcome. The end of each is recorded."""
    race = Track()
    race._hedges = 1
    race.results = {0: first, 1: hedge}
    failed: list[Any] = []
    arms = [race.arm(0, 90.0), race.arm(1, 95.0)]
    assert race._settle(arms[1 - last], [arms[last]], failed) is None
    assert race._settle(arms[last], [], failed) is arms[chosen]
    assert {(number, result) for number, result, _ in race.ended()} == {(0, first), (1, hedge)}


def test_an_arm_that_was_not_sent_returns_what_it_took() -> None:
    """Its part in the share of hedges, and what was withdrawn from the budget; the first arm took nothing."""
    arm, returned = Arm(1, list, 5.0), list[str]()  # type: ignore[arg-type]
    assert (arm.number, arm.sent_at, arm.share, arm.withdrawal) == (1, 5.0, None, None)
    arm.refund()
    arm.share = SimpleNamespace(refund=lambda: returned.append("share"))  # type: ignore[assignment]
    arm.withdrawal = SimpleNamespace(refund=lambda: returned.append("withdrawal"))  # type: ignore[assignment]
    arm.refund()
    assert returned == ["share", "withdrawal"]
    assert not arm.branch.is_cancelled
    arm.abandon()
    assert arm.branch.is_cancelled


def test_a_race_whose_hedge_is_denied_goes_on_without() -> None:
    """Until the first arm ends."""
    race = Track()
    race.sent_at, race.share = [98.0], None
    plan = race.run()
    next(plan)
    plan.send(True)
    first_of: Any = plan.send(None)
    assert (first_of.branches, first_of.timeout) == ([race.arms[0].branch], None)
    with pytest.raises(StopIteration) as ended:
        plan.send(0)
    assert ended.value.value is race.arms[0]


@each_row(
    ("number", "error", "by_errors", "is_raised"),
    [
        (0, ValueError(), False, True),
        (0, KeyboardInterrupt(), False, True),
        (0, ValueError(), True, False),
        (0, KeyboardInterrupt(), True, True),
        (1, ValueError(), False, False),
        (1, KeyboardInterrupt(), False, True),
        (1, KeyboardInterrupt(), True, True),
    ],
)
def test_which_exception_ends_a_race(
    number: int, error: BaseException, by_errors: bool, is_raised: bool
) -> None:
    """That of the first arm, unless a hedge may make up for it, and one that ends the program. That of a hedge is dropped."""
    race = Track()
    race.fails_by_errors = by_errors
    race._hedges = 1
    race.results = {number: FAILED}
    arm = race.arm(number, 95.0, error)
    if is_raised:
        with pytest.raises(type(error)):
            race._settle(arm, [race.arm(2, 90.0)], [])
    else:
        assert race._settle(arm, [race.arm(2, 90.0)], []) is None
        assert arm.branch.error is (None if number else error)


def test_an_error_that_ends_a_race_is_kept_by_no_frame_of_it() -> None:
    """Its traceback holds these frames: with all that the user's code has, they would live until the collector runs."""
    race, error = Track(), ValueError()
    with pytest.raises(ValueError) as caught:
        race._settle(race.arm(0, 95.0, error), [], [])
    frames = [frame for frame, _ in traceback.walk_tb(caught.tb) if frame.f_code.co_name == "_settle"]
    assert [frame for frame in frames if error in frame.f_locals.values()] == []
    assert len(frames) == 1


def test_a_first_arm_that_could_not_begin_is_no_race() -> None:
    """There is nothing to abandon, and the attempt is made without arms."""
    race = Track()
    plan = race.run()
    next(plan)
    with pytest.raises(StopIteration) as ended:
        plan.send(False)
    assert (ended.value.value, race.refunds) == (None, [])


def test_a_race_that_is_interrupted_abandons_its_arms() -> None:
    """And nothing is recorded of them."""
    race = Track()
    plan = race.run()
    next(plan)
    first_of: Any = plan.send(True)
    assert first_of.timeout == 2.0
    with pytest.raises(KeyboardInterrupt):
        plan.throw(KeyboardInterrupt())
    assert (race.refunds, race.events) == (["abandoned 0"], [])


def test_a_race_begins_a_hedge_when_it_is_due_and_ends_with_the_winner() -> None:
    """The loser has its round of the event loop to end, before the call returns."""
    race = Track()
    race.sent_at, race.results = [98.0, 99.0, 100.0], {1: WON}
    plan = race.run()
    next(plan)
    first_of: Any = plan.send(True)
    assert (list(first_of.branches), first_of.timeout) == ([race.arms[0].branch], 0.0)
    begin: Any = plan.send(None)
    assert begin.branch == race.arms[1].branch
    assert race.events == [HedgeStarted(3.0, 1, "the key", 1, 2.0, 4.0, "7", None)]
    first_of = plan.send(True)
    assert (len(first_of.branches), first_of.timeout) == (2, 1.0)
    last: Any = plan.send(1)
    assert (last.branches, last.timeout) == ([race.arms[0].branch], 0.0)
    with pytest.raises(StopIteration) as ended:
        plan.send(None)
    assert ended.value.value is race.arms[1]


def test_a_hedge_for_which_no_thread_is_free_is_returned() -> None:
    """The race goes on without it, and no other one begins."""
    race = Track()
    race.sent_at = [98.0, 99.0]
    plan = race.run()
    next(plan)
    plan.send(True)
    plan.send(None)
    first_of: Any = plan.send(False)
    assert (first_of.branches, first_of.timeout) == ([race.arms[0].branch], None)
    denied = race.events[-1]
    assert (denied.reason, denied.decision[-1], race.refunds) == ("no thread is free for it", False, [1])


def test_a_race_that_is_woken_too_early_waits_on() -> None:
    """The delay has not passed: no hedge."""
    race = Track()
    race.sent_at = [99.0]
    plan = race.run()
    next(plan)
    plan.send(True)
    first_of: Any = plan.send(None)
    assert (first_of.timeout, race.events) == (1.0, [])

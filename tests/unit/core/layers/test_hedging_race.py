"""What the arms of a call's race have of the call, and what is made of their outcomes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import (
    CircuitOpenError,
    ConnectError,
    HttpRequest,
    HttpResponse,
    PoolTimeoutError,
    ReadTimeoutError,
    SentState,
    Timeout,
)
from http_service_client.core.effects import Send
from http_service_client.core.layers.hedging import CallRace, HedgingLayer, measure
from http_service_client.events import HedgeResult, ThrottleWaited
from kit.fakes import ORIGIN, URL, Harness, failure, short
from kit.front_ends import BlockingFrontEnd
from kit.rows import each_row

NEVER, REFUSED, MAYBE, ANSWERED = (
    SentState.NEVER_SENT,
    SentState.REFUSED,
    SentState.MAYBE_PROCESSED,
    SentState.ANSWERED,
)


class Stage:
    """The race of a call of a client, and what its hedging has learned."""

    def __init__(self, **options: Any) -> None:
        settings = {name: options.pop(name) for name in ("enable_retry_budget",) if name in options}
        self.harness = Harness(BlockingFrontEnd(), **settings)
        self.call = self.harness.client._call_builder.build("GET", URL, **options)
        self.learned: list[tuple[float, bool]] = []
        self.hedging: Any = SimpleNamespace(
            settings=SimpleNamespace(max_hedges=2),
            record=lambda seconds, is_cut=False: self.learned.append((seconds, is_cut)),
        )
        self.race = CallRace(
            self.hedging, 1.0, self.call, self.call.request, self._proceed, lambda condition: None
        )
        self.first: Any = self.race.new_arm(0)
        self.hedge: Any = self.race.new_arm(1)

    def _proceed(self, request: HttpRequest, call: Any) -> Any:
        raise AssertionError("no arm is begun")

    def ended(self, arm: Any, outcome: Any, sent_at: float | None) -> Any:
        """The arm, after it has ended."""
        arm.sent_at = sent_at
        arm.branch = SimpleNamespace(
            result=None if isinstance(outcome, BaseException) else outcome,
            error=outcome if isinstance(outcome, BaseException) else None,
        )
        return arm


@each_row(
    ("is_hedge", "outcome", "sent_at", "result"),
    [
        (False, HttpResponse(200), 1.0, HedgeResult.WON),
        (True, HttpResponse(200), 1.0, HedgeResult.WON),
        (True, HttpResponse(404), 1.0, HedgeResult.WON),
        (True, HttpResponse(503), 1.0, HedgeResult.FAILED),
        (True, failure(ConnectError, NEVER), 1.0, HedgeResult.FAILED),
        (True, failure(CircuitOpenError, NEVER), None, HedgeResult.REFUSED),
        (True, failure(PoolTimeoutError, NEVER), None, HedgeResult.REFUSED),
        (True, failure(CircuitOpenError, NEVER), 1.0, HedgeResult.FAILED),
        (True, failure(ConnectError, NEVER), None, HedgeResult.FAILED),
        (False, failure(CircuitOpenError, NEVER), None, HedgeResult.FAILED),
        (True, ValueError(), 1.0, HedgeResult.FAILED),
        (True, None, 1.0, HedgeResult.LOST),
    ],
    ids=short,
)
def test_what_an_arm_came_to(
    is_hedge: bool, outcome: Any, sent_at: float | None, result: HedgeResult
) -> None:
    """A hedge that our own limits refused before it was sent is no failure; the first request is what the call came to."""
    stage = Stage()
    arm = stage.ended(stage.hedge if is_hedge else stage.first, outcome, sent_at)
    assert stage.race.judge(arm) is result


@each_row(
    ("outcome", "sent_at", "known"),
    [
        (HttpResponse(200), 1.0, (200, None, ANSWERED)),
        (HttpResponse(429), 1.0, (429, None, REFUSED)),
        (failure(ReadTimeoutError, MAYBE), 1.0, (None, "ReadTimeoutError", MAYBE)),
        (failure(CircuitOpenError, NEVER), None, (None, "CircuitOpenError", NEVER)),
        (ValueError(), 1.0, (None, "ValueError", MAYBE)),
        (ValueError(), None, (None, "ValueError", NEVER)),
        (None, 1.0, (None, None, MAYBE)),
        (None, None, (None, None, NEVER)),
    ],
    ids=short,
)
def test_what_is_known_of_an_arm_that_has_ended(outcome: Any, sent_at: float | None, known: Any) -> None:
    """Its status, its error, and what became of its request: a cancelled one may have been processed if it was sent."""
    stage = Stage()
    assert stage.race.describe(stage.ended(stage.hedge, outcome, sent_at)) == known


@each_row(
    ("outcome", "answered_by", "learned"),
    [
        (HttpResponse(200), None, [(2.5, False)]),
        (HttpResponse(404), None, [(2.5, False)]),
        (HttpResponse(503), None, []),
        (HttpResponse(200), "Mock", []),
        (failure(ReadTimeoutError, MAYBE), None, [(2.5, True)]),
        (failure(ReadTimeoutError, MAYBE), "Mock", []),
        (failure(ConnectError, NEVER), None, []),
        (None, None, []),
    ],
    ids=short,
)
def test_what_an_arm_shows_of_the_service(outcome: Any, answered_by: str | None, learned: Any) -> None:
    """How long it takes, or that it takes longer than an attempt may. Its error pages come quickly, and show nothing."""
    stage = Stage()
    measure(stage.hedging, outcome, SimpleNamespace(answered_by=answered_by), 2.5)  # type: ignore[arg-type]
    assert stage.learned == learned


def test_an_arm_is_measured_from_the_instant_when_it_was_sent() -> None:
    """One that waited for something of our own shows nothing."""
    stage = Stage()
    now = stage.harness.clock.now
    stage.race.measure(stage.ended(stage.hedge, HttpResponse(200), now - 2.5))
    stage.race.measure(stage.ended(stage.hedge, HttpResponse(200), None))
    assert stage.learned == [(2.5, False)]


def test_a_call_that_is_only_observed_is_measured_without_its_waits() -> None:
    """Those for permits and connections of our own are not the service's time."""
    stage = Stage()
    stage.hedging.delay = stage.hedging.record_call = lambda: None
    stage.call.options = stage.call.options.but(hedging=stage.hedging)

    def proceed(request: HttpRequest, call: Any) -> Any:
        yield from ()
        stage.harness.clock.now += 4.0
        call.current.waited += 1.5
        return HttpResponse(200)

    with pytest.raises(StopIteration):
        next(HedgingLayer(lambda condition: None)(proceed, stage.call.request, stage.call))
    assert stage.learned == [(2.5, False)]


def test_a_hedge_has_what_the_first_request_has_left_of_the_timeout() -> None:
    """And an attempt of its own; all hedges, not only the first one."""
    stage = Stage(timeout=10.0)
    assert stage.first.call.current is stage.call.current
    assert stage.hedge.call.current is not stage.call.current
    stage.call.current.expires_at = stage.harness.clock.now + 4.0
    for number in (2, 3):
        hedge: Any = stage.race.new_arm(number)
        assert hedge.call.options.timeout.total == 4.0
    stage.harness.clock.now += 4.0
    late: Any = stage.race.new_arm(4)
    assert 0 < late.call.options.timeout.total <= 0.02


def test_all_arms_have_the_correlation_id_of_the_call() -> None:
    """Whichever sets it, or asks for it first."""
    stage = Stage()
    assert stage.hedge.call.correlation_id == stage.first.call.correlation_id == stage.call.correlation_id
    stage.hedge.call.correlation_id = "mine"
    assert (stage.first.call.correlation_id, stage.call.correlation_id) == ("mine", "mine")


def test_an_abandoned_arm_records_nothing_more() -> None:
    """What it still does is no part of the call's story."""
    stage = Stage()
    before, after = (ThrottleWaited(at, 1, ORIGIN, 1.0) for at in (0.0, 9.0))
    stage.hedge.call.record(before)
    stage.hedge.branch = SimpleNamespace(cancel=lambda: None)
    stage.hedge.abandon()
    stage.hedge.call.record(after)
    assert stage.call.events == [before]


@pytest.mark.parametrize("chosen", [True, False, None])
def test_without_hedging_a_call_has_no_race(chosen: bool | None) -> None:
    """The call wants none, or its origin has none any more."""
    stage = Stage()
    stage.call.options = stage.call.options.but(hedging=chosen)
    plan: Any = iter(())
    layer = HedgingLayer(lambda condition: None)
    assert layer(lambda request, call: plan, stage.call.request, stage.call) is plan


@pytest.mark.parametrize("has_won", [True, False])
def test_the_call_goes_on_with_what_one_arm_has(has_won: bool) -> None:
    """The one that won, or else the first one: its attempt, its request, its host and what interceptors have set on it."""
    stage = Stage()
    names = ("current", "request", "hops", "key", "origin_state", "breaker", "mark")
    for arm in (stage.first, stage.hedge):
        for name in names:
            setattr(arm.call, name, SimpleNamespace())
    stage.race.adopt(stage.hedge if has_won else None)
    of = (stage.hedge if has_won else stage.first).call
    assert [name for name in names if getattr(stage.call, name) is not getattr(of, name)] == []


def test_a_call_that_is_interrupted_before_its_first_arm_stays_as_it_is() -> None:
    """Nothing hides the interrupt."""
    stage = Stage()
    stage.race._first = None
    before = stage.call.current
    stage.race.adopt(None)
    assert stage.call.current is before


def test_the_budget_of_the_call_pays_for_hedges() -> None:
    """What is left of it, and what it lacks, is that of its retries; without one, hedges are free."""
    stage = Stage()
    budget = stage.call.budget
    assert budget is not None
    assert stage.race.budget_left == budget.balance
    assert stage.race.budget_shortfall() == budget.shortfall()
    free = Stage(enable_retry_budget=False)
    assert (free.race.budget_left, free.race.budget_shortfall(), free.race.try_withdraw()) == (
        None,
        0.0,
        None,
    )
    while not isinstance(denied := stage.race.try_withdraw(), str):
        assert denied is not None
    assert denied == "the retry budget is spent"
    assert stage.race.budget_shortfall() > 0


@pytest.mark.parametrize(("first_sent_at", "wins"), [(1.0, False), (None, True)])
def test_409_under_a_key_is_a_failure_while_another_arm_is_on_its_way(
    first_sent_at: float | None, wins: bool
) -> None:
    """The server may be at work on that one. If nothing else was sent, it is about something else."""
    stage = Stage(headers={"Idempotency-Key": "k"})
    stage.first.sent_at = first_sent_at
    arm = stage.ended(stage.hedge, HttpResponse(409), 2.0)
    assert stage.race.judge(arm) is (HedgeResult.WON if wins else HedgeResult.FAILED)


@pytest.mark.parametrize(
    ("hedges", "outcome", "is_decided"),
    [
        (0, HttpResponse(200), False),
        (1, HttpResponse(200), True),
        (1, HttpResponse(503), False),
        (1, failure(ConnectError, NEVER), False),
    ],
    ids=short,
)
def test_the_first_success_decides_a_race(hedges: int, outcome: Any, is_decided: bool) -> None:
    """From then on, the other arms send nothing. Without hedges there is nothing to decide."""
    stage = Stage()
    stage.race._hedges = hedges

    def proceed(request: HttpRequest, call: Any) -> Any:
        yield Send(request, Timeout())
        return outcome

    stage.race._proceed = proceed  # type: ignore[assignment]
    plan: Any = stage.race._plan(stage.hedge)
    assert isinstance(next(plan), Send)
    assert stage.hedge.sent_at == stage.harness.clock.now
    with pytest.raises(StopIteration) as ended:
        plan.send(None)
    assert (ended.value.value, stage.race.is_decided) == (outcome, is_decided)
    other: Any = stage.race._plan(stage.first)
    if is_decided:
        with pytest.raises(StopIteration) as ended:
            next(other)
        assert (ended.value.value, stage.first.sent_at) == (None, None)
    else:
        assert isinstance(next(other), Send)
        other.close()


def test_an_arm_is_sent_when_its_first_exchange_begins() -> None:
    """The hop of a redirect is part of the time that it takes."""

    def proceed(request: HttpRequest, call: Any) -> Any:
        yield Send(request, Timeout())
        stage.harness.clock.now += 3.0
        yield Send(request, Timeout())

    stage = Stage()
    stage.race._proceed = proceed  # type: ignore[assignment]
    plan: Any = stage.race._plan(stage.hedge)
    next(plan)
    began_at = stage.harness.clock.now
    plan.send(None)
    assert stage.hedge.sent_at == began_at
    plan.close()


def test_the_layers_of_an_arm_learn_how_it_was_ended() -> None:
    """They get the error itself, as they do without hedging."""
    seen: list[BaseException] = []

    def proceed(request: HttpRequest, call: Any) -> Any:
        try:
            yield Send(request, Timeout())
        except BaseException as error:
            seen.append(error)
            raise

    stage = Stage()
    stage.race._proceed = proceed  # type: ignore[assignment]
    plan: Any = stage.race._plan(stage.hedge)
    next(plan)
    error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        plan.throw(error)
    assert seen == [error]


def test_an_arm_that_comes_too_late_sends_nothing_and_ends_at_once() -> None:
    """Its layers release what they hold then, and not when the collector finds them."""
    begun: list[Any] = []
    ended: list[bool] = []

    def proceed(request: HttpRequest, call: Any) -> Any:
        begun.append(layers(request))
        return begun[-1]

    def layers(request: HttpRequest) -> Any:
        try:
            yield Send(request, Timeout())
        finally:
            ended.append(True)

    stage = Stage()
    stage.race._proceed = proceed
    stage.race.is_decided = True
    with pytest.raises(StopIteration) as stopped:
        next(stage.race._plan(stage.hedge))
    assert (stopped.value.value, stage.hedge.sent_at, ended) == (None, None, [True])
    assert begun, "the test still holds its layers"

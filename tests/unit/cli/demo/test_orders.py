"""Placing an order: the calls that it makes, and the meaning of their outcomes."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import (
    CircuitOpenError,
    ConnectError,
    ConnectionLostError,
    HttpClientError,
    HttpResponse,
    SentState,
    Timeline,
)
from http_service_client.cli.demo import orders
from http_service_client.cli.demo.orders import (
    SERVICES,
    Call,
    Outcome,
    Pause,
    Plan,
    Status,
    Ticket,
    call_until_closed,
    perform,
    perform_async,
    place,
)
from http_service_client.cli.demo.script import Order
from http_service_client.events import AttemptFinished, RetryStopped, StopReason
from kit.rows import each_row

ORDER = Order(number=7, customer="Ada", pizza="Funghi", amount=9.9)
DONE, FAILED, POSTPONED = Status.DONE, Status.FAILED, Status.POSTPONED


def reply(status: int, phrase: str = "", **headers: str) -> HttpResponse:
    return HttpResponse(status, reason_phrase=phrase, headers=headers)


def lost() -> HttpClientError:
    return ConnectionLostError(sent_state=SentState.MAYBE_PROCESSED)


def stopped(outcome: Outcome, *reasons: StopReason) -> Outcome:
    """The outcome of a call that was not repeated for this reason."""
    outcome.timeline = Timeline(RetryStopped(0.0, 1, "", reason, None, None) for reason in reasons)
    return outcome


@each_row(
    ("outcome", "expected"),
    # Of payment, delivery, e-mail and SMS.
    [
        (reply(200), (DONE, DONE, DONE, DONE)),
        (reply(299), (DONE, DONE, DONE, DONE)),
        (reply(402), (FAILED, FAILED, FAILED, FAILED)),
        (reply(499), (FAILED, FAILED, FAILED, FAILED)),
        (reply(429), (POSTPONED, POSTPONED, POSTPONED, FAILED)),
        (reply(503, **{"Retry-After": "1"}), (POSTPONED, POSTPONED, POSTPONED, FAILED)),
        (reply(500), (POSTPONED, POSTPONED, FAILED, FAILED)),
        (ConnectError(), (POSTPONED, POSTPONED, POSTPONED, FAILED)),
        (CircuitOpenError(), (POSTPONED, POSTPONED, POSTPONED, FAILED)),
        (lost(), (POSTPONED, POSTPONED, FAILED, FAILED)),
    ],
    ids=["200", "299", "402", "499", "429", "503-later", "500", "unsent", "circuit", "lost"],
)
def test_an_outcome_decides_about_its_step(outcome: Outcome, expected: tuple[Status, ...]) -> None:
    """Nothing has happened: try again later. Something may have: only where repeating does no harm. No late SMS."""
    ticket = Ticket(ORDER)
    for service in SERVICES:
        ticket.settle(service, outcome)
    assert tuple(ticket.statuses[service] for service in SERVICES) == expected
    assert ticket.postponed == {name for name in SERVICES if ticket.statuses[name] is POSTPONED}
    assert ticket.payments == [outcome]


@pytest.mark.parametrize("service", ["payment", "delivery"])
def test_a_lost_connection_is_no_server_error(service: str) -> None:
    """Only responses count towards the end of a step; a success before it changes nothing."""
    ticket = Ticket(ORDER)
    for outcome in (lost(), lost(), reply(500), lost()):
        ticket.settle(service, outcome)
        assert ticket.statuses[service] is POSTPONED
    ticket.settle(service, reply(599))
    assert ticket.statuses[service] is FAILED


@each_row(
    ("outcome", "reason"),
    [
        (reply(200, "OK"), ""),
        (reply(402, "Payment Required"), "402 Payment Required"),
        (lost(), "ConnectionLostError"),
        (stopped(reply(503, "Busy"), StopReason.EXHAUSTED), "503 Busy; out of attempts"),
        (stopped(lost(), StopReason.NOT_SAFE), "ConnectionLostError; not safe to repeat"),
        (stopped(ConnectError(), StopReason.BUDGET), "ConnectError; retry budget spent"),
        (stopped(ConnectError(), StopReason.CIRCUIT_OPEN), "ConnectError; circuit open"),
        (stopped(reply(404, "No"), StopReason.NOT_RETRYABLE), "404 No"),
        (stopped(reply(500, "No"), StopReason.BUDGET, StopReason.EXHAUSTED), "500 No; out of attempts"),
        (stopped(reply(404, "No"), StopReason.BUDGET, StopReason.NOT_RETRYABLE), "404 No"),
    ],
)
def test_a_step_without_success_has_a_reason(outcome: Outcome, reason: str) -> None:
    """The outcome, and why the client made no further attempt, if that is of interest."""
    ticket = Ticket(ORDER)
    ticket.settle("payment", outcome)
    assert ticket.reasons == {"payment": reason}


@each_row(
    ("statuses", "is_finished", "is_postponed"),
    [
        ((), False, False),
        ((DONE,), False, False),
        ((FAILED,), True, False),
        ((POSTPONED,), False, True),
        ((DONE, DONE, DONE), False, False),
        ((DONE, DONE, DONE, DONE), True, False),
        ((DONE, FAILED, FAILED, FAILED), True, False),
        ((DONE, POSTPONED, DONE, DONE), False, True),
    ],
)
def test_an_order_ends_when_each_step_is_settled(
    statuses: tuple[Status, ...], is_finished: bool, is_postponed: bool
) -> None:
    """Or at once, when the payment fails."""
    ticket = Ticket(ORDER)
    for service, status in zip(SERVICES, statuses, strict=False):
        ticket.statuses[service], ticket.reasons[service] = status, "402"
    assert ticket.is_finished is is_finished
    assert ticket.is_postponed is is_postponed
    assert [ticket.is_done(service) for service in SERVICES[: len(statuses)]] == [s is DONE for s in statuses]


def test_a_payment_that_failed_without_a_reason_is_unfinished() -> None:
    """That would be a fault of the demo."""
    ticket = Ticket(ORDER)
    ticket.statuses["payment"], ticket.reasons["payment"] = FAILED, ""
    assert not ticket.is_finished


def test_the_outline_leaves_the_sms_out() -> None:
    """Whether it gets through the rush is luck; a step that was not reached is None."""
    ticket = Ticket(ORDER)
    ticket.statuses = {"payment": DONE, "email": FAILED, "sms": DONE}
    assert ticket.outline == {"payment": DONE, "delivery": None, "email": FAILED}


def played(plan: Plan, *outcomes: Outcome | None) -> list[Call | Pause]:
    """The steps of a plan that is sent these outcomes."""
    steps = []
    try:
        steps.append(next(plan))
        for outcome in outcomes:
            steps.append(plan.send(outcome))
    except StopIteration:
        pass
    return steps


def test_an_order_makes_four_calls() -> None:
    """With the ids that make a repetition safe where it can be, and the timeline of each is recorded."""
    recorded: list[tuple[str, Timeline]] = []
    story = Timeline([AttemptFinished(0.0, 1, "", 0.1, 200, None, "", SentState.ANSWERED)])
    paid = reply(200)
    paid.timeline = story
    plan = place(Ticket(ORDER), lambda service, timeline: recorded.append((service, timeline)))
    assert played(plan, paid, reply(200), reply(200), reply(200)) == [
        Call(
            "payment",
            "POST",
            "/charges",
            {
                "json": {"order_id": "order-007", "amount": 9.9, "currency": "USD"},
                "headers": {"X-Idempotency-Key": "order-007"},
            },
        ),
        Call(
            "delivery",
            "PUT",
            "/deliveries/order-007",
            {
                "json": {"order_id": "order-007", "pickup": "123 Pizza Street", "customer": "Ada"},
                "timeout": 0.5,
            },
        ),
        Call(
            "email",
            "POST",
            "/send",
            {"json": {"order_id": "order-007", "to": "Ada", "template": "order_confirmation"}},
        ),
        Call(
            "sms",
            "POST",
            "/messages",
            {
                "json": {"order_id": "order-007", "to": "Ada", "message": "Your Funghi is on its way"},
                "idempotent": True,
            },
        ),
    ]
    assert recorded == [("payment", story), *((name, Timeline()) for name in SERVICES[1:])]


def test_no_pizza_without_money() -> None:
    """A payment that failed or was postponed ends the plan."""
    for outcome in (reply(402), reply(429)):
        assert len(played(place(Ticket(ORDER), lambda *_: None), outcome)) == 1


def test_a_resumed_order_takes_the_steps_that_are_not_settled() -> None:
    """Those that were postponed or not reached; one that failed is not tried again."""
    ticket = Ticket(ORDER)
    ticket.statuses = {"payment": DONE, "delivery": POSTPONED, "email": FAILED}
    steps = played(place(ticket, lambda *_: None), reply(200), reply(200))
    assert [step.service for step in steps if isinstance(step, Call)] == ["delivery", "sms"]
    assert ticket.is_finished


def test_an_unpaid_order_is_not_resumed_at_a_later_step() -> None:
    """Its payment has failed."""
    ticket = Ticket(ORDER)
    ticket.statuses = {"payment": FAILED}
    assert played(place(ticket, lambda *_: None)) == []


class TestCallUntilClosed:
    """Checks of the health of a service."""

    def test_a_closed_circuit_needs_no_call(self) -> None:
        """The plan ends at once."""
        assert played(call_until_closed("email", lambda: True, lambda *_: None, 1.0)) == []

    def test_calls_alternate_with_pauses(self) -> None:
        """Until the next trial may pass, or a moment; each timeline is recorded."""
        recorded: list[tuple[str, Timeline]] = []
        states = iter([False, False, False, True])
        plan = call_until_closed(
            "email", lambda: next(states), lambda service, timeline: recorded.append((service, timeline)), 9.0
        )
        refused, isolated = CircuitOpenError(retry_after=0.7), CircuitOpenError(retry_after=None)
        refused.timeline = Timeline([AttemptFinished(0.0, 1, "", 0.1, 200, None, "", SentState.ANSWERED)])
        call = Call("email", "GET", "/health")
        steps = played(plan, refused, None, isolated, None, reply(200), None)
        assert steps == [call, Pause(0.7), call, Pause(0.05), call, Pause(0.05)]
        assert recorded == [("email", refused.timeline), ("email", Timeline()), ("email", Timeline())]

    def test_patience_ends_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Seconds after the first look, also if the circuit never closes."""
        now = [100.0]
        monkeypatch.setattr(orders, "time", SimpleNamespace(monotonic=lambda: now[0]))
        plan = call_until_closed("email", lambda: False, lambda *_: None, 2.0)
        next(plan)
        plan.send(reply(200))
        now[0] = 101.9
        assert plan.send(None) == Call("email", "GET", "/health")
        plan.send(reply(200))
        now[0] = 102.0
        with pytest.raises(StopIteration):
            plan.send(None)


class _Client:
    """Takes calls, and returns or raises the given outcomes."""

    def __init__(self, *outcomes: Outcome) -> None:
        self.calls: list[tuple[str, str, dict[str, Any]]] = []
        self._outcomes = iter(outcomes)

    def request(self, method: str, url: str, **options: Any) -> HttpResponse:
        self.calls.append((method, url, options))
        outcome = next(self._outcomes)
        if isinstance(outcome, HttpResponse):
            return outcome
        raise outcome

    async def request_async(self, method: str, url: str, **options: Any) -> HttpResponse:
        return self.request(method, url, **options)


@pytest.mark.parametrize("is_async", [False, True], ids=["threads", "tasks"])
def test_a_plan_is_performed(is_async: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls go to the service's origin, outcomes go back to the plan, pauses pass; after a pause there is no outcome."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(orders, "time", SimpleNamespace(sleep=slept.append))
    monkeypatch.setattr(orders, "asyncio", SimpleNamespace(sleep=sleep))
    sent: list[Outcome | None] = []

    def plan() -> Plan:
        sent.append((yield Call("email", "GET", "/health")))
        sent.append((yield Pause(0.25)))
        sent.append((yield Call("sms", "POST", "/messages", {"json": 1})))

    error, response = lost(), reply(200)
    client: Any = _Client(error, response)
    urls = {"email": "http://a", "sms": "http://b"}
    if is_async:
        asyncio.run(perform_async(plan(), client, urls))
    else:
        perform(plan(), client, urls)
    assert client.calls == [("GET", "http://a/health", {}), ("POST", "http://b/messages", {"json": 1})]
    assert sent == [error, None, response]
    assert slept == [0.25]

"""Placing an order: four calls, what their outcomes mean, and what is put on the shelf for later.

Written once for both worlds: an order is placed by a generator that yields what it asks of the world
and is sent the outcome, a response or an error. Who performs it, blocking or awaiting, is two short
functions at the end. (The client itself is made in the same way.)
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from ... import CircuitOpenError, HttpClientError, HttpResponse, HttpServiceClient, SentState, Timeline
from ...events import RetryStopped, StopReason
from .script import Order

__all__ = [
    "SERVICES",
    "Answer",
    "Ask",
    "End",
    "Pause",
    "Plan",
    "Waiter",
    "call_until_closed",
    "perform",
    "perform_async",
    "place",
]

#: By their names, in the order in which an order needs them.
SERVICES = ("payment", "delivery", "email", "sms")

# May be tried again later, whatever became of it. An e-mail may not: it could be the second. An SMS
# is not worth it: late, it is of no use.
_REPEATABLE = frozenset({"payment", "delivery"})
_MOST_ANSWERS = 2  # calls that are answered by a 5xx before we give up; the attempts within are the client's

_STOPS = {
    StopReason.EXHAUSTED: "out of attempts",
    StopReason.NOT_SAFE: "not safe to repeat",
    StopReason.BUDGET: "retry budget spent",
    StopReason.CIRCUIT_OPEN: "circuit open",
}

Answer = HttpResponse | HttpClientError


@dataclass(frozen=True, slots=True)
class Ask:
    """A call to make. options: keywords of the verb."""

    service: str
    method: str
    path: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pause:
    """Let so many seconds pass."""

    seconds: float


Plan = Generator["Ask | Pause", "Answer | None", None]


class End(Enum):
    """How a step of an order ended."""

    DONE = "done"
    FAILED = "failed"  # and the ticket says why
    WAITING = "waiting"  # on the shelf: it does no harm to try again later


class Waiter:
    """One order on its way in one world.

    ends: by service, as far as it came.  reasons: why a step failed or waits.  waited: what was on the shelf.
    payments: the outcome of each payment call, for its story.
    """

    def __init__(self, order: Order) -> None:
        self.order = order
        self.ends: dict[str, End] = {}
        self.reasons: dict[str, str] = {}
        self.waited: set[str] = set()
        self.payments: list[Answer] = []
        self._answers: dict[str, int] = dict.fromkeys(SERVICES, 0)

    def is_done(self, service: str) -> bool:
        """Whether the service did its part."""
        return self.ends.get(service) is End.DONE

    @property
    def is_waiting(self) -> bool:
        """Whether some step is on the shelf."""
        return End.WAITING in self.ends.values()

    @property
    def has_an_end(self) -> bool:
        """Whether it was paid and each step settled, or the payment failed; reasons given."""
        if self.ends.get("payment") is End.FAILED:
            return bool(self.reasons["payment"])
        return all(self.ends.get(service) in (End.DONE, End.FAILED) for service in SERVICES)

    @property
    def outline(self) -> dict[str, End | None]:
        """What must be the same in both worlds. Whether an SMS got through the rush is luck, as in life."""
        return {service: self.ends.get(service) for service in ("payment", "delivery", "email")}

    def settle(self, service: str, answer: Answer) -> None:
        """Draw the conclusion from the outcome of a call."""
        self.ends[service], self.reasons[service] = self._judge(service, answer)
        if service == "payment":
            self.payments.append(answer)
        if self.ends[service] is End.WAITING:
            self.waited.add(service)

    def _judge(self, service: str, answer: Answer) -> tuple[End, str]:
        # outcome                                              end
        # 2xx                                                  done
        # 402 and the like                                     failed
        # an SMS, whatever it was                              failed
        # never sent; refused by the circuit or by a 429       waits: nothing has happened
        # maybe processed, or answered by a 5xx                waits if it may be repeated, or else failed
        if isinstance(answer, HttpResponse):
            if answer.is_success:
                return End.DONE, ""
            self._answers[service] += answer.status_code >= 500
            is_final = answer.status_code < 500 and answer.sent_state is not SentState.REFUSED
        else:
            is_final = False
        reason = _reason(answer)
        if is_final or service == "sms":
            return End.FAILED, reason
        if answer.sent_state in (SentState.NEVER_SENT, SentState.REFUSED):
            return End.WAITING, reason
        may_wait = service in _REPEATABLE and self._answers[service] < _MOST_ANSWERS
        return (End.WAITING if may_wait else End.FAILED), reason


def _reason(answer: Answer) -> str:
    """What came of a call that did not succeed, and why it was not tried once more."""
    if isinstance(answer, HttpResponse):
        what = f"{answer.status_code} {answer.reason_phrase}"
    else:
        what = type(answer).__name__
    stops = [event.reason for event in answer.timeline or () if isinstance(event, RetryStopped)]
    return f"{what}; {_STOPS[stops[-1]]}" if stops and stops[-1] in _STOPS else what


def place(ticket: Waiter, record: Callable[[str, Timeline], None]) -> Plan:
    """Take the steps of an order that are not settled yet: charge, hand to delivery, and tell the customer.

    record: is told the timeline of each call.
    """
    for service in SERVICES:
        if ticket.ends.get(service, End.WAITING) is End.WAITING:
            answer = yield _asking(service, ticket.order)
            assert answer is not None
            record(service, answer.timeline or Timeline())
            ticket.settle(service, answer)
        if service == "payment" and not ticket.is_done("payment"):
            return  # no money, no pizza


def _asking(service: str, order: Order) -> Ask:
    """The call that a service wants for an order."""
    if service == "payment":
        charge = {"order_id": order.id, "amount": order.amount, "currency": "USD"}
        return Ask(service, "POST", "/charges", {"json": charge, "headers": {"X-Idempotency-Key": order.id}})
    if service == "delivery":
        delivery = {"order_id": order.id, "pickup": "123 Pizza Street", "customer": order.customer}
        return Ask(service, "PUT", f"/deliveries/{order.id}", {"json": delivery, "timeout": 0.5})
    if service == "email":
        mail = {"order_id": order.id, "to": order.customer, "template": "order_confirmation"}
        return Ask(service, "POST", "/send", {"json": mail})
    sms = {"order_id": order.id, "to": order.customer, "message": f"Your {order.pizza} is on its way"}
    return Ask(service, "POST", "/messages", {"json": sms, "idempotent": True})


def call_until_closed(
    service: str, is_closed: Callable[[], bool], record: Callable[[str, Timeline], None], patience: float
) -> Plan:
    """Ask a service how it is until its circuit has closed, for at most so many seconds."""
    ends_at = time.monotonic() + patience
    while not is_closed() and time.monotonic() < ends_at:
        answer = yield Ask(service, "GET", "/health")
        assert answer is not None
        record(service, answer.timeline or Timeline())
        wait = answer.retry_after if isinstance(answer, CircuitOpenError) else None
        yield Pause(0.05 if wait is None else wait)


def perform(plan: Plan, client: HttpServiceClient, urls: Mapping[str, str]) -> None:
    """Do what the plan asks on this thread."""
    answer: Answer | None = None
    try:
        while True:
            ask = plan.send(answer)
            answer = None
            if isinstance(ask, Pause):
                time.sleep(ask.seconds)
                continue
            try:
                answer = client.request(ask.method, urls[ask.service] + ask.path, **ask.options)
            except HttpClientError as error:
                answer = error
    except StopIteration:
        pass


async def perform_async(plan: Plan, client: HttpServiceClient, urls: Mapping[str, str]) -> None:
    """Do what the plan asks in an asyncio task."""
    answer: Answer | None = None
    try:
        while True:
            ask = plan.send(answer)
            answer = None
            if isinstance(ask, Pause):
                await asyncio.sleep(ask.seconds)
                continue
            try:
                answer = await client.request_async(ask.method, urls[ask.service] + ask.path, **ask.options)
            except HttpClientError as error:
                answer = error
    except StopIteration:
        pass

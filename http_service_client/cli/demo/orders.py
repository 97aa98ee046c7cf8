"""Placing an order: four calls, the meaning of their outcomes, and which steps are postponed.

Written once for threads and tasks: a generator yields the calls to make and is sent their outcomes, a response or
an error. Two short functions at the end perform the calls, blocking or awaiting. (The client itself is
built in the same way.)
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
    "Call",
    "Outcome",
    "Pause",
    "Plan",
    "Status",
    "Ticket",
    "call_until_closed",
    "perform",
    "perform_async",
    "place",
]

#: By their names, in the order in which an order needs them.
SERVICES = ("payment", "delivery", "email", "sms")

# These may be tried again later, whatever happened before. An e-mail may not: it could be the second. An SMS
# is not worth it: late, it is of no use.
_REPEATABLE = frozenset({"payment", "delivery"})
# Calls that end with a 5xx before the step fails; the attempts within are the client's.
_MOST_SERVER_ERRORS = 2

_STOPS = {
    StopReason.EXHAUSTED: "out of attempts",
    StopReason.NOT_SAFE: "not safe to repeat",
    StopReason.BUDGET: "retry budget spent",
    StopReason.CIRCUIT_OPEN: "circuit open",
}

Outcome = HttpResponse | HttpClientError


@dataclass(frozen=True, slots=True)
class Call:
    """A call to make. options: keywords of the verb."""

    service: str
    method: str
    path: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pause:
    """A wait of so many seconds."""

    seconds: float


Plan = Generator["Call | Pause", "Outcome | None", None]


class Status(Enum):
    """How a step of an order ended."""

    DONE = "done"
    FAILED = "failed"  # the ticket has the reason
    POSTPONED = "postponed"  # trying again later does no harm


class Ticket:
    """The progress of one order.

    statuses: by service, as far as the order came.  reasons: why a step failed or was postponed.
    postponed: the steps that were postponed at least once.  payments: the outcome of each payment call.
    """

    def __init__(self, order: Order) -> None:
        self.order = order
        self.statuses: dict[str, Status] = {}
        self.reasons: dict[str, str] = {}
        self.postponed: set[str] = set()
        self.payments: list[Outcome] = []
        self._server_errors: dict[str, int] = dict.fromkeys(SERVICES, 0)

    def is_done(self, service: str) -> bool:
        """Whether the service did its part."""
        return self.statuses.get(service) is Status.DONE

    @property
    def is_postponed(self) -> bool:
        """Whether some step is postponed."""
        return Status.POSTPONED in self.statuses.values()

    @property
    def is_finished(self) -> bool:
        """Whether the order was paid and each step settled, or the payment failed with a reason."""
        if self.statuses.get("payment") is Status.FAILED:
            return bool(self.reasons["payment"])
        return all(self.statuses.get(service) in (Status.DONE, Status.FAILED) for service in SERVICES)

    @property
    def outline(self) -> dict[str, Status | None]:
        """What must be the same for threads and tasks. Whether an SMS gets through the rush is luck."""
        return {service: self.statuses.get(service) for service in ("payment", "delivery", "email")}

    def settle(self, service: str, outcome: Outcome) -> None:
        """Draw the conclusion from the outcome of a call."""
        self.statuses[service], self.reasons[service] = self._judge(service, outcome)
        if service == "payment":
            self.payments.append(outcome)
        if self.statuses[service] is Status.POSTPONED:
            self.postponed.add(service)

    def _judge(self, service: str, outcome: Outcome) -> tuple[Status, str]:
        # outcome                                              status
        # 2xx                                                  done
        # 402 and similar                                      failed
        # an SMS without success                               failed
        # never sent; refused by the circuit or by a 429       postponed: nothing has happened
        # maybe processed, or answered by a 5xx                postponed if it may be repeated, else failed
        if isinstance(outcome, HttpResponse):
            if outcome.is_success:
                return Status.DONE, ""
            self._server_errors[service] += outcome.status_code >= 500
            is_final = outcome.status_code < 500 and outcome.sent_state is not SentState.REFUSED
        else:
            is_final = False
        reason = _reason(outcome)
        if is_final or service == "sms":
            return Status.FAILED, reason
        if outcome.sent_state in (SentState.NEVER_SENT, SentState.REFUSED):
            return Status.POSTPONED, reason
        may_be_repeated = service in _REPEATABLE and self._server_errors[service] < _MOST_SERVER_ERRORS
        return (Status.POSTPONED if may_be_repeated else Status.FAILED), reason


def _reason(outcome: Outcome) -> str:
    """The outcome of a call without success, and why there was no further attempt."""
    if isinstance(outcome, HttpResponse):
        name = f"{outcome.status_code} {outcome.reason_phrase}"
    else:
        name = type(outcome).__name__
    stops = [event.reason for event in outcome.timeline or () if isinstance(event, RetryStopped)]
    return f"{name}; {_STOPS[stops[-1]]}" if stops and stops[-1] in _STOPS else name


def place(ticket: Ticket, record: Callable[[str, Timeline], None]) -> Plan:
    """Take the steps of an order that are not settled yet: charge, hand over to delivery, notify the customer.

    record: called with the timeline of each call.
    """
    for service in SERVICES:
        if ticket.statuses.get(service, Status.POSTPONED) is Status.POSTPONED:
            outcome = yield _call(service, ticket.order)
            assert outcome is not None
            record(service, outcome.timeline or Timeline())
            ticket.settle(service, outcome)
        if not ticket.is_done("payment"):
            return  # no money, no pizza


def _call(service: str, order: Order) -> Call:
    """The call to a service for an order."""
    if service == "payment":
        charge = {"order_id": order.id, "amount": order.amount, "currency": "USD"}
        return Call(service, "POST", "/charges", {"json": charge, "headers": {"X-Idempotency-Key": order.id}})
    if service == "delivery":
        delivery = {"order_id": order.id, "pickup": "123 Pizza Street", "customer": order.customer}
        return Call(service, "PUT", f"/deliveries/{order.id}", {"json": delivery, "timeout": 0.5})
    if service == "email":
        mail = {"order_id": order.id, "to": order.customer, "template": "order_confirmation"}
        return Call(service, "POST", "/send", {"json": mail})
    sms = {"order_id": order.id, "to": order.customer, "message": f"Your {order.pizza} is on its way"}
    return Call(service, "POST", "/messages", {"json": sms, "idempotent": True})


def call_until_closed(
    service: str, is_closed: Callable[[], bool], record: Callable[[str, Timeline], None], patience: float
) -> Plan:
    """Check the health of a service until its circuit has closed, for at most `patience` seconds."""
    ends_at = time.monotonic() + patience
    while not is_closed() and time.monotonic() < ends_at:
        outcome = yield Call(service, "GET", "/health")
        assert outcome is not None
        record(service, outcome.timeline or Timeline())
        wait = outcome.retry_after if isinstance(outcome, CircuitOpenError) else None
        yield Pause(0.05 if wait is None else wait)


def perform(plan: Plan, client: HttpServiceClient, urls: Mapping[str, str]) -> None:
    """Perform a plan on this thread."""
    outcome: Outcome | None = None
    try:
        while True:
            step = plan.send(outcome)
            outcome = None
            if isinstance(step, Pause):
                time.sleep(step.seconds)
                continue
            try:
                outcome = client.request(step.method, urls[step.service] + step.path, **step.options)
            except HttpClientError as error:
                outcome = error
    except StopIteration:
        pass


async def perform_async(plan: Plan, client: HttpServiceClient, urls: Mapping[str, str]) -> None:
    """Perform a plan in an asyncio task."""
    outcome: Outcome | None = None
    try:
        while True:
            step = plan.send(outcome)
            outcome = None
            if isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
                continue
            try:
                outcome = await client.request_async(
                    step.method, urls[step.service] + step.path, **step.options
                )
            except HttpClientError as error:
                outcome = error
    except StopIteration:
        pass

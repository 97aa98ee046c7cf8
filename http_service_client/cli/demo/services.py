"""The four services that Mario's Pizzeria calls, on real sockets, and what each of them counts.

These counts judge the client: charges and e-mails are counted where they are made, not where somebody believes that
they were made.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from ...testing import Action, LoopbackServer, Received, answer, drip, reset, respond
from .script import Act, Fault, Story

__all__ = ["Services"]

_LATENCY = 0.02  # seconds that a healthy response takes


class _Service:
    """One service: it does its work for an order, unless the story has a fault."""

    def __init__(self, name: str, story: Story) -> None:
        self.name = name
        self.requests: Counter[str] = Counter()  # by order: received requests
        self.done: Counter[str] = Counter()  # by order: how often the work was done
        self._story = story
        self._lock = threading.Lock()  # each connection has a thread
        self.server = LoopbackServer()
        self.server.script("/health", respond(json={"status": "up"}))
        self.server.script("*", answer(self._respond))

    def _respond(self, received: Received) -> Action:
        body = received.json()
        with self._lock:
            return self._respond_locked(received, body["order_id"])

    def _respond_locked(self, received: Received, order_id: str) -> Action:
        fault = self._next_fault_locked(order_id)
        if fault is Fault.BUSY:
            return respond(503, json={"error": "overloaded"}, delay=_LATENCY)
        if fault is Fault.SLOW_DOWN:
            headers = {"Retry-After": str(self._story.retry_after)}
            return respond(429, json={"error": "too many requests"}, headers=headers, delay=_LATENCY)
        if fault is Fault.DECLINE:
            return respond(402, json={"error": "the card was declined"}, delay=_LATENCY)
        result = self._work_locked(received, order_id)
        if fault is Fault.RESET:
            return reset()
        if fault is Fault.DRIP:
            return drip(b"", every=0.1, json=result)
        return respond(json=result, delay=_LATENCY)

    def _next_fault_locked(self, order_id: str) -> Fault | None:
        index = self.requests[order_id]
        self.requests[order_id] += 1
        faults = self._story.faults.get((self.name, order_id), ())
        return faults[index] if index < len(faults) else None

    def _work_locked(self, received: Received, order_id: str) -> dict[str, Any]:
        self.done[order_id] += 1
        return {"order_id": order_id, "status": "done"}

    def is_quiet(self) -> bool:
        """Whether no connection is open."""
        return not self.server.open_connections

    @property
    def duplicates(self) -> int:
        """How often the work was done again for the same order."""
        return sum(count - 1 for count in self.done.values())


class _Payment(_Service):
    """A gateway that recognises a repeated request by its idempotency key, as a real one does."""

    def __init__(self, story: Story, forgets_keys: bool) -> None:
        self.replays = 0
        self._forgets_keys = forgets_keys
        self._charges: dict[str, dict[str, Any]] = {}
        super().__init__("payment", story)

    def _work_locked(self, received: Received, order_id: str) -> dict[str, Any]:
        key = received.header("X-Idempotency-Key")
        if key in self._charges and not self._forgets_keys:
            self.replays += 1
            return self._charges[key]
        charge = {**super()._work_locked(received, order_id), "charge_id": f"ch_{len(self._charges) + 1}"}
        if key is not None:
            self._charges[key] = charge
        return charge


# By the remainder of the order's number: which of its requests succeeds under load. So there are never so many failures
# in a row that the circuit opens: it is the retry budget that stops this one.
_SUCCEEDS_AT = (None, 1, 3, 2)


class _Sms(_Service):
    """Under load, it answers most requests with a 503.

    The order and the number of its request decide which, rather than the arrival: so the evenings of a seed are alike.
    """

    is_overloaded = False

    def __init__(self, story: Story) -> None:
        self._under_load: Counter[str] = Counter()  # by order: requests that arrived under load
        super().__init__("sms", story)

    def _respond_locked(self, received: Received, order_id: str) -> Action:
        if self.is_overloaded:
            self._under_load[order_id] += 1
            if self._under_load[order_id] != _SUCCEEDS_AT[int(order_id.rpartition("-")[2]) % 4]:
                return respond(503, json={"error": "overloaded"}, delay=_LATENCY)
        return super()._respond_locked(received, order_id)


class Services:
    """The four services of one runner.

    forgets_keys, stays_down: a gateway that charges again, an outage that does not end (for the tests).
    """

    def __init__(self, story: Story, *, forgets_keys: bool = False, stays_down: bool = False) -> None:
        self._stays_down = stays_down
        self.payment = _Payment(story, forgets_keys)
        self.delivery = _Service("delivery", story)
        self.email = _Service("email", story)
        self.sms = _Sms(story)

    def __iter__(self) -> Iterator[_Service]:
        return iter((self.payment, self.delivery, self.email, self.sms))

    @property
    def urls(self) -> dict[str, str]:
        """The origin of each service, by name: scheme, host and port."""
        return {service.name: service.server.url for service in self}

    def enter(self, act: Act) -> None:
        """Fail as the act says."""
        self.sms.is_overloaded = act.sms_is_overloaded
        if act.delivery_is_down:
            self.delivery.server.refuse()
        elif not self._stays_down:
            self.delivery.server.accept()

    @property
    def request_count(self) -> int:
        """The number of received requests, whatever their outcome."""
        return sum(len(service.server.requests) for service in self)

    def open_connections(self, patience: float) -> int:
        """Connections that are still open after `patience` seconds."""
        for service in self:
            service.server.wait_for(service.is_quiet, patience)
        return sum(service.server.open_connections for service in self)

    def __enter__(self) -> Services:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for service in self:
            service.server.__exit__(kind, error, traceback)  # raises the exception of a response function

"""A circuit breaker whose clock and random numbers are set by the test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

from http_service_client.core.machines.circuit_breaker.breaker import CircuitBreaker, Permit
from http_service_client.core.machines.circuit_breaker.states import (
    CircuitBreakerSettings,
    CircuitBreakerState,
    Refusal,
    StateChange,
)

CLOSED, OPEN, HALF_OPEN = CircuitBreakerState


class Circuit(CircuitBreaker):
    """A breaker with a clock (`now`) and a random number (`dice`) that the test sets, and a list of its state changes.

    It opens for 60 s and closes after three trials, if the test sets nothing else.
    """

    def __init__(self, *, on_change: Callable[[StateChange], None] | None = None, **settings: Any) -> None:
        self.now = 1000.0
        self.dice = 0.0
        self.changes: list[StateChange] = []
        super().__init__(
            CircuitBreakerSettings(**{"recovery_timeout": 60.0, "success_threshold": 3, **settings}),
            key="https://api.example.com",
            clock=lambda: self.now,
            random=lambda: self.dice,
            lock=threading.Lock(),
            on_change=on_change or self.changes.append,
        )

    def permit(self) -> Permit:
        """Acquire a permit. Fails the test if the breaker refuses."""
        acquired = self.try_acquire()
        assert isinstance(acquired, Permit), acquired
        return acquired

    def refusal(self) -> Refusal:
        """Request a permit and be refused. Fails the test if the breaker admits the call."""
        refused = self.try_acquire()
        assert isinstance(refused, Refusal), refused
        return refused

    def fail(self, times: int = 1) -> None:
        for _ in range(times):
            self.permit().record_failure()

    def succeed(self, times: int = 1) -> None:
        for _ in range(times):
            self.permit().record_success()

    def moves(self) -> list[tuple[CircuitBreakerState, CircuitBreakerState]]:
        """The state changes so far, as (old, new)."""
        return [(change.old, change.new) for change in self.changes]


def opened(**settings: Any) -> Circuit:
    """A circuit that one failure has just opened for 60 seconds."""
    circuit = Circuit(**{"failure_threshold": 1, "recovery_timeout": 60.0, **settings})
    circuit.fail()
    circuit.changes.clear()
    return circuit


def on_trial(**settings: Any) -> tuple[Circuit, Permit]:
    """A half-open circuit, and the permit of its unsettled trial."""
    circuit = opened(**settings)
    circuit.now += 60.0
    trial = circuit.permit()
    circuit.changes.clear()
    return circuit, trial


def spans(circuit: Circuit, times: int) -> Iterator[float]:
    """How long the circuit stays open each time, while every trial fails."""
    for _ in range(times):
        wait = circuit.refusal().retry_after
        assert wait is not None
        yield wait
        circuit.now += wait
        circuit.fail()

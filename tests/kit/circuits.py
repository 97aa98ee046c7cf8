"""A circuit breaker whose clock and chance are in the test's hands."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

from http_service_client.core.machines.circuit_breaker import CircuitBreaker, Permit
from http_service_client.core.machines.circuit_states import (
    CircuitBreakerSettings,
    CircuitBreakerState,
    Refusal,
    StateChange,
)

CLOSED, OPEN, HALF_OPEN = CircuitBreakerState


class Circuit(CircuitBreaker):
    """A breaker with a clock and a dice in the test's hands, and a list of what it told."""

    def __init__(self, *, on_change: Callable[[StateChange], None] | None = None, **settings: Any) -> None:
        self.now = 1000.0
        self.dice = 0.0
        self.changes: list[StateChange] = []
        super().__init__(
            CircuitBreakerSettings(**settings),
            key="https://api.example.com",
            clock=lambda: self.now,
            random=lambda: self.dice,
            lock=threading.Lock(),
            on_change=on_change or self.changes.append,
        )

    def permit(self) -> Permit:
        answer = self.try_acquire()
        assert isinstance(answer, Permit), answer
        return answer

    def refusal(self) -> Refusal:
        answer = self.try_acquire()
        assert isinstance(answer, Refusal), answer
        return answer

    def fail(self, times: int = 1) -> None:
        for _ in range(times):
            self.permit().record_failure()

    def succeed(self, times: int = 1) -> None:
        for _ in range(times):
            self.permit().record_success()

    def moves(self) -> list[tuple[CircuitBreakerState, CircuitBreakerState]]:
        return [(change.old, change.new) for change in self.changes]


def opened(**settings: Any) -> Circuit:
    """A circuit that has just opened, by one failure, for 60 seconds."""
    circuit = Circuit(**{"failure_threshold": 1, "recovery_timeout": 60.0, **settings})
    circuit.fail()
    circuit.changes.clear()
    return circuit


def on_trial(**settings: Any) -> tuple[Circuit, Permit]:
    """A half-open circuit, and the trial that it has admitted."""
    circuit = opened(**settings)
    circuit.now += 60.0
    trial = circuit.permit()
    circuit.changes.clear()
    return circuit, trial


def spans(circuit: Circuit, times: int) -> Iterator[float]:
    """How long the circuit stays open, each time one more trial has failed."""
    for _ in range(times):
        wait = circuit.refusal().retry_after
        assert wait is not None
        yield wait
        circuit.now += wait
        circuit.fail()

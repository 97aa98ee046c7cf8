"""An interrupt, such as Ctrl-C, between any two lines of a circuit breaker."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import pytest

from http_service_client.core.machines.circuit_breaker import breaker, failure_detector, recovery, windows
from http_service_client.core.machines.circuit_breaker.breaker import Permit
from http_service_client.core.machines.circuit_breaker.states import CircuitBreakerState
from kit.circuits import Circuit
from kit.reentry import interrupt_each_line

MODULES = [breaker, failure_detector, recovery, windows]


class Interrupt(BaseException):
    pass


def make_call(circuit: Circuit, *, succeeds: bool) -> None:
    """As a guarded function does, it releases in any case what it got."""
    permit = None
    try:
        permit = circuit.try_acquire()
        if isinstance(permit, Permit):
            (permit.record_success if succeeds else permit.record_failure)()
    except Interrupt:
        if isinstance(permit, Permit):
            permit.release()


@pytest.mark.parametrize(
    "settings",
    [{}, {"ramp": [0.5], "ramp_step": 2.0}, {"failure_rate": 0.5, "window": 10.0, "minimum_calls": 2}],
    ids=["plain", "ramp", "window"],
)
def test_a_circuit_works_after_an_interrupt(settings: dict[str, Any]) -> None:
    """It closes when the service works again, and opens when it fails again."""
    circuits: list[Circuit] = []

    def work() -> None:
        circuit = Circuit(
            **{"failure_threshold": 2, "recovery_timeout": 5.0, "success_threshold": 1, **settings}
        )
        circuit._lock = threading.RLock()
        circuits.append(circuit)
        for succeeds in (True, False, False):
            make_call(circuit, succeeds=succeeds)
        for succeeds in (False, True, True):
            circuit.now += 5.0
            make_call(circuit, succeeds=succeeds)

    def interrupt() -> None:
        raise Interrupt

    def work_to_the_end() -> None:
        with contextlib.suppress(Interrupt):  # while the circuit is made
            work()

    assert interrupt_each_line(work_to_the_end, interrupt, MODULES) > 100
    for circuit in circuits:
        # An interrupt at the end of a `with` leaves the lock to the thread it ended.
        circuit._lock = threading.RLock()
        for _ in range(100):
            circuit.now += 1.0
            make_call(circuit, succeeds=True)
        assert circuit.state is CircuitBreakerState.CLOSED
        for _ in range(20):
            make_call(circuit, succeeds=False)
        assert circuit.state is not CircuitBreakerState.CLOSED

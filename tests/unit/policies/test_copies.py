"""Policies are copied and pickled by their settings. What they live through stays where it is."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from http_service_client import (
    CircuitBreakerPolicy,
    CircuitOpenError,
    ConstantBackoff,
    HttpClientConfig,
    RetryPolicy,
    StateChange,
)
from http_service_client.testing import VirtualClock

SEEN: list[StateChange] = []


def note(change: StateChange) -> None:
    SEEN.append(change)


def pickled(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


HOW = pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, pickled])


@HOW
def test_a_copied_circuit_has_the_settings_and_begins_closed(how: Callable[[Any], Any]) -> None:
    """Of an open circuit as well, and its failures are its own."""
    policy = CircuitBreakerPolicy(1, 5.0, 2, timeout=3.0, trial_lease=7.0, name="payments", on_change=note)
    policy.isolate()
    twin = how(policy)
    assert twin.settings == policy.settings
    assert (twin.timeout, twin.name, twin.on_change) == (3.0, "payments", note)
    assert (twin.failure_threshold, twin.recovery_timeout, twin.success_threshold) == (1, 5.0, 2)
    SEEN.clear()
    with pytest.raises(ZeroDivisionError), twin:
        raise ZeroDivisionError
    assert twin.state == "open"
    assert len(SEEN) == 1
    policy.reset()
    assert (policy.state, policy.snapshot().failures) == ("closed", 0)


@HOW
def test_a_copied_circuit_of_a_subclass_keeps_its_attributes(how: Callable[[Any], Any]) -> None:
    """Whatever its `__init__` asks for."""
    assert how(Tagged("eu")).tag == "eu"


class Tagged(CircuitBreakerPolicy):
    def __init__(self, tag: str) -> None:
        super().__init__(failure_threshold=1)
        self.tag = tag


@HOW
def test_a_copied_configuration_has_circuits_of_its_own(how: Callable[[Any], Any]) -> None:
    """It may hold a policy object in place of a mapping."""
    given = CircuitBreakerPolicy(failure_threshold=7)
    twin = how(HttpClientConfig(circuit_breaker_config=given))
    assert twin.circuit_breaker_config is not given or how is copy.copy
    assert twin.circuit_breaker_config.failure_threshold == 7


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy])
def test_a_copy_in_the_same_process_has_the_same_clock(how: Callable[[Any], Any]) -> None:
    """A virtual one holds a lock, and a copy of it would be another time."""
    clock = VirtualClock()
    retries = how(RetryPolicy(2, ConstantBackoff(1.0, jitter="none"), clock=clock))
    with pytest.raises(ConnectionError):
        retries.call(fail)
    assert clock.waits == [1.0]
    circuit = how(CircuitBreakerPolicy(1, 5.0, clock=clock.monotonic))
    with pytest.raises(ConnectionError):
        circuit.call(fail)
    with pytest.raises(CircuitOpenError):
        circuit.call(fail)
    clock.advance(5.0)
    with pytest.raises(ConnectionError):
        circuit.call(fail)


def fail() -> None:
    raise ConnectionError


def test_a_virtual_clock_says_that_it_cannot_be_pickled() -> None:
    """Nor can a policy on it. The message names what holds it up, and the remedy."""
    for value in (VirtualClock(), RetryPolicy(clock=VirtualClock())):
        with pytest.raises(TypeError, match=r"a VirtualClock cannot be pickled.*make one"):
            pickle.dumps(value)

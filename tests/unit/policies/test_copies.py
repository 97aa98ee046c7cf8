"""Policies are copied and pickled by their settings. What they live through stays where it is."""

from __future__ import annotations

import contextlib
import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from http_service_client import (
    CircuitBreakerPolicy,
    CircuitOpenError,
    ConfigurationError,
    ConstantBackoff,
    HttpClientConfig,
    HttpResponse,
    HttpServiceClient,
    RetryPolicy,
    StateChange,
)
from http_service_client.testing import ScriptedTransport, VirtualClock
from kit.front_ends import run_task
from kit.policies import MAKERS

SEEN: list[StateChange] = []


def note(change: StateChange) -> None:
    SEEN.append(change)


async def nothing() -> None: ...


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


@HOW
@pytest.mark.parametrize("kind", MAKERS)
def test_a_copy_of_a_policy_in_use_guards_by_itself(how: Callable[[Any], Any], kind: str) -> None:
    """Nothing of what the policy made for its own calls is shared."""
    policy = MAKERS[kind]()
    policy.apply(nothing)
    run_task(policy.call_async(nothing))
    with contextlib.suppress(TypeError, ConfigurationError), policy:  # not all of them guard blocks
        pass
    names = ("_blocks", "_function_budget", "_runner", "_scopes")
    live = {name: value for name, value in vars(policy).items() if name in names}
    twin = how(policy)
    run_task(twin.call_async(nothing))
    assert twin == policy
    assert live
    assert [name for name, value in live.items() if vars(twin).get(name) is value] == []


@HOW
@pytest.mark.parametrize("kind", MAKERS)
def test_a_policy_may_be_copied_inside_of_its_own_block(how: Callable[[Any], Any], kind: str) -> None:
    """The copy has no block that is open."""
    policy = MAKERS[kind]()
    with contextlib.suppress(ConfigurationError), policy:  # not all of them guard blocks
        twin = how(policy)
        with pytest.raises(RuntimeError, match="was not entered"):
            twin.__exit__(None, None, None)
        with twin:
            pass


@HOW
def test_a_copied_circuit_does_not_notify_the_clients_of_the_other(how: Callable[[Any], Any]) -> None:
    """They are of this process, and have their calls guarded by that one."""
    changes: list[StateChange] = []
    policy = CircuitBreakerPolicy()
    transport = ScriptedTransport([HttpResponse(200)])
    with HttpServiceClient(transport=transport, on_event=changes.append) as client:
        client.get("https://api.test/", circuit_breaker=policy)
        changes.clear()
        how(policy).isolate()
        assert changes == []
        policy.isolate()
    assert len(changes) == 1


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

"""A circuit breaker policy as a value with a live circuit: compared by its settings, changed by `reconfigure`."""

from __future__ import annotations

import copy
import logging
from typing import Any

import pytest

from http_service_client import CircuitBreakerPolicy, CircuitOpenError, ConfigurationError, StateChange
from http_service_client.policies import CircuitBreakerSettings
from kit.fakes import FakeClock
from kit.front_ends import FrontEnd
from kit.guarded import Failing, PaymentError
from kit.rows import each_row


def test_policies_with_the_same_settings_are_equal() -> None:
    """Whatever the states of their circuits, and they have the same hash."""
    one = CircuitBreakerPolicy(3, name="a", is_failure=bool, exclude=[KeyError])
    other = CircuitBreakerPolicy(3, name="a", is_failure=bool, exclude=(KeyError,))
    one.isolate()
    assert one == other
    assert hash(one) == hash(other)
    assert one.settings == other.settings
    for different in (
        CircuitBreakerPolicy(4, name="a", is_failure=bool, exclude=[KeyError]),
        CircuitBreakerPolicy(3, name="b", is_failure=bool, exclude=[KeyError]),
        CircuitBreakerPolicy(3, name="a", timeout=1.0, is_failure=bool, exclude=[KeyError]),
        CircuitBreakerPolicy(3, name="a", is_failure=bool, exclude=[KeyError], on_change=print),
        "a",
    ):
        assert one != different


def test_a_policy_s_hash_survives_its_reconfiguration() -> None:
    """It may be the key of a dictionary."""
    policy = CircuitBreakerPolicy(3)
    known = {policy: "here"}
    policy.reconfigure(failure_threshold=4)
    assert known[policy] == "here"


@each_row(
    "name", ["failure_threshold", "recovery_timeout", "timeout", "trial_lease", "on_change", "settings"]
)
def test_assigning_a_setting_names_the_method_to_call(name: str) -> None:
    """An assignment that changed nothing would be found in production."""
    policy = CircuitBreakerPolicy()
    with pytest.raises(AttributeError, match=rf"policy\.reconfigure\({name}=…\)"):
        setattr(policy, name, 1)
    with pytest.raises(AttributeError, match="keeps its name, 'x'"):
        CircuitBreakerPolicy(name="x").name = "y"  # type: ignore[misc]


def test_settings_change_while_an_open_circuit_stays_open(front_end: FrontEnd) -> None:
    """Its trial is due earlier, and a single success closes it."""
    clock, changes = FakeClock(), list[StateChange]()
    policy = CircuitBreakerPolicy(5, 60.0, 3, clock=clock.monotonic)
    policy.reconfigure(failure_threshold=1, on_change=changes.append)
    assert (policy.failure_threshold, policy.on_change) == (1, policy.settings.on_change)
    guarded = policy.apply(front_end.function(Failing(1)))
    with pytest.raises(PaymentError):
        front_end.run(guarded)
    policy.reconfigure(recovery_timeout=5.0, success_threshold=1)
    assert (policy.recovery_timeout, policy.success_threshold) == (5.0, 1)
    with pytest.raises(CircuitOpenError):
        front_end.run(guarded)
    clock.now += 5.0
    front_end.run(guarded)
    assert [str(change.new) for change in changes] == ["open", "half_open", "closed"]


def test_a_new_judge_s_errors_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """As those of the first one: it must not change the outcome."""
    policy = CircuitBreakerPolicy(1)
    policy.reconfigure(is_failure=lambda result: 1 / 0)  # type: ignore[arg-type, return-value]
    with caplog.at_level(logging.ERROR):
        assert policy.call(lambda: 7) == 7
    assert "is_failure raised an exception" in caplog.text


@pytest.mark.parametrize("wrong", [{"failure_threshold": 0}, {"is_failure": 5}, {"on_change": 5}])
def test_a_wrong_value_changes_nothing(wrong: dict[str, Any]) -> None:
    """It is an error that names the setting."""
    policy = CircuitBreakerPolicy()
    before = policy.settings
    with pytest.raises(ConfigurationError, match=rf"\b{next(iter(wrong))}\b"):
        policy.reconfigure(**wrong)
    assert policy.settings == before
    with pytest.raises(TypeError, match="did you mean 'recovery_timeout'"):
        policy.reconfigure(recovery_timout=3)  # type: ignore[call-arg]


def test_a_copy_has_the_settings_of_now() -> None:
    """Not those that the policy was made with."""
    policy = CircuitBreakerPolicy(5)
    policy.reconfigure(failure_threshold=2)
    assert copy.deepcopy(policy).failure_threshold == 2
    assert policy.settings == CircuitBreakerSettings(failure_threshold=2)

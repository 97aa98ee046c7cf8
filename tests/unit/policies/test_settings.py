"""The settings of policies: what they show, and how invalid ones are rejected."""

from __future__ import annotations

import asyncio
import inspect
import re
import threading
from dataclasses import MISSING, fields
from inspect import Parameter
from typing import Any

import pytest

from http_service_client import (
    CircuitBreakerPolicy,
    CircuitBreakerState,
    CircuitOpenError,
    ConfigurationError,
    ConstantBackoff,
    ExponentialBackoff,
    RetryPolicy,
    StateChange,
)
from http_service_client.errors import (
    SentState,
)
from kit.fakes import FakeClock, short
from kit.front_ends import FrontEnd
from kit.guarded import Failing, PaymentError, breaking, retrying
from kit.policies import MAKERS
from kit.rows import each_row

OPEN, CLOSED, HALF_OPEN = CircuitBreakerState.OPEN, CircuitBreakerState.CLOSED, CircuitBreakerState.HALF_OPEN


def test_a_breaker_policy_shows_and_reports_its_state() -> None:
    """State, isolation and repr are current, and `on_change` gets each change."""
    changes: list[StateChange] = []
    policy = CircuitBreakerPolicy(name="payments", on_change=changes.append)
    assert repr(policy) == "<CircuitBreakerPolicy 'payments' closed>"
    policy.isolate()
    assert (policy.state, policy.is_isolated) == (OPEN, True)
    with pytest.raises(CircuitOpenError, match="payments"), policy:
        pass
    policy.reset()
    assert (policy.state, policy.is_isolated) == (CLOSED, False)
    assert [(change.old, change.new) for change in changes] == [(CLOSED, OPEN), (OPEN, CLOSED)]


def test_a_breaker_policy_has_its_settings_as_attributes() -> None:
    """Code such as `self.circuit_breaker.timeout` can read them."""
    policy = CircuitBreakerPolicy(failure_threshold=5, recovery_timeout=60, success_threshold=3, timeout=10.0)
    assert (policy.failure_threshold, policy.recovery_timeout) == (5, 60)
    assert (policy.success_threshold, policy.timeout) == (3, 10.0)


def test_a_refusal_without_a_name_is_that_of_this_policy(front_end: FrontEnd) -> None:
    """A policy needs no name."""
    policy = breaking()
    policy.isolate()
    guarded = policy.apply(front_end.function(Failing(0)))
    with pytest.raises(CircuitOpenError, match=r"for this policy refused the call \(isolated\)"):
        front_end.run(guarded)


def test_a_refusal_names_the_circuit_and_the_next_trial(front_end: FrontEnd) -> None:
    """The error has key and retry_after, and its message names both."""
    clock = FakeClock()
    policy = breaking(name="mail", recovery_timeout=30.0, clock=clock.monotonic)
    guarded = policy.apply(front_end.function(Failing(9)))
    with pytest.raises(PaymentError):
        front_end.run(guarded)
    clock.now += 10.0
    with pytest.raises(
        CircuitOpenError, match=r"for mail refused the call \(open; next trial in 20\.000 s\)"
    ) as raised:
        front_end.run(guarded)
    assert (raised.value.key, raised.value.retry_after) == ("mail", 20.0)
    assert raised.value.sent_state is SentState.NEVER_SENT


@each_row("kind", sorted(set(MAKERS) - {"RetryPolicy"}))
def test_the_defaults_of_a_policy_are_those_of_its_settings(kind: str) -> None:
    """It writes them out for the reader of its signature. Its name is empty by default."""
    policy = MAKERS[kind]()
    parameters = inspect.signature(type(policy)).parameters
    for item in fields(policy.settings):
        default = item.default
        if default is MISSING:
            default = Parameter.empty if item.default_factory is MISSING else item.default_factory()
        assert parameters[item.name].default == default, item.name
    assert parameters["name"].default == ""


BAD_POLICIES = [
    (CircuitBreakerPolicy, "failure_threshold", [0, -1, 1.5, "5", True]),
    (CircuitBreakerPolicy, "recovery_timeout", [0, -1, float("nan"), float("inf"), "60", True]),
    (CircuitBreakerPolicy, "success_threshold", [0, -1, 1.5, "3", None]),
    (CircuitBreakerPolicy, "timeout", [0, -1, float("nan"), float("inf"), "10", True]),
    (CircuitBreakerPolicy, "recovery_multiplier", [0.5, float("nan"), float("inf"), "2"]),
    (CircuitBreakerPolicy, "max_recovery_timeout", [0, -1, float("nan"), "600"]),
    (CircuitBreakerPolicy, "recovery_jitter", [-0.1, 1.1, float("nan"), "0"]),
    (CircuitBreakerPolicy, "trial_lease", [0, -1, float("nan"), float("inf"), None]),
    (CircuitBreakerPolicy, "metrics_only", [1, "yes", None]),
    (CircuitBreakerPolicy, "name", [5, None]),
    (CircuitBreakerPolicy, "clock", [5, None]),
    (CircuitBreakerPolicy, "on_change", [5, "print", asyncio.sleep]),
    (RetryPolicy, "max_attempts", [0, -1, 2.0, "3", None, True]),
    (RetryPolicy, "backoff_strategy", [None, 5, "exponential", {"initial_delay": 1}, ExponentialBackoff]),
    (RetryPolicy, "retry_conditions", ["503", 503, [503], [None], {503}, lambda response: True]),
    (RetryPolicy, "nested", [1, "yes", None]),
    (RetryPolicy, "random", [5, None]),
    (RetryPolicy, "clock", [5, None, lambda: 0.0]),
    (ExponentialBackoff, "initial_delay", [-1, float("nan"), float("inf"), "1", None]),
    (ExponentialBackoff, "max_delay", [-1, float("nan"), float("inf"), "1", None]),
    (ExponentialBackoff, "backoff_factor", [0.9, 0, -1, float("nan"), float("inf"), "2"]),
    (ExponentialBackoff, "jitter", ["some", 1, None, True]),
    (ConstantBackoff, "delay", [-1, float("nan"), "1"]),
]


@each_row(
    ("kind", "field", "value"),
    [(kind, field, value) for kind, field, values in BAD_POLICIES for value in values],
    ids=short,
)
def test_an_invalid_setting_is_rejected_by_name_and_value(kind: Any, field: str, value: Any) -> None:
    """The message names the field, the value and what is allowed, when the policy is made and not later."""
    with pytest.raises(ConfigurationError) as raised:
        kind(**{field: value})
    message = str(raised.value)
    assert re.search(rf"\b{field}\b", message)
    assert " must be " in message
    shown = value.__name__ if isinstance(value, type) else repr(value)
    assert shown in message or field == "retry_conditions"


@pytest.mark.parametrize("kind", [CircuitBreakerPolicy, RetryPolicy, ExponentialBackoff])
def test_an_unknown_argument_is_a_type_error(kind: Any) -> None:
    """A misspelt argument raises a TypeError that names it, as for any function."""
    with pytest.raises(TypeError, match="max_attemps"):
        kind(max_attemps=3)


def test_a_plain_function_under_policies_runs_on_the_calling_thread() -> None:
    """Blocking policies need no event loop and no other thread."""
    threads: list[Any] = []
    guarded = retrying().apply(breaking(9).apply(lambda: threads.append(threading.current_thread())))
    guarded()
    assert threads == [threading.current_thread()]


@pytest.mark.parametrize("policy", [RetryPolicy(), CircuitBreakerPolicy()], ids=["retry", "circuit"])
def test_call_async_accepts_a_plain_function(policy: Any) -> None:
    """It is called once and its value returned; awaiting the value would fail and cause a retry."""
    calls: list[int] = []

    def plain() -> str:
        calls.append(1)
        return "value"

    assert asyncio.run(policy.call_async(plain)) == "value"
    assert calls == [1]

"""The settings of policies: what they show, and how a wrong one is named."""

from __future__ import annotations

import asyncio
import threading
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
from kit.front_ends import BlockingFrontEnd, FrontEnd
from kit.guarded import Failing, PaymentError, breaking, retrying

OPEN, CLOSED, HALF_OPEN = CircuitBreakerState.OPEN, CircuitBreakerState.CLOSED, CircuitBreakerState.HALF_OPEN


def test_a_breaker_policy_tells_of_itself() -> None:
    """State, isolation, snapshot and repr; changes are told."""
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


def test_a_breaker_policy_shows_the_seed_s_fields() -> None:
    """`self.circuit_breaker.timeout`, as the delivery service reads it."""
    policy = CircuitBreakerPolicy(failure_threshold=5, recovery_timeout=60, success_threshold=3, timeout=10.0)
    assert (policy.failure_threshold, policy.recovery_timeout) == (5, 60)
    assert (policy.success_threshold, policy.timeout) == (3, 10.0)


def test_a_refusal_knows_when_to_come_back(front_end: FrontEnd) -> None:
    """key, retry_after, and a message for people."""
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


BAD_POLICIES = [
    (CircuitBreakerPolicy, "failure_threshold", [0, -1, 1.5, "5", None, True]),
    (CircuitBreakerPolicy, "recovery_timeout", [0, -1, float("nan"), float("inf"), "60", None, True]),
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


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [(kind, field, value) for kind, field, values in BAD_POLICIES for value in values],
    ids=short,
)
def test_a_wrong_setting_is_named(kind: Any, field: str, value: Any) -> None:
    """Field, value and what to write instead, when it is made and not when it is needed."""
    with pytest.raises(ConfigurationError) as raised:
        kind(**{field: value})
    message = str(raised.value)
    assert field in message
    assert " must be " in message
    assert repr(value) in message or field == "retry_conditions"


@pytest.mark.parametrize("kind", [CircuitBreakerPolicy, RetryPolicy, ExponentialBackoff])
def test_an_unknown_argument_is_a_type_error(kind: Any) -> None:
    """As for any function."""
    with pytest.raises(TypeError, match="max_attemps"):
        kind(max_attemps=3)


def test_blocking_guards_never_touch_asyncio() -> None:
    """A plain function runs on the thread that called it."""
    threads: list[Any] = []
    guarded = retrying().apply(breaking(9).apply(lambda: threads.append(threading.current_thread())))
    guarded()
    assert threads == [threading.current_thread()]
    assert isinstance(BlockingFrontEnd(), FrontEnd)


@pytest.mark.parametrize("policy", [RetryPolicy(), CircuitBreakerPolicy()], ids=["retry", "circuit"])
def test_call_async_takes_a_function_that_need_not_be_awaited(policy: Any) -> None:
    """It is called once, and its value is the result: to fail would have it run again."""
    calls: list[int] = []

    def plain() -> str:
        calls.append(1)
        return "value"

    assert asyncio.run(policy.call_async(plain)) == "value"
    assert calls == [1]

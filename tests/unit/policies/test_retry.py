"""Retries of functions follow the same rules as those of a client."""

from __future__ import annotations

import asyncio
import concurrent.futures
from typing import Any

import pytest

from http_service_client import ResiliencePipeline
from http_service_client.core.machines.retry.backoff import ExponentialBackoff
from http_service_client.core.machines.retry.conditions import DEFAULT_CONDITIONS, RetryCondition
from http_service_client.errors import (
    CircuitOpenError,
)
from http_service_client.http.messages import HttpResponse
from http_service_client.policies import CircuitBreakerPolicy, RetryPolicy
from http_service_client.policies.deadline import deadline
from kit.fakes import FakeClock, Harness
from kit.front_ends import FrontEnd
from kit.guarded import policy_of
from kit.rows import each_row

EXACT = ExponentialBackoff(jitter="none")  # 1, 2, 4 ... seconds
NO_BREAKER: dict[str, Any] = {"enable_circuit_breaker": False}


class Listed:
    """A user-defined strategy whose delays come from a list."""

    def __init__(self, *delays: Any) -> None:
        self._delays = delays

    def delays(self, random: Any) -> Any:
        return iter(self._delays)


def test_the_repr_of_a_policy_shows_its_rules_alone() -> None:
    """Not the sources of time and chance, nor the budget, which are objects of a process."""
    shown = repr(RetryPolicy(5))
    assert "max_attempts=5" in shown
    assert not [name for name in ("clock", "random", "budget") if f"{name}=" in shown]


def test_a_function_s_retry_respects_retry_after(front_end: FrontEnd) -> None:
    """Retry-After of the response counts, even if the function raised its own error because of it."""
    clock = FakeClock()
    policy = RetryPolicy(2, EXACT, [RetryCondition.on_status_codes([503])], clock=clock)
    harness = Harness(front_end, (503, {"Retry-After": "9"}), 200)

    class EmailError(Exception):
        pass

    calling = harness.calling()

    def raising(response: HttpResponse) -> HttpResponse:
        if not response.is_success:
            raise EmailError(response.status_code)
        return response

    if front_end.name == "blocking":
        function: Any = lambda: raising(calling())  # noqa: E731
    else:

        async def function() -> HttpResponse:
            return raising(await calling())

    assert front_end.run(policy.apply(function)).status_code == 200
    assert clock.sleeps == [9.0]


@each_row(("retry_after", "sleeps"), [("0", [1.0]), ("60", [60.0]), ("61", [])])
def test_a_function_s_retry_does_not_wait_longer_than_max_delay(
    front_end: FrontEnd, retry_after: str, sleeps: list[float]
) -> None:
    """If Retry-After is longer, the last response is returned; a short one does not shorten the backoff."""
    clock = FakeClock()
    response = HttpResponse(503, headers={"Retry-After": retry_after})
    function = RetryPolicy(2, EXACT, clock=clock).apply(front_end.function(lambda: response))
    assert front_end.run(function) is response
    assert clock.sleeps == sleeps


@each_row(("total", "calls"), [(0.5, 1), (1.0, 1), (1.5, 2)])
def test_a_function_s_retry_respects_the_deadline(front_end: FrontEnd, total: float, calls: int) -> None:
    """A wait that reaches the ambient deadline is not started."""
    clock = FakeClock()
    count = 0

    def body() -> None:
        nonlocal count
        count += 1
        raise ConnectionError("down")

    guarded = RetryPolicy(3, EXACT, clock=clock).apply(front_end.function(body))
    with deadline(total, clock=clock.monotonic), pytest.raises(ConnectionError):
        front_end.run(guarded)
    assert count == calls


@pytest.mark.parametrize("error", [asyncio.CancelledError(), concurrent.futures.CancelledError()], ids=repr)
def test_a_cancelled_function_is_not_retried(front_end: FrontEnd, error: BaseException) -> None:
    """A cancellation ends the call, even if the conditions retry every exception."""
    count = 0

    def body() -> None:
        nonlocal count
        count += 1
        raise error

    policy = policy_of(retry_conditions=[RetryCondition.on_exceptions([Exception])])
    with pytest.raises(type(error)):
        front_end.run(policy.apply(front_end.function(body)))
    assert count == 1


def test_a_function_s_retries_end_at_an_open_circuit(front_end: FrontEnd) -> None:
    """A `CircuitOpenError` is not retried, even if the conditions retry every exception."""
    breaker = CircuitBreakerPolicy(failure_threshold=1)
    breaker.isolate()
    clock = FakeClock()
    conditions = [RetryCondition.on_exceptions([Exception])]
    guarded = RetryPolicy(3, EXACT, conditions, clock=clock).apply(
        breaker.apply(front_end.function(lambda: 1))
    )
    with pytest.raises(CircuitOpenError):
        front_end.run(guarded)
    assert clock.sleeps == []


def test_a_finite_strategy_of_a_function_repeats_its_last_delay(front_end: FrontEnd) -> None:
    """`RetryPolicy.apply` treats a finite sequence of delays as the client does."""
    clock = FakeClock()
    policy = RetryPolicy(max_attempts=4, backoff_strategy=Listed(1, 2), clock=clock)

    def failing() -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        front_end.run(policy.apply(front_end.function(failing)))
    assert clock.sleeps == [1, 2, 2]


class OwnCondition(RetryCondition):
    """A condition of a user's own class, which is asked about every outcome."""


PLAIN_VALUES = [503, "503", None, 0, (503, {}), {"status": 503}]


@each_row("value", PLAIN_VALUES, ids=repr)
@each_row(
    "condition",
    [
        RetryCondition.on_status_codes([503]),
        OwnCondition.on_status_codes([503]),
        RetryCondition.on_timeout(),
        RetryCondition.on_exceptions([Exception]),
        *DEFAULT_CONDITIONS,
    ],
    ids=repr,
)
@each_row("beside", [False, True], ids=["alone", "beside another"])
def test_no_condition_but_a_predicate_holds_for_a_plain_value(
    front_end: FrontEnd, condition: RetryCondition, value: Any, beside: bool
) -> None:
    """A function that returns 503 returned a number, and not a response: it is not called again."""
    others = [RetryCondition.on_result(lambda result: result == "again")] if beside else []
    calls: list[Any] = []

    def body() -> Any:
        calls.append(value)
        return value

    guarded = policy_of(retry_conditions=[condition, *others]).apply(front_end.function(body))
    assert front_end.run(guarded) == value
    assert len(calls) == 1
    assert not condition.holds_for(value)


def test_a_call_that_succeeds_makes_no_state_for_retries(
    front_end: FrontEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nearly all calls need one attempt, and should cost little."""
    monkeypatch.setattr("http_service_client.policies.retry.Attempts", None)
    assert front_end.run(policy_of().apply(front_end.function(lambda: 1))) == 1


def test_a_predicate_holds_for_a_plain_value(front_end: FrontEnd) -> None:
    """It is asked about whatever the function returns."""
    values = [503, None, 200]
    conditions = [RetryCondition.on_status_codes([503]), RetryCondition.on_result(lambda value: value != 200)]
    guarded = policy_of(retry_conditions=conditions).apply(front_end.function(lambda: values.pop(0)))
    assert front_end.run(guarded) == 200


@each_row("is_piped", [False, True], ids=["alone", "in a pipeline"])
@each_row(
    ("results", "returned", "calls"),
    [
        (["busy", "done"], "done", 2),
        (["busy", "busy", "busy", "done"], "busy", 3),
        (["done"], "done", 1),
        (["busy", ConnectionError(), "done"], "done", 3),
        ([ConnectionError(), "busy", "done"], "done", 3),
        ([ConnectionError(), "done"], "done", 2),
    ],
    ids=str,
)
def test_a_result_is_repeated_as_an_error_is(
    front_end: FrontEnd, results: list[Any], returned: str, calls: int, is_piped: bool
) -> None:
    """While a condition holds for it; the last one is returned."""
    conditions = [
        RetryCondition.on_result(lambda result: result == "busy"),
        RetryCondition.on_exceptions([ConnectionError]),
    ]
    policy: Any = policy_of(3, *conditions)
    left = list(results)

    def function() -> str:
        outcome = left.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return str(outcome)

    guard = ResiliencePipeline(policy) if is_piped else policy
    assert front_end.run(guard.apply(front_end.function(function))) == returned
    assert len(results) - len(left) == calls

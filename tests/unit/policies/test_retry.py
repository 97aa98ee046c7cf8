"""Retries around functions keep to the rules of a client's."""

from __future__ import annotations

import asyncio
import concurrent.futures
from typing import Any

import pytest

from http_service_client.core.machines.backoff import ConstantBackoff, ExponentialBackoff
from http_service_client.core.machines.retry_conditions import (
    RetryCondition,
)
from http_service_client.errors import (
    CircuitOpenError,
)
from http_service_client.http.messages import HttpResponse
from http_service_client.policies import CircuitBreakerPolicy, RetryPolicy
from http_service_client.policies.deadline import deadline
from kit.fakes import FakeClock, Harness
from kit.front_ends import FrontEnd

EXACT = ExponentialBackoff(jitter="none")  # 1, 2, 4 ... seconds
NO_BREAKER: dict[str, Any] = {"enable_circuit_breaker": False}


class Listed:
    """A strategy of the user's own, whose delays come from a list."""

    def __init__(self, *delays: Any) -> None:
        self._delays = delays

    def delays(self, random: Any) -> Any:
        return iter(self._delays)


def policy_of(attempts: int = 3, **options: Any) -> RetryPolicy:
    clock = FakeClock()
    return RetryPolicy(attempts, ConstantBackoff(0.0), clock=clock, **options)


def test_a_guarded_function_heeds_retry_after(front_end: FrontEnd) -> None:
    """The response behind the function's own exception says how long."""
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


@pytest.mark.parametrize(("asked", "sleeps"), [("0", [1.0]), ("60", [60.0]), ("61", [])])
def test_a_guarded_function_does_not_wait_beyond_max_delay(
    front_end: FrontEnd, asked: str, sleeps: list[float]
) -> None:
    """A Retry-After that is longer ends it: the last response is what comes out. A shorter one shortens nothing."""
    clock = FakeClock()
    answer = HttpResponse(503, headers={"Retry-After": asked})
    front_end.run(RetryPolicy(2, EXACT, clock=clock).apply(front_end.function(lambda: answer)))
    assert clock.sleeps == sleeps


@pytest.mark.parametrize(("total", "calls"), [(0.5, 1), (1.0, 1), (1.5, 2)])
def test_a_guarded_function_keeps_to_the_deadline(front_end: FrontEnd, total: float, calls: int) -> None:
    """A wait across the ambient deadline is not begun."""
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
def test_a_cancelled_function_is_not_repeated(front_end: FrontEnd, error: BaseException) -> None:
    """Whoever cancelled it wants an end, even where any exception is worth a retry."""
    count = 0

    def body() -> None:
        nonlocal count
        count += 1
        raise error

    guarded = policy_of(retry_conditions=[RetryCondition.on_exceptions([Exception])])
    with pytest.raises(type(error)):
        front_end.run(guarded.apply(front_end.function(body)))
    assert count == 1


def test_a_guarded_function_stops_at_an_open_circuit(front_end: FrontEnd) -> None:
    """Knocking again at once is what the circuit is there to stop."""
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


def test_the_strategy_of_a_guarded_function_may_end_too(front_end: FrontEnd) -> None:
    """`RetryPolicy.apply` reads the delays by the same rule."""
    clock = FakeClock()
    policy = RetryPolicy(max_attempts=4, backoff_strategy=Listed(1, 2), clock=clock)

    def failing() -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        front_end.run(policy.apply(front_end.function(failing)))
    assert clock.sleeps == [1, 2, 2]

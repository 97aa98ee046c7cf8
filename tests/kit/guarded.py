"""Functions to wrap in policies, and the policies."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from http_service_client import (
    CircuitBreakerPolicy,
    CircuitBreakerState,
    ConstantBackoff,
    HttpResponse,
    RetryCondition,
    RetryPolicy,
)
from kit.fakes import FakeClock, Harness
from kit.front_ends import FrontEnd, run_task

OPEN, CLOSED, HALF_OPEN = CircuitBreakerState.OPEN, CircuitBreakerState.CLOSED, CircuitBreakerState.HALF_OPEN

KEY = {"Idempotency-Key": "order-42"}


class PaymentError(Exception):
    pass


def retrying(attempts: int = 3, *errors: type[BaseException], **options: Any) -> RetryPolicy:
    """A policy that retries these errors (default: PaymentError) without delay."""
    conditions = [RetryCondition.on_exceptions(errors or (PaymentError,))]
    return RetryPolicy(attempts, ConstantBackoff(0.0), **{"retry_conditions": conditions} | options)


def policy_of(attempts: int = 3, *conditions: RetryCondition, **options: Any) -> RetryPolicy:
    """A policy that retries without delay what these conditions hold for (default: the default ones)."""
    defaults: dict[str, Any] = {"clock": FakeClock(), "retry_conditions": list(conditions) or None}
    return RetryPolicy(attempts, ConstantBackoff(0.0), **defaults | options)


def breaking(threshold: int = 1, **options: Any) -> CircuitBreakerPolicy:
    return CircuitBreakerPolicy(threshold, **options)


class Failing:
    """A function that fails this many times, then returns. It counts its calls."""

    def __init__(self, times: int, error: BaseException | None = None, value: Any = "done") -> None:
        self.times, self.error, self.value = times, error or PaymentError("no"), value
        self.calls = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        if self.calls <= self.times:
            raise self.error
        return self.value


def call(function: Callable[..., Any], *args: Any) -> Any:
    """Call the function; an async one on a fresh event loop."""
    if inspect.iscoroutinefunction(function):
        return run_task(function(*args))
    return function(*args)


def raising_on(status: int, harness: Harness, front_end: FrontEnd) -> Callable[[], Any]:
    """A function that makes an HTTP call and raises its own error for this status."""

    def judge(response: HttpResponse) -> HttpResponse:
        if response.status_code == status:
            raise PaymentError(status)
        return response

    calling = harness.calling("POST")
    if front_end.name == "blocking":
        return lambda: judge(calling())

    async def function() -> HttpResponse:
        return judge(await calling())

    return function

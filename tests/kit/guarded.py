"""Functions to guard, and policies to guard them with."""

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
from kit.fakes import FrontEnd, Harness, run_task

OPEN, CLOSED, HALF_OPEN = CircuitBreakerState.OPEN, CircuitBreakerState.CLOSED, CircuitBreakerState.HALF_OPEN


class PaymentError(Exception):
    pass


def retrying(attempts: int = 3, *errors: type[BaseException], **options: Any) -> RetryPolicy:
    """Retries at once, on the errors given (PaymentError by default)."""
    conditions = [RetryCondition.on_exceptions(errors or (PaymentError,))]
    return RetryPolicy(attempts, ConstantBackoff(0.0), **{"retry_conditions": conditions} | options)


def breaking(threshold: int = 1, **options: Any) -> CircuitBreakerPolicy:
    return CircuitBreakerPolicy(threshold, **options)


class Failing:
    """A body that fails so many times, then returns; it counts its calls."""

    def __init__(self, times: int, error: BaseException | None = None, value: Any = "done") -> None:
        self.times, self.error, self.value = times, error or PaymentError("no"), value
        self.calls = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        if self.calls <= self.times:
            raise self.error
        return self.value


def call(function: Callable[..., Any], *args: Any) -> Any:
    """Call it, on a loop where it is async."""
    if inspect.iscoroutinefunction(function):
        return run_task(function(*args))
    return function(*args)


def raising_on(status: int, bench: Harness, front_end: FrontEnd) -> Callable[[], Any]:
    """A function that makes a call and turns this status into an error of its own."""

    def judge(response: HttpResponse) -> HttpResponse:
        if response.status_code == status:
            raise PaymentError(status)
        return response

    calling = front_end.calling(bench.client, "POST")
    if front_end.name == "blocking":
        return lambda: judge(calling())

    async def function() -> HttpResponse:
        return judge(await calling())

    return function

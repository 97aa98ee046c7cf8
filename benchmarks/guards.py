"""Policies around a function that does nothing: the cost of guarding, plain and async."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import backoff
import purgatory
import pybreaker
import stamina
import tenacity
from aiolimiter import AsyncLimiter

from http_service_client import (
    BulkheadPolicy,
    CircuitBreakerPolicy,
    RateLimitPolicy,
    ResiliencePipeline,
    RetryPolicy,
    TimeoutPolicy,
)

from .clients import OURS, OnLoop, repeated
from .measuring import Work


def nothing() -> int:
    """The guarded function."""
    return 1


async def nothing_async() -> int:
    """The guarded async function."""
    return 1


def _tenacity(function: Any) -> Any:
    return tenacity.retry(
        stop=tenacity.stop_after_attempt(3), wait=tenacity.wait_exponential_jitter(), reraise=True
    )(function)


def _both(function: Any, breaker: pybreaker.CircuitBreaker) -> Any:
    """Each attempt asks the breaker. tenacity goes directly around an async function: otherwise it would await nothing."""
    if inspect.iscoroutinefunction(function):
        return breaker(_tenacity(function))
    return _tenacity(breaker(function))


FIVE = "our pipeline of five"
STACK = "tenacity + pybreaker + aiolimiter"
_PER_SECOND = 10_000_000  # so that nothing waits


def _five(function: Any) -> Any:
    """Five policies as one plan."""
    return ResiliencePipeline(
        RetryPolicy(),
        RateLimitPolicy(rate=_PER_SECOND, burst=_PER_SECOND),
        CircuitBreakerPolicy(),
        BulkheadPolicy(max_concurrent=100),
        TimeoutPolicy(10.0),
    ).apply(function)


def _stack(function: Any) -> Any:
    """What people stack by hand: retries, a rate limit, a breaker, a semaphore, and for async functions a timeout.

    There is no limiter of aiolimiter's for plain functions, which have one part less than ours here, and no timeout.
    """
    breaker = pybreaker.CircuitBreaker(fail_max=5, reset_timeout=60)
    if not inspect.iscoroutinefunction(function):
        semaphore = threading.Semaphore(100)

        def plain() -> Any:
            with semaphore:
                return breaker.call(function)

        return _tenacity(plain)
    slots, limiter = asyncio.Semaphore(100), AsyncLimiter(_PER_SECOND, 1)

    async def asynchronous() -> Any:
        async with limiter, slots:
            with breaker.calling():
                return await asyncio.wait_for(function(), 10.0)

    return _tenacity(asynchronous)


def _guarded(function: Any) -> dict[str, Any]:
    """The function under each policy."""
    breaker = pybreaker.CircuitBreaker(fail_max=5, reset_timeout=60)
    return {
        OURS: RetryPolicy().apply(CircuitBreakerPolicy().apply(function)),
        "tenacity + pybreaker": _both(function, breaker),
        FIVE: _five(function),
        STACK: _stack(function),
        "tenacity": _tenacity(function),
        "stamina": stamina.retry(on=ConnectionError, attempts=3)(function),
        "backoff": backoff.on_exception(backoff.expo, ConnectionError, max_tries=3)(function),
        "our retry": RetryPolicy().apply(function),
        "our breaker": CircuitBreakerPolicy().apply(function),
        "our breaker, by failure rate": CircuitBreakerPolicy(failure_rate=0.5).apply(function),
        "pybreaker": breaker(function),
        "no guard": function,
    }


@contextmanager
def plain(base: str) -> Iterator[dict[str, Work]]:
    """Around a plain function."""
    contenders = _guarded(nothing) | {"purgatory": purgatory.SyncCircuitBreakerFactory()("it")(nothing)}
    yield {name: repeated(function) for name, function in contenders.items()}


@contextmanager
def asynchronous(base: str) -> Iterator[dict[str, Work]]:
    """Around an async function. (pybreaker does not await coroutines; it is here for the time that it takes.)"""
    on_loop = OnLoop()
    contenders = _guarded(nothing_async)
    contenders["purgatory"] = purgatory.AsyncCircuitBreakerFactory()("it")(nothing_async)
    try:
        yield {name: on_loop.repeated(function) for name, function in contenders.items()}
    finally:
        on_loop.close()

"""An error that a policy passes on keeps nothing alive once it is handled: no frame, and so no request, file or lock."""

from __future__ import annotations

import gc
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from http_service_client import (
    AdaptiveLimitPolicy,
    BulkheadPolicy,
    CircuitBreakerPolicy,
    CircuitOpenError,
    ConstantBackoff,
    DeadlineCheckPolicy,
    FallbackPolicy,
    HedgingPolicy,
    LoadSheddingPolicy,
    RateLimitPolicy,
    ResiliencePipeline,
    ResultCachePolicy,
    RetryPolicy,
    TimeoutPolicy,
)
from http_service_client.policies import Strategy
from kit.front_ends import run_task
from kit.rows import each_row

RETRY = RetryPolicy(max_attempts=2, backoff_strategy=ConstantBackoff(0.0), budget=None)
POLICIES: dict[str, Callable[[], Strategy]] = {
    "adaptive limit": AdaptiveLimitPolicy,
    "bulkhead": lambda: BulkheadPolicy(max_concurrent=1),
    "cache": lambda: ResultCachePolicy(60.0),
    "circuit": lambda: ResiliencePipeline(CircuitBreakerPolicy()),
    "deadline check": DeadlineCheckPolicy,
    "fallback": lambda: FallbackPolicy(function=lambda error: None, failures=[Uncopied]),
    "fallback that declines": lambda: FallbackPolicy(function=decline, failures=[Uncopied]),
    "fallback without a result": lambda: FallbackPolicy(last_good=60.0, failures=[Uncopied]),
    "fallback that raises": lambda: FallbackPolicy(function=lambda error: 1 / 0, failures=[Uncopied]),
    "hedging": lambda: HedgingPolicy(delay=60.0, in_threads=True),
    "learning rate limit": lambda: RateLimitPolicy(rate=9, adaptive="aimd"),
    "load shedding": LoadSheddingPolicy,
    "rate limit": lambda: RateLimitPolicy(rate=9),
    "retry": lambda: ResiliencePipeline(RETRY),
    "timeout": lambda: TimeoutPolicy(60.0),
    "timeout around a limit": lambda: ResiliencePipeline(
        TimeoutPolicy(60.0), BulkheadPolicy(max_concurrent=1)
    ),
}


class Uncopied(ConnectionError):
    """Of which `copy` makes none, since its constructor takes something else."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)


class Local:
    """A local variable of code that fails."""

    alive: list[weakref.ref[Local]] = []

    def __init__(self) -> None:
        self.alive.append(weakref.ref(self))


def fail() -> None:
    local = Local()
    raise Uncopied(1, str(local))


def decline(error: BaseException) -> None:
    try:
        raise error
    finally:
        del error


ERRORS = (Uncopied, ZeroDivisionError)


def left_by(plain: Callable[[], Any], asynchronous: Callable[[], Any] | None = None) -> int:
    """Locals that are still alive when the error has been handled, without the garbage collector."""

    async def handle() -> None:
        assert asynchronous is not None
        with suppress(*ERRORS):
            await asynchronous()

    Local.alive.clear()
    gc.collect()
    gc.disable()
    try:
        if asynchronous is not None:
            run_task(handle())
        else:
            with suppress(*ERRORS):
                plain()
        assert Local.alive
        return sum(each() is not None for each in Local.alive)
    finally:
        gc.enable()


@each_row("is_plain", [True, False])
@each_row("name", POLICIES)
def test_of_a_function(name: str, is_plain: bool) -> None:
    """Neither is there a cycle through the plan of the policy."""

    async def fail_async() -> None:
        fail()

    policy = POLICIES[name]()
    assert left_by(policy.apply(fail), None if is_plain else policy.apply(fail_async)) == 0


@pytest.mark.parametrize("is_plain", [True, False])
def test_of_a_block(is_plain: bool) -> None:
    """Nor through the methods that leave it."""
    pipeline = ResiliencePipeline(TimeoutPolicy(60.0), BulkheadPolicy(max_concurrent=1))

    def plain() -> None:
        with pipeline:
            fail()

    async def asynchronous() -> None:
        async with pipeline:
            fail()

    assert left_by(plain, None if is_plain else asynchronous) == 0


@pytest.mark.parametrize("is_plain", [True, False])
def test_of_a_loop(is_plain: bool) -> None:
    """Nor through its attempts."""
    pipeline = ResiliencePipeline(RETRY)

    def plain() -> None:
        for attempt in pipeline.attempts():
            with attempt:
                fail()

    async def asynchronous() -> None:
        async for attempt in pipeline.attempts():
            async with attempt:
                fail()

    assert left_by(plain, None if is_plain else asynchronous) == 0


@pytest.mark.parametrize(
    "around", [lambda policy: policy, ResiliencePipeline], ids=["alone", "in a pipeline"]
)
@pytest.mark.parametrize("is_plain", [True, False])
def test_of_an_attempt_that_a_refusal_followed(is_plain: bool, around: Callable[[Any], Any]) -> None:
    """Nor through the policy that raises it in place of the refusal."""
    calls: list[int] = []

    def fail_once() -> None:
        calls.append(1)
        if len(calls) == 1:
            fail()
        raise CircuitOpenError("refused")

    async def fail_once_async() -> None:
        fail_once()

    policy = around(RETRY)
    assert left_by(policy.apply(fail_once), None if is_plain else policy.apply(fail_once_async)) == 0
    assert len(calls) == 2


@pytest.mark.parametrize("is_plain", [True, False])
def test_of_a_generator_into_which_it_was_thrown(is_plain: bool) -> None:
    """Nor through the step that passed it on."""
    policy = BulkheadPolicy(max_concurrent=1)

    @policy.apply
    def items() -> Iterator[int]:
        local = Local()
        yield 1
        print(local)

    @policy.apply
    async def async_items() -> AsyncIterator[int]:
        local = Local()
        yield 1
        print(local)

    def plain() -> None:
        made: Any = items()
        next(made)
        made.throw(ZeroDivisionError())

    async def asynchronous() -> None:
        made: Any = async_items()
        await anext(made)
        await made.athrow(ZeroDivisionError())

    assert left_by(plain, None if is_plain else asynchronous) == 0

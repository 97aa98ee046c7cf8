"""The timeout of an async function means the same in all drivers: on the loop's clock, on a virtual one, and in a simulation."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import pytest

from http_service_client import (
    BulkheadPolicy,
    ConstantBackoff,
    FallbackPolicy,
    HedgingPolicy,
    OperationTimeoutError,
    RateLimitPolicy,
    ResiliencePipeline,
    RetryPolicy,
    TimeoutPolicy,
)
from http_service_client.drivers import aio
from http_service_client.drivers.clocks import Clock, SystemClock
from http_service_client.drivers.simulated_functions import SimulatedClock
from http_service_client.drivers.simulator import Simulator
from http_service_client.testing import VirtualClock
from kit.front_ends import run_task

UNIT = 0.01  # seconds on the system's clock


def run(driver: str, of: Callable[[Clock, float], Awaitable[Any]]) -> Any:
    """What a coroutine returns or raises.   of: makes it, of a clock and the length of a unit of its time."""
    results: list[Any] = []

    async def main(clock: Clock, unit: float) -> None:
        try:
            results.append(await of(clock, unit))
        except Exception as error:
            results.append(type(error))

    if driver == "simulated":
        simulator = Simulator()
        simulator.spawn(main(SimulatedClock(simulator.clock), 1.0).__await__())  # type: ignore[arg-type]
        simulator.run()
    else:
        run_task(main(*((VirtualClock(), 1.0) if driver == "virtual" else (SystemClock(), UNIT))))
    return results[0]


@pytest.mark.parametrize("driver", ["system", "bounded", "virtual", "simulated"])
def test_a_result_in_spite_of_the_cancellation_is_used(driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function that ends its work when it is cancelled has done it: nobody is told that it failed."""
    if driver == "bounded":  # as before Python 3.11
        monkeypatch.setattr(
            aio.AsyncioDriver, "bounded", lambda _, *args: aio.bounded(*args, keeps_late=True)
        )

    def of(clock: Clock, unit: float) -> Awaitable[str]:
        async def stubborn() -> str:
            try:
                await clock.sleep_async(60 * unit)
            except asyncio.CancelledError:
                return "done"
            return "slept"

        return TimeoutPolicy(3 * unit, clock=clock).call_async(stubborn)

    assert run(driver, of) == "done"


@pytest.mark.parametrize("driver", ["system", "bounded", "virtual", "simulated"])
def test_a_late_result_of_a_further_attempt_is_used_too(driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The attempts of a function are alike."""
    if driver == "bounded":  # as before Python 3.11
        monkeypatch.setattr(
            aio.AsyncioDriver, "bounded", lambda _, *args: aio.bounded(*args, keeps_late=True)
        )

    def of(clock: Clock, unit: float) -> Awaitable[str]:
        attempts: list[int] = []

        async def stubborn() -> str:
            attempts.append(1)
            if len(attempts) == 1:
                raise ConnectionError
            try:
                await clock.sleep_async(60 * unit)
            except asyncio.CancelledError:
                return "done"
            return "slept"

        retry = RetryPolicy(backoff_strategy=ConstantBackoff(unit), clock=clock)
        return ResiliencePipeline(retry, TimeoutPolicy(3 * unit, clock=clock)).call_async(stubborn)

    assert run(driver, of) == "done"


VARIABLE: ContextVar[str] = ContextVar("variable", default="unset")


@pytest.mark.skipif(sys.version_info < (3, 11), reason="its tasks do not count their cancellations")
@pytest.mark.parametrize("clock", [SystemClock(), VirtualClock()], ids=["system", "virtual"])
@pytest.mark.parametrize("situation", ["at once", "after a retry", "after a wait", "as a fallback"])
def test_a_function_runs_in_the_task_of_its_caller(situation: str, clock: Clock) -> None:
    """What it sets in context variables is there afterwards, in a test of its user's, too."""
    bulkhead = BulkheadPolicy(1, clock=clock)
    strategies = TimeoutPolicy(20.0, clock=clock), bulkhead
    attempts: list[int] = []
    tasks: list[object] = []

    async def function(*_: object) -> None:
        attempts.append(1)
        if len(attempts) == 1 and situation == "after a retry":
            raise ConnectionError
        tasks.append(asyncio.current_task())
        VARIABLE.set(situation)
        await asyncio.sleep(0)

    async def fail() -> None:
        raise ConnectionError

    async def call() -> tuple[bool, str]:
        if situation == "as a fallback":
            fallback = FallbackPolicy(function=function, clock=clock)
            await ResiliencePipeline(TimeoutPolicy(20.0, clock=clock), fallback).call_async(fail)
        else:
            retry = RetryPolicy(backoff_strategy=ConstantBackoff(0.001), clock=clock)
            await ResiliencePipeline(retry, *strategies).call_async(function)
        return tasks == [asyncio.current_task()], VARIABLE.get()

    async def main() -> tuple[bool, str]:
        if situation != "after a wait":
            return await call()
        may_end = asyncio.Event()
        holder = asyncio.ensure_future(bulkhead.call_async(may_end.wait))
        await asyncio.sleep(0)
        caller = asyncio.ensure_future(call())
        while not bulkhead.snapshot().waiting:
            await asyncio.sleep(0)
        may_end.set()
        await holder
        return await caller

    assert run_task(main()) == (True, situation)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="its tasks do not count their cancellations")
def test_all_steps_of_a_generator_run_in_one_task() -> None:
    """Also one that has waited for its turn: a block of asyncio or anyio cannot be left in another task."""
    policies = RateLimitPolicy(1000.0), TimeoutPolicy(20.0)
    tasks: list[object] = []

    @ResiliencePipeline(*policies).apply
    async def numbers() -> AsyncIterator[int]:
        async with asyncio.timeout(20.0):
            for number in range(3):
                tasks.append(asyncio.current_task())
                await asyncio.sleep(0)
                yield number

    async def main() -> bool:
        assert [number async for number in numbers()] == [0, 1, 2]
        return set(tasks) == {asyncio.current_task()}

    assert run_task(main())


@pytest.mark.parametrize("driver", ["system", "simulated"])
def test_it_ends_the_hedges_inside(driver: str) -> None:
    """A function that waits for the branches of a pipeline of its own does not wait longer."""

    def of(clock: Clock, unit: float) -> Awaitable[None]:
        hedging = HedgingPolicy(delay=unit, max_share=1.0, clock=clock)

        async def outer() -> None:
            await hedging.call_async(clock.sleep_async, 600 * unit)

        return TimeoutPolicy(3 * unit, clock=clock).call_async(outer)

    assert run(driver, of) is OperationTimeoutError

"""The timeout of an async function means the same in all drivers: on the loop's clock, on a virtual one, and in a simulation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from http_service_client import HedgingPolicy, OperationTimeoutError, TimeoutPolicy
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


@pytest.mark.parametrize("driver", ["system", "simulated"])
def test_it_ends_the_hedges_inside(driver: str) -> None:
    """A function that waits for the branches of a pipeline of its own does not wait longer."""

    def of(clock: Clock, unit: float) -> Awaitable[None]:
        hedging = HedgingPolicy(delay=unit, max_share=1.0, clock=clock)

        async def outer() -> None:
            await hedging.call_async(clock.sleep_async, 600 * unit)

        return TimeoutPolicy(3 * unit, clock=clock).call_async(outer)

    assert run(driver, of) is OperationTimeoutError

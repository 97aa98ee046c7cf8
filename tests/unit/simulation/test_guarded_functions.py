"""Guarded functions in place of clients: the same policies, in the same virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from http_service_client import (
    CircuitBreakerPolicy,
    ConfigurationError,
    ConstantBackoff,
    RetryCondition,
    RetryPolicy,
    TransportError,
)
from http_service_client.simulation import Environment, Errors, Outage, Service, simulate

Function = Callable[[], Awaitable[Any]]


def retrying(environment: Environment) -> Function:
    """A function under a retry policy alone."""
    policy = RetryPolicy(clock=environment.clock, random=environment.random, budget=None)

    @policy.apply
    async def call() -> Any:
        return await environment.send(timeout=1.0)

    return call


def breaking(environment: Environment) -> Function:
    """A function under a circuit breaker alone."""
    policy = CircuitBreakerPolicy(
        clock=environment.clock.monotonic,
        failure_threshold=5,
        recovery_timeout=10,
        on_change=environment.on_change,
    )

    @policy.apply
    async def call() -> Any:
        return await environment.send(timeout=1.0)

    return call


def test_a_retry_policy_waits_in_virtual_time() -> None:
    """Its waits are the simulation's, and its attempts are counted as exchanges."""
    report = simulate(retrying, Service(latency=0.05, faults=[Outage()]), rate=2, seconds=100)
    assert report.amplification == 3.0
    assert report.errors == {"ConnectError": report.calls}
    assert 0.1 < (report.mean_call or 0) < 3


def test_a_retry_policy_helps_a_service_that_fails_sometimes() -> None:
    """As many calls succeed as theory says: all but p³."""
    report = simulate(retrying, Service(latency=0.05, faults=[Errors(rate=0.3)]), rate=20, seconds=60)
    assert report.success_share == pytest.approx(1 - 0.3**3, abs=0.015)


def test_a_circuit_breaker_opens_and_closes_in_virtual_time() -> None:
    """The report knows of its circuits by `on_change`."""
    service = Service(latency=0.05, faults=[Outage(start=20, seconds=30)])
    report = simulate(breaking, service, clients=3, rate=2, seconds=100)
    assert report.openings >= 3
    assert report.refusals == {"CircuitOpenError": report.errors["CircuitOpenError"]}
    assert report.moments[-1].open_circuits == 0
    assert report.time_to_recover is not None
    assert 0 < report.time_to_recover < 11


def test_a_function_decides_what_a_failure_is() -> None:
    """By the exceptions that it raises; what it returns counts by its status if it has one."""

    def strict(environment: Environment) -> Function:
        async def call() -> Any:
            response = await environment.send()
            if response.status_code == 503:
                raise LookupError("no pizza")
            return "pizza"

        return call

    report = simulate(strict, Service(faults=[Errors(rate=0.5)]), rate=20, seconds=20)
    assert report.errors == {"LookupError": report.failed}
    assert report.success_share == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("error", [RuntimeError("no pizza"), LookupError("no running event loop")])
def test_an_error_of_a_function_is_a_failed_call(error: Exception) -> None:
    """Whatever it is, unless it says that the function awaits what a simulation has not."""

    def make(environment: Environment) -> Function:
        async def call() -> Any:
            raise error

        return call

    report = simulate(make, Service(), rate=1, seconds=10)
    assert report.errors == {type(error).__name__: report.calls}


def test_conditions_see_the_cause_of_an_error() -> None:
    """As from a transport."""
    seen: list[Any] = []

    def make(environment: Environment) -> Function:
        conditions = [RetryCondition.on_exceptions([ConnectionRefusedError])]
        policy = RetryPolicy(
            2, ConstantBackoff(1.0), conditions, clock=environment.clock, random=environment.random
        )

        @policy.apply
        async def call() -> Any:
            try:
                return await environment.send()
            except TransportError as error:
                seen.append(error.sent_state.value)
                raise

        return call

    report = simulate(make, Service(faults=[Outage()]), rate=1, seconds=10)
    assert report.amplification >= 1.5
    assert set(seen) == {"never_sent"}


def test_a_seed_decides_what_guarded_functions_do() -> None:
    """Jitter included, when the policy has the environment's randomness."""
    service = Service(faults=[Errors(rate=0.5)])
    assert simulate(retrying, service, rate=5, seconds=20) == simulate(retrying, service, rate=5, seconds=20)


def test_waits_of_a_function_are_virtual() -> None:
    """It may wait by the clock of its environment."""

    def slow(environment: Environment) -> Function:
        async def call() -> Any:
            await environment.clock.sleep_async(3600)
            assert environment.clock.wall() > 1.7e9
            return await environment.send()

        return call

    report = simulate(slow, Service(latency=0.05), rate=1, seconds=10)
    assert report.worst_call == pytest.approx(3600.052, abs=0.001)


def real_sleep(environment: Environment) -> Any:
    async def call() -> Any:
        await asyncio.sleep(1)

    return retry_of(environment)(call)


def bare_future(environment: Environment) -> Any:
    class Foreign:
        def __await__(self) -> Any:
            yield "a foreign thing"

    async def call() -> Any:
        await Foreign()

    return retry_of(environment)(call)


def plain(environment: Environment) -> Any:
    return lambda: "done"


def blocking_retries(environment: Environment) -> Any:
    def call() -> Any:
        raise ConnectionError

    return RetryPolicy(clock=environment.clock).apply(call)


def retry_of(environment: Environment) -> Any:
    return RetryPolicy(clock=environment.clock, random=environment.random).apply


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (real_sleep, r"awaits real I/O .*environment\.send\(\)"),
        (bare_future, "awaits real I/O .*a foreign thing"),
        (plain, "must return an async function; .* is a plain one"),
        (blocking_retries, "a plain function cannot wait in a simulation; guard an async function"),
        (lambda environment: 5, "config must return an async function, not 5"),
    ],
)
def test_what_cannot_be_simulated_is_an_error(make: Any, part: str) -> None:
    """Not a failed call of the report: the figures would say nothing."""
    with pytest.raises(ConfigurationError, match=part):
        simulate(make, Service(), rate=1, seconds=10)


@pytest.mark.asyncio
async def test_real_waits_are_found_inside_an_event_loop_too() -> None:
    """There `asyncio.sleep` finds a loop, and yields a future."""
    with pytest.raises(ConfigurationError, match="awaits real I/O"):
        simulate(real_sleep, Service(), rate=1, seconds=10)


def test_policies_of_guarded_functions_log_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A circuit that opens in a simulation is no reason for an alarm."""
    assert simulate(breaking, Service(faults=[Outage()]), rate=5, seconds=10).openings == 1
    assert caplog.records == []

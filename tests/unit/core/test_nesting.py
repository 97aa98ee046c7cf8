"""Nested retry policies: only one level retries."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from http_service_client.core.machines.backoff import ConstantBackoff, ExponentialBackoff
from http_service_client.core.machines.retry_conditions import (
    RetryCondition,
)
from http_service_client.core.nesting import Scope, current_scope
from http_service_client.errors import (
    ConnectionLostError,
)
from http_service_client.events import RetryStopped, StopReason
from http_service_client.policies import CircuitBreakerPolicy, RetryPolicy
from kit.fakes import RESET, URL, FakeClock, Harness
from kit.front_ends import FrontEnd, run_task

EXACT = ExponentialBackoff(jitter="none")  # 1, 2, 4 ... seconds
NO_BREAKER: dict[str, Any] = {"enable_circuit_breaker": False}


def stop_reason(harness: Harness) -> StopReason | None:
    return next((event.reason for event in harness.events if isinstance(event, RetryStopped)), None)


def test_a_call_may_replace_the_retry_policy_or_switch_it_off(front_end: FrontEnd) -> None:
    """retry_policy=False or None makes one attempt, True uses the client's policy, a policy replaces it."""
    for value, sends in [(False, 1), (None, 1), (True, 3), (RetryPolicy(2), 2)]:
        harness = Harness(front_end, 503)
        harness.request(retry_policy=value)
        assert harness.sends == sends


def test_a_client_without_retries_makes_one_attempt(front_end: FrontEnd) -> None:
    """With enable_retry_policy=False only a call with its own policy retries."""
    harness = Harness(front_end, 503, enable_retry_policy=False)
    harness.request()
    assert harness.sends == 1
    harness.request(retry_policy=RetryPolicy(2))
    assert harness.sends == 3


def policy_of(attempts: int = 3, **options: Any) -> RetryPolicy:
    clock = FakeClock()
    return RetryPolicy(attempts, ConstantBackoff(0.0), clock=clock, **options)


@pytest.mark.parametrize(("is_nested", "sends"), [(False, 3), (True, 9)])
def test_a_policy_around_a_client_call_retries_alone(
    front_end: FrontEnd, is_nested: bool, sends: int
) -> None:
    """Only the outer policy retries: 3 attempts, not 9. With nested=True they multiply."""
    harness = Harness(
        front_end, 503, retry_policy_config=RetryPolicy(3, EXACT, nested=is_nested), **NO_BREAKER
    )
    guarded = policy_of().apply(harness.calling())
    assert front_end.run(guarded).status_code == 503
    assert harness.sends == sends
    assert (stop_reason(harness) is StopReason.NESTED) is not is_nested


@pytest.mark.parametrize(
    ("nested", "calls"),  # outermost policy first
    [
        ((False, False, False), 3),
        ((True, False, False), 3),
        ((False, True, False), 9),
        ((True, True, True), 27),
    ],
)
def test_of_nested_policies_only_the_outermost_retries(
    front_end: FrontEnd, nested: tuple[bool, ...], calls: int
) -> None:
    """Three policies of three attempts make 3 calls, not 27, unless inner ones have nested=True."""
    count = 0

    def body() -> int:
        nonlocal count
        count += 1
        return 503

    condition = [RetryCondition.on_result(lambda value: value == 503)]
    function = front_end.function(body)
    for is_nested in reversed(nested):
        function = policy_of(retry_conditions=condition, nested=is_nested).apply(function)
    assert front_end.run(function) == 503
    assert count == calls


def test_a_policy_covers_the_tasks_that_its_function_starts() -> None:
    """Two calls in tasks of a wrapped function make 2 × 3 attempts, not 2 × 9."""
    from kit.front_ends import AsyncioFrontEnd

    harness = Harness(AsyncioFrontEnd(), 503, **NO_BREAKER)

    async def both() -> int:
        responses = await asyncio.gather(*(harness.client.get_async(URL) for _ in range(2)))
        return max(response.status_code for response in responses)

    condition = [RetryCondition.on_result(lambda value: value == 503)]
    assert run_task(policy_of(retry_conditions=condition).apply(both)()) == 503
    assert harness.sends == 6


def test_a_task_that_outlives_the_wrapped_function_retries_itself() -> None:
    """Once the function has returned, its policy no longer suppresses the retries of a task started inside."""
    from kit.front_ends import AsyncioFrontEnd

    harness = Harness(AsyncioFrontEnd(), 503, **NO_BREAKER)

    async def main() -> None:
        gate = asyncio.Event()

        async def worker() -> None:
            await gate.wait()
            await harness.client.get_async(URL)

        async def start() -> asyncio.Task[None]:
            return asyncio.create_task(worker())

        task = await policy_of().apply(start)()
        gate.set()
        await task

    run_task(main())
    assert harness.sends == 3


def test_a_breaker_in_between_does_not_hide_the_outer_policy(front_end: FrontEnd) -> None:
    """In retry(breaker(call)) the retry policy still suppresses the retries of the call."""
    harness = Harness(front_end, 503, **NO_BREAKER)
    breaker = CircuitBreakerPolicy(failure_threshold=99)
    guarded = policy_of().apply(breaker.apply(harness.calling()))
    front_end.run(guarded)
    assert harness.sends == 3
    assert breaker.snapshot().failures == 3


def test_a_breaker_alone_does_not_suppress_retries(front_end: FrontEnd) -> None:
    """A call inside a breaker without a retry policy makes all its attempts."""
    harness = Harness(front_end, 503, **NO_BREAKER)
    front_end.run(CircuitBreakerPolicy().apply(harness.calling()))
    assert harness.sends == 3


def test_a_scope_ends_with_its_call_or_function(front_end: FrontEnd) -> None:
    """After a failed call or wrapped function no scope is active."""
    harness = Harness(front_end, RESET, **NO_BREAKER)
    calling = harness.calling(retry_policy=None)
    breaker = CircuitBreakerPolicy(failure_threshold=99)
    for function in (calling, breaker.apply(calling), policy_of().apply(calling)):
        scopes: list[Any] = []

        def blocking(function: Any = function, scopes: list[Any] = scopes) -> None:
            with pytest.raises(ConnectionLostError):
                function()
            scopes.append(current_scope())

        async def in_task(function: Any = function, scopes: list[Any] = scopes) -> None:
            with pytest.raises(ConnectionLostError):
                await function()
            scopes.append(current_scope())

        front_end.run(blocking if front_end.name == "blocking" else in_task)
        assert scopes == [None]


def test_a_chain_of_tasks_does_not_accumulate_scopes() -> None:
    """A task that starts its successor inside its scope does not keep the scopes of earlier tasks."""
    depths: list[int] = []

    async def main() -> None:
        done = asyncio.Event()

        async def generation(number: int) -> None:
            await asyncio.sleep(0)  # the previous task has left its scope
            depth, own = 0, Scope(retries=False)
            scope = own
            while scope.outer is not None:
                depth, scope = depth + 1, scope.outer
            depths.append(depth)
            if number < 10:
                successors.append(asyncio.create_task(generation(number + 1)))
            else:
                done.set()
            own.leave()

        successors = [asyncio.create_task(generation(0))]
        await done.wait()

    run_task(main())
    assert depths == [0] * 11


def test_a_call_inside_an_interceptor_makes_a_single_attempt(front_end: FrontEnd) -> None:
    """An interceptor that fetches a token for each attempt makes 3 × 1 token calls, not 3 × 3."""
    tokens = Harness(front_end, 503, **NO_BREAKER)

    class FetchToken:
        async def intercept_request(self, request: Any, context: Any) -> Any:
            await tokens.client.get_async("https://tokens.example.com/")
            return request

    harness = Harness(front_end, 503, request_interceptors=[FetchToken], **NO_BREAKER)
    harness.request()
    assert (harness.sends, tokens.sends) == (3, 3)
    tokens.request()
    assert tokens.sends == 6  # outside the interceptor it retries

"""Nested policies: only one level retries, and a circuit that encloses itself counts once."""

from __future__ import annotations

import asyncio
import warnings
from typing import Any

import pytest

from http_service_client.core.machines.retry.backoff import ExponentialBackoff
from http_service_client.core.machines.retry.conditions import RetryCondition
from http_service_client.core.nesting import current_scope
from http_service_client.errors import ConnectionLostError, HttpStatusError
from http_service_client.events import RetryStopped, StopReason
from http_service_client.policies import CircuitBreakerPolicy, CircuitBreakerState, RetryPolicy
from kit.fakes import RESET, URL, FakeClock, Harness
from kit.front_ends import FrontEnd, run_task
from kit.guarded import policy_of
from kit.rows import each_row

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


@pytest.mark.parametrize(("is_nested", "sends"), [(False, 3), (True, 9)])
def test_a_policy_around_a_client_call_retries_alone(
    front_end: FrontEnd, is_nested: bool, sends: int
) -> None:
    """Only the outer policy retries: 3 attempts, not 9. With nested=True they multiply."""
    harness = Harness(
        front_end,
        503,
        retry_policy_config=RetryPolicy(3, EXACT, nested=is_nested),
        enable_retry_budget=False,
        **NO_BREAKER,
    )
    guarded = policy_of().apply(harness.calling())
    assert front_end.run(guarded).status_code == 503
    assert harness.sends == sends
    assert (stop_reason(harness) is StopReason.NESTED) is not is_nested


@each_row(
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
        function = policy_of(retry_conditions=condition, nested=is_nested, budget=None).apply(function)
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


def test_a_call_inside_an_interceptor_is_a_call_of_its_own(front_end: FrontEnd) -> None:
    """It retries for itself: the call that runs the interceptor would not, as an interceptor's error ends it."""
    tokens = Harness(front_end, 503, 200, **NO_BREAKER)

    class FetchToken:
        async def intercept_request(self, request: Any, context: Any) -> Any:
            response = await tokens.client.get_async("https://tokens.example.com/")
            response.raise_for_status()
            return request

    harness = Harness(front_end, 200, request_interceptors=[FetchToken], **NO_BREAKER)
    assert harness.request().status_code == 200
    assert (harness.sends, tokens.sends) == (1, 2)


def test_a_retry_policy_around_the_outer_call_is_in_charge_of_an_interceptor_s_call(
    front_end: FrontEnd,
) -> None:
    """The guarded function is repeated as a whole, interceptors included: so nothing inside it retries."""
    tokens = Harness(front_end, 503, **NO_BREAKER)

    class FetchToken:
        async def intercept_request(self, request: Any, context: Any) -> Any:
            (await tokens.client.get_async("https://tokens.example.com/")).raise_for_status()
            return request

    harness = Harness(front_end, 200, request_interceptors=[FetchToken], **NO_BREAKER)
    guarded = policy_of(2, retry_conditions=[RetryCondition.on_exceptions([Exception])])
    with pytest.raises(HttpStatusError):
        front_end.run(guarded.apply(harness.calling()))
    assert (harness.sends, tokens.sends) == (0, 2)


# One permit and one result for a circuit that encloses itself.


def open_and_due(clock: FakeClock, **settings: Any) -> CircuitBreakerPolicy:
    """A circuit that is open, and whose next call is its trial."""
    policy = CircuitBreakerPolicy(
        failure_threshold=1, recovery_timeout=5, success_threshold=1, clock=clock.monotonic, **settings
    )
    with pytest.raises(ConnectionError), policy:
        raise ConnectionError
    clock.now += 5.0
    return policy


def test_a_circuit_nested_in_itself_closes_again(front_end: FrontEnd) -> None:
    """The outer call holds the trial; the inner one goes through with it."""
    policy = open_and_due(FakeClock())
    inner = policy.apply(lambda: "done")
    assert front_end.run(policy.apply(front_end.function(inner))) == "done"
    snapshot = policy.snapshot()
    assert (policy.state, snapshot.successes, snapshot.failures) == (CircuitBreakerState.CLOSED, 1, 1)


def test_one_failure_inside_two_guards_of_one_circuit_counts_once(front_end: FrontEnd) -> None:
    """The result of the outermost is the one that counts."""
    policy = CircuitBreakerPolicy(failure_threshold=3)

    def failing() -> None:
        raise ConnectionError

    guarded = policy.apply(front_end.function(policy.apply(failing)))
    with pytest.raises(ConnectionError):
        front_end.run(guarded)
    assert policy.snapshot().consecutive_failures == 1


def test_a_call_under_the_circuit_of_the_function_around_it_counts_once(front_end: FrontEnd) -> None:
    """`circuit_breaker=partner` inside `@partner.apply`, on trial."""
    harness = Harness(front_end, 200)
    policy = open_and_due(harness.clock)
    calling = policy.apply(harness.calling(circuit_breaker=policy))
    assert front_end.run(calling).status_code == 200
    assert (policy.state, policy.snapshot().successes) == (CircuitBreakerState.CLOSED, 1)


@pytest.mark.parametrize("is_async", [False, True])
def test_an_interceptor_s_call_to_the_same_host_goes_through_with_the_trial(
    front_end: FrontEnd, is_async: bool
) -> None:
    """A token that expired during the outage is fetched: the call around it holds the only trial."""

    class FetchToken:
        def intercept_request(self, request: Any, context: Any) -> Any:
            if not request.url.endswith("/token"):
                harness.client.get("https://api.example.com/token")
            return request

    class FetchTokenAsync:
        async def intercept_request(self, request: Any, context: Any) -> Any:
            if not request.url.endswith("/token"):
                await harness.client.get_async("https://api.example.com/token")
            return request

    harness = Harness(
        front_end,
        503,
        request_interceptors=[FetchTokenAsync if is_async else FetchToken],
        enable_retry_policy=False,
        circuit_breaker_config={"failure_threshold": 2, "success_threshold": 1},
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a blocking call on a loop
        for _ in range(2):
            harness.request()
        harness.transport.script = [200]
        harness.clock.now += 61.0
        before = harness.sends
        assert harness.request().status_code == 200
    assert harness.sends == before + 2
    assert harness.client.get_circuit_breaker_states() == {"https://api.example.com": "closed"}


def test_a_task_that_outlives_the_guarded_function_asks_for_a_permit_of_its_own() -> None:
    """The scope that held one has ended."""
    policy = CircuitBreakerPolicy(failure_threshold=1)

    async def main() -> None:
        tasks: list[asyncio.Task[None]] = []
        begin = asyncio.Event()

        @policy.apply
        async def later() -> None:
            raise ConnectionError

        async def straggler() -> None:
            await begin.wait()
            await later()

        @policy.apply
        async def starting() -> None:
            tasks.append(asyncio.create_task(straggler()))

        await starting()
        begin.set()
        await asyncio.gather(*tasks, return_exceptions=True)

    run_task(main())
    assert (policy.state, policy.snapshot().successes) == (CircuitBreakerState.OPEN, 1)

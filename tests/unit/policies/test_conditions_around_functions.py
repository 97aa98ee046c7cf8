"""Which errors of a function, and which HTTP outcomes inside it, are retried."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from http_service_client import (
    CircuitBreakerState,
    CircuitOpenError,
    ConstantBackoff,
    RetryCondition,
    RetryPolicy,
)
from http_service_client.errors import (
    ConnectError,
    InvalidRequestError,
    ReadTimeoutError,
    TlsVerificationError,
)
from kit.fakes import RESET, URL, FakeClock, Harness, failure, short
from kit.front_ends import AsyncioFrontEnd, FrontEnd, run_task
from kit.guarded import Failing, PaymentError, policy_of, raising_on, retrying
from kit.rows import each_row

OPEN, CLOSED, HALF_OPEN = CircuitBreakerState.OPEN, CircuitBreakerState.CLOSED, CircuitBreakerState.HALF_OPEN


@pytest.mark.parametrize(
    ("error", "calls"),
    [
        (ConnectionError("x"), 3),
        (ConnectionResetError("x"), 3),
        (TimeoutError("x"), 3),
        (asyncio.TimeoutError(), 3),
        (ConnectError("x"), 3),
        (ReadTimeoutError("x"), 3),
        (TlsVerificationError("x"), 1),
        (PaymentError("x"), 1),
        (ValueError("x"), 1),
        (InvalidRequestError("x"), 1),
        (CircuitOpenError("x"), 1),
        (asyncio.CancelledError(), 1),
        (KeyboardInterrupt(), 1),
    ],
    ids=short,
)
def test_the_default_conditions_retry_transport_errors_only(
    front_end: FrontEnd, error: BaseException, calls: int
) -> None:
    """They retry the package's transport errors and the builtins these derive from, and no other errors."""
    if front_end.name == "blocking" and isinstance(error, asyncio.CancelledError):
        pytest.skip("only tasks are cancelled so")
    body = Failing(99, error)
    policy = RetryPolicy(3, ConstantBackoff(0.0))
    with pytest.raises(type(error)):
        front_end.run(policy.apply(front_end.function(body)))
    assert body.calls == calls


def test_an_error_is_retried_because_of_its_cause(front_end: FrontEnd) -> None:
    """After `raise EmailError from error` the cause counts, as it does in the client."""
    calls: list[int] = []

    def body() -> None:
        calls.append(1)
        raise PaymentError from ConnectionResetError()

    with pytest.raises(PaymentError):
        front_end.run(retrying(3, ConnectionError).apply(front_end.function(body)))
    assert len(calls) == 3


def test_a_function_s_error_is_retried_because_of_the_status_inside(front_end: FrontEnd) -> None:
    """on_status_codes([503]) holds if the function raises its own exception because of a 503."""
    harness = Harness(front_end, 503, 503, 200, enable_retry_policy=False)
    policy = retrying(retry_conditions=[RetryCondition.on_status_codes([503])])
    assert front_end.run(policy.apply(raising_on(503, harness, front_end))).status_code == 200
    assert harness.sends == 3


@each_row(("outcome", "sends"), [(RESET, 3), (failure(TlsVerificationError), 1), (200, 1)], ids=short)
def test_a_function_s_error_is_retried_because_of_the_failure_inside(
    front_end: FrontEnd, outcome: Any, sends: int
) -> None:
    """Also if it hides that failure from its caller. Its error after another end of the call is no reason."""
    harness = Harness(front_end, outcome, enable_retry_policy=False, enable_circuit_breaker=False)

    def body() -> None:
        try:
            front_end.request(harness.client, "GET", URL)
        except OSError:
            pass
        raise PaymentError

    with pytest.raises(PaymentError):
        policy_of(3).call(body)
    assert harness.sends == sends


def test_a_function_s_error_before_any_call_is_judged_by_itself_alone(front_end: FrontEnd) -> None:
    """No condition is asked about an outcome that there is not."""
    asked: list[object] = []
    conditions = RetryCondition.on_result(lambda value: asked.append(value) is None)
    body = Failing(9)
    with pytest.raises(PaymentError):
        front_end.run(policy_of(3, conditions).apply(front_end.function(body)))
    assert (body.calls, asked) == (1, [])


def test_a_status_of_an_earlier_attempt_does_not_count(front_end: FrontEnd) -> None:
    """If the second attempt fails before its call, the 503 of the first attempt does not make it retryable."""
    harness = Harness(front_end, 503, enable_retry_policy=False)
    policy = retrying(5, retry_conditions=[RetryCondition.on_status_codes([503])])
    calls: list[int] = []
    calling = raising_on(503, harness, front_end)

    if front_end.name == "blocking":

        def function() -> Any:
            calls.append(1)
            if len(calls) > 1:
                raise PaymentError("before any call")
            return calling()
    else:

        async def function() -> Any:
            calls.append(1)
            if len(calls) > 1:
                raise PaymentError("before any call")
            return await calling()

    with pytest.raises(PaymentError, match="before any call"):
        front_end.run(policy.apply(function))
    assert len(calls) == 2


def test_a_status_received_during_the_wait_does_not_count() -> None:
    """A 503 that a leftover task of the first attempt receives does not belong to the second attempt."""
    harness = Harness(AsyncioFrontEnd(), 503, enable_retry_policy=False)
    clock, calls, leftover_tasks = FakeClock(), [], []

    async def sleep(seconds: float) -> None:
        await asyncio.gather(*leftover_tasks)

    clock.sleep_async = sleep  # type: ignore[method-assign]

    async def function() -> None:
        calls.append(1)
        if len(calls) == 1:
            leftover_tasks.append(asyncio.create_task(harness.client.get_async(URL)))
            raise ConnectionError
        raise PaymentError

    conditions = [RetryCondition.on_status_codes([503]), RetryCondition.on_exceptions([ConnectionError])]
    policy = RetryPolicy(5, ConstantBackoff(1.0), conditions, clock=clock)
    with pytest.raises(PaymentError):
        run_task(policy.apply(function)())
    assert (len(calls), harness.sends) == (2, 1)


@pytest.mark.parametrize("started_by", ["create_task", "gather", "to_thread"])
def test_the_status_of_a_call_in_another_task_or_thread_counts(started_by: str) -> None:
    """It counts in a child task, in several, or in a thread that inherits the context."""
    harness = Harness(AsyncioFrontEnd(), 503, enable_retry_policy=False)

    async def function() -> None:
        if started_by == "create_task":
            await asyncio.create_task(harness.client.get_async(URL))
        elif started_by == "gather":
            await asyncio.gather(*(harness.client.get_async(URL) for _ in range(2)))
        else:
            await asyncio.to_thread(harness.client.get, URL)
        raise PaymentError

    policy = retrying(retry_conditions=[RetryCondition.on_status_codes([503])])
    with pytest.raises(PaymentError):
        run_task(policy.apply(function)())
    assert harness.sends == (6 if started_by == "gather" else 3)

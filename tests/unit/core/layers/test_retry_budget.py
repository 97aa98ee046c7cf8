"""Retries are paid for by calls."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from http_service_client.core.machines.backoff import ExponentialBackoff
from http_service_client.errors import (
    ConnectionLostError,
)
from http_service_client.events import RetryStopped, StopReason
from http_service_client.policies import RetryPolicy
from kit.fakes import RESET, URL, Harness, isolate_while_sleeping, short
from kit.front_ends import FrontEnd, run_task

EXACT = ExponentialBackoff(jitter="none")  # 1, 2, 4 ... seconds
NO_BREAKER: dict[str, Any] = {"enable_circuit_breaker": False}


def stop_reason(harness: Harness) -> StopReason | None:
    return next((event.reason for event in harness.events if isinstance(event, RetryStopped)), None)


def budgeted(front_end: FrontEnd, *script: Any, **settings: Any) -> Harness:
    """One retry for each five calls, and none for free."""
    return Harness(
        front_end,
        *script,
        retry_policy_config=RetryPolicy(3, EXACT),
        retry_budget_config={"ratio": 0.2, "min_per_second": 0.0, "window": 3600.0},
        **NO_BREAKER | settings,
    )


@pytest.mark.parametrize("outcome", [503, RESET], ids=short)
def test_a_refused_budget_returns_the_last_outcome_at_once(front_end: FrontEnd, outcome: Any) -> None:
    """Asked before the wait: the failure comes now, not after a sleep that was for nothing."""
    harness = budgeted(front_end, outcome)
    if outcome == 503:
        assert harness.request().status_code == 503
    else:
        harness.error(ConnectionLostError)
    assert (harness.sends, harness.sleeps) == (1, [])
    assert stop_reason(harness) is StopReason.BUDGET


def test_the_budget_is_paid_by_calls(front_end: FrontEnd) -> None:
    """Five calls pay for one retry, which the sixth failing call may not make again."""
    harness = budgeted(front_end, 200, 200, 200, 200, 503)
    for _ in range(5):
        harness.request()
    assert harness.sends == 6
    assert (harness.sleeps, harness.state.budget.balance) == ([1.0], 0)


def test_the_budget_is_kept_per_key(front_end: FrontEnd) -> None:
    """One service's trouble is not paid for by another's calls."""
    harness = budgeted(front_end, 200)
    for _ in range(5):
        harness.request()
    harness.transport.script = [503]
    harness.request(url="https://other.example.com/")
    assert harness.sleeps == []
    harness.request()
    assert harness.sleeps == [1.0]


def test_no_budget_is_unlimited(front_end: FrontEnd) -> None:
    """enable_retry_budget=False."""
    harness = budgeted(front_end, 503, enable_retry_budget=False)
    assert harness.request().attempts == 3


def test_a_cancelled_wait_refunds_its_retry() -> None:
    """A retry that is not made is not paid for."""
    from kit.front_ends import AsyncioFrontEnd

    harness = budgeted(AsyncioFrontEnd(), 200)
    for _ in range(5):
        harness.request()
    harness.transport.script = [503]
    balances: list[int] = []

    async def sleep_for_ever(seconds: float) -> None:
        balances.append(harness.state.budget.balance)
        await asyncio.Event().wait()

    harness.clock.sleep_async = sleep_for_ever  # type: ignore[method-assign]

    async def cancelled() -> None:
        task = asyncio.create_task(harness.client.get_async(URL))
        while not balances:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    # The driver keeps the clock's method from its first call on.
    harness.client._backends._asyncio = None
    run_task(cancelled())
    assert (balances, harness.state.budget.balance) == ([0], 1)


def test_an_interrupted_wait_refunds_its_retry() -> None:
    """The same for KeyboardInterrupt on a thread."""
    from kit.front_ends import BlockingFrontEnd

    harness = budgeted(BlockingFrontEnd(), 200)
    for _ in range(5):
        harness.request()
    harness.transport.script = [503]

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    harness.clock.sleep = interrupted  # type: ignore[method-assign]
    harness.client._backends._blocking = None
    with pytest.raises(KeyboardInterrupt):
        harness.request()
    assert harness.state.budget.balance == 1


def test_a_retry_that_the_circuit_refuses_is_refunded(front_end: FrontEnd) -> None:
    """It was paid for and not made."""
    harness = budgeted(front_end, 200, enable_circuit_breaker=True)
    for _ in range(5):
        harness.request()
    harness.transport.script = [503]
    isolate_while_sleeping(harness)
    assert harness.request().status_code == 503
    assert harness.state.budget.balance == 1

"""The retry budget of a client: calls pay for retries."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from http_service_client.core.machines.retry.backoff import ExponentialBackoff
from http_service_client.errors import (
    PoolTimeoutError,
    SentState,
)
from http_service_client.events import RetryStopped, StopReason
from http_service_client.policies import RetryPolicy
from kit.fakes import REFUSED, RESET, URL, Harness, failure, isolate_while_sleeping, short
from kit.front_ends import FrontEnd, run_task
from kit.rows import each_row

EXACT = ExponentialBackoff(jitter="none")  # 1, 2, 4 ... seconds
NO_BREAKER: dict[str, Any] = {"enable_circuit_breaker": False}


def stop_reason(harness: Harness) -> StopReason | None:
    return next((event.reason for event in harness.events if isinstance(event, RetryStopped)), None)


def budgeted(front_end: FrontEnd, *script: Any, **settings: Any) -> Harness:
    """A client that allows one retry for every five calls, and no free retries."""
    return Harness(
        front_end,
        *script,
        retry_policy_config=RetryPolicy(3, EXACT),
        retry_budget_config={"ratio": 0.2, "min_per_second": 0.0, "window": 3600.0},
        **NO_BREAKER | settings,
    )


@each_row("outcome", [503, RESET, REFUSED], ids=short)
def test_an_exhausted_budget_ends_the_call_without_a_wait(front_end: FrontEnd, outcome: Any) -> None:
    """The budget is checked before the wait, so the last outcome is returned at once."""
    harness = budgeted(front_end, outcome)
    if outcome == 503:
        assert harness.request().status_code == 503
    else:
        harness.error(outcome.error_type)
    assert (harness.sends, harness.sleeps) == (1, [])
    assert stop_reason(harness) is StopReason.BUDGET


def test_five_calls_pay_for_one_retry(front_end: FrontEnd) -> None:
    """At a ratio of 0.2 the fifth call may make one retry, and the budget is then empty."""
    harness = budgeted(front_end, 200, 200, 200, 200, 503)
    for _ in range(5):
        harness.request()
    assert harness.sends == 6
    assert (harness.sleeps, harness.state.budget.balance) == ([1.0], 0)


def test_each_origin_has_its_own_budget(front_end: FrontEnd) -> None:
    """Calls to one service do not pay for retries to another."""
    harness = budgeted(front_end, 200)
    for _ in range(5):
        harness.request()
    harness.transport.script = [503]
    harness.request(url="https://other.example.com/")
    assert harness.sleeps == []
    harness.request()
    assert harness.sleeps == [1.0]


def test_a_disabled_budget_allows_all_retries(front_end: FrontEnd) -> None:
    """With enable_retry_budget=False a call makes all its attempts."""
    harness = budgeted(front_end, 503, enable_retry_budget=False)
    assert harness.request().attempts == 3


def test_a_cancelled_wait_refunds_its_retry() -> None:
    """A task cancelled during its wait does not make the retry, so the retry returns to the budget."""
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
    """A KeyboardInterrupt during the wait of a blocking call returns the retry to the budget."""
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
    """If the circuit opens during the wait, the retry is not made and returns to the budget."""
    harness = budgeted(front_end, 200, enable_circuit_breaker=True)
    for _ in range(5):
        harness.request()
    harness.transport.script = [503]
    isolate_while_sleeping(harness)
    assert harness.request().status_code == 503
    assert harness.state.budget.balance == 1


NO_SLOT = failure(PoolTimeoutError, SentState.NEVER_SENT)


def test_a_retry_after_a_wait_for_a_connection_of_our_own_is_free(front_end: FrontEnd) -> None:
    """It adds no load to the host, whose budget must be there when the host fails."""
    harness = budgeted(front_end, 200, 200, 200, 200, NO_SLOT, NO_SLOT, 200, 503, 200)
    for _ in range(5):
        assert harness.request().status_code == 200
    assert (harness.sleeps, harness.state.budget.balance) == ([1.0, 2.0], 1)
    assert harness.request().status_code == 200
    assert harness.state.budget.balance == 0


def test_a_retry_after_a_redirect_that_was_sent_is_not_free(front_end: FrontEnd) -> None:
    """The server answered the first hop. Only the second one found no connection."""
    harness = budgeted(front_end, (307, {"Location": "/elsewhere"}), NO_SLOT)
    harness.error(PoolTimeoutError)
    assert harness.sends == 2
    assert stop_reason(harness) is StopReason.BUDGET

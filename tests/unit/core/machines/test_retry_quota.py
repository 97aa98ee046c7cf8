"""The retry quota: successes earn what retries spend."""

from __future__ import annotations

import threading
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_service_client.core.machines.retry_quota import QuotaWithdrawal, RetryQuota, RetryQuotaSettings
from http_service_client.errors import ConfigurationError


def quota(**settings: Any) -> RetryQuota:
    """A quota that is full at first, if the test sets nothing else."""
    capacity = settings.setdefault("capacity", 10.0)
    return RetryQuota(RetryQuotaSettings(**{"initial": capacity, **settings}), lock=threading.RLock())


def drained(**settings: Any) -> RetryQuota:
    found = quota(**settings)
    while found.try_withdraw() is not None:
        pass
    return found


def test_a_new_quota_allows_what_it_has_at_first() -> None:
    """`initial / cost` retries at first, and none after them."""
    found = quota(capacity=10.0, cost=3.0, throttled_cost=3.0)
    assert [found.try_withdraw() is not None for _ in range(4)] == [True, True, True, False]


def test_successes_earn_retries() -> None:
    """With a fifth of a token for each, five successes pay for a retry, and four do not."""
    found = drained(earned=0.2)
    for _ in range(4):
        found.record_success(None)
    assert found.try_withdraw() is None
    found.record_success(None)
    assert found.try_withdraw() is not None


def test_a_retry_that_succeeds_costs_nothing() -> None:
    """Its tokens come back, and the success earns no more than them."""
    found = quota(capacity=5.0)
    withdrawal = found.try_withdraw()
    assert found.balance == 4
    found.record_success(withdrawal)
    found.record_success(withdrawal)
    assert found.balance == 5


def test_a_retry_that_is_not_made_is_refunded_once() -> None:
    """A second refund adds nothing."""
    found = drained(capacity=3.0)
    found.record_success(None)
    withdrawal = None
    for _ in range(10):
        found.record_success(None)
        withdrawal = withdrawal or found.try_withdraw()
    assert withdrawal is not None
    before = found.balance
    withdrawal.refund()
    withdrawal.refund()
    assert found.balance == before + 1


def test_a_throttled_retry_is_cheaper() -> None:
    """It takes `throttled_cost`: the service works, and the wait is its own."""
    found = quota(capacity=1.0, cost=1.0, throttled_cost=0.25)
    assert [found.try_withdraw(is_throttled=True) is not None for _ in range(5)] == [True] * 4 + [False]


def test_the_tokens_never_exceed_the_capacity() -> None:
    """A quiet day earns no more than the capacity."""
    found = quota(capacity=2.0)
    found.record_calls(100_000, 60.0, 0)
    assert found.balance == 2


def test_calls_that_failed_at_first_earn_nothing() -> None:
    """Of calls that are counted together, those count that succeeded."""
    found = drained(earned=1.0)
    found.record_calls(5, 1.0, failed=3)
    assert found.balance == 2


@given(st.lists(st.sampled_from(["success", "retry", "throttled", "retried success", "refund"]), max_size=80))
def test_the_tokens_are_what_a_plain_sum_says(steps: list[str]) -> None:
    """Any order of successes, retries and refunds leaves the tokens of a simple model."""
    found, tokens, open_ = quota(capacity=4.0, earned=0.5), 4.0, list[tuple[QuotaWithdrawal, float]]()
    for step in steps:
        if step == "success":
            found.record_success(None)
            tokens = min(4.0, tokens + 0.5)
        elif step in ("retry", "throttled"):
            cost = 1.0 if step == "retry" else 0.5
            withdrawal = found.try_withdraw(is_throttled=step == "throttled")
            assert (withdrawal is not None) == (tokens >= cost)
            if withdrawal is not None:
                tokens -= cost
                open_.append((withdrawal, cost))
        elif open_:
            withdrawal, cost = open_.pop()
            withdrawal.refund() if step == "refund" else found.record_success(withdrawal)
            tokens = min(4.0, tokens + cost)
        assert found.balance == int(tokens)


@pytest.mark.parametrize("failing", [0.3, 0.5, 0.7, 0.9])
def test_the_retries_of_a_failing_service_are_as_the_theory_says(failing: float) -> None:
    """Each attempt failing by chance p, a call makes about earned / cost * (1 - p) / p retries, if it may make one."""
    random, found, retries, calls = Random(7), quota(), 0, 20_000
    for _ in range(calls):
        if random.random() >= failing:
            found.record_success(None)
            continue
        withdrawal = found.try_withdraw()
        if withdrawal is not None:
            retries += 1
            if random.random() >= failing:
                found.record_success(withdrawal)
    expected = min(failing, 0.2 * (1 - failing) / failing)
    assert retries / calls == pytest.approx(expected, abs=0.02)


def test_a_forked_child_has_a_quota_of_its_own() -> None:
    """The parent spends its own tokens."""
    found = drained(capacity=3.0)
    found.reset_after_fork()
    assert found.balance == 3


def test_the_rest_of_the_capacity_has_to_be_earned() -> None:
    """A process that has just begun has few retries, one that has worked for long has many."""
    found = quota(capacity=100.0, initial=10.0)
    assert found.balance == 10
    for _ in range(100):
        found.record_success(None)
    assert found.balance == 30
    found.record_calls(10_000, 60.0, 0)
    assert found.balance == 100


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"capacity": 0}, "capacity"),
        ({"earned": -1}, "earned"),
        ({"cost": float("nan")}, "cost"),
        ({"cost": 101.0}, "cost=101.0 is above capacity=100.0"),
        ({"initial": 101.0}, "initial=101.0 is above capacity=100.0"),
        ({"throttled_cost": True}, "throttled_cost"),
    ],
)
def test_impossible_settings_are_refused_by_name(settings: dict[str, Any], words: str) -> None:
    """The message names the field, the value and what to write."""
    with pytest.raises(ConfigurationError) as raised:
        RetryQuotaSettings(**settings)
    assert words in str(raised.value)

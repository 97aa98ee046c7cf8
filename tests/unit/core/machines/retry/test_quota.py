"""The retry quota: successes earn what retries spend."""

from __future__ import annotations

import threading
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_service_client.core.machines.retry.quota import QuotaWithdrawal, RetryQuota, RetryQuotaSettings
from http_service_client.errors import ConfigurationError
from kit.rows import each_row


class Quota(RetryQuota):
    """A quota whose clock the test sets."""

    def __init__(self, **settings: Any) -> None:
        self.now = 1000.0
        super().__init__(
            RetryQuotaSettings(**{"capacity": 10.0, **settings}),
            clock=lambda: self.now,
            lock=threading.RLock(),
        )


def drained(**settings: Any) -> Quota:
    found = Quota(**settings)
    while found.try_withdraw() is not None:
        pass
    return found


def test_a_new_quota_allows_what_it_has_at_first() -> None:
    """`capacity / cost` retries at first, and none after them."""
    found = Quota(capacity=10.0, cost=3.0, throttled_cost=3.0)
    assert [found.try_withdraw() is not None for _ in range(4)] == [True, True, True, False]


@each_row(
    ("settings", "retries"),
    [
        ({}, 4),
        ({"cost": 0.5}, 4),
        ({"cost": 3.0, "throttled_cost": 3.0}, 4),
        ({"throttled_cost": 9.0}, 9),
        ({"cost": 0.5, "throttled_cost": 9.0}, 18),
        ({"cost": 3.0, "throttled_cost": 9.0}, 4),
        ({"capacity": 7.0}, 7),
    ],
)
def test_the_capacity_suffices_for_four_retries(settings: dict[str, Any], retries: int) -> None:
    """And for one after a response that refused the request, unless it is set."""
    assert Quota(**{"capacity": None, "throttled_cost": 0.5, **settings}).balance == retries


def test_other_settings_keep_the_tokens() -> None:
    """Those that were spent stay spent. A larger capacity adds what it is larger by; a smaller one forgets the rest."""
    found = drained(capacity=4.0)
    found.reconfigure(RetryQuotaSettings(capacity=4.0, earned=1.0))
    assert found.balance == 0
    found.record_success(None)
    assert found.balance == 1
    found.reconfigure(RetryQuotaSettings(capacity=7.0))
    assert found.balance == 4
    found.reconfigure(RetryQuotaSettings(capacity=2.0, memory=1.0))
    assert found.balance == 4
    found.now += 30.0
    assert found.balance == 2


def test_what_was_earned_before_a_change_was_earned_by_the_old_settings() -> None:
    """Though nobody has looked at it until then."""
    found = drained(capacity=4.0, earned=1.0)
    for _ in range(3):
        found.record_success(None)
    found.reconfigure(RetryQuotaSettings(capacity=4.0, earned=0.1))
    assert found.balance == 3


def test_a_capacity_that_has_grown_gives_nothing_for_a_change() -> None:
    """It followed from the policies in use, which are the same."""
    found = Quota(capacity=None)
    assert found.try_withdraw(retries=9) is not None
    for earned in (0.1, 0.3):
        found.reconfigure(RetryQuotaSettings(earned=earned))
    assert found.balance == 8
    assert found.try_withdraw(retries=9) is not None
    assert found.balance == 7


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
    found = Quota(capacity=5.0)
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
    found = Quota(capacity=1.0, cost=1.0, throttled_cost=0.25)
    assert [found.try_withdraw(is_throttled=True) is not None for _ in range(5)] == [True] * 4 + [False]


def test_what_is_above_the_capacity_is_forgotten() -> None:
    """Earned by a busy minute, gone after a quiet one; the capacity itself stays for any time."""
    found = Quota(capacity=4.0, earned=0.2, memory=10.0)
    for _ in range(60):
        found.now += 1.0
        for _ in range(100):
            found.record_success(None)
        assert found.balance >= 0  # it is looked at now and then
    assert 4 + 180 <= found.balance <= 4 + 200  # 20 tokens a second, of which those of about 10 s are kept
    found.now += 10.0
    assert found.balance == pytest.approx(4 + 190 / 2.718, abs=5)
    found.now += 3600.0
    assert found.balance == 4


def test_it_does_not_matter_how_often_it_is_looked_at() -> None:
    """Tokens that come evenly are the same, updated each second or once."""
    often, once = Quota(), Quota()
    for _ in range(30):
        for each in (often, once):
            each.now += 1.0
            for _ in range(50):
                each.record_success(None)
        assert often.balance >= 10
    assert once.balance == pytest.approx(often.balance, rel=0.06)


def test_successes_fill_the_capacity_before_they_are_above_it() -> None:
    """All of them count, when they come at once."""
    found = drained(capacity=4.0, earned=0.2)
    for _ in range(100):
        found.record_success(None)
    assert found.balance == 20


def test_a_clock_that_steps_back_forgets_nothing() -> None:
    """Nothing is gained by it, either."""
    found = Quota(capacity=4.0)
    for _ in range(100):
        found.record_success(None)
    assert found.balance == 24
    found.now -= 500.0
    assert found.balance == 24


@pytest.mark.parametrize(("count", "failed", "earned"), [(5, 3, 2), (3, 3, 0), (3, 0, 3)])
def test_calls_that_failed_at_first_earn_nothing(count: int, failed: int, earned: int) -> None:
    """Of calls that are counted together, those count that succeeded."""
    found = drained(earned=1.0)
    found.record_calls(count, 1.0, failed)
    assert found.balance == earned


def test_the_shortfall_is_what_lacks_for_one_retry() -> None:
    """By its own cost, after what was earned until now."""
    found = Quota(capacity=1.0, cost=1.0, throttled_cost=0.25, earned=0.5)
    assert (found.shortfall(), found.try_withdraw() is not None) == (0.0, True)
    assert (found.shortfall(), found.shortfall(is_throttled=True)) == (1.0, 0.25)
    found.record_success(None)
    assert (found.shortfall(), found.shortfall(is_throttled=True)) == (0.5, 0.0)
    found.record_success(None)
    assert found.shortfall() == 0.0


@pytest.mark.parametrize(("earned", "is_enough"), [(1 - 1e-9, True), (1 - 1.5e-9, False)])
def test_a_rounding_error_is_not_missing(earned: float, is_enough: bool) -> None:
    """Ten times 0.1 is 0.9999999999999999 in binary floating point: a billionth of a token is forgiven."""
    found = drained(capacity=1.0, earned=earned)
    found.record_success(None)
    assert (found.try_withdraw() is not None) is is_enough
    tenths = drained(capacity=1.0, earned=0.1)
    for _ in range(10):
        tenths.record_success(None)
        tenths.shortfall()
    assert (tenths.shortfall(), tenths.balance) == (0.0, 1)


@given(st.lists(st.sampled_from(["success", "retry", "throttled", "retried success", "refund"]), max_size=80))
def test_the_tokens_are_what_a_plain_sum_says(steps: list[str]) -> None:
    """Any order of successes, retries and refunds leaves the tokens of a simple model."""
    found, tokens, open_ = Quota(capacity=4.0, earned=0.5), 4.0, list[tuple[QuotaWithdrawal, float]]()
    for step in steps:
        if step == "success":
            found.record_success(None)
            tokens += 0.5
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
            tokens += cost
        assert found.balance == int(tokens)


@pytest.mark.parametrize("failing", [0.3, 0.5, 0.7, 0.9])
def test_the_retries_of_a_failing_service_are_as_the_theory_says(failing: float) -> None:
    """Each attempt failing by chance p, a call makes about earned / cost * (1 - p) / p retries, if it may make one."""
    random, found, retries, calls = Random(7), Quota(), 0, 20_000
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


def test_one_call_may_make_the_retries_of_its_policy() -> None:
    """Without a capacity of its own, the quota grows to what the largest policy needs, once."""
    found = Quota(capacity=None)
    assert found.balance == 4
    assert [found.try_withdraw(retries=9) is not None for _ in range(10)] == [True] * 9 + [False]
    assert found.try_withdraw(retries=9) is None
    assert found.shortfall(retries=9) == 1.0
    assert found.shortfall(retries=12) == 0.0
    both = Quota(capacity=None)
    assert [both.try_withdraw(retries=retries) is not None for retries in (9, 2, 0)] == [True] * 3
    assert both.balance == 6, "a policy that allows fewer takes nothing away"
    costly = Quota(capacity=None, cost=3.0)
    assert [costly.try_withdraw(retries=9) is not None for _ in range(10)] == [True] * 9 + [False]
    bounded = Quota(capacity=2.0)
    assert [bounded.try_withdraw(retries=9) is not None for _ in range(3)] == [True, True, False]


def test_a_forked_child_has_a_quota_of_its_own() -> None:
    """The parent spends its own tokens."""
    found = drained(capacity=3.0)
    found.reset_after_fork()
    assert found.balance == 3


@each_row(
    ("settings", "words"),
    [
        ({"capacity": 0}, "capacity"),
        ({"earned": -1}, "earned"),
        ({"cost": float("nan")}, "cost"),
        ({"capacity": 4.0, "cost": 5.0}, "cost=5.0 is above capacity=4.0"),
        ({"memory": 0}, "memory"),
        ({"memory": 3601}, "memory"),
        ({"throttled_cost": True}, "throttled_cost"),
    ],
)
def test_impossible_settings_are_refused_by_name(settings: dict[str, Any], words: str) -> None:
    """The message names the field, the value and what to write."""
    with pytest.raises(ConfigurationError) as raised:
        RetryQuotaSettings(**settings)
    assert words in str(raised.value)

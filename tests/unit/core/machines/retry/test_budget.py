"""The retry budget: how many retries it allows, its sliding window, and refunds."""

from __future__ import annotations

import itertools
import math
import threading
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_service_client.core.machines.circuit_breaker.breaker import CircuitBreaker
from http_service_client.core.machines.circuit_breaker.states import CircuitBreakerSettings
from http_service_client.core.machines.retry.budget import RetryBudget, RetryBudgetSettings, Withdrawal
from http_service_client.errors import ConfigurationError
from kit.rows import each_row
from kit.threads import run_threads


class Budget(RetryBudget):
    """A budget whose clock (`now`) is set by the test."""

    def __init__(self, *, now: float = 1000.0, **settings: Any) -> None:
        self.now = now
        super().__init__(RetryBudgetSettings(**settings), clock=lambda: self.now, lock=threading.Lock())

    def call(self, times: int) -> None:
        for _ in range(times):
            self.record_call()

    def withdraw_all(self) -> int:
        count = 0
        while self.try_withdraw() is not None:
            count += 1
        return count


def test_an_unused_budget_allows_the_free_retries() -> None:
    """Without any call, the budget allows min_per_second * window retries."""
    budget = Budget()
    assert budget.balance == 100
    assert budget.withdraw_all() == 100
    assert budget.balance == 0


@each_row(
    ("ratio", "calls", "retries"),
    [
        (0.2, 0, 0),
        (0.2, 4, 0),
        (0.2, 5, 1),
        (0.2, 9, 1),
        (0.2, 10, 2),
        (0.29, 100, 29),
        (0.0, 50, 0),
        (1.0, 7, 7),
        (1 - 0.5e-9, 1, 1),  # rounded by a billionth, and no more
        (1 - 1.5e-9, 1, 0),
    ],
)
def test_calls_pay_for_retries(ratio: float, calls: int, retries: int) -> None:
    """The budget allows floor(ratio * calls) retries, so each retry is fully paid for."""
    budget = Budget(ratio=ratio, min_per_second=0.0)
    budget.call(calls)
    assert budget.balance == retries
    assert budget.withdraw_all() == retries


def test_a_dead_server_gets_at_most_a_fifth_more_load() -> None:
    """If 1,000 calls/s all fail, the load grows by 20 % plus the free retries, and not by 200 %."""
    budget = Budget(ratio=0.2, min_per_second=10.0, window=10.0)
    retries = 0
    for _ in range(100 * 1000):
        budget.now += 0.001
        budget.record_call()
        retries += sum(budget.try_withdraw() is not None for _ in range(2))
    per_second = retries / 100
    assert 200 <= per_second <= 235, per_second


def test_calls_and_retries_expire_after_the_window() -> None:
    """Both expire when between 9/10 and 10/10 of the window have passed."""
    budget = Budget(ratio=1.0, min_per_second=1.0, window=10.0)
    budget.call(5)
    assert budget.withdraw_all() == 15
    budget.now += 8.999
    assert budget.balance == 0
    budget.now += 1.001
    assert budget.balance == 10


def test_the_window_slides_by_tenths() -> None:
    """The retries spent in one second return ten seconds later, second by second, and no sooner."""
    budget = Budget(ratio=0.0, min_per_second=10.0, window=10.0)
    start = budget.now
    for second in range(5):
        budget.now = start + second + 0.5
        assert all(budget.try_withdraw() for _ in range(20))
    balances = []
    for second in range(9, 16):
        for budget.now in (start + second - 0.01, start + second):
            balances.append(budget.balance)
    assert balances == [0, 0, 0, 20, 20, 40, 40, 60, 60, 80, 80, 100, 100, 100]


@pytest.mark.parametrize("window", [1.0, 2.5, 10.0, 60.0, 3600.0])
def test_the_window_may_have_any_length(window: float) -> None:
    """The tenths by which the window slides scale with its length."""
    budget = Budget(ratio=0.0, min_per_second=10.0, window=window)
    assert budget.withdraw_all() == int(10 * window)
    budget.now += window * 0.89
    assert budget.balance == 0
    budget.now += window * 0.11
    assert budget.balance == int(10 * window)


def test_other_settings_keep_the_calls_and_the_retries() -> None:
    """Another ratio counts at once. Under another window all of them count as if they came now, and expire with it."""
    budget = Budget(ratio=0.5, min_per_second=0.0, window=10.0)
    budget.call(20)
    budget.now += 5.0
    assert budget.try_withdraw() is not None
    budget.reconfigure(RetryBudgetSettings(ratio=0.2, min_per_second=0.0, window=10.0))
    assert budget.balance == 3
    budget.reconfigure(RetryBudgetSettings(ratio=0.2, min_per_second=0.0, window=2.0))
    assert budget.balance == 3
    budget.now += 1.7
    assert budget.balance == 3
    budget.now += 0.5
    assert budget.balance == 0
    budget.call(5)
    assert budget.balance == 1


def test_another_window_counts_what_the_old_one_would_count() -> None:
    """Calls and retries that had expired stay so."""
    budget = Budget(ratio=1.0, min_per_second=0.0, window=10.0)
    budget.call(20)
    budget.now += 30.0
    budget.reconfigure(RetryBudgetSettings(ratio=1.0, min_per_second=0.0, window=2.0))
    assert budget.balance == 0


@pytest.mark.parametrize(
    ("count", "seconds", "counted"),
    [(40, 0.0, 40), (40, 10.0, 40), (40, 20.0, 20), (40, 30.0, 13), (1, 30.0, 0)],
)
def test_calls_that_are_counted_together_count_as_far_as_the_window_reaches(
    count: int, seconds: float, counted: int
) -> None:
    """Those of a longer time by their share, as if they had come evenly; failed ones as well."""
    budget = Budget(ratio=1.0, min_per_second=0.0, window=10.0)
    budget.call(1)
    budget.now += 15.0
    budget.record_calls(count, seconds, failed=7)
    assert budget.balance == counted
    budget.call(2)
    assert budget.balance == counted + 2


def test_the_shortfall_is_what_lacks_for_one_retry() -> None:
    """There is none while a retry can be withdrawn."""
    budget = Budget(ratio=1.0, min_per_second=0.0)
    assert budget.shortfall() == 1.0
    budget.call(1)
    assert budget.shortfall() == 0.0
    budget.call(1)
    assert budget.shortfall() == 0.0
    assert budget.balance == 2


def test_a_refund_counts_once() -> None:
    """A refund returns one retry to the budget, and a second refund of it changes nothing."""
    budget = Budget(ratio=0.0, min_per_second=1.0, window=2.0)
    kept, refunded = budget.try_withdraw(), budget.try_withdraw()
    assert isinstance(kept, Withdrawal)
    assert isinstance(refunded, Withdrawal)
    assert budget.balance == 0
    refunded.refund()
    refunded.refund()
    assert budget.balance == 1


def test_a_refund_goes_to_the_bucket_of_its_withdrawal() -> None:
    """The refund counts at the time of the withdrawal, so the retry does not expire a second time."""
    budget = Budget(ratio=0.0, min_per_second=1.0, window=10.0)
    early = budget.try_withdraw()
    budget.now += 5.0
    assert budget.withdraw_all() == 9
    assert early is not None
    early.refund()
    assert budget.balance == 1
    budget.now += 5.0
    assert budget.balance == 1, "the refunded retry must not expire a second time"
    budget.now += 5.0
    assert budget.balance == 10


@pytest.mark.parametrize("seconds", [10.0, 11.0, 25.0, 1e6])
def test_a_refund_after_the_window_adds_nothing(seconds: float) -> None:
    """After the window the withdrawal has expired, and its retry is already available again."""
    budget = Budget(ratio=0.0, min_per_second=1.0, window=10.0)
    old = budget.try_withdraw()
    assert old is not None
    budget.now += seconds
    assert budget.withdraw_all() == 10
    old.refund()
    assert budget.balance == 0


@pytest.mark.parametrize("step", [-0.5, -1.0, -9.0, -60.0, -1e9])
def test_a_clock_that_steps_back_adds_no_retries(step: float) -> None:
    """At the step the balance stays the same, and it recovers within one window after it."""
    budget = Budget(ratio=0.0, min_per_second=1.0, window=10.0)
    budget.withdraw_all()
    budget.now += step
    assert budget.balance == 0
    assert budget.try_withdraw() is None
    budget.record_call()
    budget.now += 10.0
    assert budget.balance == 10


def test_a_call_after_a_clock_step_back_expires_after_the_window() -> None:
    """The window continues from the new time, also when only calls are recorded."""
    budget = Budget(ratio=1.0, min_per_second=0.0, window=10.0)
    budget.call(1)
    budget.now -= 60.0
    budget.call(1)
    budget.now += 11.0
    assert budget.balance == 0


def test_the_balance_is_never_negative() -> None:
    """Calls may expire before the retries that they paid for; the balance is then 0."""
    budget = Budget(ratio=1.0, min_per_second=0.0)
    budget.call(5)
    budget.now += 5.0
    assert budget.withdraw_all() == 5
    budget.now += 5.0
    assert budget.balance == 0
    budget.call(5)
    assert budget.balance == 0, "the five retries are still in the window"
    budget.call(1)
    assert budget.balance == 1


class Ledger:
    """The simplest budget: a list of calls and retries with their times."""

    def __init__(self, settings: RetryBudgetSettings) -> None:
        self.settings = settings
        self.calls: list[int] = []
        self.retries: list[int] = []

    def balance(self, second: int) -> int:
        calls = sum(second - 10 < at <= second for at in self.calls)
        retries = sum(second - 10 < at <= second for at in self.retries)
        return max(0, self.settings.allowed(calls) - retries)


@given(
    ratio=st.sampled_from([0.0, 0.2, 0.5, 1.0]),
    free=st.sampled_from([0.0, 0.1, 0.5]),
    steps=st.lists(
        st.one_of(
            st.sampled_from(["call", "withdraw", "withdraw", "refund", "look"]),
            st.sampled_from([0.25, 1.0, 3.0, 9.0, 10.0, 30.0]),
        ),
        max_size=60,
    ),
)
def test_a_budget_agrees_with_a_ledger(ratio: float, free: float, steps: list[str | float]) -> None:
    """The ring of buckets gives the same balance as a list of all calls and retries."""
    budget = Budget(ratio=ratio, min_per_second=free, now=0.0)
    ledger = Ledger(RetryBudgetSettings(ratio=ratio, min_per_second=free))
    withdrawals: list[tuple[Withdrawal, int]] = []
    for step in steps:
        second = int(budget.now)
        if step == "call":
            budget.record_call()
            ledger.calls.append(second)
        elif step == "withdraw":
            withdrawal = budget.try_withdraw()
            assert (withdrawal is not None) == (ledger.balance(second) >= 1)
            if withdrawal is not None:
                ledger.retries.append(second)
                withdrawals.append((withdrawal, second))
        elif step == "refund" and withdrawals:
            withdrawal, withdrawn_at = withdrawals.pop(0)
            withdrawal.refund()
            ledger.retries.remove(withdrawn_at)
        elif isinstance(step, float):
            budget.now += step
        elif step == "look":
            assert budget.balance == ledger.balance(second)
    assert budget.balance == ledger.balance(int(budget.now))


def test_a_call_after_a_pause_counts_from_its_own_time() -> None:
    """Recording a call advances the window, even if nothing read the balance before."""
    budget = Budget(ratio=1.0, min_per_second=0.0)
    budget.now += 5.0
    budget.record_call()
    budget.now += 8.0
    assert budget.balance == 1


def test_the_clock_is_read_under_the_lock() -> None:
    """Clock readings are thus in order, and one thread at a time acts on them."""
    lock = threading.Lock()
    is_made = False

    def clock() -> float:
        assert lock.locked() or not is_made
        return 0.0

    budget = RetryBudget(RetryBudgetSettings(), clock=clock, lock=lock)
    is_made = True
    budget.record_call()
    assert budget.try_withdraw() is not None
    assert budget.balance == 99


def test_sixteen_threads_share_one_budget() -> None:
    """The threads together get exactly the retries that the budget allows, and every refund counts."""
    budget = Budget(ratio=0.5, min_per_second=0.0)
    start = threading.Barrier(16)
    kept = [0] * 16

    def work(number: int) -> None:
        start.wait()
        for turn in range(2000):
            budget.record_call()
            withdrawal = budget.try_withdraw()
            if withdrawal is not None:
                if turn % 2:
                    withdrawal.refund()
                else:
                    kept[number] += 1

    run_threads(work)
    assert sum(kept) + budget.balance == 16_000


@each_row(
    ("name", "wrong"),
    [
        *[("ratio", wrong) for wrong in (-0.1, 1001, math.nan, math.inf, True, "0.2", None)],
        *[("min_per_second", wrong) for wrong in (-1, math.nan, math.inf, False, None)],
        *[("window", wrong) for wrong in (0, 0.5, -10, 3601, math.nan, math.inf, True, None)],
    ],
)
def test_an_invalid_setting_is_rejected_by_name_and_value(name: str, wrong: Any) -> None:
    """The message names the field, the rejected value and what is allowed."""
    with pytest.raises(ConfigurationError) as caught:
        RetryBudgetSettings(**{name: wrong})
    assert str(caught.value).startswith(f"{name} must be ")
    assert str(caught.value).endswith(f", not {wrong!r}")


def test_the_repr_shows_the_balance() -> None:
    """The repr of a budget names its remaining retries."""
    assert repr(Budget()) == "<RetryBudget with 100 left>"


def test_the_state_of_ten_thousand_keys_fits_in_twelve_megabytes() -> None:
    """A breaker and a budget in use take about a kilobyte for each key."""
    breaker, budget = CircuitBreakerSettings(), RetryBudgetSettings()
    keys = [f"https://host-{number}.example.com" for number in range(1000)]
    clock = itertools.count(1e6).__next__
    tracemalloc.start()
    try:
        kept = []
        for key in keys:
            one = CircuitBreaker(breaker, key=key, clock=clock, random=clock, lock=threading.Lock())
            other = RetryBudget(budget, clock=clock, lock=threading.Lock())
            one.try_acquire()
            other.record_call()
            kept.append((one, other))
        used = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert used / len(keys) * 10_000 <= 12e6

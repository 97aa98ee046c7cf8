"""Waits before retries: the sequence of each strategy, and how jitter spreads it."""

from __future__ import annotations

import itertools
import math
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from typing import Any

import backoff
import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_service_client.core.machines.retry.backoff import (
    BackoffStrategy,
    ExponentialBackoff,
    Jitter,
    WaitSeries,
)
from http_service_client.core.machines.retry.other_backoffs import (
    ConstantBackoff,
    DecorrelatedBackoff,
    FibonacciBackoff,
    LinearBackoff,
)
from http_service_client.errors import ConfigurationError
from kit.rows import each_row

STRATEGIES: list[BackoffStrategy] = [
    ExponentialBackoff(),
    LinearBackoff(),
    ConstantBackoff(),
    FibonacciBackoff(),
    DecorrelatedBackoff(),
]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: type(strategy).__name__)
def test_each_wait_draws_one_random_number(strategy: BackoffStrategy) -> None:
    """So that the waits of a simulation, or of a test, are those of its dice."""
    drawn: list[float] = []

    def draw() -> float:
        assert len(drawn) < 5  # no wait without an end
        drawn.append(0.5)
        return 0.5

    delays = strategy.delays(draw)
    for count in range(1, 5):
        next(delays)
        assert len(drawn) == count


def first(count: int, strategy: BackoffStrategy, dice: float | Callable[[], float] = 0.5) -> list[float]:
    """The first waits; `dice` is the random number, or the source of random numbers."""
    source = dice if callable(dice) else lambda: dice
    return list(itertools.islice(strategy.delays(source), count))


@each_row(
    ("strategy", "delays"),
    [
        (ExponentialBackoff(1.0, 60.0, 2.0, "none"), [1, 2, 4, 8, 16, 32, 60, 60]),
        (ExponentialBackoff(0.5, 5.0, 3.0, "none"), [0.5, 1.5, 4.5, 5.0, 5.0]),
        (ExponentialBackoff(2.0, 10.0, 1.0, "none"), [2.0] * 8),  # a factor of one: constant
        (ExponentialBackoff(5.0, 1.0, 2.0, "none"), [1.0] * 3),  # the cap applies to the first wait too
        (ExponentialBackoff(0.0, 60.0, 2.0, "none"), [0.0] * 8),
        (ExponentialBackoff(1.0, 0.0, 2.0, "none"), [0.0] * 3),
        (LinearBackoff(1.0, 2.0, 6.0, "none"), [1.0, 3.0, 5.0, 6.0, 6.0]),
        (LinearBackoff(0.0, 0.5, 60.0, "none"), [0.0, 0.5, 1.0, 1.5]),
        (ConstantBackoff(2.5, "none"), [2.5] * 4),
        (ConstantBackoff(0.0, "none"), [0.0] * 4),
        (FibonacciBackoff(1.0, 10.0, "none"), [1, 1, 2, 3, 5, 8, 10, 10]),
        (FibonacciBackoff(0.5, 2.0, "none"), [0.5, 0.5, 1.0, 1.5, 2.0, 2.0]),
        (FibonacciBackoff(0.0, 2.0, "none"), [0.0] * 4),
        (FibonacciBackoff(3.0, 2.0, "none"), [2.0] * 4),
    ],
)
def test_each_strategy_follows_its_formula(strategy: BackoffStrategy, delays: list[float]) -> None:
    """The waits are those of the formula from the first one, and never exceed the cap."""
    assert first(len(delays), strategy) == delays


@each_row(
    ("jitter", "dice", "waits"),
    [
        ("full", 0.0, [0.0, 0.0, 0.0]),
        ("full", 0.5, [0.5, 1.0, 2.0]),
        ("full", 0.75, [0.75, 1.5, 3.0]),
        ("equal", 0.0, [0.5, 1.0, 2.0]),
        ("equal", 0.5, [0.75, 1.5, 3.0]),
        ("none", 0.5, [1.0, 2.0, 4.0]),
        (Jitter.EQUAL, 0.5, [0.75, 1.5, 3.0]),
    ],
)
def test_jitter_follows_its_formula(jitter: Jitter | str, dice: float, waits: list[float]) -> None:
    """For a delay d: full is uniform(0, d), equal is d/2 + uniform(0, d/2), none is d."""
    assert first(3, ExponentialBackoff(1.0, jitter=jitter), dice) == waits


def test_the_defaults_are_the_documented_ones() -> None:
    """1.0 s, doubled each time, capped at 60 s, full jitter; each setting may be given by keyword."""
    assert ExponentialBackoff() == ExponentialBackoff(1.0, 60.0, 2.0, Jitter.FULL)
    strategy = ExponentialBackoff(initial_delay=1.0, max_delay=30.0, backoff_factor=2.0)
    assert (strategy.initial_delay, strategy.max_delay, strategy.backoff_factor, strategy.jitter) == (
        1.0,
        30.0,
        2.0,
        "full",
    )


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: type(strategy).__name__)
def test_each_iterator_of_delays_starts_over(strategy: BackoffStrategy) -> None:
    """A strategy is a setting shared by all calls and keeps no position."""
    assert isinstance(strategy, BackoffStrategy)
    other = strategy.delays(lambda: 0.5)
    waits_of_other = [next(other) for _ in range(4)]
    assert first(4, strategy) == waits_of_other


@each_row(
    "strategy",
    [
        ExponentialBackoff(0.0),
        ExponentialBackoff(1.0, 60.0, 1.0),
        ExponentialBackoff(1e-9, 1e9, 1.01),
        ExponentialBackoff(1, 10**300, 2),
        ExponentialBackoff(1e-306),
        LinearBackoff(0.0, 0.0),
        LinearBackoff(1e307, 1e307, 1e308),
        ConstantBackoff(0.0),
        FibonacciBackoff(0.0),
        FibonacciBackoff(1e-300, 1e300),
        FibonacciBackoff(1e300, 1e300),
        DecorrelatedBackoff(0.0),
        DecorrelatedBackoff(1e308, 1e308),
    ],
    ids=repr,
)
def test_no_number_of_retries_overflows(strategy: BackoffStrategy) -> None:
    """Waits stay finite and non-negative, even where the generators of `backoff` overflow."""
    assert all(0.0 <= wait < math.inf for wait in first(3000, strategy))


def test_the_shortest_first_wait_reaches_the_cap() -> None:
    """The numbers of Fibonacci grow as far as a float does."""
    assert first(1600, FibonacciBackoff(1e-306, jitter="none"))[-1] == 60.0


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: type(strategy).__name__)
def test_the_longest_next_wait_of_our_own_strategies_is_known(strategy: BackoffStrategy) -> None:
    """For an explanation."""
    waits = WaitSeries(strategy, lambda: 0.5)
    assert waits.longest() == first(1, strategy, 1.0)[0]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: type(strategy).__name__)
def test_only_the_given_random_source_is_used(strategy: BackoffStrategy) -> None:
    """The same seed gives the same waits, and the global random source is not used."""
    before = random.getstate()
    assert first(20, strategy, random.Random(7).random) == first(20, strategy, random.Random(7).random)
    assert random.getstate() == before


@pytest.mark.parametrize(
    "strategy",
    [
        ExponentialBackoff(1.0, max_delay=10.0),
        LinearBackoff(1.0, 3.0, max_delay=10.0),
        FibonacciBackoff(1.0, max_delay=10.0),
        DecorrelatedBackoff(1.0, max_delay=10.0),
        ExponentialBackoff(1.0, max_delay=10.0, jitter="equal"),
    ],
    ids=repr,
)
def test_clients_do_not_pile_up_at_the_cap(strategy: BackoffStrategy) -> None:
    """Jitter is applied after the cap: of 2,000 clients at retry 8, no tenth of the cap holds a third."""
    source = random.Random(42).random
    eighth = [first(8, strategy, source)[-1] for _ in range(2000)]
    assert max(eighth) <= 10.0
    in_tenths = [sum(tenth <= wait < tenth + 1 for wait in eighth) for tenth in range(10)]
    assert sum(in_tenths) == len(eighth), "no client waits for exactly the cap"
    assert max(in_tenths) < len(eighth) / 3


def test_full_jitter_is_uniform() -> None:
    """Each tenth of the delay holds a tenth of the clients."""
    source = random.Random(42).random
    waits = [first(8, ExponentialBackoff(1.0, max_delay=10.0), source)[-1] for _ in range(5000)]
    in_tenths = [sum(tenth <= wait < tenth + 1 for wait in waits) for tenth in range(10)]
    assert all(400 < count < 600 for count in in_tenths), in_tenths


@pytest.mark.parametrize(
    ("dice", "waits"),
    [
        (0.0, [1.0, 1.0, 1.0, 1.0]),
        (0.5, [2.0, 3.5, 5.5, 5.5]),
        (1.0 - 2**-53, [3.0, 9.0, 10.0, 10.0]),
    ],
)
def test_a_decorrelated_wait_depends_on_the_previous_wait(dice: float, waits: list[float]) -> None:
    """w(n) = uniform(initial, min(cap, 3 * w(n - 1))), w(0) = initial."""
    assert first(4, DecorrelatedBackoff(1.0, max_delay=10.0), dice) == pytest.approx(waits)


@given(
    initial=st.just(0.0) | st.floats(1e-9, 1e6),
    cap=st.floats(0.0, 1e6),
    factor=st.floats(1.0, 10.0),
    jitter=st.sampled_from(Jitter),
    seed=st.integers(),
)
def test_no_wait_is_negative_or_beyond_the_cap(
    initial: float, cap: float, factor: float, jitter: Jitter, seed: int
) -> None:
    """0 <= wait <= max_delay for every strategy, every jitter and any settings."""
    for strategy in (
        ExponentialBackoff(initial, cap, factor, jitter),
        LinearBackoff(initial, factor, cap, jitter),
        FibonacciBackoff(initial, cap, jitter),
        DecorrelatedBackoff(initial, cap),
    ):
        assert all(0.0 <= wait <= cap for wait in first(30, strategy, random.Random(seed).random))


JITTERS: list[Any] = ["some", None, True, 0.5, []]
SECONDS: list[Any] = [-1.0, math.nan, math.inf, -math.inf, True, "1", None, 10**400]


@each_row(
    ("strategy", "name", "wrong"),
    [
        *[(ExponentialBackoff, name, wrong) for name in ("initial_delay", "max_delay") for wrong in SECONDS],
        *[(ExponentialBackoff, "backoff_factor", wrong) for wrong in (0.5, 0, math.nan, math.inf, True, "2")],
        *[(LinearBackoff, name, -1) for name in ("initial_delay", "increment", "max_delay")],
        *[(ConstantBackoff, "delay", wrong) for wrong in SECONDS],
        *[(FibonacciBackoff, name, -1) for name in ("initial_delay", "max_delay")],
        *[(DecorrelatedBackoff, name, math.nan) for name in ("initial_delay", "max_delay")],
        *[
            (strategy, "jitter", wrong)
            for strategy in (ExponentialBackoff, LinearBackoff, ConstantBackoff, FibonacciBackoff)
            for wrong in JITTERS
        ],
        (ExponentialBackoff, "initial_delay", 5e-324),  # would overflow before it reaches the cap
        (ExponentialBackoff, "initial_delay", 4e-307),  # so would this one, at its last step
    ],
)
def test_an_invalid_setting_is_rejected_by_name_and_value(strategy: Any, name: str, wrong: Any) -> None:
    """The message names the field, the rejected value and what is allowed."""
    with pytest.raises(ConfigurationError) as caught:
        strategy(**{name: wrong})
    assert str(caught.value).startswith(f"{name} must be ")
    remedy = "; write a number; files" if wrong == "1" else ""
    assert f", not {wrong!r}{remedy}" in str(caught.value)
    assert remedy or str(caught.value).endswith(repr(wrong))


def test_strategies_are_frozen() -> None:
    """A strategy shared by many calls cannot be changed while they use it."""
    with pytest.raises(FrozenInstanceError):
        ExponentialBackoff().max_delay = 1.0  # type: ignore[misc]


def test_a_short_constant_delay_still_allows_a_longer_retry_after() -> None:
    """`max_delay` bounds Retry-After, so for a constant delay it is 60 s, or the delay if that is longer."""
    assert ConstantBackoff(2.5).max_delay == 60.0
    assert ConstantBackoff(90.0).max_delay == 90.0


def test_the_backoff_package_is_imported_only_with_a_strategy_that_needs_it() -> None:
    """It imports asyncio, which takes 20 ms; a script with the usual strategy does not pay them."""
    code = (
        "import sys; from http_service_client import ExponentialBackoff, FibonacciBackoff;"
        "next(ExponentialBackoff().delays(lambda: 0.5)); assert not {'asyncio', 'backoff'} & {*sys.modules};"
        "strategy = FibonacciBackoff(); assert 'backoff' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("first", "factor", "most"),
    [(1.0, 2.0, 60.0), (0.1, 1.0, 5.0), (3.0, 1.5, 2.0), (0.5, 3, 100), (1e-9, 2, 60.0)],
)
def test_the_exponential_delays_are_those_of_the_backoff_package(
    first: float, factor: float, most: float
) -> None:
    """To the last bit, so that whoever knows its `expo` knows this sequence."""
    theirs = backoff.expo(base=factor, factor=first, max_value=most)
    next(theirs)
    ours = ExponentialBackoff(first, most, factor, jitter="none").delays(lambda: 0.5)
    assert list(itertools.islice(ours, 60)) == [min(wait, most) for wait in itertools.islice(theirs, 60)]

"""The usual order of policies in a pipeline, and the warnings of another one."""

from __future__ import annotations

import sys
import warnings
from itertools import combinations
from typing import Any

import pytest

from http_service_client import (
    BulkheadPolicy,
    CircuitBreakerPolicy,
    ResiliencePipeline,
    RetryPolicy,
    TimeoutPolicy,
)
from kit.policies import IN_ORDER
from kit.rows import each_row

# Of the outer and the inner one.
REASONS = [
    ("CircuitBreakerPolicy", "RetryPolicy", "the circuit counts a call once"),
    ("RateLimitPolicy", "RetryPolicy", "the attempts after the first pass the rate limit uncounted"),
    ("BulkheadPolicy", "RetryPolicy", "a call holds its permit"),
    ("AdaptiveLimitPolicy", "RetryPolicy", "the waits between attempts count as latency"),
    ("LoadSheddingPolicy", "RetryPolicy", "the attempts after the first are not shed"),
    ("HedgingPolicy", "RetryPolicy", "each hedge makes attempts of its own"),
    ("RetryPolicy", "FallbackPolicy", "nothing is left to retry"),
    ("CircuitBreakerPolicy", "FallbackPolicy", "the circuit never opens"),
    ("RetryPolicy", "ResultCachePolicy", "a kept result passes through the retry"),
    ("CircuitBreakerPolicy", "ResultCachePolicy", "kept results count as successes"),
    ("RateLimitPolicy", "ResultCachePolicy", "kept results use up the rate"),
    ("ChaosPolicy", "CircuitBreakerPolicy", "does not see what one further inside answers"),
]


def warnings_of(*policies: Any) -> list[str]:
    """What a pipeline of these policies, the outermost first, is warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _, line = ResiliencePipeline(*policies), sys._getframe().f_lineno
    assert {(each.filename, each.lineno) for each in caught} <= {(__file__, line)}
    return [str(each.message) for each in caught]


@each_row(("outer", "inner", "why"), REASONS)
def test_an_unusual_order_is_said_to_be_one(outer: str, inner: str, why: str) -> None:
    """With the reason and the remedy, as a warning that names the line."""
    (warning,) = warnings_of(IN_ORDER[outer](), IN_ORDER[inner]())
    assert warning.startswith(f"{inner} inside {outer} is an unusual order: ")
    assert why in warning
    assert f"; put {inner} before {outer}, or filter this warning" in warning


@each_row(("outer", "inner"), list(combinations(IN_ORDER, 2)))
def test_the_usual_order_is_quiet_and_its_reverse_is_not(outer: str, inner: str) -> None:
    """Of all pairs. The limit and the deadline check may stand in either order."""
    policies = IN_ORDER[outer](), IN_ORDER[inner]()
    assert warnings_of(*policies) == []
    either = (outer, inner) == ("AdaptiveLimitPolicy", "DeadlineCheckPolicy")
    assert len(warnings_of(*reversed(policies))) == (0 if either else 1)


def test_policies_that_are_exchanged_are_looked_at_too() -> None:
    """The warning names the line of the change."""
    pipeline = ResiliencePipeline(RetryPolicy())
    with pytest.warns(
        UserWarning, match="RetryPolicy inside CircuitBreakerPolicy is an unusual order"
    ) as caught:
        _, line = pipeline.reconfigure(CircuitBreakerPolicy(), RetryPolicy()), sys._getframe().f_lineno
    assert [(each.filename, each.lineno) for each in caught] == [(__file__, line)]


def test_two_retry_policies_multiply_their_attempts() -> None:
    """One of them is to be left out."""
    (warning,) = warnings_of(RetryPolicy(), RetryPolicy())
    assert "the attempts of the two multiply; leave one of them out" in warning


def test_two_of_another_kind_are_quiet() -> None:
    """Two bulkheads, for a function and for all of a program, say."""
    assert warnings_of(BulkheadPolicy(4), BulkheadPolicy(100)) == []


def test_policies_that_are_not_neighbours_are_compared_too() -> None:
    """Whatever stands between; a timeout may stand anywhere."""
    (warning,) = warnings_of(CircuitBreakerPolicy(), TimeoutPolicy(5.0), RetryPolicy())
    assert "RetryPolicy inside CircuitBreakerPolicy" in warning


@pytest.mark.parametrize(("outer", "inner", "count"), [(2.0, 1.0, 0), (2.0, 2.0, 1), (2.0, 3.0, 1)])
def test_a_timeout_inside_one_that_is_not_longer_never_expires(
    outer: float, inner: float, count: int
) -> None:
    """A shorter one bounds each attempt."""
    found = warnings_of(TimeoutPolicy(outer), TimeoutPolicy(inner))
    assert len(found) == count
    assert all(
        f"TimeoutPolicy({inner:g}) inside TimeoutPolicy({outer:g}) never expires" in each for each in found
    )


def test_each_pair_of_timeouts_is_compared() -> None:
    """The one that comes after a shorter one, too."""
    found = warnings_of(TimeoutPolicy(2.0), TimeoutPolicy(1.0), TimeoutPolicy(3.0))
    assert [each.partition(" never")[0] for each in found] == [
        "TimeoutPolicy(3) inside TimeoutPolicy(2)",
        "TimeoutPolicy(3) inside TimeoutPolicy(1)",
    ]

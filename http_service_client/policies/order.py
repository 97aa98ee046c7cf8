"""The usual order of policies in a pipeline, and what goes wrong in another one."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from .strategy import Strategy
from .timeout import TimeoutPolicy

__all__ = ["check_order"]

# Of the policy that stands outside, and of the one inside.
_WHY = {
    ("CircuitBreakerPolicy", "RetryPolicy"): (
        "the circuit counts a call once, after all its attempts, and opening it does not stop the attempts under way"
    ),
    ("RateLimitPolicy", "RetryPolicy"): "the attempts after the first pass the rate limit uncounted",
    ("BulkheadPolicy", "RetryPolicy"): "a call holds its permit while it waits between its attempts",
    ("AdaptiveLimitPolicy", "RetryPolicy"): "the waits between attempts count as latency of the service",
    ("LoadSheddingPolicy", "RetryPolicy"): "the attempts after the first are not shed",
    ("HedgingPolicy", "RetryPolicy"): "each hedge makes attempts of its own, which multiplies the load",
    ("RetryPolicy", "FallbackPolicy"): "the fallback replaces the failure, so that nothing is left to retry",
    ("RetryPolicy", "RetryPolicy"): "the attempts of the two multiply",
    (
        "CircuitBreakerPolicy",
        "FallbackPolicy",
    ): "the fallback replaces the failure, so that the circuit never opens",
    (
        "RetryPolicy",
        "ResultCachePolicy",
    ): "a kept result passes through the retry, and one that is not kept waits for it",
    ("CircuitBreakerPolicy", "ResultCachePolicy"): "kept results count as successes of the service",
    ("RateLimitPolicy", "ResultCachePolicy"): "kept results use up the rate",
}
_DEFAULT = "a policy does not see what one further inside answers or waits for"


def check_order(strategies: Sequence[Strategy]) -> None:
    """Warn of an unusual order. It works as written; that is rarely what was meant."""
    for number, outer in enumerate(strategies):
        for inner in strategies[number + 1 :]:
            names = type(outer).__name__, type(inner).__name__
            if type(outer) is TimeoutPolicy and type(inner) is TimeoutPolicy:
                _check_timeouts(outer.settings.seconds, inner.settings.seconds)
                continue
            is_inverted = outer.rank is not None and inner.rank is not None and outer.rank > inner.rank
            if is_inverted or names in _WHY:
                why = _WHY.get(names, _DEFAULT)
                remedy = (
                    "leave one of them out" if names[0] == names[1] else f"put {names[1]} before {names[0]}"
                )
                warnings.warn(
                    f"{names[1]} inside {names[0]} is an unusual order: {why}; {remedy}, "
                    "or filter this warning if it is meant so",
                    UserWarning,
                    stacklevel=4,
                )


def _check_timeouts(outer: float, inner: float) -> None:
    if inner >= outer:
        warnings.warn(
            f"TimeoutPolicy({inner:g}) inside TimeoutPolicy({outer:g}) never expires: all that stands inside the outer one "
            "ends with it; make the inner one shorter, or leave it out",
            UserWarning,
            stacklevel=5,
        )

"""The range of each number among the settings: what is refused, in which words, and what is still accepted."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from http_service_client import (
    ConfigurationError,
    ConstantBackoff,
    ExponentialBackoff,
    FibonacciBackoff,
    LinearBackoff,
    RetryBudgetSettings,
    RetryPolicy,
    RetryQuotaSettings,
)
from http_service_client.core.machines.caching.result_cache import ResultCacheSettings
from http_service_client.core.machines.chaos_settings import ChaosSettings
from http_service_client.core.machines.circuit_breaker.states import CircuitBreakerSettings
from http_service_client.core.machines.deadline_check import DeadlineCheckSettings
from http_service_client.core.machines.fallback import FallbackSettings
from http_service_client.core.machines.hedging import HedgingSettings
from http_service_client.core.machines.limits.adaptive_limit import AdaptiveLimitSettings
from http_service_client.core.machines.limits.bulkhead_settings import BulkheadSettings
from http_service_client.core.machines.limits.load_shedding import LoadSheddingSettings
from http_service_client.core.machines.limits.rate_limit_settings import RateLimitSettings
from http_service_client.core.machines.retry.other_backoffs import DecorrelatedBackoff
from http_service_client.core.machines.timeout import TimeoutSettings
from http_service_client.simulation import (
    Bursts,
    Constant,
    Errors,
    Exponential,
    Flapping,
    LogNormal,
    Outage,
    Poison,
    RateLimit,
    Scenario,
    Service,
    Slowdown,
    Uniform,
)
from kit.rows import each_row

DURATION = "a positive, finite number of seconds"
OPTIONAL = (DURATION, "; use None for no limit")
WAITS = "; use None for as long as the deadline allows, or max_waiting=0 for no queue"
TINY = 1e-300

CIRCUIT = CircuitBreakerSettings(
    failure_threshold=5, recovery_timeout=1.0, slow_call_rate=0.5, slow_call_duration=1.0, trial_count=9
)
BULKHEAD = BulkheadSettings(max_concurrent=1)
ADAPTIVE = AdaptiveLimitSettings(initial_limit=5, max_limit=9)
SHEDDING = LoadSheddingSettings()
HEDGING, LEARNING = HedgingSettings(delay=1.0), HedgingSettings(quantile=0.9)
RATE = RateLimitSettings(rate=1.0)
RESULTS = ResultCacheSettings(seconds=1.0)
FALLBACK = FallbackSettings(value=None, last_good=1.0)
CHAOS = ChaosSettings(latency=1.0, latency_rate=0.5)
SERVICE = Service(workers=5)

# The settings; then the name, the values that are refused, what it must be (and what is written after the value), the values
# that are accepted: the edges of the range.
RANGES: list[tuple[Any, str, list[Any], str | tuple[str, str], list[Any]]] = [
    (CIRCUIT, "failure_threshold", [0, 1.0], "a whole number of 1 or more", [1]),
    (CIRCUIT, "failure_duration", [-TINY, math.inf], "a finite number of seconds of 0 or more", [0, 1e9]),
    (CIRCUIT, "failure_rate", [0.0009, 1.001], "a finite number from 0.001 to 1", [0.001, 1]),
    (CIRCUIT, "slow_call_rate", [0.0009, 1.001], "a finite number from 0.001 to 1", [0.001, 1]),
    (CIRCUIT, "slow_call_duration", [0, -1], OPTIONAL, [TINY]),
    (CIRCUIT, "window", [0, None], DURATION, [TINY]),
    (CIRCUIT, "window_calls", [0, 20.0], "a whole number of 1 or more", [20]),
    (CIRCUIT, "minimum_calls", [0, None], "a whole number of 1 or more", [1]),
    (CIRCUIT, "recovery_timeout", [0, math.inf], DURATION, [TINY]),
    (CIRCUIT, "success_threshold", [0, True], "a whole number of 1 or more", [1]),
    (CIRCUIT, "recovery_multiplier", [0.999], "a finite number of 1 or more", [1, 1e9]),
    (CIRCUIT, "max_recovery_timeout", [0, math.inf], DURATION, [TINY]),
    (CIRCUIT, "recovery_jitter", [-TINY, 1.001], "a finite number from 0 to 1", [0, 1]),
    (CIRCUIT, "trial_lease", [0, math.inf], DURATION, [TINY]),
    (CIRCUIT, "trials_at_once", [0, 1.5], "a whole number of 1 or more", [1]),
    (replace(CIRCUIT, success_threshold=2), "trial_count", [1, 0], "a whole number of 2 or more", [2]),
    (CIRCUIT, "ramp_step", [0, None], DURATION, [TINY]),
    (CIRCUIT, "max_rejected", [-TINY, 1.001], "a finite number from 0 to 1", [0, 1]),
    (CIRCUIT, "timeout", [0, math.nan], OPTIONAL, [TINY, None]),
    (CIRCUIT, "metrics_only", [1, None], "True or False", [True, False]),
    (RetryBudgetSettings(), "ratio", [-TINY, 1001], "a finite number from 0 to 1000", [0, 1000]),
    (RetryBudgetSettings(), "min_per_second", [-TINY, 1.1e9], "a finite number from 0 to 1e+09", [0, 1e9]),
    (RetryBudgetSettings(), "window", [0.9, 3601], "a finite number of seconds from 1 to 3600", [1, 3600]),
    (RetryQuotaSettings(), "capacity", [0.0009, 1e7], "a finite number from 0.001 to 1e+06", [1, 1e6]),
    (RetryQuotaSettings(), "earned", [-TINY, 1e7], "a finite number from 0 to 1e+06", [0, 1e6]),
    (RetryQuotaSettings(), "cost", [0.0009, 1e7], "a finite number from 0.001 to 1e+06", [0.001, 1e6]),
    (RetryQuotaSettings(), "throttled_cost", [0.0009, 1e7], "a finite number from 0.001 to 1e+06", [0.001]),
    (RetryQuotaSettings(), "memory", [0.0009, 3601], "a finite number of seconds from 0.001 to 3600", [0.001, 3600]),
    (RetryPolicy(), "max_attempts", [0, -1, 1.0, True], "a whole number >= 1 (the first attempt included)", [1, 99]),
    (RetryPolicy(), "nested", [1, None], "True or False", [True]),
    (ExponentialBackoff(), "initial_delay", [-TINY, math.inf], "a finite number of seconds of 0 or more", [0, 1e-9]),
    (ExponentialBackoff(), "max_delay", [-TINY, math.inf], "a finite number of seconds of 0 or more", [0, 1e9]),
    (ExponentialBackoff(), "backoff_factor", [0.999, math.inf], "a finite number of 1 or more", [1]),
    (LinearBackoff(), "initial_delay", [-TINY], "a finite number of seconds of 0 or more", [0]),
    (LinearBackoff(), "increment", [-TINY], "a finite number of seconds of 0 or more", [0]),
    (LinearBackoff(), "max_delay", [-TINY], "a finite number of seconds of 0 or more", [0]),
    (ConstantBackoff(), "delay", [-TINY], "a finite number of seconds of 0 or more", [0]),
    (FibonacciBackoff(), "initial_delay", [-TINY], "a finite number of seconds of 0 or more", [0]),
    (FibonacciBackoff(), "max_delay", [-TINY], "a finite number of seconds of 0 or more", [0]),
    (DecorrelatedBackoff(), "initial_delay", [-TINY], "a finite number of seconds of 0 or more", [0]),
    (DecorrelatedBackoff(), "max_delay", [-TINY], "a finite number of seconds of 0 or more", [0]),
    (BULKHEAD, "max_concurrent", [0, 1.0], "a whole number of 1 or more", [1]),
    (BULKHEAD, "max_waiting", [-1, 1.0], "a whole number of 0 or more", [0, None]),
    (BULKHEAD, "max_wait", [0, -1], (DURATION, WAITS), [TINY, None]),
    (ADAPTIVE, "min_limit", [0, 1.0], "a whole number of 1 or more", [1, 2]),
    (ADAPTIVE, "initial_limit", [0, 5.0], "a whole number of 1 or more", [1, 9]),
    (ADAPTIVE, "max_limit", [0, 9.0], "a whole number of 1 or more", [5]),
    (ADAPTIVE, "max_waiting", [-1, 1.0], "a whole number of 0 or more", [0, None]),
    (ADAPTIVE, "max_wait", [0, -1], (DURATION, WAITS), [TINY, None]),
    (ADAPTIVE, "slow_call_duration", [0, -1], OPTIONAL, [TINY, None]),
    (SHEDDING, "multiplier", [1.09, 101], "a finite number from 1.1 to 100", [1.1, 100]),
    (SHEDDING, "window", [0, None], DURATION, [1, 3600]),
    (SHEDDING, "window", [0.9, 3601], "a finite number of seconds from 1 to 3600", [1, 3600]),
    (SHEDDING, "min_rate", [-TINY, math.inf], "a finite number of calls a second of 0 or more", [0, 1e9]),
    (SHEDDING, "max_shed", [-TINY, 1.1], "a finite number from 0 to 1", [0, 0.99]),
    (HEDGING, "delay", [0, -1], (DURATION, "; use None to learn it"), [TINY]),
    (LEARNING, "quantile", [0.49, 1], "a finite number from 0.5 to 0.999", [0.5, 0.999]),
    (HEDGING, "max_hedges", [0, 1.0], "a whole number of 1 or more", [1]),
    (HEDGING, "max_share", [0.0009, 1.001], "a finite number from 0.001 to 1", [0.001, 1]),
    (HEDGING, "min_delay", [0, None], DURATION, [TINY]),
    (HEDGING, "min_calls", [0, 20.0], "a whole number of 1 or more", [1]),
    (DeadlineCheckSettings(), "min_chance", [0.00009, 0.51], "a finite number from 0.0001 to 0.5", [0.0001, 0.5]),
    (DeadlineCheckSettings(), "min_samples", [9, 50.0], "a whole number of 10 or more", [10]),
    (DeadlineCheckSettings(), "probe_interval", [0, None], DURATION, [TINY]),
    (RATE, "rate", [-TINY, math.inf], "a finite number of 0 or more", [0.001]),
    (RATE, "per", [0, None], DURATION, [1, 60]),
    (RATE, "burst", [0, 1.0], "a whole number of 1 or more", [1]),
    (RATE, "max_wait", [-TINY, math.inf], "a finite number of seconds of 0 or more", [0, None]),
    (RATE, "max_keys", [0, None], "a whole number of 1 or more", [1]),
    (RATE, "follow_headers", [1, None], "True or False", [True]),
    (RESULTS, "seconds", [0, None], DURATION, [TINY]),
    (RESULTS, "max_entries", [0, None], "a whole number of 1 or more", [1]),
    (RESULTS, "stale_on_error", [-TINY, None], "a finite number of seconds of 0 or more", [0]),
    (RESULTS, "cache_errors", [-TINY, None], "a finite number of seconds of 0 or more", [0]),
    (FALLBACK, "last_good", [0, -1], (DURATION, "; leave it out to keep no results"), [TINY]),
    (FALLBACK, "unsafe_methods", [1, None], "True or False", [True]),
    (FALLBACK, "single_user", [1, None], "True or False", [True]),
    (FALLBACK, "max_entries", [0, None], "a whole number of 1 or more", [1]),
    (FALLBACK, "max_bytes", [0, None], "a whole number of 1 or more", [1]),
    (TimeoutSettings(seconds=1), "seconds", [0, None], DURATION, [TINY]),
    (TimeoutSettings(seconds=1), "in_thread", [1, None], "True or False", [True]),
    *(
        (CHAOS, name, [-TINY, 1.001], "a finite number from 0 to 1", [0])
        for name in ("error_rate", "status_rate", "truncation_rate")
    ),
    (CHAOS, "latency_rate", [-TINY, 1.001], "a finite number from 0 to 1", [0.001, 1]),
    (CHAOS, "latency", [-TINY, math.inf], "a finite number of seconds of 0 or more", []),
    (CHAOS, "begins_after", [-TINY, None], "a finite number of seconds of 0 or more", [0, 1e9]),
    (CHAOS, "ends_after", [-TINY, math.inf], "a finite number of seconds of 0 or more", [TINY, None]),
    (CHAOS, "max_calls", [0, 1.0], "a whole number of 1 or more", [1, None]),
    (CHAOS, "enabled", [1, None], "True or False", [False]),
    (SERVICE, "latency", [0, -1], DURATION, [TINY]),
    (SERVICE, "workers", [0], "a whole number of 1 or more", [1]),
    (SERVICE, "queue", [-1], "a whole number of 0 or more", [0]),
    (SERVICE, "network", [-TINY, 10.1], "a finite number of seconds from 0 to 10", [0, 10]),
    (SERVICE, "stops_abandoned_work", [1], "True or False", [True]),
    (Scenario(service=SERVICE), "clients", [0], "a whole number of 1 or more", [1]),
    (Scenario(service=SERVICE), "rate", [-TINY], "a finite number of calls a second of 0 or more", [0]),
    (Scenario(service=SERVICE), "seconds", [0, None], DURATION, [TINY]),
    (Outage(), "share", [-TINY, 1.001], "a finite number from 0 to 1", [0, 1]),
    (Outage(how=503), "retry_after", [-TINY], "a finite number of seconds of 0 or more", [0]),
    *(
        (fault, name, bad, words, good)
        for fault in (Outage(), Errors(rate=1), Slowdown(factor=2), Poison(share=1, work=1),
                      Flapping(up=1, down=1), Bursts(good=1, bad=1), RateLimit(per_second=1))
        for name, bad, words, good in (
            ("start", [-TINY], "a finite number of seconds of 0 or more", [0]),
            ("seconds", [0], (DURATION, "; use None for a fault that stays"), [TINY, None]),
        )
    ),
    (Errors(rate=1), "rate", [-TINY, 1.001], "a finite number from 0 to 1", [0]),
    (Errors(rate=1), "status", [399, 600, 500.0], "a whole number from 400 to 599", [400, 599]),
    (Slowdown(factor=2), "factor", [0.0009, 1.1e6], "a finite number from 0.001 to 1e+06", [0.001, 1e6]),
    (Slowdown(factor=2), "share", [-TINY, 1.001], "a finite number from 0 to 1", [0, 1]),
    (Poison(share=1, work=1), "share", [-TINY, 1.001], "a finite number from 0 to 1", [0]),
    (Poison(share=1, work=1), "work", [0, None], DURATION, [TINY]),
    (Flapping(up=1, down=1), "up", [0, None], DURATION, [TINY]),
    (Flapping(up=1, down=1), "down", [0, None], DURATION, [TINY]),
    (Bursts(good=1, bad=1), "good", [0, None], DURATION, [TINY]),
    (Bursts(good=1, bad=1), "bad", [0, None], DURATION, [TINY]),
    (Bursts(good=1, bad=1), "rate", [-TINY, 1.001], "a finite number from 0 to 1", [0]),
    (RateLimit(per_second=1), "per_second", [0, None], DURATION, [TINY]),
    (RateLimit(per_second=1), "burst", [0], "a whole number of 1 or more", [1]),
    (RateLimit(per_second=1), "retry_after", [-TINY], "a finite number of seconds of 0 or more", [0, None]),
    (Constant(1), "seconds", [0, None], DURATION, [TINY]),
    (Uniform(1, 2), "least", [0, None], DURATION, [TINY, 2]),
    (Uniform(1, 2), "most", [0, None], DURATION, [1]),
    (Exponential(1), "expected", [0, None], DURATION, [TINY]),
    (LogNormal(1, 2), "median", [0, None], DURATION, [TINY, 2]),
    (LogNormal(1, 2), "p99", [0, None], DURATION, [1]),
]  # fmt: skip


@each_row(
    ("settings", "name", "refused", "words", "accepted"),
    RANGES,
    ids=[f"{type(row[0]).__name__}.{row[1]}" for row in RANGES],
)
def test_a_number_is_refused_beyond_its_range_and_accepted_at_its_edges(
    settings: Any, name: str, refused: list[Any], words: str | tuple[str, str], accepted: list[Any]
) -> None:
    """The error names the field, what it must be, the value, and what to write for no limit."""
    expected, remedy = (words, "") if isinstance(words, str) else words
    for value in refused:
        with pytest.raises(ConfigurationError) as raised:
            replace(settings, **{name: value})
        assert str(raised.value) == f"{name} must be {expected}, not {value!r}{remedy}"
    for value in accepted:
        assert getattr(replace(settings, **{name: value}), name) == value


@pytest.mark.parametrize("share", [0.001, 1])
def test_the_shares_of_a_ramp_have_their_position(share: float) -> None:
    """Counted from 0, as in Python."""
    assert CircuitBreakerSettings(ramp=[0.5, share]).ramp == (0.5, share)
    with pytest.raises(ConfigurationError) as raised:
        CircuitBreakerSettings(ramp=[share, 1.001])
    assert str(raised.value) == "ramp[1] must be a finite number from 0.001 to 1, not 1.001"

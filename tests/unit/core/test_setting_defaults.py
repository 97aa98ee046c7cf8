"""A default is a promise: programs that do not set it rely on it. A change of one is a change of their behaviour."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from http_service_client.core.machines.caching.result_cache import ResultCacheSettings
from http_service_client.core.machines.chaos_settings import ChaosSettings
from http_service_client.core.machines.circuit_breaker.states import CircuitBreakerSettings
from http_service_client.core.machines.deadline_check import DeadlineCheckSettings
from http_service_client.core.machines.fallback import NOTHING, FallbackSettings
from http_service_client.core.machines.hedging import HedgingSettings
from http_service_client.core.machines.limits.adaptive_limit import AdaptiveLimitSettings
from http_service_client.core.machines.limits.bulkhead_settings import BulkheadSettings
from http_service_client.core.machines.limits.load_shedding import LoadSheddingSettings
from http_service_client.core.machines.limits.rate_limit_settings import RateLimitSettings
from http_service_client.core.machines.retry.backoff import ExponentialBackoff, Jitter
from http_service_client.core.machines.retry.budget import RetryBudgetSettings
from http_service_client.core.machines.retry.other_backoffs import (
    ConstantBackoff,
    DecorrelatedBackoff,
    FibonacciBackoff,
    LinearBackoff,
)
from http_service_client.core.machines.retry.quota import RetryQuotaSettings
from http_service_client.core.machines.retry.settings import RetrySettings
from http_service_client.core.machines.timeout import TimeoutSettings

# Those that are None mean "no limit", "none of it", or "as the documentation says".
DEFAULTS: dict[type, dict[str, Any]] = {
    AdaptiveLimitSettings: {"algorithm": "gradient", "min_limit": 1, "max_wait": 1.0},
    BulkheadSettings: {"max_wait": 1.0, "partitions": {}, "partition_by": "name"},
    ChaosSettings: {
        "latency_rate": 0.0,
        "errors": (),
        "error_rate": 0.0,
        "statuses": (),
        "status_rate": 0.0,
        "truncation_rate": 0.0,
        "begins_after": 0.0,
        "enabled": True,
    },
    CircuitBreakerSettings: {
        "success_threshold": 1,
        "window": 30.0,
        "minimum_calls": 20,
        "opens_when": "any",
        "recovery_jitter": 0.0,
        "trial_lease": 60.0,
        "trials_at_once": 1,
        "ramp": (),
        "ramp_step": 1.0,
        "max_rejected": 1.0,
        "metrics_only": False,
        "exclude": (),
    },
    DeadlineCheckSettings: {"min_chance": 0.02, "min_samples": 50, "probe_interval": 1.0},
    FallbackSettings: {
        "value": NOTHING,
        "unsafe_methods": False,
        "single_user": False,
        "max_entries": 1000,
        "max_bytes": 16 * 1024 * 1024,
    },
    HedgingSettings: {"max_hedges": 1, "max_share": 0.05, "min_delay": 0.005, "min_calls": 20},
    LoadSheddingSettings: {"multiplier": 2.0, "window": 10.0, "max_shed": 0.9, "min_rate": 0.1},
    RateLimitSettings: {
        "burst": 1,
        "per": 1.0,
        "max_wait": 60.0,
        "max_keys": 10_000,
        "follow_headers": False,
    },
    ResultCacheSettings: {"max_entries": 1000, "stale_on_error": 0.0, "cache_errors": 0.0},
    RetryBudgetSettings: {"ratio": 0.2, "min_per_second": 10.0, "window": 10.0},
    RetryQuotaSettings: {"earned": 0.2, "cost": 1.0, "throttled_cost": 0.5, "memory": 10.0},
    RetrySettings: {"max_attempts": 3, "backoff_strategy": ExponentialBackoff(), "nested": False},
    TimeoutSettings: {"in_thread": False},
    ExponentialBackoff: {
        "initial_delay": 1.0,
        "max_delay": 60.0,
        "backoff_factor": 2.0,
        "jitter": Jitter.FULL,
    },
    LinearBackoff: {"initial_delay": 1.0, "increment": 1.0, "max_delay": 60.0, "jitter": Jitter.FULL},
    ConstantBackoff: {"delay": 1.0, "jitter": Jitter.FULL},
    FibonacciBackoff: {"initial_delay": 1.0, "max_delay": 60.0, "jitter": Jitter.FULL},
    DecorrelatedBackoff: {"initial_delay": 1.0, "max_delay": 60.0},
}


@pytest.mark.parametrize("kind", DEFAULTS, ids=lambda kind: kind.__name__)
def test_the_defaults_of_settings(kind: Any) -> None:
    """Of every field that may be left out."""
    found = {}
    for each in dataclasses.fields(kind):
        if each.default_factory is not dataclasses.MISSING:
            found[each.name] = each.default_factory()
        elif each.default is not dataclasses.MISSING and each.default is not None:
            found[each.name] = each.default
    assert found == DEFAULTS[kind]


def test_a_quantile_is_learned_where_no_delay_is_set() -> None:
    """Of 20 requests, one is slower."""
    assert HedgingSettings().quantile == 0.95
    assert HedgingSettings(delay=1.0).quantile is None

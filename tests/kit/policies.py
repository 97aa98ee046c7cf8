"""Every kind of policy around functions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from http_service_client import (
    AdaptiveLimitPolicy,
    BulkheadPolicy,
    ChaosPolicy,
    CircuitBreakerPolicy,
    DeadlineCheckPolicy,
    FallbackPolicy,
    HedgingPolicy,
    LoadSheddingPolicy,
    RateLimitPolicy,
    ResultCachePolicy,
    RetryPolicy,
    TimeoutPolicy,
)

__all__ = ["IN_ORDER", "MAKERS"]

IN_ORDER: dict[str, Callable[..., Any]] = {
    "FallbackPolicy": partial(FallbackPolicy, value=None),
    "ResultCachePolicy": partial(ResultCachePolicy, seconds=60.0),
    "RetryPolicy": RetryPolicy,
    "HedgingPolicy": partial(HedgingPolicy, delay=1.0),
    "LoadSheddingPolicy": LoadSheddingPolicy,
    "RateLimitPolicy": partial(RateLimitPolicy, rate=5.0),
    "CircuitBreakerPolicy": CircuitBreakerPolicy,
    "BulkheadPolicy": partial(BulkheadPolicy, max_concurrent=4),
    "AdaptiveLimitPolicy": AdaptiveLimitPolicy,
    "DeadlineCheckPolicy": DeadlineCheckPolicy,
    "ChaosPolicy": partial(ChaosPolicy, errors=[OSError], error_rate=1.0, enabled=False),
}
"""Those that have a place in a pipeline, the outermost first, with no more than they need. They take further settings."""

MAKERS = {**IN_ORDER, "TimeoutPolicy": partial(TimeoutPolicy, seconds=1.0)}
"""All of them."""

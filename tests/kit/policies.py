"""Every kind of policy around functions."""

from __future__ import annotations

from collections.abc import Callable
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

IN_ORDER: dict[str, Callable[[], Any]] = {
    "FallbackPolicy": lambda: FallbackPolicy(value=None),
    "ResultCachePolicy": lambda: ResultCachePolicy(60.0),
    "RetryPolicy": RetryPolicy,
    "HedgingPolicy": lambda: HedgingPolicy(delay=1.0),
    "LoadSheddingPolicy": LoadSheddingPolicy,
    "RateLimitPolicy": lambda: RateLimitPolicy(5.0),
    "CircuitBreakerPolicy": CircuitBreakerPolicy,
    "BulkheadPolicy": lambda: BulkheadPolicy(4),
    "AdaptiveLimitPolicy": AdaptiveLimitPolicy,
    "DeadlineCheckPolicy": DeadlineCheckPolicy,
    "ChaosPolicy": lambda: ChaosPolicy(errors=[OSError], error_rate=1.0, enabled=False),
}
"""Those that have a place in a pipeline, the outermost first, with no more than they need."""

MAKERS = {**IN_ORDER, "TimeoutPolicy": lambda: TimeoutPolicy(1.0)}
"""All of them."""

"""The defaults of settings that are neither numbers nor text: `architecture/test_records.py` has those."""

from __future__ import annotations

from http_service_client.core.machines.chaos_settings import ChaosSettings
from http_service_client.core.machines.fallback import NOTHING, FallbackSettings
from http_service_client.core.machines.hedging import HedgingSettings
from http_service_client.core.machines.limits.bulkhead_settings import BulkheadSettings
from http_service_client.core.machines.retry.backoff import ExponentialBackoff
from http_service_client.core.machines.retry.settings import RetrySettings


def test_what_is_not_set_is_nothing() -> None:
    """Nothing is injected, no caller has a part of its own, and nothing stands in for a response."""
    chaos = ChaosSettings(truncation_rate=0.1)
    assert (chaos.errors, chaos.statuses, chaos.latency) == ((), (), None)
    assert dict(BulkheadSettings(max_concurrent=1).partitions) == {}
    assert FallbackSettings(last_good=60.0).value is NOTHING


def test_retries_wait_exponentially() -> None:
    """With the defaults of that backoff."""
    assert RetrySettings().backoff_strategy == ExponentialBackoff()


def test_a_quantile_is_learned_where_no_delay_is_set() -> None:
    """Of 20 requests, one is slower."""
    assert HedgingSettings().quantile == 0.95
    assert HedgingSettings(delay=1.0).quantile is None

"""Calls that are recorded, and replayed under another configuration."""

from __future__ import annotations

from typing import Any

from http_service_client import (
    ConstantBackoff,
    HttpClientConfig,
    HttpClientError,
    HttpServiceClient,
    RetryPolicy,
)
from http_service_client.events import Timeline
from http_service_client.simulation import ReplayedCall, replay
from http_service_client.testing import ScriptedTransport, VirtualClock

__all__ = ["again", "record", "waiting"]


def waiting(seconds: float, attempts: int = 3, **settings: Any) -> HttpClientConfig:
    """Retries after a fixed wait."""
    backoff = ConstantBackoff(seconds, jitter="none")
    return HttpClientConfig(retry_policy_config=RetryPolicy(attempts, backoff), **settings)


def record(
    config: HttpClientConfig,
    *outcomes: Any,
    method: str = "GET",
    url: str = "https://api.example.com/x?token=s",
    **options: Any,
) -> Timeline:
    """The timeline of a call that gets these outcomes, the last one again and again."""
    clock = VirtualClock()
    client = HttpServiceClient(config, transport=ScriptedTransport(list(outcomes), clock=clock), clock=clock)
    try:
        timeline = client.request(method, url, **options).timeline
    except HttpClientError as error:
        timeline = error.timeline
    assert timeline is not None
    return timeline


def again(timeline: Any, config: HttpClientConfig | None = None) -> ReplayedCall:
    """The only call of a replay."""
    (call,) = replay([timeline], config).calls
    return call

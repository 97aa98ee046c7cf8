"""Keywords of other libraries, and of other classes here: each has a remedy that says what to write instead.

The remedies are in other_keywords.json.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from http_service_client import (
    ConnectionPoolConfig,
    EgressPolicy,
    HttpClientConfig,
    HttpServiceClient,
    Propagation,
    ResiliencePipeline,
    Timeout,
)
from http_service_client.auth import (
    OAuth2ClientCredentials,
    OAuth2Grant,
    OAuth2RefreshToken,
)
from http_service_client.integrations import (
    AsyncResilientTransport,
    ResilientAdapter,
    ResilientTransport,
)
from http_service_client.integrations.wsgi import (
    DeadlineMiddleware,
    HealthEndpoint,
)
from http_service_client.observability import (
    OpenTelemetry,
)
from http_service_client.policies import (
    AdaptiveLimitPolicy,
    BulkheadPolicy,
    Cache,
    ChaosPolicy,
    CircuitBreakerPolicy,
    DeadlineCheckPolicy,
    FallbackPolicy,
    HedgingPolicy,
    LoadSheddingPolicy,
    RateLimitPolicy,
    ResultCachePolicy,
    RetryPolicy,
    RetryQuotaSettings,
    TimeoutPolicy,
)
from http_service_client.simulation import (
    Errors,
    Outage,
    RateLimit,
    Service,
)
from kit.rows import each_row

REMEDIES: dict[str, dict[str, str]] = json.loads(
    Path(__file__).with_name("other_keywords.json").read_text(encoding="utf-8")
)
KINDS: list[Any] = [
    AdaptiveLimitPolicy,
    AsyncResilientTransport,
    BulkheadPolicy,
    Cache,
    ChaosPolicy,
    CircuitBreakerPolicy,
    ConnectionPoolConfig,
    DeadlineCheckPolicy,
    DeadlineMiddleware,
    EgressPolicy,
    Errors,
    FallbackPolicy,
    HealthEndpoint,
    HedgingPolicy,
    HttpClientConfig,
    HttpServiceClient,
    LoadSheddingPolicy,
    OAuth2ClientCredentials,
    OAuth2Grant,
    OAuth2RefreshToken,
    OpenTelemetry,
    Outage,
    Propagation,
    RateLimit,
    RateLimitPolicy,
    ResiliencePipeline,
    ResilientAdapter,
    ResilientTransport,
    ResultCachePolicy,
    RetryPolicy,
    RetryQuotaSettings,
    Service,
    Timeout,
    TimeoutPolicy,
]


@each_row("kind", KINDS)
def test_a_keyword_of_another_library_has_a_remedy(kind: Any) -> None:
    """In the error, behind the name of the keyword."""
    for keyword, remedy in REMEDIES[kind.__name__].items():
        with pytest.raises(TypeError) as caught:
            kind(**{keyword: None})
        assert str(caught.value) == f"{kind.__name__} takes no keyword {keyword!r}; {remedy}"

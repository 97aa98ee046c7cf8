"""A setting of the wrong type is refused when it is given, and the error names it."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest

from http_service_client import (
    Cache,
    CircuitBreakerPolicy,
    ConfigurationError,
    ConnectionPoolConfig,
    ConstantBackoff,
    EgressPolicy,
    ExponentialBackoff,
    FibonacciBackoff,
    HttpClientConfig,
    HttpServiceClient,
    LinearBackoff,
    MemoryStorage,
    Propagation,
    RetryBudgetSettings,
    RetryPolicy,
    RetryQuotaSettings,
    SqliteStorage,
    Timeout,
)
from http_service_client.auth import (
    HmacSignature,
    OAuth2ClientCredentials,
    OAuth2RefreshToken,
)
from http_service_client.core.machines.retry.other_backoffs import DecorrelatedBackoff
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

OAUTH = {"token_url": "https://id.test/", "client_id": "c"}

# The classes, and the settings that they need.
KINDS: list[tuple[Any, dict[str, Any]]] = [
    *(
        (kind, {})
        for kind in (HttpClientConfig, ConnectionPoolConfig, HttpServiceClient, Timeout, EgressPolicy)
    ),
    *((kind, {}) for kind in (RetryPolicy, CircuitBreakerPolicy, RetryBudgetSettings, RetryQuotaSettings)),
    *((kind, {}) for kind in (ExponentialBackoff, LinearBackoff, ConstantBackoff, FibonacciBackoff)),
    *((kind, {}) for kind in (DecorrelatedBackoff, Propagation, Cache, MemoryStorage)),
    (SqliteStorage, {"path": "cache.db"}),
    (HmacSignature, {"key": "k"}),
    (OAuth2ClientCredentials, {**OAUTH, "client_secret": "s"}),
    (OAuth2RefreshToken, {**OAUTH, "refresh_token": "r"}),
    (Bursts, {"good": 1.0, "bad": 1.0}),
    (Errors, {"rate": 0.5}),
    (Outage, {}),
    (Flapping, {"up": 1.0, "down": 1.0}),
    (Poison, {"share": 0.5, "work": 1.0}),
    (RateLimit, {"per_second": 1.0}),
    (Slowdown, {"factor": 2.0}),
    (Service, {"workers": 1}),
    (Scenario, {"service": Service(workers=1)}),
    (Constant, {"seconds": 1.0}),
    (LogNormal, {"median": 1.0, "p99": 2.0}),
    (Exponential, {"expected": 1.0}),
    (Uniform, {"least": 1.0, "most": 2.0}),
]


class Wrong:
    """A value that no setting takes."""

    def __repr__(self) -> str:
        return "<a wrong value>"


ROWS = [
    (kind, needed, name)
    for kind, needed in KINDS
    for name, parameter in inspect.signature(kind).parameters.items()
    if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
]


@each_row(("kind", "needed", "name"), ROWS, ids=[f"{kind.__name__}.{name}" for kind, _, name in ROWS])
def test_an_error_of_a_setting_names_it(kind: Any, needed: dict[str, Any], name: str) -> None:
    """So that a user finds it among twenty, and in a file or a variable of that name."""
    with pytest.raises((ConfigurationError, TypeError)) as caught:
        kind(**{**needed, name: Wrong()})
    assert re.search(rf"(?<!\w){name}(?!\w)", str(caught.value))
    assert "required" not in str(caught.value)

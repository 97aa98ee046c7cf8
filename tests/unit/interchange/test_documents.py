"""Documents as their systems' own pages and schemas have them, and what is said about the rest of them."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest

from http_service_client import (
    ConfigurationError,
    ConstantBackoff,
    ExponentialBackoff,
    HttpClientConfig,
    LinearBackoff,
    RetryBudgetSettings,
    RetryQuotaSettings,
)
from http_service_client.core.machines.hedging import HedgingSettings
from http_service_client.core.machines.limits.bulkhead_settings import BulkheadSettings
from http_service_client.interchange import (
    Import,
    export,
    from_envoy,
    from_gateway_api,
    from_grpc_service_config,
    from_polly,
)
from kit.rows import each_row

# From the comments of envoy.config.route.v3.RetryPolicy, and the page "Outlier detection" of Envoy for the defaults.
ENVOY: dict[str, Any] = {
    "route": {
        "cluster": "payments",
        "timeout": "15s",
        "retry_policy": {
            "retry_on": "5xx,retriable-status-codes",
            "numRetries": 3,
            "per_try_timeout": "0.500s",
            "retriable_status_codes": [429],
            "retry_back_off": {"base_interval": "0.1s", "max_interval": "2s"},
            "rate_limited_retry_back_off": {
                "reset_headers": [
                    {"name": "Retry-After", "format": "SECONDS"},
                    {"name": "X-RateLimit-Reset", "format": "UNIX_TIMESTAMP"},
                ],
                "max_interval": "300s",
            },
            "retry_host_predicate": [{"name": "envoy.retry_host_predicates.previous_hosts"}],
        },
        "hedge_policy": {"hedge_on_per_try_timeout": True},
    },
    "cluster": {
        "connect_timeout": "0.25s",
        "circuit_breakers": {
            "thresholds": [
                {"priority": "DEFAULT", "max_connections": 100, "max_retries": 3,
                 "retry_budget": {"budget_percent": {"value": 25.0}, "min_retry_concurrency": 5}},
                {"priority": "HIGH", "max_connections": 1000},
            ]
        },
        "outlier_detection": {"consecutive_5xx": 7, "interval": "10s"},
    },
}  # fmt: skip

# From proposal A6 of gRPC.
GRPC: dict[str, Any] = {
    "methodConfig": [
        {
            "name": [{"service": "payments.Payments"}],
            "timeout": "1.0s",
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE", 8],
            },
        },
        {
            "name": [{"service": "payments.Payments", "method": "Charge"}],
            "waitForReady": True,
            "timeout": "5s",
        },
    ],
    "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
}

# From GEP-1731, GEP-3388 and the pages of HTTPRoute and XBackendTrafficPolicy.
ROUTE: dict[str, Any] = {
    "apiVersion": "gateway.networking.k8s.io/v1",
    "kind": "HTTPRoute",
    "metadata": {"name": "payments"},
    "spec": {
        "parentRefs": [{"name": "gateway"}],
        "rules": [
            {
                "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
                "backendRefs": [{"name": "payments", "port": 8080}],
                "timeouts": {"request": "10s", "backendRequest": "2s500ms"},
                "retry": {"codes": [500, 502, 503, 504], "attempts": 2, "backoff": "100ms"},
            },
            {"timeouts": {"request": "1h"}, "backendRefs": [{"name": "reports", "port": 8080}]},
        ],
    },
}
BUDGET: dict[str, Any] = {
    "apiVersion": "gateway.networking.x-k8s.io/v1alpha1",
    "kind": "XBackendTrafficPolicy",
    "metadata": {"name": "payments"},
    "spec": {
        "targetRefs": [{"group": "", "kind": "Service", "name": "payments"}],
        "retryConstraint": {
            "budget": {"percent": 30, "interval": "1m"},
            "minRetryRate": {"count": 5, "interval": "10s"},
        },
        "sessionPersistence": {"sessionName": "payments"},
    },
}

# The names of HttpStandardResilienceOptions and of the options in it.
POLLY: dict[str, Any] = {
    "HttpStandardResilience": {
        "TotalRequestTimeout": {"Timeout": "00:01:00"},
        "Retry": {
            "MaxRetryAttempts": "5",
            "BackoffType": "Exponential",
            "UseJitter": "true",
            "Delay": "00:00:00.200",
            "MaxDelay": "00:00:10",
        },
        "CircuitBreaker": {"FailureRatio": 0.3, "MinimumThroughput": 10, "BreakDuration": "00:00:30"},
        "attemptTimeout": {"timeout": "00:00:05"},
        "RateLimiter": {"DefaultRateLimiterOptions": {"PermitLimit": 50, "QueueLimit": 10}},
    }
}


def notes(imported: Import) -> dict[str, str]:
    return {note.name: note.why for note in imported.notes}


def statuses(config: HttpClientConfig) -> set[int]:
    assert config.retry is not None
    return set().union(*(condition.statuses for condition in config.retry.retry_conditions or ()))


def test_a_route_and_a_cluster_of_envoy() -> None:
    """Names in either form of protobuf's JSON; what has no equal is listed by its path."""
    imported = from_envoy(ENVOY)
    config = imported.config
    assert config.retry is not None
    assert (config.total_timeout, config.timeout.total, config.timeout.connect) == (15.0, 30.0, 0.25)
    assert config.hedging == HedgingSettings(delay=0.5)  # its timeout of an attempt begins a hedge
    assert (config.retry.max_attempts, config.pool.max_connections_per_host) == (4, 100)
    assert config.retry.backoff_strategy == ExponentialBackoff(0.1, max_delay=2.0)
    assert statuses(config) == {429, *range(500, 600)}
    assert config.budget == RetryBudgetSettings(ratio=0.25)
    circuit = config.resolved.circuit_breaker
    assert circuit is not None
    assert (circuit.failure_threshold, circuit.failure_rate, circuit.recovery_timeout) == (7, None, 30.0)
    assert set(notes(imported)) == {
        "route.retry_policy.retry_on",
        "route.retry_policy.rate_limited_retry_back_off.max_interval",
        "route.retry_policy.rate_limited_retry_back_off.reset_headers",
        "route.retry_policy.retry_host_predicate",
        "cluster.circuit_breakers.thresholds[0].max_retries",
        "cluster.circuit_breakers.thresholds[0].retry_budget.min_retry_concurrency",
        "cluster.circuit_breakers.thresholds[1]",
        "cluster.outlier_detection.interval",
    }
    assert "a POST, too" in notes(imported)["route.retry_policy.retry_on"]


@pytest.mark.parametrize("part", ["route", "retry_policy", "cluster"])
def test_a_part_of_envoys_configuration_will_do(part: str) -> None:
    """A RouteAction, a RetryPolicy or a Cluster alone sets what it has, and leaves the rest at our defaults."""
    document = {"retry_policy": ENVOY["route"]["retry_policy"], **ENVOY}[part]
    config = from_envoy(document).config
    assert config.retry is not None
    assert config.retry.max_attempts == (3 if part == "cluster" else 4)
    assert config.total_timeout == (15.0 if part == "route" else None)
    assert config.timeout.connect == (0.25 if part == "cluster" else 5.0)


@pytest.mark.parametrize(
    ("cause", "expected", "is_lost"),
    [
        ("gateway-error", {502, 503, 504}, False),
        ("retriable-4xx", {409}, False),
        ("connect-failure", set(), True),
        ("reset", set(), True),
        ("unavailable", set(), False),
    ],
)
def test_the_causes_of_envoys_retries(cause: str, expected: set[int], is_lost: bool) -> None:
    """Each becomes statuses or lost connections; those of gRPC have no equal."""
    imported = from_envoy({"retry_on": cause})
    assert statuses(imported.config) == expected
    assert imported.config.retry is not None
    conditions = imported.config.retry.retry_conditions or ()
    assert any(condition.errors for condition in conditions) is is_lost
    assert ("unavailable has no equal here" in imported.explain()) is (cause == "unavailable")
    assert imported.config.retry.max_attempts == 2  # Envoy's default is one retry


def test_a_route_of_envoy_without_a_retry_policy_retries_nothing() -> None:
    """Its timeout is 15 s by default, and "0s" is none."""
    assert from_envoy({"route": {}}).config == HttpClientConfig(total_timeout=15.0, enable_retry_policy=False)
    assert from_envoy({"route": {"timeout": "0s"}}).config.total_timeout is None


@pytest.mark.parametrize(
    ("service", "method", "timeout", "attempts"),
    [
        ("payments.Payments", "", 1.0, 4),
        ("payments.Payments", "Refund", 1.0, 4),
        ("payments.Payments", "Charge", 5.0, 1),
    ],
)
def test_a_service_config_of_grpc(service: str, method: str, timeout: float, attempts: int) -> None:
    """The entry that fits best is read; a code may be a number."""
    imported = from_grpc_service_config(GRPC, service=service, method=method)
    config = imported.config
    assert config.total_timeout == timeout
    assert (1 if config.retry is None else config.retry.max_attempts) == attempts
    if config.retry is not None:
        assert statuses(config) == {429, 503}
        assert config.retry.backoff_strategy == ExponentialBackoff(0.1, max_delay=1.0)
        assert config.budget == RetryQuotaSettings(capacity=5.0, earned=0.1)
        assert notes(imported) == {
            "methodConfig[1].waitForReady": "it is for other methods",
            "methodConfig[1].timeout": "it is for other methods",
        }


@pytest.mark.parametrize(
    ("policy", "delay", "hedges"),
    [
        ({"maxAttempts": 3, "hedgingDelay": "0.5s"}, 0.5, 2),
        ({"maxAttempts": 9, "hedgingDelay": "2s"}, 2.0, 4),
        ({"maxAttempts": 2, "hedgingDelay": "0s"}, 0.001, 1),
    ],
)
def test_hedging_in_grpc(policy: dict[str, Any], delay: float, hedges: int) -> None:
    """In place of retries."""
    imported = from_grpc_service_config({"methodConfig": [{"name": [{}], "hedgingPolicy": policy}]})
    assert imported.config.hedging == HedgingSettings(delay=delay, max_hedges=hedges)
    assert imported.config.retry is None
    assert bool(imported.notes) is (delay == 0.001)


def test_an_entry_for_all_methods_is_read_where_none_fits_better() -> None:
    """It has an empty name."""
    document = {"methodConfig": [*GRPC["methodConfig"], {"name": [{}], "timeout": "9s"}]}
    assert from_grpc_service_config(document).config.total_timeout == 9.0
    with pytest.raises(ConfigurationError, match="no entry for service='reports', method=''"):
        from_grpc_service_config(GRPC, service="reports")


def test_resources_of_the_gateway_api() -> None:
    """A list of them, as files with several documents are read."""
    imported = from_gateway_api([ROUTE, BUDGET])
    config = imported.config
    assert config.retry is not None
    assert (config.total_timeout, config.timeout.total, config.retry.max_attempts) == (10.0, 2.5, 3)
    assert config.retry.backoff_strategy == ExponentialBackoff(0.1)
    assert statuses(config) == {500, 502, 503, 504}
    assert config.budget == RetryBudgetSettings(ratio=0.3, min_per_second=0.5, window=60.0)
    assert notes(imported) == {
        "HTTPRoute.rules[1].timeouts": "it is for other requests",
        "XBackendTrafficPolicy.sessionPersistence": "it has no equal here",
    }
    assert from_gateway_api({"kind": "List", "items": [ROUTE, BUDGET]}).config == config
    second = from_gateway_api(ROUTE, rule=1).config
    assert (second.total_timeout, second.retry) == (3600.0, None)


def test_a_budget_alone_sets_nothing_else() -> None:
    """Its defaults are those of the schema: 20 % within 10 s, and 10 a second."""
    policy = {**BUDGET, "spec": {"retryConstraint": {}}}
    assert from_gateway_api(policy).config == HttpClientConfig(
        retry_budget_config=RetryBudgetSettings(ratio=0.2, min_per_second=10.0, window=10.0)
    )


def test_other_resources_are_refused() -> None:
    """And a rule that is not there."""
    with pytest.raises(
        ConfigurationError, match="kind must be HTTPRoute or XBackendTrafficPolicy, not 'Gateway'"
    ):
        from_gateway_api({"kind": "Gateway", "spec": {}})
    with pytest.raises(
        ConfigurationError, match="rule must be one of the 2 rules of the HTTPRoute, from 0, not 2"
    ):
        from_gateway_api(ROUTE, rule=2)


def test_options_of_polly() -> None:
    """In any case, numbers as text, under any name of a section; what is left out has the handler's defaults."""
    imported = from_polly(POLLY)
    config = imported.config
    assert config.retry is not None
    assert (config.total_timeout, config.timeout.total, config.retry.max_attempts) == (60.0, 5.0, 6)
    assert config.retry.backoff_strategy == ExponentialBackoff(0.2, max_delay=10.0)
    assert statuses(config) == {408, 429, *range(500, 600)}
    circuit = config.resolved.circuit_breaker
    assert circuit is not None
    assert (circuit.failure_threshold, circuit.failure_rate, circuit.minimum_calls) == (None, 0.3, 10)
    assert (circuit.window, circuit.recovery_timeout) == (30.0, 30.0)
    assert config.bulkhead == BulkheadSettings(max_concurrent=50, max_waiting=10)
    assert imported.notes == ()


def test_the_hedging_handler_of_polly() -> None:
    """Its limits are those of an endpoint, and it retries nothing."""
    document = {
        "TotalRequestTimeout": {"Timeout": "00:00:20"},
        "Hedging": {"Delay": "00:00:00.500", "MaxHedgedAttempts": 2},
        "Endpoint": {"Timeout": {"Timeout": "00:00:04"}, "CircuitBreaker": {"FailureRatio": 0.9}},
    }
    imported = from_polly(document)
    config = imported.config
    assert (config.total_timeout, config.timeout.total, config.retry) == (20.0, 4.0, None)
    assert config.hedging == HedgingSettings(delay=0.5, max_hedges=2)
    assert config.resolved.circuit_breaker is not None
    assert config.resolved.circuit_breaker.failure_rate == 0.9
    assert imported.notes == ()


@pytest.mark.parametrize(
    ("settings", "sections"),
    [
        (
            {},
            {"TotalRequestTimeout": "1.00:00:00", "AttemptTimeout": "00:00:30", "CircuitBreaker": "00:01:00"},
        ),
        ({"total_timeout": 5.0}, {"TotalRequestTimeout": "00:00:05", "AttemptTimeout": "00:00:05"}),
        (
            {"base_timeout": 8.0, "circuit_breaker_config": {"failure_rate": 0.5, "window": 10.0}},
            {"TotalRequestTimeout": "1.00:00:00", "AttemptTimeout": "00:00:08", "CircuitBreaker": "00:00:16"},
        ),
    ],
)
def test_polly_would_start_with_what_is_exported(settings: dict[str, Any], sections: dict[str, str]) -> None:
    """By the rules of its validator: an attempt fits into the whole, and twice into the window of the circuit."""
    document = export(HttpClientConfig(**settings), to="polly").document
    found = {name: document[name]["Timeout"] for name in ("TotalRequestTimeout", "AttemptTimeout")}
    if "CircuitBreaker" in document:
        found["CircuitBreaker"] = document["CircuitBreaker"]["SamplingDuration"]
    assert found == sections


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"BackoffType": "Constant", "UseJitter": False}, ConstantBackoff(2.0, "none")),
        ({"BackoffType": "Linear", "Delay": "00:00:01"}, LinearBackoff(1.0, increment=1.0)),
        ({}, ExponentialBackoff(2.0)),
    ],
)
def test_the_backoffs_of_polly(options: dict[str, Any], expected: object) -> None:
    """By default exponential from 2 s, with jitter."""
    config = from_polly({"Retry": options}).config
    assert config.retry is not None
    assert config.retry.backoff_strategy == expected


@each_row(
    ("read", "document", "message"),
    [
        (from_envoy, {"route": {"timeout": "15"}}, "route.timeout must be a duration such as '1.5s', not '15'"),
        (from_envoy, {"retry_on": "5xx", "num_retries": -1}, "num_retries must be a number, 0 or more, not -1"),
        (from_envoy, {"route": []}, r"route must be a mapping, not \[\]"),
        (from_envoy, {"retry_on": ["5xx"]}, r"retry_on must be text, not \['5xx'\]"),
        (from_envoy, {"retry_on": "5xx", "rate_limited_retry_back_off": {"reset_headers": 1}}, "rate_limited_retry_back_off.reset_headers must be a list, not 1"),
        (from_grpc_service_config, {"methodConfig": {}}, "methodConfig must be a list, not {}"),
        (from_grpc_service_config, {"methodConfig": [{"name": [{}], "retryPolicy": {"maxAttempts": 2, "retryableStatusCodes": "UNAVAILABLE"}}]}, r"methodConfig\[0\].retryPolicy.retryableStatusCodes must be a list, not 'UNAVAILABLE'"),
        (from_polly, {"Retry": {"UseJitter": "maybe"}}, "Retry.UseJitter must be true or false, not 'maybe'"),
        (from_polly, {"Retry": {"Delay": 2}}, "Retry.Delay must be a TimeSpan such as '00:00:02.5', not 2"),
        (from_polly, {"Retry": {"MaxRetryAttempts": 1.5}}, "Retry.MaxRetryAttempts must be a whole number, not 1.5"),
        (from_polly, {"CircuitBreaker": {"FailureRatio": 7}}, "settings that this client cannot have: circuit_breaker_config: failure_rate"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named(read: Any, document: dict[str, Any], message: str) -> None:
    """By its path in the document, with the value and what it must be."""
    with pytest.raises(ConfigurationError, match=message):
        read(document)


def _nested(depth: int = 100_000) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("read", [from_envoy, from_gateway_api, from_grpc_service_config, from_polly])
@pytest.mark.parametrize("value", [_nested(), 10**400, 10**5000], ids=["nested", "large", "larger"])
def test_hostile_values_are_refused_or_noted(read: Any, value: Any) -> None:
    """Never another error, whatever Python can do with such a value."""
    places = (
        value,
        [{"items": value}],
        {"other": value},
        {"timeout": value},
        {"circuit_breakers": {"thresholds": [{"max_connections": value}]}},
        {"methodConfig": [{"name": [{}], "hedgingPolicy": {"maxAttempts": value}}]},
        {"Hedging": {"MaxHedgedAttempts": value}},
    )
    for document in places:
        with suppress(ConfigurationError):
            read(document).explain()


def test_the_notes_of_an_export_say_what_becomes_of_a_setting() -> None:
    """A part that is said differently is in the document as well."""
    config = HttpClientConfig(retry_policy_config={"max_attempts": 9, "nested": True})
    exported = export(config, to="grpc")
    assert exported.document["methodConfig"][0]["retryPolicy"]["maxAttempts"] == 5
    lines = exported.explain().splitlines()
    assert "retry_policy_config.max_attempts=9: gRPC makes 5 at most" in lines
    assert "retry_policy_config.nested=True: a retry policy of gRPC has no field for it" in lines
    assert json.loads(exported.to_json(indent=None)) == exported.document

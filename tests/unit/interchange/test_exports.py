"""Whole exports: what each system's document says of a configuration, and the note of every setting that it does not say.

The results are in exports.json. They were read once, against the systems' own pages; a change of one is to be read again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from http_service_client import (
    ConnectError,
    ConnectionPoolConfig,
    ConnectTimeoutError,
    ConstantBackoff,
    HttpClientConfig,
    LinearBackoff,
    RetryCondition,
    RetryPolicy,
)
from http_service_client.interchange import (
    export,
    from_envoy,
    from_gateway_api,
    from_grpc_service_config,
    from_polly,
)
from http_service_client.interchange.settings import settings_of
from kit.rows import each_row

EXPECTED: dict[str, Any] = json.loads(Path(__file__).with_name("exports.json").read_text(encoding="utf-8"))

READERS: dict[str, Any] = {
    "envoy": from_envoy,
    "gateway-api": from_gateway_api,
    "grpc": from_grpc_service_config,
    "polly": from_polly,
}

TRANSPORT = RetryCondition.defaults()[0]
EVERYTHING: dict[str, Any] = {
    "total_timeout": 20.0,
    "base_timeout": 3.0,
    "connection_timeout": 0.5,
    "max_connections_per_host": 50,
    "retry_policy_config": {"max_attempts": 4, "initial_delay": 0.25, "max_delay": 5.0},
    "retry_budget_config": {"ratio": 0.3, "min_per_second": 5.0},
    "circuit_breaker_config": {
        "failure_rate": 0.5,
        "minimum_calls": 20,
        "window": 30.0,
        "recovery_timeout": 10.0,
    },
    "bulkhead": {"max_concurrent": 8, "max_waiting": 2},
    "enable_throttle_gate": True,
}
NOTHING: dict[str, Any] = {
    "enable_retry_policy": False,
    "enable_circuit_breaker": False,
    "enable_throttle_gate": False,
}
NO_CIRCUIT: dict[str, Any] = {"enable_circuit_breaker": False, "enable_throttle_gate": False}
NO_BUDGET: dict[str, Any] = {"enable_retry_budget": False, "enable_throttle_gate": False}
HEDGES: dict[str, Any] = {
    "enable_retry_policy": False,
    "hedging": {"delay": 0.5, "max_hedges": 12},
    "bulkhead": {"max_concurrent": 8},
    "enable_throttle_gate": False,
}
OWN: dict[str, Any] = {
    "base_url": "https://api.test",
    "alternate_urls": ["https://other.test"],
    "max_response_size": None,
    "connection_pool": ConnectionPoolConfig(keep_alive_timeout=7.0),
    "retry_policy_config": RetryPolicy(
        3,
        retry_conditions=[*RetryCondition.defaults(), RetryCondition.on_timeout()],
        nested=True,
        throttled_backoff=ConstantBackoff(1.0),
    ),
    "hedging": {"max_hedges": 2, "max_share": 0.5},
    "bulkhead": {"max_concurrent": 8, "max_wait": 2.0},
    "rate_limit": {"rate": 5.0},
    "cookies": True,
}
CIRCUIT: dict[str, Any] = {
    "enable_retry_policy": False,
    "circuit_breaker_config": {
        "failure_threshold": 7,
        "slow_call_rate": 0.5,
        "slow_call_duration": 2.0,
        "recovery_timeout": 4.0,
        "success_threshold": 3,
        "ramp": [0.5],
    },
    "enable_throttle_gate": False,
}
ROWS: list[tuple[str, dict[str, Any]]] = [
    ("envoy: everything", EVERYTHING),
    ("envoy: nothing", NOTHING),
    (
        "envoy: no limits",
        {
            "connection_pool": ConnectionPoolConfig(request_timeout=None),
            "connection_timeout": None,
            "max_connections_per_host": None,
            "retry_policy_config": RetryPolicy(
                3, ConstantBackoff(0.5), [RetryCondition.on_status_codes([503])]
            ),
            "retry_budget_config": {"ratio": 1.5, "min_per_second": 1.0},
            "enable_throttle_gate": False,
        },
    ),
    (
        "envoy: hedges",
        dict(
            base_timeout=3.0,
            hedging={"delay": 0.2, "max_hedges": 2},
            bulkhead={"max_concurrent": 8},
            enable_circuit_breaker=False,
            **NO_BUDGET,
        ),
    ),
    (
        "envoy: what is rounded",
        dict(
            retry_policy_config={
                "max_attempts": 2,
                "initial_delay": 0.0,
                "max_delay": 0.0,
                "backoff_factor": 3.0,
                "jitter": "none",
                "retry_conditions": [RetryCondition.on_exceptions([ConnectError, ConnectTimeoutError])],
            },
            circuit_breaker_config={"failure_threshold": 5, "failure_rate": 0.005, "recovery_timeout": 10.0},
            **NO_BUDGET,
        ),
    ),
    ("polly: everything", EVERYTHING),
    ("polly: nothing", NOTHING),
    ("polly: hedges", HEDGES),
    (
        "polly: what is bounded",
        dict(
            total_timeout=0.001,
            base_timeout=108000.0,
            retry_policy_config={
                "max_attempts": 1,
                "initial_delay": 0.25,
                "max_delay": 5.0,
                "backoff_factor": 3.0,
                "jitter": "none",
            },
            circuit_breaker_config={
                "failure_rate": 0.5,
                "minimum_calls": 1,
                "window": 0.25,
                "recovery_timeout": 0.25,
            },
            **NO_BUDGET,
        ),
    ),
    (
        "polly: a linear backoff",
        dict(
            total_timeout=60.0,
            base_timeout=5.0,
            retry_policy_config=RetryPolicy(
                3, LinearBackoff(0.5, increment=0.5, max_delay=4.0, jitter="equal")
            ),
            circuit_breaker_config={
                "failure_rate": 0.5,
                "minimum_calls": 2,
                "window": 10.0,
                "recovery_timeout": 0.5,
            },
            **NO_BUDGET,
        ),
    ),
    (
        "polly: a constant backoff",
        dict(
            total_timeout=60.0,
            retry_policy_config=RetryPolicy(
                2, ConstantBackoff(0.5, "none"), [RetryCondition.on_status_codes([503])]
            ),
            enable_circuit_breaker=False,
            **NO_BUDGET,
        ),
    ),
    (
        "polly: another linear backoff",
        dict(
            total_timeout=60.0,
            retry_policy_config=RetryPolicy(2, LinearBackoff(0.5, increment=1.0)),
            enable_circuit_breaker=False,
            **NO_BUDGET,
        ),
    ),
    ("grpc: everything", EVERYTHING),
    ("grpc: nothing", NOTHING),
    ("grpc: hedges", HEDGES),
    (
        "grpc: what is bounded",
        dict(
            max_response_size=5000,
            retry_policy_config={
                "max_attempts": 9,
                "initial_delay": 0.0,
                "max_delay": 0.0,
                "backoff_factor": 1.5,
                "jitter": "none",
                "retry_conditions": [TRANSPORT, RetryCondition.on_status_codes([409, 429, 529])],
            },
            retry_budget_config={"capacity": 10.3, "earned": 0.12345},
            **NO_CIRCUIT,
        ),
    ),
    (
        "grpc: a status that has no code",
        dict(
            retry_policy_config={
                "max_attempts": 3,
                "retry_conditions": [RetryCondition.on_status_codes([529])],
            },
            **NO_CIRCUIT,
        ),
    ),
    (
        "grpc: a status that is a lost connection, too",
        dict(
            retry_policy_config={
                "max_attempts": 3,
                "retry_conditions": [RetryCondition.on_status_codes([503, 504])],
            },
            retry_budget_config={"capacity": None, "earned": 0.1},
            **NO_CIRCUIT,
        ),
    ),
    (
        "grpc: a constant backoff",
        dict(retry_policy_config=RetryPolicy(3, ConstantBackoff(0.5)), **NO_CIRCUIT),
    ),
    ("grpc: a single attempt", dict(retry_policy_config={"max_attempts": 1}, **NO_CIRCUIT)),
    (
        "grpc: a dear retry",
        dict(
            retry_policy_config={"max_attempts": 2},
            retry_budget_config={"capacity": 10.0, "cost": 2.0, "throttled_cost": 2.0},
            **NO_CIRCUIT,
        ),
    ),
    ("gateway-api: everything", EVERYTHING),
    ("gateway-api: nothing", NOTHING),
    (
        "gateway-api: what is rounded",
        dict(
            total_timeout=1.0004,
            base_timeout=1.2,
            retry_policy_config={
                "max_attempts": 2,
                "initial_delay": 0.0004,
                "retry_conditions": [TRANSPORT, RetryCondition.on_status_codes([304, 503, 599, 400])],
            },
            retry_budget_config={"ratio": 0.333, "min_per_second": 0.12345, "window": 7.0},
            **NO_CIRCUIT,
        ),
    ),
    (
        "gateway-api: no limits",
        dict(
            connection_pool=ConnectionPoolConfig(request_timeout=None),
            retry_policy_config=RetryPolicy(
                2, ConstantBackoff(0.5), [RetryCondition.on_exceptions([ConnectError])]
            ),
            retry_budget_config={"ratio": 1.5, "min_per_second": 0.0},
            **NO_CIRCUIT,
        ),
    ),
    *((f"{to}: what has no equal", OWN) for to in ("envoy", "polly", "grpc", "gateway-api")),
    *((f"{to}: a circuit of its own", CIRCUIT) for to in ("envoy", "polly", "grpc", "gateway-api")),
    (
        "grpc: every status that has a code",
        {
            "retry_policy_config": {
                "max_attempts": 5,
                "retry_conditions": [
                    TRANSPORT,
                    RetryCondition.on_status_codes([400, 401, 403, 404, 409, 429, 499, 500, 501, 503, 504]),
                ],
            },
            "retry_budget_config": {"capacity": 500.0, "earned": 0.001, "throttled_cost": 1.0},
            **NO_CIRCUIT,
        },
    ),
    (
        "grpc: too many tokens",
        {
            "retry_policy_config": {"max_attempts": 2},
            "retry_budget_config": {"capacity": 500.5},
            **NO_CIRCUIT,
        },
    ),
    (
        "grpc: too few earned",
        {
            "retry_policy_config": {"max_attempts": 2},
            "retry_budget_config": {"capacity": 5.0, "earned": 0.0001},
            **NO_CIRCUIT,
        },
    ),
    (
        "gateway-api: one retry an hour",
        {
            "retry_policy_config": {"max_attempts": 2, "initial_delay": 0.0},
            "retry_budget_config": {"ratio": 1.0, "min_per_second": 1 / 3600, "window": 1.25},
            **NO_CIRCUIT,
        },
    ),
    (
        "gateway-api: more than a million retries a second",
        {
            "total_timeout": 3.0,
            "base_timeout": 3.0,
            "retry_policy_config": {"max_attempts": 2},
            "retry_budget_config": {"ratio": 0.01, "min_per_second": 1_000_001.0},
            **NO_CIRCUIT,
        },
    ),
    (
        "polly: a window of two attempts",
        {
            "total_timeout": 86400.0,
            "base_timeout": 15.0,
            "circuit_breaker_config": {"failure_rate": 0.5, "window": 30.0},
            **NO_BUDGET,
        },
    ),
    (
        "polly: a window of less than two attempts",
        {
            "total_timeout": 90000.0,
            "base_timeout": 15.5,
            "circuit_breaker_config": {"failure_rate": 0.5, "window": 30.0},
            **NO_BUDGET,
        },
    ),
    (
        "polly: an attempt without a limit",
        {
            "connection_pool": ConnectionPoolConfig(request_timeout=None),
            "total_timeout": 60.0,
            "circuit_breaker_config": {"failure_rate": 0.5, "window": 15.0},
            **NO_BUDGET,
        },
    ),
]


@each_row(("name", "settings"), ROWS, ids=[name for name, _ in ROWS])
def test_a_configuration_in_the_words_of_another_system(name: str, settings: dict[str, Any]) -> None:
    """The document, and the notes in their order."""
    to: Any = name.partition(":")[0]
    exported = export(HttpClientConfig(**settings), to=to)
    assert exported.document == EXPECTED[name]["document"]
    assert exported.explain().splitlines() == EXPECTED[name]["notes"]


@each_row(("name", "settings"), ROWS, ids=[name for name, _ in ROWS])
def test_what_a_document_says_is_what_its_import_finds(name: str, settings: dict[str, Any]) -> None:
    """Each setting that is said, with the value that the document has."""
    to: Any = name.partition(":")[0]
    exported = export(HttpClientConfig(**settings), to=to)
    found = settings_of(READERS[to](exported.document).config)
    for setting, value in exported.said.items():
        assert found[setting] == (pytest.approx(value) if isinstance(value, float) else value), setting


def test_every_result_belongs_to_a_row() -> None:
    """None is left over."""
    assert [name for name, _ in ROWS] == list(EXPECTED)

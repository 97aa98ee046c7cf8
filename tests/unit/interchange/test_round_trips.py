"""What an export says, an import of its document sets again; and every other setting has a note."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from http_service_client import (
    ConfigurationError,
    ConnectionPoolConfig,
    ConstantBackoff,
    ExponentialBackoff,
    HttpClientConfig,
    LinearBackoff,
    RetryCondition,
)
from http_service_client.interchange import (
    Import,
    export,
    from_envoy,
    from_gateway_api,
    from_grpc_service_config,
    from_polly,
)
from http_service_client.interchange.settings import settings_of

IMPORTS: dict[str, Callable[[object], Import]] = {
    "envoy": from_envoy,
    "grpc": from_grpc_service_config,
    "gateway-api": from_gateway_api,
    "polly": from_polly,
}
TO = pytest.mark.parametrize("to", IMPORTS)

MILLISECONDS = st.integers(1, 200_000).map(lambda count: count / 1000)
SHARES = st.integers(1, 100).map(lambda percent: percent / 100)
TRANSPORT = RetryCondition.defaults()[0]
CONDITIONS = st.none() | st.builds(
    lambda lost, statuses: lost + ([RetryCondition.on_status_codes(statuses)] if statuses else []),
    st.sampled_from([[], [TRANSPORT]]),
    st.sets(st.sampled_from([404, 409, 425, 429, 500, 502, 503, 504, 529]), max_size=5),
)
JITTERS = st.sampled_from(["full", "equal", "none"])
BACKOFFS = (
    st.builds(
        ExponentialBackoff,
        MILLISECONDS,
        st.integers(200, 400).map(float),
        st.sampled_from([1.0, 1.5, 2.0, 3.0]),
        jitter=JITTERS,
    )
    | st.builds(ConstantBackoff, MILLISECONDS, jitter=JITTERS)
    | st.builds(
        lambda delay, jitter: LinearBackoff(delay, increment=delay, jitter=jitter), MILLISECONDS, JITTERS
    )
)
RETRIES = st.fixed_dictionaries(
    {"max_attempts": st.integers(1, 8), "backoff_strategy": BACKOFFS, "retry_conditions": CONDITIONS}
)
BUDGETS = st.none() | st.one_of(
    st.fixed_dictionaries(
        {
            "ratio": SHARES,
            "min_per_second": st.sampled_from([0.0, 0.1, 0.5, 3.0, 10.0]),
            "window": st.integers(1, 60).map(float),
        }
    ),
    st.fixed_dictionaries(
        {
            "capacity": st.integers(1, 50).map(lambda half: half / 2 + 1),
            "earned": st.integers(1, 500).map(lambda thousandth: thousandth / 1000),
        }
    ),
)
CIRCUITS = st.none() | st.fixed_dictionaries(
    {"recovery_timeout": MILLISECONDS},
    optional={
        "failure_rate": SHARES,
        "minimum_calls": st.integers(1, 100),
        "window": MILLISECONDS,
        "failure_threshold": st.integers(1, 20),
    },
)
CONFIGS = st.fixed_dictionaries(
    {
        "connection_pool": st.none() | st.just(ConnectionPoolConfig(request_timeout=None)),
        "total_timeout": st.none() | MILLISECONDS,
        "connection_timeout": st.none() | MILLISECONDS,
        "max_connections_per_host": st.none() | st.integers(1, 500),
        "enable_retry_policy": st.booleans(),
        "enable_retry_budget": st.booleans(),
        "enable_circuit_breaker": st.booleans(),
        "retry_policy_config": st.none() | RETRIES,
        "retry_budget_config": BUDGETS,
        "circuit_breaker_config": CIRCUITS,
        "hedging": st.none()
        | st.fixed_dictionaries({"delay": st.none() | MILLISECONDS, "max_hedges": st.integers(1, 6)}),
        "bulkhead": st.none()
        | st.fixed_dictionaries(
            {"max_concurrent": st.integers(1, 50), "max_waiting": st.none() | st.integers(0, 50)}
        ),
    }
).map(lambda chosen: HttpClientConfig(**chosen))


def same(one: Any, other: Any) -> bool:
    return one == pytest.approx(other) if isinstance(one, float) and other is not None else one == other


@TO
@settings(max_examples=60, deadline=None)
@given(config=CONFIGS)
def test_what_is_said_comes_back(to: Any, config: HttpClientConfig) -> None:
    """The import of the document, which may have been JSON, has each setting that the export says."""
    exported = export(config, to=to)
    document = json.loads(exported.to_json())
    assert document == exported.document
    imported = IMPORTS[to](document)
    found = settings_of(imported.config)
    for name, value in exported.said.items():
        assert same(found.get(name), value), name


@TO
@settings(max_examples=60, deadline=None)
@given(config=CONFIGS)
def test_every_setting_is_said_or_has_a_note(to: Any, config: HttpClientConfig) -> None:
    """Nothing is lost in silence, but what has no effect: no limit, and the parts of a retry that is switched off."""
    exported = export(config, to=to)
    noted = {note.name for note in exported.notes}
    ineffective = {"retry_policy_config.max_attempts"} if to == "grpc" else set()
    ineffective |= (
        {"circuit_breaker_config.window", "circuit_breaker_config.minimum_calls"} if to == "polly" else set()
    )
    for name, value in settings_of(config).items():
        if value is not None and name not in ineffective:
            is_noted = name in noted or any(note.startswith(f"{name}[") for note in noted)
            assert name in exported.said or is_noted, name


@TO
def test_an_export_of_the_import_is_the_same_document(to: Any) -> None:
    """The second time round nothing changes any more."""
    config = HttpClientConfig(
        total_timeout=20.0,
        base_timeout=3.0,
        retry_policy_config={"max_attempts": 4, "initial_delay": 0.25, "max_delay": 5.0},
        retry_budget_config={"ratio": 0.3, "min_per_second": 5.0},
        circuit_breaker_config={"failure_rate": 0.5, "recovery_timeout": 10.0},
    )
    first = IMPORTS[to](export(config, to=to).document)
    document = export(first.config, to=to).document
    assert export(IMPORTS[to](document).config, to=to).document == document


@TO
def test_no_secret_is_in_an_export(to: Any) -> None:
    """Neither in the document nor in a note, which names the setting all the same."""
    config = HttpClientConfig(
        default_headers={"Authorization": "Bearer hunter2"},
        proxy="http://user:hunter2@proxy.test:3128",
        connection_pool=ConnectionPoolConfig(ssl_cert_file="client.pem", ssl_key_password="hunter2"),
    )
    exported = export(config, to=to)
    assert "hunter2" not in repr(exported)
    assert "connection_pool.ssl_key_password='***'" in exported.explain()
    assert "default_headers='***': the client keeps it; it has no equal there" in exported.explain()


@TO
@pytest.mark.parametrize("document", [None, "text", 5])
def test_a_document_is_a_mapping(to: Any, document: object) -> None:
    """Text must be parsed first, as JSON or YAML."""
    with pytest.raises(ConfigurationError, match="must be a mapping"):
        IMPORTS[to](document)


def test_the_arguments_of_an_export_are_checked() -> None:
    """With the name that was meant, or all of them."""
    config = HttpClientConfig()
    with pytest.raises(ConfigurationError, match=r"unknown format 'envoi'; did you mean 'envoy'\?"):
        export(config, to="envoi")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="choose among envoy, grpc, gateway-api, polly"):
        export(config, to="istio")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="must be an HttpClientConfig"):
        export({}, to="envoy")  # type: ignore[arg-type]


def test_every_field_of_a_configuration_is_looked_at() -> None:
    """A setting that is not at its default is said or noted, also one that comes in a later release."""
    changed: Mapping[str, Any] = {
        "cookies": True,
        "http2": False,
        "allowed_redirect_count": 3,
        "auto_idempotency_key": True,
        "max_response_size": 5,
    }
    config = HttpClientConfig(**changed)
    found = settings_of(config)
    for item in fields(config):
        if item.name in changed and changed[item.name] != item.default:
            assert item.name in found

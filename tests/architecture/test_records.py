"""Every record of the package is immutable, and the fields that a comparison, a hash or a repr leaves out are listed."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
from typing import Any

import pytest

import http_service_client

NAME = http_service_client.__name__

# Class, field: what leaves it out. A hash leaves out what a comparison does, and what cannot be hashed; a repr what is
# secret, or is not a setting.
LEFT_OUT = {
    "AwsSigV4.credentials": "hash",
    "AwsSigV4._botocore": "init compare hash",
    "BulkheadSettings.partitions": "hash",
    "ConnectionPoolConfig.ssl_key_password": "repr",
    "Digest._sessions": "init compare hash",
    "EgressPolicy._allowed": "init repr compare hash",
    "EgressPolicy._denied": "init repr compare hash",
    "FallbackSettings.value": "hash",
    "HistogramSample.exemplars": "repr",
    "HmacSignature.headers": "hash",
    "HmacSignature.clock": "compare hash",
    "HmacSignature._keys": "init compare hash",
    "HmacSignature._parts": "init compare hash",
    "MessageSignature.components": "hash",
    "MessageSignature.clock": "compare hash",
    "MessageSignature._signer": "init compare hash",
    "OAuth2RefreshToken._current": "init compare hash",
    "Problem.extensions": "hash",
    "Received.raw": "repr",
    "RetryPolicy.random": "repr compare hash",
    "RetryPolicy.clock": "repr compare hash",
    "RetryPolicy.budget": "repr",
    "Sample.exemplar": "repr",
    "_OAuth2.parameters": "hash",
    "_OAuth2.cache": "init compare hash",
}

# Of the fields that have one other than None. A default is a promise: a change of one belongs in the changelog.
DEFAULTS: dict[str, dict[str, Any]] = {
    "AdaptiveLimitSettings": {
        "algorithm": "gradient",
        "min_limit": 1,
        "max_wait": 1.0,
    },
    "AwsSigV4": {"unsigned_payload": False},
    "BulkheadSettings": {"max_wait": 1.0, "partition_by": "name"},
    "Bursts": {"rate": 1.0, "how": 503, "start": 0.0},
    "ChaosSettings": {
        "latency_rate": 0.0,
        "error_rate": 0.0,
        "status_rate": 0.0,
        "truncation_rate": 0.0,
        "begins_after": 0.0,
        "enabled": True,
    },
    "CircuitBreakerSettings": {
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
    "ConnectionPoolConfig": {
        "max_connections": 100,
        "max_connections_per_host": 20,
        "connection_timeout": 5.0,
        "request_timeout": 30.0,
        "keep_alive_timeout": 4.0,
        "keep_alive_max_requests": 1000,
        "max_connection_age": 300.0,
        "socket_options": (),
        "ssl_verify": True,
        "enable_compression": True,
        "compression_threshold": 1024,
    },
    "ConstantBackoff": {"delay": 1.0, "jitter": "full"},
    "DeadlineCheckSettings": {"min_chance": 0.02, "min_samples": 50, "probe_interval": 1.0},
    "DecorrelatedBackoff": {"initial_delay": 1.0, "max_delay": 60.0},
    "DigestChallenge": {"is_session": False, "is_stale": False, "hashes_user": False},
    "EgressPolicy": {
        "denied_hosts": (),
        "allowed_schemes": ("http", "https"),
        "allow_private": False,
        "allow_loopback": False,
    },
    "Errors": {"status": 503, "start": 0.0},
    "ExponentialBackoff": {"initial_delay": 1.0, "max_delay": 60.0, "backoff_factor": 2.0, "jitter": "full"},
    "FallbackSettings": {
        "unsafe_methods": False,
        "single_user": False,
        "max_entries": 1000,
        "max_bytes": 16 * 1024 * 1024,
    },
    "FibonacciBackoff": {"initial_delay": 1.0, "max_delay": 60.0, "jitter": "full"},
    "Flapping": {"how": "refused", "start": 0.0},
    "HedgingSettings": {"max_hedges": 1, "max_share": 0.05, "min_delay": 0.005, "min_calls": 20},
    "HmacSignature": {"payload": "{body}", "algorithm": "sha256", "encoding": "hex"},
    "HttpClientConfig": {
        "base_timeout": 30.0,
        "connection_timeout": 5.0,
        "max_connections": 100,
        "max_connections_per_host": 20,
        "enable_circuit_breaker": True,
        "enable_retry_policy": True,
        "request_interceptors": (),
        "response_interceptors": (),
        "enable_throttle_gate": True,
        "enable_retry_budget": True,
        "auto_idempotency_key": False,
        "quote_idempotency_key": False,
        "max_response_size": 10485760,
        "max_response_headers": 256,
        "max_response_header_size": 65536,
        "enable_request_compression": False,
        "request_coding": "gzip",
        "enable_response_decompression": True,
        "allowed_redirect_count": 10,
        "cookies": False,
        "trust_env_proxy_settings": True,
        "sensitive_headers": (),
        "public_headers": (),
        "netrc": False,
        "request_signers": (),
        "tolerated_faults": (),
        "http2": False,
    },
    "LinearBackoff": {"initial_delay": 1.0, "increment": 1.0, "max_delay": 60.0, "jitter": "full"},
    "LoadSheddingSettings": {"multiplier": 2.0, "window": 10.0, "max_shed": 0.9, "min_rate": 0.1},
    "MessageSignature": {
        "algorithm": "hmac-sha256",
        "components": ("@method", "@target-uri", "@authority"),
        "digest": "sha-256",
        "label": "sig1",
        "nonce": False,
        "include_alg": True,
    },
    "NoProxyEntry": {"domain": "", "subdomains_only": False, "matches_all": False},
    "OAuth2Grant": {"may_repeat": False},
    "OAuth2RefreshToken": {"may_repeat": False},
    "Outage": {"how": "refused", "share": 1.0, "start": 0.0},
    "Poison": {"start": 0.0},
    "Problem": {"type": "about:blank"},
    "Propagation": {
        "deadline": "X-Request-Timeout-Ms",
        "attempt": "X-Request-Attempt",
        "retried_above": "X-Request-Retried-Above",
    },
    "ProxySettings": {"no_proxy": ()},
    "RateLimit": {"burst": 1, "start": 0.0},
    "RateLimitSettings": {
        "burst": 1,
        "per": 1.0,
        "max_wait": 60.0,
        "max_keys": 10_000,
        "follow_headers": False,
    },
    "Report": {"fallbacks": 0},
    "ResultCacheSettings": {"max_entries": 1000, "stale_on_error": 0.0, "cache_errors": 0.0},
    "RetryBudgetSettings": {"ratio": 0.2, "min_per_second": 10.0, "window": 10.0},
    "RetryCondition": {
        "statuses": frozenset(),
        "errors": (),
        "other_libraries": False,
        "even_if_unsafe": False,
    },
    "RetryQuotaSettings": {"earned": 0.2, "cost": 1.0, "throttled_cost": 0.5, "memory": 10.0},
    "RetrySettings": {"max_attempts": 3, "nested": False},
    "Scenario": {"about": "", "clients": 10, "rate": 2.0, "seconds": 300.0, "method": "GET"},
    "SecretNames": {"sensitive": (), "public": ()},
    "Service": {"network": 0.001, "stops_abandoned_work": False, "faults": ()},
    "Slowdown": {"share": 1.0, "start": 0.0},
    "SocketSettings": {"options": ()},
    "TimeoutSettings": {"in_thread": False},
    "TransportSettings": {"http2": False},
    "_OAuth2": {"client_auth": "client_secret_basic", "timeout": 30.0, "refresh_ahead": 60.0},
    "_Rule": {"subdomains_only": False},
}


# How many fields may be given by position. All others are given by name: a row of numbers says nothing to its reader,
# and a setting may be added between two others.
BY_POSITION = {
    "Address": 2,
    "ApiKey": 1,
    "AwsSigV4": 2,
    "Basic": 2,
    "Bearer": 1,
    "Call": 4,
    "Certificate": 6,
    "Comparison": 2,
    "ConnectionPoolConfig": 21,
    "Constant": 1,
    "ConstantBackoff": 2,
    "DecorrelatedBackoff": 2,
    "Digest": 2,
    "EgressPolicy": 6,
    "Empirical": 1,
    "Exponential": 1,
    "ExponentialBackoff": 4,
    "Failure": 5,
    "FibonacciBackoff": 3,
    "Head": 5,
    "HistogramSample": 8,
    "HmacSignature": 1,
    "HttpClientConfig": 50,
    "LinearBackoff": 4,
    "LogNormal": 2,
    "MessageSignature": 1,
    "MetricsSnapshot": 3,
    "NetrcEntries": 2,
    "Pause": 1,
    "Problem": 6,
    "ProxySettings": 3,
    "Received": 8,
    "Replay": 1,
    "ReplayedCall": 5,
    "Request": 3,
    "RetryCondition": 6,
    "RetryPolicy": 8,
    "RetrySettings": 5,
    "Row": 11,
    "Sample": 4,
    "SecretNames": 2,
    "SocketSettings": 2,
    "Timeout": 7,
    "TransportSettings": 14,
    "Uniform": 2,
    "_Answer": 1,
    "_CuttableSockets": 2,
    "_News": 2,
    "_Raw": 3,
    "_Reset": 1,
    "_Respond": 8,
    "_Rule": 4,
    "by_header": 1,
}

# Two of these are never equal, whatever they hold.
COMPARED_BY_IDENTITY = ["HttpClientConfig", "TransportSettings"]

# The repr of these is written by hand or inherited, since a generated one would show a secret or say too much.
WITHOUT_A_GENERATED_REPR = [
    *("ApiKey", "Basic", "Bearer", "Digest"),
    *("HttpClientConfig", "OAuth2ClientCredentials", "OAuth2Grant", "OAuth2RefreshToken"),
    *("ResolvedConfig", "TransportSettings"),
]


@pytest.fixture(scope="module")
def records() -> list[type]:
    """The dataclasses of all modules that can be imported here; some need an extra."""
    found: set[type] = set()
    for about in pkgutil.walk_packages(http_service_client.__path__, f"{NAME}."):
        if about.name.endswith("__main__"):
            continue
        try:
            module = importlib.import_module(about.name)
        except ImportError:
            continue
        found.update(
            kind
            for kind in vars(module).values()
            if isinstance(kind, type) and dataclasses.is_dataclass(kind) and kind.__module__ == about.name
        )
    assert len(found) > 60
    return sorted(found, key=lambda kind: kind.__name__)


def test_no_record_can_be_changed(records: list[type]) -> None:
    """Inside the package as well: records pass between threads, calls and users."""
    assert [kind.__name__ for kind in records if not kind.__dataclass_params__.frozen] == []  # type: ignore[attr-defined]


def test_only_the_listed_fields_are_left_out(records: list[type]) -> None:
    """Of the constructor, the repr, a comparison or the hash."""
    found = {}
    for kind in records:
        for field in dataclasses.fields(kind):
            is_hashed = field.compare if field.hash is None else field.hash
            parts = {"init": field.init, "repr": field.repr, "compare": field.compare, "hash": is_hashed}
            names = " ".join(name for name, is_in in parts.items() if not is_in)
            if names and field.name in inspect.get_annotations(kind):
                found[f"{kind.__name__}.{field.name}"] = names
    assert found == {name: parts for name, parts in LEFT_OUT.items() if name in found}
    missing = LEFT_OUT.keys() - found.keys()
    assert not [name for name in missing if name.partition(".")[0] in {kind.__name__ for kind in records}]


def test_defaults_are_kept(records: list[type]) -> None:
    """Of settings above all: who does not set one relies on it."""
    found = {
        kind.__name__: {
            field.name: field.default
            for field in dataclasses.fields(kind)
            if field.name in DEFAULTS[kind.__name__]
        }
        for kind in records
        if kind.__name__ in DEFAULTS
    }
    assert found == {name: fields for name, fields in DEFAULTS.items() if name in found}
    assert len(found) > 25


def test_fields_are_given_by_name_or_by_position(records: list[type]) -> None:
    found = {
        kind.__name__: count
        for kind in records
        if (count := sum(field.init and not field.kw_only for field in dataclasses.fields(kind)))
    }
    # `Finding` is the name of two, one of them of the command line.
    found.pop("Finding")
    assert found == {
        name: count for name, count in BY_POSITION.items() if name in {kind.__name__ for kind in records}
    }


def test_records_are_compared_by_what_they_hold(records: list[type]) -> None:
    by_identity = [kind.__name__ for kind in records if not kind.__dataclass_params__.eq]  # type: ignore[attr-defined]
    assert by_identity == COMPARED_BY_IDENTITY


def test_a_repr_is_generated_where_it_shows_no_secret(records: list[type]) -> None:
    without = [kind.__name__ for kind in records if not kind.__dataclass_params__.repr]  # type: ignore[attr-defined]
    assert without == WITHOUT_A_GENERATED_REPR


def test_every_number_and_switch_is_in_the_table(records: list[type]) -> None:
    """Of the records that programs make; those of the command line are its own."""
    missing = [
        f"{kind.__name__}.{field.name}"
        for kind in records
        if not kind.__module__.startswith(f"{NAME}.cli.")
        for field in dataclasses.fields(kind)
        if field.name in inspect.get_annotations(kind)
        and isinstance(field.default, (int, float))
        and field.name not in DEFAULTS.get(kind.__name__, {})
    ]
    assert missing == []

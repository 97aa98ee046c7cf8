"""What may be left out has a value that programs rely on: the defaults of public classes, methods and functions.

Those of settings are in `tests/unit/core/test_setting_defaults.py`, and those of configurations in the documentation.
"""

from __future__ import annotations

import dataclasses
import enum
import importlib
import inspect
from collections.abc import Iterator
from typing import Any

import pytest

MODULES = ["", ".auth", ".interchange", ".observability", ".policies", ".presets", ".simulation", ".testing"]
MIB = 1024 * 1024
OAUTH2 = {"client_auth": "client_secret_basic", "timeout": 30.0, "refresh_ahead": 60.0}
LINES = {"max_length": MIB}

# None is not in it: it means "no limit", "none of it", or "as the documentation says". Nor is an empty name.
DEFAULTS: dict[str, dict[str, Any]] = {
    "AdaptiveLimitPolicy": {"algorithm": "gradient", "min_limit": 1, "max_wait": 1.0},
    "AsyncStreamedResponse.iter_events": LINES,
    "AsyncStreamedResponse.iter_json": {**LINES, "strict": False},
    "AsyncStreamedResponse.iter_lines": {**LINES, "keep_ends": False},
    "AwsSigV4": {"unsigned_payload": False},
    "BearerToken": {"refresh_ahead": 60.0, "timeout": 30.0},
    "BulkheadPolicy": {"max_wait": 1.0, "partitions": {}, "partition_by": "name"},
    "Bursts": {"rate": 1.0, "how": 503, "start": 0.0},
    "Cache": {
        "shared": False,
        "stale_if_error": 0.0,
        "stale_while_revalidate": 0.0,
        "heuristic": 0.0,
        "max_entry_size": 5 * MIB,
        "coalesce": True,
        "single_user": False,
    },
    "ChaosPolicy": {
        "latency_rate": 0.0,
        "errors": (),
        "error_rate": 0.0,
        "statuses": (),
        "status_rate": 0.0,
        "truncation_rate": 0.0,
        "begins_after": 0.0,
        "enabled": True,
    },
    "CircuitBreakerPolicy": {
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
    "CookieJar.header": {"besides": (), "taken": 0},
    "DeadlineCheckPolicy": {"min_chance": 0.02, "min_samples": 50, "probe_interval": 1.0},
    "EgressPolicy": {
        "denied_hosts": (),
        "allowed_schemes": ("http", "https"),
        "allow_private": False,
        "allow_loopback": False,
    },
    "Errors": {"status": 503, "start": 0.0},
    "Export.to_json": {"indent": 2},
    "FallbackPolicy": {
        "unsafe_methods": False,
        "single_user": False,
        "max_entries": 1000,
        "max_bytes": 16 * MIB,
    },
    "Flapping": {"how": "refused", "start": 0.0},
    "HedgingPolicy": {
        "max_hedges": 1,
        "max_share": 0.05,
        "min_delay": 0.005,
        "min_calls": 20,
        "in_threads": False,
    },
    "HistogramSample": {"exemplars": ()},
    "HmacSignature": {"payload": "{body}", "algorithm": "sha256", "encoding": "hex"},
    "HmacSignature.verify": {"method": "POST", "tolerance": 300.0},
    "HttpMetrics": {
        "max_series": 1000,
        "buckets": (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
    },
    "HttpMetrics.add": {"amount": 1},
    "HttpMetrics.increment_counter": {"amount": 1},
    "HttpResponse": {
        "headers": (),
        "content": b"",
        "elapsed": 0.0,
        "history": (),
        "http_version": "HTTP/1.1",
    },
    "HttpResponse.explain": {"why": False},
    "HttpResponse.json": {"strict": False},
    "HttpServiceClient.close": {"abort": False},
    "HttpServiceClient.close_async": {"abort": False},
    "HttpServiceClient.download": {"resume": False},
    "HttpServiceClient.download_async": {"resume": False},
    "HttpServiceClient.get_health_summary": {"window": 60.0},
    "LoadSheddingPolicy": {"multiplier": 2.0, "window": 10.0, "max_shed": 0.9, "min_rate": 0.1},
    "LoopbackServer.wait_for": {"timeout": 5.0},
    "MemoryStorage": {"max_bytes": 64 * MIB},
    "MessageSignature": {
        "algorithm": "hmac-sha256",
        "components": ("@method", "@target-uri", "@authority"),
        "digest": "sha-256",
        "label": "sig1",
        "nonce": False,
        "include_alg": True,
    },
    "OAuth2ClientCredentials": OAUTH2,
    "OAuth2Grant": {**OAUTH2, "may_repeat": False},
    "OAuth2RefreshToken": OAUTH2,
    "Outage": {"how": "refused", "share": 1.0, "start": 0.0},
    "Poison": {"start": 0.0},
    "Problem": {"type": "about:blank"},
    "PrometheusCollector": {"max_services": 100},
    "Propagation": {
        "deadline": "X-Request-Timeout-Ms",
        "attempt": "X-Request-Attempt",
        "retried_above": "X-Request-Retried-Above",
    },
    "RateLimit": {"burst": 1, "start": 0.0},
    "RateLimitPolicy": {
        "burst": 1,
        "per": 1.0,
        "max_wait": 60.0,
        "max_keys": 10_000,
        "follow_headers": False,
    },
    "Report": {"fallbacks": 0},
    "Report.plot": {"title": "simulation"},
    "ResultCachePolicy": {"max_entries": 1000, "stale_on_error": 0.0, "cache_errors": 0.0},
    "RetryCondition": {
        "statuses": frozenset(),
        "errors": (),
        "other_libraries": False,
        "even_if_unsafe": False,
    },
    "RetryCondition.on_result": {"even_if_unsafe": False},
    "RetryCondition.on_status_codes": {"even_if_unsafe": False},
    "RetryPolicy": {"max_attempts": 3, "nested": False},
    "Scenario": {"clients": 10, "rate": 2.0, "seconds": 300.0, "method": "GET"},
    "ServerSentEvent": {"event": "message"},
    "Service": {"network": 0.001, "stops_abandoned_work": False, "faults": ()},
    "Slowdown": {"share": 1.0, "start": 0.0},
    "SqliteStorage": {"max_bytes": 256 * MIB, "timeout": 0.25},
    "StateChange": {"is_shadow": False, "is_metrics_only": False},
    "StoredResponse": {"vary": ()},
    "StreamedResponse.iter_events": LINES,
    "StreamedResponse.iter_json": {**LINES, "strict": False},
    "StreamedResponse.iter_lines": {**LINES, "keep_ends": False},
    "StructlogHandler": {"level": 0},
    "TimeoutPolicy": {"in_thread": False},
    "Timeline": {"iterable": ()},
    "Timeline.explain": {"why": False},
    "VirtualClock": {"start": 0.0, "wall": 1_704_067_200.0},
    "compare": {"seed": 0},
    "drip": {"every": 0.05, "status": 200, "headers": ()},
    "from_gateway_api": {"rule": 0},
    "gather": {"at_once": 20, "return_exceptions": False},
    "gather_in_threads": {"at_once": 20, "return_exceptions": False},
    "hang_up": {"after": b""},
    "raw": {"every": 0.0, "close": True},
    "replay": {"seed": 0},
    "reset": {"after": b""},
    "respond": {
        "status": 200,
        "headers": (),
        "body": b"",
        "delay": 0.0,
        "close": False,
        "chunked": False,
    },
    "simulate": {
        "clients": 1,
        "rate": 1.0,
        "seconds": 600.0,
        "seed": 0,
        "method": "GET",
        "alternates": (),
    },
}
_VALUES = (bool, int, float, str, bytes, tuple, frozenset, dict)


def is_function(found: object) -> bool:
    return inspect.isfunction(found) or inspect.ismethod(found)


def public() -> Iterator[tuple[str, Any]]:
    """Each public class, method and function, by its name."""
    for suffix in MODULES:
        module = importlib.import_module(f"http_service_client{suffix}")
        for name in module.__all__:
            found = getattr(module, name)
            if not getattr(found, "__module__", "").startswith("http_service_client"):
                continue  # an alias of a type, say
            if inspect.isclass(found) and not issubclass(found, (BaseException, enum.Enum, dict, str)):
                is_settings = name.endswith(("Settings", "Config", "Backoff")) and dataclasses.is_dataclass(
                    found
                )
                if not is_settings:
                    yield name, found
                for each in sorted(vars(found)):
                    if not each.startswith("_") and is_function(getattr(found, each)):
                        yield f"{name}.{each}", getattr(found, each)
            elif is_function(found):
                yield name, found


FOUND = dict(public())


def test_the_table_has_all_of_them() -> None:
    """A new default is written down."""
    assert {name for name, each in FOUND.items() if defaults_of(each)} == set(DEFAULTS)


@pytest.mark.parametrize("name", DEFAULTS)
def test_the_defaults_of_what_is_public(name: str) -> None:
    """Of each argument that may be left out."""
    assert defaults_of(FOUND[name]) == DEFAULTS[name]


def defaults_of(function: Any) -> dict[str, Any]:
    found = {name: each.default for name, each in inspect.signature(function).parameters.items()}
    return {name: value for name, value in found.items() if isinstance(value, _VALUES) and value != ""}

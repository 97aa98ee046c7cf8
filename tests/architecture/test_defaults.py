"""The defaults of public functions, methods and classes, in one table. `test_records` has those of the settings."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

from architecture.rooms import PUBLIC_MODULES
from http_service_client import HttpClientError
from kit.sources import NAME

# Numbers, text and switches. None and empty ones are left out: their signatures say all. A default is a promise: a
# change of one belongs in the changelog.
DEFAULTS: dict[str, dict[str, Any]] = {
    "AdaptiveLimitPolicy": {"algorithm": "gradient", "min_limit": 1, "max_wait": 1.0},
    "AsyncResilientTransport": {"read_bodies": False},
    "AsyncStreamedResponse.explain": {"why": False},
    "AsyncStreamedResponse.iter_events": {"max_length": 1024 * 1024},
    "AsyncStreamedResponse.iter_json": {"max_length": 1024 * 1024, "strict": False},
    "AsyncStreamedResponse.iter_lines": {"max_length": 1024 * 1024, "keep_ends": False},
    "AsyncStreamedResponse.json": {"strict": False},
    "AttemptFinished": {"is_trial": False, "name": "attempt_finished"},
    "AuthContinued": {"name": "auth_continued"},
    "AuthStopped": {"name": "auth_stopped"},
    "BearerToken": {"refresh_ahead": 60.0, "timeout": 30.0},
    "BulkheadPolicy": {"max_wait": 1.0, "partition_by": "name"},
    "Cache": {
        "shared": False,
        "stale_if_error": 0.0,
        "stale_while_revalidate": 0.0,
        "heuristic": 0.0,
        "max_entry_size": 5 * 1024 * 1024,
        "coalesce": True,
        "single_user": False,
    },
    "CacheFailed": {"name": "cache_failed"},
    "CacheUsed": {"is_stored": False, "is_collapsed": False, "name": "cache_used"},
    "CallFinished": {"name": "call_finished"},
    "ChaosInjected": {"name": "chaos_injected"},
    "ChaosPolicy": {
        "latency_rate": 0.0,
        "error_rate": 0.0,
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
        "ramp_step": 1.0,
        "max_rejected": 1.0,
        "metrics_only": False,
    },
    "CircuitRefused": {"name": "circuit_refused"},
    "CodingRefused": {"name": "coding_refused"},
    "ConnectionAwaited": {"name": "connection_awaited"},
    "CookieJar.header": {"taken": 0},
    "DeadlineCheckPolicy": {"min_chance": 0.02, "min_samples": 50, "probe_interval": 1.0},
    "DeadlineMiddleware": {"reserve": 0.0, "reject_spent": True},
    "DeadlineRefused": {"name": "deadline_refused"},
    "Export.to_json": {"indent": 2},
    "FallbackPolicy": {
        "unsafe_methods": False,
        "single_user": False,
        "max_entries": 1000,
        "max_bytes": 16 * 1024 * 1024,
    },
    "FallbackUsed": {"name": "fallback_used"},
    "HealthEndpoint": {"window": 60.0, "details": True, "show_keys": False, "max_origins": 50},
    "HealthEndpoint.respond": {"method": "GET"},
    "HedgeDenied": {"name": "hedge_denied"},
    "HedgeFinished": {"name": "hedge_finished"},
    "HedgeStarted": {"name": "hedge_started"},
    "HedgingPolicy": {
        "max_hedges": 1,
        "max_share": 0.05,
        "min_delay": 0.005,
        "min_calls": 20,
        "in_threads": False,
    },
    "HmacSignature.verify": {"method": "POST", "tolerance": 300.0},
    "HostChanged": {"name": "host_changed"},
    "HttpMetrics": {
        "max_series": 1000,
        "buckets": (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
    },
    "HttpMetrics.add": {"amount": 1},
    "HttpMetrics.increment_counter": {"amount": 1},
    "HttpResponse": {"elapsed": 0.0, "http_version": "HTTP/1.1"},
    "HttpResponse.explain": {"why": False},
    "HttpResponse.json": {"strict": False},
    "HttpServiceClient.close": {"abort": False},
    "HttpServiceClient.close_async": {"abort": False},
    "HttpServiceClient.download": {"resume": False},
    "HttpServiceClient.download_async": {"resume": False},
    "HttpServiceClient.download_parallel": {"parts": 4, "resume": False},
    "HttpServiceClient.download_parallel_async": {"parts": 4, "resume": False},
    "HttpServiceClient.events": {"method": "GET", "reconnect_delay": 3.0, "max_length": 1024 * 1024},
    "HttpServiceClient.events_async": {"method": "GET", "reconnect_delay": 3.0, "max_length": 1024 * 1024},
    "HttpServiceClient.get_health_summary": {"window": 60.0},
    "HttpServiceClient.paginate": {"method": "GET"},
    "HttpServiceClient.paginate_async": {"method": "GET"},
    "HttpServiceClient.poll": {"interval": 1.0},
    "HttpServiceClient.poll_async": {"interval": 1.0},
    "LimitRefused": {"name": "limit_refused"},
    "LimitWaited": {"name": "limit_waited"},
    "LoadSheddingPolicy": {"multiplier": 2.0, "window": 10.0, "max_shed": 0.9, "min_rate": 0.1},
    "LoopbackServer.wait_for": {"timeout": 5.0},
    "MemoryStorage": {"max_bytes": 64 * 1024 * 1024},
    "OperationFinished": {"name": "operation_finished"},
    "OperationTimedOut": {"name": "operation_timed_out"},
    "PrometheusCollector": {"max_services": 100},
    "ProxyRetried": {"is_first": False, "name": "proxy_retried"},
    "RateLimitPolicy": {"burst": 1, "per": 1.0, "max_wait": 60.0, "max_keys": 10000, "follow_headers": False},
    "RedirectFollowed": {"name": "redirect_followed"},
    "RedisStorage": {"prefix": "http-cache:", "ttl": 7 * 86400.0, "timeout": 0.25},
    "Report.plot": {"title": "simulation"},
    "ResilientAdapter": {"pool_connections": 10, "pool_maxsize": 10, "pool_block": False, "max_retries": 0},
    "ResilientAdapter.send": {"stream": False, "verify": True},
    "ResilientTransport": {"read_bodies": False},
    "ResultCachePolicy": {"max_entries": 1000, "stale_on_error": 0.0, "cache_errors": 0.0},
    "RetryCondition.on_result": {"even_if_unsafe": False},
    "RetryCondition.on_status_codes": {"even_if_unsafe": False},
    "RetryScheduled": {"name": "retry_scheduled"},
    "RetryStopped": {"name": "retry_stopped"},
    "ServerSentEvent": {"event": "message"},
    "SqliteStorage": {"max_bytes": 256 * 1024 * 1024, "timeout": 0.25},
    "StateChange": {"is_shadow": False, "is_metrics_only": False, "name": "circuit_state_changed"},
    "StreamedResponse.explain": {"why": False},
    "StreamedResponse.iter_events": {"max_length": 1024 * 1024},
    "StreamedResponse.iter_json": {"max_length": 1024 * 1024, "strict": False},
    "StreamedResponse.iter_lines": {"max_length": 1024 * 1024, "keep_ends": False},
    "StreamedResponse.json": {"strict": False},
    "StructlogHandler": {"level": 0},
    "ThrottleRefused": {"name": "throttle_refused"},
    "ThrottleWaited": {"name": "throttle_waited"},
    "Timeline.explain": {"why": False},
    "TimeoutPolicy": {"in_thread": False},
    "TokenAwaited": {"name": "token_awaited"},
    "VirtualClock": {"start": 0.0, "wall": 1704067200.0},
    "compare": {"seed": 0},
    "drip": {"every": 0.05, "status": 200},
    "explain": {"why": False},
    "from_gateway_api": {"rule": 0},
    "gather": {"at_once": 20, "return_exceptions": False},
    "gather_in_threads": {"at_once": 20, "return_exceptions": False},
    "raw": {"every": 0.0, "close": True},
    "replay": {"seed": 0},
    "resilience_middleware": {"read_bodies": False},
    "respond": {"status": 200, "delay": 0.0, "close": False, "chunked": False},
    "retry_delay": {"idempotent": False},
    "simulate": {"clients": 1, "rate": 1.0, "seconds": 600.0, "seed": 0, "method": "GET"},
}


def found_defaults() -> tuple[dict[str, dict[str, Any]], set[str]]:
    """Of each callable that has some, by its dotted name; and the public names whose extra is not installed here."""
    found: dict[str, dict[str, Any]] = {}
    missing: set[str] = set()
    for name in (NAME, *(f"{NAME}.{module}" for module in PUBLIC_MODULES)):
        module = importlib.import_module(name)
        for public in getattr(module, "__all__", ()):
            try:
                member = getattr(module, public)
            except ImportError:
                missing.add(public)
                continue
            for dotted, function in _functions(public, member):
                parameters = inspect.signature(function).parameters.values()
                if defaults := {each.name: each.default for each in parameters if _is_plain(each.default)}:
                    found[dotted] = defaults
    return found, missing


def _functions(name: str, member: Any) -> Iterator[tuple[str, Callable[..., Any]]]:
    if inspect.isfunction(member):
        yield name, member
    elif inspect.isclass(member) and member.__module__.startswith(NAME):
        if issubclass(member, tuple):  # a named tuple, whose fields are the arguments of its `__new__`
            yield name, member.__new__
        for attribute, function in inspect.getmembers(member, inspect.isroutine):
            if not (inspect.isfunction(function) or inspect.ismethod(function)):
                continue  # a method in C has no defaults of ours
            if attribute == "__init__" and not dataclasses.is_dataclass(member):
                yield name, function
            elif not attribute.startswith("_") and not issubclass(member, HttpClientError):
                yield f"{name}.{attribute}", function


def _is_plain(default: object) -> bool:
    return isinstance(default, (int, float)) or (isinstance(default, (str, bytes, tuple)) and bool(default))


def test_defaults_are_kept() -> None:
    """A program that leaves an argument out relies on them."""
    found, missing = found_defaults()
    assert found == {
        name: defaults for name, defaults in DEFAULTS.items() if name.partition(".")[0] not in missing
    }

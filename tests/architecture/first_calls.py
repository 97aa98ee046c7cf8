"""The modules that a first call imports: plain data, which test_first_call.py compares with what a fresh process loads.

A first call pays for each of them, about a quarter of a millisecond. A module that only some calls need does not belong here: import
it where a setting or a call needs it, and before the call begins (docs/architecture.md).
"""

from __future__ import annotations


def _names(table: dict[str, str]) -> frozenset[str]:
    return frozenset(f"{room}.{name}".lstrip(".") for room, names in table.items() for name in names.split())


IMPORT = frozenset({"_version", "lazy"})
"""By `import http_service_client`."""

ANY = IMPORT | _names(
    {
        "": "client core drivers errors events http observability policies transports",
        "client": (
            "backends call_builder call_policies client config download_parallel keywords listening origin_parts paging polling "
            "reconfiguration results streams verbs views wiring"
        ),
        "client.config": "client_config defaults pool proxies_and_logins resolved sockets tls",
        "core": (
            "call checks deadline effects layer layer_order layers machines nesting open_body origins outcomes refusals signals "
            "timeouts"
        ),
        "core.layers": (
            "attempt_timeout circuit_breaker deadline_check exchange interceptors redirects retry throttle_gate whole_call"
        ),
        "core.machines": "circuit_breaker counter failure_kinds limits operation_keys other_libraries retry",
        "core.machines.circuit_breaker": "breaker failure_detector recovery rejection_cap states windows",
        "core.machines.limits": "semaphore throttle_gate",
        "core.machines.retry": "backoff conditions decision quota settings",
        "drivers": "call_ids clocks forks garbage greenlets imports interruptible_waits interruption locks loggers randomness threads",
        "http": (
            "auth bodies content_codings context cookies error_bodies fields header_validation headers hosts http1 ids "
            "media_types messages parameters preparation printable problems proxies redirects references request response "
            "secret_names secret_values unix_sockets urls"
        ),
        "http.auth": "credentials",
        "http.bodies": "body encoding json json_codecs multipart progress",
        "http.content_codings": "codecs decoder libraries",
        "http.cookies": "header",
        "http.fields": "dates keep_alive links meshes retry_after",
        "http.http1": "buffer errors fast_path faults framing head response_parser rules",
        "http.proxies": "settings socks5 urls",
        "observability": "accounts collector metrics recent series telemetry",
        "policies": "listeners logs",
        "transports": "adapted_requests base compatibility failures fault_log idle lifetime network",
        "transports.network": "happy_eyeballs polling resolver sockets socks5 tls tls_contexts tls_errors tls_sessions unix",
    }
)
"""By a first GET of either front end."""

BLOCKING = ANY | _names(
    {
        "drivers": "blocking",
        "transports": "over_requests",
        "transports.over_requests": "aborts connection connector errors exchange_timeouts hook_detection open_body origin_pools pool transport",
    }
)

ASYNCIO = ANY | _names(
    {
        "drivers": "aio aio_timers",
        "transports": "over_aiohttp",
        "transports.over_aiohttp": (
            "asyncio_transports connection connector decoding exchange exchange_timeouts heads hook_detection pool sessions transport "
            "upload"
        ),
    }
)

SLOW_IN_BLOCKING = frozenset(
    {
        *("requests", "urllib3", "aiohttp", "asyncio", "backoff"),
        *("concurrent.futures", "decimal", "email", "http.client", "shutil", "uuid"),
    }
)
"""Modules of others, slow to import, that a first blocking GET does without."""

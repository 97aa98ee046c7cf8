"""A name that another library uses for a setting is refused, and the error says what to write here."""

from __future__ import annotations

import re
from typing import Any

import pytest

from http_service_client import (
    AdaptiveLimitPolicy,
    BulkheadPolicy,
    Cache,
    ChaosPolicy,
    CircuitBreakerPolicy,
    ConnectionPoolConfig,
    DeadlineCheckPolicy,
    EgressPolicy,
    ExponentialBackoff,
    FallbackPolicy,
    HedgingPolicy,
    HttpClientConfig,
    HttpResponse,
    HttpServiceClient,
    LoadSheddingPolicy,
    Propagation,
    RateLimitPolicy,
    ResultCachePolicy,
    RetryPolicy,
    RetryQuotaSettings,
    Timeout,
    TimeoutPolicy,
)
from http_service_client.auth import OAuth2ClientCredentials
from http_service_client.integrations import AsyncResilientTransport, ResilientAdapter, ResilientTransport
from http_service_client.integrations.asgi import DeadlineMiddleware
from http_service_client.simulation import Errors, Outage, RateLimit, Service
from http_service_client.testing import ScriptedTransport
from kit.fakes import URL
from kit.rows import each_row

FIRST_INCLUDED = "it is called max_attempts, and counts the first attempt too"
IN_BACKOFF = "set it in backoff_strategy=ExponentialBackoff(…)"
ON_EVENT = "pass on_event to HttpServiceClient, or to ResiliencePipeline"
IN_CONDITIONS = "write retry_conditions=[*RetryCondition.defaults(), …]"

# The class; then what to write, and the names instead of which it is written.
KEYWORDS: list[tuple[type, dict[str, str]]] = [
    (
        RetryPolicy,
        {
            FIRST_INCLUDED: "attempts max_retries max_tries retries stop total tries limit max_retry_attempts"
            " MaxRetryAttempts retry_max RetryMax",
            IN_BACKOFF: "backoff_factor initial_delay jitter max_delay backoffLimit backoff_max BackoffType exp_base"
            " factor max_timeout minTimeout MaxDelay multiplier RetryWaitMin RetryWaitMax UseJitter",
            "write backoff_strategy=ConstantBackoff(…)": "delay wait interval retryDelay Delay waitDuration",
            "pass an object with a method delays(random) as backoff_strategy": "calculateDelay DelayGenerator"
            " intervalFunction",
            IN_CONDITIONS: "exceptions on retry_if retry_on status_codes status_forcelist CheckRetry errorCodes"
            " ignoreExceptions retry retryCondition retryExceptions retryOnException retryOnResult ShouldHandle"
            " should_retry statusCodes",
            "unsafe methods are repeated where that is safe; a call says idempotent=True where it always is": "methods"
            " allowed_methods",
            ON_EVENT: "after before beforeRetry before_sleep onFailedAttempt OnRetry on_retry",
            "leave it out: Retry-After is always respected": "respect_retry_after_header ShouldRetryAfterHeader",
            "set max_delay in backoff_strategy=ExponentialBackoff(…), or a total_timeout": "maxRetryAfter",
            "leave it out: the last error or response is that of the caller": "reraise raise_on_status"
            " failAfterMaxAttempts",
            "write ResiliencePipeline(FallbackPolicy(…), RetryPolicy(…))": "fallback retry_error_callback",
        },
    ),
    (
        CircuitBreakerPolicy,
        {
            "it is called failure_threshold": "fail_max max_failures threshold",
            "it is called recovery_timeout": "break_duration open_timeout reset_timeout wait_duration"
            " wait_duration_in_open_state",
            "it is called failure_rate, a share such as 0.5": "failure_ratio failure_rate_threshold FailureRatio"
            " failureRateThreshold errorThresholdPercentage",
            "write recovery_timeout, recovery_multiplier and max_recovery_timeout": "BreakDurationGenerator",
            "write failure_threshold, failure_duration or failure_rate": "ReadyToTrip",
            "write window for seconds, or window_calls for a number of calls": "slidingWindowType",
            "it is called trial_lease": "maxWaitDurationInHalfOpenState",
            "it is called trials_at_once; success_threshold says how many close the circuit": "MaxRequests",
            "it is called failures": "recordExceptions",
            "it is called is_failure, and returns True for a failure": "errorFilter IsSuccessful recordException"
            " recordResult ShouldHandle",
            "call isolate() and reset() of the policy": "ManualControl",
            "read the state of the policy": "StateProvider",
            "write ResiliencePipeline(FallbackPolicy(…), CircuitBreakerPolicy(…))": "fallback fallback_function",
            "it is called slow_call_rate, a share such as 0.5": "slow_call_rate_threshold",
            "it is called slow_call_duration": "slow_call_duration_threshold",
            "it is called window_calls, or window for seconds": "sliding_window_size",
            "it is called window": "sampling_duration Interval rollingCountTimeout",
            "make a policy for each key": "key",
            "it is called minimum_calls": "minimum_number_of_calls minimum_throughput MinimumThroughput volumeThreshold",
            "it is called trial_count": "permitted_number_of_calls_in_half_open_state",
            "name the others in exclude, or judge by is_failure": "exceptions expected_exception",
            "it is called exclude": "exclude_exceptions ignore ignore_exceptions",
            "it is called on_change": "listener listeners on_state_change onBreak OnClosed OnHalfOpened OnOpened onReset",
        },
    ),
    (
        RateLimitPolicy,
        {
            "it is called rate": "max_calls limit permit_limit limit_for_period max_rate calls permits_per_second"
            " limitForPeriod max_requests maxRPS requestsPerSecond rps TokensPerPeriod",
            "it is called per": "period window time_period interval limit_refresh_period ReplenishmentPeriod",
            "it is called burst": "max_burst capacity bucket_size TokenLimit",
            "it is called max_wait": "timeout timeout_duration max_delay timeoutDuration",
            "set max_wait, which limits how long a call waits": "QueueLimit",
        },
    ),
    (
        BulkheadPolicy,
        {
            "it is called max_concurrent": "max_parallelization max_calls permits max_concurrent_calls max_concurrency"
            " max_connections permit_limit maxConcurrentCalls PermitLimit concurrency coreThreadPoolSize limit"
            " maxThreadPoolSize max_workers capacity",
            "it is called max_waiting": "max_queuing_actions queue_limit max_queue max_pending QueueLimit queueCapacity"
            " queue_size max_queue_size",
            "it is called max_wait": "max_wait_duration timeout",
            "make a policy for each key, or share one by partitions": "key",
        },
    ),
    (
        FallbackPolicy,
        {
            "it is called function": "fallback_action handler fallback fallback_function callback fallbackMethod",
            "it is called failures": "handle exceptions on statuses on_exceptions",
            "it is called value": "default result fallback_value",
            "it is called last_good": "stale max_age ttl stale_if_error stale_on_error",
            "it is called is_failure": "condition should_handle predicate",
            ON_EVENT: "OnFallback",
        },
    ),
    (
        AdaptiveLimitPolicy,
        {
            "it is called initial_limit": "limit",
            "it is called max_limit; a limit that does not change is a bulkhead": "max_concurrent",
            "it is called max_limit": "max_concurrency",
            "it is called min_limit": "min_concurrency",
            "it is called max_waiting": "queue_size",
            "it is called max_wait, or slow_call_duration": "timeout",
        },
    ),
    (
        DeadlineCheckPolicy,
        {
            "it is called min_chance, such as 0.02": "percentile quantile chance",
            "it is called min_samples": "samples min_calls",
            "set deadline_check=None to switch it off": "enabled",
        },
    ),
    (
        ResultCachePolicy,
        {
            "it is called seconds": "ttl expire expires_in max_age",
            "it is called max_entries": "maxsize max_size size",
            "it is called stale_on_error": "stale_ttl stale_if_error stale",
            "it is called cache_errors": "negative_ttl error_ttl",
            "it is called key": "key_builder key_func key_maker",
        },
    ),
    (
        TimeoutPolicy,
        {
            "it is called seconds": "timeout duration delay timeout_seconds limit timeoutDuration total deadline",
            "it is called in_thread": "use_thread threaded strategy",
            "an async function is cancelled; a plain one is left behind by in_thread=True": "TimeoutStrategy"
            " pessimistic optimistic cancelRunningFuture",
            "pass on_event to ResiliencePipeline": "OnTimeout",
        },
    ),
    (
        LoadSheddingPolicy,
        {
            "it is called multiplier": "k overload_factor",
            "it is called max_shed": "max_rejection_rate max_rejection_probability",
            "it is called min_rate": "rps_threshold",
            "write multiplier=1/(1-rate): with 2.0, calls are shed above a failure rate of 0.5": "failure_rate_threshold",
        },
    ),
    (
        HedgingPolicy,
        {
            "it is called delay": "after hedging_delay wait seconds",
            "it is called quantile, such as 0.95": "percentile q",
            "it is called max_hedges": "max_hedged_attempts max_attempts hedges",
            "it is called max_share, such as 0.05": "budget max_ratio ratio",
            "set quantile, by which the delay is learned": "DelayGenerator",
            ON_EVENT: "OnHedging",
        },
    ),
    (
        ChaosPolicy,
        {
            "each fault has a rate of its own: latency_rate, error_rate, status_rate, truncation_rate": "rate"
            " injection_rate",
            "it is called latency": "delay",
            "it is called errors, and takes a list": "error",
            "it is called statuses, and takes a list": "status",
            "it is called origins": "hosts",
            "it is called ends_after": "duration",
        },
    ),
    (RetryQuotaSettings, {"it is called capacity": "max_tokens", "it is called earned": "token_ratio"}),
    (
        Timeout,
        {
            "it is called total": "timeout request seconds all",
            "it is called connect": "sock_connect connect_timeout dial lookup secureConnect"
            " TLSHandshakeTimeout tlsHandshake DialTimeout",
            "it is called read": "sock_read read_timeout idle socket",
            "it is called first_byte": "header headers response ResponseHeaderTimeout ttfb",
            "it is called write": "send",
        },
    ),
    (
        ExponentialBackoff,
        {
            "it is called initial_delay": "base_delay initial initialInterval min min_delay minTimeout retry_wait_min",
            "it is called max_delay": "backoffLimit cap max maxInterval maxTimeout retry_wait_max",
            "it is called backoff_factor": "exp_base factor multiplier",
            "it is called initial_delay, or backoff_factor if the waits are its powers": "base",
            "write jitter='full', 'equal' or 'none'": "UseJitter randomize randomizationFactor randomizedWait"
            " exponentialRandomBackoff",
            "write DecorrelatedBackoff(…)": "decorrelated",
        },
    ),
    (
        EgressPolicy,
        {
            "it is called allowed_hosts": "allow allowed allowed_domains allowlist hosts",
            "it is called denied_hosts": "blocked_hosts blocklist denied denied_domains deny",
            "it is called allow_loopback": "allow_local allow_localhost",
            "it is called allow_private": "allow_private_networks",
            "it is called allowed_ports": "ports",
            "it is called allowed_schemes": "schemes",
        },
    ),
    (Propagation, {"it is called deadline": "timeout", "it is called retried_above": "retries"}),
    (
        Cache,
        {
            "a response says itself how long it is fresh": "ttl max_age expire_after",
            "pass it to the storage": "max_bytes path url",
            "it is called storage": "backend",
        },
    ),
    (
        ConnectionPoolConfig,
        {
            "it is called ssl_verify": "verify",
            "it is called ssl_context": "context ssl sslcontext",
            "it is called source_address": "local_address",
            "write ssl_cert_file and ssl_key_file": "cert",
            "it is called ssl_ca_file": "ca_bundle ca_file cafile",
            "it is called max_connections": "limit pool_maxsize pool_size",
            "it is called max_connections_per_host": "limit_per_host",
            "it is called keep_alive_timeout": "keepalive_expiry keepalive_timeout",
            "it is called request_timeout here": "base_timeout timeout",
        },
    ),
    (
        OAuth2ClientCredentials,
        {
            "it is called token_url": "token_uri token_endpoint",
            "it is called scope": "scopes",
            "set it in parameters": "audience resource",
            "it is called client_auth": "token_endpoint_auth_method",
        },
    ),
    (
        DeadlineMiddleware,
        {
            "it is called max_timeout": "timeout deadline total_timeout",
            "name them in propagation=Propagation(…)": "headers",
        },
    ),
    (
        HttpClientConfig,
        {
            "set max_attempts in retry_policy_config": "max_attempts retries max_retries",
            "set it in retry_policy_config": "backoff_strategy retry_conditions jitter max_delay budget random",
            "set it in retry_budget_config": "ratio min_per_second capacity earned cost",
            "set it in circuit_breaker_config": "failure_threshold recovery_timeout window on_change shadow",
            "set base_timeout in HttpClientConfig": "timeout",
            "set it in ConnectionPoolConfig": "pool_timeout ssl_verify uds compression_threshold",
            "set ssl_verify in ConnectionPoolConfig": "verify verify_ssl",
            "set ssl_cert_file in ConnectionPoolConfig": "cert",
            "set default_headers in HttpClientConfig": "headers",
            "it is called base_url": "BaseAddress base_uri prefixUrl",
            "set auth in HttpClientConfig": "auth_token bearer bearerToken token",
            "set auth in HttpClientConfig, or a header in default_headers": "api_key",
            "pass it with each call": "params",
            "call raise_for_status() on the response": "raise_for_status throwHttpErrors validateStatus",
            "set connection_pool=ConnectionPoolConfig(…) in HttpClientConfig": "agent httpAgent httpsAgent connector"
            " limits pool",
            "set max_connections_per_host in HttpClientConfig": "MaxConnectionsPerServer maxSockets",
            "set keep_alive_timeout in ConnectionPoolConfig": "keepAlive",
            "set max_connection_age in ConnectionPoolConfig": "HandlerLifetime PooledConnectionLifetime",
            "set max_response_size in HttpClientConfig": "maxContentLength",
            "set enable_response_decompression in HttpClientConfig": "decompress",
            "set the level of the logger 'http_service_client'": "debug log_level logger logging",
            "set proxy in HttpClientConfig": "proxies",
            "set trust_env_proxy_settings or netrc in HttpClientConfig": "trust_env",
            "set User-Agent in default_headers": "user_agent",
            "set request_interceptors and response_interceptors in HttpClientConfig": "interceptors hooks event_hooks"
            " middleware middlewares DelegatingHandlers transformRequest transformResponse",
            "set http2=True in HttpClientConfig": "http_version enable_http2",
            "set retry_policy_config in HttpClientConfig": "retry retry_policy",
            "set circuit_breaker_config in HttpClientConfig": "circuit_breaker",
            "set base_timeout or total_timeout in HttpClientConfig": "timeout_policy",
            "a client has a pipeline of its own: set retry_policy_config, rate_limit, bulkhead, … in "
            "HttpClientConfig": "pipeline policies",
            "set allowed_redirect_count in HttpClientConfig": "max_redirects",
            "set allowed_redirect_count in HttpClientConfig, to 0 for none": "follow_redirects followRedirect",
            "pass it to HttpServiceClient": "cache transport metrics on_event on_exchange interceptor_factory clock",
        },
    ),
    (HttpServiceClient, {"set it in HttpClientConfig": "base_timeout total_timeout auth proxy"}),
    (
        Outage,
        {"it is called share": "rate", "it is called how": "status", "it is called seconds": "duration"},
    ),
    (Errors, {"it is called rate": "share", "an Outage has it; here it is called status": "how"}),
    (RateLimit, {"it is called per_second": "rate limit"}),
    (
        Service,
        {
            "set workers; the capacity is workers / mean latency": "capacity concurrency",
            "write faults=[Errors(rate=…)]": "errors error_rate",
        },
    ),
    *(
        (kind, {"set max_attempts in retry_policy_config of HttpClientConfig": "retries max_attempts"})
        for kind in (ResilientAdapter, ResilientTransport, AsyncResilientTransport)
    ),
    *(
        (
            kind,
            {
                "set base_timeout in HttpClientConfig": "timeout",
                "give it to the HTTPTransport or AsyncHTTPTransport in transport=…": "verify cert trust_env http1"
                " http2 limits proxy local_address uds",
            },
        )
        for kind in (ResilientTransport, AsyncResilientTransport)
    ),
]


# What to write, and the names instead of which it is written.
OF_CALLS = {
    "set ssl_verify in ConnectionPoolConfig": "verify",
    "set ssl_cert_file in ConnectionPoolConfig": "cert",
    "set ssl_verify or ssl_ca_file in ConnectionPoolConfig": "ssl",
    "set proxy in HttpClientConfig": "proxies",
    "set it in HttpClientConfig, or use client.with_options(proxy=…)": "proxy",
    "use client.with_options(base_url=…)": "base_url",
    "use client.with_options(cache=…), or send Cache-Control in headers": "cache",
    "it is called allow_redirects": "follow_redirects followRedirect",
    "set allowed_redirect_count in HttpClientConfig": "max_redirects",
    "pass bytes as data": "content",
    "use client.stream(method, url), or stream_async": "stream",
    "it is called key": "tenant",
    "pass retry_policy=RetryPolicy(max_attempts=…)": "max_attempts max_retries retries maxRetries retry",
    "pass total_timeout, or make the call in a 'with deadline(…)' block": "deadline",
    "make the call in a 'with priority(…)' block": "priority",
    "send it in headers, as Idempotency-Key": "idempotency_key",
    "it is called params": "query searchParams",
    "pass it as json, data or files": "body payload",
    "pass the mapping as data": "form",
    "it is called auth": "auth_token bearer bearer_token token",
    "pass it as auth, or in headers": "api_key apiKey",
    "send it in headers, as User-Agent": "user_agent",
    "pass on_event to HttpServiceClient": "beforeRetry onRetry",
    "pass total_timeout, or cancel the task of the call": "signal AbortSignal cancelToken",
    "did you mean 'timeout', in seconds?": "timeout_ms timeoutMillis timeout_milliseconds",
    "set request_interceptors or response_interceptors in HttpClientConfig": "hooks",
    "call raise_for_status() on the response": "raise_for_status throwHttpErrors validateStatus",
    "only stream and download take it; for other calls set it in HttpClientConfig": "max_response_size",
    "only download takes it": "checksum resume",
}
OF_VIEWS = {
    "it is called default_headers": "headers userAgent user_agent",
    "it is called auth": "bearer bearer_token token",
    "it is called timeout": "base_timeout",
    "it is called key": "tenant",
    "it is called proxy": "proxies",
    "pass retry_policy=RetryPolicy(max_attempts=…)": "max_attempts",
    "it is called allow_redirects": "follow_redirects max_redirects",
    "pass it with each call": "params path_params json data files idempotent progress response_type",
}
OF_RESPONSES = {
    "is_success": "ok is_error",
    "status_code": "status code statusCode is_client_error is_server_error",
    "content, or text": "body",
    "headers": "getheader getheaders header",
    "status_code, and history for those that were followed": "is_redirect has_redirect_location",
    "reason_phrase": "reason",
    "text, or content.decode(...)": "encoding charset apparent_encoding",
    "headers.get('Content-Type')": "content_type",
    "len(content)": "content_length",
    "request.method": "method",
    "content, which is here": "read aread",
    "client.stream(...) to take the body in pieces": "raw iter_content iter_bytes iter_text iter_lines aiter_bytes"
    " aiter_lines iter_json iter_events",
    "io.BytesIO(content)": "as_file",
}
OF_STREAMS = {
    "iter_bytes()": "raw iter_content iter_raw iter_any aiter_bytes",
    "iter_text()": "aiter_text iter_str",
    "iter_lines()": "aiter_lines",
    "as_file(), which is a file": "readable readinto read1 readline readlines seek tell",
    "read()": "aread body",
    "close()": "aclose",
    "is_success": "ok is_error",
}


def pairs(remedies: dict[str, str]) -> list[tuple[str, str]]:
    """Each name with its remedy."""
    return [(name, remedy) for remedy, names in remedies.items() for name in names.split()]


ROWS = [(kind, *pair) for kind, remedies in KEYWORDS for pair in pairs(remedies)]


@each_row(("kind", "name", "remedy"), ROWS)
def test_a_keyword_of_another_library_names_ours(kind: Any, name: str, remedy: str) -> None:
    """In the error of the constructor."""
    with pytest.raises(TypeError, match=f"takes no keyword '{name}'; {re.escape(remedy)}$"):
        kind(**{name: 1})


@each_row(("name", "remedy"), pairs(OF_CALLS))
def test_a_keyword_of_another_library_s_calls_names_ours(name: str, remedy: str) -> None:
    """In the error of the call, which is not made."""
    transport = ScriptedTransport([HttpResponse(200)])
    with (
        HttpServiceClient(transport=transport) as client,
        pytest.raises(TypeError, match=f"a call takes no keyword '{name}'; {re.escape(remedy)}$"),
    ):
        client.request("GET", URL, **{name: 1})
    assert not transport.requests


@each_row(("name", "remedy"), pairs(OF_VIEWS))
def test_an_option_that_a_view_does_not_have_names_one_or_its_place(name: str, remedy: str) -> None:
    """In the error of `with_options`."""
    with (
        HttpServiceClient() as client,
        pytest.raises(TypeError, match=f"with_options takes no option '{name}'; {re.escape(remedy)}$"),
    ):
        client.with_options(**{name: 1})


@each_row(("name", "remedy"), pairs(OF_RESPONSES))
def test_an_attribute_of_another_library_s_response_names_ours(name: str, remedy: str) -> None:
    """In the error of the look-up."""
    with pytest.raises(AttributeError, match=f"has no attribute '{name}'; use {re.escape(remedy)}$"):
        getattr(HttpResponse(200), name)


def test_a_method_of_another_library_s_stream_names_ours() -> None:
    """It differs from that of a whole response."""
    with (
        HttpServiceClient(transport=ScriptedTransport([HttpResponse(200)])) as client,
        client.stream("GET", URL) as response,
    ):
        for name, remedy in pairs(OF_STREAMS):
            with pytest.raises(AttributeError, match=f"has no attribute '{name}'; use {re.escape(remedy)}$"):
                getattr(response, name)

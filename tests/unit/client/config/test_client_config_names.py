"""Settings that do not exist: the error of a wrong name or key says which one may be meant."""

from __future__ import annotations

import re
from typing import Any

import pytest

from http_service_client import (
    CircuitBreakerPolicy,
    ConfigurationError,
    ConnectionPoolConfig,
    ConstantBackoff,
    ExponentialBackoff,
    HttpClientConfig,
    HttpServiceClient,
    RetryBudgetSettings,
    RetryPolicy,
    Timeout,
)
from kit.fakes import short
from kit.rows import each_row

CONFIGS: dict[str, list[tuple[dict[Any, Any], str]]] = {
    "circuit_breaker_config": [
        ({"failure_treshold": 5}, "did you mean 'failure_threshold'?"),
        ({"recovery_time": 5}, "did you mean 'recovery_timeout'?"),
        ({"xyz": 5}, "known keys: failure_threshold, recovery_timeout"),
        ({5: 5}, "unknown key 5"),
        ({"failure_threshold": 0}, "failure_threshold must be"),
        # The client's own is used: this one would do nothing.
        ({"clock": lambda: 0.0}, "unknown key 'clock'"),
        ({"name": "mine"}, "unknown key 'name'"),
        ({"failure_threshold": "5"}, "failure_threshold must be"),
        ({"timeout": 0}, "timeout must be"),
    ],
    "retry_policy_config": [
        ({"max_attempt": 5}, "did you mean 'max_attempts'?"),
        ({"backof_factor": 5}, "did you mean 'backoff_factor'?"),
        ({"random": lambda: 0.0}, "unknown key 'random'"),
        ({"budget": RetryBudgetSettings()}, "unknown key 'budget'"),
        ({"max_attempts": 0}, "max_attempts must be"),
        ({"max_delay": -1}, "max_delay must be"),
        ({"backoff_factor": 0.5}, "backoff_factor must be"),
        ({"jitter": "some"}, "jitter must be"),
        ({"retry_conditions": [503]}, "write for example [RetryCondition.on_status_codes([503]), "),
        ({"backoff_strategy": ConstantBackoff(), "max_delay": 3.0}, "backoff_strategy and max_delay"),
    ],
    "retry_budget_config": [
        ({"ration": 0.1}, "did you mean 'ratio'?"),
        ({"window": 0}, "window must be"),
    ],
}


@each_row(
    ("field", "given", "message"),
    [(field, given, message) for field, rows in CONFIGS.items() for given, message in rows],
    ids=short,
)
@each_row("is_enabled", [True, False], ids=["enabled", "disabled"])
def test_the_error_of_a_wrong_key_in_a_mapping_names_it(
    field: str, given: dict[Any, Any], message: str, is_enabled: bool
) -> None:
    """With a guess at the right one. A part that is switched off is checked too: it may be switched on later."""
    switch = {
        "circuit_breaker_config": "enable_circuit_breaker",
        "retry_policy_config": "enable_retry_policy",
        "retry_budget_config": "enable_retry_budget",
    }[field]
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        HttpClientConfig(**{field: given, switch: is_enabled})


@pytest.mark.parametrize("kind", [HttpClientConfig, ConnectionPoolConfig])
def test_an_unknown_field_is_a_type_error_that_names_it(kind: Any) -> None:
    """As with any class."""
    with pytest.raises(TypeError, match="max_conections"):
        kind(max_conections=5)


@each_row(
    ("kind", "keyword", "remedy"),
    [
        (HttpServiceClient, "timeout", "; set base_timeout in HttpClientConfig"),
        (HttpServiceClient, "total_timeout", "; set it in HttpClientConfig"),
        (HttpServiceClient, "max_connections", "; set it in HttpClientConfig"),
        (
            HttpServiceClient,
            "interceptors",
            "; set request_interceptors and response_interceptors in HttpClientConfig",
        ),
        (HttpServiceClient, "ssl_verify", "; set it in ConnectionPoolConfig"),
        (HttpServiceClient, "base_ulr", "; did you mean 'base_url'?"),
        (HttpClientConfig, "ssl_verify", "; set it in ConnectionPoolConfig"),
        (HttpClientConfig, "max_retries", "; set max_attempts in retry_policy_config"),
        (HttpClientConfig, "headers", "; set default_headers in HttpClientConfig"),
        (HttpClientConfig, "trust_env", "; set trust_env_proxy_settings or netrc in HttpClientConfig"),
        (HttpClientConfig, "user_agent", "; set User-Agent in default_headers"),
        (HttpClientConfig, "total_timout", "; did you mean 'total_timeout'?"),
        (HttpClientConfig, "failure_rate", "; set it in circuit_breaker_config"),
        (HttpClientConfig, "initial_delay", "; set it in retry_policy_config"),
        (HttpClientConfig, "earned", "; set it in retry_budget_config"),
        (HttpClientConfig, "retry", "; set retry_policy_config in HttpClientConfig"),
        (HttpClientConfig, "cache", "; pass it to HttpServiceClient"),
        (HttpClientConfig, "xyzzy", ""),
        (ConnectionPoolConfig, "verify", "; it is called ssl_verify"),
        (ConnectionPoolConfig, "max_conections", "; did you mean 'max_connections'?"),
        (Timeout, "sock_read", "; it is called read"),
        (RetryPolicy, "attempts", "; it is called max_attempts, and counts the first attempt too"),
        (RetryPolicy, "backoff", "; did you mean 'backoff_strategy'?"),
        (CircuitBreakerPolicy, "fail_max", "; it is called failure_threshold"),
        (CircuitBreakerPolicy, "failure_rate_threshold", "; it is called failure_rate, a share such as 0.5"),
        (CircuitBreakerPolicy, "sliding_window_size", "; it is called window_calls, or window for seconds"),
        (CircuitBreakerPolicy, "minimum_number_of_calls", "; it is called minimum_calls"),
        (CircuitBreakerPolicy, "recovery_time", "; did you mean 'recovery_timeout'?"),
        (ExponentialBackoff, "initial", "; it is called initial_delay"),
        (RetryBudgetSettings, "xyzzy", ""),
    ],
)
def test_the_error_of_an_unknown_setting_has_a_remedy(kind: Any, keyword: str, remedy: str) -> None:
    """For a misspelt name, another library's, and one of another class; not for an unknown one."""
    with pytest.raises(TypeError) as raised:
        kind(**{keyword: 1})
    assert str(raised.value) == f"{kind.__name__} takes no keyword {keyword!r}{remedy}"


@pytest.mark.parametrize(
    ("setting", "keys", "remedy"),
    [
        ("circuit_breaker_config", {"threshold": 3}, "it is called failure_threshold"),
        ("circuit_breaker_config", {"reset_timeout": 3}, "it is called recovery_timeout"),
        (
            "retry_policy_config",
            {"attempts": 3},
            "it is called max_attempts, and counts the first attempt too",
        ),
        ("retry_policy_config", {"multiplier": 2}, "it is called backoff_factor"),
        ("retry_policy_config", {"maxInterval": 30}, "it is called max_delay"),
    ],
)
def test_a_mapping_of_settings_has_the_same_remedies(setting: str, keys: dict[str, Any], remedy: str) -> None:
    """As the class that the mapping stands for."""
    with pytest.raises(
        ConfigurationError, match=f"{setting} has the unknown key {next(iter(keys))!r}; {remedy}"
    ):
        HttpClientConfig(**{setting: keys})

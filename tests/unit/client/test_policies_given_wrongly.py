"""A policy, or something else, where a configuration or a client expects another thing: the error says what to write."""

from __future__ import annotations

import re
from typing import Any

import pytest

from http_service_client import (
    AdaptiveLimitPolicy,
    BulkheadPolicy,
    ChaosPolicy,
    CircuitBreakerPolicy,
    ConfigurationError,
    ConnectionPoolConfig,
    CookieJar,
    DeadlineCheckPolicy,
    EgressPolicy,
    FallbackPolicy,
    HedgingPolicy,
    HttpClientConfig,
    HttpRequest,
    HttpServiceClient,
    LoadSheddingPolicy,
    RateLimitPolicy,
    RetryPolicy,
    presets,
)
from http_service_client.auth import HmacSignature
from kit.rows import each_row


class Traced:
    def intercept_request(self, request: HttpRequest, context: object) -> HttpRequest:
        return request

    def __repr__(self) -> str:
        return "Traced()"


BY_ROUTE = "set it in HttpClientConfig; with state_key=by_route each route has one of its own"


@each_row(
    ("setting", "value", "words"),
    [
        ("hedging", True, "a HedgingPolicy, a mapping of its arguments or None, not True; write HedgingPolicy() for"),
        ("hedging", False, "not False; write None to switch it off"),
        ("hedging", 0.2, "not 0.2; write HedgingPolicy(…)"),
        ("adaptive_limit", True, "an AdaptiveLimitPolicy, a mapping of its arguments or None, not True; write AdaptiveLimitPolicy() for"),
        ("adaptive_limit", "vegas", "not 'vegas'; write AdaptiveLimitPolicy(…)"),
        ("load_shedding", True, "write LoadSheddingPolicy() for the default ones"),
        ("retry_policy_config", 5, "a RetryPolicy, a mapping of its arguments or None, not 5; write RetryPolicy(…)"),
        ("fallback", [], "not []; write FallbackPolicy(value=…)"),
        ("fallback", print, "write FallbackPolicy(function=…)"),
        ("chaos", True, "a ChaosPolicy, a mapping of its arguments or None, not True; write ChaosPolicy(…)"),
        ("bulkhead", RateLimitPolicy(3), "not <RateLimitPolicy"),
        ("rate_limit", BulkheadPolicy(3), "not <BulkheadPolicy"),
        ("circuit_breaker_config", True, "use enable_circuit_breaker=True"),
        ("rate_limit", RateLimitPolicy, "not RateLimitPolicy; write RateLimitPolicy(…)"),
        ("cookies", CookieJar, "not CookieJar; write CookieJar(…)"),
        ("cookies", {"a": "b"}, "not {'a': 'b'}; write cookies={…} with each call"),
        ("connection_pool", ConnectionPoolConfig, "not type; write ConnectionPoolConfig(…)"),
        ("egress_policy", EgressPolicy, "not EgressPolicy; write EgressPolicy(…)"),
        ("egress_policy", {"allow_private": True}, "not {'allow_private': True}; write EgressPolicy(**rules)"),
        ("request_interceptors", Traced(), "a list of interceptor classes or objects, not Traced(); write it in a list"),
        ("request_interceptors", Traced, "a list of interceptor classes or objects, not Traced; write it in a list"),
        ("response_interceptors", Traced(), "a list of interceptor classes or objects, not Traced()"),
        ("request_signers", HmacSignature("k"), "; write it in a list"),
        ("request_signers", 5, "a list of signers, not 5"),
        ("request_signers", print, "not <built-in function print>; write it in a list"),
        ("bulkhead", 5, "not 5; write BulkheadPolicy(max_concurrent=5)"),
    ],
)  # fmt: skip
def test_a_setting_that_is_no_policy_names_the_value_and_the_remedy(
    setting: str, value: Any, words: str
) -> None:
    """A switch, a number, data or a function, and the policy of another setting."""
    with pytest.raises(ConfigurationError, match=rf"^(chaos: )?{setting} must be .*{re.escape(words)}(?!\w)"):
        HttpServiceClient(HttpClientConfig(**{setting: value}))


@each_row(
    ("setting", "value", "words"),
    [
        ("circuit_breaker_config", {"failure_threshold": 0}, "failure_threshold must be a whole number"),
        ("circuit_breaker_config", {"shadow": {"failure_rate": 5}}, "failure_rate must be a finite number"),
        ("retry_policy_config", {"max_attempts": 0}, "max_attempts must be a whole number"),
        ("retry_policy_config", {"initial_delay": -1}, "initial_delay must be a finite number of seconds"),
        ("retry_budget_config", {"ratio": -1}, "ratio must be"),
        ("fallback", {"last_good": -1}, "last_good must be"),
        ("rate_limit", {"rate": "10/s"}, "rate must be"),
        ("hedging", {"delay": -1}, "delay must be"),
        ("bulkhead", {"max_concurrent": 0}, "max_concurrent must be"),
        ("chaos", {"error_rate": 2}, "error_rate must be"),
        ("adaptive_limit", {"algorithm": "x"}, "algorithm must be"),
        ("load_shedding", {"multiplier": -1}, "multiplier must be"),
        ("deadline_check", {"min_chance": 2}, "min_chance must be"),
        ("propagation", {"deadline": 5}, "deadline must be"),
    ],
)
def test_an_error_of_an_argument_begins_with_its_setting(setting: str, value: Any, words: str) -> None:
    """Once: "delay" may be of a retry, of a hedge and of a fault."""
    with pytest.raises(ConfigurationError, match=f"^{setting}: {re.escape(words)}"):
        HttpClientConfig(**{setting: value})


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        (
            {"Content-Length": "5"},
            "header Content-Length must not be set; leave it out; it is set from the body",
        ),
        ({"Transfer-Encoding": "chunked"}, "header Transfer-Encoding must not be set; leave it out"),
        ({"Expect": "100-continue"}, "header Expect must not be set; leave it out"),
        ({"Host": "a b"}, "header Host is 'a b'; it must be one host"),
    ],
)
def test_a_default_header_that_no_request_can_have_is_refused_at_once(headers: Any, words: str) -> None:
    """By the configuration and by a view, and not by each call."""
    with pytest.raises(ConfigurationError, match=f"^default_headers: {re.escape(words)}"):
        HttpClientConfig(default_headers=headers)
    with (
        HttpServiceClient() as client,
        pytest.raises(ConfigurationError, match=f"^default_headers: {re.escape(words)}"),
    ):
        client.with_options(default_headers=headers)


@each_row(
    ("config", "words"),
    [
        (RateLimitPolicy(3), "write HttpClientConfig(rate_limit=…)"),
        (RetryPolicy(), "write HttpClientConfig(retry_policy_config=…)"),
        (CircuitBreakerPolicy(), "write HttpClientConfig(circuit_breaker_config=…)"),
        (BulkheadPolicy(3), "write HttpClientConfig(bulkhead=…)"),
        (AdaptiveLimitPolicy(), "write HttpClientConfig(adaptive_limit=…)"),
        (LoadSheddingPolicy(), "write HttpClientConfig(load_shedding=…)"),
        (HedgingPolicy(), "write HttpClientConfig(hedging=…)"),
        (FallbackPolicy(value=None), "write HttpClientConfig(fallback=…)"),
        (DeadlineCheckPolicy(), "write HttpClientConfig(deadline_check=…)"),
        (ChaosPolicy(latency=1.0, latency_rate=0.5), "write HttpClientConfig(chaos=…)"),
        (presets.gentle, "call it: gentle()"),
        (HttpClientConfig, "not type; write HttpClientConfig(…)"),
    ],
)
def test_a_policy_or_a_preset_in_the_place_of_a_configuration_has_a_remedy(config: Any, words: str) -> None:
    """A client takes a configuration first."""
    with pytest.raises(ConfigurationError, match=f"{re.escape(words)}$"):
        HttpServiceClient(config)


@pytest.mark.parametrize(
    "setting", ["rate_limit", "bulkhead", "adaptive_limit", "load_shedding", "deadline_check"]
)
def test_a_limit_of_a_route_names_the_key_that_gives_each_route_one(setting: str) -> None:
    """Limits are no keywords of a call."""
    with pytest.raises(ConfigurationError, match=f"unknown key '{setting}'; {re.escape(BY_ROUTE)}"):
        HttpClientConfig(routes={"GET /orders": {setting: None}})


@pytest.mark.parametrize("path", ["/orders/:order_id", "/orders/<order_id>", "/orders/<int:order_id>/items"])
def test_a_placeholder_of_another_library_is_refused(path: str) -> None:
    """It would match itself alone, and the setting would have no effect."""
    with pytest.raises(ConfigurationError, match=r"placeholder .* of another library; write \{order_id\}"):
        HttpClientConfig(routes={f"GET {path}": {"timeout": 5}})


def test_a_colon_inside_a_segment_belongs_to_the_path() -> None:
    """As in the custom methods of Google's APIs."""
    HttpClientConfig(
        routes={"POST /orders/{order_id}:cancel": {"timeout": 5}, "POST /jobs:run": {"timeout": 5}}
    )


def test_one_exception_in_the_place_of_a_list_is_refused() -> None:
    """By a preset's pipeline."""
    with pytest.raises(
        ConfigurationError, match=r"retry_on must be a list .* not OSError; write \[OSError\] for one"
    ):
        presets.pipeline("gentle", retry_on=OSError)  # type: ignore[arg-type]


def test_the_preset_for_streams_has_no_pipeline() -> None:
    """The error says why."""
    with pytest.raises(ConfigurationError, match=r"llm\(\) is for clients alone"):
        presets.pipeline("llm")  # type: ignore[arg-type]

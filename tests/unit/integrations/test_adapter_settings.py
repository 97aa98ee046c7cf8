"""The settings of adapters: those that hold, those that are refused, and what the error says."""

from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import (
    ConfigurationError,
    ConnectionPoolConfig,
    EgressPolicy,
    HttpClientConfig,
    HttpServiceClient,
    Propagation,
    Timeout,
    by_header,
)
from http_service_client.auth import HmacSignature
from http_service_client.integrations import (
    AsyncResilientTransport,
    ResilientAdapter,
    ResilientTransport,
    resilience_middleware,
)
from kit.interceptors import Recorder


@pytest.mark.parametrize(
    "chaos", [{"truncation_rate": 0.1}, {"statuses": [503], "status_rate": 0.1}], ids=str
)
def test_a_chaos_that_cannot_be_injected_is_refused(chaos: dict[str, Any]) -> None:
    """Where the adapter has a configuration of its own."""
    with pytest.raises(
        ConfigurationError, match="status_rate and truncation_rate of chaos do nothing in ResilientAdapter"
    ):
        ResilientAdapter(HttpClientConfig(chaos=chaos))
    ResilientAdapter(HttpClientConfig(chaos={"errors": ["ConnectError"], "error_rate": 0.1})).close()


MAKERS = pytest.mark.parametrize(
    "make", [ResilientAdapter, resilience_middleware, ResilientTransport, AsyncResilientTransport]
)


@MAKERS
def test_new_settings_of_its_own_client_are_checked_too(make: Any) -> None:
    """One that would do nothing is refused by `reconfigure`, and changes nothing. A shared client takes it."""
    client = make().client
    with pytest.raises(ConfigurationError, match="base_url does nothing"):
        client.reconfigure(HttpClientConfig(base_timeout=3.0, base_url="https://api.example.com"))
    with pytest.raises(ConfigurationError, match="HttpClientConfig"):
        client.reconfigure(None)
    assert client.config.base_timeout == 30.0
    client.reconfigure(HttpClientConfig(base_timeout=3.0))
    assert client.config.base_timeout == 3.0
    make(client=(shared := HttpServiceClient())).client.reconfigure(HttpClientConfig(max_connections=5))
    assert shared.config.max_connections == 5


@pytest.mark.parametrize("make", [ResilientAdapter, ResilientTransport, AsyncResilientTransport])
@pytest.mark.parametrize(
    ("keyword", "remedy"),
    [
        ("retries", "set max_attempts in retry_policy_config"),
        ("timeout", "set base_timeout in HttpClientConfig"),
        ("total_timeout", "set it in HttpClientConfig"),
        ("idempotence", "did you mean 'idempotent'"),
    ],
)
def test_an_unknown_keyword_has_a_remedy(make: Any, keyword: str, remedy: str) -> None:
    """Under the name of the class that was called."""
    with pytest.raises(TypeError, match=f"{make.__name__} takes no keyword '{keyword}'; {remedy}"):
        make(**{keyword: 3})


@pytest.mark.parametrize("make", [ResilientTransport, AsyncResilientTransport])
def test_what_the_transport_inside_takes_is_for_that(make: Any) -> None:
    """httpx.Client does not pass these on to a transport that it is given."""
    with pytest.raises(TypeError, match=r"'verify'; give it to the HTTPTransport or AsyncHTTPTransport"):
        make(verify=False)


# Settings of an adapter's own client. Each value differs from the default.
KEPT: dict[str, Any] = {
    "base_timeout": 3.0,
    "total_timeout": 9.0,
    "enable_circuit_breaker": False,
    "circuit_breaker_config": {"failure_threshold": 9},
    "enable_retry_policy": False,
    "retry_policy_config": {"max_attempts": 2},
    "enable_throttle_gate": False,
    "enable_retry_budget": False,
    "retry_budget_config": {"capacity": 9},
    "rate_limit": {"rate": 9},
    "bulkhead": {"max_concurrent": 9},
    "adaptive_limit": {"max_limit": 9},
    "load_shedding": {"multiplier": 3.0},
    "deadline_check": {"min_samples": 10},
    "auto_idempotency_key": True,
    "quote_idempotency_key": True,
    "propagation": Propagation(hosts=["api.example.com"]),
    "sensitive_headers": ["X-Key"],
    "public_headers": ["X-Plan"],
    "connection_pool": ConnectionPoolConfig(request_timeout=3.0),
    "state_key": by_header("X-Tenant"),
    "routes": {"GET /orders": {"timeout": 3.0}},
    "chaos": {"errors": ["ConnectError"], "error_rate": 0.1},
}


OWNED: dict[str, Any] = {
    "max_connections": 9,
    "max_connections_per_host": 9,
    "request_interceptors": [Recorder([], "a")],
    "response_interceptors": [Recorder([], "a")],
    "max_response_size": 9,
    "max_response_headers": 9,
    "max_response_header_size": 99,
    "enable_request_compression": True,
    "request_coding": "zstd",
    "enable_response_decompression": False,
    "allowed_redirect_count": 9,
    "cookies": True,
    "trust_env_proxy_settings": False,
    "proxy": "http://proxy:3128",
    "default_headers": {"X-A": "1"},
    "egress_policy": EgressPolicy(),
    "netrc": True,
    "auth": "token",
    "request_signers": [HmacSignature("key")],
    "tolerated_faults": ["missing-colon"],
    "base_url": "https://api.example.com",
    "http2": True,
    "json_codec": SimpleNamespace(encode=json.dumps, decode=json.loads),
    "fallback": {"value": 1},
    "hedging": {"delay": 1.0},
    "alternate_urls": ["https://api.example.org"],
}


@MAKERS
@pytest.mark.parametrize("name", KEPT)
def test_settings_of_a_call_as_a_whole_hold_in_an_adapter(make: Any, name: str) -> None:
    """Its own client has them."""
    config = HttpClientConfig(**{name: KEPT[name]})
    assert make(config).client.config == config


@MAKERS
@pytest.mark.parametrize("name", OWNED)
def test_settings_that_the_library_decides_about_are_refused(make: Any, name: str) -> None:
    """They would do nothing."""
    with pytest.raises(ConfigurationError, match=f"{name} does nothing in .*; set it up on the session of"):
        make(HttpClientConfig(**{name: OWNED[name]}))


@MAKERS
@pytest.mark.parametrize(
    "settings",
    [{"connection_timeout": 3.0}, {"connection_pool": ConnectionPoolConfig(connection_timeout=3.0)}],
)
def test_the_time_to_connect_is_a_setting_where_the_library_takes_one(make: Any, settings: Any) -> None:
    """aiohttp takes none for a request."""
    if make is resilience_middleware:
        with pytest.raises(ConfigurationError, match="connection_timeout does nothing"):
            make(HttpClientConfig(**settings))
    else:
        assert make(HttpClientConfig(**settings)).client.config.timeout.connect == 3.0


def test_every_setting_is_kept_or_refused() -> None:
    """A new one belongs in a table above."""
    names = [field.name for field in dataclasses.fields(HttpClientConfig)]
    assert sorted([*KEPT, *OWNED, "connection_timeout"]) == sorted(names)


@MAKERS
@pytest.mark.parametrize("idempotent", [None, True, False, lambda request: None])
def test_whether_requests_are_idempotent_is_said_at_once_or_by_a_function(make: Any, idempotent: Any) -> None:
    """Nothing else says it."""
    make(idempotent=idempotent)
    for other in ("yes", 1):
        with pytest.raises(ConfigurationError, match=r"^idempotent must be a function"):
            make(idempotent=other)


@MAKERS
@pytest.mark.parametrize(
    "options",
    [
        {"timeout": 3.0},
        {"timeout": Timeout(total=3.0)},
        {"total_timeout": 9.0},
        {"retry_policy": None},
        {"circuit_breaker": None},
        {"retry_budget": None},
        {"key": "a"},
        {"name": "partner"},
    ],
    ids=str,
)
def test_a_view_may_be_made_for_what_holds_in_an_adapter(make: Any, options: dict[str, Any]) -> None:
    """Its options are those of each call of the library."""
    with HttpServiceClient() as client:
        view = client.with_options(**options)
        assert make(client=view).client is view


@MAKERS
@pytest.mark.parametrize(
    "option",
    [
        {"timeout": 3.0},
        {"total_timeout": 9.0},
        {"retry_policy": None},
        {"circuit_breaker": None},
        {"retry_budget": None},
        {"key": "a"},
        {"name": "orders"},
        {"idempotent": True},
    ],
    ids=str,
)
def test_a_route_may_have_what_holds_in_an_adapter(make: Any, option: dict[str, Any]) -> None:
    """Its options are those of the calls of the library that it matches."""
    config = HttpClientConfig(routes={"GET /a": option})
    assert make(config).client.config == config


@MAKERS
def test_what_is_refused(make: Any) -> None:
    """With what to write instead."""
    with pytest.raises(ConfigurationError, match="client must be an HttpServiceClient, not dict"):
        make(client={})
    with pytest.raises(ConfigurationError, match="not both"):
        make(HttpClientConfig(), client=HttpServiceClient())
    with pytest.raises(ConfigurationError, match="not HttpServiceClient; pass a client as client=…"):
        make(HttpServiceClient())
    with pytest.raises(
        ConfigurationError, match=r"not dict; write HttpClientConfig.from_mapping\(settings\)$"
    ):
        make({"base_timeout": 1.0})
    with pytest.raises(ConfigurationError, match="resolves names itself"):
        make(client=HttpServiceClient(HttpClientConfig(egress_policy=EgressPolicy())))
    with pytest.raises(ConfigurationError, match="auth of this view does nothing"):
        make(client=HttpServiceClient().with_options(auth="t", key="a").with_options(name="partner"))
    with pytest.raises(ConfigurationError, match=r"Timeout\.pool of this view does nothing"):
        make(client=HttpServiceClient().with_options(timeout=Timeout(total=5.0, pool=1.0)))
    with pytest.raises(ConfigurationError, match="needs hosts"):
        make(HttpClientConfig(propagation=Propagation()))
    with pytest.raises(ConfigurationError, match="base_url does nothing"):
        make(HttpClientConfig(base_url="https://api.example.com"))
    for option in ({"fallback": {"value": 1}}, {"hedging": {"delay": 1}}, {"decompress": False}):
        with pytest.raises(ConfigurationError, match=rf"\['GET /a'\]\['{next(iter(option))}'\] does nothing"):
            make(HttpClientConfig(routes={"GET /a": {"timeout": 3, **option}}))

"""Configuration and opening: what is wrong is said at once, by field, value and remedy; what is right has an effect."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import inspect
import pickle
import re
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from http_service_client import (
    CircuitBreakerPolicy,
    ClientClosedError,
    ConfigurationError,
    ConnectionLostError,
    ConnectionPoolConfig,
    ConstantBackoff,
    CookieJar,
    EgressPolicy,
    ExponentialBackoff,
    HttpClientConfig,
    HttpClientError,
    HttpServiceClient,
    InvalidRequestError,
    RetryBudgetSettings,
    RetryCondition,
    RetryPolicy,
    SentState,
    Timeout,
)
from http_service_client.testing import ScriptedTransport, VirtualClock
from kit.fakes import ORIGIN, RESET, URL, FakeTransport, FrontEnd, Harness, run_task, short

NAN, INF = float("nan"), float("inf")

# Each kind of field, and what it refuses.
COUNT = [0, -1, 1.5, NAN, INF, "5", True, [], b"5"]
COUNT_FROM_ZERO = [-1, 1.5, NAN, INF, "5", True, []]
DURATION = [0, 0.0, -1, -0.001, NAN, INF, -INF, "5", True, [], timedelta(seconds=5), 1j, 10**400]
FLAG = [0, 1, "yes", "false", None, []]
PATH = ["", 5, True, b"cert.pem", ["cert.pem"]]
INTERCEPTORS = [object(), "Class", b"x", 5, [object()], ["Class"], [None], {RetryPolicy}]

BAD_VALUES: dict[type, dict[str, list[Any]]] = {
    ConnectionPoolConfig: {
        "max_connections": [*COUNT, None],
        "max_connections_per_host": [*COUNT, None],
        "connection_timeout": DURATION,
        "request_timeout": DURATION,
        "pool_timeout": DURATION,
        "keep_alive_timeout": [*DURATION, None],
        "keep_alive_max_requests": [*COUNT, None],
        "ssl_verify": FLAG,
        "ssl_cert_file": PATH,
        "ssl_key_file": PATH,
        "ssl_ca_file": PATH,
        "enable_compression": FLAG,
        "compression_threshold": [*COUNT_FROM_ZERO, None],
    },
    HttpClientConfig: {
        "base_timeout": DURATION,
        "connection_timeout": DURATION,
        "max_connections": COUNT,
        "max_connections_per_host": COUNT,
        "enable_circuit_breaker": FLAG,
        "enable_retry_policy": FLAG,
        "request_interceptors": INTERCEPTORS,
        "response_interceptors": INTERCEPTORS,
        "connection_pool": [5, "pool", {"max_connections": 5}, ConnectionPoolConfig],
        "circuit_breaker_config": [
            5,
            "policy",
            [("failure_threshold", 5)],
            RetryPolicy(),
            CircuitBreakerPolicy,
        ],
        "retry_policy_config": [5, "policy", [], CircuitBreakerPolicy(), RetryPolicy],
        "enable_retry_budget": FLAG,
        "retry_budget_config": [5, "budget", [], RetryPolicy()],
        "total_timeout": DURATION,
        "auto_idempotency_key": FLAG,
        "max_response_size": COUNT,
        "max_response_headers": COUNT,
        "max_response_header_size": COUNT,
        "enable_request_compression": FLAG,
        "request_coding": ["br", "GZIP", "", None, 5, True, b"gzip", []],
        "enable_response_decompression": FLAG,
        "allowed_redirect_count": [*COUNT_FROM_ZERO, None],
        "cookies": [None, 0, 1, "yes", {"a": "b"}, CookieJar],
        "trust_env_proxy_settings": FLAG,
        "default_headers": [5, "X: y", ["X"], {"X": "a\nb"}, {"X Y": "a"}, {"X": object()}, {5: "a"}],
        "sensitive_headers": [5, "X-Key", b"X-Key", [5], [None], ["X Key"], [""], None],
        "netrc": [0, 1, None, "", b"/netrc", ["/netrc"]],
        "proxy": [
            *(
                5,
                True,
                b"http://p:1",
                ["http://p:1"],
                "",
                {"https": " "},
                {"ftp": "http://p:1"},
                {"http": None},
            ),
            *("ftp://p:1", "http://", "http://p:port", "http://p:0", {"https": "quic://p:1"}),
            {"all": "http://p:1", "no": "localhost, a b:c:d:e/999"},
        ],
        "egress_policy": [5, True, "deny", {"allow_private": True}, EgressPolicy],
    },
    RetryBudgetSettings: {
        "ratio": [-0.1, NAN, INF, "1", None, True],
        "min_per_second": [-0.1, NAN, INF, "1", None],
        "window": [0, 0.5, 3601, NAN, INF, "10", None],
    },
    Timeout: dict.fromkeys(("total", "connect", "read", "write", "pool"), DURATION),
}


@pytest.mark.parametrize("kind", BAD_VALUES, ids=lambda kind: kind.__name__)
def test_the_table_has_every_field(kind: Any) -> None:
    """Or else a new field would go unchecked."""
    assert {item.name for item in dataclasses.fields(kind) if item.init} == set(BAD_VALUES[kind])


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (kind, field, value)
        for kind, table in BAD_VALUES.items()
        for field, values in table.items()
        for value in values
    ],
    ids=short,
)
def test_a_wrong_value_is_named(kind: Any, field: str, value: Any) -> None:
    """Field, value and what to write instead, when the object is made."""
    with pytest.raises(ConfigurationError) as raised:
        kind(**{field: value})
    assert isinstance(raised.value, ValueError)
    message = str(raised.value)
    assert message.startswith((field, f"Timeout.{field}")), message
    if field == "default_headers":  # it may be a secret: the header is named, never its value
        assert "a\nb" not in message
        assert not re.search("object at", message)
    elif not isinstance(value, type) and field not in ("connection_pool", "proxy") and "_config" not in field:
        shown = repr(value[0]) if isinstance(value, list) and value else repr(value)
        assert shown in message or repr(value) in message
    assert any(word in message for word in (" must be ", " must have ", "; ", "which has no method")), message


CONFIGS: dict[str, list[tuple[dict[Any, Any], str]]] = {
    "circuit_breaker_config": [
        ({"failure_treshold": 5}, "did you mean 'failure_threshold'?"),
        ({"recovery_time": 5}, "did you mean 'recovery_timeout'?"),
        ({"xyz": 5}, "known keys: failure_threshold, recovery_timeout"),
        ({5: 5}, "unknown key 5"),
        ({"failure_threshold": 0}, "failure_threshold must be"),
        ({"clock": lambda: 0.0}, "unknown key 'clock'"),  # the client's own counts: no decoration
        ({"name": "mine"}, "unknown key 'name'"),
        ({"failure_threshold": "5"}, "failure_threshold must be"),
        ({"timeout": 0}, "timeout must be"),
    ],
    "retry_policy_config": [
        ({"max_attempt": 5}, "did you mean 'max_attempts'?"),
        ({"backof_factor": 5}, "did you mean 'backoff_factor'?"),
        ({"random": lambda: 0.0}, "unknown key 'random'"),
        ({"max_attempts": 0}, "max_attempts must be"),
        ({"max_delay": -1}, "max_delay must be"),
        ({"backoff_factor": 0.5}, "backoff_factor must be"),
        ({"jitter": "some"}, "jitter must be"),
        ({"retry_conditions": [503]}, "retry_conditions must be"),
        ({"backoff_strategy": ConstantBackoff(), "max_delay": 3.0}, "backoff_strategy and max_delay"),
    ],
    "retry_budget_config": [
        ({"ration": 0.1}, "did you mean 'ratio'?"),
        ({"window": 0}, "window must be"),
    ],
}


@pytest.mark.parametrize(
    ("field", "given", "message"),
    [(field, given, message) for field, rows in CONFIGS.items() for given, message in rows],
    ids=short,
)
@pytest.mark.parametrize("is_enabled", [True, False], ids=["enabled", "disabled"])
def test_a_wrong_key_in_a_mapping_is_named(
    field: str, given: dict[Any, Any], message: str, is_enabled: bool
) -> None:
    """With a guess at what was meant; also while that part is switched off, so that it can be switched on."""
    switch = {
        "circuit_breaker_config": "enable_circuit_breaker",
        "retry_policy_config": "enable_retry_policy",
        "retry_budget_config": "enable_retry_budget",
    }[field]
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        HttpClientConfig(**{field: given, switch: is_enabled})


@pytest.mark.parametrize("kind", [HttpClientConfig, ConnectionPoolConfig])
def test_an_unknown_field_is_a_type_error_that_names_it(kind: Any) -> None:
    """As for any class."""
    with pytest.raises(TypeError, match="max_conections"):
        kind(max_conections=5)


@pytest.mark.parametrize("value", [5, "config", {}, ConnectionPoolConfig(), HttpClientConfig])
def test_a_client_wants_a_config(value: Any) -> None:
    """Not a mapping, nor the class."""
    with pytest.raises(ConfigurationError, match="config must be an HttpClientConfig"):
        HttpServiceClient(value)


def test_a_mapping_for_the_pool_is_told_its_class() -> None:
    """The other parts of a configuration may be mappings; this one may not."""
    with pytest.raises(ConfigurationError, match=r"not dict; write ConnectionPoolConfig\(\*\*settings\)$"):
        HttpClientConfig(connection_pool={"max_connections": 5})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "remedy"),
    [(URL, "; pass a URL as base_url="), ({"base_timeout": 3}, "; write HttpClientConfig(**settings)")],
)
def test_what_is_often_passed_for_a_config_is_told_its_place(value: Any, remedy: str) -> None:
    """The base URL as in other clients, and the settings as a plain dict."""
    with pytest.raises(ConfigurationError) as raised:
        HttpServiceClient(value)
    assert str(raised.value) == f"config must be an HttpClientConfig, not {type(value).__name__}{remedy}"


@pytest.mark.parametrize(
    ("kind", "keyword", "remedy"),
    [
        (HttpServiceClient, "timeout", "; set base_timeout in HttpClientConfig"),
        (HttpServiceClient, "total_timeout", "; set it in HttpClientConfig"),
        (HttpServiceClient, "max_connections", "; set it in HttpClientConfig"),
        (HttpServiceClient, "ssl_verify", "; set it in ConnectionPoolConfig"),
        (HttpServiceClient, "base_ulr", "; did you mean 'base_url'?"),
        (HttpClientConfig, "ssl_verify", "; set it in ConnectionPoolConfig"),
        (HttpClientConfig, "max_retries", "; set max_attempts in retry_policy_config"),
        (HttpClientConfig, "headers", "; set default_headers in HttpClientConfig"),
        (HttpClientConfig, "base_url", "; pass it to HttpServiceClient"),
        (HttpClientConfig, "total_timout", "; did you mean 'total_timeout'?"),
        (HttpClientConfig, "xyzzy", ""),
    ],
)
def test_an_unknown_setting_is_told_its_place(kind: Any, keyword: str, remedy: str) -> None:
    """A misspelt name, another library's, one of another class, and one that nobody knows."""
    with pytest.raises(TypeError) as raised:
        kind(**{keyword: 1})
    assert str(raised.value) == f"{kind.__name__} takes no keyword {keyword!r}{remedy}"


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("transport", 3),
        ("transport", ScriptedTransport),
        ("clock", 3),
        ("clock", VirtualClock),
        ("clock", time),
        ("random", 3),
        ("on_event", "print"),
        ("on_event", asyncio.sleep),
        ("interceptor_factory", {}),
    ],
    ids=short,
)
def test_a_part_that_cannot_do_its_work_is_refused(part: str, value: Any) -> None:
    """When the client is made, by name; a class is not an object of it."""
    with pytest.raises(ConfigurationError, match=f"^{part} must be"):
        HttpServiceClient(**{part: value})


@pytest.mark.parametrize(
    ("base_url", "message"),
    [
        ("api.example.com", "not absolute"),
        ("ftp://api.example.com", "scheme"),
        ("https://user:secret@api.example.com", "user information"),
        ("https://api.example.com?x=1", "query"),
        (5, "base_url must be text"),
        ("", "not absolute; write it as https://host/path$"),
    ],
)
def test_a_wrong_base_url_is_refused_when_the_client_is_made(base_url: Any, message: str) -> None:
    """And its password is not shown."""
    with pytest.raises(ConfigurationError, match=f"^(?=base_url).*{message}") as raised:
        HttpServiceClient(base_url=base_url)
    assert "secret" not in str(raised.value)


# Settings that may be set in two classes.

SHARED = {
    "base_timeout": "request_timeout",
    "connection_timeout": "connection_timeout",
    "max_connections": "max_connections",
    "max_connections_per_host": "max_connections_per_host",
}


@pytest.mark.parametrize(
    ("top", "pooled", "one", "other"),
    [
        ("base_timeout", "request_timeout", 10.0, 20.0),
        ("connection_timeout", "connection_timeout", 1.0, 2.0),
        ("max_connections", "max_connections", 10, 20),
        ("max_connections_per_host", "max_connections_per_host", 1, 2),
    ],
)
def test_the_top_level_and_the_pool_must_agree(top: str, pooled: str, one: Any, other: Any) -> None:
    """Either, or both alike; different ones are an error that names both."""
    in_pool = ConnectionPoolConfig(**{pooled: one})
    for config in (
        HttpClientConfig(**{top: one}),
        HttpClientConfig(connection_pool=in_pool),
        HttpClientConfig(**{top: one}, connection_pool=in_pool),
    ):
        assert getattr(config.pool, pooled) == one
    with pytest.raises(ConfigurationError) as raised:
        HttpClientConfig(**{top: other}, connection_pool=in_pool)
    assert f"{top}={other!r}" in str(raised.value)
    assert f"connection_pool.{pooled}={one!r}" in str(raised.value)


def test_a_default_of_the_pool_is_a_value_too() -> None:
    """A pool that says nothing of a setting says its default: 200 here and 100 there disagree."""
    with pytest.raises(
        ConfigurationError, match=r"max_connections=200 conflicts with connection_pool\.max_connections=100"
    ):
        HttpClientConfig(max_connections=200, connection_pool=ConnectionPoolConfig())


def test_the_signature_shows_the_defaults_of_the_pool() -> None:
    """A user sees 30.0 and not None, and the two classes have the same defaults."""
    here = inspect.signature(HttpClientConfig).parameters
    pool = inspect.signature(ConnectionPoolConfig).parameters
    for top, pooled in SHARED.items():
        assert here[top].default == pool[pooled].default
        assert f"{top}: {here[top].annotation!r} = {pool[pooled].default!r}" == str(here[top])


def test_a_default_reads_as_the_pool_s_value_and_stays_a_default() -> None:
    """What a field shows is what holds; what was not set gives way to the pool, also after a copy."""
    config = HttpClientConfig(
        connection_pool=ConnectionPoolConfig(max_connections=7, request_timeout=None, connection_timeout=2)
    )
    assert (config.base_timeout, config.connection_timeout, config.max_connections) == (None, 2, 7)
    assert "base_timeout" not in repr(config)
    for twin in (pickle.loads(pickle.dumps(config)), copy.deepcopy(config), dataclasses.replace(config)):
        changed = dataclasses.replace(twin, connection_pool=ConnectionPoolConfig(max_connections=9))
        assert (changed.max_connections, changed.base_timeout) == (9, 30.0)
        assert dataclasses.replace(changed, connection_pool=None) == HttpClientConfig()


@pytest.mark.parametrize("top", ["base_timeout", "connection_timeout"])
def test_no_limit_is_set_in_the_pool(top: str) -> None:
    """None is the default at the top level, and the message says how to write "no limit"."""
    assert HttpClientConfig(**{top: None}) == HttpClientConfig()
    remedy = f"; for no limit, set {SHARED[top]}=None in connection_pool"
    with pytest.raises(ConfigurationError, match=f"^{top} must be .*{remedy}$"):
        HttpClientConfig(**{top: 0})


def test_a_key_file_wants_a_certificate() -> None:
    """Alone it is of no use."""
    with pytest.raises(ConfigurationError, match=r"ssl_key_file .* ssl_cert_file"):
        ConnectionPoolConfig(ssl_key_file="key.pem")


# The whole of the seed's configuration.


def seed_config() -> HttpClientConfig:
    """As in the seed document, to the letter."""
    connection_config = ConnectionPoolConfig(
        max_connections=200,
        max_connections_per_host=50,
        connection_timeout=5.0,
        request_timeout=30.0,
        pool_timeout=10.0,
        keep_alive_timeout=75.0,
        keep_alive_max_requests=1000,
        ssl_verify=True,
        ssl_cert_file=None,
        ssl_key_file=None,
        enable_compression=True,
        compression_threshold=1024,
    )
    return HttpClientConfig(
        connection_pool=connection_config,
        base_timeout=30.0,
        connection_timeout=5.0,
        enable_circuit_breaker=True,
        circuit_breaker_config={"failure_threshold": 5, "recovery_timeout": 60, "success_threshold": 3},
        enable_retry_policy=True,
        retry_policy_config={"max_attempts": 3, "backoff_factor": 2.0, "max_delay": 60.0},
        max_response_size=10 * 1024 * 1024,
        enable_request_compression=True,
        enable_response_decompression=True,
        allowed_redirect_count=3,
        trust_env_proxy_settings=True,
    )


def test_the_seed_s_configuration_is_taken_as_written() -> None:
    """Every field of it."""
    config = seed_config()
    assert config.pool.max_connections == 200
    assert config.circuit_breaker is not None
    assert config.circuit_breaker.settings.recovery_timeout == 60
    assert config.retry is not None
    assert config.retry.backoff_strategy == ExponentialBackoff(1.0, 60.0, 2.0)
    assert config.timeout == Timeout(total=30.0, connect=5.0, pool=10.0)


def test_the_seed_s_short_configuration() -> None:
    """The one of its first page."""
    config = HttpClientConfig(
        base_timeout=30.0,
        connection_timeout=5.0,
        max_connections=100,
        max_connections_per_host=20,
        enable_circuit_breaker=True,
        enable_retry_policy=True,
    )
    assert config == dataclasses.replace(config)
    assert (config.pool.max_connections, config.pool.max_connections_per_host) == (100, 20)


def test_the_defaults() -> None:
    """Of design section 6."""
    config = HttpClientConfig()
    assert config.timeout == Timeout(total=30.0, connect=5.0, pool=10.0)
    assert config.total_timeout is None
    assert config.retry is not None
    assert (config.retry.max_attempts, config.retry.backoff_strategy) == (
        3,
        ExponentialBackoff(1.0, 60.0, 2.0),
    )
    assert config.circuit_breaker is not None
    settings = config.circuit_breaker.settings
    assert (settings.failure_threshold, settings.recovery_timeout, settings.success_threshold) == (5, 60.0, 3)
    assert config.budget is not None
    assert (config.budget.ratio, config.budget.min_per_second) == (0.2, 10.0)
    assert (config.max_response_size, config.allowed_redirect_count) == (10 * 1024 * 1024, 10)


# Frozen, and replaceable.


@pytest.mark.parametrize(
    "kind", [HttpClientConfig, ConnectionPoolConfig, Timeout, RetryBudgetSettings, RetryPolicy]
)
def test_settings_are_frozen(kind: Any) -> None:
    """What was checked stays as it was checked."""
    settings = kind()
    name = dataclasses.fields(settings)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(settings, name, 5)


def test_replace_resolves_anew() -> None:
    """`dataclasses.replace` checks and resolves as the constructor does."""
    config = HttpClientConfig(base_timeout=10.0, retry_policy_config={"max_attempts": 5})
    changed = dataclasses.replace(config, base_timeout=20.0, enable_retry_policy=False)
    assert (changed.pool.request_timeout, changed.retry) == (20.0, None)
    assert (config.pool.request_timeout, config.retry.max_attempts) == (10.0, 5)  # type: ignore[union-attr]
    again = dataclasses.replace(changed, enable_retry_policy=True)
    assert again.retry is not None
    assert again.retry.max_attempts == 5
    with pytest.raises(ConfigurationError, match="base_timeout"):
        dataclasses.replace(config, base_timeout=-1)
    pooled = dataclasses.replace(config, base_timeout=None, connection_pool=ConnectionPoolConfig())
    assert pooled.pool.request_timeout == 30.0


def test_a_configuration_compares_pickles_and_copies() -> None:
    """It is a value: what was set makes it equal, and a copy means the same to a client."""
    config = HttpClientConfig(
        base_timeout=10.0,
        circuit_breaker_config={"failure_threshold": 2},
        default_headers={"X-A": "1"},
        proxy="http://proxy:3128",
    )
    assert config == dataclasses.replace(config)
    assert config != dataclasses.replace(config, base_timeout=11.0)
    for twin in (pickle.loads(pickle.dumps(config)), copy.copy(config), copy.deepcopy(config)):
        assert twin == config
        assert repr(twin) == repr(config)
        assert twin.pool == config.pool
        assert twin.timeout == config.timeout
        assert twin.circuit_breaker.settings == config.circuit_breaker.settings  # type: ignore[union-attr]
        assert twin.resolved.proxies == config.resolved.proxies
        assert twin.resolved.headers == config.resolved.headers


def test_a_mapping_that_is_changed_later_changes_nothing() -> None:
    """The configuration is what it was when it was made."""
    headers, breaker = {"X-A": "1"}, {"failure_threshold": 2}
    config = HttpClientConfig(default_headers=headers, circuit_breaker_config=breaker)
    headers["X-A"] = "2"
    breaker["failure_threshold"] = 9
    assert config.resolved.headers["X-A"] == "1"
    assert config.circuit_breaker is not None
    assert config.circuit_breaker.failure_threshold == 2


def test_the_repr_is_what_was_set() -> None:
    """And nothing else: a configuration in a log is read by a person."""
    assert repr(HttpClientConfig()) == "HttpClientConfig()"
    config = HttpClientConfig(base_timeout=3, enable_retry_policy=False, default_headers={"Accept": "a/b"})
    said = "base_timeout=3, enable_retry_policy=False, default_headers={'Accept': 'a/b'}"
    assert repr(config) == f"HttpClientConfig({said})"


def test_secrets_in_headers_are_not_in_the_repr() -> None:
    """A configuration ends up in logs at start-up."""
    headers = {"Authorization": "Bearer s3cret", "X-Shop": "s3cret"}
    config = HttpClientConfig(default_headers=headers, sensitive_headers=["x-shop"])
    assert "s3cret" not in repr(config)
    assert "s3cret" not in repr(HttpClientConfig(default_headers={"Cookie": "s3cret"}).resolved.headers)


@pytest.mark.parametrize(
    "proxy", ["http://user:s3cret@proxy:3128", {"https": "http://user:s3cret@proxy:3128"}]
)
def test_secrets_in_proxies_are_not_in_the_repr(proxy: Any) -> None:
    """Which proxy it is, can be seen."""
    config = HttpClientConfig(proxy=proxy)
    assert "proxy:3128" in repr(config)
    assert "s3cret" not in repr(config)
    with pytest.raises(ConfigurationError) as raised:
        HttpClientConfig(proxy="quic://user:s3cret@proxy:3128")
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize(
    "proxy",
    [
        *("http://user:a/s3cret@proxy:3128", "user:a#s3cret@proxy:3128", "http://user:a?s3cret@proxy:3128"),
        *("//user:s3cret@proxy:3128", "http://user:s3cret@proxy:1,http://user:s3cret@proxy:2"),
        {"http://user:s3cret@proxy": "http"},
        {"no": "http://user:s3cret@proxy"},
    ],
)
def test_a_proxy_that_is_none_is_refused_without_its_secret(proxy: Any) -> None:
    """A password that should have been escaped, above all."""
    with pytest.raises(ConfigurationError, match=r"^proxy") as raised:
        HttpClientConfig(proxy=proxy)
    assert "s3cret" not in str(raised.value)


# What is accepted has an effect. (Pool, TLS and size fields: tests/transports; interceptors, timeouts and
# retries: tests/core.)


def test_default_headers_are_sent_and_overridden(front_end: FrontEnd) -> None:
    """By default, by a call's own, and left out by None, in any spelling."""
    bench = Harness(front_end, default_headers={"X-Team": "blue", "Accept": "application/json"})
    for headers in (
        None,
        {"x-team": "red"},
        {"X-TEAM": None, "User-Agent": None},
        [("X-Team", "a"), ("X-Team", "b")],
        iter([("X-Team", None)]),
        {b"x-team": None},
    ):
        bench.request(headers=headers)
    sent = [request.headers for request in bench.transport.sent]
    assert [headers.get_all("X-Team") for headers in sent] == [["blue"], ["red"], [], ["a", "b"], [], []]
    assert {headers["Accept"] for headers in sent} == {"application/json"}
    assert "User-Agent" not in sent[2]
    assert sent[0]["User-Agent"].startswith("http-service-client/")


def test_compression_is_asked_for_or_not(front_end: FrontEnd) -> None:
    """enable_compression=False asks for the bytes as they are."""
    for wanted, header in [(True, "gzip"), (False, "identity")]:
        bench = Harness(front_end, connection_pool=ConnectionPoolConfig(enable_compression=wanted))
        bench.request()
        assert header in bench.transport.sent[0].headers["Accept-Encoding"]


@pytest.mark.parametrize(("size", "coding"), [(99, None), (100, "gzip"), (5000, "gzip")])
def test_request_compression_by_its_threshold(front_end: FrontEnd, size: int, coding: str | None) -> None:
    """From compression_threshold on, when switched on; the length is that of what is sent."""
    pool = ConnectionPoolConfig(compression_threshold=100)
    for switch in (True, False):
        bench = Harness(front_end, connection_pool=pool, enable_request_compression=switch)
        bench.request("POST", data=b"x" * size)
        (sent,) = bench.transport.sent
        assert sent.headers.get("Content-Encoding") == (coding if switch else None)
        assert sent.headers["Content-Length"] == str(len(bench.transport.bodies[0] or b""))


def test_a_coding_without_its_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the configuration is made, and not at the first long body."""
    monkeypatch.setattr("http_service_client.client.config.may_compress", lambda coding: coding == "gzip")
    with pytest.raises(
        ConfigurationError, match=r"request_coding is 'zstd', .* 'http-service-client\[zstd\]'"
    ):
        HttpClientConfig(request_coding="zstd")


def test_switches(front_end: FrontEnd) -> None:
    """Breaker, retries and budget are off when switched off."""
    bench = Harness(
        front_end,
        RESET,
        enable_circuit_breaker=False,
        enable_retry_policy=False,
        enable_retry_budget=False,
    )
    for _ in range(7):
        bench.error(ConnectionLostError)
    assert bench.sends == 7
    assert (bench.state.breaker, bench.state.budget) == (None, None)
    assert bench.client.get_circuit_breaker_states() == {}


def test_a_policy_object_in_the_configuration(front_end: FrontEnd) -> None:
    """Its settings hold for each circuit, its `on_change` hears of all of them, even if it fails."""
    heard: list[Any] = []

    def on_change(change: Any) -> None:
        heard.append((change.key, str(change.new)))
        raise RuntimeError("a listener that fails must not fail the call")

    policy = CircuitBreakerPolicy(failure_threshold=1, on_change=on_change)
    bench = Harness(front_end, 500, circuit_breaker_config=policy, enable_retry_policy=False)
    bench.request()
    bench.request(url="https://other.example.com/")
    assert heard == [(ORIGIN, "open"), ("https://other.example.com", "open")]
    assert bench.client.get_circuit_breaker_states() == dict(heard)


def test_max_connections_hold(front_end: FrontEnd) -> None:
    """Both limits are those of the configuration."""
    bench = Harness(front_end, max_connections=7, max_connections_per_host=3)
    bench.request()
    assert [limit.capacity for limit in bench.limits] == [7, 3]


# Opening: what is wrong with a call.


class Unprintable:
    def __str__(self) -> str:
        raise AssertionError("do not ask")


BAD_CALLS: list[tuple[dict[str, Any], type[HttpClientError], str]] = [
    ({"url": 5}, InvalidRequestError, "URL"),
    ({"url": None}, InvalidRequestError, "URL"),
    ({"url": b"https://h/"}, InvalidRequestError, "URL"),
    ({"url": "/relative"}, InvalidRequestError, "not absolute"),
    ({"url": ""}, InvalidRequestError, "not absolute"),
    ({"url": "ftp://h/"}, InvalidRequestError, "scheme"),
    ({"url": "https://"}, InvalidRequestError, "host"),
    ({"url": "https://h:99999/"}, InvalidRequestError, "port"),
    ({"url": "https://h/\r\nX: y"}, InvalidRequestError, "control character"),
    ({"url": "https://u:pw@h/"}, InvalidRequestError, "user information"),
    ({"method": 5}, InvalidRequestError, "method"),
    ({"method": None}, InvalidRequestError, "method"),
    ({"method": ""}, InvalidRequestError, "method"),
    ({"method": "GET /x"}, InvalidRequestError, "method"),
    ({"method": "GÉT"}, InvalidRequestError, "method"),
    ({"method": "connect"}, InvalidRequestError, "CONNECT opens a tunnel"),
    ({"params": 5}, InvalidRequestError, "params"),
    ({"params": {"a": object()}}, InvalidRequestError, "params"),
    ({"params": {"a": NAN}}, InvalidRequestError, "params"),
    ({"params": [1, 2]}, InvalidRequestError, "params"),
    ({"headers": 5}, InvalidRequestError, "headers"),
    ({"headers": "X: y"}, InvalidRequestError, "headers"),
    ({"headers": ["X"]}, InvalidRequestError, "headers"),
    ({"headers": {"X": "a\r\nb"}}, InvalidRequestError, "control character"),
    ({"headers": {"X": "a\0b"}}, InvalidRequestError, "control character"),
    ({"headers": {"X Y": "a"}}, InvalidRequestError, "header name"),
    ({"headers": {5: "a"}}, InvalidRequestError, "header name"),
    ({"headers": {5: None}}, InvalidRequestError, "header name"),
    ({"headers": {"X": Unprintable()}}, InvalidRequestError, "'X'"),
    ({"headers": {"X": "\ud800"}}, InvalidRequestError, "UTF-8"),
    ({"headers": {"Content-Length": "5"}}, InvalidRequestError, "Content-Length"),
    ({"headers": {"Transfer-Encoding": "chunked"}}, InvalidRequestError, "Transfer-Encoding"),
    (
        {"files": {"f": b""}, "headers": {"Content-Type": "multipart/form-data"}},
        InvalidRequestError,
        "boundary",
    ),
    ({"json": {"a": NAN}}, InvalidRequestError, "a"),
    ({"json": {"a": object()}}, InvalidRequestError, "a"),
    ({"json": {"a": {1, 2}}}, InvalidRequestError, "a"),
    ({"json": 1, "data": {"a": "b"}}, InvalidRequestError, "json and data"),
    ({"json": 1, "files": {"f": b"x"}}, InvalidRequestError, "json and files"),
    ({"data": 5}, InvalidRequestError, "data"),
    ({"data": {1, 2}}, InvalidRequestError, "data"),
    ({"data": {"a": object()}}, InvalidRequestError, "data"),
    ({"files": 5}, InvalidRequestError, "files"),
    (
        {"data": Path("menu.pdf")},
        InvalidRequestError,
        "data is a path; pass the file itself: open('menu.pdf', 'rb')",
    ),
    ({"files": {"f": Path("menu.pdf")}}, InvalidRequestError, "files['f'] is a path; pass the file itself"),
    ({"cookies": 5}, InvalidRequestError, "cookies"),
    ({"cookies": "a=b"}, InvalidRequestError, "cookies"),
    ({"cookies": {"a b": "c"}}, InvalidRequestError, "cookie"),
    ({"cookies": {"a": "b;c"}}, InvalidRequestError, "cookie"),
    ({"auth": 5}, InvalidRequestError, "auth"),
    ({"auth": ("user",)}, InvalidRequestError, "auth"),
    ({"auth": "two words"}, InvalidRequestError, "auth"),
    ({"auth": ("u:x", "p")}, InvalidRequestError, "auth"),
    ({"auth": "t", "headers": {"Authorization": "x"}}, InvalidRequestError, "Authorization"),
    *[({"timeout": value}, ConfigurationError, "timeout must be") for value in DURATION],
    ({"timeout": (3, 5)}, ConfigurationError, "write Timeout(connect=…, read=…)"),
    *[({"total_timeout": value}, ConfigurationError, "total_timeout must be") for value in DURATION],
    ({"total_timeout": Timeout(3.0)}, ConfigurationError, "total_timeout must be"),
    *[({"allow_redirects": value}, ConfigurationError, "allow_redirects must be") for value in FLAG],
    ({"retry_policy": 3}, ConfigurationError, "retry_policy must be"),
    ({"retry_policy": "off"}, ConfigurationError, "retry_policy must be"),
    ({"retry_policy": CircuitBreakerPolicy()}, ConfigurationError, "retry_policy must be"),
    ({"retry_policy": RetryPolicy}, ConfigurationError, "retry_policy must be"),
    ({"circuit_breaker": 3}, ConfigurationError, "circuit_breaker must be"),
    ({"circuit_breaker": RetryPolicy()}, ConfigurationError, "circuit_breaker must be"),
    ({"idempotent": 1}, ConfigurationError, "idempotent must be"),
    ({"idempotent": "yes"}, ConfigurationError, "idempotent must be"),
    ({"response_type": "Nobody"}, ConfigurationError, "response_type 'Nobody' cannot be validated"),
    ({"response_type": list["Nobody"]}, ConfigurationError, "name 'Nobody' is not defined"),  # noqa: F821  # the point
    ({"response_type": object()}, ConfigurationError, "cannot be validated"),
]


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    BAD_CALLS,
    ids=short,
)
def test_a_wrong_call_sends_nothing(
    front_end: FrontEnd, options: dict[str, Any], kind: type[HttpClientError], message: str
) -> None:
    """Said at once, by name; both worlds, and nothing reached the wire."""
    bench = Harness(front_end)
    options = {"method": "POST", "url": URL, **options}
    with pytest.raises(kind) as raised:
        bench.request(options.pop("method"), options.pop("url"), **options)
    assert type(raised.value) is kind
    assert isinstance(raised.value, ValueError)
    assert message in str(raised.value)
    assert raised.value.sent_state is SentState.NEVER_SENT
    assert bench.sends == 0
    assert all(limit.in_use == 0 for limit in bench.limits)


def test_arguments_in_the_wrong_order_show_no_secret(front_end: FrontEnd) -> None:
    """client.request(url, method) is an easy slip, and the URL may hold a token."""
    bench = Harness(front_end)
    with pytest.raises(InvalidRequestError, match="method must be") as raised:
        bench.request("https://h/?token=s3cret", "GET")
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize("keyword", ["verify", "jsn", "proxies", "stream", "follow_redirects", "x"])
def test_an_unknown_keyword_is_a_type_error_that_names_it(front_end: FrontEnd, keyword: str) -> None:
    """For every verb, in both worlds."""
    bench = Harness(front_end)
    with pytest.raises(TypeError, match=f"{keyword!r}"):
        bench.request(**{keyword: True})
    assert bench.sends == 0


@pytest.mark.parametrize(
    ("keyword", "remedy"),
    [
        ("jsn", "did you mean 'json'?"),
        ("header", "did you mean 'headers'?"),
        ("total_timout", "did you mean 'total_timeout'?"),
        ("verify", "set ssl_verify in ConnectionPoolConfig"),
        ("checksum", "only download takes it"),
        ("max_response_size", "only stream and download take it; for other calls set it in HttpClientConfig"),
        ("x", "see HttpServiceClient.request"),
        ("streaming", "see HttpServiceClient.request"),  # not our own _stream
    ],
)
def test_an_unknown_keyword_is_told_what_to_write(keyword: str, remedy: str) -> None:
    """A misspelt name, another library's name, and one that nobody knows."""
    with pytest.raises(TypeError) as raised:
        HttpServiceClient().get(URL, **{keyword: 1})
    assert str(raised.value) == f"a call takes no keyword {keyword!r}; {remedy}"


def test_a_download_has_no_method(tmp_path: Path) -> None:
    """It is told by the keyword's name, not by the arguments of what opens a call."""
    with pytest.raises(
        TypeError, match=r"^a call takes no keyword 'method'; a download is a GET; use stream"
    ):
        HttpServiceClient().download(URL, tmp_path / "file", method="POST")  # type: ignore[call-arg]


def test_an_async_body_in_a_blocking_call_is_refused() -> None:
    """It could not be read there; the message says which method can."""

    async def chunks() -> Any:
        yield b"x"

    from kit.fakes import Blocking

    bench = Harness(Blocking())
    with pytest.raises(InvalidRequestError, match="_async"):
        bench.request("POST", data=chunks())
    assert bench.state.breaker.snapshot().failures == 0
    assert all(limit.in_use == 0 for limit in bench.limits)


def test_a_body_that_breaks_while_it_is_drawn(front_end: FrontEnd) -> None:
    """The generator's own error is the caller's, everything is given back, the client goes on."""

    def chunks() -> Iterator[bytes]:
        yield b"x"
        raise ZeroDivisionError

    bench = Harness(front_end)
    with pytest.raises(ZeroDivisionError):
        bench.request("POST", data=chunks())
    assert all(limit.in_use == 0 for limit in bench.limits)
    assert bench.state.breaker.snapshot().abandoned == 1
    assert bench.request().status_code == 200


# After the end.


def test_use_after_close_is_a_clear_error(front_end: FrontEnd) -> None:
    """Every verb of both worlds; closing twice is once."""
    bench = Harness(front_end)
    bench.request()
    if front_end.name == "blocking":
        bench.client.close()
        bench.client.close()
    else:
        run_task(bench.client.close_async())
        run_task(bench.client.close_async())
    error = bench.error(ClientClosedError)
    assert isinstance(error, RuntimeError)
    assert "closed" in str(error)
    assert bench.sends == 1
    assert "closed" in repr(bench.client)


def test_with_closes() -> None:
    """`with` and `async with`; what was wrong inside goes on."""
    with pytest.raises(ZeroDivisionError), HttpServiceClient(transport=FakeTransport()) as client:
        raise ZeroDivisionError
    with pytest.raises(ClientClosedError):
        client.get(URL)

    async def main() -> HttpServiceClient:
        async with HttpServiceClient(transport=FakeTransport()) as client:
            assert (await client.get_async(URL)).status_code == 200
        return client

    client = asyncio.run(main())
    with pytest.raises(ClientClosedError):
        client.get(URL)


VERBS = ["get", "post", "put", "patch", "delete", "head", "options"]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_of_both_worlds(front_end: FrontEnd, verb: str) -> None:
    """Sends its own method, and takes the keywords."""
    bench = Harness(front_end)
    if front_end.name == "blocking":
        getattr(bench.client, verb)(URL, params={"a": 1})
    else:
        run_task(getattr(bench.client, f"{verb}_async")(URL, params={"a": 1}))
    (sent,) = bench.transport.sent
    assert (sent.method, sent.url) == (verb.upper(), f"{URL}?a=1")


def test_a_base_url_is_a_prefix(front_end: FrontEnd) -> None:
    """Relative URLs go below it, absolute ones stand as they are."""
    client = HttpServiceClient(base_url=f"{ORIGIN}/v1", transport=FakeTransport())
    for url, meant in [("charges", "/v1/charges"), ("/charges", "/v1/charges"), ("", "/v1")]:
        assert front_end.request(client, "GET", url).url == ORIGIN + meant
    assert (
        front_end.request(client, "GET", "https://other.example.com/x").url == "https://other.example.com/x"
    )


def test_timeouts_of_one_call_are_settings_too() -> None:
    """`Timeout` compares, replaces and pickles as a record."""
    timeout = Timeout(total=3.0, read=1.0)
    assert pickle.loads(pickle.dumps(timeout)) == timeout
    assert dataclasses.replace(timeout, read=None) == Timeout(total=3.0)
    assert timeout.within(None) is timeout
    assert timeout.within(9.0) is timeout
    assert timeout.within(2.0) == Timeout(total=2.0, read=1.0)


def test_a_condition_is_a_record() -> None:
    """Two made alike are alike: configurations can be compared. It shows itself in a word."""
    assert RetryCondition.on_timeout() == RetryCondition.on_timeout()
    assert repr(RetryCondition.on_status_codes([503, 429])) == "<RetryCondition status 429, 503>"
    assert RetryPolicy() == RetryPolicy()
    assert RetryPolicy(2) != RetryPolicy(3)

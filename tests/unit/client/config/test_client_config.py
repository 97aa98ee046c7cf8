"""Configurations as values: what their fields hold, which defaults they have, and how they compare, copy and print."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from typing import Any

import pytest

from http_service_client import (
    ConfigurationError,
    ConnectionPoolConfig,
    ConstantBackoff,
    ExponentialBackoff,
    HttpClientConfig,
    RetryBudgetSettings,
    RetryCondition,
    RetryPolicy,
    RetryQuotaSettings,
    Timeout,
)
from http_service_client.core.machines.circuit_breaker.states import CircuitBreakerSettings

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
    """Either may be set, or both to the same value. Different values are an error that names both."""
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


@pytest.mark.parametrize("top", SHARED)
def test_a_default_of_the_pool_gives_way_to_the_top_level(top: str) -> None:
    """A pool that sets something else, its certificates say, conflicts with nothing."""
    config = HttpClientConfig(**{top: 7}, connection_pool=ConnectionPoolConfig(ssl_ca_file="ca.pem"))
    assert (getattr(config.pool, SHARED[top]), config.pool.ssl_ca_file) == (7, "ca.pem")
    for twin in (pickle.loads(pickle.dumps(config)), dataclasses.replace(config)):
        assert getattr(twin.pool, SHARED[top]) == 7
    in_pool = dataclasses.replace(ConnectionPoolConfig(ssl_ca_file="ca.pem"), **{SHARED[top]: 5})
    with pytest.raises(ConfigurationError, match=f"^{top}=7 conflicts with .*=5; set only one$"):
        HttpClientConfig(**{top: 7}, connection_pool=in_pool)


def test_what_a_client_uses_are_plain_numbers() -> None:
    """No mark of a default is left, in a pool that was given or not."""
    for pool in (None, ConnectionPoolConfig()):
        used = HttpClientConfig(connection_pool=pool).pool
        assert used == ConnectionPoolConfig()
        assert {type(getattr(used, name)) for name in SHARED.values()} == {int, float}


def test_the_signature_shows_the_defaults_of_the_pool() -> None:
    """A user sees 30.0 and not None, and the two classes have the same defaults."""
    here = inspect.signature(HttpClientConfig).parameters
    pool = inspect.signature(ConnectionPoolConfig).parameters
    for top, pooled in SHARED.items():
        assert here[top].default == pool[pooled].default
        assert f"{top}: {here[top].annotation!r} = {pool[pooled].default!r}" == str(here[top])


def test_a_default_reads_as_the_pool_s_value_and_stays_a_default() -> None:
    """A field shows the value in use. If it was not set, another pool replaces it, also after a copy."""
    config = HttpClientConfig(
        connection_pool=ConnectionPoolConfig(max_connections=7, request_timeout=None, connection_timeout=2.5)
    )
    assert (config.base_timeout, config.connection_timeout, config.max_connections) == (None, 2.5, 7)
    assert isinstance(config.max_connections, int)
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


@pytest.mark.parametrize(
    ("whole", "of_the_circuit", "used"),
    [(None, 2.0, 2.0), (3.0, 2.0, 2.0), (1.0, 2.0, 1.0), (1.0, None, 1.0), (None, None, None)],
)
def test_an_attempt_ends_by_the_first_of_its_two_limits(
    whole: float | None, of_the_circuit: float | None, used: float | None
) -> None:
    """That of connections and that of the circuit; a circuit that is switched off has none."""
    pool = ConnectionPoolConfig(request_timeout=whole)
    config = HttpClientConfig(connection_pool=pool, circuit_breaker_config={"timeout": of_the_circuit})
    assert config.timeout == Timeout(total=used, connect=5.0)
    off = dataclasses.replace(config, enable_circuit_breaker=False)
    assert off.timeout == Timeout(total=whole, connect=5.0)


def full_config() -> HttpClientConfig:
    """Every field of the first documented configuration, to the letter."""
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


def test_the_first_documented_configuration_is_accepted_as_written() -> None:
    """Its mappings become policies, and its pool the timeout of a call."""
    config = full_config()
    assert config.pool.max_connections == 200
    assert config.circuit_breaker is not None
    assert config.circuit_breaker.settings.recovery_timeout == 60
    assert config.retry is not None
    assert config.retry.backoff_strategy == ExponentialBackoff(1.0, 60.0, 2.0)
    assert config.timeout == Timeout(total=30.0, connect=5.0, pool=10.0)


def test_a_mapping_for_the_retry_policy_may_have_a_strategy() -> None:
    """In the place of the settings of the exponential backoff."""
    config = HttpClientConfig(
        retry_policy_config={"max_attempts": 5, "backoff_strategy": ConstantBackoff(2.0)}
    )
    assert config.retry == RetryPolicy(5, ConstantBackoff(2.0))


def test_a_configuration_of_the_top_level_settings_alone() -> None:
    """It makes a pool of them, and equals its own replacement."""
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
    """As documented: timeouts, retries, circuit, budget and limits."""
    config = HttpClientConfig()
    assert config.timeout == Timeout(total=30.0, connect=5.0)
    assert config.total_timeout is None
    assert config.retry is not None
    assert (config.retry.max_attempts, config.retry.backoff_strategy) == (
        3,
        ExponentialBackoff(1.0, 60.0, 2.0),
    )
    assert config.circuit_breaker is not None
    settings = config.circuit_breaker.settings
    assert settings == CircuitBreakerSettings()
    assert config.budget is not None
    assert config.budget == RetryQuotaSettings(
        capacity=None, earned=0.2, cost=1.0, throttled_cost=0.5, memory=10.0
    )
    assert config.enable_throttle_gate
    assert (config.max_response_size, config.allowed_redirect_count) == (10 * 1024 * 1024, 10)


@pytest.mark.parametrize(
    "kind", [HttpClientConfig, ConnectionPoolConfig, Timeout, RetryBudgetSettings, RetryPolicy]
)
def test_settings_are_frozen(kind: Any) -> None:
    """A value that was checked cannot be changed afterwards."""
    settings = kind()
    name = dataclasses.fields(settings)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(settings, name, 5)


def test_replace_checks_and_resolves_again() -> None:
    """`dataclasses.replace` does what the constructor does."""
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
    """It is a value: equal by its fields, and a copy gives a client the same settings."""
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
    """The settings are resolved when the configuration is made."""
    headers, breaker = {"X-A": "1"}, {"failure_threshold": 2}
    config = HttpClientConfig(default_headers=headers, circuit_breaker_config=breaker)
    headers["X-A"] = "2"
    breaker["failure_threshold"] = 9
    assert config.resolved.headers["X-A"] == "1"
    assert config.circuit_breaker is not None
    assert config.circuit_breaker.failure_threshold == 2


def test_the_repr_shows_only_what_was_set() -> None:
    """People read configurations in logs."""
    assert repr(HttpClientConfig()) == "HttpClientConfig()"
    config = HttpClientConfig(base_timeout=3, enable_retry_policy=False, default_headers={"Accept": "a/b"})
    settings = "base_timeout=3, enable_retry_policy=False, default_headers={'Accept': 'a/b'}"
    assert repr(config) == f"HttpClientConfig({settings})"


def test_secrets_in_headers_are_not_in_the_repr() -> None:
    """A configuration is often logged at start-up."""
    headers = {"Authorization": "Bearer s3cret", "X-Shop": "s3cret"}
    config = HttpClientConfig(default_headers=headers, sensitive_headers=["x-shop"])
    assert "s3cret" not in repr(config)
    assert "s3cret" not in repr(HttpClientConfig(default_headers={"Cookie": "s3cret"}).resolved.headers)


@pytest.mark.parametrize(
    "proxy", ["http://user:s3cret@proxy:3128", {"https": "http://user:s3cret@proxy:3128"}]
)
def test_secrets_in_proxies_are_not_in_the_repr(proxy: Any) -> None:
    """Host and port of the proxy are."""
    config = HttpClientConfig(proxy=proxy)
    assert "proxy:3128" in repr(config)
    assert "s3cret" not in repr(config)
    with pytest.raises(ConfigurationError) as raised:
        HttpClientConfig(proxy="quic://user:s3cret@proxy:3128")
    assert "s3cret" not in str(raised.value)


def test_a_timeout_is_a_record() -> None:
    """It compares, replaces and pickles."""
    timeout = Timeout(total=3.0, read=1.0)
    assert pickle.loads(pickle.dumps(timeout)) == timeout
    assert dataclasses.replace(timeout, read=None) == Timeout(total=3.0)
    assert timeout.within(None) is timeout
    assert timeout.within(9.0) is timeout
    assert timeout.within(2.0) == Timeout(total=2.0, read=1.0)


def test_a_condition_is_a_record() -> None:
    """Two with the same fields are equal, so configurations can be compared. The repr is short."""
    assert RetryCondition.on_timeout() == RetryCondition.on_timeout()
    assert repr(RetryCondition.on_status_codes([503, 429])) == "<RetryCondition status 429, 503>"
    assert RetryPolicy() == RetryPolicy()
    assert RetryPolicy(2) != RetryPolicy(3)

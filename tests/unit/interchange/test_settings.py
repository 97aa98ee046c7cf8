"""The settings of a configuration by name: what each of its conditions and URLs comes to."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client import (
    ConnectError,
    ConnectionPoolConfig,
    ConnectTimeoutError,
    HttpClientConfig,
    RetryCondition,
)
from http_service_client.interchange import export
from http_service_client.interchange.settings import settings_of

RETRY = "retry_policy_config."
ALL = RetryCondition.defaults()[0]
UNSENT = RetryCondition.on_exceptions([ConnectError, ConnectTimeoutError])
TOKEN = "123456:" + "s3cret" * 6


def conditions_of(*conditions: RetryCondition) -> dict[str, Any]:
    """The settings of a policy with these conditions, the conditions of a retry alone."""
    found = settings_of(HttpClientConfig(retry_policy_config={"retry_conditions": conditions}))
    names = ("lost_connections", "statuses", "retry_conditions")
    return {name: found[RETRY + name] for name in names if RETRY + name in found}


@pytest.mark.parametrize("conditions", [(ALL, UNSENT), (UNSENT, ALL), (ALL,), (ALL, ALL)])
def test_all_lost_connections_include_those_that_were_not_made(
    conditions: tuple[RetryCondition, ...],
) -> None:
    """Whichever is listed first."""
    assert conditions_of(*conditions) == {"lost_connections": "all", "statuses": ()}


def test_the_statuses_of_several_conditions_are_one_set() -> None:
    """In their order; lost connections are another setting."""
    conditions = [RetryCondition.on_status_codes(statuses) for statuses in ([503, 429], [503, 500])]
    assert conditions_of(UNSENT, *conditions) == {"lost_connections": "unsent", "statuses": (429, 500, 503)}


@pytest.mark.parametrize(
    "condition",
    [
        RetryCondition.on_status_codes([503], even_if_unsafe=True),
        RetryCondition.on_exceptions([ConnectError]),
        RetryCondition.on_timeout(),
    ],
)
def test_a_condition_that_says_more_is_a_setting_of_its_own(condition: RetryCondition) -> None:
    """No other system has a name for it."""
    assert conditions_of(ALL, condition) == {
        "lost_connections": "all",
        "statuses": (),
        "retry_conditions": [condition],
    }


@pytest.mark.parametrize(("ramp", "is_in_effect"), [([], False), ([0.5], True)])
def test_a_setting_of_a_circuit_that_has_no_effect_is_none(ramp: list[float], is_in_effect: bool) -> None:
    """Nobody needs to know that the other side does not have it."""
    found = settings_of(HttpClientConfig(circuit_breaker_config={"ramp": ramp, "ramp_step": 7.0}))
    assert ("circuit_breaker_config.ramp_step" in found) is is_in_effect


@pytest.mark.parametrize("to", ["envoy", "grpc", "gateway-api", "polly"])
def test_a_token_in_the_path_of_a_url_is_in_no_export(to: Any) -> None:
    """Some services have a client's secret there."""
    config = HttpClientConfig(
        base_url=f"https://api.test/bot{TOKEN}/", alternate_urls=[f"https://b.test/bot{TOKEN}/"]
    )
    exported = export(config, to=to)
    assert "s3cret" not in repr(exported)
    assert "base_url='https://api.test/bot***/'" in exported.explain()
    assert "alternate_urls=('https://b.test/bot***/',)" in exported.explain()


@pytest.mark.parametrize("setting", ["auth", "default_headers", "proxy", "netrc"])
def test_of_a_setting_with_secrets_only_the_name_is_found(setting: str) -> None:
    """A netrc file may be at a path that names its user."""
    config = HttpClientConfig(
        auth=("user", "s3cret"),
        default_headers={"X-Tenant": "s3cret"},
        proxy="http://user:s3cret@proxy.test:3128",
        netrc="/home/s3cret/.netrc",
    )
    assert settings_of(config)[setting] == "***"


def test_each_setting_of_connections_is_found_once() -> None:
    """Those of the pool that the client has, too, by the client's name."""
    pool = ConnectionPoolConfig(
        max_connections=7,
        max_connections_per_host=6,
        connection_timeout=5.0,
        request_timeout=4.0,
        pool_timeout=2.5,
    )
    found = settings_of(HttpClientConfig(connection_pool=pool))
    assert {name: found[name] for name in found if found[name] in (7, 6, 5.0, 4.0, 2.5)} == {
        "max_connections": 7,
        "max_connections_per_host": 6,
        "connection_timeout": 5.0,
        "base_timeout": 4.0,
        "connection_pool.pool_timeout": 2.5,
    }


def test_without_retries_nothing_is_said_of_their_budget() -> None:
    found = settings_of(HttpClientConfig(enable_retry_policy=False, enable_retry_budget=False))
    assert "enable_retry_budget" not in found


@pytest.mark.parametrize(
    ("setting", "changes"),
    [
        ("enable_retry_policy", {"enable_retry_policy": False}),
        ("enable_circuit_breaker", {"enable_circuit_breaker": False}),
        ("enable_retry_budget", {"enable_retry_budget": False}),
        ("enable_throttle_gate", {"enable_throttle_gate": False}),
    ],
)
def test_what_is_switched_off_is_found_once(setting: str, changes: dict[str, Any]) -> None:
    found = settings_of(HttpClientConfig(**changes))
    assert found[setting] is False
    assert not any(name.startswith(f"{setting.removeprefix('enable_')}_config") for name in found)

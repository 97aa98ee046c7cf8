"""Settings are values: they compare, hash, pickle and copy, and nothing live is in them."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from http_service_client import (
    AdaptiveLimitPolicy,
    BulkheadPolicy,
    ChaosPolicy,
    CircuitBreakerPolicy,
    CircuitOpenError,
    ConfigurationError,
    ConnectionPoolConfig,
    CookieJar,
    DeadlineCheckPolicy,
    EgressPolicy,
    FallbackPolicy,
    HedgingPolicy,
    HttpClientConfig,
    HttpServiceClient,
    LoadSheddingPolicy,
    Propagation,
    RateLimitPolicy,
    RetryBudgetSettings,
    RetryPolicy,
    StateChange,
    Timeout,
)
from http_service_client.policies import CircuitBreakerSettings
from kit.fakes import ORIGIN, URL, Harness
from kit.front_ends import FrontEnd
from kit.rows import each_row


def note(change: StateChange) -> None:
    """A listener that can be pickled."""


def pickled(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


EVERYTHING: dict[str, Any] = {
    "connection_pool": ConnectionPoolConfig(max_connections=7),
    "circuit_breaker_config": CircuitBreakerPolicy(3, timeout=2.0, is_failure=bool, on_change=note),
    "retry_policy_config": RetryPolicy(max_attempts=5),
    "retry_budget_config": {"ratio": 0.1},
    "request_interceptors": [],
    "proxy": {"http": "http://proxy:3128"},
    "default_headers": {"X-A": "1"},
    "sensitive_headers": ["X-Partner"],
    "egress_policy": EgressPolicy(allowed_hosts=["a.example"]),
}


@each_row("settings", [{}, EVERYTHING], ids=["defaults", "everything"])
@each_row(
    "how",
    [
        copy.copy,
        copy.deepcopy,
        pickled,
        dataclasses.replace,
        lambda config: HttpClientConfig(**vars_of(config)),
    ],
)
def test_a_copied_configuration_is_equal(how: Callable[[Any], Any], settings: dict[str, Any]) -> None:
    """And has the same hash, so that a cache of clients finds it."""
    config = HttpClientConfig(**settings)
    twin = how(config)
    assert twin == config
    assert hash(twin) == hash(config)
    assert config != HttpClientConfig(**settings, total_timeout=99.0)
    assert config != "config"


class Equal:
    """Something of a user's own that is equal to what it likes."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HttpClientConfig)

    def __hash__(self) -> int:
        return 1


def test_something_else_decides_whether_it_equals_a_configuration() -> None:
    """As with any value; a subclass with the same settings is something else, too."""

    class Ours(HttpClientConfig):
        pass

    assert (HttpClientConfig() == Equal()) is True
    assert (HttpClientConfig() == 5) is False
    assert (HttpClientConfig() == Ours()) is False


def vars_of(config: HttpClientConfig) -> dict[str, Any]:
    return {item.name: getattr(config, item.name) for item in dataclasses.fields(config)}


class Live:
    """An interceptor and auth flow of a user's own, which cannot be copied."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def intercept_request(self, request: Any, context: Any) -> Any:
        return request

    def auth_flow(self, request: Any) -> Any:
        yield request


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy])
def test_a_copy_shares_the_objects_of_the_user(how: Callable[[Any], Any]) -> None:
    """Interceptors, auth flows and cookie jars are no settings, and often hold locks."""
    config = HttpClientConfig(request_interceptors=[Live()], auth=Live(), cookies=CookieJar())
    twin = how(config)
    assert twin == config
    assert twin.cookies is config.cookies


def test_a_mapping_equals_the_policy_that_it_stands_for() -> None:
    """Both are the same settings."""
    one = HttpClientConfig(
        circuit_breaker_config={"failure_threshold": 3, "timeout": 2.0},
        retry_policy_config={"max_attempts": 5},
        retry_budget_config={"ratio": 0.1},
    )
    other = HttpClientConfig(
        circuit_breaker_config=CircuitBreakerPolicy(3, timeout=2.0),
        retry_policy_config=RetryPolicy(max_attempts=5),
        retry_budget_config=RetryBudgetSettings(ratio=0.1),
    )
    assert one == other
    assert hash(one) == hash(other)
    assert one != dataclasses.replace(
        other, circuit_breaker_config=CircuitBreakerSettings(failure_threshold=3)
    )


def test_settings_that_are_switched_off_still_count() -> None:
    """They come back when the part is switched on again."""
    off = HttpClientConfig(enable_retry_policy=False)
    assert off != dataclasses.replace(off, retry_policy_config={"max_attempts": 5})


def test_a_policy_lends_a_configuration_its_settings_and_no_circuit() -> None:
    """What happens to the policy later, a new setting included, changes nothing in the configuration."""
    policy = CircuitBreakerPolicy(3, timeout=2.0, on_change=note)
    config = HttpClientConfig(circuit_breaker_config=policy)
    policy.isolate()
    policy.reconfigure(failure_threshold=9, timeout=None)
    assert config.circuit_breaker_config == CircuitBreakerSettings(
        failure_threshold=3, timeout=2.0, on_change=note
    )
    assert config.timeout.total == 2.0
    shown = config.circuit_breaker
    assert shown is not None
    assert (shown.failure_threshold, shown.state, shown.on_change) == (3, "closed", note)
    shown.reconfigure(failure_threshold=1)
    assert config == HttpClientConfig(
        circuit_breaker_config=CircuitBreakerPolicy(3, timeout=2.0, on_change=note)
    )


SETTINGS: list[tuple[str, Any, dict[str, Any]]] = [
    ("adaptive_limit", AdaptiveLimitPolicy(max_limit=7), {"max_limit": 7}),
    ("bulkhead", BulkheadPolicy(7), {"max_concurrent": 7}),
    ("circuit_breaker_config", CircuitBreakerPolicy(7), {"failure_threshold": 7}),
    ("deadline_check", DeadlineCheckPolicy(min_chance=0.2), {"min_chance": 0.2}),
    ("fallback", FallbackPolicy(value=7), {"value": 7}),
    ("hedging", HedgingPolicy(delay=7.0), {"delay": 7.0}),
    ("load_shedding", LoadSheddingPolicy(multiplier=7.0), {"multiplier": 7.0}),
    ("rate_limit", RateLimitPolicy(7.0), {"rate": 7.0}),
]


@each_row(("setting", "policy", "mapping"), SETTINGS, ids=[row[0] for row in SETTINGS])
def test_the_settings_of_a_policy_stand_for_the_policy(setting: str, policy: Any, mapping: Any) -> None:
    """A policy that is in use elsewhere may be asked for them. So does a mapping of its arguments."""
    config = HttpClientConfig(**{setting: policy})
    assert getattr(config, setting) == policy.settings
    assert HttpClientConfig(**{setting: policy.settings}) == config
    assert HttpClientConfig(**{setting: mapping}) == config
    assert config != HttpClientConfig()


def test_a_retry_policy_is_shown_as_one() -> None:
    """Whether it was set, or is the default."""
    for config in (HttpClientConfig(), HttpClientConfig(retry_policy_config={"max_attempts": 3})):
        assert config.retry == RetryPolicy()
        assert type(config.retry) is RetryPolicy


def test_a_retry_policy_that_was_given_is_the_one_that_is_used() -> None:
    """One of a user's own class keeps what that class adds."""

    class Ours(RetryPolicy):
        pass

    for policy in (Ours(max_attempts=3), RetryPolicy(max_attempts=3)):
        assert HttpClientConfig(retry_policy_config=policy).retry is policy


def test_propagation_and_chaos_are_shown_as_what_they_stand_for() -> None:
    """And not as the mappings that were given."""
    config = HttpClientConfig(
        propagation={"deadline": "X-Left"}, chaos={"statuses": [503], "status_rate": 1.0}
    )
    assert config.propagation == Propagation(deadline="X-Left")
    assert isinstance(config.chaos, ChaosPolicy)
    assert config.chaos is config.resolved.chaos


def test_all_calls_go_to_a_socket_or_to_several_hosts() -> None:
    """Not to both."""
    pool = ConnectionPoolConfig(uds="/run/app.sock")
    with pytest.raises(
        ConfigurationError, match=r"^alternate_urls=.* and uds='/run/app.sock' are both set, .* only one$"
    ):
        HttpClientConfig(connection_pool=pool, alternate_urls=["https://b.test"])


def test_what_a_client_uses_shows_no_secret() -> None:
    """It has them as they are sent."""
    config = HttpClientConfig(auth="s3cret", default_headers={"X-Api-Key": "s3cret"})
    assert "s3cret" not in repr(config.resolved)


def test_what_a_client_uses_does_not_change() -> None:
    """Clients of one configuration share it."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        HttpClientConfig().resolved.routes = None  # type: ignore[misc]


@pytest.mark.parametrize(
    ("auth", "shown"),
    [("s3cret", "auth='***'"), (("ann", "s3cret"), "auth='***'"), (Live(), "auth=<")],
    ids=["token", "pair", "object"],
)
def test_a_configuration_shows_credentials_without_their_secrets(auth: Any, shown: str) -> None:
    """An object shows itself."""
    text = repr(HttpClientConfig(auth=auth))
    assert shown in text
    assert "s3cret" not in text


@pytest.mark.parametrize(
    "name", ["default_headers", "retry_policy_config", "circuit_breaker_config", "proxy"]
)
def test_a_mapping_in_a_configuration_does_not_change(name: str) -> None:
    """Neither by its caller nor in the configuration, where a change would be without effect."""
    given: dict[str, Any] = {
        "default_headers": {"X-A": "1"},
        "retry_policy_config": {"max_attempts": 5},
        "circuit_breaker_config": {"failure_threshold": 3},
        "proxy": {"no": "a.example"},
    }[name]
    config = HttpClientConfig(**{name: given})
    before = dict(given)
    given.clear()
    held = getattr(config, name)
    assert held == before
    for change in (lambda: held.update(x=1), lambda: held.clear(), lambda: held.__setitem__("x", 1)):
        with pytest.raises(TypeError, match=r"dataclasses\.replace"):
            change()
    assert dataclasses.asdict(config)[name] == before


def test_the_budget_of_guarded_functions_is_compared() -> None:
    """A policy without one is another policy."""
    assert RetryPolicy(budget=None) != RetryPolicy()


@each_row(
    ("settings", "name"),
    [
        (HttpClientConfig(), "base_timeout"),
        (ConnectionPoolConfig(), "ssl_verify"),
        (RetryPolicy(), "max_attempts"),
        (Timeout(), "total"),
        (RetryBudgetSettings(), "ratio"),
        (EgressPolicy(), "allow_private"),
        (CircuitBreakerSettings(), "failure_threshold"),
    ],
)
def test_assigning_a_setting_names_the_way_to_another_record(settings: Any, name: str) -> None:
    """The error remains that of a frozen dataclass."""
    with pytest.raises(dataclasses.FrozenInstanceError, match=rf"{name} of \w+ cannot be assigned.*{name}=…"):
        setattr(settings, name, 1)


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_client_says_that_its_configuration_is_what_to_pickle(how: Callable[[Any], Any]) -> None:
    """A copy would share half of its parts, and a lock cannot be pickled."""
    with (
        HttpServiceClient() as client,
        pytest.raises(TypeError, match=r"pickle its config, .*Client\(config\)"),
    ):
        how(client)


def test_circuits_are_reconfigured_while_the_client_runs(front_end: FrontEnd) -> None:
    """Those that exist keep their states and counts; those that come later have the new settings too."""
    changes: list[str] = []
    harness = Harness(front_end, 500, enable_retry_policy=False)
    for _ in range(4):
        harness.request()
    harness.client.reconfigure_circuit_breakers(
        failure_threshold=2, on_change=lambda change: changes.append(change.key)
    )
    assert harness.client.get_circuit_breaker_states() == {ORIGIN: "closed"}
    harness.request()
    for _ in range(2):
        harness.request(url="https://other.example.com/")
    assert harness.client.get_circuit_breaker_states() == {
        ORIGIN: "open",
        "https://other.example.com": "open",
    }
    assert changes == [ORIGIN, "https://other.example.com"]
    harness.client.reconfigure_circuit_breakers(metrics_only=True)
    harness.request()
    assert harness.sends == 8


def test_a_judgement_that_changes_is_that_of_all_circuits(front_end: FrontEnd) -> None:
    """Of those that exist, and of those that come later."""
    harness = Harness(front_end, 200, enable_retry_policy=False)
    harness.request()
    harness.client.reconfigure_circuit_breakers(failure_threshold=2, is_failure=lambda outcome: True)
    for url in (URL, "https://other.example.com/"):
        for _ in range(4):
            with suppress(CircuitOpenError):
                harness.request(url=url)
    assert set(harness.client.get_circuit_breaker_states().values()) == {"open"}


def test_a_judgement_that_fails_after_a_change_fails_no_call(
    front_end: FrontEnd, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, as that of a policy is."""
    harness = Harness(front_end, 200)
    harness.request()
    harness.client.reconfigure_circuit_breakers(is_failure=lambda outcome: 1 / 0)  # type: ignore[arg-type,return-value]
    for url in (URL, "https://other.example.com/"):
        caplog.clear()
        assert harness.request(url=url).status_code == 200
        assert "is_failure" in caplog.text


def test_a_circuit_that_was_switched_off_is_not_in_the_way_of_a_change(front_end: FrontEnd) -> None:
    """It was known before, and is made again with the new settings."""
    harness = Harness(front_end, 500, enable_retry_policy=False, enable_circuit_breaker=False)
    harness.request()
    harness.client.reconfigure(
        HttpClientConfig(enable_retry_policy=False, circuit_breaker_config={"failure_threshold": 9})
    )
    harness.client.reconfigure_circuit_breakers(failure_threshold=2)
    assert harness.state.breaker.settings.failure_threshold == 2


def test_the_settings_of_circuits_are_checked_when_they_change(front_end: FrontEnd) -> None:
    """Each error says what to write instead, and nothing has changed."""
    client = Harness(front_end, 200).client
    for changes, message in (
        ({"failure_threshold": 0}, "failure_threshold"),
        ({"timeout": 3.0}, r"use client\.with_options\(timeout=…\)"),
        ({"is_failure": 3}, "is_failure must be a function"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            client.reconfigure_circuit_breakers(**changes)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="it is called recovery_timeout"):
        client.reconfigure_circuit_breakers(reset_timeout=3)  # type: ignore[call-arg]
    without = Harness(front_end, 200, enable_circuit_breaker=False).client
    with pytest.raises(ConfigurationError, match="enable_circuit_breaker is False"):
        without.reconfigure_circuit_breakers(failure_threshold=3)


def test_policies_with_equal_settings_are_listed_apart(front_end: FrontEnd) -> None:
    """They are equal as settings, and have a circuit each."""
    one, other = CircuitBreakerPolicy(1, name="a"), CircuitBreakerPolicy(1, name="a")
    harness = Harness(front_end, 500, enable_retry_policy=False)
    harness.request(circuit_breaker=one)
    other.isolate()
    harness.error(Exception, circuit_breaker=other)
    other.reset()
    states = harness.client.get_circuit_breaker_states()
    assert sorted(state for key, state in states.items() if key.startswith("a")) == ["closed", "open"]


@pytest.mark.parametrize("proxy", ["proxy", "proxy:3128", "user:s3cret@proxy:3128", {"https": "proxy:3128"}])
def test_a_proxy_without_a_scheme_is_an_error_with_the_remedy(proxy: Any) -> None:
    """At construction, not at the first call."""
    with pytest.raises(
        ConfigurationError, match=r"proxy must be a URL, .* no scheme; write 'http://.*proxy"
    ) as raised:
        HttpClientConfig(proxy=proxy)
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize(("proxy", "key"), [("", "all"), ({"https": " "}, "https"), ({"no": ""}, "no")])
def test_an_empty_proxy_is_another_error_than_one_without_a_scheme(proxy: Any, key: str) -> None:
    """It may be meant to switch proxies off."""
    with pytest.raises(ConfigurationError, match=rf"^proxy is empty for '{key}'; .* set proxy=\{{\}} for no"):
        HttpClientConfig(proxy=proxy)


@pytest.mark.parametrize(
    ("keyword", "remedy"),
    [
        ("allowed_host", "did you mean 'allowed_hosts'?"),
        ("allow_localhost", "it is called allow_loopback"),
        ("blocklist", "it is called denied_hosts"),
    ],
)
def test_a_misspelt_egress_rule_has_a_remedy(keyword: str, remedy: str) -> None:
    """Above all here, where a rule that is not understood must not be left out."""
    with pytest.raises(TypeError) as raised:
        EgressPolicy(**{keyword: ["a.example"]})
    assert str(raised.value) == f"EgressPolicy takes no keyword {keyword!r}; {remedy}"

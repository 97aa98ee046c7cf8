"""A configuration from a mapping: text read by the types of the fields, all faults at once, models of pydantic."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, get_args

import pytest

from http_service_client import (
    CircuitBreakerPolicy,
    ConfigurationError,
    ConnectionPoolConfig,
    EgressPolicy,
    ExponentialBackoff,
    FallbackPolicy,
    HttpClientConfig,
    HttpServiceClient,
    RetryBudgetSettings,
    RetryPolicy,
    RetryQuotaSettings,
)
from http_service_client.client.config.sources.source import Settings
from http_service_client.client.config.sources.tables import table_of
from http_service_client.client.config.sources.values import annotations_of, read_value
from kit.interceptors import Recorder
from kit.rows import each_row

pydantic = pytest.importorskip("pydantic", reason="an extra that is not installed here")


def faults_of(settings: Any) -> str:
    """What is wrong with these settings, as the error says it."""
    with pytest.raises(ConfigurationError) as caught:
        HttpClientConfig.from_mapping(settings)
    return str(caught.value)


def test_a_mapping_makes_the_same_configuration_as_keywords() -> None:
    """Its tables are mappings in turn; values that are no text are taken as they are."""
    recorder = Recorder([], "a")
    made = HttpClientConfig.from_mapping(
        {
            "base_timeout": 2.5,
            "connection_pool": {"pool_timeout": 1.0, "ssl_verify": False},
            "egress_policy": {"allowed_ports": [443]},
            "circuit_breaker_config": {"failure_threshold": 9, "shadow": {"failure_rate": 0.5}},
            "retry_policy_config": RetryPolicy(max_attempts=4),
            "retry_budget_config": {"capacity": 9},
            "request_interceptors": [recorder],
        }
    )
    assert made == HttpClientConfig(
        base_timeout=2.5,
        connection_pool=ConnectionPoolConfig(pool_timeout=1.0, ssl_verify=False),
        egress_policy=EgressPolicy(allowed_ports=[443]),
        circuit_breaker_config={
            "failure_threshold": 9,
            "shadow": CircuitBreakerPolicy(failure_rate=0.5).settings,
        },
        retry_policy_config=RetryPolicy(max_attempts=4),
        retry_budget_config=RetryQuotaSettings(capacity=9),
        request_interceptors=[recorder],
    )


def test_a_subclass_makes_itself() -> None:
    """The settings of a user's own class are settings of a client."""

    class Ours(HttpClientConfig):
        pass

    assert type(Ours.from_mapping({})) is Ours


def test_a_setting_that_a_subclass_requires_may_be_missing() -> None:
    """The error of its constructor becomes a fault of the settings."""

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Ours(HttpClientConfig):
        region: str

    assert Ours.from_mapping({"region": "eu"}).region == "eu"
    with pytest.raises(ConfigurationError, match="'region'"):
        Ours.from_mapping({"base_timeout": 1.0})


@pytest.mark.parametrize("words", ["", "…", "ours is not right"])
def test_a_check_of_a_subclass_may_say_anything(words: str) -> None:
    """Its words are the fault, whether they name a setting or not."""

    class Ours(HttpClientConfig):
        def __post_init__(self) -> None:
            super().__post_init__()
            raise ConfigurationError(words)

    with pytest.raises(ConfigurationError, match=f"^{words}$"):
        Ours.from_mapping({"base_timeout": 1.0})


@each_row(
    ("field", "text", "value"),
    [
        ("base_timeout", "8", 8.0),
        ("base_timeout", "1.5 s", 1.5),
        ("base_timeout", "250ms", 0.25),
        ("base_timeout", "2m", 120.0),
        ("total_timeout", "2h", 7200.0),
        ("total_timeout", "None", None),
        ("max_connections", "7", 7),
        ("max_response_size", "none", None),
        ("enable_retry_policy", "off", False),
        ("cookies", "Yes", True),
        ("netrc", "on", True),
        ("netrc", "~/.netrc", "~/.netrc"),
        ("sensitive_headers", "X-A, X-B,", ("X-A", "X-B")),
        ("sensitive_headers", '["X-A"]', ("X-A",)),
        ("default_headers", '{"X-A": "1"}', {"X-A": "1"}),
        ("proxy", "http://proxy:3128", "http://proxy:3128"),
        ("proxy", '{"https": "http://proxy:3128"}', {"https": "http://proxy:3128"}),
        ("auth", "none", "none"),  # a token like any other text
        ("auth", '["user", "pass"]', ("user", "pass")),
        ("base_url", "https://api.example.com", "https://api.example.com"),
    ],
)
def test_text_is_read_as_the_type_of_its_field(field: str, text: str, value: object) -> None:
    """So that a variable, and a reference in a file, can set any field."""
    assert getattr(HttpClientConfig.from_mapping({field: text}), field) == value


@each_row("text", ["[1]", "{}", "1", "1.5 s", "true", "none", "a, b", " a "])
@each_row(
    "kind", [str, str | None, str | os.PathLike[str] | None, Literal["a"], Literal["a"] | None], ids=str
)
def test_text_of_a_field_for_text_stays_as_it_is(kind: Any, text: str) -> None:
    """Whatever else it might be read as."""
    assert read_value("field", text, kind) == text


def test_the_items_of_a_tuple_stay_as_they_are() -> None:
    """Each has a type of its own: a pair of texts, or of an address and a port."""
    for kind in (tuple[int, str], tuple[int, str] | None):
        assert read_value("field", ["1", "2"], kind) == ["1", "2"]
    assert read_value("field", ["1", "2"], tuple[int, str] | Sequence[int]) == [1, 2]


@pytest.mark.parametrize("kind", [bool, bool | None, bool | str], ids=str)
def test_a_switch_is_read_from_any_of_its_words(kind: Any) -> None:
    """In any case, and with spaces around. Other words are no switch."""
    for word in ("true", "yes", "on", "1", "True", "YES", " On "):
        assert read_value("field", word, kind) is True
    for word in ("false", "no", "off", "0", "False", "NO", " Off "):
        assert read_value("field", word, kind) is False
    for word in ("y", "", "2", "enabled"):
        assert read_value("field", word, kind) == word


@pytest.mark.parametrize("word", ["none", "null", "None", "NULL", " none "])
def test_none_is_read_where_text_is_no_value(word: str) -> None:
    """A field for a number, a switch or a list may be None."""
    for kind in (int | None, float | None, bool | None, Sequence[str] | None):
        assert read_value("field", word, kind) is None
    assert read_value("field", word, int) == word


@pytest.mark.parametrize(
    ("table", "key", "text", "value"),
    [
        ("egress_policy", "allowed_ports", "443, 8443", (443, 8443)),
        ("egress_policy", "allowed_hosts", "*.example.com", ("*.example.com",)),
        ("connection_pool", "request_timeout", "none", None),
        ("connection_pool", "source_address", "::1", "::1"),
        ("connection_pool", "ssl_ca_file", "ca.pem", "ca.pem"),
    ],
)
def test_text_in_a_table_is_read_likewise(table: str, key: str, text: str, value: object) -> None:
    """By the types of the table's class, those of the items of a list too."""
    config = HttpClientConfig.from_mapping({table: {key: text}})
    assert getattr(getattr(config, table), key) == value


def test_text_in_the_table_of_a_policy_is_read_likewise() -> None:
    """The circuit's shares and statuses, and the waits of the backoff."""
    config = HttpClientConfig.from_mapping(
        {
            "circuit_breaker_config": {"ramp": "0.1, 0.5", "failures": "500, 503", "opens_when": "all"},
            "retry_policy_config": {"initial_delay": "100ms", "jitter": "none", "nested": "yes"},
            "retry_budget_config": {"ratio": "0.5", "window": "2s"},
        }
    )
    breaker, retry = config.resolved.circuit_breaker, config.resolved.retry
    assert breaker is not None
    assert (breaker.ramp, breaker.failures, breaker.opens_when) == ((0.1, 0.5), (500, 503), "all")
    assert retry is not None
    assert retry.backoff_strategy == ExponentialBackoff(initial_delay=0.1, jitter="none")
    assert retry.nested
    assert config.budget == RetryBudgetSettings(ratio=0.5, window=2.0)


def test_every_duration_has_units_and_no_share_has() -> None:
    """Each number of the settings, decided by its name: 50ms is no failure rate."""
    tables = [table_of(HttpClientConfig), *table_of(HttpClientConfig).tables.values()]
    numbers = {
        name: kind
        for table in tables
        for name, kind in table.annotations.items()
        if kind in (float, float | None)
    }
    plain = {name for name, kind in numbers.items() if read_value(name, "2s", kind) != 2.0}
    assert plain == {
        *(
            "backoff_factor",
            "capacity",
            "cost",
            *("error_rate", "latency_rate", "status_rate", "truncation_rate"),
            "earned",
            "failure_rate",
            "max_rejected",
            "min_chance",
            "min_per_second",
        ),
        *(
            "max_share",
            "max_shed",
            "min_rate",
            "multiplier",
            "quantile",
            "rate",
            "ratio",
            "recovery_jitter",
            "recovery_multiplier",
            "slow_call_rate",
            "throttled_cost",
        ),
    }
    assert "base_timeout" in annotations_of(HttpClientConfig)


def test_every_record_of_the_configuration_is_a_table() -> None:
    """A field for a record of settings, or for a mapping of its arguments, can be written in a file."""
    root = table_of(HttpClientConfig)
    fields = {
        name
        for name, kind in root.annotations.items()
        if any(
            dataclasses.is_dataclass(member) or str(member) == str(Mapping[str, Any])
            for member in get_args(kind)
        )
    }
    assert fields == root.tables.keys()


def test_all_faults_are_reported_at_once() -> None:
    """Each with the path of its setting, its value and what to write instead."""
    found = faults_of(
        {
            "base_timout": 1,
            "max_connections": "many",
            "connection_pool": {"pool_timeout": -1, "keep_alive_timeout": "abc", "max_conections": 4},
            "circuit_breaker_config": {"shadow": {"failure_rate": 7}},
            "retry_policy_config": {"max_attempts": 0, "max_dely": 3},
            "retry_budget_config": {"ratio": 1, "cost": 2},
            "egress_policy": {"allowed_hosts": "a b"},
        }
    )
    lines = [line.strip() for line in found.splitlines()]
    assert lines[0] == "the settings: 10 faults"
    assert [re.match(r"[\w.]+", line)[0] for line in lines[1:]] == [
        "base_timout",
        "connection_pool.max_conections",
        "connection_pool.pool_timeout",
        "connection_pool.keep_alive_timeout",
        "circuit_breaker_config.shadow.failure_rate",
        "retry_policy_config.max_dely",
        "retry_policy_config.max_attempts",
        "retry_budget_config",
        "egress_policy.allowed_hosts",
        "max_connections",
    ]
    assert "base_timout: there is no such setting; did you mean 'base_timeout'?" in lines
    assert "max_connections must be a whole number of 1 or more, not 'many'" in lines
    assert lines[8].startswith("retry_budget_config mixes 'ratio'")


@each_row(
    ("settings", "message"),
    [
        ({"retries": 1}, "retries: there is no such setting; set max_attempts in retry_policy_config"),
        (
            {"connection_pool": {"verify": 1}},
            "connection_pool.verify: there is no such setting; it is called",
        ),
        ({"base_url": "/v1"}, "base_url '/v1' is not absolute; write it as https://host/path"),
        ({"auth": {"user": "a"}}, "auth must be a (user, password) pair"),
        ({"routes": {"GET /a": {}}}, "routes.GET /a: it sets nothing; set one of: timeout,"),
        (
            {"routes": {"GET /a": {"fallback": "x"}}},
            "routes.GET /a.fallback must be a table of settings, not str",
        ),
        ({"routes": {"GET /a": {"fallback": {}}}}, "routes.GET /a.fallback: a fallback needs value=,"),
        ({"fallback": {}}, "fallback: a fallback needs value=, function= or last_good=, such as"),
        ({"propagation": ["a"]}, "propagation must be a table of settings, not list"),
        ({"propagation": '{"deadline": "a b"}'}, "propagation.deadline must be the name of a header"),
        ({1: 2}, "1: there is no such setting; known are: base_timeout,"),
        (
            {"base_timeout": 3, "connection_pool": {"request_timeout": 4}},
            "base_timeout=3 conflicts with connection_pool.request_timeout=4; set only one",
        ),
        (5, "settings must be a mapping of names to values, or a pydantic model, not int"),
    ],
)
def test_a_single_fault_is_one_line(settings: Any, message: str) -> None:
    """It begins with the setting."""
    found = faults_of(settings)
    assert found.startswith(message)
    assert "\n" not in found


def test_the_fault_of_a_table_is_what_its_policy_says() -> None:
    """Behind its name."""
    with pytest.raises(ConfigurationError) as caught:
        FallbackPolicy()
    assert faults_of({"fallback": {}}) == f"fallback: {caught.value}"


def test_the_settings_after_a_faulty_table_are_looked_at() -> None:
    """Whatever is wrong with it."""
    found = faults_of({"connection_pool": "x", "hedging": {"delay": -1}, "total_timeout": -1})
    lines = [line.strip() for line in found.splitlines()]
    assert [re.match(r"[\w.]+", line)[0] for line in lines[1:]] == [
        "connection_pool",
        "hedging.delay",
        "total_timeout",
    ]


def test_a_remedy_may_name_a_setting_that_is_faulty_itself() -> None:
    """The fault is another one: a limit of less than nothing, wherever "no limit" is written."""
    found = faults_of({"connection_pool": "x", "base_timeout": -1})
    assert "connection_pool must be a table of settings, not str" in found
    assert "base_timeout must be a positive, finite number of seconds, not -1" in found


def test_what_is_right_in_a_faulty_table_is_checked_against_other_settings() -> None:
    """Both faults are reported at once."""
    found = faults_of({"base_timeout": 3, "connection_pool": {"request_timeout": 4, "pool_timeout": -1}})
    assert "connection_pool.pool_timeout must be a positive" in found
    assert "base_timeout=3 conflicts with connection_pool.request_timeout=4" in found


def test_a_fault_that_follows_from_another_one_is_not_reported() -> None:
    """The key does need a certificate, and has one: its path alone is wrong."""
    found = faults_of({"connection_pool": {"ssl_cert_file": 5, "ssl_key_file": "key.pem"}})
    assert found.startswith("connection_pool.ssl_cert_file must be the path of a PEM file")
    assert "\n" not in found


def test_none_leaves_the_default_of_a_field_that_cannot_be_none() -> None:
    """As in an empty key of YAML, or a field of a model that nobody set."""
    made = HttpClientConfig.from_mapping({"sensitive_headers": None, "cookies": None, "base_timeout": 3.0})
    assert made == HttpClientConfig(base_timeout=3.0)


def test_a_model_of_pydantic_is_a_mapping() -> None:
    """Nested ones too; its URLs and durations are read, and its secrets are taken out."""

    class Pool(pydantic.BaseModel):
        pool_timeout: timedelta = timedelta(milliseconds=1500)
        ssl_key_password: pydantic.SecretStr | None = None

    class Model(pydantic.BaseModel):
        base_url: pydantic.AnyHttpUrl = pydantic.AnyHttpUrl("https://api.example.com/v1")
        auth: tuple[str, pydantic.SecretStr] = ("user", pydantic.SecretStr("open sesame"))
        default_headers: dict[str, pydantic.SecretStr] = {"X-Key": pydantic.SecretStr("k")}
        total_timeout: timedelta | None = None
        connection_pool: Pool = Pool()

    assert HttpClientConfig.from_mapping(Model()) == HttpClientConfig(
        base_url="https://api.example.com/v1",
        auth=("user", "open sesame"),
        default_headers={"X-Key": "k"},
        connection_pool=ConnectionPoolConfig(pool_timeout=1.5),
    )


@pytest.mark.parametrize("secret", ["open sesame", "it's\nme", "x"])
def test_a_secret_of_a_model_is_not_shown(secret: str) -> None:
    """Wherever it was put by mistake."""

    class Model(pydantic.BaseModel):
        max_connections: pydantic.SecretStr = pydantic.SecretStr(secret)
        egress_policy: dict[str, Any] = {"allowed_hosts": [pydantic.SecretStr(secret)]}

    found = faults_of(Model())
    assert re.search(
        r"max_connections must be a whole number of 1 or more, not (['\"])\*\*\*\1$", found, re.MULTILINE
    )
    assert repr(secret)[1:-1] not in found.replace("max", "").replace("example", "")
    assert "***" in found


def test_settings_of_pydantic_settings_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it reads from the environment is checked here."""
    pydantic_settings = pytest.importorskip("pydantic_settings", reason="not installed here")

    class Payments(pydantic_settings.BaseSettings):
        model_config = pydantic_settings.SettingsConfigDict(env_prefix="PAYMENTS_", env_nested_delimiter="__")
        base_timeout: float = 8.0
        auth: pydantic.SecretStr | None = None
        retry_policy_config: dict[str, int] = {}

    monkeypatch.setenv("PAYMENTS_AUTH", "token-1")
    monkeypatch.setenv("PAYMENTS_RETRY_POLICY_CONFIG__MAX_ATTEMPTS", "5")
    assert HttpClientConfig.from_mapping(Payments()) == HttpClientConfig(
        base_timeout=8.0, auth="token-1", retry_policy_config={"max_attempts": 5}
    )


def test_the_base_url_of_the_configuration_is_that_of_the_client() -> None:
    """Unless the client is given one itself. A password in it is refused, and not shown."""
    config = HttpClientConfig(base_url="https://a.example/v1")
    for given, base in ((None, "https://a.example/v1"), ("https://b.example", "https://b.example")):
        with HttpServiceClient(config, base_url=given) as client:
            assert client._call_builder.base_url == base
            assert base in repr(client)
    with pytest.raises(ConfigurationError, match="base_url 'a' is not absolute"):
        HttpClientConfig(base_url="a")
    with pytest.raises(ConfigurationError, match="pass auth= instead") as caught:
        HttpClientConfig(base_url="https://user:sesame@a.example/v1")
    assert "sesame" not in str(caught.value)


def test_one_source_may_overlay_another() -> None:
    """Its values and names come first; the faults and secrets are those of both."""
    file, variables = Settings({"a": 1, "t": {"b": 2, "c": 3}}, label="file"), Settings({"t": {"c": 4}})
    variables.labels[("t", "c")] = "APP_T__C"
    file.secrets, variables.secrets = {"s1"}, {"s2"}
    file.report(("a",), " is wrong")
    variables.report(("t", "c"), " is s2")
    file.overlay(variables)
    assert file.values == {"a": 1, "t": {"b": 2, "c": 4}}
    assert (file.labels[("a",)], file.labels[("t", "c")]) == ("file.a", "APP_T__C")
    assert file.secrets == {"s1", "s2"}
    assert file.faults == ["file.a is wrong", "APP_T__C is s2"]


def test_none_is_a_value_of_a_field_that_can_be_none() -> None:
    """It means no limit there, whatever the default is."""
    config = HttpClientConfig.from_mapping(
        {
            "connection_pool": {"max_connection_age": None, "request_timeout": None},
            "retry_budget_config": None,
        }
    )
    assert config.connection_pool.max_connection_age is None
    assert config.resolved.timeout.total is None


@pytest.mark.parametrize(
    ("table", "texts", "values"),
    [
        ("retry_policy", {"max_attempts": "2"}, {"max_attempts": 2}),
        ("circuit_breaker", {"recovery_timeout": "250ms"}, {"recovery_timeout": 0.25}),
        ("fallback", {"value": "instead", "last_good": "60s"}, {"value": "instead", "last_good": 60.0}),
        ("hedging", {"delay": "250ms", "max_hedges": "2"}, {"delay": 0.25, "max_hedges": 2}),
    ],
)
def test_texts_in_the_tables_of_a_route_are_read_too(
    table: str, texts: dict[str, Any], values: dict[str, Any]
) -> None:
    """As in those of a client."""
    read, given = (
        HttpClientConfig.from_mapping({"routes": {"GET /a": {table: each}}}) for each in (texts, values)
    )
    assert read == given

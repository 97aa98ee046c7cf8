"""A configuration from environment variables."""

from __future__ import annotations

import re

import pytest

from http_service_client import ConfigurationError, ConnectionPoolConfig, HttpClientConfig
from kit.rows import each_row


def fault_of(**variables: str) -> str:
    """What is wrong with these variables, as the error says it."""
    with pytest.raises(ConfigurationError) as caught:
        HttpClientConfig.from_env("P_", variables)
    return str(caught.value)


def test_variables_are_the_fields_behind_a_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two underscores lead into a table. The prefix may be given without its underscore."""
    variables = {
        "PAY_BASE_TIMEOUT": "8",
        "PAY_RETRY_POLICY_CONFIG__MAX_ATTEMPTS": "5",
        "PAY_CIRCUIT_BREAKER_CONFIG__SHADOW__FAILURE_RATE": ".5",
        "PAY_SENSITIVE_HEADERS": "X-A, X-B",
        "PAY_AUTH": "token-1",
        "PAY_PROXY__HTTPS": "http://proxy:3128",
        "PAY_DEFAULT_HEADERS__X_TENANT": "a",
        "PAYMENT_BASE_TIMEOUT": "1",
        "PATH_INFO": "/",
    }
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    expected = HttpClientConfig(
        base_timeout=8.0,
        retry_policy_config={"max_attempts": 5},
        circuit_breaker_config={"shadow": {"failure_rate": 0.5}},
        sensitive_headers=["X-A", "X-B"],
        auth="token-1",
        proxy={"https": "http://proxy:3128"},
        default_headers={"x-tenant": "a"},
    )
    assert HttpClientConfig.from_env("PAY_") == HttpClientConfig.from_env("PAY") == expected
    assert HttpClientConfig.from_env("PAY_", {}) == HttpClientConfig()


def test_a_prefix_may_be_a_letter() -> None:
    """Underscores alone are none."""
    assert HttpClientConfig.from_env("X", {"X_BASE_TIMEOUT": "8"}).base_timeout == 8.0
    with pytest.raises(ConfigurationError, match="prefix must be the beginning"):
        HttpClientConfig.from_env("__", {})


def test_all_faults_are_found_at_once() -> None:
    """Whatever is wrong with the variables before."""
    found = fault_of(
        P_BASE_TIMEOUT__A="1", P_RETRY_POLICY__MAX_ATTEMPTS="1", P_TOTAL_TIMEOUT__B="2", P_COOKIES="maybe"
    )
    for name in ("P_BASE_TIMEOUT__A", "P_RETRY_POLICY__MAX_ATTEMPTS", "P_TOTAL_TIMEOUT__B", "P_COOKIES"):
        assert name in found


def test_a_text_that_is_no_table_is_shown_as_it_is() -> None:
    """A number in it is text, too."""
    assert fault_of(P_DEFAULT_HEADERS="5").endswith("pairs, not str; write {'Name': 'value'}")


def test_a_variable_that_is_empty_counts_as_not_set() -> None:
    """As a deployment sets those that it has no value for; `dotenv_values` has None for them."""
    assert HttpClientConfig.from_env("P_", {"P_PROXY": "", "P_COOKIES": None}) == HttpClientConfig()


def test_a_table_may_be_json_and_its_keys_come_first() -> None:
    """Whichever comes first in the environment, and in whichever case."""
    variables = {
        "P_CONNECTION_POOL__POOL_TIMEOUT": "2s",
        "P_CONNECTION_POOL": '{"pool_timeout": 1, "ssl_verify": false}',
    }
    mixed = {"P_connection_pool": variables["P_CONNECTION_POOL"], **variables}
    del mixed["P_CONNECTION_POOL"]
    for given in (variables, dict(reversed(variables.items())), mixed):
        pool = HttpClientConfig.from_env("P_", given).connection_pool
        assert pool == ConnectionPoolConfig(pool_timeout=2.0, ssl_verify=False)


def test_what_kubernetes_sets_for_its_services_is_left_alone() -> None:
    """A service may have the name of the prefix."""
    variables = {
        "P_SERVICE_HOST": "10.0.0.1",
        "P_SERVICE_PORT": "80",
        "P_SERVICE_PORT_HTTP": "80",
        "P_PORT": "tcp://10.0.0.1:80",
        "P_PORT_80_TCP": "tcp://10.0.0.1:80",
        "P_PORT_80_TCP_PROTO": "tcp",
        "P_PORT_80_TCP_PORT": "80",
        "P_PORT_80_TCP_ADDR": "10.0.0.1",
    }
    assert HttpClientConfig.from_env("P_", variables) == HttpClientConfig()
    both = {**variables, "P_AUTH": "token", "P_TOTAL_TIMEOUT": "3"}
    assert HttpClientConfig.from_env("P_", both) == HttpClientConfig(auth="token", total_timeout=3.0)


@each_row(
    ("name", "text", "message"),
    [
        ("P_BASE_TIMOUT", "8", "P_BASE_TIMOUT: there is no such setting; did you mean 'base_timeout'?"),
        ("P_TIMEOUT", "8", "P_TIMEOUT: there is no such setting; set base_timeout in HttpClientConfig"),
        (
            "P_RETRY_POLICY__MAX_ATTEMPTS",
            "5",
            "P_RETRY_POLICY__MAX_ATTEMPTS: there is no such setting; did you mean P_RETRY_POLICY_CONFIG__MAX_ATTEMPTS?",
        ),
        (
            "P_RETRY_POLICY_CONFIG_MAX_ATTEMPTS",
            "5",
            "P_RETRY_POLICY_CONFIG_MAX_ATTEMPTS: there is no such setting; "
            "did you mean P_RETRY_POLICY_CONFIG__MAX_ATTEMPTS?",
        ),
        (
            "P_RETRY_POLICY_CONFIG__MAX_ATEMPTS",
            "5",
            "P_RETRY_POLICY_CONFIG__MAX_ATEMPTS: there is no such setting; did you mean 'max_attempts'?",
        ),
        (
            "P_RETRY_POLICY_CONFIG_FOO",
            "5",
            "P_RETRY_POLICY_CONFIG_FOO: there is no such setting; did you mean 'retry_policy_config'?",
        ),
        ("P_X__Y", "5", "P_X__Y: there is no such setting; known are: base_timeout"),
        (
            "P_BASE_TIMEOUT__X",
            "5",
            "P_BASE_TIMEOUT__X: base_timeout is not a table of settings; write P_BASE_TIMEOUT",
        ),
        (
            "P_BASE_TIMEOUT",
            "5 minutes",
            "P_BASE_TIMEOUT must be a positive, finite number of seconds, not '5 minutes'; write a number; files and",
        ),
        ("P_MAX_CONNECTIONS", "many", "P_MAX_CONNECTIONS must be a whole number of 1 or more, not 'many'"),
        ("P_CONNECTION_POOL", "s3cret", "P_CONNECTION_POOL must be a table of settings, not str"),
        ("P_AUTH", "s3cret s3cret", "P_AUTH: the token in auth must be visible ASCII text"),
        ("P_PROXY", "s3cret", "P_PROXY must be a URL, not"),
        (
            "P_CONNECTION_POOL__SSL_KEY_PASSWORD",
            "s3cret",
            "P_CONNECTION_POOL__SSL_KEY_PASSWORD needs ssl_cert_file",
        ),
        ("P_DEFAULT_HEADERS", '{"X-Key": "s3cret\\n"}', "P_DEFAULT_HEADERS: header 'X-Key' has a control"),
        ("P_DEFAULT_HEADERS", "s3cret", "P_DEFAULT_HEADERS"),
        ("P_BASE_URL", "https://u:s3cret@a.example", "P_BASE_URL: the URL has user information"),
    ],
)
def test_a_wrong_variable_is_named(name: str, text: str, message: str) -> None:
    """With what to write instead; never with a secret."""
    found = fault_of(**{name: text})
    assert found.startswith(message)
    assert "\n" not in found
    if name != "P_PROXY":  # a mistake, not a secret
        assert "s3cret" not in found


def test_a_fault_of_a_table_names_a_variable_of_it() -> None:
    """Its own, or else the first one that leads into it; no other one."""
    found = fault_of(P_AUTH="t", P_RETRY_BUDGET_CONFIG__RATIO="1", P_RETRY_BUDGET_CONFIG__COST="2")
    assert found.startswith("P_RETRY_BUDGET_CONFIG__COST mixes 'ratio'")
    found = fault_of(P_RETRY_BUDGET_CONFIG='{"ratio": 1}', P_RETRY_BUDGET_CONFIG__COST="2")
    assert found.startswith("P_RETRY_BUDGET_CONFIG mixes 'ratio'")


def test_a_fault_of_no_setting_names_no_other_variable() -> None:
    """Whichever came before."""
    found = fault_of(P_AUTH="t", P_BASE_TIMEOUT__X="5")
    assert found == "P_BASE_TIMEOUT__X: base_timeout is not a table of settings; write P_BASE_TIMEOUT"


def test_all_wrong_variables_are_named_at_once() -> None:
    """In one error."""
    found = fault_of(P_BASE_TIMOUT="8", P_MAX_CONNECTIONS="0", P_TOTAL_TIMEOUT="-1")
    lines = [line.strip() for line in found.splitlines()]
    assert lines[0] == "the environment variables P_*: 3 faults"
    assert sorted(re.match(r"\w+", line)[0] for line in lines[1:]) == [
        "P_BASE_TIMOUT",
        "P_MAX_CONNECTIONS",
        "P_TOTAL_TIMEOUT",
    ]


@pytest.mark.parametrize("prefix", ["", "_", None, 5])
def test_a_prefix_is_required(prefix: object) -> None:
    """Without one, every variable of the process would be a setting."""
    with pytest.raises(ConfigurationError, match="such as 'PAYMENTS_', not"):
        HttpClientConfig.from_env(prefix, {})  # type: ignore[arg-type]


def test_a_prefix_in_the_wrong_case_is_an_error() -> None:
    """It would find nothing, and the defaults would look like the settings."""
    with pytest.raises(ConfigurationError, match="but PAY_BASE_TIMEOUT is set; write 'PAY_'"):
        HttpClientConfig.from_env("pay", {"PAY_BASE_TIMEOUT": "3"})
    assert HttpClientConfig.from_env("pay", {"pay_base_timeout": "3", "PAY_X": "4"}).base_timeout == 3.0
    assert HttpClientConfig.from_env("pay", {}) == HttpClientConfig()

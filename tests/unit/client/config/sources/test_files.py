"""A configuration from a file: TOML, JSON and YAML, clients that inherit, references to variables, errors."""

from __future__ import annotations

import json
import os
import re
import sys
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import ConfigurationError, HttpClientConfig
from http_service_client.client.config.sources.files import client_names
from http_service_client.policies import CircuitBreakerSettings

SETTINGS = {
    "base_timeout": 2.5,
    "circuit_breaker_config": {"failure_threshold": 9, "shadow": {"failure_rate": 0.5}},
    "retry_policy_config": {"max_attempts": 4, "initial_delay": "200ms"},
    "connection_pool": {"pool_timeout": 1},
    "proxy": {"http": "http://proxy:3128", "no": "localhost"},
}
TEXTS = {
    "a.json": json.dumps(SETTINGS),
    "a.toml": """
        base_timeout = 2.5
        circuit_breaker_config = {failure_threshold = 9, shadow = {failure_rate = 0.5}}
        [retry_policy_config]
        max_attempts = 4
        initial_delay = "200ms"
        [connection_pool]
        pool_timeout = 1
        [proxy]
        http = "http://proxy:3128"
        no = "localhost"
    """,
    "a.YML": """
        base_timeout: 2.5
        circuit_breaker_config: {failure_threshold: 9, shadow: {failure_rate: 0.5}}
        retry_policy_config:
            max_attempts: 4
            initial_delay: 200ms
        connection_pool:
            pool_timeout: 1
        proxy:
            http: http://proxy:3128
            no: localhost
        sensitive_headers:
    """,
}
CLIENTS = """
[clients.default]
base_timeout = 5
default_headers = {User-Agent = "shop/1", X-Region = "eu"}
retry_policy_config = {max_attempts = 4}
sensitive_headers = ["X-Shop"]

[clients.payments]
inherits = "default"
base_url = "https://payments.example.com"
auth = "${PAYMENTS_TOKEN}"
default_headers = {user-agent = "payments/1"}
retry_policy_config.initial_delay = 0.1
sensitive_headers = []

[clients.refunds]
inherits = "payments"
base_timeout = "20s"
"""


def written(folder: Path, text: str, name: str = "clients.toml") -> Path:
    """The path of a file with this text."""
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def fault_of(path: Path, client: str | None = None, **options: Any) -> str:
    """What is wrong with the file, without its path."""
    with pytest.raises(ConfigurationError) as caught:
        HttpClientConfig.from_file(path, client, **options)
    shown = "".join(traceback.format_exception(caught.value))
    assert "s3cret" not in shown
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize("name", TEXTS)
def test_a_file_has_the_settings_of_a_configuration(tmp_path: Path, name: str) -> None:
    """Nested settings are tables. Keys that YAML takes for booleans are keys."""
    if name == "a.YML":
        pytest.importorskip("yaml", reason="an extra that is not installed here")
    config = HttpClientConfig.from_file(written(tmp_path, TEXTS[name], name))
    assert config.resolved.timeout.total == 2.5
    assert config.resolved.timeout.pool == 1
    assert config.resolved.circuit_breaker is not None
    assert config.resolved.circuit_breaker.shadow == CircuitBreakerSettings(failure_rate=0.5)
    assert config.retry is not None
    assert config.retry.max_attempts == 4
    assert config.proxy == SETTINGS["proxy"]
    assert config == HttpClientConfig.from_file(os.fspath(written(tmp_path, TEXTS["a.json"], "b.json")))


@pytest.mark.parametrize("name", ["a.toml", "a.yaml"])
def test_an_empty_file_has_the_defaults(tmp_path: Path, name: str) -> None:
    """Also with the mark that some editors put before the text."""
    if name == "a.yaml":
        pytest.importorskip("yaml", reason="an extra that is not installed here")
    assert HttpClientConfig.from_file(written(tmp_path, "\ufeff", name)) == HttpClientConfig()


@pytest.mark.parametrize(
    ("name", "text", "part"),
    [
        ("a.toml", "base_timout = 1", "base_timout: there is no such setting; did you mean 'base_timeout'?"),
        (
            "a.toml",
            "retries = 1",
            "retries: there is no such setting; set max_attempts in retry_policy_config",
        ),
        ("a.toml", "base_timeout = -1", "base_timeout must be a positive, finite number of seconds, not -1"),
        (
            "a.toml",
            "[connection_pool]\nmax_conections = 5",
            "connection_pool.max_conections: there is no such",
        ),
        ("a.toml", "clients = 5", "clients must be a table with a table for each client"),
        ("a.toml", "clients = {}", "clients must be a table with a table for each client"),
        ("a.toml", "clients.a = 5", "clients.a must be a table of settings"),
        ("a.toml", "auth = s3cret", "Invalid value (at line 1, column 8)"),
        ("a.json", "[1]", "it must have settings and their values at the top, not a list"),
        ("a.json", '{"a": s3cret', "Expecting value: line 1 column 7"),
        ("a.json", '{"auth": "a", "auth": "s3cret"}', "the key 'auth' is there twice; remove one"),
        ("a.ini", "", "the name of a file with settings must end with .toml, .json, .yaml, .yml"),
        ("a.toml", "auth = '${s3cret-}'", "auth: it has a ${ that is not a reference to a variable"),
        ("a.toml", "auth = '${s3cret'", "auth: it has a ${ that is not a reference to a variable"),
    ],
)
def test_a_wrong_file_is_an_error_that_names_it(tmp_path: Path, name: str, text: str, part: str) -> None:
    """The file first, then the setting and what to write instead; never a line of the file."""
    assert fault_of(written(tmp_path, text, name)).startswith(part)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("auth: a\nauth: s3cret", "the key 'auth' is there twice, in line 2; remove one"),
        ("auth: @s3cret", r"found character '@' that cannot start any token \(line 1, column 7\)"),
        ("auth: !!python/object:s3cret.A {}", "could not determine a constructor for the tag .*"),
        ("base_timeout:\n  - s3cret: [", ".*"),
        ("- a", "it must have settings .*"),
        ("auth: s3cret\x01", "it is not YAML"),
        ("? [s3cret]\n: 1", r"found unhashable key \(line 1, column 3\)"),
        ("a: &a {b: 1}\nc: {<<: *a, d: 1, d: 2}", "the key 'd' is there twice, in line 2; remove one"),
        ("a: &a {b: *a}", r"found unconstructable recursive node \(line 1, column 4\)"),
        ("a: &a [b, *a]", r"found unconstructable recursive node \(line 1, column 4\)"),
    ],
)
def test_a_wrong_file_of_yaml_is_an_error_too(tmp_path: Path, text: str, part: str) -> None:
    """It makes no objects of classes, and refuses what the second of two keys would hide."""
    pytest.importorskip("yaml", reason="an extra that is not installed here")
    path = written(tmp_path, text, "a.yaml")
    if "!!python" in text:
        text = text.replace("s3cret", "os")
        path = written(tmp_path, text, "a.yaml")
    assert re.fullmatch(part, fault_of(path), re.DOTALL)


def test_yaml_may_merge_one_table_into_another(tmp_path: Path) -> None:
    """By its key `<<`, also twice, which is no key that is there twice."""
    pytest.importorskip("yaml", reason="an extra that is not installed here")
    text = """
retry_policy_config: &retry {max_attempts: 4, initial_delay: 0.5}
routes:
  GET /a:
    retry_policy: {<<: *retry, max_attempts: 2}
"""
    config = HttpClientConfig.from_file(written(tmp_path, text, "a.yaml"))
    assert config == HttpClientConfig(
        retry_policy_config={"max_attempts": 4, "initial_delay": 0.5},
        routes={"GET /a": {"retry_policy": {"max_attempts": 2, "initial_delay": 0.5}}},
    )


def test_an_error_of_the_system_without_a_reason_is_shown_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as that of a file system in user space."""

    def fail(*_: object, **__: object) -> None:
        raise OSError("odd")

    monkeypatch.setattr("builtins.open", fail)
    assert fault_of(tmp_path / "a.toml") == "odd"


def test_files_that_cannot_be_read_are_errors(tmp_path: Path) -> None:
    """With the reason of the system."""
    assert fault_of(tmp_path / "no.toml") == "No such file or directory"
    (tmp_path / "a.toml").write_bytes(b"auth = '\xff'")
    assert fault_of(tmp_path / "a.toml") == "it is not UTF-8"


@pytest.mark.parametrize(
    ("name", "modules", "extra"),
    [("a.toml", ["tomllib", "tomli"], "[toml]"), ("a.yaml", ["yaml"], "[yaml]")],
)
def test_a_missing_reader_is_an_error_that_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, modules: list[str], extra: str
) -> None:
    """Python 3.10 has none of TOML."""
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)
    assert f"run pip install 'http-service-client{extra}', or write" in fault_of(written(tmp_path, "", name))


@pytest.mark.parametrize(("reader", "other"), [("tomllib", "tomli"), ("tomli", "tomllib")])
def test_either_reader_of_toml_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: str, other: str
) -> None:
    """That of Python, and the extra's before Python 3.11."""
    monkeypatch.setitem(sys.modules, reader, SimpleNamespace(loads=json.loads))
    monkeypatch.setitem(sys.modules, other, None)
    assert HttpClientConfig.from_file(written(tmp_path, '{"base_timeout": 7}')).base_timeout == 7


def test_clients_inherit_key_by_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables too; a list is replaced as a whole. Headers are the same whatever their case."""
    monkeypatch.setenv("PAYMENTS_TOKEN", "token-1")
    path = written(tmp_path, CLIENTS)
    assert HttpClientConfig.from_file(path, "refunds") == HttpClientConfig(
        base_timeout=20.0,
        base_url="https://payments.example.com",
        auth="token-1",
        default_headers={"user-agent": "payments/1", "X-Region": "eu"},
        retry_policy_config={"max_attempts": 4, "initial_delay": 0.1},
    )


def test_without_a_name_it_is_the_default_client(tmp_path: Path) -> None:
    """What other clients need, such as a variable, may be missing."""
    config = HttpClientConfig.from_file(written(tmp_path, CLIENTS))
    assert (config.base_timeout, config.auth) == (5, None)
    assert config.default_headers == {"User-Agent": "shop/1", "X-Region": "eu"}


@pytest.mark.parametrize(
    ("text", "client", "message"),
    [
        (CLIENTS, "paymens", "there is no client 'paymens'; did you mean 'payments'?"),
        (CLIENTS, "x", "there is no client 'x'; there are: default, payments, refunds"),
        ("[clients.a]\n[clients.b]", None, "choose one of its clients by client=: a, b"),
        ("base_timeout = 3", "a", "there is no table [clients]; leave client='a' out, or write [clients.a]"),
        (
            "[clients.aa]\ninherits = 'bb'\n[clients.ab]",
            "aa",
            "clients.aa.inherits names a client that is missing, 'bb'; there are: aa, ab",
        ),
        (
            "[clients.a]\ninherits = 5",
            "a",
            "clients.a.inherits names a client that is missing, 5; there are: a",
        ),
        (
            "[clients.a]\ninherits = ['a']",
            "a",
            "clients.a.inherits names a client that is missing, ['a']; there are: a",
        ),
        (
            "[clients.a]\ninherits = 'b'\n[clients.b]\ninherits = 'a'",
            "a",
            "clients.b.inherits='a' is circular: a -> b -> a",
        ),
        (
            "base_timeout = 3\n[clients.a]",
            "a",
            "base_timeout is beside the table [clients]; "
            "write it in [clients.default], and inherits = 'default' in the others",
        ),
    ],
)
def test_a_client_that_cannot_be_found_is_an_error(
    tmp_path: Path, text: str, client: str | None, message: str
) -> None:
    """Misspelt, missing, or one that inherits itself."""
    assert fault_of(written(tmp_path, text), client) == message


@pytest.mark.parametrize(
    ("text", "names"), [(CLIENTS, ["default", "payments", "refunds"]), ("base_timeout = 3", []), ("", [])]
)
def test_a_file_says_which_clients_it_has(tmp_path: Path, text: str, names: list[str]) -> None:
    """In its order; none if it has the settings of one without a name."""
    assert client_names(written(tmp_path, text)) == names


def test_a_fault_is_reported_in_the_table_where_it_is_written(tmp_path: Path) -> None:
    """That of the client that is inherited from."""
    text = """
        [clients.default]
        base_timeout = -1
        retry_policy_config = {max_attempts = 0}
        [clients.payments]
        inherits = "default"
        retry_policy_config.max_dely = 3
    """
    lines = [line.strip() for line in fault_of(written(tmp_path, text), "payments").splitlines()]
    assert lines[0] == "3 faults"
    assert [re.match(r"[\w.]+", line)[0] for line in lines[1:]] == [
        "clients.payments.retry_policy_config.max_dely",
        "clients.default.retry_policy_config.max_attempts",
        "clients.default.base_timeout",
    ]


def test_references_are_read_as_the_type_of_the_field(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In any text, in lists and in tables; two dollars stand for one."""
    for name, text in {"SECONDS": "250ms", "USER": "ann", "PASS": "open sesame", "PORT": "8443"}.items():
        monkeypatch.setenv(name, text)
    text = """
        base_timeout = "${SECONDS}"
        auth = ["${USER}", "${PASS}"]
        default_headers = {X-A = "a-${USER}-$${USER}-$x"}
        egress_policy = {allowed_ports = [443, "${PORT}"]}
    """
    config = HttpClientConfig.from_file(written(tmp_path, text))
    assert config.base_timeout == 0.25
    assert config.auth == ("ann", "open sesame")
    assert config.default_headers == {"X-A": "a-ann-${USER}-$x"}
    assert config.egress_policy is not None
    assert config.egress_policy.allowed_ports == (443, 8443)


def test_a_reference_may_stand_for_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its variable has JSON. A reference within that is plain text."""
    monkeypatch.setenv("FALLBACK", '{"value": "${NOT_SET}", "last_good": "60s"}')
    config = HttpClientConfig.from_file(written(tmp_path, "fallback = '${FALLBACK}'"))
    assert config == HttpClientConfig(fallback={"value": "${NOT_SET}", "last_good": 60.0})


def test_a_variable_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty one is missing, too: a secret that was not filled in."""
    monkeypatch.delenv("NOT_SET", raising=False)
    monkeypatch.setenv("EMPTY", "")
    text = "auth = '${NOT_SET}'\ndefault_headers = {X-Key = '${EMPTY}'}"
    assert [line.strip() for line in fault_of(written(tmp_path, text)).splitlines()] == [
        "2 faults",
        "auth: the environment variable NOT_SET is not set; set it",
        "default_headers: the environment variable EMPTY is empty; set it",
    ]


def test_what_needs_a_variable_that_is_missing_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key has a certificate, whose path is not known yet."""
    monkeypatch.delenv("NOT_SET", raising=False)
    text = "[connection_pool]\nssl_cert_file = '${NOT_SET}'\nssl_key_file = 'key.pem'"
    assert fault_of(written(tmp_path, text)) == (
        "connection_pool.ssl_cert_file: the environment variable NOT_SET is not set; set it"
    )


@pytest.mark.parametrize("field", ["base_timeout", "max_connections", "netrc", "request_coding", "base_url"])
def test_the_value_of_a_reference_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    """Wherever it was put by mistake, also in a part of a text."""
    monkeypatch.setenv("TOKEN", "s3cret'\n\"")
    for text in ("${TOKEN}", "a-${TOKEN}-b"):
        value = f"{{a = '{text}'}}" if field == "netrc" else f"'{text}'"
        found = fault_of(written(tmp_path, f"{field} = {value}"))
        assert found.startswith(f"{field}")
        assert "***" in found
        assert "s***" not in found
        assert "***X" not in found


@pytest.mark.parametrize(
    ("secrets", "shown"),
    [
        ({"ONE": "abcd", "OTHER": "abcd1234"}, "https:/***/***"),  # the longer one first
        ({"ONE": "abcd", "OTHER": "abc"}, "https:/***/abc"),  # too short: other words would be hidden, too
    ],
)
def test_a_secret_in_a_text_is_hidden_from_four_characters_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secrets: dict[str, str], shown: str
) -> None:
    """As a whole, also where another one is a part of it."""
    for name, text in secrets.items():
        monkeypatch.setenv(name, text)
    found = fault_of(written(tmp_path, "base_url = 'https:/${ONE}/${OTHER}'"))
    assert f"base_url '{shown}' is not absolute" in found


def test_a_variable_replaces_a_table_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If it is none itself."""
    text = "proxy = {http = 'http://file:1', no = 'a.test'}\nhedging = {delay = 1.0}"
    monkeypatch.setenv("SHOP_PROXY", "http://env:2")
    monkeypatch.setenv("SHOP_HEDGING", "none")
    config = HttpClientConfig.from_file(written(tmp_path, text), env_prefix="SHOP_")
    assert (config.proxy, config.hedging) == ("http://env:2", None)


def test_variables_come_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Key by key; a reference that they replace may be missing, and in them it is plain text."""
    monkeypatch.delenv("PAYMENTS_TOKEN", raising=False)
    for name, text in {
        "SHOP_AUTH": "${PAYMENTS_TOKEN}",
        "SHOP_RETRY_POLICY_CONFIG__MAX_ATTEMPTS": "7",
        "SHOP_DEFAULT_HEADERS__USER_AGENT": "shop/2",
    }.items():
        monkeypatch.setenv(name, text)
    path = written(tmp_path, CLIENTS)
    config = HttpClientConfig.from_file(path, "payments", env_prefix="SHOP_")
    assert config.auth == "${PAYMENTS_TOKEN}"
    assert config.retry_policy_config == {"max_attempts": 7, "initial_delay": 0.1}
    assert config.default_headers == {"user-agent": "shop/2", "X-Region": "eu"}
    monkeypatch.setenv("SHOP_BASE_TIMEOUT", "soon")
    assert fault_of(path, "payments", env_prefix="SHOP").startswith("SHOP_BASE_TIMEOUT must be a positive")


def test_the_file_of_the_documentation_is_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each client in it, with all its settings."""
    page = Path(__file__).resolve().parents[5] / "docs/configuration.md"
    (text,) = re.findall(r"```toml\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    monkeypatch.setenv("PAYMENTS_TOKEN", "token-1")
    config = HttpClientConfig.from_file(written(tmp_path, text), "payments")
    assert config.total_timeout == 20.0
    assert config.pool.max_connections_per_host == 50
    assert config.retry is not None
    assert config.retry.max_attempts == 5

"""Values of settings that are wrong: the error names the field and its value, and says what to write instead."""

from __future__ import annotations

import dataclasses
import json
import re
import ssl
from datetime import timedelta
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
    EgressPolicy,
    FallbackPolicy,
    HedgingPolicy,
    HttpClientConfig,
    LoadSheddingPolicy,
    Propagation,
    RateLimitPolicy,
    RetryBudgetSettings,
    RetryPolicy,
    Timeout,
)
from http_service_client.auth import HmacSignature
from http_service_client.core.machines.deadline_check import DeadlineCheckSettings
from kit.fakes import short
from kit.rows import each_row


async def short_context() -> ssl.SSLContext:
    return ssl.create_default_context()


NAN, INF = float("nan"), float("inf")


NO_HEADERS = Propagation(deadline=None, attempt=None, retried_above=None)


# Each kind of field, and the values that it refuses.
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
        "max_idle_connections": COUNT_FROM_ZERO,
        "keep_alive_timeout": [*DURATION, None],
        "keep_alive_max_requests": [*COUNT, None],
        "max_connection_age": DURATION,
        "socket_options": [
            *(5, None, "x", b"x", {"level": 1}, [5], ["abc"], [(1, 2)], [(1, 2, 3, 4)], [(1, 2, "3")]),
            *([(True, 2, 3)], [(1, 2, 2**31)], [(1.0, 2, 3)], [(1, 2, None)]),
        ],
        "source_address": [
            *(5, True, "", "localhost", "127.1", b"127.0.0.1", ("127.0.0.1",), ("127.0.0.1", -1)),
            *(("127.0.0.1", 65536), ("127.0.0.1", "0"), ("127.0.0.1", True), (5, 5), ["localhost", 0]),
        ],
        "uds": ["", 5, True, b"/run/app.sock", ["/run/app.sock"], "/run/\0", "unix:///run/app.sock"],
        "ssl_verify": [*FLAG, "/etc/ssl/company.pem"],
        "ssl_cert_file": PATH,
        "ssl_key_file": PATH,
        "ssl_key_password": [5, b"hush", "", "x" * 1025],
        "ssl_cert_hosts": [5, "example.com", ["https://example.com"], ["a b"], [""]],
        "ssl_ca_file": PATH,
        "ssl_context": [5, "context", ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), short_context],
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
        "enable_throttle_gate": FLAG,
        "enable_retry_budget": FLAG,
        "retry_budget_config": [5, "budget", [], RetryPolicy()],
        "total_timeout": DURATION,
        "auto_idempotency_key": FLAG,
        "quote_idempotency_key": FLAG,
        "max_response_size": COUNT,
        "max_response_headers": COUNT,
        "max_response_header_size": COUNT,
        "base_url": ["/v1", "api.example.com"],
        "tolerated_faults": [
            5,
            "bare-cr",
            b"x",
            [5],
            [None],
            ["x"],
            ["bare-cr"],
            None,
            {"nul-in-value": True},
        ],
        "enable_request_compression": FLAG,
        "request_coding": ["br", "GZIP", "", None, 5, True, b"gzip", []],
        "enable_response_decompression": FLAG,
        "allowed_redirect_count": [*COUNT_FROM_ZERO, None],
        "cookies": [None, 0, 1, "yes", {"a": "b"}, CookieJar],
        "trust_env_proxy_settings": FLAG,
        "default_headers": [5, "X: y", ["X"], {"X": "a\nb"}, {"X Y": "a"}, {"X": object()}, {5: "a"}],
        "sensitive_headers": [5, "X-Key", b"X-Key", [5], [None], ["X Key"], [""], None],
        "public_headers": [5, "X-Key", b"X-Key", [5], [None], ["X Key"], [""], None, ["cookie"]],
        "auth": [5, True, "", "two words", ("u",), ("u:x", "p"), {"u": "p"}, lambda: "t", object()],
        "propagation": [
            5,
            True,
            False,
            "X-T",
            ["X-T"],
            {"dedline": "X-T"},
            {"deadline": "X T"},
            Propagation,
            NO_HEADERS,
        ],
        "bulkhead": [5, True, "ten", [5], {"max_concurent": 5}, {}, BulkheadPolicy],
        "deadline_check": [
            5,
            True,
            False,
            "on",
            [0.1],
            {"chance": 0.1},
            {"name": "x"},
            DeadlineCheckSettings,
        ],
        "alternate_urls": [5, "https://b.test", b"https://b.test", [5], [None], ["/v1"], ["b.test"], None],
        "adaptive_limit": [5, True, "on", [], {"limit": 2}, {"name": "x"}, AdaptiveLimitPolicy],
        "load_shedding": [5, True, "on", [], {"k": 2}, {"name": "x"}, LoadSheddingPolicy],
        "request_signers": [5, "sign", [5], [object()], None],
        "rate_limit": [5, True, "10", [10], {"rat": 5}, {"rate": 0}, RateLimitPolicy],
        "fallback": [5, True, "value", [], {"last_god": 5}, {"value": 1, "name": "x"}, FallbackPolicy],
        "hedging": [5, True, "value", [], {"dely": 5}, {"delay": 1, "name": "x"}, HedgingPolicy],
        "http2": FLAG,
        "json_codec": [5, True, "json", "ORJSON", b"orjson", [], json.JSONDecoder],
        "chaos": [5, True, "off", [], {"rate": 5}, {"latency": 1}, {"name": "x"}, ChaosPolicy],
        "routes": [5, None, ["GET /a"], True],
        "state_key": [5, True, "", "tenant", "by_header", "by_head:X-A", b"by_route", ["by_route"]],
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
    DeadlineCheckSettings: {
        "min_chance": [0, 0.00001, 0.6, -0.1, NAN, INF, "0.1", None, True],
        "min_samples": [*COUNT, 9],
        "probe_interval": [*DURATION, None],
    },
    RetryBudgetSettings: {
        "ratio": [-0.1, NAN, INF, "1", None, True],
        "min_per_second": [-0.1, NAN, INF, "1", None],
        "window": [0, 0.5, 3601, NAN, INF, "10", None],
    },
    Timeout: dict.fromkeys(("total", "connect", "first_byte", "between", "read", "write", "pool"), DURATION),
}


@pytest.mark.parametrize("kind", BAD_VALUES, ids=lambda kind: kind.__name__)
def test_the_table_has_every_field(kind: Any) -> None:
    """A new field would be untested otherwise."""
    assert {item.name for item in dataclasses.fields(kind) if item.init} == set(BAD_VALUES[kind])


@each_row(
    ("kind", "field", "value"),
    [
        (kind, field, value)
        for kind, table in BAD_VALUES.items()
        for field, values in table.items()
        for value in values
    ],
    ids=short,
)
def test_the_error_of_a_wrong_value_names_field_and_value(kind: Any, field: str, value: Any) -> None:
    """And says what to write instead, when the object is made."""
    with pytest.raises(ConfigurationError) as raised:
        kind(**{field: value})
    assert isinstance(raised.value, ValueError)
    message = str(raised.value)
    assert re.match(rf"(Timeout\.)?{field}(?!\w)", message), message
    if field == "ssl_key_password":
        assert "hush" not in message
    elif field == "default_headers":  # the value may be a secret: only the header's name is shown
        assert "a\nb" not in message
        assert not re.search("object at", message)
    elif field == "auth":  # a secret
        assert "two words" not in message
    elif (
        not isinstance(value, type)
        and field
        not in (
            "bulkhead",
            "hedging",
            "connection_pool",
            "chaos",
            "deadline_check",
            "fallback",
            "adaptive_limit",
            "load_shedding",
            "propagation",
            "proxy",
            "rate_limit",
        )
        and "_config" not in field
    ):
        shown = repr(value[0]) if isinstance(value, list) and value else repr(value)
        assert shown in message or repr(value) in message
    assert any(word in message for word in (" must be ", " must have ", "; ", "which has no method")), message


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["bare-cr"], "has 'bare-cr', which is never tolerated"),
        (["repeated-content-lenght"], "is not the name of a rule; did you mean 'repeated-content-length'?"),
        (["xyzzy"], "has 'xyzzy', which is not the name of a rule; choose among "),
        (["repeated-content-length", "xyzzy"], "has 'xyzzy', which is not the name of a rule"),
        ([["bare-cr"]], "has ['bare-cr'], which is not the name of a rule"),
    ],
)
def test_the_error_of_a_fault_that_is_not_tolerated_says_why(names: Any, message: str) -> None:
    """A rule that must hold is another mistake than a name that no rule has."""
    with pytest.raises(ConfigurationError, match=rf"^tolerated_faults .*{re.escape(message)}"):
        HttpClientConfig(tolerated_faults=names)


@pytest.mark.parametrize(
    ("url", "message"),
    [("/v1", "is not absolute"), ("https://b.test?x=1", "has a query"), ("https://b.test:99999", "port")],
)
def test_the_error_of_an_alternate_url_does_not_name_base_url(url: str, message: str) -> None:
    """Its rules are those of `base_url`, which may be right."""
    with pytest.raises(ConfigurationError, match=rf"^alternate_urls: (?!base_url).*{message}"):
        HttpClientConfig(alternate_urls=[url])


@each_row(
    ("base", "others", "is_right"),
    [
        ("http://a.test", [], True),
        ("http://a.test", ["http://b.test", "https://c.test"], True),
        ("https://a.test", ["https://b.test"], True),
        ("https://a.test", ["https://b.test", "http://c.test"], False),
        (None, ["https://b.test", "http://c.test"], False),
        (None, ["http://b.test", "https://c.test"], True),
    ],
)
def test_what_is_encrypted_at_first_is_encrypted_at_each_host(
    base: str | None, others: list[str], is_right: bool
) -> None:
    """The failure of a host leads to no call in the clear."""
    if is_right:
        assert HttpClientConfig(base_url=base, alternate_urls=others).resolved.alternate_urls == tuple(others)
    else:
        with pytest.raises(
            ConfigurationError, match=r"^alternate_urls has http://c\.test, .* not encrypted, "
        ):
            HttpClientConfig(base_url=base, alternate_urls=others)


@pytest.mark.parametrize("part", ["circuit_breaker", "retry_policy", "retry_budget"])
def test_a_flag_in_place_of_settings_is_an_error_that_names_the_switch(part: str) -> None:
    """A part is switched off by a field of its own, so that its settings stay."""
    with pytest.raises(ConfigurationError, match=f"not False; use enable_{part}=False$"):
        HttpClientConfig(**{f"{part}_config": False})


def test_a_mapping_for_the_pool_is_an_error_that_names_its_class() -> None:
    """Other parts of a configuration may be mappings, this one not."""
    with pytest.raises(ConfigurationError, match=r"not dict; write ConnectionPoolConfig\(\*\*settings\)$"):
        HttpClientConfig(connection_pool={"max_connections": 5})  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [5, "context", []])
def test_a_context_is_one_of_python_s_or_a_function_that_makes_one(value: Any) -> None:
    """The error names both."""
    with pytest.raises(ConfigurationError) as raised:
        ConnectionPoolConfig(ssl_context=value)
    assert str(raised.value) == (
        f"ssl_context must be an ssl.SSLContext, or a function that makes one, not {value!r}"
    )


@pytest.mark.parametrize(
    ("setting", "value", "remedy"),
    [
        ("ssl_verify", False, "set check_hostname and verify_mode of the context"),
        ("ssl_cert_file", "client.pem", "call load_cert_chain of the context"),
        ("ssl_ca_file", "ca.pem", "call load_verify_locations of the context"),
    ],
)
def test_a_context_has_no_settings_beside_it(setting: str, value: Any, remedy: str) -> None:
    """It does all that they would, and the error says by what."""
    with pytest.raises(ConfigurationError, match=f"leave {setting} out, and {remedy}$"):
        ConnectionPoolConfig(ssl_context=ssl.create_default_context, **{setting: value})


def test_a_key_file_needs_a_certificate() -> None:
    """The error names both fields."""
    with pytest.raises(ConfigurationError, match=r"ssl_key_file 'key.pem' needs ssl_cert_file; set both"):
        ConnectionPoolConfig(ssl_key_file="key.pem")
    with pytest.raises(ConfigurationError, match=r"^ssl_key_password needs ssl_cert_file; set both$"):
        ConnectionPoolConfig(ssl_key_password="hush")
    with pytest.raises(ConfigurationError, match=r"^ssl_cert_hosts needs ssl_cert_file; set both$"):
        ConnectionPoolConfig(ssl_cert_hosts=["example.com"])


def test_the_pass_phrase_of_a_key_is_not_in_the_repr() -> None:
    """Neither of the pool nor of the client's configuration."""
    pool = ConnectionPoolConfig(ssl_cert_file="cert.pem", ssl_key_password="hush")
    assert "hush" not in repr(pool)
    assert "hush" not in repr(HttpClientConfig(connection_pool=pool))


@each_row(
    "proxy",
    [
        *("http://user:a/s3cret@proxy:3128", "user:a#s3cret@proxy:3128", "http://user:a?s3cret@proxy:3128"),
        *("//user:s3cret@proxy:3128", "http://user:s3cret@proxy:1,http://user:s3cret@proxy:2"),
        {"http://user:s3cret@proxy": "http"},
        {"no": "http://user:s3cret@proxy"},
    ],
)
def test_the_error_of_a_wrong_proxy_hides_its_secret(proxy: Any) -> None:
    """Above all a password that is not escaped, which makes the URL wrong."""
    with pytest.raises(ConfigurationError, match=r"^proxy") as raised:
        HttpClientConfig(proxy=proxy)
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize("coding", ["br", "GZIP", "gzipped", "", None])
def test_a_coding_that_requests_cannot_have_is_not_to_be_installed(coding: Any) -> None:
    """The error names those that they can have."""
    with pytest.raises(
        ConfigurationError, match=f"^request_coding must be 'gzip' or 'zstd', not {coding!r}$"
    ):
        HttpClientConfig(request_coding=coding)


def test_a_coding_without_its_library_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the configuration is made, not at the first long body."""
    monkeypatch.setattr(
        "http_service_client.http.content_codings.compression.may_compress", lambda coding: coding == "gzip"
    )
    with pytest.raises(
        ConfigurationError, match=r"request_coding is 'zstd', .* 'http-service-client\[zstd\]'"
    ):
        HttpClientConfig(request_coding="zstd")


def test_the_longest_password_of_openssl_is_accepted() -> None:
    """1,024 bytes, counted in UTF-8; and the shortest one."""
    for password in ("x" * 1024, "é" * 512, "x"):
        ConnectionPoolConfig(ssl_cert_file="cert.pem", ssl_key_password=password)


@pytest.mark.parametrize(
    ("password", "shown"),
    [("", "0 bytes"), ("é" * 512 + "x", "1025 bytes"), (b"hush", "bytes"), (5, "int")],
)
def test_another_password_than_openssl_takes_is_an_error_that_does_not_show_it(
    password: Any, shown: str
) -> None:
    """Its length, or its type, does not give it away."""
    with pytest.raises(
        ConfigurationError, match=f"^ssl_key_password must be text of 1 to 1024 bytes, or None, not {shown}$"
    ):
        ConnectionPoolConfig(ssl_cert_file="cert.pem", ssl_key_password=password)


def test_the_path_of_a_bundle_belongs_into_another_setting() -> None:
    """Other clients take it in the place of the switch."""
    with pytest.raises(ConfigurationError, match=r"'company\.pem'; set ssl_ca_file to a bundle's path$"):
        ConnectionPoolConfig(ssl_verify="company.pem")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "setting",
    [
        *(
            "adaptive_limit",
            "bulkhead",
            "chaos",
            "circuit_breaker_config",
            "deadline_check",
            "fallback",
            "hedging",
        ),
        *("load_shedding", "propagation", "rate_limit", "retry_budget_config", "retry_policy_config"),
    ],
)
def test_a_fault_in_the_mapping_of_a_policy_names_no_setting_twice(setting: str) -> None:
    """Whatever the policy's own error begins with."""
    for fault in (
        {"bogus": 1},
        {"name": 5},
        {"rate": -1},
        {"delay": -1},
        {"max_concurrent": 0},
        {"quantile": 7},
    ):
        with pytest.raises(ConfigurationError) as caught:
            HttpClientConfig(**{setting: fault})
        assert not str(caught.value).startswith(f"{setting}: {setting}")


class OfRequests:
    def intercept_request(self, request: Any, context: Any) -> Any:
        return request


class OfResponses:
    def intercept_response(self, response: Any, context: Any) -> Any:
        return response


@pytest.mark.parametrize(
    ("field", "value", "remedy"),
    [
        ("request_interceptors", [print], r"; write def intercept_request\(self, request, context\)$"),
        ("response_interceptors", [print], r"; write def intercept_response\(self, response, context\)$"),
        ("request_interceptors", [OfResponses()], "; list it in response_interceptors$"),
        ("response_interceptors", [OfRequests()], "; list it in request_interceptors$"),
    ],
)
def test_what_is_no_interceptor_is_told_how_to_be_one(field: str, value: Any, remedy: str) -> None:
    """Or where it belongs."""
    with pytest.raises(
        ConfigurationError, match=f"which has no method intercept_{field.split('_')[0]}{remedy}"
    ):
        HttpClientConfig(**{field: value})


@pytest.mark.parametrize(("wrong", "shown"), [(5, "5"), (Timeout, "Timeout"), ("sign", "'sign'")])
def test_each_signer_signs_or_is_a_function(wrong: Any, shown: str) -> None:
    """A class without the method is none, though it can be called; the ones before it are right."""
    HttpClientConfig(request_signers=[HmacSignature("k"), print])
    for signers in ([wrong], [HmacSignature("k"), wrong], [print, wrong]):
        with pytest.raises(
            ConfigurationError,
            match=f"^request_signers has {shown}, which has no method sign_request; pass such an object, or a function$",
        ):
            HttpClientConfig(request_signers=signers)

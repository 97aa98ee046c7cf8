"""The settings of an egress policy: hosts, ports and schemes that it allows, its errors, and which settings are refused."""

from __future__ import annotations

import pickle
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from http_service_client.errors import (
    ConfigurationError,
    EgressRefusedError,
    HttpClientError,
    InvalidRequestError,
)
from http_service_client.http.egress import EgressPolicy, host_matcher
from http_service_client.http.urls import Url, split_url
from kit.egress import url_passes
from kit.rows import each_row


@each_row(
    "host",
    [
        "127.1", "0x7f000001", "2130706433", "017700000001", "①②⑦.0.0.1", "127。0。0。1", "127.0.0.1.",
        "[::1]", "[::ffff:127.0.0.1]", "[0:0::0:1]", "[::127.0.0.1]", "localhost", "LOCALHOST", "localhost.",
        "a.localhost", "\uff4cocalhost", "metadata.google.internal", "Metadata.Google.Internal.", "metadata",
        "instance-data", "169.254.169.254", "[fd00:ec2::254]", "[fe80::1%25eth0]", "[fe80::1%eth0]", "",
        "a b", "::1", "a:b", "[::1", "user@h",
    ],
)  # fmt: skip
def test_no_spelling_of_a_refused_host_passes(host: str) -> None:
    """As a URL, and as a `Url` made by hand; both raise InvalidRequestError."""
    with pytest.raises(InvalidRequestError):
        EgressPolicy().check_url(f"http://{host}/")
    with pytest.raises(EgressRefusedError):
        EgressPolicy().check_url(Url("http", host, 80, "/"))


@each_row(
    ("allowed", "url", "passing"),
    [
        (None, "https://example.com/", True),
        ([], "https://example.com/", False),
        (["*"], "https://example.com/", True),
        (["*"], "https://8.8.8.8/", True),
        (["*"], "https://10.0.0.1/", False),
        (["example.com"], "https://EXAMPLE.com./", True),
        (["Example.COM."], "https://example.com/", True),
        (["example.com"], "https://a.example.com/", False),
        (["example.com"], "https://example.com.evil.test/", False),
        (["example.com"], "https://notexample.com/", False),
        (["example.com"], "https://8.8.8.8/", False),
        (["*.example.com"], "https://a.b.example.com/", True),
        (["*.example.com"], "https://example.com/", False),
        (["*.example.com"], "https://notexample.com/", False),
        (["bücher.example"], "https://xn--bcher-kva.example/", True),
        (["*.bücher.example"], "https://a.bücher.example/", True),
        (["example.com:8443"], "https://example.com:8443/", True),
        (["example.com:8443"], "https://example.com/", False),
        (["example.com:443"], "https://example.com/", True),
        (["*:443"], "https://example.com/", True),
        (["*:443"], "http://example.com/", False),
        (["8.8.8.8"], "https://8.8.8.8/", True),
        (["8.8.8.8"], "https://[::ffff:8.8.8.8]/", True),
        (["::ffff:8.8.8.8"], "https://8.8.8.8/", True),
        (["::ffff:8.8.0.0/112"], "https://8.8.8.8/", True),
        (["8.8.8.0/24"], "https://8.8.8.8/", True),
        (["8.8.8.0/24"], "https://8.8.9.8/", False),
        (["8.8.8.0/24:443"], "http://8.8.8.8/", False),
        (["8.8.8.0/24"], "https://dns.example/", False),
        (["[2606:4700::1111]:443"], "https://[2606:4700:0::1111]/", True),
        (["2606:4700::/32"], "https://[2606:4700::1]/", True),
        (["[2606:4700::/32]:443"], "https://[2606:4700::1]/", True),
        (["10.0.0.0/8"], "http://10.1.2.3/", True),
        (["10.1.2.3:80"], "http://10.1.2.3/", True),
        (["10.1.2.3:80"], "https://10.1.2.3/", False),
        (["a.test:1"], "http://a.test:1/", True),
        (["a.test:65535"], "http://a.test:65535/", True),
        (["0.0.0.0/0", "::/0"], "http://10.1.2.3/", False),
        (["0.0.0.0/0", "::/0"], "http://8.8.8.8/", True),
        (["0.0.0.0/0", "::/0"], "http://[::1]/", False),
        (["10.0.0.0/7"], "http://10.1.2.3/", False),
        (["::1"], "http://[::1]/", True),
        (["localhost"], "http://localhost/", True),
        (["*.localhost"], "http://a.localhost/", False),
        (["169.254.0.0/16"], "http://169.254.1.1/", True),
        (["169.254.0.0/16"], "http://169.254.169.254/", False),
        (["169.254.169.254"], "http://169.254.169.254/", True),
        (["*.google.internal"], "http://metadata.google.internal/", False),
        (["metadata.google.internal"], "http://metadata.google.internal/", True),
        (["*", "metadata.google.internal"], "http://metadata.google.internal/", True),
        (["*", "*.metadata.google.internal"], "http://metadata.google.internal/", False),
        (["*", "*.localhost"], "http://localhost/", False),
        (["*"], "http://localhost/", False),
    ],
)
def test_allowed_hosts_are_those_that_a_url_may_name(
    allowed: list[str] | None, url: str, passing: bool
) -> None:
    """Names exactly or by wildcard, addresses by network; special addresses only if listed on purpose."""
    assert url_passes(EgressPolicy(allowed), url) is passing
    assert url_passes(EgressPolicy(allowed), split_url(url)) is passing


@each_row(
    ("denied", "url"),
    [
        (["example.com"], "https://example.com/"),
        (["*.example.com"], "https://a.example.com/"),
        (["*"], "https://example.com/"),
        (["*"], "https://8.8.8.8/"),
        (["*:443"], "https://example.com/"),
        (["8.8.8.8"], "https://8.8.8.8/"),
        (["8.8.0.0/16"], "https://[::ffff:8.8.8.8]/"),
        (["8.8.0.0/16"], "https://[64:ff9b::8.8.8.8]/"),
        (["64:ff9b::/96"], "https://[64:ff9b::8.8.8.8]/"),
        (["2606:4700::/32"], "https://[2606:4700::1]/"),
    ],
)
def test_denied_hosts_win(denied: list[str], url: str) -> None:
    """Over allowed_hosts with the same entry."""
    assert not url_passes(EgressPolicy(denied_hosts=denied), url)
    assert not url_passes(EgressPolicy(["*", "8.8.8.8", "example.com"], denied), url)


@pytest.mark.parametrize("host", ["93.184.215.14", "[2606:2800:21f:cb07:6820:80da:af6b:8b2c]"])
def test_an_address_in_a_url_is_allowed_unless_hosts_are_listed(host: str) -> None:
    """A list of hosts must have it; without one, it is checked like an address that a name resolves to."""
    url = f"https://{host}/"
    EgressPolicy().check_url(url)
    EgressPolicy(allowed_hosts=[host]).check_url(url)
    with pytest.raises(EgressRefusedError, match="not in allowed_hosts"):
        EgressPolicy(allowed_hosts=["a.test"]).check_url(url)


def test_localhost_is_loopback_before_it_is_resolved() -> None:
    """allow_loopback opens it, allow_private does not."""
    assert url_passes(EgressPolicy(allow_loopback=True), "http://localhost:8080/")
    assert not url_passes(EgressPolicy(allow_private=True), "http://localhost:8080/")


def test_other_ports_and_schemes_are_refused() -> None:
    """A URL without a port has its scheme's default port."""
    policy = EgressPolicy(allowed_ports=[443, 8443], allowed_schemes=["https"])
    assert url_passes(policy, "https://h/")
    assert url_passes(policy, "https://h:8443/")
    assert not url_passes(policy, "https://h:22/")
    assert not url_passes(policy, "http://h:443/")
    assert not url_passes(EgressPolicy(allowed_ports=[]), "https://h/")
    assert not url_passes(EgressPolicy(), Url("ftp", "h", 80, "/"))


def test_the_error_names_host_reason_and_remedy() -> None:
    """It is an InvalidRequestError and can be pickled."""
    with pytest.raises(EgressRefusedError) as caught:
        EgressPolicy().check_address("app.example", "::ffff:10.0.0.7")
    error: HttpClientError = caught.value
    assert str(error) == (
        "egress to 'app.example' is refused: 10.0.0.7 is private; "
        "to allow it, list 10.0.0.7 in allowed_hosts or set allow_private=True"
    )
    twin = pickle.loads(pickle.dumps(error))
    assert (type(twin), twin.host, twin.address) == (EgressRefusedError, "app.example", "10.0.0.7")
    with pytest.raises(EgressRefusedError, match=r"carries 127\.0\.0\.1, which is loopback"):
        EgressPolicy().check_address("app.example", "64:ff9b::7f00:1")
    with pytest.raises(EgressRefusedError) as caught:
        EgressPolicy().check_url(Url("http", "a b" * 50, 80, "/"))
    assert caught.value.host == ("a b" * 50)[:100]
    with pytest.raises(EgressRefusedError) as caught:
        EgressPolicy(["a.example"]).check_url("https://b.example/")
    assert (caught.value.host, caught.value.address) == ("b.example", None)


@each_row(
    "settings",
    [
        {"allowed_hosts": "example.com"},
        {"allowed_hosts": 1},
        {"allowed_hosts": [1]},
        {"allowed_hosts": [""]},
        {"allowed_hosts": ["*.*.com"]},
        {"allowed_hosts": ["a.*.com"]},
        {"allowed_hosts": [".example.com"]},
        {"allowed_hosts": ["*.10.0.0.1"]},
        {"allowed_hosts": ["https://example.com"]},
        {"allowed_hosts": ["https://example.com/"]},
        {"allowed_hosts": ["example.com:0"]},
        {"allowed_hosts": ["example.com:65536"]},
        {"allowed_hosts": ["example.com:x"]},
        {"allowed_hosts": ["user@example.com"]},
        {"allowed_hosts": ["10.0.0.1/8"]},
        {"allowed_hosts": ["10.0.0.0/33"]},
        {"allowed_hosts": ["X10.0.0.0/8X"]},
        {"allowed_hosts": ["010.0.0.1"]},
        {"allowed_hosts": ["10.1"]},
        {"allowed_hosts": ["fe80::1%eth0"]},
        {"denied_hosts": ["a b"]},
        {"denied_hosts": None},
        {"allowed_ports": [0]},
        {"allowed_ports": [65536]},
        {"allowed_ports": [True]},
        {"allowed_ports": ["443"]},
        {"allowed_ports": 443},
        {"allowed_schemes": ["ftp"]},
        {"allowed_schemes": "https"},
        {"allow_private": 1},
        {"allow_loopback": None},
    ],
)
def test_a_wrong_setting_is_an_error(settings: dict[str, Any]) -> None:
    """It names the field; a rule that cannot be parsed would protect nobody."""
    with pytest.raises(ConfigurationError, match=rf"\b{next(iter(settings))}\b"):
        EgressPolicy(**settings)


@each_row(
    ("settings", "words"),
    [
        ({"allowed_ports": "443"}, "not '443'; write [443]"),
        ({"denied_hosts": None}, "not None; write []"),
        ({"allowed_schemes": None}, "not None; write []"),
        ({"allowed_ports": 443}, "not 443; write [443]"),
        ({"allowed_hosts": "443"}, "not '443'; write ['443']"),
        ({"allowed_ports": "https"}, "not 'https'; write ['https']"),
    ],
)
def test_one_entry_in_the_place_of_a_list_is_written_as_it_has_to_be(
    settings: dict[str, Any], words: str
) -> None:
    """A port as a number, a host as text."""
    with pytest.raises(ConfigurationError, match=re.escape(words)):
        EgressPolicy(**settings)


@pytest.mark.parametrize("port", ["0", "65536", "x", "123456", "-1"])
def test_a_wrong_port_is_named_as_such(port: str) -> None:
    """The error is not about the host."""
    words = f"'a.test:{port}', whose port is not a number from 1 to 65535"
    with pytest.raises(ConfigurationError, match=re.escape(words)):
        EgressPolicy([f"a.test:{port}"])


def test_the_lowest_and_the_highest_port_can_be_allowed() -> None:
    """From 1 to 65535."""
    policy = EgressPolicy(allowed_ports=[1, 65535])
    assert [url_passes(policy, f"http://a.test:{port}/") for port in (1, 2, 65534, 65535)] == [
        True,
        False,
        False,
        True,
    ]


def test_a_url_instead_of_a_host_is_named_as_such() -> None:
    """The error is not about its port."""
    with pytest.raises(ConfigurationError, match="is a URL; write the host alone"):
        EgressPolicy(["https://api.example.com"])


@given(st.text(max_size=30))
@example("fe80::%1/64")
def test_no_entry_raises_another_exception(entry: str) -> None:
    """Any text is a rule or a ConfigurationError."""
    try:
        EgressPolicy([entry], [entry])
    except ConfigurationError:
        pass


def test_a_policy_is_a_value() -> None:
    """Comparable, hashable, picklable. Neither a later change of the list nor a check changes it."""
    hosts = ["example.com"]
    policy = EgressPolicy(hosts)
    hosts.append("evil.test")
    assert policy == EgressPolicy(("example.com",))
    assert hash(policy) == hash(EgressPolicy(["example.com"]))
    assert "evil" not in repr(policy)
    twin = pickle.loads(pickle.dumps(policy))
    assert [url_passes(twin, url) for url in ("https://example.com/", "https://evil.test/") * 2] == [
        True,
        False,
    ] * 2


@each_row(
    ("host", "port", "matches"),
    [
        ("api.example.com", 443, True),
        ("api.example.com.", 443, True),
        ("example.com", 443, False),
        ("partner.test", 8443, True),
        ("partner.test", 443, False),
        ("10.1.2.3", 443, True),
        ("11.1.2.3", 443, False),
        ("::ffff:10.1.2.3", 443, True),
        ("2001:db8::1", 443, False),
    ],
)
def test_hosts_of_another_setting_are_matched_by_the_same_entries(
    host: str, port: int, matches: bool
) -> None:
    """Names, names below one, addresses and networks, each with or without a port."""
    is_listed = host_matcher("ssl_cert_hosts", ["*.example.com", "partner.test:8443", "10.0.0.0/8"])
    assert is_listed(host, port) is matches


def test_an_empty_list_of_hosts_matches_none() -> None:
    """Unlike a missing one, which its setting gives a meaning of its own."""
    assert not host_matcher("ssl_cert_hosts", [])("example.com", 443)
    with pytest.raises(ConfigurationError, match="ssl_cert_hosts must be a list, not None"):
        host_matcher("ssl_cert_hosts", None)


@each_row(
    ("address", "kind"),
    [
        ("169.254.169.254", "a cloud metadata service"),
        ("169.254.1.1", "link-local"),
        ("0.0.0.1", "unspecified"),
        ("::", "unspecified"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("203.0.113.9", "for documentation"),
        ("198.18.0.1", "for benchmarks"),
        ("2001::1", "a tunnel"),
        ("240.0.0.1", "reserved"),
        ("4000::1", "reserved"),
    ],
)
def test_a_refusal_says_what_kind_of_address_it_is(address: str, kind: str) -> None:
    with pytest.raises(EgressRefusedError) as caught:
        EgressPolicy().check_address("app.example", address)
    assert str(caught.value) == (
        f"egress to 'app.example' is refused: {address} is {kind}; to allow it, list {address} in allowed_hosts"
    )

"""The egress policy: no spelling of a refused destination passes, before or after its name is resolved."""

from __future__ import annotations

import ipaddress
import pickle
import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
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

# Written out here and not imported from the module: the tests must not repeat its mistakes.
REFUSED_V4 = [
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
    "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "255.255.255.255/32",
    "168.63.129.16/32", "169.254.169.254/32", "100.100.100.200/32",
]  # fmt: skip
REFUSED_V6 = [
    "::/128", "::1/128", "::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:2::/48",
    "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fc00::/7", "fd00:ec2::254/128",
    "fe80::/10", "fec0::/10", "ff00::/8",
]  # fmt: skip
PUBLIC = ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::808:808"]


def members(networks: list[str]) -> st.SearchStrategy[Any]:
    """Addresses in the networks, often the first and last ones."""
    nets = [ip_network(text) for text in networks]
    edges = [edge for net in nets for edge in (net[0], net[-1])]
    inside = st.sampled_from(nets).flatmap(
        lambda net: st.integers(0, net.num_addresses - 1).map(lambda i: net[i])
    )
    return st.one_of(st.sampled_from(edges), inside)


def spellings(address: Any) -> list[str]:
    """Spellings that `getaddrinfo`, `ipaddress` or a person may use."""
    if isinstance(address, IPv4Address):
        high, low = divmod(int(address), 1 << 16)
        mapped = [f"::ffff:{address}", f"::FFFF:{high:x}:{low:x}", f"0:0:0:0:0:ffff:{high:04x}:{low:04X}"]
        return [str(address), *mapped, *(f"{text}%3" for text in mapped)]
    number = int(address)
    dotted = f"{':'.join(f'{number >> shift & 0xFFFF:x}' for shift in range(112, 31, -16))}:{IPv4Address(number & 0xFFFFFFFF)}"
    plain = [str(address), address.exploded, address.exploded.upper(), address.compressed, dotted]
    return [*plain, *(f"{text}%{zone}" for text in plain for zone in ("eth0", "1", "25lo", ""))]


def carriers(inner: IPv4Address) -> list[IPv6Address]:
    """IPv6 addresses from which packets may arrive at an IPv4 one."""
    number = int(inner)
    return [
        IPv6Address(int(IPv6Address("::ffff:0:0")) | number),
        IPv6Address(number),
        IPv6Address(int(IPv6Address("64:ff9b::")) | number),
        IPv6Address(int(IPv6Address("64:ff9b:1::")) | number),
        IPv6Address(int(IPv6Address("2002::")) | number << 80),
        IPv6Address(int(IPv6Address("2001::")) | number << 64),
        IPv6Address(int(IPv6Address("2001:0:808:808::")) | number ^ 0xFFFFFFFF),
        IPv6Address(int(IPv6Address("2606:4700::5efe:0:0")) | number),
        IPv6Address(int(IPv6Address("2606:4700::200:5efe:0:0")) | number),
    ]


def passes(policy: EgressPolicy, address: str, host: str = "h.example", port: int | None = None) -> bool:
    try:
        policy.check_address(host, address, port)
    except EgressRefusedError:
        return False
    return True


def url_passes(policy: EgressPolicy, url: str | Url) -> bool:
    try:
        policy.check_url(url)
    except EgressRefusedError:
        return False
    return True


@given(members(REFUSED_V4 + REFUSED_V6))
def test_no_spelling_of_a_refused_address_passes(address: Any) -> None:
    """After resolution, and as a literal in a URL (a `Url` made by hand: `normalise_url` refuses most)."""
    policy = EgressPolicy()
    for text in spellings(address):
        assert not passes(policy, text)
        assert not url_passes(policy, Url("https", text, 443, "/"))
        assert not url_passes(policy, Url("https", f"[{text}]", 443, "/"))


@given(members(REFUSED_V4))
def test_no_address_that_carries_a_refused_one_passes(inner: IPv4Address) -> None:
    """Mapped, compatible, NAT64, 6to4, Teredo, ISATAP; even when their own networks were opened."""
    opened = EgressPolicy(["*", "::/96", "2001::/32", "2002::/16", "64:ff9b:1::/48", "64:ff9b::/96"])
    for carrier in carriers(inner):
        for text in spellings(carrier):
            assert not passes(EgressPolicy(), text)
            # A local NAT64 prefix has no fixed position of the IPv4 address, so opening it opens everything.
            assert "64:ff9b:1:" in str(carrier) or not passes(opened, text)


@pytest.mark.parametrize("carrier", carriers(IPv4Address("10.0.0.7")))
def test_each_way_to_carry_an_address_is_known(carrier: IPv6Address) -> None:
    """One address in each of them; a packet to the whole arrives there."""
    assert not passes(EgressPolicy(), str(carrier))
    if "64:ff9b:1:" not in str(carrier):  # refused as a whole, see above
        opened = EgressPolicy(["*", "::/96", "2001::/32", "2002::/16", "2606:4700::/32"])
        assert not passes(opened, str(carrier))


@pytest.mark.parametrize(
    "identifier", ["5eff:a00:7", "5efc:a00:7", "1:5efe:a00:7", "100:5efe:a00:7", "300:5efe:a00:7", "5efe:a00:7:0"]
)  # fmt: skip
def test_the_neighbours_of_an_isatap_identifier_carry_nothing(identifier: str) -> None:
    """0:5efe and 200:5efe are the only ones (RFC 5214, 6.1)."""
    assert passes(EgressPolicy(), f"2606:4700::{identifier}")


def test_of_the_compatible_addresses_only_two_carry_nothing() -> None:
    """:: and ::1 have meanings of their own."""
    opened = EgressPolicy(["*", "::/96", "::", "::1"])
    assert [passes(opened, address) for address in ("::", "::1", "::2", "::3")] == [True, True, False, False]


@given(st.one_of(st.ip_addresses(), members([*REFUSED_V4, *REFUSED_V6, "64:ff9b::/96", "2000::/3"])))
def test_every_address_that_passes_is_public(address: Any) -> None:
    """Only addresses that `ipaddress` calls global; for NAT64, the one inside counts."""
    if not passes(EgressPolicy(), str(address)):
        return
    if address in ip_network("64:ff9b::/96"):
        address = IPv4Address(int(address) & 0xFFFFFFFF)
    mapped = getattr(address, "ipv4_mapped", None)
    assert (mapped or address).is_global


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_pass(address: str) -> None:
    """In every spelling."""
    for text in spellings(ip_address(address)):
        assert passes(EgressPolicy(), text)


@given(st.one_of(st.text(), st.text("0123456789abcdef.:%x[]/ ①", max_size=20)))
@example("127.1")
@example("0x7f000001")
@example("2130706433")
@example("0177.0.0.1")
@example("127.000.000.001")
@example("\uff11\uff12\uff17.0.0.1")
@example("8.8.8.8/32")
@example("8.8.8.8%1")
def test_text_that_is_not_an_address_is_refused(text: str) -> None:
    """The policy fails closed, with our own error: only text that `ipaddress` parses can pass."""
    if passes(EgressPolicy(), text):
        assert ipaddress.ip_address(text.partition("%")[0]).is_global or "64:ff9b" in text.lower()


@pytest.mark.parametrize("address", [None, 134744072, b"\x08\x08\x08\x08", ("8.8.8.8", 80)])
def test_an_address_that_is_not_text_is_refused(address: Any) -> None:
    """`ipaddress` would accept numbers and packed bytes."""
    with pytest.raises(EgressRefusedError):
        EgressPolicy().check_address("h", address)


@pytest.mark.parametrize(
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


@pytest.mark.parametrize(
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


@pytest.mark.parametrize(
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


def test_denied_networks_apply_after_resolution() -> None:
    """At their port, or at every port if it is unknown."""
    policy = EgressPolicy(denied_hosts=["8.8.8.0/24:443"])
    assert not passes(policy, "8.8.8.8")
    assert not passes(policy, "8.8.8.8", port=443)
    assert passes(policy, "8.8.8.8", port=80)
    assert passes(policy, "8.8.9.8")


def test_a_name_may_resolve_into_a_listed_network() -> None:
    """At its port, but not if the port is unknown."""
    policy = EgressPolicy(["*", "10.1.0.0/16", "127.0.0.1:8080"])
    assert passes(policy, "10.1.2.3")
    assert not passes(policy, "10.2.2.3")
    assert passes(policy, "::ffff:127.0.0.1", port=8080)
    assert not passes(policy, "127.0.0.1", port=8081)
    assert not passes(policy, "127.0.0.1")


@pytest.mark.parametrize(
    ("settings", "passing", "refused"),
    [
        (
            {"allow_private": True},
            [
                "10.0.0.1",
                "172.16.0.1",
                "192.168.0.1",
                "100.64.0.1",
                "fd12::1",
                "fec0::1",
                "64:ff9b::10.0.0.1",
            ],
            ["127.0.0.1", "::1", "169.254.1.1", "fe80::1", "100.100.100.200", "fd00:ec2::254", "0.0.0.0"],
        ),
        (
            {"allow_loopback": True},
            ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"],
            ["10.0.0.1", "0.0.0.0", "::", "::127.0.0.1", "169.254.169.254", "2002:7f00:1::"],
        ),
    ],
)
def test_a_flag_opens_only_its_kind(
    settings: dict[str, bool], passing: list[str], refused: list[str]
) -> None:
    """Never a metadata service."""
    policy = EgressPolicy(**settings)  # type: ignore[arg-type]  # both flags are bool
    assert [passes(policy, address) for address in passing] == [True] * len(passing)
    assert [passes(policy, address) for address in refused] == [False] * len(refused)


METADATA = [
    "169.254.169.254", "169.254.170.2", "169.254.170.23", "168.63.129.16", "192.0.0.192", "100.100.100.200",
    "100.96.0.96", "100.80.80.80", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fd00:42::42",
    "fd00:c1::a9fe:a9fe", "fd00:a9fe:a9fe::1", "fd00:100::100:200", "fd12:3456::a9fe:a9fe", "fe80::a9fe:a9fe",
]  # fmt: skip


@pytest.mark.parametrize("address", METADATA)
def test_a_metadata_service_is_opened_by_its_own_address_only(address: str) -> None:
    """Whichever cloud's; not by a flag, by every host, or by the network around it."""
    around = "fc00::/7" if ":" in address else "0.0.0.0/0"
    for policy in (
        EgressPolicy(allow_private=True, allow_loopback=True),
        EgressPolicy(allowed_hosts=["*", around], allow_private=True),
    ):
        assert not passes(policy, address)
    assert passes(EgressPolicy(allowed_hosts=[address]), address)


@pytest.mark.parametrize(
    "address", ["fd00:c1::a9fe:a9ff", "fd00::a9fe:0:a9fe", "100.96.0.95", "fd00:100::100:201"]
)
def test_the_neighbours_of_a_metadata_service_are_private(address: str) -> None:
    """A flag opens them."""
    assert passes(EgressPolicy(allow_private=True), address)


def test_a_public_address_may_look_like_that_of_a_metadata_service() -> None:
    """Only unique local addresses are formed so."""
    assert passes(EgressPolicy(), "2606:4700::a9fe:a9fe")


@pytest.mark.parametrize("name", ["metadata.tencentyun.com", "api.metadata.cloud.ibm.com", "metadata.goog"])
def test_the_names_of_metadata_services_are_refused(name: str) -> None:
    """Behind a proxy, nobody here sees the address."""
    assert not url_passes(EgressPolicy(allow_private=True), f"http://{name}/")


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
        EgressPolicy().check_address("app.example", "169.254.1.1")
    assert str(caught.value).endswith(
        "169.254.1.1 is link-local; to allow it, list 169.254.1.1 in allowed_hosts"
    )
    with pytest.raises(EgressRefusedError) as caught:
        EgressPolicy().check_url(Url("http", "a b" * 50, 80, "/"))
    assert caught.value.host == ("a b" * 50)[:100]
    with pytest.raises(EgressRefusedError) as caught:
        EgressPolicy(["a.example"]).check_url("https://b.example/")
    assert (caught.value.host, caught.value.address) == ("b.example", None)


@pytest.mark.parametrize(
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


@pytest.mark.parametrize(
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


@pytest.mark.parametrize(
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


@pytest.mark.parametrize(
    ("network", "address", "is_denied"),
    [
        ("::ffff:0:0/96", "8.255.255.255", True),
        ("::ffff:0:0/96", "2606:4700::1", False),
        ("::ffff:8.0.0.0/104", "8.255.255.255", True),
        ("::ffff:8.0.0.0/104", "9.0.0.0", False),
        ("::ffff:8.8.8.0/120", "8.8.8.255", True),
        ("::ffff:8.8.8.0/120", "8.8.9.0", False),
    ],
)
def test_a_mapped_network_is_that_of_its_ipv4_addresses(network: str, address: str, is_denied: bool) -> None:
    """All of them, and no other."""
    assert passes(EgressPolicy(denied_hosts=[network]), address) is not is_denied

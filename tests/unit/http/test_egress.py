"""The egress policy and addresses: no spelling of a refused one passes, before or after a name is resolved."""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from http_service_client.errors import EgressRefusedError
from http_service_client.http.egress import EgressPolicy
from http_service_client.http.urls import Url
from kit.egress import passes, url_passes
from kit.rows import each_row

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


@each_row("carrier", carriers(IPv4Address("10.0.0.7")))
def test_each_way_to_carry_an_address_is_known(carrier: IPv6Address) -> None:
    """One address in each of them; a packet to the whole arrives there."""
    assert not passes(EgressPolicy(), str(carrier))
    if "64:ff9b:1:" not in str(carrier):  # refused as a whole, see above
        opened = EgressPolicy(["*", "::/96", "2001::/32", "2002::/16", "2606:4700::/32"])
        assert not passes(opened, str(carrier))


@each_row(
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


@each_row("address", PUBLIC)
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


@each_row("address", METADATA)
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


@each_row(
    "name",
    [
        "instance-data",
        "instance-data.ec2.internal",
        "metadata",
        "metadata.goog",
        "metadata.google.internal",
        "api.metadata.cloud.ibm.com",
        "metadata.tencentyun.com",
    ],
)
def test_the_names_of_metadata_services_are_refused(name: str) -> None:
    """Behind a proxy, nobody here sees the address."""
    assert not url_passes(EgressPolicy(allow_private=True), f"http://{name}/")


@each_row(
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

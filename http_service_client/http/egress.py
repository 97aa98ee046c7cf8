"""Where a call may go when somebody else chose the URL (server-side request forgery, CWE-918).

Each hop is checked twice: `check_url` before the name is resolved, and `check_address` for every address
that it resolves to. The connection must then go to an address that passed; otherwise a name that changes its
addresses in between (DNS rebinding) walks through. Every rule must hold. What cannot be parsed is refused.

Some addresses are refused unless the policy opens them, because no stranger's URL has business there (the
special-purpose registries of RFC 6890, kept by IANA). The table is our own: what `ipaddress` calls private or
global has changed between patch releases of Python.

    address                              refused as          opened by
    127.0.0.0/8, ::1, localhost          loopback            allow_loopback
    10/8, 172.16/12, 192.168/16,         private             allow_private
      100.64/10, fc00::/7, fec0::/10
    169.254.169.254, fd00:ec2::254, ...  cloud metadata      listing it
      fc00::/7 with a9fe:a9fe in it
    169.254/16, fe80::/10                link-local          listing it
    any other that is not public         its kind            listing it

*Listing it* means that `allowed_hosts` has the address, or a network that lies within the refused one. So
``["*", "10.1.0.0/16"]`` opens that network and no other, and ``0.0.0.0/0`` opens nothing: it stands for the
internet. An IPv4 address inside an IPv6 one is checked too: mapped (RFC 4291 2.5.5.2), compatible (2.5.5.1),
NAT64 (RFC 6052; a network's own prefix cannot be known: put it in `denied_hosts`), 6to4 (RFC 3056), Teredo
(RFC 4380, server and client) and ISATAP (RFC 5214).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from ..core.checks import remedies, suggests_keywords
from ..errors import ConfigurationError, EgressRefusedError, InvalidRequestError
from .hosts import normalise_host, split_port
from .urls import Url, split_url

__all__ = ["EgressPolicy", "host_matcher"]

_Address = IPv4Address | IPv6Address
_Network = IPv4Network | IPv6Network

_SCHEMES = ("http", "https")

# Names of metadata services that resolvers inside a cloud know. Behind a proxy we see no address to check.
_METADATA_NAMES = frozenset(
    {
        *(
            "instance-data",
            "instance-data.ec2.internal",
            "metadata",
            "metadata.goog",
            "metadata.google.internal",
        ),
        *("api.metadata.cloud.ibm.com", "metadata.tencentyun.com"),
    }
)

# The first row that contains an address names its kind: ::1 is loopback before it is reserved.
# 168.63.129.16 is Azure's, and public. Of IPv6, only 2000::/3 is assigned (RFC 4291 2.4).
_REFUSED_NETWORKS = {
    "a cloud metadata service": (
        "169.254.169.254 169.254.170.2 169.254.170.23 "  # most clouds, and Amazon's containers
        "168.63.129.16 192.0.0.192 "  # Azure, Oracle
        "100.100.100.200 fd00:100::100:200 100.96.0.96 100.80.80.80 "  # Alibaba, Volcano Engine, UCloud
        "fd00:ec2::/32 fd20:ce::254 fd00:42::42 "  # Amazon, Google, Scaleway
        "fd00:c1::a9fe:a9fe fd00:a9fe:a9fe::1"  # Oracle, Akamai; see `_spells_metadata`
    ),
    "loopback": "127.0.0.0/8 ::1",
    "private": "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 100.64.0.0/10 fc00::/7 fec0::/10",
    "link-local": "169.254.0.0/16 fe80::/10",
    "unspecified": "0.0.0.0/8 ::",
    "multicast": "224.0.0.0/4 ff00::/8",
    "for documentation": "192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 2001:db8::/32 3fff::/20",
    "for benchmarks": "198.18.0.0/15 2001:2::/48",
    "a tunnel": "192.88.99.0/24 2001::/32 2002::/16",
    "reserved": "192.0.0.0/24 240.0.0.0/4 2001::/23 ::/3 4000::/2 8000::/1",
}
_REFUSED: tuple[tuple[str, _Network], ...] = tuple(
    (kind, ip_network(text)) for kind, texts in _REFUSED_NETWORKS.items() for text in texts.split()
)
_FLAGS = {"loopback": "allow_loopback", "private": "allow_private"}

_NAT64 = IPv6Network("64:ff9b::/96")
_UNIQUE_LOCAL = IPv6Network("fc00::/7")
_COMPATIBLE = IPv6Network("::/96")


@dataclass(frozen=True, slots=True)
class _Rule:
    """One parsed entry of a host list: a network, a name, or every host where it has neither."""

    name: str = ""
    network: _Network | None = None
    port: int | None = None
    subdomains_only: bool = False

    def matches_name(self, name: str) -> bool:
        """Whether a host given by name is meant, at any port."""
        if self.network is not None:
            return False
        return not self.name or (
            name.endswith(f".{self.name}") if self.subdomains_only else name == self.name
        )

    def matches_address(self, address: _Address) -> bool:
        """Whether an address is meant, at any port."""
        return not self.name if self.network is None else address in self.network

    def opens(self, refused: _Network, address: _Address) -> bool:
        """Whether the entry names the address on purpose: it lies within the refused network, which has the address."""
        if self.network is None or address not in self.network:
            return False
        return self.network.prefixlen >= refused.prefixlen  # of two networks around one address


@suggests_keywords(
    remedies(
        {
            "it is called allowed_hosts": "allow allowed allowed_domains allowlist hosts",
            "it is called denied_hosts": "blocked_hosts blocklist denied denied_domains deny",
            "it is called allow_loopback": "allow_local allow_localhost",
            "it is called allow_private": "allow_private_networks",
            "it is called allowed_ports": "ports",
            "it is called allowed_schemes": "schemes",
        }
    )
)
@dataclass(frozen=True)
class EgressPolicy:
    """Where calls may go. Immutable; validated when made (ConfigurationError).

    allowed_hosts: the hosts that a URL may name; None for any host, an empty list for no host. Entries are
        ``example.com`` (that name only), ``*.example.com`` (all names below it), ``*``, ``192.0.2.1``,
        ``10.0.0.0/8``, ``[2001:db8::1]``, each with or without ``:port``. Addresses and networks match URLs
        whose host is an address, and open addresses that are otherwise refused. They allow no name: a name
        that another entry allows may resolve into them.
    denied_hosts: entries of the same form. They win over everything and apply to resolved addresses too.
    allowed_ports: None for any port.
    allowed_schemes: of "http" and "https".
    allow_private: open private networks, unique local addresses and carrier-grade NAT (100.64.0.0/10).
    allow_loopback: open this machine.
    """

    allowed_hosts: Sequence[str] | None = None
    denied_hosts: Sequence[str] = ()
    allowed_ports: Sequence[int] | None = None
    allowed_schemes: Sequence[str] = _SCHEMES
    allow_private: bool = False
    allow_loopback: bool = False

    _allowed: tuple[_Rule, ...] | None = field(init=False, repr=False, compare=False)
    _denied: tuple[_Rule, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("allow_private", "allow_loopback"):
            if type(getattr(self, name)) is not bool:
                raise ConfigurationError(f"{name} must be True or False, not {getattr(self, name)!r}")
        # Tuples: a policy must not change when the caller's list does.
        for name in ("allowed_hosts", "denied_hosts", "allowed_ports", "allowed_schemes"):
            entries = getattr(self, name)
            if entries is not None or name not in ("allowed_hosts", "allowed_ports"):
                object.__setattr__(self, name, _entries(name, entries))
        for port in self.allowed_ports or ():
            if type(port) is not int or not 0 < port < 65536:
                raise ConfigurationError(
                    f"allowed_ports must hold whole numbers from 1 to 65535, not {port!r}"
                )
        for scheme in self.allowed_schemes:
            if scheme not in _SCHEMES:
                raise ConfigurationError(f"allowed_schemes must hold 'http' or 'https', not {scheme!r}")
        denied = tuple(_parse_rule("denied_hosts", entry) for entry in self.denied_hosts)
        allowed = tuple(_parse_rule("allowed_hosts", entry) for entry in self.allowed_hosts or ())
        object.__setattr__(self, "_denied", denied)
        object.__setattr__(self, "_allowed", None if self.allowed_hosts is None else allowed)

    def check_url(self, url: Url | str) -> None:
        """Check everything that needs no name resolution; raises EgressRefusedError."""
        if isinstance(url, str):
            url = split_url(url)
        if url.scheme not in self.allowed_schemes:
            raise _refused(url.host, f"the scheme {url.scheme!r} is not in allowed_schemes")
        if self.allowed_ports is not None and url.port not in self.allowed_ports:
            raise _refused(url.host, f"the port {url.port} is not in allowed_ports")
        name = _plain_name(url.host)
        address = _parse_address(name)
        if address is None:
            self._check_name(name, url.port)
            return
        allowed = _at(url.port, self._allowed)
        if self._allowed is not None and not any(rule.matches_address(address) for rule in allowed):
            raise _refused(name, "it is not in allowed_hosts", str(address))
        self._check(name, address, url.port)

    def check_address(self, host: str, address: str, port: int | None = None) -> None:
        """Check one address that `host` resolved to, as `getaddrinfo` spells it; raises EgressRefusedError.

        port: where the connection goes, None if unknown. Then an entry with a port opens nothing, and denies
            at any port.
        """
        parsed = _parse_address(address)
        if parsed is None:
            raise _refused(host, f"it resolved to {str(address)[:80]!r}, which is not an address")
        self._check(host, parsed, port)

    def _check_name(self, name: str, port: int) -> None:
        if any(rule.matches_name(name) for rule in _at(port, self._denied)):
            raise _refused(name, "it is in denied_hosts")
        allowed = _at(port, self._allowed)
        if self._allowed is not None and not any(rule.matches_name(name) for rule in allowed):
            raise _refused(name, "it is not in allowed_hosts")
        if any(rule.name == name and not rule.subdomains_only for rule in allowed):
            return
        # RFC 6761 6.3: localhost and all names below it are this machine, whatever a resolver says.
        if f".{name}".endswith(".localhost") and not self.allow_loopback:
            raise _refused(name, f"it is loopback; {_remedy('loopback', name)}")
        if name in _METADATA_NAMES:
            raise _refused(name, f"it is a cloud metadata service; {_remedy('', name)}")

    def _check(self, host: str, address: _Address, port: int | None) -> None:
        """Refuse the address if it, or one inside it, is denied, or is special and not opened."""
        denied = self._denied if port is None else _at(port, self._denied)
        if any(rule.matches_address(inner) for rule in denied for inner in (address, *_embedded(address))):
            raise _refused(host, f"{address} is in denied_hosts", str(address))
        for inner in _destinations(address):
            kind, network = _refused_network(inner)
            if network is None or getattr(self, _FLAGS.get(kind, ""), False):
                continue
            if not any(rule.opens(network, inner) for rule in _at(port, self._allowed)):
                carried = "" if inner == address else f"carries {inner}, which "
                reason = f"{address} {carried}is {kind}; {_remedy(kind, str(inner))}"
                raise _refused(host, reason, str(address))


def host_matcher(name: str, entries: object) -> Callable[[str, int], bool]:
    """Whether a host and port are in a list of entries like those of `allowed_hosts`; ConfigurationError for others.

    name: of the setting that has the list.
    """
    rules = tuple(_parse_rule(name, entry) for entry in _entries(name, entries))

    def matches(host: str, port: int) -> bool:
        plain = _plain_name(host)
        address = _parse_address(plain)
        return any(
            rule.matches_name(plain) if address is None else rule.matches_address(address)
            for rule in _at(port, rules)
        )

    return matches


def _at(port: int | None, rules: tuple[_Rule, ...] | None) -> list[_Rule]:
    """The rules that apply at a port."""
    return [rule for rule in rules or () if rule.port is None or rule.port == port]


def _plain_name(host: str) -> str:
    """The host in its one spelling, without brackets and final dot. A `Url` made by hand may have another."""
    try:
        return normalise_host(f"[{host}]" if ":" in host and host[0] != "[" else host).strip("[]").rstrip(".")
    except InvalidRequestError as error:
        raise _refused(host[:100], str(error)) from None


def _parse_address(text: str) -> _Address | None:
    """The address without its zone, mapped IPv4 as IPv4; None for a name or malformed text."""
    try:
        if ":" in text:
            text = text.partition("%")[0]  # fe80::1%eth0: the zone is an interface of this machine
        address = ip_address(text)
    except (TypeError, ValueError):
        return None
    return (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address


def _embedded(address: _Address) -> list[IPv4Address]:
    """The IPv4 addresses inside an IPv6 one: packets to it may arrive there."""
    if isinstance(address, IPv4Address):
        return []
    found: list[IPv4Address | None] = [address.sixtofour, *(address.teredo or ())]
    low = int(address) & 0xFFFFFFFF
    # ISATAP's interface identifier: 0:5efe or, for a public address, 200:5efe        RFC 5214 6.1
    is_isatap = (int(address) >> 32) & 0xFDFFFFFF == 0x00005EFE
    if address in _NAT64 or is_isatap or (address in _COMPATIBLE and low > 1):
        found.append(IPv4Address(low))
    return [inner for inner in found if inner is not None]


def _destinations(address: _Address) -> list[_Address]:
    """The addresses to check. NAT64's own prefix is a way to the IPv4 internet and not a destination."""
    embedded = _embedded(address)
    return [*embedded] if address in _NAT64 else [address, *embedded]


def _refused_network(address: _Address) -> tuple[str, _Network | None]:
    """The kind of a special address, and the network that it is refused with; None for an ordinary one."""
    if _spells_metadata(address):
        return "a cloud metadata service", ip_network(address)
    return next(((kind, network) for kind, network in _REFUSED if address in network), ("", None))


def _spells_metadata(address: _Address) -> bool:
    """Whether a unique local address has 169.254.169.254 in it, as clouds form that of their metadata service."""
    return address in _UNIQUE_LOCAL and "a9fe:a9fe" in address.exploded


def _remedy(kind: str, shown: str) -> str:
    flag = f" or set {_FLAGS[kind]}=True" if kind in _FLAGS else ""
    return f"to allow it, list {shown} in allowed_hosts{flag}"


def _refused(host: str, reason: str, address: str | None = None) -> EgressRefusedError:
    return EgressRefusedError(f"egress to {host!r} is refused: {reason}", host=host, address=address)


def _entries(name: str, value: object) -> tuple[object, ...]:
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        is_port = name == "allowed_ports" and isinstance(value, str) and value.isdecimal()
        entry = value if is_port else "" if value is None else repr(value)
        raise ConfigurationError(f"{name} must be a list, not {value!r}; write [{entry}]")
    return tuple(value)


def _parse_rule(name: str, entry: object) -> _Rule:
    """The parsed entry. One that cannot be parsed is an error: it would allow or deny nothing."""
    if not isinstance(entry, str):
        raise ConfigurationError(f"{name} must hold text, not {entry!r}")
    if "://" in entry:
        raise ConfigurationError(f"{name} has {entry!r}, which is a URL; write the host alone")
    try:
        host, port = split_port(entry)
        if port is not None and not 0 < port < 65536:
            raise ValueError(port)
    except ValueError:
        raise ConfigurationError(
            f"{name} has {entry!r}, whose port is not a number from 1 to 65535"
        ) from None
    if host == "*":
        return _Rule(port=port)
    if "/" in host:
        return _Rule(network=_parse_network(name, entry, host.strip("[]")), port=port)
    subdomains_only = host.startswith("*.")
    try:
        plain = _plain_name(host.removeprefix("*."))
    except EgressRefusedError:
        plain = ""
    address = _parse_address(plain)
    if not plain or (address is not None and subdomains_only):
        raise ConfigurationError(
            f"{name} has {entry!r}, which is not a host; write example.com, *.example.com, 192.0.2.1 or "
            "10.0.0.0/8, with or without a :port"
        )
    if address is not None:
        return _Rule(network=ip_network(address), port=port)
    return _Rule(name=plain, port=port, subdomains_only=subdomains_only)


def _parse_network(name: str, entry: str, text: str) -> _Network:
    try:
        network = ip_network(text)
    except ValueError as error:
        raise ConfigurationError(f"{name} has {entry!r}, which is not a network: {error}") from None
    # Mapped IPv4 addresses are compared as IPv4, so their networks must be too. Their prefix has at least 96 bits.
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if mapped is not None:
        return IPv4Network((int(mapped), network.prefixlen - 96))
    return network

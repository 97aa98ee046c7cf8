"""The host of a URL: a name, an IPv4 or an IPv6 address, in the one spelling that is sent.

A host is refused when two readers could take it for different machines: ``127.1``, ``0x7f.1`` and
``2130706433`` are 127.0.0.1 to some resolvers and names to others, and ``①②⑦.0.0.1`` becomes an
address only after Unicode mapping. If one of these fools an allow-list, that is a hole (SSRF).

RFC 3986 3.2.2 (host), RFC 5891 and UTS 46 (international names), RFC 5952 (IPv6 text), RFC 1035 2.3.4
(lengths), WHATWG URL 3.5 ("ends in a number").
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address

from ..errors import InvalidRequestError

__all__ = ["normalise_host", "split_port"]

# Letters, digits, hyphen. RFC 952 does not allow the underscore, but many compose files use it.
_NAME = re.compile(r"[a-z0-9_\-.]+").fullmatch
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*").fullmatch
_WITH_PORT = re.compile(r"(.+):([0-9]{1,5})").fullmatch
_MAX_TYPED = 1000  # idna takes quadratic time; no name of 253 octets is longer than this when typed


def normalise_host(host: str) -> str:
    """Lower-case, ASCII, unambiguous; an IPv6 address in brackets. Raises InvalidRequestError."""
    if not host:
        raise InvalidRequestError("the URL has no host; write it as https://host/path")
    if host[0] == "[":
        return _ipv6(host)
    name = host.lower() if host.isascii() else _idna(host)
    if _NAME(name) is None:
        raise _bad(host, "has a character that is not allowed in a host name")
    labels = name[:-1].split(".") if name.endswith(".") else name.split(".")
    if _NUMBER(labels[-1]):
        return _ipv4(host)
    if "" in labels or any(len(label) > 63 for label in labels) or len(name) > 254:
        raise _bad(host, "has an empty or too long label")
    return name


def split_port(entry: str) -> tuple[str, int | None]:
    """The host of an entry in a list of hosts, and its port or None.

    Raises ValueError for a port that is not a number of at most five digits.

    >>> split_port("example.com:8080"), split_port("[::1]:80"), split_port("::1")
    (('example.com', 8080), ('[::1]', 80), ('::1', None))
    """
    # "::1" ends like a port, but more than one colon outside brackets is an address.
    if entry.count(":") != 1 and "]:" not in entry:
        return entry, None
    match = _WITH_PORT(entry)
    if match is None:
        raise ValueError(f"the port of {entry!r} is not a number")
    return match.group(1), int(match.group(2))


def _ipv4(host: str) -> str:
    # As typed, not as mapped: full-width digits do not make an address.
    try:
        if host.isascii():
            return str(IPv4Address(host))
    except ValueError:
        pass
    raise _bad(host, "ends in a number but is not an IPv4 address of the form 192.0.2.1")


def _ipv6(host: str) -> str:
    inside = host[1:-1]
    try:
        # A zone id (fe80::1%eth0) has a meaning on this machine only and is never sent.
        if host[-1] != "]" or "%" in inside:
            raise ValueError(host)
        return f"[{_compressed(int(IPv6Address(inside)))}]"
    except ValueError:
        raise _bad(host, "is not an IPv6 address of the form [2001:db8::1], without a zone") from None


def _compressed(address: int) -> str:
    # By hand, as `str(IPv6Address)` spells ::ffff:192.0.2.1 differently from Python 3.13 on.
    groups = [f"{address >> shift & 0xFFFF:x}" for shift in range(112, -1, -16)]
    text = ":".join(groups)
    runs = re.findall(r"(?:(?<=:)|^)0(?::0)+(?=:|$)", text)
    if not runs:
        return text
    head, _, tail = f":{text}:".partition(f":{max(runs, key=len)}:")
    return f"{head.lstrip(':')}::{tail.rstrip(':')}"


def _idna(host: str) -> str:
    try:
        import idna
    except ImportError:
        raise _bad(host, "is not ASCII, and the package idna is not installed; write it as xn--...") from None
    try:
        if len(host) > _MAX_TYPED:
            raise ValueError("too long")
        return idna.encode(host, uts46=True).decode("ascii").lower()
    except (ValueError, IndexError):
        raise _bad(host, "is not a valid international domain name (IDNA 2008)") from None


def _bad(host: str, why: str) -> InvalidRequestError:
    # A colon outside brackets may belong to a misplaced "user:password".
    shown = repr(host[:100]) if host[0] == "[" or ":" not in host else "in the URL"
    return InvalidRequestError(f"the host {shown} {why}; check the URL")

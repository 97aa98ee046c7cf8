"""Which proxy a URL goes through: the rules of the environment variables, once for both transports.

There is no RFC; the rules are curl's, as far as requests and Go agree: http_proxy or https_proxy by the
URL's scheme, then all_proxy, and no_proxy as a list of exceptions. Lower case wins over upper case.
HTTP_PROXY in upper case is ignored under CGI, where a client can set it with a ``Proxy:`` header (httpoxy).

    NO_PROXY entry                   matches
    *                                every host
    example.com, .example.com        the domain and all below it
    *.example.com                    all below it
    example.com:8080, [::1]:8080     the same, at that port only
    192.0.2.1, ::1                   that address
    10.0.0.0/8, fd00::/8             every address in it (literal addresses; names are not resolved)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple

from ...errors import InvalidRequestError
from ..hosts import normalise_host, split_port
from ..unix_sockets import UNIX
from ..urls import Url, split_url
from .urls import redact_proxy

__all__ = ["NoProxyEntry", "ProxySettings", "unreadable_exceptions"]


class NoProxyEntry(NamedTuple):
    """One parsed entry of NO_PROXY. Exactly one of `network`, `domain` and `matches_all` is set."""

    domain: str = ""
    network: IPv4Network | IPv6Network | None = None
    port: int | None = None
    subdomains_only: bool = False
    matches_all: bool = False

    def matches(self, host: str, port: int, address: IPv4Address | IPv6Address | None) -> bool:
        if self.port is not None and self.port != port:
            return False
        if self.matches_all:
            return True
        if self.network is not None:
            return address is not None and address in self.network
        return host.endswith(f".{self.domain}") or (host == self.domain and not self.subdomains_only)


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """The proxies in use. Immutable. Made by hand or by `from_environ`.

    http, https: the proxy's URL for requests of that scheme, or None. It may have user information, so it
    stays out of the repr. Its own scheme (such as socks5) is not checked here: the transports decide.
    """

    http: str | None = None
    https: str | None = None
    no_proxy: tuple[NoProxyEntry, ...] = ()

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> ProxySettings:
        """The settings of a mapping such as `os.environ`."""
        any_scheme = _variable(environ, "all_proxy")
        http = _variable(environ, "http_proxy", upper_too="REQUEST_METHOD" not in environ)
        https = _variable(environ, "https_proxy")
        entries = [_parse_entry(entry) for entry in _listed(_variable(environ, "no_proxy") or "")]
        return cls(
            http=_with_scheme(http or any_scheme),
            https=_with_scheme(https or any_scheme),
            no_proxy=tuple(entry for entry in entries if entry is not None),
        )

    def proxy_for(self, url: Url | str) -> str | None:
        """The URL of the proxy for this URL, or None to connect directly."""
        if self.http is None and self.https is None:
            return None
        if isinstance(url, str):
            url = split_url(url)
        if url.scheme == UNIX:
            return None
        proxy = self.http if url.scheme == "http" else self.https
        if not self.no_proxy:
            return proxy
        host = url.host.rstrip(".")
        address = _address(host)
        if any(entry.matches(host, url.port, address) for entry in self.no_proxy):
            return None
        return proxy

    def __repr__(self) -> str:
        http, https = (redact_proxy(proxy) if proxy else None for proxy in (self.http, self.https))
        return f"ProxySettings(http={http!r}, https={https!r}, no_proxy={len(self.no_proxy)})"


def unreadable_exceptions(no_proxy: str) -> list[str]:
    """The entries of a NO_PROXY list that cannot be parsed and are ignored."""
    return [entry for entry in _listed(no_proxy) if _parse_entry(entry) is None]


def _listed(no_proxy: str) -> list[str]:
    return [entry for entry in re.split(r"[\s,]+", no_proxy) if entry]


def _variable(environ: Mapping[str, str], name: str, *, upper_too: bool = True) -> str | None:
    # An empty lower-case variable turns the upper-case one off.
    if name in environ:
        return environ[name].strip() or None
    return environ.get(name.upper(), "").strip() or None if upper_too else None


def _with_scheme(proxy: str | None) -> str | None:
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"


def _parse_entry(entry: str) -> NoProxyEntry | None:
    """The parsed entry, or None: a typing error in one entry must not send all traffic the wrong way."""
    try:
        entry, port = split_port(entry.lower())
    except ValueError:
        return None
    try:
        return NoProxyEntry(network=ip_network(entry.strip("[]"), strict=False), port=port)
    except ValueError:
        pass
    subdomains_only = entry.startswith("*.")
    domain = entry.removeprefix("*").strip(".")
    if entry == "*":
        return NoProxyEntry(matches_all=True, port=port)
    try:
        return NoProxyEntry(domain=normalise_host(domain), port=port, subdomains_only=subdomains_only)
    except InvalidRequestError:
        return None


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None

"""What the URL of a proxy says: where it listens, and how we show it who we are. Which one it is, `proxies` decides."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from ...errors import Failure, InvalidRequestError, ProxyError, SentState
from ..auth.basic import basic
from ..hosts import normalise_host
from ..urls import DEFAULT_PORTS, Url, redact_url
from .socks5 import Login

__all__ = ["HttpProxy", "Proxy", "SocksProxy", "read_proxy", "redact_proxy"]

_DEFAULT_PORTS = {**DEFAULT_PORTS, "socks5": 1080, "socks5h": 1080}


class HttpProxy(NamedTuple):
    """A proxy that forwards requests, and opens tunnels for https.

    address: where it listens.   fields: what it is sent: Proxy-Authorization, if its URL had user information.
    """

    address: Url
    fields: tuple[tuple[str, str], ...] = ()


class SocksProxy(NamedTuple):
    """A SOCKS5 proxy: it opens tunnels, for http too.

    host, port: where it listens.   login: if its URL had user information.
    resolves: it resolves the names (socks5h), and not we (socks5); as curl has it.
    """

    host: str
    port: int
    login: Login | None
    resolves: bool


Proxy = HttpProxy | SocksProxy


@lru_cache(maxsize=64)
def read_proxy(proxy: str) -> Proxy | Failure:
    """The proxy of this URL, or the failure of all that should go through it: nothing is sent to it then."""
    try:
        parts = urlsplit(proxy)
        if parts.scheme not in _DEFAULT_PORTS:
            return _unusable(proxy, "is of a kind that is not known")
        port = _DEFAULT_PORTS[parts.scheme] if parts.port is None else parts.port
        if not port:
            return _unusable(proxy, "has no port that can be connected to")
        host = parts.hostname or ""
        host = normalise_host(f"[{host}]" if ":" in host else host).strip("[]")
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        if parts.scheme.startswith("socks"):
            login = (_octets(user), _octets(password)) if user or password else None
            return SocksProxy(host, port, login, resolves=parts.scheme == "socks5h")
        fields = (("Proxy-Authorization", basic(user, password)),) if user or password else ()
    except (ValueError, InvalidRequestError):
        return _unusable(proxy, "is not the URL of a proxy")
    return HttpProxy(Url(parts.scheme, host, port, "/"), fields)


def _octets(text: str) -> bytes:
    """A user name or password for SOCKS5, whose length must fit into one byte."""
    octets = text.encode("utf-8")
    if len(octets) > 255:
        raise ValueError("too long")
    return octets


def _unusable(proxy: str, problem: str) -> Failure:
    remedy = "use http://host:port, https://, socks5:// or socks5h://, or exclude the host by NO_PROXY"
    message = f"{redact_proxy(proxy)} {problem}; {remedy}"
    return Failure(ProxyError, message, SentState.NEVER_SENT)


def redact_proxy(proxy: str) -> str:
    """As `redact_url`, and up to the last "@": a password may hold what it should have escaped."""
    return redact_url(re.sub(r"^([^/?#@]*//)?.*@", r"\1***@", proxy, count=1, flags=re.DOTALL))

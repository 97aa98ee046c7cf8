"""What the URL of a proxy says: its address and the login for it. `settings` decides which proxy is used."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from ...errors import Failure, ProxyError, SentState
from ..auth.credentials import basic
from ..hosts import normalise_host
from ..urls import DEFAULT_PORTS, Url, redact_url
from .socks5 import Login

__all__ = ["HttpProxy", "Proxy", "SocksProxy", "read_proxy", "redact_proxy"]

_LOGIN = "proxy-authorization"
_DEFAULT_PORTS = {**DEFAULT_PORTS, "socks5": 1080, "socks5h": 1080}


class HttpProxy(NamedTuple):
    """A proxy that forwards requests, and opens tunnels for https.

    address: where it listens.   fields: what it gets: Proxy-Authorization, if its URL has a login.
    """

    address: Url
    fields: tuple[tuple[str, str], ...] = ()

    def fields_beside(self, headers: Iterable[str]) -> tuple[tuple[str, str], ...]:
        """What a request with headers of these names gets when it is forwarded: a login of its own comes first."""
        return () if any(name.lower() == _LOGIN for name in headers) else self.fields


class SocksProxy(NamedTuple):
    """A SOCKS5 proxy: it opens tunnels, for http too.

    host, port: where it listens.   login: of its URL, or None.
    resolves: the proxy resolves names (socks5h); otherwise we do (socks5), as in curl.
    """

    host: str
    port: int
    login: Login | None
    resolves: bool


Proxy = HttpProxy | SocksProxy


@lru_cache(maxsize=64)
def read_proxy(proxy: str) -> Proxy | Failure:
    """The proxy of this URL, or the failure of every request through it; then nothing is sent to it."""
    try:
        parts = urlsplit(proxy)
        if parts.scheme not in _DEFAULT_PORTS:
            return _unusable(proxy, "has an unknown scheme")
        port = _DEFAULT_PORTS[parts.scheme] if parts.port is None else parts.port
        if not port:
            return _unusable(proxy, "has port 0, which is not a valid port")
        host = parts.hostname or ""
        host = normalise_host(f"[{host}]" if ":" in host else host).strip("[]")
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        if parts.scheme.startswith("socks"):
            login = (_octets(user), _octets(password)) if user or password else None
            return SocksProxy(host, port, login, resolves=parts.scheme == "socks5h")
        fields = (("Proxy-Authorization", basic(user, password)),) if user or password else ()
    except ValueError:  # InvalidRequestError, of a host or a login, is one
        return _unusable(proxy, "is not a valid proxy URL")
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
    """As `redact_url`, but up to the last "@": a password may have characters that should be escaped."""
    return redact_url(re.sub(r"^([^/?#@]*//)?.*@", r"\1***@", proxy, flags=re.DOTALL))

"""The proxy of one exchange: where it listens, and how we show it who we are. The choice is `protocol.proxies`'."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from ..errors import Failure, InvalidRequestError, ProxyError, SentState
from ..protocol.auth import basic
from ..protocol.hosts import normalise_host
from ..protocol.urls import Url, redact_url

__all__ = ["HttpProxy", "read_proxy"]


class HttpProxy(NamedTuple):
    """An HTTP proxy.

    address: where it listens.   fields: what it is sent: Proxy-Authorization, if its URL had user information.
    """

    address: Url
    fields: tuple[tuple[str, str], ...] = ()


@lru_cache(maxsize=64)
def read_proxy(proxy: str) -> HttpProxy | Failure:
    """The proxy of this URL, or the failure of all that should go through it: nothing is sent to it then."""
    parts = urlsplit(proxy)
    if parts.scheme not in ("http", "https"):
        return _unusable(proxy, "is not an HTTP proxy")
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        host = parts.hostname or ""
        host = normalise_host(f"[{host}]" if ":" in host else host).strip("[]")
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        fields = (("Proxy-Authorization", basic(user, password)),) if user or password else ()
    except (ValueError, InvalidRequestError):
        return _unusable(proxy, "is not the URL of a proxy")
    return HttpProxy(Url(parts.scheme, host, port, "/"), fields)


def _unusable(proxy: str, problem: str) -> Failure:
    message = f"{redact_url(proxy)} {problem}; use http://host:port or https://host:port, or exclude the host by NO_PROXY"
    return Failure(ProxyError, message, SentState.NEVER_SENT)

"""The checks of `http2=True`: what it needs, and which settings would leave it without effect."""

from __future__ import annotations

import ssl
from importlib.util import find_spec

from ...errors import ConfigurationError
from ...http.proxies.settings import ProxySettings
from .pool import ConnectionPoolConfig

__all__ = ["check_http2"]


def check_http2(pool: ConnectionPoolConfig, proxies: ProxySettings | None) -> None:
    """Raise ConfigurationError if HTTP/2 cannot be used, or never would be."""
    if find_spec("h2") is None:
        raise ConfigurationError(
            "http2=True needs the package h2, which is not installed; run pip install 'http-service-client[http2]'"
        ) from ModuleNotFoundError("No module named 'h2'", name="h2")
    if pool.uds is not None:
        raise ConfigurationError(
            f"http2=True conflicts with uds={pool.uds!r} of connection_pool: calls to a Unix socket use HTTP/1.1; set one"
        )
    if proxies is not None and proxies.https is not None and not proxies.no_proxy:
        raise ConfigurationError(
            "http2=True conflicts with proxy, which all https calls go through: calls through a proxy use HTTP/1.1; "
            "set one, or name the hosts for HTTP/2 under the key 'no' of proxy"
        )
    if isinstance(pool.ssl_context, ssl.SSLContext):
        raise ConfigurationError(
            "http2=True conflicts with an ssl_context that other connections may use, too: HTTP/2 has to be offered by it; "
            "set ssl_context to a function that makes a new one"
        )

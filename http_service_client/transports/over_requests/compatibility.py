"""What the blocking transport uses of requests and urllib3 beside their documented interface, and what if it is gone.

The connections, their pools, TLS and proxies are our own, and requests sees them as a transport adapter, which it
documents. Two seams remain.

    seam                                            used for                        without it
    HTTPAdapter.send, which asks                    calls on which another library  refused: requests would connect
      get_connection_with_tls_context for a pool    has hooked into that `send`     past the egress policy and proxies
    SSLTransport of urllib3, with `incoming`        TLS to the server within TLS    https:// URLs through https://
      and `socket`                                  to the proxy                    proxies are refused

Two more need no probe. `_cookies` of a `PreparedRequest` is set for mocks that read it. `ConnectionCls` of urllib3's
pools shows whether vcrpy records: without it, nothing is recorded.
"""

from __future__ import annotations

from typing import Any

import requests
import requests.adapters
import urllib3

from ...errors import ConfigurationError
from ..seams import SeamNotice, is_replaced, names_used_by

__all__ = ["ADAPTER", "NESTED_TLS", "SSLTransport", "is_hooked", "past_our_pools", "recording_class"]

_ADAPTER_CALLS = {"get_connection_with_tls_context", "cert_verify", "request_url", "urlopen"}


def is_hooked() -> bool:
    """Whether another library has replaced `HTTPAdapter.send`."""
    return is_replaced(requests.adapters.HTTPAdapter.send, requests.adapters)


def _gone_from_the_adapter() -> list[str]:
    if is_hooked():
        return []  # what is below cannot be seen; `RefusingPools` judges each call
    used = names_used_by(requests.adapters.HTTPAdapter.send)
    return [f"HTTPAdapter.{name}" for name in sorted(_ADAPTER_CALLS - used)]


def _ssl_transport() -> Any:
    """urllib3's TLS within TLS; None if it is not as expected."""
    try:
        from urllib3.util.ssltransport import SSLTransport as found
    except ImportError:
        return None
    return found if {"incoming", "socket", "MemoryBIO"} <= names_used_by(found.__init__) else None


class _NoTransport:
    """Stands for urllib3's class where that is gone: nothing is an instance of it."""


_found = _ssl_transport()
SSLTransport: Any = _found or _NoTransport

ADAPTER = SeamNotice(
    "requests",
    requests.__version__,
    _gone_from_the_adapter(),
    "calls are refused while another library replaces HTTPAdapter.send; all others work as before",
)
NESTED_TLS = SeamNotice(
    "urllib3",
    urllib3.__version__,  # type: ignore[attr-defined]  # not in its __all__
    [] if _found else ["SSLTransport"],
    "https:// URLs through an https:// proxy are refused; all others work as before",
)


def recording_class(pool: Any) -> str:
    """The module of the connections that a pool of urllib3 makes; "" if that cannot be known."""
    return getattr(getattr(pool, "ConnectionCls", None), "__module__", "")


def past_our_pools(name: str) -> ConfigurationError:
    """The error for a connection that requests is about to make by itself: nothing has checked where it would go."""
    return ConfigurationError(
        f"requests {requests.__version__} would connect past the egress policy and the proxies (by {name}), since "
        "another library has replaced HTTPAdapter.send; upgrade http-service-client, or install an older requests"
    )

"""What exchanges through requests use beside its documented interface, and what if that is gone.

The connections, their pools, TLS and proxies are our own, and requests sees them as a transport adapter, which it
documents. One seam remains, beside that of `nested_tls`.

    seam                                            used for                        without it
    HTTPAdapter.send, which asks                    calls on which another library  refused: requests would connect
      get_connection_with_tls_context for a pool    has hooked into that `send`     past the egress policy and proxies

Two more need no probe. `_cookies` of a `PreparedRequest` is set for mocks that read it. `ConnectionCls` of urllib3's
pools shows whether vcrpy records (see `hook_detection`).
"""

from __future__ import annotations

import requests
import requests.adapters

from ....errors import ConfigurationError
from ...compatibility import SeamNotice, is_replaced, names_used_by
from ..hook_detection import own_classes

__all__ = ["ADAPTER", "is_adapter_replaced", "past_our_pools"]

_, _Adapter = own_classes()
_ADAPTER_CALLS = {"get_connection_with_tls_context", "cert_verify", "request_url", "urlopen"}


def is_adapter_replaced() -> bool:
    """Whether another library has replaced `HTTPAdapter.send`."""
    return is_replaced(_Adapter.send, requests.adapters)


def _gone_from_the_adapter() -> list[str]:
    if is_adapter_replaced():
        return []  # what is below cannot be seen; `RefusingPools` judges each call
    used = names_used_by(_Adapter.send)
    return [f"HTTPAdapter.{name}" for name in sorted(_ADAPTER_CALLS - used)]


ADAPTER = SeamNotice(
    "requests",
    requests.__version__,
    _gone_from_the_adapter(),
    "calls are refused while another library replaces HTTPAdapter.send; all others work as before",
)


def past_our_pools(name: str) -> ConfigurationError:
    """The error for a connection that requests is about to make by itself: nothing has checked where it would go."""
    return ConfigurationError(
        f"requests {requests.__version__} would connect past the egress policy and the proxies (by {name}), since "
        "another library has replaced HTTPAdapter.send; upgrade http-service-client, or install an older requests"
    )

"""Whether another library has hooked into requests or urllib3: a mock, a recorder, or instrumentation.

The connections are our own, and requests would only pass exchanges on to them. But a library that hooks into requests
must see our exchanges, too. So each exchange looks here first, and goes through requests if something is hooked in:

    replaced                                       for example by
    Session.send                                   requests-mock, OpenTelemetry, Datadog, Elastic APM
    HTTPAdapter.send                               responses
    Session.get_adapter, HTTPAdapter.build_response    a user's own tests
    ConnectionCls of urllib3's pools               vcrpy; the connections of others are ignored: they bypass our limits

Another class in the place of `Session` or `HTTPAdapter`, such as that of requests-cache, is for the sessions that are made
by that name. Ours derives from requests' own, also if it is made meanwhile.

Where requests was never imported, nothing can have hooked in, and it is not imported for our sake. Some instrumentation
waits for the import in order to hook in, by a finder in `sys.meta_path`: where one does, requests is imported.
"""

from __future__ import annotations

import sys
from typing import Any

from ...drivers.imports import import_apart
from ..compatibility import is_replaced, waits_for_imports

__all__ = ["is_hooked", "is_recorded", "own_classes"]

_POOLS = {"http": "HTTPConnectionPool", "https": "HTTPSConnectionPool"}
_classes: tuple[Any, Any] | None = None  # requests' own, once they have been found
_own: tuple[Any, ...] = (None,) * 4  # requests' own functions, once they have been seen


def own_classes() -> tuple[Any, Any]:
    """requests' own `Session` and `HTTPAdapter`, whatever is in their place; None for one that is not imported."""
    session = _own_class("requests.sessions", "SessionRedirectMixin", "Session")
    return session, _own_class("requests.adapters", "BaseAdapter", "HTTPAdapter")


def _own_class(module: str, base: str, name: str) -> Any:
    found = sys.modules.get(module)
    parent = getattr(found, base, None)
    for kind in () if parent is None else parent.__subclasses__():
        if kind.__module__ == module and kind.__name__ == name:
            return kind
    return getattr(found, name, None)


def is_hooked() -> bool:
    """Whether exchanges go through requests. It is asked in each exchange."""
    global _classes
    modules = sys.modules
    sessions, adapters = modules.get("requests.sessions"), modules.get("requests.adapters")
    if sessions is None or adapters is None:
        return waits_for_imports() and _is_hooked_by_import()
    if _classes is None:
        found = own_classes()
        if None in found:  # another thread is importing them at this moment
            return False
        _classes = found
    session, adapter = _classes
    send, get_adapter, adapter_send, build_response = _own
    # By identity: a wrapper may claim to equal what it wraps.
    are_own = (
        session.send is send
        and session.get_adapter is get_adapter
        and adapter.send is adapter_send
        and adapter.build_response is build_response
    )
    if not are_own and not _are_own(session, adapter, sessions, adapters):
        return True
    return "vcr" in modules and any(map(is_recorded, _POOLS))


def _are_own(session: Any, adapter: Any, sessions: Any, adapters: Any) -> bool:
    global _own
    found = session.send, session.get_adapter, adapter.send, adapter.build_response
    if any(is_replaced(function, sessions) for function in found[:2]):
        return False
    if any(is_replaced(function, adapters) for function in found[2:]):
        return False
    _own = found
    return True


def _is_hooked_by_import() -> bool:
    import_apart(_load_requests)
    return "requests.sessions" in sys.modules and is_hooked()


def _load_requests() -> None:
    import requests  # noqa: F401


def is_recorded(scheme: str) -> bool:
    """Whether vcrpy records requests of this scheme. `ConnectionCls` is not documented; without it, nothing is recorded."""
    kind = getattr(sys.modules.get("urllib3.connectionpool"), _POOLS.get(scheme, ""), None)
    return str(getattr(getattr(kind, "ConnectionCls", None), "__module__", "")).startswith("vcr.")

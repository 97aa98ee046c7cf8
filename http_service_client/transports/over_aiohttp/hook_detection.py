"""Whether another library has hooked into aiohttp: a mock, a recorder, or instrumentation.

The connections are our own, and aiohttp would only pass exchanges on to its own. But a library that hooks into aiohttp must
see our exchanges, too. So each exchange looks here first, and goes through aiohttp if something is hooked in:

    replaced                         for example by
    ClientSession._request           aioresponses, vcrpy, Datadog, Elastic APM, New Relic
    ClientSession.__init__           OpenTelemetry and Sentry, which add trace configs to each session
    TCPConnector._resolve_host       aresponses

Another class in the place of `ClientSession` is for the sessions that are made by that name.

Where aiohttp was never imported, nothing can have hooked in, and it is not imported for our sake. Some instrumentation
waits for the import in order to hook in, by a finder in `sys.meta_path`: where one does, aiohttp is imported.
"""

from __future__ import annotations

import sys
from typing import Any

from ...drivers.imports import import_apart
from ..compatibility import is_replaced, waits_for_imports

__all__ = ["is_hooked", "own_session_class"]

_session: Any = None  # aiohttp's own classes, once they have been found
_connector: Any = None
_own: tuple[Any, ...] = (None,) * 3  # aiohttp's own functions, once they have been seen


def own_session_class() -> Any:
    """aiohttp's own `ClientSession`, whatever is in its place; None before it is imported."""
    return _session or _find_classes()[0]


def is_hooked() -> bool:
    """Whether exchanges go through aiohttp. It is asked in each exchange."""
    session, connector = _session, _connector
    if session is None:
        if "aiohttp.client" not in sys.modules:
            return waits_for_imports() and _is_hooked_by_import()
        session, connector = _find_classes()
        if session is None or connector is None:  # another thread is importing them at this moment
            return False
    request, init, resolve_host = _own
    # By identity: a wrapper may claim to equal what it wraps.
    return not (
        getattr(session, "_request", None) is request
        and session.__init__ is init
        and getattr(connector, "_resolve_host", None) is resolve_host
    ) and not _are_own(session, connector)


def _find_classes() -> tuple[Any, Any]:
    global _session, _connector
    session = _own_class("aiohttp.client", "ClientSession")
    connector = _own_class("aiohttp.connector", "TCPConnector")
    if session is not None and connector is not None:
        _connector = connector
        _session = session
    return session, connector


def _own_class(module: str, name: str) -> Any:
    found = sys.modules.get(module)
    kind = getattr(found, name, None)
    if getattr(kind, "__module__", None) == module:
        return kind
    return None


def _are_own(session: Any, connector: Any) -> bool:
    global _own
    # Another release may have other names for what is private to it; whoever hooks in there knows them.
    request, resolve_host = getattr(session, "_request", None), getattr(connector, "_resolve_host", None)
    client, connectors = sys.modules["aiohttp.client"], sys.modules["aiohttp.connector"]
    if is_replaced(session.__init__, client) or (request is not None and is_replaced(request, client)):
        return False
    if resolve_host is not None and is_replaced(resolve_host, connectors):
        return False
    _own = request, session.__init__, resolve_host
    return True


def _is_hooked_by_import() -> bool:
    import_apart(_load_aiohttp)
    return "aiohttp.client" in sys.modules and is_hooked()


def _load_aiohttp() -> None:
    import aiohttp  # noqa: F401

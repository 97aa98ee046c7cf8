"""The call as telemetry sees it (see `core.telemetry`): the outermost layer, present only where telemetry is switched on."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Protocol

from ...http.messages import HttpRequest
from ..effects import Outcome, Plan

if TYPE_CHECKING:
    from ..call import Call
    from ..layer import Handler
    from ..machines.circuit_breaker.states import StateChange
    from ..telemetry import CallTelemetry

__all__ = ["Telemetry", "TelemetryLayer", "UnsignedHeadersLayer"]


class Telemetry(Protocol):
    """Sees the calls of any number of clients. As in a `CallTelemetry`, nothing here raises or waits.

    header_names: of the headers that `begin_exchange` sets. They are removed from requests that will be signed, since a
        signature over their old values would not hold.
    """

    @property
    def header_names(self) -> Collection[str]: ...

    def watch(self, client: Any) -> None:
        """A client has this telemetry from now on. It is not to be kept alive for that."""
        ...

    def begin(self, call: Call, parent: CallTelemetry | None) -> CallTelemetry | None:
        """A call begins. None to see nothing of it.

        parent: that of the call that this one is made for, but beside it: it fetches a token, say, or brings a cached
            response up to date. None for the ordinary call, which belongs to the code that runs.
        """
        ...

    def changed(self, change: StateChange) -> None:
        """A circuit has changed its state, in the thread or task of the call that caused it."""
        ...


class TelemetryLayer:
    """Has telemetry see the call, from its first step to its last."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    def __call__(self, proceed: Handler, request: HttpRequest, call: Call) -> Plan[Outcome]:
        # Until here, `call.telemetry` is that of the call that this one is made for.
        seen = call.telemetry = self._telemetry.begin(call, call.telemetry)
        if seen is None:
            return (yield from proceed(request, call))
        call.listener = seen.record
        try:
            seen.enter()
            return (yield from proceed(request, call))
        finally:
            seen.leave()


class UnsignedHeadersLayer:
    """Removes the headers that telemetry will set from a request that is about to be signed."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    def __call__(self, proceed: Handler, request: HttpRequest, call: Call) -> Plan[Outcome]:
        if call.telemetry is not None:
            # Of this moment: the propagator of a process may be set late.
            names = self._telemetry.header_names
            if any(name in request.headers for name in names):
                request = request.copy()
                for name in names:
                    request.headers.pop(name, None)
        return proceed(request, call)

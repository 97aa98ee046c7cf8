"""What `OpenTelemetry` has of the API: a tracer, the instruments, and the propagator of the context."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any
from weakref import WeakSet

from opentelemetry.context import Context
from opentelemetry.metrics import MeterProvider, get_meter
from opentelemetry.propagate import get_global_textmap
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import TracerProvider, get_tracer

from ..._version import __version__
from ...core.signals import raise_if_of_signal_handler
from ...drivers.locks import ForkSafeLock
from ...drivers.loggers import log_hook
from ...http.messages import HttpRequest
from ...http.unix_sockets import UNIX
from ...http.urls import split_url
from .attributes import KnownMethods
from .instruments import Instruments
from .targets import Targets

__all__ = ["Tracing"]

_SCHEMA = "https://opentelemetry.io/schemas/1.44.0"
_NAME = "http_service_client"


class Tracing:
    """What the spans of calls are made with.   is_named: whether a host and port get the headers; None for the rule of redirects."""

    def __init__(
        self,
        tracer_provider: TracerProvider | None,
        meter_provider: MeterProvider | None,
        propagator: TextMapPropagator | None,
        is_named: Callable[[str, int], bool] | None,
    ) -> None:
        self._propagator = propagator
        self._is_named = is_named
        self._fields: tuple[object, frozenset[str]] = (None, frozenset())
        self._has_reported = False
        self.targets = Targets(KnownMethods())
        self._clients: WeakSet[Any] = WeakSet()
        self._lock = ForkSafeLock()
        self.start_span = get_tracer(_NAME, __version__, tracer_provider, _SCHEMA).start_span
        self.instruments = Instruments(
            get_meter(_NAME, __version__, meter_provider, _SCHEMA), self.targets, self.clients
        )

    def watch(self, client: Any) -> None:
        """Observe the connections of a client for as long as it lives."""
        with self._lock:
            self._clients.add(client)

    def clients(self) -> list[Any]:
        """Those that live. Others may be made meanwhile, by other threads than the one that exports."""
        with self._lock:
            return list(self._clients)

    @property
    def header_names(self) -> frozenset[str]:
        """The headers of the propagator; none if it fails, since `inject` fails then, too."""
        try:
            return self._names(self._propagator or get_global_textmap())
        except Exception:
            self.report()
            return frozenset()

    def inject(self, request: HttpRequest, context: Context) -> None:
        """Write the headers of the propagator, in place of older ones."""
        propagator, headers = self._propagator or get_global_textmap(), request.headers
        found: MutableMapping[str, str] = {}
        if self._may_learn(request):
            propagator.inject(found, context)  # pyright: ignore[reportArgumentType]  # of their default
            if not found:
                return  # nothing is recorded: the headers of an outer trace may stay
        names = self._names(propagator)
        if headers.has_any(names):
            for name in names:
                headers.pop(name, None)
        for name, value in found.items():
            headers[name] = value

    def report(self) -> None:
        """Log the exception that is being handled, the first time. One of a signal's handler is raised again."""
        raise_if_of_signal_handler()
        if not self._has_reported:
            self._has_reported = True
            log_hook("OpenTelemetry failed; calls are not affected, and further failures are not logged")

    def _names(self, propagator: TextMapPropagator) -> frozenset[str]:
        known, names = self._fields
        if known is not propagator:
            names = frozenset(map(str.lower, propagator.fields))
            self._fields = (propagator, names)
        return names

    def _may_learn(self, request: HttpRequest) -> bool:
        if self._is_named is None:
            return not request.left_origin
        url = split_url(request.url)
        return url.scheme != UNIX and self._is_named(url.host, url.port)

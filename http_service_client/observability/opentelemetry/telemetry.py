"""`OpenTelemetry`: what a client is given to be seen in traces and metrics. Its package is imported when one is made."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from ...core.checks import remedies, suggests_keywords
from ...errors import ConfigurationError
from ...http.egress import host_matcher

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.propagators.textmap import TextMapPropagator
    from opentelemetry.trace import TracerProvider

    from ...core.call import Call
    from ...core.machines.circuit_breaker.states import StateChange
    from ...core.telemetry import CallTelemetry

__all__ = ["OpenTelemetry"]


@suggests_keywords(
    remedies(
        {
            "it is called tracer_provider": "tracer provider",
            "it is called meter_provider": "meter",
            "it is called propagator": "propagators",
        }
    )
)
class OpenTelemetry:
    """Traces and metrics of a client's calls: ``HttpServiceClient(telemetry=OpenTelemetry())``.

    A call has an INTERNAL span, named by `name=` or by its method, with events for its waits, retries and refusals. Each
    exchange in it has a CLIENT span by the semantic conventions for HTTP. Several clients may share one object.

    tracer_provider, meter_provider: None for those that are set for the process, also if they are set later.
    propagator: writes the headers by which a service continues the trace; None for that of the process.
    hosts: those that get these headers, as in `Propagation`; an empty list for none. None for all that a call leads to,
        but not for another origin that a redirect has chosen.

    Its own errors, and those of a span processor, fail no call: the first one is logged.

    Raises ConfigurationError for something else, and without the extra `opentelemetry`.
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        propagator: TextMapPropagator | None = None,
        hosts: Sequence[str] | None = None,
    ) -> None:
        for field, value, name in (
            ("tracer_provider", tracer_provider, "get_tracer"),
            ("meter_provider", meter_provider, "get_meter"),
            ("propagator", propagator, "inject"),
        ):
            if value is not None and (isinstance(value, type) or not hasattr(value, name)):
                raise ConfigurationError(f"{field} must be an object with {name}, or None, not {value!r}")
        is_named = None if hosts is None else host_matcher("hosts", hosts)
        try:
            from .calls import begin_call, note_change
            from .tracing import Tracing
        except ModuleNotFoundError as error:
            if str(error.name).partition(".")[0] != "opentelemetry":
                raise
            raise ConfigurationError(
                "OpenTelemetry needs opentelemetry-api: pip install 'http-service-client[opentelemetry]'"
            ) from error
        self._tracing = Tracing(tracer_provider, meter_provider, propagator, is_named)
        self._begin, self._note = begin_call, note_change
        self._latest: StateChange | None = None

    # What the layers call: see `core.telemetry`.

    @property
    def header_names(self) -> Collection[str]:
        """The headers that the propagator writes."""
        return self._tracing.header_names

    def watch(self, client: Any) -> None:
        """Observe the connections of a client for as long as it lives."""
        self._tracing.watch(client)

    def begin(self, call: Call, parent: CallTelemetry | None) -> CallTelemetry | None:
        """A call begins. None where the running code, or that of the parent, has switched tracing off."""
        return self._begin(self._tracing, call, parent)

    def changed(self, change: StateChange) -> None:
        """A circuit has changed its state."""
        if change is not self._latest:  # two clients may share the circuit
            self._latest = change
            self._note(self._tracing, change)

    def __repr__(self) -> str:
        return "<OpenTelemetry>"

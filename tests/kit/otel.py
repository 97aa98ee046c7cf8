"""OpenTelemetry's real SDK with what it exports in memory, drawn as text that a test can compare with a literal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, Metric
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from http_service_client.observability import OpenTelemetry
from kit.fakes import Harness

__all__ = ["OLD", "PARENT", "Collected", "sent_ids", "span_ids"]

PARENT = "traceparent"
OLD = "00-11111111111111111111111111111111-2222222222222222-01"

_OURS = "http_service_client."
# Where it went, and the id: each span has them, and most tests leave them out.
_LEFT_OUT = frozenset(
    {*("server.address", "server.port", "http.request.method", "network.protocol.version"), f"{_OURS}call.id"}
)


class Collected:
    """A tracer provider and a meter provider, and all that they have exported.

    telemetry: for the clients of the test.   settings: further ones of it.
    """

    def __init__(self, **settings: Any) -> None:
        self._spans = InMemorySpanExporter()
        self._metrics = InMemoryMetricReader()
        self.tracer_provider = TracerProvider()
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._spans))
        self.meter_provider = MeterProvider(metric_readers=[self._metrics])
        self.telemetry = OpenTelemetry(
            tracer_provider=self.tracer_provider, meter_provider=self.meter_provider, **settings
        )

    @property
    def spans(self) -> list[ReadableSpan]:
        """The spans that have ended, in the order in which they began."""
        return sorted(self._spans.get_finished_spans(), key=lambda span: span.start_time or 0)

    def tree(self) -> list[str]:
        """Each span in a line, its events in lines of their own, indented by their depth.

        Attributes of ours are shown without their prefix, and without those that nearly all spans have.
        """
        return [line for root in self._children(None) for line in self._drawn(root, 0)]

    def _children(self, parent: ReadableSpan | None) -> list[ReadableSpan]:
        known = {span.context.span_id for span in self.spans}
        found = []
        for span in self.spans:
            above = None if span.parent is None or span.parent.span_id not in known else span.parent.span_id
            if above == (None if parent is None else parent.context.span_id):
                found.append(span)
        return found

    def _drawn(self, span: ReadableSpan, depth: int) -> Iterator[str]:
        indent = "  " * depth
        status = {"UNSET": "", "ERROR": " ERROR", "OK": " OK"}[span.status.status_code.name]
        yield f"{indent}{span.kind.name} {span.name}{status}{_pairs(span.attributes)}"
        for event in span.events:
            yield f"{indent}  ! {event.name.removeprefix(_OURS)}{_pairs(event.attributes)}"
        for child in self._children(span):
            yield from self._drawn(child, depth + 1)

    def metrics(self) -> dict[str, list[tuple[dict[str, Any], Any]]]:
        """For each metric its points: the attributes, and the value, or (count, sum) of a histogram."""
        return {
            metric.name: [(dict(point.attributes or {}), _value(point)) for point in metric.data.data_points]
            for metric in self._exported()
        }

    def units(self) -> dict[str, str | None]:
        """The unit of each metric."""
        return {metric.name: metric.unit for metric in self._exported()}

    def _exported(self) -> list[Metric]:
        data = self._metrics.get_metrics_data()
        scopes = (
            [scope for resource in data.resource_metrics for scope in resource.scope_metrics] if data else []
        )
        return [metric for scope in scopes for metric in scope.metrics]


def _pairs(attributes: Any) -> str:
    shown = [
        f" {name.removeprefix(_OURS)}={value if type(value) is not float else round(value, 3)}"
        for name, value in (attributes or {}).items()
        if name not in _LEFT_OUT
    ]
    return "".join(shown)


def _value(point: Any) -> Any:
    return point.value if hasattr(point, "value") else (point.count, round(point.sum, 3))


def span_ids(collected: Collected, kind: str = "CLIENT") -> list[str]:
    return [f"{span.context.span_id:016x}" for span in collected.spans if span.kind.name == kind]


def sent_ids(harness: Harness) -> list[str | None]:
    """The span that each request names as its parent."""
    values = [request.headers.get(PARENT) for request in harness.transport.sent]
    return [None if value is None else value.split("-")[2] for value in values]

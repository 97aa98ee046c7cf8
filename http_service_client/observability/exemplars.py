"""Exemplars: from a number on a dashboard to the trace of a call that it counts."""

from __future__ import annotations

from ..errors import ConfigurationError

__all__ = ["span_exemplar"]


def span_exemplar() -> dict[str, str] | None:
    """The ids of OpenTelemetry's current span: ``PrometheusCollector(client, exemplars=span_exemplar)``.

    None without a span, and for one that is not sampled: nobody could look it up. The names of the labels, ``trace_id`` and
    ``span_id``, are those that Grafana and the exporters of OpenTelemetry use. Needs the extra `opentelemetry`.
    """
    try:
        from opentelemetry import trace
    except ImportError:
        raise ConfigurationError(
            "span_exemplar needs opentelemetry-api: pip install 'http-service-client[opentelemetry]'"
        ) from None
    context = trace.get_current_span().get_span_context()
    if not context.is_valid or not context.trace_flags.sampled:
        return None
    return {
        "trace_id": trace.format_trace_id(context.trace_id),
        "span_id": trace.format_span_id(context.span_id),
    }

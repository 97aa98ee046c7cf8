"""What type checkers know of metrics and their collectors. mypy reads this file; nothing runs it."""

from __future__ import annotations

from typing_extensions import assert_type

from http_service_client import HttpMetrics, HttpServiceClient, MetricsCollector
from http_service_client.observability import Exemplar, PrometheusCollector, Sample, span_exemplar

client = HttpServiceClient()
view = client.with_options(timeout=5)

PrometheusCollector(client)
PrometheusCollector(view, exemplars=span_exemplar, max_services=10)
PrometheusCollector({"billing": client, "search": HttpServiceClient()})
PrometheusCollector(HttpMetrics())
PrometheusCollector(MetricsCollector(), exemplars=lambda: {"trace_id": "1"})
PrometheusCollector("https://api.example.com")  # type: ignore[arg-type]
PrometheusCollector(client, exemplars="trace_id")  # type: ignore[arg-type]

sample: Sample = client.metrics.snapshot().counters[0]
assert_type(sample.exemplar, Exemplar | None)

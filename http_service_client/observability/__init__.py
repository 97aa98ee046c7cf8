"""What a client counts and measures, and the records in which it is read.

`HttpMetrics` holds the numbers, a `MetricsCollector` feeds them from the events of calls, and
`HttpMetrics.snapshot()` returns a `MetricsSnapshot` of `Sample` and `HistogramSample` records. A `HealthSummary` is what a
client's `get_health_summary()` returns. A `PrometheusCollector` shows all of it to Prometheus. A `StructlogHandler` passes the
records of the log on to structlog.

An `OpenTelemetry` is what a client is given to be seen in traces and metrics; `instrument` has all clients seen, and
`uninstrument` undoes it.
"""

from typing import TYPE_CHECKING

from ..lazy import lazy_names as _lazy_names

if TYPE_CHECKING:
    from .collector import MetricsCollector as MetricsCollector
    from .exemplars import span_exemplar as span_exemplar
    from .health import HealthSummary as HealthSummary
    from .metrics import DURATION_BUCKETS as DURATION_BUCKETS
    from .metrics import HttpMetrics as HttpMetrics
    from .opentelemetry import OpenTelemetry as OpenTelemetry
    from .opentelemetry import instrument as instrument
    from .opentelemetry import uninstrument as uninstrument
    from .prometheus import PrometheusCollector as PrometheusCollector
    from .samples import HistogramSample as HistogramSample
    from .samples import MetricsSnapshot as MetricsSnapshot
    from .samples import Sample as Sample
    from .series import Exemplar as Exemplar
    from .structlog import StructlogHandler as StructlogHandler

if not TYPE_CHECKING:  # a type checker would take `from … import *` for an import of nothing
    __all__ = _lazy_names(
        globals(),
        {
            ".collector": "MetricsCollector",
            ".exemplars": "span_exemplar",
            ".health": "HealthSummary",
            ".metrics": "DURATION_BUCKETS HttpMetrics",
            ".opentelemetry": "OpenTelemetry instrument uninstrument",
            ".prometheus": "PrometheusCollector",
            ".samples": "HistogramSample MetricsSnapshot Sample",
            ".series": "Exemplar",
            ".structlog": "StructlogHandler",
        },
    )

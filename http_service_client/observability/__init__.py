"""What a client counts and measures, and the records in which it is read.

`HttpMetrics` holds the numbers, a `MetricsCollector` feeds them from the events of calls, and
`HttpMetrics.snapshot()` returns a `MetricsSnapshot` of `Sample` and `HistogramSample` records. A `HealthSummary` is what a
client's `get_health_summary()` returns. A `PrometheusCollector` shows all of it to Prometheus. A `StructlogHandler` passes the
records of the log on to structlog.

An `OpenTelemetry` is what a client is given to be seen in traces and metrics; `instrument` has all clients seen, and
`uninstrument` undoes it.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

from .collector import MetricsCollector
from .health import HealthSummary
from .metrics import DURATION_BUCKETS, HttpMetrics
from .series import Exemplar, HistogramSample, MetricsSnapshot, Sample

if TYPE_CHECKING:
    from .exemplars import span_exemplar as span_exemplar
    from .opentelemetry import OpenTelemetry as OpenTelemetry
    from .opentelemetry import instrument as instrument
    from .opentelemetry import uninstrument as uninstrument
    from .prometheus import PrometheusCollector as PrometheusCollector
    from .structlog import StructlogHandler as StructlogHandler

# Imported when they are first used: a client that nobody watches by them does not pay for them.
_MODULE_OF = {
    "OpenTelemetry": "opentelemetry",
    "PrometheusCollector": "prometheus",
    "StructlogHandler": "structlog",
    "instrument": "opentelemetry",
    "span_exemplar": "exemplars",
    "uninstrument": "opentelemetry",
}

__all__ = [
    "DURATION_BUCKETS",
    "Exemplar",
    "HealthSummary",
    "HistogramSample",
    "HttpMetrics",
    "MetricsCollector",
    "MetricsSnapshot",
    "OpenTelemetry",
    "PrometheusCollector",
    "Sample",
    "StructlogHandler",
    "instrument",
    "span_exemplar",
    "uninstrument",
]


if not TYPE_CHECKING:  # a type checker would take every name for one that exists

    def __getattr__(name: str) -> object:
        module = _MODULE_OF.get(name)
        if module is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(_import_module(f".{module}", __name__), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

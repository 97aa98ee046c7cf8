"""What a client counts and measures, and the records in which it is read.

`HttpMetrics` holds the numbers, a `MetricsCollector` feeds them from the events of calls, and
`HttpMetrics.snapshot()` returns a `MetricsSnapshot` of `Sample` and `HistogramSample` records. A `HealthSummary` is what a
client's `get_health_summary()` returns.
"""

from .collector import MetricsCollector
from .health import HealthSummary
from .metrics import DURATION_BUCKETS, HttpMetrics
from .series import HistogramSample, MetricsSnapshot, Sample

__all__ = [
    "DURATION_BUCKETS",
    "HealthSummary",
    "HistogramSample",
    "HttpMetrics",
    "MetricsCollector",
    "MetricsSnapshot",
    "Sample",
]

"""What a client counts and measures, and the records in which it is read.

`HttpMetrics` holds the numbers, a `MetricsCollector` feeds them from the events of calls, and
`HttpMetrics.snapshot()` returns a `MetricsSnapshot` of `Sample` and `HistogramSample` records.
"""

from .collector import MetricsCollector
from .metrics import DURATION_BUCKETS, HttpMetrics
from .series import HistogramSample, MetricsSnapshot, Sample

__all__ = [
    "DURATION_BUCKETS",
    "HistogramSample",
    "HttpMetrics",
    "MetricsCollector",
    "MetricsSnapshot",
    "Sample",
]

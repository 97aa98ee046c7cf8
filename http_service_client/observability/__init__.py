"""What a client counted and measured."""

from .collector import MetricsCollector
from .metrics import HistogramSample, HttpMetrics, MetricsSnapshot, Sample

__all__ = ["HistogramSample", "HttpMetrics", "MetricsCollector", "MetricsSnapshot", "Sample"]

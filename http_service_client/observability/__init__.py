"""What a client counted and measured."""

from .collector import MetricsCollector
from .metrics import HttpMetrics

__all__ = ["HttpMetrics", "MetricsCollector"]

"""What a client counts of the events of its calls: its metrics, and the calls of the last minutes."""

from __future__ import annotations

from typing import Any

from ..events import AttemptFinished
from .collector import MetricsCollector
from .recent import RecentCalls

__all__ = ["MOST_WAITING", "ClientAccount"]

MOST_WAITING = 64
"""Events that wait to be counted. More would be a pause that callers notice: to count these takes some 50 us."""


class ClientAccount:
    """Counts events of one client, in the order in which they came. See `HttpMetrics.catch_up`."""

    __slots__ = ("_collector", "_recent")

    def __init__(self, collector: MetricsCollector, recent: RecentCalls) -> None:
        self._collector = collector
        self._recent = recent

    def count(self, event: Any, now: float) -> None:
        """Count an event that came at `now`, by the client's clock."""
        self._collector.collect(event)
        if type(event) is not AttemptFinished or event.is_trial:
            self._recent.collect(event, now)

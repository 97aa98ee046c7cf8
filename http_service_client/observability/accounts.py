"""What a client counts of the events of its calls: its metrics, and the calls of the last minutes."""

from __future__ import annotations

from collections.abc import Sequence

from .collector import MetricsCollector
from .metrics import Waiting
from .recent import RecentCalls

__all__ = ["MOST_WAITING", "ClientAccount"]

MOST_WAITING = 64
"""Events that wait to be counted. More would be a pause that callers notice: to count these takes some 50 us."""


class ClientAccount:
    """Counts the events of one client. See `HttpMetrics.catch_up`."""

    __slots__ = ("_collector", "_recent")

    def __init__(self, collector: MetricsCollector, recent: RecentCalls) -> None:
        self._collector = collector
        self._recent = recent

    def count(self, waiting: Sequence[Waiting]) -> None:
        """Count events, in the order in which they came."""
        self._collector.collect_all([event for _, event, _ in waiting])
        self._recent.collect_all([(event, now) for _, event, now in waiting])

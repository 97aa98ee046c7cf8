"""What a sketch of latencies knows, beyond what the package asks of it."""

from __future__ import annotations

from bisect import bisect

from http_service_client.core.machines.latency import _BOUNDS, LatencySketch

__all__ = ["share_within"]


def share_within(sketch: LatencySketch, seconds: float, least: int = 1) -> float | None:
    """The share of the attempts that end within this time, to a bucket; None if fewer than `least` are known to."""
    table, bucket = sketch._estimate(), bisect(_BOUNDS, seconds)
    return table.shares[bucket] if table.known[bucket] >= least else None

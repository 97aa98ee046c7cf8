"""The recent calls of a client as plain values, for a health summary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .recent import PERCENTILE_ERROR, Key, Recent, Tally, by_origin, together

__all__ = ["window_of"]

# A kind of calls is slow when it takes at least this many times as long as usual, and at least so many seconds more.
_SLOW = 2.0
_NOTICEABLE = 0.01
# With fewer calls than these, a percentile is mostly chance. With so many, of a service whose durations are lognormal, with
# a 99th percentile of five times the median, one window in 500 seems slow by p50, and one in 1,700 by p95.
_FEWEST = {0.5: 10, 0.95: 40}
_FEWEST_BEFORE = 20
_MOST_SLOW = 10


def window_of(recent: Recent) -> dict[str, Any]:
    """The recent calls: all together, by origin, and those that take longer than usual."""
    origins = by_origin(recent.window)
    most_first = sorted(origins.items(), key=lambda each: (not each[0], -each[1].calls))
    everything = together(origins.values())
    errors = sum(everything.errors.values())
    return {
        "seconds": round(recent.seconds, 3),
        "total_requests": everything.calls,
        "total_errors": errors,
        "error_rate": errors / everything.calls if everything.calls else 0.0,
        "refused": everything.refused,
        "amplification": everything.exchanges / everything.calls if everything.calls else 0.0,
        "percentile_error": PERCENTILE_ERROR,
        "slow": _slow(recent.window, recent.usual),
        "origins": {name: _values(tally) for name, tally in most_first},
    }


def _values(tally: Tally) -> dict[str, Any]:
    return {
        "calls": tally.calls,
        "errors": dict(tally.errors),
        "refused": tally.refused,
        "exchanges": tally.exchanges,
        "retries": tally.retries,
        "redirects": tally.redirects,
        "auth": tally.auth,
        "codings": tally.codings,
        "hedges": tally.hedges,
        "trials": tally.trials,
        "amplification": tally.exchanges / tally.calls if tally.calls else 0.0,
        "p50": _seconds(tally.percentile(0.5)),
        "p95": _seconds(tally.percentile(0.95)),
        "p99": _seconds(tally.percentile(0.99)),
        "slowest": _seconds(tally.percentile(1.0)),
        "slowest_call": tally.slowest_call,
    }


def _slow(window: Mapping[Key, Tally], usual: Mapping[Key, Tally]) -> list[dict[str, Any]]:
    """The calls that take longer than the same calls did before, those first that take the most times as long."""
    found: list[tuple[float, dict[str, Any]]] = []
    for key, tally in window.items():
        before = usual.get(key)
        if before is None or before.measured < _FEWEST_BEFORE:
            continue
        times = max(_times_as_long(share, tally, before) for share in _FEWEST)
        if times:
            values = {
                "origin": key if isinstance(key, str) else key[0],
                "name": None if isinstance(key, str) else key[1],
                "calls": tally.calls,
                "times": round(times, 1),
                "p50": _seconds(tally.percentile(0.5)),
                "p95": _seconds(tally.percentile(0.95)),
                "usual_p50": _seconds(before.percentile(0.5)),
                "usual_p95": _seconds(before.percentile(0.95)),
            }
            found.append((times, values))
    found.sort(key=lambda each: -each[0])
    return [values for _, values in found[:_MOST_SLOW]]


def _times_as_long(share: float, tally: Tally, before: Tally) -> float:
    """How many times as long as usual this percentile is; 0.0 if it is not remarkable."""
    if tally.measured < _FEWEST[share]:
        return 0.0
    now, then = tally.percentile(share), before.percentile(share)
    assert now is not None  # both have calls that were measured
    assert then is not None
    return now / max(then, 0.0001) if now >= _SLOW * then and now - then >= _NOTICEABLE else 0.0


def _seconds(value: float | None) -> float | None:
    """To the microsecond, which is finer than what is known of it."""
    return None if value is None else round(value, 6)

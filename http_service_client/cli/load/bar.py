"""The state of a load while it runs, on a terminal."""

from __future__ import annotations

from typing import TextIO

from ..screen import Ink, Screen, is_terminal, wants_colour
from .report import duration
from .schedule import Schedule
from .tally import Tally

__all__ = ["Bar"]

_WIDTH = 24


class Bar:
    """A picture of a few lines, which is removed at the end. Nothing where nobody watches. Use it as a context manager."""

    def __init__(self, stream: TextIO, schedule: Schedule, tally: Tally) -> None:
        self._is_live = is_terminal(stream)
        self._screen = Screen(stream, is_live=self._is_live)
        # Not by rich: its import would delay calls that are being measured.
        self._ink = Ink(wants_colour(stream))
        self._schedule, self._tally = schedule, tally

    def draw(self, now: float) -> None:
        """Draw the state as of now."""
        if self._is_live:
            self._screen.draw(self._lines(now))

    def _lines(self, now: float) -> list[str]:
        schedule, tally = self._schedule, self._tally
        load = schedule.load
        with tally.lock:
            latency, ended, in_flight = tally.latency(), tally.ended, tally.begun - tally.ended
            outcomes = sorted(
                (name, each.latency.count, each.is_failure) for name, each in tally.outcomes.items()
            )
        past = max(0.0, now - schedule.counted_from)
        shares = [] if load.duration is None else [past / load.duration]
        shares += [] if load.requests is None else [ended / load.requests]
        full = round(_WIDTH * min(1.0, max(shares)))
        if now < schedule.counted_from:
            phase = f"warm-up, another {schedule.counted_from - now:.0f} s"
        elif now >= schedule.ends_at:
            phase = f"waiting for {in_flight} in flight; Ctrl-C to leave them"
        else:
            of = "" if load.duration is None else f" of {load.duration:g} s"
            phase = f"{past:.0f} s{of}"
        rate = ended / past if past else 0.0
        times = " ".join(
            f"{name} {duration(latency.quantile(share))}" for name, share in (("p50", 0.5), ("p99", 0.99))
        )
        words = (
            self._ink(f"{name} ×{count:,}", *(("red",) if is_failure else ()))
            for name, count, is_failure in outcomes
        )
        return [
            f"[{'#' * full}{'-' * (_WIDTH - full)}] {phase}",
            f"{ended:,} calls, {rate:,.0f}/s, {in_flight} in flight; {times}",
            "  ".join(words),
        ]

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_live:
            self._screen.draw([])
            self._screen.__exit__(None, None, None)

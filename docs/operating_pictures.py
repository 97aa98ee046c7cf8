"""Draws the pictures of docs/operating.md into docs/_static: `python docs/operating_pictures.py`, in ten seconds.

They show what a dashboard would: the client's own metrics, read every five seconds of virtual time, while a service has one
fault for a minute or so. It needs the extra `simulation`. The same code draws the same files.
"""

from __future__ import annotations

import asyncio
import importlib
import itertools
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from http_service_client import HttpClientError, HttpResponse, HttpServiceClient
from http_service_client.simulation import plots
from http_service_client.testing import ScriptedTransport, VirtualClock, late

_STATIC = Path(__file__).resolve().parent / "_static"
_URL = "https://stock.example.com/items/42"
_SPAN = 5.0  # seconds between two readings
_SECONDS = 240.0
_BLACK, _BLUE, _GREEN, _ORANGE, _RED = "#333333", "#0072b2", "#009e73", "#e69f00", "#d55e00"
_DASHED = (0, (4, 2))

_UP = HttpResponse(200)
_BROKEN = HttpResponse(503)
_TOO_MANY = HttpResponse(429, headers={"Retry-After": "20"})


class Trouble(NamedTuple):
    """A fault of the service, and when.   outcome: of an exchange during it, from its latency in good health."""

    title: str
    start: float
    end: float
    outcome: Callable[[Random, float], Any]


TROUBLES = {
    "down": Trouble(
        "The service refuses all connections", 60.0, 150.0, lambda random, latency: ConnectionRefusedError()
    ),
    "failing": Trouble(
        "A third of the attempts get a 503",
        60.0,
        150.0,
        lambda random, latency: late(latency, _BROKEN if random.random() < 0.33 else _UP),
    ),
    "limit": Trouble(
        "The service answers 429 with Retry-After: 20",
        60.0,
        150.0,
        lambda random, latency: late(0.01, _TOO_MANY),
    ),
    "slow": Trouble(
        "The service takes thirty times as long", 60.0, 100.0, lambda random, latency: late(30 * latency, _UP)
    ),
}
"""By the ends of the pictures' names."""


class Reading(NamedTuple):
    """What a dashboard reads at one instant. counts: totals by metric or outcome."""

    at: float
    counts: Mapping[str, float]
    buckets: tuple[tuple[float, int], ...]
    retries_left: float
    is_open: bool
    pause_left: float
    waiting: int


def readings(trouble: Trouble, *, rate: float = 12.0) -> list[Reading]:
    """The real client in virtual time: calls at random instants, and a reading every five seconds."""
    random, clock = Random(1), VirtualClock()

    def exchange(request: object) -> Any:
        latency = random.lognormvariate(-2.3, 0.5)  # a tenth of a second
        if trouble.start <= clock.monotonic() < trouble.end:
            return trouble.outcome(random, latency)
        return late(latency, _UP)

    transport = ScriptedTransport(exchange, clock=clock)
    client = HttpServiceClient(transport=transport, clock=clock, random=random.random)
    found: list[Reading] = []

    async def call(at: float) -> None:
        await clock.sleep_async(at)
        try:
            await client.get_async(_URL)
        except HttpClientError:
            pass  # the metrics have it

    async def read() -> None:
        while clock.monotonic() < _SECONDS:
            found.append(_reading(client, clock))
            await clock.sleep_async(_SPAN)

    async def run() -> None:
        instants = itertools.accumulate(random.expovariate(rate) for _ in range(int(rate * _SECONDS)))
        await asyncio.gather(read(), *(call(at) for at in instants if at < _SECONDS))
        await client.close_async()

    asyncio.run(run())
    return found


def _reading(client: HttpServiceClient, clock: VirtualClock) -> Reading:
    metrics = client.metrics
    errors = metrics.total("http_errors_total")
    refused = metrics.total("http_errors_total", {"error": "CircuitOpenError"}) + metrics.total(
        "http_errors_total", {"error": "ThrottledError"}
    )
    calls = metrics.total("http_requests_total")
    counts = {
        "calls": calls,
        "succeeded": calls - errors,
        "refused": refused,
        "failed": errors - refused,
        "attempts": metrics.total("http_attempts_total"),
    }
    durations = metrics.snapshot().histograms
    (origin,) = client.get_health_summary()["origins"].values() or [None]
    state = origin or {
        "circuit": {"state": "closed"},
        "retries_left": 4,
        "pause_left": 0.0,
        "connections_awaited": 0,
    }
    return Reading(
        clock.monotonic(),
        counts,
        durations[0].buckets if durations else (),
        state["retries_left"],
        state["circuit"]["state"] == "open",
        state["pause_left"],
        state["connections_awaited"],
    )


def quantile(share: float, before: Reading, after: Reading) -> float | None:
    """As `histogram_quantile` of Prometheus: within its bucket, values are taken to be spread evenly."""
    old = [count for _, count in before.buckets] or [0] * len(after.buckets)
    bounds = [bound for bound, _ in after.buckets]
    counts = [new - count for (_, new), count in zip(after.buckets, old, strict=True)]
    if not counts or not counts[-1]:
        return None
    rank = share * counts[-1]
    index = next(number for number, count in enumerate(counts) if count >= rank)
    if index == len(bounds) - 1:
        return bounds[-2]
    low, below = (bounds[index - 1], counts[index - 1]) if index else (0.0, 0)
    return low + (bounds[index] - low) * (rank - below) / (counts[index] - below)


class Line(NamedTuple):
    """A line of a panel. It is left out where it is 0 all the time."""

    label: str
    values: list[float | None]
    colour: str
    width: float = 1.5
    style: Any = "-"


def draw(trouble: Trouble) -> Any:
    """A figure with four panels, as a dashboard has them."""
    found = readings(trouble)
    pairs = list(itertools.pairwise(found))
    times = [after.at for _, after in pairs]

    def rate(name: str) -> list[float | None]:
        return [(after.counts[name] - before.counts[name]) / _SPAN for before, after in pairs]

    def now(name: str) -> list[float | None]:
        return [getattr(after, name) for _, after in pairs]

    def ratio(attempts: float | None, calls: float | None) -> float | None:
        return attempts / calls if attempts is not None and calls else None

    panels = {
        "calls a second": [
            Line("succeeded", rate("succeeded"), _GREEN, 2.0),
            Line("failed", rate("failed"), _RED),
            Line("refused, nothing sent", rate("refused"), _ORANGE, 1.4, _DASHED),
        ],
        "attempts for each call": [Line("", list(map(ratio, rate("attempts"), rate("calls"))), _BLACK)],
        "seconds of a call": [
            Line("p99", [quantile(0.99, *pair) for pair in pairs], _RED, 1.0),
            Line("p50", [quantile(0.5, *pair) for pair in pairs], _BLUE, 2.0),
        ],
        "the state of the origin": [
            Line("retries left", now("retries_left"), _BLUE),
            Line("waiting for a connection", now("waiting"), _BLACK, 1.4, ":"),
            Line("seconds of pause left", now("pause_left"), _ORANGE, 1.4, _DASHED),
        ],
    }
    with importlib.import_module("matplotlib").rc_context(plots._STYLE):
        figure = importlib.import_module("matplotlib.figure").Figure(figsize=(8.6, 4.6), layout="constrained")
        figure.suptitle(trouble.title, fontsize=11, fontweight="bold", x=0.01, horizontalalignment="left")
        axes = figure.subplots(2, 2, sharex=True).flat
        for axis, (title, lines) in zip(axes, panels.items(), strict=True):
            for line in lines:
                if any(line.values):
                    label, style = line.label or None, line.style
                    axis.plot(times, line.values, color=line.colour, lw=line.width, ls=style, label=label)
            axis.set_ylim(bottom=0)
            if title == "the state of the origin" and any(after.is_open for _, after in pairs):
                top = [axis.get_ylim()[1] * after.is_open for _, after in pairs]
                axis.fill_between(times, top, step="mid", color=_RED, alpha=0.25, lw=0, label="circuit open")
            axis.set_title(title, fontsize=9, loc="left")
            axis.set_xlim(0, _SECONDS)
            axis.axvspan(trouble.start, trouble.end, color="#888888", alpha=0.15, linewidth=0)
            if axis.get_legend_handles_labels()[0]:
                axis.legend(
                    fontsize=7, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3,
                    borderaxespad=0.0, columnspacing=1.0, handlelength=1.6,
                )  # fmt: skip
        for axis in figure.axes[2:]:
            axis.set_xlabel("seconds; the service has its fault where it is grey")
        return figure


def main() -> None:
    """Draw all of them."""
    # The circuits of a picture alarm nobody.
    logging.getLogger("http_service_client").setLevel(logging.CRITICAL)
    for name, trouble in TROUBLES.items():
        plots._write(draw(trouble), _STATIC / f"operating-{name}.svg", "svg")


if __name__ == "__main__":
    main()

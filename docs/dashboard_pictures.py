"""Draws the picture of docs/prometheus.md into docs/_static: `python docs/dashboard_pictures.py`, in ten seconds.

A Prometheus evaluates the dashboard's own expressions over the ninety minutes of docs/dashboard_story.py. So the programs
`prometheus` and `promtool` have to be on the PATH, and the extras `prometheus` and `simulation` are needed.
"""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import create_server
from typing import Any

from http_service_client.observability import PrometheusCollector
from http_service_client.observability.dashboard import PANELS, Panel
from http_service_client.simulation import plots

_DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(_DOCS))

from dashboard_story import MINUTES, STEP, Story  # noqa: E402

_FILE = _DOCS / "_static" / "dashboard.svg"
_EPOCH = 1_700_000_000

# What the reader of a dashboard chooses at the top, and the range that Grafana takes for such a step.
_CHOSEN = {"$job": "shop", "$service": "https://(payments|search).example.com", "$__rate_interval": "2m"}

_SHOWN = (
    "Calls by outcome",
    "Failed calls",
    "Amplification",
    "Retries left",
    "Circuits that are not closed",
    "Waiting for a connection",
)
_COLOURS = {
    "payments": "#0072b2",
    "search": "#e69f00",
    "200": "#009e73",
    "503": "#d55e00",
    "429": "#cc79a7",
    "CircuitOpenError": "#999999",
    "ThrottledError": "#f0e442",
    "ConnectError": "#333333",
}
_FAULTS = ((4, 19), (20, 27), (35, 45), (50, 63))  # minutes; docs/prometheus.md says which


def _openmetrics() -> str:
    """The story as a file of samples with their times."""
    story = Story()
    collector = PrometheusCollector(story.clients, max_services=6)
    lines: dict[str, list[str]] = {}

    def scrape(seconds: float) -> None:
        for family in collector.collect():
            for sample in family.samples:
                labels = {**sample.labels, "job": "shop", "instance": "host:9000"}
                shown = ",".join(f"{name}={json.dumps(value)}" for name, value in labels.items())
                lines.setdefault(f"{sample.name}{{{shown}}}", []).append(
                    f"{sample.value} {_EPOCH + seconds:.0f}"
                )

    story.run(scrape)
    return "".join(f"{name} {line}\n" for name, found in lines.items() for line in found) + "# EOF\n"


@contextmanager
def _prometheus(samples: str) -> Iterator[str]:
    """The address of a Prometheus that has these samples."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "samples").write_text(samples)
        (Path(folder) / "prometheus.yml").write_text("{}")
        subprocess.run(
            ["promtool", "tsdb", "create-blocks-from", "openmetrics", "samples", "data"],
            cwd=folder,
            check=True,
            capture_output=True,
        )
        with create_server(("127.0.0.1", 0)) as free:
            address = f"127.0.0.1:{free.getsockname()[1]}"
        arguments = ["--storage.tsdb.retention.time=100y", f"--web.listen-address={address}"]
        with subprocess.Popen(
            ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data", *arguments],
            cwd=folder,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                yield f"http://{address}"
            finally:
                process.terminate()


def _lines(address: str, panel: Panel) -> dict[str, list[tuple[float, float]]]:
    """The lines of a panel by their names: minutes and values."""
    found: dict[str, list[tuple[float, float]]] = {}
    for query in panel.queries:
        expression = query.expr
        for word, value in _CHOSEN.items():
            expression = expression.replace(word, value)
        asked = {"query": expression, "start": _EPOCH + STEP, "end": _EPOCH + MINUTES * 60, "step": 2 * STEP}
        url = f"{address}/api/v1/query_range?{urllib.parse.urlencode(asked)}"
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=30) as response:
            results = json.load(response)["data"]["result"]
        for result in results:
            labels: dict[str, str] = result["metric"]
            name = re.sub(r"\{\{(\w+)\}\}", lambda match, known=labels: known.get(match[1], ""), query.legend)
            name = re.sub(r"https://(\w+)\.example\.com", r"\1", name)
            found[name] = [((at - _EPOCH) / 60, float(value)) for at, value in result["values"]]
    return {name: points for name, points in sorted(found.items()) if any(value for _, value in points)}


def _draw(axis: Any, panel: Panel, lines: dict[str, list[tuple[float, float]]]) -> None:
    axis.set_title(panel.title, fontsize=9, loc="left")
    for start, end in _FAULTS:
        axis.axvspan(start, end, color="#888888", alpha=0.13, linewidth=0)
    below: dict[float, float] = {}
    for name, points in lines.items():
        colour = next((each for word, each in _COLOURS.items() if word in name), "#56b4e9")
        minutes = [minute for minute, _ in points]
        if panel.stacked:
            low = [below.get(minute, 0.0) for minute in minutes]
            high = [value + base for (_, value), base in zip(points, low, strict=True)]
            below.update(zip(minutes, high, strict=True))
            axis.fill_between(minutes, low, high, color=colour, linewidth=0, label=name)
        else:
            style = "--" if "half_open" in name or "search" in name else "-"
            axis.plot(
                minutes,
                [value for _, value in points],
                color=colour,
                linewidth=1.4,
                linestyle=style,
                label=name,
            )
    if panel.unit == "percentunit":
        axis.yaxis.set_major_formatter(importlib.import_module("matplotlib.ticker").PercentFormatter(1.0, 0))
    axis.set_xlim(0, MINUTES)
    axis.set_ylim(bottom=0)
    axis.legend(
        fontsize=7, loc="lower right", bbox_to_anchor=(1.0, 0.98), ncols=3,
        borderaxespad=0.0, columnspacing=1.0, handlelength=1.2,
    )  # fmt: skip


def main() -> None:
    """Draw it."""
    by_title = {panel.title: panel for row in PANELS for panel in row.panels}
    with _prometheus(_openmetrics()) as address:
        for _ in range(200):
            try:
                found = {title: _lines(address, by_title[title]) for title in _SHOWN}
                break
            except urllib.error.URLError:  # it has not begun to listen
                time.sleep(0.1)
        else:
            raise SystemExit("Prometheus does not respond")
    with importlib.import_module("matplotlib").rc_context(plots._STYLE):
        figure = importlib.import_module("matplotlib.figure").Figure(figsize=(8.6, 6.6), layout="constrained")
        for axis, title in zip(figure.subplots(3, 2, sharex=True).flat, _SHOWN, strict=True):
            _draw(axis, by_title[title], found[title])
        for axis in figure.axes[4:]:
            axis.set_xlabel("minutes")
        plots._write(figure, _FILE, "svg")


if __name__ == "__main__":
    main()

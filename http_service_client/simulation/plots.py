"""Pictures of reports, drawn by matplotlib (extra `simulation`): SVG, PNG, or one HTML page that needs no other file.

Every line differs from its neighbours in more than its colour, and the colours are those of M. Okabe and K. Ito, which
people with any kind of colour vision can tell apart.
"""

from __future__ import annotations

import html
import importlib
import io
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, Protocol

from ..errors import ConfigurationError
from .service import Service
from .tally import Moment

__all__ = ["Section", "alone", "check_picture", "draw", "save"]

_BLACK, _BLUE, _GREEN, _ORANGE, _RED = "#333333", "#0072b2", "#009e73", "#e69f00", "#d55e00"
_SHORTEST = 1e-3  # seconds, in a picture
_POINTS = 75  # in a line; more would show the noise of single calls
_INDENT = re.compile(r"\n +")
_TAG, _DECIMALS = re.compile(r"<[^>]*>"), re.compile(r"(\d+\.\d)\d+\b")
_SUFFIXES = (".svg", ".png", ".html")
_STYLE = {
    "font.size": 9.0,
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
    "svg.fonttype": "none",  # text stays text: readable for machines, and small
    "svg.hashsalt": "http_service_client",  # the same picture is the same file
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e5e5e5",
    "xtick.bottom": False,  # the grid shows where they are
    "ytick.left": False,
    "axes.axisbelow": True,
    "legend.frameon": False,
}


class Drawable(Protocol):
    """What is drawn of a report."""

    @property
    def moments(self) -> Sequence[Moment]: ...

    @property
    def service(self) -> Service: ...

    @property
    def success_share(self) -> float: ...

    @property
    def amplification(self) -> float: ...

    @property
    def is_metastable(self) -> bool | None: ...


class Section(NamedTuple):
    """A part of a page.   rows: of a table, the headers first."""

    title: str
    about: str
    rows: Sequence[Sequence[str]]
    reports: Mapping[str, Drawable]


def draw(reports: Mapping[str, Drawable], title: str = "") -> Any:
    """A figure with a column for each report: load, success, circuits and durations over time.

    Raises ConfigurationError if matplotlib is not installed.
    """
    matplotlib = _matplotlib()
    ticker: Any = importlib.import_module("matplotlib.ticker")
    with matplotlib.rc_context(_STYLE):
        figure = importlib.import_module("matplotlib.figure").Figure(
            figsize=(6.4 if len(reports) == 1 else 0.6 + 4.2 * len(reports), 7.4), layout="constrained"
        )
        if title:
            figure.suptitle(title, fontsize=12, fontweight="bold", x=0.01, horizontalalignment="left")
        grid = figure.subplots(4, len(reports), sharex=True, sharey="row", squeeze=False)
        for column, (name, report) in enumerate(reports.items()):
            _draw_report([row[column] for row in grid], report)
            grid[0][column].set_title(f"{name}\n{_summary(report)}".strip(), fontsize=9, loc="left")
        load, success, circuits, durations = (row[0] for row in grid)
        for axis, label in ((load, "a second"), (success, "success"), (circuits, "open circuits")):
            axis.set_ylabel(label)
        durations.set_ylabel("duration")
        # The limits of a row are shared, so they are set when all of it is drawn.
        load.set_ylim(bottom=0)
        circuits.set_ylim(
            0, max(1.0, 1.1 * max(m.open_circuits for r in reports.values() for m in r.moments))
        )
        circuits.yaxis.set_major_locator(ticker.MaxNLocator(4, integer=True))
        success.set_ylim(-0.04, 1.04)
        success.yaxis.set_major_formatter(ticker.PercentFormatter(1.0, decimals=0))
        durations.set_yscale("log")
        durations.set_ylim(bottom=_SHORTEST)
        durations.minorticks_off()
        durations.yaxis.set_major_formatter(ticker.FuncFormatter(_duration))
        handles = [*load.get_legend_handles_labels()[0], *durations.get_legend_handles_labels()[0]]
        figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=8)
        return figure


def _draw_report(axes: Sequence[Any], report: Drawable) -> None:
    load, success, circuits, durations = axes
    span = report.moments[1].at if len(report.moments) > 1 else 1.0
    last = max((n for n, moment in enumerate(report.moments) if moment.calls), default=0)
    moments, end = report.moments[: last + 1], (last + 1) * span
    size = math.ceil(len(moments) / _POINTS)
    groups = [moments[n : n + size] for n in range(0, len(moments), size)]
    times = [group[0].at + span * len(group) / 2 for group in groups]

    def rate(name: str) -> list[float]:
        return [sum(getattr(moment, name) for moment in group) / (span * len(group)) for group in groups]

    load.plot(times, rate("exchanges"), color=_ORANGE, linewidth=1.6, label="exchanges")
    load.plot(times, rate("calls"), color=_BLACK, linewidth=1.1, linestyle=(0, (4, 2)), label="calls")
    load.plot(times, rate("succeeded"), color=_GREEN, linewidth=2.2, label="calls that succeeded")
    if math.isfinite(report.service.capacity):
        line = {"color": _BLUE, "linewidth": 1.2, "linestyle": ":"}
        load.axhline(report.service.capacity, label="capacity of the service", **line)
    success.plot(times, list(map(_success, groups)), color=_GREEN, linewidth=2.2)
    open_circuits = [group[-1].open_circuits for group in groups]
    if any(open_circuits):
        circuits.fill_between(times, open_circuits, step="mid", color=_RED, alpha=0.3, linewidth=0)
        circuits.plot(times, open_circuits, color=_RED, drawstyle="steps-mid", linewidth=1.2)
    p99s, medians = _durations(groups, "p99", max), _durations(groups, "p50", median)
    durations.plot(times, p99s, color=_RED, linewidth=1.0, label="p99 of the calls")
    durations.plot(times, medians, color=_BLUE, linewidth=2.0, label="median of the calls")
    durations.set_xlabel("seconds")
    for axis in axes:
        axis.set_xlim(0, end)
        for number, fault in enumerate(report.service.faults):
            label = "a fault of the service" if axis is durations and number == 0 else None
            axis.axvspan(
                fault.start, min(fault.end, end), color="#888888", alpha=0.2, linewidth=0, label=label
            )


def _summary(report: Drawable) -> str:
    verdict = ", METASTABLE" if report.is_metastable else ""
    return f"{report.success_share:.0%} succeed, {report.amplification:.2f} exchanges a call{verdict}"


def _success(group: Sequence[Moment]) -> float:
    """Not a number where no call ended, which leaves a gap."""
    succeeded = sum(moment.succeeded for moment in group)
    ended = succeeded + sum(moment.failed for moment in group)
    return succeeded / ended if ended else math.nan


def _durations(
    groups: Sequence[Sequence[Moment]], name: str, of: Callable[[list[float]], float]
) -> list[float]:
    """One for each group. A logarithmic scale has no 0: a call that is refused at once is drawn at the bottom."""
    found = [[getattr(moment, name) for moment in group] for group in groups]
    known = [[seconds for seconds in each if seconds is not None] for each in found]
    return [max(of(each), _SHORTEST) if each else math.nan for each in known]


def _duration(seconds: float, position: object = None) -> str:
    return f"{seconds:g} s" if seconds >= 1 else f"{seconds * 1000:g} ms"


def save(path: str | os.PathLike[str], title: str, sections: Sequence[Section], legend: str = "") -> Any:
    """Draw the sections into a file, whose suffix says how; the figure of the first one.

    title, legend: of a page.

    Raises ConfigurationError for another suffix, for several sections in one picture, or without matplotlib.
    """
    target = Path(path)
    check_picture(target)
    if target.suffix.lower() == ".html":
        figures = [draw(section.reports) for section in sections]  # the page has their titles
        target.write_text(_page(title, legend, sections, figures), encoding="utf-8")
        return figures[0]
    section = alone(sections)
    figure = draw(section.reports, section.title or title)
    _write(figure, target, target.suffix[1:].lower())
    return figure


def alone(sections: Sequence[Section]) -> Section:
    """The only section. Raises ConfigurationError for several, which are too much for a picture."""
    first, *others = sections
    if others:
        raise ConfigurationError("a picture shows one scenario; name it in scenario=, or write an .html page")
    return first


def check_picture(path: str | os.PathLike[str], suffixes: Sequence[str] = _SUFFIXES) -> None:
    """Raise ConfigurationError for a path with another suffix, or without matplotlib."""
    if Path(path).suffix.lower() not in suffixes:
        raise ConfigurationError(
            f"a picture's path must end with {' or '.join(suffixes)}, not {Path(path).name!r}"
        )
    if not Path(path).parent.is_dir():
        raise ConfigurationError(
            f"a picture's path: the folder {str(Path(path).parent)!r} does not exist; create it first"
        )
    _matplotlib()


def _write(figure: Any, target: Path, kind: str) -> None:
    if kind == "svg":
        target.write_text(_svg(figure), encoding="utf-8")
        return
    with _matplotlib().rc_context(_STYLE):
        figure.savefig(target, format=kind, dpi=110)


def _svg(figure: Any) -> str:
    drawing = io.StringIO()
    with _matplotlib().rc_context(_STYLE):
        figure.savefig(drawing, format="svg", metadata={"Date": None})
    return _INDENT.sub("\n", _TAG.sub(_shortened, drawing.getvalue()))


def _shortened(tag: re.Match[str]) -> str:
    """Matplotlib writes six decimals, and a line for each point. A tenth of a point is less than can be seen."""
    return _DECIMALS.sub(r"\1", tag[0]).replace(" \n", " ")


def _page(title: str, legend: str, sections: Sequence[Section], figures: Sequence[Any]) -> str:
    parts = [_HEAD.format(title=html.escape(title))]
    if legend:
        parts.append(f"<p>{html.escape(legend)}</p>")
    for section, figure in zip(sections, figures, strict=True):
        svg = _svg(figure)
        if section.title:
            parts.append(f"<h2>{html.escape(section.title)}</h2><p>{html.escape(section.about)}</p>")
        parts.append(_table(section.rows))
        parts.append(f"<figure>{svg[svg.index('<svg') :]}</figure>")
    return "\n".join([*parts, "</body></html>\n"])


def _table(rows: Sequence[Sequence[str]]) -> str:
    lines = ["".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows]
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


_HEAD = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width">
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff; margin: 2rem auto; padding: 0 1rem; max-width: 72rem; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
td {{ padding: .2rem .7rem; border-bottom: 1px solid #ddd; text-align: right; }}
td:first-child {{ text-align: left; }}
figure {{ margin: 1rem 0 3rem; }} svg {{ max-width: 100%; height: auto; }}
</style></head><body>
<h1>{title}</h1>
<p>Each configuration gets the same calls at the same instants.</p>"""


def _matplotlib() -> Any:
    try:
        return importlib.import_module("matplotlib")
    except ModuleNotFoundError:
        message = "pictures are drawn by matplotlib; pip install 'http-service-client[simulation]'"
        raise ConfigurationError(message) from None

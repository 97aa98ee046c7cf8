"""Writes the results into the tables of `docs/performance.md`.

A line ``<!-- targets -->``, ``<!-- versions -->`` or one that names a field, such as ``<!-- async -->``, marks
a table: everything from there to the next empty line is replaced.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

__all__ = ["merged", "update_page", "with_tables"]

_OURS = "http_service_client"
_MARKED = re.compile(r"<!-- ([a-z ]+) -->\n(?:.+\n)*")


def update_page(page: Path, measured: dict[str, Any], *, is_part: bool = False) -> None:
    """Write the results into the page, and beside it, as JSON. is_part: keep what was not measured this time."""
    kept = page.with_suffix(".json")
    if is_part:
        measured = merged(json.loads(kept.read_text("utf-8")), measured)
    kept.write_text(json.dumps(measured, indent=1) + "\n", "utf-8")
    page.write_text(with_tables(page.read_text("utf-8"), measured), "utf-8")


def merged(kept: dict[str, Any], measured: dict[str, Any]) -> dict[str, Any]:
    """The kept results with the fields of this run in place of the old ones.

    Only of the same machine and versions, since a table must not compare figures of two; facts are no figures.
    """
    if measured["fields"]:
        for what in ("machine", "versions"):
            if kept[what] != measured[what]:
                raise SystemExit(f"not the {what} of the page: measure all fields, without --only")
    targets = {(one["field"], one["what"]): one for one in kept["targets"]}
    targets |= {(one["field"], one["what"]): one for one in measured["targets"]}
    return {
        **kept,
        "fields": kept["fields"] | measured["fields"],
        "targets": list(targets.values()),
        "facts": measured["facts"],
    }


def with_tables(text: str, measured: dict[str, Any]) -> str:
    """The text with the marked tables replaced; tables that were not measured stay unchanged."""

    def table(match: re.Match[str]) -> str:
        name = match[1]
        if name == "targets":
            lines = _targets(measured["targets"])
        elif name == "versions":
            lines = [_versions(measured)]
        elif name == "facts" and name in measured:
            lines = _facts(**measured["facts"])
        elif name == "promises" and name in measured["fields"]:
            lines = _promises(measured["fields"][name])
        elif name in measured["fields"]:
            lines = _field(name, measured["fields"][name])
        else:
            return match[0]
        return "\n".join([f"<!-- {name} -->", *lines, ""])

    return _MARKED.sub(table, text)


def _targets(targets: list[dict[str, Any]]) -> list[str]:
    lines = ["| ratio, ours to theirs | measured | quartiles | target | |", "|---|---:|---:|---:|---|"]
    for one in targets:
        figure = _figure(one["median"]) if one["median"] >= 10 else f"{one['median']:.3f}"
        spread = "" if one["low"] == one["high"] else f"{one['low']:.3f} – {one['high']:.3f}"
        if one["limit"] is None:
            lines.append(f"| {one['what']} | {figure} | {spread} | | |")
            continue
        sign = "≥" if one["at_least"] else "≤"
        verdict = "met" if one["is_met"] else "**missed**"
        shown = figure if one["is_met"] else f"**{figure}**"
        lines.append(f"| {one['what']} | {shown} | {spread} | {sign} {one['limit']:g} | {verdict} |")
    return lines


def _field(name: str, contenders: dict[str, Any]) -> list[str]:
    is_guard = name.endswith("guards")
    lines = [
        f"| {'around it' if is_guard else 'client'} | CPU, µs | quartiles | wall, µs |",
        "|---|---:|---:|---:|",
    ]
    for contender, times in sorted(contenders.items(), key=lambda item: item[1]["cpu"]["median"]):
        label = "our retry and breaker" if is_guard and contender == _OURS else contender
        if label.startswith(("our ", _OURS)):
            label = f"**{label}**"
        cpu = {key: _figure(1e6 * seconds) for key, seconds in times["cpu"].items()}
        wall = _figure(1e6 * times["wall"]["median"])
        lines.append(f"| {label} | {cpu['median']} | {cpu['low']} – {cpu['high']} | {wall} |")
    return lines


def _promises(contenders: dict[str, Any]) -> list[str]:
    """The cost of each promise: the time that a call saves without it, or needs more with it."""
    lines = ["| promise | cost, µs |", "|---|---:|"]
    all_of_it = contenders["everything on"]["cpu"]["median"]
    for contender, times in contenders.items():
        without, with_it = contender.removeprefix("no "), contender.removesuffix(" too")
        cost = 1e6 * (all_of_it - times["cpu"]["median"])
        if without != contender:
            lines.append(f"| {without} | {max(cost, 0.0):.1f} |")
        elif with_it != contender:
            lines.append(f"| {with_it} | {_figure(-cost) if -cost >= 10 else f'{-cost:.1f}'} |")
    return lines


def _facts(columns: dict[str, str], libraries: dict[str, dict[str, Any]]) -> list[str]:
    """A row for each library, its name a link to its documentation."""
    lines = ["| |" + "".join(f" {words} |" for words in columns.values()), "|---" * (len(columns) + 1) + "|"]
    for name, facts in libraries.items():
        first, *others = facts["sources"] or [""]
        label = f"[{name}]({first})" if first else f"**{name}**"
        label += "".join(f" [{number}]({url})" for number, url in enumerate(others, 2))
        lines.append(f"| {label} |" + "".join(f" {facts[column]} |" for column in columns))
    return lines


def _versions(measured: dict[str, Any]) -> str:
    versions = dict(measured["versions"])
    python = versions.pop("python")
    versions.pop("http-service-client")
    named = ", ".join(f"{name} {version}" for name, version in versions.items())
    machine = measured["machine"]
    return f"Measured on {measured['date']}, on {machine['processor']}, {machine['system']}; Python {python}, {named}."


def _figure(value: float) -> str:
    """Three digits."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"

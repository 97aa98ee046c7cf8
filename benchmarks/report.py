"""The results of a run: a table for the terminal, JSON for machines."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from .facts import COLUMNS, FACTS
from .measuring import Samples, Spread, above, ratios, times
from .targets import AMOUNTS, FIELDS, TARGETS, Target

_PACKAGES = (
    "http-service-client requests urllib3 httpx httpx2 httpx-retries httpr pyreqwest wreq pycurl aiohttp aiohttp-retry "
    "aiosonic uvloop orjson msgspec tenacity stamina backoff pybreaker purgatory aiolimiter"
)


class Verdict(NamedTuple):
    """One target and its measurement. limit: of the full or the short form; None if the figure is only reported."""

    what: str
    spread: Spread
    limit: float | None
    at_least: bool = False
    field: str = ""

    @property
    def is_met(self) -> bool:
        """Also where there is no limit."""
        if self.limit is None:
            return True
        return self.spread.median >= self.limit if self.at_least else self.spread.median <= self.limit

    def __str__(self) -> str:
        low, median, high = self.spread
        figures = f"{self.what:<58}{median:>8.3f}  {low:>7.3f} – {high:<7.3f}"
        if self.limit is None:
            return figures
        sign = ">=" if self.at_least else "<="
        return f"{figures} {sign} {self.limit:<7g}{'met' if self.is_met else 'MISSED'}"


def verdicts(samples: dict[str, Samples], *, quick: bool) -> list[Verdict]:
    """The targets whose contenders were measured; quick: judged by the limits of the short form."""
    return [
        _verdict(target, samples[target.field], quick)
        for target in TARGETS
        if target.field in samples
        and {target.ours, target.theirs} <= samples[target.field].keys()
        and not (quick and target.quick is None)
    ]


def _verdict(target: Target, samples: Samples, quick: bool) -> Verdict:
    limit = target.quick if quick else target.limit
    if target.kind == "µs" and not quick:
        spread = Spread(*(1e6 * seconds for seconds in times(samples, target.ours, "cpu")))
        return Verdict(f"{target.what}, µs", spread, limit, field=target.field)
    if target.kind == "above":
        spread = above(samples, target.ours, target.theirs, target.unit)
    elif target.kind == "rate":  # theirs to ours, as the rate is the inverse of the time
        spread = ratios(samples, target.theirs, target.ours, "wall")
    else:
        spread = ratios(samples, target.ours, target.theirs, "wall" if target.kind == "wall" else "cpu")
    return Verdict(target.what, spread, limit, target.kind == "rate", target.field)


def amounts() -> list[Verdict]:
    """The memory targets."""
    found = [(amount, amount.measure()) for amount in AMOUNTS]
    return [Verdict(amount.what, Spread.of([value]), amount.limit) for amount, value in found]


def field_lines(name: str, samples: Samples) -> Iterator[str]:
    """The times of one field's contenders, in microseconds."""
    field = FIELDS[name]
    yield f"{field.title}: µs each, median and quartiles"
    yield f"  {'':<32}{'CPU':>10}{'':<22}{'wall':>10}"
    for contender in samples:
        cpu, wall = (
            Spread(*(1e6 * value for value in times(samples, contender, kind))) for kind in ("cpu", "wall")
        )
        yield (
            f"  {contender:<32}{cpu.median:>10.2f}  {cpu.low:>8.2f} – {cpu.high:<8.2f}"
            f"{wall.median:>11.2f}  {wall.low:>8.2f} – {wall.high:<8.2f}"
        )
    yield ""


def as_json(samples: dict[str, Samples], judged: list[Verdict]) -> dict[str, Any]:
    """The whole run: machine, versions, medians with quartiles in seconds, verdicts."""
    today = date.today()
    return {
        "date": f"{today.day} {today:%B %Y}",
        "machine": _machine(),
        "versions": _versions(),
        "fields": {
            field: {
                contender: {kind: times(found, contender, kind)._asdict() for kind in ("cpu", "wall")}
                for contender in found
            }
            for field, found in samples.items()
        },
        "targets": [
            {"field": one.field, "what": one.what, **one.spread._asdict()}
            | {"limit": one.limit, "at_least": one.at_least, "is_met": one.is_met}
            for one in judged
        ],
        "facts": {
            "columns": COLUMNS,
            "libraries": {
                name: facts._asdict() | {"sources": list(facts.sources)} for name, facts in FACTS.items()
            },
        },
    }


def _versions() -> dict[str, str]:
    """Of Python and of the packages that are installed."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES.split():
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _machine() -> dict[str, Any]:
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        model = f"{len(names)} × {names[0]}" if names else model
    return {"processor": model, "system": f"{platform.system()} {platform.release().partition('-')[0]}"}

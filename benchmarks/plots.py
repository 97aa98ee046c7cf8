"""Bars as SVG, for the documentation. No library is needed: a bar is a rectangle, its name a line of text."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

from .clients import OURS
from .measuring import Samples, Spread, times
from .targets import FIELDS

_ROW, _NAMES, _WIDTH, _TEXT = 26, 230, 420, 13  # pixels: row height, widths of names and bars, text size
_OURS, _THEIRS, _INK = "#2f6f4f", "#b9c0c8", "#30363d"


def write_plots(folder: Path, samples: dict[str, Samples]) -> None:
    """One picture for each field, `<field>.svg`: medians as bars, quartiles as a line over each."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, found in samples.items():
        bars = {contender: times(found, contender, "cpu") for contender in found}
        text = _picture(f"{FIELDS[name].title}: µs of CPU time each", bars)
        (folder / f"{name.replace(' ', '-')}.svg").write_text(text)


def _picture(title: str, bars: dict[str, Spread]) -> str:
    ordered = sorted(bars.items(), key=lambda bar: bar[1].median)
    scale = _WIDTH / max(spread.high for spread in bars.values())
    rows = [_bar(number, name, spread, scale) for number, (name, spread) in enumerate(ordered, 1)]
    height, width = _ROW * (len(ordered) + 1) + 12, _NAMES + _WIDTH + 90
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="{_TEXT}">',
            f'<rect width="{width}" height="{height}" fill="white"/>',
            f'<text x="8" y="19" font-weight="bold" fill="{_INK}">{escape(title)}</text>',
            *rows,
            "</svg>\n",
        ]
    )


def _bar(number: int, name: str, spread: Spread, scale: float) -> str:
    top = number * _ROW + 6
    middle = top + _ROW // 2 - 3
    low, median, high = (seconds * scale for seconds in spread)
    is_ours = name.startswith((OURS, "our ")) or name.endswith(("driver", "Client()"))
    return (
        f'<text x="{_NAMES - 8}" y="{middle + 5}" text-anchor="end" fill="{_INK}">{escape(name)}</text>'
        f'<rect x="{_NAMES}" y="{top}" width="{median:.1f}" height="{_ROW - 6}" fill="{_OURS if is_ours else _THEIRS}"/>'
        f'<line x1="{_NAMES + low:.1f}" x2="{_NAMES + high:.1f}" y1="{middle}" y2="{middle}" stroke="{_INK}"/>'
        f'<text x="{_NAMES + high + 6:.1f}" y="{middle + 5}" fill="{_INK}">{spread.median * 1e6:,.4g}</text>'
    )

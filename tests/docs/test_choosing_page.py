"""docs/choosing.md: each case has its picture, and the figures are those of the simulations that the pictures show."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from docs.loading import load
from http_service_client.simulation.report import in_seconds

pytestmark = pytest.mark.once

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "choosing.md").read_text(encoding="utf-8")
CASES = load("docs/pictures.py").CASES

TABLE = re.findall(r"^\| \[([^\]]+)\]\(#([a-z-]+)\)[^|]* \|", PAGE, re.MULTILINE)
SECTIONS = {
    heading.lower().replace(" ", "-"): text
    for heading, text in re.findall(r"^### (.+)\n\n((?:(?!^#).*\n)+)", PAGE, re.MULTILINE)
}


def test_each_row_has_its_picture_or_the_reason_why_there_is_none() -> None:
    """And each section belongs to a row."""
    rows = re.findall(r"^\| (?!you |---)", PAGE[: PAGE.index("```")], re.MULTILINE)
    assert [anchor for _, anchor in TABLE] == list(SECTIONS)
    assert len(rows) == len(TABLE)
    for text in SECTIONS.values():
        pictures = re.findall(r"\(_static/([a-z-]+\.svg)\)", text)
        assert len(pictures) == 1 or text.startswith("There is no picture: ")
        assert all((DOCS / "_static" / name).is_file() for name in pictures)


def test_each_picture_is_small_and_on_the_page() -> None:
    """What docs/pictures.py draws for this page is shown on it."""
    for name in CASES:
        assert f"_static/choosing-{name}.svg" in PAGE
        assert (DOCS / "_static" / f"choosing-{name}.svg").stat().st_size < 60_000


@pytest.mark.parametrize("name", CASES)
def test_the_figures_are_those_of_the_simulation(name: str) -> None:
    """Every number with a decimal point is one of the reports', and each report has one."""
    text = next(each for each in SECTIONS.values() if f"choosing-{name}.svg" in each)
    prose = re.sub(r"`[^`]*`", "", text[: text.index("![")])
    found = set(re.findall(r"\d+\.\d+(?: %| requests| m?s\b)", prose)) | set(re.findall(r"\d+ ms", prose))
    expected: set[str] = set()
    for report in CASES[name].compared().reports.values():
        own = {
            f"{100 * report.success_share:.1f} %",
            f"{report.amplification:.2f} requests",
            in_seconds(report.p99_call),
            in_seconds(report.time_to_open),
        }
        assert own & found or report.success_share == 1.0
        expected |= own
    assert found <= expected


def test_the_settings_are_those_of_the_simulation() -> None:
    """A picture shows what the page recommends."""
    shown: dict[str, Any] = {}
    exec(re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[0], shown)
    for name, settings in {
        "payment": shown["payments"],
        "slow": shown["reports"],
        "web": replace(shown["web"], total_timeout=2.0),  # in place of the deadline around the calls
        "internal": shown["internal"],
        "batch": shown["batch"],
    }.items():
        assert list(CASES[name].configs.values())[1] == settings

"""The tables of the page on performance come from the run whose figures are kept beside it."""

from __future__ import annotations

import json

from docs.loading import ROOT, load

PAGE = ROOT / "docs/performance.md"


def test_the_tables_show_the_figures_that_are_kept() -> None:
    """No figure was improved by hand, and none is left over from an older run."""
    page = load("benchmarks/page.py")
    measured = json.loads(PAGE.with_suffix(".json").read_text("utf-8"))
    text = PAGE.read_text("utf-8")
    assert page.with_tables(text, measured) == text
    measured["fields"]["async"]["aiohttp"]["cpu"]["median"] *= 2
    assert page.with_tables(text, measured) != text

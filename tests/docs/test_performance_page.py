"""The tables of the page on performance are those of the run whose figures are kept beside it."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "performance.md"


def test_the_tables_are_of_the_run_that_is_kept() -> None:
    """Nobody has improved a figure by hand, and none is left of an older run."""
    spec = importlib.util.spec_from_file_location("page", ROOT / "benchmarks" / "page.py")
    assert spec is not None
    assert spec.loader is not None
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    measured = json.loads(PAGE.with_suffix(".json").read_text("utf-8"))
    text = PAGE.read_text("utf-8")
    assert page.with_tables(text, measured) == text
    measured["fields"]["async"]["aiohttp"]["cpu"]["median"] *= 2
    assert page.with_tables(text, measured) != text

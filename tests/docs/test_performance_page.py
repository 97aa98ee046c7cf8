"""The tables of the page on performance come from the run whose figures are kept beside it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

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


def test_the_facts_on_the_page_are_those_of_their_one_source() -> None:
    """`python -m benchmarks --only facts --page docs/performance.md` writes them."""
    facts = load("benchmarks/facts.py")
    kept = json.loads(PAGE.with_suffix(".json").read_text("utf-8"))["facts"]
    assert kept["columns"] == facts.COLUMNS
    assert {name: facts.Facts(*row.values()) for name, row in kept["libraries"].items()} == {
        name: row._replace(sources=list(row.sources)) for name, row in facts.FACTS.items()
    }


def test_each_fact_has_a_source() -> None:
    """But for our own, which the other pages and their tests are about."""
    facts = load("benchmarks/facts.py").FACTS
    assert {name for name, row in facts.items() if not row.sources} == {"http_service_client"}


def test_each_library_that_is_measured_has_its_facts() -> None:
    """No table compares times alone."""
    facts = load("benchmarks/facts.py").FACTS
    for kind in ("blocking", "async"):
        source = (ROOT / f"benchmarks/{kind}_peers.py").read_text("utf-8")
        table = source[source.index(f"\n_{kind.upper()}: ") :]
        names = re.findall(r'^    "(.+)": ', table, re.MULTILINE)
        assert len(names) > 5
        assert facts.keys() >= set(names)


def test_lacking_is_what_the_facts_deny() -> None:
    """With the way of calling that a library has not."""
    facts = load("benchmarks/facts.py")
    assert facts.lacking(facts.FACTS["http_service_client"]) == []
    assert "blocking calls" in facts.lacking(facts.FACTS["aiohttp"])
    assert {"asyncio", "hooks", "a circuit breaker"} <= set(facts.lacking(facts.FACTS["http.client"]))
    assert len(facts.facts_lines()) == len(facts.FACTS) + 1


def _run(machine: str, **fields: str) -> dict[str, Any]:
    """The results of a run, in short."""
    targets = [{"field": field, "what": "to requests", "median": value} for field, value in fields.items()]
    return {
        "date": machine,
        "machine": machine,
        "versions": {},
        "fields": fields,
        "targets": targets,
        "facts": machine,
    }


def test_some_tables_can_be_measured_again() -> None:
    """The others are kept, and each target stays where it was."""
    merged = load("benchmarks/page.py").merged
    kept = _run("one", blocking="old", core="old")
    both = merged(kept, _run("one", blocking="new"))
    assert both["fields"] == {"blocking": "new", "core": "old"}
    assert [one["median"] for one in both["targets"]] == ["new", "old"]


def test_figures_of_two_machines_are_not_mixed() -> None:
    """Facts are no figures."""
    merged = load("benchmarks/page.py").merged
    kept = _run("one", blocking="old")
    with pytest.raises(SystemExit, match="not the machine of the page: measure all fields"):
        merged(kept, _run("two", blocking="new"))
    assert merged(kept, _run("two")) == {**kept, "facts": "two"}

"""The tables of the page on performance come from the run whose figures are kept beside it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from docs.loading import ROOT, load

pytestmark = pytest.mark.once

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


def test_contenders_take_turns_in_changing_order() -> None:
    """Each once a round, after a round that does not count, and none always behind the same one."""
    turns: list[str] = []
    contenders = {name: (lambda times, name=name: turns.append(name)) for name in "abc"}
    samples = load("benchmarks/measuring.py").take_turns(contenders, rounds=20, repeat=1)
    assert {name: len(found) for name, found in samples.items()} == dict.fromkeys("abc", 20)
    rounds = [tuple(turns[start : start + 3]) for start in range(0, len(turns), 3)]
    assert len(rounds) == 21
    assert all(sorted(one) == ["a", "b", "c"] for one in rounds)
    assert {one[: one.index("b")][-1:] for one in rounds} == {(), ("a",), ("c",)}


def test_what_is_above_the_limit_is_counted_in_units() -> None:
    """Round by round: 5 above 1 are two units of 2."""
    measuring = load("benchmarks/measuring.py")
    samples = {
        name: [measuring.Sample(cpu, 9.0)] * 3 for name, cpu in (("ours", 5.0), ("raw", 1.0), ("unit", 2.0))
    }
    assert measuring.above(samples, "ours", "raw", "unit") == (2.0, 2.0, 2.0)

"""docs/presets.md: its figures are those of the simulations, and its numbers those of the presets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs.loading import load
from http_service_client.simulation import simulate
from http_service_client.simulation.report import in_seconds

pytestmark = pytest.mark.once

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "presets.md").read_text(encoding="utf-8")
PICTURES = load("docs/pictures.py")
SECTIONS = dict(re.findall(r"^## (\w+)\n\n((?:(?!^#).*\n)+)", PAGE, re.MULTILINE))


def table(first: str) -> list[list[str]]:
    """The rows of the table whose head begins so."""
    head = next(line for line in PAGE.splitlines() if line.startswith(first))
    text = PAGE[PAGE.index(head) :].partition("\n\n")[0]
    return [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in text.splitlines()]


def test_each_preset_has_its_row_its_section_and_its_picture() -> None:
    """In the same order everywhere."""
    names = list(PICTURES.PRESETS)
    assert re.findall(r"^\| \[`(\w+)\(\)`\]\(#\1\)", PAGE, re.MULTILINE) == names
    assert [name for name in SECTIONS if name in names] == names == list(PICTURES.PRESET_CASES)
    for name in names:
        assert f"_static/preset-{name}.svg" in SECTIONS[name]
        assert (DOCS / "_static" / f"preset-{name}.svg").stat().st_size < 60_000


@pytest.mark.parametrize("name", ["defaults", *PICTURES.PRESETS])
def test_the_table_of_troubles_is_that_of_the_simulations(name: str) -> None:
    """Success and requests a call."""
    head, _, *rows = table("| preset | 30 %")
    assert head[1:] == list(PICTURES.TROUBLES)
    (row,) = [each for each in rows if each[0] == name]
    config = PICTURES.DEFAULTS if name == "defaults" else PICTURES.PRESETS[name]
    for cell, scenario in zip(row[1:], PICTURES.TROUBLES.values(), strict=True):
        report = simulate(
            config, scenario.service, clients=scenario.clients, rate=scenario.rate, seconds=scenario.seconds
        )
        assert cell == f"{100 * report.success_share:.1f} %, {report.amplification:.2f}"


@pytest.mark.parametrize("name", PICTURES.PRESET_CASES)
def test_the_figures_of_a_section_are_those_of_its_picture(name: str) -> None:
    """Every number with a decimal point."""
    text = SECTIONS[name]
    prose = re.sub(r"`[^`]*`", "", text[: text.index("![")]).replace("\n", " ")
    found = re.findall(r"\d+\.\d+(?: %| s\b|)", prose)
    expected = set()
    for report in PICTURES.PRESET_CASES[name].compared().reports.values():
        expected |= {
            f"{100 * report.success_share:.1f} %",
            f"{report.amplification:.2f}",
            in_seconds(report.p99_call),
        }
    assert found
    assert set(found) <= expected


def test_the_numbers_are_those_of_the_presets() -> None:
    """The table of settings."""
    head, _, *rows = table("| | `standard`")
    shown = {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in rows}
    for name, config in PICTURES.PRESETS.items():
        assert config.retry is not None
        assert shown["base_timeout"][name] == f"{config.base_timeout:g} s"
        total = config.total_timeout
        assert shown["total_timeout"][name] == ("–" if total is None else f"{total:g} s")
        assert shown["attempts"][name] == str(config.retry.max_attempts)
        budget = config.budget
        capacity = None if budget is None else budget.capacity or 4
        assert shown["retry quota"][name] == (
            "none" if budget is None else f"{capacity:g}, {budget.earned:g}"
        )
        assert shown["circuit"][name].startswith("none" if config.circuit_breaker is None else "default")

"""The rows of all policies, through the three drivers."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from kit.strategies import WORLDS, Row, play

TABLES = sorted(path.stem for path in Path(__file__).parent.glob("table_*.py"))
ROWS: list[tuple[str, Row]] = [
    (table, row) for table in TABLES for row in importlib.import_module(f"unit.policies.{table}").ROWS
]


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("row", [pytest.param(row, id=f"{table[6:]}: {row.name}") for table, row in ROWS])
def test_a_row(row: Row, world: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads, tasks and the simulator come to the same results, at the same instants, with the same events."""
    play(row, world, monkeypatch)

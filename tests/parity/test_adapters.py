"""An adapter under another library decides as the client does: the same scenarios, through both.

The rows are those of the parity table that an adapter can meet: what a library owns (redirects, decoding, limits of sizes)
is not in them. `kit/adapters.py` runs them.
"""

from __future__ import annotations

import functools

import pytest

from kit.adapters import WAYS, Story, Way, by_adapter, by_client, is_adaptable
from kit.front_ends import FrontEnd
from kit.parity import Row
from parity.test_parity import REDIRECTS, TABLE

ROWS = [row for row in TABLE if is_adaptable(row) and row not in REDIRECTS]


CASES = [(way, row) for way in WAYS for row in ROWS if row.name not in way.cannot]


@functools.cache
def of_client(name: str, plain: type[FrontEnd]) -> Story:
    """The scenario by the client itself, with this front end: once for all libraries that are compared with it."""
    (row,) = (row for row in ROWS if row.name == name)
    return by_client(row, plain)


@pytest.mark.parametrize(("way", "row"), CASES, ids=lambda case: case.name)
def test_the_adapter_decides_as_the_client(way: type[Way], row: Row) -> None:
    """Attempts and their sent states, waits, refusals, the outcome, and the requests on the wire."""
    story, expected = by_adapter(row, way), of_client(row.name, way.plain)
    if vars(story) != vars(expected):
        of_client.cache_clear()  # a busy machine may have made it another one, also for the tests to come
    assert vars(story) == vars(expected)


def test_the_table_is_long_enough() -> None:
    """Each library runs at least 60 scenarios."""
    assert all(len(ROWS) - len(way.cannot) >= 60 for way in WAYS)
    assert all(set(way.cannot) <= {row.name for row in ROWS} for way in WAYS)

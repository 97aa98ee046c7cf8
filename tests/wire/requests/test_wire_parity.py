"""Both front ends put the same bytes on the wire, and the right ones: one table, raw bytes, a strict parser."""

from __future__ import annotations

from collections import Counter

import pytest

from wire.requests import table_attempts, table_bodies, table_fields, table_forms, table_hops, table_targets
from wire.requests.rows import Row
from wire.requests.runner import Runner

TABLES = (table_targets, table_fields, table_bodies, table_forms, table_hops, table_attempts)
ROWS = [row for table in TABLES for row in table.ROWS]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: ascii(row.name))
def test_both_worlds_send_the_same_and_the_right_bytes(row: Row, runners: list[Runner]) -> None:
    """As the row says, to the byte; and h11 takes every request."""
    (ends, requests), *others = [runner.play(row) for runner in runners]
    for ends_too, requests_too in others:
        assert [request.raw for request in requests] == [request.raw for request in requests_too]
        assert ends == ends_too
    assert [request.refused for request in requests] == [None] * len(requests)
    if isinstance(row.sends, str):
        assert (ends, requests) == (row.sends, [])
    else:
        assert [request.raw for request in requests] == list(row.sends)
        assert ends == row.ends


def test_the_table_is_as_large_as_it_claims() -> None:
    """And no row stands there twice."""
    assert len(ROWS) >= 450
    assert [name for name, count in Counter(row.name for row in ROWS).items() if count > 1] == []

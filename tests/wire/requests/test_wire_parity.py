"""Both front ends send the same bytes, and the right ones: one table, raw bytes, a strict parser."""

from __future__ import annotations

from collections import Counter

import pytest

from wire.requests import table_attempts, table_bodies, table_fields, table_forms, table_hops, table_targets
from wire.requests.rows import Row
from wire.requests.runner import Runner

TABLES = (table_targets, table_fields, table_bodies, table_forms, table_hops, table_attempts)
ROWS = [row for table in TABLES for row in table.ROWS]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: ascii(row.name))
def test_both_front_ends_send_the_same_and_the_right_bytes(row: Row, runners: list[Runner]) -> None:
    """The requests are those of the row, byte by byte, and h11 accepts each of them."""
    (result, requests), *others = [runner.run(row) for runner in runners]
    for other_result, other_requests in others:
        assert [request.raw for request in requests] == [request.raw for request in other_requests]
        assert result == other_result
    assert [request.rejected for request in requests] == [None] * len(requests)
    if isinstance(row.expected_requests, str):
        assert (result, requests) == (row.expected_requests, [])
    else:
        assert [request.raw for request in requests] == list(row.expected_requests)
        assert result == row.expected_result


def test_the_names_of_the_rows_are_unique() -> None:
    """And no table has been left out: there are at least 450 rows."""
    assert len(ROWS) >= 450
    assert [name for name, count in Counter(row.name for row in ROWS).items() if count > 1] == []

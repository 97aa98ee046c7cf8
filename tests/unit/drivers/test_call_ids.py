"""Ids of calls."""

from __future__ import annotations

import re

from http_service_client.drivers.call_ids import CALL_IDS, CallIds
from kit.forks import in_a_child, needs_fork


def test_ids_have_the_process_s_name_and_count_from_one() -> None:
    """In hexadecimal, so that they are short."""
    ids = CallIds()
    made = [ids.new() for _ in range(17)]
    prefix, _, first = made[0].partition("-")
    assert re.fullmatch("[0-9a-f]{10}", prefix)
    assert first == "1"
    assert [each.partition("-") for each in made] == [(prefix, "-", f"{n:x}") for n in range(1, 18)]
    assert CallIds().new() != made[0]


@needs_fork
def test_a_forked_child_has_a_name_of_its_own() -> None:
    """Its ids would be those of its parent's next calls."""
    name = CALL_IDS.new().partition("-")[0]

    def child() -> None:
        assert CALL_IDS.new().partition("-")[0] != name

    assert in_a_child(child) == 0

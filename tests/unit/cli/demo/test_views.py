"""The table of the demo, character by character."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client.cli.demo.orders import SERVICES, Status, Ticket
from http_service_client.cli.demo.scoreboard import Row
from http_service_client.cli.demo.script import write_story
from http_service_client.cli.demo.views import table
from http_service_client.cli.screen import Ink

STATES = {"payment": "closed", "delivery": "half_open", "email": "open", "sms": "closed"}


def runner(name: str) -> Any:
    """A runner with three orders, of which none is paid yet."""
    orders = [order for act in write_story(3, seed=1).acts for order in act.orders]
    rows = {"payment": Row(attempts=12, retries=3), "delivery": Row(refusals=7), "email": Row(), "sms": Row()}
    return SimpleNamespace(
        name=name,
        verbs="asyncio",
        tickets=list(map(Ticket, orders)),
        states=lambda: STATES,
        board=SimpleNamespace(rows=lambda: rows),
    )


WIDE = [
    "           threads · asyncio                          │   tasks · asyncio                         ",
    "service    circuit     attempts   retries   refused   │   circuit     attempts   retries   refused",
    "payment    closed            12         3         0   │   closed            12         3         0",
    "delivery   half-open          0         0         7   │   half-open          0         0         7",
    "e-mail     open               0         0         0   │   open               0         0         0",
    "SMS        closed             0         0         0   │   closed             0         0         0",
    "            placed     paid   delivered   postponed   │    placed     paid   delivered   postponed",
    "orders           3        0           0           0   │         3        0           0           0",
]


NARROW = [
    "         threads · asyncio                  │ tasks · asyncio                   ",
    "service  circuit   attempts retries refused │ circuit   attempts retries refused",
    "payment  closed          12       3       0 │ closed          12       3       0",
    "delivery half-open        0       0       7 │ half-open        0       0       7",
    "e-mail   open             0       0       0 │ open             0       0       0",
    "SMS      closed           0       0       0 │ closed           0       0       0",
    "          placed   paid delivered postponed │  placed   paid delivered postponed",
    "orders         3      0         0         0 │       3      0         0         0",
]


@pytest.mark.parametrize(("width", "expected"), [(80, NARROW), (99, NARROW), (100, WIDE), (120, WIDE)])
def test_runners_are_side_by_side_where_there_is_room(width: int, expected: list[str]) -> None:
    """In 80 columns, with less between them than in 100. Columns have the same width in every row."""
    assert table([runner("threads"), runner("tasks")], width, Ink(False)) == expected


def test_orders_are_counted_by_how_far_they_came() -> None:
    """Those that are paid and delivered, and those with a postponed step, as of now."""
    played = runner("threads")
    paid, delivered, _ = played.tickets
    paid.statuses = {"payment": Status.DONE, "delivery": Status.POSTPONED}
    delivered.statuses = dict.fromkeys(SERVICES, Status.DONE)
    assert table([played], 80, Ink(False))[-1].split()[1:] == ["3", "2", "1", "1"]


def test_runners_are_one_below_the_other_in_a_narrow_terminal() -> None:
    """Each with its own labels."""
    one = table([runner("threads")], 79, Ink(False))
    assert one == [line.partition(" │ ")[0] for line in NARROW]
    assert table([runner("threads"), runner("tasks")], 79, Ink(False))[: len(one)] == one
    assert len(one) * 2 == len(table([runner("threads"), runner("tasks")], 79, Ink(False)))


def test_states_have_their_colours_and_zeros_are_dim() -> None:
    """Green for closed, yellow for half-open, red for open."""
    lines = table([runner("threads")], 100, Ink(True))
    assert [line.split("\x1b[")[1][:2] for line in lines[2:6]] == ["32", "33", "31", "32"]
    assert lines[3].count("\x1b[2m") == 2

"""The limits of one attempt, cut by a deadline, and those that hold in the body."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client import ConfigurationError, Timeout
from http_service_client.core.timeouts import TIMER_SLACK
from kit.rows import each_row


@each_row(
    ("given", "remaining", "total", "connect"),
    [
        ({}, None, None, None),
        ({"total": 5.0, "connect": 2.0}, None, 5.0, 2.0),
        ({"total": 5.0, "connect": 2.0}, 6.0, 5.0, 2.0),
        ({"total": 5.0, "connect": 2.0}, 5.0, 5.0, 2.0),
        ({"total": 5.0, "connect": 2.0}, 4.0, 4.0, 2.0),
        ({"total": 5.0, "connect": 2.0}, 2.0, 2.0, 2.0),
        ({"total": 5.0, "connect": 2.0}, 1.0, 1.0, 1.0),
        ({"total": 5.0}, 1.0, 1.0, None),
        ({"connect": 2.0}, 3.0, 3.0, 2.0),
        ({}, 3.0, 3.0, None),
    ],
)
def test_a_deadline_cuts_a_timeout(
    given: dict[str, Any], remaining: float | None, total: float | None, connect: float | None
) -> None:
    """Its whole and its connecting; the other limits, and the original, stay as they are."""
    others = {"read": 9.0, "write": 8.0, "pool": 7.0, "first_byte": 6.0, "between": 0.5}
    timeout = Timeout(**given, **others)
    cut = timeout.within(remaining)
    assert cut == Timeout(total=total, connect=connect, **others)
    assert timeout == Timeout(**given, **others)


def test_a_timeout_that_a_deadline_does_not_cut_is_not_copied() -> None:
    """This runs in every attempt."""
    timeout = Timeout(total=5.0)
    assert timeout.within(None) is timeout
    assert timeout.within(5.0) is timeout


@each_row(
    ("given", "read", "has_phases"),
    [
        ({}, None, False),
        ({"read": 9.0}, 9.0, False),
        ({"first_byte": 6.0}, None, True),
        ({"first_byte": 6.0, "read": 9.0}, 9.0, True),
        ({"between": 0.5}, 0.5, True),
        ({"between": 0.5, "read": 9.0}, 0.5, True),
    ],
)
def test_the_wait_for_more_of_a_body(given: dict[str, Any], read: float | None, has_phases: bool) -> None:
    """`between` replaces `read` once the head has arrived, and `first_byte` is over then."""
    timeout = Timeout(total=5.0, **given)
    assert timeout.has_phases is has_phases
    assert timeout.in_body() == Timeout(total=5.0, read=read)
    assert (timeout.in_body() is timeout) is not has_phases


@each_row("name", ["total", "connect", "read", "write", "pool", "first_byte", "between"])
def test_each_limit_is_a_positive_number_of_seconds(name: str) -> None:
    """The error names it."""
    with pytest.raises(
        ConfigurationError, match=rf"^Timeout\.{name} must be a positive, finite number of seconds, not 0"
    ):
        Timeout(**{name: 0})
    assert getattr(Timeout(**{name: 5}), name) == 5


def test_a_timer_may_be_a_tick_early() -> None:
    """The coarsest tick is that of Windows, 0.016 s."""
    assert TIMER_SLACK == 0.02

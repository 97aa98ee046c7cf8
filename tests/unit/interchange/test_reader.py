"""What a value of a document may be, wherever it is, and how it is shown."""

from __future__ import annotations

import math
import re
import sys
from typing import Any

import pytest

from http_service_client import ConfigurationError
from http_service_client.interchange import from_envoy, from_polly
from kit.rows import each_row

ATTEMPTS = "retry_policy_config.max_attempts"


@pytest.mark.parametrize(
    ("given", "retries"),
    [(2, 2), (2.0, 2), ("2", 2), ("2.0", 2), (sys.float_info.max, int(sys.float_info.max))],
)
def test_a_number_is_a_finite_one_or_its_text(given: Any, retries: int) -> None:
    """As configuration files have it."""
    assert from_polly({"Retry": {"MaxRetryAttempts": given}}).said[ATTEMPTS] == retries + 1


@each_row(
    "given",
    [True, False, -1, math.inf, math.nan, 10**400, "1e5", "-1", "", "five", "\u0663", "1_0", "9" * 16, [1]],
)
def test_anything_else_is_no_number(given: Any) -> None:
    """A switch is none, and neither is text in another notation."""
    with pytest.raises(
        ConfigurationError, match=r"^Retry\.MaxRetryAttempts must be a number, 0 or more, not "
    ):
        from_polly({"Retry": {"MaxRetryAttempts": given}})


@each_row("given", ["503", 503, {"503": 1}, ["503"], [True], [503, "504"], [503, 504.0]])
def test_statuses_are_whole_numbers_in_a_list(given: Any) -> None:
    """All of them."""
    message = f"retriable_status_codes must be a list of whole numbers, not {given!r}"
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}$"):
        from_envoy({"retry_on": "retriable-status-codes", "retriable_status_codes": given})


@pytest.mark.parametrize("given", [[503, 504], (503, 504)])
def test_a_list_may_be_a_tuple(given: Any) -> None:
    """A program may write the document."""
    imported = from_envoy({"retry_on": "retriable-status-codes", "retriable_status_codes": given})
    assert imported.said["retry_policy_config.statuses"] == (503, 504)


def test_null_is_the_same_as_a_missing_key() -> None:
    """It has no note, even under a name that has no equal here."""
    assert from_polly({"Retry": {"Name": None, "Other": None, "Delay": None}}).notes == ()


@pytest.mark.parametrize(("length", "shown"), [(98, 100), (99, 101)])
def test_a_long_value_is_shown_up_to_100_characters(length: int, shown: int) -> None:
    """With its quotes; an ellipsis says that it goes on."""
    (note,) = from_polly({"Retry": {"Other": "x" * length}}).notes
    assert len(note.value) == shown
    assert note.value.endswith("…") is (shown > 100)

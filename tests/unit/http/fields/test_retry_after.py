"""Retry-After: what it may say, and what it may not make us do. The grammar of dates is in test_dates."""

from __future__ import annotations

import math
from datetime import datetime, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_service_client.http.fields.retry_after import (
    LONGEST_DELAY,
    asks_to_retry,
    parse_retry_after,
    requested_delay,
)
from http_service_client.http.headers import Headers
from kit.rows import each_row

# RFC 9110, 5.6.7: the same instant in its three forms.
RFC_INSTANT = 784111777.0
RFC_DATES = ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]


@each_row(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        ("007", 7.0),
        (" \t120 ", 120.0),
        ("1.5", 1.5),  # against the RFC's grammar, but clear; ignoring it would mean coming back too early
        ("2147483648", LONGEST_DELAY),
        ("2147483649", 2.0**31),
        ("9" * 400, LONGEST_DELAY),  # inf as a float
        ("9" * 10_000, LONGEST_DELAY),  # more digits than int() takes
    ],
)
def test_a_number_is_seconds_up_to_the_longest_delay(value: str, seconds: float) -> None:
    """delay-seconds are taken at their word, up to 68 years (RFC 9111, 1.2.2)."""
    assert parse_retry_after(value, wall_now=1e9) == seconds


@pytest.mark.parametrize("value", RFC_DATES)
def test_a_date_is_a_wait_from_now(value: str) -> None:
    """In each of the three forms of RFC 9110, 5.6.7."""
    assert parse_retry_after(f" {value}\t", wall_now=RFC_INSTANT - 60.0) == 60.0


@pytest.mark.parametrize("value", RFC_DATES)
def test_a_past_date_is_no_wait(value: str) -> None:
    """0.0, never a negative number."""
    assert parse_retry_after(value, wall_now=RFC_INSTANT + 60.0) == 0.0


def test_a_date_in_the_far_future_is_capped() -> None:
    """No date means a wait of more than 68 years."""
    assert parse_retry_after("Fri, 31 Dec 9999 23:59:59 GMT", wall_now=0.0) == LONGEST_DELAY


@each_row(
    "value",
    [
        "",
        " ",
        "soon",
        "-1",
        "+1",
        "1e3",
        "1_000",
        "0x10",
        ".5",
        "5.",
        "1.5.1",
        "1,5",
        "120, 120",
        "120 s",
        "nan",
        "inf",
        "Infinity",
        "١٢٠",  # digits, but not ASCII
        "²",
        "120\n",
        "X120",
        "Sun, 06 Nov 1994 08:49:37 GMT, 120",
        "Sun, 31 Feb 2025 08:49:37 GMT",
    ],
)
def test_garbage_is_ignored(value: str) -> None:
    """None, and no error."""
    assert parse_retry_after(value, wall_now=RFC_INSTANT - 60.0) is None


def test_a_missing_header_is_no_wait() -> None:
    """None for None."""
    assert parse_retry_after(None, wall_now=0.0) is None


DATE_LIKE = st.from_regex(
    r"[A-Z][a-z]{2,8},? [0-9 ]{2}[- ](Jan|Feb|Nov|Dec)[- ][0-9]{2,4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT",
    fullmatch=True,
)


@given(
    value=st.one_of(st.text(), st.from_regex(r"[-+]?[0-9.]{1,400}"), DATE_LIKE),
    wall_now=st.floats(0.0, 4e9),
)
def test_nothing_a_server_sends_can_crash_or_trap_us(value: str, wall_now: float) -> None:
    """The result is None or a finite number of seconds from 0 to 68 years."""
    seconds = parse_retry_after(value, wall_now)
    assert seconds is None or (math.isfinite(seconds) and 0.0 <= seconds <= LONGEST_DELAY)


@given(moment=st.datetimes(datetime(1900, 1, 1), datetime(2199, 12, 31)), ahead=st.integers(0, 10**9))
def test_the_wait_is_the_time_until_the_date(moment: datetime, ahead: int) -> None:
    """For every date that the standard library writes."""
    moment = moment.replace(microsecond=0, tzinfo=timezone.utc)
    written = format_datetime(moment, usegmt=True)
    assert parse_retry_after(written, moment.timestamp() - ahead) == ahead


@pytest.mark.parametrize("name", ["retry-after-ms", "x-ms-retry-after-ms", "X-Amz-Retry-After"])
def test_some_services_ask_in_milliseconds(name: str) -> None:
    """These come before Retry-After, which has no fractions."""
    assert requested_delay(Headers({name: "1500", "Retry-After": "2"}), 0.0) == 1.5
    for other in ("soon", "X1500"):
        assert requested_delay(Headers({name: other, "Retry-After": "2"}), 0.0) == 2.0


@pytest.mark.parametrize(
    ("sent", "seconds"),
    [
        ({}, 5.0),
        ({"Date": "Sun, 06 Nov 1994 08:48:37 GMT"}, 60.0),
        ({"Date": "\tSun, 06 Nov 1994 08:48:37 GMT "}, 60.0),
        ({"Date": "XSun, 06 Nov 1994 08:48:37 GMT"}, 5.0),
    ],
)
def test_a_date_is_compared_with_that_of_its_response(sent: dict[str, str], seconds: float) -> None:
    """Both are of the server's clock. Without a valid one, the client's has to do."""
    headers = Headers({"Retry-After": RFC_DATES[0], **sent})
    assert requested_delay(headers, RFC_INSTANT - 5.0) == seconds


@each_row("name", ["x-should-retry", "Stripe-Should-Retry"])
@each_row(("value", "expected"), [("true", True), (" False\t", False), ("maybe", None), ("Xtrue", None)])
def test_a_server_says_whether_to_repeat(name: str, value: str, expected: bool | None) -> None:
    """In a header of its own; any other word counts for nothing."""
    assert asks_to_retry(Headers({name: value})) is expected
    assert asks_to_retry(Headers({"Retry-After": value})) is None


def test_the_first_word_that_is_understood_counts() -> None:
    """Of two that differ."""
    assert asks_to_retry(Headers({"stripe-should-retry": "false", "x-should-retry": "true"})) is True
    assert asks_to_retry(Headers({"stripe-should-retry": "false", "x-should-retry": "?"})) is False

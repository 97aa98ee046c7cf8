"""Retry-After: what it may say, and what it may not make us do."""

from __future__ import annotations

import math
from datetime import datetime, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_service_client.http.retry_after import LONGEST_DELAY, parse_retry_after

# RFC 9110, 5.6.7: the same instant in its three forms.
RFC_INSTANT = 784111777.0
RFC_DATES = ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]


def at(*date: int) -> float:
    return datetime(*date, tzinfo=timezone.utc).timestamp()  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        ("007", 7.0),
        (" \t120 ", 120.0),
        ("1.5", 1.5),  # against the RFC's grammar, but clear; ignoring it would mean coming too early
        ("2147483648", LONGEST_DELAY),
        ("2147483649", LONGEST_DELAY),
        ("9" * 400, LONGEST_DELAY),  # inf as a float
        ("9" * 10_000, LONGEST_DELAY),  # more digits than int() takes
    ],
)
def test_seconds(value: str, seconds: float) -> None:
    """delay-seconds are taken at their word, up to 68 years (RFC 9111, 1.2.2)."""
    assert parse_retry_after(value, wall_now=1e9) == seconds


@pytest.mark.parametrize("value", RFC_DATES)
def test_the_three_forms_of_a_date(value: str) -> None:
    """All three forms of RFC 9110, 5.6.7 mean the same instant."""
    assert parse_retry_after(value, wall_now=RFC_INSTANT - 60.0) == 60.0


@pytest.mark.parametrize("value", RFC_DATES)
def test_a_past_date_is_no_wait(value: str) -> None:
    """0.0, never a negative number."""
    assert parse_retry_after(value, wall_now=RFC_INSTANT + 60.0) == 0.0


def test_a_date_with_a_numeric_zone_of_zero_is_understood() -> None:
    """PHP's date("r") writes +0000 for GMT."""
    assert parse_retry_after("Sun, 06 Nov 1994 08:49:37 +0000", wall_now=RFC_INSTANT - 1.0) == 1.0


def test_a_leap_second_is_the_second_after_the_59th() -> None:
    """`60` is in the grammar."""
    assert parse_retry_after("Sat, 31 Dec 2016 23:59:60 GMT", wall_now=at(2016, 12, 31, 23, 59, 59)) == 1.0


def test_a_date_beyond_all_reason_is_capped() -> None:
    """The year 9999 is 68 years away, for us."""
    assert parse_retry_after("Fri, 31 Dec 9999 23:59:59 GMT", wall_now=0.0) == LONGEST_DELAY


@pytest.mark.parametrize(
    ("value", "now", "meant"),
    [
        ("Sunday, 06-Nov-94 08:49:37 GMT", (2025, 6, 15), 1994),
        ("Sunday, 06-Nov-30 08:49:37 GMT", (2025, 6, 15), 2030),
        ("Sunday, 06-Nov-05 08:49:37 GMT", (2095, 6, 15), 2105),
        ("Tuesday, 01-Jan-75 00:00:00 GMT", (2025, 6, 15), 2075),  # 49.5 years ahead
        ("Sunday, 01-Dec-75 00:00:00 GMT", (2025, 6, 15), 1975),  # 50.5 years ahead: the past is meant
        ("Saturday, 15-Jun-75 00:00:00 GMT", (2025, 6, 15), 2075),  # 50 years to the second
    ],
)
def test_two_digit_years(value: str, now: tuple[int, int, int], meant: int) -> None:
    """More than 50 years ahead means the most recent past year with these digits (RFC 9110, 5.6.7)."""
    day, month = int(value.split("-")[0][-2:]), value.split("-")[1]
    time = [int(part) for part in value.split(" ")[2].split(":")]
    months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    expected = max(0.0, at(meant, 1 + months.index(month), day, *time) - at(*now))
    assert parse_retry_after(value, wall_now=at(*now)) == expected


@pytest.mark.parametrize(
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
        "Sun, 06 Nov 1994",
        "06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 EST",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 31 Feb 2025 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun, 06 Foo 1994 08:49:37 GMT",
        "Sun Nov 31 08:49:37 1994",
        "Sun, 06 Nov 1994 08:49:37 GMT, 120",
        "1994-11-06T08:49:37Z",
    ],
)
def test_garbage_is_ignored(value: str) -> None:
    """None, and no error."""
    assert parse_retry_after(value, wall_now=RFC_INSTANT - 60.0) is None


def test_no_header_is_no_answer() -> None:
    """None in, None out."""
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
    """The answer is None or a finite number of seconds from 0 to 68 years."""
    answer = parse_retry_after(value, wall_now)
    assert answer is None or (math.isfinite(answer) and 0.0 <= answer <= LONGEST_DELAY)


@given(moment=st.datetimes(datetime(1900, 1, 1), datetime(2199, 12, 31)), ahead=st.integers(0, 10**9))
def test_dates_agree_with_the_standard_library(moment: datetime, ahead: int) -> None:
    """Whatever date is written, the wait is the difference."""
    moment = moment.replace(microsecond=0, tzinfo=timezone.utc)
    written = format_datetime(moment, usegmt=True)
    assert parse_retry_after(written, moment.timestamp() - ahead) == ahead

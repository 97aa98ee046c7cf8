"""HTTP-date: three forms, one instant, and no malformed date that is read as another."""

from __future__ import annotations

from datetime import datetime, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_service_client.http.fields.dates import parse_http_date, parse_imf_fixdate
from kit.rows import each_row

# The example of RFC 9110, 5.6.7: one instant in each form.
INSTANT = 784111777.0
FORMS = ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]

DATES = st.datetimes(datetime(1900, 1, 1), datetime(2199, 12, 31)).map(
    lambda moment: moment.replace(microsecond=0, tzinfo=timezone.utc)
)
DATE_LIKE = st.from_regex(
    r"[A-Z][a-z]{2,8},? [0-9 ]{2}[- ](Jan|Feb|Nov|Dec)[- ][0-9]{2,4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT",
    fullmatch=True,
)


def at(*date: int) -> float:
    return datetime(*date, tzinfo=timezone.utc).timestamp()  # type: ignore[misc,arg-type]


@pytest.mark.parametrize("text", FORMS)
def test_the_three_forms_mean_the_same_instant(text: str) -> None:
    """RFC 9110, 5.6.7: a recipient accepts all of them."""
    assert parse_http_date(text, wall_now=INSTANT) == INSTANT


def test_only_the_first_form_is_an_imf_fixdate() -> None:
    """The form that servers must send."""
    assert [parse_imf_fixdate(text) for text in FORMS] == [INSTANT, None, None]


@pytest.mark.parametrize("zone", ["+0000", "UTC"])
def test_other_names_of_gmt_are_understood_but_are_no_imf_fixdate(zone: str) -> None:
    """PHP's date("r") writes +0000."""
    text = f"Sun, 06 Nov 1994 08:49:37 {zone}"
    assert parse_http_date(text, wall_now=0.0) == INSTANT
    assert parse_imf_fixdate(text) is None


def test_a_leap_second_is_the_second_after_the_59th() -> None:
    """The grammar has a second 60."""
    text = "Sat, 31 Dec 2016 23:59:60 GMT"
    assert parse_http_date(text, wall_now=0.0) == parse_imf_fixdate(text) == at(2017, 1, 1)


@each_row(
    ("text", "now", "meant"),
    [
        ("Sunday, 06-Nov-94 08:49:37 GMT", (2025, 6, 15), (1994, 11, 6, 8, 49, 37)),
        ("Sunday, 06-Nov-30 08:49:37 GMT", (2025, 6, 15), (2030, 11, 6, 8, 49, 37)),
        ("Sunday, 06-Nov-05 08:49:37 GMT", (2095, 6, 15), (2105, 11, 6, 8, 49, 37)),
        ("Saturday, 01-Dec-74 00:00:00 GMT", (2025, 6, 15), (2074, 12, 1)),  # 49.5 years ahead, in the 49th
        ("Tuesday, 01-Jan-75 00:00:00 GMT", (2025, 6, 15), (2075, 1, 1)),  # 49.5 years ahead
        ("Sunday, 01-Dec-75 00:00:00 GMT", (2025, 6, 15), (1975, 12, 1)),  # 50.5: the past
        ("Saturday, 15-Jun-75 00:00:00 GMT", (2025, 6, 15), (2075, 6, 15)),  # 50 years to the second
    ],
)
def test_a_two_digit_year_is_at_most_50_years_ahead(
    text: str, now: tuple[int, ...], meant: tuple[int, ...]
) -> None:
    """Otherwise it is the most recent past year with these digits (RFC 9110, 5.6.7)."""
    assert parse_http_date(text, wall_now=at(*now)) == at(*meant)


@each_row(
    "text",
    [
        "",
        "soon",
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
        "Sun, 06 Növ 1994 08:49:37 GMT",
        "Sun, ٠٦ Nov 1994 08:49:37 GMT",  # digits, but not ASCII
        "Sun Nov 31 08:49:37 1994",
        "Sun, 06 Nov 1994 08:49:37 GMT, 120",
        "Sun, 06 Nov 1994 08:49:37 GMT\n",
        "1994-11-06T08:49:37Z",
    ],
)
def test_what_is_not_a_date_is_not_read(text: str) -> None:
    """None for a malformed date, and for one that no calendar has."""
    assert parse_http_date(text, wall_now=INSTANT) is None
    assert parse_imf_fixdate(text) is None


@given(moment=DATES)
def test_every_date_of_the_standard_library_is_read(moment: datetime) -> None:
    """`email.utils` writes IMF-fixdates; the reader for all forms and the strict one agree on them."""
    text = format_datetime(moment, usegmt=True)
    assert parse_imf_fixdate(text) == parse_http_date(text, wall_now=0.0) == moment.timestamp()


@given(moment=DATES)
def test_the_form_of_asctime_is_read(moment: datetime) -> None:
    """Days of one digit are written with a space before them."""
    text = f"{moment:%a %b} {moment.day:2} {moment:%H:%M:%S %Y}"
    assert parse_http_date(text, wall_now=0.0) == moment.timestamp()


@given(text=st.one_of(st.text(), DATE_LIKE), wall_now=st.floats(0.0, 4e9))
def test_no_text_makes_it_fail(text: str, wall_now: float) -> None:
    """The result is None or a number; the strict reader takes nothing that the lenient one refuses."""
    read = parse_http_date(text, wall_now)
    assert parse_imf_fixdate(text) in (None, read)

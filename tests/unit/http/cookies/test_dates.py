"""The dates of cookies (RFC 6265, 5.1.1), found part by part."""

from __future__ import annotations

from datetime import datetime, timezone

from hypothesis import given
from hypothesis import strategies as st

from http_service_client.http.cookies.dates import parse_cookie_date
from kit.rows import each_row

MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


@each_row(
    ("text", "moment"),
    [
        ("Wed, 21 Oct 2026 07:28:00 GMT", (2026, 10, 21, 7, 28, 0)),
        ("Wednesday, 21-Oct-26 07:28:00 GMT", (2026, 10, 21, 7, 28, 0)),
        ("Wed Oct 21 07:28:00 2026", (2026, 10, 21, 7, 28, 0)),
        ("21 OCTOBER 2026 7:8:9", (2026, 10, 21, 7, 8, 9)),
        *((f"1 {name} 2026 00:00:00", (2026, month, 1, 0, 0, 0)) for month, name in enumerate(MONTHS, 1)),
        ("1 Jan 70 00:00:00", (1970, 1, 1, 0, 0, 0)),
        ("1 Jan 69 00:00:00", (2069, 1, 1, 0, 0, 0)),
        ("1 Jan 99 00:00:00", (1999, 1, 1, 0, 0, 0)),
        ("1 Jan 100 00:00:00", None),
        ("1 Jan 1600 00:00:00", None),
        ("1 Jan 1601 00:00:00", (1601, 1, 1, 0, 0, 0)),
        # The first of each kind counts.
        ("1 Jan 2026 00:00:00 11:11:11", (2026, 1, 1, 0, 0, 0)),
        ("1 Jan 2026 00:00:00 2027", (2026, 1, 1, 0, 0, 0)),
        ("1 Jan 2026 00:00:00 Feb", (2026, 1, 1, 0, 0, 0)),
        ("31 Feb 2026 00:00:00", None),
        ("1 Jan 2026 24:00:00", None),
        ("1 Jan 2026 00:00:60", None),
        ("1 Jan 2026", None),
        ("Jan 2026 00:00:00", None),
        ("1 2026 00:00:00", None),
        ("1 Jan 00:00:00", None),
        ("٣ Jan 2026 00:00:00", None),
        ("", None),
    ],
)
def test_a_date_is_found_part_by_part(text: str, moment: tuple[int, ...] | None) -> None:
    """RFC 6265 5.1.1."""
    expected = None if moment is None else datetime(*moment, tzinfo=timezone.utc).timestamp()  # type: ignore[arg-type,misc]  # six of them
    assert parse_cookie_date(text) == expected


@given(st.one_of(st.text(), st.text(st.sampled_from("0123456789: -,JanFeb"))))
def test_no_text_makes_it_fail(text: str) -> None:
    """The result is a number or None."""
    assert isinstance(parse_cookie_date(text), (float, type(None)))

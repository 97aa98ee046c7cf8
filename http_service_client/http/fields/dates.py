"""HTTP-date (RFC 9110, 5.6.7): an instant as header fields write it, with a resolution of one second.

    IMF-fixdate     Sun, 06 Nov 1994 08:49:37 GMT       the only form that may be sent
    rfc850-date     Sunday, 06-Nov-94 08:49:37 GMT      obsolete; a recipient must read it
    asctime-date    Sun Nov  6 08:49:37 1994            obsolete; a recipient must read it

Nothing here raises: a date that is malformed, or that no calendar has, is None. The dates of cookies have a
lenient grammar of their own (RFC 6265, 5.1.1) in `cookies.dates`.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone

from ...lazy import lazy_pattern

__all__ = ["parse_http_date", "parse_imf_fixdate"]

_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_MONTH = f"(?P<month>{'|'.join(_MONTHS)})"
_TIME = r"(?P<hour>[01][0-9]|2[0-3]):(?P<minute>[0-5][0-9]):(?P<second>[0-5][0-9]|60)"  # 60: a leap second
_IMF_FIXDATE = rf"[A-Z][a-z]{{2}}, (?P<day>[0-9]{{2}}) {_MONTH} (?P<year>[0-9]{{4}}) {_TIME}"

_IMF_DATE = lazy_pattern(f"{_IMF_FIXDATE} GMT")
_FORMS = [
    # PHP's date("r") writes +0000, which is not an HTTP-date but is clear.
    lazy_pattern(rf"{_IMF_FIXDATE} (GMT|UTC|\+0000)"),
    lazy_pattern(rf"[A-Z][a-z]{{5,8}}, (?P<day>[0-9]{{2}})-{_MONTH}-(?P<year>[0-9]{{2}}) {_TIME} GMT"),
    lazy_pattern(rf"[A-Z][a-z]{{2}} {_MONTH} (?P<day>[ 0-9][0-9]) {_TIME} (?P<year>[0-9]{{4}})"),
]


def parse_http_date(text: str, wall_now: float) -> float | None:
    """Seconds since the epoch for a date in any of the three forms, else None.

    wall_now: seconds since the epoch; the year of an rfc850-date depends on it.

    >>> parse_http_date("Sunday, 06-Nov-94 08:49:37 GMT", wall_now=0.0)
    784111777.0
    """
    match = next(filter(None, (form.fullmatch(text) for form in _FORMS)), None)
    return None if match is None else _instant(match, wall_now)


def parse_imf_fixdate(text: str) -> float | None:
    """Seconds since the epoch for an IMF-fixdate, else None.

    >>> parse_imf_fixdate("Sun, 06 Nov 1994 08:49:37 GMT")
    784111777.0
    """
    match = _IMF_DATE.fullmatch(text)
    return None if match is None else _instant(match)


def _instant(match: re.Match[str], wall_now: float = 0.0) -> float | None:
    year, day, hour, minute, second = map(int, match.group("year", "day", "hour", "minute", "second"))
    month = 1 + _MONTHS.index(match["month"])
    if len(match["year"]) == 2:
        year = _full_year(year, (month, day, hour, minute, second), wall_now)
    try:
        return datetime(year, month, day, hour, minute, tzinfo=timezone.utc).timestamp() + second
    except ValueError:  # there is no such day
        return None


def _full_year(last_two_digits: int, rest: tuple[int, ...], wall_now: float) -> int:
    """The latest year with these digits that puts the date at most 50 years ahead (RFC 9110, 5.6.7)."""
    now = datetime.fromtimestamp(wall_now, timezone.utc)
    latest = now.year + 50
    if rest > (now.month, now.day, now.hour, now.minute, now.second):
        latest -= 1
    return latest - (latest - last_two_digits) % 100

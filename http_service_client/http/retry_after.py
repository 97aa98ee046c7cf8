"""How long a server asked us to wait: the `Retry-After` header, read without trust.

RFC 9110, 10.2.3: ``Retry-After = HTTP-date / delay-seconds``. The header comes from a server in trouble,
or from a hostile one, so reading it never raises, and never answers with an infinite or a negative
number. What is not understood is ignored. Whether such a wait is worth while is decided elsewhere.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone

__all__ = ["LONGEST_DELAY", "parse_retry_after"]

#: Seconds (68 years). What a number too large to be meant is taken for: RFC 9111, 1.2.2.
LONGEST_DELAY = 2.0**31

# delay-seconds = 1*DIGIT. Some servers send a fraction; to ignore "1.5" would be to come back too early.
_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?")

# The three forms of RFC 9110, 5.6.7. "+0000" is no HTTP-date, but what PHP's date("r") writes.
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_MONTH = f"(?P<month>{'|'.join(_MONTHS)})"
_TIME = r"(?P<hour>[01][0-9]|2[0-3]):(?P<minute>[0-5][0-9]):(?P<second>[0-5][0-9]|60)"  # 60: a leap second
_DATES = [
    # IMF-fixdate: Sun, 06 Nov 1994 08:49:37 GMT
    re.compile(
        rf"[A-Z][a-z]{{2}}, (?P<day>[0-9]{{2}}) {_MONTH} (?P<year>[0-9]{{4}}) {_TIME} (GMT|UTC|\+0000)"
    ),
    # rfc850-date: Sunday, 06-Nov-94 08:49:37 GMT
    re.compile(rf"[A-Z][a-z]{{5,8}}, (?P<day>[0-9]{{2}})-{_MONTH}-(?P<year>[0-9]{{2}}) {_TIME} GMT"),
    # asctime-date: Sun Nov  6 08:49:37 1994
    re.compile(rf"[A-Z][a-z]{{2}} {_MONTH} (?P<day>[ 0-9][0-9]) {_TIME} (?P<year>[0-9]{{4}})"),
]


def parse_retry_after(value: str | None, wall_now: float) -> float | None:
    """Seconds to wait from now, or None where there is no such header or no sense in it.

    value: the header's value.
    wall_now: seconds since the epoch; only a date is compared with it.
    Returns 0.0 (a past date) to `LONGEST_DELAY`. Never raises.

    >>> parse_retry_after("120", wall_now=0.0)
    120.0
    >>> parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", wall_now=784111717.0)
    60.0
    >>> parse_retry_after("soon", wall_now=0.0)
    """
    if value is None:
        return None
    value = value.strip(" \t")
    if _SECONDS.fullmatch(value):
        return min(float(value), LONGEST_DELAY)  # float() of too many digits is inf, where int() would raise
    at = _date(value, wall_now)
    return None if at is None else min(max(at - wall_now, 0.0), LONGEST_DELAY)


def _date(text: str, wall_now: float) -> float | None:
    """The HTTP-date in seconds since the epoch, or None if it is none."""
    match = next(filter(None, (form.fullmatch(text) for form in _DATES)), None)
    if match is None:
        return None
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

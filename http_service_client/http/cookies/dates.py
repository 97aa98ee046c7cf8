"""The dates in Set-Cookie (RFC 6265 5.1.1): found part by part, in any order, as servers write them.

Wed, 21 Oct 2026 07:28:00 GMT      Wednesday, 21-Oct-26 07:28:00 GMT      Oct 21 07:28:00 2026
"""

from __future__ import annotations

import re
from datetime import datetime, timezone

__all__ = ["parse_cookie_date"]

_TOKENS = re.compile(r"[^\x09\x20-\x2f\x3b-\x40\x5b-\x60\x7b-\x7e]+").findall
_TIME = re.compile(r"(\d{1,2}):(\d{1,2}):(\d{1,2})(?:\D.*)?", re.ASCII | re.DOTALL).fullmatch
_DAY = re.compile(r"(\d{1,2})(?:\D.*)?", re.ASCII | re.DOTALL).fullmatch
_YEAR = re.compile(r"(\d{2,4})(?:\D.*)?", re.ASCII | re.DOTALL).fullmatch
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def parse_cookie_date(text: str) -> float | None:
    """Seconds since the epoch, or None for text that is not a date. Never raises.

    >>> parse_cookie_date("Thu, 01 Jan 1970 00:00:10 GMT")
    10.0
    """
    time = day = month = year = None
    for token in _TOKENS(text):
        if time is None and (match := _TIME(token)):
            time = [int(part) for part in match.groups()]
        elif day is None and (match := _DAY(token)):
            day = int(match[1])
        elif month is None and token[:3].lower() in _MONTHS:
            month = _MONTHS.index(token[:3].lower()) + 1
        elif year is None and (match := _YEAR(token)):
            year = int(match[1])
    if time is None or day is None or month is None or year is None:
        return None
    if year < 100:
        year += 1900 if year >= 70 else 2000
    if year < 1601:
        return None
    try:
        hour, minute, second = time
        return datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc).timestamp()
    except ValueError:
        return None

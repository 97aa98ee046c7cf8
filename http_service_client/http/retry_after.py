"""How long a server asked us to wait: the `Retry-After` header, read without trust.

RFC 9110, 10.2.3: ``Retry-After = HTTP-date / delay-seconds``. The header comes from a server in trouble,
or from a hostile one, so reading it never raises and never returns an infinite or a negative number.
A value that is not understood is ignored. Whether the wait is worth while is decided elsewhere.
"""

from __future__ import annotations

import re

from .dates import parse_http_date

__all__ = ["LONGEST_DELAY", "parse_retry_after"]

LONGEST_DELAY = 2.0**31
"""Seconds (68 years). A larger number counts as this one (RFC 9111, 1.2.2)."""

# delay-seconds = 1*DIGIT. Some servers send a fraction; ignoring "1.5" would mean coming back too early.
_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?")


def parse_retry_after(value: str | None, wall_now: float) -> float | None:
    """Seconds to wait from now; None where the header is missing or not understood.

    value: the header's value.
    wall_now: seconds since the epoch; only a date is compared with it.
    Returns 0.0 (for a past date) to `LONGEST_DELAY`. Never raises.

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
    at = parse_http_date(value, wall_now)
    return None if at is None else min(max(at - wall_now, 0.0), LONGEST_DELAY)

"""What a server asked its clients to do: come back later, or not at all. Read without trust.

    x-should-retry          true or false: whether to repeat the request (of many model APIs)
    stripe-should-retry     the same (of Stripe, whose own clients obey it)
    retry-after-ms          milliseconds (of model APIs)
    x-ms-retry-after-ms     milliseconds (of Azure)
    x-amz-retry-after       milliseconds (of AWS)
    Retry-After             HTTP-date / delay-seconds (RFC 9110, 10.2.3)

The first one that is understood counts, of each kind. The headers come from a server in trouble, or from a hostile one, so reading
them never raises and never returns an infinite or a negative number. A value that is not understood is ignored.
Whether the wait is worth while is decided elsewhere.
"""

from __future__ import annotations

from ...lazy import lazy_pattern
from ..headers import Headers
from .dates import parse_http_date

__all__ = [
    "DELAY_HEADERS",
    "LONGEST_DELAY",
    "WAIT_HEADERS",
    "asks_to_retry",
    "parse_retry_after",
    "requested_delay",
]

LONGEST_DELAY = 2.0**31
"""Seconds (68 years). A larger number counts as this one (RFC 9111, 1.2.2)."""

# delay-seconds = 1*DIGIT. Some servers send a fraction; ignoring "1.5" would mean coming back too early.
_NUMBER = lazy_pattern(r"[0-9]+(\.[0-9]+)?")
_IN_MILLISECONDS = ("retry-after-ms", "x-ms-retry-after-ms", "x-amz-retry-after")
WAIT_HEADERS = frozenset({*_IN_MILLISECONDS, "retry-after"})  # without one of these, it finds nothing
_WHETHER = ("x-should-retry", "stripe-should-retry")
_WHETHER_HEADERS = frozenset(_WHETHER)
_BOOLEANS = {"true": True, "false": False}
DELAY_HEADERS = (*_IN_MILLISECONDS, "Retry-After", "Date")  # those that `requested_delay` reads


def asks_to_retry(headers: Headers) -> bool | None:
    """Whether the server asked for a repetition; None where it says nothing."""
    if not headers.has_any(_WHETHER_HEADERS):  # the usual case
        return None
    said = (_BOOLEANS.get(headers.get(name, "").strip(" \t").lower()) for name in _WHETHER)
    return next((each for each in said if each is not None), None)


def requested_delay(headers: Headers, wall_now: float) -> float | None:
    """Seconds that a response asks its client to wait; None where it asks for nothing that is understood.

    wall_now: seconds since the epoch, by the client's clock. A date is compared with it only if the response has no
        valid Date of its own: the difference of two dates of one clock is right even if that clock is not.
    """
    if not headers.has_any(WAIT_HEADERS):  # the usual case; a failed attempt asks several times
        return None
    for name in _IN_MILLISECONDS:
        if name in headers and _NUMBER.fullmatch(milliseconds := headers[name].strip(" \t")):
            return min(float(milliseconds) / 1000.0, LONGEST_DELAY)
    if "Retry-After" not in headers:
        return None
    value = headers["Retry-After"]
    sent_at = parse_http_date(headers.get("Date", "").strip(" \t"), wall_now)
    return parse_retry_after(value, wall_now if sent_at is None else sent_at)


def parse_retry_after(value: str | None, wall_now: float) -> float | None:
    """Seconds to wait from now; None where the header is missing or not understood.

    value: the header's value.
    wall_now: seconds since the epoch when it was written; only a date is compared with it.
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
    if _NUMBER.fullmatch(value):
        return min(float(value), LONGEST_DELAY)  # float() of too many digits is inf, where int() would raise
    at = parse_http_date(value, wall_now)
    return None if at is None else min(max(at - wall_now, 0.0), LONGEST_DELAY)

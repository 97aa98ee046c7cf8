"""What a response says is left of a service's quotas: read without trust.

    RateLimit-Policy: "default";q=100;w=60           the quota and its window (draft-ietf-httpapi-ratelimit-headers-11)
    RateLimit: "default";r=50;t=30                   50 requests are left for the next 30 seconds
    RateLimit: limit=100, remaining=50, reset=30     the same, as drafts before had it
    X-RateLimit-Remaining: 50                        the same, by custom; the reset in seconds, as a duration
    X-RateLimit-Reset: 30                            such as "6m0s", or as an instant, in seconds or milliseconds

What is malformed is ignored, and so is what this client cannot count: quotas of bytes, and of concurrent requests. Where
a response says `Retry-After` as well, that takes precedence, and nothing is read here; nor from a response that came from a
cache (`Age`), since its numbers are old. What remains is no promise: a service may refuse a request all the same.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ..headers import Headers
from .dates import parse_http_date
from .retry_after import WAIT_HEADERS
from .structured_lists import Member, Token, parse_list

__all__ = ["ReportedQuota", "read_quotas"]

_LONGEST = 3600.0  # seconds: what says more is asked again after that
_MOST_ITEMS = 16
_LONGEST_NAME = 200  # characters
_RESOURCE = "x-ratelimit-resource"  # GitHub's: its search has a quota of its own

# Without "RateLimit": what is left, until when, and of how many.
_FAMILIES = (
    ("ratelimit-remaining", "ratelimit-reset", "ratelimit-limit"),
    ("x-ratelimit-remaining", "x-ratelimit-reset", "x-ratelimit-limit"),
    ("x-rate-limit-remaining", "x-rate-limit-reset", "x-rate-limit-limit"),
    # Of model APIs:
    ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests", "x-ratelimit-limit-requests"),
)
_HEADERS = frozenset({"ratelimit", *(names[0] for names in _FAMILIES)})
_WHOLE = re.compile(r"[0-9]{1,15}").match
_NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{1,9})?").fullmatch
_DURATION = re.compile(
    r"(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6}(?:\.\d{1,9})?)s)?(?:(\d{1,9}(?:\.\d{1,9})?)ms)?"
)
_DRAFT_7 = re.compile(r"limit=(\d{1,15}), *remaining=(\d{1,15}), *reset=(\d{1,15})").fullmatch
_EPOCH = 1e8  # a number above it is an instant: as seconds from now it would be three years
_EPOCH_IN_MS = 1e11


class ReportedQuota(NamedTuple):
    """What is left of one quota.

    name: of its policy, with its partition or resource if the response names one.   remaining: requests.   reset: seconds until there are more, 0 to 3600.
    limit: requests of a whole window, or None.
    """

    name: str
    remaining: int
    reset: float
    limit: int | None


def read_quotas(headers: Headers, wall_now: float) -> list[ReportedQuota]:
    """The quotas in a response's headers, at most 16. Never raises.

    wall_now: seconds since the epoch, by the client's clock. An instant is compared with it only if the response has no
        valid Date of its own.

    >>> read_quotas(Headers({"RateLimit": '"default";r=50;t=30'}), wall_now=0.0)
    [ReportedQuota(name='default', remaining=50, reset=30.0, limit=None)]
    """
    if not headers.has_any(_HEADERS):  # the usual case
        return []
    if headers.has_any(WAIT_HEADERS) or headers.get("Age", "0").strip(" \t") != "0":
        return []
    if "RateLimit" in headers:
        return _standard(headers)
    for remaining, reset, limit in _FAMILIES:
        if remaining in headers and reset in headers:
            left = _WHOLE(headers[remaining].strip(" \t"))
            seconds = _seconds(headers[reset].strip(" \t"), headers, wall_now)
            most = _WHOLE(headers.get(limit, "").strip(" \t"))
            if left is None or seconds is None:
                return []
            quota = None if most is None else int(most[0])
            name = f"{remaining} {headers.get(_RESOURCE, '')}".strip()
            return [ReportedQuota(name[:_LONGEST_NAME], int(left[0]), min(seconds, _LONGEST), quota)]
    return []


def _standard(headers: Headers) -> list[ReportedQuota]:
    value = headers["RateLimit"]
    if (old := _DRAFT_7(value.strip(" \t"))) is not None:
        limit, remaining, reset = map(int, old.groups())
        return [ReportedQuota("default", remaining, min(float(reset), _LONGEST), limit)]
    policies = {
        member.value: member.parameters
        for member in parse_list(headers.get("RateLimit-Policy", "")) or ()
        if _is_string(member)
    }
    found: dict[str, ReportedQuota] = {}
    for member in (parse_list(value) or ())[:_MOST_ITEMS]:
        if not _is_string(member):
            continue
        policy = policies.get(member.value, {})
        if policy.get("qu", "requests") != "requests":
            continue
        left, seconds = _count(member.parameters.get("r")), _count(member.parameters.get("t"))
        if seconds is None:
            seconds = _count(policy.get("w"))  # no later than a whole window from now
        if left is not None and seconds is not None:
            reset_in = min(float(seconds), _LONGEST)
            partition = member.parameters.get("pk")
            name = f"{member.value} {partition.hex()}" if isinstance(partition, bytes) else str(member.value)
            name = name[:_LONGEST_NAME]
            found[name] = ReportedQuota(name, left, reset_in, _count(policy.get("q")))
    return list(found.values())


def _is_string(member: Member) -> bool:
    return isinstance(member.value, str) and not isinstance(member.value, Token)


def _count(value: object) -> int | None:
    """A non-negative integer, or None."""
    return value if type(value) is int and value >= 0 else None


def _seconds(text: str, headers: Headers, wall_now: float) -> float | None:
    """Seconds from now; None for what is not understood."""
    if not _NUMBER(text):
        parts = _DURATION.fullmatch(text)
        if not text or parts is None:
            return None
        hours, minutes, seconds, milliseconds = (float(part or 0) for part in parts.groups())
        return hours * 3600 + minutes * 60 + seconds + milliseconds / 1000
    number = float(text)
    if number < _EPOCH:
        return number
    sent_at = parse_http_date(headers.get("Date", "").strip(" \t"), wall_now)
    now = wall_now if sent_at is None else sent_at
    return max(0.0, (number / 1000 if number > _EPOCH_IN_MS else number) - now)

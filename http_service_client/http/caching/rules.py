"""What a cache may do (RFC 9111, RFC 5861): store a response, use it, use it although it is stale, confirm it.

Theory. A stored response has an age and a lifetime. While the age is below the lifetime, the response is *fresh* and
is used without asking. After that it is *stale*: the cache asks the server whether it is still valid, by the
validators that the server gave it (ETag, Last-Modified). A stale response is used without a confirmation only where
somebody allows it: the response (stale-while-revalidate, stale-if-error), the request (max-stale), or the settings.
"""

from __future__ import annotations

from enum import Enum
from functools import lru_cache
from typing import NamedTuple

from ..fields.dates import parse_http_date
from ..headers import Headers
from ..messages import HttpRequest, HttpResponse
from ..references import resolve_reference
from ..urls import normalise_url, origin_of
from .directives import Directives, parse_directives, seconds
from .stored import StoredResponse, kept_headers, request_values, vary_names

__all__ = [
    "CacheRules",
    "Judgement",
    "Use",
    "conditions",
    "confirmed",
    "is_conclusive",
    "is_error",
    "judge",
    "may_use_after_error",
    "outdated_urls",
    "why_not_stored",
]

# Final statuses whose caching requirements this module implements (3): all but 206 and 304, which say something about
# another response.
_UNDERSTOOD = frozenset({
    200, 203, 204, 300, 301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 410, 414, 451, 500, 501, 502, 503, 504,
})  # fmt: skip
# May be stored although nothing says for how long (RFC 9110, 15.1).
_BY_DEFAULT = frozenset({200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501})
_ERRORS = frozenset({500, 502, 503, 504})  # those of stale-if-error (RFC 5861, 4)
_DAY = 86400.0
_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "QUERY"})
# A confirmation does not change these: they describe the content as it was received (3.2).
_OF_THE_CONTENT = frozenset({"content-encoding", "content-length", "content-range"})


class CacheRules(NamedTuple):
    """The settings that the rules depend on.

    shared: it serves several users (RFC 9111, 1).   heuristic: the share of the time since Last-Modified for which a
    response is fresh that does not say (4.2.2).   stale_if_error, stale_while_revalidate: seconds, where the response
    gives fewer.   max_entry_size: bytes of a body.
    """

    shared: bool = False
    heuristic: float = 0.0
    stale_if_error: float = 0.0
    stale_while_revalidate: float = 0.0
    max_entry_size: int = 5 * 1024 * 1024


class Use(Enum):
    """How a stored response may be used for a request."""

    FRESH = "fresh"
    STALE = "stale"  # the request accepts it
    BEHIND = "while it is revalidated"  # used now, confirmed behind it
    CONFIRM = "once it is confirmed"


class Judgement(NamedTuple):
    """What may be done with a stored response now.   age, ttl: seconds; the ttl of a stale response is negative."""

    use: Use
    age: float
    ttl: float


def why_not_stored(
    request: HttpRequest,
    response: HttpResponse,
    now: float,
    rules: CacheRules,
    *,
    has_credentials: bool = False,
) -> str | None:
    """Why the response to a GET may not be stored, in a few words, or None if it may (RFC 9111, 3).

    now: seconds since the epoch, when it arrived.
    has_credentials: it is for one user, and the cache cannot tell that user from others.
    """
    headers, status = response.headers, response.status_code
    said = parse_directives(headers.get_all("Cache-Control"))
    if status in (206, 304) or status < 200:
        return f"status {status}"
    if "must-understand" in said:  # then no-store is for caches that do not know the status (5.2.2.3)
        if status not in _UNDERSTOOD:
            return f"status {status} must be understood"
    elif "no-store" in said:
        return "no-store"
    if "no-store" in parse_directives(request.headers.get_all("Cache-Control")):
        return "no-store in the request"
    if "*" in vary_names(headers):
        return "Vary: *"
    is_shareable = "public" in said or "s-maxage" in said
    if rules.shared or has_credentials:
        if "private" in said:
            return "private"
        # A shared cache may take must-revalidate for a permission, too (3.5). Many services send it as a matter of course,
        # and in a private cache it would let one user see the response of another.
        if has_credentials and not (is_shareable or (rules.shared and "must-revalidate" in said)):
            if rules.shared:
                return "it is for one user"
            return "credentials were added that the cache does not know; see Cache(single_user=True)"
    is_explicit = "max-age" in said or "Expires" in headers or is_shareable
    if "Set-Cookie" in headers and not (is_shareable if rules.shared or has_credentials else is_explicit):
        return "it sets a cookie"
    if not (is_explicit or "private" in said or status in _BY_DEFAULT):
        return f"status {status} without a lifetime"
    if len(response.content) > rules.max_entry_size:
        return "its body is larger than max_entry_size"
    is_of_use = (
        _lifetime(status, headers, said, rules, now) > 0
        or "ETag" in headers
        or "Last-Modified" in headers
        or rules.stale_if_error
        or "stale-if-error" in said
        or rules.stale_while_revalidate
        or "stale-while-revalidate" in said
    )
    return None if is_of_use else "it has neither a lifetime nor a validator"


def judge(stored: StoredResponse, request: HttpRequest, now: float, rules: CacheRules) -> Judgement:
    """How a stored response may be used for a request that it is for (RFC 9111, 4).

    now: seconds since the epoch.
    """
    said, lifetime, age = _facts(*_head(stored), rules)
    asked = parse_directives(request.headers.get_all("Cache-Control"))
    age += _resident(stored, now)
    ttl = lifetime - age
    use = Use.CONFIRM
    if (
        "no-cache" in said
        or "no-cache" in asked
        or (age > (seconds(asked, "max-age") or 0.0) and "max-age" in asked)
    ):
        pass
    elif ttl > 0 and ttl >= (seconds(asked, "min-fresh") or 0.0):
        use = Use.FRESH
    elif ttl > 0 or _must_be_confirmed(said, rules):
        pass
    elif "max-stale" in asked and -ttl <= (seconds(asked, "max-stale", unlimited=True) or 0.0):
        use = Use.STALE
    elif "min-fresh" not in asked and _is_within(
        -ttl, _longest(said, "stale-while-revalidate", rules.stale_while_revalidate)
    ):
        use = Use.BEHIND
    return Judgement(use, age, ttl)


def may_use_after_error(stored: StoredResponse, request: HttpRequest, now: float, rules: CacheRules) -> bool:
    """Whether a stored response may stand in for an error (RFC 5861, 4)."""
    said, lifetime, age = _facts(*_head(stored), rules)
    asked = parse_directives(request.headers.get_all("Cache-Control"))
    if _must_be_confirmed(said, rules) or "no-cache" in asked:
        return False
    age += _resident(stored, now)
    if "max-age" in asked and age > (seconds(asked, "max-age") or 0.0):
        return False
    stale = age - lifetime
    longest = _longest(said, "stale-if-error", rules.stale_if_error)
    return stale < 0 or _is_within(stale, max(longest, seconds(asked, "stale-if-error") or 0.0))


def is_error(status_code: int) -> bool:
    """Whether a response with this status lets a stored one stand in for it."""
    return status_code in _ERRORS


def is_conclusive(status_code: int) -> bool:
    """Whether a response with this status says that an earlier one is out of date, even if it is not stored itself.

    After 401, 403 or 404 nobody may see the earlier one again. A failure of the server, or a request to slow down,
    says nothing about it.
    """
    return status_code < 500 and status_code not in (408, 425, 429)


def conditions(stored: StoredResponse) -> dict[str, str]:
    """The header fields that ask whether a stored response is still valid; empty if it has no validator (4.3.1)."""
    headers = Headers(stored.headers)
    tags, dates = headers.get_all("ETag"), headers.get_all("Last-Modified")
    found = {}
    if len(tags) == 1:
        found["If-None-Match"] = tags[0]
    if len(dates) == 1:
        found["If-Modified-Since"] = dates[0]
    return found


def confirmed(
    stored: StoredResponse, request: HttpRequest, response: HttpResponse, received_at: float
) -> StoredResponse | None:
    """The stored response with what a 304 says about it (4.3.4, 3.2); None if the 304 is about another one.

    request: that selected it. If the 304 names other fields in Vary, it is for requests with the values of this one.
    """
    ours, theirs = Headers(stored.headers).get("ETag"), response.headers.get("ETag")
    if theirs is not None and (ours is None or _opaque(ours) != _opaque(theirs)):
        return None
    kept = [pair for pair in kept_headers(response.headers) if pair[0].lower() not in _OF_THE_CONTENT]
    renewed = {name.lower() for name, _ in kept}
    # The age and the date of the stored response say nothing about the confirmation (4.2.3). One without a Date is of the
    # instant at which it came (RFC 9110, 6.6.1).
    headers = [pair for pair in stored.headers if pair[0].lower() not in renewed | {"age", "date"}]
    fields = (*headers, *kept)
    return stored._replace(
        headers=fields,
        requested_at=received_at - response.elapsed,
        received_at=received_at,
        vary=request_values(request, vary_names(Headers(fields))),
    )


def outdated_urls(request: HttpRequest, response: HttpResponse | None) -> list[str]:
    """The URLs whose stored responses a request with an unsafe method puts out of date (4.4).

    Its own, and those of the same origin that the response names in Location and Content-Location.
    response: None if it did not arrive, so that the request may have been processed.
    """
    if request.method in _SAFE or (response is not None and 400 <= response.status_code < 500):
        return []
    urls = [request.url]
    if response is not None and response.status_code < 400:
        for name in ("Location", "Content-Location"):
            for value in response.headers.get_all(name):
                try:
                    url = normalise_url(resolve_reference(request.url, value.strip()))
                    if origin_of(url) == origin_of(request.url):
                        urls.append(url)
                except ValueError:  # not a URL of HTTP, for which it is an InvalidRequestError
                    pass
    return urls


def _resident(stored: StoredResponse, now: float) -> float:
    """Seconds since a response was stored, or by which the clock was set back since.

    A response that seems to come from tomorrow would otherwise be fresh until then.
    """
    return abs(now - stored.received_at)


def _must_be_confirmed(said: Directives, rules: CacheRules) -> bool:
    """Whether the response forbids to use it stale (4.2.4)."""
    return (
        "must-revalidate" in said
        or "no-cache" in said
        or (rules.shared and ("proxy-revalidate" in said or "s-maxage" in said))
    )


def _is_within(stale: float, allowance: float) -> bool:
    return allowance > 0 and stale <= allowance


def _longest(said: Directives, name: str, setting: float) -> float:
    given = seconds(said, name)
    return setting if given is None else max(given, setting)


def _lifetime(
    status: int, headers: Headers, said: Directives, rules: CacheRules, received_at: float
) -> float:
    """For how many seconds a response is fresh (4.2.1).   received_at: stands in for a missing Date."""
    given = seconds(said, "s-maxage") if rules.shared else None
    if given is None:
        given = seconds(said, "max-age")
    if given is not None:
        return given
    date = _date(headers, "Date", received_at)
    date = received_at if date is None else date
    if "Expires" in headers:
        expires = _date(headers, "Expires", received_at)
        return 0.0 if expires is None else max(0.0, expires - date)
    changed = _date(headers, "Last-Modified", received_at)
    if changed is None or not (status in _BY_DEFAULT or "public" in said):
        return 0.0
    return min(_DAY, max(0.0, date - changed) * rules.heuristic)


def _head(stored: StoredResponse) -> tuple[int, tuple[tuple[str, str], ...], float, float]:
    return stored.status_code, stored.headers, stored.requested_at, stored.received_at


@lru_cache(maxsize=1024)
def _facts(
    status: int,
    fields: tuple[tuple[str, str], ...],
    requested_at: float,
    received_at: float,
    rules: CacheRules,
) -> tuple[Directives, float, float]:
    """What a stored response says, its lifetime, and the age that it had when it came (4.2.3). They do not change."""
    headers = Headers(fields)
    said = parse_directives(headers.get_all("Cache-Control"))
    date = _date(headers, "Date", received_at)
    apparent = 0.0 if date is None else max(0.0, received_at - date)
    values = headers.get_all("Age")
    # The first of several (5.1); anything but a number is ignored.
    given = values[0].partition(",")[0].partition(";")[0].strip(" \t") if values else ""
    corrected = (seconds({"age": given}, "age") or 0.0) + max(0.0, received_at - requested_at)
    return said, _lifetime(status, headers, said, rules, received_at), max(apparent, corrected)


def _date(headers: Headers, name: str, wall_now: float) -> float | None:
    """The instant in a field; None if it has no date, or several."""
    values = headers.get_all(name)
    # Other time zones are clear, but a cache must not take them for a date (4.2).
    if len(values) != 1 or values[0].endswith(("UTC", "+0000")):
        return None
    return parse_http_date(values[0], wall_now)


def _opaque(tag: str) -> str:
    return tag.removeprefix("W/")

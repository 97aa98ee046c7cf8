"""Where a redirect leads, and which headers and body go along (RFC 9110 15.4).

    status      method         next        body
    303         HEAD           HEAD        dropped
    303         others         GET         dropped
    301, 302    POST           GET         dropped (as all browsers do, 15.4.2 note)
    301, 302    others         the same    kept    (QUERY too: RFC 10008)
    307, 308    any            the same    kept

A pure decision: the caller counts hops, replays the body and checks egress rules. A server must not be able
to make us leave http(s), fall from https to http, or use credentials that it chose (a Location with user
information): such redirects are refused. No credentials go to another origin.
"""

from __future__ import annotations

from typing import NamedTuple

from ..errors import InvalidRequestError, UnsafeRedirectError
from .headers import Headers
from .references import in_ascii, location_target, parse_reference
from .request import HttpRequest
from .secret_names import SECRET_NAMES, SecretNames
from .unix_sockets import UNIX
from .urls import redact_url, split_url

__all__ = [
    "BODY_HEADERS",
    "REDIRECT_CODES",
    "Hop",
    "headers_for_hop",
    "leads_on",
    "next_hop",
]

REDIRECT_CODES: frozenset[int] = frozenset({301, 302, 303, 307, 308})

BODY_HEADERS: frozenset[str] = frozenset(
    {
        "content-digest",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-length",
        "content-location",
        "content-md5",
        "content-range",
        "content-type",
        "digest",
        "expect",
        "last-modified",
        "repr-digest",
        "trailer",
        "transfer-encoding",
    }
)
"""Headers that describe a body and are wrong once it is dropped (RFC 9110 15.4, step 1.4)."""


class Hop(NamedTuple):
    """The next request of a redirected call.

    url: as the server wrote it, absolute. method: upper-case. keeps_body: the body goes along, and must be replayable.
    same_origin: scheme, host and port are the same, so credentials may go along.
    """

    url: str
    method: str
    keeps_body: bool
    same_origin: bool


def next_hop(method: str, url: str, status: int, location: str | None) -> Hop | None:
    """The hop that a response asks for, or None when it is not a redirect to follow.

    url: of the request. location: the header's value as text (decoded as UTF-8, else as latin-1, and marked). Octets
    that are not ASCII are escaped as they came, as browsers do.
    Raises UnsafeRedirectError when it must not be followed.
    """
    if status not in REDIRECT_CODES or not location:
        return None
    reference = in_ascii(location).strip(" \t")
    if not reference:
        return None
    try:
        _check_scheme(reference)
        target = location_target(url, reference)
    except InvalidRequestError as error:
        raise UnsafeRedirectError(
            f"the redirect from {redact_url(url)} cannot be followed: {error}"
        ) from None
    before, after = split_url(url), split_url(target)
    if UNIX in (before.scheme, after.scheme) and before[:3] != after[:3]:
        # The server at a socket wrote our Host field into an absolute URL, perhaps; nothing else says where it leads.
        raise UnsafeRedirectError(
            f"the redirect from {redact_url(url)} to {redact_url(target)} leaves the Unix socket or leads to one; "
            "request that URL itself if that is what you want"
        )
    if before.scheme == "https" and after.scheme == "http":
        raise UnsafeRedirectError(
            f"the redirect from {redact_url(url)} to {redact_url(target)} leaves https for http; "
            "request the http URL itself if that is what you want"
        )
    method = method.upper()
    keeps_body = status in (307, 308) or (status != 303 and method != "POST")
    if not keeps_body and method != "HEAD":
        method = "GET"
    return Hop(target, method, keeps_body, before[:3] == after[:3])


def leads_on(request: HttpRequest, status: int, location: str | None) -> bool:
    """Whether a response is a redirect that will be followed, or end the call with an error: its body is not read."""
    return request.follows_redirects and status in REDIRECT_CODES and bool((location or "").strip(" \t"))


def headers_for_hop(headers: Headers, hop: Hop, secret_names: SecretNames = SECRET_NAMES) -> Headers:
    """The headers of the next request, as a copy.

    secret_names: headers that another origin does not get. It does not get a Host header set by hand either: that
    one named the old origin.
    """
    dropped = set() if hop.keeps_body else set(BODY_HEADERS)
    if not hop.same_origin:
        # A name may match a pattern that is as wide as "*". A body that goes along still needs its description.
        dropped |= {
            name for name in map(str.lower, headers) if name in secret_names and name not in BODY_HEADERS
        }
        dropped.add("host")
    return headers.without(dropped)


def _check_scheme(reference: str) -> None:
    scheme, authority = parse_reference(reference)[:2]
    if scheme is None:
        return
    if scheme.lower() not in ("http", "https"):
        raise UnsafeRedirectError(
            f"the redirect leads to the scheme {scheme[:40].lower()!r}; only http and https are followed"
        )
    if authority is None:
        raise UnsafeRedirectError(f"the redirect's Location has no host: {redact_url(reference)[:200]!r}")

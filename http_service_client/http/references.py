"""References by which a server names URLs, in Location, Content-Location and Link: resolved by RFC 3986, 5.2.

`urllib.parse.urljoin` does that for the schemes that it knows, and a Unix socket's is none of them.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ..lazy import lazy_pattern
from .headers import Latin1Text
from .urls import location_url, remove_dot_segments

__all__ = ["Reference", "in_ascii", "location_target", "parse_reference", "resolve_reference"]

# URI-reference = URI / relative-ref                                               RFC 3986 appendix B
_REFERENCE = lazy_pattern(
    r"(?:([A-Za-z][A-Za-z0-9+.\-]*):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.DOTALL
)
_NOT_ASCII = lazy_pattern(r"[^\x00-\x7f]")


class Reference(NamedTuple):
    """The parts of a reference, as they are written. None for a part that is not there; the path may be empty."""

    scheme: str | None
    authority: str | None
    path: str
    query: str | None
    fragment: str | None


def parse_reference(text: str) -> Reference:
    """The parts of a reference."""
    match = _REFERENCE.match(text)
    assert match is not None  # every part is optional
    return Reference(*match.groups())


def resolve_reference(base: str, reference: str) -> str:
    """The reference resolved against an absolute URL. One that is absolute stays as it is, and so does any without a base.

    >>> resolve_reference("https://h/a/b?c", "../d?e")
    'https://h/d?e'
    """
    given, here = parse_reference(reference), parse_reference(base)
    if given.scheme is not None or here.scheme is None:
        return reference
    authority, path, query = given.authority, given.path, given.query
    if authority is None:
        authority = here.authority
        if not path:
            path = here.path
            query = here.query if query is None else query
        elif path[0] != "/":
            path = (here.path[: here.path.rfind("/") + 1] or "/") + path
    # An empty path stays empty: `location_url` has the last word about it.
    target = f"{here.scheme}://{authority or ''}{path and remove_dot_segments(path)}"
    target += "" if query is None else f"?{query}"
    return target if given.fragment is None else f"{target}#{given.fragment}"


def location_target(base: str, location: str) -> str:
    """The absolute URL that a Location names, in the server's own spelling, as `location_url` has it.

    base: the URL of the request.   location: without white space around it. Raises InvalidRequestError, with secrets
    redacted.
    """
    return location_url(resolve_reference(base, in_ascii(location)))


def in_ascii(value: str) -> str:
    """The value of a field. One that is not UTF-8 has its octets beyond ASCII percent-encoded as they came, as in browsers."""
    if isinstance(value, Latin1Text):
        return _NOT_ASCII.sub(lambda found: f"%{ord(found[0]):02X}", value)
    return value

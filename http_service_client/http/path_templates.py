"""Placeholders in the path of a URL: ``/orders/{order_id}``, each filled with a value that stays a part of its segment.

The law: a server that splits the path at "/" and then decodes each segment reads exactly the given values. So a
value cannot choose another resource: everything but RFC 3986's unreserved characters is percent-encoded, "/" and "%"
and ";" too. What no escape protects is refused, since clients, proxies and servers remove dot segments, escaped ones
as well (RFC 3986 5.2.4 and 6.2.2.2): a segment that would be "." or "..", and an empty value, which would
turn ``/orders/{id}`` into the listing.

The URL before it is filled is the *template*, a label of low cardinality for metrics and spans.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote_from_bytes

from ..errors import InvalidRequestError
from .parameters import scalar_bytes
from .urls import DOT_SEGMENTS, RawUrl, escape_path, not_text, path_span, show_url

__all__ = ["Template", "fill_path", "fits", "is_of_template", "parse_template"]

_PLACEHOLDER = re.compile(r"\{([^{}/]*)\}")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*").fullmatch
_OPEN_ESCAPE = re.compile(r"%[0-9A-Fa-f]?\Z").search
_IN_SCHEME = re.compile(r"[^/?#]*\{[^/?#]*://").match
_LONGEST_CACHED = 2048


def fill_path(url: str, path_params: Mapping[str, object]) -> tuple[str, str]:
    """The URL with its placeholders replaced by values, and its template: the path with the placeholders in it.

    url: absolute, or relative to a base URL, which is no part of the template. A `RawUrl` stays one.
    path_params: a value for each placeholder: text, bytes, a number, bool, date, UUID or Enum, as in a query.

    Raises InvalidRequestError for a missing, superfluous, empty or otherwise unsuitable value, and for a URL with
    placeholders outside its path.

    >>> fill_path("orders/{order_id}/lines?page=2", {"order_id": "a/b"})
    ('orders/a%2Fb/lines?page=2', '/orders/{order_id}/lines')
    """
    if not isinstance(url, str):
        raise not_text(url)
    if not isinstance(path_params, Mapping):
        raise InvalidRequestError(
            f"path_params must be a mapping of names to values, not {type(path_params).__name__}"
        )
    parse = _parse if len(url) <= _LONGEST_CACHED else _parse.__wrapped__
    start, segments, end, template, names = parse(url, isinstance(url, RawUrl))
    if path_params.keys() != names:
        raise _mismatch(url, names, path_params)
    encoded = {name: _encoded(name, path_params[name]) for name in names}
    path = "/".join([_filled(url, segment, encoded) for segment in segments])
    filled = f"{start}{path}{end}"
    return (RawUrl(filled) if isinstance(url, RawUrl) else filled), template


def is_of_template(url: str, template: str) -> bool:
    """Whether a URL may be this template filled, below any base URL.

    >>> is_of_template("https://api.test/v1/orders/7?a=b", "/orders/{order_id}")
    True
    >>> is_of_template("https://api.test/v1/refunds/7", "/orders/{order_id}")
    False
    """
    expected = template.split("/")[1:]
    segments = url.partition("?")[0].split("/")[-len(expected) :]
    texts = [tuple(_PLACEHOLDER.split(each)[::2]) for each in expected]
    return len(segments) == len(expected) and all(map(fits, segments, texts))


def fits(segment: str, texts: tuple[str, ...]) -> bool:
    """Whether a segment has these texts, in order, and something in between, where a template has placeholders.

    A regular expression would try all ways to do that, and take a power of the length to find none.
    """
    first, *others = texts
    if not others:
        return segment == first
    *between, last = others
    at = len(first) if segment.startswith(first) else len(segment)
    for literal in between:
        at = segment.find(literal, at + 1) + len(literal)
        if at < len(literal):  # not found
            return False
    return segment.endswith(last) and at < len(segment) - len(last)


class Template(NamedTuple):
    """A parsed URL.   segments: of its path; pieces of text and names of placeholders take turns, text first."""

    start: str
    segments: tuple[tuple[str, ...], ...]
    end: str
    template: str
    names: frozenset[str]


def parse_template(path: str) -> Template:
    """The parsed template of a path. Raises InvalidRequestError for an invalid one."""
    return _parse.__wrapped__(path, False)


@lru_cache(maxsize=256)
def _parse(url: str, is_raw: bool) -> Template:
    begin, stop = path_span(url)
    if _IN_SCHEME(url):
        raise InvalidRequestError(
            f"the URL {show_url(url)} has a placeholder in its scheme; write https:// or http://"
        )
    segments: list[tuple[str, ...]] = []
    for text in url[begin:stop].split("/"):
        pieces = _PLACEHOLDER.split(text)
        for name in pieces[1::2]:
            if _NAME(name) is None:
                raise InvalidRequestError(
                    f"the URL {show_url(url)} has {{{name[:40]}}} in its path, which is no placeholder: a name has letters, "
                    "digits, '_', '-' and '.'; write %7B and %7D for braces"
                )
        for literal in pieces[::2]:
            if "{" in literal or "}" in literal:
                raise InvalidRequestError(
                    f"the URL {show_url(url)} has a single brace in its path; write %7B or %7D, "
                    "or leave out path_params"
                )
        if any(map(_OPEN_ESCAPE, pieces[:-1:2])):  # a value could complete it
            raise InvalidRequestError(
                f"the URL {show_url(url)} has a '%' right before a placeholder; write %25 for a percent sign"
            )
        if not is_raw:
            if text.upper() in DOT_SEGMENTS:  # it would remove the segment before it
                raise InvalidRequestError(
                    f"the URL {show_url(url)} has the segment {text!r} in its path, beside placeholders; "
                    "write the path without it"
                )
            pieces[::2] = map(escape_path, pieces[::2])
        segments.append(tuple(pieces))
    path = "/".join(
        "".join(f"{{{piece}}}" if number % 2 else piece for number, piece in enumerate(segment))
        for segment in segments
    )
    names = frozenset(name for segment in segments for name in segment[1::2])
    return Template(url[:begin], tuple(segments), url[stop:], f"/{path.removeprefix('/')}", names)


def _filled(url: str, segment: tuple[str, ...], encoded: Mapping[str, str]) -> str:
    if len(segment) == 1:
        return segment[0]
    text = "".join([encoded[piece] if number % 2 else piece for number, piece in enumerate(segment)])
    # Java's servers remove the parameters of a segment before dot segments: "..;v=1" is ".." to them.
    if text.partition(";")[0].upper() in DOT_SEGMENTS:
        raise InvalidRequestError(
            f"path_params would make {text!r} a segment of {show_url(url)}, which is removed on the way to the "
            "resource, and another one would be requested; check the value"
        )
    return text


def _encoded(name: str, value: object) -> str:
    field = f"path_params[{name!r}]"
    found = scalar_bytes(value, field, is_needed=True)
    if not found:
        raise InvalidRequestError(
            f"{field} is {'None' if found is None else 'empty'}, and the URL would be that of another resource; "
            "check the value"
        )
    return quote_from_bytes(found, "")


def _mismatch(url: str, names: frozenset[str], path_params: Mapping[str, object]) -> InvalidRequestError:
    missing = sorted(names - path_params.keys())
    unknown = [name for name in path_params if name not in names]
    faults = [f"{name!r} has no value" for name in missing]
    faults += [f"{name!r} is not in its path" for name in unknown]
    begin, stop = path_span(url)
    remedy = ""
    if any(f"{{{name}}}" in url[stop:] for name in unknown):
        remedy = "; values of the query go into params"
    elif any(f"{{{name}}}" in url[:begin] for name in unknown):
        remedy = "; a value must not choose the host, so make the URL of it after checking it"
    elif not names:
        remedy = "; write the name in braces, and no f-string"
    return InvalidRequestError(
        f"path_params does not fit the URL {show_url(url)}: {', '.join(faults)}{remedy}"
    )

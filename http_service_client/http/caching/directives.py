"""The directives of Cache-Control (RFC 9111, 5.2), in requests and responses.

A cache must understand what senders get wrong. A lifetime that is malformed counts as 0 (4.2.1), of a lifetime that is
given twice the shorter one counts, and a quote that is not closed hides no directive after it: all of them make a
response stale too early, never too late.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping

__all__ = ["Directives", "parse_directives", "seconds"]

Directives = Mapping[str, "str | None"]

_items = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+').findall
_is_closed = re.compile(r'(?:[^"]|"(?:[^"\\]|\\.)*")*').fullmatch
_is_integer = re.compile(r"[0-9]+").fullmatch
_QUOTED_PAIR = re.compile(r"\\(.)")
_LONGEST = 2.0**31  # seconds (RFC 9111, 1.2.2)


def parse_directives(values: Iterable[str]) -> Directives:
    """The directives in the values of Cache-Control fields, by their lower-case names.

    >>> parse_directives(['max-age="60", private', "max-age=30"])
    {'max-age': '30', 'private': None}
    """
    found: dict[str, str | None] = {}
    for value in values:
        items = _items(value)
        if items and not _is_closed(items[-1]):
            items += items.pop().split(",")
        for item in items:
            name, equals, argument = item.strip(" \t").partition("=")
            name = name.lower()
            if name != (stripped := name.rstrip(" \t")) or argument[:1] in (" ", "\t"):
                name, argument = stripped, ""  # white space around "=" is malformed
            if argument[:1] == '"' == argument[-1:] and len(argument) > 1:
                argument = _QUOTED_PAIR.sub(r"\1", argument[1:-1])
            if not name:
                continue
            given = argument if equals else None
            if name not in found or (seconds(found, name) or 0) > (seconds({name: given}, name) or 0):
                found[name] = given
    return found


def seconds(directives: Directives, name: str, *, unlimited: bool = False) -> float | None:
    """The seconds that a directive gives; 0 if they are malformed, None without the directive.

    unlimited: without an argument the directive means any number of seconds (max-stale).
    """
    if name not in directives:
        return None
    argument = directives[name]
    if argument is None:
        return math.inf if unlimited else 0.0
    if _is_integer(argument) is None:
        return 0.0
    # Python refuses to convert numbers of some thousand digits.
    digits = argument.lstrip("0")
    return _LONGEST if len(digits) > 10 else min(float(digits or 0), _LONGEST)

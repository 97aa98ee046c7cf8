"""Lists of structured fields (RFC 9651), as responses send them: read strictly, and never raised for.

    sf-list        = list-member *( OWS "," OWS list-member )
    list-member    = sf-item / inner-list
    inner-list     = "(" *SP [ sf-item *( 1*SP sf-item ) *SP ] ")" parameters
    sf-item        = bare-item parameters
    parameters     = *( ";" *SP key [ "=" bare-item ] )

A field that is not valid as a whole is ignored as a whole (4.2): half a list could mean something else. What is read comes
from a service, so a value of a length that no service needs is not read at all.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from typing import Any, NamedTuple

__all__ = ["Member", "Token", "parse_list"]

_LONGEST = 8192  # characters of a field

_SPACES = re.compile(r" *").match
_COMMA = re.compile(r"[ \t]*,[ \t]*").match
_KEY = re.compile(r"[a-z*][a-z0-9_.*-]*").match
_NUMBER = re.compile(r"-?(?:[0-9]{1,12}\.[0-9]{1,3}|[0-9]{1,15})(?![0-9.])").match
_STRING = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"').match
_TOKEN = re.compile(r"[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*").match
_BYTES = re.compile(r":([A-Za-z0-9+/]*)=*:").match
_BOOLEAN = re.compile(r"\?([01])").match
_DATE = re.compile(r"@(-?[0-9]{1,15})(?![0-9.])").match
_DISPLAY = re.compile(r'%"((?:[\x20\x21\x23\x24\x26-\x7e]|%[0-9a-f]{2})*)"').match


class Token(str):
    """A token, which is not a string: `a` is not `"a"`."""

    __slots__ = ()


class Member(NamedTuple):
    """A member of a list.

    value: a `str`, `Token`, `int`, `float`, `bytes` or `bool`; a list of members for an inner list.
    parameters: by key; the last one of a repeated key.
    """

    value: Any
    parameters: dict[str, Any]


class _Malformed(Exception):
    pass


def parse_list(text: str) -> list[Member] | None:
    """The members of a list; None for a field that is not one.

    >>> parse_list('"default";r=50;t=30')
    [Member(value='default', parameters={'r': 50, 't': 30})]
    >>> parse_list("limit=100") is None
    True
    """
    if len(text) > _LONGEST:
        return None
    text = text.strip(" ")
    found: list[Member] = []
    try:
        at = 0
        while at < len(text):
            member, at = _inner_list(text, at) if text[at] == "(" else _item(text, at)
            found.append(member)
            if at < len(text):
                comma = _COMMA(text, at)
                if comma is None or comma.end() == len(text):
                    return None
                at = comma.end()
    except (_Malformed, UnicodeDecodeError, binascii.Error):
        return None
    return found


def _inner_list(text: str, at: int) -> tuple[Member, int]:
    items: list[Member] = []
    at += 1
    while True:
        spaces = _end(_SPACES(text, at))
        if text[spaces : spaces + 1] == ")":
            parameters, at = _parameters(text, spaces + 1)
            return Member(items, parameters), at
        if items and spaces == at:
            raise _Malformed
        item, at = _item(text, spaces)
        items.append(item)


def _item(text: str, at: int) -> tuple[Member, int]:
    value, at = _bare_item(text, at)
    parameters, at = _parameters(text, at)
    return Member(value, parameters), at


def _parameters(text: str, at: int) -> tuple[dict[str, Any], int]:
    found: dict[str, Any] = {}
    while text[at : at + 1] == ";":
        key = _KEY(text, _end(_SPACES(text, at + 1)))
        at = _end(key)
        value: Any = True
        if text[at : at + 1] == "=":
            value, at = _bare_item(text, at + 1)
        found[key[0]] = value  # type: ignore[index]  # `_end` raised for None
    return found, at


def _bare_item(text: str, at: int) -> tuple[Any, int]:
    first = text[at : at + 1]
    if first == '"':
        match = _STRING(text, at)
        return re.sub(r"\\(.)", r"\1", match[1]) if match else None, _end(match)
    if first == ":":
        match = _BYTES(text, at)
        # Padding may be missing (4.2.7), and too much of it does no harm.
        return b64decode(match[1] + "==") if match else None, _end(match)
    if first == "?":
        match = _BOOLEAN(text, at)
        return match is not None and match[1] == "1", _end(match)
    if first == "@":
        match = _DATE(text, at)
        return int(match[1]) if match else None, _end(match)
    if first == "%":
        match = _DISPLAY(text, at)
        return _unescaped(match[1]) if match else None, _end(match)
    match = _NUMBER(text, at)
    if match is not None:
        return float(match[0]) if "." in match[0] else int(match[0]), match.end()
    match = _TOKEN(text, at)
    return Token(match[0]) if match else None, _end(match)


def _unescaped(text: str) -> str:
    return re.sub(rb"%(..)", lambda found: bytes.fromhex(found[1].decode()), text.encode("ascii")).decode()


def _end(match: re.Match[str] | None) -> int:
    if match is None:
        raise _Malformed
    return match.end()

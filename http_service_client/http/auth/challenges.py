"""The challenges of a 401: parsing WWW-Authenticate and Authentication-Info (RFC 9110, 11.2 to 11.6).

    challenge  = auth-scheme [ 1*SP ( token68 / #auth-param ) ]
    auth-param = token BWS "=" BWS ( token / quoted-string )
    token68    = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="

Commas separate challenges, and the parameters of one challenge too, so a token that no "=" follows begins the next
challenge. Servers get this wrong in many ways: what cannot be read is skipped up to the next comma, the first of two
equal parameters counts, and a quoted string without an end extends to that of the field. All of it in linear time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from ..header_validation import TOKEN_CHARACTER

__all__ = ["Challenge", "parse_challenges", "parse_parameters"]

_SEPARATORS = re.compile(r"[ \t,]*")
_SPACES = re.compile(r"[ \t]+")
_TOKEN = re.compile(f"{TOKEN_CHARACTER}+")
_TOKEN68 = re.compile(r"([A-Za-z0-9\-._~+/]+=*)[ \t]*(?:,|\Z)")
# The quote at the end may be missing.
_PARAMETER = re.compile(
    rf'({TOKEN_CHARACTER}+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"?|({TOKEN_CHARACTER}+))', re.DOTALL
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


class Challenge(NamedTuple):
    """One way to authenticate.   scheme, and the names of the parameters: in lower case."""

    scheme: str
    parameters: dict[str, str]
    token68: str | None = None


def parse_challenges(fields: Iterable[str]) -> list[Challenge]:
    """The challenges in the values of WWW-Authenticate fields, in order.

    >>> parse_challenges(['Basic realm="a, b", Negotiate, Digest nonce=x'])[2]
    Challenge(scheme='digest', parameters={'nonce': 'x'}, token68=None)
    """
    return [challenge for field in fields for challenge in _parse(field)]


def parse_parameters(text: str) -> dict[str, str]:
    """The parameters of a field such as Authentication-Info, which has no scheme; names in lower case.

    >>> parse_parameters('nextnonce="a", qop=auth')
    {'nextnonce': 'a', 'qop': 'auth'}
    """
    found: dict[str, str] = {}
    at = _after(_SEPARATORS, text, 0)
    while at < len(text):
        parameter = _PARAMETER.match(text, at)
        if parameter is not None:
            _add(parameter, found)
        at = _next_item(text, at if parameter is None else parameter.end())
    return found


def _parse(text: str) -> list[Challenge]:
    found: list[Challenge] = []
    at = _after(_SEPARATORS, text, 0)
    while at < len(text):
        parameter = _PARAMETER.match(text, at)
        if parameter is not None:
            if found and found[-1].token68 is None:
                _add(parameter, found[-1].parameters)
            at = _next_item(text, parameter.end())
            continue
        scheme = _TOKEN.match(text, at)
        if scheme is None:
            at = _next_item(text, at)
            continue
        at = scheme.end()
        challenge = Challenge(scheme[0].lower(), {})
        spaces = _SPACES.match(text, at)
        if spaces is not None and _PARAMETER.match(text, spaces.end()) is not None:
            at = spaces.end()  # its first parameter
        elif spaces is not None and (token68 := _TOKEN68.match(text, spaces.end())) is not None:
            challenge = challenge._replace(token68=token68[1])
            at = _next_item(text, token68.end(1))
        else:
            at = _next_item(text, at)
        found.append(challenge)
    return found


def _add(parameter: re.Match[str], parameters: dict[str, str]) -> None:
    name, quoted, plain = parameter.groups()
    parameters.setdefault(name.lower(), plain if quoted is None else _ESCAPED.sub(r"\1", quoted))


def _next_item(text: str, at: int) -> int:
    """Where the text goes on after the next comma."""
    comma = text.find(",", at)
    return len(text) if comma < 0 else _after(_SEPARATORS, text, comma)


def _after(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return at if found is None else found.end()

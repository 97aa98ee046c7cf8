"""Which header fields may be sent: names, values, and the fields that frame a message.

A field name is a token (RFC 9110 5.1). A value holds visible characters, spaces, tabs and `obs-text` (5.5).
A CR, LF or NUL in a value is how a header injection starts, so it is refused here and never sent.
"""

from __future__ import annotations

import re
from itertools import filterfalse

from ..errors import InvalidRequestError
from ..lazy import lazy_pattern
from .headers import Headers
from .secret_names import SecretNames

__all__ = [
    "FRAMING_FIELDS",
    "TOKEN_CHARACTER",
    "check_framing",
    "check_trace",
    "declared_length",
    "is_token",
    "validate_headers",
    "validate_once",
]

TOKEN_CHARACTER = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
"""The class of `tchar` for a pattern (RFC 9110 5.6.2). Header names, methods and cookie names are tokens."""

# token = 1*tchar
is_token = re.compile(f"{TOKEN_CHARACTER}+").fullmatch
# field-value = *( field-vchar / SP / HTAB ), field-vchar = VCHAR / obs-text         5.5
# obs-text is any byte of %x80-FF, hence all text that UTF-8 can express.
_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]*").fullmatch
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]").search
# uri-host [ ":" port ], and nothing that starts a path, a list or another field     RFC 9112 3.2
_HOST = lazy_pattern(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_\-.]+)(?::[0-9]{1,5})?")
# Content-Length = 1*DIGIT, but no zero before others, and none alone: an empty source needs no length      RFC 9110 8.6
_LENGTH = lazy_pattern(r"[1-9][0-9]{0,17}")
_KNOWN_NAMES: set[str] = set()  # of fields that were validated before
_MOST_NAMES, _LONGEST_NAME = 1000, 100  # of those

FRAMING_FIELDS = frozenset({"content-length", "expect", "host", "transfer-encoding"})
"""The fields that `check_framing` is about, in lower case."""


def validate_headers(headers: Headers) -> None:
    """Raise InvalidRequestError for a name that is not a token, or a value with a control character."""
    for field in filterfalse(_is_valid, headers._fields.values()):
        # The usual case without a pattern: a name that came before, and one value without tabs.
        if field[0] not in _KNOWN_NAMES or not field[1].isprintable() or len(field) > 2:
            _validate_field(field)


def _validate_field(field: tuple[str, ...]) -> None:
    name = field[0]
    if is_token(name) is None:
        raise InvalidRequestError(
            f"header name {name[:80]!r} is not valid; use letters, digits and hyphens only"
        )
    if len(_KNOWN_NAMES) < _MOST_NAMES and len(name) <= _LONGEST_NAME:  # strangers may have chosen it
        _KNOWN_NAMES.add(name)
    for value in field[1:]:
        if _VALUE(value) is None:
            raise _bad_value(name, value)


def validate_once(headers: Headers) -> None:
    """As `validate_headers`; afterwards these fields, and copies of them, are not validated again."""
    validate_headers(headers)
    headers._fields = {key: _Valid(field) for key, field in headers._fields.items()}


class _Valid(tuple[str, ...]):
    """A field that has been validated. Tuples do not change, and a new value makes a plain tuple again."""

    __slots__ = ()


_is_valid = _Valid.__instancecheck__  # a function in C: it is called for each field of each request


def check_framing(headers: Headers, length: int | None, has_body: bool) -> None:
    """Refuse a Content-Length or Transfer-Encoding that disagrees with the body, any Expect, and a bad Host.

    length: of the body in bytes; None for a body of unknown length whose caller declares none that can be. Two
    statements of where a message ends are how request smuggling works (RFC 9112 6.3, 11.2).
    """
    fields = headers._fields
    if "transfer-encoding" in fields:
        raise InvalidRequestError(
            "header Transfer-Encoding must not be set; leave it out; it is set from the body"
        )
    if "expect" in fields:
        raise InvalidRequestError(
            "header Expect must not be set; leave it out; the body is sent without waiting for a 100"
        )
    if "host" in fields and _HOST.fullmatch(headers["host"]) is None:
        raise InvalidRequestError(
            f"header Host is {headers['host'][:80]!r}; it must be one host, with or without a port"
        )
    if "content-length" not in fields:
        return
    actual = length if has_body else 0
    shown = f"header Content-Length is {headers['content-length'][:40]!r}"
    if actual is None:  # such as "None": `str(size)` of a size that was never set
        raise InvalidRequestError(
            f"{shown} but the body is of unknown length; "
            "write the number of its bytes, 1 or more, or leave it out, and the body is sent in chunks"
        )
    if headers["content-length"] != str(actual):
        raise InvalidRequestError(
            f"{shown} but the body is {actual} bytes; leave it out; it is set from the body"
        )


def check_trace(headers: Headers, secret_names: SecretNames) -> None:
    """Refuse the secret headers of a TRACE request: its response repeats them (RFC 9110, 9.3.8)."""
    secret = next((name for name in headers if name in secret_names), None)
    if secret is not None:
        raise InvalidRequestError(
            f"a TRACE request must not have the secret header {secret!r}, which the response would repeat; "
            "leave it out: auth=False, or headers with None"
        )


def declared_length(headers: Headers) -> int | None:
    """The Content-Length that a caller has set, if it can be that of a body; else None."""
    value = headers.get("Content-Length", "")
    return int(value) if _LENGTH.fullmatch(value) else None


def _bad_value(name: str, value: str) -> InvalidRequestError:
    # The value may be a secret: the message says what is wrong with it and never shows it.
    if _CONTROL(value) is not None:
        return InvalidRequestError(
            f"header {name!r} has a control character (such as a line break) in its value; remove it"
        )
    return InvalidRequestError(
        f"header {name!r} holds a lone surrogate, which UTF-8 cannot express; "
        "encode it first, for example by urllib.parse.quote"
    )

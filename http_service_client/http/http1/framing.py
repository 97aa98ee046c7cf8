"""What both worlds hold every response to: how large its head may be, and how its body may be framed.

Two readers that see different ends of one response are how requests get smuggled (RFC 9112, 11.2). So each
way to frame a body that could be read in two ways is refused, also where one of the parsers would take it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .errors import NotHttpError

__all__ = ["MALFORMED", "TOO_LARGE", "HeadLimits", "RawFields", "field_text", "is_chunked"]


class HeadLimits(NamedTuple):
    """How large a response's head may be.

    fields: in one response, trailers included.   size: bytes of a field's name and value together, or of a
        reason phrase.
    """

    fields: int = 256
    size: int = 64 * 1024


MALFORMED = "it breaks the rules of HTTP"
TOO_LARGE = "its headers are too large or too many"

_LENGTH = re.compile(r"[0-9]{1,18}").fullmatch


def is_chunked(status: int, lengths: Sequence[str], codings: Sequence[str]) -> bool:
    """Whether a response's body comes in chunks. Raises NotHttpError for a framing that is refused.

    lengths, codings: the values of Content-Length and of Transfer-Encoding.

        a status below 100                      is none (RFC 9110, 15)
        more than one of either, or both        may be read in two ways (RFC 9112, 6.3)
        a length that is no number              "
        a transfer coding other than chunked    we asked for none, and take none off (RFC 9110, 10.1.4)
        an interim response with a body         has none (RFC 9112, 6.3); llhttp reads it of 104 to 199
    """
    if status < 100 or len(lengths) + len(codings) > 1 or (lengths and not _LENGTH(lengths[0])):
        raise NotHttpError(MALFORMED)
    if 104 <= status < 200 and (codings or (lengths and int(lengths[0]))):
        raise NotHttpError(MALFORMED)
    if not codings:
        return False
    coding = codings[0].lower()
    if coding not in ("chunked", "identity"):  # identity: the word of RFC 2616 for none
        raise NotHttpError(MALFORMED)
    return coding == "chunked"


class RawFields:
    """The fields of a response as they came: made text when they are asked for, which most never are."""

    __slots__ = ("_raw",)

    def __init__(self, raw: Sequence[tuple[bytes, bytes]]) -> None:
        self._raw = raw

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter([(name.decode("ascii", "replace"), field_text(value)) for name, value in self._raw])


def field_text(value: bytes) -> str:
    """A header value as UTF-8 where it is, else latin-1."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")

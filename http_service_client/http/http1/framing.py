"""Rules that both transports enforce on every response: the size of its head and the framing of its body.

When two readers see different ends of one response, requests get smuggled (RFC 9112, 11.2). So a framing that
could be read in two ways is refused, even where one of the parsers would accept it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..headers import Latin1Text
from .errors import NotHttpError

__all__ = ["MALFORMED", "TOO_LARGE", "HeadLimits", "RawFields", "field_text", "is_chunked"]


class HeadLimits(NamedTuple):
    """How large the head of a response may be.

    fields: the number of fields in one response, trailers included.   size: bytes of a field's name and value
        together, or of a reason phrase.
    """

    fields: int = 256
    size: int = 64 * 1024

    @property
    def total(self) -> int:
        """Bytes of a head, together with the interim heads before it. A server can send those without end."""
        return 4 * self.size

    @property
    def between(self) -> int:
        """Bytes between two pieces of a body: a chunk's size, written with zeros, its extension, or the trailers."""
        return 2 * self.size


MALFORMED = "it breaks the rules of HTTP"
TOO_LARGE = "its headers are too large or too many"

_LENGTH = re.compile(r"[0-9]{1,18}").fullmatch


def is_chunked(status: int, lengths: Sequence[str], codings: Sequence[str]) -> bool:
    """Whether the body of a response is chunked. Raises NotHttpError for a framing that is refused.

    lengths, codings: the values of Content-Length and of Transfer-Encoding. Refused are

        a status below 100                      invalid (RFC 9110, 15)
        more than one of either, or both        can be read in two ways (RFC 9112, 6.3)
        a length that is not a number           can be read in two ways
        a transfer coding other than chunked    we send no TE and decode no other (RFC 9110, 10.1.4)
        an interim response with a body         has no body (RFC 9112, 6.3); llhttp reads one for 104 to 199
    """
    if status < 100 or len(lengths) + len(codings) > 1 or (lengths and not _LENGTH(lengths[0])):
        raise NotHttpError(MALFORMED)
    if 104 <= status < 200 and (codings or (lengths and int(lengths[0]))):
        raise NotHttpError(MALFORMED)
    if not codings:
        return False
    coding = codings[0].lower()
    if coding not in ("chunked", "identity"):  # identity: RFC 2616's name for no coding
        raise NotHttpError(MALFORMED)
    return coding == "chunked"


class RawFields:
    """The raw fields of a response, decoded when they are iterated over, since most are never read."""

    __slots__ = ("_raw",)

    def __init__(self, raw: Sequence[tuple[bytes, bytes]]) -> None:
        self._raw = raw

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter([(name.decode("ascii", "replace"), field_text(value)) for name, value in self._raw])


def field_text(value: bytes) -> str:
    """A header value decoded as UTF-8, or as latin-1, marked as such, where it is not valid UTF-8."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return Latin1Text(value, "latin-1")

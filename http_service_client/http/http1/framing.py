"""The settings of the parser, and how header values become text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..headers import Latin1Text

__all__ = ["ParserSettings", "RawFields", "field_text"]


class ParserSettings(NamedTuple):
    """How large the head of a response may be, and which faults are tolerated.

    fields: the number of fields in one response, trailers included.   size: bytes of a line of the head; of all
        its lines, if a value is folded.   tolerated: names of `rules.TOLERABLE`.
    """

    fields: int = 256
    size: int = 64 * 1024
    tolerated: frozenset[str] = frozenset()

    @property
    def total(self) -> int:
        """Bytes of a head, together with the interim heads before it. A server can send those without end."""
        return 4 * self.size

    @property
    def between(self) -> int:
        """Bytes between two pieces of a body: a chunk's size, written with zeros, its extension, or the trailers."""
        return 2 * self.size


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

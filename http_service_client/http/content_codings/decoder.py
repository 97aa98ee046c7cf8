"""Taking a response's content codings off (RFC 9110 8.4), in bounded steps, and its bytes to text.

`Decoder` counts what comes *out* while it comes, so that a bomb costs at most the limit and one step of
memory. A content coding carries its own end mark, and both libraries below ignore a missing one: a body
cut short by a proxy with a right Content-Length would pass for a whole one. Here, whatever is not a
complete, valid coding is a DecodingError. That goes for bytes after the end too (zero padding after
gzip aside): what looks like junk may be the damaged second member of a file, and dropping it silently is
losing data. A body of no bytes at all is empty in every coding, as in answers to HEAD.
"""

from __future__ import annotations

from collections.abc import Iterator

from ...errors import DecodingError, ResponseTooLargeError
from .codecs import Coding, accept_encoding, new_coding

__all__ = ["Decoder", "accept_encoding", "content_codings", "is_encoded"]

_MAX_CODINGS = 5  # more is an attack: each level multiplies the work
_SLICE = 16 * 1024  # how much is handed to a coding at a time; bounds what it copies between steps


class Decoder:
    """Decodes one response body: `feed` it as it comes, then `finish` it.

    content_encoding: the header's value, all of them joined, or None.
    limit: how many decoded bytes are allowed, None for any number.
    Raises DecodingError or ResponseTooLargeError, from `feed` and `finish` only: an answer to HEAD may
    name a coding that we do not know, and have no body to decode.
    is_plain: there is no coding to take off.
    """

    __slots__ = ("_codings", "_counts", "_limit", "_names", "is_plain")

    def __init__(self, content_encoding: str | None, limit: int | None) -> None:
        self._limit = limit
        self._names = content_codings(content_encoding) if content_encoding else []
        self.is_plain = not self._names
        self._codings: list[Coding] | None = None if self._names else []  # made when bytes come
        self._counts = [0] * (min(len(self._names), _MAX_CODINGS) + 1)  # bytes in, and out of each coding

    def feed(self, data: bytes) -> bytes:
        """What these bytes decode to; maybe nothing yet."""
        if not self.is_plain:
            return b"".join(self.pieces(data))
        self._count(0, len(data))
        return data

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """As `feed`, in pieces of bounded size: for whoever does not want it all in memory. To be drawn to the end."""
        if not data:
            return
        codings = self._codings
        if codings is None:
            codings = self._codings = self._make_codings()
        if not codings:
            yield self.feed(data)
            return
        for start in range(0, len(data), _SLICE):
            yield from self._run(codings, 0, data[start : start + _SLICE])

    def finish(self) -> bytes:
        """Say that the body ends here. A coding that lacks its end is a DecodingError."""
        for name, coding in zip(reversed(self._names), self._codings or (), strict=False):
            if not coding.is_complete:
                raise DecodingError(f"the response's {name} content is cut short")
        return b""

    def _make_codings(self) -> list[Coding]:
        if len(self._names) > _MAX_CODINGS:
            raise DecodingError(
                f"the response has {len(self._names)} content codings; {_MAX_CODINGS} are allowed"
            )
        # Listed in the order applied, hence taken off from the last (RFC 9110 8.4).
        return [new_coding(name) for name in reversed(self._names)]

    def _run(self, codings: list[Coding], level: int, data: bytes) -> Iterator[bytes]:
        """Pull `data` through the codings from `level` on, one bounded piece at a time."""
        self._count(level, len(data))
        if level == len(codings):
            yield data
            return
        for piece in codings[level].decode(data):
            yield from self._run(codings, level + 1, piece)

    def _count(self, level: int, size: int) -> None:
        self._counts[level] += size
        if self._limit is None:
            return
        # Encoded data may be a little larger than what it decodes to, but no more: an endless stream of
        # empty gzip members decodes to nothing and would be read for ever.
        is_decoded = level == len(self._names)
        allowed = self._limit if is_decoded else self._limit + self._limit // 8 + 4096
        if self._counts[level] > allowed:
            raise ResponseTooLargeError(
                f"the response is larger than max_response_size ({self._limit} bytes); raise it"
            )


def content_codings(content_encoding: str) -> list[str]:
    """The codings of a Content-Encoding, in the order in which they were applied; identity is not one (RFC 9110 8.4)."""
    names = (name.strip(" \t").lower() for name in content_encoding.split(","))
    return [name for name in names if name not in ("", "identity")]


def is_encoded(content_encoding: str, content: bytes) -> bool:
    """Whether the bytes are what they are said to be. A recorder may take a coding off and leave its name."""
    decoder = Decoder(content_encoding, None)
    try:
        for _ in decoder.pieces(content):
            pass
        decoder.finish()
    except DecodingError:
        return False
    return True

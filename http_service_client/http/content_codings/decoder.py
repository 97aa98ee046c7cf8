"""Decoding the content codings of a response (RFC 9110 8.4), in bounded steps.

`Decoder` counts the bytes that come *out* as they come, so that a decompression bomb costs at most the limit
and one step of memory. Each coding has its own end mark, and both libraries below ignore a missing one: a body
that a proxy cut short, with a matching Content-Length, would pass for a complete one. Here, everything that is
not complete, valid data of its coding is a DecodingError. So are bytes after the end (except zero padding after gzip):
they look like junk but may be the damaged second member of a file, and dropping them silently would lose data.
A body without any bytes is empty in every coding, as in responses to HEAD.

A name that is not a coding we know is not an error: many servers send `utf-8`, `none` or `aws-chunked` with plain
bodies, and a caller can decode what we cannot. Codings are removed up to the first such name; the rest is returned
as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO

from ...errors import DecodingError, ResponseTooLargeError
from .codecs import KNOWN_CODINGS, Coding, accept_encoding, new_coding

__all__ = ["Decoder", "UndecodedBody", "accept_encoding", "content_codings", "is_encoded", "too_large"]

_MAX_CODINGS = 5  # more is an attack: each level multiplies the work
# Names of no coding. Only identity is standard; of the others, no data can be said to be coded with them.
_NO_CODINGS = frozenset({"", "identity", "none", "utf-8", "aws-chunked"})
_SLICE = 16 * 1024  # bytes that a coding gets at a time; this bounds what it copies between steps


class Decoder:
    """Decodes one response body: `feed` it as the bytes arrive, then `finish` it.

    content_encoding: the header's value, repeated ones joined, or None.
    limit: how many decoded bytes are allowed, None for any number.
    is_plain: there is nothing to decode.
    Only `feed`, `pieces` and `finish` raise DecodingError or ResponseTooLargeError: a response to HEAD may
    name any coding and has no body to decode.
    """

    __slots__ = ("_codings", "_counts", "_names", "is_plain", "limit")

    def __init__(self, content_encoding: str | None, limit: int | None) -> None:
        self.limit = limit
        self._names = content_codings(content_encoding) if content_encoding else []
        self.is_plain = not self._names
        self._codings: list[Coding] | None = None if self._names else []  # made with the first bytes
        # Bytes into the first coding, and out of each.
        self._counts = [0] * (_MAX_CODINGS + 1)

    def feed(self, data: bytes) -> bytes:
        """The decoded bytes; possibly none yet."""
        if not self.is_plain:
            return b"".join(self.pieces(data))
        self._count(0, len(data))
        return data

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """As `feed`, in pieces of bounded size, to save memory. The iterator must be exhausted.

        A piece is empty where a step decoded to nothing: a caller can pause there, or look at the time. A body of
        empty frames has no other pieces.
        """
        if not data:
            return
        codings = self._codings
        if codings is None:
            codings = self._codings = self._make_codings()
        yield from self._run(codings, 0, data)

    def finish(self) -> bytes:
        """The body ends here; a coding without its end mark is a DecodingError."""
        for name, coding in zip(reversed(self._names), self._codings or (), strict=False):
            if not coding.is_complete:
                raise DecodingError(f"the response's {name} content is cut short")
        return b""

    def _make_codings(self) -> list[Coding]:
        if len(self._names) > _MAX_CODINGS:
            raise DecodingError(
                f"the response has {len(self._names)} content codings; {_MAX_CODINGS} are allowed"
            )
        # They are listed in the order in which they were applied (RFC 9110 8.4), so the last is decoded first.
        return [new_coding(name) for name in reversed(self._names)]

    def _run(self, codings: list[Coding], level: int, data: bytes) -> Iterator[bytes]:
        """Send `data` through the codings from `level` on, one bounded piece at a time."""
        if level == len(codings):
            self._count(level, len(data))
            yield data
            return
        for start in range(0, len(data), _SLICE):
            encoded = data[start : start + _SLICE]
            self._count(level, len(encoded))
            is_empty = True
            for piece in codings[level].decode(encoded):
                is_empty = False
                yield from self._run(codings, level + 1, piece)
            if is_empty:
                yield b""

    def _count(self, level: int, size: int) -> None:
        self._counts[level] += size
        if self.limit is None:
            return
        is_decoded = level == len(self._names)
        allowed = self.limit if is_decoded else _encoded_limit(self.limit)
        if self._counts[level] > allowed:
            raise ResponseTooLargeError(too_large(self.limit))


def _encoded_limit(limit: int) -> int:
    """Encoded data may be a little larger than the decoded bytes, but no more: an endless stream of empty gzip members
    decodes to nothing and would be read forever."""
    return limit + limit // 8 + 4096


class UndecodedBody:
    """The bytes of a coded body as they arrived, for the error when they cannot be decoded.

    A plain body needs none: nothing is kept of it.
    """

    def __init__(self, decoder: Decoder) -> None:
        self._pieces = None if decoder.is_plain else BytesIO()
        self._limit = decoder.limit

    def add(self, piece: bytes) -> None:
        """Keep a piece. Raises ResponseTooLargeError."""
        if self._pieces is not None:
            self._pieces.write(piece)
            if self._limit is not None and self._pieces.tell() > _encoded_limit(self._limit):
                raise ResponseTooLargeError(too_large(self._limit))

    @property
    def content(self) -> bytes:
        """All pieces."""
        return b"" if self._pieces is None else self._pieces.getvalue()


def too_large(limit: float, remedy: str = "raise it, or use client.stream or client.download") -> str:
    """The message of a ResponseTooLargeError."""
    return f"the response is larger than max_response_size ({limit} bytes); {remedy}"


def content_codings(content_encoding: str) -> list[str]:
    """The codings of a Content-Encoding that can be removed, in the order applied (RFC 9110 8.4).

    They are removed from the last one on. So an unknown one hides those that were applied before it.
    """
    codings: list[str] = []
    for item in content_encoding.split(","):
        name = item.strip(" \t").lower()
        if name in KNOWN_CODINGS:
            codings.append(name)
        elif name not in _NO_CODINGS:
            codings.clear()
    return codings


def is_encoded(content_encoding: str, content: bytes) -> bool:
    """Whether the bytes have this coding. A recorder may decode a body and leave the name of its coding."""
    decoder = Decoder(content_encoding, None)
    try:
        for _ in decoder.pieces(content):
            pass
        decoder.finish()
    except DecodingError:
        return False
    return True

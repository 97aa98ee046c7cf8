"""The bytes received on one connection, taken line by line or piece by piece. No socket lives here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from .errors import NotHttpError
from .framing import MALFORMED, TOO_LARGE, HeadLimits

__all__ = ["FREE_TEXT", "EndOfBytes", "ReceiveBuffer"]

_INTERIM = b"HTTP/1.1 1"
_LONG_LINE = 4096  # bytes; a server sends no such line with good intent, so it may be refused a little later

FREE_TEXT = object()
"""The line may go on with anything but CR."""


class EndOfBytes(Exception):
    """The connection ended before the end of a line."""


class ReceiveBuffer(ABC):
    """The bytes of one connection. A subclass has the socket and implements `receive`.

    limits: for the head of a response.   skipped: bytes of the interim heads that were removed before it.
    """

    def __init__(self, limits: HeadLimits = HeadLimits()) -> None:  # noqa: B008  # it is immutable
        self.limits = limits
        self.skipped = 0
        self._data = b""
        self._at = 0

    @abstractmethod
    def receive(self) -> bytes:
        """At least one byte, or b"" once the peer has closed the connection."""

    @property
    def rest(self) -> bytes:
        """The bytes that were received and not taken yet."""
        return self._data[self._at :]

    @property
    def is_drained(self) -> bool:
        """Whether every received byte has been taken."""
        return self._at >= len(self._data)

    def add(self, data: bytes) -> None:
        """Append bytes that were received in another way."""
        self._data = self._data[self._at :] + data
        self._at = 0

    def take(self, count: int) -> None:
        """Remove so many of the bytes that `peek` returned."""
        self._at += count

    def unread(self, count: int) -> None:
        """Put the last bytes of a line back, to be read again."""
        self._at -= count

    def skip_blank_lines(self) -> bytes:
        """Remove the line ends at the front; returns the `rest`."""
        rest = self.rest.lstrip(b"\r\n")
        self._at = len(self._data) - len(rest)
        return rest

    def peek(self) -> bytes:
        """The buffered bytes, or else the next to arrive; they stay in the buffer. b"" at the end."""
        if self._at >= len(self._data):
            self.add(self.receive())
        return self.rest

    @property
    def may_be_interim(self) -> bool:
        """Whether the buffered bytes, if any, are or may become the head of an interim response."""
        start = self._data[self._at : self._at + 10]
        return start == _INTERIM[: len(start)]

    def skip_interim_heads(self) -> None:
        """Remove the complete heads of interim responses."""
        while len(self._data) - self._at > len(_INTERIM) and self.may_be_interim:
            end = self._data.find(b"\r\n\r\n", self._at)
            if end < 0:
                return
            self.skipped += end + 4 - self._at
            self._at = end + 4

    def line(self, is_start: Callable[[bytes], object]) -> bytes:
        """The next line with its end.

        is_start: whether a line may begin like this; FREE_TEXT if so, and if it may go on with anything but CR. The
            rest of a line that may not begin like this is not waited for.
        Raises NotHttpError for such a line and for one that is too long, EndOfBytes when the connection ends.
        """
        end = self._data.find(b"\n", self._at)
        if end < 0:
            self._complete_line(is_start)
            end = self._data.find(b"\n")
        line = self._data[self._at : end + 1]
        self._at = end + 1
        return line

    def _complete_line(self, is_start: Callable[[bytes], object]) -> None:
        """Receive until a line is complete.

        Neither free text nor a long line is judged again with each piece: that takes quadratic time.
        """
        pieces = [self.rest]
        size = len(pieces[0])
        judged_from = 1
        is_free = False
        while b"\n" not in pieces[-1]:
            if size > self.limits.between:
                raise NotHttpError(TOO_LARGE)
            if size >= judged_from and not is_free:
                judged_from = 1 if size < _LONG_LINE else 2 * size
                pieces = [b"".join(pieces)]
                judgement = is_start(pieces[0])
                if not judgement:
                    raise NotHttpError(MALFORMED)
                is_free = judgement is FREE_TEXT
            more = self.receive()
            if not more:
                raise EndOfBytes
            pieces.append(more)
            size += len(more)
            is_free = is_free and b"\r" not in more
        self._data, self._at = b"".join(pieces), 0

    def read_some(self, most: int | None = None) -> bytes:
        """The buffered bytes, or else the next to arrive; at most so many. b"" at the end."""
        if self._at >= len(self._data):
            self._data, self._at = self.receive(), 0
        start, end = self._at, len(self._data)
        if most is not None and start + most < end:  # the rest stays: it may be ten thousand chunks
            self._at = start + most
            return self._data[start : self._at]
        data, self._data, self._at = self._data[start:], b"", 0
        return data

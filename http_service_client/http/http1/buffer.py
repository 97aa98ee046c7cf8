"""The bytes received on one connection that were not taken yet. No socket lives here."""

from __future__ import annotations

__all__ = ["ReceiveBuffer"]

_LONG_LINE = 4096  # bytes; a server sends no such line with good intent, so it may be refused a little later


class ReceiveBuffer:
    """The bytes of one connection, taken line by line or piece by piece.

    data: the received bytes; those from `at` on were not taken yet.   has_ended: no more will come.
    """

    __slots__ = ("_judge_at", "_offset", "_searched", "at", "data", "has_ended")

    def __init__(self) -> None:
        self.data: bytes | bytearray = b""
        self.has_ended = False
        # _offset: of `data`'s first byte, in this exchange.   _searched: `data` has no LF between `at` and here.
        # _judge_at: size of an incomplete line.
        self.at = self._offset = self._searched = self._judge_at = 0

    def restart_count(self) -> None:
        """Count offsets from the next byte on."""
        self._offset = -self.at

    def feed(self, data: bytes) -> None:
        """Append received bytes; b"" when the connection has ended."""
        if not data:
            self.has_ended = True
        elif self.at == len(self.data):
            self._offset += self.at
            self.data = data
            self.at = self._searched = self._judge_at = 0
        elif type(self.data) is bytearray:
            if self.at:
                self._drop_taken()
            self.data += data
        else:  # the rest of a line may come in many small packets, which must not copy it each time
            self._drop_taken()
            self.data = bytearray(self.data)
            self.data += data

    def free_taken(self) -> None:
        """Free the bytes that were taken, if these are all: an idle connection would keep its last 64 KB."""
        if self.at == len(self.data):
            self._offset += self.at
            self.data = b""
            self.at = self._searched = self._judge_at = 0

    def _drop_taken(self) -> None:
        self._offset += self.at
        self._searched = max(0, self._searched - self.at)
        self.data = self.data[self.at :]
        self.at = 0

    @property
    def offset(self) -> int:
        """How many bytes were taken in this exchange: the offset of the next one."""
        return self._offset + self.at

    @property
    def rest(self) -> bytes:
        """The bytes that were not taken yet."""
        return bytes(self.data[self.at :])

    def skip_line_ends(self) -> bool:
        """Take the line ends at the front; whether other bytes follow."""
        data, at = self.data, self.at
        while at < len(data) and data[at] in b"\r\n":
            at += 1
        self.at = at
        return at < len(data)

    def take_line(self) -> bytes | None:
        """The next line with its end; None while it is incomplete."""
        end = self.data.find(b"\n", max(self.at, self._searched)) + 1
        if not end:
            self._searched = len(self.data)
            return None
        line = self.data[self.at : end]
        self.at = end
        self._judge_at = 0
        return bytes(line)

    def may_judge(self) -> bool:
        """Whether to judge the incomplete line now: with each packet while it is short, and then each time it doubles.

        Judged with each packet, a long line would take quadratic time.
        """
        size = len(self.data) - self.at
        if size < self._judge_at and not self.has_ended:
            return False
        self._judge_at = 0 if size < _LONG_LINE else 2 * size
        return size > 0

    def take(self, most: int | None = None) -> bytes:
        """The next bytes, at most so many; b"" if there are none yet."""
        start, end = self.at, len(self.data)
        if most is not None and start + most < end:  # the rest stays: it may be ten thousand chunks
            self.at = start + most
            return bytes(self.data[start : self.at])
        self.at = end
        return bytes(self.data[start:]) if start else bytes(self.data)

"""Bytes that arrive in pieces, decoded to text and split into lines.

A line ends with CR LF, LF or CR, even where a piece ends between CR and LF, and with nothing else. The other
separators of `str.splitlines` (U+2028, form feed, ...) occur inside JSON lines and CSV fields, which would
break if they were cut there. The last line needs no line end. Text is decoded as in
`media_types.decode_text`: the lines, joined, are the response's `text`.
"""

from __future__ import annotations

import codecs
import re
import sys
from itertools import takewhile

from ...errors import DecodingError
from ..media_types import BYTE_ORDER_MARKS, charset_of

__all__ = ["LineDecoder", "TextDecoder"]

_LINE_END = re.compile(r"\r\n|[\r\n]")
_LINE_END_KEPT = re.compile(r"(\r\n|[\r\n])")
_RUN = 1024  # pieces


class TextDecoder:
    """The text of one response: `feed` it as the bytes arrive, then `finish` it.

    charset: of Content-Type; None or an unknown one: by the byte order mark, else UTF-8.
    Raises nothing: an invalid byte becomes U+FFFD. A character is returned once all of its bytes have arrived.
    """

    __slots__ = ("_head", "_marks", "_text", "_unmarked")

    completed: list[str] = []  # nothing fails here

    def __init__(self, charset: str | None) -> None:
        known = charset_of(f"text/plain; charset={charset}") if charset else None
        marks: tuple[tuple[bytes, str], ...] = BYTE_ORDER_MARKS if known is None else ()
        if known in ("utf-16", "utf-32"):  # their incremental decoders refuse text without a mark
            marks = tuple((mark, name) for mark, name in BYTE_ORDER_MARKS if name == known)
            known = f"{known}-{sys.byteorder[0]}e"
        self._marks = marks
        self._unmarked = known or "utf-8"
        self._head = b""  # the first bytes, while they may be a byte order mark
        self._text: codecs.IncrementalDecoder | None = None

    def feed(self, data: bytes) -> list[str]:
        """The text of these bytes, in one piece; possibly none yet."""
        text = self.decode(data, False)
        return [text] if text else []

    def finish(self) -> list[str]:
        """The body ends here: what is left, if its last character is incomplete."""
        text = self.decode(b"", True)
        return [text] if text else []

    def decode(self, data: bytes, is_last: bool) -> str:
        """The text of these bytes.   is_last: the body ends with them."""
        if self._text is None:
            data = self._head + data
            if not is_last and any(mark.startswith(data) for mark, _ in self._marks):
                self._head = data
                return ""
            marked = (name for mark, name in self._marks if data.startswith(mark))
            self._text = codecs.getincrementaldecoder(next(marked, self._unmarked))("replace")
        state = self._text.getstate()
        try:
            return self._text.decode(data, is_last)
        except UnicodeError:  # an escape sequence of an ISO 2022 charset that never ends
            self._text.setstate(state)
            return self._text.decode(data, True)


class LineDecoder:
    """The lines of one response: `feed` it as the bytes arrive, then `finish` it.

    charset: as for `TextDecoder`.   limit: how many characters a line may have, None for any number.
    keep_ends: keep the line ends, as they came. A CR at the end of the bytes then waits for the next ones: an LF may
        follow.
    Lines come as soon as they are complete. Raises DecodingError for a line that is too long, and no other error.
    completed: after that error, the lines before it, which the same bytes completed.
    """

    __slots__ = (
        "_after_cr",
        "_cr",
        "_keep_ends",
        "_length",
        "_limit",
        "_pieces",
        "_runs",
        "_text",
        "completed",
    )

    def __init__(self, charset: str | None, limit: int | None, *, keep_ends: bool = False) -> None:
        self._text = TextDecoder(charset)
        self._limit = limit
        self._keep_ends = keep_ends
        self._cr = ""
        self.completed: list[str] = []
        # The line so far: joined once, or a long one takes quadratic time; and in two steps, or one that comes in
        # pieces of two characters takes thirty times its length in memory.
        self._runs: list[str] = []
        self._pieces: list[str] = []
        self._length = 0
        self._after_cr = False

    @property
    def length(self) -> int:
        """Characters of the line that is not complete yet."""
        return self._length

    def feed(self, data: bytes) -> list[str]:
        """The lines that these bytes complete; possibly none yet."""
        return self._split(self._text.decode(data, False)) if data else []

    def finish(self) -> list[str]:
        """The body ends here; the last line, if it has no line end."""
        lines = self._split(self._text.decode(b"", True), is_last=True)
        if self._length:
            lines.append(self._joined())
        return lines

    def _split(self, text: str, is_last: bool = False) -> list[str]:
        ends: list[str] = []
        if self._keep_ends:
            text, self._cr = self._cr + text, ""
            if text.endswith("\r") and not is_last:
                text, self._cr = text[:-1], "\r"
            parts = _LINE_END_KEPT.split(text)
            *lines, rest = parts[::2]
            ends = parts[1::2]
        elif text:
            if self._after_cr and text[0] == "\n":
                text = text[1:]  # the CR has ended the line already
            self._after_cr = text.endswith("\r")
            *lines, rest = _LINE_END.split(text)
        else:
            return []
        if lines:
            self._pieces.append(lines[0])
            lines[0] = self._joined()
        if rest:
            self._pieces.append(rest)
            self._length += len(rest)
            if len(self._pieces) == _RUN:
                self._runs.append("".join(self._pieces))
                self._pieces = []
        longest = max(self._length, *map(len, lines)) if lines else self._length
        limit = self._limit
        are_fit = limit is None or longest <= limit
        items = lines if are_fit else list(takewhile(lambda line: len(line) <= limit, lines))  # type: ignore[operator]  # then it is not None
        if ends:
            items = [line + end for line, end in zip(items, ends)]  # noqa: B905  # the ends of refused lines are left
        if are_fit:
            return items
        self.completed = items
        raise DecodingError(
            f"a line of the response is longer than {limit} characters; "
            "raise max_length, or read the body by iter_bytes()"
        )

    def _joined(self) -> str:
        line = "".join(self._runs + self._pieces)
        self._runs, self._pieces, self._length = [], [], 0
        return line

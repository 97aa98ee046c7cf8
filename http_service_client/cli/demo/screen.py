"""A terminal as this demo needs it: colours, and a picture that is drawn again in its place.

By hand, in the few ANSI sequences that every terminal of the last forty years knows. What the picture
shows is not known here.
"""

from __future__ import annotations

import os
import re
import shutil
import textwrap
from collections.abc import Sequence
from types import TracebackType
from typing import TextIO

__all__ = ["Ink", "Screen", "clipped", "is_terminal", "visible_length", "wants_colour"]

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_HIDE_CURSOR, _SHOW_CURSOR, _ERASE_LINE, _ERASE_BELOW = "\x1b[?25l", "\x1b[?25h", "\x1b[K", "\x1b[J"
_NO_WRAP, _WRAP = "\x1b[?7l", "\x1b[?7h"
_IN_ASCII = str.maketrans({"→": "->", "·": "-", "│": "|", "–": "-", "—": "-", "…": "..."})


def is_terminal(stream: TextIO) -> bool:
    """Whether a picture can be drawn there."""
    # An old Windows console shows the sequences instead of obeying them; its successor says who it is.
    is_capable = os.environ.get("TERM") != "dumb" and (os.name != "nt" or "WT_SESSION" in os.environ)
    return is_capable and stream.isatty()


def wants_colour(stream: TextIO) -> bool:
    """Whether colours are welcome there (https://no-color.org)."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR")


class Ink:
    """Colours, or none.

    >>> Ink(False)("open", "red"), Ink(True)("open", "red")
    ('open', '\\x1b[31mopen\\x1b[0m')
    """

    def __init__(self, is_coloured: bool) -> None:
        self._is_coloured = is_coloured

    def __call__(self, text: str, *styles: str) -> str:
        """The text in these styles. Pad it before: the sequences have no width, but a length."""
        if not self._is_coloured or not styles or not text:
            return text
        return f"\x1b[{';'.join(_CODES[style] for style in styles)}m{text}\x1b[0m"


def visible_length(line: str) -> int:
    """How many characters of the line are seen."""
    return len(_SEQUENCE.sub("", line))


def clipped(line: str, width: int) -> str:
    """The line, cut to so many visible characters, its colours ended.

    >>> clipped("attempts", 3), clipped("\\x1b[31mattempts\\x1b[0m", 3)
    ('att', '\\x1b[31matt\\x1b[0m')
    """
    if visible_length(line) <= width:
        return line
    pieces, left, at = [], width, 0
    for match in _SEQUENCE.finditer(line):
        text = line[at : match.start()][:left]
        left -= len(text)
        at = match.end()
        pieces += [text, match.group()]
    return "".join([*pieces, line[at:][:left]])


class Screen:
    """A stream that one may write lines to and, where it is a terminal, draw on.

    Use it as a context manager: the cursor, hidden while there is a picture, comes back whatever happens.
    """

    def __init__(self, stream: TextIO, *, is_live: bool) -> None:
        self._stream = stream
        self._is_live = is_live
        self._drawn = 0  # lines of the picture that is there now
        encoding = getattr(stream, "encoding", None) or "utf-8"
        try:
            "→·│–—…".encode(encoding)
            self._translation: dict[int, str] = {}
        except UnicodeEncodeError:
            self._translation = _IN_ASCII

    @property
    def width(self) -> int:
        """Columns that a line may take."""
        return shutil.get_terminal_size().columns if self._is_live else 80

    @property
    def height(self) -> int:
        """Lines that a picture may have."""
        return max(1, shutil.get_terminal_size().lines - 1)

    def draw(self, lines: Sequence[str]) -> None:
        """Draw a picture in place of the one before. What does not fit is cut off."""
        lines = [clipped(line, self.width) for line in lines[: self.height]]
        # Erased first: done last, it would take the character in the last column with it.
        body = "".join(f"{_ERASE_LINE}{line}\r\n" for line in lines)
        # In one write, or it flickers. Without wrapping: the window may have become narrower meanwhile.
        self._write(f"{_HIDE_CURSOR}{_NO_WRAP}{self._home()}{body}{_ERASE_BELOW}{_WRAP}")
        self._drawn = len(lines)

    def print(self, *lines: str) -> None:
        """Write lines below the picture, which then stays where it is."""
        self._drawn = 0
        self._write("".join(f"{line.rstrip()}\n" for line in lines))

    def wrapped(self, line: str, indent: str) -> list[str]:
        """A long line as a terminal's width wants it, later lines indented; elsewhere as it is."""
        if not self._is_live:
            return [line]
        return textwrap.wrap(
            line, self.width, subsequent_indent=indent, break_on_hyphens=False, drop_whitespace=True
        ) or [""]

    def _home(self) -> str:
        return f"\x1b[{self._drawn}F" if self._drawn else ""

    def _write(self, text: str) -> None:
        self._stream.write(text.translate(self._translation))
        self._stream.flush()

    def __enter__(self) -> Screen:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._is_live:
            self._write(_WRAP + _SHOW_CURSOR)

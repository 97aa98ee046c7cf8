"""A terminal: colours, and a picture that is redrawn in the same position.

It uses the few ANSI sequences that every terminal of the last forty years knows. This module does not know what
the picture shows.
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
    """Whether a picture can be drawn on it."""
    # An old Windows console prints the sequences; its successor sets WT_SESSION.
    is_capable = os.environ.get("TERM") != "dumb" and (os.name != "nt" or "WT_SESSION" in os.environ)
    return is_capable and stream.isatty()


def wants_colour(stream: TextIO) -> bool:
    """Whether it should have colours (https://no-color.org)."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR")


class Ink:
    """Colours, or none.

    >>> Ink(False)("open", "red"), Ink(True)("open", "red")
    ('open', '\\x1b[31mopen\\x1b[0m')
    """

    def __init__(self, is_coloured: bool) -> None:
        self._is_coloured = is_coloured

    def __call__(self, text: str, *styles: str) -> str:
        """The text in these styles. Pad it first: the sequences have a length but no width."""
        if not self._is_coloured or not styles or not text:
            return text
        return f"\x1b[{';'.join(_CODES[style] for style in styles)}m{text}\x1b[0m"


def visible_length(line: str) -> int:
    """The number of visible characters."""
    return len(_SEQUENCE.sub("", line))


def clipped(line: str, width: int) -> str:
    """The line, cut to `width` visible characters, with its colours reset.

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
    """A stream for lines of text and, if it is a terminal, for a picture.

    Use it as a context manager: the cursor, hidden while a picture is shown, comes back whatever happens.
    """

    def __init__(self, stream: TextIO, *, is_live: bool) -> None:
        self._stream = stream
        self._is_live = is_live
        self._drawn = 0  # lines of the current picture
        encoding = getattr(stream, "encoding", None) or "utf-8"
        try:
            "→·│–—…".encode(encoding)
            self._translation: dict[int, str] = {}
        except UnicodeEncodeError:
            self._translation = _IN_ASCII

    @property
    def width(self) -> int:
        """The columns of a line."""
        return shutil.get_terminal_size().columns if self._is_live else 80

    @property
    def height(self) -> int:
        """The lines of a picture, at most."""
        return max(1, shutil.get_terminal_size().lines - 1)

    def draw(self, lines: Sequence[str]) -> None:
        """Draw a picture over the previous one. Parts that do not fit are cut off."""
        lines = [clipped(line, self.width) for line in lines[: self.height]]
        # Each line is erased first: erasing last would delete the character in the last column.
        body = "".join(f"{_ERASE_LINE}{line}\r\n" for line in lines)
        # In one write, or it flickers. Without wrapping: the window may have become narrower.
        self._write(f"{_HIDE_CURSOR}{_NO_WRAP}{self._home()}{body}{_ERASE_BELOW}{_WRAP}")
        self._drawn = len(lines)

    def print(self, *lines: str) -> None:
        """Write lines below the picture, which then stays."""
        self._drawn = 0
        self._write("".join(f"{line.rstrip()}\n" for line in lines))

    def wrapped(self, line: str, indent: str) -> list[str]:
        """A long line, wrapped at the width of a terminal with later lines indented; unchanged elsewhere."""
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

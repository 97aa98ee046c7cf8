"""What people see on a terminal: colours, highlighted bodies and tables, drawn by rich (extra `cli`).

Without rich, the same text is plain. rich writes nothing by itself: it turns text into text, so encodings, broken
pipes and the order of the streams stay with the caller. It is imported when something is drawn, since that takes
about 0.1 s. A text of a server must be `safe()` before; none is read as rich's markup.
"""

from __future__ import annotations

import shutil
import textwrap
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TextIO

from ..http.media_types import parse_content_type
from .screen import is_terminal, wants_colour

__all__ = ["Cell", "Column", "Paint", "table", "write_text"]

# No lexer is chosen by a media type alone: Pygments has hundreds, and some take minutes for a text made to that end.
_LEXERS = {
    "application/json": "json",
    "application/xml": "xml",
    "text/xml": "xml",
    "text/html": "html",
    "application/xhtml+xml": "html",
    "text/css": "css",
    "text/javascript": "javascript",
    "application/javascript": "javascript",
    "application/yaml": "yaml",
    "text/yaml": "yaml",
}
_SUFFIXES = {"json": "json", "xml": "xml", "yaml": "yaml"}
_PATIENCE = 0.5  # seconds of highlighting: several lexers take quadratic time for some texts
_LEAST_TEXT = 40  # characters of a line; in a narrower window, the terminal wraps it


class Paint:
    """Adds colours to a text.   is_coloured: whether it does.

    >>> Paint(False)("open", "red")
    'open'
    """

    def __init__(self, is_coloured: bool) -> None:
        self._is_coloured = is_coloured

    def __call__(self, text: str, style: str = "") -> str:
        """The text in a style of rich, such as ``bold red``."""
        if not self._is_coloured or not style or not text:
            return text
        try:
            from rich.color import ColorSystem
            from rich.style import Style
        except ImportError:
            return text
        # The sixteen colours that every terminal has, and its user has chosen.
        painted: str = Style.parse(style).render(text, color_system=ColorSystem.STANDARD)
        return painted

    def highlighted(self, text: str, content_type: str) -> str:
        """A safe text in the colours of its media type. What takes too long to highlight stays plain."""
        name = _lexer_name(content_type)
        if not self._is_coloured or name is None:
            return text
        try:
            from pygments.lexers import get_lexer_by_name
            from pygments.token import Error
            from rich.color import ColorSystem
            from rich.syntax import Syntax
        except ImportError:
            return text
        theme = Syntax.get_theme("ansi_dark")
        lexer = get_lexer_by_name(name, stripnl=False, ensurenl=False)
        pieces: list[str] = []
        size, until = 0, time.monotonic() + _PATIENCE
        for kind, value in lexer.get_tokens(text):
            style = theme.get_style_for_token(kind)
            # What a lexer does not know is no reason for an alarm.
            is_plain = kind is Error or value.isspace()
            pieces.append(value if is_plain else style.render(value, color_system=ColorSystem.STANDARD))
            size += len(value)
            if time.monotonic() > until:
                break
        return "".join([*pieces, text[size:]])


def _lexer_name(content_type: str) -> str | None:
    media_type = parse_content_type(content_type)[0]
    return _LEXERS.get(media_type) or _SUFFIXES.get(media_type.rpartition("+")[2])


class Cell(NamedTuple):
    """A cell of a table.   style: of rich."""

    text: str
    style: str = ""


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table.

    width: at least, with the space to the column before or after; None for the rest of the line, in which the text wraps.
    """

    title: str = ""
    width: int | None = None
    is_number: bool = False


def table(stream: TextIO, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> list[str]:
    """The lines of a table, as they should look on this stream."""
    drawn = _drawn(stream, columns, rows) if is_terminal(stream) else None
    return list(_plain(stream, columns, rows)) if drawn is None else drawn


def _plain(stream: TextIO, columns: Sequence[Column], rows: Iterable[Sequence[Cell]]) -> Iterator[str]:
    if any(column.title for column in columns):
        rows = [[Cell(column.title) for column in columns], *rows]
    width = shutil.get_terminal_size().columns if is_terminal(stream) else 80
    for row in rows:
        start, lines = "", [""]
        for column, cell in zip(columns, row, strict=True):
            if column.width is None:
                lines = textwrap.wrap(cell.text, max(_LEAST_TEXT, width - len(start))) or [""]
            else:
                start += f"{cell.text:{'>' if column.is_number else '<'}{column.width}}"
        yield f"{start}{lines[0]}".rstrip()
        yield from (" " * len(start) + line for line in lines[1:])


def _drawn(stream: TextIO, columns: Sequence[Column], rows: Iterable[Sequence[Cell]]) -> list[str] | None:
    """The same by rich: in colours, and as wide as the characters are on a screen; None without it."""
    try:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        return None
    console = Console(
        file=stream,
        width=max(shutil.get_terminal_size().columns, sum(column.width or _LEAST_TEXT for column in columns)),
        color_system="standard" if wants_colour(stream) else None,
        no_color=False,  # rich 13 takes an empty NO_COLOR for a set one
        legacy_windows=False,
    )
    made = Table(box=None, padding=0, show_header=any(column.title for column in columns))
    for column in columns:
        made.add_column(
            column.title,
            justify="right" if column.is_number else "left",
            overflow="fold",  # nothing is left out
            min_width=column.width,
        )
    for row in rows:
        made.add_row(*(Text(cell.text, cell.style) for cell in row))
    with console.capture() as capture:
        console.print(made)
    return [line.rstrip() for line in capture.get().splitlines()]


def write_text(stream: TextIO, text: str) -> None:
    """Write in the stream's encoding; a character that it does not have becomes an escape."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))

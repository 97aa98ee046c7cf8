"""Saving a body as a file: its name, its bar, and what is said at the end."""

from __future__ import annotations

import os
import re
import shlex
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TextIO
from urllib.parse import unquote, urlsplit

from ...errors import ConfigurationError
from ..screen import clipped

__all__ = ["Bar", "file_name", "save", "size_text"]

_UNSAFE = re.compile(r"[^\w.()+@=,~ -]")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)  # devices of Windows
_WIDTH = 20
_PAUSE = 0.1  # seconds between two drawings


def file_name(url: str) -> str:
    """The name that a file of this URL gets: the last part of the path, as it was typed.

    Neither a redirect nor a header decides it: a server could otherwise choose `.bashrc`. Raises ConfigurationError.

    >>> file_name("https://example.com/reports/May%202026.csv?version=2")
    'May 2026.csv'
    """
    last = unquote(urlsplit(url).path.rpartition("/")[2])
    name = _UNSAFE.sub("_", last).lstrip(".").rstrip(". ")
    if not name or _RESERVED.match(name):
        raise ConfigurationError("the URL has no file name at the end of its path; give one by --output FILE")
    if os.path.exists(name):
        shown = shlex.quote(name)
        raise ConfigurationError(f"{shown} is there already; --output {shown} replaces it")
    return name


def save(pieces: Iterable[bytes], path: str, progress: Callable[[int, int | None], object]) -> None:
    """Write the pieces to a file, which appears complete or not at all. Raises OSError."""
    path = os.path.realpath(path)  # the target of a link is replaced, not the link
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.{os.urandom(4).hex()}")
    size = 0
    try:
        with open(temporary, "xb") as file:
            for piece in pieces:
                file.write(piece)
                size += len(piece)
                progress(size, None)
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


class Bar:
    """A progress bar in one line, at most ten drawings a second; nothing where `is_shown` is False.

    stream: a terminal.   now: monotonic seconds.
    """

    def __init__(
        self, label: str, stream: TextIO, is_shown: bool, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._label, self._stream, self._is_shown, self._now = label, stream, is_shown, now
        self._began = self._drawn_at = now()
        self._base: int | None = None  # bytes that an earlier download left
        self.done = 0

    def __call__(self, done: int, total: int | None) -> None:
        """So many bytes have arrived, of so many or of an unknown number."""
        if self._base is None:
            self._base = done
        self.done = done
        now = self._now()
        if not self._is_shown or (now - self._drawn_at < _PAUSE and done != total):
            return
        self._drawn_at = now
        speed = (done - self._base) / max(now - self._began, 0.001)
        line = f"{self._label}  {size_text(done)}"
        if total:
            filled = _WIDTH * done // total
            left = f"  {(total - done) / speed:.0f} s left" if speed else ""
            line = (
                f"{self._label}  {100 * done // total:3d} %  {'#' * filled}{'.' * (_WIDTH - filled)}  "
                f"{size_text(done)} of {size_text(total)}{left}"
            )
        columns = os.get_terminal_size(self._stream.fileno()).columns
        self._stream.write(f"\r\x1b[K{clipped(line, columns - 1)}")
        self._stream.flush()

    def close(self) -> None:
        """Remove the line."""
        if self._is_shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


def size_text(size: int) -> str:
    """A number of bytes as people read it.

    >>> size_text(999), size_text(1_230_000)
    ('999 B', '1.2 MB')
    """
    number = float(size)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if number < 1000 or unit == "TB":
            break
        number /= 1000
    return f"{number:.0f} B" if unit == "B" else f"{number:.1f} {unit}"

"""The file of a download in progress whose parts arrive side by side.

It begins as any other, with the bytes from the start on. Once the length is known, the disk has room for all of it,
and what is missing is split into parts. From then on the size of the file says nothing, so the record of a download
that may be resumed says what has arrived. It lags behind: what it does not say is downloaded again.
"""

from __future__ import annotations

import errno
import os
import shutil
from itertools import pairwise
from typing import Any

from .part_file import PartFile, Span, record_of, write_all

__all__ = ["FilePart", "PartedFile"]

_MOST_PARTS = 10_000
_NOTE_EVERY = 16 * 1024 * 1024  # bytes between two notes of what has arrived


class FilePart:
    """A `core.layers.download.DownloadSink` for one part of a file. `received` counts from the start of the file."""

    resumes = False

    def __init__(self, file: PartedFile, start: int, end: int) -> None:
        self.start = self.received = start
        self.end = end
        self._file = file

    def restore(self, url: str) -> tuple[Any, ...] | None:
        """Nothing: the whole file is restored before it is split."""
        return None

    def remember(self, url: str, version: tuple[Any, ...]) -> None:
        """Nothing: the version is that of the whole file."""

    def write(self, pieces: list[bytes]) -> None:
        """Add bytes."""
        self._file.write_part(self, pieces)

    def rewind(self, offset: int) -> None:
        """Discard what is beyond `offset`."""
        self.received = offset

    def commit(self) -> str | None:
        """Nothing: the whole file is committed."""
        return None


class PartedFile(PartFile):
    """A `PartFile` that may be split into parts, which threads or tasks write side by side."""

    # Once it is split:
    _arrived: list[Span]  # before that
    _noted: int  # bytes of the parts when the record was written

    def __init__(self, path: str | os.PathLike[str], checksum: str | None, resumes: bool = False) -> None:
        super().__init__(path, checksum, resumes)
        self._kept: list[Span] = []  # what an earlier download left beyond `received`
        self._parts: list[FilePart] = []
        self._are_stopped = False
        self._record_of_version: dict[str, Any] = {}

    @property
    def is_stopped(self) -> bool:
        """Whether writing to a part fails."""
        return self._is_abandoned or self._are_stopped

    @property
    def is_split(self) -> bool:
        """Whether it consists of parts now."""
        return bool(self._parts)

    @property
    def arrived(self) -> int:
        """The bytes that have arrived, wherever they are in the file."""
        if not self._parts:
            return self.received
        return sum(end - start for start, end in self._arrived) + self._in_parts()

    def split(self, total: int, most: int) -> list[FilePart]:
        """Split what is missing into parts of at most so many bytes each."""
        with self._using_file():
            spans = _merged([(0, self.received), *self._kept])
            missing = [(end, start) for (_, end), (start, _) in pairwise([*spans, (total, total)])]
            self._check_room(total)  # first: the server says it, and it may be any number
            most = max(most, total // _MOST_PARTS)
            self._arrived, self._kept = spans, []
            self._parts = [
                FilePart(self, at, min(at + most, end))
                for start, end in missing
                for at in range(start, end, most)
            ]
            self._note_parts()  # before the size says what has not arrived
            _reserve(self._file.fileno(), total)
            return self._parts

    def _check_room(self, total: int) -> None:
        about = os.fstat(self._file.fileno())
        missing = total - (about.st_blocks * 512 if hasattr(about, "st_blocks") else about.st_size)
        if missing > shutil.disk_usage(self._part.parent).free:
            raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} for {missing} bytes", str(self._part))

    def write_part(self, part: FilePart, pieces: list[bytes]) -> None:
        """Add bytes to a part, from any thread."""
        with self._using_file():
            if self.is_stopped:
                raise InterruptedError("the download that this is a part of has ended")
            self._file.seek(part.received)
            size, most = sum(map(len, pieces)), part.end - part.received
            if size > most:  # the others would be another part's bytes
                pieces, size = [b"".join(pieces)[:most]], most
            write_all(self._file, pieces)
            part.received += size  # only now: what a full disk refused must not count as arrived
            if self._in_parts() - self._noted >= _NOTE_EVERY:
                self._note_parts()

    def join(self) -> None:
        """All parts have arrived: the file is whole."""
        with self._using_file():
            self.received = self._file.seek(0, os.SEEK_END)
            self._parts = []
        if self._checksum is not None:
            self.rewind(self.received)  # it reads the file

    def stop(self) -> None:
        """From now on, writing to a part fails."""
        self._are_stopped = True

    def start_over(self) -> None:
        """Discard everything; the parts are stopped."""
        self._are_stopped = True
        with self._using_file():
            self._parts = []
        self.rewind(0)

    def rewind(self, offset: int) -> None:
        super().rewind(offset)
        self._kept = []  # it is beyond

    def _continue(self, url: str, version: tuple[Any, ...], size: int, spans: list[Span]) -> None:
        self._record_of_version = record_of(url, version)
        if len(spans) < 2 or not spans[0][1]:
            super()._continue(url, version, size, spans)
            return
        with self._using_file():
            self.received = spans[0][1]
            self._read_for_checksum()
            self._file.seek(self.received)
        self._kept = [(start, end) for start, end in spans if self.received <= start]

    def _write_record(self, record: dict[str, Any]) -> None:
        self._record_of_version = record
        super()._write_record(record)

    def _note_parts(self) -> None:
        self._noted = self._in_parts()
        if self.resumes and self._parts and self._record_of_version:
            spans = [*self._arrived, *((part.start, part.received) for part in self._parts)]
            super()._write_record({**self._record_of_version, "spans": _merged(spans)})

    def _in_parts(self) -> int:
        return sum(part.received - part.start for part in self._parts)


def _merged(spans: list[Span]) -> list[Span]:
    """The same bytes as spans in order, of which none touches the next."""
    found: list[Span] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        elif start < end or not found:
            found.append((start, end))
    return found


def _reserve(descriptor: int, size: int) -> None:
    """Give the file its size, and the blocks for it where the system can: a full disk is found now, not at the end."""
    os.ftruncate(descriptor, size)
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise

"""The file of a download in progress: beside its target, and moved there complete or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import InvalidRequestError
from ...http.bodies.checksums import Checksum, parse_checksum
from .part_file_names import is_at, open_new, open_resumable, read_own, unlock, write_own

if TYPE_CHECKING:
    from io import FileIO

    from typing_extensions import Self

__all__ = ["PartFile", "Span", "record_of", "write_all"]

Span = tuple[int, int]  # bytes of the file: the first, and the first one that is not of it

_BLOCK = 1024 * 1024
_MOST_AT_ONCE = 1000 if hasattr(os, "writev") else 1  # pieces; systems take 1024
_MOVES_OPEN_FILES = os.name != "nt"


class PartFile:
    """A `core.layers.download.DownloadSink` that renames its file to `path` when it is complete.

    received: bytes written so far.
    resumes: what has arrived stays for a later download to the same path, with the version that it is of.

    Raises InvalidRequestError for a path that cannot become a file, or a malformed checksum.
    """

    def __init__(self, path: str | os.PathLike[str], checksum: str | None, resumes: bool = False) -> None:
        self.resumes = resumes
        self._path = _parse_path(path)
        self._checksum: Checksum | None = None if checksum is None else parse_checksum(checksum)
        self._hash = self._new_hash()
        self.received = 0
        self._file, self._part = (open_resumable if resumes else open_new)(self._path)
        self._record = self._part.with_suffix(".resume.json")
        self._is_recognised = is_at(self._file.fileno(), self._part)  # not where files have no steady numbers
        self._in_use = threading.Lock()  # held while a thread works on the file; only threads wait for it
        self._is_abandoned = False
        self._is_gone = False  # moved to its path, or removed
        with suppress(OSError):  # no file yet, or a file system without modes
            shutil.copymode(self._path, self._part)  # a private file stays private

    def _new_hash(self) -> Any:
        return None if self._checksum is None else self._checksum.new_hash()

    def restore(self, url: str) -> tuple[Any, ...] | None:
        """Continue with the bytes that an earlier download of this URL left. Returns their version, or None."""
        with self._using_file():
            size = self._file.seek(0, os.SEEK_END)
            version, spans = (self._remembered(url, size) if size else None) or (None, [])
            if version is None:
                self._file.seek(0)
                self._file.truncate()
                return None
        self._continue(url, version, size, spans)
        return version

    def _continue(self, url: str, version: tuple[Any, ...], size: int, spans: list[Span]) -> None:
        """Continue at the end of the file. Of what arrived in parts, only the beginning can be used."""
        self.received = spans[0][1] if spans else size
        self.rewind(self.received)  # it reads the file for its checksum
        if spans:
            self.remember(url, version)

    def remember(self, url: str, version: tuple[Any, ...]) -> None:
        """Record the version of the bytes that follow. The bytes of another version have been discarded."""
        with self._using_file():
            self._write_record(record_of(url, version))

    def _write_record(self, record: dict[str, Any]) -> None:
        if self._has_lost_its_name():
            return
        new = self._record.with_suffix(".new")
        write_own(new, json.dumps(record))
        os.replace(new, self._record)

    def _has_lost_its_name(self) -> bool:
        """Whether somebody has removed the file, and so the next download may have one of the same name."""
        return self._is_recognised and not is_at(self._file.fileno(), self._part)

    def _remembered(self, url: str, size: int) -> tuple[tuple[Any, ...], list[Span]] | None:
        """The version, and the spans that arrived of a download in parts, of which the first begins at 0."""
        try:
            record = json.loads(read_own(self._record))
            *texts, total = record["version"]
            spans = [(int(start), min(int(end), size)) for start, end in record.get("spans", [])]
        except (OSError, ValueError, TypeError, KeyError):  # missing or damaged
            return None
        is_valid = len(texts) == 3 and all(text is None or isinstance(text, str) for text in texts)
        if not is_valid or not (total is None or type(total) is int) or record.get("url") != _digest(url):
            return None
        if spans and spans[0][0] != 0:
            return None
        return (*texts, total), spans

    def write(self, pieces: list[bytes]) -> None:
        """Add bytes."""
        with self._using_file():
            write_all(self._file, pieces)
            if self._hash is not None:
                for piece in pieces:
                    self._hash.update(piece)
            self.received += sum(map(len, pieces))

    def rewind(self, offset: int) -> None:
        """Discard what is beyond `offset`."""
        with self._using_file():
            self._file.seek(offset)
            self._file.truncate()
            self.received = offset
            self._read_for_checksum()

    def _read_for_checksum(self) -> None:
        if self._hash is not None:
            self._hash = self._new_hash()
            self._file.seek(0)
            left = self.received
            while left and (block := self._file.read(min(left, _BLOCK))):
                self._hash.update(block)
                left -= len(block)

    def commit(self) -> str | None:
        """Move the file to its path, once it is on the disk. Returns why not, if its checksum is wrong."""
        if self._checksum is not None and self._hash.hexdigest() != self._checksum.digest:
            found = f"{self._checksum.algorithm}:{self._hash.hexdigest()}"
            return f"the file has the checksum {found}, not {self._checksum}; it was discarded"
        with self._using_file():
            os.fsync(self._file.fileno())
            if self._has_lost_its_name():
                text = "the file of the download was removed meanwhile"
                raise FileNotFoundError(errno.ENOENT, text, str(self._part))
            if not _MOVES_OPEN_FILES:
                self._file.close()
            if not self._is_abandoned:
                os.replace(self._part, self._path)
                self._is_gone = True
                self._record.unlink(missing_ok=True)
            # The lock ends only now: under its old name, another download would have gone on with the file.
            self._file.close()
        return None

    @contextmanager
    def _using_file(self) -> Iterator[None]:
        """Around a thread's work on the file. If the call ends meanwhile, the thread cleans up afterwards."""
        try:
            with self._in_use:
                yield
        finally:
            if self._is_abandoned:
                self._remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *about: object) -> None:
        """Remove the file, unless it was committed or may be resumed. A thread that is working on it does so later."""
        self._is_abandoned = True
        self._remove()

    def _remove(self) -> None:
        if not self._in_use.acquire(blocking=False):
            return
        try:
            if not self._file.closed and self._has_lost_its_name():
                self._is_gone = True
            is_kept = self._is_gone or (self.resumes and self.received > 0)
            if not self._file.closed:  # closed: the next download may have it
                with suppress(OSError):  # a full disk: the record says less than there is
                    self._note_parts()
            if _MOVES_OPEN_FILES and not is_kept:
                self._discard()
            unlock(self._file)
            with suppress(OSError):
                self._file.close()
            if not (_MOVES_OPEN_FILES or is_kept):
                self._discard()
        finally:
            self._in_use.release()

    def _note_parts(self) -> None:
        """Record what has arrived of a file in parts, for a later download."""

    def _discard(self) -> None:
        self._part.unlink(missing_ok=True)
        self._record.unlink(missing_ok=True)
        self._is_gone = True  # from now on, the names may belong to the next download


def write_all(file: FileIO, pieces: Sequence[bytes]) -> None:
    """Write the pieces where the file is, in one system call if the system takes them: a piece may be a few KiB.

    Raises OSError, for a full disk perhaps.
    """
    written = 0
    if 1 < len(pieces) <= _MOST_AT_ONCE:
        written = os.writev(file.fileno(), pieces)
        if written == sum(map(len, pieces)):
            return
    left = memoryview(b"".join(pieces))[written:]
    while left:
        left = left[file.write(left) :]


def record_of(url: str, version: tuple[Any, ...]) -> dict[str, Any]:
    """The record that identifies the file: its URL and its version."""
    return {"url": _digest(url), "version": version}


def _digest(url: str) -> str:
    """A digest, since the query of a URL may be secret."""
    return hashlib.sha256(url.encode()).hexdigest()


def _parse_path(path: str | os.PathLike[str]) -> Path:
    if not isinstance(path, (str, os.PathLike)) or not isinstance(os.fspath(path), str):
        raise InvalidRequestError(f"path must be a str or a Path, not {type(path).__name__}")
    if not os.path.basename(path) or os.path.isdir(path):
        raise InvalidRequestError(f"path {os.fspath(path)!r} is a folder; add the name of the file to write")
    target = Path(os.path.realpath(path))  # the target of a link is replaced, not the link
    if target.exists() and not target.is_file():
        raise InvalidRequestError(f"path {str(target)!r} is not a regular file; write to another path")
    if not target.parent.is_dir():
        raise InvalidRequestError(
            f"path {str(target)!r}: the folder {str(target.parent)!r} does not exist; create it first"
        )
    return target

"""The file of a download in progress: beside its target, and moved there complete or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..errors import InvalidRequestError
from ..http.bodies.checksums import Checksum, parse_checksum

__all__ = ["PartFile"]

_BLOCK = 1024 * 1024


class PartFile:
    """A `core.layers.download.DownloadSink` that renames its file to `path` when it is complete.

    received: bytes written so far.

    Raises InvalidRequestError for a path that cannot become a file, or a malformed checksum.
    """

    def __init__(self, path: str | os.PathLike[str], checksum: str | None) -> None:
        self._path = _parse_path(path)
        self._checksum: Checksum | None = None if checksum is None else parse_checksum(checksum)
        self._hash = self._new_hash()
        self.received = 0
        self._part = self._path.with_name(f".{self._path.name[:40]}.{secrets.token_hex(4)}.part")
        self._file = open(self._part, "x+b")  # noqa: SIM115  # closed by `commit` or `__exit__`
        self._in_use = threading.Lock()  # while a thread works on the file; nothing waits for it
        self._is_abandoned = False
        with suppress(OSError):  # no file yet, or a file system without modes
            shutil.copymode(self._path, self._part)  # a private file stays private

    def _new_hash(self) -> Any:
        return None if self._checksum is None else self._checksum.new_hash()

    def write(self, pieces: list[bytes]) -> None:
        """Add bytes."""
        with self._using_file():
            for piece in pieces:
                self._file.write(piece)
                if self._hash is not None:
                    self._hash.update(piece)
                self.received += len(piece)

    def rewind(self, offset: int) -> None:
        """Discard what is beyond `offset`."""
        with self._using_file():
            self._file.seek(offset)
            self._file.truncate()
            self.received = offset
            if self._hash is not None:
                self._hash = self._new_hash()
                self._file.seek(0)
                while block := self._file.read(_BLOCK):
                    self._hash.update(block)

    def commit(self) -> str | None:
        """Move the file to its path, once it is on the disk. Returns why not, if its checksum is wrong."""
        if self._checksum is not None and self._hash.hexdigest() != self._checksum.digest:
            found = f"{self._checksum.algorithm}:{self._hash.hexdigest()}"
            return f"the file has the checksum {found}, not {self._checksum}; it was discarded"
        with self._using_file():
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            if not self._is_abandoned:
                os.replace(self._part, self._path)
        return None

    @contextmanager
    def _using_file(self) -> Iterator[None]:
        """A thread's work on the file. If the call ends meanwhile, the thread removes the file when it is done."""
        try:
            with self._in_use:
                yield
        finally:
            if self._is_abandoned:
                self._remove()

    def __enter__(self) -> PartFile:
        return self

    def __exit__(self, *about: object) -> None:
        """Remove what was not committed: now, or when the thread that is working on the file is done with it."""
        self._is_abandoned = True
        self._remove()

    def _remove(self) -> None:
        if not self._in_use.acquire(blocking=False):
            return
        try:
            self._file.close()
        except OSError:  # flushing fails again on a full disk; the first failure was already raised
            pass
        finally:
            self._part.unlink(missing_ok=True)
            self._in_use.release()


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

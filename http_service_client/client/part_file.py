"""The file of a download while it grows: beside its place, and put there whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import InvalidRequestError
from ..http.bodies.checksums import Checksum, parse_checksum

__all__ = ["PartFile"]

_BLOCK = 1024 * 1024


class PartFile:
    """A `core.layers.download.Sink` that renames its file to `path` when it is complete.

    received: bytes that there are.

    Raises InvalidRequestError for a path that cannot become a file, or a checksum that is none.
    """

    def __init__(self, path: str | os.PathLike[str], checksum: str | None) -> None:
        self._path = _checked(path)
        self._checksum: Checksum | None = None if checksum is None else parse_checksum(checksum)
        self._hash = self._new_hash()
        self.received = 0
        self._part = self._path.with_name(f".{self._path.name[:40]}.{secrets.token_hex(4)}.part")
        self._file = open(self._part, "x+b")  # noqa: SIM115  # closed by `commit` or `__exit__`
        with suppress(OSError):  # there is none yet, or a file system without modes
            shutil.copymode(self._path, self._part)  # what was private stays so

    def _new_hash(self) -> Any:
        return None if self._checksum is None else self._checksum.new_hash()

    def write(self, pieces: list[bytes]) -> None:
        """Add bytes."""
        for piece in pieces:
            self._file.write(piece)
            if self._hash is not None:
                self._hash.update(piece)
            self.received += len(piece)

    def rewind(self, offset: int) -> None:
        """Forget what is beyond `offset`."""
        self._file.seek(offset)
        self._file.truncate()
        self.received = offset
        if self._hash is not None:
            self._hash = self._new_hash()
            self._file.seek(0)
            while block := self._file.read(_BLOCK):
                self._hash.update(block)

    def commit(self) -> str | None:
        """Put the file in its place, on the disk for good; or say why it must not be."""
        if self._checksum is not None and self._hash.hexdigest() != self._checksum.digest:
            found = f"{self._checksum.algorithm}:{self._hash.hexdigest()}"
            return f"the file has the checksum {found}, not {self._checksum}; it was thrown away"
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        os.replace(self._part, self._path)
        return None

    def __enter__(self) -> PartFile:
        return self

    def __exit__(self, *about: object) -> None:
        """Remove what was not committed."""
        try:
            self._file.close()
        except OSError:  # a full disk takes what is buffered no more than what came before, which told
            pass
        finally:
            self._part.unlink(missing_ok=True)


def _checked(path: str | os.PathLike[str]) -> Path:
    if not isinstance(path, (str, os.PathLike)) or not isinstance(os.fspath(path), str):
        raise InvalidRequestError(f"path must be a str or a Path, not {type(path).__name__}")
    if not os.path.basename(path) or os.path.isdir(path):
        raise InvalidRequestError(f"path {os.fspath(path)!r} is a folder; add the name of the file to write")
    place = Path(os.path.realpath(path))  # what a link points to is replaced, not the link
    if place.exists() and not place.is_file():
        raise InvalidRequestError(f"path {str(place)!r} is no regular file, and must not be replaced by one")
    if not place.parent.is_dir():
        raise InvalidRequestError(
            f"path {str(place)!r}: there is no folder {str(place.parent)!r}; make it first"
        )
    return place

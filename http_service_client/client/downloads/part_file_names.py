"""Opens the files of downloads in progress, so that other processes know them. They have no buffer of their own.

A process that is killed cannot remove its files. So their names are derived from the target's, and each file is locked
while its download runs; the lock ends with its process. A file without a lock is an orphan: the next download to the
same target removes it, or continues with it (`resume=True`). Where files cannot be locked (Windows, some network file
systems), names are random, and a file to resume is not protected from a second download.

In a folder that other users may write to, a file or a link may exist under the expected name. It is used only if it is
a regular file, belongs to this user, and has no other name.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Literal

from ...errors import InvalidRequestError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["is_at", "open_new", "open_resumable", "read_own", "unlock", "write_own"]

_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_MOST_AT_ONCE = 16  # downloads to one target that get a name which others recognise


def _stem(target: Path) -> str:
    """Short enough for every file system, and different for names that begin alike."""
    return f".{target.name[:40]}.{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:8]}"


def _open_raw(path: Path | int, mode: Literal["x+b", "r+b"]) -> FileIO:
    """A file without a buffer, by `open`, which fakes of file systems replace (pyfakefs); they do not know `FileIO`."""
    return open(path, mode, buffering=0)


def open_new(target: Path) -> tuple[FileIO, Path]:
    """A new file beside the target, and its path. Removes what killed processes left there."""
    number = 0
    while fcntl is not None and number < _MOST_AT_ONCE:
        path = target.with_name(f"{_stem(target)}.{number}.part")
        _remove_orphan(path)
        try:
            file = _open_raw(path, "x+b")
        except FileExistsError:  # another download is writing to it
            number += 1
            continue
        is_locked = _try_lock(file.fileno())
        if is_locked and is_at(file.fileno(), path):
            return file, path
        file.close()
        if is_locked is None:
            os.unlink(path)
            break
        number += 1  # another process took it for an orphan before it was locked
    path = target.with_name(f"{_stem(target)}.{secrets.token_hex(4)}.part")
    return _open_raw(path, "x+b"), path


def open_resumable(target: Path) -> tuple[FileIO, Path]:
    """The file of a download that continues in another call, created if there is none, and its path.

    Raises InvalidRequestError while another download writes to it.
    """
    path = target.with_name(f"{_stem(target)}.resume")
    flags = os.O_RDWR | os.O_CREAT | _NO_LINK
    while True:
        file = _open_raw(os.open(path, flags, 0o666), "r+b")
        try:
            if not _is_ours(file.fileno()):
                if not is_at(file.fileno(), path):  # its download has just ended and removed it
                    file.close()
                    continue
                raise InvalidRequestError(f"{str(path)!r} is in the way of the download; remove it")
            if _try_lock(file.fileno()) is False:
                raise InvalidRequestError(
                    f"path {str(target)!r}: another download is writing to it; wait until it has ended"
                )
        except BaseException:
            file.close()
            raise
        if is_at(file.fileno(), path):
            return file, path
        file.close()  # its download has just ended and moved it away


def _remove_orphan(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDWR | _NO_LINK)
    except OSError:  # missing, a link, or another user's
        return
    try:
        if _is_ours(descriptor) and _try_lock(descriptor) and is_at(descriptor, path):
            os.unlink(path)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool | None:
    """Lock the file. False if another download has locked it; None where files cannot be locked."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # this file system has no locks
        return None
    return True


def unlock(file: FileIO) -> None:
    """Release the lock now. A child that was forked meanwhile would keep it after the file is closed."""
    if fcntl is not None and not file.closed:
        with suppress(OSError):
            fcntl.flock(file.fileno(), fcntl.LOCK_UN)


def read_own(path: Path) -> str:
    """The text of a small file that belongs to this user. Raises OSError if it is missing or another user's."""
    with os.fdopen(os.open(path, os.O_RDONLY | _NO_LINK), encoding="utf-8") as file:
        if not _is_ours(file.fileno()):
            raise PermissionError(f"{str(path)!r} does not belong to this user")
        return file.read()


def write_own(path: Path, text: str) -> None:
    """Replace a small file. A link under its name is replaced and not followed."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "w", encoding="utf-8") as file:
        file.write(text)


def _is_ours(descriptor: int) -> bool:
    about = os.fstat(descriptor)
    return (
        stat.S_ISREG(about.st_mode)
        and about.st_nlink == 1
        and (not hasattr(os, "geteuid") or about.st_uid == os.geteuid())
    )


def is_at(descriptor: int, path: Path) -> bool:
    """Whether the open file still has this name."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False

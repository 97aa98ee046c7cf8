"""Responses in a file, which outlives the process and may be shared by several."""

from __future__ import annotations

import os
import sqlite3
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from ..core.checks import check_count, check_number
from ..drivers.forks import ForkBarrier, reset_in_forked_children
from ..errors import ConfigurationError
from ..http.caching.stored import StoredResponse

__all__ = ["SqliteStorage"]

T = TypeVar("T")

_VERSION = 1  # of the schema
_SCHEMA = (
    "CREATE TABLE responses (key TEXT NOT NULL, partition TEXT NOT NULL, variant TEXT NOT NULL,"
    " size INTEGER NOT NULL, used_at REAL NOT NULL, data BLOB NOT NULL, PRIMARY KEY (key, partition, variant))",
    "CREATE INDEX by_use ON responses (used_at, size)",
    f"PRAGMA user_version = {_VERSION}",
)
_TOUCH_EVERY = 60.0  # seconds: a hit that follows another one writes nothing
_TRIM_EVERY = 16  # responses that are stored
# Never emptied: SQLite forbids a forked child to close what its parent has open.
_KEPT_FOR_PARENT: list[Any] = []
_USES = ForkBarrier()  # SQLite has locks of its own, for the whole process


class SqliteStorage:
    """Responses in an SQLite file, for threads, forks and processes at once: ``Cache(storage=SqliteStorage("cache.db"))``.

    path: of the file, which is made when it is first used, readable by its owner only; its folder must exist.
    max_bytes: of responses; the least recently used ones make room. The file may be somewhat larger.
    timeout: seconds to wait for another process that writes; after that the cache goes without.

    A file that is locked, damaged or no database never fails a call (see `Cache`), and is never deleted.
    Raises ConfigurationError for a wrong argument.
    """

    blocks = True

    def __init__(
        self, path: str | os.PathLike[str], *, max_bytes: int = 256 * 1024 * 1024, timeout: float = 0.25
    ) -> None:
        if not isinstance(path, (str, os.PathLike)) or not isinstance(os.fspath(path), str):
            raise ConfigurationError(f"path must be that of a file, such as 'cache.db', not {path!r}")
        self._path = Path(path).absolute()
        if not self._path.parent.is_dir():
            raise ConfigurationError(f"path is in a folder that does not exist: {str(self._path.parent)!r}")
        check_count("max_bytes", max_bytes, unit="of bytes ")
        check_number("timeout", timeout, unit="of seconds ")
        self._max_bytes = max_bytes
        self._timeout = timeout
        self._keep_none()
        self._stored = 0
        reset_in_forked_children(self)

    def get(self, key: str, partition: str) -> Sequence[StoredResponse]:
        """The responses of a URL's digest for one partition."""
        return self._with(lambda database: self._get(database, key, partition))

    def set(self, key: str, partition: str, response: StoredResponse) -> None:
        """Keep a response."""
        data = response.to_bytes()
        if len(data) <= self._max_bytes:
            self._with(lambda database: self._set(database, (key, partition, response.variant), data))

    def delete(self, key: str, partition: str | None = None) -> None:
        """Forget the responses of a URL, of one partition or of all."""
        where, values = "key = ?", [key]
        if partition is not None:
            where, values = f"{where} AND partition = ?", [key, partition]
        self._with(lambda database: database.execute(f"DELETE FROM responses WHERE {where}", values))

    def clear(self) -> None:
        """Forget all."""
        self._with(lambda database: database.execute("DELETE FROM responses"))

    def close(self) -> None:
        """Close the file. A later use opens it again."""
        _close_all(self._idle)

    def _get(self, database: sqlite3.Connection, key: str, partition: str) -> list[StoredResponse]:
        rows = database.execute(
            "SELECT rowid, used_at, data FROM responses WHERE key = ? AND partition = ?", (key, partition)
        ).fetchall()
        found, now = [], time.time()
        for row, used_at, data in rows:
            try:
                found.append(StoredResponse.from_bytes(data))
            except ValueError:  # damaged, or of another version
                database.execute("DELETE FROM responses WHERE rowid = ?", (row,))
                continue
            if not 0 <= now - used_at < _TOUCH_EVERY:
                with suppress(sqlite3.OperationalError):  # locked: the response is good all the same
                    database.execute("UPDATE responses SET used_at = ? WHERE rowid = ?", (now, row))
        return found

    def _set(self, database: sqlite3.Connection, place: tuple[str, str, str], data: bytes) -> None:
        database.execute(
            "INSERT OR REPLACE INTO responses VALUES (?, ?, ?, ?, ?, ?)",
            (*place, len(data), time.time(), data),
        )
        self._stored += 1
        if self._stored % _TRIM_EVERY == 1 or len(data) > self._max_bytes // _TRIM_EVERY:
            self._trim(database)

    def _trim(self, database: sqlite3.Connection) -> None:
        """Make room: delete the least recently used until the rest fits."""
        database.execute(
            "DELETE FROM responses WHERE rowid IN (SELECT rowid FROM"
            " (SELECT rowid, SUM(size) OVER (ORDER BY used_at DESC, rowid DESC) AS total FROM responses)"
            " WHERE total > ?)",
            (self._max_bytes,),
        )

    def _with(self, use: Callable[[sqlite3.Connection], T]) -> T:
        """Use a connection that no other thread uses."""
        with _USES:
            try:
                database = self._idle.pop()
            except IndexError:
                database = self._open()
            try:
                result = use(database)
            except BaseException:  # it may be in any state
                database.close()
                raise
            self._idle.append(database)
            return result

    def _open(self) -> sqlite3.Connection:
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))  # bodies are for its owner only
        database = sqlite3.connect(
            self._path, timeout=self._timeout, isolation_level=None, check_same_thread=False
        )
        try:
            if _version_of(database) != _VERSION:
                _make_tables(database)
            with suppress(sqlite3.OperationalError):  # another connection sets it now
                database.execute("PRAGMA journal_mode = WAL")  # readers do not wait for a writer
            # After a crash of the machine, some responses may be lost; by OFF, the file might be damaged.
            database.execute("PRAGMA synchronous = NORMAL")
            return database
        except BaseException:
            database.close()
            raise

    def _reset_after_fork(self) -> None:
        _KEPT_FOR_PARENT.append(self._idle)
        self._end.detach()
        self._keep_none()

    def _keep_none(self) -> None:
        self._idle: deque[sqlite3.Connection] = deque()
        # From Python 3.13 on, a connection that nobody closed causes a warning.
        self._end = weakref.finalize(self, _close_all, self._idle)

    def __repr__(self) -> str:
        return f"<SqliteStorage {str(self._path)!r}>"


def _close_all(idle: deque[sqlite3.Connection]) -> None:
    for _ in range(len(idle)):
        with _USES, suppress(IndexError):  # another thread has taken it
            idle.pop().close()


def _version_of(database: sqlite3.Connection) -> int:
    version: int = database.execute("PRAGMA user_version").fetchone()[0]
    return version


def _make_tables(database: sqlite3.Connection) -> None:
    """Make them in a new file, all at once: others that open it see either nothing or a complete database."""
    database.execute("BEGIN IMMEDIATE")
    version = _version_of(database)
    if version != _VERSION:  # no other one has made them meanwhile
        if version or database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise sqlite3.DatabaseError("the file is a database of something else, or of another version")
        for statement in _SCHEMA:
            database.execute(statement)
    database.execute("COMMIT")

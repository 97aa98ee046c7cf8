"""Responses in an SQLite file: what it promises beyond the laws of all storages."""

from __future__ import annotations

import gc
import os
import sqlite3
import stat
import sys
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from http_service_client import Cache, ConfigurationError, HttpResponse, SqliteStorage
from http_service_client.policies import StoredResponse
from kit.caches import Cached, cached_for, failed, stored
from kit.forks import in_a_child, needs_fork
from kit.front_ends import FrontEnd


@pytest.mark.parametrize(
    ("most", "trimmed"),
    [
        (lambda size: 16 * size, [1, 17, 33]),
        (lambda size: 16 * size - 1, [*range(1, 35)]),
    ],
)
def test_a_file_of_small_responses_is_not_trimmed_each_time(
    most: Callable[[int], int], trimmed: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every 16th suffices for one that takes a sixteenth of the room at most; the first of a process may find it full."""
    found: list[int] = []
    monkeypatch.setattr(SqliteStorage, "_trim", lambda store, database: found.append(store._stored))
    response = stored(size=1000)
    store = SqliteStorage(tmp_path / "cache.db", max_bytes=most(len(response.to_bytes())))
    for number in range(34):
        store.set(str(number), "p", response)
    assert found == trimmed


def test_a_crash_of_the_machine_may_lose_responses_and_never_the_file(tmp_path: Path) -> None:
    """By SQLite's documentation: a database with a write-ahead log stays consistent by the level NORMAL."""
    store = SqliteStorage(tmp_path / "cache.db")
    found = [
        store._with(lambda database, name=name: database.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("journal_mode", "synchronous")
    ]
    normal = 1
    assert found == ["wal", normal]


def test_a_hit_is_noted_once_a_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hits that follow each other write nothing; a clock that steps back is no reason to stop noting them."""
    now = [1000.0]
    monkeypatch.setattr("http_service_client.policies.sqlite_storage.time.time", lambda: now[0])
    path = tmp_path / "cache.db"
    store = SqliteStorage(path)
    store.set("url", "p", stored())
    with closing(sqlite3.connect(path)) as database:

        def version() -> int:
            """It changes when another connection has written."""
            number: int = database.execute("PRAGMA data_version").fetchone()[0]
            return number

        before = version()
        for instant, noted, writes in (
            (1000.0, 1000.0, False),
            (1000.5, 1000.0, False),
            (1059.9, 1000.0, False),
            (1060.0, 1060.0, True),
            (1100.0, 1060.0, False),
            (1059.5, 1059.5, True),
            (500.0, 500.0, True),
        ):
            now[0] = instant
            assert store.get("url", "p") == [stored()]
            assert database.execute("SELECT used_at FROM responses").fetchall() == [(noted,)]
            assert (version() != before) == writes
            before = version()


def test_a_file_may_be_used_to_the_last_byte(tmp_path: Path) -> None:
    """A response that takes all of the room is kept, and not one that takes more."""
    response = stored(size=1000)
    size = len(response.to_bytes())
    for number, most in enumerate((size, size - 1)):
        store = SqliteStorage(tmp_path / f"{number}.db", max_bytes=most)
        store.set("a", "p", response)
        assert len(store.get("a", "p")) == (1 if most == size else 0)


class InBytes:
    """A path as `os.scandir(b".")` finds it."""

    def __fspath__(self) -> bytes:
        return b"cache.db"


def test_it_outlives_the_process(tmp_path: Path) -> None:
    """Another storage of the same path has the responses."""
    SqliteStorage(tmp_path / "cache.db").set("url", "p", stored())
    assert SqliteStorage(tmp_path / "cache.db").get("url", "p") == [stored()]


@pytest.mark.parametrize("opened", range(12))
def test_many_may_open_a_new_file_at_once(tmp_path: Path, opened: int) -> None:
    """Each finds nothing or all of its tables, and never those of another one by half."""
    store, together, errors = SqliteStorage(tmp_path / "cache.db", timeout=20), threading.Barrier(8), []

    def work(name: str) -> None:
        together.wait()
        try:
            store.set(name, "p", stored(name))
        except sqlite3.Error as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [store.get(name, "p") for name in "abcdefgh"]
    store.close()
    assert (errors, found) == ([], [[stored(name)] for name in "abcdefgh"])


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_only_its_owner_reads_it(tmp_path: Path) -> None:
    """Its bodies may be private."""
    SqliteStorage(tmp_path / "cache.db").set("url", "p", stored())
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {0o600}


@needs_fork
def test_a_fork_waits_for_what_other_threads_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's own locks, held by another thread, would stay locked in the child for ever."""
    storage = SqliteStorage(tmp_path / "cache.db")
    has_begun, may_end, has_ended = threading.Event(), threading.Event(), threading.Event()

    def slow(database: object, key: str, partition: str) -> list[StoredResponse]:
        has_begun.set()
        may_end.wait(0.1)
        has_ended.set()
        return []

    def child() -> None:
        assert has_ended.is_set()
        storage.delete("key")

    with monkeypatch.context() as patch:
        patch.setattr(storage, "_get", slow)
        thread = threading.Thread(target=storage.get, args=("key", ""))
        thread.start()
        assert has_begun.wait(5)
        assert in_a_child(child) == 0
        thread.join(5)
    assert storage.get("key", "") == []


@needs_fork
def test_a_child_that_a_signal_handler_forks_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle of a use by its own thread, for which a fork cannot wait."""
    storage = SqliteStorage(tmp_path / "cache.db")
    parent, codes = os.getpid(), []

    def forking(database: object, key: str, partition: str) -> list[StoredResponse]:
        codes.append(in_a_child(lambda: storage.delete("key")))
        return []

    monkeypatch.setattr("http_service_client.drivers.forks._PATIENCE", 0.01)
    monkeypatch.setattr(storage, "_get", forking)
    assert storage.get("key", "") == []
    assert (os.getpid(), codes) == (parent, [0])


def descriptors_of(path: Path) -> list[int]:
    """Those by which this process has the file open."""
    found = []
    for number in range(1024):
        with suppress(OSError):
            if os.path.samestat(os.fstat(number), path.stat()):
                found.append(number)
    return found


@needs_fork
@pytest.mark.parametrize("is_dropped", [False, True], ids=["used", "dropped"])
def test_a_forked_child_uses_and_closes_nothing_of_its_parent(tmp_path: Path, is_dropped: bool) -> None:
    """SQLite forbids both: a file that the parent writes would be damaged."""
    path = tmp_path / "cache.db"
    stores = [SqliteStorage(path)]
    stores[0].set("url", "p", stored())
    inherited = set(descriptors_of(path))
    assert inherited

    def child() -> None:
        opened: list[str] = []
        sys.addaudithook(lambda event, given: opened.append(event) if event == "sqlite3.connect" else None)
        if is_dropped:
            stores.clear()
            gc.collect()
        else:
            assert stores[0].get("url", "p") == [stored()]
            assert opened == ["sqlite3.connect"]
        assert inherited <= set(descriptors_of(path))

    assert in_a_child(child) == 0


@needs_fork
def test_a_forked_child_opens_its_own(tmp_path: Path) -> None:
    """Parent and child go on with the same file."""
    store = SqliteStorage(tmp_path / "cache.db")
    store.set("url", "p", stored())
    assert in_a_child(lambda: store.set("child", "p", stored("child"))) == 0
    assert (store.get("url", "p"), store.get("child", "p")) == ([stored()], [stored("child")])


def test_a_file_says_which_tables_it_has(tmp_path: Path) -> None:
    """By a number that a later release may change with them, and never without."""
    SqliteStorage(tmp_path / "cache.db").set("url", "p", stored())
    database = sqlite3.connect(tmp_path / "cache.db")
    assert database.execute("PRAGMA user_version").fetchone() == (1,)
    columns = [row[1] for row in database.execute("PRAGMA table_info(responses)")]
    assert columns == ["key", "partition", "variant", "size", "used_at", "data"]
    database.close()


def test_a_storage_that_is_dropped_closes_its_connections(tmp_path: Path) -> None:
    """Nobody has to close it."""
    path = tmp_path / "cache.db"
    SqliteStorage(path).set("url", "p", stored())
    gc.collect()
    assert not Path(f"{path}-wal").exists()  # SQLite removes it with the last connection


@pytest.mark.parametrize("damaged", "abc")
def test_a_damaged_response_is_dropped(tmp_path: Path, damaged: str) -> None:
    """It is not there any more, and takes no room; the others are."""
    store = SqliteStorage(tmp_path / "cache.db")
    responses = [stored(variant=name) for name in "abc"]
    for each in responses:
        store.set("url", "p", each)
    lost = stored(variant=damaged)
    with closing(sqlite3.connect(tmp_path / "cache.db", isolation_level=None)) as database:
        database.execute("UPDATE responses SET data = substr(data, 1, 40) WHERE variant = ?", (lost.variant,))
        left = sorted(each for each in responses if each != lost)
        assert [sorted(store.get("url", "p")) for _ in range(2)] == [left] * 2
        assert database.execute("SELECT count(*) FROM responses").fetchone() == (2,)


@pytest.mark.parametrize("kind", ["garbage", "database", "another version", "folder"])
def test_what_is_no_cache_never_fails_a_call(front_end: FrontEnd, tmp_path: Path, kind: str) -> None:
    """The call goes without, with an event, and the file stays as it is."""
    path = tmp_path / "cache.db"
    if kind == "garbage":
        path.write_bytes(b"no database" * 100)
    elif kind == "database":
        with closing(sqlite3.connect(path, isolation_level=None)) as database:
            database.execute("CREATE TABLE mine (x)")
    elif kind == "another version":
        with closing(sqlite3.connect(path, isolation_level=None)) as database:
            database.execute("PRAGMA user_version = 2")
    else:
        path.mkdir()
    before = path.read_bytes() if path.is_file() else b""
    cached = Cached(front_end, cached_for(60, "x"), cache=Cache(storage=SqliteStorage(path)))
    response = cached.get()
    assert response.text == "x"
    assert [event.operation for event in failed(response)] == ["get", "set"]
    assert (path.read_bytes() if path.is_file() else b"") == before


def test_a_file_of_something_else_raises_sqlite_s_own_error(tmp_path: Path) -> None:
    """To code that uses a storage by itself."""
    path = tmp_path / "cache.db"
    path.write_bytes(b"no database" * 100)
    store = SqliteStorage(path)
    for use in (store.clear, lambda: store.get("url", "p"), lambda: store.set("url", "p", stored())):
        with pytest.raises(sqlite3.DatabaseError):
            use()


def test_a_reader_does_not_wait_for_a_writer(tmp_path: Path) -> None:
    """Of another process, whatever it locks."""
    path = tmp_path / "cache.db"
    store = SqliteStorage(path, timeout=0.0)
    store.set("url", "p", stored())
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        other.execute("DELETE FROM responses")
        assert store.get("url", "p") == [stored()]
        other.execute("ROLLBACK")


def test_a_closed_storage_holds_no_file_and_opens_it_again(tmp_path: Path) -> None:
    """A file that nobody has open may be moved or deleted, on Windows, too."""
    path = tmp_path / "cache.db"
    store = SqliteStorage(path)
    store.set("url", "p", stored())
    store.close()
    assert not Path(f"{path}-wal").exists()  # SQLite removes it with the last connection
    assert store.get("url", "p") == [stored()]
    store.close()


def test_a_locked_file_never_fails_a_call(front_end: FrontEnd, tmp_path: Path) -> None:
    """What cannot be deleted now is not used before it is."""
    path = tmp_path / "cache.db"
    store = SqliteStorage(path, timeout=0.0)
    cached = Cached(
        front_end,
        cached_for(60, "old"),
        HttpResponse(204),
        cached_for(60, "new"),
        cache=Cache(storage=store),
    )
    cached.get()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert [event.operation for event in failed(cached.request("POST"))] == ["delete"]
    assert cached.get().text == "new"
    other.execute("ROLLBACK")
    other.close()
    assert [cached.get().text, cached.get().from_cache] == ["new", True]


def test_a_folder_must_exist(tmp_path: Path) -> None:
    """The error names it."""
    with pytest.raises(ConfigurationError, match="nowhere"):
        SqliteStorage(tmp_path / "nowhere/cache.db")


@pytest.mark.parametrize(
    "wrong", [{"path": 1}, {"path": b"cache.db"}, {"path": InBytes()}, {"max_bytes": 0}, {"timeout": -1}]
)
def test_a_wrong_setting_is_an_error(tmp_path: Path, wrong: dict[str, Any]) -> None:
    """It names the setting."""
    settings = {"path": tmp_path / "cache.db", **wrong}
    with pytest.raises(ConfigurationError, match=rf"\b{next(iter(wrong))}\b"):
        SqliteStorage(settings.pop("path"), **settings)

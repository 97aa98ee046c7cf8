"""Where responses are kept: all storages keep the same promises."""

from __future__ import annotations

import gc
import os
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from http_service_client import Cache, ConfigurationError, HttpResponse, MemoryStorage, SqliteStorage
from http_service_client.policies import StoredResponse
from kit.caches import URL, Cached, cached_for, failed
from kit.forks import in_a_child, needs_fork
from kit.front_ends import FrontEnd


def stored(text: str = "x", *, variant: str = "", size: int = 0) -> StoredResponse:
    """A stored response."""
    content = text.encode().ljust(size, b".")
    return StoredResponse(200, "OK", (("A", text),), content, 1.0, 2.0, (("v", variant),))


@pytest.fixture(params=["memory", "sqlite"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    if request.param == "memory":
        yield MemoryStorage()
    else:
        made = SqliteStorage(tmp_path / "cache.db")
        yield made
        made.close()


class TestAnyStorage:
    def test_what_was_stored_is_found(self, storage: Any) -> None:
        """By URL and partition; one response for each variant, the last one."""
        storage.set("url", "ann", stored("old"))
        storage.set("url", "ann", stored("new"))
        storage.set("url", "ann", stored("other", variant="de"))
        storage.set("url", "bob", stored("bob"))
        assert sorted(storage.get("url", "ann")) == sorted([stored("new"), stored("other", variant="de")])
        assert storage.get("url", "bob") == [stored("bob")]
        assert storage.get("other", "ann") == []

    def test_a_url_is_forgotten_for_all(self, storage: Any) -> None:
        """In every partition; another URL stays."""
        for key in ("url", "other"):
            for partition in ("ann", "bob"):
                storage.set(key, partition, stored())
        storage.delete("url")
        assert [storage.get("url", "ann"), storage.get("url", "bob")] == [[], []]
        assert storage.get("other", "ann") == [stored()]

    def test_a_partition_is_forgotten_alone(self, storage: Any) -> None:
        """What others may read stays."""
        storage.set("url", "ann", stored())
        storage.set("url", "bob", stored())
        storage.delete("url", "ann")
        assert (storage.get("url", "ann"), storage.get("url", "bob")) == ([], [stored()])

    def test_it_can_be_cleared(self, storage: Any) -> None:
        """Nothing is left."""
        storage.set("url", "ann", stored())
        storage.clear()
        assert storage.get("url", "ann") == []

    def test_threads_may_use_it_at_once(self, storage: Any) -> None:
        """None of them loses what it stored."""
        errors: list[BaseException] = []

        def work(name: str) -> None:
            try:
                for number in range(20):
                    storage.set(f"{name}{number}", "p", stored(name))
                    assert storage.get(f"{name}{number}", "p") == [stored(name)]
                    storage.delete(f"{name}{number}")
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []

    def test_it_serves_a_client(self, storage: Any, front_end: FrontEnd) -> None:
        """A response is found again, and a change ends it."""
        cached = Cached(
            front_end,
            cached_for(60, "a"),
            HttpResponse(204),
            cached_for(60, "b"),
            cache=Cache(storage=storage),
        )
        assert [cached.get().text, cached.get().from_cache] == ["a", True]
        cached.request("PUT")
        assert cached.get().text == "b"


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_the_least_recently_used_make_room(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The size is bounded, and what was used stays longest."""
    now = iter(range(0, 100_000, 1000))
    monkeypatch.setattr("http_service_client.policies.sqlite_storage.time.time", lambda: next(now))
    most = 10 * stored(size=10_000).size
    store: Any = (
        MemoryStorage(most) if kind == "memory" else SqliteStorage(tmp_path / "cache.db", max_bytes=most)
    )
    for number in range(12):
        store.set(str(number), "p", stored(size=10_000))
        assert store.get("0", "p") != []
    assert (store.get("1", "p"), len(store.get("11", "p"))) == ([], 1)
    store.set("large", "p", stored(size=most + 1))
    assert (store.get("large", "p"), len(store.get("0", "p"))) == ([], 1)


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


def test_a_hit_is_noted_once_a_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hits that follow each other write nothing; a clock that steps back is no reason to stop noting them."""
    now = [1000.0]
    monkeypatch.setattr("http_service_client.policies.sqlite_storage.time.time", lambda: now[0])
    path = tmp_path / "cache.db"
    store = SqliteStorage(path)
    store.set("url", "p", stored())
    for instant, noted in (
        (1000.0, 1000.0),
        (1059.9, 1000.0),
        (1060.0, 1060.0),
        (1100.0, 1060.0),
        (500.0, 500.0),
    ):
        now[0] = instant
        assert store.get("url", "p") == [stored()]
        with closing(sqlite3.connect(path)) as database:
            assert database.execute("SELECT used_at FROM responses").fetchall() == [(noted,)]


def test_a_look_up_in_memory_costs_the_same_for_any_number_of_users() -> None:
    """It compares a partition with its own responses, not with those of all others who use the URL."""

    class Partition(str):
        comparisons = 0

        def __eq__(self, other: object) -> bool:
            Partition.comparisons += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    store = MemoryStorage()
    for number in range(500):
        store.set("url", str(number), stored())
    assert len(store.get("url", Partition("7"))) == 1
    store.delete("url", Partition("7"))
    assert (store.get("url", "7"), len(store.get("url", "8"))) == ([], 1)
    assert Partition.comparisons < 50


def test_memory_is_accounted() -> None:
    """Whatever is replaced, deleted or cleared, the size is that of what is there."""
    store = MemoryStorage()
    for number in range(10):
        store.set(str(number % 3), str(number % 2), stored(size=number * 10))
    store.delete("0")
    store.delete("1", "1")
    assert store.size == sum(entry.size for entry in store._entries.values()) > 0
    for key in "012":
        store.delete(key)
    assert (store.size, store._by_key) == (0, {})
    store.set("0", "0", stored())
    store.clear()
    assert (store.size, store._by_key) == (0, {})


def test_memory_may_be_used_to_the_last_byte() -> None:
    """The bound is the most that is kept, and not one more than that."""
    size = stored(size=1000).size
    one, two = MemoryStorage(size), MemoryStorage(2 * size)
    one.set("a", "p", stored(size=1000))
    for key in "ab":
        two.set(key, "p", stored(size=1000))
    assert (one.size, two.size) == (size, 2 * size)


def test_small_pairs_are_accounted() -> None:
    """Each header and each name in Vary takes more memory than its text."""
    pairs = tuple((f"n{number}", "") for number in range(1000))
    assert min(stored()._replace(**{name: pairs}).size for name in ("headers", "vary")) > 100_000


class TestAFile:
    def test_it_outlives_the_process(self, tmp_path: Path) -> None:
        """Another storage of the same path has the responses."""
        SqliteStorage(tmp_path / "cache.db").set("url", "p", stored())
        assert SqliteStorage(tmp_path / "cache.db").get("url", "p") == [stored()]

    @pytest.mark.parametrize("opened", range(12))
    def test_many_may_open_a_new_file_at_once(self, tmp_path: Path, opened: int) -> None:
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
    def test_only_its_owner_reads_it(self, tmp_path: Path) -> None:
        """Its bodies may be private."""
        SqliteStorage(tmp_path / "cache.db").set("url", "p", stored())
        modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
        assert modes == {0o600}

    @needs_fork
    def test_a_fork_waits_for_what_other_threads_do(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
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
    def test_a_child_that_a_signal_handler_forks_goes_on(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
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

    @needs_fork
    def test_a_forked_child_opens_its_own(self, tmp_path: Path) -> None:
        """Parent and child go on with the same file."""
        store = SqliteStorage(tmp_path / "cache.db")
        store.set("url", "p", stored())
        assert in_a_child(lambda: store.set("child", "p", stored("child"))) == 0
        assert (store.get("url", "p"), store.get("child", "p")) == ([stored()], [stored("child")])

    def test_a_file_says_which_tables_it_has(self, tmp_path: Path) -> None:
        """By a number that a later release may change with them, and never without."""
        SqliteStorage(tmp_path / "cache.db").set("url", "p", stored())
        database = sqlite3.connect(tmp_path / "cache.db")
        assert database.execute("PRAGMA user_version").fetchone() == (1,)
        columns = [row[1] for row in database.execute("PRAGMA table_info(responses)")]
        assert columns == ["key", "partition", "variant", "size", "used_at", "data"]
        database.close()

    def test_a_storage_that_is_dropped_closes_its_connections(self, tmp_path: Path) -> None:
        """Nobody has to close it."""
        path = tmp_path / "cache.db"
        SqliteStorage(path).set("url", "p", stored())
        gc.collect()
        assert not Path(f"{path}-wal").exists()  # SQLite removes it with the last connection

    def test_a_damaged_response_is_dropped(self, tmp_path: Path) -> None:
        """It is not there any more; the others are."""
        store = SqliteStorage(tmp_path / "cache.db")
        store.set("url", "p", stored("a"))
        store.set("url", "p", stored("b", variant="b"))
        with closing(sqlite3.connect(tmp_path / "cache.db", isolation_level=None)) as database:
            database.execute(
                "UPDATE responses SET data = substr(data, 1, 40) WHERE variant = ?", (stored("a").variant,)
            )
        assert [store.get("url", "p") for _ in range(2)] == [[stored("b", variant="b")]] * 2

    @pytest.mark.parametrize("kind", ["garbage", "database", "folder"])
    def test_what_is_no_cache_never_fails_a_call(
        self, front_end: FrontEnd, tmp_path: Path, kind: str
    ) -> None:
        """The call goes without, with an event, and the file stays as it is."""
        path = tmp_path / "cache.db"
        if kind == "garbage":
            path.write_bytes(b"no database" * 100)
        elif kind == "database":
            with closing(sqlite3.connect(path, isolation_level=None)) as database:
                database.execute("CREATE TABLE mine (x)")
        else:
            path.mkdir()
        before = path.read_bytes() if path.is_file() else b""
        cached = Cached(front_end, cached_for(60, "x"), cache=Cache(storage=SqliteStorage(path)))
        response = cached.get()
        assert response.text == "x"
        assert [event.operation for event in failed(response)] == ["get", "set"]
        assert (path.read_bytes() if path.is_file() else b"") == before

    def test_a_locked_file_never_fails_a_call(self, front_end: FrontEnd, tmp_path: Path) -> None:
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

    def test_a_folder_must_exist(self, tmp_path: Path) -> None:
        """The error names it."""
        with pytest.raises(ConfigurationError, match="nowhere"):
            SqliteStorage(tmp_path / "nowhere/cache.db")

    @pytest.mark.parametrize("wrong", [{"path": 1}, {"max_bytes": 0}, {"timeout": -1}])
    def test_a_wrong_setting_is_an_error(self, tmp_path: Path, wrong: dict[str, Any]) -> None:
        """It names the setting."""
        settings = {"path": tmp_path / "cache.db", **wrong}
        with pytest.raises(ConfigurationError, match=rf"\b{next(iter(wrong))}\b"):
            SqliteStorage(settings.pop("path"), **settings)


class AsyncStorage(MemoryStorage):
    async def get(self, key: str, partition: str) -> Any:
        return []


class SilentStorage:
    """As somebody writes it who has not seen `blocks`."""

    def get(self, key: str, partition: str) -> Any:
        return []

    set = delete = get


class TestTheSettings:
    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"storage": MemoryStorage}, "storage must be an object with get, set and delete"),
            ({"storage": object()}, "storage must be an object"),
            ({"storage": SilentStorage()}, "storage needs an attribute blocks: True if its methods wait"),
            *(({name: 1}, name) for name in ("shared", "coalesce", "single_user")),
            ({"heuristic": 2}, "heuristic must be a share"),
            ({"heuristic": 1.01}, "heuristic must be a share"),
            *(
                ({name: value}, name)
                for name in ("heuristic", "stale_if_error", "stale_while_revalidate")
                for value in (-1, float("nan"), "1", True)
            ),
            *(({"max_entry_size": value}, "max_entry_size") for value in (0, 1.5, "1", True)),
            ({"shared": True, "single_user": True}, "single_user does nothing in a shared cache"),
            ({"storage": AsyncStorage()}, "storage.get must be a plain method, not an async one"),
        ],
    )
    def test_a_wrong_one_is_an_error(self, settings: dict[str, Any], message: str) -> None:
        """It names the setting."""
        with pytest.raises(ConfigurationError, match=message):
            Cache(**settings)

    @pytest.mark.parametrize(
        ("keyword", "remedy"),
        [
            ("max_bytes", "pass it to the storage"),
            ("max_age", "a response says itself how long it is fresh"),
            ("backend", "it is called storage"),
        ],
    )
    def test_a_setting_of_another_class_has_a_remedy(self, keyword: str, remedy: str) -> None:
        """What people look for first."""
        with pytest.raises(TypeError, match=remedy):
            Cache(**{keyword: 1})  # type: ignore[arg-type]


@pytest.mark.parametrize("found", [None, [stored().to_bytes()]])
def test_a_storage_that_returns_something_else_never_fails_a_call(front_end: FrontEnd, found: Any) -> None:
    """As one that raises: it is a miss, with an event."""

    class Mistaken(MemoryStorage):
        def get(self, key: str, partition: str) -> Any:
            return found

    cached = Cached(front_end, cached_for(60, "x"), cache=Cache(storage=Mistaken()))
    responses = [cached.get() for _ in range(2)]
    assert [response.text for response in responses] == ["x", "x"]
    assert [event.operation for event in failed(responses[1])] == ["get"]


@pytest.mark.parametrize("operation", ["get", "set", "delete"])
def test_a_storage_that_fails_never_fails_a_call(front_end: FrontEnd, operation: str) -> None:
    """It is a miss, with an event and a count; a change that was not noted is made good before the next use."""

    class Fails(MemoryStorage):
        is_broken = True

        def _maybe(self, name: str) -> None:
            if self.is_broken and name == operation:
                raise OSError("the disk is gone")

        def get(self, key: str, partition: str) -> Any:
            self._maybe("get")
            return super().get(key, partition)

        def set(self, key: str, partition: str, response: StoredResponse) -> None:
            self._maybe("set")
            super().set(key, partition, response)

        def delete(self, key: str, partition: str | None = None) -> None:
            self._maybe("delete")
            super().delete(key, partition)

    store = Fails()
    cached = Cached(
        front_end, cached_for(60, "old"), HttpResponse(204), cached_for(60, "new"), cache=Cache(storage=store)
    )
    cached.get()
    cached.request("POST", URL)
    store.is_broken = operation == "delete"
    assert cached.get().text == "new"
    store.is_broken = False
    assert cached.get().text == "new"
    counted = cached.client.metrics.total("http_cache_errors_total", {"operation": operation})
    assert counted >= 1


def test_what_is_no_stored_response_is_refused() -> None:
    """Bytes that were cut, changed or come from elsewhere; nothing in them is run."""
    data = stored("text").to_bytes()
    assert StoredResponse.from_bytes(data) == stored("text")
    for wrong in (b"", data[:-1], data[:20], b"x" + data[1:], data[:-1] + b"?", data + b"x"):
        with pytest.raises(ValueError, match="not a stored response"):
            StoredResponse.from_bytes(wrong)

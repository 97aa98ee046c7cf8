"""Where responses are kept: all storages keep the same promises."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from http_service_client import Cache, ConfigurationError, HttpResponse, MemoryStorage, SqliteStorage
from http_service_client.policies import StoredResponse
from kit.caches import URL, Cached, cached_for, failed, stored
from kit.front_ends import FrontEnd
from kit.rows import each_row


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


class AsyncStorage(MemoryStorage):
    async def get(self, key: str, partition: str) -> Any:
        return []


class SilentStorage:
    """As somebody writes it who has not seen `blocks`."""

    def get(self, key: str, partition: str) -> Any:
        return []

    set = delete = get


class TestTheSettings:
    @each_row(
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
        with pytest.raises(ConfigurationError, match=rf"^{message}(?!\w)"):
            Cache(**settings)

    @pytest.mark.parametrize("wrong", [0, -1, 1.5, "1", True])
    def test_so_is_that_of_a_memory(self, wrong: Any) -> None:
        """As that of a file is."""
        with pytest.raises(ConfigurationError, match=r"^max_bytes must be .* not "):
            MemoryStorage(wrong)

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


@each_row("operation", ["get", "set", "delete"])
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

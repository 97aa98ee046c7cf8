"""`Cache.clear`: all responses are forgotten, those that are on their way included."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from http_service_client import (
    Cache,
    ConfigurationError,
    HttpRequest,
    HttpResponse,
    MemoryStorage,
    SqliteStorage,
)
from kit.caches import URL, Cached, cached_for, used
from kit.front_ends import FrontEnd


@pytest.fixture(params=["memory", "sqlite"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cache]:
    storage = MemoryStorage() if request.param == "memory" else SqliteStorage(tmp_path / "cache.db")
    yield Cache(storage=storage)
    if isinstance(storage, SqliteStorage):
        storage.close()


def test_all_responses_are_forgotten(front_end: FrontEnd, cache: Cache) -> None:
    """Of all URLs and all users."""
    cached = Cached(front_end, *(cached_for(60, text) for text in "abcd"), cache=cache)
    for key in (None, "ann"):
        assert not cached.get(key=key).from_cache
        assert cached.get(key=key).from_cache
    cache.clear()
    assert [cached.get(key=key).text for key in (None, "ann")] == ["c", "d"]
    assert cached.get().from_cache


def test_a_response_that_was_on_its_way_is_not_stored(front_end: FrontEnd, cache: Cache) -> None:
    """It may be older than what the cache was cleared for. Its caller gets it all the same."""

    def clear(request: HttpRequest) -> HttpResponse:
        cache.clear()
        return cached_for(60, "old")

    cached = Cached(front_end, clear, cached_for(60, "new"), cache=cache)
    response = cached.get()
    assert (response.text, used(response).is_stored) == ("old", False)
    assert [cached.get().text, cached.get().from_cache] == ["new", True]


def test_a_revalidation_that_was_on_its_way_restores_nothing(front_end: FrontEnd, cache: Cache) -> None:
    """Neither does its 304."""

    def clear(request: HttpRequest) -> HttpResponse:
        cache.clear()
        return HttpResponse(304, headers={"ETag": '"1"', "Cache-Control": "max-age=60"})

    first = cached_for(0, "old", ETag='"1"')
    cached = Cached(front_end, first, clear, cached_for(60, "new"), cache=cache)
    assert [cached.get(f"{URL}/1").text for _ in range(3)] == ["old", "old", "new"]


def test_it_raises_what_the_storage_raises() -> None:
    """A cache that is not empty then would be a surprise."""

    class Broken(MemoryStorage):
        def clear(self) -> None:
            raise OSError("read-only")

    with pytest.raises(OSError, match="read-only"):
        Cache(storage=Broken()).clear()


def test_a_storage_without_clear_is_an_error() -> None:
    """That names it; a storage of one's own needs three methods only."""

    class Own:
        blocks = False

        def get(self, key: str, partition: str) -> list[Any]:
            return []

        def set(self, key: str, partition: str, response: Any) -> None: ...

        def delete(self, key: str, partition: str | None = None) -> None: ...

    with pytest.raises(ConfigurationError, match=r"Own object .* has no method clear\(\)"):
        Cache(storage=Own()).clear()

"""What a `Cache` takes, and its errors about the rest."""

from __future__ import annotations

import re
from typing import Any

import pytest

from http_service_client import Cache, ConfigurationError, MemoryStorage
from kit.forks import in_a_child, needs_fork


class Storage:
    """Someone's own, which keeps nothing."""

    blocks: Any = False

    def get(self, key: str, partition: str) -> list[Any]:
        return []

    def set(self, key: str, partition: str, response: Any) -> None:
        pass

    def delete(self, key: str, partition: str | None = None) -> None:
        pass

    def __repr__(self) -> str:
        return "<Storage>"


def lacking(name: str) -> Any:
    """A storage without this method."""
    return type("Storage", (Storage,), {name: None})()


NOT_A_STORAGE = "storage must be an object with get, set and delete, such as a MemoryStorage, not "
BLOCKS = "storage needs an attribute blocks: True if its methods wait for a disk or a network, else False"


@pytest.mark.parametrize("storage", [lacking("get"), lacking("set"), lacking("delete"), object(), Storage])
def test_a_storage_has_three_methods(storage: Any) -> None:
    """And is an object, not its class."""
    with pytest.raises(ConfigurationError, match=f"^{re.escape(NOT_A_STORAGE + repr(storage))}$"):
        Cache(storage=storage)


@pytest.mark.parametrize("name", ["get", "set", "delete"])
def test_a_storage_s_methods_are_plain(name: str) -> None:
    """The blocking front end uses them, too."""

    async def method(self: Any, *args: Any) -> None:
        pass

    with pytest.raises(
        ConfigurationError, match=rf"^storage\.{name} must be a plain method, not an async one: "
    ):
        Cache(storage=type("Async", (Storage,), {name: method})())


def test_a_storage_says_whether_it_waits() -> None:
    """Truly or falsely: a text such as "no" would be true."""
    storage = Storage()
    storage.blocks = "no"
    with pytest.raises(ConfigurationError, match=r"^storage\.blocks must be True or False, not 'no'"):
        Cache(storage=storage)
    silent: Any = type("Silent", (), {name: getattr(Storage, name) for name in ("get", "set", "delete")})()
    with pytest.raises(ConfigurationError, match=f"^{BLOCKS}$"):
        Cache(storage=silent)
    own = Storage()
    assert Cache(storage=own).storage is own


@pytest.mark.parametrize("heuristic", [0, 0.1, 1])
def test_the_heuristic_is_a_share(heuristic: float) -> None:
    """From 0 to 1, both included."""
    Cache(heuristic=heuristic)


@pytest.mark.parametrize("heuristic", [1.01, 10])
def test_more_than_the_whole_is_no_share(heuristic: float) -> None:
    """The error says what is meant by it: 10 is not ten per cent."""
    message = f"^heuristic must be a share from 0 to 1, such as 0.1, not {heuristic}$"
    with pytest.raises(ConfigurationError, match=message):
        Cache(heuristic=heuristic)


def test_a_shared_cache_is_not_that_of_one_user() -> None:
    """One of the two is a mistake; each alone is none."""
    Cache(shared=True)
    Cache(single_user=True)
    with pytest.raises(
        ConfigurationError, match=r"^single_user does nothing in a shared cache, .*; set one of"
    ):
        Cache(shared=True, single_user=True)


@needs_fork
def test_a_forked_child_does_not_wait_for_what_its_parent_fetches() -> None:
    """The thread that fetches it is not there."""
    cache = Cache(storage=MemoryStorage())
    _, leads = cache.state.flights.join("key", "url")
    assert leads

    def child() -> None:
        _, leads = cache.state.flights.join("key", "url")
        assert leads

    assert in_a_child(child) == 0

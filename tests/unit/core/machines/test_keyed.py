"""The bounded map from keys to machines."""

from __future__ import annotations

import threading

import pytest

from http_service_client.core.machines.keyed import KeyedMap
from http_service_client.errors import ConfigurationError
from kit.threads import run_threads


def test_each_key_has_a_value_of_its_own_made_once() -> None:
    """At its first use."""
    made: list[str] = []
    keyed = KeyedMap[str, list[str]](lambda key: made.append(key) or [key], lock=threading.Lock(), most=9)
    assert keyed.get("a") is keyed.get("a")
    assert keyed.get("b") == ["b"]
    assert (made, len(keyed)) == (["a", "b"], 2)


def test_the_key_that_was_not_used_for_the_longest_time_is_forgotten() -> None:
    """There are never more than `most`."""
    keyed = KeyedMap[int, int](lambda key: key, lock=threading.Lock(), most=3)
    for key in (1, 2, 3, 1, 4):
        keyed.get(key)
    assert [key for key, _ in keyed.items()] == [3, 1, 4]


def test_a_key_at_rest_is_forgotten_before_an_older_one() -> None:
    """Among the oldest few: forgetting it loses nothing."""
    keyed = KeyedMap[int, int](
        lambda key: key, lock=threading.Lock(), most=4, is_at_rest=lambda value: value == 3
    )
    for key in range(1, 6):
        keyed.get(key)
    assert [key for key, _ in keyed.items()] == [1, 2, 4, 5]
    keyed.get(6)
    assert [key for key, _ in keyed.items()] == [2, 4, 5, 6]


def test_only_a_few_keys_are_looked_at_for_a_new_one() -> None:
    """The cost does not depend on how many there are."""
    asked: list[int] = []
    keyed = KeyedMap[int, int](
        lambda key: key, lock=threading.Lock(), most=1000, is_at_rest=lambda value: bool(asked.append(value))
    )
    for key in range(1001):
        keyed.get(key)
    assert asked == list(range(8))
    assert keyed.peek(0) is None, "none is at rest: the oldest is forgotten"


def test_another_limit_holds_at_once() -> None:
    """`resize` forgets what is too much; `peek` and `clear` make nothing."""
    keyed = KeyedMap[int, int](lambda key: key, lock=threading.Lock(), most=9)
    for key in range(5):
        keyed.get(key)
    keyed.resize(2)
    assert [key for key, _ in keyed.items()] == [3, 4]
    assert (keyed.peek(3), keyed.peek(0)) == (3, None)
    for key in range(5):
        keyed.get(key)
    assert len(keyed) == 2
    with pytest.raises(ConfigurationError, match=r"^most must be .* not 0"):
        keyed.resize(0)
    keyed.resize(4)
    for key in range(5):
        keyed.get(key)
    assert len(keyed) == 4
    keyed.clear()
    assert len(keyed) == 0
    assert keyed.peek(3) is None


def test_a_limit_below_one_is_refused() -> None:
    """With the field and the remedy."""
    with pytest.raises(ConfigurationError, match="most must be a whole number of 1 or more, not 0"):
        KeyedMap[int, int](lambda key: key, lock=threading.Lock(), most=0)


def test_threads_share_one_value_of_a_key() -> None:
    """However they race for it."""
    keyed = KeyedMap[int, object](lambda key: object(), lock=threading.Lock(), most=50)
    seen: list[set[int]] = [set() for _ in range(50)]

    def work(number: int) -> None:
        for key in range(50):
            seen[key].add(id(keyed.get(key)))

    run_threads(work, 8)
    assert [len(values) for values in seen] == [1] * 50

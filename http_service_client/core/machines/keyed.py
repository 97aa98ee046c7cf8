"""A bounded map from keys to machines: each key has its own, made at its first use, and the memory has a limit.

Keys come from the arguments of calls (a tenant, a customer), so there may be any number of them. When there are too many, the one
that was not used for the longest time is forgotten; one at rest first, since that loses nothing. Only a few are looked at for
each new key, so that the cost of a call does not depend on the number of keys.

A machine that is forgotten while callers wait in it goes on for them. A caller that comes later gets a new one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any, Generic, TypeVar

from ..checks import check_count

__all__ = ["KeyedMap"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_EXAMINED = 8  # keys, for each new one


class KeyedMap(Generic[K, V]):
    """Values by key, the least recently used first.

    make: the value of a new key; called with the lock held.
    lock: guards the map, not the values; reentrant, if `make` or `is_at_rest` may come back here.
    most: how many keys are kept, 1 or more.   is_at_rest: whether forgetting a value would lose nothing.
    """

    __slots__ = ("_is_at_rest", "_lock", "_make", "_most", "_values")

    def __init__(
        self,
        make: Callable[[K], V],
        *,
        lock: AbstractContextManager[Any],
        most: int,
        is_at_rest: Callable[[V], bool] | None = None,
    ) -> None:
        check_count("most", most)
        self._make = make
        self._lock = lock
        self._most = most
        self._is_at_rest = is_at_rest
        self._values: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V:
        """The value of the key, made if it is new. Raises TypeError for a key that cannot be hashed."""
        values = self._values
        with self._lock:
            try:
                values.move_to_end(key)
                return values[key]
            except KeyError:
                pass
            while len(values) >= self._most:
                self._forget_locked()
            value = values[key] = self._make(key)
            return value

    def peek(self, key: K) -> V | None:
        """The value of the key, or None. It does not count as a use."""
        with self._lock:
            return self._values.get(key)

    def items(self) -> list[tuple[K, V]]:
        """All keys and values, the least recently used first."""
        with self._lock:
            return list(self._values.items())

    def resize(self, most: int) -> None:
        """Change how many keys are kept."""
        check_count("most", most)
        with self._lock:
            self._most = most
            while len(self._values) > most:
                self._forget_locked()

    def clear(self) -> None:
        """Forget all keys."""
        with self._lock:
            self._values.clear()

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"<KeyedMap of {len(self._values)} keys, {self._most} at most>"

    def _forget_locked(self) -> None:
        """Forget the first of the oldest few that is at rest, or the oldest of all."""
        oldest = list(islice(self._values.items(), _EXAMINED))
        is_at_rest = self._is_at_rest
        found = (key for key, value in oldest if is_at_rest is None or is_at_rest(value))
        self._values.pop(next(found, oldest[0][0]), None)

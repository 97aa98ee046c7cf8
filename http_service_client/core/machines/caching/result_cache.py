"""The results of functions, by key: fresh for a while, then stale, in bounded memory.

    age of the result        what a call gets
    < seconds                the result
    < seconds + stale        the function's result; the old one if the function fails
    older, or none           the function's result, or its error

An error is not kept, unless the user sets for how long: until then calls get the error (or the old result, while that may stand
in) and the function is left in peace.

Callers of one key at the same time make one call: see `core.machines.caching.flights`.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple

from ...checks import check_count, check_duration, check_function, check_number, remedies, suggests_keywords
from ..fallback import NOTHING
from .flights import Flight, Flights

__all__ = [
    "RESULT_CACHE_RENAMED",
    "Entry",
    "Outcome",
    "ResultCache",
    "ResultCacheSettings",
    "ResultCacheSnapshot",
]

RESULT_CACHE_RENAMED = remedies(
    {
        "it is called seconds": "ttl expire expires_in max_age",
        "it is called max_entries": "maxsize max_size size",
        "it is called stale_on_error": "stale_ttl stale_if_error stale",
        "it is called cache_errors": "negative_ttl error_ttl",
        "it is called key": "key_builder key_func key_maker",
    }
)


@suggests_keywords(RESULT_CACHE_RENAMED)
@dataclass(frozen=True, kw_only=True)
class ResultCacheSettings:
    """The settings of a cache of results. See `ResultCachePolicy`, which has them as its arguments."""

    seconds: float
    max_entries: int = 1000
    key: Callable[..., Hashable] | None = None
    stale_on_error: float = 0.0
    cache_errors: float = 0.0

    def __post_init__(self) -> None:
        check_duration("seconds", self.seconds, optional=False)
        check_count("max_entries", self.max_entries)
        if self.key is not None:
            check_function("key", self.key)
        check_number("stale_on_error", self.stale_on_error, unit="of seconds ")
        check_number("cache_errors", self.cache_errors, unit="of seconds ")


class Outcome(NamedTuple):
    """What a call of the function came to: a result, or an exception."""

    result: Any = None
    error: BaseException | None = None

    def take(self) -> Any:
        """The result. Raises a copy of the error: each caller's own, with its own traceback."""
        if self.error is None:
            return self.result
        try:
            raise _copied(self.error)
        finally:
            del self  # one that cannot be copied has a traceback that holds this frame


class Entry:
    """What is known of one key.

    result: the last one, or NOTHING.   kept_at: when it came.
    error: that of the last call, if it was kept, or None.   failed_at: when it came.
    """

    __slots__ = ("error", "failed_at", "kept_at", "result")

    def __init__(self) -> None:
        self.result: Any = NOTHING
        self.error: BaseException | None = None
        self.kept_at = self.failed_at = 0.0

    def is_fresh(self, now: float, settings: ResultCacheSettings) -> bool:
        """Whether the result is used as it is."""
        return self.result is not NOTHING and now - self.kept_at < settings.seconds

    def may_stand_in(self, now: float, settings: ResultCacheSettings) -> bool:
        """Whether the result is used when the function fails."""
        age = now - self.kept_at
        return self.result is not NOTHING and age < settings.seconds + settings.stale_on_error

    def has_failed(self, now: float, settings: ResultCacheSettings) -> bool:
        """Whether the error of the last call is that of this one, too."""
        return self.error is not None and now - self.failed_at < settings.cache_errors


class ResultCacheSnapshot(NamedTuple):
    """entries: that are kept.   hits: calls that got a kept result or error.   misses: calls of the function.

    shared: calls that got what another call of the function brought.   stale: old results that stood in for a failure.
    """

    entries: int
    hits: int
    misses: int
    shared: int
    stale: int


class ResultCache:
    """The state of one cache.   new_lock: makes its locks.   flights: the calls of the function that are on their way."""

    def __init__(self, max_entries: int, new_lock: Callable[[], AbstractContextManager[Any]]) -> None:
        self.flights: Flights[Outcome] = Flights(new_lock)
        self._lock = new_lock()
        self._max_entries = max_entries
        self._entries: OrderedDict[Hashable, Entry] = OrderedDict()
        self._counts = {"hits": 0, "misses": 0, "shared": 0, "stale": 0}

    def find(self, key: Hashable) -> Entry | None:
        """What is known of a key. It counts as used."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                self._entries.move_to_end(key)
            return entry

    def keep(self, flight: Flight[Outcome], result: Any, now: float) -> bool:
        """Keep the result of a call, unless it was overtaken. Returns whether it is kept."""
        with self._lock:
            if flight.is_overtaken:  # asked with the lock held: `forget` overtakes first, and then takes it
                return False
            entry = self._of(flight.key)
            entry.result, entry.kept_at, entry.error = result, now, None
            return True

    def keep_error(self, flight: Flight[Outcome], error: BaseException, now: float) -> None:
        """Keep the error of a call, beside the result before: it may stand in."""
        with self._lock:
            if not flight.is_overtaken:
                entry = self._of(flight.key)
                entry.error, entry.failed_at = _copied(error), now

    def forget(self, key: Hashable) -> bool:
        """Forget what is known of a key, also what is on its way. Returns whether there was something."""
        self.flights.overtake_key(key)
        with self._lock:
            return self._entries.pop(key, None) is not None

    def clear(self) -> None:
        """Forget all. A result that is on its way is not kept when it comes, since it may be older."""
        self.flights.overtake(None)
        with self._lock:
            self._entries.clear()

    def resize(self, max_entries: int) -> None:
        """Change the number of entries."""
        with self._lock:
            self._max_entries = max_entries
            self._make_room()

    def count(self, what: str) -> None:
        """Count a call: see `ResultCacheSnapshot`."""
        with self._lock:
            self._counts[what] += 1

    def snapshot(self) -> ResultCacheSnapshot:
        """The counts, at one instant."""
        with self._lock:
            return ResultCacheSnapshot(len(self._entries), **self._counts)

    def _of(self, key: Hashable) -> Entry:
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = Entry()
            self._make_room()  # of the others: this is the newest
        else:
            self._entries.move_to_end(key)
        return entry

    def _make_room(self) -> None:
        while len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)


def _copied(error: BaseException) -> BaseException:
    """A copy of an exception, without its traceback, which holds the frames of the call that it came from.

    A constructor of a user's own is not called: what is in `args` are hardly ever its arguments. The exception itself where
    it cannot be copied.
    """
    kind, built_in = type(error), _built_in(type(error))
    try:
        if kind.__init__ is built_in.__init__ or _copies_itself(kind, built_in):
            twin = copy.copy(error)
        else:
            arguments = error.__reduce__()[1]  # more than `args`: the file names of an OSError, too
            assert not isinstance(arguments, str)
            twin = built_in.__new__(kind, *arguments)
            built_in.__init__(twin, *arguments)
            vars(twin).update(vars(error))
    except Exception:
        return error
    if type(twin) is not kind:
        return error
    twin.__cause__, twin.__context__ = error.__cause__, error.__context__
    twin.__suppress_context__ = error.__suppress_context__
    notes = getattr(error, "__notes__", None)
    if isinstance(notes, list) and twin is not error:
        vars(twin)["__notes__"] = notes.copy()  # each caller adds its own
    return twin


def _built_in(kind: type[BaseException]) -> type[BaseException]:
    """The class of Python's own that an exception's class is made of."""
    while kind.__module__ != "builtins":
        kind = kind.__base__  # type: ignore[assignment]  # an exception, too: the one that determines the memory layout
    return kind


def _copies_itself(kind: type[BaseException], built_in: type[BaseException]) -> bool:
    """Whether the class says how it is copied."""
    return hasattr(kind, "__copy__") or any(
        getattr(kind, name) is not getattr(built_in, name) for name in ("__reduce__", "__reduce_ex__")
    )

"""The policy that keeps the results of a function, and lets callers at the same time share one call."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from typing import Any

from ..core.checks import suggests_keywords
from ..core.effects import Acquire, Plan
from ..core.machines.caching.flights import Flight, begin_wait, end_wait, enter, leave
from ..core.machines.caching.result_cache import (
    RESULT_CACHE_RENAMED,
    Entry,
    Outcome,
    ResultCache,
    ResultCacheSettings,
    ResultCacheSnapshot,
)
from ..core.machines.function_keys import key_of
from ..core.operation import Operation, Proceed
from ..drivers.clocks import Clock, SystemClock
from ..drivers.interruption import INTERRUPTION
from ..drivers.locks import ForkSafeLock
from ..errors import ConfigurationError, DeadlineExceededError
from ..events import CacheResult, CacheUsed
from .functions import is_interruption
from .items import is_step
from .strategy import StatefulStrategy

__all__ = ["ResultCachePolicy"]

_SUBJECT = ""  # of all flights: `clear` concerns them all


@suggests_keywords(RESULT_CACHE_RENAMED)
class ResultCachePolicy(StatefulStrategy[ResultCacheSettings]):
    """Keep the results of a function for a while: ``ResultCachePolicy(seconds=60)``.

    Callers with equal arguments at the same time share one call of the function, over all threads and event loops. If the one
    that makes it is cancelled, or its deadline passes, another one goes on for the rest. Each waits no longer than its own
    deadline.

    seconds: for how long a result is used, from the instant at which it came; > 0.
    max_entries: results that are kept; the least recently used ones make room for others.
    key: makes the key of a result from the arguments; by default the arguments themselves, which must be hashable.
    stale_on_error: seconds beyond `seconds` for which an old result stands in for an exception of the function.
    cache_errors: seconds for which an exception is raised again without a call of the function; 0 for never.
    name: in events.   clock: the source of time; in a pipeline, its own.

    The function runs in the context of the caller that makes the call: with its deadline, and its context variables.
    The result itself is kept, and no copy: return something that its callers do not change, such as a tuple.
    Equal arguments of different types, such as 1 and True, have results of their own; so have arguments that are passed by
    name and by position. A method's `self` is an argument.

    Raises ConfigurationError for a wrong setting; at a call, TypeError for arguments that cannot be hashed.
    """

    rank = 20
    repeats = True
    _live = ("_cache",)

    def __init__(
        self,
        seconds: float,
        *,
        max_entries: int = 1000,
        key: Callable[..., Hashable] | None = None,
        stale_on_error: float = 0.0,
        cache_errors: float = 0.0,
        name: str = "",
        clock: Clock = SystemClock(),  # noqa: B008  # it has no state
    ) -> None:
        settings = ResultCacheSettings(
            seconds=seconds,
            max_entries=max_entries,
            key=key,
            stale_on_error=stale_on_error,
            cache_errors=cache_errors,
        )
        self._set_up(settings, name, clock)

    @property
    def used_clock(self) -> Clock | None:  # type: ignore[override]  # wider: it goes by the clock of its pipeline
        return None if type(self._clock) is SystemClock else self._clock

    def _begin(self, settings: ResultCacheSettings) -> None:
        self._cache = ResultCache(settings.max_entries, ForkSafeLock)

    def _change(self, settings: ResultCacheSettings) -> None:
        self._cache.resize(settings.max_entries)

    def _reset_after_fork(self) -> None:
        self._cache.flights.reset_after_fork()

    def clear(self) -> None:
        """Forget all results. One that is on its way is not kept when it comes."""
        self._cache.clear()

    def forget(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> bool:
        """Forget the result of one call, such as of a record that has changed: ``policy.forget(find, 42)``.

        One that is on its way is not kept when it comes.

        function: as it is called, or as it was passed to `apply`. Returns whether a result was kept.
        """
        was_kept, each = False, function
        while True:
            key = key_of(each, args, kwargs, self._settings.key)
            was_kept = self._cache.forget(key) or was_kept
            each = getattr(each, "__wrapped__", None)  # type: ignore[assignment]  # the end
            if each is None:
                return was_kept

    def snapshot(self) -> ResultCacheSnapshot:
        """How many results there are, and how calls have come by theirs."""
        return self._cache.snapshot()

    def _key(self, operation: Operation) -> Hashable:
        """Equal for calls that may share a result."""
        function: Any = operation.guarded.function  # blocks do not come here
        if is_step(operation.args):
            raise ConfigurationError(
                "a ResultCachePolicy keeps results, and no items of a generator; guard the function that it calls"
            )
        return key_of(function, operation.args, operation.kwargs, self._settings.key)

    def guard(self, proceed: Proceed, operation: Operation) -> Plan[Any]:
        """The plan of one call: a kept result, or that of the function."""
        key, settings = self._key(operation), self._settings
        entry = self._cache.find(key)
        if entry is not None:
            now = operation.clock()
            if entry.is_fresh(now, settings):
                self._used(operation, "hits", CacheResult.HIT, entry, now)
                return entry.result
            if entry.has_failed(now, settings):
                return self._kept_failure(operation, entry, now)
        return (yield from self._fetch(proceed, operation, key))

    def _fetch(self, proceed: Proceed, operation: Operation, key: Hashable) -> Plan[Any]:
        """The result of the function, by a call of this caller or of another one."""
        flight: Flight[Outcome] | None = None
        try:
            while True:
                flight, leads = self._cache.flights.join(key, _SUBJECT)
                if leads:
                    return (yield from self._lead(proceed, operation, key, flight))
                around = begin_wait(flight)
                if around is None:  # the function has called itself, or functions that wait for each other
                    return (yield from proceed(operation))
                waiter = flight.wait()
                try:
                    if not waiter.is_granted:
                        remaining = operation.remaining()
                        yield from Acquire(waiter, None if remaining is None else max(0.0, remaining))
                finally:
                    waiter.release()
                    end_wait(around, flight)
                if not flight.has_landed:
                    return self._too_late(operation, key)
                if flight.result is not None:
                    self._used(operation, "shared", CacheResult.HIT, is_collapsed=True)
                    return flight.result.take()
        finally:
            del flight  # it has the error, whose traceback holds this frame

    def _lead(
        self, proceed: Proceed, operation: Operation, key: Hashable, flight: Flight[Outcome]
    ) -> Plan[Any]:
        """Call the function, for this caller and for those that come meanwhile."""
        cache, settings, clock = self._cache, self._settings, operation.clock
        landing: Outcome | None = None
        token = enter(flight)
        # A timeout may leave this call behind in its thread. Callers that come later must not wait for it.
        interruption, abandon = INTERRUPTION.get(), partial(cache.flights.abandon, flight)
        try:
            if interruption is not None:
                interruption.add(abandon)
            entry, now = cache.find(key), clock()
            if entry is not None and entry.is_fresh(now, settings):  # another call has just brought it
                landing = Outcome(entry.result)
                self._used(operation, "hits", CacheResult.HIT, entry, now)
                return entry.result
            result = yield from proceed(operation)
            landing = Outcome(result)
            is_kept = cache.keep(flight, result, clock())
            self._used(operation, "misses", CacheResult.MISS, is_stored=is_kept)
            return result
        except Exception as error:
            if is_interruption(error):
                raise
            # The deadline is this caller's own: the others go on.
            is_own = isinstance(error, DeadlineExceededError)
            now = clock()
            if settings.cache_errors and not is_own:
                cache.keep_error(flight, error, now)
            entry = cache.find(key)
            if entry is not None and entry.may_stand_in(now, settings):
                landing = Outcome(entry.result)
                self._used(operation, "stale", CacheResult.STALE, entry, now, type(error).__name__)
                return entry.result
            cache.count("misses")
            landing = None if is_own else Outcome(error=error)
            raise
        finally:
            cache.flights.land(flight, landing)
            if interruption is not None:
                interruption.remove(abandon)
            leave(token)
            del landing, flight, abandon  # they have the error, whose traceback holds this frame

    def _kept_failure(self, operation: Operation, entry: Entry, now: float) -> Any:
        """The outcome of a call for which the function failed a moment ago."""
        if entry.may_stand_in(now, self._settings):
            self._used(operation, "stale", CacheResult.STALE, entry, now, "the function failed lately")
            return entry.result
        self._cache.count("hits")
        return Outcome(error=entry.error).take()

    def _too_late(self, operation: Operation, key: Hashable) -> Any:
        """The outcome of a call whose deadline has passed during its wait."""
        entry, now = self._cache.find(key), operation.clock()
        if entry is not None and entry.may_stand_in(now, self._settings):
            self._used(operation, "stale", CacheResult.STALE, entry, now, "the deadline has passed")
            return entry.result
        name = getattr(operation.guarded.function, "__qualname__", "the function")
        raise DeadlineExceededError(
            f"the deadline expired during the wait for an equal call of {name}, which is under way"
        )

    def _used(
        self,
        operation: Operation,
        count: str,
        result: CacheResult,
        entry: Entry | None = None,
        now: float = 0.0,
        reason: str = "",
        *,
        is_stored: bool = False,
        is_collapsed: bool = False,
    ) -> None:
        self._cache.count(count)
        age = None if entry is None else now - entry.kept_at
        if is_collapsed:
            age = 0.0  # it has just come
        ttl = None if age is None else self._settings.seconds - age
        operation.record(
            CacheUsed(
                operation.elapsed(), operation.attempt, self.name or operation.key, result, age, ttl, reason, is_stored,
                is_collapsed, operation.call_id, operation.call_name,
            )
        )  # fmt: skip

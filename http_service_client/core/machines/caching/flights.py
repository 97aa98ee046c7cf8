"""Equal requests in flight: the first one is sent, and the others wait for what comes of it.

Theory. A *flight* is one exchange that others may share. The caller that finds none for its key *leads* a new one; the
callers that come until it has landed *follow*. It lands once, with a result, or without one when its leader was
cancelled. Then every follower goes on in its own way: it uses the result, leads the next flight, or makes an exchange
of its own. Followers never depend on each other: one whose event loop is busy with other code holds up no other.

A flight that was overtaken (the resource was changed while it was on its way) is left: its followers, who came before
the change, still get its result, and callers that come later lead a new one. One that was abandoned (nobody waits for its
leader any more, who cannot be interrupted) lands at once, without a result.

Threads and the tasks of many event loops share one flight, as they share a `Latch`.

Code inside a flight may need others: a function calls another one, an interceptor makes a call. It must not wait for the
flight that it is in itself, nor for one whose leader waits for that, however many are between: nobody would go on. So a
follower says in each flight around it what it waits for, before it looks where the one that it needs leads to. Of two that
begin to wait for each other at the same time, one sees it at least, and does without that flight.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar, Token
from typing import Any, Generic, TypeVar

from ..limits.semaphore import Latch, Waiter

__all__ = ["Flight", "Flights", "begin_wait", "end_wait", "enter", "leave"]

T = TypeVar("T")

# The flights that enclose the running code, and that of the tasks that it has started.
_AROUND: ContextVar[tuple[Flight[Any], ...]] = ContextVar("http_service_client.flights", default=())


class Flight(Generic[T]):
    """One exchange. Its leader lands it, whatever happens.

    subject: what is fetched; `Flights.overtake` finds it by that.
    result: None until it has landed, and when it landed without one.
    has_landed: its exchange has ended.   is_overtaken: its result was out of date when it came.
    awaited: the flights that code inside of it waits for.
    """

    __slots__ = ("_landing", "awaited", "has_landed", "is_overtaken", "key", "result", "subject")

    def __init__(self, key: Hashable, subject: str, lock: AbstractContextManager[Any]) -> None:
        self.key = key
        self.subject = subject
        self.result: T | None = None
        self.has_landed = self.is_overtaken = False
        self.awaited: list[Flight[Any]] = []
        self._landing = Latch(lock=lock)

    def wait(self) -> Waiter:
        """A waiter that is granted when the flight lands. The caller calls its `release`."""
        return self._landing.wait_later()

    def _land(self, result: T | None) -> None:
        if not self.has_landed:
            self.result, self.has_landed = result, True
            self._landing.open()


class Flights(Generic[T]):
    """The flights of one cache.

    new_lock: makes the locks, which are held for a microsecond.
    landings: how many flights have landed, so far.
    """

    def __init__(self, new_lock: Callable[[], AbstractContextManager[Any]]) -> None:
        self._new_lock = new_lock
        self._lock = new_lock()
        self.landings = 0
        self._shared: dict[Hashable, Flight[T]] = {}
        self._by_subject: dict[str, set[Flight[T]]] = {}

    def join(self, key: Hashable, subject: str) -> tuple[Flight[T], bool]:
        """The flight for this key, and whether the caller leads it."""
        with self._lock:
            flight = self._shared.get(key)
            if flight is not None:
                return flight, False
            self._shared[key] = flight = self._begin(key, subject)
            return flight, True

    def fly_alone(self, subject: str) -> Flight[T]:
        """A flight that nobody can join."""
        with self._lock:
            return self._begin(None, subject)

    def land(self, flight: Flight[T], result: T | None) -> None:
        """End a flight. A second time does nothing."""
        with self._lock:
            self.landings += 1
            if self._shared.get(flight.key) is flight:
                del self._shared[flight.key]
            same = self._by_subject.get(flight.subject)
            if same is not None:
                same.discard(flight)
                if not same:
                    del self._by_subject[flight.subject]
        flight._land(result)

    def overtake(self, subject: str | None) -> None:
        """The subject has changed: what is on its way is out of date when it arrives.   subject: None for all."""
        with self._lock:
            subjects = [subject] if subject is not None else list(self._by_subject)
            for flight in [flight for each in subjects for flight in self._by_subject.get(each, ())]:
                flight.is_overtaken = True
                if self._shared.get(flight.key) is flight:
                    del self._shared[flight.key]

    def overtake_key(self, key: Hashable) -> None:
        """The same for what is on its way for this key alone."""
        with self._lock:
            flight = self._shared.pop(key, None)
            if flight is not None:
                flight.is_overtaken = True

    def abandon(self, flight: Flight[T]) -> None:
        """Its leader is left behind, and what it still brings is of no use: the followers go on without it."""
        flight.is_overtaken = True
        self.land(flight, None)

    def reset_after_fork(self) -> None:
        """Forget the flights of the parent's threads, which nobody lands in a forked child."""
        self._shared, self._by_subject = {}, {}

    def _begin(self, key: Hashable, subject: str) -> Flight[T]:
        flight: Flight[T] = Flight(key, subject, self._new_lock())
        self._by_subject.setdefault(subject, set()).add(flight)
        return flight


def enter(flight: Flight[Any]) -> Token[tuple[Flight[Any], ...]]:
    """What runs from here to `leave` is inside of this flight."""
    # A chain of tasks that start the next must not grow: each flight has its result.
    return _AROUND.set((*[each for each in _AROUND.get() if not each.has_landed], flight))


def leave(token: Token[tuple[Flight[Any], ...]]) -> None:
    """Leave the flight that was entered."""
    try:
        _AROUND.reset(token)
    except ValueError:
        pass  # the plan is being closed from another context


def begin_wait(flight: Flight[Any]) -> Sequence[Flight[Any]] | None:
    """The running code is about to wait for this flight: what to pass to `end_wait`. None if it would wait for itself."""
    around = _AROUND.get()
    if not around:  # nearly always
        return around
    for each in around:
        each.awaited.append(flight)
    if _leads_to(flight, around):
        end_wait(around, flight)
        return None
    return around


def end_wait(around: Sequence[Flight[Any]], flight: Flight[Any]) -> None:
    """The wait is over."""
    for each in around:
        each.awaited.remove(flight)


def _leads_to(flight: Flight[Any], around: Sequence[Flight[Any]]) -> bool:
    """Whether this flight is one of those around, or waits for one, perhaps by way of others."""
    seen: set[Flight[Any]] = set()
    left = [flight]
    while left:
        each = left.pop()
        if each.has_landed or each in seen:
            continue
        if each in around:
            return True
        seen.add(each)
        left += each.awaited
    return False

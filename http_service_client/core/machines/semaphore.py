"""A limit on how much happens at once: so many permits, and a fair queue for them.

Theory. Places are held, not rented: each is either free, or in the hands of one holder. A free place goes to
who comes (`try_acquire`); one that is given back (`release`) goes straight to the first in the queue, without being
free in between, so that nobody can slip past the waiting. Who waits has a ticket, which goes through

    waiting → granted → released        waiting → released        (and never back)

under the lock, in one step each. That is what decides the race between a grant and a cancel: whichever
takes the lock first. If the grant does, the cancelling `release()` finds a granted ticket and passes the
place on; if the cancel does, the ticket has left the queue before anything could be granted to it.

Who waits, and how, is not known here: a ticket calls `on_grant`, where a thread sets an event there, a task
wakes its loop, a simulator schedules a plan. So threads and the tasks of many loops share one limit.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractContextManager
from enum import Enum
from typing import Any

from ..checks import check_count

__all__ = ["FairSemaphore", "Waiter"]


class _Stage(Enum):
    WAITING = "waiting"  # in the queue
    GRANTED = "granted"  # holds a place
    RELEASED = "released"  # neither, for good


_WAITING, _GRANTED, _RELEASED = _Stage  # looking up a member costs 50 ns, on a path that is counted in them


class Waiter:
    """A claim to one place. Whoever requested it releases it, granted or not, once done."""

    __slots__ = ("_limit", "_on_grant", "_stage")

    def __init__(
        self, limit: FairSemaphore, stage: _Stage, on_grant: Callable[[], object] | None = None
    ) -> None:
        self._limit = limit
        self._stage = stage
        self._on_grant = on_grant

    @property
    def is_granted(self) -> bool:
        """Whether it holds a place now."""
        return self._stage is _GRANTED

    def notify(self, on_grant: Callable[[], object]) -> None:
        """Have `on_grant` called once the place is granted: at once if it is, never if it was released.

        It takes the place of the one given before. See `FairSemaphore.acquire_later` for when and where it is called.
        """
        with self._limit._lock:
            if self._stage is _WAITING:
                self._on_grant = on_grant
            is_granted = self._stage is _GRANTED
        if is_granted:
            on_grant()

    def release(self) -> None:
        """Give the place to the next in the queue, or release the queue. More than once is once."""
        next_waiter = self._limit._release(self)
        if next_waiter is not None:
            next_waiter._wake_waiter()

    def _wake_waiter(self) -> None:
        """Tell the waiter of its grant; a place whose new owner is beyond reach goes on to the next."""
        next_waiter: Waiter | None = self
        while next_waiter is not None:  # no recursion: a thousand may have died with their loop
            on_grant, next_waiter._on_grant = next_waiter._on_grant, None
            try:
                if on_grant is not None:
                    on_grant()
                return
            except Exception:
                # The waiter is beyond reach: its event loop is closed, say. The error is none of the releaser's
                # making or business. The place must not be lost with the waiter: it goes to the next.
                next_waiter = self._limit._release(next_waiter)

    def __repr__(self) -> str:
        return f"<Waiter {self._stage.value} of {self._limit!r}>"


class FairSemaphore:
    """At most `capacity` permits held at once; the rest wait, first come, first served.

    capacity: permits, 1 or more; anything else is a `ConfigurationError`.
    lock: makes the limit safe among threads. It is never held while a waiter is told.
    """

    __slots__ = ("_capacity", "_in_use", "_lock", "_queue")

    def __init__(self, capacity: int, *, lock: AbstractContextManager[Any]) -> None:
        check_count("capacity", capacity)
        self._capacity = capacity
        self._lock = lock
        self._in_use = 0
        # An ordered set: a waiter leaves from the middle at no cost, and leaves nothing behind. (A deque
        # would have to search; a plain dict grows slow when its front is taken away again and again.)
        self._queue: OrderedDict[Waiter, None] = OrderedDict()

    def try_acquire(self) -> bool:
        """Take a place if one is free, without a ticket. Whoever has it calls `release()`, once."""
        with self._lock:
            if self._in_use < self._capacity:  # then nobody waits: permits freed go to the queue first
                self._in_use += 1
                return True
            return False

    def release(self) -> None:
        """Give back the place of a `try_acquire`: to the first in the queue, or it is free."""
        with self._lock:
            if not self._queue:
                if self._in_use:  # see `reset_after_fork`
                    self._in_use -= 1
                return
            next_waiter = self._next_waiter_locked()
        next_waiter._wake_waiter()

    def acquire_later(self, on_grant: Callable[[], object] | None = None) -> Waiter:
        """A ticket that is granted at once if a place is free, and waits in the queue otherwise.

        on_grant: called once, when a ticket that had to wait is granted, by the thread that released the
            place; that may be before `acquire_later` returns. It should wake the waiter and do no more. If it
            raises, the waiter counts as gone, and the place goes to the next. None: whoever asked looks
            at `is_granted`, or calls `Waiter.notify` once it holds the ticket.

        To try without waiting, `release()` a ticket that is not granted.
        """
        with self._lock:
            if self._in_use < self._capacity:
                self._in_use += 1
                return Waiter(self, _GRANTED)
            ticket = Waiter(self, _WAITING, on_grant)
            self._queue[ticket] = None
            return ticket

    @property
    def capacity(self) -> int:
        """Places in all."""
        return self._capacity

    @property
    def in_use(self) -> int:
        """Places held."""
        return self._in_use

    @property
    def waiting(self) -> int:
        """Tickets in the queue."""
        return len(self._queue)

    def reset_after_fork(self) -> None:
        """Free every place and forget the queue: for a forked child, where who held them does not exist.

        What the child inherited, such as an open stream, may still give its place back: that is free already.
        """
        with self._lock:
            self._in_use = 0
            self._queue.clear()

    def __repr__(self) -> str:
        return f"<FairSemaphore {self._in_use} of {self._capacity} in use, {len(self._queue)} waiting>"

    def _release(self, ticket: Waiter) -> Waiter | None:
        """Take the ticket out; the one that now has its place, and must be told."""
        # ticket                      effect
        # released                    none
        # waiting                     leaves the queue
        # granted, somebody waits     its place goes to the first in the queue
        # granted, nobody waits       its place is free
        with self._lock:
            stage, ticket._stage = ticket._stage, _RELEASED
            if stage is _WAITING:
                del self._queue[ticket]
                ticket._on_grant = None  # it holds the waiter's frame
            elif stage is _GRANTED:
                if self._queue:
                    return self._next_waiter_locked()
                if self._in_use:  # see `reset_after_fork`
                    self._in_use -= 1
        return None

    def _next_waiter_locked(self) -> Waiter:
        """The first in the queue, which holds the place from now on, and must be told."""
        next_waiter, _ = self._queue.popitem(last=False)
        next_waiter._stage = _GRANTED
        return next_waiter

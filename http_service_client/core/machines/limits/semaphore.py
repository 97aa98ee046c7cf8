"""A fair semaphore: a limit on how much happens at once, with a first-in, first-out queue.

Theory. A permit is either free or held by one holder. A caller that comes while one is free takes it
(`try_acquire`). A permit that is released goes straight to the first waiter in the queue and is never free in
between, so that nobody can overtake the queue. A waiter goes through these stages,

    waiting → granted → released        waiting → released        (and never back)

each change in one step under the lock. So the lock decides the race between a grant and a cancellation. If the
grant comes first, the cancelling `release()` finds a granted waiter and passes its permit on; if the cancellation
comes first, the waiter has left the queue before it could be granted anything.

The semaphore does not know how a waiter waits. It calls `on_grant`: a thread sets an event there, a task wakes
its loop, a simulator schedules a plan. So threads and the tasks of many loops share one semaphore.

A `Latch` has no permits: it is closed until it opens, and then all its waiters are granted at once. It hands nothing
from waiter to waiter, so one that does not run (its event loop is busy with other code) holds up no other.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractContextManager
from enum import Enum
from typing import Any, Protocol

from ...checks import check_count

__all__ = [
    "GRANTED",
    "RELEASED",
    "WAITING",
    "FairSemaphore",
    "Latch",
    "Limit",
    "PermitPair",
    "Stage",
    "Waiter",
]


class Stage(Enum):
    WAITING = "waiting"  # in the queue
    GRANTED = "granted"  # holds a permit
    RELEASED = "released"  # neither, permanently


_MISSING = object()
WAITING, GRANTED, RELEASED = Stage  # enum attribute access is slow (50 ns)
_NOBODY: OrderedDict[Waiter, None] = OrderedDict()  # the queue of all semaphores for which nobody has waited


class Limit(Protocol):
    """Grants permits to waiters."""

    _lock: AbstractContextManager[Any]

    def _release(self, waiter: Waiter) -> Waiter | None: ...


class Waiter:
    """A claim to one permit. The caller that requested it releases it when done, granted or not.

    stage: changed by the limit alone, under its lock.
    """

    __slots__ = ("_is_interrupted", "_limit", "_on_grant", "stage")

    stage: Stage

    def __init__(self, limit: Limit, stage: Stage, on_grant: Callable[[], object] | None = None) -> None:
        self._limit = limit
        self.stage = stage
        self._on_grant = on_grant
        self._is_interrupted = False

    @property
    def is_granted(self) -> bool:
        """Whether it holds a permit now."""
        return self.stage is GRANTED

    def notify(self, on_grant: Callable[[], object]) -> None:
        """Have `on_grant` called when the permit is granted: now if it has been, never if it was released.

        It replaces the function given before. `FairSemaphore.acquire_later` says when and where it is called.
        """
        with self._limit._lock:
            calls_now = self._is_interrupted or self.stage is GRANTED
            if self.stage is WAITING and not calls_now:
                self._on_grant = on_grant
        if calls_now:
            on_grant()

    def interrupt(self) -> None:
        """Have `on_grant` called although nothing was granted, so that the caller stops waiting. It still releases."""
        with self._limit._lock:
            if self.stage is not WAITING:
                return
            self._is_interrupted = True
            on_grant, self._on_grant = self._on_grant, None
        if on_grant is not None:
            try:
                on_grant()
            except Exception:  # the caller cannot be reached: its event loop is closed, say
                pass

    def release(self) -> None:
        """Pass the permit to the next in the queue, or leave the queue. A second time does nothing."""
        next_waiter = self._limit._release(self)
        if next_waiter is not None:
            next_waiter._wake_waiter()

    def wake(self) -> bool:
        """Notify the waiter of its grant. False if it cannot be reached: its event loop is closed, say.

        The releasing caller did not cause such an error and cannot mend it. It must not lose the permit.
        """
        on_grant, self._on_grant = self._on_grant, None
        if on_grant is not None:
            try:
                on_grant()
            except Exception:
                return False
        return True

    def _wake_waiter(self) -> None:
        """Notify the waiter of its grant. If it cannot be reached, its permit goes to the next one."""
        next_waiter: Waiter | None = self
        # No recursion: a thousand may have gone with their loop.
        while next_waiter is not None and not next_waiter.wake():
            next_waiter = self._limit._release(next_waiter)

    def __repr__(self) -> str:
        return f"<Waiter {self.stage.value} of {self._limit!r}>"


class FairSemaphore:
    """At most `capacity` permits are held at once. Further callers wait, first come, first served.

    capacity: 1 or more; anything else is a `ConfigurationError`.
    lock: makes it safe among threads. It is never held while a waiter is notified.
    grants: how often a waiter in the queue was granted a permit, so far.
    """

    __slots__ = ("_capacity", "_in_use", "_lock", "_queue", "grants")

    def __init__(self, capacity: int, *, lock: AbstractContextManager[Any]) -> None:
        check_count("capacity", capacity)
        self._capacity = capacity
        self._lock = lock
        self._in_use = self.grants = 0
        # An ordered set: a waiter can leave from the middle in constant time. (A deque would have to search; a
        # plain dict becomes slow when its first item is removed again and again.) Most semaphores never have a queue.
        self._queue = _NOBODY

    def try_acquire(self) -> bool:
        """Take a permit if one is free. The caller that got one calls `release()`, once."""
        with self._lock:
            if self._in_use < self._capacity:  # then nobody waits: released permits go to the queue first
                self._in_use += 1
                return True
            return False

    def release(self) -> None:
        """Release the permit of a `try_acquire`: to the first in the queue, if there is one."""
        with self._lock:
            next_waiter = self._next_waiter_locked() if self._may_pass_on_locked() else None
            if next_waiter is None:
                if self._in_use:  # see `reset_after_fork`
                    self._in_use -= 1
                return
        next_waiter._wake_waiter()

    def acquire_later(
        self, on_grant: Callable[[], object] | None = None, held: list[Callable[[], None]] | None = None
    ) -> Waiter:
        """A waiter that is granted a permit at once if one is free, and otherwise waits in the queue.

        on_grant: called once, when a waiter that had to wait is granted, by the thread that released the
            permit; that may be before `acquire_later` returns. It should wake the waiter and do no more. If it
            raises, the waiter counts as gone, and the permit goes to the next one. None: the caller looks at
            `is_granted`, or calls `Waiter.notify` later.

        held: gets the waiter's `release` before anything else happens, so that Ctrl-C cannot cost a permit.

        To try without waiting, `release()` a waiter that is not granted.
        """
        waiter = Waiter(self, WAITING, on_grant)
        if held is not None:
            held.append(waiter.release)
        with self._lock:
            if self._in_use < self._capacity:  # as in `try_acquire`
                self._in_use += 1
                waiter.stage, waiter._on_grant = GRANTED, None
                return waiter
            # It joins the queue, and looks again. The collector may run here, close an abandoned stream and so release a
            # permit: this waiter would miss it, and wait though nothing is in use.
            if self._queue is _NOBODY:
                queue: OrderedDict[Waiter, None] = OrderedDict()
                if self._queue is _NOBODY:  # still: see above
                    self._queue = queue
            self._queue[waiter] = None
            if self._in_use < self._capacity and self._queue.pop(waiter, _MISSING) is not _MISSING:
                self._in_use += 1
                waiter.stage, waiter._on_grant = GRANTED, None
            return waiter

    def resize(self, capacity: int) -> None:
        """Change the number of permits. Those held beyond a smaller one stay until they are released."""
        check_count("capacity", capacity)
        granted = []
        with self._lock:
            self._capacity = capacity
            while self._queue and self._in_use < self._capacity:
                self._in_use += 1
                next_waiter = self._next_waiter_locked()
                if next_waiter is None:
                    self._in_use -= 1
                    break
                granted.append(next_waiter)
        for waiter in granted:
            waiter._wake_waiter()

    @property
    def capacity(self) -> int:
        """The number of permits."""
        return self._capacity

    @property
    def in_use(self) -> int:
        """The number of permits held."""
        return self._in_use

    @property
    def waiting(self) -> int:
        """The number of waiters in the queue."""
        return len(self._queue)

    def reset_after_fork(self) -> None:
        """Free every permit and clear the queue: for a forked child, where their holders do not exist.

        Objects that the child inherited, such as an open stream, may still release a permit: it is free already.
        """
        with self._lock:
            self._in_use = 0
            self._queue = _NOBODY

    def __repr__(self) -> str:
        return f"<FairSemaphore {self._in_use} of {self._capacity} in use, {len(self._queue)} waiting>"

    def _release(self, waiter: Waiter) -> Waiter | None:
        """Remove the waiter. Returns the one that now has its permit and must be notified."""
        # waiter                      effect
        # released                    none
        # waiting                     leaves the queue
        # granted, others wait        its permit goes to the first in the queue
        # granted, nobody waits       its permit is free
        with self._lock:
            stage, waiter.stage = waiter.stage, RELEASED
            if stage is WAITING:
                self._queue.pop(waiter, None)
                waiter._on_grant = None  # it holds the frame of the caller that waits
            elif stage is GRANTED:
                next_waiter = self._next_waiter_locked() if self._may_pass_on_locked() else None
                if next_waiter is not None:
                    return next_waiter
                if self._in_use:  # see `reset_after_fork`
                    self._in_use -= 1
        return None

    def _may_pass_on_locked(self) -> bool:
        """Whether the permit of a holder that leaves goes to a waiter: not while more are held than there are."""
        return bool(self._queue) and self._in_use <= self._capacity

    def _next_waiter_locked(self) -> Waiter | None:
        """The first in the queue, which holds the permit from now on and must be notified; None if there is none."""
        try:
            next_waiter, _ = self._queue.popitem(last=False)
        except KeyError:  # a finalizer that ran just now has released a permit to the last one
            return None
        next_waiter.stage = GRANTED
        self.grants += 1
        return next_waiter


class PermitPair:
    """A permit of each of two semaphores, which have the same lock: acquired together, and released together.

    Whatever came of `try_acquire`, `release` ends it, and a second time does nothing. So neither an acquisition nor a release
    that Ctrl-C interrupts costs a permit, if the pair is made first and its release is tried again.
    """

    __slots__ = ("_first", "_is_held", "_second", "_waiters")

    def __init__(self, first: FairSemaphore, second: FairSemaphore) -> None:
        self._first = first
        self._second = second
        self._is_held = False
        self._waiters: tuple[Waiter, ...] = ()

    def try_acquire(self) -> bool:
        """Take both permits if both are free."""
        first, second = self._first, self._second
        with first._lock:
            if first._in_use < first._capacity and second._in_use < second._capacity:
                # A signal's handler runs where a function is called or returns, so not between these.
                first._in_use += 1
                second._in_use += 1
                self._is_held = True
                return True
            return False

    def release(self) -> None:
        """Pass each permit to the first in its queue, if there is one."""
        first, second = self._first, self._second
        with first._lock:
            if self._is_held:
                # The usual case first.
                if not first._queue and not second._queue and first._in_use and second._in_use:
                    first._in_use -= 1
                    second._in_use -= 1
                    self._is_held = False
                    return
                self._waiters = Waiter(first, GRANTED), Waiter(second, GRANTED)
                self._is_held = False
        for waiter in self._waiters:
            waiter.release()


class Latch:
    """Closed until `open` is called; then everyone who waits may go on, and everyone who comes later.

    lock: makes it safe among threads. It is never held while a waiter is notified.
    """

    __slots__ = ("_is_open", "_lock", "_waiting")

    def __init__(self, *, lock: AbstractContextManager[Any]) -> None:
        self._lock = lock
        self._is_open = False
        self._waiting: dict[Waiter, None] = {}

    @property
    def is_open(self) -> bool:
        """Whether `open` was called."""
        return self._is_open

    def wait_later(self) -> Waiter:
        """A waiter that is granted when the latch opens, at once if it is open. The caller calls its `release`."""
        with self._lock:
            waiter = Waiter(self, GRANTED if self._is_open else WAITING)
            if not self._is_open:
                self._waiting[waiter] = None
            return waiter

    def open(self) -> None:
        """Grant all waiters. A second time does nothing."""
        with self._lock:
            self._is_open = True
            waiting, self._waiting = list(self._waiting), {}
            for waiter in waiting:
                waiter.stage = GRANTED
        for waiter in waiting:
            waiter._wake_waiter()

    def _release(self, waiter: Waiter) -> None:
        with self._lock:
            self._waiting.pop(waiter, None)
            waiter.stage, waiter._on_grant = RELEASED, None

    def __repr__(self) -> str:
        return f"<Latch {'open' if self._is_open else 'closed'}, {len(self._waiting)} waiting>"

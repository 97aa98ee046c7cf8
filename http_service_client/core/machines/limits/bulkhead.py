"""A bulkhead: how many calls of one dependency may be in progress, and how many may wait for their turn.

Theory. A dependency that becomes slow keeps what calls it: threads, tasks, connections, memory. Without a bound, it ends
up with all of them, and the calls of healthy dependencies find none. A bulkhead (the wall between two holds of a ship)
bounds what one dependency can take. By Little's law, c calls in progress of s seconds each are c/s calls a second. What
comes beyond that can only wait, and a wait in a queue without a bound is longer than any caller's patience. So the queue
is bounded, too, and a caller that finds it full is refused at once.

    free permit          taken at once; then nobody waits
    none free            the caller joins the queue, if that has room, for at most `max_wait` seconds
    the queue is full    the newest waiter of the lowest priority below the caller's is refused in its stead;
                         the last waiter of a priority is spared; if there is no other, the caller is refused

**Who is next.** A permit that is released goes to a waiter, and is never free in between. Of the partitions with waiters, it
goes to the one that holds least of its share (permits held / share); where several hold the same, to each in turn, in
proportion to the shares. In there it goes to the first waiter of the highest priority, but every eighth time to the one
that has waited longest. It follows that

- a partition that has waiters, and fewer permits than its share, has one more before any partition that has its share.
  What it does not use is free for others, and comes back as their calls end. (A partition judged by its throughput or
  its limit alone starves when it is small and the calls of the others are long.)
- a waiter before which n others were in the queue of its partition has its permit after at most 8 (n + 1) grants there,
  whatever comes after it: priorities starve nobody. The others still get seven of eight grants by priority.

There is no clock in it, and no weight to set: the bound holds for calls of milliseconds and of minutes.

**A permit is an element of a set.** To release it twice, or in a forked child that inherited it, changes nothing. It is
made before it is acquired, so its caller's `finally` releases it wherever an interrupt strikes. The lock is reentrant,
and the garbage collector may close an abandoned call, which releases its permit, between any two steps of the code below:
so a waiter is added to the holders before it leaves the queue, and code that finds it gone from there takes that back.
"""

from __future__ import annotations

import math
import sys
from collections import OrderedDict
from contextlib import AbstractContextManager
from typing import Any

from ...priority import Priority
from .bulkhead_settings import BulkheadRefusal, BulkheadSettings, BulkheadSnapshot
from .semaphore import GRANTED, RELEASED, WAITING, Stage, Waiter

__all__ = ["Bulkhead", "BulkheadPermit"]

_FAIR = 8  # every so many grants go to the waiter that has waited longest
_ROUNDING = 1e-9  # 0.1 * 3 * 10 is to be rounded up to 3
_LEAST_SHARE = 0.01  # of the calls of no partition, where the others have it all
_MISSING = object()
_NORMAL = Priority.NORMAL


class _Partition:
    """Permits and queue of the calls that share them.

    share: of the permits, above 0.   most_waiting: how many may wait.
    holders: the permits that are held.
    queue: all waiters, oldest first. A waiter waits as long as it is in here.
    levels: the same, for each priority. An ordered dict is a set from whose middle a waiter leaves in constant time.
    turn: when it is next, of partitions that hold the same of their shares: the later, the more it was granted.
    successor: that of its calls, once it is no longer in the settings; None while it is.
    """

    __slots__ = (
        "grants",
        "holders",
        "levels",
        "most_waiting",
        "name",
        "queue",
        "share",
        "successor",
        "turn",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.share, self.turn = 1.0, 0.0
        self.most_waiting = self.grants = 0
        self.successor: _Partition | None = None
        self.holders: set[BulkheadPermit] = set()
        self.queue: OrderedDict[BulkheadPermit, None] = OrderedDict()
        self.levels: tuple[OrderedDict[BulkheadPermit, None], ...] = tuple(OrderedDict() for _ in Priority)

    def join(self, waiter: BulkheadPermit) -> None:
        self.levels[waiter.level][waiter] = None
        self.queue[waiter] = None

    def leave(self, waiter: BulkheadPermit) -> bool:
        """Whether it was still waiting."""
        self.levels[waiter.level].pop(waiter, None)
        return self.queue.pop(waiter, _MISSING) is not _MISSING

    def first(self) -> BulkheadPermit | None:
        """The waiter whose turn it is; None if nobody waits."""
        oldest = next(iter(self.queue), None)
        if (self.grants + 1) % _FAIR:
            for level in reversed(self.levels):
                for waiter in level:
                    return waiter
        return oldest

    def displaceable(self, level: Priority) -> BulkheadPermit | None:
        """The waiter that leaves when the queue is full and a caller of this level comes; None for no such waiter."""
        for lower in self.levels[:level]:
            # The last one stays. Otherwise a steady stream of important calls would let no other ever have its turn.
            if len(lower) > 1:
                return next(reversed(lower))
        return None

    def clear(self) -> None:
        self.holders.clear()
        self.queue.clear()
        for level in self.levels:
            level.clear()


class BulkheadPermit(Waiter):
    """The permit of one call: to be acquired, waited for, or held.

    It is made without a permit. `try_acquire` takes one if one is free, and `wait_later` joins the queue. Whatever
    came of that, `release` ends it. A second time does nothing.

    outer: that of the call around this one, or None.
    lender: the permit that it stands in for; None if it is one of its own. A call that is made inside a call of the same
        bulkhead (by an interceptor, or a function that calls itself) would wait for its own caller. It goes on with the
        permit of that caller, which waits for it meanwhile. One such call at a time does.
    is_lent: another permit stands in for it.
    level: the priority with which it waits.   was_displaced: a more important call needed its room in the queue.
    """

    __slots__ = ("is_lent", "lender", "level", "outer", "partition", "was_displaced")

    _limit: Bulkhead
    was_displaced: bool

    def __init__(
        self, bulkhead: Bulkhead, partition: _Partition, outer: BulkheadPermit | None = None
    ) -> None:  # not that of `Waiter`: what only a wait needs is set when it begins
        self._limit = bulkhead
        self.partition = partition
        self.outer = outer
        self.lender: BulkheadPermit | None = None
        self.is_lent = False
        self.level = _NORMAL
        self.stage: Stage = RELEASED

    @property
    def bulkhead(self) -> Bulkhead:
        """Whose permit it is."""
        return self._limit

    @property
    def is_held(self) -> bool:
        """Whether it is among the permits in use."""
        return self in self.partition.holders if self.lender is None else self.lender.is_held

    def try_acquire(self) -> bool:
        """Take a permit if one is free."""
        if self.lender is not None:
            return True
        bulkhead, partition = self._limit, self.partition
        with bulkhead._lock:
            # If one is free, nobody waits: released permits go to the queue.
            in_use = bulkhead._in_use_locked() if bulkhead.partitions else len(bulkhead.rest.holders)
            if in_use < bulkhead._capacity:
                if partition.successor is not None:
                    self.partition = partition = partition.successor
                partition.holders.add(self)
                self.stage = GRANTED
                return True
        return False

    def wait_later(self, level: Priority = _NORMAL) -> BulkheadRefusal | None:
        """Join the queue, or take a permit that has become free. If the queue is full, the refusal."""
        return self._limit._enqueue(self, level)

    def refusal(self) -> BulkheadRefusal:
        """Leave the queue. Why the wait was in vain."""
        with self._limit._lock:
            self.partition.leave(self)
            return self._limit._refusal_locked(self, "displaced" if self.was_displaced else "max_wait")

    def release(self) -> None:
        """Pass the permit to the next in the queue, or leave the queue."""
        lender, bulkhead = self.lender, self._limit
        if lender is not None:
            self.lender, lender.is_lent = None, False
            return
        partition = self.partition
        if self.stage is GRANTED:
            # Without the lock: a caller joins the queue before it looks at the permits. Either it finds this one free, or it
            # is found in the queue here.
            partition.holders.discard(self)
            self.stage = RELEASED
            if not (partition.queue or bulkhead.partitions):  # the usual case
                return
        with bulkhead._lock:
            partition = self.partition
            self.stage = RELEASED
            partition.holders.discard(self)
            partition.leave(self)
            granted = bulkhead._grant_locked()
        if granted:
            bulkhead._wake(granted)

    def lend(self) -> BulkheadPermit | None:
        """A permit that stands in for this one; None if it is lent, or not held."""
        with self._limit._lock:
            if self.is_lent or not self.is_held:
                return None
            self.is_lent = True
        stand_in = BulkheadPermit(self._limit, self.partition)
        stand_in.lender = stand_in.outer = self
        return stand_in

    def __repr__(self) -> str:
        return f"<BulkheadPermit {self.stage.value} of {self._limit!r}>"


class Bulkhead:
    """At most `max_concurrent` permits are held at once. Some callers may wait, by partition, priority and age.

    settings: see `BulkheadSettings`.   key: the name in errors and events.
    lock: makes it safe among threads; reentrant. It is never held while a waiter is notified.
    partitions: by name.   rest: that of all other calls.
    """

    __slots__ = (
        *("_capacity", "_granted", "_is_lifted", "_lock", "_refused", "_settings", "_turn"),
        *("key", "partitions", "rest"),
    )

    def __init__(
        self, settings: BulkheadSettings, *, key: str = "", lock: AbstractContextManager[Any]
    ) -> None:
        self.key = key
        self._lock = lock
        self._granted = self._refused = 0
        self._is_lifted = False
        self._turn = 0.0  # of the last partition that had one: a partition that was idle saves none up
        self.rest = _Partition("")
        self.partitions: dict[str, _Partition] = {}
        self._configure_locked(settings)

    @property
    def settings(self) -> BulkheadSettings:
        """Those in use."""
        return self._settings

    @property
    def in_use(self) -> int:
        """Permits held."""
        with self._lock:
            return self._in_use_locked()

    @property
    def waiting(self) -> int:
        """Calls in the queue."""
        with self._lock:
            return sum(len(each.queue) for each in self._all())

    @property
    def is_idle(self) -> bool:
        """Whether no call holds a permit. Then none waits for one either."""
        return not any(each.holders for each in self._all())

    def permit(self, name: str | None = None) -> BulkheadPermit:
        """A permit to be acquired.   name: of its partition; None, or any other name, for the rest."""
        return BulkheadPermit(self, self.partitions.get(name, self.rest) if name else self.rest)

    def reconfigure(self, settings: BulkheadSettings) -> None:
        """Take new settings. Permits that are held stay held, and calls that wait go on waiting.

        More permits are granted at once. Of fewer, those beyond the new number are not granted again when they are
        released. Calls of a partition that is no more belong to the rest.
        """
        with self._lock:
            self._configure_locked(settings)
            granted = self._grant_locked()
        self._wake(granted)

    def lift(self) -> None:
        """Have permits for everyone from now on, and let go on all that wait: the limit was switched off."""
        with self._lock:
            self._is_lifted = True
            self._configure_locked(self._settings)
            granted = self._grant_locked()
        self._wake(granted)

    def snapshot(self) -> BulkheadSnapshot:
        """Permits and queue, at one instant."""
        with self._lock:
            each = {one.name: (len(one.holders), len(one.queue)) for one in self._all()}
            return BulkheadSnapshot(
                max_concurrent=self._capacity,
                in_use=sum(held for held, _ in each.values()),
                waiting=sum(waiting for _, waiting in each.values()),
                granted=self._granted,
                refused=self._refused,
                partitions=each,
            )

    def reset_after_fork(self) -> None:
        """Free every permit and clear the queue: for a forked child, where their callers do not exist."""
        with self._lock:
            self._granted = self._refused = 0
            for partition in self._all():
                partition.clear()

    def __repr__(self) -> str:
        return f"<Bulkhead {self.in_use} of {self._capacity} in use, {self.waiting} waiting>"

    def _all(self) -> list[_Partition]:
        return [*self.partitions.values(), self.rest]

    def _in_use_locked(self) -> int:
        count = len(self.rest.holders)
        if self.partitions:
            for partition in self.partitions.values():
                count += len(partition.holders)
        return count

    def _configure_locked(self, settings: BulkheadSettings) -> None:
        self._settings = settings
        self._capacity = sys.maxsize if self._is_lifted else settings.max_concurrent
        most, shares, rest = settings.most_waiting, settings.partitions, self.rest
        gone = [one for name, one in self.partitions.items() if name not in shares]
        partitions = {}
        for name, share in shares.items():
            partitions[name] = partition = self.partitions.get(name) or _Partition(name)
            partition.share, partition.most_waiting = share, math.ceil(share * most - _ROUNDING)
        rest.share = max(1 - sum(shares.values()), _LEAST_SHARE)
        rest.most_waiting = math.ceil(rest.share * most - _ROUNDING)
        self.partitions = partitions
        for partition in gone:
            self._move_locked(partition, rest)

    def _move_locked(self, partition: _Partition, rest: _Partition) -> None:
        """Let the calls of a partition that is no more belong to the rest; its waiters come after those of the rest."""
        partition.successor = rest
        for permit in (*partition.holders, *partition.queue):
            permit.partition = rest
        rest.holders |= partition.holders
        for waiter in partition.queue:
            rest.join(waiter)
        partition.clear()

    def _refusal_locked(
        self, permit: BulkheadPermit, reason: str, displaceable: BulkheadPermit | None = None
    ) -> BulkheadRefusal:
        partition = permit.partition
        lowest = None if displaceable is None else displaceable.level.value
        return BulkheadRefusal(
            reason,
            self._in_use_locked(),
            self._capacity,
            len(partition.queue),
            partition.most_waiting,
            permit.level.value,
            lowest,
        )

    def _enqueue(self, permit: BulkheadPermit, level: Priority) -> BulkheadRefusal | None:
        permit.level = level
        permit.was_displaced = permit._is_interrupted = False
        permit._on_grant = None
        displaced = refusal = None
        with self._lock:
            partition = permit.partition = permit.partition.successor or permit.partition
            permit.stage = WAITING
            # It joins first. After a look at the permits, it would miss one that the collector releases in between.
            partition.join(permit)
            granted = self._grant_locked()
            excess = len(partition.queue) - partition.most_waiting
            if excess > 0 and permit.stage is WAITING:
                self._refused += 1
                displaced = partition.displaceable(level) if excess == 1 else None
                if displaced is None:
                    partition.leave(permit)
                    permit.stage = RELEASED
                    refusal = self._refusal_locked(
                        permit, "full", partition.displaceable(Priority.CRITICAL) if excess == 1 else None
                    )
                else:
                    partition.leave(displaced)
                    displaced.was_displaced = True
        self._wake(granted)
        if displaced is not None:
            displaced.interrupt()
        return refusal

    def _release(self, waiter: Waiter) -> None:
        """As a `Limit`. The permit does it itself, since each call does it: a function less."""
        waiter.release()

    def _grant_locked(self) -> list[BulkheadPermit]:
        """Grant the free permits to those whose turn it is. They must be notified."""
        granted: list[BulkheadPermit] = []
        while (waiter := self._next_locked()) is not None:
            partition = waiter.partition
            if self._in_use_locked() >= self._capacity:  # asked last: the search may be interrupted, too
                break
            partition.holders.add(waiter)
            if partition.leave(waiter):
                waiter.stage = GRANTED
                partition.grants += 1
                self._turn = max(partition.turn, self._turn)
                partition.turn = self._turn + 1 / partition.share
                self._granted += 1
                granted.append(waiter)
            elif waiter.stage is not GRANTED:  # a finalizer that ran just now has ended its wait
                partition.holders.discard(waiter)
        return granted

    def _next_locked(self) -> BulkheadPermit | None:
        """The waiter whose turn it is, of those in all partitions."""
        if not self.partitions:
            return self.rest.first() if self.rest.queue else None
        candidates = [each for each in self._all() if each.queue]
        if not candidates:
            return None
        return min(candidates, key=self._load_locked).first()

    def _load_locked(self, partition: _Partition) -> tuple[float, float]:
        """Permits held, in proportion to the share; then whose turn it is, also in proportion."""
        return len(partition.holders) / partition.share, max(partition.turn, self._turn)

    def _wake(self, granted: list[BulkheadPermit]) -> None:
        """Notify them. The permit of one that cannot be reached goes to the next."""
        while granted:
            waiter = granted.pop(0)
            if not waiter.wake():
                with self._lock:
                    waiter.stage = RELEASED
                    waiter.partition.holders.discard(waiter)
                    granted += self._grant_locked()

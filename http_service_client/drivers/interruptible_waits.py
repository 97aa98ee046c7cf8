"""The waits inside a driver, which end when its client is closed.

Both drivers wait for a slot through a `Waiter`. They sleep through one, too: a sleep is a wait, with a timeout, for a
permit that is never granted. So every wait of a call can be ended from any thread, by one rule.
"""

from __future__ import annotations

from ..core.effects import Acquire
from ..core.machines.limits.semaphore import FairSemaphore, Waiter
from .locks import ForkSafeLock

__all__ = ["Waits"]


class Waits:
    """The waiters of one driver.

    are_over: the client was closed: nothing waits and nothing is sent any more.
    """

    def __init__(self) -> None:
        self.are_over = False
        self._pending: set[Waiter] = set()
        self._never = FairSemaphore(1, lock=ForkSafeLock())
        self._never.try_acquire()

    def sleep(self, seconds: float) -> Acquire:
        """The wait that lasts so long. Release its waiter afterwards."""
        return Acquire(self._never.acquire_later(), seconds)

    def enter(self, waiter: Waiter) -> bool:
        """Before a wait: False if there is nothing to wait for any more. Call `leave` in any case."""
        self._pending.add(waiter)
        return not self.are_over

    def leave(self, waiter: Waiter) -> None:
        """After a wait."""
        self._pending.discard(waiter)

    def end(self) -> None:
        """End the waits of all threads and tasks, from any thread, and all later ones at once."""
        self.are_over = True  # first: a waiter that enters from now on sees it
        for waiter in self._pending.copy():
            waiter.interrupt()

"""Threads in virtual time: the blocking driver's waits, one thread at a time, and no sleeping.

Each thread is a real one, but only the one that holds the baton runs. A wait hands the baton to a thread that can go on, or
else moves the time to the next instant that something waits for. So a row of a table plays the same each time.
"""

from __future__ import annotations

import contextvars
import heapq
import itertools
import threading
from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client.core.effects import Sleep
from http_service_client.drivers import blocking

__all__ = ["VirtualThreads"]


class _Thread:
    """A thread, its baton, and why it was woken."""

    def __init__(self, target: Callable[[], object]) -> None:
        self.baton = threading.Semaphore(0)
        self.target = target
        self.parked = 0  # the number of its present wait; 0 while it runs
        self.interruption: BaseException | None = None


class VirtualThreads:
    """The scheduler. It is a `Clock`, too, on which a wait takes virtual time."""

    def __init__(self) -> None:
        self.now = 0.0
        self._ready: deque[_Thread] = deque()
        self._timed: list[tuple[float, int, _Thread, int]] = []
        self._numbers = itertools.count(1)
        self._current: _Thread | None = None
        self._alive = 0
        self._all_ended = threading.Event()

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return 1_704_067_200.0 + self.now

    def sleep(self, seconds: float) -> None:
        self._park(seconds)

    async def sleep_async(self, seconds: float) -> None:
        raise AssertionError("a thread awaits nothing")

    def patch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let the blocking driver wait here, and begin its threads here."""
        threads = SimpleNamespace(start=self.start, is_full=False)
        monkeypatch.setattr(blocking, "threading", SimpleNamespace(Lock=lambda: _Lock(self)))
        init = _init_with_sleeps_that_end(blocking.BlockingDriver)
        monkeypatch.setattr(blocking.BlockingDriver, "__init__", init)
        for name in ("_BESIDE", "_BEHIND", "_BRANCHES"):
            monkeypatch.setattr(blocking, name, threads)

    def start(self, target: Callable[[], object], at: float = 0.0) -> _Thread:
        """Begin a thread, after `at` seconds. It runs when the others wait."""
        thread = _Thread(target)
        self._alive += 1
        thread.parked = number = next(self._numbers)
        heapq.heappush(self._timed, (self.now + at, number, thread, number))
        context = contextvars.copy_context()
        threading.Thread(target=lambda: context.run(self._run, thread), daemon=True).start()
        return thread

    def interrupt(self, thread: _Thread, error: BaseException) -> None:
        """Raise an error in the wait of a thread, as Ctrl-C does."""
        if thread.parked:
            thread.interruption = error
            self._wake(thread)

    def run(self) -> None:
        """Run until all threads have ended."""
        if self._alive:
            self._hand_on()
            assert self._all_ended.wait(20), f"the threads wait for ever at {self.now:g} s"

    def _run(self, thread: _Thread) -> None:
        thread.baton.acquire()
        self._current = thread
        try:
            thread.target()
        finally:
            self._alive -= 1
            if self._alive:
                self._hand_on()
            else:
                self._all_ended.set()

    def _park(self, seconds: float | None) -> None:
        """Wait until woken, at most so many seconds."""
        thread = self._current
        assert thread is not None, "only virtual threads wait here"
        thread.parked = number = next(self._numbers)
        if seconds is not None:
            heapq.heappush(self._timed, (self.now + max(0.0, seconds), number, thread, number))
        self._hand_on()
        thread.baton.acquire()
        self._current = thread
        error, thread.interruption = thread.interruption, None
        if error is not None:
            raise error

    def _wake(self, thread: _Thread) -> None:
        if thread.parked:
            thread.parked = 0
            self._ready.append(thread)

    def _hand_on(self) -> None:
        if self._ready:
            self._ready.popleft().baton.release()
            return
        while self._timed:
            due, _, thread, number = heapq.heappop(self._timed)
            if thread.parked == number:
                self.now = max(self.now, due)
                thread.parked = 0
                thread.baton.release()
                return
        # Nothing can go on: `run` says so.


def _init_with_sleeps_that_end(driver: Any) -> Any:
    """A constructor of the driver by which a sleep with a waiter waits for it, and not on the clock alone."""
    init = driver.__init__

    def __init__(self: Any, *args: Any, **named: Any) -> None:
        init(self, *args, **named)
        sleep = self._perform[Sleep]
        self._perform[Sleep] = lambda effect: sleep(effect) if effect.waiter is None else self._sleep(effect)

    return __init__


class _Lock:
    """`threading.Lock` among virtual threads."""

    def __init__(self, threads: VirtualThreads) -> None:
        self._threads = threads
        self._is_locked = False
        self._waiting: deque[Any] = deque()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if not self._is_locked:
            self._is_locked = True
            return True
        if not blocking or timeout == 0:
            return False
        claim = [self._threads._current, False]
        self._waiting.append(claim)
        try:
            self._threads._park(None if timeout < 0 else timeout)
        finally:
            if not claim[1]:
                self._waiting.remove(claim)
        return bool(claim[1])

    def release(self) -> None:
        if not self._waiting:
            self._is_locked = False
            return
        claim = self._waiting.popleft()
        claim[1] = True
        self._threads._wake(claim[0])

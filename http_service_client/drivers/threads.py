"""Daemon threads for work that blocks and cannot be interrupted, such as the system's resolver.

Not an executor. `asyncio.run` and the interpreter wait at their end for the threads of an executor, and asyncio's
default one may be full of other code's work.

Nothing here holds a lock. A signal handler or a finalizer may run between any two steps of a thread and use these
threads itself: a lock that the interrupted code held would never be released. Each step is a single operation on a
deque or a dict, which is atomic. That is also why threads are started by `_thread`: `threading.Thread` takes locks
of its own, and starting one takes several times as long.
"""

from __future__ import annotations

import _thread
import os
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable
from functools import partial

__all__ = ["MOST_BEHIND", "DaemonThreads"]

MOST_BEHIND = 64
"""Plans that nobody waits for, at once: in the threads of a process, and in the tasks of a client."""

_WAKING = 1.0  # seconds for the last step of `start`; a thread that is not woken then goes on by itself


class _Life:
    """Of one thread, which alone keeps it: it is freed when the thread ends, in whatever way."""

    __slots__ = ("__weakref__",)


class DaemonThreads:
    """At most `limit` threads, started when there is work.

    idle: seconds that a thread without work waits for more before it ends. 0 where a fork may follow: Python 3.12
        warns of a fork in a process that has threads.
    """

    def __init__(self, limit: int, idle: float = 0.0) -> None:
        self._limit = limit
        self._idle = idle
        self._reset()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._reset)  # the parent's threads do not exist in the child

    def _reset(self) -> None:
        self._queue: deque[Callable[[], None]] = deque()
        self._workers: dict[object, weakref.ref[_Life]] = {}
        # Of threads without work; releasing one wakes its thread.
        self._waiting: deque[_thread.LockType] = deque()

    @property
    def is_full(self) -> bool:
        """Whether new work has to wait for a thread."""
        return len(self._workers) >= self._limit and not self._waiting

    def start(self, work: Callable[[], None]) -> None:
        """Have a thread call `work`, which raises nothing: now, or as soon as a thread is free.

        Where no thread can start (while the interpreter ends, or at a limit on the number of processes) and none is
        running, the calling thread does it.
        """
        self._queue.append(work)
        try:
            self._waiting.pop().release()
        except IndexError:  # every thread has work
            self._start_thread()

    def _start_thread(self) -> None:
        worker, life, is_running = object(), _Life(), False
        try:
            if self._try_join(worker, life):
                _thread.start_new_thread(self._run, (worker, life))
                is_running = True
        except RuntimeError:  # no thread can start
            pass
        finally:
            if not is_running:
                self._workers.pop(worker, None)
        while self._queue and not self._workers:
            self._run_next()

    def _lost(self, worker: object, life: weakref.ref[_Life] | None = None) -> None:
        """A thread ends by an exception, such as one of its work. Another thread does the work that is left.

        life: of a thread that has not left the workers itself. An exception that is raised in a thread from outside, as
            dramatiq's time limits are, ends ours before its first step: until Python 3.12, one that is meant for the
            thread that has just started ours may hit ours instead.
        """
        self._workers.pop(worker, None)
        if self._queue:
            self._start_thread()

    def _try_join(self, worker: object, life: _Life) -> bool:
        """Add a worker if there is work, and room for the worker.

        Two threads that add one each may both find too many. Both look again after they have removed their own, so
        the last one to look finds the room, and no work is left waiting for a worker that nobody adds.
        """
        while self._queue and len(self._workers) < self._limit:
            self._workers[worker] = weakref.ref(life, partial(self._lost, worker))
            if len(self._workers) <= self._limit:
                return True
            self._workers.pop(worker, None)
        return False

    def _run(self, worker: object, life: _Life) -> None:
        """A thread's life."""
        # As `threading.Thread` does, for debuggers, coverage and profilers.
        sys.settrace(threading.gettrace())
        sys.setprofile(threading.getprofile())
        wake: _thread.LockType | None = None
        try:
            while True:
                while self._queue:
                    self._run_next()
                if self._idle:
                    if wake is None:
                        wake = _thread.allocate_lock()
                        wake.acquire()
                    if self._is_woken(wake):
                        continue
                    wake = None  # `start` may still release it
                self._workers.pop(worker, None)
                if not self._try_join(worker, life):
                    return
        except BaseException:
            self._lost(worker)  # now: whoever reports the exception may keep its traceback, and so our life
            raise

    def _is_woken(self, wake: _thread.LockType) -> bool:
        """Wait for more work; False when none came in time.

        A lock that is not in `_waiting` any more is about to be released by `start`, unless a signal handler has
        interrupted that, as Ctrl-C does. The work is in the queue already.
        """
        self._waiting.append(wake)
        if self._queue:  # `start` may have looked for a waiting thread just before
            try:
                self._waiting.remove(wake)
            except ValueError:
                return wake.acquire(timeout=_WAKING)
            return True
        if wake.acquire(timeout=self._idle):
            return True
        try:
            self._waiting.remove(wake)
            return False
        except ValueError:
            return wake.acquire(timeout=_WAKING)

    def _run_next(self) -> None:
        try:
            work = self._queue.popleft()
        except IndexError:  # another thread took it
            return
        work()

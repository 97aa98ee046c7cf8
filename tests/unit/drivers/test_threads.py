"""Daemon threads: limited in number, started for work and no longer, and done without where none can start."""

from __future__ import annotations

import _thread
import sys
import threading
from collections import deque
from typing import Any

import pytest

from http_service_client.drivers import threads as drivers_threads
from http_service_client.drivers.threads import DaemonThreads
from kit.threads import Held, in_time, refuse_threads, run_threads, wait_until
from network.test_processes import in_a_child, needs_fork


def test_the_caller_does_no_work_that_a_thread_can_do() -> None:
    """Neither work that begins at once nor work that has to wait."""
    callers, may_end, done = list[int](), threading.Event(), list[None]()

    class Watched(DaemonThreads):
        def _run_next(self) -> None:
            assert threading.get_ident() not in callers
            super()._run_next()

    def work() -> None:
        may_end.wait(5)
        done.append(None)

    threads = Watched(1)

    def start() -> None:
        callers.append(threading.get_ident())
        for _ in range(3):
            threads.start(work)

    in_time(start)
    may_end.set()
    wait_until(lambda: len(done) == 3)


def test_a_thread_ends_with_its_last_work() -> None:
    """A fork may follow, before which a process should have no threads: it waits for more only if it was told to."""
    waits: list[object] = []

    class Watched(DaemonThreads):
        def _is_woken(self, wake: Any) -> bool:
            waits.append(wake)
            return super()._is_woken(wake)

    threads, work = Watched(1), Held()
    in_time(lambda: threads.start(work))
    assert work.began.wait(5)
    (life,) = threads._workers.values()
    work.may_end.set()
    wait_until(lambda: life() is None)
    assert not threads._workers
    assert waits == []


def test_work_beyond_the_limit_waits_for_a_free_thread() -> None:
    """It begins when other work ends, on the same thread."""
    threads = DaemonThreads(2)
    works = [Held() for _ in range(3)]
    for work in works:
        threads.start(work)
    assert works[0].began.wait(5)
    assert works[1].began.wait(5)
    assert threads.is_full
    assert not works[2].began.is_set()
    works[0].may_end.set()
    assert works[2].began.wait(5)
    assert works[2].thread == works[0].thread
    for work in works:
        work.may_end.set()
        assert work.has_ended.wait(5)
    wait_until(lambda: not threads._workers)
    assert not threads.is_full


@pytest.mark.parametrize("idle", [0.0, 0.001, 5.0])
@pytest.mark.parametrize("limit", [1, 2, 16])
def test_no_work_is_lost_in_a_race(limit: int, idle: float) -> None:
    """All of it is done, within the limit, however submissions and the ends of threads coincide."""
    threads = DaemonThreads(limit, idle)
    running: list[None] = []
    done: list[int] = []

    def work() -> None:
        running.append(None)
        count = len(running)
        running.pop()
        done.append(count)

    def submit(number: int) -> None:
        for _ in range(50):
            threads.start(work)

    run_threads(submit, 8)
    wait_until(lambda: len(done) == 8 * 50)
    assert max(done) <= limit


def test_an_idle_thread_takes_the_next_work_and_ends_when_none_comes() -> None:
    """No new thread is started while one waits for work."""
    threads = DaemonThreads(2, idle=5.0)
    works = [Held(), Held()]
    for work in works:
        work.may_end.set()
        threads.start(work)
        assert work.has_ended.wait(5)
        wait_until(lambda: len(threads._waiting) == 1)
    assert works[0].thread == works[1].thread
    threads._idle = 0.0
    threads.start(lambda: None)  # wakes the thread, which then waits no longer
    wait_until(lambda: not threads._workers)
    assert not threads._waiting


def test_a_thread_that_waits_for_work_leaves_room() -> None:
    """Also at the limit: the next work waits for nothing."""
    threads = DaemonThreads(1, idle=5.0)
    threads.start(lambda: None)
    wait_until(lambda: len(threads._waiting) == 1)
    assert not threads.is_full
    threads._idle = 0.0
    threads.start(lambda: None)
    wait_until(lambda: not threads._workers)


def test_an_idle_thread_ends_after_its_time() -> None:
    """It leaves nothing behind: neither a count nor an entry among the waiting."""
    threads = DaemonThreads(1, idle=0.001)
    threads.start(lambda: None)
    wait_until(lambda: not threads._workers)
    assert not threads._waiting


def test_work_that_came_just_before_a_thread_waits_wakes_it() -> None:
    """Either the thread sees the work itself and waits no longer, or `start` has found it among the waiting."""
    threads = DaemonThreads(1, idle=0.001)
    threads._queue.append(lambda: None)
    wake = _thread.allocate_lock()
    wake.acquire()
    assert threads._is_woken(wake)
    assert not threads._waiting

    class Started(deque[Any]):
        """`start` takes the entry as soon as it is there."""

        def append(self, entry: Any) -> None:
            entry.release()

    for queue in ([], [lambda: None]):
        threads._queue, threads._waiting = deque(queue), Started()
        assert threads._is_woken(wake)
        assert wake.locked()  # taken again, for the next time

    class Late(deque[Any]):
        """`start` takes the entry just after the wait has ended."""

        def remove(self, entry: Any) -> None:
            super().remove(entry)
            entry.release()
            raise ValueError

    threads._queue, threads._waiting = deque(), Late()
    assert threads._is_woken(wake)
    assert wake.locked()


def test_a_start_that_is_interrupted_leaves_no_thread_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C may come just before it wakes a thread, which would wait without end. The work is done, once."""
    monkeypatch.setattr(drivers_threads, "_WAKING", 0.01)

    threads, done = DaemonThreads(1, idle=0.001), []

    class Interrupted(deque[Any]):
        """`start` has brought work and taken the entry just before the wait ended, and goes no further."""

        def remove(self, entry: Any) -> None:
            super().remove(entry)
            if not done:
                threads._queue.append(lambda: done.append(1))
                raise ValueError

    threads._waiting = Interrupted()
    threads.start(lambda: None)
    wait_until(lambda: not threads._workers)
    assert done == [1]


class RaisedFromOutside(BaseException):
    """As by `PyThreadState_SetAsyncExc`, which dramatiq uses."""


def test_the_work_of_a_thread_that_ends_before_its_first_step_is_done_by_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And it is counted no longer, or it would take the place of another thread forever."""
    start_thread, started, done = _thread.start_new_thread, list[None](), list[int]()

    def start(function: Any, arguments: tuple[Any, ...]) -> int:
        def run(*arguments: Any) -> None:
            if len(started) == 1:
                raise RaisedFromOutside
            function(*arguments)

        started.append(None)
        return start_thread(run, arguments)

    monkeypatch.setattr(_thread, "start_new_thread", start)
    monkeypatch.setattr(sys, "unraisablehook", lambda about: None)  # pytest's keeps the traceback
    threads = DaemonThreads(1)
    threads.start(lambda: done.append(threading.get_ident()))
    wait_until(lambda: done and not threads._workers)
    assert len(started) == 2
    assert done != [threading.get_ident()]


def test_work_that_raises_leaves_the_other_work_to_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """It should not, but what ends a process, as `sys.exit` does, may come out of a user's code."""
    reports: list[Any] = []  # kept, as by pytest, with the traceback
    monkeypatch.setattr(sys, "unraisablehook", lambda about: reports.append(about.exc_value))
    threads, held, second = DaemonThreads(1), Held(), Held()

    def first() -> None:
        held()
        raise RaisedFromOutside

    threads.start(first)
    assert held.began.wait(5)
    threads.start(second)
    second.may_end.set()
    held.may_end.set()
    assert second.has_ended.wait(5)
    assert second.thread != threading.get_ident()
    wait_until(lambda: reports and not threads._workers)
    reports.clear()


def test_two_threads_that_join_at_once_leave_no_work_without_a_worker() -> None:
    """Both find that there are too many, and remove themselves: the last to look finds the room."""

    class Contended(dict[object, Any]):
        """Another thread adds itself just after this one, and has gone when this one has."""

        has_been = False

        def __setitem__(self, worker: object, life: Any) -> None:
            super().__setitem__(worker, life)
            if not self.has_been:
                self.has_been = True
                super().__setitem__("other", life)

        def pop(self, worker: object, default: Any = None) -> Any:
            super().pop("other", None)
            return super().pop(worker, default)

    threads, done = DaemonThreads(1), list[int]()
    threads._workers = Contended()
    threads.start(lambda: done.append(threading.get_ident()))
    wait_until(lambda: done and not threads._workers)
    assert done != [threading.get_ident()]


def test_work_that_comes_while_a_thread_ends_is_done_by_that_thread() -> None:
    """It has found its queue empty, and makes room only now: `start` has added no other thread."""
    threads, first, second = DaemonThreads(1), Held(), Held()
    second.may_end.set()
    coming = [second]

    class Leaving(dict[object, Any]):
        def pop(self, worker: object, default: Any = None) -> Any:
            if coming:
                threads.start(coming.pop())
            return super().pop(worker, default)

    threads._workers = Leaving()
    threads.start(first)
    first.may_end.set()
    assert second.has_ended.wait(5)
    assert second.thread == first.thread
    wait_until(lambda: not threads._workers)


def test_debuggers_and_profilers_see_the_work() -> None:
    """As they see that of `threading.Thread`."""

    def trace(*about: Any) -> None:
        pass

    def profile(*about: Any) -> None:
        pass

    seen: list[Any] = []
    before = threading.gettrace(), threading.getprofile()
    threading.settrace(trace)
    threading.setprofile(profile)
    try:
        DaemonThreads(1).start(lambda: seen.append((sys.gettrace(), sys.getprofile())))
        wait_until(lambda: seen)
    finally:
        threading.settrace(before[0])  # type: ignore[arg-type]  # None is allowed
        threading.setprofile(before[1])
    assert seen == [(trace, profile)]


def test_where_no_thread_can_start_the_caller_does_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, and as often as it is needed: the limit counts no thread that did not start."""
    refuse_threads(monkeypatch)
    threads = DaemonThreads(1)
    for _ in range(3):
        work = Held()
        work.may_end.set()
        threads.start(work)
        assert work.thread == threading.get_ident()


def test_where_no_more_threads_can_start_a_running_one_does_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller, whose wait has a limit, does not do it itself."""
    threads = DaemonThreads(2)
    first, second = Held(), Held()
    threads.start(first)
    assert first.began.wait(5)
    refuse_threads(monkeypatch)
    threads.start(second)
    assert not second.began.is_set()
    second.may_end.set()
    first.may_end.set()
    assert second.has_ended.wait(5)
    assert second.thread == first.thread


@needs_fork
def test_a_forked_child_has_threads_of_its_own() -> None:
    """Those of the parent, which are counted as running, do not exist in the child."""
    threads = DaemonThreads(1)
    held = Held()
    threads.start(held)
    assert held.began.wait(5)

    def child() -> None:
        work = Held()
        work.may_end.set()
        threads.start(work)
        assert work.has_ended.wait(5)

    assert in_a_child(child) == 0
    held.may_end.set()

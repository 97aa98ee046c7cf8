"""Threads that take turns every few microseconds, so that races show, and threads under a test's control."""

from __future__ import annotations

import _thread
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any

import pytest

__all__ = ["Held", "frequent_switches", "in_time", "refuse_threads", "run_threads", "wait_until"]


@contextmanager
def frequent_switches() -> Iterator[None]:
    """Threads switch every few microseconds, so that races become likely."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def run_threads(work: Callable[[int], object], count: int = 16) -> None:
    """Call `work` with the numbers from 0, each on its own thread, and wait until all have ended."""
    with frequent_switches():
        threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=30)
    assert not any(thread.is_alive() for thread in threads)


class Held:
    """Work that runs until it may end."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.may_end = threading.Event()
        self.has_ended = threading.Event()
        self.thread = 0

    def __call__(self) -> None:
        self.thread = threading.get_ident()
        self.began.set()
        self.may_end.wait(10)
        self.has_ended.set()


def in_time(function: Callable[[], Any]) -> Any:
    """Call a function that blocks, in this thread's context. One that hangs fails the test."""
    outcomes: list[tuple[Any, BaseException | None]] = []

    def work() -> None:
        try:
            outcomes.append((function(), None))
        except BaseException as error:
            outcomes.append((None, error))

    thread = threading.Thread(target=copy_context().run, args=(work,), daemon=True)
    thread.start()
    thread.join(10)
    assert outcomes, "it did not return"
    value, error = outcomes.pop()
    if error is None:
        return value
    try:
        raise error
    finally:
        del error  # its traceback holds this frame


def refuse_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """As while the interpreter ends, or at a limit on the number of processes."""

    def refuse(*arguments: object) -> int:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_thread, "start_new_thread", refuse)


def wait_until(condition: Callable[[], object]) -> None:
    """Wait for something that another thread does."""
    ends_at = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < ends_at, "it did not happen"
        threading.Event().wait(0.005)

"""`gather_in_threads`: what only threads have. Real concurrency, interrupts, limits on threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from http_service_client import gather_in_threads
from http_service_client.policies.gather_in_threads import run_in_threads
from kit.threads import Held, in_time, refuse_threads


def gathered(functions: Iterable[Callable[[], Any]], **options: Any) -> list[Any]:
    """The results, if it does not hang."""
    results: list[Any] = in_time(lambda: gather_in_threads(functions, **options))
    return results


def test_it_returns_when_the_last_function_has() -> None:
    """Each ends in its own way."""

    def fail() -> None:
        raise LookupError

    assert gathered([]) == []
    assert gathered([list] * 3) == [[], [], []]
    with pytest.raises(LookupError):
        gathered([list, fail])


def test_a_wait_for_a_function_goes_on_after_each_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is cut only so that a signal can interrupt it."""
    monkeypatch.setattr("http_service_client.policies.gather_in_threads._SLICE", 0.001)
    assert gathered([lambda: threading.Event().wait(0.02)]) == [False]


def test_functions_run_side_by_side() -> None:
    """As many as `at_once` says: each waits for all others."""
    barrier = threading.Barrier(5)
    gathered([lambda: barrier.wait(10)] * 10, at_once=5)


def test_no_more_than_allowed_run_at_a_time() -> None:
    """A sixth would find five that run."""
    gate = threading.Semaphore(5)

    def work() -> bool:
        is_free = gate.acquire(blocking=False)
        threading.Event().wait(0.001)
        gate.release()
        return is_free

    assert all(gathered([work] * 50, at_once=5))


def test_functions_that_run_are_awaited_before_the_exception_is_raised() -> None:
    """They cannot be interrupted, and nothing runs on behind the caller's back."""
    held = Held()

    def fail() -> None:
        assert held.began.wait(10)
        threading.Timer(0.05, held.may_end.set).start()
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        gathered([held, fail])
    assert held.has_ended.is_set()


def test_an_interrupt_does_not_wait_for_the_threads() -> None:
    """Ctrl-C is raised at once; the threads do not keep the process alive."""
    held = Held()
    threads: list[threading.Thread] = []

    def noted() -> None:
        threads.append(threading.current_thread())
        held()

    def source() -> Iterator[Callable[[], Any]]:
        yield noted
        assert held.began.wait(10)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gathered(source())
    assert not held.has_ended.is_set()
    assert [thread.daemon for thread in threads] == [True]
    held.may_end.set()
    threads[0].join(10)


@pytest.mark.parametrize("return_exceptions", [False, True])
def test_an_exit_in_a_thread_is_the_callers(return_exceptions: bool) -> None:
    """It is never a result: a program that wants to end must end."""

    def leave() -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        gathered([leave], return_exceptions=return_exceptions)


def test_where_no_thread_can_start_the_caller_does_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other is better than not at all."""

    def gather() -> tuple[list[int], int]:
        refuse_threads(monkeypatch)
        monkeypatch.setattr(threading, "_start_new_thread", refuse_start, raising=False)
        monkeypatch.setattr(threading, "_start_joinable_thread", refuse_start, raising=False)
        return gather_in_threads([threading.get_ident] * 3), threading.get_ident()

    threads, own = in_time(gather)
    assert threads == [own] * 3


def refuse_start(*arguments: object, **options: object) -> int:
    raise RuntimeError("can't start new thread")


def test_async_functions_and_coroutines_are_refused() -> None:
    """The message names the function for asyncio, and no coroutine is left to warn."""

    async def call() -> None:
        await asyncio.sleep(0)

    with pytest.raises(TypeError, match=r"await gather\(\.\.\.\)"):
        gathered([call])
    coroutine: Any = call()
    with pytest.raises(TypeError, match=r"await gather\(\.\.\.\)"):
        gathered([coroutine])
    coroutine.close()


def numbers_and_then(last: Any) -> Iterator[Any]:
    """Two functions, and what is none, or an error."""
    yield from (lambda: 1, lambda: 2)
    if isinstance(last, BaseException):
        raise last
    yield last


@pytest.mark.parametrize(
    ("last", "kind"),
    [(ValueError(), ValueError), ("no function", TypeError), (lambda: int("x"), ValueError)],
    ids=["an iterable that fails", "no function", "a function that fails"],
)
def test_those_that_run_are_told_of_the_first_error_once(last: Any, kind: type[Exception]) -> None:
    """Whether it is one of a function or of the iterable, so that they end."""
    told: list[str] = []
    with pytest.raises(kind):
        in_time(lambda: run_in_threads(numbers_and_then(last), 2, on_error=lambda: told.append("end")))
    assert told == ["end"]


def test_one_function_is_no_list_of_them() -> None:
    """The error says how to write it."""
    function: Any = list
    with pytest.raises(
        TypeError, match=r"takes an iterable of functions, not .*; write gather_in_threads\(\[…\]\)$"
    ):
        gather_in_threads(function)

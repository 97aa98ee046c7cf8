"""What may come between two steps of a plan: an interrupt closes it, and an error keeps nothing of it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import linecache
import sys
import weakref
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

import pytest

from http_service_client.core.effects import Invoke, Sleep
from http_service_client.drivers.aio import AsyncioDriver
from http_service_client.drivers.blocking import BlockingDriver
from http_service_client.drivers.simulated_functions import EffectAwaiter


def interrupting(code: CodeType, line_number: int) -> Callable[..., Any]:
    """A trace function that raises KeyboardInterrupt at the n-th executed line of this code.

    Lines that do nothing are not counted: Python checks for signals at calls and jumps, and since Python 3.11
    the line `try:` itself is not guarded by its `finally`.
    """
    passed = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal passed
        if frame.f_code is not code:
            return None
        if event == "line" and does_something(frame):
            passed += 1
            if passed == line_number:
                raise KeyboardInterrupt
        return trace

    return trace


def does_something(frame: FrameType) -> bool:
    text = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
    return text not in {"try:", "while True:", "else:", "finally:"}


def trio_driver(sleep: Any) -> Any:
    pytest.importorskip("trio", reason="the extra trio is not installed")
    from http_service_client.drivers.on_trio import TrioDriver

    return TrioDriver(sleep)


RUNS: dict[str, Callable[[], Any]] = {
    "blocking": lambda: BlockingDriver.run,
    "asyncio": lambda: AsyncioDriver.run,
    "trio": lambda: type(trio_driver(None)).run,
    "simulated": lambda: EffectAwaiter.run,
}


def start(kind: str, plan: Any) -> Any:
    """Run a plan that sleeps for no time; a coroutine, if it is not blocking."""
    if kind == "blocking":
        return BlockingDriver(None, None, lambda seconds: None).run(plan)  # type: ignore[arg-type]
    if kind == "asyncio":
        return AsyncioDriver(None, asyncio.sleep).run(plan)  # type: ignore[arg-type]
    if kind == "trio":
        return trio_driver(asyncio.sleep).run(plan)  # which needs no loop for no time
    return EffectAwaiter(lambda: 0.0).run(plan)


@pytest.mark.parametrize("kind", RUNS)
def test_an_interrupt_between_any_two_lines_of_a_driver_closes_the_plan(kind: str) -> None:
    """Ctrl-C may come between any two bytecodes."""
    run = RUNS[kind]()
    lines_to_the_end = 0
    for line_number in range(2, 100):

        def steps() -> Any:
            yield Sleep(0.0)
            yield Sleep(0.0)

        plan = steps()
        before = sys.gettrace()
        sys.settrace(interrupting(run.__code__, line_number))
        try:
            coroutine = start(kind, plan)
            # Stepped manually: a loop would handle KeyboardInterrupt in its own way.
            while coroutine is not None:
                coroutine.send(None)
        except (KeyboardInterrupt, StopIteration) as end:
            was_interrupted = isinstance(end, KeyboardInterrupt)
        else:
            was_interrupted = False
        finally:
            sys.settrace(before)
        if not was_interrupted:
            lines_to_the_end = line_number
            break
        is_cleaning_up = line_number >= lines_of_cleanup(kind)
        is_open = inspect.getgeneratorstate(plan) == inspect.GEN_SUSPENDED
        assert not is_open or is_cleaning_up, f"the plan is still open, from line {line_number} on"
    assert 8 < lines_to_the_end < 40


def lines_of_cleanup(kind: str) -> int:
    """The line event from which on a driver that runs two steps is in its `finally`."""
    run, events = RUNS[kind](), 0
    source, first = inspect.getsourcelines(run)
    cleanup = first + next(n for n, text in enumerate(source) if "plan.close()" in text)

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal events
        if frame.f_code is not run.__code__:
            return None
        if event == "line" and does_something(frame) and frame.f_lineno < cleanup:
            events += 1
        return trace

    def steps() -> Any:
        yield Sleep(0.0)
        yield Sleep(0.0)

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        coroutine = start(kind, steps())
        with contextlib.suppress(StopIteration):
            while coroutine is not None:
                coroutine.send(None)
    finally:
        sys.settrace(before)
    return events + 1


@pytest.mark.parametrize("kind", ["blocking", "asyncio", "trio"])
def test_an_error_s_traceback_holds_no_plan(kind: str) -> None:
    """Nor the effect or the answer: a log of local variables would show a request, and a cycle would keep it."""

    def plan() -> Any:
        yield Sleep(0.0)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as raised:
        coroutine = start(kind, plan())
        while True:
            coroutine.send(None)
    code = RUNS[kind]().__code__
    (frame,) = [entry.frame for entry in raised.traceback if entry.frame.code.raw is code]
    held = frame.f_locals
    assert "plan" not in held
    assert (held.get("effect"), held.get("answer")) == (None, None)


def test_an_error_that_a_plan_handles_is_freed_with_its_last_reference() -> None:
    """The look for a signal's handler keeps no variable of the driver: up to Python 3.12, a frame keeps what is asked of it."""

    class Failed(Exception):
        pass

    kept: list[weakref.ref[BaseException]] = []

    def fail() -> None:
        error = Failed()
        kept.append(weakref.ref(error))
        try:
            raise error
        finally:
            del error

    def plan() -> Any:
        try:
            yield Invoke(fail)
        except Failed:
            pass
        yield Invoke(abs, -1)

    gc.disable()
    try:
        BlockingDriver(None).run(plan())  # type: ignore[arg-type]
        assert kept[0]() is None
    finally:
        gc.enable()

"""A signal at each point of some work where CPython looks for signals: where a function begins or returns, or a loop repeats.

Between other steps no handler runs, so that plain assignments in a row cannot be interrupted. Python 3.10 looks more often.
"""

from __future__ import annotations

import contextvars
import dis
import gc
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import http_service_client

__all__ = ["interrupted_at_each_point"]

_ROOT = str(Path(http_service_client.__file__).parent)
_MISSES = 50  # in a row, then it is over: the work need not take the same steps each time
_LOOKS = {code for name, code in dis.opmap.items() if name.startswith("CALL") or name == "JUMP_BACKWARD"}
_BEGINS = dis.opmap.get("RESUME")  # tracing does not show it


def raise_keyboard_interrupt(number: int, frame: FrameType) -> None:
    """As Python's own handler of SIGINT."""
    raise KeyboardInterrupt


def interrupted_at_each_point(
    work: Callable[[], object],
    check: Callable[[], object],
    handler: Callable[[int, FrameType], object] = raise_keyboard_interrupt,
    every: int = 1,
) -> Iterator[tuple[str, BaseException | None]]:
    """The place of each point, and the exception that the work raised when it was interrupted there.

    check: called after each, in the context of the work, to which later work of the thread belongs, too.
    handler: that of the signal, which raises an exception. Without it, the signal is Ctrl-C.
    every: 3 for every third point.
    """
    number = misses = 0
    while misses < _MISSES:
        number += every
        found = contextvars.Context().run(_interrupted, work, check, handler, number)
        if found is None:
            misses += every
            continue
        misses = 0
        yield found


def _interrupted(
    work: Callable[[], object],
    check: Callable[[], object],
    handler: Callable[[int, FrameType], object],
    number: int,
) -> tuple[str, BaseException | None] | None:
    place: str | None = None
    left = number
    frames: list[FrameType] = []

    def enter(frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(_ROOT):
            return None
        frames.append(frame)  # it keeps what it has, so that no finalizer runs meanwhile and is interrupted
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        steps = frame.f_code.co_code  # a copy at each access, so it is read once
        looked = False

        def step(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal looked, place, left
            if event == "opcode":
                at = frame.f_lasti
                if looked or steps[at - 2] == _BEGINS:
                    # In a generator that is freed, or between an error and its handler.
                    if frame.f_lineno is None:
                        return step
                    left -= 1
                    if not left:
                        sys.settrace(None)
                        place = f"{frame.f_code.co_filename[len(_ROOT) + 1 :]}:{frame.f_lineno}"
                        handler(signal.SIGINT, frame)
                looked = steps[at] in _LOOKS
            return step

        return step

    error: BaseException | None = None
    tracing = sys.gettrace()
    was_enabled = gc.isenabled()
    gc.disable()  # it would run finalizers of other tests, and they would be interrupted
    sys._getframe().f_trace_opcodes = True  # Python 3.12 looks at it only where tracing begins
    sys.settrace(enter)
    try:
        work()
    except BaseException as raised:
        error = raised.with_traceback(None)
    finally:
        sys.settrace(tracing)
        frames.clear()
        if was_enabled:
            gc.enable()
    if place is None:
        return None
    check()
    return place, error

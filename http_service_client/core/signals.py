"""Exceptions that the handler of a signal raises: they end the work, whatever their type.

A worker's time limit is often a signal whose handler raises, and the exception may well be a `TimeoutError`. It comes out of
whatever runs at that instant, such as a read from a socket. If it were taken for the failure of that read, the call would be
retried, and the time limit would be lost.

It may come out of the user's code just as well: out of a listener, say, whose errors are logged and go no further. So code that
catches any `Exception` there calls `raise_if_of_signal_handler` first.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Iterator
from itertools import pairwise
from types import FrameType

__all__ = ["is_of_signal_handler", "raise_if_of_signal_handler"]

_PACKAGE = os.path.join(os.path.dirname(os.path.dirname(__file__)), "")


def is_of_signal_handler(error: BaseException) -> bool:
    """Whether the handler of a signal raised this error. To be asked before its traceback is dropped."""
    # Python passes a handler the signal's number and the frame that it interrupts, which is further out in the traceback.
    outer: list[FrameType] = []
    traceback = error.__traceback__
    while traceback is not None:
        frame = traceback.tb_frame
        for number, interrupted in pairwise(_arguments(frame)):
            if isinstance(number, int) and any(interrupted is each for each in outer):
                return True
        outer.append(frame)
        traceback = traceback.tb_next
    return False


def raise_if_of_signal_handler() -> None:
    """Raise the exception that is being handled again, if it is of a signal's handler."""
    error = sys.exc_info()[1]
    if error is not None and is_of_signal_handler(error):
        raise  # the one that the caller handles; a bare `raise` adds no frame of ours to its traceback


def _arguments(frame: FrameType) -> Iterator[object]:
    """What the function was called with, if it may be a handler, which takes a number and a frame."""
    code = frame.f_code
    takes_any = bool(code.co_flags & inspect.CO_VARARGS)
    # None of our functions is one. Up to Python 3.12, a frame keeps its `f_locals`, so the error in it would be a cycle.
    if not (code.co_argcount >= 2 or takes_any) or code.co_filename.startswith(_PACKAGE):
        return
    values = frame.f_locals
    yield from map(values.get, code.co_varnames[: code.co_argcount])
    if takes_any:
        yield from values.get(code.co_varnames[code.co_argcount + code.co_kwonlyargcount], ())

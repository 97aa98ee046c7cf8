"""Where the code that uses the package called it: the nearest frame outside the package."""

from __future__ import annotations

import os
import sys
import warnings
from types import FrameType
from typing import NamedTuple

__all__ = ["CallSite", "call_site", "is_ours", "warn_caller"]

_PACKAGE = os.path.join(os.path.dirname(os.path.dirname(__file__)), "")  # with its separator at the end
_CONTEXTLIB = "contextlib"  # an `ExitStack` enters a `with` block for its user


class CallSite(NamedTuple):
    """A line of code, as `warnings.warn_explicit` takes it. It keeps no frame, and so no local variable, alive."""

    file: str
    line: int
    module: str


def is_ours(file: str) -> bool:
    """Whether a source file belongs to the package."""
    return file.startswith(_PACKAGE)


def call_site() -> CallSite:
    """The line that called into the package."""
    frame = _caller()
    return CallSite(frame.f_code.co_filename, frame.f_lineno, _module(frame))


def warn_caller(message: str, category: type[Warning]) -> None:
    """Warn at the line that called into the package, as `warnings.warn` there would."""
    frame = _caller()
    registry = frame.f_globals.setdefault("__warningregistry__", {})  # the places where it has warned
    warnings.warn_explicit(
        message, category, frame.f_code.co_filename, frame.f_lineno, _module(frame), registry
    )


def _caller() -> FrameType:
    frame = sys._getframe()
    # A thread or a greenlet whose function is one of ours has no other frame.
    while frame.f_back is not None and (
        is_ours(frame.f_code.co_filename) or frame.f_globals.get("__name__") == _CONTEXTLIB
    ):
        frame = frame.f_back
    return frame


def _module(frame: FrameType) -> str:
    """The module that a filter of warnings may name: as `warnings.warn` has it, also where there is none."""
    name: str = frame.f_globals.get("__name__", "<string>")
    return name

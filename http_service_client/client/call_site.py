"""Where the code that uses the package called it: the nearest frame outside the package."""

from __future__ import annotations

import os
import sys
from types import FrameType
from typing import NamedTuple

__all__ = ["CallSite", "call_site", "is_ours"]

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
    frame: FrameType = sys._getframe(1)
    while frame.f_back is not None and (
        is_ours(frame.f_code.co_filename) or frame.f_globals.get("__name__") == _CONTEXTLIB
    ):
        frame = frame.f_back
    return CallSite(frame.f_code.co_filename, frame.f_lineno, frame.f_globals.get("__name__") or "<unknown>")

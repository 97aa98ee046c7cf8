"""Blocks around a `yield`.

A context variable that a generator sets stays set between its steps, for the code that iterates over it. So a block
in a generator would hold for code that knows nothing of it. It is *paused* while the generator waits at a `yield`
and the code that iterates runs.

The generator of a context manager is another matter: its block is meant for the code that follows.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from inspect import CO_ASYNC_GENERATOR, CO_GENERATOR
from types import FrameType

__all__ = ["pause_of"]

# These run a generator up to its `yield` for the sake of the code that follows. All others iterate over it.
_CONTEXT_MANAGERS = ("contextlib", "_pytest.fixtures")


def _is_generator(frame: FrameType) -> bool:
    return bool(frame.f_code.co_flags & (CO_GENERATOR | CO_ASYNC_GENERATOR))


def _is_context_manager(frame: FrameType | None) -> bool:
    return frame is not None and frame.f_globals.get("__name__") in _CONTEXT_MANAGERS


def pause_of(frame: FrameType | None) -> Callable[[], bool] | None:
    """Whether the block is left for a while, to be asked at any time; None if it never is.

    frame: of the code that has the block.
    """
    if frame is None or not _is_generator(frame):
        return None
    driver = frame.f_back
    while driver is not None and _is_generator(driver):  # by `yield from`
        driver = driver.f_back
    if _is_context_manager(driver):
        while _is_context_manager(driver):
            driver = driver.f_back  # type: ignore[union-attr]  # None is no context manager
        return pause_of(driver)  # its block may be in a generator that others iterate over
    runner = _runner()
    # In another thread or task, the running code was started inside: a generator that waits for it stands still, too.
    return lambda: frame.f_back is None and _runner() == runner


def _runner() -> tuple[int, int | None]:
    """The running thread and task."""
    task = None
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None:
        try:
            task = id(asyncio.current_task())
        except RuntimeError:
            pass  # no loop runs here
    return threading.get_ident(), task

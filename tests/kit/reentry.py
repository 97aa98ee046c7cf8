"""What a signal handler does: it runs in the midst of other code of the same thread, between any two of its lines."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

__all__ = ["interrupt_each_line"]


def interrupt_each_line(
    work: Callable[[], object], action: Callable[[], object], modules: Iterable[ModuleType]
) -> int:
    """Run `work` again and again, and `action` in its midst: at the first line in these modules, at the second, …

    Both run on a thread of their own, so that a deadlock fails the test. Returns the number of lines.
    """
    files = {str(Path(module.__file__ or "")) for module in modules}
    for line in range(1, 1000):
        has_acted = threading.Event()
        errors: list[BaseException] = []
        thread = threading.Thread(
            target=_run, args=(work, action, files, line, has_acted, errors), daemon=True
        )
        thread.start()
        thread.join(10)
        assert not thread.is_alive(), f"a deadlock, with an interruption at line {line}"
        if errors:
            raise errors[0]
        if not has_acted.is_set():
            return line - 1
    raise AssertionError("the work does not end")


def _run(
    work: Callable[[], object],
    action: Callable[[], object],
    files: set[str],
    line: int,
    has_acted: threading.Event,
    errors: list[BaseException],
) -> None:
    passed = 0

    def enter(frame: FrameType, event: str, argument: Any) -> Any:
        return step if frame.f_code.co_filename in files else None

    def step(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal passed
        if event == "line":
            passed += 1
            if passed == line:
                sys.settrace(None)
                has_acted.set()
                action()
                return None
        return step

    sys.settrace(enter)
    try:
        work()
    except BaseException as error:
        errors.append(error)
    finally:
        sys.settrace(None)

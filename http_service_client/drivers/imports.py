"""Imports modules on a thread apart from the code that needs them.

A call must not import anything on its way. An exception that a signal handler raises there (Ctrl-C, a task queue's soft time
limit) would leave modules half-imported, or an import lock taken forever. And a handler that makes a call itself would
find the half-imported modules of the code that it interrupted. So what calls need is imported before the first one,
and on another thread, where no handler runs: whatever interrupts the waiting thread, the import goes on.

A fork waits for an import to end. A child has no thread that would go on with it, and would wait for the module for ever.
"""

from __future__ import annotations

import _thread
from collections.abc import Callable

from .forks import ForkBarrier
from .threads import DaemonThreads

__all__ = ["import_apart"]

Loader = Callable[[], object]

_THREADS = DaemonThreads(8)
_PATIENCE = 5.0
"""Seconds to wait for the other thread. A module that makes a call while it is being imported holds its import lock: if
the other thread needs that module, it waits for this one. Python resolves such a circle only among import locks, so this
thread then imports, too."""
_DONE: set[Loader] = set()
_IMPORTING: set[int] = set()  # the threads that do it
_IMPORTS = ForkBarrier()


def import_apart(*loaders: Loader) -> None:
    """Call functions that import modules, each once in a process. Raises what they raise."""
    left = [loader for loader in loaders if loader not in _DONE]
    if not left:
        return
    if _thread.get_ident() in _IMPORTING:  # a finalizer that ran during the import makes a call
        _load(left)
        return
    errors: list[BaseException] = []
    is_over = _thread.allocate_lock()
    is_over.acquire()

    def work() -> None:
        thread = _thread.get_ident()
        _IMPORTING.add(thread)
        try:
            with _IMPORTS:
                _load(left)
        except BaseException as error:
            errors.append(error)
        finally:
            _IMPORTING.discard(thread)
            is_over.release()

    _THREADS.start(work)
    if not is_over.acquire(timeout=_PATIENCE):
        _load(left)
    elif errors:
        raise errors.pop()


def _load(loaders: list[Loader]) -> None:
    for loader in loaders:
        loader()
        _DONE.add(loader)

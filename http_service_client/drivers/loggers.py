"""The loggers of the package, and one way to write to them that cannot harm a call.

They are a tree of the standard library's: `http_service_client.retry`, `http_service_client.circuit` and so on, so that each
can have a level, a handler or a filter of its own.

A log belongs to the operator, and a call to its caller. So an exception of a filter, a handler or a record factory
never reaches the call, unless the handler of a signal raised it: `core.signals` says why. A record that comes up while another one is being written, in the same thread or task, is dropped: it
is of a call that a handler makes, to ship the first one, or of a signal handler that interrupted the writing. The
one would go on without end, and the other raises "reentrant call" in a stream.

Loggers are made when they are first needed, not at import: `logging.config.dictConfig`, by default, silences all loggers
that exist already.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum
from functools import cache

from ..core.signals import raise_if_of_signal_handler

__all__ = ["BRANCHES", "ROOT", "branch", "log_hook", "muted", "write"]

ROOT = "http_service_client"
BRANCHES = frozenset(
    {
        *(
            "attempt",
            "auth",
            "cache",
            "call",
            "chaos",
            "circuit",
            "events",
            "fallback",
            "limit",
            "health",
            "hedge",
        ),
        "hooks",
        *("inbound", "metrics", "protocol", "redirect", "retry", "throttle", "timeout", "tls"),
    }
)
"""The loggers below the root. Their names are public: operators set levels by them."""

_IS_MUTED: ContextVar[bool] = ContextVar("http_service_client.is_muted", default=False)


@cache
def branch(name: str) -> logging.Logger:
    """A logger of the tree, such as "retry"."""
    if name not in BRANCHES:
        raise ValueError(f"{name!r} is no logger of the package; add it to BRANCHES and to docs/logging.md")
    return logging.getLogger(f"{ROOT}.{name}")


def write(
    logger: logging.Logger,
    level: int,
    text: str,
    *arguments: object,
    fields: Mapping[str, object],
    has_error: bool = False,
) -> None:
    """Write a record, if the logger wants its level.

    text, arguments: as for `logging`.   has_error: add the exception that is being handled.
    fields: attributes of the record, where each name begins with ``http_``.
    """
    if _IS_MUTED.get() or not logger.isEnabledFor(level):
        return
    token = _IS_MUTED.set(True)
    try:
        error = sys.exc_info() if has_error else None
        record = logger.makeRecord(
            logger.name, level, __file__, 0, text, arguments, error, func="write", extra=None
        )
        # Not as `extra`: it refuses what the user's record factory has set, the method of an inbound request say.
        vars(record).update(
            {
                f"http_{name}": value.value if isinstance(value, Enum) else value
                for name, value in fields.items()
            }
        )
        logger.handle(record)
    except Exception:
        raise_if_of_signal_handler()
    finally:
        _IS_MUTED.reset(token)


def log_hook(text: str, *arguments: object) -> None:
    """Log the exception, now being handled, of a function that the user has given.

    Raises it again if it is not the function's own, but that of a signal's handler: the time limit of a task, say.
    """
    raise_if_of_signal_handler()
    write(branch("hooks"), logging.ERROR, text, *arguments, fields={"event": "hook_failed"}, has_error=True)


@contextmanager
def muted() -> Iterator[None]:
    """Write no records in this block, and in the tasks that it starts."""
    token = _IS_MUTED.set(True)
    try:
        yield
    finally:
        _IS_MUTED.reset(token)

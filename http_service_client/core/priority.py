"""How important the calls of the running code are: by the innermost `with priority(…):` around it.

The level says whose calls wait, or are refused, when there is not room for all. It is no promise of speed.

A block lives in a context variable. A task that was started inside keeps the level when the block is left, as with any
context variable: `with priority("background"):` around `create_task(refresh())` is meant for the task. (A deadline is
another matter: that of a request must not end a worker which the request happened to start.)
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from enum import IntEnum

from ..errors import ConfigurationError

__all__ = ["AMBIENT_PRIORITY", "Priority", "PriorityBlock", "current_priority", "effective", "parse_priority"]


class Priority(IntEnum):
    """How important a call is. A greater one is more important.

    Five levels: what is marked at all is above or below the rest, and on each side of the ordinary calls there are two
    kinds that differ in what is lost when such a call fails.
    """

    BACKGROUND = 0  # nobody waits, and another run makes up for it: prefetching, warming a cache
    LOW = 1  # nobody waits, but it must be done: batch jobs, exports
    NORMAL = 2  # calls that are not marked
    HIGH = 3  # a person waits for it
    CRITICAL = 4  # money or safety hangs on it: payments, log-ins


_NORMAL = Priority.NORMAL  # enum attribute access is slow (50 ns)
_BY_NAME = {level.name.lower(): level for level in Priority}


def parse_priority(value: object) -> Priority:
    """The level of this name. Raises ConfigurationError for any other value.

    >>> parse_priority("low")
    <Priority.LOW: 1>
    """
    if isinstance(value, Priority):
        return value
    level = _BY_NAME.get(value) if isinstance(value, str) else None
    if level is None:
        *others, last = map(repr, reversed(_BY_NAME))
        raise ConfigurationError(f"priority must be {', '.join(others)} or {last}, not {value!r}")
    return level


class PriorityBlock:
    """A level around the running code.

    outer: the block around this one, or None.
    is_paused: whether the code that runs is outside for a while; None for never.
    is_void: it ended, but not where it began, so the context that it began in still has it.
    """

    __slots__ = ("is_paused", "is_void", "level", "outer")

    def __init__(
        self, level: Priority, outer: PriorityBlock | None, is_paused: Callable[[], bool] | None
    ) -> None:
        self.level = level
        self.outer = outer
        self.is_paused = is_paused
        self.is_void = False


AMBIENT_PRIORITY: ContextVar[PriorityBlock | None] = ContextVar("http_service_client.priority", default=None)

_ambient = AMBIENT_PRIORITY.get


def effective(block: PriorityBlock | None) -> PriorityBlock | None:
    """The innermost one, of this block and those around it, that has not ended."""
    while block is not None and block.is_void:
        block = block.outer
    return block


def current_priority() -> Priority:
    """The level of the running code's calls; `NORMAL` outside all blocks."""
    block = _ambient()
    while block is not None:
        if not block.is_void and (block.is_paused is None or not block.is_paused()):
            return block.level
        block = block.outer
    return _NORMAL

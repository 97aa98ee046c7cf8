"""`with priority("low"):` says how important the calls inside are."""

from __future__ import annotations

import sys
from contextvars import Token
from typing import TYPE_CHECKING, Literal

from ..core.priority import AMBIENT_PRIORITY, Priority, PriorityBlock, effective, parse_priority
from .generators import pause_of

__all__ = ["Priority", "PriorityName", "priority"]

PriorityName = Literal["critical", "high", "normal", "low", "background"]

_NO_DECORATOR = 'priority marks a block, not a function; write `with priority("low"):` inside the function'


class priority:  # reads as a statement: `with priority("low"):`
    """The calls inside the block, and guarded functions, are this important. It decides where there is not room for all.

    level: "critical" (payments), "high" (a person waits), "normal" (as outside all blocks), "low" (must be done, but
        nobody waits) or "background" (may be left out); or a member of `Priority`. Of nested blocks, the innermost holds.
    Works in plain and async code, in tasks started inside, which keep it, and in `asyncio.to_thread`; in a thread pool
    only by ``pool.submit(contextvars.copy_context().run, ...)``.

    Around a `yield`, it marks the block of a context manager (`contextlib.contextmanager`, a pytest fixture, an
    ``async def`` dependency of FastAPI). In any other generator it marks the generator's own calls, and not those of
    the code that iterates over it.

    One object marks one block at a time; entering it again inside raises RuntimeError.
    Raises ConfigurationError for an unknown level.
    """

    def __init__(self, level: PriorityName | Priority) -> None:
        if callable(level):
            raise TypeError(_NO_DECORATOR)
        self._level = parse_priority(level)
        self._block: PriorityBlock | None = None
        self._token: Token[PriorityBlock | None] | None = None

    if not TYPE_CHECKING:  # type checkers say that it cannot be called

        def __call__(self, *args, **kwargs):
            """Say what to write in place of `@priority("low")`."""
            raise TypeError(_NO_DECORATOR)

        async def __aenter__(self):
            raise TypeError(
                'a priority is entered in asyncio, too, by `with priority("low"):`, not by `async with`'
            )

        async def __aexit__(self, *about):  # without it, Python refuses the block with words of its own
            pass

    @property
    def level(self) -> Priority:
        """How important the calls inside are."""
        return self._level

    def __enter__(self) -> priority:
        if self._block is not None:
            raise RuntimeError('this priority is in use; make one for each block: `with priority("low"):`')
        outer = effective(AMBIENT_PRIORITY.get())
        self._block = PriorityBlock(self._level, outer, pause_of(sys._getframe(1)))
        self._token = AMBIENT_PRIORITY.set(self._block)
        return self

    def __exit__(self, *about: object) -> None:
        block, token = self._block, self._token
        if block is None:
            return
        self._block = self._token = None
        if token is not None and _is_left_where_it_began(block, token):
            AMBIENT_PRIORITY.set(effective(block.outer))
            block.outer = None  # a chain of tasks that start the next must not grow
        else:
            block.is_void = True
        block.is_paused = None  # it holds a frame

    def __repr__(self) -> str:
        return f"<priority {self._level.name.lower()}>"


def _is_left_where_it_began(block: PriorityBlock, token: Token[PriorityBlock | None]) -> bool:
    """Not in another context, and not before a block that was entered later."""
    if AMBIENT_PRIORITY.get() is not block:
        return False
    try:
        AMBIENT_PRIORITY.reset(token)
    except ValueError:  # a copy of the context has the block, too
        return False
    return True

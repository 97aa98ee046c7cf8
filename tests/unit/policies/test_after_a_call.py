"""A guarded call leaves the code around it as it found it: the law of all kinds of policies."""

from __future__ import annotations

import contextvars
import inspect
from collections.abc import Callable
from typing import Any

from kit.front_ends import FrontEnd, run_task
from kit.policies import MAKERS
from kit.rows import each_row


def fail() -> None:
    raise KeyError("x")


def context() -> dict[contextvars.ContextVar[Any], Any]:
    """Each context variable of this package that has a value."""
    values = contextvars.copy_context().items()
    return {variable: value for variable, value in values if variable.name.startswith("http_service_client")}


def around(guarded: Callable[[], Any]) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """The context before and after a call, whatever comes of it; of an async one, in its task."""

    def call() -> tuple[dict[Any, Any], dict[Any, Any]]:
        before = context()
        try:
            guarded()
        except KeyError:
            pass
        return before, context()

    async def call_async() -> tuple[dict[Any, Any], dict[Any, Any]]:
        before = context()
        try:
            await guarded()
        except KeyError:
            pass
        return before, context()

    return run_task(call_async()) if inspect.iscoroutinefunction(guarded) else call()


@each_row("body", [dict, fail], ids=["returns", "raises"])
@each_row("kind", MAKERS)
def test_the_context_is_as_it_was(kind: str, body: Callable[[], Any], front_end: FrontEnd) -> None:
    """No deadline, permit or scope of the call holds for the code that follows."""
    policy = MAKERS[kind](in_threads=True) if kind == "HedgingPolicy" else MAKERS[kind]()
    before, after = around(policy.apply(front_end.function(body)))
    assert after == before

"""An event loop that another greenlet of the same thread runs is not that of this code, whatever asyncio says."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from http_service_client.drivers import aio
from http_service_client.drivers.aio import _cancel, _wake_from_anywhere
from http_service_client.drivers.greenlets import is_running_here
from http_service_client.drivers.portal import Portal
from http_service_client.transports.over_aiohttp import asyncio_transports
from http_service_client.transports.over_aiohttp.asyncio_transports import idle_closer
from kit.front_ends import run_task
from kit.threads import run_threads


def test_a_loop_runs_where_it_was_started() -> None:
    """A loop that does not tell, as uvloop's, is taken to be this one's: it does not run under such libraries."""
    seen: list[bool] = []

    async def run() -> None:
        loop = asyncio.get_running_loop()
        seen.append(is_running_here(loop))
        run_threads(lambda number: seen.append(is_running_here(loop)), 1)

    run_task(run())
    assert seen == [True, False]
    assert not is_running_here(None)
    assert is_running_here(SimpleNamespace())


@pytest.mark.parametrize("what", ["a task", "an idle connection", "a wait"])
@pytest.mark.parametrize(
    "where", ["here", "another greenlet", "another thread", "another thread, and the loop does not tell"]
)
def test_what_ends_something_of_a_loop_does_so_on_the_loop(
    what: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once where that is; else in its next step, since a loop is not safe to use from elsewhere."""
    if where in ("another greenlet", "another thread, and the loop does not tell"):
        for module in (aio, asyncio_transports):
            monkeypatch.setattr(module, "is_running_here", lambda loop: where != "another greenlet")

    async def run() -> list[int]:
        loop = asyncio.get_running_loop()
        ended: list[Any] = []
        task: Any = SimpleNamespace(cancel=lambda: ended.append("cancelled"))
        pool = Mock(loop=loop, close_idle=ended.append)
        close = idle_closer(pool)
        waiter: Any = SimpleNamespace(
            get_loop=lambda: loop, done=lambda: bool(ended), set_result=ended.append
        )

        def end(number: int) -> None:
            if what == "a task":
                _cancel(loop, task)
            elif what == "a wait":
                _wake_from_anywhere(waiter)
            else:
                close("connection")

        if where.startswith("another thread"):
            run_threads(end, 1)
        else:
            end(0)
        seen = [len(ended)]
        await asyncio.sleep(0)
        seen.append(len(ended))
        return seen

    assert run_task(run()) == [1 if where == "here" else 0, 1]


def test_a_task_of_a_closed_loop_is_left_alone() -> None:
    """It will never run."""
    loop = asyncio.new_event_loop()
    loop.close()
    task: Any = SimpleNamespace(cancel=lambda: pytest.fail("it was cancelled"))
    _cancel(loop, task)


def test_async_code_of_a_blocking_call_does_not_wait_for_a_loop_that_cannot_run() -> None:
    """Beside the loop of another greenlet, whose thread this one shares: HTTP/2 has one, and so has `asyncio.run`."""

    async def code() -> int:
        return 1

    portal = Portal()
    asyncio._set_running_loop(SimpleNamespace(_thread_id=-1))  # type: ignore[arg-type]  # as if it ran in another greenlet
    try:
        with pytest.raises(RuntimeError, match="another greenlet of its thread runs one already"):
            portal.run(code())
    finally:
        asyncio._set_running_loop(None)
    assert portal.run(code()) == 1
    portal.stop()

"""A task that waits for a response runs in the callback that brings the last byte, or else in the loop's next iteration."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from http_service_client.transports.over_aiohttp.asyncio_transports import resolver_for

NAME: contextvars.ContextVar[str] = contextvars.ContextVar("name")


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop of asyncio's own, not in debug mode."""
    made = asyncio.SelectorEventLoop()
    made.set_debug(False)
    yield made
    made.close()


class Waiting:
    """A task that waits for a future, and notes what happens, and in which order."""

    def __init__(self, loop: asyncio.AbstractEventLoop, context: object = None) -> None:
        self.loop = loop
        self.future: asyncio.Future[Any] = loop.create_future()
        self.happened: list[Any] = []
        self.task = loop.create_task(self._wait())
        self.idle()
        self.resolve = resolver_for(loop, asyncio.Transport({"sslcontext": context}))

    async def _wait(self) -> str:
        NAME.set("the task's own")
        try:
            self.happened.append(await self.future)
        except asyncio.CancelledError:
            self.happened.append("cancelled")
            raise
        self.happened.append(asyncio.current_task() is self.task)
        return NAME.get()

    def idle(self) -> None:
        """Let the loop do what is due."""
        self.loop.run_until_complete(asyncio.sleep(0))

    def in_callback(self, function: Callable[[], object]) -> None:
        """Run the function as a transport's callback runs, and note its end."""

        def callback() -> None:
            function()
            self.happened.append("end of callback")

        self.loop.call_soon(callback)
        self.idle()


def test_the_task_runs_within_the_callback(loop: asyncio.AbstractEventLoop) -> None:
    """As the current task, in its own context."""
    waiting = Waiting(loop)
    waiting.in_callback(lambda: waiting.resolve(waiting.future, "result"))
    assert waiting.happened == ["result", True, "end of callback"]
    assert waiting.task.result() == "the task's own"


def test_a_cancellation_before_the_result_is_asyncio_s_own(loop: asyncio.AbstractEventLoop) -> None:
    """Also in the same callback."""
    waiting = Waiting(loop)

    def cancel() -> None:
        waiting.task.cancel()
        assert waiting.future.done()

    waiting.in_callback(cancel)
    waiting.idle()
    assert waiting.happened == ["end of callback", "cancelled"]
    assert waiting.task.cancelled()


def test_a_cancellation_after_the_result_comes_at_the_next_wait(loop: asyncio.AbstractEventLoop) -> None:
    """The task is not left without one."""
    future = loop.create_future()

    async def wait_twice() -> None:
        await future
        await asyncio.Event().wait()

    task = loop.create_task(wait_twice())
    loop.run_until_complete(asyncio.sleep(0))

    def callback() -> None:
        resolver_for(loop, asyncio.Transport())(future, None)
        task.cancel()

    loop.call_soon(callback)
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)


@pytest.mark.parametrize("kind", ["TLS", "debug", "another loop", "two waiters", "a callback", "nobody"])
def test_otherwise_the_loop_runs_what_waits(kind: str, loop: asyncio.AbstractEventLoop) -> None:
    """With TLS, in debug mode, on loops that are not asyncio's own, and where not a task alone waits."""

    class AnotherLoop(asyncio.SelectorEventLoop):
        pass

    if kind == "debug":
        loop.set_debug(True)
    if kind == "another loop":
        loop.close()
        loop = AnotherLoop()
    waiting = Waiting(loop, context=object() if kind == "TLS" else None)
    if kind == "two waiters":
        waiting.future.add_done_callback(waiting.happened.append)
    if kind in ("a callback", "nobody"):
        waiting.future = loop.create_future()
    if kind == "a callback":
        waiting.future.add_done_callback(waiting.happened.append)
    waiting.in_callback(lambda: waiting.resolve(waiting.future, "result"))
    waiting.idle()
    assert waiting.happened[0] == "end of callback"
    assert waiting.future.result() == "result"
    if kind in ("two waiters", "a callback"):
        assert waiting.future in waiting.happened
    if kind in ("TLS", "debug", "another loop", "two waiters"):
        assert waiting.task.result() == "the task's own"
    else:
        waiting.task.cancel()
    waiting.idle()
    if kind == "another loop":
        loop.close()


def test_within_a_task_the_waiting_one_runs_later(loop: asyncio.AbstractEventLoop) -> None:
    """Two tasks cannot run at once."""
    waiting = Waiting(loop)

    async def resolve() -> None:
        waiting.resolve(waiting.future, "result")
        waiting.happened.append("end of task")

    loop.run_until_complete(resolve())
    waiting.idle()
    assert waiting.happened == ["end of task", "result", True]
    assert waiting.task.result() == "the task's own"


def test_within_the_task_s_context_it_runs_later(loop: asyncio.AbstractEventLoop) -> None:
    """A context cannot be entered twice."""
    waiting = Waiting(loop)
    [(_, context)] = waiting.future._callbacks  # type: ignore[attr-defined]
    waiting.in_callback(lambda: context.run(waiting.resolve, waiting.future, "result"))
    waiting.idle()
    assert waiting.happened == ["end of callback", "result", True]


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_in_the_task_ends_the_loop(
    loop: asyncio.AbstractEventLoop, interrupt: type[BaseException]
) -> None:
    """As it does in any task; the task has ended with it."""
    future = loop.create_future()

    async def interrupted() -> None:
        await future
        raise interrupt

    task = loop.create_task(interrupted())
    loop.run_until_complete(asyncio.sleep(0))
    loop.call_soon(resolver_for(loop, asyncio.Transport()), future, None)
    with pytest.raises(interrupt):
        loop.run_forever()
    assert isinstance(task.exception(), interrupt)

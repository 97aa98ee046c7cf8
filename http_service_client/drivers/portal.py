"""A doorway from blocking code into asyncio: one event loop on a background thread.

Why a thread: the calling thread may have a running loop of its own, in which a coroutine cannot be
awaited from a plain function; and a coroutine that really awaits needs a loop that keeps running, as do
the sessions that it opens there.
"""

from __future__ import annotations

import atexit
import contextvars
import functools
import threading
from collections.abc import Awaitable, Coroutine
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

__all__ = ["PORTAL", "Portal"]


class Portal:
    """Runs awaitables for blocking callers. The thread starts with the first; it is a daemon."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: _PortalThread | None = None

    def run(self, awaitable: Awaitable[Any], timeout: float | None = None) -> Any:
        """What the awaitable returns; TIMED_OUT when it was cut after `timeout` seconds.

        It sees the caller's context variables. When the caller is interrupted, it is cancelled.
        """
        thread: Any = threading.current_thread()
        is_inside = isinstance(thread, _PortalThread)
        if not is_inside and not (self._thread is not None and self._thread.is_blocked):
            return self._run(awaitable, timeout)
        # Async user code on a portal made a blocking call that came back here, on its own thread or by way of
        # another (`asyncio.to_thread`). Waiting for its own loop, or for one that waits for it, would be
        # waiting for ever. Another doorway, for this once.
        inner = Portal()
        if is_inside:
            thread.is_blocked = True
        try:
            return inner._run(awaitable, timeout)
        finally:
            if is_inside:
                thread.is_blocked = False
            inner.stop()

    def _run(self, awaitable: Awaitable[Any], timeout: float | None) -> Any:
        from .aio import bounded

        loop = self._running_loop()
        future: Future[Any] = Future()
        tasks: list[asyncio.Task[Any]] = []
        # On Python 3.10 create_task takes no context: the callback's own is what the task copies.
        context = contextvars.copy_context()
        coroutine = bounded(_contained(awaitable), timeout)
        loop.call_soon_threadsafe(_begin, coroutine, future, tasks, context=context)
        try:
            answer = future.result()
            if type(answer) is _Ending:
                raise answer.error
            return answer
        except BaseException:
            if not future.done():  # the caller was interrupted
                loop.call_soon_threadsafe(_cancel, tasks)
            raise
        finally:
            answer = None
            del future, tasks  # they hold the error, whose traceback holds this frame

    def stop(self) -> None:
        """End the thread and its loop, if they ever started."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(_PATIENCE)

    def forget(self) -> None:
        """In a forked child the thread does not exist: begin anew."""
        # The loop is kept, not closed: its epoll object is the parent's too, and closing would unregister there.
        _KEPT_FOR_PARENT.append(self._loop)
        self.__init__()  # type: ignore[misc]  # the same object, as others hold it

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                import asyncio

                self._loop = asyncio.new_event_loop()
                self._thread = _PortalThread(
                    target=_serve, args=(self._loop,), name="http_service_client portal", daemon=True
                )
                self._thread.start()
            return self._loop


_PATIENCE = 5.0  # seconds for user code to let go of the loop, at the end of the process
_KEPT_FOR_PARENT: list[Any] = []


class _PortalThread(threading.Thread):
    """Runs a portal's loop: code that must not wait for a portal.

    is_blocked: a blocking call inside waits for another portal; until then the loop does nothing.
    """

    is_blocked = False


class _Ending:
    """What would end a loop if a task raised it: `SystemExit`, `KeyboardInterrupt`."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


async def _contained(awaitable: Awaitable[Any]) -> Any:
    """What the awaitable returns. What is to end the caller must not end the loop, which others use too."""
    try:
        return await awaitable
    except (KeyboardInterrupt, SystemExit) as error:
        return _Ending(error)


def _begin(coroutine: Coroutine[Any, Any, Any], future: Future[Any], tasks: list[asyncio.Task[Any]]) -> None:
    import asyncio

    task = asyncio.ensure_future(coroutine)
    tasks.append(task)
    task.add_done_callback(functools.partial(_hand_over, future=future))


def _cancel(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    import asyncio

    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        left = asyncio.all_tasks(loop)
        if left:
            _cancel(list(left))
            loop.run_until_complete(asyncio.wait(left))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def _hand_over(task: asyncio.Task[Any], future: Future[Any]) -> None:
    if task.cancelled():
        future.cancel()
        future.set_running_or_notify_cancel()
    elif (error := task.exception()) is not None:
        future.set_exception(error)
    else:
        future.set_result(task.result())


PORTAL = Portal()
atexit.register(PORTAL.stop)  # a loop that is collected unclosed, at the end of the interpreter, warns

"""A doorway from blocking code into asyncio: one event loop on a background thread.

Why a thread: the calling thread may have a running loop of its own, in which a coroutine cannot be
awaited from a plain function; and a coroutine that really awaits needs a loop that keeps running, as do
the sessions that it opens there.
"""

from __future__ import annotations

import contextvars
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Awaitable

if TYPE_CHECKING:
    import asyncio

__all__ = ["PORTAL", "Portal"]


class Portal:
    """Runs awaitables for blocking callers. The thread starts with the first; it is a daemon."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def run(self, awaitable: Awaitable[Any], timeout: float | None = None) -> Any:
        """What the awaitable returns; TIMED_OUT when it was cut after `timeout` seconds.

        It sees the caller's context variables. When the caller is interrupted, it is cancelled.
        """
        if threading.current_thread() is self._thread:
            # Async user code on the portal made a blocking call that came back here: waiting for our
            # own loop would wait for ever. Another doorway, for this once.
            inner = Portal()
            try:
                return inner.run(awaitable, timeout)
            finally:
                inner.stop()
        import asyncio

        from .tasks import bounded

        loop = self._running_loop()
        future: Future[Any] = Future()
        tasks: list[asyncio.Task[Any]] = []

        def start() -> None:
            task = loop.create_task(bounded(awaitable, timeout))
            tasks.append(task)
            task.add_done_callback(lambda done: _hand_over(done, future))

        # On Python 3.10 create_task takes no context: the callback's own is what the task copies.
        loop.call_soon_threadsafe(start, context=contextvars.copy_context())
        try:
            return future.result()
        except BaseException:
            loop.call_soon_threadsafe(lambda: [task.cancel() for task in tasks])
            raise
        finally:
            del future, start

    def stop(self) -> None:
        """End the thread and its loop, if they ever started."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()

    def forget(self) -> None:
        """In a forked child the thread does not exist: begin anew."""
        self.__init__()  # type: ignore[misc]  # the same object, as others hold it

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                import asyncio

                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_serve, args=(self._loop,), name="http_service_client portal", daemon=True
                )
                self._thread.start()
            return self._loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    import asyncio

    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
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

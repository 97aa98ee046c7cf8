"""Runs coroutines for blocking callers, on one event loop in a background thread.

Why a thread: the calling thread may already run a loop, and a plain function cannot await a coroutine in
it. A coroutine that really awaits also needs a loop that keeps running, and so do the sessions that it opens.
"""

from __future__ import annotations

import _thread
import asyncio
import atexit
import contextvars
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import Any

from .aio import bounded
from .greenlets import is_running_here
from .interruption import interruptible
from .locks import ForkSafeLock, acquire_within

__all__ = ["PORTAL", "WIRE", "Portal"]


class Portal:
    """Runs awaitables for blocking callers. Its daemon thread starts with the first one.

    Where no thread can start, while the interpreter ends for example, they run on the calling thread.
    """

    _runs_user_code = True

    def __init__(self) -> None:
        self._lock = ForkSafeLock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: _PortalThread | None = None

    def run(self, awaitable: Awaitable[Any], timeout: float | None = None) -> Any:
        """The awaitable's result, or TIMED_OUT when it was cancelled after `timeout` seconds.

        It runs with the caller's context variables, and what it sets in them is set for the caller afterwards, as if the
        caller had awaited it. When the caller is interrupted, it is cancelled.
        """
        thread: Any = threading.current_thread()
        is_inside = isinstance(thread, _PortalThread)
        if not is_inside and not (self._thread is not None and self._thread.is_blocked):
            return self._run(awaitable, timeout)
        # Async user code on a portal made a blocking call that needs a portal, on the portal's own thread or
        # through another one (`asyncio.to_thread`). Waiting for its own loop, or for a loop that waits for
        # it, would deadlock. So this call gets a portal of its own.
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
        try:
            loop = self._running_loop()
        except BaseException:
            if isinstance(awaitable, Coroutine):
                awaitable.close()  # or Python warns that it was never awaited
            raise
        if loop is None:
            return _run_here(awaitable, timeout)
        contexts: list[contextvars.Context] = []  # the one in which user code has ended
        if self._runs_user_code:
            awaitable = _keeping_context(awaitable, contexts)
        # Not a `concurrent.futures.Future`: a signal handler that needs the portal, too, may interrupt this thread
        # inside the future's lock, which the loop would wait for.
        results: list[tuple[Any, BaseException | None]] = []
        is_done = _thread.allocate_lock()
        is_done.acquire()
        tasks: list[asyncio.Task[Any]] = []

        def finish(task: asyncio.Task[Any]) -> None:
            error = CancelledError() if task.cancelled() else task.exception()
            results.append((None, error) if error is not None else (task.result(), None))
            is_done.release()

        def start() -> None:
            task = asyncio.ensure_future(bounded(_shielding_loop(awaitable), timeout))
            tasks.append(task)
            task.add_done_callback(finish)

        try:
            # On Python 3.10 create_task takes no context: the task copies that of the callback.
            loop.call_soon_threadsafe(start, context=contextvars.copy_context())
            with interruptible(lambda: loop.call_soon_threadsafe(_cancel, tasks)):
                acquire_within(is_done, None)
        except BaseException:  # the caller was interrupted
            loop.call_soon_threadsafe(_cancel, tasks)
            raise
        _adopt(contexts)
        result, error = results.pop()
        try:
            if type(result) is _ExitRequest:
                raise result.error
            if error is not None:
                raise error
            return result
        finally:
            tasks.clear()
            del result, error  # they, too, hold the error, whose traceback holds this frame

    def stop(self) -> None:
        """Stop the thread and its loop, if they were started."""
        with self._lock:
            thread = self._thread
            self._loop = self._thread = None
        if thread is not None:
            thread.stop()

    def reset_after_fork(self) -> None:
        """Start over in a forked child, where the thread does not exist."""
        # The loop is kept, not closed: the parent shares its epoll object, and closing it would unregister
        # the parent's sockets.
        _KEPT_FOR_PARENT.append(self._loop)
        self.__init__()  # type: ignore[misc]  # the same object: others hold a reference to it

    def _running_loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop of the thread; None where no thread can start."""
        with self._lock:
            if self._loop is None:
                _check_room()
                loop = asyncio.new_event_loop()
                thread = _PortalThread(loop)
                try:
                    thread.start()
                except RuntimeError:  # the interpreter ends, or the system allows no more threads
                    loop.close()
                    return None
                if self._loop is None:
                    self._loop, self._thread = loop, thread
                else:  # a signal handler interrupted this, and has started another one
                    loop.call_soon_threadsafe(loop.stop)
            return self._loop


class _WirePortal(Portal):
    """A portal for exchanges of our own. No user code runs on it, so none can block it, or wait for it from inside."""

    _runs_user_code = False

    def start(self) -> None:
        """Start the loop, unless it runs. Raises OSError where no file descriptor is free for it."""
        if self._loop is None:
            self._running_loop()

    def run(self, awaitable: Awaitable[Any], timeout: float | None = None) -> Any:
        """As `Portal.run`, on the one loop that has the connections."""
        return self._run(awaitable, timeout)

    def post(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call the function on the loop, soon, if the loop was started."""
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # the loop was closed at the end of the process
                loop.call_soon_threadsafe(function, *arguments)


_STOP_TIMEOUT = 5.0  # seconds that user code may hold the loop at the end of the process
_KEPT_FOR_PARENT: list[Any] = []
_UNSET = object()


class _PortalThread(threading.Thread):
    """Runs a portal's loop. Code on it must not wait for this portal.

    is_blocked: a blocking call on this thread is waiting for another portal, so the loop stands still.
    """

    is_blocked = False

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(name="http_service_client portal", daemon=True)
        self._loop = loop
        # Released at the end. `join` does not return under gevent when the process forked before it was patched, as
        # gunicorn does for an application that it preloads.
        self._has_ended = _thread.allocate_lock()
        self._has_ended.acquire()

    def run(self) -> None:
        try:
            _serve(self._loop)
        finally:
            self._has_ended.release()

    def stop(self) -> None:
        """End the loop, and wait for that."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._has_ended.acquire(timeout=_STOP_TIMEOUT)


class _ExitRequest:
    """A `SystemExit` or `KeyboardInterrupt`: raised by a task, it would end the loop."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


def _check_room() -> None:
    """Raise RuntimeError where a new thread could not run its loop, and what waits for it would wait without end.

    Under gevent and eventlet the new thread is a greenlet of this one, and a thread runs one loop at a time.
    """
    running = asyncio._get_running_loop()
    if running is not None and not is_running_here(running):
        raise RuntimeError(
            "this blocking call needs an event loop, and another greenlet of its thread runs one already: under gevent "
            "and eventlet, use either HTTP/2, or async functions, or asyncio, and not two of them"
        )


def _run_here(awaitable: Awaitable[Any], timeout: float | None) -> Any:
    """Run the awaitable on the calling thread. Raises RuntimeError where that thread is running a loop already."""
    if asyncio._get_running_loop() is None:
        return asyncio.run(bounded(awaitable, timeout))
    if isinstance(awaitable, Coroutine):
        awaitable.close()
    raise RuntimeError(
        "async code of a blocking call cannot run: no thread can start, and this thread is running an event loop; "
        "use the *_async methods there"
    )


async def _keeping_context(awaitable: Awaitable[Any], contexts: list[contextvars.Context]) -> Any:
    """The awaitable's result.   contexts: gets its context as it is then."""
    try:
        return await awaitable
    finally:
        contexts.append(contextvars.copy_context())


def _adopt(contexts: list[contextvars.Context]) -> None:
    """Set the variables of the present context as they are in the one that is in the list, if one is."""
    if contexts:
        for variable, value in contexts.pop().items():
            if variable.get(_UNSET) is not value:
                variable.set(value)


async def _shielding_loop(awaitable: Awaitable[Any]) -> Any:
    """The awaitable's result. An exit meant for the caller must not end the loop, which other callers use too."""
    try:
        return await awaitable
    except (KeyboardInterrupt, SystemExit) as error:
        return _ExitRequest(error)


def _cancel(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()


def _serve(loop: asyncio.AbstractEventLoop) -> None:
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


PORTAL = Portal()
WIRE = _WirePortal()
for _portal in (PORTAL, WIRE):
    atexit.register(_portal.stop)  # a loop that the interpreter collects unclosed at its end causes a warning
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_portal.reset_after_fork)

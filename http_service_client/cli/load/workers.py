"""The workers of a load: threads, or asyncio tasks on one loop. Another thread starts and stops them."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from ... import HttpClientError, HttpServiceClient, InvalidRequestError, SentState
from ...errors import ClientClosedError, ConfigurationError
from .schedule import Schedule, Start
from .tally import Tally

__all__ = ["Request", "Tasks", "Threads", "Workers"]

# Seconds that a worker of a closed loop waits after a call that failed without being sent. Refusals by an open circuit
# take microseconds, and it would make nothing but those.
_PAUSE = 0.01
_PATIENCE = 5.0  # seconds for workers to notice that they are stopped


@dataclass(frozen=True, slots=True)
class Request:
    """The call that is made again and again.   options: keywords of the verb."""

    method: str
    url: str
    options: Mapping[str, Any] = field(default_factory=dict)


class Workers(ABC):
    """Workers that take starts from a schedule and count what became of them.

    client: closed by its owner; `stop` aborts its calls.
    """

    name: str

    def __init__(self, client: HttpServiceClient, request: Request, schedule: Schedule, tally: Tally) -> None:
        self._client, self._request, self._schedule, self._tally = client, request, schedule, tally
        self._error: BaseException | None = None

    @abstractmethod
    def start(self) -> None:
        """Start the workers, and then the schedule. Raises ConfigurationError if there are too many."""

    @abstractmethod
    def wait(self, seconds: float) -> bool:
        """Wait for so long. Returns whether all have ended. Raises the error of a worker."""

    @abstractmethod
    def stop(self) -> None:
        """End the workers now: calls in flight are aborted and not counted."""

    def _raise_error(self) -> None:
        if isinstance(self._error, InvalidRequestError):
            # The arguments are wrong, and all calls would say so.
            raise ConfigurationError(str(self._error)) from None
        if self._error is not None:
            raise self._error

    def _fail(self, error: BaseException) -> None:
        self._error = self._error or error
        self._schedule.stop(perf_counter())

    def _end(self, start: Start, began_at: float, result: Any) -> bool:
        """Count the end of a call. Returns whether its worker should pause."""
        now = perf_counter()
        if isinstance(result, InvalidRequestError):
            self._fail(result)
        elif not (self._schedule.stopped_at is not None and isinstance(result, ClientClosedError)):
            self._tally.end(start, began_at, now, result)
        return self._schedule.load.rate is None and result.sent_state is SentState.NEVER_SENT


class Threads(Workers):
    """Worker threads and blocking calls."""

    name = "threads"

    def start(self) -> None:
        self._stopped, self._ready = threading.Event(), threading.Event()
        self._threads: list[threading.Thread] = []
        try:
            for _ in range(self._schedule.load.concurrency):
                thread = threading.Thread(target=self._run, name="load", daemon=True)
                thread.start()
                self._threads.append(thread)
        except RuntimeError:
            self._schedule.stop(perf_counter())
            raise ConfigurationError(
                f"--concurrency {self._schedule.load.concurrency}: this system starts {len(self._threads)} threads at "
                "most; use fewer, or --asyncio"
            ) from None
        finally:
            self._schedule.begin(perf_counter())
            self._ready.set()

    def _run(self) -> None:
        self._ready.wait()
        try:
            while (start := self._schedule.take(perf_counter())) is not None:
                wait = start.at - perf_counter()
                if wait > 0 and self._stopped.wait(wait):
                    return
                if self._call(start, was_free=wait > 0):
                    self._stopped.wait(_PAUSE)
        except BaseException as error:
            self._fail(error)

    def _call(self, start: Start, was_free: bool) -> bool:
        request, began_at = self._request, perf_counter()
        self._tally.begin(start, began_at, was_free)
        result: Any
        try:
            result = self._client.request(request.method, request.url, **request.options)
        except HttpClientError as error:
            result = error
        return self._end(start, began_at, result)

    def wait(self, seconds: float) -> bool:
        ends_at = perf_counter() + seconds
        for thread in self._threads:
            thread.join(max(0.0, ends_at - perf_counter()))
        self._raise_error()
        return not any(thread.is_alive() for thread in self._threads)

    def stop(self) -> None:
        self._schedule.stop(perf_counter())
        self._stopped.set()
        self._client.close(abort=True)
        self.wait(_PATIENCE)


class Tasks(Workers):
    """Asyncio tasks and async calls, on a loop in a thread of its own."""

    name = "asyncio"

    def start(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run_loop, name="load-loop", daemon=True)
        self._thread.start()

    def _run_loop(self) -> None:
        try:
            asyncio.run(self._run_tasks())
        except BaseException as error:
            self._fail(error)

    async def _run_tasks(self) -> None:
        async with self._client:
            self._loop = asyncio.get_running_loop()
            self._schedule.begin(perf_counter())
            self._tasks = [asyncio.ensure_future(self._run()) for _ in range(self._schedule.load.concurrency)]
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self) -> None:
        try:
            while (start := self._schedule.take(perf_counter())) is not None:
                wait = start.at - perf_counter()
                if wait > 0:
                    await asyncio.sleep(wait)
                if await self._call(start, was_free=wait > 0):
                    await asyncio.sleep(_PAUSE)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._fail(error)

    async def _call(self, start: Start, was_free: bool) -> bool:
        request, began_at = self._request, perf_counter()
        self._tally.begin(start, began_at, was_free)
        result: Any
        try:
            result = await self._client.request_async(request.method, request.url, **request.options)
        except HttpClientError as error:
            result = error
        return self._end(start, began_at, result)

    def wait(self, seconds: float) -> bool:
        self._thread.join(seconds)
        self._raise_error()
        return not self._thread.is_alive()

    def stop(self) -> None:
        self._schedule.stop(perf_counter())
        if self._loop is not None:
            try:
                self._loop.call_soon_threadsafe(self._cancel)
            except RuntimeError:  # it has ended
                pass
        self.wait(_PATIENCE)

    def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()

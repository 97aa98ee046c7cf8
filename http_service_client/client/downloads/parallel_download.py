"""One file over several connections: its calls, and what is done with the file between them.

    first part      requested with a Range; its response tells the length, and whether there is a strong validator
    other parts     calls of their own under If-Range, so all bytes are of one version; some at a time
    one stream      where the server has no ranges or no validator, or the file changes meanwhile

The front end runs all this, in threads or in tasks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from ...core.deadline import AMBIENT_DEADLINE, remaining
from ...core.effects import TIMED_OUT, Outcome, Plan, Work
from ...core.layers.download import Download
from ...core.layers.part_download import PartDownload
from ...errors import ChecksumError, DeadlineExceededError
from ...policies.deadline import deadline
from ..pages import prepare_for_repeats
from ..progress_bar import ProgressBar, parse_progress
from ..results import check_download, finish
from .parallel_file import FilePart, PartedFile

if TYPE_CHECKING:
    from ...core.call import Call
    from ...drivers.aio import AsyncioDriver
    from ...drivers.blocking import BlockingDriver
    from ...http.messages import HttpResponse
    from ..keywords import StreamRequestOptions

    Begin = Callable[[Download, StreamRequestOptions], tuple[Call, Plan[Outcome]]]

__all__ = ["ParallelDownload", "PartRefused"]

_FIRST = 1024 * 1024  # bytes of the first part, after which the length is known
_LEAST = 1024 * 1024  # bytes of another part: fewer are not worth a request
_MOST = 64 * 1024 * 1024  # with more, one slow connection would be left alone with the end of the file


class PartRefused(Exception):
    """The server did not send a part of the version that the first part is of."""


class ParallelDownload:
    """One download, and its calls.

    begin: makes a call and its plan, for a saver and the call's keywords.   parts: how many run at a time.
    clock: monotonic seconds.   seconds: for the whole download; None for no limit.   options: of each call.
    """

    def __init__(
        self,
        begin: Begin,
        file: PartedFile,
        parts: int,
        clock: Callable[[], float],
        seconds: float | None,
        options: StreamRequestOptions,
    ) -> None:
        self.parts = parts
        self._begin = begin
        self._file = file
        self._clock = clock
        self._seconds = seconds
        self._options: Any = {**options, "total_timeout": None}  # of a single part; `limits` is for all
        prepare_for_repeats("download_parallel", self._options)
        self._progress = parse_progress(self._options.pop("progress", None), may_be_async=True)
        if self._progress is not None:
            self._options["progress"] = self._report
        self._reporting = threading.RLock()  # parts end at the same time; reports come one by one
        self._first = Download(file, _FIRST)
        self._calls: set[Call] = set()  # of threads; a task is cancelled

    @contextmanager
    def limits(self) -> Iterator[None]:
        """Around all calls: the time for the download, and the bar."""
        limit = nullcontext() if self._seconds is None else deadline(self._seconds, clock=self._clock)
        try:
            with limit:
                yield
        finally:
            if isinstance(self._progress, ProgressBar):
                self._progress.close()

    # The calls.

    def first(self) -> Download:
        return self._first

    def whole(self) -> Download:
        """The download as one stream."""
        return Download(self._file)

    def run(self, driver: BlockingDriver, saver: Download) -> HttpResponse:
        call, plan = self._begin(saver, self._options)
        self._calls.add(call)
        try:
            return _end(call, driver.run(plan), saver)
        finally:
            self._calls.discard(call)

    async def run_async(self, driver: AsyncioDriver, saver: Download) -> HttpResponse:
        call, plan = self._begin(saver, self._options)
        return _end(call, await driver.run(plan), saver)

    def stop(self, driver: BlockingDriver) -> None:
        """End the calls of other threads: their waits, their bodies, and what they write."""
        self._file.stop()
        driver.end_waits()
        for call in self._calls.copy():
            body = call.current.body
            if body is not None:
                body.close()

    def part(self, part: FilePart) -> PartDownload:
        assert self._first.split is not None
        return PartDownload(part, self._first.split, part.end, lambda: self._file.is_stopped)

    def _report(self, received: int, total: int | None) -> object:
        assert self._progress is not None
        with self._reporting:
            if self._first.split is not None:
                received, total = self._file.arrived, self._first.split.total
            return self._progress(received, total)

    # The file.

    @property
    def is_split(self) -> bool:
        """Whether the first part has come, and others can."""
        return self._first.split is not None

    def split(self) -> Plan[list[FilePart]]:
        version = self._first.split
        assert version is not None
        total = version.total
        assert total is not None
        most = -(-(total - self._file.received) // self.parts)
        return self._disk(self._file.split, total, min(max(most, _LEAST), _MOST))

    def start_over(self) -> Plan[None]:
        self._first.split = None
        return self._disk(self._file.start_over)

    def commit(self, response: HttpResponse) -> Plan[None]:
        yield from self._disk(self._file.join)
        problem = yield from self._disk(self._file.commit)
        if problem is not None:
            yield from self._disk(self._file.start_over)
            raise ChecksumError(problem, **response._evidence())

    def _disk(self, function: Callable[..., Any], *arguments: Any) -> Plan[Any]:
        left = remaining(self._clock, AMBIENT_DEADLINE.get())
        answer = yield from Work(function, *arguments, timeout=left)
        if answer is TIMED_OUT:
            raise DeadlineExceededError("the deadline expired while the file was being written")
        return answer


def _end(call: Call, outcome: Outcome, saver: Download) -> HttpResponse:
    response = finish(call, outcome, None)
    if isinstance(saver, PartDownload) and saver.is_refused:
        raise PartRefused
    return check_download(response)

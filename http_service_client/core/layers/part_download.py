"""Saving one part of a file whose version is known, beside other parts of it.

The rules are those of a whole file: a broken connection is a failed attempt, and the next one requests what is left of
the part, under If-Range. But a part cannot start over with another version: the parts beside it are of this one. So if
the server sends anything else, the part ends and says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ...errors import ClientClosedError, Failure, SentState
from ...http.bodies.ranges import Continue, Validators, judge_response, judged_status, resume_headers
from ...http.messages import HttpRequest
from ..effects import Outcome, Plan
from .download import WRONG_LENGTH, Download, DownloadSink, with_headers

if TYPE_CHECKING:
    from ..call import Call
    from ..layer import Handler

__all__ = ["PartDownload"]


class PartDownload(Download):
    """Writes a part of a file into a sink, whose `received` counts from the start of the file.

    version: of the file, with a strong validator.   end: the first byte that is not of this part.
    is_stopped: whether another part has failed, so that this one is of no use.
    is_refused: the server sent something else than this part of this version.
    """

    def __init__(
        self, sink: DownloadSink, version: Validators, end: int, is_stopped: Callable[[], bool]
    ) -> None:
        super().__init__(sink)
        self._is_stopped = is_stopped
        self.is_refused = False
        self._validators = version
        self._start = self._furthest = sink.received
        self._end = end

    def _attempt(self, proceed: Handler, request: HttpRequest, call: Call) -> Plan[Outcome]:
        sink, version = self._sink, self._validators
        tag, changed, date, total = version
        if sink.received == self._end:  # only the end of the body was missing; an empty range is invalid
            failure = yield from self._rewind(self._end - 1, call)
            if failure is not None:
                return failure
        while True:
            headers = resume_headers(sink.received, tag, changed, date, self._end)
            assert headers is not None  # the first bytes are those of the first part; the validator is strong
            outcome = yield from proceed(with_headers(request, headers), call)
            if isinstance(outcome, Failure):
                return outcome
            if self._is_stopped():  # it was waiting for the head while the bodies of the others were closed
                call.discard_body()
                message = "the download that this is a part of has ended"
                return Failure(ClientClosedError, message, SentState.ABANDONED)
            status = judged_status(outcome.status_code, outcome.headers)
            verdict = judge_response(status, outcome.headers, sink.received, version)
            if not isinstance(verdict, Continue) or not self._is_inside(verdict):
                call.discard_body()
                self.is_refused = outcome.status_code < 400 or outcome.status_code == 416
                return outcome
            failure = yield from self._rewind(verdict.offset, call)
            failure = failure or (yield from self._save(outcome, call, total, verdict))
            if failure is not None:
                return failure
            if sink.received == self._end:
                return outcome

    def _is_inside(self, part: Continue) -> bool:
        return self._start <= part.offset and part.offset + part.length <= self._end

    def _refuse_body(self, span: Continue, call: Call) -> Plan[Failure]:
        return self._go_back(span.offset, WRONG_LENGTH, call)

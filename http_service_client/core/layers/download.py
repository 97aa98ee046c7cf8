"""Saving a response's body to a file, over several attempts if connections are lost.

The layer is inside the circuit breaker and the retries, so a connection lost mid-body is a failed attempt like any
other: counted, retried after a wait, within budget and deadline. The next attempt requests the rest, if the server
can show that it is of the same version (see `http.bodies.ranges`), and otherwise all of it.

An attempt that failed but added a good piece to the file has made *progress*: it is no evidence against the server,
costs nothing of the retry budget, and the attempts are counted from it again. So a long download completes over a
connection that breaks now and then, and one that gains nothing ends like any other call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from ...errors import (
    AttemptTimeoutError,
    ChecksumError,
    DeadlineExceededError,
    Failure,
    InvalidRequestError,
    ProtocolError,
    ResponseTooLargeError,
    SentState,
)
from ...http.bodies.ranges import (
    IDENTITY,
    Complete,
    Continue,
    Refuse,
    Restart,
    Validators,
    byte_range,
    judge_response,
    judged_status,
    resume_headers,
)
from ...http.messages import HttpRequest, HttpResponse
from ..effects import TIMED_OUT, Invoke, Outcome, Plan, Work
from ..open_body import OpenResponse

if TYPE_CHECKING:
    from ..call import Call
    from ..layer import Handler

__all__ = ["BLOCK_FOR_A_THREAD", "WRONG_LENGTH", "Download", "DownloadLayer", "DownloadSink", "with_headers"]

BLOCK = 512 * 1024  # bytes handed to the sink at a time: with half as many, a download takes a tenth more CPU
BLOCK_FOR_A_THREAD = 1024 * 1024  # to hand them to a thread and wait for it takes as long as to write 256 KiB
_MOST_PIECES = 1000  # pieces of a block; as objects of their own, tiny ones would take forty times their size
# Bytes of the first block. The next ones have no more than the file has by then: a process that is killed while the server
# is silent loses half of what has arrived at most.
_LEAST = 64 * 1024
_LONGEST = 0.2  # seconds; of a slow body, less than a block is handed over, and reported as progress
# Bytes that are worth an attempt. With fewer, a hostile server could keep a call for days.
_PROGRESS = 64 * 1024
_UNREQUESTED_PART = Refuse("the server sent a part of the file although all of it was requested")

WRONG_LENGTH = "the body does not have the length that its Content-Range says"

Verdict = Complete | Continue | Refuse | Restart


class DownloadSink(Protocol):
    """Where the bytes are written. Its methods may block."""

    received: int
    resumes: bool

    def restore(self, url: str) -> tuple[Any, ...] | None:
        """Only if it resumes: what an earlier call remembered about the bytes that the sink still has."""

    def remember(self, url: str, version: tuple[Any, ...]) -> None:
        """Only if it resumes: note the version of the file whose bytes follow."""

    def write(self, pieces: list[bytes]) -> None:
        """Append bytes."""

    def rewind(self, offset: int) -> None:
        """Truncate to `offset` bytes."""

    def commit(self) -> str | None:
        """Accept the complete file. Returns the reason when it must be rejected."""


class DownloadLayer:
    """Lets the call's download save the body of each attempt."""

    def __call__(self, proceed: Handler, request: HttpRequest, call: Call) -> Plan[Outcome]:
        stream = call.options.stream
        assert stream is not None
        assert stream.download is not None  # only the pipeline of downloads has this layer
        return stream.download.attempt(proceed, request, call)


class Download:
    """Writes the body of a successful GET into a sink, over as many attempts as it takes.

    block: bytes handed to the sink at a time.
    first_part: the bytes to request first; None for all. If the server sends that part, and can confirm that others
        are of the same version, the download ends there, uncommitted. Otherwise it goes on as one without parts.
    split: then, the version of the file; None otherwise.
    """

    def __init__(self, sink: DownloadSink, first_part: int | None = None, block: int = BLOCK) -> None:
        self.split: Validators | None = None
        self._block = block
        self._first_part = first_part
        self._sink = sink
        self._validators = Validators()
        self._first: HttpResponse | None = None  # the response whose bytes are in the sink
        self._is_restored = False
        # Bytes that the sink once had: a download that starts over and over gets no further.
        self._furthest = 0

    def attempt(self, proceed: Handler, request: HttpRequest, call: Call) -> Plan[Outcome]:
        """One attempt: the response whose body was saved, a response without a file, or a failure."""
        outcome = yield from self._attempt(proceed, request, call)
        received = self._sink.received
        if isinstance(outcome, Failure) and received >= self._furthest + _PROGRESS:
            tag, changed, date, _ = self._validators
            call.current.has_progressed = resume_headers(received, tag, changed, date) is not None
        self._furthest = max(self._furthest, received)
        return outcome

    def _attempt(self, proceed: Handler, request: HttpRequest, call: Call) -> Plan[Outcome]:
        """The attempt, whose progress is still to be judged."""
        sink = self._sink
        if "Range" in request.headers or "If-Range" in request.headers:
            message = "a download sets Range and If-Range itself; leave them out, or use stream()"
            return Failure(InvalidRequestError, message, SentState.NEVER_SENT)
        if sink.resumes and not self._is_restored:
            self._is_restored = True
            version = yield from Work(sink.restore, request.url, timeout=call.remaining())
            if version is TIMED_OUT:
                return _disk_timed_out()
            self._validators = Validators(*version) if version else Validators()
            self._furthest = sink.received
        while True:
            tag, changed, date, total = self._validators
            size = self._first_part
            # A multiple: what is left of a first part that broke is requested, and not another one.
            end = None if size is None else (sink.received // size + 1) * size
            part = resume_headers(sink.received, tag, changed, date, end)
            is_first_part = end is not None and sink.received == 0
            if is_first_part:
                part = {**IDENTITY, "Range": byte_range(0, end)}
            outcome = yield from proceed(with_headers(request, part or IDENTITY), call)
            if isinstance(outcome, Failure):
                return outcome
            status = judged_status(outcome.status_code, outcome.headers)
            verdict: Verdict = _UNREQUESTED_PART
            if part is not None or status == 200:
                verdict = judge_response(status, outcome.headers, sink.received, self._validators)
            if isinstance(verdict, Complete):
                call.discard_body()
                if self._first is not None:
                    return (yield from self._commit(self._first, call))
                # An earlier call received all of it. Ask for the last byte again, to have a response to return.
                failure = yield from self._rewind(sink.received - 1, call)
                if failure is not None:
                    return failure
                continue
            if isinstance(verdict, Refuse):
                call.discard_body()
                if is_first_part and status == 206:
                    self._first_part = None  # the server does not understand ranges well
                    continue
                if status != 206:
                    return outcome
                return (yield from self._start_over(verdict.reason, call))
            failure = None
            if isinstance(verdict, Restart):
                failure = yield from self._rewind(0, call)
                self._validators = Validators()
                if not verdict.has_body:
                    if is_first_part:  # 416: the file is empty
                        self._first_part = None
                    call.discard_body()
                    continue
                total = _length(outcome)
            elif isinstance(verdict, Continue):
                failure = yield from self._rewind(verdict.offset, call)
                total = verdict.total
            if isinstance(verdict, Restart) or is_first_part:
                self._first, self._validators = outcome, Validators.of(outcome.headers, total)
                if sink.resumes and failure is None:
                    noted = yield from Work(
                        sink.remember, request.url, tuple(self._validators), timeout=call.remaining()
                    )
                    failure = _disk_timed_out() if noted is TIMED_OUT else None
            span = verdict if isinstance(verdict, Continue) else None
            failure = failure or (yield from self._save(outcome, call, total, span))
            if failure is not None:
                return failure
            # The transport guarantees that the body is complete. More parts may follow: where the length is
            # not known, a 416 ends them.
            if isinstance(verdict, Restart) or (total is not None and sink.received >= total):
                return (yield from self._commit(outcome, call))
            if self._first_part is not None:
                tag, changed, date, _ = self._validators
                if total is not None and resume_headers(sink.received, tag, changed, date) is not None:
                    return self._split(outcome, call, total)
                self._first_part = None  # there is no way to know that two parts belong together

    def _split(self, response: HttpResponse, call: Call, total: int) -> Outcome:
        assert call.options.stream is not None
        limit = call.options.stream.max_size
        if limit is not None and total > limit:
            return _too_large(limit)
        self.split = self._validators._replace(total=total)
        return response

    def _start_over(self, reason: str, call: Call) -> Plan[Failure]:
        """The server sent a part of another file: the next attempt requests all of it."""
        self._validators = Validators()
        return self._go_back(0, f"the download cannot be resumed: {reason}", call)

    def _go_back(self, offset: int, message: str, call: Call) -> Plan[Failure]:
        """Discard what is beyond `offset`. The failure of the attempt."""
        failure = yield from self._rewind(offset, call)
        return failure or Failure(ProtocolError, message, SentState.ANSWERED)

    def _save(
        self, response: HttpResponse, call: Call, total: int | None, span: Continue | None
    ) -> Plan[Failure | None]:
        """Write the body.   span: the bytes of the file that it must have; None for all."""
        assert call.options.stream is not None
        limit = call.options.stream.max_size
        end = 0 if span is None else span.offset + span.length
        if not isinstance(response, OpenResponse) or call.current.body is None:  # the transport cannot stream
            if span is not None and len(response.content) != span.length:
                return (yield from self._refuse_body(span, call))
            return (yield from self._write([response.content], call, total))
        prefer_long_pieces = getattr(response.source, "prefer_long_pieces", None)
        if prefer_long_pieces is not None:
            prefer_long_pieces()
        block: list[bytes] = []
        size, began = 0, call.clock()
        while True:
            piece = yield from call.current.body.next_piece()
            if isinstance(piece, bytes):
                if piece:
                    block.append(piece)
                    size += len(piece)
                received = self._sink.received + size
                # At once: if this connection broke, the next attempt would go on after bytes that nobody vouches for.
                if span is not None and (received > end or (not piece and received < end)):
                    call.discard_body()
                    return (yield from self._refuse_body(span, call))
                if limit is not None and received > limit:
                    call.discard_body()
                    piece = _too_large(limit)
            has_ended = isinstance(piece, Failure) or not piece
            if size and (
                has_ended
                or size >= min(self._block, max(_LEAST, self._sink.received))
                or len(block) >= _MOST_PIECES
                or call.clock() - began >= _LONGEST
            ):
                failure = yield from self._write(block, call, total)
                if failure is not None:
                    return failure
                block, size, began = [], 0, call.clock()
            if has_ended:
                return piece if isinstance(piece, Failure) else None

    def _refuse_body(self, span: Continue, call: Call) -> Plan[Failure]:
        """The body does not have the length of its span: whose bytes it has is not known."""
        return self._start_over(WRONG_LENGTH, call)

    def _write(self, pieces: list[bytes], call: Call, total: int | None) -> Plan[Failure | None]:
        # The disk may be that of a dead file server. A wait for it has the limit of a wait for more of the body.
        timeout, remaining = call.options.timeout, call.remaining()
        limit = timeout.in_body().read
        limit = timeout.total if limit is None else limit
        if remaining is not None and (limit is None or remaining <= limit):
            limit = None
        answer = yield from Work(self._sink.write, pieces, timeout=remaining if limit is None else limit)
        if answer is TIMED_OUT:
            return _disk_timed_out(limit)
        if call.options.progress is not None:
            yield from Invoke(call.options.progress, self._sink.received, total, timeout=call.remaining())
        return None

    def _rewind(self, offset: int, call: Call) -> Plan[Failure | None]:
        if offset < self._sink.received:
            # Reading a large file again for its checksum may take long, so the deadline alone limits it.
            answer = yield from Work(self._sink.rewind, offset, timeout=call.remaining())
            if answer is TIMED_OUT:
                return _disk_timed_out()
        return None

    def _commit(self, response: HttpResponse, call: Call) -> Plan[Outcome]:
        # As above: it waits until the disk has all of a large file.
        problem = yield from Work(self._sink.commit, timeout=call.remaining())
        if problem is TIMED_OUT:
            return _disk_timed_out()
        if problem is not None:
            failure = yield from self._rewind(0, call)
            return failure or Failure(
                ChecksumError, problem, SentState.ANSWERED, details={"response": response}
            )
        return response


def with_headers(request: HttpRequest, headers: Mapping[str, str]) -> HttpRequest:
    """A copy of the request with these headers, in place of those of the same name."""
    copied = request.copy()
    for name, value in headers.items():
        copied.headers[name] = value
    return copied


def _too_large(limit: int) -> Failure:
    message = f"the file is larger than max_response_size ({limit} bytes); raise it, or use None for no limit"
    return Failure(ResponseTooLargeError, message, SentState.ANSWERED)


def _disk_timed_out(limit: float | None = None) -> Failure:
    """The end of the call: a thread that cannot be interrupted may still be writing to the file.

    limit: the seconds that a block may take; None when it was the deadline.
    """
    if limit is None:
        message = "the deadline expired while the file was being written"
        return Failure(DeadlineExceededError, message, SentState.ABANDONED)
    message = f"the disk did not accept the file's next block within {limit:.3g} s"
    return Failure(AttemptTimeoutError, message, SentState.ABANDONED)


def _length(response: HttpResponse) -> int | None:
    """The length of the whole file, unless a content coding changes it."""
    length = response.headers.get("Content-Length", "")
    is_plain = "Content-Encoding" not in response.headers
    return int(length) if is_plain and length.isascii() and length.isdigit() else None

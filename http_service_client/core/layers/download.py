"""Saving a response's body: as it comes, and after a broken connection from where it stopped.

Inside the circuit breaker and the retries, so a connection that breaks in mid-body is a failed attempt like
any other: counted, waited for, within budget and deadline. The next attempt asks for the rest, if what there
is can be told to be of the same version (see `http.bodies.ranges`), and else for all of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from ...errors import (
    ChecksumError,
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
    judge_response,
    resume_headers,
)
from ...http.messages import HttpRequest, HttpResponse
from ..effects import Invoke, Outcome, Plan, Work
from ..open_body import OpenResponse

if TYPE_CHECKING:
    from ..call import Call
    from ..layer import Handler

__all__ = ["Download", "DownloadLayer", "DownloadSink"]

_BLOCK = 256 * 1024  # bytes handed to the sink at a time
_NOT_ASKED_FOR = Refuse("it sent a part of the file, though all of it was asked for")

Verdict = Complete | Continue | Refuse | Restart


class DownloadSink(Protocol):
    """Where the bytes go. Its methods may block."""

    received: int

    def write(self, pieces: list[bytes]) -> None:
        """Add bytes."""

    def rewind(self, offset: int) -> None:
        """Forget what is beyond `offset`."""

    def commit(self) -> str | None:
        """It is complete; the reason when it is not what was asked for."""


class DownloadLayer:
    """Has a download save the body of each attempt."""

    def __call__(self, proceed: Handler, request: HttpRequest, call: Call) -> Plan[Outcome]:
        stream = call.options.stream
        assert stream is not None
        assert stream.download is not None  # this layer is in the pipeline of downloads alone
        return stream.download.attempt(proceed, request, call)


class Download:
    """Puts the body of a successful GET into a sink, over as many attempts as it takes."""

    def __init__(self, sink: DownloadSink) -> None:
        self._sink = sink
        self._validators = Validators()
        self._first: HttpResponse | None = None  # the answer that the sink's bytes came from

    def attempt(self, proceed: Handler, request: HttpRequest, call: Call) -> Plan[Outcome]:
        """One attempt: the response whose body is saved, or that is none to save; or a failure."""
        sink = self._sink
        if "Range" in request.headers or "If-Range" in request.headers:
            message = "a download asks for ranges on its own; leave Range and If-Range out, or use stream()"
            return Failure(InvalidRequestError, message, SentState.NEVER_SENT)
        while True:
            tag, changed, date, total = self._validators
            part = resume_headers(sink.received, tag, changed, date)
            outcome = yield from proceed(_asking(request, part or IDENTITY), call)
            if isinstance(outcome, Failure):
                return outcome
            verdict: Verdict = _NOT_ASKED_FOR
            if part is not None or outcome.status_code == 200:
                verdict = judge_response(outcome.status_code, outcome.headers, sink.received, self._validators)
            if isinstance(verdict, Complete) and self._first is not None:
                return (yield from self._commit(self._first))
            if isinstance(verdict, Refuse):
                call.discard_body()
                if outcome.status_code != 206:
                    return outcome
                return (yield from self._begin_anew(verdict.reason))
            if isinstance(verdict, Restart):
                yield from self._rewind(0)
                self._validators = Validators()
                if not verdict.has_body:
                    call.discard_body()
                    continue
                total = _length(outcome)
                self._first, self._validators = outcome, Validators.of(outcome.headers, total)
            elif isinstance(verdict, Continue):
                yield from self._rewind(verdict.offset)
                total = verdict.total
            failure = yield from self._save(outcome, call, total)
            if failure is not None:
                return failure
            if isinstance(verdict, Continue) and sink.received != verdict.offset + verdict.length:
                return (yield from self._begin_anew("it sent more or less than its Content-Range says"))
            # The transport has seen to it that a body is whole. A part may be followed by others: where the
            # length is not known, 416 says that there is no more.
            if isinstance(verdict, Restart) or (total is not None and sink.received >= total):
                return (yield from self._commit(outcome))

    def _begin_anew(self, reason: str) -> Plan[Failure]:
        """The server gave a part that is none of this file: the next attempt asks for all of it."""
        yield from self._rewind(0)
        self._validators = Validators()
        return Failure(ProtocolError, f"the download cannot go on: {reason}", SentState.ANSWERED)

    def _save(self, response: HttpResponse, call: Call, total: int | None) -> Plan[Failure | None]:
        if not isinstance(response, OpenResponse) or call.body is None:
            yield from self._write([response.content], call, total)  # of a transport that streams nothing
            return None
        assert call.options.stream is not None
        limit = call.options.stream.max_size  # of the file, not of each part of it
        block: list[bytes] = []
        size = 0
        while True:
            piece = yield from call.body.next_piece()
            if isinstance(piece, bytes):
                block.append(piece)
                size += len(piece)
                if limit is not None and self._sink.received + size > limit:
                    call.discard_body()
                    piece = _too_large(limit)
            is_over = isinstance(piece, Failure) or not piece
            if size and (is_over or size >= _BLOCK):
                yield from self._write(block, call, total)
                block, size = [], 0
            if is_over:
                return piece if isinstance(piece, Failure) else None

    def _write(self, pieces: list[bytes], call: Call, total: int | None) -> Plan[None]:
        yield from Work(self._sink.write, pieces)
        if call.options.progress is not None:
            yield from Invoke(call.options.progress, self._sink.received, total, timeout=call.remaining())

    def _rewind(self, offset: int) -> Plan[None]:
        if offset < self._sink.received:
            yield from Work(self._sink.rewind, offset)

    def _commit(self, response: HttpResponse) -> Plan[Outcome]:
        problem = yield from Work(self._sink.commit)
        if problem is not None:
            yield from self._rewind(0)
            return Failure(ChecksumError, problem, SentState.ANSWERED, details={"response": response})
        return response


def _asking(request: HttpRequest, headers: Any) -> HttpRequest:
    asking = request.copy()
    for name, value in headers.items():
        asking.headers[name] = value
    return asking


def _too_large(limit: int) -> Failure:
    message = f"the file is larger than max_response_size ({limit} bytes); raise it"
    return Failure(ResponseTooLargeError, message, SentState.ANSWERED)


def _length(response: HttpResponse) -> int | None:
    """The length of the whole file, if no coding makes it another."""
    length = response.headers.get("Content-Length", "")
    is_plain = "Content-Encoding" not in response.headers
    return int(length) if is_plain and length.isascii() and length.isdigit() else None

"""A response whose body is still to come: read in pieces, decoded, within its limits.

The attempt's timeout holds until the headers have arrived. From then on the deadline bounds the whole, and each wait
for a piece has a limit:

    the first     what `Timeout.first_byte` has left after the headers, else the read timeout, else the attempt's
    the others    `Timeout.between`, else the read timeout, else the attempt's

So a long stream may take its time, and a server that stops sending is noticed. The time that the reader spends between
two pieces does not count. The connection slots are held as long as the body is open.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ..errors import (
    DeadlineExceededError,
    Failure,
    HttpClientError,
    ReadTimeoutError,
    RequestTimeoutError,
    ResponseTooLargeError,
    SentState,
    StreamError,
)
from ..http.content_codings.decoder import Decoder, too_large
from ..http.messages import HttpRequest, HttpResponse
from ..http.urls import redact_url
from .effects import BodySource, Plan, Receive, Sleep
from .timeouts import TIMER_SLACK, Timeout

if TYPE_CHECKING:
    from .call import Call, Idle

__all__ = ["BufferedBody", "OpenBody", "OpenResponse"]

_NO_LIMIT = "raise it, or use None for no limit"
_SHORTEST = 0.001  # seconds: the head came just before `first_byte` ran out


class OpenResponse(HttpResponse[None]):
    """A response whose head has arrived; its body is still to come from `source`.

    waited: seconds from the request sent to the head.
    """

    __slots__ = ("source", "waited")

    def __init__(self, status_code: int, *, source: BodySource, waited: float = 0.0, **head: Any) -> None:
        super().__init__(status_code, **head)
        self.source = source
        self.waited = waited

    @property
    def content(self) -> bytes:
        """Not available. Raises StreamError."""
        raise StreamError("the body is not in memory: it is streamed, or saved in the file of a download")

    @content.setter
    def content(self, value: bytes) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        pass

    def observed(self, request: HttpRequest) -> OpenResponse:
        """The head alone. A listener that keeps it does not keep the connection."""
        head = self._head() | {"headers": self.headers.copy(), "request": request}
        return OpenResponse(self.status_code, source=_Nowhere(), **head)

    def __copy__(self) -> OpenResponse:
        twin = OpenResponse(self.status_code, source=self.source, waited=self.waited, **self._head())
        twin.attempts, twin.timeline = self.attempts, self.timeline
        return twin

    def __deepcopy__(self, memo: dict[int, Any]) -> HttpResponse:
        return _head_only(self.status_code, copy.deepcopy(self._head(), memo))

    def _head(self) -> dict[str, Any]:
        names = ("headers", "reason_phrase", "url", "request", "elapsed", "history", "http_version")
        return {name: getattr(self, name) for name in names}

    def __reduce__(self) -> tuple[Any, ...]:
        # An error may take it to another process, which does not have its connection: only the head is pickled.
        return _head_only, (self.status_code, self._head() | {"url": redact_url(self.url)})


class _Nowhere:
    """The source of a body that is read elsewhere."""

    def close(self) -> None:
        """Nothing to release."""


def _head_only(status_code: int, head: dict[str, Any]) -> HttpResponse:
    return HttpResponse(status_code, **head)


class OpenBody:
    """The body of a call's response. Take `next_piece` until it is empty, and `close` it in any case.

    slots: functions that release the connection slots, each of which may be called twice.
    is_complete: it has been read to its end.
    """

    def __init__(self, response: OpenResponse, call: Call, slots: list[Callable[[], None]]) -> None:
        options = call.options.stream
        assert options is not None
        self._response = response
        self._source = response.source
        self._call = call
        self._slots = slots
        is_decoded = options.decompress
        if response.status_code == 206:
            from ..http.bodies.ranges import is_part

            is_decoded = is_decoded and not is_part(response.headers)
        coding = ", ".join(response.headers.get_all("Content-Encoding")) if is_decoded else None
        self._decoder = Decoder(coding, options.max_size)
        timeout = call.options.timeout
        later = timeout.in_body().read
        self._later_waits = Timeout(read=timeout.total if later is None else later)
        first = timeout.total if timeout.read is None else timeout.read
        if timeout.first_byte is not None:
            first = max(_SHORTEST, timeout.first_byte - response.waited)
        self._waits = Timeout(read=first)  # those of the first piece, then the later ones
        self._pieces: Iterator[bytes] = iter(())
        self.is_complete = self._is_closed = False

    def next_piece(self, idle: Idle | None = None) -> Plan[bytes | Failure]:
        """The next piece, decoded; b"" at the end. A failure closes it.

        idle: another limit of the wait, or None.
        A coded body is decoded in pieces of at most about 64 KiB. Without a coding, pieces are as they arrived.
        """
        began = 0.0 if self._decoder.is_plain else self._call.clock()
        try:
            while True:
                for piece in self._pieces:
                    if piece:
                        return piece
                    # A server can send empty frames forever: here an event loop serves others.
                    yield from Sleep(0.0)
                    if (late := self._timed_out(began)) is not None:
                        self.close()
                        return late
                if self.is_complete:
                    return b""
                bounds = self._waits
                if idle is not None:
                    left = idle.expires_at - self._call.clock()
                    if left <= 0:
                        self.close()
                        return self._idle_for_too_long(idle)
                    if bounds.read is None or left < bounds.read:
                        bounds = Timeout(read=left)
                if self._call.deadline_at is not None:
                    remaining = self._call.deadline_at - self._call.clock()
                    if remaining <= 0:
                        self.close()
                        return self._deadline_exceeded()
                    bounds = bounds.within(remaining)
                data: bytes | Failure = yield Receive(self._source, bounds)
                if isinstance(data, Failure):
                    self.close()
                    if self._is_deadline(data):
                        return self._deadline_exceeded(data.cause)
                    is_timeout = data.error_type is ReadTimeoutError
                    if (
                        is_timeout
                        and idle is not None
                        and idle.expires_at <= self._call.clock() + TIMER_SLACK
                    ):
                        return self._idle_for_too_long(idle, data.cause)
                    return self._named(data)
                self._waits = self._later_waits
                if not data:
                    self.close()
                    self._decoder.finish()
                    self.is_complete = True
                elif self._decoder.is_plain:
                    return self._decoder.feed(data)
                else:
                    self._pieces = self._decoder.pieces(data)
        except HttpClientError as error:  # of the decoder
            self.close()
            message, limit = str(error), self._decoder.limit
            if limit is not None and isinstance(error, ResponseTooLargeError):
                message = too_large(limit, _NO_LIMIT)
            return self._failed(type(error), message, SentState.ANSWERED)

    def _timed_out(self, began: float) -> Failure | None:
        """The failure of a wait for a piece that has gone on since `began`, if it has been too long."""
        remaining, limit = self._call.remaining(), self._waits.read
        if remaining is not None and remaining <= 0:
            return self._deadline_exceeded()
        if limit is not None and self._call.clock() - began >= limit:
            message = (
                f"timed out reading from {redact_url(self._response.url)}: nothing arrived for {limit:.3g} s"
            )
            return self._failed(ReadTimeoutError, message, SentState.MAYBE_PROCESSED)
        return None

    def _named(self, failure: Failure) -> Failure:
        """The failure, with the limit that the caller set, and not what was left of it after the head."""
        limit = self._call.options.timeout.first_byte
        if failure.error_type is not ReadTimeoutError or limit is None or self._waits is self._later_waits:
            return failure
        message = (
            f"timed out reading from {redact_url(self._response.url)}: no first byte within {limit:.3g} s"
        )
        return self._failed(ReadTimeoutError, message, failure.sent_state, failure.cause)

    def _idle_for_too_long(self, idle: Idle, cause: BaseException | None = None) -> Failure:
        message = f"timed out reading from {redact_url(self._response.url)}: no {idle.item} for {idle.seconds:.3g} s"
        return self._failed(ReadTimeoutError, message, SentState.MAYBE_PROCESSED, cause)

    def _is_deadline(self, failure: Failure) -> bool:
        remaining = self._call.remaining()
        is_timeout = issubclass(failure.error_type, RequestTimeoutError)
        return is_timeout and remaining is not None and remaining <= TIMER_SLACK

    def _deadline_exceeded(self, cause: BaseException | None = None) -> Failure:
        message = "the deadline expired while the body was being read"
        return self._failed(DeadlineExceededError, message, SentState.ABANDONED, cause)

    def _failed(
        self,
        error_type: type[HttpClientError],
        message: str,
        state: SentState,
        cause: BaseException | None = None,
    ) -> Failure:
        return Failure(error_type, message, state, cause, {"response": self._response})

    def keep(self, release: Callable[[], None]) -> None:
        """Have `release` called when it is closed, as for the slots; now if it is closed already."""
        self._slots.append(release)
        if self._is_closed:
            self.release_slots()

    def close(self) -> None:
        """Release the connection and its slots. A second time does nothing."""
        self._is_closed = True
        self._source.close()
        self.release_slots()

    def release_slots(self) -> None:
        """Release only the slots: a finalizer must not touch the connection."""
        # To release one twice does nothing: another thread may be closing it, too.
        try:
            for release in self._slots:
                release()
        except BaseException:  # Ctrl-C in between
            for release in self._slots:
                release()
            raise


class BufferedBody:
    """Like `OpenBody`, for a response whose body is in memory: a test or an interceptor made it.

    limit: bytes that it may have, or None for any number.
    """

    def __init__(self, content: bytes, limit: int | None) -> None:
        self._left = content
        self._limit = limit

    def next_piece(self, idle: Idle | None = None) -> Plan[bytes | Failure]:
        """All of it, then b""."""
        piece, self._left = self._left, b""
        if self._limit is not None and len(piece) > self._limit:
            return Failure(ResponseTooLargeError, too_large(self._limit, _NO_LIMIT), SentState.ANSWERED)
        return piece
        yield  # makes this a plan, like the other

    def close(self) -> None:
        """Nothing to release."""

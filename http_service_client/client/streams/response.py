"""What `with client.stream(...)` gives: a response whose body is read in pieces, lines or events.

A response other than a success (2xx) has been read already, as by any verb: `raise_for_status()` and
`json()` work on it, and its connection has been released.
"""

from __future__ import annotations

import _thread
import os
import sys
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from io import BytesIO
from typing import TYPE_CHECKING, Any, TypeVar

from ...core.checks import check_count
from ...core.open_body import BufferedBody, OpenBody, OpenResponse
from ...errors import Failure, HttpClientError, SentState, StreamError
from ...events import Timeline
from ...http.bodies.event_stream import EventStreamDecoder, ServerSentEvent
from ...http.bodies.lines import LineDecoder
from ...http.media_types import parse_content_type
from ...http.messages import HttpResponse
from ...http.urls import redact_url
from ..call_site import call_site
from .iterators import AsyncChunkIterator, AsyncDecodedIterator, ChunkIterator, DecodedIterator, chunker

if TYPE_CHECKING:
    from ...core.call import Call, CallBody
    from ...drivers.aio import AsyncioDriver
    from ...drivers.blocking import BlockingDriver

__all__ = ["AsyncStreamedResponse", "StreamedResponse"]

T = TypeVar("T")

MAX_LENGTH = 1024 * 1024  # characters of a line or an event


class _Streamed(HttpResponse):
    """What the sync and the async response share."""

    __slots__ = ("_body", "_call", "_content", "_is_finished", "_is_taken", "_opened_at", "_opened_by")

    _is_finished: bool
    _RIGHT: str  # how to open one that is closed in any case

    def __init__(self, call: Call, response: HttpResponse) -> None:
        self._opened_at, self._opened_by = call_site(), os.getpid()
        self._body: CallBody | None = None
        if isinstance(response, OpenResponse) and call.current.body is not None:
            self._body = call.current.body
        elif response.is_success:
            options = call.options.stream
            self._body = BufferedBody(response.content, None if options is None else options.max_size)
        super().__init__(
            response.status_code,
            headers=response.headers,
            content=b"" if self._body is not None else response.content,
            reason_phrase=response.reason_phrase,
            url=response.url,
            request=response.request,
            elapsed=response.elapsed,
            history=response.history,
        )
        if not isinstance(self._body, OpenBody):
            call.discard_body()
        self._call = call
        self._is_taken = self._is_finished = False
        if self._body is not None:
            self._content: bytes | None = None
        self.attempts = call.attempt
        self.timeline = Timeline(call.events)

    @property
    def content(self) -> bytes:
        """The decoded bytes, once `read` has been called. Raises StreamError before that."""
        if self._content is not None:
            return self._content
        if self._is_taken:
            raise StreamError(
                "the body was read in pieces, which are not kept; call read() instead to keep all of it"
            )
        if self._is_finished:
            raise StreamError("the stream was closed unread; call read() inside the with block")
        raise StreamError("the body has not been read yet; call read() for all of it, or iterate over it")

    @content.setter
    def content(self, value: bytes) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        self._content = value

    _RENAMED = {
        **HttpResponse._RENAMED,
        **dict.fromkeys(("raw", "iter_content", "iter_raw", "iter_any", "aiter_bytes"), "iter_bytes()"),
        **dict.fromkeys(("iter_text", "aiter_text", "aiter_lines"), "iter_lines()"),
        "aread": "read()",
        "aclose": "close()",
    }

    def explain(self) -> str:
        """The story of the call as a person would tell it, up to now."""
        story = super().explain()
        request = self._call.request
        return story if self._is_finished else f"{request.method} {redact_url(request.url)}\n{story}"

    def close(self) -> None:
        """Release the connection. What was not read is lost. A second call does nothing."""
        self._call.discard_body()
        if not self._is_finished:
            self._is_finished = True
            self._call.finish(self)

    def __del__(self) -> None:
        """Release the connection of a stream that nobody closed, and warn.

        The collector may call this in any thread, between any two of its steps: also while it holds a lock that a
        listener or a transport needs. So the slots are released here, under reentrant locks, and the rest is done
        later, outside the collector.
        """
        # In a forked child the stream is still its parent's.
        if getattr(self, "_is_finished", True) or sys.is_finalizing() or self._opened_by != os.getpid():
            return
        self._is_finished = True
        body = self._body
        is_open = isinstance(body, OpenBody) and not body.is_complete
        if is_open:
            body.release_slots()  # type: ignore[union-attr]  # it is an OpenBody
        self._end_later()
        if is_open:
            request = self._call.request
            message = (
                f"the stream of {request.method} {redact_url(request.url)} was opened here and never closed; "
                f"write '{self._RIGHT}'"
            )
            file, line, module = self._opened_at
            warnings.warn_explicit(message, ResourceWarning, file, line, module)

    def _end_later(self) -> None:
        """End the call, outside the collector. It must not refer to this response, which is being freed."""
        raise NotImplementedError

    def _claim_body(self) -> bytes | None:
        """Claim the body, which can be read only once. Returns it if it is here already, else None."""
        if self._content is None:
            if self._is_taken:
                raise StreamError("the body was already read; a stream can be read only once")
            if self._is_finished:
                raise StreamError("the stream is closed; read its body inside the with block")
            self._is_taken = True
        return self._content

    def _open_body(self) -> CallBody:
        if self._body is None or self._is_finished:
            raise StreamError("the stream was closed before its body ended; read it inside the with block")
        if self._opened_by != os.getpid() and isinstance(self._body, OpenBody):
            raise StreamError("the stream was opened before a fork; its bytes belong to the parent process")
        return self._body

    def _raise_if_failed(self, piece: bytes | Failure) -> bytes:
        """The piece. A failure ends the call: here, and nowhere else."""
        if isinstance(piece, bytes):
            return piece
        self._is_finished = True
        self._call.discard_body()
        self._call.merge_sent_state(piece.sent_state)
        error = self._call.finish(piece)
        assert isinstance(error, HttpClientError)
        error.response = self
        self.timeline = error.timeline
        try:
            raise error
        finally:
            del error  # its traceback refers to this frame

    def _abort(self, error: BaseException) -> None:
        """End the call: it was cancelled, or interrupted, during a read."""
        self._call.discard_body()
        if not self._is_finished:
            self._is_finished = True
            self._call.abort(error)
            self.timeline = Timeline(self._call.events)

    def _decoded(self, decode: Callable[..., list[T]], *data: bytes) -> list[T]:
        try:
            return decode(*data)
        except HttpClientError as error:
            failure = Failure(type(error), str(error), SentState.ANSWERED)
        self._raise_if_failed(failure)
        return []

    def _lines(self, max_length: int | None) -> LineDecoder:
        _check_length(max_length)
        _, parameters = parse_content_type(self.headers.get("Content-Type", ""))
        return LineDecoder(parameters.get("charset"), max_length)

    def _events(self, max_length: int | None) -> EventStreamDecoder:
        _check_length(max_length)
        return EventStreamDecoder(max_length)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} [{self.status_code}]>"

    def __reduce__(self) -> tuple[Any, ...]:
        head = {
            "_headers": self.headers,
            "reason_phrase": self.reason_phrase,
            "url": self.url,
            "request": self.request,
            "timeline": self.timeline,
            "content": self._content or b"",
        }
        return HttpResponse, (self.status_code,), (None, head)


class StreamedResponse(_Streamed):
    """A response whose body is still to come. It has `content` once `read` was called."""

    __slots__ = ("_driver",)

    _RIGHT = "with client.stream(...) as response"

    def __init__(self, call: Call, response: HttpResponse, driver: BlockingDriver) -> None:
        super().__init__(call, response)
        self._driver = driver

    def _end_later(self) -> None:
        try:
            # Not `threading.Thread`: it takes a lock to start, which this thread may hold.
            _thread.start_new_thread(self._call.end, (self.status_code, None))
        except RuntimeError:  # no thread can be started: give up the listeners, not the connection
            self._call.discard_body()

    def iter_bytes(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """The decoded body, piece by piece as it arrives.

        chunk_size: bytes of each piece but the last, which may be shorter; None for pieces as they arrive.

        Raises TransportError when the connection breaks or stops sending, ResponseTooLargeError,
        DeadlineExceededError; StreamError when the body was read before; ConfigurationError for a chunk_size
        that is not a whole number of 1 or more.
        """
        return ChunkIterator(self) if chunk_size is None else DecodedIterator(self, chunker(chunk_size))

    def _next(self) -> bytes:
        body = self._open_body()
        try:
            piece = self._driver.run(body.next_piece())
        except BaseException as error:
            self._abort(error)
            raise
        return piece if type(piece) is bytes else self._raise_if_failed(piece)

    def iter_lines(self, *, max_length: int | None = MAX_LENGTH) -> Iterator[str]:
        """The lines of the text, without their line ends.

        max_length: characters of one line, None for no limit.

        Raises as `iter_bytes`; DecodingError for a line that is too long.
        """
        return DecodedIterator(self, self._lines(max_length))

    def iter_events(self, *, max_length: int | None = MAX_LENGTH) -> Iterator[ServerSentEvent]:
        """The server-sent events (WHATWG HTML, 9.2).

        max_length: characters of one event, None for no limit.

        Raises as `iter_bytes`; DecodingError for an event that is too large.
        """
        return DecodedIterator(self, self._events(max_length))

    def read(self) -> bytes:
        """Read all of the decoded body; `content`, `text` and `json()` work from then on. Raises as `iter_bytes`."""
        if self._content is None:
            body = BytesIO()  # no list, in which tiny pieces would take many times their size
            for piece in self.iter_bytes():
                body.write(piece)
            self.content = body.getvalue()
        return self.content


class AsyncStreamedResponse(_Streamed):
    """As `StreamedResponse`, in an asyncio task."""

    __slots__ = ("_driver", "_loop")

    _RIGHT = "async with client.stream_async(...) as response"

    def __init__(self, call: Call, response: HttpResponse, driver: AsyncioDriver) -> None:
        super().__init__(call, response)
        from asyncio import get_running_loop  # a script that never awaits does not import it

        self._driver = driver
        self._loop = get_running_loop()

    def _end_later(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._call.end, self.status_code, None)
        except RuntimeError:  # the loop is closed, and its connections with it
            self._call.current.body = None

    def iter_bytes(self, chunk_size: int | None = None) -> AsyncIterator[bytes]:
        """As `StreamedResponse.iter_bytes`, for `async for`."""
        return (
            AsyncChunkIterator(self)
            if chunk_size is None
            else AsyncDecodedIterator(self, chunker(chunk_size))
        )

    async def _next(self) -> bytes:
        body = self._open_body()
        try:
            piece = await self._driver.run(body.next_piece())
        except BaseException as error:
            self._abort(error)
            raise
        return piece if type(piece) is bytes else self._raise_if_failed(piece)

    def iter_lines(self, *, max_length: int | None = MAX_LENGTH) -> AsyncIterator[str]:
        """As `StreamedResponse.iter_lines`, for `async for`."""
        return AsyncDecodedIterator(self, self._lines(max_length))

    def iter_events(self, *, max_length: int | None = MAX_LENGTH) -> AsyncIterator[ServerSentEvent]:
        """As `StreamedResponse.iter_events`, for `async for`."""
        return AsyncDecodedIterator(self, self._events(max_length))

    async def read(self) -> bytes:
        """As `StreamedResponse.read`."""
        if self._content is None:
            body = BytesIO()
            async for piece in self.iter_bytes():
                body.write(piece)
            self.content = body.getvalue()
        return self.content


def _check_length(max_length: int | None) -> None:
    if max_length is not None:
        check_count("max_length", max_length)

"""What the sync and the async streamed response share: the body that may be read once, its end, and its decoders."""

from __future__ import annotations

import copy
import os
import sys
import warnings
from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING, Any, NoReturn

from ...core.call import Idle
from ...core.checks import check_count, check_duration, check_flag, remedies
from ...core.open_body import BufferedBody, OpenBody, OpenResponse
from ...errors import (
    ConfigurationError,
    Failure,
    HttpClientError,
    ResponseTooLargeError,
    SentState,
    StreamError,
)
from ...events import Timeline, heading
from ...http.bodies.event_stream import EventStreamDecoder
from ...http.bodies.lines import LineDecoder, TextDecoder
from ...http.content_codings.decoder import too_large
from ...http.media_types import charset_of, parse_content_type
from ...http.messages import HttpResponse
from ...http.urls import redact_url
from ..call_site import call_site

if TYPE_CHECKING:
    from ...core.call import Call, CallBody

__all__ = ["Streamed"]


class Streamed(HttpResponse[None]):
    """What the sync and the async response share."""

    __slots__ = (
        *("_body", "_call", "_content", "_is_finished", "_is_taken", "_opened_at", "_opened_by"),
        "partial_content",
    )

    if not TYPE_CHECKING:  # a type checker finds the mistake on its own

        def __iter__(self) -> NoReturn:
            raise TypeError(
                "a stream has several forms: iterate over response.iter_bytes(), iter_lines() or another"
            )

        __aiter__ = __iter__

    _is_finished: bool
    partial_content: bytes
    """What `read()` had received when it failed or was interrupted, decoded; b"" otherwise."""

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
            reason_phrase=response.reason_phrase,
            url=response.url,
            request=response.request,
            elapsed=response.elapsed,
            http_version=response.http_version,
            history=response.history,
        )
        self.data = response.data
        if not isinstance(self._body, OpenBody):
            call.discard_body()
        self._call = call
        self._is_taken = self._is_finished = False
        self.partial_content = b""
        self._content: bytes | None = response.content if self._body is None else None
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
        **remedies(
            {
                "iter_bytes()": "raw iter_content iter_raw iter_any aiter_bytes",
                "iter_text()": "aiter_text iter_str",
                "iter_lines()": "aiter_lines",
                "as_file(), which is a file": "readable readinto read1 readline readlines seek tell",
                "read()": "aread body",
                "close()": "aclose",
            }
        ),
    }

    def explain(self, *, why: bool = False) -> str:
        """What has happened in the call so far, in plain words.   why: see `Timeline.explain`."""
        story = super().explain(why=why)
        request = self._call.request
        if self._is_finished:
            return story
        return f"{heading(request.method, redact_url(request.url), self._call.call_name)}\n{story}"

    def close(self) -> None:
        """Release the connection. What was not read is lost. A second call does nothing."""
        if not self._is_finished:
            self._is_finished = True  # first: the reader in another thread asks why its connection is gone
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
                f"write '{self._RIGHT}', and close a generator that it is in"
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
        body = self._body
        assert body is not None  # else the content was here from the start
        if self._is_finished:
            raise StreamError("the stream was closed before its body ended; read it inside the with block")
        if self._opened_by != os.getpid() and isinstance(body, OpenBody):
            raise StreamError("the stream was opened before a fork; its bytes belong to the parent process")
        return body

    def _raise(self, failure: Failure) -> NoReturn:
        """End the call with a failure: here, and nowhere else."""
        if self._is_finished:  # by another thread or task: the failure is of our own making
            raise StreamError("the stream was closed while it was being read")
        self._is_finished = True
        self._call.merge_sent_state(failure.sent_state)
        error = self._call.finish(failure)
        assert isinstance(error, HttpClientError)
        error.response = self
        self.timeline = error.timeline
        try:
            raise error
        finally:
            del error  # its traceback refers to this frame

    def _abort(self, error: BaseException) -> None:
        """End the call: it was cancelled, or interrupted, during a read."""
        if not self._is_finished:
            self._is_finished = True
            self._call.abort(error)
            self.timeline = Timeline(self._call.events)

    def _keep(self, body: BytesIO, piece: bytes) -> None:
        """Add a piece to a body that is kept in memory, up to the limit for that."""
        options = self._call.options.stream
        limit = None if options is None else options.max_read
        if limit is not None and body.tell() + len(piece) > limit:
            message = too_large(limit, "raise it, or read the body in pieces")
            self._raise(Failure(ResponseTooLargeError, message, SentState.ANSWERED))
        body.write(piece)

    def _text_decoder(self, encoding: str | None) -> TextDecoder:
        return TextDecoder(self._charset(encoding))

    def _lines(self, max_length: int | None, keep_ends: bool, encoding: str | None = None) -> LineDecoder:
        _check_length(max_length)
        check_flag("keep_ends", keep_ends)
        return LineDecoder(self._charset(encoding), max_length, keep_ends=keep_ends)

    def _charset(self, encoding: str | None) -> str | None:
        if encoding is None:
            return parse_content_type(self.headers.get("Content-Type", ""))[1].get("charset")
        if not isinstance(encoding, str) or charset_of(f"text/plain; charset={encoding}") is None:
            raise ConfigurationError(f"encoding must be a charset such as 'utf-8' or None, not {encoding!r}")
        return encoding

    def _idle(self, item: str, seconds: float | None) -> Callable[[], Idle] | None:
        """Makes the limit of a wait that begins at the time of the call."""
        if seconds is None:
            return None
        check_duration("idle_timeout", seconds)
        clock = self._call.clock
        return lambda: Idle(seconds, clock() + seconds, item)

    def _events(self, max_length: int | None) -> EventStreamDecoder:
        _check_length(max_length)
        return EventStreamDecoder(max_length)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} [{self.status_code}]>"

    # A copy has no connection: it is a response with what has been read.

    def __copy__(self) -> HttpResponse[None]:
        twin: HttpResponse[None] = HttpResponse(self.status_code)
        for name, value in self._head().items():
            setattr(twin, name, value)
        return twin

    def __deepcopy__(self, memo: dict[int, Any]) -> HttpResponse[None]:
        return copy.deepcopy(copy.copy(self), memo)

    def __reduce__(self) -> tuple[Any, ...]:
        return HttpResponse, (self.status_code,), (None, self._head() | {"url": redact_url(self.url)})

    def _head(self) -> dict[str, Any]:
        return {
            "_headers": self.headers,
            "reason_phrase": self.reason_phrase,
            "url": self.url,
            "request": self.request,
            "timeline": self.timeline,
            "content": self._content or b"",
        }


def _check_length(max_length: int | None) -> None:
    if max_length is not None:
        check_count("max_length", max_length)

"""What `with client.stream(...)` gives: a response whose body is read in pieces, lines, events or JSON values.

A response other than a success (2xx) has been read already, as by any verb: `raise_for_status()` and
`json()` work on it, and its connection has been released.
"""

from __future__ import annotations

import _thread
from collections.abc import AsyncIterator, Iterator
from io import BufferedReader, BytesIO
from typing import TYPE_CHECKING, Any, TypeVar, overload

from ...core.call import Idle
from ...errors import StreamError
from ...http.bodies.event_stream import ServerSentEvent
from ...http.messages import HttpResponse
from ..config.defaults import MAX_LENGTH
from .base import Streamed
from .files import AsyncBodyFile, body_file
from .iterators import (
    AsyncChunkIterator,
    AsyncDecodedIterator,
    AsyncJsonIterator,
    ChunkIterator,
    DecodedIterator,
    JsonIterator,
    chunker,
)
from .json_lines import JsonLines

if TYPE_CHECKING:
    from ...core.call import Call
    from ...drivers.aio import AsyncioDriver
    from ...drivers.blocking import BlockingDriver

__all__ = ["AsyncStreamedResponse", "StreamedResponse"]

T = TypeVar("T")


class StreamedResponse(Streamed):
    """A response whose body is still to come. It has `content` once `read` was called."""

    __slots__ = ("_driver", "_turn")

    _RIGHT = "with client.stream(...) as response"

    def __init__(self, call: Call, response: HttpResponse, driver: BlockingDriver) -> None:
        super().__init__(call, response)
        self._driver = driver
        self._turn = _thread.allocate_lock()  # of the thread that reads: two would take each other's bytes

    def _end_later(self) -> None:
        try:
            # Not `threading.Thread`: it takes a lock to start, which this thread may hold.
            _thread.start_new_thread(self._call.end, (self.status_code, None))
        except RuntimeError:  # no thread can be started: give up the listeners, not the connection
            self._call.discard_body()

    def close(self) -> None:
        """Release the connection. What was not read is lost. A second call does nothing.

        Any thread may call it: one that is reading the body then gets StreamError.
        """
        super().close()

    def iter_bytes(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """The decoded body, piece by piece as it arrives.

        chunk_size: bytes of each piece but the last, which may be shorter; None for pieces as they arrive.

        Raises TransportError when the connection breaks or stops sending, ResponseTooLargeError,
        DeadlineExceededError; StreamError when the body was read before, or is closed while it is read;
        ConfigurationError for a chunk_size that is not a whole number of 1 or more.
        """
        return ChunkIterator(self) if chunk_size is None else DecodedIterator(self, chunker(chunk_size))

    def _next(self, idle: Idle | None = None) -> bytes:
        body = self._open_body()
        if not self._turn.acquire(False):
            raise StreamError("another thread is reading this body; read it in one thread at a time")
        try:
            piece = self._driver.run(body.next_piece(idle))
        except BaseException as error:
            self._abort(error)
            raise
        finally:
            self._turn.release()
        return piece if isinstance(piece, bytes) else self._raise(piece)

    def iter_text(self, *, encoding: str | None = None) -> Iterator[str]:
        """The text, piece by piece as it arrives; the pieces together are what `text` would be.

        encoding: such as "utf-8"; None for the charset of Content-Type, else by the byte order mark, else UTF-8. An
            invalid byte becomes U+FFFD.

        Raises as `iter_bytes`; ConfigurationError for an unknown encoding.
        """
        return DecodedIterator(self, self._text_decoder(encoding))

    def iter_lines(
        self, *, max_length: int | None = MAX_LENGTH, keep_ends: bool = False, encoding: str | None = None
    ) -> Iterator[str]:
        """The lines of the text. They end with LF, CR LF or CR, and with nothing else.

        max_length: characters of one line, None for no limit.   keep_ends: leave the line ends on, as `csv` needs it.
        encoding: as for `iter_text`.

        Raises as `iter_text`; DecodingError for a line that is too long.
        """
        return DecodedIterator(self, self._lines(max_length, keep_ends, encoding))

    def iter_events(
        self, *, max_length: int | None = MAX_LENGTH, idle_timeout: float | None = None
    ) -> Iterator[ServerSentEvent]:
        """The server-sent events (WHATWG HTML, 9.2).

        max_length: characters of one event, None for no limit.
        idle_timeout: seconds to wait for each event, comments not counted; None for no limit but that of the bytes.

        Raises as `iter_bytes`; DecodingError for an event that is too large.
        """
        return DecodedIterator(self, self._events(max_length), self._idle("event", idle_timeout))

    @overload
    def iter_json(
        self, response_type: type[T], *, max_length: int | None = MAX_LENGTH, strict: bool = False
    ) -> Iterator[T]: ...
    @overload
    def iter_json(
        self, response_type: Any = None, *, max_length: int | None = MAX_LENGTH, strict: bool = False
    ) -> Iterator[Any]: ...
    def iter_json(
        self, response_type: Any = None, *, max_length: int | None = MAX_LENGTH, strict: bool = False
    ) -> Iterator[Any]:
        """The values of JSON lines (NDJSON), one for each line that is not blank.

        response_type: any type that pydantic can validate; the values are then of it.
        max_length: characters of one line, None for no limit.
        strict: refuse NaN, Infinity and -Infinity, as `json(strict=True)` does.

        Raises as `iter_lines`; ResponseValidationError for a line that is not JSON, or not of the type. It names the
        line, and the next step of the iteration goes on after it.
        """
        parser = JsonLines(self, response_type, strict)
        return JsonIterator(DecodedIterator(self, self._lines(max_length, False)), parser)

    def as_file(self) -> BufferedReader:
        """The decoded body as a binary file that is read once, from its start to its end.

        For whatever reads files: `gzip.open`, `csv` over `io.TextIOWrapper`, `tarfile.open(mode="r|")`, pandas,
        pyarrow. It cannot seek, so `zipfile` refuses it. Closing it does not close the response. A read without a size
        returns at most `max_response_size` bytes, as `read` does.

        Its reads raise as `iter_bytes`.
        """
        return body_file(self)

    def read(self) -> bytes:
        """Read all of the decoded body; `content`, `text` and `json()` work from then on.

        Raises as `iter_bytes`; ResponseTooLargeError for more than `max_response_size` bytes. `partial_content` then
        has what came before.
        """
        if self._content is None:
            pieces = self.iter_bytes()
            body = BytesIO()  # no list, in which tiny pieces would take many times their size
            try:
                for piece in pieces:
                    self._keep(body, piece)
            except BaseException:
                self.partial_content = body.getvalue()
                raise
            self.content = body.getvalue()
        return self.content


class AsyncStreamedResponse(Streamed):
    """As `StreamedResponse`, in an asyncio task."""

    __slots__ = ("_driver", "_is_reading", "_loop", "_running_loop")

    _RIGHT = "async with client.stream_async(...) as response"

    def __init__(self, call: Call, response: HttpResponse, driver: AsyncioDriver) -> None:
        super().__init__(call, response)
        from asyncio import get_running_loop  # a script that never awaits does not import it

        self._driver = driver
        self._running_loop = get_running_loop
        self._loop = get_running_loop()
        self._is_reading = False

    def _end_later(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._call.end, self.status_code, None)
        except RuntimeError:
            pass  # the loop is closed, and its connections with it

    def close(self) -> None:
        """As `StreamedResponse.close`, from any task or thread. From another thread, the loop does it soon."""
        from asyncio import _get_running_loop

        if _get_running_loop() is not self._loop and self._loop.is_running():
            try:
                self._loop.call_soon_threadsafe(super().close)
                return
            except RuntimeError:  # it was closed just now
                pass
        super().close()

    def iter_bytes(self, chunk_size: int | None = None) -> AsyncIterator[bytes]:
        """As `StreamedResponse.iter_bytes`, for `async for`."""
        return (
            AsyncChunkIterator(self)
            if chunk_size is None
            else AsyncDecodedIterator(self, chunker(chunk_size))
        )

    async def _next(self, idle: Idle | None = None) -> bytes:
        body = self._open_body()
        if self._running_loop() is not self._loop:
            raise StreamError("the stream was opened on another event loop; read it there")
        if self._is_reading:
            raise StreamError("another task is reading this body; read it in one task at a time")
        try:
            self._is_reading = True
            piece = await self._driver.run(body.next_piece(idle))
        except BaseException as error:
            self._abort(error)
            raise
        finally:
            self._is_reading = False
        return piece if isinstance(piece, bytes) else self._raise(piece)

    def iter_text(self, *, encoding: str | None = None) -> AsyncIterator[str]:
        """As `StreamedResponse.iter_text`, for `async for`."""
        return AsyncDecodedIterator(self, self._text_decoder(encoding))

    def iter_lines(
        self, *, max_length: int | None = MAX_LENGTH, keep_ends: bool = False, encoding: str | None = None
    ) -> AsyncIterator[str]:
        """As `StreamedResponse.iter_lines`, for `async for`."""
        return AsyncDecodedIterator(self, self._lines(max_length, keep_ends, encoding))

    def iter_events(
        self, *, max_length: int | None = MAX_LENGTH, idle_timeout: float | None = None
    ) -> AsyncIterator[ServerSentEvent]:
        """As `StreamedResponse.iter_events`, for `async for`."""
        return AsyncDecodedIterator(self, self._events(max_length), self._idle("event", idle_timeout))

    @overload
    def iter_json(
        self, response_type: type[T], *, max_length: int | None = MAX_LENGTH, strict: bool = False
    ) -> AsyncIterator[T]: ...
    @overload
    def iter_json(
        self, response_type: Any = None, *, max_length: int | None = MAX_LENGTH, strict: bool = False
    ) -> AsyncIterator[Any]: ...
    def iter_json(
        self, response_type: Any = None, *, max_length: int | None = MAX_LENGTH, strict: bool = False
    ) -> AsyncIterator[Any]:
        """As `StreamedResponse.iter_json`, for `async for`."""
        parser = JsonLines(self, response_type, strict)
        return AsyncJsonIterator(AsyncDecodedIterator(self, self._lines(max_length, False)), parser)

    def as_file(self) -> AsyncBodyFile:
        """The decoded body as a binary file whose `read` and `readline` are awaited; `async for` yields its lines.

        Libraries that read files (pandas, gzip) block while they read. Give them the file of a blocking stream, in a
        thread: `asyncio.to_thread`.
        """
        return AsyncBodyFile(self)

    async def read(self) -> bytes:
        """As `StreamedResponse.read`."""
        if self._content is None:
            pieces = self.iter_bytes()
            body = BytesIO()
            try:
                async for piece in pieces:
                    self._keep(body, piece)
            except BaseException:
                self.partial_content = body.getvalue()
                raise
            self.content = body.getvalue()
        return self.content

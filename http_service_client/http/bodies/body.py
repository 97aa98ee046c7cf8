"""A request's body: bytes in memory, or a source that yields them, possibly only once.

The layers above need plain facts about a body: its length, whether it can be sent a second time, whether its
first byte has been read. A retry or a 307 redirect may send a body only when `may_send` is true; a body that
is sent empty because its source was exhausted is the worst kind of success.

A file is rewound to its position at the time when the RequestBody was made, and never read beyond the length
declared then: a longer body would be request smuggling, a shorter one a hang (RFC 9112 6.3). It may be the body of
several calls at a time, which all move its position: each read begins where this body stands. The length of another
source may be declared by the caller. A source that turns out to be shorter or longer never makes a whole request.
"""

from __future__ import annotations

import io
import os
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from inspect import isasyncgenfunction, isgeneratorfunction
from typing import Any

from ...errors import InvalidRequestError
from ..media_types import charset_of, parse_content_type

__all__ = ["EMPTY", "RequestBody", "stream_body"]

# Bytes read from a file at a time. Of unknown length may be a pipe, whose read waits until there are so many.
_READ_SIZE = 256 * 1024
_UNKNOWN_READ_SIZE = 64 * 1024
_TEXT_FILE = "{} is a text file, whose length in bytes is unknown; open it in binary mode ('rb')"


class RequestBody:
    """The bytes of one request, or their source.

    content: the whole body in memory, or None when it comes from a source.
    length: in bytes, or None when unknown (then it is sent chunked).
    content_type: the header to send unless the user sets one, or None.
    charset: the codec of a text that was encoded here; None for bytes as they were given.
    is_replayable: it can be sent again from the start.
    is_async: its source is an async iterable; only `async_chunks` can read it.
    has_started: its first chunk was read. It has no meaning for `content`, which is always available.
    """

    __slots__ = (
        "_declared",
        "_open",
        "charset",
        "content",
        "content_type",
        "has_started",
        "is_async",
        "is_replayable",
        "length",
    )

    def __init__(
        self,
        content: bytes | None = None,
        content_type: str | None = None,
        *,
        charset: str | None = None,
        length: int | None = None,
        open_source: Callable[[], Iterator[bytes]] | Callable[[], AsyncIterator[Any]] | None = None,
        is_replayable: bool = True,
        is_async: bool = False,
    ) -> None:
        self.content = content
        self.content_type = content_type
        self.charset = charset
        self.length = len(content) if content is not None else length
        self.is_replayable = is_replayable
        self.is_async = is_async
        self.has_started = False
        self._declared: int | None = None
        self._open: Callable[[], Any] | None = open_source

    def declare_length(self, length: int) -> None:
        """Send a body of unknown length with this length, in bytes, and not in chunks.

        Reading it raises InvalidRequestError if the source turns out to be shorter or longer. The last bytes are held
        back until the source has ended, so that no server gets a whole request out of a longer one.
        """
        self.length = self._declared = length

    def in_charset_of(self, content_type: str) -> RequestBody:
        """The same text in the charset that a Content-Type header names; bytes as they are.

        Raises InvalidRequestError for text that this charset cannot express, and for non-ASCII text when the charset
        is unknown: the server would read other characters.
        """
        if self.charset is None or self.content is None or "charset" not in content_type.lower():
            return self
        named = parse_content_type(content_type)[1].get("charset", "")
        codec = (charset_of(content_type) or "").removesuffix("-sig")
        if codec == self.charset or not named or (not codec and self.content.isascii()):
            return self
        try:
            encoded = self.content.decode(self.charset).encode(codec)
        except LookupError:
            reason = "which is unknown"
        except UnicodeError as error:
            reason = (
                f"which cannot express {getattr(error, 'object', '')[getattr(error, 'start', 0) :][:1]!r}"
            )
        else:
            return RequestBody(encoded, self.content_type, charset=codec)
        raise InvalidRequestError(
            f"the Content-Type names the charset {named[:40]!r}, {reason}; pass the body as encoded bytes, or name utf-8"
        )

    @property
    def may_send(self) -> bool:
        """Whether sending it now would send all of it: it is replayable, or nothing of it was read yet."""
        return self.is_replayable or not self.has_started

    def chunks(self) -> Iterator[bytes]:
        """The body from its start, in non-empty chunks. A one-shot body gives them once."""
        if self.is_async:
            raise InvalidRequestError(
                "the body is an async iterable, which blocking calls cannot read; use the ..._async methods"
            )
        self._check_may_send()
        return self._read_chunks()

    def async_chunks(self) -> AsyncIterator[bytes]:
        """As `chunks`, for `async for`; takes sync sources too (a file is then read on the event loop)."""
        self._check_may_send()
        return _AsyncChunks(self)

    def _read_chunks(self) -> Iterator[bytes]:
        # Only the first read starts the body: an attempt that fails to connect has read nothing.
        self._check_may_send()
        self.has_started = True
        if self._open is None:
            if self.content:
                yield self.content
            return
        left = self._declared
        # Without empty chunks: one would end a chunked body (RFC 9112 7.1).
        pieces = filter(None, map(_as_bytes, self._open()))
        for piece in pieces:
            if left is not None:
                left -= len(piece)
                if left <= 0:
                    self._check_end(left, next(pieces, None))
            yield piece
        self._check_end(left, None)

    def _check_end(self, left: int | None, more: bytes | None) -> None:
        """The source has ended, or has brought all that was declared.

        left: the declared bytes that are missing; below 0, those too many.   more: what follows.
        """
        if left is None or (left == 0 and more is None):
            return
        found = "shorter" if left > 0 else "longer"
        raise InvalidRequestError(
            f"the body is {found} than its Content-Length of {self._declared} bytes; "
            "correct the header, or leave it out, and the body is sent in chunks"
        )

    def _check_may_send(self) -> None:
        if not self.may_send:
            raise InvalidRequestError(
                "the body was sent before and cannot be replayed; pass bytes, a seekable file, "
                "or an iterable that starts over each time"
            )

    def __repr__(self) -> str:
        size = "unknown length" if self.length is None else f"{self.length} bytes"
        return f"<RequestBody {size}, {'replayable' if self.is_replayable else 'one-shot'}>"


class _AsyncChunks:
    """Reads a body under `async for`. Not a generator, so that one dropped half-way needs no closing."""

    __slots__ = ("_async_source", "_body", "_left", "_sync_source")

    def __init__(self, body: RequestBody) -> None:
        self._body = body
        self._left = body._declared
        self._sync_source: Iterator[bytes] | None = None if body.is_async else body._read_chunks()
        self._async_source: AsyncIterator[Any] | None = None

    def __aiter__(self) -> _AsyncChunks:
        return self

    async def __anext__(self) -> bytes:
        if self._sync_source is not None:
            try:
                return next(self._sync_source)
            except StopIteration:
                pass
            except StopAsyncIteration as error:  # it would look like the end of the body
                raise RuntimeError("the body's source raised StopAsyncIteration") from error
            raise StopAsyncIteration
        body = self._body
        if self._async_source is None:
            body._check_may_send()
            body.has_started = True
            assert body._open is not None  # an async body has a source
            self._async_source = body._open()
        piece = await self._next_piece()
        if self._left is not None:
            self._left -= len(piece or b"")
            if self._left <= 0 or piece is None:
                body._check_end(self._left, await self._next_piece())
        if piece is None:
            raise StopAsyncIteration
        return piece

    async def _next_piece(self) -> bytes | None:
        """The next bytes of an async source, None at its end."""
        source: Any = self._async_source
        while True:
            try:
                chunk = await source.__anext__()
            except StopAsyncIteration:
                return None
            if piece := _as_bytes(chunk):
                return piece


EMPTY = RequestBody(b"")
"""No body at all."""


def stream_body(source: object, where: str) -> RequestBody:
    """A RequestBody that reads from a file, an iterator, an iterable or an async iterable.

    where: the name of the argument ("data", "content"), for the error message.
    """
    if isinstance(source, AsyncIterable):
        is_fresh = source.__aiter__() is not source
        return RequestBody(open_source=source.__aiter__, is_replayable=is_fresh, is_async=True)
    if hasattr(source, "read"):
        return _file_body(source, where)
    if isinstance(source, Iterable) and not isinstance(source, (str, bytes, set, frozenset)):
        # An iterator is its own iterator and can be exhausted; any other iterable starts over each time.
        return RequestBody(open_source=source.__iter__, is_replayable=iter(source) is not source)
    if isinstance(source, os.PathLike):
        raise InvalidRequestError(f"{where} is a path; pass the file itself: open({str(source)!r}, 'rb')")
    remedy = ""
    if isgeneratorfunction(source) or isasyncgenfunction(source):
        remedy = "; call it, and pass the generator that it returns"
    elif where == "data":
        remedy = "; a mapping is a form, and json= takes what has a JSON form"
    raise InvalidRequestError(
        f"{where} must be bytes, text, a binary file or an iterable of bytes, not {type(source).__name__}{remedy}"
    )


def _file_body(file: Any, where: str) -> RequestBody:
    if getattr(file, "closed", False) is True:
        raise InvalidRequestError(f"{where} is a closed file; open it, and keep it open during the call")
    if isinstance(file, io.StringIO):
        return RequestBody(_as_bytes(file.read()), charset="utf-8")
    if isinstance(file, io.TextIOBase):
        raise InvalidRequestError(_TEXT_FILE.format(where))
    try:
        start = file.tell()
        file.seek(start)
    except (AttributeError, OSError, ValueError, TypeError):  # a pipe, a socket, a file-like response
        return RequestBody(open_source=lambda: _read(file), is_replayable=False)
    length = _remaining(file, start)

    def reopen() -> Iterator[bytes]:
        file.seek(start)
        return _read(file) if length is None else _read_span(file, start, length)

    return RequestBody(length=length, open_source=reopen)


def _remaining(file: Any, start: int) -> int | None:
    try:
        end = file.seek(0, io.SEEK_END)  # not by `tell`: another call may move it meanwhile
        return max(0, int(file.tell() if end is None else end) - start)
    except (OSError, ValueError, TypeError):  # some compressed files cannot seek from the end
        return None
    finally:
        file.seek(start)


def _read(file: Any) -> Iterator[bytes]:
    """A file of unknown length, to its end."""
    while chunk := _checked(file.read(_UNKNOWN_READ_SIZE)):
        yield _as_bytes(chunk)


def _read_span(file: Any, start: int, length: int) -> Iterator[bytes]:
    """So many bytes of a file, which may be read for other calls between two of the chunks."""
    position, end = start, start + length
    while position < end:
        if file.tell() != position:
            file.seek(position)
        chunk = _checked(file.read(min(_READ_SIZE, end - position)))
        if not chunk:
            raise InvalidRequestError("the body's file became shorter after the request was made")
        if isinstance(chunk, str):  # of `codecs.open`: its bytes may be more than the declared length
            raise InvalidRequestError(_TEXT_FILE.format("the body's file"))
        piece = _as_bytes(chunk)
        position += len(piece)
        if position > end:
            raise InvalidRequestError("the body's file gave more bytes than it was asked for")
        # A thread that moved the file just before the read would have made these the bytes of another place.
        if file.tell() != position:
            raise InvalidRequestError(
                "another thread uses the body's file during the call; open the file once for each call"
            )
        yield piece


def _checked(chunk: Any) -> Any:
    if chunk is None:
        raise InvalidRequestError("the body's file is non-blocking and has no data now; read it first")
    return chunk


def _as_bytes(chunk: object) -> bytes:
    if type(chunk) is bytes:
        return chunk
    if isinstance(chunk, (bytes, bytearray, memoryview)):
        return bytes(chunk)
    if isinstance(chunk, str):
        try:
            return chunk.encode("utf-8")
        except UnicodeEncodeError:
            raise InvalidRequestError(
                "the body's text holds a lone surrogate, which UTF-8 cannot express"
            ) from None
    raise InvalidRequestError(f"a chunk of the body must be bytes or text, not {type(chunk).__name__}")

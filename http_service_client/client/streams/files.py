"""The body of a stream as a file, for whatever reads files.

Closing a file does not close its response: wrappers such as `io.TextIOWrapper` close what they read from when they are
freed, which the cycle collector may do in any thread at any time. The end of the `with` block closes the response.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, NoReturn

__all__ = ["AsyncBodyFile", "body_file"]

_BUFFER = 64 * 1024  # bytes: that of a piece as it arrives


class _BodyFile(io.RawIOBase):
    def __init__(self, response: Any) -> None:
        self._response = response
        self._pieces = response.iter_bytes()
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self.closed:
            raise ValueError("read of a closed file")
        rest = self._rest or memoryview(next(self._pieces, b""))
        size = min(len(rest), len(buffer))
        buffer[:size] = rest[:size]
        self._rest = rest[size:]
        return size

    def readall(self) -> bytes:
        if self.closed:
            raise ValueError("read of a closed file")
        body = io.BytesIO()
        self._response._keep(body, bytes(self._rest))
        self._rest = memoryview(b"")
        for piece in self._pieces:
            self._response._keep(body, piece)
        return body.getvalue()


_NO_SEEK = "the body of a stream cannot seek; download() it to a file, or use io.BytesIO(response.read()) if it is small"


class _BufferedBodyFile(io.BufferedReader):
    def seek(self, offset: int, whence: int = 0) -> NoReturn:
        raise io.UnsupportedOperation(_NO_SEEK)

    def tell(self) -> NoReturn:
        raise io.UnsupportedOperation(_NO_SEEK)


def body_file(response: Any) -> io.BufferedReader:
    """The body of a blocking stream, which is claimed by this."""
    return _BufferedBodyFile(_BodyFile(response), _BUFFER)


class AsyncBodyFile:
    """The body of an asyncio stream as a binary file: made by `AsyncStreamedResponse.as_file`."""

    def __init__(self, response: Any) -> None:
        self._response = response
        self._pieces = response.iter_bytes()
        self._piece = b""
        self._at = 0  # how much of the piece was taken

    async def read(self, size: int | None = -1) -> bytes:
        """So many bytes, fewer only at the end of the body; b"" after it.

        size: -1 or None for all that is left, at most `max_response_size` bytes. Raises as `iter_bytes`.
        """
        body = io.BytesIO()
        if size is None or size < 0:
            while await self._fill():
                self._response._keep(body, self._take(None))
        else:
            while (left := size - body.tell()) and await self._fill():
                body.write(self._take(left))
        return body.getvalue()

    async def readline(self) -> bytes:
        """A line with its LF, or what is left without one; b"" at the end.

        It may have `max_response_size` bytes. Raises as `iter_bytes`.
        """
        body = io.BytesIO()
        while await self._fill():
            end = self._piece.find(b"\n", self._at) + 1
            self._response._keep(body, self._take(end - self._at if end else None))
            if end:
                break
        return body.getvalue()

    async def _fill(self) -> bool:
        """Have some bytes that were not taken. False at the end of the body."""
        if self._at == len(self._piece):
            self._piece, self._at = b"", 0
            async for piece in self._pieces:
                self._piece = piece
                break
        return bool(self._piece)

    def _take(self, most: int | None) -> bytes:
        """The bytes that were not taken, at most so many."""
        start, end = self._at, len(self._piece)
        self._at = end if most is None else min(start + most, end)
        return self._piece[start : self._at]

    if not TYPE_CHECKING:  # a type checker finds the mistake on its own

        def __iter__(self) -> NoReturn:
            raise TypeError("this body is read in asyncio: write 'async for', not 'for'")

    def __aiter__(self) -> AsyncBodyFile:
        return self

    async def __anext__(self) -> bytes:
        line = await self.readline()
        if not line:
            raise StopAsyncIteration
        return line

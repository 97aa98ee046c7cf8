"""Iterators over the body of a stream: its pieces as they arrive, or what a decoder makes of them.

They are not generators: a generator is over once it has raised, so a caller that continues after a timeout of
its own would take that for the end of the body.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Generic, Protocol, TypeVar

from ...core.checks import check_count

__all__ = ["AsyncChunkIterator", "AsyncDecodedIterator", "ChunkIterator", "DecodedIterator", "chunker"]

T = TypeVar("T")


class _Decoder(Protocol[T]):
    def feed(self, data: bytes) -> list[T]: ...
    def finish(self) -> list[T]: ...


class _Chunker:
    """Cuts a body into pieces of one size, however it arrives. The rest is joined once for each piece, not each read."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._rest: list[bytes] = []
        self._length = 0  # of the rest

    def feed(self, data: bytes) -> list[bytes]:
        self._rest.append(data)
        self._length += len(data)
        if self._length < self._size:
            return []
        whole = b"".join(self._rest)
        self._length = len(whole) % self._size
        end = len(whole) - self._length
        self._rest = [whole[end:]]
        return [whole[at : at + self._size] for at in range(0, end, self._size)]

    def finish(self) -> list[bytes]:
        return [b"".join(self._rest)] if self._length else []


def chunker(size: int) -> _Chunker:
    """A decoder that gives pieces of so many bytes, 1 or more. Raises ConfigurationError."""
    check_count("chunk_size", size)
    return _Chunker(size)


class _Chunks:
    """The pieces of a body as they arrive."""

    def __init__(self, response: Any) -> None:
        self._response = response
        self._buffered: bytes | None = response._claim_body()  # b"" at the end; None: ask the response

    def _take_buffered(self) -> bytes:
        piece, self._buffered = self._buffered, b""
        return piece or b""


class ChunkIterator(_Chunks):
    """For `for`."""

    def __iter__(self) -> ChunkIterator:
        return self

    def __next__(self) -> bytes:
        piece: bytes = self._response._next() if self._buffered is None else self._take_buffered()
        if not piece:
            self._buffered = b""
            raise StopIteration
        return piece


class AsyncChunkIterator(_Chunks):
    """For `async for`."""

    def __aiter__(self) -> AsyncChunkIterator:
        return self

    async def __anext__(self) -> bytes:
        piece: bytes = await self._response._next() if self._buffered is None else self._take_buffered()
        if not piece:
            self._buffered = b""
            raise StopAsyncIteration
        return piece


class _Decoded(Generic[T]):
    """Lines, events or pieces of one size, decoded from a body."""

    def __init__(self, response: Any, decoder: _Decoder[T]) -> None:
        self._response = response
        self._decoder = decoder
        self._ready: deque[T] = deque()
        self._has_ended = False
        buffered = response._claim_body()
        if buffered is not None:
            if buffered:
                self._feed(buffered)
            self._feed(b"")

    def _feed(self, piece: bytes) -> None:
        if piece:
            self._ready.extend(self._response._decoded(self._decoder.feed, piece))
        else:
            self._ready.extend(self._response._decoded(self._decoder.finish))
            self._has_ended = True


class DecodedIterator(_Decoded[T]):
    """For `for`."""

    def __iter__(self) -> DecodedIterator[T]:
        return self

    def __next__(self) -> T:
        while not self._ready:
            if self._has_ended:
                raise StopIteration
            self._feed(self._response._next())
        return self._ready.popleft()


class AsyncDecodedIterator(_Decoded[T]):
    """For `async for`."""

    def __aiter__(self) -> AsyncDecodedIterator[T]:
        return self

    async def __anext__(self) -> T:
        while not self._ready:
            if self._has_ended:
                raise StopAsyncIteration
            self._feed(await self._response._next())
        return self._ready.popleft()

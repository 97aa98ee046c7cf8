"""What iterates over the body of a stream: its pieces as they come, or what a decoder makes of them.

No generators: one ends with the error that it raises, and whoever went on behind a timeout of his own would take
that for the end of the body.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Generic, Protocol, TypeVar

from ...core.checks import check_count

__all__ = ["AsyncChunkIterator", "AsyncDecodedIterator", "ChunkIterator", "DecodedIterator", "of_one_size"]

T = TypeVar("T")


class _Decoder(Protocol[T]):
    def feed(self, data: bytes) -> list[T]: ...
    def finish(self) -> list[T]: ...


class _OfOneSize:
    """ChunkIterator of so many bytes, whatever they come in. What is held back is joined once for each piece."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._held: list[bytes] = []
        self._length = 0

    def feed(self, data: bytes) -> list[bytes]:
        self._held.append(data)
        self._length += len(data)
        if self._length < self._size:
            return []
        whole = b"".join(self._held)
        self._length = len(whole) % self._size
        end = len(whole) - self._length
        self._held = [whole[end:]]
        return [whole[at : at + self._size] for at in range(0, end, self._size)]

    def finish(self) -> list[bytes]:
        return [b"".join(self._held)] if self._length else []


def of_one_size(size: int) -> _OfOneSize:
    """What makes pieces of so many bytes, 1 or more. Raises ConfigurationError."""
    check_count("chunk_size", size)
    return _OfOneSize(size)


class _Whole:
    """The pieces of a body as they come."""

    def __init__(self, response: Any) -> None:
        self._response = response
        self._here: bytes | None = response._claim_body()  # all that is left to give, once it is known

    def _rest(self) -> bytes:
        rest, self._here = self._here, b""
        return rest or b""


class ChunkIterator(_Whole):
    """Under `for`."""

    def __iter__(self) -> ChunkIterator:
        return self

    def __next__(self) -> bytes:
        piece: bytes = self._response._next() if self._here is None else self._rest()
        if not piece:
            self._here = b""
            raise StopIteration
        return piece


class AsyncChunkIterator(_Whole):
    """Under `async for`."""

    def __aiter__(self) -> AsyncChunkIterator:
        return self

    async def __anext__(self) -> bytes:
        piece: bytes = await self._response._next() if self._here is None else self._rest()
        if not piece:
            self._here = b""
            raise StopAsyncIteration
        return piece


class _Taken(Generic[T]):
    """Lines, events or pieces of one size of a body."""

    def __init__(self, response: Any, decoder: _Decoder[T]) -> None:
        self._response = response
        self._decoder = decoder
        self._ready: deque[T] = deque()
        self._is_over = False
        here = response._claim_body()
        if here is not None:
            if here:
                self._add(here)
            self._add(b"")

    def _add(self, piece: bytes) -> None:
        if piece:
            self._ready.extend(self._response._decoded(self._decoder.feed, piece))
        else:
            self._ready.extend(self._response._decoded(self._decoder.finish))
            self._is_over = True


class DecodedIterator(_Taken[T]):
    """Under `for`."""

    def __iter__(self) -> DecodedIterator[T]:
        return self

    def __next__(self) -> T:
        while not self._ready:
            if self._is_over:
                raise StopIteration
            self._add(self._response._next())
        return self._ready.popleft()


class AsyncDecodedIterator(_Taken[T]):
    """Under `async for`."""

    def __aiter__(self) -> AsyncDecodedIterator[T]:
        return self

    async def __anext__(self) -> T:
        while not self._ready:
            if self._is_over:
                raise StopAsyncIteration
            self._add(await self._response._next())
        return self._ready.popleft()

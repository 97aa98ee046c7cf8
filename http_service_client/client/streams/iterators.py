"""Iterators over the body of a stream: its pieces as they arrive, or what a decoder makes of them.

An asynchronous one refuses a plain `for` with a message of its own. A blocking one cannot do the same: with an
`__aiter__` it would pass for an asynchronous iterable where it is given to others, as the body of a request, say.

They are not generators: a generator is over once it has raised, so a caller that continues after a timeout of
its own would take that for the end of the body.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Protocol, TypeVar

from ...core.call import Idle
from ...core.checks import check_count
from ...errors import Failure, HttpClientError, SentState
from .json_lines import JsonLines

__all__ = [
    "AsyncChunkIterator",
    "AsyncDecodedIterator",
    "AsyncJsonIterator",
    "ChunkIterator",
    "DecodedIterator",
    "JsonIterator",
    "chunker",
]

T = TypeVar("T")


class _Decoder(Protocol[T]):
    completed: list[T]  # after an error of `feed`: the items before it

    def feed(self, data: bytes) -> list[T]: ...
    def finish(self) -> list[T]: ...


class _Chunker:
    """Cuts a body into pieces of one size, however it arrives. The rest is joined once for each piece, not each read."""

    def __init__(self, size: int) -> None:
        self.completed: list[bytes] = []
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
    check_count("chunk_size", size, unit="of bytes ")
    return _Chunker(size)


class _Chunks:
    """The pieces of a body as they arrive."""

    def __init__(self, response: Any) -> None:
        self._response = response
        self._buffered: bytes | None = response._claim_body()  # b"" at the end; None: ask the response

    def _take_buffered(self) -> bytes:
        piece, self._buffered = self._buffered, b""
        assert piece is not None  # it is not called otherwise
        return piece


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


class _Asynchronous:
    """Refuses a plain `for`."""

    if not TYPE_CHECKING:  # a type checker finds the mistake on its own

        def __iter__(self) -> NoReturn:
            raise TypeError("this body is read in asyncio: write 'async for', not 'for'")


class AsyncChunkIterator(_Chunks, _Asynchronous):
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
    """Text, lines, events or pieces of one size, decoded from a body."""

    def __init__(self, response: Any, decoder: _Decoder[T], idle: Callable[[], Idle] | None = None) -> None:
        self._response = response
        self._decoder = decoder
        self._idle = idle  # makes the limit of a wait for an item that begins now
        self._ready: deque[T] = deque()
        self._has_ended = False
        self._failure: Failure | None = None  # of the decoder: raised once what came before it was taken
        buffered = response._claim_body()
        if buffered is not None:
            if buffered:
                self._feed(buffered)
            self._feed(b"")

    def _feed(self, piece: bytes) -> None:
        try:
            self._ready.extend(self._decoder.feed(piece) if piece else self._decoder.finish())
        except HttpClientError as error:
            self._ready.extend(self._decoder.completed)
            self._failure = Failure(type(error), str(error), SentState.ANSWERED)
        self._has_ended = not piece

    def _raise_if_over(self, stop: type[Exception]) -> None:
        """Nothing is ready: raise what ends the iteration, if it has ended."""
        if self._failure is not None:
            failure, self._failure = self._failure, None
            self._response._raise(failure)
        if self._has_ended:
            raise stop


class DecodedIterator(_Decoded[T]):
    """For `for`."""

    def __iter__(self) -> DecodedIterator[T]:
        return self

    def __next__(self) -> T:
        idle = None if self._idle is None or self._ready else self._idle()
        while not self._ready:
            self._raise_if_over(StopIteration)
            self._feed(self._response._next(idle))
        return self._ready.popleft()


class AsyncDecodedIterator(_Decoded[T], _Asynchronous):
    """For `async for`."""

    def __aiter__(self) -> AsyncDecodedIterator[T]:
        return self

    async def __anext__(self) -> T:
        idle = None if self._idle is None or self._ready else self._idle()
        while not self._ready:
            self._raise_if_over(StopAsyncIteration)
            self._feed(await self._response._next(idle))
        return self._ready.popleft()


class JsonIterator:
    """The values of JSON lines, for `for`. After an error in one line it goes on with the next."""

    def __init__(self, lines: DecodedIterator[str], parser: JsonLines) -> None:
        self._lines = lines
        self._parser = parser

    def __iter__(self) -> JsonIterator:
        return self

    def __next__(self) -> Any:
        while self._parser.is_blank(line := next(self._lines)):
            pass
        return self._parser.parse(line)


class AsyncJsonIterator(_Asynchronous):
    """As `JsonIterator`, for `async for`."""

    def __init__(self, lines: AsyncDecodedIterator[str], parser: JsonLines) -> None:
        self._lines = lines
        self._parser = parser

    def __aiter__(self) -> AsyncJsonIterator:
        return self

    async def __anext__(self) -> Any:
        while self._parser.is_blank(line := await self._lines.__anext__()):
            pass
        return self._parser.parse(line)

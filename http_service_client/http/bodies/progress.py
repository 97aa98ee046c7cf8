"""Reporting the progress of a request body while it is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator

from .body import RequestBody

__all__ = ["Progress", "report_progress"]

# Called with the bytes so far and the total, which is None if unknown.
Progress = Callable[[int, "int | None"], object]

_PIECE = 64 * 1024  # bytes between two reports


def report_progress(body: RequestBody, progress: Progress) -> RequestBody:
    """The same body, read in pieces; a read of the next piece means that the last one was written.

    progress: called with 0 when the body starts, and after each piece with the bytes so far.
    """

    def read() -> Iterator[bytes]:
        progress(0, body.length)
        sent = 0
        for chunk in body.chunks():
            for piece in _pieces(chunk):
                yield piece
                sent += len(piece)
                progress(sent, body.length)

    return RequestBody(
        None,
        body.content_type,
        length=body.length,
        open_source=(lambda: _AsyncReported(body, progress)) if body.is_async else read,
        is_replayable=body.is_replayable,
        is_async=body.is_async,
    )


class _AsyncReported:
    """As `read` above, for an async body. Not a generator, so that one dropped half-way needs no closing."""

    __slots__ = ("_body", "_chunks", "_pieces", "_progress", "_sent", "_taken")

    def __init__(self, body: RequestBody, progress: Progress) -> None:
        self._body = body
        self._progress = progress
        self._chunks: AsyncIterator[bytes] | None = None
        self._pieces: Iterator[bytes] = iter(())
        self._sent = self._taken = 0

    def __aiter__(self) -> _AsyncReported:
        return self

    async def __anext__(self) -> bytes:
        if self._chunks is None:
            self._chunks = self._body.async_chunks()
            self._progress(0, self._body.length)
        if self._taken:
            self._sent, self._taken = self._sent + self._taken, 0
            self._progress(self._sent, self._body.length)
        piece = next(self._pieces, None)
        if piece is None:
            self._pieces = _pieces(await self._chunks.__anext__())
            piece = next(self._pieces)  # of a chunk there is at least one
        self._taken = len(piece)
        return piece


def _pieces(chunk: bytes) -> Iterator[bytes]:
    if len(chunk) <= _PIECE:
        return iter((chunk,))
    return (chunk[start : start + _PIECE] for start in range(0, len(chunk), _PIECE))

"""Progress of a body: reported before its first piece, and after each piece that was written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from http_service_client.http.bodies.body import RequestBody
from http_service_client.http.bodies.encoding import encode_body
from http_service_client.http.bodies.progress import report_progress
from http_service_client.http.messages import HttpRequest

PIECE = 64 * 1024


class AsyncChunks:
    """An async iterable that starts over each time."""

    def __init__(self, *chunks: bytes) -> None:
        self._chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk


class Chunks:
    """A sync one."""

    def __init__(self, *chunks: bytes) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._chunks)


def sent(body: RequestBody, log: list[Any]) -> None:
    """Send the body: each piece is logged when it is written."""

    async def send() -> None:
        async for piece in body.async_chunks():
            log.append(len(piece))

    if body.is_async:
        asyncio.run(send())
        return
    for piece in body.chunks():
        log.append(len(piece))


@pytest.mark.parametrize("kind", [Chunks, AsyncChunks])
def test_each_piece_is_reported_after_it_was_written(kind: Any) -> None:
    """The first report is 0; large chunks are reported in pieces; the total is None if unknown."""
    log: list[Any] = []
    body = encode_body(data=kind(b"ab", b"c" * (PIECE + 1)))
    reported = report_progress(body, lambda count, total: log.append((count, total)))
    expected = [(0, None), 2, (2, None), PIECE, (PIECE + 2, None), 1, (PIECE + 3, None)]
    for _ in range(2):  # a replay starts from 0 again
        log.clear()
        sent(reported, log)
        assert log == expected


@pytest.mark.parametrize("kind", [Chunks, AsyncChunks])
def test_after_its_end_a_body_reports_nothing(kind: Any) -> None:
    """Whoever asks once more hears only that it has ended."""
    log: list[Any] = []
    reported = report_progress(encode_body(data=kind(b"ab")), lambda *report: log.append(report))

    async def read_past_the_end() -> None:
        pieces = reported.async_chunks()
        assert [piece async for piece in pieces] == [b"ab"]
        assert [piece async for piece in pieces] == []

    asyncio.run(read_past_the_end())
    assert log == [(0, None), (2, None)]


def test_a_body_in_memory_is_reported_with_its_total() -> None:
    """Of the same length and type as the body itself."""
    log: list[Any] = []
    body = RequestBody(b"x" * PIECE, "text/x")
    reported = report_progress(body, lambda *report: log.append(report))
    assert (reported.length, reported.content_type, reported.is_replayable) == (PIECE, "text/x", True)
    assert b"".join(reported.chunks()) == body.content
    assert log == [(0, PIECE), (PIECE, PIECE)]


def test_a_one_shot_body_stays_one_shot() -> None:
    """Reporting makes nothing replayable."""
    reported = report_progress(encode_body(data=iter([b"a"])), lambda *report: None)
    assert not reported.is_replayable
    assert list(reported.chunks()) == [b"a"]
    assert not reported.may_send


def test_a_request_without_a_body_reports_nothing() -> None:
    """A request with one reports while it is sent."""
    log: list[Any] = []
    request = HttpRequest("POST", "https://api.test/")
    request.progress = lambda *report: log.append(report)
    assert list(request.outgoing_body.chunks()) == []
    assert log == []
    request.content = b"ab"
    assert list(request.outgoing_body.chunks()) == [b"ab"]
    assert log == [(0, 2), (2, 2)]

"""How much of a body is read inside the attempt, piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import ConnectError, HttpResponse, SentState
from http_service_client.cli.request.prefetch import Prefetch
from http_service_client.errors import Failure
from kit.rows import each_row

LIVE = {"Content-Type": "text/event-stream; charset=utf-8"}
LOST = Failure(ConnectError, "gone", SentState.MAYBE_PROCESSED)


class Body:
    """A body that was begun.   pieces: what is left of it."""

    has_ended = False

    def __init__(self, *pieces: bytes | Failure) -> None:
        self.pieces = list(pieces)

    def next_piece(self) -> Iterator[Any]:
        assert not self.has_ended, "it is read beyond its end"
        self.has_ended = not self.pieces
        return self.pieces.pop(0) if self.pieces else b""
        yield  # makes this a plan


def attempt(prefetch: Prefetch, outcome: HttpResponse | Failure, body: Body | None) -> Any:
    """What an attempt with this outcome has in the end."""

    def proceed(*_: object) -> Iterator[Any]:
        return outcome
        yield  # makes this a plan

    call: Any = SimpleNamespace(current=SimpleNamespace(body=body))
    try:
        next(prefetch.attempt(proceed, None, call))  # type: ignore[arg-type]  # what is not looked at
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits for something")


@each_row(
    ("limit", "content", "is_complete", "left"),
    [
        (0, b"", False, [b"one", b"t", b"wo"]),
        (1, b"one", False, [b"t", b"wo"]),
        (3, b"one", False, [b"t", b"wo"]),
        (4, b"onet", False, [b"wo"]),
        (6, b"onetwo", False, []),
        (7, b"onetwo", True, []),
    ],
)
def test_no_more_is_read_ahead_than_is_wanted(
    limit: int, content: bytes, is_complete: bool, left: list[bytes]
) -> None:
    """But for the rest of the last piece. The body is complete when its end was seen."""
    prefetch, body, response = Prefetch(limit), Body(b"one", b"t", b"wo"), HttpResponse(200)
    assert attempt(prefetch, response, body) is response
    assert (prefetch.content, prefetch.is_complete, body.pieces) == (content, is_complete, left)
    shown = [piece for piece in (content, *left) if piece]
    assert list(prefetch.all(iter(left))) == shown


@pytest.mark.parametrize(
    "media_type", ["text/event-stream", "application/x-ndjson", "application/jsonl", "application/json-seq"]
)
def test_a_body_that_is_made_to_be_read_as_it_comes_is(media_type: str) -> None:
    """Nobody may wait for its end."""
    prefetch, body = Prefetch(100), Body(b"one")
    response = HttpResponse(200, headers={"Content-Type": f"{media_type}; charset=utf-8"})
    assert attempt(prefetch, response, body) is response
    assert (prefetch.content, prefetch.is_complete, body.pieces) == (b"", False, [b"one"])


@pytest.mark.parametrize("headers", [{}, LIVE], ids=["plain", "live"])
def test_a_body_that_has_been_read_is_there(headers: dict[str, str]) -> None:
    """As that of an error, of whatever type."""
    prefetch, response = Prefetch(100), HttpResponse(503, headers=headers, content=b"busy")
    assert attempt(prefetch, response, None) is response
    assert (prefetch.content, prefetch.is_complete) == (b"busy", True)


def test_a_body_that_breaks_is_a_failure_of_the_attempt() -> None:
    """Of which nothing is kept: the next attempt begins anew."""
    prefetch = Prefetch(100)
    assert attempt(prefetch, HttpResponse(200), Body(b"one", LOST)) is LOST
    assert attempt(prefetch, LOST, None) is LOST
    assert (prefetch.content, prefetch.is_complete) == (b"", False)
    attempt(prefetch, HttpResponse(200), Body(b"two"))
    attempt(prefetch, LOST, None)
    assert (prefetch.content, prefetch.is_complete) == (b"", False)

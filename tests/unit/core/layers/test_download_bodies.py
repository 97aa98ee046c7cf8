"""The body of a download on its way into the sink: its length, its blocks, and a disk that hangs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import ProtocolError, ResponseTooLargeError, SentState
from http_service_client.core.effects import TIMED_OUT, Work
from http_service_client.core.layers.download import BLOCK, BLOCK_FOR_A_THREAD, Download
from http_service_client.core.open_body import OpenResponse
from http_service_client.errors import AttemptTimeoutError, DeadlineExceededError
from http_service_client.http.bodies.ranges import Continue
from kit.downloads import LOST, OpenBody, Sink, a_call, driven
from kit.rows import each_row


def saved(
    sink: Sink, call: Any, *pieces: Any, span: Continue | None = None, source: Any = None, block: int = BLOCK
) -> Any:
    """What comes of saving an open body."""
    call.current.body = OpenBody(*pieces)
    response: Any = OpenResponse(200, source=source or SimpleNamespace(close=lambda: None))
    return driven(Download(sink, block=block)._save(response, call, None, span))


TEN = Continue(10, 30, 10)  # ten bytes from the tenth on


@each_row(
    ("pieces", "span", "max_size", "end", "received", "discards"),
    [
        ([5, 5], None, None, None, 20, 0),
        ([5, LOST], None, None, LOST, 15, 0),
        ([LOST], None, None, LOST, 10, 0),
        ([5, 5], TEN, None, None, 20, 0),
        ([5, LOST], TEN, None, LOST, 15, 0),
        ([5, 4], TEN, None, ProtocolError, 0, 1),
        ([], TEN, None, ProtocolError, 0, 1),
        ([5, 6, 1000], TEN, None, ProtocolError, 0, 1),
        ([11, LOST], TEN, None, ProtocolError, 0, 1),
        ([5, 5], None, 20, None, 20, 0),
        ([5, 6, 1000], None, 20, ResponseTooLargeError, 21, 1),
        ([5, 6], TEN, 20, ProtocolError, 0, 1),
    ],
)
def test_a_body_has_the_length_that_its_head_says(
    pieces: list[Any], span: Continue | None, max_size: int | None, end: Any, received: int, discards: int
) -> None:
    """Up to the limit. Otherwise it is left at once, and what is known to be wrong is not kept."""
    sink, call = Sink(), a_call(max_size=max_size)
    sink.received = 10
    outcome = saved(sink, call, *pieces, span=span)
    assert getattr(outcome, "error_type", None) is getattr(end, "error_type", end)
    assert (sink.received, len(call.discards)) == (received, discards)


def test_a_source_that_has_a_choice_is_asked_for_long_pieces() -> None:
    """Each piece costs a step of the loop."""
    asked: list[str] = []
    source = SimpleNamespace(close=lambda: None, prefer_long_pieces=lambda: asked.append("long"))
    assert saved(Sink(), a_call(), 5, source=source) is None
    assert asked == ["long"]


def test_a_disk_that_does_not_accept_a_block_ends_the_attempt() -> None:
    """In the midst of a body, of which nothing more is read."""
    call = a_call(remaining=5.0)
    call.current.body = body = OpenBody(65536, 65536)
    response: Any = OpenResponse(200, source=SimpleNamespace(close=lambda: None))
    plan = Download(Sink())._save(response, call, None, None)
    assert isinstance(next(plan), Work)
    with pytest.raises(StopIteration) as ended:
        plan.send(TIMED_OUT)
    assert ended.value.value.error_type is DeadlineExceededError
    assert body._pieces == [65536]


@each_row(
    ("remaining", "limits", "timeout", "error"),
    [
        (None, {}, None, None),
        (None, {"total": 9.0}, 9.0, AttemptTimeoutError),
        (None, {"total": 9.0, "read": 3.0}, 3.0, AttemptTimeoutError),
        (None, {"read": 3.0, "between": 2.0}, 2.0, AttemptTimeoutError),
        (5.0, {"read": 3.0}, 3.0, AttemptTimeoutError),
        (3.0, {"read": 3.0}, 3.0, DeadlineExceededError),
        (2.0, {"read": 3.0}, 2.0, DeadlineExceededError),
        (2.0, {}, 2.0, DeadlineExceededError),
    ],
)
def test_a_dead_disk_has_the_limit_of_a_read(
    remaining: float | None, limits: dict[str, float], timeout: float | None, error: Any
) -> None:
    """Or of the call, if that comes first; the error says which."""
    call = a_call(remaining, **limits)
    plan = Download(Sink())._write([b"x"], call, None)
    effect = next(plan)
    assert isinstance(effect, Work)
    assert effect.timeout == timeout
    with pytest.raises(StopIteration) as ended:
        plan.send(TIMED_OUT if error is not None else None)
    if error is None:
        assert ended.value.value is None
        return
    failure = ended.value.value
    assert (failure.error_type, failure.sent_state) == (error, SentState.ABANDONED)
    words = f"within {timeout:.3g} s" if error is AttemptTimeoutError else "the deadline expired"
    assert words in failure.message


@each_row(
    ("block", "pieces", "written"),
    [
        (BLOCK, [1] * 2500, [1000, 1000, 500]),
        (BLOCK, [65536] * 18, [1, 1, 2, 4, 8, 2]),
        (BLOCK, [65535, 1, 65535, 1], [2, 2]),
        (BLOCK, [100, 262144, 262144, 7, 262144, 262144], [2, 3, 1]),
        (BLOCK, [1048576, 524287, 1, 524288], [1, 2, 1]),
        (BLOCK_FOR_A_THREAD, [3145728, 1048575, 1, 1048576], [1, 2, 1]),
    ],
    ids=["tiny", "usual", "64 KiB", "large", "half a MiB", "a MiB"],
)
def test_a_body_is_handed_over_in_blocks_of_bounded_memory(
    block: int, pieces: list[int], written: list[int]
) -> None:
    """A list of tiny pieces would take forty times its bytes; and at first, a process that is killed would lose all of them."""
    blocks = []

    class Counts(Sink):
        def write(self, pieces: list[bytes]) -> None:
            super().write(pieces)
            blocks.append(len(pieces))

    sink = Counts()
    assert saved(sink, a_call(), *pieces, block=block) is None
    assert (blocks, sink.received) == (written, sum(pieces))


@pytest.mark.parametrize(
    ("arrivals", "written"),
    [([0.07, 0.14, 0.21, 0.28, 0.35, 0.42, 0.49, 0.56], [3, 3, 2]), ([0.1, 0.2, 0.3], [2, 1]), ([0.1, 0.19, 0.21], [3])],
)  # fmt: skip
def test_a_slow_body_is_handed_over_as_it_arrives(arrivals: list[float], written: list[int]) -> None:
    """Its progress is seen, and its bytes are in the file before there are enough for a block."""
    blocks, times = [], iter([0.0, *arrivals])

    class Counts(Sink):
        def write(self, pieces: list[bytes]) -> None:
            blocks.append(len(pieces))

    class Body(OpenBody):
        def next_piece(self) -> Any:
            now[0] = next(times, now[0])
            return (yield from super().next_piece())

    now = [next(times)]
    call = a_call()
    call.clock = lambda: now[0]
    call.current.body = Body(*[1] * len(arrivals))
    response: Any = OpenResponse(200, source=SimpleNamespace(close=lambda: None))
    assert driven(Download(Counts())._save(response, call, None, None)) is None
    assert blocks == written


def test_progress_is_reported_after_each_block() -> None:
    """With the bytes that are in the sink, and the length of the file if it is known."""
    seen: list[Any] = []
    sink, call = Sink(), a_call(progress=lambda *numbers: seen.append(numbers))
    download = Download(sink)
    assert driven(download._write([b"ab", b"c"], call, 9)) is None
    assert driven(download._write([b"d"], call, None)) is None
    assert seen == [(3, 9), (4, None)]

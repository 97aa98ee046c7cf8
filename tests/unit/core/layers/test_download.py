"""A download, step by step: a driver that answers each effect, and a sink that counts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import (
    ClientClosedError,
    HttpRequest,
    HttpResponse,
    ProtocolError,
    ReadTimeoutError,
    SentState,
    Timeout,
)
from http_service_client.core.effects import TIMED_OUT, Invoke, Work
from http_service_client.core.layers.download import Download
from http_service_client.core.layers.part_download import PartDownload
from http_service_client.core.open_body import OpenResponse
from http_service_client.errors import AttemptTimeoutError, DeadlineExceededError, Failure
from http_service_client.http.bodies.ranges import Validators
from kit.fakes import URL

LOST = Failure(ReadTimeoutError, "slow", SentState.MAYBE_PROCESSED)
VALIDATOR = {"ETag": '"v1"'}
VERSION = ('"v1"', None, None, None)  # an ETag, by which another attempt can ask for the rest


class Sink:
    """Where the bytes would go."""

    resumes = True

    def __init__(self, version: Any = VERSION) -> None:
        self.received = 0
        self.restored: list[str] = []
        self.remembered: list[tuple[str, Any]] = []
        self._version = version

    def restore(self, url: str) -> Any:
        self.restored.append(url)
        return self._version

    def write(self, pieces: list[bytes]) -> None:
        self.received += sum(map(len, pieces))

    def remember(self, url: str, version: Any) -> None:
        self.remembered.append((url, version))

    def commit(self) -> None:
        pass

    def rewind(self, offset: int) -> None:
        self.received = offset


def a_call(remaining: float | None = None, progress: Any = None, **limits: float) -> Any:
    return SimpleNamespace(
        current=SimpleNamespace(has_progressed=None),
        remaining=lambda: remaining,
        clock=lambda: 0.0,
        options=SimpleNamespace(
            timeout=Timeout(**limits), progress=progress, stream=SimpleNamespace(max_size=None)
        ),
        discard_body=lambda: None,
    )


def driven(plan: Any) -> Any:
    """The result of a plan; work is done at once."""
    value = None
    try:
        while True:
            effect = plan.send(value)
            assert isinstance(effect, (Work, Invoke))
            value = effect.function(*effect.arguments)
    except StopIteration as stop:
        return stop.value


class Exchanges:
    """The layers below, with a response for each request; one more request fails the test."""

    def __init__(self, *outcomes: Any) -> None:
        self._outcomes = list(outcomes)
        self.ranges: list[str | None] = []

    def __call__(self, request: HttpRequest, call: Any) -> Any:
        yield from ()
        self.ranges.append(request.headers.get("Range"))
        return self._outcomes.pop(0)


def attempted(download: Download, call: Any, sink: Sink, arrived: int) -> Any:
    """An attempt in which so many bytes arrive before it is lost."""

    def proceed(request: Any, call: Any) -> Any:
        yield from ()
        sink.received += arrived
        return LOST

    return driven(download.attempt(proceed, HttpRequest("GET", URL), call))


def test_an_earlier_download_is_restored_once() -> None:
    """By the first attempt of a call; the next one goes on with what is there."""
    sink, call = Sink(), a_call()
    download = Download(sink)
    for _ in range(3):
        assert attempted(download, call, sink, 10) is LOST
    assert sink.restored == [URL]


@pytest.mark.parametrize(
    ("headers", "total"),
    [
        ({"Content-Length": "10"}, 10),
        ({"Content-Length": "10", "Content-Encoding": "gzip"}, None),
        ({"Content-Length": "\u0661\u0660"}, None),
        ({"Content-Length": "10,10"}, None),
        ({}, None),
    ],
)
def test_progress_knows_the_total_if_the_headers_say_it(headers: dict[str, str], total: int | None) -> None:
    """The length of an encoded body is not that of the file."""
    progress: list[tuple[int, int | None]] = []
    call = a_call(progress=lambda done, total: progress.append((done, total)))
    exchanges = Exchanges(HttpResponse(200, content=b"0123456789", headers=headers))
    assert driven(Download(Sink()).attempt(exchanges, HttpRequest("GET", URL), call)).status_code == 200
    assert (progress, exchanges.ranges) == ([(10, total)], [None])


@pytest.mark.parametrize("step", ["restore", "rewind", "remember", "write", "commit"])
def test_a_disk_that_does_not_answer_ends_the_attempt(step: str) -> None:
    """Whatever it was asked for: a thread may still be writing, so no other attempt may begin."""
    sink, value = Sink(), None
    sink.received = 10
    exchanges = Exchanges(HttpResponse(200, content=b"0123456789", headers=VALIDATOR))
    plan = Download(sink).attempt(exchanges, HttpRequest("GET", URL), a_call(remaining=5.0))
    with pytest.raises(StopIteration) as ended:
        while True:
            effect = plan.send(value)
            value = TIMED_OUT if effect.function.__name__ == step else effect.function(*effect.arguments)
    failure = ended.value.value
    assert (failure.error_type, failure.sent_state) == (DeadlineExceededError, SentState.ABANDONED)


# The bytes that the sink has, the first part to request, the responses, the requested ranges, and the end.
PART = {"Content-Range": "bytes 0-9/30"}
EXCHANGES: dict[str, tuple[int, int | None, list[Any], list[str | None], Any]] = {
    "whole": (10, None, [(416, {"Content-Range": "bytes */10"}), LOST], ["bytes=10-", "bytes=9-"], LOST),
    "a gap": (10, None, [(206, {"Content-Range": "bytes 12-19/20"})], ["bytes=10-"], ProtocolError),
    "busy": (10, None, [(503, {})], ["bytes=10-"], 503),
    "a first part": (0, 10, [(206, PART)], ["bytes=0-9"], 206),
    "a first part without a range": (0, 10, [(206, {}), (200, {})], ["bytes=0-9", None], 200),
    "a first part of another length": (0, 10, [(206, {**PART, "Content-Length": "9"}), LOST], ["bytes=0-9", None], LOST),
    "no parts": (0, 10, [(200, {})], ["bytes=0-9"], 200),
    "busy with a first part": (0, 10, [(503, {})], ["bytes=0-9"], 503),
    "an empty file": (0, 10, [(416, {}), (200, {})], ["bytes=0-9", None], 200),
}  # fmt: skip


@pytest.mark.parametrize(
    ("received", "first_part", "responses", "ranges", "end"), EXCHANGES.values(), ids=EXCHANGES
)
def test_the_exchanges_of_an_attempt(
    received: int, first_part: int | None, responses: list[Any], ranges: list[str | None], end: Any
) -> None:
    """Another one follows only where the response says that it would bring the file."""
    sink = Sink()
    sink.received = received
    content = b"0123456789"
    exchanges = Exchanges(
        *(
            HttpResponse(each[0], content=content, headers=each[1] | VALIDATOR)
            if isinstance(each, tuple)
            else each
            for each in responses
        )
    )
    outcome = driven(Download(sink, first_part).attempt(exchanges, HttpRequest("GET", URL), a_call()))
    assert exchanges.ranges == ranges
    assert getattr(outcome, "status_code", getattr(outcome, "error_type", None)) == getattr(
        end, "error_type", end
    )


@pytest.mark.parametrize("resumes", [True, False])
def test_the_first_part_says_of_which_version_the_file_is(resumes: bool) -> None:
    """Its other parts must be of the same; a later call is told, if it may go on."""
    sink = Sink(version=None)
    sink.resumes = resumes
    download = Download(sink, 10)
    part = HttpResponse(206, content=b"0123456789", headers=PART | VALIDATOR)
    assert driven(download.attempt(Exchanges(part), HttpRequest("GET", URL), a_call())) is part
    assert download.split == ('"v1"', None, None, 30)
    assert sink.remembered == ([(URL, ('"v1"', None, None, 30))] if resumes else [])


@pytest.mark.parametrize(
    ("restored", "arrived", "has_progressed"),
    [
        (0, [65535], None),
        (0, [65536], True),
        (100, [65535], None),
        (100, [65536], True),
        (0, [65536, 65535], True),
    ],
)
def test_so_many_bytes_are_worth_an_attempt(
    restored: int, arrived: list[int], has_progressed: bool | None
) -> None:
    """64 KiB beyond the furthest that any attempt came; what an earlier call left is none of it."""
    sink, call = Sink(), a_call()
    sink.received = restored
    download = Download(sink)
    for count in arrived:
        attempted(download, call, sink, count)
    assert call.current.has_progressed is has_progressed


def test_bytes_that_no_other_attempt_can_go_on_with_are_no_progress() -> None:
    """Without a validator the next one starts over; and what came before counts from the furthest on."""
    sink, call = Sink(version=None), a_call()
    download = Download(sink)
    attempted(download, call, sink, 65536)
    assert call.current.has_progressed is False
    call.current.has_progressed = None
    sink.received = 0  # it starts over
    attempted(download, call, sink, 2 * 65536 - 1)
    assert call.current.has_progressed is None


@pytest.mark.parametrize(
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


@pytest.mark.parametrize(
    ("pieces", "written"),
    [
        ([1] * 2500, [1000, 1000, 500]),
        ([65536] * 18, [1, 1, 2, 4, 8, 2]),
        ([100, 262144, 262144, 7, 262144, 262144], [2, 3, 1]),
        ([1048576, 524287, 1, 524288], [1, 2, 1]),
    ],
    ids=["tiny", "usual", "large", "half a MiB"],
)
def test_a_body_is_handed_over_in_blocks_of_bounded_memory(pieces: list[int], written: list[int]) -> None:
    """A list of tiny pieces would take forty times its bytes; and at first, a process that is killed would lose all of them."""
    left, blocks = list(pieces), []

    class Body:
        def next_piece(self) -> Any:
            yield from ()
            return bytes(left.pop(0)) if left else b""

    class Counts(Sink):
        def write(self, pieces: list[bytes]) -> None:
            super().write(pieces)
            blocks.append(len(pieces))

    sink, call = Counts(), a_call()
    call.current.body, call.options.stream = Body(), SimpleNamespace(max_size=None)
    response: Any = OpenResponse(200, source=SimpleNamespace(close=lambda: None))
    assert driven(Download(sink)._save(response, call, None, None)) is None
    assert (blocks, sink.received) == (written, sum(pieces))


def test_a_slow_body_is_handed_over_as_it_arrives() -> None:
    """Its progress is seen, and its bytes are in the file before there are enough for a block."""
    blocks, now = [], 0.0

    class Body:
        def next_piece(self) -> Any:
            nonlocal now
            yield from ()
            now += 0.07
            return b"x" if now < 0.6 else b""

    class Counts(Sink):
        def write(self, pieces: list[bytes]) -> None:
            blocks.append(len(pieces))

    call = a_call()
    call.clock, call.current.body, call.options.stream = (lambda: now), Body(), SimpleNamespace(max_size=None)
    response: Any = OpenResponse(200, source=SimpleNamespace(close=lambda: None))
    assert driven(Download(Counts())._save(response, call, None, None)) is None
    assert blocks == [3, 3, 2]


def test_progress_is_reported_after_each_block() -> None:
    """With the bytes that are in the sink, and the length of the file if it is known."""
    seen: list[Any] = []
    sink, call = Sink(), a_call(progress=lambda *numbers: seen.append(numbers))
    download = Download(sink)
    assert driven(download._write([b"ab", b"c"], call, 9)) is None
    assert driven(download._write([b"d"], call, None)) is None
    assert seen == [(3, 9), (4, None)]


def a_part(received: int, *outcomes: Any, stopped: bool = False) -> tuple[PartDownload, Any, Exchanges]:
    """A part of a file of 30 bytes, from byte 10 up to 20, of which some have arrived."""
    sink, exchanges = Sink(), Exchanges(*outcomes)
    sink.received = 10
    part = PartDownload(sink, Validators('"v1"', None, None, 30), 20, lambda: stopped)
    sink.received = received
    return part, driven(part.attempt(exchanges, HttpRequest("GET", URL), a_call())), exchanges


def piece(first: int, last: int) -> HttpResponse:
    """So many bytes of the file."""
    headers = {"Content-Range": f"bytes {first}-{last}/30", **VALIDATOR}
    return HttpResponse(206, content=b"x" * (last - first + 1), headers=headers)


@pytest.mark.parametrize(
    ("received", "outcomes", "ranges", "end", "is_refused"),
    [
        (10, [piece(10, 19)], ["bytes=10-19"], 206, False),
        (10, [piece(10, 14), piece(15, 19)], ["bytes=10-19", "bytes=15-19"], 206, False),
        (14, [piece(14, 19)], ["bytes=14-19"], 206, False),
        (20, [piece(19, 19)], ["bytes=19-19"], 206, False),
        (10, [LOST], ["bytes=10-19"], LOST, False),
        (10, [piece(10, 20)], ["bytes=10-19"], 206, True),
        (14, [piece(9, 19)], ["bytes=14-19"], 206, True),
        (10, [HttpResponse(200)], ["bytes=10-19"], 200, True),
        (10, [HttpResponse(416)], ["bytes=10-19"], 416, True),
        (10, [HttpResponse(503)], ["bytes=10-19"], 503, False),
        (10, [HttpResponse(400)], ["bytes=10-19"], 400, False),
    ],
)
def test_the_exchanges_of_a_part(
    received: int, outcomes: list[Any], ranges: list[str], end: Any, is_refused: bool
) -> None:
    """It takes no bytes but its own; a response that is no part of this file is refused, and an error page is none."""
    part, outcome, exchanges = a_part(received, *outcomes)
    assert exchanges.ranges == ranges
    assert getattr(outcome, "status_code", outcome) == end
    assert part.is_refused is is_refused


def test_a_part_of_a_download_that_has_ended_is_given_up() -> None:
    """It was waiting for its response when another part failed."""
    part, outcome, _ = a_part(10, piece(10, 19), stopped=True)
    assert (outcome.error_type, outcome.sent_state) == (ClientClosedError, SentState.ABANDONED)
    assert part.is_refused is False

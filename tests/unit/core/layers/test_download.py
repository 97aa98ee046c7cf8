"""The attempts of a download, step by step: which bytes they request, and which they keep."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import (
    ChecksumError,
    ClientClosedError,
    HttpRequest,
    HttpResponse,
    InvalidRequestError,
    ProtocolError,
    ResponseTooLargeError,
    SentState,
)
from http_service_client.core.effects import TIMED_OUT
from http_service_client.core.layers.download import WRONG_LENGTH, Download
from http_service_client.core.layers.part_download import PartDownload
from http_service_client.core.open_body import OpenResponse
from http_service_client.errors import DeadlineExceededError, Failure
from http_service_client.http.bodies.ranges import Validators
from kit.downloads import LOST, VALIDATOR, VERSION, Exchanges, OpenBody, Sink, a_call, attempted, driven
from kit.fakes import URL
from kit.rows import each_row


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


# The bytes that the sink has, the first part to request, the responses (of ten bytes each), the requested ranges, the end,
# the bytes that the sink has then, and whether it was told that they are all.
PART = {"Content-Range": "bytes 0-9/30"}


OTHER, WEAK = {"ETag": '"v2"'}, {"ETag": 'W/"v1"'}


EXCHANGES: dict[str, tuple[int, int | None, list[Any], list[str | None], Any, int, int]] = {
    "all": (0, None, [(200, {})], [None], 200, 10, 1),
    "the rest": (10, None, [(206, {"Content-Range": "bytes 10-19/20"})], ["bytes=10-"], 206, 20, 1),
    "more than the rest": (10, None, [(206, {"Content-Range": "bytes 5-14/15"})], ["bytes=10-"], 206, 15, 1),
    "in two pieces": (
        *(10, None, [(206, {"Content-Range": "bytes 10-19/30"}), (206, {"Content-Range": "bytes 20-29/30"})]),
        *(["bytes=10-", "bytes=20-"], 206, 30, 1),
    ),
    "to an unknown end": (
        *(10, None, [(206, {"Content-Range": "bytes 10-19/*"}), (416, {"Content-Range": "bytes */20"}), LOST]),
        *(["bytes=10-", "bytes=20-", "bytes=19-"], LOST, 19, 0),
    ),
    "whole": (10, None, [(416, {"Content-Range": "bytes */10"}), LOST], ["bytes=10-", "bytes=9-"], LOST, 9, 0),
    "a gap": (10, None, [(206, {"Content-Range": "bytes 12-19/20"})], ["bytes=10-"], ProtocolError, 0, 0),
    "no range": (10, None, [(206, {})], ["bytes=10-"], ProtocolError, 0, 0),
    "too long": (10, None, [(206, {"Content-Range": "bytes 10-18/30"})], ["bytes=10-"], ProtocolError, 0, 0),
    "too short": (10, None, [(206, {"Content-Range": "bytes 10-20/30"})], ["bytes=10-"], ProtocolError, 0, 0),
    "another version": (
        *(10, None, [(206, {"Content-Range": "bytes 10-19/20", **OTHER}), (200, OTHER)]),
        *(["bytes=10-", None], 200, 10, 1),
    ),
    "another version at once": (10, None, [(200, OTHER)], ["bytes=10-"], 200, 10, 1),
    "shorter than before": (10, None, [(416, {}), (200, {})], ["bytes=10-", None], 200, 10, 1),
    "busy": (10, None, [(503, {})], ["bytes=10-"], 503, 10, 0),
    "busy from the start": (0, None, [(503, {})], [None], 503, 0, 0),
    "the rest with the wrong status": (
        *(10, None, [(200, {"Content-Range": "bytes 10-19/20"})], ["bytes=10-"], 200, 20, 1),
    ),
    "a gap with the wrong status": (
        *(10, None, [(200, {"Content-Range": "bytes 12-21/22"})], ["bytes=10-"], ProtocolError, 0, 0),
    ),
    "a whole file with a range": (
        *(10, None, [(200, {"Content-Range": "bytes 0-9/10"})], ["bytes=10-"], 200, 10, 1),
    ),
    "a stored part that nobody asked for": (0, None, [(200, PART)], [None], ProtocolError, 0, 0),
    "a first part with the wrong status": (0, 10, [(200, PART)], ["bytes=0-9"], 200, 10, 0),
    "a part that nobody asked for": (0, None, [(206, PART)], [None], ProtocolError, 0, 0),
    "a first part": (0, 10, [(206, PART)], ["bytes=0-9"], 206, 10, 0),
    "a first part that is all": (0, 10, [(206, {"Content-Range": "bytes 0-9/10"})], ["bytes=0-9"], 206, 10, 1),
    "a first part of an unknown whole": (
        *(0, 10, [(206, {"Content-Range": "bytes 0-9/*"}), (416, {"Content-Range": "bytes */10"})]),
        *(["bytes=0-9", "bytes=10-"], 206, 10, 1),
    ),
    "a first part of no version": (0, 10, [(206, {**PART, **WEAK}), (200, {})], ["bytes=0-9", None], 200, 10, 1),
    "a first part of another version": (
        *(10, 10, [(206, {"Content-Range": "bytes 10-19/30", **OTHER}), (206, {**PART, **OTHER})]),
        *(["bytes=10-19", "bytes=0-9"], 206, 10, 0),
    ),
    "a first part that broke": (4, 10, [(206, {"Content-Range": "bytes 4-13/30"})], ["bytes=4-9"], 206, 14, 0),
    "a second part that broke": (15, 10, [(206, {"Content-Range": "bytes 15-24/30"})], ["bytes=15-19"], 206, 25, 0),
    "a first part without a range": (0, 10, [(206, {}), (200, {})], ["bytes=0-9", None], 200, 10, 1),
    "a first part of another length": (
        *(0, 10, [(206, {**PART, "Content-Length": "9"}), LOST], ["bytes=0-9", None], LOST, 0, 0),
    ),
    "no parts": (0, 10, [(200, {})], ["bytes=0-9"], 200, 10, 1),
    "busy with a first part": (0, 10, [(503, {})], ["bytes=0-9"], 503, 0, 0),
    "an empty file": (0, 10, [(416, {}), (200, {})], ["bytes=0-9", None], 200, 10, 1),
}  # fmt: skip


@each_row(
    ("received", "first_part", "responses", "ranges", "end", "has_then", "commits"),
    EXCHANGES.values(),
    ids=EXCHANGES,
)
def test_the_exchanges_of_an_attempt(
    received: int,
    first_part: int | None,
    responses: list[Any],
    ranges: list[str | None],
    end: Any,
    has_then: int,
    commits: int,
) -> None:
    """Another one follows only where the response says that it would bring the file. What is not saved is discarded."""
    sink, call = Sink(), a_call()
    sink.received = received
    content = b"0123456789"
    exchanges = Exchanges(
        *(
            HttpResponse(each[0], content=content, headers=VALIDATOR | each[1])
            if isinstance(each, tuple)
            else each
            for each in responses
        )
    )
    outcome = driven(Download(sink, first_part).attempt(exchanges, HttpRequest("GET", URL), call))
    assert exchanges.ranges == ranges
    assert getattr(outcome, "status_code", getattr(outcome, "error_type", None)) == getattr(
        end, "error_type", end
    )
    assert (sink.received, sink.commits) == (has_then, commits)
    if WRONG_LENGTH not in getattr(outcome, "message", ""):  # its body is in memory
        assert sink.writes + len(call.discards) == len([each for each in responses if each is not LOST])


def test_a_download_that_starts_over_forgets_the_version_that_it_had() -> None:
    """The first part of another one would look wrong."""
    sink = Sink()
    sink.received = 10
    download, call = Download(sink, 10), a_call()
    exchanges = Exchanges(
        HttpResponse(206, content=b"0123456789"),
        HttpResponse(206, content=b"0123456789", headers=PART | OTHER),
    )
    outcomes = [driven(download.attempt(exchanges, HttpRequest("GET", URL), call)) for _ in range(2)]
    assert exchanges.ranges == ["bytes=10-19", "bytes=0-9"]
    assert (outcomes[0].error_type, outcomes[1].status_code) == (ProtocolError, 206)


def test_a_file_that_cannot_be_split_is_not_split_in_the_next_attempt() -> None:
    """The server has shown that no two parts of it are known to belong together."""
    call, sink = a_call(), Sink(version=None)
    call.current.body = OpenBody(LOST)
    broken: Any = OpenResponse(200, source=SimpleNamespace(close=lambda: None))
    exchanges = Exchanges(
        HttpResponse(206, content=b"0123456789", headers=PART | WEAK),
        broken,
        HttpResponse(200, content=b"all"),
    )
    download = Download(sink, 10)
    outcomes = [driven(download.attempt(exchanges, HttpRequest("GET", URL), call)) for _ in range(2)]
    assert exchanges.ranges == ["bytes=0-9", None, None]
    assert (outcomes[0], outcomes[1].status_code, sink.received) == (LOST, 200, 3)


def test_bytes_of_no_version_are_not_gone_on_with() -> None:
    """All of the file is requested, also where its first part would be."""
    for first_part in (None, 10):
        sink = Sink(version=None)
        sink.received = 10
        exchanges = Exchanges(HttpResponse(200, content=b"0123", headers=VALIDATOR))
        outcome = driven(Download(sink, first_part).attempt(exchanges, HttpRequest("GET", URL), a_call()))
        assert (outcome.status_code, exchanges.ranges, sink.received) == (200, [None], 4)


@pytest.mark.parametrize(
    ("header", "is_refused"), [("Range", True), ("If-Range", True), ("Accept-Ranges", False)]
)
def test_a_download_sets_the_range_itself(header: str, is_refused: bool) -> None:
    """A caller's would make another file."""
    exchanges = Exchanges(HttpResponse(200, content=b"0123"))
    request = HttpRequest("GET", URL, headers={header: "bytes=5-"})
    outcome = driven(Download(Sink()).attempt(exchanges, request, a_call()))
    if is_refused:
        assert (outcome.error_type, outcome.sent_state) == (InvalidRequestError, SentState.NEVER_SENT)
        assert exchanges.ranges == []
    else:
        assert outcome.status_code == 200


def test_a_sink_that_keeps_nothing_has_nothing_to_restore() -> None:
    """And its first byte counts as progress towards the first 64 KiB."""
    sink, call = Sink(), a_call()
    sink.resumes = False
    download = Download(sink)
    attempted(download, call, sink, 65535)
    assert (sink.restored, sink.remembered, call.current.has_progressed) == ([], [], None)
    sink, call = Sink(), a_call()
    sink.resumes = False
    download = Download(sink)
    download._validators = Validators(*VERSION)
    attempted(download, call, sink, 65536)
    assert call.current.has_progressed is True


def test_a_file_with_a_wrong_checksum_is_discarded() -> None:
    """The error has the response, and the next attempt starts over."""
    sink = Sink(problem="it has another checksum")
    response = HttpResponse(200, content=b"0123456789", headers=VALIDATOR)
    failure = driven(Download(sink).attempt(Exchanges(response), HttpRequest("GET", URL), a_call()))
    assert (failure.error_type, failure.message) == (ChecksumError, "it has another checksum")
    assert failure.details["response"] is response
    assert (failure.sent_state, sink.received) == (SentState.ANSWERED, 0)


@each_row(
    ("response", "problem"),
    [
        ((416, {"Content-Range": "bytes */10"}), None),
        ((206, {}), None),
        ((206, {"Content-Range": "bytes 5-14/15"}), None),
        ((206, {"Content-Range": "bytes 10-18/30"}), None),
        ((206, {"Content-Range": "bytes 10-19/20"}), "a wrong checksum"),
        ((200, {}), None),
    ],
)
def test_a_disk_that_does_not_go_back_ends_the_attempt(
    response: tuple[int, dict[str, str]], problem: str | None
) -> None:
    """Whatever it should go back for: nothing else is asked of it, or of the server."""
    sink = Sink(problem=problem)
    sink.received = 10
    status, headers = response
    exchanges = Exchanges(HttpResponse(status, content=b"0123456789", headers=VALIDATOR | headers))
    plan = Download(sink).attempt(exchanges, HttpRequest("GET", URL), a_call(remaining=5.0))
    effect = next(plan)
    while effect.function.__name__ != "rewind":
        effect = plan.send(effect.function(*effect.arguments))
    assert effect.timeout == 5.0
    with pytest.raises(StopIteration) as ended:
        plan.send(TIMED_OUT)
    failure = ended.value.value
    assert (failure.error_type, failure.sent_state) == (DeadlineExceededError, SentState.ABANDONED)


@pytest.mark.parametrize(("max_size", "is_refused"), [(None, False), (30, False), (29, True)])
def test_a_file_in_parts_is_as_large_as_the_limit_at_most(max_size: int | None, is_refused: bool) -> None:
    """Which the first part tells, before there are others."""
    part = HttpResponse(206, content=b"0123456789", headers=PART | VALIDATOR)
    download = Download(Sink(), 10)
    outcome = driven(download.attempt(Exchanges(part), HttpRequest("GET", URL), a_call(max_size=max_size)))
    assert (getattr(outcome, "error_type", None) is ResponseTooLargeError) is is_refused
    assert (download.split is None) is is_refused


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


def test_a_file_that_is_complete_has_made_no_progress() -> None:
    """There is no attempt after it to go on from there."""
    call = a_call()
    response = HttpResponse(200, content=bytes(65536), headers=VALIDATOR)
    driven(Download(Sink()).attempt(Exchanges(response), HttpRequest("GET", URL), call))
    assert call.current.has_progressed is None


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


class Part:
    """A part of a file of 30 bytes, from byte 10 up to 20, of which some have arrived, after an attempt."""

    def __init__(
        self, received: int, *outcomes: Any, stopped: bool = False, sink: Sink | None = None
    ) -> None:
        self.sink, self.exchanges, self.call = sink or Sink(), Exchanges(*outcomes), a_call()
        self.sink.received = 10
        self.download = PartDownload(self.sink, Validators('"v1"', None, None, 30), 20, lambda: stopped)
        self.sink.received = received
        self.outcome = driven(self.download.attempt(self.exchanges, HttpRequest("GET", URL), self.call))


def piece(first: int, last: int) -> HttpResponse:
    """So many bytes of the file."""
    headers = {"Content-Range": f"bytes {first}-{last}/30", **VALIDATOR}
    return HttpResponse(206, content=b"x" * (last - first + 1), headers=headers)


@each_row(
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
        (10, [HttpResponse(399)], ["bytes=10-19"], 399, True),
        (10, [HttpResponse(416)], ["bytes=10-19"], 416, True),
        (10, [HttpResponse(503)], ["bytes=10-19"], 503, False),
        (10, [HttpResponse(400)], ["bytes=10-19"], 400, False),
    ],
)
def test_the_exchanges_of_a_part(
    received: int, outcomes: list[Any], ranges: list[str], end: Any, is_refused: bool
) -> None:
    """It takes no bytes but its own; a response that is no part of this file is refused, and an error page is none."""
    part = Part(received, *outcomes)
    assert part.exchanges.ranges == ranges
    assert getattr(part.outcome, "status_code", part.outcome) == end
    assert part.download.is_refused is is_refused
    is_saved = part.sink.received == 20
    assert len(part.call.discards) == (not is_saved and end is not LOST), "what is not read is closed"


def test_a_part_of_a_download_that_has_ended_is_given_up() -> None:
    """It was waiting for its response when another part failed."""
    part = Part(10, piece(10, 19), stopped=True)
    outcome = part.outcome
    assert (outcome.error_type, outcome.sent_state) == (ClientClosedError, SentState.ABANDONED)
    assert (part.download.is_refused, len(part.call.discards)) == (False, 1)


def test_a_part_that_brings_more_bytes_than_it_says_is_given_up() -> None:
    """They would be written over those of the next part. The sink is as it was before."""
    long = HttpResponse(206, content=b"x" * 11, headers={"Content-Range": "bytes 10-19/30", **VALIDATOR})
    part = Part(10, long)
    assert part.outcome.message.endswith(WRONG_LENGTH)
    assert part.sink.received == 10


@pytest.mark.parametrize(
    ("received", "outcomes"), [(20, []), (14, [piece(12, 19)])], ids=["all is there", "it goes back"]
)
def test_a_part_whose_file_does_not_go_back_in_time_fails(received: int, outcomes: list[Any]) -> None:
    """Nothing more is written: it would be in the wrong place."""

    class Stuck(Sink):
        def rewind(self, offset: int) -> Any:
            return TIMED_OUT  # as what performs it says

    part = Part(received, *outcomes, sink=Stuck())
    assert isinstance(part.outcome, Failure)
    assert part.outcome.sent_state is SentState.ABANDONED
    assert (part.sink.received, part.sink.writes) == (received, 0)

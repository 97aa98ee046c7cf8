"""How long a body's next piece is waited for, and which error says that it did not come."""

from __future__ import annotations

import copy
import gzip
import pickle
import zlib
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import (
    ConnectionLostError,
    DeadlineExceededError,
    DecodingError,
    Headers,
    HttpRequest,
    HttpResponse,
    ReadTimeoutError,
    ResponseTooLargeError,
    SentState,
    StreamError,
    Timeout,
)
from http_service_client.core.call import Idle, StreamOptions
from http_service_client.core.effects import Receive, Sleep
from http_service_client.core.open_body import BufferedBody, OpenBody, OpenResponse
from http_service_client.core.timeouts import TIMER_SLACK
from http_service_client.errors import Failure
from kit.fakes import URL, FakeClock
from kit.rows import each_row
from kit.streaming import ScriptedSource

SLOW = Failure(ReadTimeoutError, "nothing arrived", SentState.MAYBE_PROCESSED, TimeoutError())
LOST = Failure(ConnectionLostError, "lost", SentState.MAYBE_PROCESSED)


class Body:
    """The body of a call in fake time, whose source and slot tell whether they were released."""

    def __init__(
        self,
        timeout: Timeout,
        deadline: float | None = None,
        waited: float | None = None,
        *,
        headers: Any = (),
        status: int = 200,
        max_size: int | None = None,
        decompress: bool = True,
        now: float = 1000.0,
    ) -> None:
        self.clock = clock = FakeClock(now)
        self.deadline_at = None if deadline is None else clock.now + deadline
        self.source = ScriptedSource(())
        self.released: list[str] = []
        call: Any = SimpleNamespace(
            options=SimpleNamespace(stream=StreamOptions(max_size, None, decompress), timeout=timeout),
            deadline_at=self.deadline_at,
            clock=clock.monotonic,
            remaining=lambda: None if self.deadline_at is None else self.deadline_at - clock.now,
        )
        before: dict[str, float] = {} if waited is None else {"waited": waited}
        self.response = OpenResponse(status, source=self.source, url=URL, headers=Headers(headers), **before)
        self.body = OpenBody(self.response, call, [lambda: self.released.append("slot")])

    def idle(self, seconds: float | None) -> Idle | None:
        return None if seconds is None else Idle(5.0, self.clock.now + seconds, "event")

    def wait(self, idle: float | None = None) -> Any:
        """The plan of the next piece, and its first step."""
        plan = self.body.next_piece(self.idle(idle))
        return plan, next(plan)

    def outcome(self, plan: Any, data: bytes | Failure | None) -> Any:
        with pytest.raises(StopIteration) as ended:
            plan.send(data)
        return ended.value.value


def test_after_its_end_a_body_is_not_waited_for() -> None:
    """It is closed then, and empty however often it is asked."""
    body = Body(Timeout(total=9.0), deadline=1.0)
    assert body.outcome(body.wait()[0], b"") == b""
    assert (body.body.is_complete, body.source.is_closed, body.released) == (True, True, ["slot"])
    body.clock.now += 2.0
    with pytest.raises(StopIteration) as ended:
        next(body.body.next_piece())
    assert ended.value.value == b""


@each_row(
    ("timeout", "waited", "deadline", "idle", "waits"),
    [
        (Timeout(), 0.0, None, None, (None, None)),
        (Timeout(total=10.0), 0.0, None, None, (10.0, 10.0)),
        (Timeout(total=10.0, read=3.0), 0.0, None, None, (3.0, 3.0)),
        (Timeout(total=10.0, read=3.0, between=2.0), 0.0, None, None, (3.0, 2.0)),
        (Timeout(total=10.0, first_byte=5.0), None, None, None, (5.0, 10.0)),
        (Timeout(total=10.0, first_byte=5.0), 2.0, None, None, (3.0, 10.0)),
        (Timeout(total=10.0, first_byte=5.0), 6.0, None, None, (0.001, 10.0)),
        (Timeout(total=10.0), 0.0, 4.0, None, (4.0, 4.0)),
        (Timeout(total=10.0), 0.0, 12.0, None, (10.0, 10.0)),
        (Timeout(), 0.0, 4.0, None, (4.0, 4.0)),
        (Timeout(total=10.0), 0.0, None, 2.0, (2.0, 2.0)),
        (Timeout(total=10.0), 0.0, None, 12.0, (10.0, 10.0)),
        (Timeout(), 0.0, None, 2.0, (2.0, 2.0)),
        (Timeout(), 0.0, None, 0.5, (0.5, 0.5)),
        (Timeout(total=10.0), 0.0, 1.0, 2.0, (1.0, 1.0)),
    ],
    ids=str,
)
def test_the_nearest_limit_bounds_the_wait_for_a_piece(
    timeout: Timeout,
    waited: float | None,
    deadline: float | None,
    idle: float | None,
    waits: tuple[float | None, ...],
) -> None:
    """The first one may have a limit of its own, of which the wait for the head has used some."""
    body = Body(timeout, deadline, waited)
    found = []
    for _ in range(2):
        plan, receive = body.wait(idle)
        bounds = [each for each in (receive.timeout.read, receive.timeout.total) if each is not None]
        found.append(min(bounds, default=None))
        assert body.outcome(plan, b"x") == b"x"
    assert tuple(found) == pytest.approx(waits)
    assert (body.source.is_closed, body.released) == (False, [])


NAMED = f"timed out reading from {URL}: "


@each_row(
    ("timeout", "deadline", "idle", "pieces", "passed", "data", "error", "message"),
    [
        (Timeout(total=9.0), None, None, 0, 9.0, SLOW, ReadTimeoutError, "nothing arrived"),
        (Timeout(first_byte=5.0), None, None, 0, 5.0, SLOW, ReadTimeoutError, NAMED + "no first byte within 5 s"),
        (Timeout(first_byte=5.0), None, None, 1, 5.0, SLOW, ReadTimeoutError, "nothing arrived"),
        (Timeout(first_byte=5.0), None, None, 0, 5.0, LOST, ConnectionLostError, "lost"),
        (Timeout(), 3.0, None, 0, 3.0, SLOW, DeadlineExceededError, "the deadline expired while"),
        (Timeout(), 3.0, None, 0, 2.9, SLOW, ReadTimeoutError, "nothing arrived"),
        (Timeout(), 3.0, None, 0, 3.0, LOST, ConnectionLostError, "lost"),
        (Timeout(), None, 2.0, 0, 2.0, SLOW, ReadTimeoutError, NAMED + "no event for 5 s"),
        (Timeout(), None, 2.0, 0, 1.9, SLOW, ReadTimeoutError, "nothing arrived"),
        (Timeout(), None, 2.0, 0, 2.0, LOST, ConnectionLostError, "lost"),
        (Timeout(), 2.0, 2.0, 0, 2.0, SLOW, DeadlineExceededError, "the deadline expired while"),
    ],
    ids=str,
)  # fmt: skip
def test_the_error_names_the_limit_that_ended_the_wait(
    timeout: Timeout,
    deadline: float | None,
    idle: float | None,
    pieces: int,
    passed: float,
    data: Failure,
    error: type[Exception],
    message: str,
) -> None:
    """What came of the connection itself is none of them. In any case the connection and the slot are released."""
    body = Body(timeout, deadline)
    for _ in range(pieces):
        body.outcome(body.wait()[0], b"x")
    plan, _ = body.wait(idle)
    body.clock.now += passed
    failure = body.outcome(plan, data)
    assert failure.error_type is error
    assert failure.message.startswith(message)
    assert failure.cause is data.cause
    assert (body.source.is_closed, body.released) == (True, ["slot"])


@pytest.mark.parametrize(
    ("deadline", "idle", "error", "state", "message"),
    [
        (1.0, None, DeadlineExceededError, SentState.ABANDONED, "the deadline expired while"),
        (None, 0.0, ReadTimeoutError, SentState.MAYBE_PROCESSED, NAMED + "no event for 5 s"),
    ],
)
def test_a_limit_that_has_passed_is_not_waited_for(
    deadline: float | None, idle: float | None, error: type[Exception], state: SentState, message: str
) -> None:
    """The caller took too long with the piece before."""
    body = Body(Timeout(total=9.0), deadline)
    body.clock.now += 1.0
    with pytest.raises(StopIteration) as ended:
        next(body.body.next_piece(body.idle(idle)))
    failure = ended.value.value
    assert (failure.error_type, failure.sent_state) == (error, state)
    assert failure.message.startswith(message)
    assert (body.source.is_closed, body.released) == (True, ["slot"])


EMPTY = gzip.compress(b"", mtime=0)  # a whole frame, without a byte of content
PAGE = gzip.compress(b"a page", mtime=0)
GZIP = {"Content-Encoding": "gzip"}


def test_a_coded_body_is_decoded_to_its_end() -> None:
    """In whatever pieces it comes; one that is empty lets others run, and is no end."""
    body = Body(Timeout(), headers=GZIP)
    plan, _ = body.wait()
    pause = plan.send(EMPTY)
    assert (type(pause), pause.seconds) == (Sleep, 0.0)
    assert isinstance(plan.send(None), Receive)
    assert body.outcome(plan, PAGE) == b"a page"
    assert body.outcome(body.wait()[0], b"") == b""
    assert body.body.is_complete


@each_row(
    ("timeout", "deadline", "passed", "message"),
    [
        (Timeout(read=1.0), None, 0.9, None),
        (Timeout(read=1.0), None, 1.0, NAMED + "nothing arrived for 1 s"),
        (Timeout(read=5.0), 1.0, 0.9, None),
        (Timeout(read=5.0), 1.0, 1.0, "the deadline expired while the body was being read"),
        (Timeout(), 1.0, 2.0, "the deadline expired while the body was being read"),
        (Timeout(), None, 99.0, None),
    ],
    ids=str,
)
def test_frames_without_content_are_no_piece(
    timeout: Timeout, deadline: float | None, passed: float, message: str | None
) -> None:
    """The wait for a piece goes on, and so do its limits. In any case of failure everything is released."""
    body = Body(timeout, deadline, headers=GZIP)
    plan, _ = body.wait()
    assert isinstance(plan.send(EMPTY * 10_000), Sleep)
    body.clock.now += passed
    if message is None:
        assert isinstance(plan.send(None), Sleep)  # for the next of them
        return
    failure = body.outcome(plan, None)
    is_deadline = message.startswith("the deadline")
    assert failure.message == message
    assert failure.error_type is (DeadlineExceededError if is_deadline else ReadTimeoutError)
    assert failure.sent_state is (SentState.ABANDONED if is_deadline else SentState.MAYBE_PROCESSED)
    assert failure.details == {"response": body.response}
    assert (body.source.is_closed, body.released) == (True, ["slot"])


@pytest.mark.parametrize(
    ("max_size", "pieces", "error", "message"),
    [
        (5, [PAGE], ResponseTooLargeError,
         "the response is larger than max_response_size (5 bytes); raise it, or use None for no limit"),
        (None, [b"no gzip"], DecodingError, "the response's gzip content is corrupt: "),
        (5, [b"no gzip"], DecodingError, "the response's gzip content is corrupt: "),
        (None, [PAGE[:-4], b""], DecodingError, "the response's gzip content is cut short"),
    ],
    ids=["too large", "damaged", "damaged with a limit", "cut short"],
)  # fmt: skip
def test_a_body_that_cannot_be_decoded_fails_and_releases_all(
    max_size: int | None, pieces: list[bytes], error: type[Exception], message: str
) -> None:
    """The service has answered, and the failure names what is wrong."""
    body = Body(Timeout(), headers=GZIP, max_size=max_size)
    failure: Any = b""
    for piece in pieces:
        plan, _ = body.wait()
        failure = body.outcome(plan, piece)
    assert (failure.error_type, failure.sent_state) == (error, SentState.ANSWERED)
    assert failure.message.startswith(message)
    assert failure.details == {"response": body.response}
    assert (body.source.is_closed, set(body.released), body.body.is_complete) == (True, {"slot"}, False)


@each_row(
    ("status", "content_range", "decompress", "is_decoded"),
    [
        (200, None, True, True),
        (200, None, False, False),
        (206, "bytes 0-25/26", True, True),
        (206, "bytes 0-25/26", False, False),
        (206, "bytes 0-25/99", True, False),
        (206, None, True, False),
        (207, "bytes 0-25/99", True, True),
        (205, "bytes 0-25/99", True, True),
    ],
)
def test_codings_are_removed_from_a_whole_alone(
    status: int, content_range: str | None, decompress: bool, is_decoded: bool
) -> None:
    """A part of a coded content can only be read where the rest of it is."""
    headers = GZIP if content_range is None else {**GZIP, "Content-Range": content_range}
    body = Body(Timeout(), headers=headers, status=status, decompress=decompress)
    plan, _ = body.wait()
    assert body.outcome(plan, PAGE) == (b"a page" if is_decoded else PAGE)


def test_all_codings_of_a_body_are_removed() -> None:
    """In whichever number of fields they are named."""
    body = Body(Timeout(), headers=[("Content-Encoding", "gzip"), ("Content-Encoding", "deflate")])
    plan, _ = body.wait()
    assert body.outcome(plan, zlib.compress(PAGE)) == b"a page"


def test_what_is_kept_by_a_body_is_released_with_it() -> None:
    """At once, if it is closed already."""
    body = Body(Timeout())
    body.body.keep(lambda: body.released.append("early"))
    assert body.released == []
    body.body.close()
    assert body.released == ["slot", "early"]
    body.body.keep(lambda: body.released.append("late"))
    assert body.released[-1] == "late"


@pytest.mark.parametrize(
    ("deadline", "idle", "message"),
    [(5.0, None, "the deadline expired while"), (None, 5.0, NAMED + "no event for 5 s")],
)
def test_a_timer_that_fires_a_tick_early_has_reached_its_limit(
    deadline: float | None, idle: float | None, message: str
) -> None:
    """The error does not blame the service for it."""
    body = Body(Timeout(), deadline, now=0.0)
    plan, _ = body.wait(idle)
    if deadline is None:
        body.clock.now = 5.0 - TIMER_SLACK
    else:
        body.deadline_at = TIMER_SLACK  # at 0 s, since a difference of larger numbers would not be exact
    assert body.outcome(plan, SLOW).message.startswith(message)


def test_an_interrupt_while_slots_are_released_releases_them_all() -> None:
    """It ends the program as it would have; each slot may be released twice."""
    body = Body(Timeout())
    interrupts = [KeyboardInterrupt]

    def release() -> None:
        if interrupts:
            raise interrupts.pop()

    body.body._slots.insert(0, release)
    with pytest.raises(KeyboardInterrupt):
        body.body.close()
    assert (body.source.is_closed, body.released) == (True, ["slot"])


@pytest.mark.parametrize(("limit", "fits"), [(None, True), (3, True), (2, False)])
def test_a_body_in_memory_has_a_limit_too(limit: int | None, fits: bool) -> None:
    """It comes in one piece, and is empty then."""
    body = BufferedBody(b"abc", limit)
    pieces: list[Any] = []
    for _ in range(2):
        with pytest.raises(StopIteration) as ended:
            next(body.next_piece())
        pieces.append(ended.value.value)
    if fits:
        assert pieces == [b"abc", b""]
    else:
        assert (pieces[0].error_type, pieces[1]) == (ResponseTooLargeError, b"")


def test_a_copy_of_an_open_response_has_its_body_and_a_head_of_its_own() -> None:
    """A listener gets the head alone: one that keeps it does not keep the connection."""
    source, request = ScriptedSource((b"x",)), HttpRequest("GET", URL)
    head: dict[str, Any] = {
        "reason_phrase": "Partial",
        "url": URL,
        "elapsed": 2.0,
        "history": (HttpResponse(302),),
        "http_version": "HTTP/2",
    }
    response = OpenResponse(206, source=source, waited=1.5, headers={"X": "1"}, **head)
    response.attempts = 3
    twin = copy.copy(response)
    assert (twin.source, twin.waited, twin.attempts) == (source, 1.5, 3)
    seen = response.observed(request)
    assert (seen.request, response.request) == (request, None)
    assert seen.source is not source
    for each in (twin, seen):
        assert (each.status_code, each.headers["X"]) == (206, "1")
        assert {name: getattr(each, name) for name in head} == head
    seen.headers["X"] = "2"
    assert response.headers["X"] == "1"


def test_the_content_of_an_open_response_is_not_there() -> None:
    """Where it is to be had is in the error."""
    response = OpenResponse(200, source=ScriptedSource(()), url=URL)
    message = "^the body is not in memory: it is streamed, or saved in the file of a download$"
    with pytest.raises(StreamError, match=message):
        _ = response.content


@pytest.mark.parametrize("take", [copy.deepcopy, lambda response: pickle.loads(pickle.dumps(response))])
def test_an_open_response_leaves_its_process_without_its_body(take: Any) -> None:
    """As part of an error: another process does not have its connection."""
    head: dict[str, Any] = {"reason_phrase": "Partial", "elapsed": 2.0, "http_version": "HTTP/2"}
    response = OpenResponse(206, source=ScriptedSource((b"x",)), headers={"X": "1"}, url=URL, **head)
    taken = take(response)
    assert type(taken) is HttpResponse
    assert (taken.status_code, taken.headers["X"], taken.url, taken.content) == (206, "1", URL, b"")
    assert {name: getattr(taken, name) for name in head} == head


def test_a_pickled_open_response_has_no_secret_in_its_url() -> None:
    """Nobody knows where it is unpickled."""
    response = OpenResponse(200, source=ScriptedSource(()), url=URL + "?token=secret")
    assert pickle.loads(pickle.dumps(response)).url == URL + "?token=***"

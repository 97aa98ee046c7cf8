"""How long a body's next piece is waited for, and which error says that it did not come."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import (
    ConnectionLostError,
    DeadlineExceededError,
    HttpRequest,
    HttpResponse,
    ReadTimeoutError,
    ResponseTooLargeError,
    SentState,
    Timeout,
)
from http_service_client.core.call import Idle, StreamOptions
from http_service_client.core.open_body import BufferedBody, OpenBody, OpenResponse
from http_service_client.errors import Failure
from kit.fakes import URL, FakeClock
from kit.streaming import ScriptedSource

SLOW = Failure(ReadTimeoutError, "nothing arrived", SentState.MAYBE_PROCESSED, TimeoutError())
LOST = Failure(ConnectionLostError, "lost", SentState.MAYBE_PROCESSED)


class Body:
    """The body of a call in fake time, whose source and slot tell whether they were released."""

    def __init__(self, timeout: Timeout, deadline: float | None = None, waited: float = 0.0) -> None:
        self.clock = clock = FakeClock()
        self.deadline_at = None if deadline is None else clock.now + deadline
        self.source = ScriptedSource(())
        self.released: list[str] = []
        call: Any = SimpleNamespace(
            options=SimpleNamespace(stream=StreamOptions(None, None, True), timeout=timeout),
            deadline_at=self.deadline_at,
            clock=clock.monotonic,
            remaining=lambda: None if self.deadline_at is None else self.deadline_at - clock.now,
        )
        response = OpenResponse(200, source=self.source, waited=waited, url=URL)
        self.body = OpenBody(response, call, [lambda: self.released.append("slot")])

    def idle(self, seconds: float | None) -> Idle | None:
        return None if seconds is None else Idle(5.0, self.clock.now + seconds, "event")

    def wait(self, idle: float | None = None) -> Any:
        """The plan of the next piece, and its first step."""
        plan = self.body.next_piece(self.idle(idle))
        return plan, next(plan)

    def outcome(self, plan: Any, data: bytes | Failure) -> Any:
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


@pytest.mark.parametrize(
    ("timeout", "waited", "deadline", "idle", "waits"),
    [
        (Timeout(), 0.0, None, None, (None, None)),
        (Timeout(total=10.0), 0.0, None, None, (10.0, 10.0)),
        (Timeout(total=10.0, read=3.0), 0.0, None, None, (3.0, 3.0)),
        (Timeout(total=10.0, read=3.0, between=2.0), 0.0, None, None, (3.0, 2.0)),
        (Timeout(total=10.0, first_byte=5.0), 2.0, None, None, (3.0, 10.0)),
        (Timeout(total=10.0, first_byte=5.0), 6.0, None, None, (0.001, 10.0)),
        (Timeout(total=10.0), 0.0, 4.0, None, (4.0, 4.0)),
        (Timeout(total=10.0), 0.0, 12.0, None, (10.0, 10.0)),
        (Timeout(), 0.0, 4.0, None, (4.0, 4.0)),
        (Timeout(total=10.0), 0.0, None, 2.0, (2.0, 2.0)),
        (Timeout(total=10.0), 0.0, None, 12.0, (10.0, 10.0)),
        (Timeout(), 0.0, None, 2.0, (2.0, 2.0)),
        (Timeout(total=10.0), 0.0, 1.0, 2.0, (1.0, 1.0)),
    ],
    ids=str,
)
def test_the_nearest_limit_bounds_the_wait_for_a_piece(
    timeout: Timeout,
    waited: float,
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


@pytest.mark.parametrize(
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


def test_what_is_kept_by_a_body_is_released_with_it() -> None:
    """At once, if it is closed already."""
    body = Body(Timeout())
    body.body.keep(lambda: body.released.append("early"))
    assert body.released == []
    body.body.close()
    assert body.released == ["slot", "early"]
    body.body.keep(lambda: body.released.append("late"))
    assert body.released[-1] == "late"


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

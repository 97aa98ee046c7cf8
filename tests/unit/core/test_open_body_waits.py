"""How long a body's next piece is waited for, and which error says that it did not come."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import (
    ConnectionLostError,
    DeadlineExceededError,
    ReadTimeoutError,
    SentState,
    Timeout,
)
from http_service_client.core.call import Idle, StreamOptions
from http_service_client.core.open_body import OpenBody, OpenResponse
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

"""An exchange that somebody watches: telemetry, and the observer. What they are told, when, and whose time it is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import HttpRequest, HttpResponse, InvalidRequestError, Timeout
from http_service_client.core.call import StreamOptions
from http_service_client.core.layers.exchange import Exchange
from http_service_client.core.open_body import OpenResponse
from http_service_client.core.timeouts import TIMER_SLACK
from http_service_client.errors import Failure, SentState
from kit.fakes import READ_TIMEOUT, REFUSED, URL, Harness
from kit.front_ends import BlockingFrontEnd
from kit.rows import each_row

NOT_BEGUN = Failure(InvalidRequestError, "not allowed", SentState.NEVER_SENT)
OPEN = OpenResponse(200, source=SimpleNamespace(close=lambda: None))


class Watched:
    """An exchange with one slot, which telemetry and an observer watch, and what they see.

    takes: seconds that telemetry takes to begin, that it takes to end, and that the observer takes.
    now: when it begins.
    """

    def __init__(
        self,
        *,
        has_observer: bool = True,
        has_telemetry: bool = True,
        is_traced: bool = True,
        is_whole: bool = False,
        stream: StreamOptions | None = None,
        expires_in: float | None = None,
        deadline_in: float | None = None,
        takes: tuple[float, float, float] = (0.0, 0.0, 0.0),
        now: float = 8.0,
    ) -> None:
        harness = Harness(BlockingFrontEnd(), max_connections=1)
        self.clock = harness.clock
        self.clock.now = now
        self.call = harness.client._call_builder.build("GET", URL)
        self.call.options = self.call.options.but(stream=stream, timeout=Timeout(total=5.0))
        self.call.telemetry = self if is_traced else None  # type: ignore[assignment]
        self.call.deadline_at = None if deadline_in is None else now + deadline_in
        self.attempt = self.call.current
        self.attempt.expires_at = None if expires_in is None else now + expires_in
        self.takes = takes
        self.slots = harness.limits[0]
        self.seen: list[tuple[Any, ...]] = []
        self.exchange = Exchange(
            harness.client._call_builder.origins,
            self.slots,
            observe=self._observe if has_observer else None,
            for_telemetry=HttpRequest.copy if has_telemetry else None,
            is_whole=is_whole,
        )
        self.plan = self.exchange(self.call.request, self.call)

    def begin(self) -> Any:
        """The effect that sends the request."""
        return next(self.plan)

    def end(self, outcome: Any) -> Any:
        """The result of the exchange with this outcome."""
        with pytest.raises(StopIteration) as ended:
            self.plan.send(outcome)
        return ended.value.value

    def begin_exchange(self, request: HttpRequest, call: Any, is_own: bool) -> Any:
        assert call is self.call
        assert request is not call.request
        self.seen.append(("begun", is_own))
        self.clock.now += self.takes[0]
        return self._end

    def _end(self, outcome: Any) -> None:
        self.seen.append(("ended", self.slots.in_use, outcome))
        self.clock.now += self.takes[1]

    def _observe(self, request: HttpRequest, outcome: Any, call: Any) -> None:
        self.seen.append(("observed", self.slots.in_use, outcome))
        self.clock.now += self.takes[2]


@each_row("outcome", [HttpResponse(200), HttpResponse(503), REFUSED])
@each_row("is_whole", [False, True])
@each_row(
    ("has_observer", "has_telemetry", "is_traced"),
    [(False, False, True), (True, False, True), (True, False, False), (False, True, True), (True, True, True), (True, True, False)],
)  # fmt: skip
def test_whoever_watches_sees_each_exchange_with_its_end(
    has_observer: bool, has_telemetry: bool, is_traced: bool, is_whole: bool, outcome: Any
) -> None:
    """Once the slot is free, so that a slow one keeps no other call waiting. Not every call is traced."""
    watched = Watched(
        has_observer=has_observer, has_telemetry=has_telemetry, is_traced=is_traced, is_whole=is_whole
    )
    watched.begin()
    assert watched.end(outcome) is outcome
    seen: list[Any] = []
    if has_telemetry and is_traced:
        seen += [("begun", not is_whole), ("ended", 0, outcome)]
    if has_observer:
        seen.append(("observed", 0, outcome))
    assert watched.seen == seen
    assert watched.slots.in_use == 0


def test_an_exchange_that_the_transport_did_not_begin_is_none() -> None:
    """Because of the egress policy, say. Telemetry, which had begun it, ends it."""
    watched = Watched()
    watched.begin()
    assert watched.end(NOT_BEGUN) is NOT_BEGUN
    assert [name for name, *_ in watched.seen] == ["begun", "ended"]


def test_an_interrupted_exchange_has_an_end_too() -> None:
    """The server may have acted on the request; the interruption goes on."""
    watched, interruption = Watched(), KeyboardInterrupt()
    watched.begin()
    with pytest.raises(KeyboardInterrupt) as raised:
        watched.plan.throw(interruption)
    assert raised.value is interruption
    begun, ended, (name, in_use, failure) = watched.seen
    assert (begun, ended) == (("begun", True), ("ended", 0, interruption))
    assert (name, in_use, failure.sent_state) == ("observed", 0, SentState.ABANDONED)
    assert failure.message == "the exchange was ended by KeyboardInterrupt"


def test_an_open_body_keeps_its_slot() -> None:
    """Whoever watches sees its head; and the client knows of it until it is closed."""
    watched = Watched(stream=StreamOptions(None, None, True))
    watched.begin()
    assert watched.end(OPEN) is OPEN
    assert watched.seen[1:] == [("ended", 1, OPEN), ("observed", 1, OPEN)]
    open_bodies = watched.exchange._keys.open_bodies
    assert (watched.slots.in_use, len(open_bodies)) == (1, 1)
    watched.attempt.body.close()
    assert (watched.slots.in_use, len(open_bodies)) == (0, 0)


@each_row(
    ("took", "expires_in", "deadline_in", "total", "waited"),
    [
        (0.0, 4.0, None, 4.0, 0.0),
        (TIMER_SLACK, 4.0, None, 4.0, 0.0),
        (2.0, 4.0, None, 4.0, 2.0),
        (2.0, 4.0, 5.0, 3.0, 2.0),
        (2.0, 4.0, 2.0, TIMER_SLACK, 2.0),
        (2.0, None, None, 5.0, 2.0),
    ],
)
def test_the_time_that_telemetry_takes_to_begin_is_not_the_attempt_s(
    took: float, expires_in: float | None, deadline_in: float | None, total: float, waited: float
) -> None:
    """The deadline stays where it is: the exchange has what is left of it, and its transport a moment at least."""
    now = 0.0 if took == TIMER_SLACK else 8.0  # where the difference is exact
    watched = Watched(expires_in=expires_in, deadline_in=deadline_in, takes=(took, 0.0, 0.0), now=now)
    assert watched.begin().timeout.total == pytest.approx(total)
    assert watched.attempt.waited == waited
    watched.plan.close()


def test_the_time_of_those_who_see_the_end_is_not_the_attempt_s() -> None:
    """Another exchange may follow, after a redirect."""
    watched = Watched(expires_in=4.0, takes=(0.0, 1.0, 2.0))
    watched.begin()
    watched.end(HttpResponse(302))
    assert (watched.attempt.waited, watched.attempt.expires_at) == (3.0, 15.0)


@each_row(
    ("outcome", "deadline_in", "is_the_deadline_s"),
    [
        (READ_TIMEOUT, 1.0, False),
        (READ_TIMEOUT, TIMER_SLACK + 0.001, False),
        (READ_TIMEOUT, TIMER_SLACK, True),
        (READ_TIMEOUT, 0.01, True),
        (READ_TIMEOUT, -0.01, True),
        (READ_TIMEOUT, None, True),
        (HttpResponse(302), 1.0, True),
    ],
)
def test_a_deadline_that_passes_while_others_watch_did_not_end_the_exchange(
    outcome: Any, deadline_in: float | None, is_the_deadline_s: bool
) -> None:
    """One that has passed before may have. A response was not ended, and the next hop may be."""
    now = 0.0 if deadline_in == TIMER_SLACK else 8.0  # where the difference is exact
    watched = Watched(deadline_in=deadline_in, takes=(0.0, 0.0, 60.0), now=now)
    watched.begin()
    watched.attempt.ends_with_deadline = True
    watched.end(outcome)
    assert watched.attempt.ends_with_deadline is is_the_deadline_s

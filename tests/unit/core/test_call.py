"""What the layers share of a call and of its attempts: its time, what became of its request, and how its story ends."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import HttpRequest, HttpResponse, ReadTimeoutError, SentState, Timeout
from http_service_client.core.call import Attempt, Call, CallOptions
from http_service_client.core.machines.limits.semaphore import FairSemaphore
from http_service_client.core.nesting import CallScope
from http_service_client.core.origins import OriginState
from http_service_client.errors import Failure
from http_service_client.events import AttemptFinished, CallFinished
from kit.fakes import ORIGIN, URL, FakeClock, LockWithQueue
from kit.rows import each_row

NEVER, REFUSED, ANSWERED, MAYBE, ABANDONED = (
    SentState.NEVER_SENT,
    SentState.REFUSED,
    SentState.ANSWERED,
    SentState.MAYBE_PROCESSED,
    SentState.ABANDONED,
)


class Stage:
    """A call of a POST that began at 1000 s, and what was notified of it."""

    def __init__(self, deadline: float | None = None, **options: Any) -> None:
        self.clock = FakeClock()
        self.heard: list[Any] = []
        self.finished: list[str] = []
        state = OriginState(None, None, FairSemaphore(1, lock=LockWithQueue()))
        self.call = Call(
            HttpRequest("POST", URL + "?token=secret"),
            ORIGIN,
            state,
            None,
            CallOptions(
                Timeout(), 0, None, is_nested=False, on_finish=lambda: self.finished.append("end"), **options
            ),
            self.clock.monotonic,
            None if deadline is None else self.clock.now + deadline,
            self.heard.append,
            "7",
            "charge",
        )

    def body(self) -> list[str]:
        """An open body of the present attempt: what becomes of it."""
        found: list[str] = []
        self.call.current.body = SimpleNamespace(close=lambda: found.append("closed"))  # type: ignore[assignment]
        return found


def test_a_call_may_have_no_name() -> None:
    """Those of a simulated fleet have none: nobody looks for one of them in a log."""
    whole = Stage().call
    call = Call(whole.request, ORIGIN, whole.origin_state, None, whole.options, whole.clock)
    assert (call.call_id, call.call_name, call.deadline_at, call.listener) == ("", None, None, None)


@each_row(
    ("expires_at", "deadline_at", "after", "ends_with_deadline"),
    [
        (None, None, None, False),
        (None, 11.0, None, False),
        (10.0, None, 12.0, False),
        (10.0, 13.0, 12.0, False),
        (10.0, 12.0, 12.0, False),
        (10.0, 11.0, 11.0, True),
    ],
)
def test_a_wait_of_our_own_is_no_part_of_the_attempt(
    expires_at: float | None, deadline_at: float | None, after: float | None, ends_with_deadline: bool
) -> None:
    """Its end moves by as much, but never beyond the deadline."""
    attempt, timeout = Attempt(), Timeout(total=5.0)
    attempt.expires_at, attempt.exchange_timeout = expires_at, timeout
    attempt.postpone(2.0, deadline_at)
    assert (attempt.expires_at, attempt.ends_with_deadline, attempt.waited) == (
        after,
        ends_with_deadline,
        2.0,
    )
    assert attempt.exchange_timeout is (None if ends_with_deadline else timeout)
    attempt.postpone(0.5, None)
    assert attempt.waited == 2.5


def test_an_attempt_begins_with_nothing_known() -> None:
    """No limit, no wait, no evidence."""
    attempt = Attempt()
    for name in (
        "ends_with_deadline", "has_left_origin", "has_progressed", "is_trial", "passes_gate", "is_queued",
    ):  # fmt: skip
        assert getattr(attempt, name) is False
    for name in ("expires_at", "exchange_timeout", "blocked_until", "answered_by", "body"):
        assert getattr(attempt, name) is None
    assert (attempt.needed, attempt.waited, attempt.sent_state) == (0.0, 0.0, NEVER)


def test_options_with_other_values_keep_the_rest() -> None:
    """The options that were given stay as they are."""
    options = Stage(key="tenant").call.options
    changed = options.but(max_redirects=5, key=None)
    assert (changed.max_redirects, changed.key, changed.on_finish) == (5, None, options.on_finish)
    assert (options.max_redirects, options.key) == (0, "tenant")


def test_the_time_of_a_call() -> None:
    """Since it began, until its deadline, and until its attempt would have too little."""
    stage = Stage(deadline=5.0)
    stage.clock.now += 2.0
    stage.call.current.needed = 0.5
    assert (stage.call.elapsed(), stage.call.remaining(), stage.call.slack()) == (2.0, 3.0, 2.5)
    stage = Stage()
    assert (stage.call.elapsed(), stage.call.remaining(), stage.call.slack()) == (0.0, None, None)


def test_a_call_is_queued_while_its_attempt_is() -> None:
    """The next attempt begins anew."""
    call = Stage().call
    call.is_queued = True
    assert (call.is_queued, call.current.is_queued) == (True, True)
    call.current = Attempt()
    assert call.is_queued is False


def test_an_attempt_is_recorded_with_its_outcome() -> None:
    """A response by its status, a failure by the name of its error and what it was decided by."""
    stage = Stage()
    call, response = stage.call, HttpResponse(503, reason_phrase="Busy")
    call.attempt = 1
    stage.clock.now += 2.0
    call.record_attempt(response, stage.clock.now - 0.5)
    call.current = Attempt()
    call.attempt, call.current.is_trial, call.current.decision = 2, True, "the decision"  # type: ignore[assignment]
    call.record_attempt(Failure(ReadTimeoutError, "slow", MAYBE), stage.clock.now - 0.25)
    first, second = stage.heard
    assert first == AttemptFinished(
        2.0, 1, ORIGIN, 0.5, 503, None, "Busy", ANSWERED, None, False, None, "7", "charge"
    )
    assert second == AttemptFinished(
        2.0,
        2,
        ORIGIN,
        0.25,
        None,
        "ReadTimeoutError",
        "slow",
        MAYBE,
        None,
        True,
        "the decision",
        "7",
        "charge",
    )
    assert (call.response, call.events) == (response, [first, second])


@pytest.mark.parametrize(
    ("outcomes", "answered_by", "state"),
    [
        ([HttpResponse(200)], None, ANSWERED),
        ([HttpResponse(200)], "Mock", NEVER),
        ([Failure(ReadTimeoutError, "x", MAYBE), HttpResponse(200)], None, MAYBE),
        ([HttpResponse(429), Failure(ReadTimeoutError, "x", NEVER)], None, REFUSED),
    ],
    ids=str,
)
def test_the_sent_state_is_the_worst_over_all_attempts(
    outcomes: list[Any], answered_by: str | None, state: SentState
) -> None:
    """What an interceptor answered was never sent."""
    call = Stage().call
    for outcome in outcomes:
        call.current = Attempt()
        call.current.answered_by = answered_by
        call.record_attempt(outcome, 1000.0)
    assert call.sent_state is state


@pytest.mark.parametrize(
    ("before", "learned", "after"),
    [(NEVER, ANSWERED, ANSWERED), (ANSWERED, MAYBE, MAYBE), (MAYBE, ANSWERED, MAYBE), (MAYBE, NEVER, MAYBE)],
)
def test_what_is_learned_later_makes_nothing_better(
    before: SentState, learned: SentState, after: SentState
) -> None:
    """As of a hedge, or of a body that broke off."""
    call = Stage().call
    call.sent_state = before
    call.merge_sent_state(learned)
    assert call.sent_state is after


def test_a_call_ends_once() -> None:
    """With the open body closed, the slot of its place returned, and one event."""
    stage = Stage(deadline=5.0)
    closed = stage.body()
    stage.call.attempt = 2
    stage.call.record_attempt(HttpResponse(201), stage.clock.now)
    stage.clock.now += 1.0
    for _ in range(2):
        stage.call.end(201, None)
    _, finished = stage.heard
    assert finished == CallFinished(
        1.0, "POST", URL + "?token=***", ORIGIN, 2, 201, None, ANSWERED, 4.0, None, None, "7", "charge"
    )
    assert (closed, stage.finished, stage.call.current.body) == (["closed"], ["end"], None)


def test_a_call_inside_another_names_it() -> None:
    """By its id."""
    stage, outer = Stage(), CallScope("outer")
    outer._begin()
    try:
        stage.call.scope = scope = CallScope("7")
        scope._begin()
        stage.call.end(200, None)
        scope.leave()
    finally:
        outer.leave()
    assert stage.heard[0].parent_id == "outer"


def test_a_response_has_the_story_of_its_call() -> None:
    """And how many attempts it took."""
    stage, response = Stage(), HttpResponse(200)
    stage.call.attempt = 2
    assert stage.call.finish(response) is response
    assert (response.attempts, list(response.timeline or ())) == (2, stage.heard)


def test_a_failure_becomes_an_error_that_knows_the_call() -> None:
    """Its own details come before what the call knows; its cause is that of the failure."""
    stage, cause, other = Stage(), OSError(), HttpResponse(401)
    stage.call.response = HttpResponse(503)
    stage.call.sent_state = REFUSED
    error: Any = stage.call.finish(Failure(ReadTimeoutError, "slow", MAYBE, cause))
    assert (type(error), str(error).partition(";")[0]) == (ReadTimeoutError, "slow")
    assert (error.request, error.response, error.sent_state) == (
        stage.call.request,
        stage.call.response,
        REFUSED,
    )
    assert (error.__cause__, list(error.timeline)) == (cause, stage.heard)
    assert stage.heard[0].error == "ReadTimeoutError"
    error = stage.call.error(
        Failure(ReadTimeoutError, "x", MAYBE, details={"response": other, "request": None})
    )
    assert (error.response, error.request) == (other, stage.call.request)


@pytest.mark.parametrize(("attempt", "state"), [(0, NEVER), (1, ABANDONED)])
def test_what_became_of_a_request_in_flight_is_not_known_any_more(attempt: int, state: SentState) -> None:
    """When the call is aborted. Before its first attempt, nothing was sent."""
    stage = Stage()
    stage.call.attempt = attempt
    stage.call.abort(KeyboardInterrupt())
    (finished,) = stage.heard
    assert (stage.call.sent_state, finished.error, finished.sent_state) == (state, "KeyboardInterrupt", state)


def test_events_that_are_not_the_call_s_go_past_its_telemetry() -> None:
    """To the listener below it."""
    stage, below = Stage(), [].append
    assert stage.call.client_listener == stage.heard.append
    stage.call.telemetry = SimpleNamespace(listener=below)  # type: ignore[assignment]
    assert stage.call.client_listener is below

"""What the deadline may be blamed for: timeouts that end at it, and nothing else that happens near it."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client import DeadlineExceededError, HttpClientError, HttpResponse
from http_service_client.core.layers.attempt_timeout import with_limit
from http_service_client.core.timeouts import TIMER_SLACK
from http_service_client.errors import (
    AttemptTimeoutError,
    ConnectionLostError,
    ConnectTimeoutError,
    Failure,
    ProtocolError,
    ReadTimeoutError,
    SentState,
)
from kit.fakes import READ_TIMEOUT, REFUSED, RESET, SLOW, URL, FakeClock, Harness, failure, short
from kit.front_ends import FrontEnd
from kit.rows import each_row
from kit.streaming import StreamingTransport

DEADLINE = 2.0
CONNECTING = Failure(ConnectTimeoutError, "could not connect to U within 0.5 s", SentState.NEVER_SENT)


@each_row("left", [0.5, 0.01, 0.0, -0.01])
@each_row("outcome", [RESET, REFUSED, failure(ProtocolError)], ids=short)
def test_a_connection_lost_just_before_the_deadline_is_a_lost_connection(
    front_end: FrontEnd, outcome: Failure, left: float
) -> None:
    """Also at the deadline or a moment after it: what happened is known, and the server may be to blame."""

    def late(request: Any) -> Failure:
        harness.clock.now += DEADLINE - left
        return outcome

    harness = Harness(front_end, late)
    error = harness.error(outcome.error_type, total_timeout=DEADLINE, retry_policy=None)
    assert type(error) is outcome.error_type
    assert error.sent_state is outcome.sent_state
    assert harness.state.breaker.snapshot().failures == 1


@each_row("outcome", [READ_TIMEOUT, SLOW], ids=short)
@each_row(
    ("left", "error"), [(0.5, None), (0.03, None), (0.01, "DeadlineExceededError"), (-0.01, "DeadlineExceededError")]
)  # fmt: skip
def test_a_timeout_is_the_deadline_s_only_at_the_deadline(
    front_end: FrontEnd, outcome: Failure, left: float, error: str | None
) -> None:
    """Sockets and loops may wake a tick early; a timeout that ends long before is the server's."""

    def late(request: Any) -> Failure:
        harness.clock.now += DEADLINE - left
        return outcome

    harness = Harness(front_end, late)
    raised = harness.error(HttpClientError, total_timeout=DEADLINE, retry_policy=None)
    assert type(raised).__name__ == (error or outcome.error_type.__name__)
    assert raised.sent_state.value == ("abandoned" if error else "maybe_processed")


def test_a_timeout_that_ends_within_the_slack_of_timers_is_the_deadline_s(front_end: FrontEnd) -> None:
    """Including its first instant."""

    def late(request: Any) -> Failure:
        harness.clock.now = harness.clock.now + DEADLINE - TIMER_SLACK
        return READ_TIMEOUT

    harness = Harness(front_end, late)
    harness.error(DeadlineExceededError, total_timeout=DEADLINE, retry_policy=None)


def test_an_attempt_without_a_timeout_ends_with_the_deadline(front_end: FrontEnd) -> None:
    """The exchange has what is left of it."""
    harness = Harness(front_end)
    harness.request(timeout=None, total_timeout=DEADLINE)
    assert [timeout.total for timeout in harness.transport.timeouts] == [DEADLINE]


def test_an_attempt_that_had_its_full_time_timed_out(front_end: FrontEnd) -> None:
    """Even if the deadline passed at the same instant: the server had all the time that it is given."""

    def late(request: Any) -> Failure:
        harness.clock.now += DEADLINE
        return SLOW

    harness = Harness(front_end, late)
    error = harness.error(AttemptTimeoutError, timeout=DEADLINE, total_timeout=DEADLINE, retry_policy=None)
    assert type(error) is AttemptTimeoutError


def test_an_error_that_names_the_deadline_already_stays(front_end: FrontEnd) -> None:
    """It says more: what the call was waiting for."""

    def late(request: Any) -> Failure:
        harness.clock.now += DEADLINE
        return Failure(DeadlineExceededError, "the deadline expired in a queue", SentState.NEVER_SENT)

    harness = Harness(front_end, late)
    error = harness.error(DeadlineExceededError, total_timeout=DEADLINE, retry_policy=None)
    assert str(error) == "the deadline expired in a queue"


def test_a_response_just_before_the_deadline_is_a_response(front_end: FrontEnd) -> None:
    """However little time is left to use it."""

    def late(request: Any) -> int:
        harness.clock.now += DEADLINE
        return 200

    harness = Harness(front_end, late)
    assert harness.request(total_timeout=DEADLINE).status_code == 200


@pytest.mark.parametrize(
    ("message", "seconds", "shown"),
    [
        ("no complete response from U within 0.25 s", 9.0, "no complete response from U within 9 s"),
        (
            "timed out reading from U: nothing arrived for 1e+03 s",
            2.5,
            "timed out reading from U within 2.5 s",
        ),
        ("timed out reading from U: nothing arrived for 3 s", None, "timed out reading from U"),
        ("timed out reading from U", 2.5, "timed out reading from U"),
        (
            "could not connect to U within the connect timeout",
            2.5,
            "could not connect to U within the connect timeout",
        ),
    ],
)
def test_a_message_names_the_limit_that_the_caller_set(
    message: str, seconds: float | None, shown: str
) -> None:
    """And not what was left of it; one that names none stays."""
    assert with_limit(Failure(ReadTimeoutError, message, SentState.MAYBE_PROCESSED), seconds) == shown


@pytest.mark.parametrize(
    ("outcome", "state"), [(READ_TIMEOUT, "abandoned"), (CONNECTING, "never_sent")], ids=short
)
def test_the_deadline_s_error_says_when_it_expired_and_what_was_going_on(
    front_end: FrontEnd, outcome: Failure, state: str
) -> None:
    """Without the limit of a wait, which was what the deadline had left."""

    def late(request: Any) -> Failure:
        harness.clock.now += DEADLINE
        return outcome

    harness = Harness(front_end, late)
    error = harness.error(DeadlineExceededError, total_timeout=DEADLINE, retry_policy=None)
    assert error.sent_state.value == state
    words = with_limit(outcome, None)
    assert str(error) == f"the deadline expired during the attempt, 2 s after the call began: {words}"


@pytest.mark.parametrize("left", [0.5, 0.01])
def test_a_stream_lost_just_before_the_deadline_is_a_lost_connection(
    front_end: FrontEnd, left: float
) -> None:
    """The same for each piece of a body."""
    clock = FakeClock()
    client = front_end.client(transport=StreamingTransport(b"half", RESET), clock=clock)
    with (
        pytest.raises(ConnectionLostError) as caught,
        front_end.stream(client, "GET", URL, total_timeout=DEADLINE) as response,
    ):
        pieces = response.iter_bytes()
        assert next(pieces) == b"half"
        clock.now += DEADLINE - left
        next(pieces)
    assert caught.value.sent_state is RESET.sent_state
    assert isinstance(caught.value.response, HttpResponse)


@each_row(
    ("left", "error"), [(0.5, "ReadTimeoutError"), (0.03, "ReadTimeoutError"), (0.01, "DeadlineExceededError")]
)  # fmt: skip
def test_a_timeout_of_a_stream_is_the_deadline_s_only_at_the_deadline(
    front_end: FrontEnd, left: float, error: str
) -> None:
    """A server that stopped sending long before is to blame for that."""
    clock = FakeClock()
    client = front_end.client(transport=StreamingTransport(b"half", READ_TIMEOUT), clock=clock)
    with (
        pytest.raises(HttpClientError) as caught,
        front_end.stream(client, "GET", URL, total_timeout=DEADLINE) as response,
    ):
        pieces = response.iter_bytes()
        assert next(pieces) == b"half"
        clock.now += DEADLINE - left
        next(pieces)
    assert type(caught.value).__name__ == error

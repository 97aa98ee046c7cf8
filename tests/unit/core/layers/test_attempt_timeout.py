"""What the deadline may be blamed for: timeouts that end at it, and nothing else that happens near it."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client import DeadlineExceededError, HttpClientError, HttpResponse
from http_service_client.core.timeouts import TIMER_SLACK
from http_service_client.errors import ConnectionLostError, Failure, ProtocolError
from kit.fakes import READ_TIMEOUT, REFUSED, RESET, SLOW, URL, FakeClock, Harness, failure, short
from kit.front_ends import FrontEnd
from kit.streaming import StreamingTransport

DEADLINE = 2.0


@pytest.mark.parametrize("left", [0.5, 0.01, 0.0, -0.01])
@pytest.mark.parametrize("outcome", [RESET, REFUSED, failure(ProtocolError)], ids=short)
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


@pytest.mark.parametrize("outcome", [READ_TIMEOUT, SLOW], ids=short)
@pytest.mark.parametrize(
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


def test_a_response_just_before_the_deadline_is_a_response(front_end: FrontEnd) -> None:
    """However little time is left to use it."""

    def late(request: Any) -> int:
        harness.clock.now += DEADLINE
        return 200

    harness = Harness(front_end, late)
    assert harness.request(total_timeout=DEADLINE).status_code == 200


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


@pytest.mark.parametrize(
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

"""How many attempts a call makes, what is sent each time, and how the call ends."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from typing import Any

from http_service_client.core.layers.retry import _was_not_made
from http_service_client.core.machines.retry.backoff import ExponentialBackoff
from http_service_client.core.machines.retry.conditions import RETRYABLE_STATUSES, RetryCondition
from http_service_client.core.machines.retry.other_backoffs import ConstantBackoff
from http_service_client.errors import (
    AttemptTimeoutError,
    CircuitOpenError,
    ConnectError,
    ConnectionLostError,
    DeadlineExceededError,
    DeadlineTooShortError,
    Failure,
    HttpClientError,
    ResponseTooLargeError,
    SentState,
    TokenError,
)
from http_service_client.events import CallFinished, RetryScheduled, RetryStopped, StopReason
from http_service_client.http.messages import HttpResponse
from http_service_client.policies import RetryPolicy
from kit.fakes import READ_TIMEOUT, REFUSED, RESET, URL, FakeClock, Harness, failure, short
from kit.front_ends import FrontEnd
from kit.rows import each_row
from kit.streaming import StreamingTransport

EXACT = ExponentialBackoff(jitter="none")  # 1, 2, 4 ... seconds
NO_BREAKER: dict[str, Any] = {"enable_circuit_breaker": False}


def stop_reason(harness: Harness) -> StopReason | None:
    return next((event.reason for event in harness.events if isinstance(event, RetryStopped)), None)


@each_row("attempts", [1, 2, 3, 7])
def test_max_attempts_includes_the_first_attempt(front_end: FrontEnd, attempts: int) -> None:
    """max_attempts=3 makes 3 attempts with 2 waits between them, not 4."""
    harness = Harness(front_end, 503, retry_policy_config=RetryPolicy(attempts, EXACT), **NO_BREAKER)
    response = harness.request()
    assert (harness.sends, response.attempts, response.status_code) == (attempts, attempts, 503)
    assert harness.sleeps == [2.0**n for n in range(attempts - 1)]


def test_after_the_last_attempt_its_response_is_returned(front_end: FrontEnd) -> None:
    """A response is returned whatever its status, and is not turned into an error."""
    harness = Harness(front_end, 500, 502, 503)
    response = harness.request()
    assert response.status_code == 503
    assert response.timeline is not None
    assert [event.name for event in response.timeline] == [
        *["attempt_finished", "retry_scheduled"] * 2,
        *["attempt_finished", "retry_stopped", "call_finished"],
    ]
    assert stop_reason(harness) is StopReason.EXHAUSTED


def test_after_the_last_attempt_its_error_is_raised(front_end: FrontEnd) -> None:
    """The error has its cause, the request and a timeline with all attempts."""
    harness = Harness(front_end, RESET, READ_TIMEOUT, REFUSED)
    error = harness.error(ConnectError)
    assert type(error) is ConnectError
    assert type(error.__cause__) is ConnectionRefusedError
    assert error.request.method == "GET"
    assert [event.error for event in error.timeline if event.name == "attempt_finished"] == [
        "ConnectionLostError",
        "ReadTimeoutError",
        "ConnectError",
    ]
    assert isinstance(error.timeline[-1], CallFinished)
    assert error.timeline[-1].attempts == 3


def test_the_first_success_ends_the_call(front_end: FrontEnd) -> None:
    """The response counts its attempts and is ANSWERED; the event of the call has the worst sent state."""
    harness = Harness(front_end, RESET, 503, 200, 500)
    response = harness.request()
    assert (response.status_code, response.attempts, harness.sends) == (200, 3, 3)
    assert response.sent_state is SentState.ANSWERED
    assert harness.events[-1].sent_state is SentState.MAYBE_PROCESSED


def test_a_one_shot_body_is_not_sent_twice(front_end: FrontEnd) -> None:
    """A consumed body would be sent empty, and the server would accept it as a success."""
    harness = Harness(front_end, 429, 200)
    response = harness.request("POST", data=(chunk for chunk in [b"a", b"b"]))
    assert (response.status_code, harness.sends, harness.transport.bodies) == (429, 1, [b"ab"])
    assert stop_reason(harness) is StopReason.NOT_REPLAYABLE


def test_a_one_shot_body_that_was_not_read_is_sent(front_end: FrontEnd) -> None:
    """A refused connection reads nothing from the body, so it can still be sent."""
    harness = Harness(front_end, REFUSED, REFUSED, 200)
    assert harness.request("POST", data=(chunk for chunk in [b"a", b"b"])).attempts == 3
    assert harness.transport.bodies == [None, None, b"ab"]


def test_a_one_shot_async_body_is_not_sent_twice() -> None:
    """An async generator is sent after refused connections, and not a second time."""

    async def chunks() -> AsyncIterator[bytes]:
        yield b"ab"

    from kit.front_ends import AsyncioFrontEnd

    harness = Harness(AsyncioFrontEnd(), REFUSED, 429, 200)
    assert harness.request("POST", data=chunks()).status_code == 429
    assert harness.transport.bodies == [None, b"ab"]


def test_a_file_is_rewound_to_its_original_position(front_end: FrontEnd) -> None:
    """Not to the start of the file: the caller did not mean to send the bytes before the position."""
    file = io.BytesIO(b"header|payload")
    file.seek(7)
    harness = Harness(front_end, 503, RESET, 200)
    harness.request("PUT", data=file)
    assert harness.transport.bodies == [b"payload"] * 3
    assert {request.headers["Content-Length"] for request in harness.transport.sent} == {"7"}


@each_row(
    "options",
    [
        {"json": {"a": [1, None]}},
        {"data": {"a": "1"}},
        {"data": b"raw"},
        {"data": [b"ra", b"w"]},
        {"files": {"f": ("n.txt", b"content")}},
        {"files": {"f": ("n.txt", io.BytesIO(b"content"))}, "data": {"k": "v"}},
    ],
    ids=short,
)
def test_a_replayable_body_is_the_same_in_each_attempt(front_end: FrontEnd, options: dict[str, Any]) -> None:
    """The body is sent byte for byte again, with the same Content-Type (and its multipart boundary)."""
    harness = Harness(front_end, 503, 503, 200)
    harness.request("PUT", **options)
    first, second, third = harness.transport.bodies
    assert first
    assert first == second == third
    content_types = {request.headers.get("Content-Type") for request in harness.transport.sent}
    assert len(content_types) == 1


@each_row(
    ("first", "reason"),
    [
        (failure(ResponseTooLargeError, SentState.ANSWERED), StopReason.NOT_RETRYABLE),
        (failure(DeadlineExceededError, SentState.ABANDONED), StopReason.DEADLINE),
        (failure(AttemptTimeoutError, SentState.ABANDONED), StopReason.NOT_RETRYABLE),
    ],
    ids=["response too large", "deadline exceeded", "slow disk"],
)
def test_an_outcome_that_a_retry_cannot_fix_is_not_retried(
    front_end: FrontEnd, first: Failure, reason: StopReason
) -> None:
    """A response that is too large stays too large, and a deadline that has passed stays passed. A slow disk is no deadline."""
    harness = Harness(front_end, first, 200)
    harness.error(first.error_type)
    assert harness.sends == 1
    assert stop_reason(harness) is reason


def test_explain_describes_the_call_step_by_step(front_end: FrontEnd) -> None:
    """explain() names each attempt, each wait with its reason, and the end."""
    harness = Harness(
        front_end, READ_TIMEOUT, (503, {"Retry-After": "2"}), 200, retry_policy_config=RetryPolicy(3, EXACT)
    )
    explanation = harness.request(total_timeout=60.0).explain()
    for words in [
        f"GET {URL}",
        "attempt 1: ReadTimeoutError: no answer",
        "retry in 1.000 s because of ReadTimeoutError",
        "attempt 2: 503",
        "Retry-After asked for 2.000 s",
        "attempt 3: 200",
        "done: 200 after 3 attempts; one without a complete response may have been processed, too",
    ]:
        assert words in explanation


def test_a_scheduled_retry_has_an_event(front_end: FrontEnd) -> None:
    """It has the attempt, the delay, its cause, Retry-After, and the rest of the deadline and the budget."""
    harness = Harness(front_end, (429, {"Retry-After": "5"}), 200, retry_policy_config=RetryPolicy(2, EXACT))
    harness.request(total_timeout=20.0)
    (scheduled,) = [event for event in harness.events if isinstance(event, RetryScheduled)]
    assert (scheduled.attempt, scheduled.delay, scheduled.cause) == (1, 5.0, "status 429")
    assert (scheduled.retry_after, scheduled.deadline_left) == (5.0, 20.0)
    assert scheduled.budget_left == 3


def test_the_retryable_statuses_are_the_documented_ones() -> None:
    """`RETRYABLE_STATUSES` has the statuses that the docs name."""
    assert {408, 425, 429, 500, 502, 503, 504, *range(520, 525), 529} == RETRYABLE_STATUSES


def test_throttling_has_waits_of_its_own(front_end: FrontEnd) -> None:
    """With `throttled_backoff`, a refused request waits by it, a failure by the other; each counts by itself."""
    policy = RetryPolicy(
        5, ExponentialBackoff(0.1, jitter="none"), throttled_backoff=ExponentialBackoff(2.0, jitter="none")
    )
    harness = Harness(front_end, 500, 429, 500, 429, 200, retry_policy_config=policy)
    assert harness.request().attempts == 5
    assert harness.sleeps == [0.1, 2.0, 0.2, 4.0]


def test_throttling_of_a_function_has_waits_of_its_own(front_end: FrontEnd) -> None:
    """Around a function that returns or raises for a response, too."""
    clock = FakeClock()
    policy = RetryPolicy(
        3,
        ConstantBackoff(0.1, jitter="none"),
        retry_conditions=[RetryCondition.on_status_codes([429, 503])],
        throttled_backoff=ConstantBackoff(3.0, jitter="none"),
        clock=clock,
    )
    responses = iter([HttpResponse(503), HttpResponse(429), HttpResponse(200)])
    front_end.run(policy.apply(front_end.function(lambda: next(responses))))
    assert clock.sleeps == [0.1, 3.0]


class Progress:
    """An interceptor that notes of some attempts what a download does: they have gained a piece of the file."""

    def __init__(self, *attempts: int) -> None:
        self.attempts = attempts

    def intercept_request(self, request: Any, context: Any) -> Any:
        context.current.has_progressed = context.attempt in self.attempts
        return request


@each_row(
    ("attempts", "waits"),
    [
        ((), [1.0, 2.0]),
        ((1,), [1.0, 2.0]),
        ((2,), [1.0, 1.0, 2.0]),
        ((3,), [1.0, 2.0, 1.0, 2.0]),
        ((1, 2, 3), [1.0, 1.0, 1.0, 2.0]),
    ],
    ids=repr,
)
def test_after_an_attempt_with_progress_the_count_begins_again(
    front_end: FrontEnd, attempts: tuple[int, ...], waits: list[float]
) -> None:
    """A large file may take many attempts. The waits begin again, too."""
    harness = Harness(
        front_end,
        RESET,
        retry_policy_config=RetryPolicy(3, EXACT),
        request_interceptors=[Progress(*attempts)],
        **NO_BREAKER,
    )
    harness.error(ConnectionLostError)
    assert harness.sleeps == waits


def test_a_retry_after_progress_is_free(front_end: FrontEnd) -> None:
    """It asks for the rest of the file, and for nothing twice."""
    harness = Harness(
        front_end,
        RESET,
        retry_budget_config={"ratio": 0.0, "min_per_second": 0.0},
        request_interceptors=[Progress(1, 2)],
        **NO_BREAKER,
    )
    harness.error(ConnectionLostError)
    assert (harness.sends, stop_reason(harness)) == (3, StopReason.BUDGET)


def test_the_body_of_a_response_that_a_retry_replaces_is_closed_before_the_wait(front_end: FrontEnd) -> None:
    """Its connection is free for other calls meanwhile."""
    transport = StreamingTransport(b"not yet")
    closed: list[list[bool]] = []

    def listen(event: object) -> None:
        if isinstance(event, RetryScheduled):
            closed.append([source.is_closed for source in transport.sources])

    polling = RetryPolicy(2, EXACT, retry_conditions=[RetryCondition.on_status_codes([200])])
    client = front_end.client(
        transport=transport, clock=FakeClock(), on_event=listen, retry_policy_config=polling
    )
    with front_end.stream(client, "GET", URL) as response:
        assert response.read() == b"not yet"
    assert closed == [[True]]


@each_row(
    ("error_type", "state", "was_not_made"),
    [
        (CircuitOpenError, SentState.NEVER_SENT, True),
        (DeadlineTooShortError, SentState.NEVER_SENT, True),
        (TokenError, SentState.NEVER_SENT, True),
        (TokenError, SentState.REFUSED, False),
        (ConnectError, SentState.NEVER_SENT, False),
        (DeadlineExceededError, SentState.NEVER_SENT, False),
        (ConnectionLostError, SentState.MAYBE_PROCESSED, False),
    ],
    ids=short,
)
def test_what_is_an_attempt_that_was_not_made(
    error_type: type[HttpClientError], state: SentState, was_not_made: bool
) -> None:
    """A policy refused it, or there was no token. After a 401, the attempt without a new token was one."""
    assert _was_not_made(failure(error_type, state)) is was_not_made

"""A retry policy around a function keeps the promises of a client's own retries."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from http_service_client import (
    CircuitBreakerPolicy,
    CircuitOpenError,
    ConnectError,
    ConnectionLostError,
    ConstantBackoff,
    RateLimitPolicy,
    ResiliencePipeline,
    RetryCondition,
    RetryPolicy,
    SentState,
)
from http_service_client.events import RetryStopped, StopReason
from kit.fakes import REFUSED, RESET, URL, Harness
from kit.front_ends import FrontEnd
from kit.guarded import KEY, PaymentError, policy_of
from kit.rows import each_row


@each_row(
    ("script", "error", "state"),
    [
        ([RESET, REFUSED], ConnectError, SentState.MAYBE_PROCESSED),
        ([REFUSED, RESET], ConnectionLostError, SentState.MAYBE_PROCESSED),
        ([REFUSED, REFUSED], ConnectError, SentState.NEVER_SENT),
        ([503, REFUSED], ConnectError, SentState.ANSWERED),
    ],
)
def test_the_error_admits_the_worst_over_all_attempts(
    front_end: FrontEnd, script: list[Any], error: type[Exception], state: SentState
) -> None:
    """Refused at last, but perhaps processed before: to charge again would be a second charge."""
    harness = Harness(front_end, *script)
    guarded = policy_of(2).apply(harness.calling("POST", json={}, headers=KEY))
    with pytest.raises(error) as raised:
        front_end.run(guarded)
    assert (harness.sends, raised.value.sent_state) == (2, state)


class Fixed(ConnectError):
    """A user's own, which decides its state itself."""

    is_made = False

    def __setattr__(self, name: str, value: object) -> None:
        if name == "sent_state" and self.is_made:
            raise AttributeError(name)
        super().__setattr__(name, value)


def raising(*errors: Exception) -> Any:
    """A function that raises these, one in each attempt."""
    left = list(errors)

    def body() -> None:
        raise left.pop(0)

    return body


def never_sent(kind: type[ConnectError] = ConnectError) -> ConnectError:
    return kind("refused", sent_state=SentState.NEVER_SENT)


def reset() -> ConnectionLostError:
    return ConnectionLostError("reset", sent_state=SentState.MAYBE_PROCESSED)


def test_an_error_that_refuses_the_worst_is_raised_all_the_same(front_end: FrontEnd) -> None:
    """With its own state."""
    error: Any = never_sent(Fixed)
    error.is_made = True
    with pytest.raises(Fixed):
        front_end.run(policy_of(2).apply(front_end.function(raising(reset(), error))))
    assert error.sent_state is SentState.NEVER_SENT


@pytest.mark.skipif(sys.version_info < (3, 11), reason="groups are of Python 3.11")
def test_the_other_errors_of_a_group_report_the_worst(front_end: FrontEnd) -> None:
    """Also behind one that decides it itself."""
    error: Any = never_sent(Fixed)
    error.is_made, other = True, never_sent()
    group = ExceptionGroup("both", [error, other])  # noqa: F821  # see above
    with pytest.raises(ExceptionGroup):  # noqa: F821
        front_end.run(policy_of(2).apply(front_end.function(raising(reset(), group))))
    assert other.sent_state is SentState.MAYBE_PROCESSED


def test_what_a_cached_error_reported_of_another_operation_says_nothing_of_this_one(
    front_end: FrontEnd,
) -> None:
    """Libraries raise the same object again."""
    cached, fresh = never_sent(), never_sent()
    for errors, state in (
        ((reset(), cached), SentState.MAYBE_PROCESSED),
        ((cached, fresh), SentState.NEVER_SENT),
    ):
        with pytest.raises(ConnectError) as raised:
            front_end.run(policy_of(2).apply(front_end.function(raising(*errors))))
        assert raised.value.sent_state is state


def test_an_error_reports_its_own_request_and_not_another_of_the_function(front_end: FrontEnd) -> None:
    """The one that wrote the failure down was answered each time."""
    harness = Harness(front_end, REFUSED, 201, REFUSED, 201, enable_retry_policy=False)

    def body() -> None:
        try:
            front_end.request(harness.client, "GET", URL)
        except ConnectError:
            front_end.request(harness.client, "POST", URL)
            raise

    with pytest.raises(ConnectError) as raised:
        policy_of(2).call(body)
    assert (harness.sends, raised.value.sent_state) == (4, SentState.NEVER_SENT)


def test_an_error_of_one_s_own_carries_it_in_its_cause(front_end: FrontEnd) -> None:
    """`raise PaymentError from error`: the cause admits it."""
    harness = Harness(front_end, RESET, REFUSED)

    calling = harness.calling("POST", json={}, headers=KEY)

    def body() -> None:
        try:
            front_end.run(calling)
        except ConnectionError as error:
            raise PaymentError from error

    policy = policy_of(2, RetryCondition.on_exceptions([ConnectionError]))
    with pytest.raises(PaymentError) as raised:
        policy.call(body)
    cause: Any = raised.value.__cause__
    assert (type(cause), cause.sent_state) == (ConnectError, SentState.MAYBE_PROCESSED)


@pytest.mark.parametrize("first", [RESET, 503], ids=["error", "response"])
def test_a_circuit_that_opens_does_not_hide_the_outcome_before(front_end: FrontEnd, first: Any) -> None:
    """The caller gets what became of the request that was sent, as from the client's own retries."""
    harness = Harness(front_end, first, circuit_breaker_config={"failure_threshold": 1})
    guarded = policy_of(3).apply(harness.calling("POST", json={}, headers=KEY))
    if first == 503:
        assert front_end.run(guarded).status_code == 503
    else:
        with pytest.raises(ConnectionLostError) as raised:
            front_end.run(guarded)
        assert raised.value.sent_state is SentState.MAYBE_PROCESSED
    assert harness.sends == 1


@each_row(("status", "headers"), [(200, KEY), (201, {}), (404, KEY), (409, {}), (422, KEY)], ids=str)
def test_a_response_that_nothing_says_to_repeat_is_the_result(
    front_end: FrontEnd, status: int, headers: dict[str, str]
) -> None:
    """After a repetition, too. Only a 409 to a request with a key would mean that the server is still at work on it."""
    harness = Harness(front_end, RESET, status, 202, enable_retry_policy=False, enable_circuit_breaker=False)
    guarded = policy_of(3).apply(harness.calling("POST", headers=headers))
    assert (front_end.run(guarded).status_code, harness.sends) == (status, 2)


@pytest.mark.parametrize("is_piped", [False, True], ids=["alone", "in a pipeline"])
def test_a_server_that_is_still_at_work_on_an_attempt_before_is_asked_again(
    front_end: FrontEnd, is_piped: bool
) -> None:
    """It says so by a 409 to a request with the same key."""
    harness = Harness(front_end, RESET, 409, 201, enable_retry_policy=False, enable_circuit_breaker=False)
    guard: Any = ResiliencePipeline(policy_of(3)) if is_piped else policy_of(3)
    guarded = guard.apply(harness.calling("POST", headers=KEY))
    assert (front_end.run(guarded).status_code, harness.sends) == (201, 3)


def test_so_it_is_where_the_function_raises_because_of_it(front_end: FrontEnd) -> None:
    """By `raise_for_status`."""
    harness = Harness(front_end, RESET, 409, 201, enable_retry_policy=False, enable_circuit_breaker=False)

    def body() -> None:
        front_end.request(harness.client, "POST", URL, headers=KEY).raise_for_status()

    policy_of(3).call(body)
    assert harness.sends == 3


def test_a_circuit_that_is_open_from_the_start_is_reported(front_end: FrontEnd) -> None:
    """There is no outcome before it."""
    harness = Harness(front_end, 200)
    harness.request()
    harness.state.breaker.isolate()
    with pytest.raises(CircuitOpenError):
        front_end.run(policy_of(3).apply(harness.calling()))


@pytest.mark.parametrize("has_circuit", [True, False])
def test_a_refusal_after_a_request_that_was_sent_is_reported(front_end: FrontEnd, has_circuit: bool) -> None:
    """The attempt has an outcome of its own: the charge was made, and the refusal of the audit must not hide it."""
    harness = Harness(front_end, 503, 201, enable_retry_policy=False, enable_circuit_breaker=has_circuit)
    audit = CircuitBreakerPolicy()
    audit.isolate()

    def body() -> None:
        front_end.request(harness.client, "POST", URL).raise_for_status()
        front_end.request(harness.client, "POST", "https://audit.example.com/", circuit_breaker=audit)

    with pytest.raises(CircuitOpenError):
        policy_of(3).call(body)
    assert harness.sends == 2


def test_the_listener_learns_that_the_circuit_refused_the_repetition(front_end: FrontEnd) -> None:
    """As from the client's own retries."""
    harness = Harness(front_end, 503, circuit_breaker_config={"failure_threshold": 1})
    front_end.run(policy_of(3).apply(harness.calling()))
    assert [event.reason for event in harness.events if isinstance(event, RetryStopped)][-1] is (
        StopReason.CIRCUIT_OPEN
    )


@pytest.mark.parametrize(
    ("refused_by", "reason"),
    [
        (lambda: RateLimitPolicy(0.001, max_wait=0), StopReason.REFUSED),
        (lambda: CircuitBreakerPolicy(failure_threshold=1), StopReason.CIRCUIT_OPEN),
    ],
)
def test_the_listener_learns_who_refused_the_repetition_of_a_function(
    front_end: FrontEnd, refused_by: Any, reason: StopReason
) -> None:
    """An open circuit is not the only policy that refuses."""
    events: list[Any] = []
    retry = RetryPolicy(backoff_strategy=ConstantBackoff(0.0))
    guard = ResiliencePipeline(retry, refused_by(), on_event=events.append)

    def fails() -> None:
        raise ConnectionError

    async def fails_async() -> None:
        raise ConnectionError

    function: Any = fails_async if front_end.name == "asyncio" else fails
    with pytest.raises(ConnectionError):
        front_end.run(guard.apply(function))
    assert [event.reason for event in events if isinstance(event, RetryStopped)] == [reason]


def keys_sent(harness: Harness) -> list[str]:
    return [request.headers["Idempotency-Key"] for request in harness.transport.sent]


def test_the_automatic_key_is_the_same_in_each_attempt(front_end: FrontEnd) -> None:
    """A server that processed the first one recognises the second."""
    harness = Harness(front_end, RESET, RESET, 201, auto_idempotency_key=True)
    guarded = policy_of(3).apply(harness.calling("POST", json={"amount": 25}))
    assert front_end.run(guarded).status_code == 201
    assert len(set(keys_sent(harness))) == 1
    front_end.run(guarded)
    assert len(set(keys_sent(harness))) == 2  # another operation


def test_two_requests_of_one_attempt_have_two_keys(front_end: FrontEnd) -> None:
    """Other bodies, and equal ones as well: both are meant to happen. A repetition finds each its key again."""
    harness = Harness(
        front_end, 201, 201, RESET, 201, 201, 201, auto_idempotency_key=True, enable_circuit_breaker=False
    )

    def body() -> None:
        for amount in (1, 1, 2):
            front_end.request(harness.client, "POST", URL, json={"amount": amount})

    policy_of(2).call(body)
    first, second, third, *again = keys_sent(harness)
    assert len({first, second, third}) == 3
    assert again == [first, second, third]


def test_a_function_that_remembers_what_was_done_keeps_the_keys_apart(front_end: FrontEnd) -> None:
    """The second item never gets the key of the first, which would make the server answer for the first."""
    harness = Harness(front_end, 201, RESET, 201, auto_idempotency_key=True, enable_circuit_breaker=False)
    left = [1, 2]

    def body() -> None:
        while left:
            front_end.request(harness.client, "POST", URL, json={"item": left[0]})
            left.pop(0)

    policy_of(2).call(body)
    first, second, again = keys_sent(harness)
    assert first != second
    assert again == second


def test_a_streamed_body_never_gets_the_key_of_another(front_end: FrontEnd) -> None:
    """What it holds is not known until it is sent. The server would take the second item for the first."""
    harness = Harness(front_end, 201, REFUSED, 201, auto_idempotency_key=True, enable_circuit_breaker=False)
    left = [b"1", b"2"]

    def body() -> None:
        while left:
            front_end.request(harness.client, "POST", URL, data=iter([left[0]]))
            left.pop(0)

    policy_of(2).call(body)
    assert len(set(keys_sent(harness))) == 3


def test_a_form_with_files_has_the_same_key_in_each_attempt(front_end: FrontEnd) -> None:
    """Though its boundary is drawn for each request."""
    harness = Harness(front_end, RESET, 201, auto_idempotency_key=True, enable_circuit_breaker=False)
    files = {"scan": ("scan.png", b"pixels")}
    front_end.run(policy_of(2).apply(harness.calling("POST", files=files)))
    first, again = keys_sent(harness)
    assert first == again

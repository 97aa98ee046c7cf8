"""Which failed tasks a queue runs again, and after how long."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from http_service_client import (
    AttemptTimeoutError,
    CircuitOpenError,
    ConfigurationError,
    ConnectError,
    ConnectionLostError,
    ConstantBackoff,
    DeadlineExceededError,
    ExponentialBackoff,
    HttpClientError,
    HttpRequest,
    HttpResponse,
    InvalidRequestError,
    RetryCondition,
    RetryPolicy,
    SentState,
    ThrottledError,
    TlsVerificationError,
    TokenError,
)
from http_service_client.integrations.task_queues import QUEUE_POLICY, retry_delay

EXACT = RetryPolicy(5, ExponentialBackoff(10.0, jitter="none", max_delay=60.0))
KEYED = HttpRequest("POST", "https://pay.test/", headers={"Idempotency-Key": "task-1"})


def error_of(kind: type[HttpClientError], state: SentState, **details: Any) -> HttpClientError:
    return kind("it failed", sent_state=state, **details)


def status_error(status: int, request: HttpRequest | None = None, **headers: str) -> HttpClientError:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    response: HttpResponse[None] = HttpResponse(status, headers=fields)
    response.request = request
    try:
        response.raise_for_status()
    except HttpClientError as error:
        return error
    raise AssertionError(status)


SAFE = [
    error_of(ConnectError, SentState.NEVER_SENT),
    error_of(CircuitOpenError, SentState.NEVER_SENT),
    error_of(ThrottledError, SentState.NEVER_SENT),
    error_of(DeadlineExceededError, SentState.NEVER_SENT),
    status_error(429),
    status_error(503, Retry_After="1"),
]
UNSAFE = [
    error_of(AttemptTimeoutError, SentState.MAYBE_PROCESSED),
    error_of(ConnectionLostError, SentState.MAYBE_PROCESSED),
    error_of(DeadlineExceededError, SentState.ABANDONED),
    status_error(500),
    status_error(503),
]
FINAL: list[BaseException] = [
    error_of(TlsVerificationError, SentState.NEVER_SENT),
    error_of(InvalidRequestError, SentState.NEVER_SENT),
    status_error(404),
    status_error(409, KEYED),
    status_error(503, x_should_retry="false"),
    ValueError("a bug"),
]


@pytest.mark.parametrize("error", SAFE, ids=str)
@pytest.mark.parametrize("idempotent", [False, True])
def test_what_was_not_processed_runs_again(error: HttpClientError, idempotent: bool) -> None:
    """Whatever the task does."""
    delay = retry_delay(error, 1, idempotent=idempotent, policy=EXACT)
    assert delay is not None
    assert delay >= 1.0


@pytest.mark.parametrize("error", UNSAFE, ids=str)
def test_what_may_have_been_processed_runs_again_only_if_that_does_no_harm(error: HttpClientError) -> None:
    """A charge under no key would be made twice."""
    assert retry_delay(error, 1, policy=EXACT) is None
    assert retry_delay(error, 1, idempotent=True, policy=EXACT) == 10.0


@pytest.mark.parametrize("error", FINAL, ids=str)
def test_what_no_run_would_mend_is_not_repeated(error: BaseException) -> None:
    """Not even a task that may be repeated: the queue reports it."""
    assert retry_delay(error, 1, idempotent=True) is None


def test_the_waits_grow_until_the_runs_are_used_up() -> None:
    """As the policy says."""
    waits = [retry_delay(UNSAFE[0], run, idempotent=True, policy=EXACT) for run in range(1, 7)]
    assert waits == [10.0, 20.0, 40.0, 60.0, None, None]


def test_a_task_has_ten_runs_and_waits_a_quarter_of_an_hour_at_most() -> None:
    """Unless another policy says so; each wait is a random part of these."""
    given: Any = QUEUE_POLICY.backoff_strategy
    policy = RetryPolicy(QUEUE_POLICY.max_attempts, replace(given, jitter="none"))
    waits = [retry_delay(UNSAFE[0], run, idempotent=True, policy=policy) for run in range(1, 11)]
    assert waits == [10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0, 900.0, 900.0, None]


@pytest.mark.parametrize(
    ("error", "least"),
    [
        (error_of(CircuitOpenError, SentState.NEVER_SENT, retry_after=700.0), 700.0),
        (error_of(ThrottledError, SentState.NEVER_SENT, retry_after=30.0), 30.0),
        (error_of(CircuitOpenError, SentState.NEVER_SENT, retry_after=None), 10.0),
        (status_error(429, Retry_After="3600"), 3600.0),
        (status_error(503, retry_after_ms="2500"), 10.0),
    ],
    ids=str,
)
def test_the_wait_is_at_least_what_the_service_asked_for(error: HttpClientError, least: float) -> None:
    """An hour, too: a queue has time, and the backoff goes on from there."""
    assert retry_delay(error, 1, policy=EXACT) == least


def test_the_queue_waits_for_the_service_to_finish_an_earlier_run() -> None:
    """A 409 under the key of a run that was lost: the service still works on it."""
    assert retry_delay(status_error(409, KEYED), 2, idempotent=True, policy=EXACT) == 20.0
    assert retry_delay(status_error(409, KEYED), 2, policy=EXACT) is None
    assert retry_delay(status_error(409), 2, idempotent=True, policy=EXACT) is None


def test_throttling_may_have_waits_of_its_own() -> None:
    """As in a client."""
    policy = RetryPolicy(5, ConstantBackoff(1.0), throttled_backoff=ConstantBackoff(50.0, jitter="none"))
    assert retry_delay(status_error(429), 1, policy=policy) == 50.0
    assert retry_delay(error_of(ThrottledError, SentState.NEVER_SENT), 1, policy=policy) == 50.0
    lost = retry_delay(error_of(ConnectError, SentState.NEVER_SENT), 1, policy=policy)
    assert lost is not None
    assert lost <= 1.0


def test_a_wait_may_be_short() -> None:
    """Where the service asks for none."""
    policy = RetryPolicy(5, ConstantBackoff(0.1, jitter="none"))
    assert retry_delay(SAFE[0], 1, policy=policy) == 0.1


def test_a_service_that_says_no_is_heard() -> None:
    """Though a policy would vouch for the status, and a 409 under a key may pass."""
    conflict = RetryCondition.on_status_codes([409], even_if_unsafe=True)
    policy = RetryPolicy(5, ConstantBackoff(2.0, jitter="none"), retry_conditions=[conflict])
    assert retry_delay(status_error(409, KEYED), 2, policy=policy) == 2.0
    assert retry_delay(status_error(409, KEYED, x_should_retry="false"), 2, policy=policy) is None


def test_a_policy_that_vouches_for_a_status_repeats_it() -> None:
    """`even_if_unsafe`: the service is known to have done nothing."""
    policy = RetryPolicy(
        retry_conditions=[RetryCondition.on_status_codes([500], even_if_unsafe=True)],
        backoff_strategy=ConstantBackoff(2.0, jitter="none"),
    )
    assert retry_delay(status_error(500), 1, policy=policy) == 2.0


def test_the_waits_of_the_default_policy_are_spread() -> None:
    """Many tasks fail together, and must not come back together."""
    waits = {retry_delay(SAFE[0], 4) for _ in range(20)}
    assert len(waits) > 10
    assert all(wait is not None and 0 <= wait <= 80.0 for wait in waits)
    assert QUEUE_POLICY.max_attempts == 10


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"run": 0}, "run must be a whole number"),
        ({"run": True}, "run"),
        ({"idempotent": "key"}, "idempotent must be True or False"),
        ({"policy": 3}, "policy"),
    ],
)
def test_wrong_arguments_are_refused_by_name(arguments: dict[str, Any], name: str) -> None:
    """A run that counts from 0 would wait as if there were no first one."""
    with pytest.raises(ConfigurationError, match=rf"\b{name}\b"):
        retry_delay(SAFE[0], **{"run": 1, **arguments})


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (HttpResponse(503), "not <HttpResponse [503]>; pass what its raise_for_status() raises"),
        ("503", "not '503'"),
        (None, "not None"),
    ],
)
def test_what_is_no_exception_is_refused(given: Any, says: str) -> None:
    """Its task would not run again, and nobody would know why."""
    with pytest.raises(ConfigurationError, match=f"^error must be an exception, {re.escape(says)}$"):
        retry_delay(given, 1)


class ShipmentError(Exception):
    """An error of the task's own."""


class Group(Exception):  # as an ExceptionGroup, which Python 3.10 does not have
    """Several errors at once."""

    def __init__(self, *errors: BaseException) -> None:
        super().__init__()
        self.exceptions = errors


def raised_from(cause: BaseException) -> ShipmentError:
    error = ShipmentError()
    error.__cause__ = cause
    return error


@pytest.mark.parametrize("wrap", [raised_from, lambda error: raised_from(raised_from(error)), Group])
def test_an_error_counts_as_what_it_was_raised_from(wrap: Any) -> None:
    """A task has words of its own for what failed."""
    assert retry_delay(wrap(status_error(429, Retry_After="60")), 1, policy=EXACT) == 60.0
    assert retry_delay(wrap(status_error(500)), 1, policy=EXACT) is None
    assert retry_delay(wrap(status_error(500)), 1, policy=EXACT, idempotent=True) == 10.0
    assert retry_delay(wrap(ValueError()), 1, policy=EXACT) is None


def test_an_error_that_was_merely_being_handled_does_not_count() -> None:
    """It may be that of another call, whose failure the task could deal with."""
    error = ShipmentError()
    error.__context__ = SAFE[0]
    assert retry_delay(error, 1, policy=EXACT) is None


def no_token(cause: BaseException | None, **details: Any) -> HttpClientError:
    error = TokenError("there is no token", sent_state=SentState.NEVER_SENT, **details)
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("cause", "is_worth_it"),
    [
        (status_error(503), True),
        (status_error(429), True),
        (error_of(ConnectError, SentState.NEVER_SENT), True),
        (error_of(AttemptTimeoutError, SentState.MAYBE_PROCESSED), True),
        (error_of(CircuitOpenError, SentState.NEVER_SENT), True),
        (status_error(400), False),
        (status_error(503, x_should_retry="false"), False),
        (error_of(TlsVerificationError, SentState.NEVER_SENT), False),
        (ValueError("a bug of the provider"), False),
        (None, False),
    ],
    ids=str,
)
def test_without_a_token_the_failure_of_its_request_decides(
    cause: BaseException | None, is_worth_it: bool
) -> None:
    """Nothing was sent, so the task may do what it likes: it runs again once there may be a token."""
    assert retry_delay(no_token(cause), 1, policy=EXACT) == (10.0 if is_worth_it else None)


def test_the_pause_of_a_token_service_is_waited_for() -> None:
    """Of its response, or of its circuit."""
    assert retry_delay(no_token(status_error(503), retry_after=40.0), 1, policy=EXACT) == 40.0
    refused = error_of(CircuitOpenError, SentState.NEVER_SENT)
    assert retry_delay(no_token(refused, retry_after=700.0), 1, policy=EXACT) == 700.0


def test_all_members_of_a_group_must_be_worth_another_run() -> None:
    """The longest of their waits counts."""
    busy, later = status_error(429), status_error(503, Retry_After="60")
    assert retry_delay(Group(busy, raised_from(later)), 1, policy=EXACT) == 60.0
    assert retry_delay(Group(busy, ValueError()), 1, policy=EXACT) is None
    assert retry_delay(Group(busy, status_error(404)), 1, policy=EXACT) is None


def test_a_chain_without_an_end_is_no_reason_to_hang() -> None:
    """Whatever somebody has set as a cause."""
    one, other = ShipmentError(), ShipmentError()
    one.__cause__, other.__cause__ = other, one
    assert retry_delay(one, 1, policy=EXACT) is None
    assert retry_delay(Group(), 1, policy=EXACT) is None

"""What an outcome says about the service, and what ends the retries."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client import (
    AttemptTimeoutError,
    BulkheadFullError,
    CircuitOpenError,
    ConnectError,
    ConnectionLostError,
    DeadlineExceededError,
    DeadlineTooShortError,
    EgressRefusedError,
    HttpResponse,
    HttpStatusError,
    InterceptorError,
    OperationTimeoutError,
    PoolTimeoutError,
    ProtocolError,
    ReadTimeoutError,
    SentState,
    ThrottledError,
    TokenError,
    TransportError,
)
from http_service_client.core.outcomes import (
    FAILURE_STATUSES,
    describe,
    ended_by_close,
    is_failure,
    is_failure_type,
    sent_state_of,
    stop_reason,
)
from http_service_client.events import StopReason
from kit.fakes import READ_TIMEOUT, failure, short
from kit.rows import each_row

BUSY = {"Retry-After": "1"}
NEVER, REFUSED, MAYBE, ABANDONED = (
    SentState.NEVER_SENT,
    SentState.REFUSED,
    SentState.MAYBE_PROCESSED,
    SentState.ABANDONED,
)


@each_row(
    ("outcome", "failed"),
    [
        (HttpResponse(200), False),
        (HttpResponse(404), False),
        (HttpResponse(429), None),
        (HttpResponse(500), True),
        (HttpResponse(503), True),
        (HttpResponse(503, headers=BUSY), None),
        (failure(ConnectError, NEVER), True),
        (failure(ConnectionLostError, MAYBE), True),
        (failure(ConnectionLostError, REFUSED), None),
        (failure(ProtocolError, REFUSED), True),
        (failure(ReadTimeoutError, MAYBE), True),
        (failure(ReadTimeoutError, NEVER), True),
        (failure(AttemptTimeoutError, MAYBE), True),
        (failure(AttemptTimeoutError, NEVER), None),
        (failure(TransportError, ABANDONED), None),
        (failure(DeadlineExceededError, MAYBE), None),
        (failure(PoolTimeoutError, NEVER), None),
        (failure(EgressRefusedError, NEVER), None),
        (failure(BulkheadFullError, NEVER), None),
    ],
    ids=lambda value: short(value) if not isinstance(value, bool) else str(value),
)
def test_what_an_outcome_says_about_the_service(outcome: Any, failed: bool | None) -> None:
    """It failed, it works, or nothing: what our own limits or an abandoned call came to is no evidence."""
    assert is_failure(outcome) is failed


@each_row(
    ("kind", "failed"),
    [
        (ValueError, True),
        (ConnectionError, True),
        (OperationTimeoutError, True),
        (ConnectError, True),
        (HttpStatusError, None),
        (InterceptorError, None),
    ],
)
def test_what_an_error_of_a_function_says_about_what_it_calls(kind: Any, failed: bool | None) -> None:
    """One that is not of this package is a failure; of ours, those that say that the service did not respond."""
    assert is_failure_type(kind) is failed


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        (CircuitOpenError, StopReason.CIRCUIT_OPEN),
        (ThrottledError, StopReason.THROTTLED),
        (TokenError, StopReason.NO_TOKEN),
        (DeadlineTooShortError, StopReason.TOO_LITTLE_TIME),
        (BulkheadFullError, StopReason.REFUSED),
    ],
)
def test_a_refused_attempt_says_why_there_is_no_other(refusal: Any, reason: StopReason) -> None:
    """Of a limit that has no word of its own, that it refused."""
    assert stop_reason(refusal) is reason


def test_the_reason_for_a_retry_is_a_status_or_the_name_of_an_error() -> None:
    """In two words."""
    assert (describe(HttpResponse(503)), describe(READ_TIMEOUT)) == ("status 503", "ReadTimeoutError")


@pytest.mark.parametrize(
    ("given", "state"), [(REFUSED, REFUSED), ("refused", REFUSED), ("nonsense", MAYBE), (None, MAYBE)]
)
def test_an_error_that_says_nothing_valid_may_have_been_processed(given: Any, state: SentState) -> None:
    """A subclass of a user's own may set anything."""
    error = ConnectError("x")
    error.sent_state = given
    assert sent_state_of(error) is state


@pytest.mark.parametrize(("before", "after"), [(NEVER, NEVER), (MAYBE, ABANDONED), (REFUSED, ABANDONED)])
def test_an_exchange_that_close_ended_is_abandoned_if_it_was_sent(
    before: SentState, after: SentState
) -> None:
    """Its cause is left out: it is a lost connection of our own making."""
    ended = ended_by_close(failure(ConnectionLostError, before))
    assert (ended.sent_state, ended.cause) == (after, None)


def test_which_statuses_say_that_a_service_fails() -> None:
    """All others of 4xx say that the request was wrong."""
    assert sorted(FAILURE_STATUSES) == [408, 429, *range(500, 600)]

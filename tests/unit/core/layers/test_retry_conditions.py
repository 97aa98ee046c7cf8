"""Which outcomes are retried."""

from __future__ import annotations

import pickle
from contextlib import suppress
from typing import Any

import pytest

from http_service_client.core.machines.retry.backoff import ExponentialBackoff
from http_service_client.core.machines.retry.conditions import (
    RetryCondition,
)
from http_service_client.errors import (
    AttemptTimeoutError,
    ClientClosedError,
    ConfigurationError,
    HttpClientError,
    ReadTimeoutError,
    SentState,
    TlsVerificationError,
)
from http_service_client.events import RetryStopped, StopReason
from http_service_client.http.messages import HttpResponse
from http_service_client.policies import RetryPolicy
from kit.fakes import READ_TIMEOUT, RESET, SLOW, Harness, failure, short
from kit.front_ends import FrontEnd
from kit.rows import each_row

EXACT = ExponentialBackoff(jitter="none")  # 1, 2, 4 ... seconds
NO_BREAKER: dict[str, Any] = {"enable_circuit_breaker": False}


def stop_reason(harness: Harness) -> StopReason | None:
    return next((event.reason for event in harness.events if isinstance(event, RetryStopped)), None)


@each_row(
    "conditions",
    [
        None,
        [RetryCondition.on_exceptions([ConnectionError, TimeoutError])],  # ConnectionError is a base of it
        [RetryCondition.on_exceptions([Exception])],
        [RetryCondition.on_exceptions([TlsVerificationError])],
    ],
    ids=short,
)
def test_a_certificate_error_is_never_retried(front_end: FrontEnd, conditions: Any) -> None:
    """It is permanent; it derives from ConnectionError, yet no condition may make it retryable."""
    policy = RetryPolicy(3, EXACT, conditions)
    harness = Harness(
        front_end, failure(TlsVerificationError, SentState.NEVER_SENT), retry_policy_config=policy
    )
    harness.error(TlsVerificationError)
    assert (harness.sends, harness.sleeps) == (1, [])
    assert stop_reason(harness) is StopReason.NOT_RETRYABLE


@each_row(
    ("condition", "outcome", "is_repeated"),
    [
        (RetryCondition.on_status_codes([418]), 418, True),
        (RetryCondition.on_status_codes([418]), 503, False),  # conditions replace the default
        (RetryCondition.on_status_codes([418]), RESET, False),
        (RetryCondition.on_status_codes({404, 418}), 404, True),
        (RetryCondition.on_timeout(), READ_TIMEOUT, True),
        (RetryCondition.on_timeout(), SLOW, True),
        (RetryCondition.on_timeout(), RESET, False),
        (RetryCondition.on_timeout(), 503, False),
        (RetryCondition.on_exceptions([ConnectionError]), RESET, True),
        (RetryCondition.on_exceptions([ConnectionError]), READ_TIMEOUT, False),
        (RetryCondition.on_exceptions([TimeoutError]), READ_TIMEOUT, True),
        (RetryCondition.on_exceptions([ConnectionResetError]), RESET, True),  # by its cause
        (RetryCondition.on_exceptions([ConnectionAbortedError]), RESET, False),
        (RetryCondition.on_exceptions([HttpClientError]), RESET, True),
        (RetryCondition.on_result(lambda response: response.status_code == 202), 202, True),
        (RetryCondition.on_result(lambda response: response.status_code == 202), 200, False),
        (RetryCondition.on_result(lambda response: True), RESET, False),  # an error is not a result
    ],
    ids=short,
)
def test_a_condition_holds_for_exactly_its_outcomes(
    front_end: FrontEnd, condition: RetryCondition, outcome: Any, is_repeated: bool
) -> None:
    """A policy with one condition retries the outcomes that it names, and no others."""
    harness = Harness(front_end, outcome, 200, retry_policy_config=RetryPolicy(2, EXACT, [condition]))
    try:
        harness.request()
    except HttpClientError:
        assert not is_repeated
    assert harness.sends == 1 + is_repeated


def test_a_predicate_is_called_once_for_each_attempt(front_end: FrontEnd) -> None:
    """A predicate may count its calls or be slow."""
    seen: list[int] = []

    def predicate(response: HttpResponse) -> bool:
        seen.append(response.status_code)
        return response.status_code == 202

    policy = RetryPolicy(3, EXACT, [RetryCondition.on_result(predicate)])
    harness = Harness(front_end, 202, 202, 200, retry_policy_config=policy)
    assert harness.request().status_code == 200
    assert seen == [202, 202, 200]


def test_any_condition_of_a_policy_is_enough(front_end: FrontEnd) -> None:
    """An outcome is retried if any of the conditions holds for it."""
    policy = RetryPolicy(3, EXACT, [RetryCondition.on_timeout(), RetryCondition.on_status_codes([418])])
    harness = Harness(front_end, 418, READ_TIMEOUT, 200, retry_policy_config=policy)
    assert harness.request().attempts == 3


@each_row(("status", "is_repeated"), [(202, True), (409, True), (503, True), (404, False)])
def test_conditions_on_statuses_and_predicates_combine(
    front_end: FrontEnd, status: int, is_repeated: bool
) -> None:
    """One condition is enough among statuses, a predicate, and a condition that has both."""
    both = RetryCondition("both", statuses=frozenset({409}), predicate=lambda response: False)
    accepted = RetryCondition.on_result(lambda response: response.status_code == 202)
    policy = RetryPolicy(2, EXACT, [RetryCondition.on_status_codes([503]), both, accepted])
    harness = Harness(front_end, status, 200, retry_policy_config=policy)
    assert harness.request().attempts == 1 + is_repeated


def test_a_subclass_of_a_condition_decides_itself(front_end: FrontEnd) -> None:
    """A policy retries what `holds_for` of a subclass returns True for."""

    class OnEmptyBodies(RetryCondition):
        def holds_for(self, outcome: object) -> bool:
            return isinstance(outcome, HttpResponse) and not outcome.content

    policy = RetryPolicy(3, EXACT, [OnEmptyBodies("an empty body")])
    harness = Harness(front_end, 200, 200, HttpResponse(200, content=b"full"), retry_policy_config=policy)
    assert harness.request().attempts == 3


@pytest.mark.parametrize(("method", "attempts"), [("GET", 2), ("PUT", 1)])
def test_a_subclass_of_a_condition_may_narrow_its_statuses(
    front_end: FrontEnd, method: str, attempts: int
) -> None:
    """A status of the condition is not retried where `holds_for` of the subclass returns False."""

    class OfGets(RetryCondition):
        def holds_for(self, outcome: object) -> bool:
            assert isinstance(outcome, HttpResponse)
            assert outcome.request is not None
            return super().holds_for(outcome) and outcome.request.method == "GET"

    policy = RetryPolicy(2, EXACT, [OfGets("503 to a GET", statuses=frozenset({503}))])
    harness = Harness(front_end, 503, retry_policy_config=policy)
    assert harness.request(method).attempts == attempts


def test_a_used_policy_can_be_pickled() -> None:
    """The copy of a policy that has judged outcomes judges them the same way."""
    policy = RetryPolicy(retry_conditions=[RetryCondition.on_status_codes([503])])
    assert policy.is_worth_it(HttpResponse(503))
    twin = pickle.loads(pickle.dumps(policy))
    assert twin == policy
    assert [twin.is_worth_it(HttpResponse(status)) for status in (503, 500)] == [True, False]


@each_row(
    "make",
    [
        lambda: RetryCondition.on_status_codes([99]),
        lambda: RetryCondition.on_status_codes(["503"]),
        lambda: RetryCondition.on_status_codes([True]),
        lambda: RetryCondition.on_status_codes(503),
        lambda: RetryCondition.on_status_codes([[503]]),
        lambda: RetryCondition.on_status_codes(None),
        lambda: RetryCondition.on_exceptions([ValueError()]),
        lambda: RetryCondition.on_exceptions(ValueError),
        lambda: RetryCondition.on_exceptions(["ValueError"]),
        lambda: RetryCondition.on_exceptions([int]),
        lambda: RetryCondition.on_result(True),
    ],
)
def test_an_invalid_condition_is_rejected(make: Any) -> None:
    """It is rejected when it is made: the message says what the method takes, and is never a bare TypeError."""
    with pytest.raises(ConfigurationError, match=r"on_\w+ takes"):
        make()


@each_row(
    ("outcome", "is_final"),
    [
        (failure(AttemptTimeoutError, SentState.ABANDONED), True),  # the disk did not take a block in time
        (failure(ClientClosedError, SentState.ABANDONED), True),
        (failure(TlsVerificationError, SentState.NEVER_SENT), True),
        (failure(ReadTimeoutError), False),
        (RESET, False),
    ],
    ids=short,
)
def test_no_condition_would_repeat_what_was_given_up(
    front_end: FrontEnd, outcome: Any, is_final: bool
) -> None:
    """So an explanation names none that would have helped."""
    policy = RetryPolicy(3, retry_conditions=[RetryCondition.on_status_codes([429])])
    harness = Harness(front_end, outcome, retry_policy_config=policy, enable_circuit_breaker=False)
    with suppress(HttpClientError):
        harness.request("POST")
    (stopped,) = [event for event in harness.events if isinstance(event, RetryStopped)]
    assert stopped.decision is not None
    assert (stopped.decision.is_final, stopped.decision.changes() == ()) == (is_final, is_final)

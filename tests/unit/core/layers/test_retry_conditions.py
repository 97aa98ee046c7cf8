"""Which outcomes are worth a retry."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from http_service_client.core.machines.backoff import ExponentialBackoff
from http_service_client.core.machines.retry_conditions import (
    RetryCondition,
)
from http_service_client.errors import (
    ConfigurationError,
    HttpClientError,
    SentState,
    TlsVerificationError,
)
from http_service_client.events import RetryStopped, StopReason
from http_service_client.http.messages import HttpResponse
from http_service_client.policies import RetryPolicy
from kit.fakes import READ_TIMEOUT, RESET, SLOW, Harness, failure, short
from kit.front_ends import FrontEnd

EXACT = ExponentialBackoff(jitter="none")  # 1, 2, 4 ... seconds
NO_BREAKER: dict[str, Any] = {"enable_circuit_breaker": False}


def stop_reason(harness: Harness) -> StopReason | None:
    return next((event.reason for event in harness.events if isinstance(event, RetryStopped)), None)


@pytest.mark.parametrize(
    "conditions",
    [
        None,
        [RetryCondition.on_exceptions([ConnectionError, TimeoutError])],  # the seed's own
        [RetryCondition.on_exceptions([Exception])],
        [RetryCondition.on_exceptions([TlsVerificationError])],
    ],
    ids=short,
)
def test_a_certificate_that_is_not_to_be_trusted_is_never_retried(
    front_end: FrontEnd, conditions: Any
) -> None:
    """It will not get better, and it derives from ConnectionError: no condition may bring it in."""
    policy = RetryPolicy(3, EXACT, conditions)
    harness = Harness(
        front_end, failure(TlsVerificationError, SentState.NEVER_SENT), retry_policy_config=policy
    )
    harness.error(TlsVerificationError)
    assert (harness.sends, harness.sleeps) == (1, [])
    assert stop_reason(harness) is StopReason.NOT_RETRYABLE


@pytest.mark.parametrize(
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
        (RetryCondition.on_result(lambda response: True), RESET, False),  # no result, no answer
    ],
    ids=short,
)
def test_conditions(front_end: FrontEnd, condition: RetryCondition, outcome: Any, is_repeated: bool) -> None:
    """Exactly what was said, and no more."""
    harness = Harness(front_end, outcome, 200, retry_policy_config=RetryPolicy(2, EXACT, [condition]))
    try:
        harness.request()
    except HttpClientError:
        assert not is_repeated
    assert harness.sends == 1 + is_repeated


def test_a_predicate_is_asked_once_an_attempt(front_end: FrontEnd) -> None:
    """It may count, or be slow."""
    asked: list[int] = []

    def predicate(response: HttpResponse) -> bool:
        asked.append(response.status_code)
        return response.status_code == 202

    policy = RetryPolicy(3, EXACT, [RetryCondition.on_result(predicate)])
    harness = Harness(front_end, 202, 202, 200, retry_policy_config=policy)
    assert harness.request().status_code == 200
    assert asked == [202, 202, 200]


def test_one_condition_is_enough(front_end: FrontEnd) -> None:
    """They are joined by "or"."""
    policy = RetryPolicy(3, EXACT, [RetryCondition.on_timeout(), RetryCondition.on_status_codes([418])])
    harness = Harness(front_end, 418, READ_TIMEOUT, 200, retry_policy_config=policy)
    assert harness.request().attempts == 3


@pytest.mark.parametrize(("status", "is_repeated"), [(202, True), (409, True), (503, True), (404, False)])
def test_one_condition_of_several_is_enough(front_end: FrontEnd, status: int, is_repeated: bool) -> None:
    """Statuses, a predicate, and one that has both are asked together."""
    both = RetryCondition("both", statuses=frozenset({409}), predicate=lambda response: False)
    accepted = RetryCondition.on_result(lambda response: response.status_code == 202)
    policy = RetryPolicy(2, EXACT, [RetryCondition.on_status_codes([503]), both, accepted])
    harness = Harness(front_end, status, 200, retry_policy_config=policy)
    assert harness.request().attempts == 1 + is_repeated


def test_a_condition_of_ones_own_kind(front_end: FrontEnd) -> None:
    """A subclass decides by itself."""

    class OnEmptyBodies(RetryCondition):
        def holds_for(self, outcome: object) -> bool:
            return isinstance(outcome, HttpResponse) and not outcome.content

    policy = RetryPolicy(3, EXACT, [OnEmptyBodies("an empty body")])
    harness = Harness(front_end, 200, 200, HttpResponse(200, content=b"full"), retry_policy_config=policy)
    assert harness.request().attempts == 3


@pytest.mark.parametrize(("method", "attempts"), [("GET", 2), ("PUT", 1)])
def test_a_condition_of_ones_own_kind_may_hold_for_less(
    front_end: FrontEnd, method: str, attempts: int
) -> None:
    """Its statuses are its own affair."""

    class OfGets(RetryCondition):
        def holds_for(self, outcome: object) -> bool:
            assert isinstance(outcome, HttpResponse)
            assert outcome.request is not None
            return super().holds_for(outcome) and outcome.request.method == "GET"

    policy = RetryPolicy(2, EXACT, [OfGets("503 to a GET", statuses=frozenset({503}))])
    harness = Harness(front_end, 503, retry_policy_config=policy)
    assert harness.request(method).attempts == attempts


def test_a_policy_that_has_judged_can_be_pickled() -> None:
    """What it remembers of its conditions is right there, too."""
    policy = RetryPolicy(retry_conditions=[RetryCondition.on_status_codes([503])])
    assert policy.is_worth_it(HttpResponse(503))
    twin = pickle.loads(pickle.dumps(policy))
    assert twin == policy
    assert [twin.is_worth_it(HttpResponse(status)) for status in (503, 500)] == [True, False]


@pytest.mark.parametrize(
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
def test_a_wrong_condition_is_refused(make: Any) -> None:
    """When it is made, with what to write instead; never an odd TypeError."""
    with pytest.raises(ConfigurationError, match=r"on_\w+ takes"):
        make()

"""`is_failure=` and `exclude=` of a circuit breaker: what counts as a failure of the service."""

from __future__ import annotations

import copy
import logging
import pickle
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from http_service_client import (
    AttemptTimeoutError,
    CircuitBreakerPolicy,
    CircuitBreakerState,
    CircuitOpenError,
    ConfigurationError,
    ConnectError,
    HttpClientConfig,
    HttpClientError,
    HttpResponse,
    HttpServiceClient,
    RequestTimeoutError,
    TlsVerificationError,
)
from http_service_client.testing import ScriptedTransport, VirtualClock
from kit.fakes import Harness
from kit.front_ends import FrontEnd
from kit.rows import each_row


class CardDeclined(Exception):
    http_status = 402


def slow_is_a_failure(outcome: object) -> bool | None:
    """Module-level, so that a policy with it can be pickled."""
    return None if outcome is None else outcome == "slow"


def calling(front_end: FrontEnd, breaker: CircuitBreakerPolicy, *outcomes: Any) -> CircuitBreakerState:
    """The state after guarded functions that return, or raise, these."""
    for outcome in outcomes:

        def body(outcome: Any = outcome) -> Any:
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        with suppress(OSError, CardDeclined):
            front_end.run(breaker.apply(front_end.function(body)))
    return breaker.state


def test_declined_cards_do_not_close_the_shop(front_end: FrontEnd) -> None:
    """An excluded exception shows that the service answers, so failures before it are no longer in a row."""
    breaker = CircuitBreakerPolicy(failure_threshold=2, exclude=[CardDeclined])
    assert calling(front_end, breaker, *[CardDeclined()] * 6) is CircuitBreakerState.CLOSED
    assert calling(front_end, breaker, OSError(), CardDeclined(), OSError()) is CircuitBreakerState.CLOSED
    assert calling(front_end, breaker, OSError()) is CircuitBreakerState.OPEN


@each_row(
    ("outcomes", "state"),
    [
        (["slow"], CircuitBreakerState.OPEN),
        (["fine", OSError()], CircuitBreakerState.CLOSED),
        ([None, HttpResponse(503)], CircuitBreakerState.CLOSED),
    ],
)
def test_a_function_says_which_outcomes_are_failures(
    front_end: FrontEnd, outcomes: list[Any], state: CircuitBreakerState
) -> None:
    """It replaces the rules for results and for exceptions."""
    breaker = CircuitBreakerPolicy(failure_threshold=1, is_failure=slow_is_a_failure)
    assert calling(front_end, breaker, *outcomes) is state


def test_none_is_no_evidence() -> None:
    """Neither a success, which would end a row of failures, nor a failure."""
    breaker = CircuitBreakerPolicy(failure_threshold=2, is_failure=slow_is_a_failure)
    for result in ("slow", None, "slow"):
        breaker.call(lambda result=result: result)
    assert breaker.state is CircuitBreakerState.OPEN


class Neither:
    """As an array of several truth values."""

    def __bool__(self) -> bool:
        raise ValueError("ambiguous")


@pytest.mark.parametrize(
    "judge", [lambda outcome: outcome.missing, lambda outcome: Neither()], ids=["itself", "its verdict"]
)
def test_a_function_that_raises_changes_nothing(
    caplog: pytest.LogCaptureFixture, judge: Callable[[Any], bool]
) -> None:
    """It is logged, and the caller gets the result."""
    breaker = CircuitBreakerPolicy(failure_threshold=1, is_failure=judge)
    with caplog.at_level(logging.ERROR):
        assert breaker.call(lambda: 1) == 1
    assert breaker.state is CircuitBreakerState.CLOSED
    assert "is_failure raised an exception for int" in caplog.text


@each_row(
    ("settings", "states"),
    [
        ({"is_failure": lambda outcome: isinstance(outcome, HttpResponse)}, ["closed", "open"]),
        ({"is_failure": lambda outcome: isinstance(outcome, ConnectionError)}, ["open", "open"]),
        ({"exclude": [ConnectionError]}, ["closed", "closed"]),
    ],
)
def test_a_client_judges_by_the_same_settings(
    front_end: FrontEnd, settings: dict[str, Any], states: list[str]
) -> None:
    """In its configuration; the function gets the response, or the error that the caller would get."""
    clock = VirtualClock()
    client = front_end.client(
        circuit_breaker_config={"failure_threshold": 1, **settings},
        enable_retry_policy=False,
        clock=clock,
        transport=ScriptedTransport([ConnectionRefusedError(), HttpResponse(200)], clock=clock),
    )
    seen = []
    for _ in states:
        with suppress(ConnectionError, CircuitOpenError):
            front_end.request(client, "GET", "https://api.test/")
        seen.append(client.get_circuit_breaker_states()["https://api.test"])
    assert seen == states


@pytest.mark.parametrize(
    "twin_of",
    [
        copy.copy,
        copy.deepcopy,
        lambda policy: pickle.loads(pickle.dumps(policy)),
        lambda policy: CircuitBreakerPolicy(failure_threshold=1, is_failure=policy.settings.is_failure),
    ],
    ids=["copy", "deepcopy", "pickle", "settings"],
)
def test_a_copy_judges_by_the_same_function(
    twin_of: Callable[[CircuitBreakerPolicy], CircuitBreakerPolicy],
) -> None:
    """So does a policy that is made with the function of another one, and one that was reconfigured."""
    policy = CircuitBreakerPolicy(failure_threshold=1, is_failure=slow_is_a_failure)
    for each in (policy, twin_of(policy)):
        each.call(lambda: "fine")
        assert each.state is CircuitBreakerState.CLOSED
        each.call(lambda: "slow")
        assert each.state is CircuitBreakerState.OPEN
        each.reset()
        each.reconfigure(window=20.0)
        each.call(lambda: "slow")
        assert each.state is CircuitBreakerState.OPEN


def test_the_settings_survive_a_pickle() -> None:
    """Settings are values."""
    policy = CircuitBreakerPolicy(is_failure=slow_is_a_failure, exclude=[CardDeclined])
    assert pickle.loads(pickle.dumps(policy)).settings == policy.settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"exclude": CardDeclined}, "exclude must be a list of exception classes"),
        ({"exclude": ["CardDeclined"]}, "exclude must be a list of exception classes"),
        ({"is_failure": True}, "is_failure must be a function"),
    ],
)
def test_a_wrong_setting_is_refused(settings: dict[str, Any], message: str) -> None:
    """By a policy and by a configuration."""
    with pytest.raises(ConfigurationError, match=message):
        CircuitBreakerPolicy(**settings)
    with pytest.raises(ConfigurationError, match=message):
        HttpServiceClient(HttpClientConfig(circuit_breaker_config=settings))


@each_row(
    ("subject", "fails"),
    [
        (500, False), (503, True), (525, True), (530, False), (404, True), (200, False),
        (ConnectError("x"), True), (TlsVerificationError("x"), False), (AttemptTimeoutError("x"), True),
    ],
    ids=repr,
)  # fmt: skip
def test_failures_may_be_named_by_kind(front_end: FrontEnd, subject: Any, fails: bool) -> None:
    """Statuses, ranges and classes that are listed are failures, around functions and in a client; others are not."""
    kinds = [503, 404, range(520, 530), ConnectError, RequestTimeoutError]
    policy = CircuitBreakerPolicy(failure_threshold=1, failures=kinds)

    def body() -> Any:
        if isinstance(subject, Exception):
            raise subject
        return HttpResponse(subject)

    with suppress(HttpClientError):
        front_end.run(policy.apply(front_end.function(body)))
    assert (policy.state.value == "open") is fails


def test_failures_by_kind_in_a_client(front_end: FrontEnd) -> None:
    """A 404 that is listed opens the circuit, and a 500 that is not does not; throttling stays no evidence."""
    settings = {"failure_threshold": 1, "recovery_timeout": 60.0, "failures": [404, 429]}
    harness = Harness(front_end, 500, 429, 404, enable_retry_policy=False, circuit_breaker_config=settings)
    for state in ("closed", "closed", "open"):
        harness.request()
        assert set(harness.client.get_circuit_breaker_states().values()) == {state}


@each_row("wrong", ["503", [], [99], [True], ["ConnectError"], 503], ids=repr)
def test_wrong_kinds_are_refused(wrong: Any) -> None:
    """The message names the field, the value and what to write."""
    with pytest.raises(ConfigurationError, match="failures must be a list of statuses"):
        CircuitBreakerPolicy(failures=wrong)

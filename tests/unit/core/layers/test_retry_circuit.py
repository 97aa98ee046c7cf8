"""How retries and the circuit breaker work together."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client.core.layers.circuit_breaker import CircuitBreakerLayer, refused
from http_service_client.core.machines.circuit_breaker.states import CircuitBreakerState, Refusal
from http_service_client.core.machines.retry.backoff import ExponentialBackoff
from http_service_client.core.machines.retry.other_backoffs import ConstantBackoff
from http_service_client.core.nesting import CallScope
from http_service_client.errors import (
    CircuitOpenError,
    ConnectionLostError,
    HttpClientError,
    SentState,
)
from http_service_client.events import RetryStopped, StopReason
from http_service_client.http.messages import HttpRequest, HttpResponse
from http_service_client.policies import RetryPolicy
from kit.fakes import REFUSED, RESET, URL, Harness, isolate_while_sleeping, short
from kit.front_ends import FrontEnd
from kit.rows import each_row

EXACT = ExponentialBackoff(jitter="none")  # 1, 2, 4 ... seconds
NO_BREAKER: dict[str, Any] = {"enable_circuit_breaker": False}


def stop_reason(harness: Harness) -> StopReason | None:
    return next((event.reason for event in harness.events if isinstance(event, RetryStopped)), None)


@each_row("first", [503, RESET, REFUSED], ids=short)
def test_a_circuit_that_opens_ends_the_retries(front_end: FrontEnd, first: Any) -> None:
    """The failure that opens the circuit ends the call at once: the retry would be refused after its wait."""
    harness = Harness(front_end, first, circuit_breaker_config={"failure_threshold": 1})
    if first == 503:
        response = harness.request()
        assert (response.status_code, response.attempts) == (503, 1)
    else:
        error = harness.error(first.error_type)
        assert type(error) is first.error_type
    assert (harness.sends, harness.sleeps) == (1, [])
    assert stop_reason(harness) is StopReason.CIRCUIT_OPEN


def test_a_circuit_that_other_calls_opened_ends_the_retries(front_end: FrontEnd) -> None:
    """Also after a 429, which is no failure of the service: that retry would be refused after its wait, too."""

    def throttled(request: HttpRequest) -> int:
        harness.state.breaker.try_acquire().record_failure()
        return 429

    harness = Harness(front_end, throttled, circuit_breaker_config={"failure_threshold": 1})
    assert harness.request().status_code == 429
    assert (harness.sends, harness.sleeps) == (1, [])
    assert stop_reason(harness) is StopReason.CIRCUIT_OPEN


@pytest.mark.parametrize("first", [503, RESET], ids=short)
def test_a_refused_retry_returns_the_outcome_of_the_last_attempt(front_end: FrontEnd, first: Any) -> None:
    """A `CircuitOpenError` would claim that nothing was sent, but the first attempt was."""
    harness = Harness(front_end, first)
    isolate_while_sleeping(harness)
    if first == 503:
        response = harness.request()
        assert (response.status_code, response.attempts) == (503, 1)
    else:
        error = harness.error(HttpClientError)
        assert type(error) is ConnectionLostError
        assert error.sent_state is SentState.MAYBE_PROCESSED
    assert (harness.sends, len(harness.sleeps)) == (1, 1)
    assert harness.names()[-3:] == ["circuit_refused", "retry_stopped", "call_finished"]
    assert harness.events[-1].attempts == 1


def test_a_refused_first_attempt_is_a_circuit_open_error(front_end: FrontEnd) -> None:
    """Nothing was sent; the error names the circuit and the time until the next trial."""
    harness = Harness(front_end, 500, circuit_breaker_config={"failure_threshold": 1, "recovery_timeout": 60})
    harness.request("POST")
    harness.clock.now += 20.0
    error = harness.error(CircuitOpenError)
    assert (error.sent_state, error.retry_after, error.key) == (
        SentState.NEVER_SENT,
        40.0,
        "https://api.example.com",
    )
    assert harness.sends == 1


def test_a_retry_after_the_recovery_time_becomes_the_trial(front_end: FrontEnd) -> None:
    """If the backoff is as long as the recovery time, the retry is made and closes the circuit."""
    harness = Harness(
        front_end,
        503,
        200,
        retry_policy_config=RetryPolicy(2, ConstantBackoff(10.0, jitter="none")),
        circuit_breaker_config={"failure_threshold": 1, "recovery_timeout": 10.0, "success_threshold": 1},
    )
    assert harness.request().status_code == 200
    assert harness.state.breaker.state == "closed"


def test_metrics_only_never_ends_the_retries(front_end: FrontEnd) -> None:
    """A breaker that refuses no calls must not refuse a retry either."""
    harness = Harness(
        front_end, 503, 503, 200, circuit_breaker_config={"failure_threshold": 1, "metrics_only": True}
    )
    assert harness.request().attempts == 3


def test_a_call_holds_its_permit_during_its_attempt_and_no_longer(front_end: FrontEnd) -> None:
    """What is called meanwhile needs none; what is called in a backoff, say, does."""
    harness = Harness(front_end)
    call = harness.client._call_builder.build("GET", URL)
    call.scope = scope = CallScope("7")
    held: list[bool] = []

    def proceed(request: HttpRequest, call: Any) -> Any:
        yield from ()
        held.append(scope.breaker is call.breaker)
        return HttpResponse(200)

    with pytest.raises(StopIteration):
        next(CircuitBreakerLayer()(proceed, call.request, call))
    assert (held, scope.breaker) == ([True], None)


@pytest.mark.parametrize(("key", "whose"), [("https://a.test", "https://a.test"), ("", "this policy")])
@pytest.mark.parametrize(("retry_after", "when"), [(1.5, "; next trial in 1.500 s"), (None, "")])
def test_a_refusal_says_whose_circuit_it_was_and_when_to_come_back(
    key: str, whose: str, retry_after: float | None, when: str
) -> None:
    """As far as there is a name, and a time is known."""
    found = refused(Refusal(key, CircuitBreakerState.OPEN, retry_after, "open"))
    assert found.message == f"the circuit breaker for {whose} refused the call (open{when})"
    assert found.details == {"key": key, "retry_after": retry_after, "reason": "open"}

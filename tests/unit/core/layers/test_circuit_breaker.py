"""What the circuit breaker learns from an attempt, and what the attempt learns from it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import (
    CircuitBreakerPolicy,
    CircuitOpenError,
    ConnectionLostError,
    HttpResponse,
    SentState,
)
from http_service_client.core.layers.circuit_breaker import CircuitBreakerLayer
from http_service_client.events import CircuitRefused
from http_service_client.http.messages import HttpRequest
from kit.fakes import ORIGIN, RESET, URL, Harness, short
from kit.front_ends import BlockingFrontEnd
from kit.rows import each_row

SUCCESS, FAILURE, NONE = (1, 0, 0), (0, 1, 0), (0, 0, 1)


class Interrupt(BaseException):
    pass


class Stage:
    """A call of a client, and its layer around an attempt that a test describes."""

    def __init__(self, **settings: Any) -> None:
        self.harness = Harness(BlockingFrontEnd(), circuit_breaker_config=settings)
        self.call: Any = self.harness.client._call_builder.build("GET", URL)
        self.breaker = self.call.breaker

    def attempt(self, outcome: Any, **of_attempt: Any) -> Any:
        """The outcome that leaves the layer.   of_attempt: what the layers inside say of it."""

        def proceed(request: HttpRequest, call: Any) -> Any:
            yield from ()
            for name, value in of_attempt.items():
                setattr(call.current, name, value)
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        with pytest.raises((StopIteration, Interrupt)) as ended:
            next(CircuitBreakerLayer()(proceed, self.call.request, self.call))
        return getattr(ended.value, "value", None)

    def counts(self) -> tuple[int, int, int]:
        found = self.breaker.snapshot()
        return found.successes, found.failures, found.abandoned


@each_row("settings", [{}, {"max_rejected": 0.5}], ids=["free pass", "permit"])
@each_row(
    ("outcome", "of_attempt", "counts"),
    [
        (HttpResponse(200), {}, SUCCESS),
        (HttpResponse(404), {}, SUCCESS),
        (HttpResponse(503), {}, FAILURE),
        (RESET, {}, FAILURE),
        (HttpResponse(200), {"answered_by": "Mock"}, NONE),
        (HttpResponse(503), {"answered_by": "Mock"}, NONE),
        (RESET, {"has_progressed": True}, NONE),
        (Interrupt(), {}, NONE),
    ],
    ids=short,
)
def test_what_an_attempt_shows_of_its_service(
    outcome: Any, of_attempt: dict[str, Any], counts: tuple[int, int, int], settings: dict[str, Any]
) -> None:
    """Nothing, if an interceptor answered it, if it was interrupted, or if a download gained a piece."""
    stage = Stage(**settings)
    stage.attempt(outcome, **of_attempt)
    assert stage.counts() == counts


@pytest.mark.parametrize(
    ("outcome", "of_attempt", "expected"),
    [
        (HttpResponse(200), {}, [(HttpResponse, SentState.ANSWERED)]),
        (RESET, {}, [(ConnectionLostError, SentState.MAYBE_PROCESSED)]),
        (HttpResponse(200), {"answered_by": "Mock"}, []),
        (RESET, {"has_progressed": True}, []),
        (Interrupt(), {}, []),
    ],
    ids=short,
)
def test_a_function_of_the_user_judges_what_its_caller_would_get(
    outcome: Any, of_attempt: dict[str, Any], expected: list[Any]
) -> None:
    """Of what is evidence; its verdict replaces the rules."""
    seen: list[Any] = []

    def is_failure(result: Any) -> bool:
        seen.append((type(result), result.sent_state))
        return not isinstance(result, Exception)

    stage = Stage(is_failure=is_failure)
    stage.attempt(outcome, **of_attempt)
    assert seen == expected
    if expected:
        assert stage.counts() == (SUCCESS if outcome is RESET else FAILURE)


@pytest.mark.parametrize(
    ("holds", "is_isolated", "counts", "is_sent"),
    [(False, False, SUCCESS, True), (True, False, (0, 0, 0), True), (False, True, (0, 0, 0), False)],
    ids=["another circuit", "its circuit", "refused"],
)
def test_an_attempt_inside_a_scope_that_holds_a_permit(
    holds: bool, is_isolated: bool, counts: tuple[int, int, int], is_sent: bool
) -> None:
    """Of its own circuit, it counts for nothing; the scope learns that something was let through."""
    stage = Stage()
    if is_isolated:
        stage.breaker.isolate()
    sent: list[bool] = []
    outer = SimpleNamespace(holds=lambda breaker: holds, record_sending=lambda: sent.append(True))
    stage.call.scope = SimpleNamespace(outer=outer, breaker=None)
    stage.attempt(HttpResponse(200))
    assert (stage.counts(), bool(sent)) == (counts, is_sent)


def test_an_attempt_knows_whether_it_is_the_trial() -> None:
    """And whether its outcome has opened the circuit, for how long."""
    stage = Stage(failure_threshold=1, recovery_timeout=10.0, success_threshold=1)
    current, clock = stage.call.current, stage.harness.clock
    stage.attempt(RESET)
    assert (current.is_trial, current.blocked_until) == (False, clock.now + 10.0)
    clock.now += 10.0
    stage.attempt(HttpResponse(200))
    assert current.is_trial


@pytest.mark.parametrize(("name", "key"), [("payments", "payments"), (None, ORIGIN)])
def test_a_refusal_names_the_circuit_or_the_service_of_the_call(name: str | None, key: str) -> None:
    """A policy of the call's own may have a name."""
    policy = CircuitBreakerPolicy(name=name) if name else CircuitBreakerPolicy()
    policy.isolate()
    harness = Harness(BlockingFrontEnd())
    harness.error(CircuitOpenError, circuit_breaker=policy)
    assert [event.key for event in harness.events if isinstance(event, CircuitRefused)] == [key]

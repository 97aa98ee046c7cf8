"""Code that listens or judges changes nothing, and hears of every circuit."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest

from http_service_client import (
    CircuitBreakerPolicy,
    CircuitBreakerState,
    FallbackPolicy,
    ResiliencePipeline,
    RetryCondition,
    RetryPolicy,
)
from http_service_client.events import RetryScheduled
from kit.fakes import FakeClock, Harness
from kit.front_ends import FrontEnd
from kit.guarded import policy_of


def raising(*_: Any) -> Any:
    raise RuntimeError("the chat room is down")


def test_a_listener_of_a_circuit_that_raises_changes_nothing(
    front_end: FrontEnd, caplog: pytest.LogCaptureFixture
) -> None:
    """The success stays one, and a charge is made once."""
    charges: list[int] = []
    clock = FakeClock()
    breaker = CircuitBreakerPolicy(1, 5, 1, clock=clock.monotonic, on_change=raising)
    with pytest.raises(ConnectionError), breaker:
        raise ConnectionError
    clock.now += 5
    guarded = policy_of(3).apply(breaker.apply(front_end.function(lambda: charges.append(1))))
    with caplog.at_level(logging.ERROR):
        front_end.run(guarded)
    assert charges == [1]
    assert breaker.state is CircuitBreakerState.CLOSED
    assert "a listener failed on StateChange" in caplog.text


def test_a_listener_of_a_call_s_circuit_that_raises_changes_nothing(front_end: FrontEnd) -> None:
    """A POST that was answered by 503 returns the 503."""
    harness = Harness(front_end, 503)
    policy = CircuitBreakerPolicy(failure_threshold=1, on_change=raising)
    assert harness.request("POST", circuit_breaker=policy).status_code == 503


def test_a_slow_listener_does_not_delay_the_next_attempt(front_end: FrontEnd) -> None:
    """Its time is part of the wait, so a wait that fits into the deadline still does."""
    harness = Harness(front_end, 503, 200, retry_policy_config={"initial_delay": 0.4, "jitter": "none"})

    def listen(event: Any) -> None:
        if isinstance(event, RetryScheduled):
            harness.clock.now += 0.3

    harness.client._call_builder._listener = listen
    started = harness.clock.now
    assert harness.request(total_timeout=0.5).status_code == 200
    assert harness.clock.now - started == pytest.approx(0.4)


def test_a_listener_that_hands_its_work_to_an_async_function_is_told_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nobody would await what it returns."""
    pipeline = ResiliencePipeline(RetryPolicy(), on_event=lambda event: Awaitable())
    with caplog.at_level(logging.ERROR):
        assert pipeline.call(lambda: 5) == 5
    assert "a listener failed on OperationFinished" in caplog.text


class Awaitable:
    """What a function returns that hands its work on to an async one."""

    def __await__(self) -> Any:
        raise AssertionError("nobody awaits it")


def test_an_awaitable_is_no_verdict(front_end: FrontEnd, caplog: pytest.LogCaptureFixture) -> None:
    """It is always true: each call would be repeated, count as a failure, and be replaced by the fallback."""
    policies = (
        policy_of(3, RetryCondition.on_result(lambda result: Awaitable())),  # type: ignore[arg-type,return-value]
        CircuitBreakerPolicy(failure_threshold=1, is_failure=lambda result: Awaitable()),  # type: ignore[arg-type,return-value]
        FallbackPolicy(value="fallback", is_failure=lambda result: Awaitable()),  # type: ignore[arg-type,return-value]
    )
    for policy in policies:
        calls: list[int] = []
        caplog.clear()
        with caplog.at_level(logging.ERROR):
            assert (
                front_end.run(policy.apply(front_end.function(lambda calls=calls: calls.append(1)))) is None
            )
        assert calls == [1]
        assert "which nobody awaits; it must be a plain function" in caplog.text
    assert policies[1].state is CircuitBreakerState.CLOSED


@pytest.mark.parametrize("where", ["call", "function"])
def test_a_predicate_that_raises_takes_nothing_away(
    front_end: FrontEnd, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A 201 that a condition cannot judge is returned, and the condition's error is logged."""
    harness = Harness(front_end, 201)
    condition = RetryCondition.on_result(raising)
    with caplog.at_level(logging.ERROR):
        if where == "call":
            response = harness.request("POST", retry_policy=policy_of(3, condition))
        else:
            response = front_end.run(policy_of(3, condition).apply(harness.calling("POST")))
    assert (response.status_code, harness.sends) == (201, 1)
    assert "raised an exception; it counts as not holding" in caplog.text


def test_changes_of_a_circuit_that_a_call_brings_reach_the_client(front_end: FrontEnd) -> None:
    """`on_event`, the metrics and the list of states know it."""
    harness = Harness(front_end, 503, enable_retry_policy=False)
    policy = CircuitBreakerPolicy(failure_threshold=1, name="partner")
    for _ in range(2):  # the same client subscribes once
        if policy.state is CircuitBreakerState.CLOSED:
            harness.request(circuit_breaker=policy)
    changes = [event for event in harness.events if type(event).__name__ == "StateChange"]
    assert [(change.key, change.new) for change in changes] == [("partner", CircuitBreakerState.OPEN)]
    assert harness.client.get_circuit_breaker_states()["partner"] == "open"


def test_a_client_that_is_gone_gets_no_changes() -> None:
    """A policy may outlive the clients that used it, and does not keep them."""
    policy = CircuitBreakerPolicy(failure_threshold=1)
    owner, received = threading.Event(), []
    policy.listeners.subscribe(owner, received.append)
    policy.isolate()
    del owner
    policy.reset()
    assert [change.new for change in received] == [CircuitBreakerState.OPEN]


def test_each_client_of_a_policy_gets_its_changes_once() -> None:
    """One more client takes none away from those before, and one that asks twice does not get them twice."""
    policy = CircuitBreakerPolicy(failure_threshold=1)
    owners = [threading.Event() for _ in range(3)]
    received: list[list[Any]] = [[], [], []]
    for _ in range(2):
        for owner, changes in zip(owners, received, strict=True):
            policy.listeners.subscribe(owner, changes.append)
    policy.isolate()
    assert [len(changes) for changes in received] == [1, 1, 1]


def by_type(outcome: object) -> bool:
    return isinstance(outcome, KeyError)


def by_size(outcome: object) -> bool:
    return outcome == "large"


def test_policies_with_the_same_judge_are_equal() -> None:
    """With another one, or none, they are not; and a policy that was changed in another respect keeps its own."""
    policy = CircuitBreakerPolicy(3, is_failure=by_type)
    assert policy == CircuitBreakerPolicy(3, is_failure=by_type)
    assert policy not in (CircuitBreakerPolicy(3, is_failure=by_size), CircuitBreakerPolicy(3))
    assert CircuitBreakerPolicy(3) != policy
    judge = policy.settings.is_failure
    assert judge not in (by_type, None)
    assert len({judge, CircuitBreakerPolicy(3, is_failure=by_type).settings.is_failure}) == 1
    policy.reconfigure(failure_threshold=4)
    policy.reconfigure(is_failure=judge)
    assert policy == CircuitBreakerPolicy(4, is_failure=by_type)

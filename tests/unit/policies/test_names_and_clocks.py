"""The name and the clock of a policy, alone and in a pipeline: the laws of all kinds of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from http_service_client import ConfigurationError, HttpClientError, ResiliencePipeline
from http_service_client.events import Event, OperationFinished
from http_service_client.testing import VirtualClock
from kit.policies import MAKERS


def on(clock: VirtualClock, kind: str) -> dict[str, Any]:
    """What a policy of this kind takes to be on the clock."""
    return {"clock": clock.monotonic if kind == "CircuitBreakerPolicy" else clock}


@pytest.mark.parametrize("kind", MAKERS)
def test_a_policy_on_a_clock_stands_in_a_pipeline_on_the_same_alone(kind: str) -> None:
    """What it remembers would be of another time than what the pipeline waits for."""
    clock = VirtualClock()
    ResiliencePipeline(MAKERS[kind](**on(clock, kind)), clock=clock)
    with pytest.raises(ConfigurationError, match=f"^clock: {kind} goes by .*the same clock"):
        ResiliencePipeline(MAKERS[kind](**on(VirtualClock(), kind)), clock=clock)


def fail(*args: object) -> None:
    raise ConnectionError


def overdue(clock: VirtualClock) -> None:
    clock.advance(9.0)


def hold(policy: Any) -> None:
    """Take the only permit."""
    live = policy._bulkhead if hasattr(policy, "_bulkhead") else policy._limit.permits
    assert live.permit().try_acquire()


# Settings, what is done before the calls, and the function of the two calls, which gets the clock.
PROVOKED: dict[str, tuple[dict[str, Any], Callable[[Any], object], Callable[..., object]]] = {
    "FallbackPolicy": ({}, id, fail),
    "ResultCachePolicy": ({}, id, str),
    "RateLimitPolicy": ({"rate": 0.001, "max_wait": 0}, id, str),
    "CircuitBreakerPolicy": ({}, lambda policy: policy.isolate(), str),
    "BulkheadPolicy": ({"max_concurrent": 1, "max_waiting": 0}, hold, str),
    "AdaptiveLimitPolicy": ({"initial_limit": 1, "max_limit": 1, "max_waiting": 0}, hold, str),
    "ChaosPolicy": ({"enabled": True}, id, str),
    "TimeoutPolicy": ({}, id, overdue),
}


@pytest.mark.parametrize(("name", "key"), [("own", "own"), ("", "of the pipeline")])
@pytest.mark.parametrize("kind", PROVOKED)
def test_events_and_refusals_have_the_name_of_their_policy(kind: str, name: str, key: str) -> None:
    """Or that of the pipeline, where the policy has none. A circuit without a name has none in its error."""
    settings, before, function = PROVOKED[kind]
    clock, events, errors = VirtualClock(), list[Event](), list[HttpClientError]()
    policy = MAKERS[kind](**settings, **on(clock, kind), name=name)
    before(policy)
    pipeline = ResiliencePipeline(policy, name="of the pipeline", clock=clock, on_event=events.append)
    for _ in range(2):
        try:
            pipeline.call(function, clock)
        except HttpClientError as error:
            errors.append(error)
        except OSError:  # of the chaos
            pass
    keys = {event.key for event in events if not isinstance(event, OperationFinished)}
    assert keys == {key}
    assert {error.key or key for error in errors} <= {key}


@pytest.mark.parametrize("kind", sorted(set(MAKERS) - {"RetryPolicy"}))
def test_a_policy_keeps_its_name(kind: str) -> None:
    """By which its events and errors are found."""
    policy = MAKERS[kind](name="own")
    with pytest.raises(AttributeError, match="make another policy"):
        policy.name = "another"
    assert policy.name == "own"

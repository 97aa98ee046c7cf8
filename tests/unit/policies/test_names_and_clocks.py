"""The name and the clock of a policy, alone and in a pipeline: the laws of all kinds of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from unittest.mock import ANY

import pytest

from http_service_client import (
    BulkheadPolicy,
    ConfigurationError,
    HttpClientError,
    ResiliencePipeline,
    RetryPolicy,
)
from http_service_client.core.effects import Plan
from http_service_client.core.operation import Operation, Proceed
from http_service_client.events import Event, OperationFinished
from http_service_client.policies import Strategy
from http_service_client.testing import VirtualClock
from kit.policies import MAKERS
from kit.rows import each_row


def on(clock: VirtualClock, kind: str) -> dict[str, Any]:
    """What a policy of this kind takes to be on the clock."""
    return {"clock": clock.monotonic if kind == "CircuitBreakerPolicy" else clock}


@each_row("kind", MAKERS)
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


@each_row(("name", "key"), [("own", "own"), ("", "of the pipeline")])
@each_row("kind", PROVOKED)
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


NAMED = sorted(set(MAKERS) - {"RetryPolicy"})


@each_row("kind", NAMED)
def test_a_policy_keeps_its_name(kind: str) -> None:
    """By which its events and errors are found."""
    policy = MAKERS[kind](name="own")
    with pytest.raises(AttributeError, match="make another policy"):
        policy.name = "another"
    assert policy.name == "own"


@pytest.mark.parametrize("kind", ["RetryPolicy", "BulkheadPolicy", "CircuitBreakerPolicy"])
def test_a_policy_in_real_time_does_not_stand_in_a_pipeline_in_virtual_time(kind: str) -> None:
    """Though nobody has given it a clock."""
    with pytest.raises(ConfigurationError, match=f"^clock: {kind} goes by .*the same clock"):
        ResiliencePipeline(MAKERS[kind](), clock=VirtualClock())


@each_row("make", [*(MAKERS[kind] for kind in NAMED), partial(ResiliencePipeline, RetryPolicy())])
def test_a_name_is_a_text(make: Callable[..., Any]) -> None:
    """It stands in messages and labels of metrics."""
    with pytest.raises(ConfigurationError, match=r"^name must be a str, not 5$"):
        make(name=5)


class Own(Strategy):
    """A user's own policy, which notes what its calls are known by."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    def guard(self, proceed: Proceed, operation: Operation) -> Plan[Any]:
        self.keys.append(operation.key)
        return (yield from proceed(operation))


def test_calls_under_a_policy_alone_are_known_by_its_name() -> None:
    """A user's own policy needs none."""
    policy, named = Own(), Own()
    named.name = "own"  # type: ignore[attr-defined]  # its class does not say that it may have one
    policy.call(int)
    named.call(int)
    assert (policy.keys, named.keys) == ([""], ["own"])


@each_row("kind", MAKERS)
def test_a_policy_is_compared_with_anything(kind: str) -> None:
    """An object of another type may say that it is equal, as `ANY` does."""
    policy = MAKERS[kind]()
    assert (policy == "another") is False
    assert policy == ANY


class Attributed(BulkheadPolicy):
    """A user's own kind of policy."""

    owner = ""


def test_what_is_no_setting_may_be_assigned() -> None:
    """Such as an attribute of a subclass."""
    policy = Attributed(4)
    policy.owner = "the billing team"
    assert policy.owner == "the billing team"
    with pytest.raises(AttributeError, match=r"write policy\.reconfigure\(max_concurrent=…\)$"):
        policy.max_concurrent = 5  # type: ignore[attr-defined]  # that is the point

"""Copies of a pipeline, and threads that use a policy for the first time."""

from __future__ import annotations

import copy
import pickle
import threading
from typing import Any

import pytest

from http_service_client import (
    BulkheadPolicy,
    CircuitBreakerPolicy,
    CircuitOpenError,
    ResiliencePipeline,
    RetryPolicy,
)
from http_service_client.core.effects import Plan
from http_service_client.core.operation import Operation, Proceed
from http_service_client.events import Event, OperationFinished
from http_service_client.policies import Strategy, strategy
from http_service_client.testing import VirtualClock


class Marking(Strategy):
    """A user's own: it returns its mark."""

    def __init__(self, mark: str) -> None:
        self.mark = mark

    def guard(self, proceed: Proceed, operation: Operation) -> Plan[Any]:
        yield from proceed(operation)
        return self.mark


def test_a_copy_is_reconfigured_by_itself() -> None:
    """And runs what it shows, though the original was in use before."""
    pipeline = ResiliencePipeline(Marking("first"))
    assert pipeline.call(int) == "first"
    twin = copy.copy(pipeline)
    assert twin.strategies == pipeline.strategies
    twin.reconfigure(Marking("second"))
    assert (pipeline.call(int), twin.call(int)) == ("first", "second")


def test_a_copy_of_a_users_own_policy_guards_by_itself() -> None:
    """It does not run the original's plan."""
    policy = Marking("first")
    assert policy.call(int) == "first"
    twin = copy.copy(policy)
    twin.mark = "second"
    assert twin.call(int) == "second"


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))])
def test_a_deep_copy_or_pickle_has_policies_of_its_own(duplicate: Any) -> None:
    """With equal settings, and no state of the original."""
    pipeline = ResiliencePipeline(
        RetryPolicy(),
        CircuitBreakerPolicy(2, 60.0),
        BulkheadPolicy(max_concurrent=1, max_waiting=0),
        name="p",
    )
    pipeline.call(int)
    with pipeline.strategies[2]:
        twin = duplicate(pipeline)
        assert (twin.name, twin.call(int)) == ("p", 0)
    assert twin.strategies == pipeline.strategies
    assert not any(one is other for one, other in zip(twin.strategies, pipeline.strategies, strict=True))
    pipeline.strategies[1].isolate()
    assert twin.call(int) == 0
    twin.strategies[1].isolate()
    with pytest.raises(CircuitOpenError):
        twin.call(int)


SEEN: list[Event] = []


def note(event: Event) -> None:
    SEEN.append(event)


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))]
)
def test_a_copy_has_the_name_and_the_listener(duplicate: Any) -> None:
    """Its calls are told to it as those of the original are."""
    twin = duplicate(ResiliencePipeline(RetryPolicy(), name="payments", on_event=note))
    SEEN.clear()
    twin.call(int)
    assert [(type(event), event.key) for event in SEEN] == [(OperationFinished, "payments")]


class Delegating(Strategy):
    """A user's own: what it guards runs under a pipeline."""

    def __init__(self, pipeline: ResiliencePipeline) -> None:
        self.pipeline = pipeline

    def guard(self, proceed: Proceed, operation: Operation) -> Plan[Any]:
        return (yield from self.pipeline.guard(proceed, operation))


def test_a_policy_of_a_user_s_own_may_run_the_plan_of_a_pipeline() -> None:
    """Of whatever policies that has at the time."""
    inner = ResiliencePipeline(Marking("first"))
    policy = Delegating(inner)
    assert policy.call(int) == "first"
    inner.reconfigure(Marking("second"))
    assert policy.call(int) == "second"


def test_a_deep_copy_keeps_the_clock() -> None:
    """All policies of a pipeline live by the same."""
    clock = VirtualClock()
    pipeline = ResiliencePipeline(RetryPolicy(clock=clock), BulkheadPolicy(max_concurrent=1, clock=clock))
    twin = copy.deepcopy(pipeline)
    twin.reconfigure(*twin.strategies)
    assert [each.used_clock for each in twin.strategies] == [clock, clock]


def test_threads_that_enter_a_policy_for_the_first_time_share_its_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each finds the block that it entered when it leaves it."""
    policy = BulkheadPolicy(max_concurrent=2)
    made, blocks = [], strategy.EnteredBlocks

    def slow() -> Any:
        made.append(1)
        if len(made) == 1:
            other = threading.Thread(target=lambda: policy._blocks)
            other.start()
            other.join(1)
        return blocks()

    monkeypatch.setattr(strategy, "EnteredBlocks", slow)
    first = policy._blocks
    assert len(made) == 2
    assert policy._blocks is first

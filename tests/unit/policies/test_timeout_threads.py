"""A timeout around plain functions: late results, and threads that are left behind."""

from __future__ import annotations

import contextvars
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import (
    BulkheadFullError,
    BulkheadPolicy,
    CallRefusedError,
    ConstantBackoff,
    OperationTimeoutError,
    ResiliencePipeline,
    RetryPolicy,
    TimeoutPolicy,
)
from http_service_client.drivers import blocking
from http_service_client.events import Event, OperationFinished, OperationTimedOut
from http_service_client.observability.collector import MetricsCollector
from http_service_client.testing import VirtualClock
from kit.threads import wait_until


def test_a_late_plain_result_is_returned_and_counted() -> None:
    """Its work is done: an error would hide that. The event and the metric say so."""
    clock, events = VirtualClock(), []  # type: ignore[var-annotated]
    pipeline = ResiliencePipeline(TimeoutPolicy(2.0), name="prices", clock=clock, on_event=events.append)
    assert pipeline.call(lambda: clock.advance(3.0) or "done") == "done"
    (event,) = [event for event in events if isinstance(event, OperationTimedOut)]
    assert event[2:5] == ("prices", 2.0, "late")
    assert str(event) == (
        "attempt 1: took longer than 2 s; it could not be interrupted, and its result is returned"
    )
    collector = MetricsCollector()
    collector.collect(event)
    total = collector.metrics.total("http_operation_timeouts_total", {"service": "prices", "result": "late"})
    assert total == 1


def test_a_thread_is_left_behind_and_its_client_calls_are_ended() -> None:
    """The function runs on; what it waits for by a client ends at once, so that its thread is free soon."""
    events: list[Event] = []
    released, ended = threading.Event(), threading.Event()
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("of the caller")
    seen: list[Any] = []

    def work() -> None:
        seen.append((variable.get(), threading.current_thread() is threading.main_thread()))
        released.wait(20)
        ended.set()

    pipeline = ResiliencePipeline(TimeoutPolicy(0.05, in_thread=True), name="prices", on_event=events.append)
    with pytest.raises(OperationTimeoutError, match="runs on in its thread, and its result will be dropped"):
        pipeline.call(work)
    assert not ended.is_set()
    released.set()
    assert ended.wait(20)
    assert seen == [("of the caller", False)]
    assert [event[4] for event in events if isinstance(event, OperationTimedOut)] == ["abandoned"]


@pytest.mark.parametrize(("name", "key"), [("own", "own"), ("", "of the pipeline")])
def test_a_call_without_a_free_thread_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, key: str
) -> None:
    """Another one would hang as those do that hold them. The error names the policy, or the pipeline."""
    monkeypatch.setattr(blocking, "_BRANCHES", SimpleNamespace(is_full=True))
    policy = TimeoutPolicy(20.0, in_thread=True, name=name)
    with pytest.raises(CallRefusedError, match=rf"^no thread is free for int \({key}\): ") as refused:
        ResiliencePipeline(policy, name="of the pipeline").call(int)
    assert refused.value.key == key


def test_a_function_left_behind_keeps_the_permit_of_a_bulkhead_inside() -> None:
    """As long as it runs: so no more of them run at a time than the bulkhead allows."""
    timeout, bulkhead = TimeoutPolicy(0.05, in_thread=True), BulkheadPolicy(1, 0)
    begun, released = threading.Event(), threading.Event()

    @ResiliencePipeline(timeout, bulkhead).apply
    def work() -> bool:
        begun.set()
        return released.wait(20)

    while not begun.is_set():  # on a busy machine its thread may not begin in time
        with pytest.raises(OperationTimeoutError):
            work()
    timeout.reconfigure(seconds=20.0)
    with pytest.raises(BulkheadFullError):
        work()
    released.set()
    wait_until(lambda: bulkhead.snapshot().in_use == 0)
    assert work() is True


def test_what_a_function_left_behind_still_does_is_no_part_of_the_story() -> None:
    """The listener has heard of the end, and metrics have counted it; the attempts until then are counted."""
    timeout, bulkhead = TimeoutPolicy(0.05, in_thread=True), BulkheadPolicy(9)
    retry = RetryPolicy(backoff_strategy=ConstantBackoff(0.0))
    events: list[Event] = []
    released = threading.Event()

    def work(attempts: list[int]) -> None:
        attempts.append(1)
        if len(attempts) == 1:
            raise ConnectionError
        released.wait(20)

    pipeline = ResiliencePipeline(timeout, retry, bulkhead, TimeoutPolicy(0.01), on_event=events.append)
    attempts = list[int]()
    while len(attempts) < 2:  # on a busy machine its thread may not begin in time
        events.clear()
        attempts = []
        with pytest.raises(OperationTimeoutError) as raised:
            pipeline.call(work, attempts)
    heard = list(events)
    assert isinstance(heard[-1], OperationFinished)
    assert heard[-1].attempts == 2
    released.set()
    wait_until(lambda: bulkhead.snapshot().in_use == 0)
    assert events == heard == list(raised.value.timeline or ())


def test_in_a_thread_results_and_errors_pass() -> None:
    """With the traceback of the function."""
    policy = TimeoutPolicy(30.0, in_thread=True)
    assert policy.call(lambda: "done") == "done"

    def fail() -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine") as caught:
        policy.call(fail)
    assert caught.traceback[-1].name == "fail"

"""Calls that wait for a permit of the client's bulkhead, and what ends their wait."""

from __future__ import annotations

import asyncio
import pickle
import threading
from typing import Any

import pytest

from http_service_client import (
    BulkheadFullError,
    ClientClosedError,
    DeadlineExceededError,
    SentState,
    priority,
)
from http_service_client.core.layers.bulkhead import admit
from http_service_client.events import LimitWaited, RetryStopped, StopReason
from kit.bulkhead_calls import (
    harness_of,
    limits,
    once_a_call_waits,
    once_a_call_waits_for,
    reconfigure,
    taken,
)
from kit.fakes import ORIGIN, URL, FakeClock, Harness
from kit.front_ends import FrontEnd, run_task
from kit.rows import each_row


def test_a_call_that_finds_the_queue_full_is_refused_at_once(front_end: FrontEnd) -> None:
    """Nothing is sent, the error says why, and so do the timeline and what would have helped."""
    harness = harness_of(front_end)
    taken(harness)
    error = harness.error(BulkheadFullError)
    assert (harness.sends, error.sent_state, error.key, error.reason) == (
        0,
        SentState.NEVER_SENT,
        ORIGIN,
        "full",
    )
    assert error.retry_after is None
    assert "the bulkhead for https://api.example.com refused a call of normal priority" in str(error)
    assert "(1 of 1 permits in use, 0 waiting)" in str(error)
    (event,) = limits(harness)
    assert (event.limit, event.key) == ("bulkhead", ORIGIN)
    assert (
        "refused by the bulkhead of https://api.example.com (normal priority: there is no room in the queue)"
        in str(event)
    )
    assert (
        "would have been sent with room for 1 in the queue of the bulkhead (max_waiting), or with max_concurrent=2 of the bulkhead"
        in error.explain(why=True)
    )
    assert pickle.loads(pickle.dumps(error)).reason == "full"


def test_a_refusal_ends_the_retries_with_the_last_real_outcome(front_end: FrontEnd) -> None:
    """The 503 is what happened to the request that was sent. The circuit has no evidence of the refusal."""
    harness = harness_of(front_end, 503)
    harness.clock.sleep = lambda seconds: _and_take(harness, seconds)  # type: ignore[method-assign]
    response = harness.request()
    assert (response.status_code, response.attempts, harness.sends) == (503, 1, 1)
    (stopped,) = [event for event in harness.events if isinstance(event, RetryStopped)]
    assert stopped.reason is StopReason.REFUSED
    assert harness.state.breaker.snapshot().consecutive_failures == 1


def _and_take(harness: Harness, seconds: float) -> None:
    """While the call waits for its next attempt, another call takes the permit."""
    FakeClock.sleep(harness.clock, seconds)
    taken(harness)


def test_a_call_waits_for_a_permit(front_end: FrontEnd) -> None:
    """And says how long. The wait is no part of the attempt's time."""
    harness = harness_of(front_end, bulkhead={"max_waiting": 1, "max_wait": 20.0})
    permit = taken(harness)
    with once_a_call_waits(harness, permit.release):
        assert harness.request().status_code == 200
    (waited,) = limits(harness)
    assert (type(waited), waited.limit) == (LimitWaited, "bulkhead")
    assert harness.state.bulkhead.is_idle


def test_a_wait_ends_after_max_wait(front_end: FrontEnd) -> None:
    """Its place in the queue is free again."""
    harness = harness_of(front_end, bulkhead={"max_waiting": 1, "max_wait": 0.01})
    taken(harness)
    for _ in range(2):
        error = harness.error(BulkheadFullError)
        assert error.reason == "max_wait"
        assert "there was no permit within max_wait=0.01 s (1 of 1 permits in use, 0 waiting)" in str(error)
    assert harness.state.bulkhead.waiting == 0


def test_the_deadline_ends_a_wait(front_end: FrontEnd) -> None:
    """As it ends any other."""
    harness = harness_of(front_end, bulkhead={"max_waiting": 1, "max_wait": None})
    taken(harness)
    error = harness.error(DeadlineExceededError, total_timeout=0.01)
    assert "waited for a permit of the bulkhead for https://api.example.com" in str(error)
    assert (error.sent_state, harness.sends) == (SentState.NEVER_SENT, 0)
    assert harness.state.bulkhead.waiting == 0


@each_row(
    ("max_wait", "total_timeout", "passed", "wait", "error"),
    [
        (None, None, 0.0, None, None),
        (5.0, None, 0.0, 5.0, BulkheadFullError),
        (None, 3.0, 0.0, 3.0, DeadlineExceededError),
        (5.0, 3.0, 0.0, 3.0, DeadlineExceededError),
        (3.0, 3.0, 0.0, 3.0, DeadlineExceededError),
        (3.0, 5.0, 0.0, 3.0, BulkheadFullError),
        (3.0, 5.0, 3.0, 2.0, DeadlineExceededError),
        (3.0, 5.0, 5.0, 0.0, DeadlineExceededError),
        (3.0, 5.0, 6.0, 0.0, DeadlineExceededError),
    ],
)
def test_the_nearer_limit_ends_a_wait(
    front_end: FrontEnd,
    max_wait: float | None,
    total_timeout: float | None,
    passed: float,
    wait: float | None,
    error: Any,
) -> None:
    """That of the queue, or the deadline, and the error says which. Meanwhile the call counts as queued."""
    harness = harness_of(front_end, bulkhead={"max_waiting": 1, "max_wait": max_wait})
    taken(harness)
    call = harness.client._call_builder.build("GET", URL, total_timeout=total_timeout)
    harness.clock.now += passed
    permit = harness.state.bulkhead.permit()
    plan = admit(permit, call)
    acquire: Any = next(plan)
    assert (acquire.timeout, call.is_queued) == (wait, True)
    harness.clock.now += 1.5
    with pytest.raises(StopIteration) as ended:
        plan.send(error is None)
    assert [event.waited for event in call.events if isinstance(event, LimitWaited)] == [1.5] * (
        error is None
    )
    assert getattr(ended.value.value, "error_type", None) is error
    assert call.is_queued is (error is not None)  # what ends it later finds that it got no further
    permit.release()


def test_a_permit_that_became_free_in_between_is_no_wait(front_end: FrontEnd) -> None:
    """Nothing is recorded of it."""
    harness = harness_of(front_end, bulkhead={"max_waiting": 1})
    call = harness.client._call_builder.build("GET", URL)
    permit = harness.state.bulkhead.permit()
    with pytest.raises(StopIteration) as ended:
        next(admit(permit, call))
    assert (ended.value.value, permit.is_granted, limits(harness)) == (None, True, [])


def test_a_displaced_call_says_so_whatever_its_deadline(front_end: FrontEnd) -> None:
    """Its wait would have ended by the deadline, and ended before."""
    harness = harness_of(front_end, bulkhead={"max_waiting": 2, "max_wait": None})
    taken(harness)
    assert harness.state.bulkhead.permit().wait_later() is None  # the first in the queue is spared
    call = harness.client._call_builder.build("GET", URL, total_timeout=3.0)
    permit = harness.state.bulkhead.permit()
    plan = admit(permit, call)
    next(plan)
    assert harness.state.bulkhead.permit().wait_later(priority("high").level) is None
    with pytest.raises(StopIteration) as ended:
        plan.send(False)
    failure = ended.value.value
    assert (failure.error_type, failure.details["reason"]) == (BulkheadFullError, "displaced")


def test_a_waiter_is_displaced_by_a_more_important_call(front_end: FrontEnd) -> None:
    """The other one hears of it at once, on its own thread or loop."""
    harness = harness_of(front_end, bulkhead={"max_waiting": 2, "max_wait": 20.0})
    taken(harness)
    bulkhead = harness.state.bulkhead
    spared = bulkhead.permit()
    assert spared.wait_later(priority("low").level) is None

    def displace() -> None:
        while bulkhead.waiting < 2:
            threading.Event().wait(0.001)
        assert bulkhead.permit().wait_later(priority("high").level) is None

    other = threading.Thread(target=displace)
    other.start()
    with priority("low"):
        error = harness.error(BulkheadFullError)
    other.join()
    assert (error.reason, spared.was_displaced) == ("displaced", False)


def test_a_waiting_call_is_granted_when_the_client_gets_more_permits(front_end: FrontEnd) -> None:
    """Mid-wait."""
    harness = harness_of(front_end, bulkhead={"max_waiting": 1, "max_wait": 20.0})
    taken(harness)
    with once_a_call_waits(harness, lambda: reconfigure(harness, {"max_concurrent": 2})):
        assert harness.request().status_code == 200


def test_a_waiting_call_goes_on_when_the_bulkhead_is_switched_off(front_end: FrontEnd) -> None:
    """Mid-wait: it is not refused by a limit that is no more."""
    harness = harness_of(front_end, bulkhead={"max_waiting": 1, "max_wait": 5.0})
    permit = taken(harness)
    with once_a_call_waits_for(permit.bulkhead, lambda: reconfigure(harness, None)):
        assert harness.request().status_code == 200
    assert permit.is_held


def test_a_closed_client_ends_the_waits(front_end: FrontEnd) -> None:
    """With the error of any call to a closed client."""
    harness = harness_of(front_end, bulkhead={"max_waiting": 1, "max_wait": 20.0})
    taken(harness)
    with once_a_call_waits(harness, harness.client.close):
        harness.error(ClientClosedError)
    assert harness.sends == 0


def test_a_cancelled_wait_leaves_the_queue(front_end: FrontEnd) -> None:
    """A task that is cancelled, before or after its turn has come."""
    if front_end.name != "asyncio":
        pytest.skip("threads are not cancelled")
    harness = harness_of(front_end, bulkhead={"max_waiting": 1, "max_wait": 20.0})
    permit = taken(harness)

    async def main(is_granted: bool) -> None:
        task = asyncio.ensure_future(harness.calling()())
        while not harness.state.bulkhead.waiting:
            await asyncio.sleep(0)
        if is_granted:
            permit.release()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_task(main(False))
    assert (harness.state.bulkhead.in_use, harness.state.bulkhead.waiting) == (1, 0)
    run_task(main(True))
    assert harness.state.bulkhead.is_idle
    assert harness.sends == 0

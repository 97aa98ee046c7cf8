"""StopIteration of guarded code, which no generator can pass on: it is the caller's like any other exception."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import pytest

from http_service_client import (
    BulkheadPolicy,
    CircuitBreakerPolicy,
    CircuitOpenError,
    ConstantBackoff,
    FallbackPolicy,
    ResiliencePipeline,
    RetryCondition,
    RetryPolicy,
    TimeoutPolicy,
)
from http_service_client.events import Event, FallbackUsed, OperationFinished, RetryScheduled
from http_service_client.policies.strategy import Strategy
from kit.front_ends import run_task

RETRY = RetryPolicy(
    max_attempts=2,
    backoff_strategy=ConstantBackoff(0.0),
    retry_conditions=[RetryCondition.on_exceptions([StopIteration])],
)


@pytest.mark.parametrize(
    "new_policy",
    [
        lambda: BulkheadPolicy(max_concurrent=1),
        lambda: CircuitBreakerPolicy(),
        lambda: TimeoutPolicy(30.0),
        lambda: ResiliencePipeline(CircuitBreakerPolicy(), BulkheadPolicy(max_concurrent=1)),
    ],
)
def test_a_block_raises_what_it_raised(new_policy: Callable[[], Strategy]) -> None:
    """The `__next__` of an iterator may end in a guarded block."""
    error = StopIteration(3)
    with pytest.raises(StopIteration) as caught, new_policy():
        raise error
    assert caught.value is error
    assert error.__cause__ is error.__context__ is None
    error = StopIteration(4)

    async def block() -> None:
        async with new_policy():
            raise error

    # A coroutine cannot raise it: Python makes it the cause of an error of its own.
    with pytest.raises(RuntimeError, match="coroutine raised StopIteration") as caught_async:
        run_task(block())
    assert caught_async.value.__cause__ is error


def test_the_block_of_a_loop_is_repeated_and_raises_it() -> None:
    """A policy sees it as it sees another exception."""
    attempts = 0
    with pytest.raises(StopIteration) as caught:
        for attempt in ResiliencePipeline(RETRY).attempts():
            with attempt:
                attempts += 1
                raise StopIteration(attempts)
    assert (attempts, caught.value.value) == (2, 2)


def loop_that_ends_by_a_refusal() -> None:
    """The second attempt comes to nothing, so the first one's error is reported."""
    for attempt in RETRY.attempts():
        with attempt:
            if attempt.number == 1:
                raise StopIteration(1) from KeyError("cause")
            raise CircuitOpenError("open")


async def async_loop_that_ends_by_a_refusal() -> None:
    async for attempt in RETRY.attempts():
        async with attempt:
            if attempt.number == 1:
                raise StopIteration(1) from KeyError("cause")
            raise CircuitOpenError("open")


def test_a_loop_raises_that_of_an_attempt_before() -> None:
    """With its cause. A coroutine cannot raise it, so there it is the cause of Python's own RuntimeError."""
    with pytest.raises(StopIteration) as caught:
        loop_that_ends_by_a_refusal()
    assert (caught.value.value, type(caught.value.__cause__)) == (1, KeyError)
    with pytest.raises(RuntimeError, match="coroutine raised StopIteration") as caught_async:
        run_task(async_loop_that_ends_by_a_refusal())
    cause = caught_async.value.__cause__
    assert isinstance(cause, StopIteration)
    assert (cause.value, type(cause.__cause__)) == (1, KeyError)


def test_events_and_fallbacks_have_the_exception_itself() -> None:
    """And nothing that carries it through the plan."""
    events: list[Event] = []
    given: list[object] = []
    fallback = FallbackPolicy(function=given.append, failures=[StopIteration])
    error = StopIteration(1)

    def stop() -> None:
        raise error

    ResiliencePipeline(fallback, RETRY, on_event=events.append).call(stop)
    assert given == [error]
    assert [each.cause for each in events if isinstance(each, RetryScheduled)] == ["StopIteration"]
    assert [each.reason for each in events if isinstance(each, FallbackUsed)] == ["StopIteration"]
    with pytest.raises(StopIteration):
        ResiliencePipeline(TimeoutPolicy(30.0), on_event=events.append).call(stop)
    assert [each.error for each in events if isinstance(each, OperationFinished)] == [None, "StopIteration"]


def test_its_cause_stays_and_it_keeps_nothing_alive() -> None:
    """Without the help of the garbage collector."""

    class Local:
        pass

    locals_: list[weakref.ref[Local]] = []
    causes: list[type] = []
    policy = BulkheadPolicy(max_concurrent=1)

    def stop() -> None:
        local = Local()
        locals_.append(weakref.ref(local))
        raise StopIteration from KeyError("cause")

    def call() -> None:
        try:
            policy.call(stop)
        except StopIteration as error:
            causes.append(type(error.__cause__))

    gc.disable()
    try:
        call()
        assert (locals_[0](), causes) == (None, [KeyError])
    finally:
        gc.enable()

"""A limit on how long a function may take: its errors, its settings, and what a task sees of its end."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import gc
import pickle
import sys
import time
import weakref
from typing import Any

import pytest

from http_service_client import (
    CircuitBreakerPolicy,
    CircuitOpenError,
    ConfigurationError,
    ConstantBackoff,
    DeadlineExceededError,
    HttpRequest,
    HttpResponse,
    HttpServiceClient,
    OperationTimeoutError,
    ResiliencePipeline,
    RetryPolicy,
    SentState,
    TimeoutPolicy,
    deadline,
)
from http_service_client.core.deadline import AMBIENT_DEADLINE
from http_service_client.drivers import functions
from http_service_client.events import Event, OperationTimedOut
from http_service_client.testing import ScriptedTransport, VirtualClock, late
from kit.front_ends import FrontEnd, run_task
from kit.rows import each_row
from kit.timeouts import TIGHT, hang


def test_the_error_says_what_took_too_long() -> None:
    """It is a TimeoutError, names the function and the limit that was set, and pickles."""
    policy = TimeoutPolicy(TIGHT, name="prices")
    with pytest.raises(TimeoutError, match=r"^hang \(prices\) took longer than 0\.02 s$") as caught:
        asyncio.run(policy.call_async(hang))
    error = caught.value
    assert isinstance(error, OperationTimeoutError)
    assert (error.key, error.timeout, error.sent_state) == ("prices", TIGHT, SentState.MAYBE_PROCESSED)
    twin = pickle.loads(pickle.dumps(error))
    assert (twin.key, twin.timeout, str(twin)) == ("prices", TIGHT, str(error))


def test_a_limit_that_is_over_at_once_cuts_the_function_in_its_first_wait() -> None:
    """A nanosecond has passed before it is called."""
    with pytest.raises(OperationTimeoutError):
        asyncio.run(TimeoutPolicy(1e-9).call_async(asyncio.sleep, 0.1))


@pytest.mark.filterwarnings("ignore:TimeoutPolicy.* never expires")
def test_the_limit_that_expired_is_named() -> None:
    """Of nested ones; the inner one here, though the outer one is almost over."""
    pipeline = ResiliencePipeline(TimeoutPolicy(30.0), TimeoutPolicy(TIGHT), TimeoutPolicy(20.0))
    with pytest.raises(OperationTimeoutError, match=r"took longer than 0\.02 s"):
        asyncio.run(pipeline.call_async(hang))
    pipeline = ResiliencePipeline(TimeoutPolicy(TIGHT), TimeoutPolicy(30.0))
    with pytest.raises(OperationTimeoutError, match=r"took longer than 0\.02 s"):
        asyncio.run(pipeline.call_async(hang))


def test_a_call_keeps_the_limit_that_it_began_with() -> None:
    """Its error and its event name it, also when the policy is reconfigured meanwhile."""
    clock, policy = VirtualClock(), TimeoutPolicy(2.0)
    events: list[Event] = []

    def slow() -> None:
        policy.reconfigure(seconds=9.0, in_thread=True)
        clock.advance(3.0)
        raise DeadlineExceededError("late")

    pipeline = ResiliencePipeline(policy, clock=clock, on_event=events.append)
    with pytest.raises(OperationTimeoutError, match=r"took longer than 2 s$") as caught:
        pipeline.call(slow)
    assert caught.value.timeout == 2.0
    assert [event.timeout for event in events if isinstance(event, OperationTimedOut)] == [2.0]


@each_row("seconds", [0, -1.0, None, float("nan"), float("inf"), "2", True])
def test_a_wrong_duration_is_refused(seconds: Any) -> None:
    """With its name and value; a change by `reconfigure`, too."""
    with pytest.raises(ConfigurationError, match=f"^seconds must be .* not {seconds!r}"):
        TimeoutPolicy(seconds)
    policy = TimeoutPolicy(1.0)
    with pytest.raises(ConfigurationError, match="seconds must be"):
        policy.reconfigure(seconds=seconds)
    assert policy.settings.seconds == 1.0


def test_other_words_are_suggested() -> None:
    """Those of other libraries."""
    with pytest.raises(TypeError, match="'timeout'; it is called seconds"):
        TimeoutPolicy(timeout=5)  # type: ignore[call-arg]
    with pytest.raises(ConfigurationError, match="in_thread must be True or False"):
        TimeoutPolicy(5, in_thread="yes")  # type: ignore[arg-type]


def test_a_policy_is_a_value() -> None:
    """A copy and a pickle are equal to it."""
    policy = TimeoutPolicy(2.0, in_thread=True, name="prices")
    for twin in (copy.copy(policy), copy.deepcopy(policy), pickle.loads(pickle.dumps(policy))):
        assert twin == policy
        assert twin.settings == policy.settings
    assert policy != TimeoutPolicy(3.0, in_thread=True, name="prices")


def test_the_function_sees_its_cancellation() -> None:
    """It cleans up before the error is raised, in the same task and context."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="")
    notes: list[Any] = []

    async def work() -> None:
        notes.append(asyncio.current_task())
        variable.set("set inside")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            notes.append("cancelled")
            raise

    async def main() -> None:
        with pytest.raises(OperationTimeoutError):
            await TimeoutPolicy(TIGHT).call_async(work)
        notes.append(asyncio.current_task())
        if sys.version_info >= (3, 11):
            assert notes[0] is notes[2]  # no task for each call
            assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]  # one runs
            assert variable.get() == "set inside"
        await asyncio.sleep(0)  # nothing of the cancellation is left

    asyncio.run(main())
    assert notes[1] == "cancelled"


def test_an_error_of_the_clean_up_is_raised() -> None:
    """As without the policy; and a function that ignores its cancellation returns its late result."""

    async def fails() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            raise KeyError("clean-up")

    async def ignores() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass
        return "late"

    async def main() -> None:
        policy = TimeoutPolicy(TIGHT)
        if sys.version_info >= (3, 11):
            with pytest.raises(KeyError, match="clean-up"):
                await policy.call_async(fails)
            assert await policy.call_async(ignores) == "late"
            assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]  # one runs
        await asyncio.sleep(0)

    asyncio.run(main())


@pytest.mark.parametrize("order", ["timeout first", "cancel first"])
def test_a_cancellation_at_the_same_instant_is_not_swallowed(order: str) -> None:
    """Whichever of the two comes first, the task ends as cancelled."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        begun = loop.create_future()

        async def work() -> None:
            begun.set_result(None)
            await asyncio.sleep(60)

        async def call() -> None:
            await TimeoutPolicy(0.3).call_async(work)

        task = asyncio.ensure_future(call())
        await begun
        if order == "timeout first":
            loop.call_later(0.15, lambda: time.sleep(0.2))  # the loop is busy while the time runs out
            loop.call_later(0.3001, task.cancel)
        else:
            loop.call_later(0.15, lambda: (time.sleep(0.2), task.cancel()))
        await asyncio.wait([task])
        assert task.cancelled()

    asyncio.run(main())


def test_its_own_timeout_error_is_not_mistaken(front_end: FrontEnd) -> None:
    """One that the function raises, for a reason of its own, passes."""

    def fail() -> None:
        raise TimeoutError("mine")

    guarded = TimeoutPolicy(30.0).apply(front_end.function(fail))
    with pytest.raises(TimeoutError, match="mine") as caught:
        front_end.run(guarded)
    assert type(caught.value) is TimeoutError


def test_nothing_is_left_behind() -> None:
    """No timer, no task, no deadline, and no reference to the result."""

    class Result:
        pass

    async def main() -> None:
        async def make() -> Result:
            await asyncio.sleep(0)
            return Result()

        result = await TimeoutPolicy(30.0).call_async(make)
        reference = weakref.ref(result)
        del result
        gc.collect()
        assert reference() is None
        assert len(asyncio.all_tasks()) == 1
        assert AMBIENT_DEADLINE.get() is None
        wheel = functions._ASYNCIO._timers.get(asyncio.get_running_loop())
        assert wheel is None or not any(wheel._by_second.values())

    asyncio.run(main())


def test_a_clients_calls_inside_end_by_it(front_end: FrontEnd) -> None:
    """The policy's error names its own limit, and says what the call knew of its request."""
    clock = VirtualClock()
    client = front_end.client(
        transport=ScriptedTransport([late(60.0, HttpResponse(200))], clock=clock),
        clock=clock,
        enable_retry_policy=False,
    )
    call = front_end.calling(client, "POST", "https://api.example.com/charges")
    policy = TimeoutPolicy(2.0, clock=clock)
    with pytest.raises(OperationTimeoutError, match="took longer than 2 s") as caught:
        front_end.run(policy.apply(call))
    assert isinstance(caught.value.__cause__, DeadlineExceededError)
    assert caught.value.__cause__.sent_state is SentState.ABANDONED
    assert caught.value.sent_state is SentState.MAYBE_PROCESSED
    assert clock.monotonic() == pytest.approx(2.0)


def test_a_circuit_outside_sees_a_service_that_hangs(front_end: FrontEnd) -> None:
    """By the calls of a client as well, which know the limit as a deadline, and that is no evidence by itself."""
    clock = VirtualClock()
    client = front_end.client(
        transport=ScriptedTransport([late(60.0, HttpResponse(200))], clock=clock),
        clock=clock,
        enable_retry_policy=False,
    )
    call = front_end.calling(client, "GET", "https://api.example.com/")
    circuit = CircuitBreakerPolicy(failure_threshold=1, clock=clock.monotonic)
    guarded = ResiliencePipeline(circuit, TimeoutPolicy(2.0), clock=clock).apply(call)
    with pytest.raises(OperationTimeoutError):
        front_end.run(guarded)
    with pytest.raises(CircuitOpenError):
        front_end.run(guarded)


def test_a_deadline_around_it_is_the_callers_own(front_end: FrontEnd) -> None:
    """A call that ends by an earlier deadline has not used up this limit."""
    clock = VirtualClock()
    client = front_end.client(
        transport=ScriptedTransport([late(60.0, HttpResponse(200))], clock=clock),
        clock=clock,
        enable_retry_policy=False,
    )
    call = front_end.calling(client, "GET", "https://api.example.com/")
    guarded = TimeoutPolicy(20.0, clock=clock).apply(call)
    with deadline(2.0), pytest.raises(DeadlineExceededError):
        front_end.run(guarded)


def test_an_async_function_needs_no_thread() -> None:
    """It is cancelled, whatever `in_thread` says."""
    with pytest.raises(OperationTimeoutError, match=r"took longer than 0\.02 s$"):
        asyncio.run(TimeoutPolicy(TIGHT, in_thread=True).call_async(hang))


def test_a_retry_outside_repeats_a_timeout() -> None:
    """A timeout is one of the reasons that a RetryPolicy has by default."""
    calls: list[int] = []

    async def slow_at_first() -> str:
        calls.append(1)
        if len(calls) == 1:
            await asyncio.sleep(60)
        return "ok"

    retry = RetryPolicy(max_attempts=2, backoff_strategy=ConstantBackoff(0.001))
    pipeline = ResiliencePipeline(retry, TimeoutPolicy(TIGHT))
    assert asyncio.run(pipeline.call_async(slow_at_first)) == "ok"


def test_a_function_in_virtual_time_is_cut_there() -> None:
    """Its timeout is no wait of the client."""
    clock = VirtualClock()
    pipeline = ResiliencePipeline(TimeoutPolicy(2.0), clock=clock)
    with pytest.raises(OperationTimeoutError):
        asyncio.run(pipeline.call_async(clock.elapse_async, 60.0))
    assert (clock.monotonic(), clock.waits) == (2.0, [])
    asyncio.run(pipeline.call_async(clock.elapse_async, 1.0))
    assert clock.monotonic() == 3.0


def test_many_tasks_share_a_policy() -> None:
    """Each has its own time, and its own deadline."""
    policy = TimeoutPolicy(0.05)

    async def work(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "ok"

    async def main() -> list[Any]:
        calls = [policy.call_async(work, 60.0 if number % 2 else 0.0) for number in range(200)]
        return await asyncio.gather(*calls, return_exceptions=True)

    results = asyncio.run(main())
    assert [isinstance(each, OperationTimeoutError) for each in results] == [False, True] * 100


def test_a_request_in_the_error_is_that_of_the_call_inside(front_end: FrontEnd) -> None:
    """Found through the cause, as of every error that stems from a call."""
    clock = VirtualClock()
    with HttpServiceClient(
        transport=ScriptedTransport([late(60.0, HttpResponse(200))], clock=clock), clock=clock
    ) as client:
        policy = TimeoutPolicy(2.0, clock=clock)
        with pytest.raises(OperationTimeoutError) as caught:
            policy.call(client.get, "https://api.example.com/")
    cause: Any = caught.value.__cause__
    assert isinstance(cause.request, HttpRequest)


@pytest.mark.parametrize(("name", "key"), [("own", "own"), ("", "of the pipeline")], ids=["named", "unnamed"])
def test_the_error_has_the_name_of_its_policy(name: str, key: str) -> None:
    """Or that of the pipeline, where the policy has none."""
    pipeline = ResiliencePipeline(TimeoutPolicy(0.001, name=name), name="of the pipeline")
    with pytest.raises(
        OperationTimeoutError, match=rf"^sleep \({key}\) took longer than 0\.001 s$"
    ) as raised:
        run_task(pipeline.call_async(asyncio.sleep, 60.0))
    assert raised.value.key == key

"""Several policies around one function."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading
from typing import Any

import pytest

from http_service_client import (
    CircuitBreakerPolicy,
    CircuitOpenError,
    ConfigurationError,
    ConnectError,
    ConstantBackoff,
    HttpResponse,
    MetricsCollector,
    PipelineRegistry,
    ResiliencePipeline,
    RetryCondition,
    RetryPolicy,
)
from http_service_client.core.effects import Plan
from http_service_client.core.operation import Operation, Proceed
from http_service_client.events import (
    CircuitRefused,
    Event,
    OperationFinished,
    RetryScheduled,
    RetryStopped,
    Timeline,
)
from http_service_client.policies.strategy import Strategy
from http_service_client.testing import VirtualClock
from kit.front_ends import FrontEnd
from kit.guarded import Failing, PaymentError, breaking, retrying


class Noted(Strategy):
    """A strategy that notes when what it guards begins and ends."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self.name, self.notes = name, notes

    def guard(self, proceed: Proceed, operation: Operation) -> Plan[Any]:
        self.notes.append(f"{self.name} begins")
        try:
            return (yield from proceed(operation))
        finally:
            self.notes.append(f"{self.name} ends")


def test_the_first_policy_is_the_outermost(front_end: FrontEnd) -> None:
    """The others stand inside it, in their order."""
    notes: list[str] = []
    pipeline = ResiliencePipeline(Noted("outer", notes), Noted("inner", notes))
    guarded = pipeline.apply(front_end.function(lambda: notes.append("function")))
    front_end.run(guarded)
    assert notes == ["outer begins", "inner begins", "function", "inner ends", "outer ends"]


def test_arguments_and_results_pass_through(front_end: FrontEnd) -> None:
    """As if nothing stood around the function."""
    guarded = ResiliencePipeline(retrying(), breaking()).apply(
        front_end.function(lambda *args, **kwargs: (args, kwargs))
    )
    assert front_end.run(lambda: guarded(1, 2, three=3)) == ((1, 2), {"three": 3})


def test_a_retry_repeats_what_stands_inside(front_end: FrontEnd) -> None:
    """Each attempt asks the breaker; the policy's own loop and the plan make the same attempts."""
    failing = Failing(2)
    breaker = breaking(5)
    assert (
        front_end.run(ResiliencePipeline(retrying(3), breaker).apply(front_end.function(failing))) == "done"
    )
    assert failing.calls == 3
    assert (breaker.snapshot().failures, breaker.snapshot().successes) == (2, 1)


def test_the_last_error_is_raised(front_end: FrontEnd) -> None:
    """And not one of those before."""
    errors = [PaymentError(number) for number in range(3)]
    left = list(errors)

    def fail() -> None:
        raise left.pop(0)

    with pytest.raises(PaymentError) as caught:
        front_end.run(ResiliencePipeline(retrying(3)).apply(front_end.function(fail)))
    assert caught.value is errors[2]
    assert left == []


def test_a_response_is_judged_as_one_of_a_client_is(front_end: FrontEnd) -> None:
    """By the default conditions; any other result is one."""
    results: list[Any] = [HttpResponse(503), HttpResponse(200), 503]
    guarded = ResiliencePipeline(RetryPolicy(3, ConstantBackoff(0.0))).apply(
        front_end.function(lambda: results.pop(0))
    )
    assert front_end.run(guarded).status_code == 200
    assert front_end.run(guarded) == 503


def test_a_refusal_ends_the_attempts(front_end: FrontEnd) -> None:
    """The error of the attempt before is reported, and not that of the circuit that opened since."""
    failing = Failing(9)
    with pytest.raises(PaymentError):
        front_end.run(ResiliencePipeline(retrying(3), breaking(1)).apply(front_end.function(failing)))
    assert failing.calls == 1


def test_events_go_to_the_listener(front_end: FrontEnd) -> None:
    """With one id for all of an operation."""
    events: list[Event] = []
    breaker = breaking(2, name="payments")
    pipeline = ResiliencePipeline(retrying(2), breaker, name="charge", on_event=events.append)
    guarded = pipeline.apply(front_end.function(Failing(9)))
    for _ in range(2):
        with pytest.raises((PaymentError, CircuitOpenError)):
            front_end.run(guarded)
    assert [(type(event), event.key) for event in events] == [
        (RetryScheduled, "charge"), (RetryStopped, "charge"), (OperationFinished, "charge"),
        (CircuitRefused, "payments"), (OperationFinished, "charge"),
    ]  # fmt: skip
    assert len({event.call_id for event in events[:3]}) == len({event.call_id for event in events[3:]}) == 1
    assert events[0].call_id != events[3].call_id
    assert [event.error for event in events if isinstance(event, OperationFinished)] == [
        "PaymentError", "CircuitOpenError",
    ]  # fmt: skip


def test_waits_go_by_the_clock_of_the_policies(front_end: FrontEnd) -> None:
    """A pipeline takes theirs."""
    clock = VirtualClock()
    conditions = [RetryCondition.on_exceptions([PaymentError])]
    retry = RetryPolicy(3, ConstantBackoff(5.0, jitter="none"), conditions, clock=clock)
    front_end.run(ResiliencePipeline(retry).apply(front_end.function(Failing(2))))
    assert clock.waits == [5.0, 5.0]


def test_policies_on_different_clocks_are_refused() -> None:
    """What one remembers would be of another time than what it waits for."""
    with pytest.raises(ConfigurationError, match="the same clock"):
        ResiliencePipeline(RetryPolicy(clock=VirtualClock()), CircuitBreakerPolicy())
    clock = VirtualClock()
    ResiliencePipeline(RetryPolicy(clock=clock), CircuitBreakerPolicy(clock=clock.monotonic))


@pytest.mark.parametrize("wrong", [(), ("retry",), (RetryPolicy,), (RetryPolicy(), None)])
def test_a_pipeline_is_made_of_policies(wrong: tuple[Any, ...]) -> None:
    """Anything else is said to be wrong at once."""
    with pytest.raises(ConfigurationError, match="ResiliencePipeline"):
        ResiliencePipeline(*wrong)


def test_a_pipeline_in_a_pipeline_stands_for_its_policies() -> None:
    """So orders are checked, and plans composed, as if they had been written out."""
    retry, breaker = RetryPolicy(), CircuitBreakerPolicy()
    assert ResiliencePipeline(ResiliencePipeline(retry), breaker).strategies == (retry, breaker)


def test_a_stop_iteration_of_the_function_is_raised() -> None:
    """A plan is a generator, but the caller does not notice."""
    empty: Any = iter(())
    with pytest.raises(StopIteration):
        ResiliencePipeline(breaking(5)).call(next, empty)


def test_cancellation_is_no_evidence_and_is_not_swallowed() -> None:
    """The permit is free again at once."""
    breaker = breaking(1)
    pipeline = ResiliencePipeline(retrying(3), breaker)

    async def main() -> None:
        task = asyncio.ensure_future(pipeline.call_async(asyncio.sleep, 60))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert breaker.snapshot().abandoned == 1


def test_an_interruption_in_the_function_releases_what_is_held() -> None:
    """Ctrl-C goes through all policies."""
    breaker = breaking(1)
    with pytest.raises(KeyboardInterrupt):
        ResiliencePipeline(retrying(3), breaker).call(Failing(1, KeyboardInterrupt()))
    assert ResiliencePipeline(retrying(3), breaker).call(lambda: "fine") == "fine"


def test_threads_share_a_pipeline() -> None:
    """Each call has a plan of its own."""
    guarded = ResiliencePipeline(retrying(3), breaking(1000)).apply(lambda number: number)
    results: list[int] = []
    threads = [
        threading.Thread(
            target=lambda start: results.extend(map(guarded, range(start, start + 200))), args=(n,)
        )
        for n in range(0, 1600, 200)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == list(range(1600))


def test_policies_of_a_pipeline_are_still_values() -> None:
    """A use alone or in a pipeline changes neither equality nor what is pickled."""
    retry = RetryPolicy()
    ResiliencePipeline(retry).call(int)
    retry.call(int)
    assert pickle.loads(pickle.dumps(retry)) == retry == copy.deepcopy(retry)


def test_a_retry_is_listened_to(front_end: FrontEnd) -> None:
    """Where no client's call pays for it, its events are the pipeline's."""
    events: list[Event] = []
    pipeline = ResiliencePipeline(retrying(3), name="charge", on_event=events.append)
    front_end.run(pipeline.apply(front_end.function(Failing(1))))
    scheduled, finished = events
    assert isinstance(scheduled, RetryScheduled)
    assert isinstance(finished, OperationFinished)
    assert (scheduled.key, finished.attempts, finished.error) == ("charge", 2, None)


def test_a_refusal_explains_itself(front_end: FrontEnd) -> None:
    """Its error has the timeline of the operation."""
    breaker = breaking(1, name="payments")
    breaker.isolate()
    guarded = ResiliencePipeline(retrying(2), breaker).apply(front_end.function(int))
    with pytest.raises(CircuitOpenError) as caught:
        front_end.run(guarded)
    assert "refused by the circuit breaker for payments (isolated)" in caught.value.explain()


def test_an_error_that_has_a_timeline_keeps_it(front_end: FrontEnd) -> None:
    """That of a client's call is the story of its request."""
    error, own = ConnectError("no route"), Timeline(())
    error.timeline = own
    pipeline = ResiliencePipeline(RetryPolicy(2, ConstantBackoff(0.0)))
    with pytest.raises(ConnectError):
        front_end.run(pipeline.apply(front_end.function(Failing(9, error))))
    assert error.timeline is own


def test_an_error_without_a_story_has_no_timeline(front_end: FrontEnd) -> None:
    """Nothing happened but the error itself."""
    error = ConnectError("no route")
    with pytest.raises(ConnectError):
        front_end.run(ResiliencePipeline(breaking()).apply(front_end.function(Failing(9, error))))
    assert error.timeline is None


def test_a_collector_counts_operations(front_end: FrontEnd) -> None:
    """As it counts the calls of a client."""
    collector = MetricsCollector()
    pipeline = ResiliencePipeline(retrying(1), name="charge", on_event=collector.collect)
    front_end.run(pipeline.apply(front_end.function(Failing(0))))
    with pytest.raises(PaymentError):
        front_end.run(pipeline.apply(front_end.function(Failing(9))))
    count = collector.metrics.total
    assert count("http_operations_total", {"service": "charge", "error": ""}) == 1
    assert count("http_operations_total", {"service": "charge", "error": "PaymentError"}) == 1


def test_policies_are_exchanged_while_calls_go_on(front_end: FrontEnd) -> None:
    """Functions that are guarded already follow, and a policy that stays keeps its state."""
    breaker = breaking(1)
    pipeline = ResiliencePipeline(breaker)
    failing = Failing(1)
    guarded = pipeline.apply(front_end.function(failing))
    with pytest.raises(PaymentError):
        front_end.run(guarded)
    pipeline.reconfigure(retrying(3), breaker)
    assert pipeline.strategies[1] is breaker
    with pytest.raises(CircuitOpenError):
        front_end.run(guarded)
    pipeline.reconfigure(retrying(3))
    assert front_end.run(guarded) == "done"


def test_a_wrong_change_changes_nothing() -> None:
    """It is found before anything is exchanged."""
    pipeline = ResiliencePipeline(retrying(3))
    before = pipeline.strategies
    with pytest.raises(ConfigurationError):
        pipeline.reconfigure()
    with pytest.raises(ConfigurationError, match="the same clock"):
        pipeline.reconfigure(RetryPolicy(clock=VirtualClock()))
    assert pipeline.strategies == before


def test_a_registry_finds_pipelines_by_name() -> None:
    """Each name once; what is looked for in vain is answered with what there is."""
    registry = PipelineRegistry()
    payments = registry.add(ResiliencePipeline(retrying(), name="payments"))
    assert registry["payments"] is payments
    assert list(registry) == ["payments"]
    assert "rates" not in registry
    with pytest.raises(KeyError, match="known: 'payments'"):
        registry["payment"]
    with pytest.raises(ConfigurationError, match="there is a pipeline of this name"):
        registry.add(ResiliencePipeline(retrying(), name="payments"))
    with pytest.raises(ConfigurationError, match="needs a name"):
        registry.add(ResiliencePipeline(retrying()))
    registry.add(ResiliencePipeline(retrying(), name="rates"))
    with pytest.raises(KeyError, match="known: 'payments', 'rates'"):
        registry["payment"]
    assert registry.pop("payments") is payments
    registry.pop("rates")
    assert len(registry) == 0
    with pytest.raises(KeyError, match="known: there are none yet"):
        registry["payments"]

"""A fallback around a function."""

from __future__ import annotations

import asyncio
import copy
import pickle
from functools import partial
from typing import Any

import pytest

from http_service_client import (
    CircuitBreakerPolicy,
    ConfigurationError,
    ConnectError,
    ConstantBackoff,
    FallbackPolicy,
    HttpRequest,
    HttpResponse,
    ReadTimeoutError,
    ResiliencePipeline,
    RetryPolicy,
    deadline,
)
from http_service_client.errors import SentState
from http_service_client.events import Event, FallbackSource, FallbackUsed, OperationFinished
from http_service_client.testing import VirtualClock
from kit.front_ends import FrontEnd

NO_ROUTE = ConnectError("no route")


class Service:
    """A function that returns or raises what it is told to, and the policy around it in virtual time."""

    def __init__(self, front_end: FrontEnd, *script: Any, **settings: Any) -> None:
        self.front_end, self.script = front_end, list(script)
        self.clock = VirtualClock()
        self.policy = FallbackPolicy(**settings)
        self.events: list[Event] = []
        self.pipeline = ResiliencePipeline(self.policy, name="prices", clock=self.clock, on_event=self._note)
        self._guarded = self.pipeline.apply(front_end.function(self._price))

    def _note(self, event: Event) -> None:
        if not isinstance(event, OperationFinished):
            self.events.append(event)

    def _price(self, *args: Any, **kwargs: Any) -> Any:
        outcome = self.script.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def call(self, *args: Any, **kwargs: Any) -> Any:
        return self.front_end.run(partial(self._guarded, *args, **kwargs))

    @property
    def used(self) -> FallbackUsed:
        (event,) = self.events
        assert isinstance(event, FallbackUsed)
        return event


def test_a_value_stands_in_for_an_exception(front_end: FrontEnd) -> None:
    """The event says for which, and what became of the request inside."""
    request = HttpRequest("GET", "https://api.example.com/prices")
    error = ReadTimeoutError("slow", request=request, sent_state=SentState.MAYBE_PROCESSED)
    service = Service(front_end, error, value=[])
    assert service.call() == []
    assert service.used[2:7] == (
        "prices",
        FallbackSource.VALUE,
        "ReadTimeoutError",
        SentState.MAYBE_PROCESSED,
        None,
    )
    assert str(service.used) == "the fallback stands in for ReadTimeoutError (maybe processed): its value"


def test_a_result_passes(front_end: FrontEnd) -> None:
    """And any error that the fallback does not cover."""
    service = Service(front_end, 5, TypeError("a bug"), value=None)
    assert service.call() == 5
    with pytest.raises(TypeError, match="a bug"):
        service.call()
    assert service.events == []


def test_a_response_that_fails_is_a_failure(front_end: FrontEnd) -> None:
    """A function may return it, and not raise."""
    service = Service(front_end, HttpResponse(503), HttpResponse(404), value="instead")
    assert service.call() == "instead"
    assert (service.used.reason, service.used.sent_state) == ("status 503", SentState.ANSWERED)
    assert service.call().status_code == 404


def test_a_response_that_fails_is_the_result_where_nothing_stands_in(front_end: FrontEnd) -> None:
    """As an error is raised: there is no last good result yet."""
    response = HttpResponse(503)
    service = Service(front_end, response, last_good=60.0)
    assert service.call() is response
    assert service.events == []


def test_a_post_that_may_have_been_processed_is_not_hidden(front_end: FrontEnd) -> None:
    """Neither its error nor its response; unless the policy says that this is meant."""
    request = HttpRequest("POST", "https://api.example.com/charges")
    error = ReadTimeoutError("slow", request=request, sent_state=SentState.MAYBE_PROCESSED)
    response = HttpResponse(500, request=request)
    service = Service(front_end, error, response, value=None)
    with pytest.raises(ReadTimeoutError):
        service.call()
    assert service.call() is response
    service = Service(front_end, error, response, value="hidden", unsafe_methods=True)
    assert [service.call(), service.call()] == ["hidden", "hidden"]


@pytest.mark.parametrize("is_async", [False, True])
def test_a_function_gets_the_error_and_the_arguments(front_end: FrontEnd, is_async: bool) -> None:
    """It may be async around a plain function, too, and takes what it needs."""

    def stand_in(error: BaseException, sku: str, *, currency: str = "EUR") -> Any:
        return type(error).__name__, sku, currency

    async def stand_in_async(error: BaseException, sku: str, *, currency: str = "EUR") -> Any:
        await asyncio.sleep(0)
        return stand_in(error, sku, currency=currency)

    service = Service(front_end, NO_ROUTE, NO_ROUTE, function=stand_in_async if is_async else stand_in)
    assert service.call("a1") == ("ConnectError", "a1", "EUR")
    assert service.call("a2", currency="USD") == ("ConnectError", "a2", "USD")


def test_a_function_of_one_argument_gets_the_error_alone(front_end: FrontEnd) -> None:
    """Whatever the guarded function takes."""
    service = Service(front_end, NO_ROUTE, function=lambda error: error)
    assert service.call("a1") is NO_ROUTE


def test_a_function_may_decline(front_end: FrontEnd) -> None:
    """By raising the error that it was given: the caller sees that one, and no event."""

    def stand_in(error: BaseException) -> None:
        raise error

    service = Service(front_end, ConnectError("mine"), function=stand_in)
    with pytest.raises(ConnectError, match="mine") as caught:
        service.call()
    assert caught.value.__context__ is None
    assert service.events == []


def test_a_fallback_that_raises_shows_both_errors(front_end: FrontEnd) -> None:
    """Its own is raised, with the failure as its context."""

    def stand_in(error: BaseException) -> None:
        try:
            {}["copy"]  # type: ignore[misc]
        except KeyError as missing:
            raise LookupError("no copy") from missing

    service = Service(front_end, NO_ROUTE, function=stand_in)
    with pytest.raises(LookupError, match="no copy") as caught:
        service.call()
    cause = caught.value.__cause__
    assert isinstance(cause, KeyError)
    assert cause.__context__ is NO_ROUTE
    assert service.events == []


def test_cancellation_is_never_replaced() -> None:
    """Nor any other way in which the caller ends the call."""
    policy = FallbackPolicy(value=None, is_failure=lambda outcome: True)

    async def main() -> None:
        entered = asyncio.Event()

        @policy.apply
        async def hang() -> None:
            entered.set()
            await asyncio.sleep(60)

        task = asyncio.create_task(hang())
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    with pytest.raises(KeyboardInterrupt):
        policy.call(_interrupted)


def _interrupted() -> None:
    raise KeyboardInterrupt


def test_the_last_good_result_stands_in_for_equal_arguments(front_end: FrontEnd) -> None:
    """While it is not too old; the value is for the others."""
    service = Service(front_end, 10, 20, NO_ROUTE, NO_ROUTE, NO_ROUTE, last_good=60.0, value=None)
    assert [service.call("a"), service.call("b")] == [10, 20]
    service.clock.advance(30.0)
    assert service.call("a") == 10
    assert (service.used.source, service.used.age) == (FallbackSource.LAST_GOOD, 30.0)
    assert service.call("c") is None
    service.clock.advance(31.0)
    assert service.call("b") is None


def test_a_key_of_its_own_may_choose_the_result(front_end: FrontEnd) -> None:
    """A function of the arguments; so arguments that cannot be hashed may be passed."""
    service = Service(front_end, 10, NO_ROUTE, last_good=60.0, key=lambda query: query["sku"])
    assert [service.call({"sku": "a", "trace": 1}), service.call({"sku": "a", "trace": 2})] == [10, 10]
    service = Service(front_end, last_good=60.0)
    with pytest.raises(
        TypeError, match=r"argument 1 of .*_price is a dict, which cannot be hashed.*or key=,"
    ):
        service.call({"sku": "a"})


def test_the_results_of_two_functions_are_apart() -> None:
    """One policy may guard both."""
    policy = FallbackPolicy(last_good=60.0, value="none")
    assert policy.call(str.upper, "a") == "A"
    assert policy.call(_no_route, "a") == "none"


def _no_route(*args: Any) -> None:
    raise NO_ROUTE


def test_results_may_be_forgotten_and_their_number_changed() -> None:
    """While the policy is in use."""
    policy = FallbackPolicy(last_good=60.0, value="none")
    outcomes = {"a": 1, "b": 2}

    @policy.apply
    def find(name: str) -> Any:
        return outcomes[name] if outcomes else _no_route()

    assert [find("a"), find("b")] == [1, 2]
    outcomes.clear()
    policy.reconfigure(max_entries=1)
    assert [find("a"), find("b")] == ["none", 2]
    policy.clear()
    assert find("b") == "none"
    policy.reconfigure(value="changed", is_failure=lambda outcome: isinstance(outcome, ConnectError))
    assert find("b") == "changed"


def test_a_result_on_its_way_is_forgotten_too(front_end: FrontEnd) -> None:
    """It may be that of a user who has left."""
    policy = FallbackPolicy(last_good=60.0, value="none")
    states = iter(("leaves", "fails", "stays", "fails"))

    def find() -> str:
        state = next(states)
        if state == "fails":
            _no_route()
        if state == "leaves":
            policy.clear()
        return state

    guarded = policy.apply(front_end.function(find))
    assert [front_end.run(guarded) for _ in range(4)] == ["leaves", "none", "stays", "stays"]


def test_an_async_fallback_has_what_is_left_of_the_deadline() -> None:
    """After that the failure is raised."""

    async def hang(error: BaseException) -> None:
        await asyncio.sleep(60)

    policy = FallbackPolicy(function=hang)

    async def main() -> None:
        with deadline(0.01), pytest.raises(ConnectError):
            await policy.call_async(_no_route_async)

    asyncio.run(main())


async def _no_route_async() -> None:
    raise NO_ROUTE


def test_it_comes_after_the_retries(front_end: FrontEnd) -> None:
    """Inside of them it would leave nothing to retry, which is said."""
    clock = VirtualClock()
    calls: list[int] = []

    def fail() -> None:
        calls.append(1)
        raise ConnectError("no route")

    retry = RetryPolicy(max_attempts=3, backoff_strategy=ConstantBackoff(1.0), clock=clock)
    pipeline = ResiliencePipeline(
        FallbackPolicy(value="instead"), retry, CircuitBreakerPolicy(clock=clock.monotonic)
    )
    assert front_end.run(pipeline.apply(front_end.function(fail))) == "instead"
    assert len(calls) == 3
    with pytest.warns(UserWarning, match="nothing is left to retry"):
        ResiliencePipeline(retry, FallbackPolicy(value=1))


def test_a_policy_is_a_value_beside_its_results() -> None:
    """A copy and a pickle have the settings, and no results."""
    policy = FallbackPolicy(last_good=60.0, value=1, name="prices")
    policy.call(str.upper, "a")
    for twin in (copy.copy(policy), copy.deepcopy(policy), pickle.loads(pickle.dumps(policy))):
        assert twin == policy
        assert len(twin._results) == 0
        assert (twin.name, twin.settings) == ("prices", policy.settings)
    assert policy != FallbackPolicy(last_good=60.0, value=2, name="prices")


def test_it_cannot_guard_a_block() -> None:
    """A block has no result that something could stand in for."""
    pipeline = ResiliencePipeline(FallbackPolicy(value=1))
    with pytest.raises(ConfigurationError, match="may repeat or replace what it guards"), pipeline:
        pass


def test_a_generator_ends_with_what_stands_in() -> None:
    """It cannot go on after an exception. Last good results are those of functions only."""

    def numbers() -> Any:
        yield 1
        raise NO_ROUTE

    assert list(FallbackPolicy(value=2).apply(numbers)()) == [1, 2]
    with pytest.raises(ConfigurationError, match="keeps results, and no items of a generator"):
        list(FallbackPolicy(last_good=60.0).apply(numbers)())


def test_a_predicate_that_is_set_later_is_judged_as_one_that_was_given(
    front_end: FrontEnd, caplog: pytest.LogCaptureFixture
) -> None:
    """One that raises is reported, and says nothing of the result."""
    policy = FallbackPolicy(value="instead")
    policy.reconfigure(is_failure=lambda result: 1 / 0)
    assert front_end.run(policy.apply(front_end.function(lambda: "done"))) == "done"
    assert "ZeroDivisionError" in caplog.text
    policy.reconfigure(is_failure=lambda result: result == "bad")
    assert front_end.run(policy.apply(front_end.function(lambda: "bad"))) == "instead"

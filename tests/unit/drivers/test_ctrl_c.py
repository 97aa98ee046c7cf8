"""A signal whose handler raises, at any point of a blocking call: that is raised, and the call leaves nothing behind."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from types import FrameType
from typing import Any

import pytest

from http_service_client import (
    CircuitBreakerPolicy,
    ConstantBackoff,
    HttpClientConfig,
    HttpRequest,
    HttpResponse,
    HttpServiceClient,
    ResiliencePipeline,
    RetryPolicy,
    Timeout,
    TimeoutPolicy,
)
from http_service_client.core.deadline import AMBIENT_DEADLINE
from http_service_client.core.effects import Outcome
from http_service_client.core.nesting import current_scope
from http_service_client.core.open_body import OpenResponse
from http_service_client.policies import AdaptiveLimitPolicy, BulkheadPolicy
from http_service_client.testing import LoopbackServer, respond
from kit.signals import interrupted_at_each_point, raise_keyboard_interrupt

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="Python 3.10 looks for signals between more steps than can be known"
)


class Body:
    """Of one piece."""

    def __init__(self) -> None:
        self._pieces = [b"", b"{}"]

    def read(self, timeout: Timeout) -> bytes:
        return self._pieces.pop()

    def close(self) -> None:
        """Nothing is open."""


class Immediate:
    """A transport that answers at once, in few steps: they are not the subject."""

    def send(self, request: HttpRequest, timeout: Timeout) -> Outcome:
        return HttpResponse(200, content=b"{}", url=request.url, request=request)

    def open_response(self, request: HttpRequest, timeout: Timeout) -> Outcome:
        return OpenResponse(200, source=Body(), url=request.url, request=request)

    async def send_async(self, request: HttpRequest, timeout: Timeout) -> Outcome:
        raise NotImplementedError


BULKHEAD: dict[str, Any] = {"bulkhead": {"max_concurrent": 2}}


@pytest.fixture(params=[BULKHEAD, {"adaptive_limit": {}}], ids=list)
def client(request: pytest.FixtureRequest) -> Iterator[HttpServiceClient]:
    """A client with one more limit than that of its connections, which has made a call and opened a stream."""
    config = HttpClientConfig(max_connections=2, trust_env_proxy_settings=False, **request.param)
    with HttpServiceClient(config, base_url="https://x.test", transport=Immediate()) as client:
        client.get("/")
        with client.stream("GET", "/") as response:
            response.read()
        yield client


def left_behind(client: HttpServiceClient) -> list[object]:
    """All that is still in use, as far as there is anything."""
    gc.collect(0)  # streams that nobody can close any more
    ((_, state),) = client._call_builder.origins.items()
    limits = [state.bulkhead, None if state.adaptive_limit is None else state.adaptive_limit.permits]
    found = [
        ("host", state.connections.in_use),
        ("client", client._backends._common.in_use),
        ("calls", client._backends.calls_in_flight),
        *((str(limit), 1) for limit in limits if limit is not None and not limit.is_idle),
        ("scope", current_scope() is not None and not current_scope().has_ended),  # type: ignore[union-attr]
    ]
    return [name for name, number in found if number]


def call(client: HttpServiceClient) -> None:
    client.get("/")


def stream(client: HttpServiceClient) -> None:
    with client.stream("GET", "/") as response:
        response.read()


class SoftTimeLimitExceeded(Exception):
    """As that of Celery."""


def end_softly(number: int, frame: FrameType) -> None:
    raise SoftTimeLimitExceeded


def time_out(number: int, frame: FrameType) -> None:
    raise TimeoutError("of the alarm")


# For the points between the opening of a stream and its block.
@pytest.mark.filterwarnings("ignore:the stream of:ResourceWarning")
@pytest.mark.parametrize("work", [call, stream])
def test_a_call_that_is_interrupted_anywhere_leaves_nothing_behind(
    client: HttpServiceClient, work: Callable[[HttpServiceClient], None]
) -> None:
    """No connection, permit or scope."""
    check_each_point(client, work, raise_keyboard_interrupt, KeyboardInterrupt)


@pytest.mark.filterwarnings("ignore:the stream of:ResourceWarning")
@pytest.mark.parametrize("client", [BULKHEAD], ids=list, indirect=True)
@pytest.mark.parametrize("work", [call, stream])
def test_so_does_one_that_is_interrupted_by_an_exception(
    client: HttpServiceClient, work: Callable[[HttpServiceClient], None]
) -> None:
    """Which is not the `BaseException` that Ctrl-C raises, and which `except Exception` catches."""
    check_each_point(client, work, end_softly, SoftTimeLimitExceeded, every=3)


def check_each_point(
    client: HttpServiceClient,
    work: Callable[[HttpServiceClient], None],
    handler: Callable[[int, FrameType], object],
    expected: type[BaseException],
    every: int = 1,
) -> None:
    """What the handler raised is raised, and nothing is left behind."""
    left: list[list[object]] = []
    points = 0
    for place, error in interrupted_at_each_point(
        lambda: work(client), lambda: left.append(left_behind(client)), handler, every
    ):
        assert isinstance(error, expected), place
        assert left.pop() == [], place
        points += every
    assert points > 100


@pytest.fixture
def garbage_of_its_own() -> Iterator[None]:
    """Sockets that were interrupted at their making are collected while their warnings are ignored, not in the next test."""
    yield
    gc.collect()


# For the point between the making of a socket and the block that would close it, too.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning", "ignore:the stream of:ResourceWarning")
@pytest.mark.filterwarnings("ignore:.*unclosed:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.usefixtures("garbage_of_its_own")
@pytest.mark.parametrize("work", [call, stream])
def test_a_timeout_error_of_a_handler_is_not_taken_for_one_of_the_connection(
    work: Callable[[HttpServiceClient], None],
) -> None:
    """It is raised from every point of an exchange, and nothing is sent again."""
    config = HttpClientConfig(retry_policy_config={"initial_delay": 0.0}, trust_env_proxy_settings=False)
    with LoopbackServer() as server, HttpServiceClient(config, base_url=server.url) as client:
        server.script("/", respond(200, json={}))
        work(client)
        points = 0
        for place, error in interrupted_at_each_point(lambda: work(client), lambda: None, time_out, every=3):
            assert type(error) is TimeoutError, place
            assert str(error) == "of the alarm", place
            points += 3
        assert points > 100


def guarded() -> tuple[BulkheadPolicy, AdaptiveLimitPolicy, Callable[[], object]]:
    bulkhead, limit = BulkheadPolicy(max_concurrent=2), AdaptiveLimitPolicy()
    return bulkhead, limit, ResiliencePipeline(bulkhead, limit).apply(lambda: 1)


def test_a_guarded_function_that_is_interrupted_anywhere_leaves_no_permit_behind() -> None:
    """Not even while the exception is handled, when its traceback still holds the call."""
    bulkhead, limit, function = guarded()
    function()
    held = (0, 0)

    def call_and_look() -> None:
        nonlocal held
        try:
            function()
        except KeyboardInterrupt:
            held = bulkhead.snapshot().in_use, limit.snapshot().in_use
            raise

    points = 0
    for place, error in interrupted_at_each_point(call_and_look, lambda: None):
        assert isinstance(error, KeyboardInterrupt), place
        assert held == (0, 0), place
        assert (bulkhead.snapshot().in_use, limit.snapshot().in_use) == (0, 0), place
        points += 1
    assert points > 30


def retried() -> Callable[[], object]:
    return RetryPolicy(3, ConstantBackoff(0.0), budget=None).apply(lambda: 1)


def retried_in_a_pipeline() -> Callable[[], object]:
    return ResiliencePipeline(RetryPolicy(3, budget=None), TimeoutPolicy(60.0)).apply(lambda: 1)


def stepped(function: Callable[[], Coroutine[Any, Any, object]]) -> Callable[[], None]:
    """An async function that waits for nothing, without a loop, which has a handler of its own."""

    def step() -> None:
        with suppress(StopIteration):
            function().send(None)

    return step


async def one() -> int:
    return 1


def retried_async() -> Callable[[], object]:
    return stepped(RetryPolicy(3, ConstantBackoff(0.0), budget=None).apply(one))


# For the point between the call of an async function and its first step.
NEVER_AWAITED = pytest.mark.filterwarnings(
    "ignore:coroutine:RuntimeWarning", "ignore:.*coroutine object:pytest.PytestUnraisableExceptionWarning"
)


@NEVER_AWAITED
@pytest.mark.parametrize("make", [retried, retried_in_a_pipeline, retried_async])
@pytest.mark.parametrize("handler", [raise_keyboard_interrupt, end_softly, time_out])
def test_a_function_that_is_interrupted_anywhere_leaves_no_scope_and_no_deadline_behind(
    make: Callable[[], Callable[[], object]], handler: Callable[[int, FrameType], object]
) -> None:
    """Later calls of the thread would not be retried, or would end with a deadline that is not theirs."""
    function, points = make(), 0
    function()

    def check() -> None:
        scope, deadline = current_scope(), AMBIENT_DEADLINE.get()
        left.append(scope is not None and not scope.has_ended)
        left.append(deadline is not None and not deadline.has_ended)

    left: list[bool] = []
    for place, error in interrupted_at_each_point(function, check, handler):
        assert error is not None, place
        assert not any(left), place
        left.clear()
        points += 1
    assert points > 10


@pytest.mark.parametrize("timeout", [None, 60.0])
@pytest.mark.parametrize(
    "around", [None, CircuitBreakerPolicy(), RetryPolicy()], ids=["alone", "circuit", "retry"]
)
def test_a_circuit_that_is_interrupted_anywhere_has_no_later_calls_inside(
    around: CircuitBreakerPolicy | RetryPolicy | None, timeout: float | None
) -> None:
    """Later calls of the thread would need no permit, and count nothing."""
    breaker = CircuitBreakerPolicy(timeout=timeout)
    check_circuit(breaker.apply(lambda: 1) if around is None else around.apply(breaker.apply(lambda: 1)))


@NEVER_AWAITED
@pytest.mark.parametrize("timeout", [None, 60.0])
def test_so_has_one_in_a_pipeline_and_one_of_an_async_function(timeout: float | None) -> None:
    """As one alone."""
    breaker = CircuitBreakerPolicy(timeout=timeout)
    check_circuit(ResiliencePipeline(breaker).apply(lambda: 1))
    check_circuit(stepped(breaker.apply(one)))


def check_circuit(function: Callable[[], object]) -> None:
    """Interrupt the guarded function at each point."""
    function()

    def check() -> None:
        scope, deadline = current_scope(), AMBIENT_DEADLINE.get()
        left.append(scope is not None and not scope.has_ended)
        left.append(deadline is not None and not deadline.has_ended)

    left: list[bool] = []
    points = 0
    for place, error in interrupted_at_each_point(function, check):
        assert isinstance(error, KeyboardInterrupt), place
        assert not any(left), place
        left.clear()
        points += 1
    assert points > 10


def test_a_hedged_call_that_is_interrupted_before_its_first_request_raises_just_that() -> None:
    """No error of our own takes the place of Ctrl-C."""
    config = HttpClientConfig(hedging={"delay": 60.0}, trust_env_proxy_settings=False)
    with HttpServiceClient(config, base_url="https://x.test", transport=Immediate()) as client:
        client.get("/")
        for place, error in interrupted_at_each_point(lambda: client.get("/"), lambda: None):
            assert isinstance(error, KeyboardInterrupt), place

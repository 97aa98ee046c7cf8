"""How the calls of a function count for its circuit breaker."""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest

from http_service_client import (
    CircuitBreakerPolicy,
    CircuitBreakerState,
    CircuitOpenError,
    ConfigurationError,
    HttpResponse,
    HttpStatusError,
    ResiliencePipeline,
    deadline,
)
from http_service_client.errors import (
    ConnectError,
    DeadlineExceededError,
    HttpClientError,
    InvalidRequestError,
    PoolTimeoutError,
    ReadTimeoutError,
    ResponseValidationError,
    SentState,
)
from kit.fakes import RESET, FakeClock, Harness, short
from kit.front_ends import AsyncioFrontEnd, FrontEnd, run_task
from kit.guarded import Failing, PaymentError, breaking, raising_on, retrying
from kit.rows import each_row

OPEN, CLOSED, HALF_OPEN = CircuitBreakerState.OPEN, CircuitBreakerState.CLOSED, CircuitBreakerState.HALF_OPEN


def client_error(
    kind: type[HttpClientError], state: SentState = SentState.MAYBE_PROCESSED
) -> HttpClientError:
    return kind("it failed", sent_state=state)


@each_row(
    ("error", "counts"),
    [
        (PaymentError(), (0, 1, 0)),
        (ConnectionError(), (0, 1, 0)),
        (client_error(ConnectError, SentState.NEVER_SENT), (0, 1, 0)),
        (client_error(ReadTimeoutError), (0, 1, 0)),
        (client_error(ReadTimeoutError, SentState.ABANDONED), (0, 0, 1)),
        (client_error(DeadlineExceededError), (0, 0, 1)),
        (client_error(PoolTimeoutError), (0, 0, 1)),
        (client_error(InvalidRequestError), (0, 0, 1)),
        (client_error(ResponseValidationError), (0, 0, 1)),
        (ResponseValidationError("x", response=HttpResponse(500)), (0, 0, 1)),
        (client_error(CircuitOpenError), (0, 0, 1)),
        (ConfigurationError("x"), (0, 0, 1)),
        (HttpStatusError("x", response=HttpResponse(404)), (1, 0, 0)),
        (HttpStatusError("x", response=HttpResponse(429)), (0, 0, 1)),
        (HttpStatusError("x", response=HttpResponse(500)), (0, 1, 0)),
        (HttpStatusError("x"), (0, 0, 1)),
        (KeyboardInterrupt(), (0, 0, 1)),
        (SystemExit(), (0, 0, 1)),
        (GeneratorExit(), (0, 0, 1)),
        (asyncio.CancelledError(), (0, 0, 1)),
        # An Exception: work in another thread was cancelled.
        (concurrent.futures.CancelledError(), (0, 0, 1)),
    ],
    ids=short,
)
@each_row("used_as", ["wrapper", "block"])
def test_an_error_is_a_failure_a_success_or_no_evidence(
    front_end: FrontEnd, used_as: str, error: BaseException, counts: tuple[int, int, int]
) -> None:
    """Errors of the service are failures; the caller's mistakes and cancellations are no evidence."""
    policy = breaking(threshold=99)

    def body() -> None:
        raise error

    def with_block() -> None:
        with policy:
            raise error

    async def with_block_async() -> None:
        async with policy:
            raise error

    if used_as == "wrapper":
        function = policy.apply(front_end.function(body))
    else:
        function = with_block if front_end.name == "blocking" else with_block_async
    with pytest.raises(type(error)):
        if front_end.name == "blocking":
            function()
        else:
            # Without a loop, which would handle KeyboardInterrupt itself.
            coroutine = function()
            while True:
                coroutine.send(None)
    snapshot = policy.snapshot()
    assert (snapshot.successes, snapshot.failures, snapshot.abandoned) == counts


AROUND = pytest.mark.parametrize(
    "around", [lambda policy: policy, ResiliencePipeline], ids=["alone", "in a pipeline"]
)


@pytest.mark.parametrize(
    ("status", "is_failure"),
    [(200, False), (402, False), (404, False), (408, True), (429, False), (500, True), (503, True)],
)
@AROUND
def test_the_status_of_the_call_inside_decides_about_an_error(
    front_end: FrontEnd, around: Callable[[Any], Any], status: int, is_failure: bool
) -> None:
    """An error raised because of a 402 is no failure of the service; one because of a 503 is."""
    policy = breaking()
    harness = Harness(front_end, status, enable_retry_policy=False)
    with pytest.raises(PaymentError):
        front_end.run(around(policy).apply(raising_on(status, harness, front_end)))
    assert policy.state is (OPEN if is_failure else CLOSED)


@each_row(("status", "is_failure"), [(200, False), (404, False), (429, False), (503, True)])
def test_a_returned_response_counts_by_its_status(front_end: FrontEnd, status: int, is_failure: bool) -> None:
    """A function that returns a 503 failed, and one that returns a 404 did not."""
    policy = breaking()
    front_end.run(policy.apply(front_end.function(lambda: HttpResponse(status))))
    assert policy.state is (OPEN if is_failure else CLOSED)


def test_a_transport_error_inside_the_function_is_a_failure(front_end: FrontEnd) -> None:
    """A reset counts as a failure, even if the function replaces it by its own exception."""
    policy = breaking()
    harness = Harness(front_end, RESET, enable_retry_policy=False)
    calling = harness.calling()
    if front_end.name == "blocking":

        def function() -> None:
            try:
                calling()
            except ConnectionError:
                raise PaymentError from None
    else:

        async def function() -> None:
            try:
                await calling()
            except ConnectionError:
                raise PaymentError from None

    with pytest.raises(PaymentError):
        front_end.run(policy.apply(function))
    assert policy.state is OPEN


def test_a_cancelled_trial_is_no_evidence() -> None:
    """The circuit stays half-open, and the next call may be the trial at once."""
    clock = FakeClock()
    policy = breaking(recovery_timeout=5.0, success_threshold=1, clock=clock.monotonic)

    async def main() -> None:
        started = asyncio.Event()

        @policy.apply
        async def hang() -> None:
            started.set()
            await asyncio.Event().wait()

        with pytest.raises(PaymentError):
            await policy.apply(AsyncioFrontEnd().function(Failing(1)))()
        clock.now += 5.0
        task = asyncio.create_task(hang())
        await started.wait()
        assert policy.state is HALF_OPEN
        with pytest.raises(CircuitOpenError):
            await hang()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await policy.apply(AsyncioFrontEnd().function(lambda: "in"))() == "in"
        assert policy.state is CLOSED

    run_task(main())


@pytest.mark.parametrize("error", [KeyboardInterrupt(), concurrent.futures.CancelledError()], ids=short)
def test_an_interruption_is_not_judged(front_end: FrontEnd, error: BaseException) -> None:
    """The caller ended the call, whatever a judge would make of it."""
    judged: list[Any] = []
    policy = breaking(1, is_failure=judged.append)
    coroutine_or_none: Any = None
    with pytest.raises(type(error)):
        if front_end.name == "blocking":
            policy.call(Failing(1, error))
        else:
            coroutine_or_none = policy.call_async(Failing(1, error))  # type: ignore[arg-type]  # its value may be plain
            coroutine_or_none.send(None)
    assert (judged, policy.snapshot().abandoned) == ([], 1)


def test_a_trial_may_call_what_is_under_the_same_circuit(front_end: FrontEnd) -> None:
    """It goes on with its permit: it would be refused as a second trial."""
    clock = FakeClock()
    policy = breaking(recovery_timeout=5.0, clock=clock.monotonic)
    with pytest.raises(PaymentError):
        policy.call(Failing(1))
    clock.now += 5.0
    inner = policy.apply(lambda: "inner")
    assert front_end.run(policy.apply(front_end.function(lambda: inner()))) == "inner"
    assert (policy.state, policy.snapshot().successes) == (CLOSED, 1)


@each_row("result", ["done", HttpResponse(200), HttpResponse(500), PaymentError()], ids=short)
def test_a_result_from_before_a_state_change_is_late(front_end: FrontEnd, result: Any) -> None:
    """Whatever the result is, it says nothing about the current generation."""
    policy = breaking()

    def body() -> Any:
        policy.isolate()
        policy.reset()
        if isinstance(result, Exception):
            raise result
        return result

    function = policy.apply(front_end.function(body))
    if isinstance(result, Exception):
        with pytest.raises(PaymentError):
            front_end.run(function)
    else:
        assert front_end.run(function) is result
    snapshot = policy.snapshot()
    assert (snapshot.successes, snapshot.failures, snapshot.late) == (0, 0, 1)
    assert policy.state is CLOSED


def test_the_trials_of_a_function_close_its_circuit(front_end: FrontEnd) -> None:
    """A failed trial reopens the circuit, and two successful ones in a row close it."""
    clock = FakeClock()
    policy = breaking(recovery_timeout=5.0, success_threshold=2, clock=clock.monotonic)
    function = policy.apply(front_end.function(Failing(2)))
    states = []
    for _ in range(2):
        with pytest.raises(PaymentError):
            front_end.run(function)
        states.append(policy.state)
        clock.now += 5.0
    for _ in range(3):
        front_end.run(function)
        states.append(policy.state)
    assert states == [OPEN, OPEN, HALF_OPEN, CLOSED, CLOSED]
    assert (policy.snapshot().successes, policy.snapshot().failures) == (3, 2)


@pytest.mark.parametrize("make", [retrying, breaking])
def test_call_runs_a_function_once_under_a_policy(front_end: FrontEnd, make: Any) -> None:
    """`call` and `call_async` run one call as `apply` would."""
    policy, body = make(), Mock(return_value="done")
    call = policy.call if front_end.name == "blocking" else policy.call_async
    assert front_end.run(call, front_end.function(body), 1) == "done"
    body.assert_called_once_with(1)
    if isinstance(policy, CircuitBreakerPolicy):
        assert policy.snapshot().successes == 1


@pytest.mark.parametrize("is_piped", [False, True], ids=["alone", "in a pipeline"])
def test_the_timeout_of_a_policy_bounds_the_calls_inside(front_end: FrontEnd, is_piped: bool) -> None:
    """It acts as a deadline: the smallest of nested ones applies, and it ends with the function."""
    harness = Harness(front_end)
    clock = FakeClock()
    policy: Any = CircuitBreakerPolicy(timeout=2.0, clock=clock.monotonic)
    if is_piped:
        policy = ResiliencePipeline(policy, clock=clock)
    front_end.run(policy.apply(harness.calling()))
    front_end.run(policy.apply(harness.calling(timeout=1.0)))
    front_end.run(harness.calling())
    with deadline(0.5, clock=FakeClock().monotonic):
        front_end.run(policy.apply(harness.calling()))
    assert [timeout.total for timeout in harness.transport.timeouts] == [2.0, 1.0, 30.0, 0.5]


@AROUND
@pytest.mark.parametrize("settings", [{}, {"max_rejected": 0.5}], ids=["free pass", "permits"])
def test_a_call_inside_of_one_under_the_same_circuit_counts_with_that(
    front_end: FrontEnd, around: Callable[[Any], Any], settings: dict[str, Any]
) -> None:
    """Once, by what the outer one comes to."""
    policy = breaking(99, **settings)
    inner = around(policy).apply(lambda: "inner")

    def outer() -> None:
        for _ in range(3):
            inner()

    front_end.run(around(policy).apply(front_end.function(outer)))
    snapshot = policy.snapshot()
    assert (snapshot.successes, snapshot.failures, snapshot.abandoned) == (1, 0, 0)


def test_a_circuit_around_a_retry_leaves_the_attempts_to_it(front_end: FrontEnd) -> None:
    """It is no policy that repeats anything itself."""
    policy, failing = breaking(99), Failing(2)
    function = policy.apply(retrying(3).apply(front_end.function(failing)))
    assert (front_end.run(function), failing.calls) == ("done", 3)


@each_row(
    ("seconds", "error", "counts"),
    [
        (1.9, None, (1, 0, 0)),
        (2.0, None, (0, 1, 0)),
        (9.0, None, (0, 1, 0)),
        (9.0, HttpStatusError("x", response=HttpResponse(402)), (0, 1, 0)),
        (9.0, asyncio.CancelledError(), (0, 0, 1)),
        (9.0, KeyboardInterrupt(), (0, 0, 1)),
    ],
    ids=short,
)
def test_a_call_that_exceeds_the_timeout_is_a_failure(
    seconds: float, error: BaseException | None, counts: tuple[int, int, int]
) -> None:
    """It is a failure even if it returns in the end; an interrupted one is no evidence."""
    clock = FakeClock()
    policy = CircuitBreakerPolicy(9, timeout=2.0, clock=clock.monotonic)

    def body() -> str:
        clock.now += seconds
        if error is not None:
            raise error
        return "late but there"

    if error is None:
        assert policy.apply(body)() == "late but there"
    else:
        with pytest.raises(type(error)):
            policy.apply(body)()
    snapshot = policy.snapshot()
    assert (snapshot.successes, snapshot.failures, snapshot.abandoned) == counts


def test_a_changed_timeout_applies_from_the_next_call_on() -> None:
    """A call is judged by the timeout that was set when it began."""
    clock = FakeClock()
    policy = CircuitBreakerPolicy(9, timeout=2.0, clock=clock.monotonic)

    def slow(timeout: float | None) -> None:
        policy.reconfigure(timeout=timeout)
        clock.now += 3.0

    guarded = policy.apply(slow)
    guarded(None)
    guarded(9.0)
    guarded(9.0)
    assert (policy.snapshot().successes, policy.snapshot().failures) == (2, 1)


def test_a_policy_shows_its_settings() -> None:
    """Each by its name, also after a change."""
    policy = CircuitBreakerPolicy(7, 50.0, 3, timeout=2.5, on_change=print)
    for _ in range(2):
        shown = [name for name in settings_of(policy) if hasattr(policy, name)]
        assert {"failure_threshold", "recovery_timeout", "success_threshold", "timeout", "on_change"} <= set(
            shown
        )
        assert {name: getattr(policy, name) for name in shown} == {
            name: settings_of(policy)[name] for name in shown
        }
        policy.reconfigure(failure_threshold=8, recovery_timeout=51.0, success_threshold=4, timeout=None)


def settings_of(policy: CircuitBreakerPolicy) -> dict[str, Any]:
    return {each.name: getattr(policy.settings, each.name) for each in dataclasses.fields(policy.settings)}

"""Failing calls leave nothing for the cycle collector, and their tracebacks are short and do not grow.

An error refers to its traceback, a traceback to its frames, a frame to its local variables. If one local
refers to the error, then a response, its body and its connection stay until the collector happens to run.
"""

from __future__ import annotations

import asyncio
import gc
import traceback
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import http_service_client
from http_service_client import (
    CircuitBreakerPolicy,
    CircuitOpenError,
    ConnectionLostError,
    ConstantBackoff,
    HttpClientError,
    InterceptorError,
    InvalidRequestError,
    ReadTimeoutError,
    ResponseValidationError,
    RetryCondition,
    RetryPolicy,
    TooManyRedirectsError,
)
from http_service_client.errors import Failure, SentState
from kit.fakes import READ_TIMEOUT, RESET, URL, FakeClock, Harness, failure, short
from kit.front_ends import AsyncioFrontEnd, BlockingFrontEnd, FrontEnd
from kit.rows import each_row

PACKAGE = str(Path(http_service_client.__file__).parent)
TIMES = 100

# The call builder of a client and the state of its origins refer to each other and live as long as the
# process: only calls must be freed without the collector. The objects in this list outlive the check.
ALIVE: list[Any] = []


class UserError(Exception):
    pass


class RaisesPlain:
    def intercept_request(self, request: Any, context: Any) -> Any:
        raise UserError("plain")


class RaisesAsync:
    async def intercept_request(self, request: Any, context: Any) -> Any:
        await asyncio.sleep(0)
        raise UserError("async")


class RaisesBack:
    async def intercept_response(self, response: Any, context: Any) -> Any:
        raise UserError("on the way back")


class ReturnsNothing:
    def intercept_request(self, request: Any, context: Any) -> Any:
        return None


class WaitsForever:
    async def intercept_request(self, request: Any, context: Any) -> Any:
        await asyncio.Event().wait()


NO_WAIT: dict[str, Any] = {"retry_policy_config": {"max_attempts": 2, "initial_delay": 0.0}}


def failing(
    script: Any = 200, options: dict[str, Any] | None = None, isolated: bool = False, **settings: Any
) -> Callable[[FrontEnd], tuple[Harness, dict[str, Any]]]:
    def make(front_end: FrontEnd) -> tuple[Harness, dict[str, Any]]:
        harness = Harness(front_end, script, **{"enable_circuit_breaker": isolated, **settings})
        if isolated:
            harness.state.breaker.isolate()
        return harness, options or {}

    return make


def chained() -> Failure:
    """A failure with a chain of causes, as requests raises them, each with a traceback."""
    try:
        try:
            raise ConnectionResetError(104, "reset")
        except OSError as error:
            raise RuntimeError("wrapped") from error
    except RuntimeError as error:
        return Failure(ConnectionLostError, "lost", SentState.MAYBE_PROCESSED, error)


def raise_a_bug(request: Any) -> Any:
    raise UserError("a bug")


CASES = {
    "failure": (failing(RESET, **NO_WAIT), ConnectionLostError),
    "timeout": (failing(READ_TIMEOUT, {"total_timeout": 60.0}, **NO_WAIT), ReadTimeoutError),
    "failure with a chain of causes": (failing(lambda request: chained()), ConnectionLostError),
    "raised by the transport": (failing(raise_a_bug), UserError),
    "circuit open": (failing(isolated=True), CircuitOpenError),
    "too many redirects": (
        failing((302, {"Location": "/"}), allowed_redirect_count=1),
        TooManyRedirectsError,
    ),
    "plain interceptor": (failing(request_interceptors=[RaisesPlain]), UserError),
    "async interceptor": (failing(request_interceptors=[RaisesAsync]), UserError),
    "async interceptor, deadline": (
        failing(200, {"total_timeout": 60.0}, request_interceptors=[RaisesAsync]),
        UserError,
    ),
    "response interceptor": (
        failing(200, {"total_timeout": 60.0}, response_interceptors=[RaisesBack]),
        UserError,
    ),
    "invalid return value": (failing(request_interceptors=[ReturnsNothing]), InterceptorError),
    "invalid request": (failing(200, {"json": 1, "data": {"a": 1}}), InvalidRequestError),
    "invalid response": (failing(200, {"response_type": list[int]}), ResponseValidationError),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.usefixtures("no_reference_cycles")
def test_a_hundred_failing_calls_leave_no_cycle(front_end: FrontEnd, case: str) -> None:
    """With the collector off, reference counts free every error, frame, request and response."""
    make, expected = CASES[case]
    harness, options = make(front_end)
    ALIVE.append(harness)
    kept: list[weakref.ref[Any]] = []
    if front_end.name == "blocking":
        for _ in range(TIMES):
            try:
                harness.client.get(URL, **options)
            except expected as error:
                kept.append(weakref.ref(error))
    else:

        async def main() -> None:
            for _ in range(TIMES):
                try:
                    await harness.client.get_async(URL, **options)
                except expected as error:
                    kept.append(weakref.ref(error))

        asyncio.run(main())
    assert len(kept) == TIMES
    # The portal's thread may not have released the last one yet.
    assert sum(error() is not None for error in kept) <= 1


@pytest.mark.usefixtures("no_reference_cycles")
def test_an_interceptor_cancelled_by_the_deadline_leaves_no_cycle(front_end: FrontEnd) -> None:
    """The task of the interceptor and its CancelledError are freed too."""
    harness = Harness(front_end, request_interceptors=[WaitsForever])
    ALIVE.append(harness)
    for _ in range(20):
        harness.error(TimeoutError, total_timeout=0.0005)


@pytest.mark.usefixtures("no_reference_cycles")
def test_a_cancelled_call_leaves_no_cycle() -> None:
    """A call cancelled during the exchange or an interceptor, with and without a deadline, leaves no cycle."""

    async def main() -> None:
        for chain in [[], [WaitsForever]]:
            for total in [None, 60.0]:
                harness = Harness(AsyncioFrontEnd(), request_interceptors=chain)
                ALIVE.append(harness)
                task = asyncio.create_task(harness.client.get_async(URL, total_timeout=total))
                await asyncio.sleep(0)
                task.cancel()
                try:
                    await task
                except asyncio.CancelledError:
                    pass
                del task

    asyncio.run(main())


POLICIES: dict[str, Callable[[], Any]] = {
    "retry": lambda: RetryPolicy(
        3, ConstantBackoff(0.0), [RetryCondition.on_exceptions([UserError])], clock=FakeClock()
    ),
    "breaker": lambda: CircuitBreakerPolicy(failure_threshold=10**6),
    "breaker with a timeout": lambda: CircuitBreakerPolicy(failure_threshold=10**6, timeout=60.0),
}


@pytest.mark.parametrize("policy_name", POLICIES)
@pytest.mark.usefixtures("no_reference_cycles")
def test_a_failing_function_under_a_policy_leaves_no_cycle(front_end: FrontEnd, policy_name: str) -> None:
    """With the collector off, reference counts free every error of a function under a policy."""

    def body() -> None:
        raise UserError("again")

    policy = POLICIES[policy_name]()
    guarded = policy.apply(front_end.function(body))
    ALIVE.extend([policy, guarded])
    kept: list[weakref.ref[Any]] = []
    if front_end.name == "blocking":
        for _ in range(TIMES):
            try:
                guarded()
            except UserError as error:
                kept.append(weakref.ref(error))
    else:

        async def main() -> None:
            for _ in range(TIMES):
                try:
                    await guarded()
                except UserError as error:
                    kept.append(weakref.ref(error))

        asyncio.run(main())
    assert len(kept) == TIMES
    assert [error() for error in kept if error() is not None] == []


def test_an_unreferenced_client_is_freed_at_once(front_end: FrontEnd) -> None:
    """Its sockets are freed with it; the collector might first find those of a dead loop unclosed."""
    gc.collect()
    gc.disable()
    try:
        harness = Harness(front_end, 503, **NO_WAIT)
        harness.request()
        freed = weakref.ref(harness.client)
        del harness
        assert freed() is None
    finally:
        gc.enable()


@pytest.mark.usefixtures("no_reference_cycles")
def test_a_stored_error_is_freed_with_its_last_reference(front_end: FrontEnd) -> None:
    """Code that stores an error keeps its request and timeline, and dropping the error frees them."""
    harness = Harness(front_end, RESET, **NO_WAIT)
    ALIVE.append(harness)
    error = harness.error(ConnectionLostError)
    kept = weakref.ref(error)
    assert error.request.url == URL
    assert kept() is error
    del error
    assert kept() is None


def test_a_cycle_would_be_noticed(made_cycle: Callable[[], list[str]]) -> None:
    """The collector reports a cycle with an error of the package, so the checks above can fail."""
    assert made_cycle() == ["HttpClientError('in a circle')"]


@pytest.fixture
def made_cycle() -> Callable[[], list[str]]:
    """Makes a cycle with an error of the package and returns what the collector finds."""

    def make() -> list[str]:
        gc.collect()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            error = HttpClientError("in a circle")
            error.itself = error  # type: ignore[attr-defined]
            del error
            gc.collect()
            return [repr(thing) for thing in gc.garbage if isinstance(thing, HttpClientError)]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()

    return make


# Tracebacks.


def frames(error: BaseException) -> list[tuple[str, bool]]:
    """(function, whether it is the package's) for each line of the traceback, outermost first."""
    return [
        (frame.name, frame.filename.startswith(PACKAGE))
        for frame in traceback.extract_tb(error.__traceback__)
    ]


@each_row("outcome", [RESET, READ_TIMEOUT, failure(ConnectionLostError)], ids=short)
def test_a_traceback_has_at_most_three_frames_of_the_package(front_end: FrontEnd, outcome: Any) -> None:
    """The caller's own line comes just before them; the internals of the package are not shown."""
    harness = Harness(front_end, outcome, **NO_WAIT)

    def in_users_code() -> None:
        harness.client.get(URL)

    async def in_users_code_async() -> None:
        await harness.client.get_async(URL)

    with pytest.raises(HttpClientError) as raised:
        if front_end.name == "blocking":
            in_users_code()
        else:
            asyncio.run(in_users_code_async())
    found = frames(raised.value)
    of_package = [name for name, is_of_package in found if is_of_package]
    assert len(of_package) <= 3, of_package
    last_of_caller = [name for name, is_of_package in found if not is_of_package][-1]
    assert last_of_caller.startswith("in_users_code")
    assert found.index((last_of_caller, False)) == len(found) - len(of_package) - 1


@pytest.mark.parametrize("case", CASES)
def test_tracebacks_do_not_grow(front_end: FrontEnd, case: str) -> None:
    """The traceback of the hundredth failure is as long as that of the first."""
    make, expected = CASES[case]
    harness, options = make(front_end)
    lengths = set()
    for _ in range(100):
        with pytest.raises(expected) as raised:
            harness.request(**options)
        lengths.add(len(frames(raised.value)))
        raised.value.__traceback__ = None
    assert len(lengths) == 1


@pytest.mark.parametrize("policy_name", POLICIES)
def test_tracebacks_of_functions_under_policies_do_not_grow(front_end: FrontEnd, policy_name: str) -> None:
    """Their length does not depend on how often the function failed or was retried."""

    def body() -> None:
        raise UserError("again")

    guarded = POLICIES[policy_name]().apply(front_end.function(body))
    lengths = set()
    for _ in range(50):
        with pytest.raises(UserError) as raised:
            front_end.run(guarded)
        lengths.add(len(frames(raised.value)))
    assert len(lengths) == 1


def test_each_call_raises_a_new_error_from_a_shared_failure() -> None:
    """A transport may return one constant failure, but no two callers share an error."""
    harness = Harness(BlockingFrontEnd(), RESET, enable_circuit_breaker=False, **NO_WAIT)
    first, second = harness.error(ConnectionLostError), harness.error(ConnectionLostError)
    assert first is not second
    assert first.timeline is not second.timeline
    assert RESET.cause is not None
    assert RESET.cause.__traceback__ is None

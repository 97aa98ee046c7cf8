"""Failing calls leave nothing for the cycle collector, and their tracebacks are short and stay so.

An error holds its traceback, a traceback its frames, a frame its local variables: one local that holds
the error, and a response, its body and its connection stay until the collector happens to run.
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

PACKAGE = str(Path(http_service_client.__file__).parent)
TIMES = 1000

# A client's opener and the state of its hosts know each other, and live as long as the process: only
# calls have to go without the collector. What is here outlives the check.
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


class WaitsForEver:
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
    """A cause as deep as those of requests, each link with a traceback."""
    try:
        try:
            raise ConnectionResetError(104, "reset")
        except OSError as error:
            raise RuntimeError("wrapped") from error
    except RuntimeError as error:
        return Failure(ConnectionLostError, "lost", SentState.MAYBE_PROCESSED, error)


def a_bug(request: Any) -> Any:
    raise UserError("a bug")


CASES = {
    "failure": (failing(RESET, **NO_WAIT), ConnectionLostError),
    "timeout": (failing(READ_TIMEOUT, {"total_timeout": 60.0}, **NO_WAIT), ReadTimeoutError),
    "failure with a chain of causes": (failing(lambda request: chained()), ConnectionLostError),
    "raised by the transport": (failing(a_bug), UserError),
    "circuit open": (failing(isolated=True), CircuitOpenError),
    "no response to use": (
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
    "wrong return value": (failing(request_interceptors=[ReturnsNothing]), InterceptorError),
    "wrong request": (failing(200, {"json": 1, "data": {"a": 1}}), InvalidRequestError),
    "wrong type": (failing(200, {"response_type": list[int]}), ResponseValidationError),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.usefixtures("no_reference_cycles")
def test_a_thousand_failing_calls_leave_no_cycle(front_end: FrontEnd, case: str) -> None:
    """With the collector off: reference counts free every error, frame, request and response of ours."""
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
    # The doorway's thread may still be about to let go of the last one.
    assert sum(error() is not None for error in kept) <= 1


@pytest.mark.usefixtures("no_reference_cycles")
def test_a_deadline_s_cut_leaves_no_cycle(front_end: FrontEnd) -> None:
    """The interceptor's task and what it was cancelled with are freed too."""
    harness = Harness(front_end, request_interceptors=[WaitsForEver])
    ALIVE.append(harness)
    for _ in range(20):
        harness.error(TimeoutError, total_timeout=0.0005)


@pytest.mark.usefixtures("no_reference_cycles")
def test_a_cancelled_call_leaves_no_cycle() -> None:
    """At an exchange, at an interceptor, with and without a deadline."""

    async def main() -> None:
        for chain in [[], [WaitsForEver]]:
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


GUARDS: dict[str, Callable[[], Any]] = {
    "retry": lambda: RetryPolicy(
        3, ConstantBackoff(0.0), [RetryCondition.on_exceptions([UserError])], clock=FakeClock()
    ),
    "breaker": lambda: CircuitBreakerPolicy(failure_threshold=10**6),
    "breaker with a timeout": lambda: CircuitBreakerPolicy(failure_threshold=10**6, timeout=60.0),
}


@pytest.mark.parametrize("guard", GUARDS)
@pytest.mark.usefixtures("no_reference_cycles")
def test_guarded_functions_leave_no_cycle(front_end: FrontEnd, guard: str) -> None:
    """Policies around functions, too."""

    def body() -> None:
        raise UserError("again")

    policy = GUARDS[guard]()
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


def test_a_client_that_nobody_holds_is_freed_at_once(front_end: FrontEnd) -> None:
    """Its sockets with it: left to the collector, a dead loop's would be found unclosed first."""
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
def test_an_error_that_is_kept_keeps_no_cycle(front_end: FrontEnd) -> None:
    """Whoever logs an error later holds its request and timeline, and frees them by letting go."""
    harness = Harness(front_end, RESET, **NO_WAIT)
    ALIVE.append(harness)
    error = harness.error(ConnectionLostError)
    kept = weakref.ref(error)
    assert error.request.url == URL
    assert kept() is error
    del error
    assert kept() is None


def test_the_fixture_notices_a_cycle(pytester_cycle: Callable[[], list[str]]) -> None:
    """A check that never fails checks nothing."""
    assert pytester_cycle() != []


@pytest.fixture
def pytester_cycle() -> Callable[[], list[str]]:
    """Makes a cycle of ours, and says what the collector finds."""

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
    """(function, is it ours) for each line of the traceback, outermost first."""
    return [
        (frame.name, frame.filename.startswith(PACKAGE))
        for frame in traceback.extract_tb(error.__traceback__)
    ]


@pytest.mark.parametrize("outcome", [RESET, READ_TIMEOUT, failure(ConnectionLostError)], ids=short)
def test_a_traceback_is_the_caller_s_and_three_frames_of_ours(front_end: FrontEnd, outcome: Any) -> None:
    """The user's line stands at the bottom of what matters; how we are made is not his business."""
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
    ours = [name for name, is_ours in found if is_ours]
    assert len(ours) <= 3, ours
    last_of_theirs = [name for name, is_ours in found if not is_ours][-1]
    assert last_of_theirs.startswith("in_users_code")
    assert found.index((last_of_theirs, False)) == len(found) - len(ours) - 1


@pytest.mark.parametrize("case", CASES)
def test_tracebacks_do_not_grow(front_end: FrontEnd, case: str) -> None:
    """The hundredth failure looks like the first."""
    make, expected = CASES[case]
    harness, options = make(front_end)
    lengths = set()
    for _ in range(100):
        with pytest.raises(expected) as raised:
            harness.request(**options)
        lengths.add(len(frames(raised.value)))
        raised.value.__traceback__ = None
    assert len(lengths) == 1


@pytest.mark.parametrize("guard", GUARDS)
def test_tracebacks_of_guarded_functions_do_not_grow(front_end: FrontEnd, guard: str) -> None:
    """However often it fails, and however often it is retried."""

    def body() -> None:
        raise UserError("again")

    guarded = GUARDS[guard]().apply(front_end.function(body))
    lengths = set()
    for _ in range(50):
        with pytest.raises(UserError) as raised:
            front_end.run(guarded)
        lengths.add(len(frames(raised.value)))
    assert len(lengths) == 1


def test_a_shared_failure_raises_an_error_of_its_own_each_time() -> None:
    """A transport may return one constant failure: no two callers share an error."""
    harness = Harness(BlockingFrontEnd(), RESET, enable_circuit_breaker=False, **NO_WAIT)
    first, second = harness.error(ConnectionLostError), harness.error(ConnectionLostError)
    assert first is not second
    assert first.timeline is not second.timeline
    assert RESET.cause is not None
    assert RESET.cause.__traceback__ is None

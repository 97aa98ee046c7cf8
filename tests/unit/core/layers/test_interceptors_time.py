"""The context that interceptors share, and how deadlines and cancellation end them."""

from __future__ import annotations

import asyncio
import sys
import threading
from contextvars import ContextVar, Token
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import (
    deadline,
)
from http_service_client.errors import DeadlineExceededError
from kit.fakes import ORIGIN, URL, Harness
from kit.front_ends import AsyncioFrontEnd, BlockingFrontEnd, FrontEnd, run_task
from kit.interceptors import on_request, on_response
from kit.stopwatch import Stopwatch


def test_the_context_lasts_for_one_call(front_end: FrontEnd) -> None:
    """Attempt 2 sees the attributes and the id of attempt 1; the next call gets a new context."""
    seen: list[tuple[Any, ...]] = []

    class Counting:
        def intercept_request(self, request: Any, context: Any) -> Any:
            context.count = getattr(context, "count", 0) + 1
            seen.append((context.attempt, context.count, context.correlation_id, context.key))
            assert context.request is request
            return request

        def intercept_response(self, response: Any, context: Any) -> Any:
            assert context.request is response.request
            assert context.count == context.attempt
            return response

    harness = Harness(front_end, 503, 200, request_interceptors=[Counting], response_interceptors=[Counting])
    harness.request()
    harness.request()
    assert [row[:2] for row in seen] == [(1, 1), (2, 2), (1, 1)]
    assert seen[0][2] == seen[1][2] != seen[2][2]
    assert {row[3] for row in seen} == {ORIGIN}


def test_an_interceptor_may_set_the_correlation_id(front_end: FrontEnd) -> None:
    """The interceptors after it see the id, in all attempts."""

    def first(request: Any, context: Any) -> Any:
        context.correlation_id = "mine"
        return request

    def second(request: Any, context: Any) -> Any:
        request.headers["X-Request-ID"] = context.correlation_id
        return request

    harness = Harness(front_end, 503, 200, request_interceptors=[on_request(first), on_request(second)])
    harness.request()
    assert {request.headers["X-Request-ID"] for request in harness.transport.sent} == {"mine"}


@pytest.mark.parametrize("is_async", [True, False], ids=["async", "plain"])
@pytest.mark.parametrize("side", ["request", "response"])
def test_the_deadline_cancels_an_async_interceptor(front_end: FrontEnd, side: str, is_async: bool) -> None:
    """An interceptor that waits for an hour is cancelled on time, cleans up and is named in the error.

    The same holds for a plain method that returns an awaitable.
    """
    steps: list[str] = []

    async def intercept(message: Any, context: Any) -> Any:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0)
            steps.append("cleaned up")

    make = on_request if side == "request" else on_response
    method = intercept if is_async else lambda message, context: intercept(message, context)
    harness = Harness(front_end, **{f"{side}_interceptors": [make(method)]})
    with Stopwatch() as watch:
        error = harness.error(DeadlineExceededError, total_timeout=0.1)
    watch.check_took(0.1)
    assert f"On{side.capitalize()}.intercept_{side}" in str(error)
    assert steps == ["cleaned up"]
    assert harness.sends == (side == "response")
    snapshot = harness.state.breaker.snapshot()
    assert (snapshot.successes, snapshot.failures) == (0, 0)


@pytest.mark.parametrize("ending", ["raises", "returns", "swallows"])
def test_a_cancelled_interceptor_may_end_in_any_way(
    front_end: FrontEnd, ending: str, caplog: pytest.LogCaptureFixture
) -> None:
    """An error of its clean-up is not logged as "never retrieved", and its late result is not used."""

    async def intercept(request: Any, context: Any) -> Any:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            if ending == "raises":
                raise RuntimeError("while cleaning up") from None
            if ending == "returns":
                return request
        return None

    harness = Harness(front_end, request_interceptors=[on_request(intercept)])
    harness.error(DeadlineExceededError, total_timeout=0.01)
    import gc

    gc.collect()
    assert caplog.records == []


@pytest.mark.skipif(sys.version_info < (3, 11), reason="a task cannot tell one cancellation from two")
@pytest.mark.parametrize("total", [None, 60.0], ids=["no deadline", "deadline"])
def test_async_interceptors_share_the_task_and_the_context_of_the_call(total: float | None) -> None:
    """A scope that one enters, as those of tracers and loggers, may be left by another, whatever ends the call."""
    scope: ContextVar[str] = ContextVar("scope")
    tasks: set[Any] = set()
    tokens: list[Token[str]] = []

    async def enter(request: Any, context: Any) -> Any:
        await asyncio.sleep(0)
        tasks.add(asyncio.current_task())
        tokens.append(scope.set("entered"))
        return request

    async def leave(response: Any, context: Any) -> Any:
        await asyncio.sleep(0)
        tasks.add(asyncio.current_task())
        assert scope.get() == "entered"
        scope.reset(tokens.pop())
        return response

    with AsyncioFrontEnd() as front_end:
        interceptors = {
            "request_interceptors": [on_request(enter)],
            "response_interceptors": [on_response(leave)],
        }
        Harness(front_end, **interceptors).request(total_timeout=total)
    assert (len(tasks), tokens) == (1, [])


def test_a_timeout_error_of_an_interceptor_is_not_a_deadline(front_end: FrontEnd) -> None:
    """A TimeoutError that an interceptor raises reaches the caller unchanged."""

    async def intercept(request: Any, context: Any) -> Any:
        raise TimeoutError("of my own")

    harness = Harness(front_end, request_interceptors=[on_request(intercept)])
    with deadline(60.0), pytest.raises(TimeoutError, match="of my own"):
        harness.request()


@pytest.mark.parametrize("total", [None, 60.0], ids=["no deadline", "deadline"])
def test_cancelling_the_call_cancels_the_interceptor(total: float | None) -> None:
    """The cancelled call also waits for the interceptor's clean-up, as `await` does."""
    steps: list[str] = []

    async def main() -> None:
        started = asyncio.Event()

        async def intercept(request: Any, context: Any) -> Any:
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                steps.append("cleaned up")

        harness = Harness(AsyncioFrontEnd(), request_interceptors=[on_request(intercept)])
        task = asyncio.create_task(harness.client.get_async(URL, total_timeout=total))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert steps == ["cleaned up"]
        assert harness.state.breaker.snapshot().abandoned == 1

    run_task(main())


def test_a_closed_coroutine_releases_its_permit() -> None:
    """Closing the coroutine of a call that waits in an interceptor cancels it, without a RuntimeError."""
    steps: list[str] = []

    async def intercept(request: Any, context: Any) -> Any:
        steps.append("began")
        try:
            await asyncio.Event().wait()
        finally:
            steps.append("cancelled")

    harness = Harness(AsyncioFrontEnd(), request_interceptors=[on_request(intercept)])

    async def main() -> None:
        coroutine = harness.client.get_async(URL, total_timeout=60.0)
        coroutine.send(None)  # until it waits for the interceptor
        await asyncio.sleep(0)
        coroutine.close()
        assert harness.state.breaker.snapshot().abandoned == 1
        await asyncio.sleep(0)
        assert steps == ["began", "cancelled"]

    run_task(main())


def test_an_interrupted_blocking_call_cancels_its_async_interceptor(monkeypatch: pytest.MonkeyPatch) -> None:
    """On KeyboardInterrupt in the caller, the interceptor is cancelled on the background loop."""
    started, cancelled = threading.Event(), threading.Event()

    class InterruptedLock:
        is_taken = False

        def acquire(self, **limits: Any) -> None:
            if self.is_taken:  # the wait for the interceptor
                assert started.wait(timeout=20)
                raise KeyboardInterrupt
            self.is_taken = True

        def release(self) -> None:
            pass

    async def intercept(request: Any, context: Any) -> Any:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    monkeypatch.setattr(
        "http_service_client.drivers.portal._thread", SimpleNamespace(allocate_lock=InterruptedLock)
    )
    harness = Harness(BlockingFrontEnd(), request_interceptors=[on_request(intercept)])
    with pytest.raises(KeyboardInterrupt):
        harness.request()
    assert cancelled.wait(timeout=20)
    assert harness.state.breaker.snapshot().abandoned == 1
    assert harness.events[-1].error == "KeyboardInterrupt"

"""The context of a call, deadlines and cancellation of interceptors."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from concurrent.futures import Future
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

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="unset")


def test_the_context_lives_as_long_as_the_call(front_end: FrontEnd) -> None:
    """Attributes set in attempt 1 are there in attempt 2, one id for all; the next call begins anew."""
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


def test_the_correlation_id_may_be_one_s_own(front_end: FrontEnd) -> None:
    """Set it, and all that follow see it."""

    def first(request: Any, context: Any) -> Any:
        context.correlation_id = "mine"
        return request

    def second(request: Any, context: Any) -> Any:
        request.headers["X-Request-ID"] = context.correlation_id
        return request

    harness = Harness(front_end, 503, 200, request_interceptors=[on_request(first), on_request(second)])
    harness.request()
    assert {request.headers["X-Request-ID"] for request in harness.transport.sent} == {"mine"}


@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize("side", ["request", "response"])
def test_the_deadline_cuts_an_async_interceptor(front_end: FrontEnd, side: str, is_async: bool) -> None:
    """A rate limiter that would wait for an hour is cancelled on time, cleans up, and is named.

    Also one by a plain method, which returns what is to be awaited.
    """
    story: list[str] = []

    async def intercept(message: Any, context: Any) -> Any:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0)
            story.append("cleaned up")

    make = on_request if side == "request" else on_response
    method = intercept if is_async else lambda message, context: intercept(message, context)
    harness = Harness(front_end, **{f"{side}_interceptors": [make(method)]})
    with Stopwatch() as watch:
        error = harness.error(DeadlineExceededError, total_timeout=0.1)
    watch.check_took(0.1)
    assert f"On{side.capitalize()}.intercept_{side}" in str(error)
    assert story == ["cleaned up"]
    assert harness.sends == (side == "response")
    snapshot = harness.state.breaker.snapshot()
    assert (snapshot.successes, snapshot.failures) == (0, 0)


@pytest.mark.parametrize("ending", ["raises", "returns", "swallows"])
def test_one_that_was_cut_may_end_as_it_likes(
    front_end: FrontEnd, ending: str, caplog: pytest.LogCaptureFixture
) -> None:
    """An error of its clean-up is not "never retrieved", its late result is not used."""

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


def test_an_interceptor_s_own_timeout_is_its_own(front_end: FrontEnd) -> None:
    """A TimeoutError that it raises is not taken for the deadline's cut."""

    async def intercept(request: Any, context: Any) -> Any:
        raise TimeoutError("of my own")

    harness = Harness(front_end, request_interceptors=[on_request(intercept)])
    with deadline(60.0), pytest.raises(TimeoutError, match="of my own"):
        harness.request()


@pytest.mark.parametrize("total", [None, 60.0], ids=["no deadline", "deadline"])
def test_cancelling_the_call_cancels_the_interceptor(total: float | None) -> None:
    """And waits for its clean-up, as `await` does."""
    story: list[str] = []

    async def main() -> None:
        started = asyncio.Event()

        async def intercept(request: Any, context: Any) -> Any:
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                story.append("cleaned up")

        harness = Harness(AsyncioFrontEnd(), request_interceptors=[on_request(intercept)])
        task = asyncio.create_task(harness.client.get_async(URL, total_timeout=total))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert story == ["cleaned up"]
        assert harness.state.breaker.snapshot().abandoned == 1

    run_task(main())


def test_a_closed_coroutine_gives_its_permit_back() -> None:
    """An application that drops the coroutine of a call inside an interceptor gets no RuntimeError."""
    story: list[str] = []

    async def intercept(request: Any, context: Any) -> Any:
        story.append("began")
        try:
            await asyncio.Event().wait()
        finally:
            story.append("cancelled")

    harness = Harness(AsyncioFrontEnd(), request_interceptors=[on_request(intercept)])

    async def main() -> None:
        coroutine = harness.client.get_async(URL, total_timeout=60.0)
        coroutine.send(None)  # to where it waits for the interceptor
        await asyncio.sleep(0)
        coroutine.close()
        assert harness.state.breaker.snapshot().abandoned == 1
        await asyncio.sleep(0)
        assert story == ["began", "cancelled"]

    run_task(main())


def test_an_interrupted_blocking_call_cancels_its_async_interceptor(monkeypatch: pytest.MonkeyPatch) -> None:
    """KeyboardInterrupt while the caller waits: the interceptor is cancelled on the loop it runs on."""
    started, cancelled = threading.Event(), threading.Event()

    class InterruptedFuture(Future[Any]):
        def result(self, timeout: float | None = None) -> Any:
            assert started.wait(timeout=20)
            raise KeyboardInterrupt

    async def intercept(request: Any, context: Any) -> Any:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    monkeypatch.setattr("http_service_client.drivers.portal.Future", InterruptedFuture)
    harness = Harness(BlockingFrontEnd(), request_interceptors=[on_request(intercept)])
    with pytest.raises(KeyboardInterrupt):
        harness.request()
    assert cancelled.wait(timeout=20)
    assert harness.state.breaker.snapshot().abandoned == 1
    assert harness.events[-1].error == "KeyboardInterrupt"

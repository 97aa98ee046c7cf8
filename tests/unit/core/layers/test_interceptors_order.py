"""When interceptors run, plain and async."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import warnings
from typing import Any

import pytest

from http_service_client import (
    ConfigurationError,
    HttpClientConfig,
    RequestInterceptor,
    ResponseInterceptor,
)
from kit.fakes import ORIGIN, RESET, URL, Harness
from kit.front_ends import AsyncioFrontEnd, BlockingFrontEnd, FrontEnd, run_task
from kit.interceptors import Recorder, on_request, on_response

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="unset")


def test_they_run_in_list_order_at_each_attempt(front_end: FrontEnd) -> None:
    """Both lists in the order given; once for each attempt, not for each redirect."""
    story: list[str] = []
    first, second = Recorder(story, "first"), Recorder(story, "second")
    script = [503, (302, {"Location": "/b"}), 200]
    harness = Harness(
        front_end, *script, request_interceptors=[first, second], response_interceptors=[second, first]
    )
    assert harness.request().attempts == 2
    assert story == [
        "first request 1",
        "second request 1",
        "second response 1: 503",
        "first response 1: 503",
        "first request 2",
        "second request 2",
        "second response 2: 200",
        "first response 2: 200",
    ]


def test_a_failed_attempt_has_no_response_to_intercept(front_end: FrontEnd) -> None:
    """Response interceptors see responses only."""
    story: list[str] = []
    harness = Harness(front_end, RESET, 200, response_interceptors=[Recorder(story, "it")])
    harness.request()
    assert story == ["it response 2: 200"]


def test_a_refused_call_runs_none(front_end: FrontEnd) -> None:
    """A fast failure is fast: the circuit is asked before any interceptor."""
    story: list[str] = []
    harness = Harness(front_end, 500, 200, request_interceptors=[Recorder(story, "it")])
    harness.state.breaker.isolate()
    with pytest.raises(Exception, match="isolated"):
        harness.request()
    assert story == []


def test_a_class_is_made_once(front_end: FrontEnd) -> None:
    """Listed as request and as response interceptor, it is one object, with one state."""
    made: list[Any] = []

    class Both(RequestInterceptor, ResponseInterceptor):
        def __init__(self) -> None:
            made.append(self)

        async def intercept_request(self, request: Any, context: Any) -> Any:
            self.began = context.attempt
            return request

        async def intercept_response(self, response: Any, context: Any) -> Any:
            assert self.began == context.attempt
            return response

    harness = Harness(front_end, request_interceptors=[Both], response_interceptors=[Both])
    harness.request()
    harness.request()
    assert len(made) == 1


def test_the_bases_say_what_is_missing(front_end: FrontEnd) -> None:
    """A subclass that defines nothing says so by name."""

    class Forgetful(RequestInterceptor):
        pass

    with pytest.raises(NotImplementedError, match="Forgetful must define intercept_request"):
        Harness(front_end, request_interceptors=[Forgetful]).request()


@pytest.mark.parametrize("item", [object(), object, "Class", 3, None])
@pytest.mark.parametrize("field", ["request_interceptors", "response_interceptors"])
def test_what_is_no_interceptor_is_refused(field: str, item: Any) -> None:
    """When the configuration is made, not at the first call."""
    with pytest.raises(ConfigurationError, match=field):
        HttpClientConfig(**{field: [item]})


@pytest.mark.parametrize("caller", ["a plain thread", "a running loop"])
def test_an_async_interceptor_really_awaits_under_a_blocking_call(caller: str) -> None:
    """Suspending, timers and events of asyncio work, whether or not the calling thread has a loop."""
    loops: list[Any] = []

    async def intercept(request: Any, context: Any) -> Any:
        await asyncio.sleep(0)
        ready = asyncio.Event()
        loop = asyncio.get_running_loop()
        loops.append(loop)
        loop.call_later(0.001, ready.set)
        await ready.wait()
        request.headers["X-Awaited"] = "yes"
        return request

    harness = Harness(BlockingFrontEnd(), request_interceptors=[on_request(intercept)])
    if caller == "a plain thread":
        harness.request()
    else:

        async def inside() -> None:
            with pytest.warns(RuntimeWarning, match="blocking call inside a running event loop"):
                harness.request()
            assert asyncio.get_running_loop() not in loops

        asyncio.run(inside())
    assert harness.transport.sent[0].headers["X-Awaited"] == "yes"


def test_an_async_interceptor_awaits_on_the_caller_s_own_loop() -> None:
    """Under the async front end it may use what lives on the application's loop."""

    async def main() -> None:
        loop, gate = asyncio.get_running_loop(), asyncio.Event()

        async def intercept(request: Any, context: Any) -> Any:
            assert asyncio.get_running_loop() is loop
            loop.call_later(0.001, gate.set)
            await gate.wait()
            return request

        harness = Harness(AsyncioFrontEnd(), request_interceptors=[on_request(intercept)])
        assert (await harness.client.get_async(URL)).status_code == 200

    run_task(main())


@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
def test_both_kinds_work_in_both_worlds(front_end: FrontEnd, is_async: bool) -> None:
    """On the way out and on the way back."""

    def mark_request(request: Any, context: Any) -> Any:
        request.headers["X-Mark"] = "out"
        return request

    def mark_response(response: Any, context: Any) -> Any:
        response.headers["X-Mark"] = "back"
        return response

    async def mark_request_async(request: Any, context: Any) -> Any:
        await asyncio.sleep(0)
        return mark_request(request, context)

    async def mark_response_async(response: Any, context: Any) -> Any:
        await asyncio.sleep(0)
        return mark_response(response, context)

    harness = Harness(
        front_end,
        request_interceptors=[on_request(mark_request_async if is_async else mark_request)],
        response_interceptors=[on_response(mark_response_async if is_async else mark_response)],
    )
    assert harness.request().headers["X-Mark"] == "back"
    assert harness.transport.sent[0].headers["X-Mark"] == "out"


def test_a_plain_method_may_return_an_awaitable(front_end: FrontEnd) -> None:
    """What counts is what comes back, not how the method was declared."""

    async def later(request: Any) -> Any:
        await asyncio.sleep(0)
        return request

    harness = Harness(front_end, request_interceptors=[on_request(lambda request, context: later(request))])
    assert harness.request().status_code == 200


@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
@pytest.mark.parametrize("total", [None, 60.0], ids=["no deadline", "deadline"])
def test_context_variables_of_the_caller_are_seen(
    front_end: FrontEnd, is_async: bool, total: float | None
) -> None:
    """Tenant, trace and request ids travel in them, also onto the loop behind a blocking call."""
    seen: list[str] = []

    def intercept(request: Any, context: Any) -> Any:
        seen.append(VARIABLE.get())
        return request

    async def intercept_async(request: Any, context: Any) -> Any:
        await asyncio.sleep(0)
        return intercept(request, context)

    harness = Harness(
        front_end, request_interceptors=[on_request(intercept_async if is_async else intercept)]
    )
    token = VARIABLE.set("tenant-7")
    try:
        harness.request(total_timeout=total)
    finally:
        VARIABLE.reset(token)
    assert seen == ["tenant-7"]


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_an_async_interceptor_may_call_through_the_same_client(depth: int) -> None:
    """Blocking, from async code, with async interceptors, several deep: the doorway must not wait for itself."""
    harness: Harness

    class Nested:
        async def intercept_request(self, request: Any, context: Any) -> Any:
            await asyncio.sleep(0)
            level = int(request.headers.get("X-Level", "0"))
            if level < depth:
                response = harness.client.get(f"{ORIGIN}/token", headers={"X-Level": level + 1})
                request.headers["X-Token"] = str(response.status_code)
            return request

    harness = Harness(BlockingFrontEnd(), request_interceptors=[Nested])
    done: list[int] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        thread = threading.Thread(target=lambda: done.append(harness.request().status_code), daemon=True)
        thread.start()
        thread.join(timeout=20)
    assert done == [200], "the nested call waits for ever"
    assert harness.sends == depth + 1
    assert harness.transport.sent[-1].headers["X-Token"] == "200"


def test_doorways_of_nested_calls_leave_no_thread_behind() -> None:
    """One background thread, however many calls were nested."""
    test_an_async_interceptor_may_call_through_the_same_client(3)
    names = [thread.name for thread in threading.enumerate() if "portal" in thread.name]
    assert len(names) <= 1


def test_many_threads_share_the_doorway() -> None:
    """Async interceptors of four threads wait side by side, not one after the other."""
    together = threading.Barrier(4, timeout=20)

    async def intercept(request: Any, context: Any) -> Any:
        await asyncio.get_running_loop().run_in_executor(None, together.wait)
        return request

    harness = Harness(BlockingFrontEnd(), request_interceptors=[on_request(intercept)])
    results: list[int] = []
    threads = [
        threading.Thread(target=lambda: results.append(harness.request().status_code), daemon=True)
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert results == [200] * 4

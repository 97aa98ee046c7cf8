"""When interceptors run, and where plain and async ones run."""

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
from kit.rows import each_row

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="unset")


def test_interceptors_run_in_list_order_in_each_attempt(front_end: FrontEnd) -> None:
    """Both chains run in the given order, once for each attempt and not for each redirect."""
    steps: list[str] = []
    first, second = Recorder(steps, "first"), Recorder(steps, "second")
    script = [503, (302, {"Location": "/b"}), 200]
    harness = Harness(
        front_end, *script, request_interceptors=[first, second], response_interceptors=[second, first]
    )
    assert harness.request().attempts == 2
    assert steps == [
        "first request 1",
        "second request 1",
        "second response 1: 503",
        "first response 1: 503",
        "first request 2",
        "second request 2",
        "second response 2: 200",
        "first response 2: 200",
    ]


def test_a_failed_attempt_runs_no_response_interceptor(front_end: FrontEnd) -> None:
    """Response interceptors see responses only, and no transport errors."""
    steps: list[str] = []
    harness = Harness(front_end, RESET, 200, response_interceptors=[Recorder(steps, "it")])
    harness.request()
    assert steps == ["it response 2: 200"]


def test_a_call_refused_by_the_circuit_runs_no_interceptor(front_end: FrontEnd) -> None:
    """The circuit is checked before any interceptor, so that a refusal is fast."""
    steps: list[str] = []
    harness = Harness(front_end, 500, 200, request_interceptors=[Recorder(steps, "it")])
    harness.state.breaker.isolate()
    with pytest.raises(Exception, match="isolated"):
        harness.request()
    assert steps == []


def test_an_interceptor_class_is_instantiated_once(front_end: FrontEnd) -> None:
    """A class listed for requests and for responses becomes one object with one state."""
    instances: list[Any] = []

    class Both(RequestInterceptor, ResponseInterceptor):
        def __init__(self) -> None:
            instances.append(self)

        async def intercept_request(self, request: Any, context: Any) -> Any:
            self.attempt = context.attempt
            return request

        async def intercept_response(self, response: Any, context: Any) -> Any:
            assert self.attempt == context.attempt
            return response

    harness = Harness(front_end, request_interceptors=[Both], response_interceptors=[Both])
    harness.request()
    harness.request()
    assert len(instances) == 1


@pytest.mark.parametrize(
    ("base", "side"), [(RequestInterceptor, "request"), (ResponseInterceptor, "response")]
)
def test_an_interceptor_without_its_method_is_named(front_end: FrontEnd, base: type, side: str) -> None:
    """The error names the subclass and the method that it must define."""
    forgetful = type("Forgetful", (base,), {})
    with pytest.raises(NotImplementedError, match=f"Forgetful must define intercept_{side}"):
        Harness(front_end, **{f"{side}_interceptors": [forgetful]}).request()


@each_row("item", [object(), object, "Class", 3, None])
@each_row("field", ["request_interceptors", "response_interceptors"])
def test_an_object_that_is_not_an_interceptor_is_rejected(field: str, item: Any) -> None:
    """The configuration rejects it when it is made, not at the first call."""
    with pytest.raises(ConfigurationError, match=rf"\b{field}\b"):
        HttpClientConfig(**{field: [item]})


@pytest.mark.parametrize("caller", ["a plain thread", "a running loop"])
def test_an_async_interceptor_can_await_in_a_blocking_call(caller: str) -> None:
    """Suspension, timers and events of asyncio work, whether or not the calling thread has a loop."""
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
    """In an asyncio call it runs on the loop of the caller and may use objects bound to that loop."""

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
def test_plain_and_async_interceptors_work_in_sync_and_async_calls(
    front_end: FrontEnd, is_async: bool
) -> None:
    """Either kind may change the request and the response, in blocking and asyncio calls."""

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
    """An awaitable is awaited, even if the method was not declared `async def`."""

    async def later(request: Any) -> Any:
        await asyncio.sleep(0)
        return request

    harness = Harness(front_end, request_interceptors=[on_request(lambda request, context: later(request))])
    assert harness.request().status_code == 200


@each_row("is_async", [False, True], ids=["plain", "async"])
@each_row("total", [None, 60.0], ids=["no deadline", "deadline"])
def test_an_interceptor_sees_the_caller_s_context_variables(
    front_end: FrontEnd, is_async: bool, total: float | None
) -> None:
    """Tenant, trace and request ids also reach the background loop that runs an async interceptor."""
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
    """Blocking calls from async interceptors, several levels deep, do not deadlock the background loop."""
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
    assert done == [200], "the nested call did not finish"
    assert harness.sends == depth + 1
    assert harness.transport.sent[-1].headers["X-Token"] == "200"


def test_nested_calls_leave_one_background_thread() -> None:
    """However deep calls are nested, only the thread of the shared background loop stays."""

    def portals() -> set[threading.Thread]:
        return {thread for thread in threading.enumerate() if thread.name == "http_service_client portal"}

    test_an_async_interceptor_may_call_through_the_same_client(1)  # starts it, if no test has
    before = portals()
    test_an_async_interceptor_may_call_through_the_same_client(3)
    assert set() < portals() <= before


def test_async_interceptors_of_many_threads_run_concurrently() -> None:
    """The background loop runs the interceptors of four threads at the same time, not one after another."""
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

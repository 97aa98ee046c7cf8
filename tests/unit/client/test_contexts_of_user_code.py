"""The context variables that the user's code of one call sees, and what it leaves behind, in both front ends."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from http_service_client import Cache, FallbackPolicy, HttpResponse, deadline
from http_service_client.auth import BearerToken
from http_service_client.policies import MemoryStorage
from http_service_client.testing import ScriptedTransport
from kit.front_ends import AsyncioFrontEnd, BlockingFrontEnd, FrontEnd
from kit.interceptors import on_request, on_response
from kit.threads import wait_until

URL = "https://api.example.com/"
TRACE: ContextVar[str | None] = ContextVar("TRACE", default=None)


@pytest.fixture(autouse=True)
def no_trace() -> Iterator[None]:
    token = TRACE.set(None)
    yield
    TRACE.reset(token)


def run(front_end: FrontEnd, call: Any) -> str | None:
    """What the variable is after the call, in the context that made it."""
    if isinstance(front_end, AsyncioFrontEnd):

        async def main() -> str | None:
            await call()
            return TRACE.get()

        return front_end.loop.run_until_complete(main())
    call()
    return TRACE.get()


def method(front_end: FrontEnd, client: Any, **options: Any) -> Any:
    get = client.get if isinstance(front_end, BlockingFrontEnd) else client.get_async
    return lambda: get(URL, **options)


def marking(mark: str, is_async: bool, seen: list[str | None]) -> Any:
    """An interceptor's function that notes the variable, and sets it."""

    def intercept(message: Any, context: Any) -> Any:
        seen.append(TRACE.get())
        TRACE.set(mark)
        return message

    async def intercept_async(message: Any, context: Any) -> Any:
        await asyncio.sleep(0)
        return intercept(message, context)

    return intercept_async if is_async else intercept


@pytest.mark.parametrize("total", [None, 60.0], ids=["no deadline", "deadline"])
@pytest.mark.parametrize("response_is_async", [True, False], ids=["then async", "then plain"])
@pytest.mark.parametrize("request_is_async", [True, False], ids=["async", "plain"])
def test_what_an_interceptor_sets_is_seen_by_the_next_and_by_the_caller(
    front_end: FrontEnd, request_is_async: bool, response_is_async: bool, total: float | None
) -> None:
    """Though the async ones of a blocking call run on another thread."""
    if total and front_end.name == "asyncio" and sys.version_info < (3, 11):
        pytest.skip("a task cannot tell one cancellation from two, and each runs in a task of its own")
    seen: list[str | None] = []
    client = front_end.client(
        transport=ScriptedTransport(HttpResponse(200)),
        request_interceptors=[on_request(marking("request", request_is_async, seen))],
        response_interceptors=[on_response(marking("response", response_is_async, seen))],
    )
    assert run(front_end, method(front_end, client, total_timeout=total)) == "response"
    assert seen == [None, "request"]


def test_what_was_set_before_an_exception_stays_set(front_end: FrontEnd) -> None:
    """A handler of the exception sees how far the async code has come."""

    async def intercept(message: Any, context: Any) -> Any:
        TRACE.set("failed here")
        raise LookupError

    client = front_end.client(
        transport=ScriptedTransport(HttpResponse(200)), request_interceptors=[on_request(intercept)]
    )
    call = method(front_end, client)
    if isinstance(front_end, AsyncioFrontEnd):

        async def calling() -> None:
            with pytest.raises(LookupError):
                await call()

        assert run(front_end, calling) == "failed here"
    else:
        with pytest.raises(LookupError):
            call()
        assert TRACE.get() == "failed here"


def test_an_async_fallback_sets_variables_of_its_caller(front_end: FrontEnd) -> None:
    """As a plain one does."""

    async def stand_in(*_: Any) -> str:
        TRACE.set("from a fallback")
        return "instead"

    client = front_end.client(transport=ScriptedTransport(HttpResponse(404)))
    fallback = FallbackPolicy(function=stand_in, failures=[404])
    assert run(front_end, method(front_end, client, fallback=fallback)) == "from a fallback"


class Storage(MemoryStorage):
    """One that blocks, so that asyncio calls it in threads.   seen: the variable, at each step."""

    blocks = True

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str | None] = []

    def get(self, *place: Any) -> Any:
        self.seen.append(TRACE.get())
        TRACE.set("of a thread")
        return super().get(*place)


def test_a_storage_sees_the_variables_of_its_call_alone(front_end: FrontEnd) -> None:
    """A storage may find its tenant in one. What it sets in a thread is not there for the work of other calls."""
    storage = Storage()
    client = front_end.client(transport=ScriptedTransport(HttpResponse(200)), cache=Cache(storage=storage))
    for tenant in ("a", "b", None):
        TRACE.set(tenant)
        front_end.request(client, "GET", URL)
        assert storage.seen.pop(0) == tenant
        storage.seen.clear()


def test_a_token_is_fetched_in_a_context_of_its_own(front_end: FrontEnd) -> None:
    """It is for all callers, and so belongs to none; nor does one fetch see what the last one has set."""
    seen: list[str | None] = []

    def fetch() -> str:
        seen.append(TRACE.get())
        TRACE.set("of a fetch")
        return "token"

    TRACE.set("of a call")
    client = front_end.client(transport=ScriptedTransport(HttpResponse(200)))
    for _ in range(2):
        front_end.request(client, "GET", URL, auth=BearerToken(fetch))
    assert (seen, TRACE.get()) == ([None, None], "of a call")


def test_a_revalidation_behind_a_call_sees_the_variables_of_that_call(front_end: FrontEnd) -> None:
    """An interceptor may find the user's credentials in one. A deadline around the call does not bound it, though."""
    seen: list[tuple[str | None, float | None]] = []
    is_there = threading.Event()

    def intercept(request: Any, context: Any) -> Any:
        seen.append((TRACE.get(), context.remaining()))
        if len(seen) == 2:
            is_there.set()
        return request

    stale = HttpResponse(200, headers={"Cache-Control": "max-age=0, stale-while-revalidate=60"})
    client = front_end.client(
        transport=ScriptedTransport(stale), cache=Cache(), request_interceptors=[on_request(intercept)]
    )
    front_end.request(client, "GET", URL)
    TRACE.set("tenant")
    with deadline(60.0):
        assert front_end.request(client, "GET", URL).from_cache

    async def going_on() -> None:  # it runs beside, in a task of the loop
        while not is_there.is_set():
            await asyncio.sleep(0)

    if isinstance(front_end, AsyncioFrontEnd):
        front_end.loop.run_until_complete(asyncio.wait_for(going_on(), 20))
    wait_until(is_there.is_set)
    assert seen == [(None, None), ("tenant", None)]

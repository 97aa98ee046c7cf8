"""The portal from blocking code into asyncio keeps working, whatever user code does on it."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from http_service_client import HttpServiceClient
from http_service_client.drivers.portal import Portal
from kit.fakes import URL, Harness
from kit.front_ends import BlockingFrontEnd


class Before:
    """An async interceptor that awaits some work before it passes the request on."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work

    async def intercept_request(self, request: Any, context: Any) -> Any:
        await self._work()
        return request


def client_before(work: Callable[[], Any]) -> HttpServiceClient:
    return Harness(BlockingFrontEnd(), request_interceptors=[Before(work)]).client


def get_in_time(client: HttpServiceClient) -> int:
    """The status of a GET made on another thread, so that a deadlock fails the test and does not hang it."""
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(client.get(URL).status_code), daemon=True)
    thread.start()
    thread.join(10)
    assert found, "a deadlock"
    return found[0]


async def nothing() -> None:
    await asyncio.sleep(0)


async def plainly(client: HttpServiceClient) -> None:
    client.get(URL)


async def by_a_thread(client: HttpServiceClient) -> None:
    await asyncio.to_thread(client.get, URL)


async def by_an_executor(client: HttpServiceClient) -> None:
    await asyncio.get_running_loop().run_in_executor(None, client.get, URL)


WAYS = [plainly, by_a_thread, by_an_executor]


@pytest.mark.filterwarnings("ignore:a blocking call inside a running event loop")
@pytest.mark.parametrize("inner", WAYS)
@pytest.mark.parametrize("middle", WAYS)
@pytest.mark.parametrize("outer", WAYS)
def test_blocking_calls_inside_async_interceptors_never_wait_for_each_other(
    outer: Any, middle: Any, inner: Any
) -> None:
    """Four nested calls, each from an async interceptor, on its own thread or another."""
    client = client_before(nothing)
    for way in (inner, middle, outer):
        client = client_before(lambda way=way, client=client: way(client))
    assert get_in_time(client) == 200


def test_a_thread_is_blocked_only_while_its_call_waits() -> None:
    """Afterwards, the portal serves other callers itself again."""
    portal, blocked = Portal(), list[bool]()

    async def inner() -> None:
        assert portal._thread is not None
        blocked.append(portal._thread.is_blocked)

    async def outer() -> None:
        portal.run(inner())

    try:
        portal.run(outer())
        portal.run(inner())
    finally:
        portal.stop()
    assert blocked == [True, False]


@pytest.mark.parametrize("total_timeout", [None, 60.0], ids=["unbounded", "bounded"])
@pytest.mark.parametrize(
    "ending", [SystemExit(3), KeyboardInterrupt()], ids=lambda error: type(error).__name__
)
def test_an_exit_of_the_caller_does_not_stop_the_portal(
    ending: BaseException, total_timeout: float | None
) -> None:
    """`sys.exit()` in an async interceptor is raised in the caller; the next call works."""
    endings = [ending]

    async def work() -> None:
        if endings:
            raise endings.pop()

    client = client_before(work)
    with pytest.raises(type(ending)):
        client.get(URL, total_timeout=total_timeout)
    assert get_in_time(client) == 200


def test_a_child_process_leaves_the_loop_of_its_parent_open() -> None:
    """Freeing or closing it would close the epoll object that both processes share."""
    portal = Portal()
    portal.run(asyncio.sleep(0))
    loop, thread = portal._loop, portal._thread
    assert loop is not None
    assert thread is not None
    portal.reset_after_fork()
    kept = weakref.ref(loop)
    try:
        assert not loop.is_closed()
        assert portal._loop is None
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        del loop, thread
        gc.collect()
        assert kept() is not None
    finally:
        portal.stop()


def test_a_coroutine_ends_with_the_caller_that_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """By Ctrl-C, say: nobody waits for its result any more."""
    portal, began, ended = Portal(), threading.Event(), threading.Event()

    async def wait() -> None:
        began.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    def interrupted(lock: object, timeout: float | None) -> bool:
        assert began.wait(20)
        raise KeyboardInterrupt

    monkeypatch.setattr("http_service_client.drivers.portal.acquire_within", interrupted)
    with pytest.raises(KeyboardInterrupt):
        portal.run(wait())
    assert ended.wait(20)
    portal.stop()


def test_a_portal_that_is_stopped_ends_its_thread() -> None:
    """And starts another one when it is used again. One that was not used has none."""
    portal, threads = Portal(), []

    async def note() -> None:
        threads.append(threading.current_thread())

    portal.stop()
    for _ in range(2):
        portal.run(note())
        portal.run(note())
        portal.stop()
        threads[-1].join(20)
        assert not threads[-1].is_alive()
    assert len({*threads}) == 2

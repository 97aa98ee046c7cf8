"""The portal from blocking code into asyncio keeps working, whatever user code does on it."""

from __future__ import annotations

import asyncio
import gc
import inspect
import subprocess
import sys
import textwrap
import threading
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from contextvars import ContextVar, copy_context
from typing import Any
from unittest.mock import Mock

import pytest

from http_service_client import HttpServiceClient
from http_service_client.core.effects import TIMED_OUT
from http_service_client.drivers import portal as portal_module
from http_service_client.drivers.portal import PORTAL, WIRE, Portal, _WirePortal
from kit.fakes import URL, Harness
from kit.forks import in_a_child, needs_fork
from kit.front_ends import BlockingFrontEnd
from kit.threads import in_time, wait_until


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
    assert all(thread.daemon for thread in threads)  # a program that ends does not wait for it


def test_to_stop_takes_no_longer_than_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does it return before, unless user code holds the loop for seconds."""
    monkeypatch.setattr(portal_module, "_STOP_TIMEOUT", 60.0)
    portal, log = Portal(), list[str]()

    async def left() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.02)
            log.append("a task")

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            log.append("a generator")

    kept: list[Any] = []

    async def leave() -> None:
        kept.extend((asyncio.ensure_future(left()), numbers()))
        await kept[1].__anext__()

    portal.run(leave())
    in_time(portal.stop)
    assert log == ["a task", "a generator"]


def test_code_finds_its_loop_by_the_policy_too() -> None:
    """As under `asyncio.run`: some libraries look for it there."""
    portal = Portal()

    async def find() -> bool:
        return asyncio.get_event_loop_policy().get_event_loop() is asyncio.get_running_loop()

    try:
        assert portal.run(find())
    finally:
        portal.stop()


class FailedError(Exception):
    """To be found again."""


def test_an_error_is_freed_with_its_last_reference() -> None:
    """It makes no reference cycle, which would keep a request and its response until the collector runs."""
    portal, made = Portal(), list[weakref.ref[BaseException]]()

    async def fail() -> None:
        error = FailedError()
        made.append(weakref.ref(error))
        try:
            raise error
        finally:
            del error

    gc.disable()
    try:
        with suppress(FailedError):
            portal.run(fail())
        portal.run(asyncio.sleep(0))  # the thread has gone on
        wait_until(lambda: made[0]() is None)
    finally:
        gc.enable()
        portal.stop()


def test_a_signal_handler_may_start_the_portal_that_is_being_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread is left, that of the handler."""
    portal, threads = Portal(), list[threading.Thread]()

    class Noted(portal_module._PortalThread):
        def start(self) -> None:
            threads.append(self)
            super().start()

    def interrupted() -> None:
        monkeypatch.setattr(portal_module, "_check_room", lambda: None)
        portal.run(asyncio.sleep(0))

    monkeypatch.setattr(portal_module, "_PortalThread", Noted)
    monkeypatch.setattr(portal_module, "_check_room", interrupted)
    portal.run(asyncio.sleep(0))
    handlers, other = threads
    wait_until(lambda: not other.is_alive())
    assert portal._thread is handlers
    portal.stop()
    wait_until(lambda: not handlers.is_alive())


def test_what_goes_on_after_its_time_is_over_has_no_result() -> None:
    """Its caller was told that there was no time left for it."""
    portal = Portal()

    async def stubborn() -> str:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        return "late"

    try:
        assert portal.run(stubborn(), 0.01) is TIMED_OUT
    finally:
        portal.stop()


SETTING: ContextVar[str] = ContextVar("setting", default="unset")


@pytest.mark.parametrize("kind", [Portal, _WirePortal])
def test_what_user_code_sets_in_context_variables_is_set_for_its_caller(kind: type[Portal]) -> None:
    """As if the caller had awaited it. No user code runs on the loop of our exchanges, so nothing is carried over there."""
    portal = kind()

    async def change() -> str:
        before = SETTING.get()
        SETTING.set("changed")
        return before

    def call() -> tuple[str, str]:
        SETTING.set("of the caller")
        return portal.run(change()), SETTING.get()

    try:
        found = copy_context().run(call)
    finally:
        portal.stop()
    assert found == ("of the caller", "changed" if kind is Portal else "of the caller")


def test_a_process_that_ends_ends_what_its_loops_run() -> None:
    """A task that was left there cleans up, and no loop is left unclosed, of which the interpreter may warn."""
    source = """
        import asyncio
        from http_service_client.drivers.portal import PORTAL, WIRE

        tasks = []

        async def wait(name):
            try:
                await asyncio.sleep(60)
            finally:
                print(name)

        async def begin(name):
            tasks.append(asyncio.ensure_future(wait(name)))
            await asyncio.sleep(0)

        PORTAL.run(begin("user code"))
        WIRE.run(begin("an exchange"))
        print("end")
    """
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", textwrap.dedent(source)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["end", "an exchange", "user code"]


@needs_fork
@pytest.mark.parametrize("portal", [PORTAL, WIRE], ids=["user code", "exchanges"])
def test_a_forked_child_has_a_thread_of_its_own(portal: Portal) -> None:
    """That of the parent does not exist there: what waits for it would wait without end."""

    async def thread() -> threading.Thread:
        return threading.current_thread()

    parents = portal.run(thread())

    def work() -> None:
        assert portal.run(thread()) is not parents

    assert in_a_child(work) == 0
    assert portal.run(thread()) is parents


def test_what_is_posted_is_called_on_the_loop() -> None:
    """While there is one: neither before it was started nor after its end is anything to be done there."""
    portal, called = _WirePortal(), list[tuple[str, str]]()

    def note(name: str) -> None:
        called.append((name, threading.current_thread().name))

    portal.post(note, "early")
    portal.start()
    portal.post(note, "first")
    loop = portal._loop
    wait_until(lambda: called)
    portal.stop()
    portal._loop = loop  # as for a call that has just looked
    portal.post(note, "late")
    assert called == [("first", "http_service_client portal")]


@pytest.mark.parametrize("kind", ["coroutine", "another awaitable"])
def test_what_finds_no_loop_is_not_left_unawaited(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Python would warn of a coroutine. Any other awaitable is no concern of the portal's. The error is as it is."""
    refused = RuntimeError("no room for a loop")
    monkeypatch.setattr(portal_module, "_check_room", Mock(side_effect=refused))
    coroutine = nothing()
    awaitable: Any = coroutine if kind == "coroutine" else object()
    with pytest.raises(RuntimeError) as caught:
        Portal().run(awaitable)
    assert caught.value is refused
    is_closed = inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED
    coroutine.close()
    assert is_closed is (kind == "coroutine")

"""The loop of each driver: a plan is closed in any case, and an unknown effect is an error in it."""

from __future__ import annotations

import asyncio
import sys
import threading
from contextvars import ContextVar
from types import FrameType
from typing import Any

import pytest

from http_service_client.core.effects import Acquire, Invoke, Open, Send, Sleep, Start
from http_service_client.core.machines.limits.semaphore import Latch
from http_service_client.core.timeouts import Timeout
from http_service_client.drivers import aio, blocking
from http_service_client.drivers.aio import AsyncioDriver
from http_service_client.drivers.blocking import BlockingDriver
from http_service_client.drivers.clocks import SystemClock
from http_service_client.drivers.functions import asyncio_driver, blocking_driver
from http_service_client.drivers.locks import ForkSafeLock
from http_service_client.drivers.portal import PORTAL, Portal
from http_service_client.drivers.simulator import Simulator
from http_service_client.drivers.threads import DaemonThreads
from http_service_client.errors import ClientClosedError, SentState
from http_service_client.http.messages import HttpRequest
from kit.fakes import URL
from kit.front_ends import run_task
from kit.threads import wait_until


@pytest.mark.parametrize("driver", ["blocking", "asyncio"])
def test_an_interrupted_plan_is_closed(driver: str) -> None:
    """Its `finally` runs at once, with the interruption thrown into it."""
    log: list[str] = []

    def plan() -> Any:
        try:
            yield Sleep(0.0)
        except BaseException as error:
            log.append(type(error).__name__)
            raise
        finally:
            log.append("closed")

    def bad_sleep(seconds: float) -> None:
        raise KeyboardInterrupt

    async def bad_sleep_async(seconds: float) -> None:
        raise asyncio.CancelledError

    if driver == "blocking":
        with pytest.raises(KeyboardInterrupt):
            BlockingDriver(None, None, bad_sleep).run(plan())  # type: ignore[arg-type]
    else:
        with pytest.raises(asyncio.CancelledError):
            run_task(AsyncioDriver(None, bad_sleep_async).run(plan()))  # type: ignore[arg-type]
    assert log == ["KeyboardInterrupt" if driver == "blocking" else "CancelledError", "closed"]


@pytest.mark.parametrize("driver", ["blocking", "asyncio"])
def test_an_unknown_effect_is_an_error_in_the_plan(driver: str) -> None:
    """The error is thrown into the plan, which releases what it holds."""
    log: list[str] = []

    def plan() -> Any:
        try:
            yield "nonsense"
        finally:
            log.append("closed")

    with pytest.raises(KeyError):
        if driver == "blocking":
            BlockingDriver(None, None).run(plan())  # type: ignore[arg-type]
        else:
            run_task(AsyncioDriver(None).run(plan()))  # type: ignore[arg-type]
    assert log == ["closed"]


@pytest.mark.parametrize("driver", ["blocking", "asyncio"])
@pytest.mark.parametrize("kind", [Send, Open])
def test_a_closed_client_sends_nothing(driver: str, kind: Any) -> None:
    """A plan that goes on gets a failure for each exchange that it still wants to begin."""

    def send(*about: Any) -> Any:
        raise AssertionError(about)

    def plan() -> Any:
        return (yield kind(HttpRequest("GET", URL), Timeout()))

    made: Any = BlockingDriver(send, PORTAL) if driver == "blocking" else AsyncioDriver(send)
    made.end_waits()
    result = made.run(plan())
    outcome = result if driver == "blocking" else run_task(result)
    assert outcome.error_type is ClientClosedError
    assert outcome.sent_state is SentState.NEVER_SENT


@pytest.mark.parametrize("driver", ["blocking", "asyncio"])
def test_a_plan_around_a_function_can_send_nothing(driver: str) -> None:
    """There is no transport: one that tries to is a bug."""

    def plan() -> Any:
        yield Send(HttpRequest("GET", URL), Timeout())

    with pytest.raises(RuntimeError, match=r"^a plan around a function makes no exchange$"):
        if driver == "blocking":
            blocking_driver(SystemClock()).run(plan())
        else:
            run_task(asyncio_driver(SystemClock()).run(plan()))


def made(driver: str) -> Any:
    return BlockingDriver(None, PORTAL) if driver == "blocking" else AsyncioDriver(None)  # type: ignore[arg-type]


@pytest.mark.parametrize("driver", ["blocking", "asyncio"])
def test_a_driver_knows_the_plans_that_it_runs(driver: str) -> None:
    """From their first step to their last; not the plans themselves."""
    one = made(driver)

    def plan() -> Any:
        return (yield Invoke(lambda: set(one.running)))

    running = plan()
    name = id(running)
    result = one.run(running)
    assert (result if driver == "blocking" else run_task(result)) == {name}
    assert one.running == set()


@pytest.mark.parametrize("driver", ["blocking", "asyncio"])
def test_a_wait_that_the_end_of_its_client_ends_goes_on_to_the_exchange(driver: str) -> None:
    """Which is refused: the error is that of a closed client, and not of a slot that did not come."""
    one, answers = made(driver), list[bool]()
    latch = Latch(lock=ForkSafeLock())

    def plan() -> Any:
        answers.append((yield Acquire(latch.wait_later(), 20.0)))

    def run() -> None:
        result = one.run(plan())
        if driver == "asyncio":
            run_task(result)

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(lambda: bool(one._waits._pending))
    one.end_waits()
    thread.join(20)
    assert answers == [True]


@pytest.mark.parametrize("has_own_clock", [False, True])
def test_a_bounded_wait_that_is_cancelled_is_cancelled(
    has_own_clock: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its awaitable has ended by then, and what it had to clean up is done."""
    monkeypatch.setattr(aio, "_COUNTS_CANCELLATIONS", False)  # as before Python 3.11
    driver = AsyncioDriver(None, alarm=asyncio.sleep if has_own_clock else None)  # type: ignore[arg-type]
    log: list[str] = []

    async def work(begun: asyncio.Event) -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            for _ in range(3):
                await asyncio.sleep(0)
            log.append("ended")

    async def main() -> None:
        begun = asyncio.Event()
        task = asyncio.ensure_future(driver.bounded(work(begun), 60.0))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert log == ["ended"]

    run_task(main())


@pytest.mark.parametrize("driver", ["blocking", "asyncio"])
def test_the_value_of_invoked_code_goes_into_the_plan(driver: str) -> None:
    """That of a plain function, and the one that an awaitable ends with."""

    async def later(value: int) -> int:
        return value

    def plan() -> Any:
        return [(yield Invoke(abs, -1)), (yield Invoke(later, 2))]

    if driver == "blocking":
        assert BlockingDriver(None, PORTAL).run(plan()) == [1, 2]  # type: ignore[arg-type]
    else:
        assert run_task(AsyncioDriver(None).run(plan())) == [1, 2]  # type: ignore[arg-type]


SETTING = ContextVar("setting", default="none")


@pytest.mark.parametrize("driver", ["blocking", "asyncio", "simulator"])
def test_a_plan_that_runs_beside_another_reports_its_end(driver: str) -> None:
    """After its last step. It runs in a context of its own: what is set around the caller is the caller's."""
    log: list[str] = []
    is_over = threading.Event()

    def beside() -> Any:
        yield Invoke(log.append, SETTING.get())

    def on_end() -> None:
        log.append("end")
        is_over.set()

    def plan() -> Any:
        SETTING.set("of the caller")
        return (yield Start(beside, on_end=on_end))

    async def in_a_task() -> bool:
        answer: bool = await AsyncioDriver(None).run(plan())  # type: ignore[arg-type]
        while not is_over.is_set():
            await asyncio.sleep(0)
        return answer

    if driver == "blocking":
        is_started = BlockingDriver(None, PORTAL).run(plan())  # type: ignore[arg-type]
        assert is_over.wait(20.0)
    elif driver == "asyncio":
        is_started = run_task(in_a_task())
    else:
        simulator = Simulator()
        run = simulator.spawn(plan())
        simulator.run()
        is_started = run.result
    assert (is_started, log) == (True, ["none", "end"])


@pytest.mark.parametrize("driver", ["blocking", "asyncio"])
def test_plans_that_nobody_waits_for_are_left_out_while_many_run(
    driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that somebody waits for run all the same, as soon as a thread is free."""
    monkeypatch.setattr(blocking, "_BEHIND", DaemonThreads(1))
    monkeypatch.setattr(blocking, "_BESIDE", DaemonThreads(1))
    monkeypatch.setattr(aio, "MOST_BEHIND", 1)
    latch = Latch(lock=ForkSafeLock())

    def held() -> Any:
        yield Acquire(latch.wait_later(), 20.0)

    def plan() -> Any:
        answers = []
        for is_needed in (False, False, True, True):
            answers.append((yield Start(held, is_needed=is_needed)))
        latch.open()
        return answers

    if driver == "blocking":
        answers = BlockingDriver(None, PORTAL).run(plan())  # type: ignore[arg-type]
    else:
        answers = run_task(AsyncioDriver(None).run(plan()))  # type: ignore[arg-type]
    assert answers == [True, False, True, True]


async def where_it_runs() -> threading.Thread:
    return threading.current_thread()


def test_a_driver_may_have_a_portal_of_its_own() -> None:
    """Async code of its plans runs on that, and else on the one of the process."""
    portal = Portal()

    def plan() -> Any:
        return (yield Invoke(where_it_runs))

    def thread_of(portal: Portal | None) -> Any:
        return BlockingDriver(None, portal).run(plan())  # type: ignore[arg-type]

    try:
        assert thread_of(portal) is portal._thread
    finally:
        portal.stop()
    assert thread_of(None) is thread_of(PORTAL) is PORTAL._thread


def test_the_common_portal_is_imported_on_a_thread_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """asyncio takes a while: no exception of a signal handler may interrupt it."""
    apart: list[object] = []
    monkeypatch.setattr(blocking, "import_apart", lambda *loaders: apart.extend(loaders))

    def plan() -> Any:
        return (yield Invoke(where_it_runs))

    BlockingDriver(None).run(plan())  # type: ignore[arg-type]
    assert apart == [blocking._load_portal]


class TimeLimitError(TimeoutError):
    """Of a job."""


def end(number: int, frame: FrameType | None) -> None:
    """As the handler of a signal."""
    raise TimeLimitError


@pytest.mark.parametrize("is_of_handler", [True, False])
def test_a_plan_goes_on_after_an_error_that_it_handles_but_not_after_a_handler_s(is_of_handler: bool) -> None:
    """An error of a cache's storage costs no call, say. A time limit does, though it comes out of the storage."""
    log: list[str] = []

    def fail() -> None:
        end(14, sys._getframe() if is_of_handler else None)

    def plan() -> Any:
        try:
            yield Invoke(fail)
        except TimeLimitError:
            yield Invoke(log.append, "went on")
        return "done"

    driver = BlockingDriver(None)  # type: ignore[arg-type]
    if is_of_handler:
        with pytest.raises(TimeLimitError):
            driver.run(plan())
    else:
        assert driver.run(plan()) == "done"
    assert log == ([] if is_of_handler else ["went on"])

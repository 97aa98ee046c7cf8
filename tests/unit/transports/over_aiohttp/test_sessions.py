"""What a client has on each event loop: made when first used, and closed with the loop, however that ends."""

from __future__ import annotations

import asyncio
import gc
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from http_service_client.transports.over_aiohttp import sessions as module
from http_service_client.transports.over_aiohttp.sessions import LoopSessions
from kit.front_ends import run_task


class Session:
    """A session that notes how it ended, and on which loop."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.ended: list[str] = []
        self.has_ended = asyncio.Event()

    async def close(self) -> None:
        assert asyncio.get_running_loop() is self.loop
        self.ended.append("closed")
        self.has_ended.set()

    def abandon(self) -> None:
        self.ended.append("abandoned")


@pytest.fixture
def new_loop() -> Iterator[Callable[[], asyncio.AbstractEventLoop]]:
    """Makes event loops, which are closed after the test without a shutdown."""
    made: list[asyncio.AbstractEventLoop] = []

    def new() -> asyncio.AbstractEventLoop:
        made.append(asyncio.new_event_loop())
        return made[-1]

    yield new
    for loop in made:
        loop.close()


async def used(sessions: LoopSessions) -> Any:
    return await sessions.get()


async def here(sessions: LoopSessions) -> Any:
    return sessions.here()


def test_each_loop_has_a_session_of_its_own(new_loop: Any) -> None:
    """Made by the first call on it, and the same for all later ones."""
    sessions, one, other = LoopSessions(Session), new_loop(), new_loop()
    assert one.run_until_complete(here(sessions)) is None
    first = one.run_until_complete(used(sessions))
    assert one.run_until_complete(used(sessions)) is one.run_until_complete(here(sessions)) is first
    second = other.run_until_complete(used(sessions))
    assert second is not first
    assert sessions.all() == [first, second]
    sessions.close()
    assert one.run_until_complete(here(sessions)) is None


def test_a_loop_that_shuts_down_closes_its_session() -> None:
    """As `asyncio.run` does at its end. Until then it stays, also for later tasks."""
    sessions = LoopSessions(Session)
    session = run_task(used(sessions))
    assert session.ended == ["closed"]


@pytest.mark.parametrize("by", ["a call on another loop", "close"])
def test_the_session_of_a_loop_that_was_closed_without_a_shutdown_is_abandoned(
    by: str, new_loop: Any
) -> None:
    """Its sockets would stay open for as long as the client lives. Once, and no other session."""
    sessions, dead, alive = LoopSessions(Session), new_loop(), new_loop()
    lost = dead.run_until_complete(used(sessions))
    dead.close()
    if by == "close":
        sessions.close()
    else:
        kept = alive.run_until_complete(used(sessions))
        assert sessions.all() == [kept]
        assert kept.ended == []
    assert lost.ended == ["abandoned"]
    sessions.close()
    assert lost.ended == ["abandoned"]


def test_the_sessions_of_a_client_that_nobody_closed_are_abandoned_with_their_loops(new_loop: Any) -> None:
    """Those of open loops close when these shut down."""
    sessions, dead, alive = LoopSessions(Session), new_loop(), new_loop()
    lost, kept = (loop.run_until_complete(used(sessions)) for loop in (dead, alive))
    dead.close()
    del sessions
    gc.collect()
    assert (lost.ended, kept.ended) == (["abandoned"], [])
    alive.run_until_complete(alive.shutdown_asyncgens())
    assert kept.ended == ["closed"]


def test_a_close_closes_the_sessions_of_loops_that_do_not_run(new_loop: Any) -> None:
    """At once; and no session is made after it."""
    sessions, one, other = LoopSessions(Session), new_loop(), new_loop()
    made = [loop.run_until_complete(used(sessions)) for loop in (one, other)]
    sessions.close()
    assert [session.ended for session in made] == [["closed"], ["closed"]]
    assert sessions.all() == []
    late = one.run_until_complete(used(sessions))
    assert (late.ended, sessions.all()) == (["closed"], [])


def test_a_close_on_the_loop_itself_is_done_in_its_next_steps() -> None:
    """Also where the loop ends right after it."""
    sessions = LoopSessions(Session)

    async def run() -> Any:
        session = await sessions.get()
        sessions.close()
        assert session.ended == []
        return session

    assert run_task(run()).ended == ["closed"]


def test_a_close_in_another_greenlet_of_the_thread_is_done_on_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where the standard library is patched, it sees the loop as one that runs here. Only a loop's own code may make tasks."""
    monkeypatch.setattr(module, "is_running_here", lambda loop: False)
    sessions = LoopSessions(Session)

    async def run() -> Any:
        session = await sessions.get()
        tasks = asyncio.all_tasks()
        sessions.close()
        assert asyncio.all_tasks() == tasks
        await session.has_ended.wait()
        return session

    assert run_task(run()).ended == ["closed"]


def test_a_close_from_another_thread_is_done_on_the_loop() -> None:
    """Which may have nothing else to do."""
    sessions = LoopSessions(Session)

    async def run() -> Any:
        session = await sessions.get()
        thread = threading.Thread(target=sessions.close)
        thread.start()
        while not session.ended:
            await asyncio.sleep(0.001)
        thread.join()
        return session

    assert run_task(run()).ended == ["closed"]


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs signals")
def test_a_close_in_a_signal_handler_does_not_wait_for_the_network() -> None:
    """The loop waits there, and the handler runs in between: nothing else wakes it."""
    sessions = LoopSessions(Session)
    main = threading.get_ident()

    async def run() -> Any:
        session = await sessions.get()
        before = signal.signal(signal.SIGUSR1, lambda *_: sessions.close())
        try:
            late = asyncio.get_running_loop().call_later(9.0, session.ended.append, "nothing for 9 s")
            interrupt = threading.Timer(0.05, signal.pthread_kill, [main, signal.SIGUSR1])
            interrupt.start()
            await session.has_ended.wait()
            late.cancel()
        finally:
            interrupt.join()
            signal.signal(signal.SIGUSR1, before)
        return session

    assert run_task(run()).ended == ["closed"]


def test_a_session_is_closed_from_its_own_task() -> None:
    """By the time that `close_async` returns."""
    sessions = LoopSessions(Session)

    async def run() -> Any:
        await sessions.close_async()
        again = LoopSessions(Session)
        session = await again.get()
        await again.close_async()
        return session.ended, again.is_closed, sessions.is_closed

    assert run_task(run()) == (["closed"], True, True)


def test_a_session_that_is_made_while_the_client_is_closed_is_closed() -> None:
    """By another thread, or by a signal handler."""
    sessions: LoopSessions

    def new() -> Session:
        sessions.close()
        return Session()

    async def run() -> Any:
        session = await sessions.get()
        return session.ended, sessions.here(), sessions.all()

    sessions = LoopSessions(new)
    assert run_task(run()) == (["closed"], None, [])

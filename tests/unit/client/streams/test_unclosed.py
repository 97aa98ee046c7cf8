"""A stream that nobody closes: its slot and connection come back when it is freed, and a warning names the line."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from http_service_client import HttpResponse, HttpServiceClient
from http_service_client.client.streams import base
from http_service_client.core.effects import Acquire
from http_service_client.core.machines.limits.semaphore import FairSemaphore
from http_service_client.drivers.blocking import wait_for_grant
from http_service_client.events import CallFinished
from http_service_client.testing import ScriptedTransport
from kit.fakes import URL
from kit.streaming import StreamingTransport


def free(held: list[Any]) -> None:
    """Drop what the list holds, which has the last references to it."""
    held.clear()
    gc.collect()


class Dropper:
    """Opens streams by hand and drops them, on a client whose events it keeps."""

    def __init__(self, front_end: str, transport: Any = None) -> None:
        self.transport = transport or StreamingTransport(b"one", b"two")
        self.ended: list[CallFinished] = []
        self.ended_in: list[int] = []  # the threads
        self.has_ended = threading.Event()
        self.client = HttpServiceClient(transport=self.transport, on_event=self._note)
        self.front_end = front_end

    def _note(self, event: Any) -> None:
        if isinstance(event, CallFinished):
            self.ended.append(event)
            self.ended_in.append(threading.get_ident())
            self.has_ended.set()

    def in_use(self) -> list[int]:
        return [limit.in_use for limit in self.client._backends._limits()]

    def run(self, use: Callable[[Any], object] = lambda stream: None) -> None:
        """Open a stream, apply `use` to it, drop it, and wait for the end of its call."""
        if self.front_end == "blocking":
            response = self.client.stream("GET", URL).__enter__()  # the line of the warning
            use(response)
            del response
            gc.collect()
            assert self.has_ended.wait(10)
            return

        async def main() -> None:
            response = await self.client.stream_async("GET", URL).__aenter__()  # the line of the warning
            use(response)
            del response
            gc.collect()
            while not self.ended:
                await asyncio.sleep(0)

        asyncio.run(asyncio.wait_for(main(), 10))


@pytest.fixture(params=["blocking", "asyncio"])
def dropper(request: pytest.FixtureRequest) -> Dropper:
    return Dropper(request.param)


def line_of_the_opening(front_end: str) -> int:
    text = "client.stream(" if front_end == "blocking" else "client.stream_async("
    with open(__file__) as file:
        return next(n for n, line in enumerate(file, 1) if text in line and "the line of" in line)


def test_a_dropped_stream_releases_its_slots_and_its_connection(dropper: Dropper) -> None:
    """As the end of a `with` block would, and its call is reported as finished, once."""
    with pytest.warns(ResourceWarning):
        dropper.run()
    assert dropper.in_use() == [0, 0]
    assert [source.is_closed for source in dropper.transport.sources] == [True]
    assert [(event.status_code, event.error) for event in dropper.ended] == [(200, None)]


def test_the_warning_shows_the_line_that_opened_the_stream(dropper: Dropper) -> None:
    """And names the request and the right way."""
    with pytest.warns(
        ResourceWarning,
        match=r"GET https://api\.example\.com/.* never closed; write '.*', and close a generator that it is in$",
    ) as caught:
        dropper.run()
    (warning,) = caught
    assert (warning.filename, warning.lineno) == (__file__, line_of_the_opening(dropper.front_end))


def test_the_warning_skips_an_exit_stack() -> None:
    """Its user opened the stream, not contextlib."""
    dropper = Dropper("blocking")
    stacks = [contextlib.ExitStack()]
    stacks[0].enter_context(dropper.client.stream("GET", URL))
    with pytest.warns(ResourceWarning) as caught:
        free(stacks)
    assert [warning.filename for warning in caught] == [__file__]
    assert dropper.has_ended.wait(10)


def test_a_stream_in_a_reference_cycle_is_released_by_the_collector(dropper: Dropper) -> None:
    """It holds its slots until then."""
    seen: list[list[int]] = []

    def tie(stream: Any) -> None:
        cycle: dict[str, Any] = {"stream": stream}
        cycle["self"] = cycle
        seen.append(dropper.in_use())

    with pytest.warns(ResourceWarning):
        dropper.run(tie)
    assert seen == [[1, 1]]
    assert dropper.in_use() == [0, 0]


def test_a_closed_stream_is_freed_without_a_warning(dropper: Dropper) -> None:
    """And its call ends once."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dropper.run(lambda stream: stream.close())
    assert len(dropper.ended) == 1


def test_a_stream_without_a_connection_is_freed_without_a_warning(dropper: Dropper) -> None:
    """A response that was in memory holds nothing; its call is reported as finished all the same."""
    dropper = Dropper(dropper.front_end, ScriptedTransport([HttpResponse(404)]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dropper.run()
    assert [event.status_code for event in dropper.ended] == [404]


def test_a_body_that_was_read_to_its_end_needs_no_warning() -> None:
    """Its connection is back already."""
    dropper = Dropper("blocking")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dropper.run(lambda stream: stream.read())
    assert len(dropper.ended) == 1


def test_a_stream_that_outlives_its_loop_releases_its_slots() -> None:
    """The loop's connections ended with it, and there is no loop left to report on."""
    dropper = Dropper("asyncio")

    async def main() -> Any:
        return await dropper.client.stream_async("GET", URL).__aenter__()

    held = [asyncio.run(main())]
    assert dropper.in_use() == [1, 1]
    with pytest.warns(ResourceWarning):
        free(held)
    assert dropper.in_use() == [0, 0]


def test_an_asyncio_stream_that_another_thread_frees_ends_on_its_loop() -> None:
    """Its connection belongs to the loop, and so do its listeners."""
    threads: list[threading.Thread] = []

    async def main() -> None:
        dropper = Dropper("asyncio")
        source_closed = dropper.transport
        held = [await dropper.client.stream_async("GET", URL).__aenter__()]
        close = source_closed.sources[0].close

        def noting() -> None:
            threads.append(threading.current_thread())
            close()

        source_closed.sources[0].close = noting  # type: ignore[method-assign]
        freeing = threading.Thread(target=held.clear)
        freeing.start()
        freeing.join()
        assert dropper.in_use() == [0, 0]  # at once
        while not dropper.ended:
            await asyncio.sleep(0)

    with pytest.warns(ResourceWarning):
        asyncio.run(asyncio.wait_for(main(), 10))
    assert threads == [threading.main_thread()]


def closed_by(dropper: Dropper) -> list[threading.Thread]:
    """The threads that close the one connection."""
    threads: list[threading.Thread] = []
    source = dropper.transport.sources[0]
    close = source.close

    def noting() -> None:
        threads.append(threading.current_thread())
        close()

    source.close = noting  # type: ignore[method-assign]
    return threads


def test_an_asyncio_stream_that_its_own_task_closes_is_closed_at_once() -> None:
    """A step of the loop later, the next call would find no slot."""

    async def main() -> None:
        dropper = Dropper("asyncio")
        stream = await dropper.client.stream_async("GET", URL).__aenter__()
        threads = closed_by(dropper)
        stream.close()
        assert threads == [threading.main_thread()]
        assert dropper.in_use() == [0, 0]

    asyncio.run(asyncio.wait_for(main(), 10))


def test_an_asyncio_stream_that_another_thread_closes_is_closed_by_its_loop() -> None:
    """Soon: its connection belongs to the loop."""

    async def main() -> None:
        dropper = Dropper("asyncio")
        stream = await dropper.client.stream_async("GET", URL).__aenter__()
        threads = closed_by(dropper)
        closing = threading.Thread(target=stream.close)
        closing.start()
        closing.join()
        assert threads == []
        while not threads:
            await asyncio.sleep(0)
        assert threads == [threading.main_thread()]
        assert dropper.in_use() == [0, 0]

    asyncio.run(asyncio.wait_for(main(), 10))


def test_an_asyncio_stream_whose_loop_is_not_running_is_closed_at_once() -> None:
    """Nobody knows whether the loop will run again."""
    dropper, loop = Dropper("asyncio"), asyncio.new_event_loop()
    try:
        stream = loop.run_until_complete(dropper.client.stream_async("GET", URL).__aenter__())
        threads = closed_by(dropper)
        stream.close()
        assert threads == [threading.main_thread()]
        assert dropper.in_use() == [0, 0]
    finally:
        loop.close()


def test_an_asyncio_stream_whose_loop_has_just_been_closed_is_closed_at_once() -> None:
    """Between the look at the loop and the call of its method."""

    class Closing:
        def is_running(self) -> bool:
            return True

        def call_soon_threadsafe(self, *_: Any) -> None:
            raise RuntimeError("Event loop is closed")

    dropper = Dropper("asyncio")

    async def main() -> Any:
        return await dropper.client.stream_async("GET", URL).__aenter__()

    stream = asyncio.run(main())
    stream._loop = Closing()
    stream.close()
    assert dropper.in_use() == [0, 0]
    assert dropper.transport.sources[0].is_closed


def test_a_listener_is_not_called_by_the_collector() -> None:
    """Which may run while the same thread holds the listener's lock: the thread would wait for itself."""
    lock = threading.Lock()  # not reentrant
    has_ended = threading.Event()

    def listener(event: Any) -> None:
        with lock:
            pass
        if isinstance(event, CallFinished):
            has_ended.set()

    client = HttpServiceClient(transport=StreamingTransport(b"piece"), on_event=listener)
    held = [client.stream("GET", URL).__enter__()]
    with pytest.warns(ResourceWarning), lock:
        free(held)
    assert has_ended.wait(10)


def test_a_forked_child_leaves_the_streams_of_its_parent_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """It inherits their objects, but the connections are the parent's, which may be reading from them."""
    dropper = Dropper("blocking")
    held = [dropper.client.stream("GET", URL).__enter__()]
    monkeypatch.setattr("os.getpid", lambda: -1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        free(held)
    assert not dropper.transport.sources[0].is_closed
    assert dropper.ended == []


def test_a_stream_that_is_left_when_the_interpreter_ends_is_let_be(
    dropper: Dropper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its modules may be gone by then, and the system closes the connection."""
    held: list[Any] = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if dropper.front_end == "blocking":
            held.append(dropper.client.stream("GET", URL).__enter__())
        else:
            held.append(asyncio.run(dropper.client.stream_async("GET", URL).__aenter__()))
        monkeypatch.setattr("sys.is_finalizing", lambda: True)
        free(held)
    assert dropper.ended == []


def test_a_stream_that_was_interrupted_while_it_opened_is_freed_in_silence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There is nothing of it to release yet."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(base, "call_site", interrupt)
    dropper = Dropper("blocking")
    with pytest.raises(KeyboardInterrupt):
        dropper.client.stream("GET", URL).__enter__()
    gc.collect()
    assert dropper.in_use() == [0, 0]


def test_a_stream_that_is_freed_before_it_is_closed_ends_once(dropper: Dropper) -> None:
    """The collector frees a cycle in any order: a generator's `with` block may close the stream after that.

    The listener is not called by the collector even then.
    """

    def free_and_close(response: Any) -> None:
        with pytest.warns(ResourceWarning, match="never closed"):
            response.__del__()
        response.close()
        if dropper.front_end == "asyncio":
            assert dropper.ended == []

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dropper.run(free_and_close)
    assert len(dropper.ended) == 1
    assert (dropper.ended_in == [threading.get_ident()]) is (dropper.front_end == "asyncio")
    assert [source.is_closed for source in dropper.transport.sources] == [True]


def test_a_stream_is_released_even_if_no_thread_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a limit of processes, or when the interpreter ends."""

    def no_thread(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    dropper = Dropper("blocking")
    held = [dropper.client.stream("GET", URL).__enter__()]
    monkeypatch.setattr("_thread.start_new_thread", no_thread)
    with pytest.warns(ResourceWarning):
        free(held)
    assert dropper.in_use() == [0, 0]
    assert dropper.transport.sources[0].is_closed


def test_a_thread_can_be_granted_a_slot_by_itself_within_its_wait() -> None:
    """The collector may free a stream between any two steps of the wait; no lock of the wait may be held there."""
    limit = FairSemaphore(1, lock=threading.RLock())
    results: list[bool] = []

    def wait() -> None:
        holder, waiter = limit.acquire_later(), limit.acquire_later()

        def release_inside_threading(frame: Any, event: str, argument: Any) -> None:
            if frame.f_code.co_name == "wait" and isinstance(frame.f_locals.get("self"), threading.Condition):
                holder.release()

        timer = threading.Timer(0.05, holder.release)  # for a wait without steps in Python
        timer.start()
        sys.settrace(release_inside_threading)
        try:
            results.append(wait_for_grant(Acquire(waiter, 5.0)))
        finally:
            sys.settrace(None)
            timer.join()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    thread.join(10)
    assert results == [True]

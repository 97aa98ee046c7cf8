"""The workers of a load, threads and asyncio tasks, with a client that is made up."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from http_service_client import (
    ConfigurationError,
    ConnectError,
    HttpResponse,
    InvalidRequestError,
    SentState,
)
from http_service_client.cli.load import workers
from http_service_client.cli.load.schedule import Load, Schedule
from http_service_client.cli.load.tally import Tally
from http_service_client.cli.load.workers import Request, Tasks, Threads, Workers
from http_service_client.errors import ClientClosedError, ConnectionLostError

Answer = Callable[[int], HttpResponse | Exception]
ENOUGH = 200  # calls of any test here


def ok(_: int) -> HttpResponse:
    return HttpResponse(200)


def never_sent(_: int) -> Exception:
    error = ConnectError("no one")
    error.sent_state = SentState.NEVER_SENT
    return error


def lost(_: int) -> Exception:
    error = ConnectionLostError("gone")
    error.sent_state = SentState.MAYBE_PROCESSED
    return error


class Client:
    """Answers calls by a function of their number.   at_ends: called when it is opened and closed for asyncio."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.at_ends: Callable[[str], object] = lambda _: None
        self.calls: list[tuple[Any, ...]] = []
        self.threads: set[threading.Thread] = set()
        self.closed: list[bool] = []

    def request(self, method: str, url: str, **options: Any) -> HttpResponse:
        self.calls.append((method, url, options))
        self.threads.add(threading.current_thread())
        assert len(self.calls) <= ENOUGH
        result = self.answer(len(self.calls))
        if isinstance(result, Exception):
            raise result
        return result

    async def request_async(self, method: str, url: str, **options: Any) -> HttpResponse:
        result = self.request(method, url, **options)
        await asyncio.sleep(0)
        return result

    def close(self, *, abort: bool = False) -> None:
        self.closed.append(abort)

    async def __aenter__(self) -> Client:
        self.at_ends("opened")
        return self

    async def __aexit__(self, *_: object) -> None:
        self.at_ends("closed")


@pytest.fixture(params=[Threads, Tasks], ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> type[Workers]:
    made: type[Workers] = request.param
    return made


class Run:
    """A load with its parts."""

    def __init__(self, kind: type[Workers], answer: Answer, **load: Any) -> None:
        self.client = Client(answer)
        self.schedule, self.tally = Schedule(Load(**{"concurrency": 1, "duration": None, **load})), Tally()
        request = Request("PUT", "http://h/", {"data": b"x"})
        self.workers = kind(self.client, request, self.schedule, self.tally)  # type: ignore[arg-type]

    def to_its_end(self) -> Run:
        self.workers.start()
        assert self.workers.wait(3)
        return self


def test_so_many_calls_are_made_and_counted(kind: type[Workers]) -> None:
    """With the arguments of the request, by threads that do not keep the program from ending."""
    made = Run(kind, ok, requests=5, concurrency=2).to_its_end()
    assert made.client.calls == [("PUT", "http://h/", {"data": b"x"})] * 5
    assert (made.tally.begun, made.tally.ended, made.tally.failures) == (5, 5, 0)
    assert (made.tally.queued.count, made.tally.overslept.count) == (5, 0)
    assert all(thread.daemon for thread in made.client.threads)
    assert {thread.name for thread in made.client.threads} == {"load" if kind is Threads else "load-loop"}


def test_workers_have_the_name_of_their_kind() -> None:
    """It is in the result."""
    assert (Threads.name, Tasks.name) == ("threads", "asyncio")


def test_no_worker_was_waiting_for_a_call_of_a_closed_loop(
    kind: type[Workers], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is due at the moment at which a worker is free, also where a clock is so coarse that it stands still."""
    monkeypatch.setattr(workers, "perf_counter", lambda: 100.0)
    made = Run(kind, ok, requests=3).to_its_end()
    assert (made.tally.queued.count, made.tally.overslept.count) == (3, 0)


@pytest.mark.parametrize(
    ("answer", "load", "pauses"),
    [
        (never_sent, {}, True),
        (lost, {}, False),
        (ok, {}, False),
        (never_sent, {"rate": 1000.0}, False),
    ],
    ids=["closed", "lost", "ok", "open"],
)
def test_a_closed_loop_pauses_after_a_call_that_was_never_sent(
    answer: Answer, load: dict[str, Any], pauses: bool, kind: type[Workers], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or it would make nothing but refusals. In an open loop, the rate is a limit."""
    monkeypatch.setattr(workers, "_PAUSE", 0.03 if pauses else 30.0)
    began_at = time.monotonic()
    made = Run(kind, answer, requests=4, **load).to_its_end()
    assert made.tally.ended == 4
    assert (time.monotonic() - began_at > 0.1) or not pauses


def test_the_pause_is_a_hundredth_of_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """It leaves the processor to others, and is short beside most calls."""
    slept: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        slept.append(seconds)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", noted)
    Run(Tasks, never_sent, requests=3).to_its_end()
    assert [seconds for seconds in slept if seconds] == [0.01] * 3


def test_a_wrong_request_ends_the_load(kind: type[Workers]) -> None:
    """All calls would fail alike. None of them counts."""
    made = Run(kind, lambda _: InvalidRequestError("bad"), requests=ENOUGH)
    made.workers.start()
    with pytest.raises(ConfigurationError, match=r"^bad$"):
        made.workers.wait(3)
    assert (len(made.client.calls), made.tally.ended) == (1, 0)


def test_an_error_of_our_own_ends_the_load(kind: type[Workers]) -> None:
    """It is raised as it is."""
    made = Run(kind, lambda _: ZeroDivisionError("ours"), requests=ENOUGH)
    made.workers.start()
    with pytest.raises(ZeroDivisionError):
        made.workers.wait(3)
    assert len(made.client.calls) == 1


@pytest.mark.parametrize("end", ["opened", "closed"])
def test_an_error_of_a_client_that_is_opened_or_closed_ends_the_load(end: str) -> None:
    """It is raised as it is, rather than in a thread that nobody looks at."""

    def at_ends(which: str) -> None:
        if which == end:
            raise ZeroDivisionError(end)

    made = Run(Tasks, ok, requests=1)
    made.client.at_ends = at_ends
    made.workers.start()
    with pytest.raises(ZeroDivisionError, match=end):
        made.workers.wait(3)


def test_the_first_error_is_the_one_that_is_raised() -> None:
    """Others may follow from it."""
    made = Run(Tasks, ok, requests=ENOUGH, concurrency=2)
    numbers = iter("12")

    async def fail(*_: Any, **__: Any) -> HttpResponse:
        number = next(numbers)
        await asyncio.sleep(0)  # until both have begun
        raise ZeroDivisionError(number)

    made.client.request_async = fail  # type: ignore[method-assign]
    made.workers.start()
    with pytest.raises(ZeroDivisionError, match=r"^1$"):
        made.workers.wait(3)


@pytest.mark.parametrize(
    ("result", "stops", "ended"),
    [
        (HttpResponse(200), True, 1),
        (ClientClosedError("closed"), True, 0),
        (ClientClosedError("closed"), False, 1),
        (ConnectError("no"), True, 1),
    ],
    ids=repr,
)
def test_a_call_that_the_end_of_the_load_aborts_is_not_counted(
    result: Any, stops: bool, ended: int, kind: type[Workers]
) -> None:
    """One that ends by itself in the meantime is."""

    def answer(_: int) -> Any:
        if stops:
            made.schedule.stop(time.perf_counter())
        return result

    made = Run(kind, answer, requests=1)
    made.to_its_end()
    assert (made.tally.begun, made.tally.ended) == (1, ended)


def test_an_open_loop_waits_until_a_call_is_due(kind: type[Workers]) -> None:
    """A worker that was waiting for it is not one that it waited for."""
    made = Run(kind, ok, requests=3, rate=20.0).to_its_end()
    assert made.tally.last_end - made.schedule.began_at >= 0.1
    assert made.tally.overslept.count >= 1


def test_a_load_can_be_stopped_while_its_workers_wait(kind: type[Workers]) -> None:
    """At once, whenever the next call is due; nothing begins after it."""
    began = threading.Event()

    def answer(_: int) -> HttpResponse:
        began.set()
        return HttpResponse(200)

    made = Run(kind, answer, requests=2, rate=0.25)
    made.workers.start()
    assert began.wait(3)
    before = time.monotonic()
    assert not made.workers.wait(0.01)
    assert time.monotonic() - before < 0.9
    before = time.monotonic()
    made.workers.stop()
    assert time.monotonic() - before < 3
    assert made.workers.wait(3)
    assert len(made.client.calls) == 1
    assert made.client.closed == ([True] if kind is Threads else [])


def test_a_load_ends_with_its_last_worker(kind: type[Workers]) -> None:
    """Others may have ended before, when there were no calls left for them."""
    began, release = threading.Event(), threading.Event()

    def answer(_: int) -> HttpResponse:
        began.set()
        assert release.wait(3)
        return HttpResponse(200)

    made = Run(kind, answer, requests=1, concurrency=2)
    made.workers.start()
    assert began.wait(3)
    assert not made.workers.wait(0.05)
    release.set()
    assert made.workers.wait(3)


def test_a_load_that_has_ended_can_be_stopped(kind: type[Workers]) -> None:
    """Ctrl-C may come then."""
    made = Run(kind, ok, requests=1).to_its_end()
    made.workers.stop()
    assert made.tally.ended == 1


class Slow(Client):
    """Its calls end only when the load does, and a moment later."""

    def __init__(self) -> None:
        super().__init__(ok)
        self.begun, self.aborted = threading.Event(), threading.Event()

    def request(self, method: str, url: str, **options: Any) -> HttpResponse:
        self.begun.set()
        assert self.aborted.wait(3)
        time.sleep(0.02)
        raise ClientClosedError("closed")

    async def request_async(self, method: str, url: str, **options: Any) -> HttpResponse:
        self.begun.set()
        try:
            await asyncio.sleep(3)
        finally:
            await asyncio.sleep(0.02)
        raise AssertionError("it was not aborted")

    def close(self, *, abort: bool = False) -> None:
        self.aborted.set()


def test_a_load_that_is_stopped_has_ended(kind: type[Workers]) -> None:
    """Its calls in flight are aborted, and waited for, so that nothing of them happens beside the result."""
    slow = Slow()
    schedule, tally = Schedule(Load(concurrency=3)), Tally()
    stopped = kind(slow, Request("GET", "http://h/"), schedule, tally)  # type: ignore[arg-type]
    stopped.start()
    assert slow.begun.wait(3)
    stopped.stop()
    assert stopped.wait(0.0)
    assert tally.ended == 0


def test_a_load_can_be_stopped_before_its_first_call() -> None:
    """While its client is opened."""
    made = Run(Tasks, ok, requests=ENOUGH)
    opening, stopping = threading.Event(), threading.Event()

    def at_ends(end: str) -> None:
        if end == "opened":
            opening.set()
            assert stopping.wait(3)

    made.client.at_ends = at_ends
    stop = made.schedule.stop
    made.schedule.stop = lambda now: (stop(now), stopping.set())  # type: ignore[assignment, func-returns-value]
    made.workers.start()
    assert opening.wait(3)
    made.workers.stop()
    assert made.workers.wait(0.0)
    assert made.client.calls == []


@pytest.fixture
def three_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[threading.Thread]]:
    """The system starts no more."""
    started: list[threading.Thread] = []
    start = threading.Thread.start

    def limited(self: threading.Thread) -> None:
        if self.name == "load":
            if len(started) == 3:
                raise RuntimeError("can't start new thread")
            started.append(self)
        start(self)

    monkeypatch.setattr(threading.Thread, "start", limited)
    yield started
    for thread in started:
        thread.join(3)


def test_threads_that_are_too_many_make_no_call(three_threads: list[threading.Thread]) -> None:
    """Those that were started end."""
    made = Run(Threads, ok, requests=ENOUGH, concurrency=5)
    with pytest.raises(ConfigurationError, match="this system starts 3 threads at most"):
        made.workers.start()
    for thread in three_threads:
        thread.join(3)
        assert not thread.is_alive()
    assert made.client.calls == []

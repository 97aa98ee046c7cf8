"""Compression and files in asyncio: on threads of the client's own, and no wait for them outlasts its limits."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from http_service_client import (
    AttemptTimeoutError,
    DeadlineExceededError,
    HttpClientConfig,
    HttpResponse,
    HttpServiceClient,
    deadline,
)
from http_service_client.client.downloads import part_file, part_file_names
from http_service_client.client.downloads.part_file import PartFile
from http_service_client.core.effects import TIMED_OUT, Work
from http_service_client.core.layers import compression
from http_service_client.drivers import aio
from http_service_client.drivers.aio import AsyncioDriver
from http_service_client.drivers.threads import DaemonThreads
from http_service_client.testing import ScriptedTransport
from kit.front_ends import run_task
from kit.threads import Held, refuse_threads, wait_until

URL = "https://service.test/"
LONG = b"a" * 100_000  # compressed in a thread


def client_of(*script: Any, **settings: Any) -> HttpServiceClient:
    config = HttpClientConfig(enable_request_compression=True, **settings)
    return HttpServiceClient(
        config, transport=ScriptedTransport(list(script) or [HttpResponse(200, content=b"file")])
    )


class HeldBeyond(Held):
    """Work that runs until it may end. When it begins, the event loop's time leaps ahead, by so many seconds.

    So a limit is over while this work runs, and not before it began.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    async def run(self, call: Coroutine[Any, Any, Any]) -> Any:
        """The result of the call, on a loop whose time may leap."""
        self._loop = asyncio.get_running_loop()
        self._loop.time = self._time  # type: ignore[method-assign]
        return await call

    def _time(self) -> float:
        return time.monotonic() + self._seconds * self.began.is_set()

    def __call__(self) -> None:
        self.began.set()
        self._loop.call_soon_threadsafe(int)  # the loop looks at its timers
        super().__call__()


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    """All threads for slow work are held, until the work here may end."""
    threads, held = DaemonThreads(1), Held()
    monkeypatch.setattr(aio, "WORKERS", threads)
    threads.start(held)
    assert held.began.wait(5)
    yield held
    held.may_end.set()
    wait_until(lambda: not threads._workers)


Act = Callable[[HttpServiceClient, Path], Any]
CALLS: dict[str, Callable[..., Any]] = {
    "compression": lambda client, path, **limits: client.post_async(URL, data=LONG, **limits),
    "file": lambda client, path, **limits: client.download_async(URL, path, **limits),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_full_default_executor_delays_nothing(tmp_path: Path, call: str) -> None:
    """asyncio's own threads may all be busy with other code's work."""
    held = Held()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        work = loop.run_in_executor(None, held)
        try:
            assert (await CALLS[call](client_of(), tmp_path / "file", timeout=5)).status_code == 200
        finally:
            held.may_end.set()
            await work

    run_task(main())


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("limit", ["timeout", "total_timeout", "deadline", "wait_for"])
def test_a_wait_for_a_thread_ends_on_time(tmp_path: Path, busy: Held, call: str, limit: str) -> None:
    """With an error that says nothing about the server, and is not retried once the deadline has passed."""
    client = client_of(retry_policy_config={"max_attempts": 1})
    path = tmp_path / "file"

    async def main() -> None:
        if limit == "deadline":
            with deadline(0.1):
                await CALLS[call](client, path)
        elif limit == "wait_for":
            await asyncio.wait_for(CALLS[call](client, path), 0.1)
        else:
            await CALLS[call](client, path, **{limit: 0.1})

    expected = {"timeout": AttemptTimeoutError, "wait_for": asyncio.TimeoutError}.get(
        limit, DeadlineExceededError
    )
    with pytest.raises(expected) as caught:
        run_task(main())
    assert type(caught.value) is expected
    if limit != "wait_for":
        state = "never_sent" if call == "compression" else "abandoned"
        assert caught.value.sent_state.value == state  # type: ignore[attr-defined]
    breaker = client.get_circuit_breaker("https://service.test")
    assert breaker is not None
    assert (breaker.snapshot().failures, breaker.snapshot().successes) == (0, 0)
    assert list(tmp_path.iterdir()) == []


def test_the_messages_name_the_limit(tmp_path: Path, busy: Held) -> None:
    """A caller learns what was slow: the compression, or the disk."""
    client = client_of(enable_retry_policy=False)
    for call, message in {
        "compression": "the attempt timed out while its body of 100000 bytes was being compressed",
        "file": "the disk did not accept the file's next block within 0.05 s",
    }.items():
        with pytest.raises(AttemptTimeoutError) as caught:
            run_task(CALLS[call](client, tmp_path / "file", timeout=0.05))
        assert str(caught.value).startswith(message)


def test_a_compression_that_timed_out_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was sent, so even a POST may be repeated."""
    held, bodies = HeldBeyond(6.0), list[Any]()

    def compress(body: Any, coding: str) -> None:
        bodies.append(body)
        if len(bodies) == 1:
            held()

    monkeypatch.setattr(compression, "compress", compress)
    client = client_of(retry_policy_config={"initial_delay": 0.001})
    response = run_task(held.run(client.post_async(URL, data=LONG, timeout=5.0)))
    held.may_end.set()
    assert response.status_code == 200
    assert response.attempts == 2


def test_a_write_that_timed_out_ends_the_download(tmp_path: Path, busy: Held) -> None:
    """A second attempt would write to the file while a thread may still be writing the first one's bytes."""
    transport = ScriptedTransport([HttpResponse(200, content=b"file")] * 3)
    client = HttpServiceClient(transport=transport)
    with pytest.raises(AttemptTimeoutError):
        run_task(client.download_async(URL, tmp_path / "file", timeout=0.05))
    assert len(transport.requests) == 1


def test_work_that_nobody_waits_for_is_not_begun(busy: Held) -> None:
    """The threads do what is still needed, and do not work off a queue of what is not."""
    done: list[str] = []

    def plan(name: str, timeout: float | None) -> Any:
        return (yield from Work(done.append, name, timeout=timeout))

    async def main() -> None:
        driver = AsyncioDriver(None)  # type: ignore[arg-type]
        assert await driver.run(plan("timed out", 0.01)) is TIMED_OUT
        assert await driver.run(plan("too late", 0.0)) is TIMED_OUT
        cancelled = asyncio.create_task(driver.run(plan("cancelled", None)))
        await asyncio.sleep(0)
        cancelled.cancel()
        busy.may_end.set()
        assert await driver.run(plan("awaited", 5.0)) is None

    run_task(main())
    assert done == ["awaited"]


def test_a_timed_out_write_in_progress_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call ends without waiting for the disk. The thread removes the file when the disk lets it."""
    held = HeldBeyond(6.0)

    class SlowFile:
        def __init__(self, file: Any) -> None:
            self.file = file

        def write(self, data: bytes) -> int:
            held()
            return int(self.file.write(data))

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

    def open_slow(target: Path) -> tuple[Any, Path]:
        file, path = part_file_names.open_new(target)
        return SlowFile(file), path

    monkeypatch.setattr(part_file, "open_new", open_slow)
    with pytest.raises(DeadlineExceededError, match="the deadline expired while the file was being written"):
        run_task(held.run(client_of().download_async(URL, tmp_path / "file", total_timeout=5.0)))
    assert len(list(tmp_path.iterdir())) == 1  # the thread has it
    held.may_end.set()
    wait_until(lambda: not list(tmp_path.iterdir()))


@pytest.mark.parametrize("fails", [False, True], ids=["succeeds", "fails"])
def test_a_timed_out_commit_does_not_produce_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    """A file that appeared after the call's error would surprise everyone."""
    held = HeldBeyond(6.0)

    def sync(number: int) -> None:
        held()
        if fails:
            raise OSError("the disk is full")

    monkeypatch.setattr(part_file.os, "fsync", sync)
    with pytest.raises(DeadlineExceededError):
        run_task(held.run(client_of().download_async(URL, tmp_path / "file", total_timeout=5.0)))
    held.may_end.set()
    wait_until(lambda: not list(tmp_path.iterdir()))
    assert held.has_ended.is_set()


def test_a_cancelled_download_does_not_wait_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same for a cancelled task: its clean-up waits for a moment only, and the event loop goes on."""
    held = Held()
    write = PartFile.write

    def slow_write(part: PartFile, pieces: list[bytes]) -> None:
        with part._using_file():
            held()

    monkeypatch.setattr(PartFile, "write", slow_write)

    async def main() -> None:
        task = asyncio.create_task(client_of().download_async(URL, tmp_path / "file"))
        while not held.began.is_set():
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_task(main())
    held.may_end.set()
    wait_until(lambda: not list(tmp_path.iterdir()))
    monkeypatch.setattr(PartFile, "write", write)


def test_a_cancelled_download_can_be_resumed_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that still writes has the file locked; the task ends when that is over."""
    held = Held()
    write = PartFile.write

    def slow_write(part: PartFile, pieces: list[bytes]) -> None:
        with part._using_file():
            held()

    async def main() -> None:
        client = client_of()
        task = asyncio.create_task(client.download_async(URL, tmp_path / "file", resume=True))
        monkeypatch.setattr(PartFile, "write", slow_write)
        while not held.began.is_set():
            await asyncio.sleep(0.001)
        task.cancel()
        threading.Timer(0.05, held.may_end.set).start()
        with pytest.raises(asyncio.CancelledError):
            await task
        monkeypatch.setattr(PartFile, "write", write)
        await client.download_async(URL, tmp_path / "file", resume=True)

    run_task(main())
    assert (tmp_path / "file").read_bytes() == b"file"


def test_an_error_of_the_work_leaves_no_reference_cycle() -> None:
    """It is raised in the plan, and nothing keeps the frames that it passed through."""

    class Marker:
        count = 0

        def __init__(self) -> None:
            type(self).count += 1

        def __del__(self) -> None:
            type(self).count -= 1

    def fail(marker: Marker) -> None:
        raise OSError("the disk is full")

    def plan() -> Any:
        yield from Work(fail, Marker())

    async def main() -> None:
        try:  # not pytest.raises, which keeps the error on Python 3.10
            await AsyncioDriver(None).run(plan())  # type: ignore[arg-type]
        except OSError:
            raised.append(True)

    raised: list[bool] = []
    gc.collect()
    gc.disable()
    try:
        run_task(main())
        assert raised
        wait_until(lambda: Marker.count == 0)  # the worker's frame may hold it for a moment
    finally:
        gc.enable()


def test_where_no_thread_can_start_the_loop_does_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Late is better than never."""
    monkeypatch.setattr(aio, "WORKERS", DaemonThreads(1))
    refuse_threads(monkeypatch)
    threads: list[int] = []
    write = PartFile.write

    def noted(part: PartFile, pieces: list[bytes]) -> None:
        threads.append(threading.get_ident())
        write(part, pieces)

    monkeypatch.setattr(PartFile, "write", noted)
    run_task(client_of().download_async(URL, tmp_path / "file"))
    assert (tmp_path / "file").read_bytes() == b"file"
    assert threads == [threading.get_ident()]


def test_a_loop_that_was_closed_meanwhile_is_left_alone(busy: Held) -> None:
    """The thread that finishes the work of a closed loop ends quietly."""
    loop = asyncio.new_event_loop()
    held = Held()

    def plan() -> Any:
        yield from Work(held)

    task = loop.create_task(AsyncioDriver(None).run(plan()))  # type: ignore[arg-type]
    loop.call_later(0.01, loop.stop)
    busy.may_end.set()
    loop.run_forever()
    assert held.began.wait(5)
    loop.close()
    held.may_end.set()
    assert held.has_ended.wait(5)
    task._log_destroy_pending = False  # type: ignore[attr-defined]

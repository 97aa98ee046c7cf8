"""How a `download_parallel` ends when a part fails, the caller loses interest, or time runs out: at once, and whole."""

from __future__ import annotations

import asyncio
import importlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from http_service_client import (
    DeadlineExceededError,
    HttpServiceClient,
    HttpStatusError,
    TransportError,
)
from http_service_client.client.downloads import parallel_download
from http_service_client.client.downloads.parallel_download import ParallelDownload
from http_service_client.testing import LoopbackServer, answer, hang_up, raw, respond
from http_service_client.testing.actions import Action
from kit.front_ends import FrontEnd, run_task
from kit.threads import wait_until
from network.faults import slots_in_use
from network.test_parallel_downloads import CONTENT, FIRST, QUICK, File, fetch


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel_download, "_FIRST", FIRST)
    monkeypatch.setattr(parallel_download, "_LEAST", FIRST)


@pytest.fixture
def client(front_end: FrontEnd) -> HttpServiceClient:
    return front_end.client(**QUICK)


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """The target. At the end, nothing is left of it."""
    yield tmp_path / "file"
    assert os.listdir(tmp_path) == []


def half_then_stall(file: File, start: int, end: int) -> Action:
    return raw(file.head(start, end) + file.content[start : start + 1000], close=False)


@pytest.mark.parametrize("status", [404, 403])
def test_a_part_that_fails_ends_the_others(
    front_end: FrontEnd, client: HttpServiceClient, server: LoopbackServer, path: Path, status: int
) -> None:
    """Those that stall in their bodies, too. The error is that of the part, and nothing is left."""
    stalled = threading.Semaphore(0)

    def part(start: int, end: int) -> Action | None:
        if end == len(CONTENT):
            for _ in range(3):
                stalled.acquire(timeout=10)
            return respond(status)
        if start:
            stalled.release()
            return half_then_stall(file, start, end)
        return None

    file = File(part=part)
    with pytest.raises(HttpStatusError) as caught:
        fetch(front_end, client, server, file, path, timeout=60)
    assert caught.value.status_code == status
    assert not path.exists()
    assert len(file.requests) == 5


def test_a_part_whose_head_comes_late_is_not_read(
    front_end: FrontEnd,
    client: HttpServiceClient,
    server: LoopbackServer,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In a thread, nothing can end the wait for it. Its body may stall, so the download does not wait for that."""
    is_stopped, stop = threading.Event(), ParallelDownload.stop

    def noted(download: ParallelDownload, driver: Any) -> None:
        stop(download, driver)
        is_stopped.set()

    def part(start: int, end: int) -> Action | None:
        if end == len(CONTENT):
            return respond(404)
        if start:
            is_stopped.wait(1.0)  # in asyncio, the tasks were cancelled
            return half_then_stall(file, start, end)
        return None

    monkeypatch.setattr(ParallelDownload, "stop", noted)
    file = File(part=part)
    began = time.monotonic()
    with pytest.raises(HttpStatusError):
        fetch(front_end, client, server, file, path, timeout=60)
    assert time.monotonic() - began < 30


def test_a_part_that_waits_for_its_retry_ends_with_the_others(
    front_end: FrontEnd, client: HttpServiceClient, server: LoopbackServer, path: Path
) -> None:
    """Its wait is not that of the caller, who has the error of another part."""
    all_are_sent = threading.Barrier(4)  # the pause that the service asks for would refuse one that is not

    def part(start: int, end: int) -> Action | None:
        if not start:
            return None
        all_are_sent.wait(10)
        return respond(404, delay=0.2) if end == len(CONTENT) else respond(503, headers={"Retry-After": "60"})

    began = time.monotonic()
    with pytest.raises(HttpStatusError) as caught:
        fetch(front_end, client, server, File(part=part), path, timeout=90)
    assert caught.value.status_code == 404
    assert time.monotonic() - began < 40


def test_a_part_that_is_given_up_ends_the_download(
    front_end: FrontEnd, client: HttpServiceClient, server: LoopbackServer, path: Path
) -> None:
    """After its own attempts, as any call."""
    file = File(part=lambda start, end: hang_up(b"") if end == len(CONTENT) else None)
    with pytest.raises(TransportError):
        fetch(front_end, client, server, file, path)
    assert not path.exists()


def test_an_error_of_progress_ends_the_download(
    front_end: FrontEnd, client: HttpServiceClient, server: LoopbackServer, path: Path
) -> None:
    """Which is a way to abort it."""

    def progress(received: int, total: int | None) -> None:
        if received > FIRST:
            raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        fetch(front_end, client, server, File(), path, progress=progress)
    assert not path.exists()


def test_a_cancelled_download_leaves_nothing(server: LoopbackServer, path: Path) -> None:
    """All parts are cancelled and awaited."""
    file = File(part=lambda start, end: half_then_stall(file, start, end) if start else None)
    server.script("/file", answer(file))

    async def main() -> None:
        async with HttpServiceClient() as client:
            task = asyncio.create_task(client.download_parallel_async(server.url + "/file", path))
            while len(file.requests) < 5:
                await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert slots_in_use(client) == 0

    run_task(main())


def test_an_interrupt_ends_the_threads(
    server: LoopbackServer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C is raised at once. The parts end then, and the last of them removes the file."""
    file = File(part=lambda start, end: half_then_stall(file, start, end) if start else None)
    server.script("/file", answer(file))

    def interrupt(_: object) -> None:
        wait_until(lambda: len(file.requests) == 5)
        raise KeyboardInterrupt

    module = importlib.import_module("http_service_client.policies.gather_in_threads")
    monkeypatch.setattr(module, "_wait", interrupt)
    with HttpServiceClient() as client:
        with pytest.raises(KeyboardInterrupt):
            client.download_parallel(server.url + "/file", path, timeout=60)
        wait_until(lambda: slots_in_use(client) == 0 and not os.listdir(path.parent))
        assert slots_in_use(client) == 0
        wait_until(lambda: all(it.name != "http_service_client gather" for it in threading.enumerate()))
        assert all(thread.name != "http_service_client gather" for thread in threading.enumerate())


@pytest.mark.parametrize("of", ["the call", "a view"])
def test_the_total_timeout_is_for_the_whole_download(
    front_end: FrontEnd, client: HttpServiceClient, server: LoopbackServer, path: Path, of: str
) -> None:
    """However long a single part may take."""
    options: dict[str, Any] = {"total_timeout": 0.3}
    if of == "a view":
        client, options = client.with_options(**options), {}
    file = File(part=lambda start, end: half_then_stall(file, start, end) if start else None)
    with pytest.raises(DeadlineExceededError):
        fetch(front_end, client, server, file, path, timeout=60, **options)

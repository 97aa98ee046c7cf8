"""A TLS context that is made of files: when it is made again, and which calls get the old one meanwhile."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import ssl
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import ConfigurationError
from http_service_client.transports.network import tls_contexts
from http_service_client.transports.network.tls_contexts import SharedContext
from kit.front_ends import run_task

Get = Callable[[SharedContext], Any]


class Made:
    """Makes contexts, or raises what it is told to.   count: how often it was asked."""

    def __init__(self) -> None:
        self.count = 0
        self.error: type[Exception] | None = None

    def __call__(self) -> ssl.SSLContext:
        self.count += 1
        if self.error is not None:
            raise self.error("the reason")
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def get_async(shared: SharedContext) -> ssl.SSLContext:
    return run_task(shared.get_async())


@pytest.fixture(params=[SharedContext.get, get_async], ids=["blocking", "asyncio"])
def get(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Get:
    """Each way to get a context. What runs on a thread runs at once, and raises nothing."""

    def start(work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            pytest.fail(f"the thread raised {error!r}")

    monkeypatch.setattr(tls_contexts, "_THREADS", SimpleNamespace(start=start))
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def make() -> Made:
    return Made()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    path.write_text("1")
    return path


def change(path: Path) -> None:
    """Put another file there, as a renewal does."""
    other = path.with_suffix(".new")
    other.write_text(path.read_text() + "1" if path.exists() else "1")
    os.replace(other, path)


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    """What has been logged so far, with the name of its event."""
    with caplog.at_level(logging.WARNING, "http_service_client.tls"):
        yield lambda: [f"{record.http_event}: {record.getMessage()}" for record in caplog.records]  # type: ignore[attr-defined]


WARNING = (
    "tls_files_unusable: the reason; new connections use the files as they were read before, "
    "until they change again"
)


def test_a_context_is_made_once(get: Get, make: Made) -> None:
    """Of no file, for good."""
    shared = SharedContext(make)
    assert shared.current() is None
    context = get(shared)
    assert [get(shared), shared.current()] == [context, context]
    assert make.count == 1


def test_a_context_is_made_again_when_its_file_changes(get: Get, make: Made, file: Path) -> None:
    """Or when the file has gone."""
    shared = SharedContext(make, (str(file), "/no/such\0file"))
    first = get(shared)
    assert get(shared) is first
    change(file)
    assert shared.current() is None
    second = get(shared)
    assert get(shared) is second
    file.unlink()
    third = get(shared)
    assert len({first, second, third}) == make.count == 3


@pytest.mark.parametrize("error", [ConfigurationError, OSError])
def test_what_could_never_be_made_is_tried_by_each_connection(
    get: Get, make: Made, error: type[Exception]
) -> None:
    """Each gets the error."""
    make.error = error
    shared = SharedContext(make)
    for _ in range(2):
        with pytest.raises(error, match="the reason"):
            get(shared)
    make.error = None
    assert get(shared) is shared.current()
    assert make.count == 3


def test_files_that_cannot_be_used_leave_the_old_context_with_one_warning(
    get: Get, make: Made, file: Path, warnings: Callable[[], list[str]]
) -> None:
    """They are tried again once they change; and each time that they become unusable is another one."""
    shared = SharedContext(make, (str(file),))
    old = get(shared)
    for times in (1, 2):
        file.unlink()
        make.error = ConfigurationError
        assert [get(shared) for _ in range(3)] == [old] * 3
        assert warnings() == [WARNING] * times
        change(file)
        make.error = None
        old, before = get(shared), old
        assert old is not before
    assert make.count == 5


def test_a_lack_of_descriptors_leaves_the_old_context_and_is_no_warning(
    get: Get, make: Made, file: Path, warnings: Callable[[], list[str]]
) -> None:
    """It passes: the next connection looks again."""
    shared = SharedContext(make, (str(file),))
    old = get(shared)
    change(file)
    make.error = OSError
    assert [get(shared), get(shared)] == [old, old]
    make.error = None
    assert get(shared) is not old
    assert make.count == 4
    assert warnings() == []


def test_equal_settings_share_one_for_as_long_as_somebody_has_it() -> None:
    """The next one is another."""
    make, files = Made(), ("/a", "/b")
    first = SharedContext.of("key", make, files)
    assert SharedContext.of("key", Made()) is first
    assert SharedContext.of("other", make) is not first
    assert first.get() is first.current()
    assert make.count == 1
    kept = weakref.ref(first)
    del first
    assert kept() is None


def test_nobody_waits_any_more_for_what_a_thread_has_made(
    make: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call was cancelled, and its event loop may be closed by then: the thread ends in silence."""
    works: list[Callable[[], None]] = []
    monkeypatch.setattr(tls_contexts, "_THREADS", SimpleNamespace(start=works.append))

    async def run(is_late: bool) -> None:
        task = asyncio.ensure_future(SharedContext(make).get_async())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        if not is_late:
            works.pop()()
            await asyncio.sleep(0)

    run_task(run(False))
    run_task(run(True))
    works.pop()()
    assert make.count == 2


def test_an_error_of_the_thread_is_freed_once_it_is_handled(get: Get) -> None:
    """Its traceback holds no frame that holds it."""

    class Broken(Exception):
        """It can be referred to weakly."""

    def fail() -> ssl.SSLContext:
        raise Broken

    async def run() -> weakref.ref[Broken]:
        try:
            await SharedContext(fail).get_async()
        except Broken as error:
            return weakref.ref(error)
        raise AssertionError("it raises nothing")

    gc.disable()
    try:
        assert run_task(run())() is None
    finally:
        gc.enable()

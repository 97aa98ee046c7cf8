"""What all tests share: repeatable property tests, both front ends, and a check for reference cycles.

Fixtures that need a server live beside the tests that use them.
"""

from __future__ import annotations

import gc
import logging
import os
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from types import CodeType
from typing import Any

import hypothesis
import pytest

import http_service_client
from kit.front_ends import FRONT_ENDS, FrontEnd

pytest_plugins = ["kit.endless_loops", "kit.exits", "kit.metronome"]

# No deadline: a shared machine may stall for longer than any of our functions takes.
hypothesis.settings.register_profile("local", deadline=None, max_examples=50)
# The same examples on each run, so that a build that failed fails again.
hypothesis.settings.register_profile(
    "ci", hypothesis.settings.get_profile("local"), derandomize=True, database=None, print_blob=True
)
# For a night: `pytest --hypothesis-profile=deep`.
hypothesis.settings.register_profile("deep", deadline=None, max_examples=2000)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")

PACKAGE = Path(http_service_client.__file__).resolve().parent
TESTS = Path(__file__).resolve().parent


def pytest_report_header() -> str:
    """Says which copy is under test: the one that tox installed, or the checkout."""
    return f"http_service_client: {PACKAGE}"


def _code(thing: Any) -> CodeType | None:
    """The code that a frame, generator, coroutine or traceback runs; None for anything else."""
    frame = getattr(thing, "tb_frame", thing)
    for attribute in ("f_code", "gi_code", "cr_code"):
        code = getattr(frame, attribute, None)
        if isinstance(code, CodeType):
            return code
    return None


def _is_ours(thing: Any) -> bool:
    """Whether the object is an instance of one of our classes, or runs our code."""
    if type(thing).__module__.partition(".")[0] == PACKAGE.name:
        return True
    code = _code(thing)
    return code is not None and Path(code.co_filename).is_relative_to(PACKAGE)


class _FailedCallbacks(logging.Handler):
    """Keeps what asyncio logs of callbacks that raised. Without it such an error goes unnoticed by a test."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.msg.startswith("Exception in callback"):
            self.messages.append(self.format(record))


_FAILED_CALLBACKS = _FailedCallbacks()
logging.getLogger("asyncio").addHandler(_FAILED_CALLBACKS)


def _runs_code_of_tests(thread: threading.Thread) -> bool:
    code = getattr(getattr(thread, "_target", None), "__code__", None)
    return code is not None and Path(code.co_filename).is_relative_to(TESTS)


@pytest.fixture(autouse=True)
def nothing_goes_on() -> Iterator[None]:
    """Fails the test if a callback of an event loop raised, or if a thread that it started outlives it.

    What fails in such a thread would be charged to a later test.
    """
    _FAILED_CALLBACKS.messages.clear()
    before = set(threading.enumerate())
    yield
    assert not _FAILED_CALLBACKS.messages, "\n".join(_FAILED_CALLBACKS.messages)
    for thread in set(threading.enumerate()) - before:
        if _runs_code_of_tests(thread):
            thread.join(5.0)
            assert not thread.is_alive(), f"{thread.name} is still running"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A report without the keywords of its test, which are most of what a worker has to send.

    pytest reads them only to put the skips of a module into one line of its summary.
    """
    report = yield
    report.keywords = {}
    return report


@pytest.fixture(params=FRONT_ENDS, ids=lambda kind: kind.name)
def front_end(request: pytest.FixtureRequest) -> Iterator[FrontEnd]:
    """Each front end in turn: the test runs once with each."""
    with request.param() as front_end:
        yield front_end


@pytest.fixture
def no_reference_cycles() -> Iterator[None]:
    """Fails the test if one of our objects is left to the cycle collector, and not freed by its reference count.

    A cycle through a traceback keeps a response, and with it a connection, until the collector
    happens to run. psycopg has a fixture for the same purpose.
    """
    gc.collect()
    was_enabled = gc.isenabled()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)  # the collector puts all that it finds into gc.garbage
    try:
        yield
        gc.collect()
        ours = [
            f"{type(thing).__qualname__}: {_code(thing) or thing!r}"
            for thing in gc.garbage
            if _is_ours(thing)
        ]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        if was_enabled:
            gc.enable()
    assert not ours, "left to the cycle collector:\n" + "\n".join(ours[:20])


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """A body in gzip goes by its argument's name. The time in its head would name the test otherwise.

    Processes that collect the tests in different seconds would then not agree on what there is to run.
    """
    return argname if isinstance(val, bytes) and val.startswith(b"\x1f\x8b") else None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """For `-n auto`: more workers than cores, since many tests wait. None leaves it to the variable of pytest-xdist."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    return 2 * (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests that wait come first, so that the workers which have none of them compute meanwhile."""
    items.sort(key=lambda item: not item.nodeid.startswith(("tests/network/", "tests/faults/")))


def pytest_collection() -> None:
    """Look for no garbage meanwhile: all that is made here stays, and the search takes an eighth of the time."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Keep the thousands of collected tests out of every later collection of garbage."""
    gc.enable()
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="module")
def collected_garbage() -> Iterator[None]:
    """Collects the garbage of a module at its end, and keeps what is left out of every later collection.

    So a collection costs what the tests of one module have made, and not a tenth of a second, and what they left
    unclosed in a reference cycle fails one of them.
    """
    yield
    gc.collect()
    gc.freeze()

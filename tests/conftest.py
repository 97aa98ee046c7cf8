"""What every test may rely on: repeatable property tests, and a check for reference cycles.

Fixtures that need a server or a driver live beside the tests that use them; `world` is here, since a test
of the client says what holds for both front ends.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any

import hypothesis
import pytest

import http_service_client
from kit.fakes import FRONT_ENDS, FrontEnd
from kit.front_ends import WORLDS, World

pytest_plugins = ["kit.metronome"]

# No deadline: a shared machine stalls for longer than any of our functions takes.
hypothesis.settings.register_profile("local", deadline=None)
# The same examples on each run: a red build must be red again when it is repeated.
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, database=None, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")

PACKAGE = Path(http_service_client.__file__).resolve().parent


def pytest_report_header() -> str:
    """Which copy is under test: tox's installed one, or the checkout."""
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
    """Whether the object is of one of our classes, or a frame of our code."""
    if type(thing).__module__.partition(".")[0] == PACKAGE.name:
        return True
    code = _code(thing)
    return code is not None and Path(code.co_filename).is_relative_to(PACKAGE)


@pytest.fixture(params=WORLDS, ids=lambda kind: kind.name)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Each front end in turn: the test runs once in each."""
    with request.param() as world:
        yield world


@pytest.fixture(params=FRONT_ENDS, ids=repr)
def front_end(request: pytest.FixtureRequest) -> FrontEnd:
    """Each front end in turn, a fake network below it, and no event loop around the test."""
    chosen: FrontEnd = request.param
    return chosen


@pytest.fixture
def no_reference_cycles() -> Iterator[None]:
    """The test leaves no object of ours for the cycle collector: reference counts freed them all.

    A cycle through a traceback keeps a response, and with it a connection, until the collector
    happens to run. After psycopg's fixture of the same purpose.
    """
    gc.collect()
    was_enabled = gc.isenabled()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)  # what the collector finds goes to gc.garbage, to be looked at
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

"""Each mocking library in turn, with the world that it mocks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from http_service_client.testing import LoopbackServer, mend_aioresponses
from mocks.libraries import LIBRARIES, Library
from worlds import World

mend_aioresponses()


@pytest.fixture(params=LIBRARIES, ids=lambda kind: kind.name)
def library(request: pytest.FixtureRequest) -> Iterator[Library]:
    """Each library in turn, in force: the test runs once with each."""
    with request.param() as library:
        yield library


@pytest.fixture
def world(library: Library) -> Iterator[World]:
    """The world that the library mocks."""
    with library.world() as world:
        yield world


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    """A scripted server on loopback."""
    with LoopbackServer() as server:
        yield server

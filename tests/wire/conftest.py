"""The recorder and the two worlds before it, for all tests of a module."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from kit.front_ends import AsyncioFrontEnd, BlockingFrontEnd
from wire.requests.recorder import Recorder
from wire.requests.runner import Runner, all_names_are_loopback


@pytest.fixture(scope="module")
def recorder() -> Iterator[Recorder]:
    """The server; every host name leads to this machine meanwhile."""
    with Recorder() as recorder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", all_names_are_loopback(socket.getaddrinfo))
        yield recorder


@pytest.fixture(scope="module")
def runners(recorder: Recorder) -> Iterator[list[Runner]]:
    """The two worlds; that of asyncio on kept connections, and on a new one for each request; and streams."""
    with BlockingFrontEnd() as blocking, AsyncioFrontEnd() as tasks:
        yield [
            Runner(blocking, recorder),
            Runner(tasks, recorder),
            Runner(tasks, recorder, keeps_connections=False),
            Runner(blocking, recorder, streams=True),
            Runner(tasks, recorder, streams=True),
        ]

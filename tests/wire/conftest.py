"""The recorder and the front ends that call it, for all tests of a module."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from kit.front_ends import AsyncioFrontEnd, BlockingFrontEnd
from kit.hooks import HookedFrontEnd
from wire.requests.recorder import Recorder
from wire.requests.runner import Runner, all_names_are_loopback


@pytest.fixture(scope="module")
def recorder() -> Iterator[Recorder]:
    """The server. While it runs, every host name leads to this machine."""
    with Recorder() as recorder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", all_names_are_loopback(socket.getaddrinfo))
        yield recorder


@pytest.fixture(scope="module")
def runners(recorder: Recorder) -> Iterator[list[Runner]]:
    """Both front ends; asyncio on kept connections, and on a new one for each request; both with streams; through requests."""
    with BlockingFrontEnd() as blocking, AsyncioFrontEnd() as asynchronous, HookedFrontEnd() as hooked:
        yield [
            Runner(blocking, recorder),
            Runner(asynchronous, recorder),
            Runner(asynchronous, recorder, keeps_connections=False),
            Runner(blocking, recorder, streams=True),
            Runner(asynchronous, recorder, streams=True),
            Runner(hooked, recorder),
        ]

"""A connection to a Unix socket: who waits for it, and for how long."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from http_service_client import ConfigurationError
from http_service_client.transports.network.sockets import SocketSettings
from http_service_client.transports.network.unix import connect_to_unix, connect_to_unix_async
from kit.front_ends import run_task


@pytest.fixture
def path(tmp_path: Path) -> Iterator[str]:
    """Of a socket that listens."""
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        yield path


@pytest.mark.parametrize("within", [None, 3.0])
def test_a_blocking_connection_is_made_within_its_time(path: str, within: float | None) -> None:
    """The system may hold it up while the backlog of the server is full."""
    with connect_to_unix(path, within, SocketSettings()) as sock:
        assert sock.getpeername() == path
        assert sock.gettimeout() == within


def test_a_connection_does_not_hold_up_the_loop(path: str) -> None:
    """Its socket does not wait, whatever it is asked for."""

    async def run() -> Any:
        with await connect_to_unix_async(path, SocketSettings()) as sock:
            return sock.getpeername(), sock.gettimeout()

    assert run_task(run()) == (path, 0.0)


def in_a_task(path: str) -> Any:
    return asyncio.run(connect_to_unix_async(path, SocketSettings()))


@pytest.mark.parametrize(
    "connect",
    [lambda path: connect_to_unix(path, 3.0, SocketSettings()), in_a_task],
    ids=["blocking", "asyncio"],
)
def test_a_path_that_cannot_be_used_is_named(connect: Any, tmp_path: Path) -> None:
    """Nothing listens there, or it is too long for one."""
    missing = str(tmp_path / "missing")
    with pytest.raises(FileNotFoundError) as caught:
        connect(missing)
    assert caught.value.filename in (missing, None)
    with pytest.raises(ConfigurationError, match="too long for the path of a Unix socket"):
        connect("/" + "x" * 200)

"""A host with several addresses: the first that responds is used, and the others cost little time."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from http_service_client.transports.network import happy_eyeballs as module
from http_service_client.transports.network.happy_eyeballs import (
    _in_turn,
    connect_to_any,
    connect_to_any_async,
)
from kit.stopwatch import Stopwatch
from network.faults import swallowing

Connect = Callable[..., socket.socket]


def _in_a_task(addresses: list[Any], within: float | None) -> socket.socket:
    async def connect() -> socket.socket:
        return await asyncio.wait_for(connect_to_any_async(addresses, within), within)

    return asyncio.run(connect(), debug=True)


@pytest.fixture(params=[connect_to_any, _in_a_task], ids=["blocking", "asyncio"])
def connect(request: pytest.FixtureRequest) -> Connect:
    """The blocking and the asyncio function."""
    chosen: Connect = request.param
    return chosen


def address(port: int, family: int = socket.AF_INET) -> Any:
    return (family, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))


@pytest.fixture
def alive() -> Iterator[Any]:
    """An address that accepts connections."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield address(listener.getsockname()[1])


@pytest.fixture
def refusing() -> Iterator[Any]:
    """An address that refuses connections."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield address(bound.getsockname()[1])


@pytest.fixture
def dropping() -> Iterator[Any]:
    """An address that drops every packet."""
    with swallowing() as host_and_port:
        yield address(int(host_and_port.partition(":")[2]))


def test_the_first_address_is_preferred(connect: Connect, alive: Any) -> None:
    """Of two that would accept, the first one gets the connection."""
    with ExitStack() as stack:
        other = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        with connect([alive, address(other.getsockname()[1])], 5.0) as sock:
            assert sock.getpeername() == alive[4]


def test_an_address_that_refuses_costs_no_time(connect: Connect, alive: Any, refusing: Any) -> None:
    """The next one is tried at once: two pauses between attempts would take 0.5 s."""
    with Stopwatch() as watch, connect([refusing, refusing, alive], 60.0) as sock:
        assert sock.getpeername() == alive[4]
    watch.check_took(0.0, late=0.2)


def test_an_address_that_drops_packets_costs_one_pause(connect: Connect, alive: Any, dropping: Any) -> None:
    """However long the connect timeout is."""
    with Stopwatch() as watch, connect([dropping, alive], 60.0) as sock:
        assert sock.getpeername() == alive[4]
    watch.check_took(0.25)


def test_each_address_is_tried_within_a_short_timeout(
    connect: Connect, alive: Any, dropping: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pause between attempts is shortened: here the first of them would outlast the timeout."""
    monkeypatch.setattr(module, "_DELAY", 5.0)
    with connect([dropping, dropping, dropping, alive], 1.2) as sock:
        assert sock.getpeername() == alive[4]


def test_a_slow_address_keeps_its_chance(connect: Connect, dropping: Any, refusing: Any) -> None:
    """An attempt that has started continues while others fail: this ends with the timeout, not with the refusal."""
    with Stopwatch() as watch, pytest.raises((TimeoutError, asyncio.TimeoutError)):
        connect([dropping, refusing], 0.3)
    watch.check_took(0.3)


def test_the_last_error_is_raised_when_all_addresses_fail(connect: Connect, refusing: Any) -> None:
    """The error of the last address that was tried."""
    nowhere = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("255.255.255.255", 9))
    with pytest.raises(ConnectionRefusedError):
        connect([nowhere, refusing], 5.0)


def test_an_error_of_an_attempt_that_cannot_start_counts(connect: Connect) -> None:
    """Where no attempt can: none of them gets as far as a wait."""
    nowhere = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("255.255.255.255", 9))
    with pytest.raises(OSError, match="Errno"):
        connect([nowhere, nowhere], 5.0)


def test_the_second_of_two_connections_made_in_one_tick_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """On an event loop, both may be connected before the waiting task runs."""
    sockets: list[socket.socket] = []

    async def main() -> socket.socket:
        both = asyncio.Event()

        async def connected(*_: Any) -> socket.socket:
            sock = socket.socket()
            sockets.append(sock)
            if len(sockets) == 2:
                both.set()
            await both.wait()
            return sock

        monkeypatch.setattr(module, "_connect", connected)
        monkeypatch.setattr(module, "_DELAY", 0.0)
        return await connect_to_any_async([address(1), address(2)], None)

    with asyncio.run(main()) as winner:
        assert [sock.fileno() == -1 for sock in sockets if sock is not winner] == [True]


def test_address_families_alternate() -> None:
    """A family without a route, often IPv6, delays the call by one address, not by all of them."""
    six = [address(port, socket.AF_INET6) for port in (1, 2, 3)]
    four = [address(port) for port in (4, 5)]
    assert [each[4][1] for each in _in_turn([*six, *four])] == [1, 4, 2, 5, 3]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[socket.socket]:
    """Every socket that is made in the test."""
    sockets: list[socket.socket] = []

    class Recorded(socket.socket):
        def __init__(self, *about: Any, **options: Any) -> None:
            super().__init__(*about, **options)
            sockets.append(self)

    monkeypatch.setattr(socket, "socket", Recorded)
    return sockets


def test_an_error_that_is_no_oserror_leaves_no_socket_open(
    connect: Connect, made: list[socket.socket]
) -> None:
    """A port beyond 65535 is a mistake of the caller: it is raised, and closes what was opened for it."""
    for addresses in ([address(70_000)], [address(70_000)] * 2):
        with pytest.raises(OverflowError):
            connect(addresses, 5.0)
    ours = [sock for sock in made if sock.family == socket.AF_INET]
    assert ours
    assert [sock.fileno() for sock in ours] == [-1] * len(ours)


def test_a_race_that_is_abandoned_leaves_no_socket_open(dropping: Any, made: list[socket.socket]) -> None:
    """A coroutine that is closed, as when its loop is gone, cannot await the end of its attempts."""

    async def main() -> list[int]:
        coroutine = connect_to_any_async([dropping, dropping], None)
        coroutine.send(None)
        await asyncio.sleep(0)  # the first attempt has started
        attempts = [sock for sock in made if sock.family == socket.AF_INET]
        assert len(attempts) == 1
        coroutine.close()
        for _ in range(3):
            await asyncio.sleep(0)
        return [sock.fileno() for sock in attempts]

    assert asyncio.run(main()) == [-1]

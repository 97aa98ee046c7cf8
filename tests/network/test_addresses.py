"""A host with several addresses: the first that answers is used, and the others cost little."""

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
    """Each world's way."""
    chosen: Connect = request.param
    return chosen


def address(port: int, family: int = socket.AF_INET) -> Any:
    return (family, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))


@pytest.fixture
def alive() -> Iterator[Any]:
    """An address that answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield address(listener.getsockname()[1])


@pytest.fixture
def refusing() -> Iterator[Any]:
    """An address that refuses."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield address(bound.getsockname()[1])


@pytest.fixture
def silent() -> Iterator[Any]:
    """An address that swallows what is sent to it."""
    with swallowing() as place:
        yield address(int(place.partition(":")[2]))


def test_the_first_is_the_first_choice(connect: Connect, alive: Any) -> None:
    with ExitStack() as stack:
        other = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        with connect([alive, address(other.getsockname()[1])], 5.0) as sock:
            assert sock.getpeername() == alive[4]


def test_one_that_refuses_costs_nothing(connect: Connect, alive: Any, refusing: Any) -> None:
    with Stopwatch() as watch, connect([refusing, refusing, alive], 60.0) as sock:
        assert sock.getpeername() == alive[4]
    watch.check_took(0.0, late=0.2)  # less than the pause between two addresses


def test_one_that_is_silent_costs_little(connect: Connect, alive: Any, silent: Any) -> None:
    """However long the time to connect is."""
    with Stopwatch() as watch, connect([silent, alive], 60.0) as sock:
        assert sock.getpeername() == alive[4]
    watch.check_took(0.25)


def test_each_has_its_turn_in_a_short_time(connect: Connect, alive: Any, silent: Any) -> None:
    with Stopwatch() as watch, connect([silent, silent, silent, alive], 0.8) as sock:
        assert sock.getpeername() == alive[4]
    watch.check_took(0.6, late=0.2)  # three of the four shares of the time


def test_a_slow_one_may_still_answer(connect: Connect, silent: Any, refusing: Any) -> None:
    """What was begun goes on while the others fail: in the end it is the time that is over."""
    with Stopwatch() as watch, pytest.raises((TimeoutError, asyncio.TimeoutError)):
        connect([silent, refusing], 0.3)
    watch.check_took(0.3)


def test_when_all_fail_the_last_says_why(connect: Connect, refusing: Any) -> None:
    nowhere = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("255.255.255.255", 9))
    with pytest.raises(ConnectionRefusedError):
        connect([nowhere, refusing], 5.0)


def test_of_two_that_answer_in_one_tick_one_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """On an event loop, both may be connected before anybody is told."""
    made: list[socket.socket] = []

    async def main() -> socket.socket:
        both = asyncio.Event()

        async def connected(_: Any) -> socket.socket:
            sock = socket.socket()
            made.append(sock)
            if len(made) == 2:
                both.set()
            await both.wait()
            return sock

        monkeypatch.setattr(module, "_connect", connected)
        monkeypatch.setattr(module, "_DELAY", 0.0)
        return await connect_to_any_async([address(1), address(2)], None)

    with asyncio.run(main()) as winner:
        assert [sock.fileno() == -1 for sock in made if sock is not winner] == [True]


def test_the_families_take_turns() -> None:
    """One that leads nowhere, as IPv6 often does, keeps nobody waiting for all of its addresses."""
    six = [address(port, socket.AF_INET6) for port in (1, 2, 3)]
    four = [address(port) for port in (4, 5)]
    assert [each[4][1] for each in _in_turn([*six, *four])] == [1, 4, 2, 5, 3]

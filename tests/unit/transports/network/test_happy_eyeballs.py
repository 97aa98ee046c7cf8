"""The race of a host's addresses in virtual time: which one wins, when each is tried, and what is left of the others.

Beside it, `tests/network/test_addresses.py` has the same with real sockets.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from http_service_client.transports.network import happy_eyeballs
from http_service_client.transports.network.happy_eyeballs import connect_to_any, connect_to_any_async
from kit.jumping_loop import JumpingLoop

LOOKS = 1000  # at the time, in one race: more of them are an endless loop


class Network:
    """Addresses that respond as they are named, in virtual time: "ok@0.3" accepts after 0.3 s.

    An error's name stands for that error: "ECONNREFUSED@0.1". Without a time, it is raised where a socket is made.
    A "silent" one never responds.
    """

    def __init__(self, names: str) -> None:
        self.now = 0.0
        self.looks = 0
        self.tried: list[str] = []
        self.sockets: list[Socket] = []
        self.addresses: list[Any] = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", name) for name in names.split()
        ]
        self._names = iter(names.split())

    def monotonic(self) -> float:
        self.looks += 1
        assert self.looks < LOOKS, "an endless loop"
        return self.now

    def usable(self, addresses: list[Any]) -> list[Any]:
        return addresses

    def new(self, family: int, kind: int, protocol: int) -> Socket:
        assert (family, kind, protocol) == self.addresses[0][:3]
        name = next(self._names)
        self.tried.append(f"{name.partition('@')[0]}@{self.now:g}")
        if "@" not in name and name != "silent":
            raise error_of(name)
        self.sockets.append(Socket(self, name))
        return self.sockets[-1]

    @property
    def open(self) -> list[str]:
        return [sock.name for sock in self.sockets if not sock.is_closed]


def error_of(name: str) -> OSError:
    code = getattr(errno, name)
    return OSError(code, os.strerror(code))


class Socket:
    """A socket to one address. `calls` are those of its methods that have an effect."""

    def __init__(self, network: Network, name: str) -> None:
        self.name, self._network = name, network
        self.calls: list[tuple[Any, ...]] = []
        self.is_closed = False
        outcome, _, after = name.partition("@")
        self.error = None if outcome in ("ok", "silent") else error_of(outcome)
        self.after = float(after) if after else None
        self.ready_at: float | None = None

    def settimeout(self, seconds: float | None) -> None:
        self.calls.append(("settimeout", seconds))

    def setblocking(self, is_blocking: bool) -> None:
        self.calls.append(("setblocking", is_blocking))

    def connect(self, address: Any) -> None:
        assert address == self.name
        if self.calls[-1][0] == "settimeout":  # it waits itself
            self._network.now += self.after or 0.0
            if self.error:
                raise self.error
            return
        assert self.calls == [("setblocking", False)]
        self.ready_at = None if self.after is None else self._network.now + self.after
        if self.after == 0.0 and self.error:
            raise self.error
        if self.after != 0.0:
            raise BlockingIOError

    def getsockopt(self, level: int, option: int) -> int:
        assert (level, option) == (socket.SOL_SOCKET, socket.SO_ERROR)
        return self.error.errno or 0 if self.error else 0

    def close(self) -> None:
        self.is_closed = True


class Selector:
    """Waits for the sockets of a network, to be written to."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._map: dict[Any, Any] = {}
        self.is_closed = False

    def __enter__(self) -> Selector:
        return self

    def __exit__(self, *about: object) -> None:
        self.is_closed = True

    def register(self, sock: Socket, events: int) -> None:
        assert events == happy_eyeballs.EVENT_WRITE
        self._map[sock] = SimpleNamespace(fileobj=sock)

    def unregister(self, sock: Socket) -> None:
        del self._map[sock]

    def get_map(self) -> dict[Any, Any]:
        return self._map

    def select(self, timeout: float | None) -> list[tuple[Any, int]]:
        ready = [sock.ready_at for sock in self._map if sock.ready_at is not None]
        ends = [*ready, *([] if timeout is None else [self._network.now + timeout])]
        assert ends, "it waits for ever"
        self._network.now = max(self._network.now, min(ends))
        return [
            (key, 2)
            for sock, key in list(self._map.items())
            if sock.ready_at is not None and sock.ready_at <= self._network.now
        ]


Race = Callable[[Network, "float | None"], Any]


def on_a_thread(network: Network, within: float | None) -> Any:
    """Has the selector of a network's sockets in the place of the system's."""
    with pytest.MonkeyPatch.context() as patch:
        selector = Selector(network)
        patch.setattr(happy_eyeballs, "DefaultSelector", lambda: selector)
        patch.setattr(happy_eyeballs, "time", network)
        try:
            return connect_to_any(network.addresses, within, network)  # type: ignore[arg-type]
        finally:
            assert selector.is_closed or len(network.addresses) == 1


class Loop(JumpingLoop):
    """An event loop whose sockets are those of a network."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self._network = network
        self.unhandled: list[Any] = []
        self.set_exception_handler(lambda loop, context: self.unhandled.append(context))

    def time(self) -> float:
        self._network.now = super().time()
        return self._network.monotonic()

    async def sock_connect(self, sock: Any, address: Any) -> None:
        assert sock.calls == [("setblocking", False)]
        assert address == sock.name
        if sock.after is None:
            await self.create_future()
        await asyncio.sleep(sock.after)
        self.time()
        if sock.error:
            raise sock.error


def in_a_task(network: Network, within: float | None) -> Any:
    """The open sockets are judged at the very end, before the loop goes on."""

    async def connect() -> Any:
        connecting = connect_to_any_async(network.addresses, within, network)  # type: ignore[arg-type]
        try:
            return await asyncio.wait_for(connecting, within)
        except asyncio.TimeoutError as error:
            raise TimeoutError from error

    return run(network, connect)


def run(network: Network, main: Callable[[], Any]) -> Any:
    loop = Loop(network)
    try:
        return loop.run_until_complete(main())
    finally:
        loop.close()
        assert loop.unhandled == []


RACES = pytest.mark.parametrize("race", [on_a_thread, in_a_task], ids=["blocking", "asyncio"])


class Row(NamedTuple):
    """names: of the addresses.   within: seconds, or None.   ends: who wins, or the error, and when.   tried: and when."""

    names: str
    within: float | None
    ends: str
    tried: str


ROWS = [
    Row("ok@0.1 ok@0.1", None, "ok@0.1", "ok@0"),
    Row("ok@0.3 ok@0.3", None, "ok@0.3", "ok@0 ok@0.25"),
    Row("ok@0.3 ok@0.01", None, "ok@0.26", "ok@0 ok@0.25"),
    Row("ok@1 ok@2 ok@3", None, "ok@1", "ok@0 ok@0.25 ok@0.5"),
    # An address that fails costs no pause, whether at once, soon, or where its socket is made.
    Row("ECONNREFUSED@0 ok@0.1", None, "ok@0.1", "ECONNREFUSED@0 ok@0"),
    Row("ECONNREFUSED@0.1 ok@0.1", None, "ok@0.2", "ECONNREFUSED@0 ok@0.1"),
    Row("EAFNOSUPPORT ok@0.1", None, "ok@0.1", "EAFNOSUPPORT@0 ok@0"),
    Row("silent ECONNREFUSED@0.1 ok@0.1", None, "ok@0.45", "silent@0 ECONNREFUSED@0.25 ok@0.35"),
    Row("silent ECONNREFUSED@0.1 silent", 9.0, "TimeoutError@9", "silent@0 ECONNREFUSED@0.25 silent@0.35"),
    # The last error of all.
    Row("ECONNREFUSED@0.3 EHOSTUNREACH@0.3", None, "EHOSTUNREACH@0.55", "ECONNREFUSED@0 EHOSTUNREACH@0.25"),
    Row("ECONNREFUSED@0.3 EAFNOSUPPORT", None, "ECONNREFUSED@0.3", "ECONNREFUSED@0 EAFNOSUPPORT@0.25"),
    Row("EHOSTUNREACH EAFNOSUPPORT", None, "EAFNOSUPPORT@0", "EHOSTUNREACH@0 EAFNOSUPPORT@0"),
    Row("EHOSTUNREACH@0 ECONNREFUSED@0", 9.0, "ECONNREFUSED@0", "EHOSTUNREACH@0 ECONNREFUSED@0"),
    # Within a short time, the pauses are such that each address has its turn.
    Row("silent silent silent silent", 0.6, "TimeoutError@0.6", "silent@0 silent@0.15 silent@0.3 silent@0.45"),
    Row("silent silent", 2.0, "TimeoutError@2", "silent@0 silent@0.25"),
    Row("silent ok@5", 1.0, "TimeoutError@1", "silent@0 ok@0.25"),
]  # fmt: skip


@RACES
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.names.replace(" ", "-"))
def test_a_race(race: Race, row: Row) -> None:
    """The first address that accepts; of the others, no socket is left open."""
    network = Network(row.names)
    try:
        sock = race(network, row.within)
    except OSError as error:
        name = errno.errorcode[error.errno] if error.errno else type(error).__name__
        result, open_ones = name, []
    else:
        result, open_ones = "ok", [sock.name]
    assert (f"{result}@{round(network.now, 6):g}", " ".join(network.tried)) == (row.ends, row.tried)
    assert network.open == open_ones


@RACES
@pytest.mark.parametrize(("name", "ends"), [("ok@0.1", None), ("ECONNREFUSED@0.1", ConnectionRefusedError)])
def test_a_single_address_needs_no_race(
    race: Race, name: str, ends: type[OSError] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No selector, and no task: its socket waits itself, for as long as it may."""
    monkeypatch.setattr(happy_eyeballs, "_in_turn", lambda addresses: pytest.fail("a race"))
    network = Network(name)
    if ends is None:
        assert race(network, 5.0).name == name
    else:
        with pytest.raises(ends):
            race(network, 5.0)
    first = ("settimeout", 5.0) if race is on_a_thread else ("setblocking", False)
    assert network.sockets[0].calls == [first]
    assert network.open == ([name] if ends is None else [])


def test_a_race_without_a_time_limit_says_so_to_the_system() -> None:
    """A socket that has no timeout."""
    network = Network("ok@0.1")
    on_a_thread(network, None)
    assert network.sockets[0].calls == [("settimeout", None)]


def test_a_timeout_says_what_was_not_in_time() -> None:
    """The message of the blocking race; in asyncio, the caller has one of its own."""
    with pytest.raises(TimeoutError, match=r"^no address accepted the connection in time$"):
        on_a_thread(Network("silent silent"), 1.0)


def test_the_sockets_of_a_race_are_closed_by_its_end() -> None:
    """In asyncio, too: a task that goes on finds none of them open."""
    network = Network("silent ok@0.1")

    async def connect() -> list[str]:
        await connect_to_any_async(network.addresses, None, network)  # type: ignore[arg-type]
        return network.open

    assert run(network, connect) == ["ok@0.1"]


def test_a_race_that_is_closed_in_mid_course_waits_for_nothing() -> None:
    """As by the end of a loop, whose tasks are collected as garbage: to wait then is an error of its own."""
    network = Network("silent silent")

    async def connect() -> list[str]:
        race = connect_to_any_async(network.addresses, None, network)  # type: ignore[arg-type]
        race.send(None)
        await asyncio.sleep(0.1)
        race.close()
        await asyncio.sleep(0.1)
        return network.open

    assert run(network, connect) == []


@pytest.mark.parametrize("ends_by", ["cancellation", "error"])
def test_an_attempt_that_fails_as_it_is_cancelled_is_no_unhandled_error(
    ends_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another address had won. Nobody hears of it: there is nothing to be done."""

    async def sock_connect(self: Loop, sock: Any, address: Any) -> None:
        if sock.name == "ok@0.1":
            return
        try:
            await self.create_future()
        except asyncio.CancelledError:
            if ends_by == "error":
                raise error_of("ECONNRESET") from None
            raise

    monkeypatch.setattr(Loop, "sock_connect", sock_connect)
    network = Network("silent ok@0.1")
    assert in_a_task(network, None).name == "ok@0.1"
    assert network.open == ["ok@0.1"]

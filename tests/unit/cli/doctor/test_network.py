"""What the doctor says about names and addresses, at times of the test's own."""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client.cli.doctor import network
from http_service_client.cli.doctor.findings import Finding, Level
from http_service_client.cli.doctor.network import Address, connect, examine_addresses, examine_names
from http_service_client.transports.network.sockets import SocketSettings

V4, V6 = Address("IPv4", ("192.0.2.1", 443)), Address("IPv6", ("2001:db8::1", 443, 0, 0))
Outcome = float | OSError | Callable[[], object]


class Clock(threading.local):
    """Each thread has its own time, which its calls of the system take."""

    now = 100.0

    def __call__(self) -> float:
        return self.now

    def take(self, outcome: Outcome) -> None:
        """So many seconds pass, or an error is raised."""
        if isinstance(outcome, OSError):
            raise outcome
        if callable(outcome):
            outcome()
        else:
            self.now += outcome


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(network, "time", SimpleNamespace(monotonic=made))
    return made


def names(monkeypatch: pytest.MonkeyPatch, clock: Clock, v4: Outcome, v6: Outcome) -> Finding:
    """What is found where the look-ups take so long, or fail."""

    def look_up(host: str, port: int, family: Any, kind: Any) -> list[Any]:
        clock.take(v4 if family == socket.AF_INET else v6)
        return [(family, kind, 6, "", (V4 if family == socket.AF_INET else V6).sockaddr)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    found, *addresses = examine_names("h.example", 443, 0.05)
    assert isinstance(found, Finding)
    assert addresses == [address for address, took in ((V4, v4), (V6, v6)) if isinstance(took, float)]
    return found


@pytest.mark.parametrize(
    ("v4", "v6", "level"),
    [(0.25, 0.484375, Level.OK), (0.25, 0.5, Level.WARN), (0.5, 0.25, Level.WARN), (0.0, 0.0, Level.OK)],
)
def test_a_slow_look_up_is_a_warning(
    v4: float, v6: float, level: Level, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of either family: each new connection waits for both."""
    found = names(monkeypatch, clock, v4, v6)
    took = [network.milliseconds(seconds) for seconds in (v4, v6)]
    assert found.message == f"IPv4: 192.0.2.1 in {took[0]}; IPv6: 2001:db8::1 in {took[1]}"
    assert (found.level, found.advice.startswith("each new connection waits")) == (level, level is Level.WARN)
    assert found.details == {
        "IPv4": {"seconds": v4, "addresses": ["192.0.2.1"], "error": None},
        "IPv6": {"seconds": v6, "addresses": ["2001:db8::1"], "error": None},
    }


GAI = socket.gaierror
NO_ADDRESS = [
    getattr(socket, name) for name in ("EAI_NONAME", "EAI_NODATA", "EAI_ADDRFAMILY") if hasattr(socket, name)
]


@pytest.mark.parametrize(
    ("error", "words", "is_said"),
    [
        *((GAI(code, "none"), "no IPv6", False) for code in NO_ADDRESS),
        (GAI(socket.EAI_AGAIN, "Try again"), "IPv6: Try again", True),
        (OSError(socket.EAI_NONAME, "odd"), "IPv6: odd", True),
        (OSError("plain"), "IPv6: plain", True),
        (OSError(), "IPv6: OSError", True),
    ],
    ids=repr,
)
def test_a_look_up_that_fails_is_told_from_one_without_an_address(
    error: OSError, words: str, is_said: bool, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the words of the system, where it has some."""
    found = names(monkeypatch, clock, 0.25, error)
    assert found.message == f"IPv4: 192.0.2.1 in 250 ms; {words}"
    assert found.level is (Level.WARN if is_said else Level.OK)
    problem = error.strerror or str(error) or "OSError"
    assert found.details["IPv6"] == {"seconds": 0.0, "addresses": [], "error": problem}


@pytest.mark.parametrize("hung", ["IPv4", "IPv6"])
def test_a_look_up_that_hangs_hides_no_other(
    hung: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it keep the program from ending, on its thread."""
    release = threading.Event()
    threads: list[threading.Thread] = []

    def hang() -> None:
        threads.append(threading.current_thread())
        release.wait(3)
        raise OSError("late")

    began_at = time.monotonic()
    try:
        found = names(monkeypatch, clock, *((hang, 0.25) if hung == "IPv4" else (0.25, hang)))
    finally:
        release.set()
    assert time.monotonic() - began_at < 2
    assert f"{hung}: no reply within 0.05 s" in found.message.split("; ")
    assert found.level is Level.WARN
    assert found.details[hung] == {"seconds": None, "addresses": [], "error": "timeout"}
    assert found.details["IPv6" if hung == "IPv4" else "IPv4"]["error"] is None
    assert all(thread.daemon for thread in threads)


def test_look_ups_that_hang_share_their_time(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """No name was found then."""
    release = threading.Event()
    began_at = time.monotonic()
    try:
        found = names(monkeypatch, clock, lambda: release.wait(3), lambda: release.wait(3))
    finally:
        release.set()
    assert time.monotonic() - began_at < 1.5
    assert (found.level, found.message) == (
        Level.FAIL, "h.example does not resolve: IPv4: no reply within 0.05 s; IPv6: no reply within 0.05 s",
    )  # fmt: skip


@pytest.mark.parametrize("host", [f"{'a' * 70}.example", "a..example"])
def test_a_name_that_cannot_be_asked_for_does_not_resolve(host: str) -> None:
    """Nothing is raised for it."""
    (found,) = examine_names(host, 443, 5.0)
    assert isinstance(found, Finding)
    assert (found.check, found.level) == ("dns", Level.FAIL)


@pytest.mark.parametrize("address", [V4, V6])
def test_an_address_is_itself(address: Address) -> None:
    """With its port, as a socket takes it."""
    found = list(examine_names(address.text, 443, 5.0))
    assert found[1:] == [address]
    assert isinstance(found[0], Finding)
    assert found[0].check == "dns"


def addresses(
    monkeypatch: pytest.MonkeyPatch, clock: Clock, outcomes: Sequence[Outcome], family: str = "IPv4"
) -> tuple[Finding, list[str]]:
    """What is found where the connections take so long, or fail; and the last bytes of those that accept some."""
    tried = [Address(family, (f"192.0.2.{number}", 443)) for number, _ in enumerate(outcomes, 1)]

    def connected(address: Address, within: float, sockets: SocketSettings) -> socket.socket:
        clock.take(outcomes[tried.index(address)])
        return socket.socket()

    monkeypatch.setattr(network, "connect", connected)
    found, *good = examine_addresses(tried, 0.05, SocketSettings())
    assert isinstance(found, Finding)
    assert found.check == "connect"
    return found, [address.text.rpartition(".")[2] for address in good if isinstance(address, Address)]


def test_the_quickest_address_comes_first(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """With how long each took."""
    found, good = addresses(monkeypatch, clock, [0.25, 0.125, 0.0])
    assert (found.level, good) == (Level.OK, ["3", "2", "1"])
    assert found.message == "192.0.2.3 in 0.0 ms; 192.0.2.2 in 125 ms; 192.0.2.1 in 250 ms"
    assert found.details["addresses"] == [
        {"address": f"192.0.2.{number}", "seconds": seconds, "error": None}
        for number, seconds in ((1, 0.25), (2, 0.125), (3, 0.0))
    ]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TimeoutError(), "did not respond in time"),
        (ConnectionRefusedError(), "refused the connection"),
        (OSError(errno.ENETUNREACH, "x"), "cannot be reached: this machine has no route for it"),
        (OSError(errno.EADDRNOTAVAIL, "x"), "cannot be reached: this machine has no route for it"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "No route to host"),
    ],
    ids=repr,
)
def test_a_dead_address_is_told_with_its_reason(
    error: OSError, words: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After those that accept connections."""
    found, good = addresses(monkeypatch, clock, [error, 0.25])
    assert (found.message, good) == (f"192.0.2.2 in 250 ms; 192.0.2.1 {words}", ["2"])
    assert found.details["addresses"][0] == {"address": "192.0.2.1", "seconds": None, "error": words}


def test_a_host_without_an_address_that_accepts_connections_fails(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what became of each."""
    found, good = addresses(monkeypatch, clock, [ConnectionRefusedError(), TimeoutError()])
    assert (found.level, good) == (Level.FAIL, [])
    assert found.message == (
        "no address accepts connections: 192.0.2.1 refused the connection; 192.0.2.2 did not respond in time"
    )
    assert found.advice.startswith("is the service running")


def test_an_address_that_hangs_is_given_up(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second after its time, if the system does not."""
    release = threading.Event()
    waits: list[float | None] = []
    join = threading.Thread.join

    def quick(thread: threading.Thread, timeout: float | None = None) -> None:
        waits.append(timeout)
        join(thread, 0.1)

    monkeypatch.setattr(threading.Thread, "join", quick)
    try:
        found, good = addresses(monkeypatch, clock, [lambda: release.wait(5), 0.25])
    finally:
        release.set()
    assert (found.message, good) == ("192.0.2.2 in 250 ms; 192.0.2.1 did not respond in time", ["2"])
    assert found.level is Level.WARN
    assert waits == [pytest.approx(0.05 + 1.0)] * 2


@pytest.mark.parametrize(("count", "rest"), [(8, ""), (9, "; 1 more, not tried")])
def test_no_more_than_eight_addresses_are_tried(
    count: int, rest: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are counted."""
    found, good = addresses(monkeypatch, clock, [number / 8 for number in range(count)])
    assert len(good) == 8
    assert found.message.endswith(f"; 192.0.2.8 in 875 ms{rest}")


@pytest.mark.parametrize(("families", "is_ipv6"), [({"IPv6"}, True), ({"IPv4", "IPv6"}, False)])
def test_ipv6_is_broken_where_nothing_else_is(
    families: set[str], is_ipv6: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else addresses are dead one by one."""
    good = Address("IPv4", ("192.0.2.9", 443))

    def connected(address: Address, within: float, sockets: SocketSettings) -> socket.socket:
        if address is good:
            return socket.socket()
        raise ConnectionRefusedError

    monkeypatch.setattr(network, "connect", connected)
    tried = [good, *(address for address in (V4, V6) if address.family in families)]
    found = next(iter(examine_addresses(tried, 1.0, SocketSettings())))
    assert isinstance(found, Finding)
    assert (found.level, found.advice.startswith("IPv6 is broken")) == (Level.WARN, is_ipv6)


def test_a_connection_has_its_time(clock: Clock) -> None:
    """To connect, and for what follows."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = Address("IPv4", listener.getsockname())
        with connect(address, 2.5, SocketSettings()) as sock:
            assert sock.gettimeout() == 2.5


def test_a_connection_that_fails_leaves_no_socket_open() -> None:
    """The error is raised."""
    opened: list[socket.socket] = []

    class Noted(SocketSettings):
        def new(self, *arguments: Any) -> socket.socket:
            opened.append(super().new(*arguments))
            return opened[-1]

    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = Address("IPv4", listener.getsockname())
    with pytest.raises(ConnectionRefusedError):
        connect(address, 2.5, Noted())
    assert [sock.fileno() for sock in opened] == [-1]

"""How sockets are made, without a connection: the options of each system, the user's own, the local address."""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Callable
from types import FrameType, SimpleNamespace
from typing import Any

import pytest

from http_service_client import ConfigurationError
from http_service_client.transports.network import sockets, unix
from http_service_client.transports.network.sockets import SocketSettings
from http_service_client.transports.network.unix import UnixSocket

V4, V6, STREAM = socket.AF_INET, socket.AF_INET6, socket.SOCK_STREAM
SOL, TCP = int(socket.SOL_SOCKET), int(socket.IPPROTO_TCP)
RCVBUF = (SOL, int(socket.SO_RCVBUF), 65536)
NODELAY = (TCP, int(socket.TCP_NODELAY), 1)


class Socket:
    """It notes what is set, and refuses one option.   error: raised for that one."""

    def __init__(self, refused: int | None = None, error: Callable[[], object] = lambda: None) -> None:
        self.options: list[tuple[Any, ...]] = []
        self.bound: list[Any] = []
        self.closed = 0
        self._refused = refused
        self._error = error

    def setsockopt(self, *option: Any) -> None:
        if option[1] == self._refused:
            self._error()
        self.options.append(option)

    def bind(self, address: Any) -> None:
        self.bound.append(address)

    def close(self) -> None:
        self.closed += 1


def refuse() -> None:
    raise OSError(errno.ENOPROTOOPT, os.strerror(errno.ENOPROTOOPT))


def end_by_signal() -> None:
    def handle(number: int, frame: FrameType) -> None:
        raise OSError("the time limit of the job")

    handle(14, sys._getframe())


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Callable[[Socket], Socket]:
    """Has this socket be the next one that is made."""

    def put(sock: Socket) -> Socket:
        fake = SimpleNamespace(**{**vars(socket), "socket": lambda *about: sock})
        monkeypatch.setattr(sockets, "socket", fake)
        return sock

    return put


LINUX = {"TCP_KEEPIDLE": 4, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 6}
MACOS = {"TCP_KEEPALIVE": 16, "TCP_KEEPINTVL": 257, "TCP_KEEPCNT": 258}


@pytest.mark.parametrize(
    ("named", "timing"),
    [
        (LINUX, [(TCP, 4, 60), (TCP, 5, 15), (TCP, 6, 4)]),
        ({**LINUX, "TCP_KEEPALIVE": 16}, [(TCP, 4, 60), (TCP, 5, 15), (TCP, 6, 4)]),
        (MACOS, [(TCP, 16, 60), (TCP, 257, 15), (TCP, 258, 4)]),
        ({}, []),
    ],
    ids=["Linux", "both names", "macOS", "none"],
)
def test_keep_alive_is_timed_where_the_system_has_names_for_it(
    named: dict[str, int], timing: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """First after a minute, then each quarter; the fourth probe without a reply ends the connection."""
    known = {"IPPROTO_TCP": TCP, "SOL_SOCKET": SOL, "SO_KEEPALIVE": 9}
    monkeypatch.setattr(sockets, "socket", SimpleNamespace(**known, **named))
    assert sockets._keep_alive() == ((SOL, 9, 1), *timing)


@pytest.mark.parametrize(
    ("settings", "are_default"),
    [
        (SocketSettings(), True),
        (SocketSettings((RCVBUF,)), False),
        (SocketSettings((), ("127.0.0.1", 0)), False),
        (SocketSettings((RCVBUF,), ("127.0.0.1", 0)), False),
    ],
)
def test_settings_are_default_until_the_user_sets_one(settings: SocketSettings, are_default: bool) -> None:
    """An option, or a source."""
    assert settings.are_default is are_default


ADDRESSES: list[Any] = [(V6, STREAM, TCP, "", ("::1", 80)), (V4, STREAM, TCP, "", ("127.0.0.1", 80))]


@pytest.mark.parametrize(
    ("source", "usable"),
    [
        (None, ADDRESSES),
        (("127.0.0.1", 0), ADDRESSES[1:]),
        (("0.0.0.0", 0), ADDRESSES[1:]),
        (("::", 0), ADDRESSES[:1]),
        (("fe80::1", 0), ADDRESSES[:1]),
    ],
)
def test_a_source_reaches_addresses_of_its_own_family(source: Any, usable: list[Any]) -> None:
    """The others are not tried, unless there is no other: then the error is about the source."""
    settings = SocketSettings((), source)
    assert settings.usable(ADDRESSES) == usable
    others = [address for address in ADDRESSES if address not in usable]
    assert settings.usable(others) == others


@pytest.mark.parametrize("family", [V4, V6])
def test_a_socket_has_our_options_then_the_user_s_then_its_source(
    family: int, made: Callable[[Socket], Socket]
) -> None:
    """So the user's override ours."""
    source = ("127.0.0.1", 0) if family == V4 else ("::1", 0)
    sock = made(Socket())
    found: Any = SocketSettings((RCVBUF, NODELAY), source).new(family, STREAM, 0)
    assert found is sock
    assert sock.options == [*sockets._KEEP_ALIVE, RCVBUF, NODELAY]
    assert (sock.bound, sock.closed) == ([source], 0)
    sock = made(Socket())
    SocketSettings().new(family, STREAM, 0)
    assert sock.bound == []


@pytest.mark.parametrize(("family", "source"), [(V6, "127.0.0.1"), (V4, "::1")])
def test_a_source_of_another_family_is_no_local_address(
    family: int, source: str, made: Callable[[Socket], Socket]
) -> None:
    """The system's own words, as if it had been tried; the socket is closed."""
    sock = made(Socket())
    with pytest.raises(OSError) as caught:
        SocketSettings((), (source, 0)).new(family, STREAM, 0)
    assert caught.value.args == (errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
    assert (sock.bound, sock.closed) == ([], 1)


def test_an_option_of_ours_that_is_refused_is_left_out(made: Callable[[Socket], Socket]) -> None:
    """The others are set. What the handler of a signal raises meanwhile is raised."""
    refused = sockets._KEEP_ALIVE[0][1]
    sock = made(Socket(refused, refuse))
    SocketSettings().new(V4, STREAM, 0)
    assert sock.options == list(sockets._KEEP_ALIVE[1:])
    sock = made(Socket(refused, end_by_signal))
    with pytest.raises(OSError, match="the time limit of the job"):
        SocketSettings().new(V4, STREAM, 0)
    assert sock.closed == 1


def test_an_option_of_the_user_s_that_is_refused_is_named(made: Callable[[Socket], Socket]) -> None:
    """With the system's reason and the remedy."""
    sock = made(Socket(RCVBUF[1], refuse))
    with pytest.raises(ConfigurationError) as caught:
        SocketSettings((RCVBUF,)).new(V4, STREAM, 0)
    assert str(caught.value) == (
        f"socket_options has {RCVBUF!r}, which the system refuses ({os.strerror(errno.ENOPROTOOPT)}); "
        "leave it out, or check its level and value"
    )
    assert caught.value.__cause__ is None
    assert sock.closed == 1


def test_only_options_of_sockets_of_every_kind_are_set_on_a_unix_socket() -> None:
    """It has no TCP."""
    sock: Any = Socket()
    SocketSettings((NODELAY, RCVBUF)).set_general_options(sock)
    assert sock.options == [RCVBUF]


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no Unix sockets")
def test_a_unix_socket_has_them_or_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """An option that is refused is a fault of the configuration."""
    with UnixSocket("/run/a.sock", SocketSettings((RCVBUF,))) as sock:
        assert sock.getsockopt(*RCVBUF[:2]) in (RCVBUF[2], 2 * RCVBUF[2])
        assert sock.family == socket.AF_UNIX
        assert sock.type == STREAM
    closed: list[UnixSocket] = []
    monkeypatch.setattr(UnixSocket, "close", lambda sock: closed.append(sock) or socket.socket.close(sock))
    with pytest.raises(ConfigurationError, match="socket_options has"):
        UnixSocket("/run/a.sock", SocketSettings(((SOL, 99_999, 1),)))
    assert [sock.fileno() for sock in closed] == [-1]


def test_a_system_without_unix_sockets_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Windows is; with the remedy."""
    monkeypatch.setattr(unix, "_FAMILY", None)
    with pytest.raises(ConfigurationError) as caught:
        UnixSocket("/run/a.sock", SocketSettings())
    assert str(caught.value) == "Unix sockets are not available on this system; use http:// with a port"

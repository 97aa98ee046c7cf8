"""Looking at sockets that another thread may close."""

from __future__ import annotations

import errno
import importlib.util
import os
import select
import socket
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client.transports.network import polling
from http_service_client.transports.network.polling import (
    is_readable,
    must_wait_itself,
    read_waiter,
    readability_check,
    wait_until_usable,
)

needs_poll = pytest.mark.skipif(not hasattr(select, "poll"), reason="Windows has no poll")


@pytest.mark.parametrize(
    "look",
    [is_readable, lambda sock: wait_until_usable(sock, 1.0, to_write=True)],
    ids=["readable", "usable"],
)
def test_a_socket_that_was_closed_meanwhile_is_an_error_of_the_connection(
    look: Callable[[socket.socket], object],
) -> None:
    """The same error as that of its own methods, so that the exchange fails as a lost connection."""
    sock = socket.socket()
    sock.close()
    with pytest.raises(OSError) as caught:
        look(sock)
    assert caught.value.args == (errno.EBADF, os.strerror(errno.EBADF))


class Poll:
    """`select.poll`, of a socket that is as these events say; it notes for what, and how long, it waits."""

    waits: list[tuple[int, float | None]] = []
    events = 0

    def register(self, sock: Any, mask: int) -> None:
        self._mask = mask

    def poll(self, milliseconds: float | None) -> list[int]:
        self.waits.append((self._mask, milliseconds))
        return [each for each in (self._mask & self.events,) if each]


@pytest.fixture
def poll(monkeypatch: pytest.MonkeyPatch) -> type[Poll]:
    """In the place of `select.poll`."""
    monkeypatch.setattr(Poll, "waits", [])
    monkeypatch.setattr(Poll, "events", 0)
    monkeypatch.setattr(
        polling, "select", SimpleNamespace(poll=Poll, POLLIN=select.POLLIN, POLLOUT=select.POLLOUT)
    )
    return Poll


@needs_poll
@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"to_write": False}, "read"),
        ({"to_write": True}, "read or write"),
        ({"to_write": True, "to_read": False}, "write"),
        ({"to_write": True, "to_read": True}, "read or write"),
    ],
)
def test_a_wait_ends_with_what_it_is_for(options: dict[str, bool], wanted: str, poll: type[Poll]) -> None:
    """Within its time. It names what did not happen."""
    masks = {
        "read": select.POLLIN,
        "write": select.POLLOUT,
        "read or write": select.POLLIN | select.POLLOUT,
    }
    sock: Any = object()
    with pytest.raises(TimeoutError, match="the server accepted no more bytes"):
        wait_until_usable(sock, 2.5, **options)  # type: ignore[arg-type]
    poll.events = masks[wanted]
    wait_until_usable(sock, 2.5, **options)  # type: ignore[arg-type]
    assert poll.waits == [(masks[wanted], 2500.0)] * 2


@needs_poll
@pytest.mark.parametrize(
    ("within", "waited"), [(None, None), (0.0, 0.0), (2e6, 2e9), (2e6 + 1, 2e9), (1e12, 2e9)]
)
def test_a_wait_is_no_longer_than_a_c_int_of_milliseconds(
    within: float | None, waited: float | None, poll: type[Poll]
) -> None:
    """`poll` would refuse it. None has no end."""
    poll.events = select.POLLIN
    wait_until_usable(object(), within, to_write=False)
    assert poll.waits == [(select.POLLIN, waited)]


@needs_poll
def test_a_look_does_not_wait(poll: type[Poll]) -> None:
    """Each kind of it; what it finds is what the socket has at that moment."""
    sock: Any = object()
    looks = [lambda: is_readable(sock), readability_check(sock)]
    for events in (0, select.POLLIN, select.POLLOUT):
        poll.events = events
        assert [bool(look()) for look in looks] == [events == select.POLLIN] * 2
    assert set(poll.waits) == {(select.POLLIN, 0.0)}


@needs_poll
def test_a_wait_for_bytes_takes_milliseconds_with_gevent_s_poll(poll: type[Poll]) -> None:
    """As with the system's own."""
    poll.events = select.POLLIN
    wait = read_waiter(object())
    assert [wait(each) for each in (None, 0, 1500)] == [True] * 3
    assert poll.waits == [(select.POLLIN, None), (select.POLLIN, 0.0), (select.POLLIN, 1500.0)]


@needs_poll
@pytest.mark.parametrize(
    ("module", "is_patched", "itself"),
    [
        ("socket", False, False),
        ("ssl", False, False),
        ("gevent._socket3", False, True),
        ("socket", True, False),
        ("gevent._socket3", True, False),
    ],
)
def test_a_socket_of_gevent_waits_itself_where_select_is_still_python_s(
    module: str, is_patched: bool, itself: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all of gevent's patches, `select` lets others run meanwhile, too."""
    if is_patched:
        monkeypatch.setattr(polling, "select", SimpleNamespace(poll=lambda: None, select=select.select))
    assert must_wait_itself(type("socket", (), {"__module__": module})()) is itself


def test_without_poll_it_is_select_that_may_be_patched(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows."""
    sock = type("socket", (), {"__module__": "gevent._socket3"})()
    monkeypatch.setattr(polling, "select", SimpleNamespace(select=select.select))
    assert must_wait_itself(sock)
    monkeypatch.setattr(polling, "select", SimpleNamespace(select=lambda *given: None))
    assert not must_wait_itself(sock)


@pytest.mark.parametrize("of_gevent", [False, True])
def test_a_wait_for_bytes_does_not_end_when_there_is_room_to_write(
    of_gevent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with gevent's `poll`, which belongs to one event loop and is made for each wait."""
    real = select.poll
    if of_gevent:
        monkeypatch.setattr(select, "poll", lambda: real())
    ours, peer = socket.socketpair()
    with ours, peer:
        wait = read_waiter(ours)
        assert not wait(0)
        peer.send(b"x")
        assert wait(2_000)  # first: a wait that is broken ends
        assert wait(None)


@pytest.fixture
def by_select(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module as Windows has it."""
    monkeypatch.setitem(sys.modules, "select", SimpleNamespace(select=select.select))  # type: ignore[arg-type]
    spec = importlib.util.spec_from_file_location("polling_by_select", polling.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_system_without_poll_waits_by_select(by_select: Any) -> None:
    """For the same, in the same units."""
    ours, peer = socket.socketpair()
    with ours, peer:
        wait, look = by_select.read_waiter(ours), by_select.readability_check(ours)
        assert [by_select.is_readable(ours), wait(0), look()] == [False] * 3
        with pytest.raises(TimeoutError):
            by_select.wait_until_usable(ours, 0.0, to_write=False)
        by_select.wait_until_usable(ours, 0.0, to_write=True)
        by_select.wait_until_usable(ours, 0.0, to_write=True, to_read=False)
        peer.send(b"x")
        assert [by_select.is_readable(ours), wait(10_000), look()] == [True] * 3
        by_select.wait_until_usable(ours, 0.0, to_write=False)
    with pytest.raises(OSError) as caught:
        by_select.is_readable(ours)
    assert caught.value.args == (errno.EBADF, os.strerror(errno.EBADF))

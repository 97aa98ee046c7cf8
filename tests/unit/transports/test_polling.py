"""Looking at sockets that another thread may close."""

from __future__ import annotations

import errno
import select
import socket
from collections.abc import Callable

import pytest

from http_service_client.transports.network.polling import is_readable, read_waiter, wait_until_usable


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
    assert caught.value.errno == errno.EBADF


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
        assert wait(None)
        assert wait(10_000)

"""Looking at sockets that another thread may close."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

import pytest

from http_service_client.transports.network.polling import is_readable, wait_until_usable


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

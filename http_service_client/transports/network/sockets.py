"""How sockets are made: TCP keep-alive, the user's own options, the local address.

TCP keep-alive is on. A NAT gateway or a load balancer forgets a connection on which nothing is sent (AWS after 350 s,
Azure after 240 s), and notifies neither end: a call that waits for a slow response, or an idle connection, would wait
for its timeout. One probe a minute keeps it known, and a peer that is gone is noticed after two minutes.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass

from ...core.signals import is_of_signal_handler
from ...errors import ConfigurationError
from .resolver import Address

__all__ = ["SocketOption", "SocketSettings"]

SocketOption = tuple[int, int, int | bytes]  # level, option, value, as `socket.setsockopt` takes them

_IDLE, _INTERVAL, _COUNT = 60, 15, 4  # seconds before the first probe, between two; probes without a reply


def _keep_alive() -> tuple[SocketOption, ...]:
    """The options of TCP keep-alive that this platform has. macOS has another name for the idle time."""
    idle = getattr(socket, "TCP_KEEPIDLE", None) or getattr(socket, "TCP_KEEPALIVE", None)
    named = (
        (idle, _IDLE),
        (getattr(socket, "TCP_KEEPINTVL", None), _INTERVAL),
        (getattr(socket, "TCP_KEEPCNT", None), _COUNT),
    )
    timing = [(socket.IPPROTO_TCP, option, value) for option, value in named if option is not None]
    return ((socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), *timing)


_KEEP_ALIVE = _keep_alive()


@dataclass(frozen=True)
class SocketSettings:
    """The settings of every TCP socket of a client.

    options: set after those of TCP keep-alive, which they may override.
    source: the local address and port to connect from; port 0 for any. None for the system's choice.
    """

    options: tuple[SocketOption, ...] = ()
    source: tuple[str, int] | None = None

    @property
    def are_default(self) -> bool:
        """Whether the user has set none of them."""
        return not self.options and self.source is None

    def usable(self, addresses: list[Address]) -> list[Address]:
        """The addresses that can be reached from the source; all of them where none can, since `new` raises the error."""
        return [address for address in addresses if self._fits(address[0])] or addresses

    def _fits(self, family: int) -> bool:
        if self.source is None:
            return True
        return family == (socket.AF_INET6 if ":" in self.source[0] else socket.AF_INET)

    def set_general_options(self, sock: socket.socket) -> None:
        """Set the user's options that apply to sockets of every kind. Raises ConfigurationError."""
        _set(sock, [option for option in self.options if option[0] == socket.SOL_SOCKET])

    def new(self, family: int, kind: int, protocol: int) -> socket.socket:
        """A socket that is not connected yet. Raises OSError; ConfigurationError for an option that is refused."""
        sock = socket.socket(family, kind, protocol)
        try:
            for option in _KEEP_ALIVE:
                try:
                    sock.setsockopt(*option)
                except OSError as error:  # a sandbox, or an emulation: calls work without it
                    if is_of_signal_handler(error):
                        raise
            _set(sock, self.options)
            if not self._fits(family):
                raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
            if self.source is not None:
                sock.bind(self.source)
            return sock
        except BaseException:
            sock.close()
            raise


def _set(sock: socket.socket, options: Iterable[SocketOption]) -> None:
    for level, name, value in options:
        try:
            sock.setsockopt(level, name, value)
        except OSError as error:
            raise ConfigurationError(
                f"socket_options has {(level, name, value)!r}, which the system refuses "
                f"({error.strerror}); leave it out, or check its level and value"
            ) from None

"""Connecting to a Unix socket, blocking and in asyncio."""

from __future__ import annotations

import socket
from typing import Any

from ...errors import ConfigurationError
from .sockets import SocketSettings

__all__ = ["UnixSocket", "connect_to_unix", "connect_to_unix_async"]

_FAMILY: Any = getattr(socket, "AF_UNIX", None)


class UnixSocket(socket.socket):
    """A socket that connects to its own path, whatever address it is given: aiohttp has none but those of IP."""

    def __init__(self, path: str, sockets: SocketSettings) -> None:
        if _FAMILY is None:
            raise ConfigurationError("Unix sockets are not available on this system; use http:// with a port")
        super().__init__(_FAMILY, socket.SOCK_STREAM)
        self._path = path
        try:
            sockets.set_general_options(self)
        except BaseException:
            self.close()
            raise

    def connect(self, address: object = None) -> None:
        """Connect to the path."""
        try:
            super().connect(self._path)
        except OSError as error:
            if error.errno is not None:
                error.filename = self._path  # as errors of files have it
                raise
            raise ConfigurationError(f"{self._path!r} is too long for the path of a Unix socket") from None


def connect_to_unix(path: str, within: float | None, sockets: SocketSettings) -> socket.socket:
    """A socket that is connected to the one at this path. Raises OSError, ConfigurationError.

    within: seconds, or None.
    """
    sock = UnixSocket(path, sockets)
    try:
        sock.settimeout(within)
        sock.connect()
        return sock
    except BaseException:
        sock.close()
        raise


async def connect_to_unix_async(path: str, sockets: SocketSettings) -> socket.socket:
    """As `connect_to_unix`; the caller enforces the time."""
    import asyncio

    sock = UnixSocket(path, sockets)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, path)
        return sock
    except BaseException:
        sock.close()
        raise

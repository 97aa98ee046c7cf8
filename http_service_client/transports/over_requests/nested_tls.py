"""TLS to the origin within TLS to its proxy, by urllib3's `SSLTransport`: Python's ssl wraps sockets only.

    seam                                            used for                        without it
    SSLTransport of urllib3, with `incoming`        TLS to the server within TLS    https:// URLs through https://
      and `socket`                                  to the proxy                    proxies are refused

urllib3 is imported only for such a connection.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable
from typing import Any

import urllib3

from ...errors import ConfigurationError
from ..compatibility import SeamNotice, names_used_by
from .connection import SelfWaitingConnection, is_ragged_end, reset
from .exchange_timeouts import seconds_left

__all__ = ["NESTED_TLS", "NestedConnection", "check_nested_tls", "start_nested_tls"]


def _ssl_transport() -> Any:
    """urllib3's class; None if it is not as expected."""
    try:
        from urllib3.util.ssltransport import SSLTransport
    except ImportError:
        return None
    return (
        SSLTransport if {"incoming", "socket", "MemoryBIO"} <= names_used_by(SSLTransport.__init__) else None
    )


_SSLTransport = _ssl_transport()

NESTED_TLS = SeamNotice(
    "urllib3",
    urllib3.__version__,  # type: ignore[attr-defined]  # not in its __all__
    [] if _SSLTransport else ["SSLTransport"],
    "https:// URLs through an https:// proxy are refused; all others work as before",
)


class _OuterSocket:
    """The TLS socket to a proxy, below TLS to the origin: one operation above takes many here.

    So a timeout that is set bounds all of them together until the next one is set, not each of them.
    """

    def __init__(self, sock: ssl.SSLSocket, expires_at: float | None) -> None:
        self.sock = sock
        self._expires_at = expires_at

    def settimeout(self, seconds: float | None) -> None:
        self._expires_at = None if seconds is None else time.monotonic() + seconds

    def recv(self, amount: int) -> bytes:
        self.sock.settimeout(seconds_left(self._expires_at))
        try:
            return self.sock.recv(amount)
        except ssl.SSLEOFError as error:
            if is_ragged_end(error):
                raise
        raise reset()  # or urllib3 would take it for an end, and half a body without a length for the whole

    def sendall(self, data: bytes) -> None:
        self.sock.settimeout(seconds_left(self._expires_at))
        self.sock.sendall(data)

    def fileno(self) -> int:
        return self.sock.fileno()

    def close(self) -> None:
        self.sock.close()


def check_nested_tls() -> None:
    """Raise ConfigurationError if it is not possible with the installed urllib3."""
    if NESTED_TLS.gone:
        raise ConfigurationError(
            NESTED_TLS.refusal("https:// URLs cannot be requested through an https:// proxy")
        )


def start_nested_tls(
    sock: ssl.SSLSocket, context: ssl.SSLContext, name: str, expires_at: float | None
) -> Any:
    """The handshake with the server of this name, on the TLS connection to its proxy."""
    sock.settimeout(seconds_left(expires_at))
    return _SSLTransport(_OuterSocket(sock, expires_at), context, name)


class NestedConnection(SelfWaitingConnection):
    """A connection over a socket of `start_nested_tls`, which loses bytes when it is not allowed to wait."""

    def send(self, data: bytes) -> bool:
        """Send the beginning of an exchange."""
        return self.send_all([data])

    def send_all(self, chunks: Iterable[bytes | memoryview]) -> bool:
        """Send bytes without listening."""
        for chunk in chunks:
            view = memoryview(chunk)
            while view:
                self.sock.settimeout(seconds_left(self._expires_at, self._write_within))
                view = view[self.sock.send(view) :]
        return True

    def is_reusable(self) -> bool:
        """As usual; and nothing has been read ahead."""
        return not self.sock.incoming.pending and super().is_reusable()

    def _lowest_socket(self) -> Any:
        return self.sock.socket.sock

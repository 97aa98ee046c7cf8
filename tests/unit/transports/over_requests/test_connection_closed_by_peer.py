"""Which errors of a blocking write mean that the peer has closed, so that its response may still be read."""

from __future__ import annotations

import errno
import ssl

from http_service_client.transports.over_requests.connection import is_closed_by_peer
from kit.rows import each_row


@each_row(
    ("error", "is_closed"),
    [
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), True),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), True),
        (ssl.SSLEOFError(ssl.SSL_ERROR_EOF, "EOF occurred in violation of protocol"), True),
        (OSError(errno.EPROTOTYPE, "Protocol wrong type for socket"), True),
        (ssl.SSLError(ssl.SSL_ERROR_SSL, "bad length"), False),
        (ConnectionAbortedError(errno.ECONNABORTED, "Software caused connection abort"), False),
        (TimeoutError("timed out"), False),
        (OSError(errno.ENOBUFS, "No buffer space available"), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_peer_has_closed(error: OSError, is_closed: bool) -> None:
    """OpenSSL has one error for several of the system's; macOS one of its own. Any other means that nothing can be read."""
    assert is_closed_by_peer(error) == is_closed

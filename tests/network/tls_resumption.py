"""A TLS server that notes which connections resumed a session, and what is known of the sessions of a peer."""

from __future__ import annotations

import ssl
import threading
from typing import Any

from http_service_client.transports.network.tls_sessions import resumption_for

__all__ = ["PEER", "Resumptions", "known"]

PEER = ("api.test", 443)


class Resumptions:
    """A TLS server that notes whether each connection resumed a session, and whether the client had a certificate."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.context = context
        self.reused: list[bool] = []
        self.names: list[str | None] = []

    def serve(self, accepted: Any, is_over: threading.Event) -> None:
        self.reused.append(accepted.session_reused)
        peer = accepted.getpeercert()
        self.names.append(peer["subjectAltName"][0][1] if peer else None)
        while accepted.recv(65536):
            accepted.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


def known(context: ssl.SSLContext, peer: Any = PEER) -> Any:
    """A connection to a peer that is not the first one."""
    for _ in range(2):
        found = resumption_for(context, peer)
    return found

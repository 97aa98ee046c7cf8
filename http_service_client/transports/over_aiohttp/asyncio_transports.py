"""What the asyncio transport asks of asyncio's transports and sockets.

What is private to asyncio here: `_ssl_protocol` of a TLS transport, `_transport` of that protocol, `_closed` and
`_sock` of a transport. Each is done without where it is missing, as on uvloop: then the write timeout does not see
what TLS has passed on already, and a socket of a loop that is closed stays open until it is garbage-collected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...errors import EgressRefusedError

if TYPE_CHECKING:
    from ...http.egress import EgressPolicy

__all__ = ["check_peer", "close_socket", "raw_transport", "write_buffer_size"]


def raw_transport(transport: Any) -> Any:
    """The transport below asyncio's TLS, None once it is gone; without TLS, or on uvloop, the transport itself."""
    return getattr(getattr(transport, "_ssl_protocol", None), "_transport", transport)


def write_buffer_size(transport: Any) -> int:
    """Bytes that the kernel has not accepted yet."""
    # As `raw_transport`, without another call: each exchange asks this.
    inner = getattr(getattr(transport, "_ssl_protocol", None), "_transport", transport)
    return 0 if inner is None else inner.get_write_buffer_size()


def close_socket(transport: Any) -> None:
    """Close the socket of an asyncio transport without its loop, which is closed or another process's."""
    if transport is None:
        return
    if hasattr(transport, "_closed"):  # uvloop's has none and needs none: its sockets close with the loop
        transport._closed = True  # or a TLS transport warns when it is garbage-collected
    inner = raw_transport(transport)
    sock = getattr(inner, "_sock", None)
    if sock is not None:
        sock.close()
        inner._sock = None


def check_peer(egress: EgressPolicy, host: str, transport: Any) -> None:
    """Judge the address that a new connection leads to, whatever led it there. Raises EgressRefusedError."""
    peer = None if transport is None else transport.get_extra_info("peername")
    if not isinstance(peer, tuple):
        message = f"egress to {host!r} is refused: the address of its connection cannot be known"
        raise EgressRefusedError(message, host=host, address=None)
    egress.check_address(host, peer[0], peer[1])

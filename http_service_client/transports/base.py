"""The interface of a transport: one exchange on the wire, with failures returned as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ..core.effects import Outcome
from ..core.timeouts import Timeout
from ..http.headers import Headers
from ..http.http1.framing import ParserSettings
from ..http.messages import HttpRequest
from ..http.proxies.settings import ProxySettings
from ..http.urls import Url
from .fault_log import FaultLog
from .idle import IdleConnections
from .lifetime import Lifetime
from .network.sockets import SocketSettings
from .network.tls import TlsSettings

if TYPE_CHECKING:
    from ..http.egress import EgressPolicy

__all__ = [
    "MOST_EARLY",
    "REDIRECT_BODY",
    "REDIRECT_WAIT",
    "AsyncTransport",
    "BlockingTransport",
    "TransportSettings",
    "smaller",
]

# Of a redirect that is followed, the Location counts. Its body is kept if it is complete within these limits, so that
# the connection can be used again; else the connection is closed, and the redirect has no content. A body that ends
# with the connection is not waited for at all: it may have no end.
REDIRECT_BODY = 64 * 1024  # bytes, decoded
REDIRECT_WAIT = 1.0  # seconds; but no more than half of what is left of the attempt, which has to follow it

MOST_EARLY = 10 * 1024 * 1024
"""Bytes of the response's body that are taken while the request is still being sent, where its size has no limit."""


@runtime_checkable
class BlockingTransport(Protocol):
    """One exchange on the wire, on the calling thread."""

    def send(self, request: HttpRequest, timeout: Timeout) -> Outcome:
        """Send the request unchanged and read the whole response.

        Follows no redirect, retries nothing, and raises only bugs and interrupts: a failure is a `Failure`
        whose `sent_state` says what happened to the request.
        """
        ...

    def close(self) -> None:
        """Close every connection."""
        ...

    # Optional: `open_response(request, timeout)`, which leaves the body of a success unread and returns an
    # `OpenResponse`. Without it, a streamed response is read whole by `send`.


@runtime_checkable
class AsyncTransport(Protocol):
    """One exchange on the wire, in an asyncio task."""

    async def send_async(self, request: HttpRequest, timeout: Timeout) -> Outcome:
        """As `BlockingTransport.send`."""
        ...

    async def close_async(self) -> None:
        """Close every connection."""
        ...

    # Optional: `open_response_async`, in the same way.


@dataclass(frozen=True, eq=False, repr=False)
class TransportSettings:
    """The settings that both transports share.

    keep_alive_timeout: seconds after which an idle connection is closed.
    keep_alive_max_requests: requests after which a connection is closed.
    max_response_size: decoded bytes.  decompress: whether to decode the content codings, unless the request says.
    egress: checks the addresses that a name resolves to; None allows all.
    parser: how large the head of a response may be, and which faults are tolerated.
    idle: the idle connections of both transports together.
    max_connection_age: seconds after which a connection serves no other exchange; None for no limit.
    sockets: how they are made.   uds: the path of a Unix socket to which all connections lead, or None.
    faults: logs those that are tolerated.   http2: offer HTTP/2 to https origins that no proxy leads to.
    """

    keep_alive_timeout: float
    keep_alive_max_requests: int
    max_response_size: int | None
    decompress: bool
    tls: TlsSettings
    proxies: ProxySettings
    egress: EgressPolicy | None = None
    parser: ParserSettings = field(default_factory=ParserSettings)
    idle: IdleConnections = field(default_factory=IdleConnections)
    max_connection_age: float | None = None
    sockets: SocketSettings = field(default_factory=SocketSettings)
    uds: str | None = None
    faults: FaultLog = field(default_factory=FaultLog)
    http2: bool = False

    @property
    def most_early(self) -> int:
        """Bytes of the response's body that are taken while the request is still being sent.

        A server that responds as it reads, such as one that converts a file, reads on only if its response is read.
        """
        return MOST_EARLY if self.max_response_size is None else self.max_response_size

    def new_lifetime(self) -> Lifetime:
        """The lifetime of a connection that is made now."""
        return Lifetime(self.keep_alive_timeout, self.keep_alive_max_requests, self.max_connection_age)

    def socket_path(self, url: Url) -> str | None:
        """The path of the Unix socket for this URL; None for a TCP connection."""
        return self.uds or url.socket_path

    def decompresses(self, request: HttpRequest, status: int, headers: Headers) -> bool:
        """Whether to decode the content codings of a response to this request."""
        wanted = self.decompress if request.decompress is None else request.decompress
        if status != 206 or not wanted:
            return wanted
        from ..http.bodies.ranges import is_part

        return not is_part(headers)


def smaller(one: int | None, other: int | None) -> int | None:
    """The smaller of two limits; None is no limit."""
    return other if one is None else one if other is None else min(one, other)

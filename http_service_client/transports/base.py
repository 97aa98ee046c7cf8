"""What a transport is: one exchange on the wire, its failures told as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from ..core.effects import Outcome
from ..core.timeouts import Timeout
from ..http.egress import EgressPolicy
from ..http.http1.framing import HeadLimits
from ..http.messages import HttpRequest
from ..http.proxies.settings import ProxySettings
from .network.tls import TlsSettings

__all__ = ["AsyncTransport", "BlockingTransport", "TransportSettings"]


@runtime_checkable
class BlockingTransport(Protocol):
    """One exchange on the wire, on the calling thread."""

    def send(self, request: HttpRequest, timeout: Timeout) -> Outcome:
        """Send the request as it stands and read the whole response.

        Follows nothing, repeats nothing, and raises nothing but bugs and interrupts: a failure is a
        `Failure` that says what became of the request.
        """
        ...

    def close(self) -> None:
        """Close every connection."""
        ...

    # It may have `open_response(request, timeout)` too, which leaves the body of a success to be read: it
    # then returns an `OpenResponse`. Without it, a streamed response comes whole from `send`.


@runtime_checkable
class AsyncTransport(Protocol):
    """One exchange on the wire, in an asyncio task."""

    async def send_async(self, request: HttpRequest, timeout: Timeout) -> Outcome:
        """As `BlockingTransport.send`."""
        ...

    async def close_async(self) -> None:
        """Close every connection."""
        ...

    # And `open_response_async`, likewise.


@dataclass(frozen=True)
class TransportSettings:
    """What both transports are told, once.

    keep_alive_timeout: seconds after which an idle connection is closed.
    keep_alive_max_requests: requests after which one is retired.
    max_response_size: decoded bytes.  decompress: whether to decode the content codings.
    egress: judges the addresses that a name resolves to; None lets all pass.
    head_limits: how large a response's head may be.
    """

    keep_alive_timeout: float
    keep_alive_max_requests: int
    max_response_size: int | None
    decompress: bool
    tls: TlsSettings
    proxies: ProxySettings
    egress: EgressPolicy | None = None
    head_limits: HeadLimits = field(default_factory=HeadLimits)

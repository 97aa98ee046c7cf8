"""An exchange on a connection that is already there, by aiohttp's connector and protocol alone.

`ClientSession._request` merges headers, jars cookies, looks for credentials, proxies and redirects: all that
the core has done by then, and it costs more than the exchange itself. It makes the connections, and it is
there for whoever wants to see the calls (mocks, recorders, tracers). Where a connection waits and nobody has
hooked in, the request is written to the connection, and the answer is read from it.

What is private to aiohttp here: `_trace_configs` and `_middlewares` of the session, `start_timeout` and `read`
of the protocol.
"""

from __future__ import annotations

from functools import lru_cache
from types import FunctionType
from typing import Any

import aiohttp
import aiohttp.client
from aiohttp.http_exceptions import HttpProcessingError

from ...http.http1.errors import NotHttpError
from ...http.http1.framing import MALFORMED
from ...http.http1.parser import request_head
from ...http.messages import HttpRequest
from ...http.preparation import METHODS_WITHOUT_CONTENT
from ...http.urls import split_url
from .connector import CheckedConnector
from .protocol import StrictResponseHandler

__all__ = ["FastResponse", "is_watched", "read_answer", "request_bytes"]

_CLIENT = vars(aiohttp.client)


def is_watched(session: aiohttp.ClientSession) -> bool:
    """Whether somebody wants to see what goes through `ClientSession._request`, or has taken its place."""
    current = aiohttp.ClientSession._request
    is_aiohttps = type(current) is FunctionType and current.__globals__ is _CLIENT
    return not is_aiohttps or bool(session._trace_configs or session._middlewares)


def request_bytes(request: HttpRequest) -> bytes:
    """The request, whose body is there, as it goes on the wire."""
    fields, content = request.headers.pairs(), request.body.content
    if (
        not content
        and request.method not in METHODS_WITHOUT_CONTENT
        and "Content-Length" not in request.headers
    ):
        fields.append(("Content-Length", "0"))
    head = request_head(request.method, *_target_and_host(request.url), fields)
    return head + content if content else head


@lru_cache(maxsize=1024)
def _target_and_host(url: str) -> tuple[str, str]:
    parts = split_url(url)
    return parts.target, parts.origin.partition("://")[2]


class FastResponse:
    """A response: as much of `aiohttp.ClientResponse` as the transport makes use of."""

    __slots__ = ("_connector", "_protocol", "content", "headers", "raw_headers", "reason", "status")

    def __init__(
        self,
        message: Any,
        content: aiohttp.StreamReader,
        connector: CheckedConnector,
        protocol: StrictResponseHandler,
    ) -> None:
        self.status: int = message.code
        self.reason: str = message.reason
        self.headers = message.headers
        self.raw_headers = message.raw_headers
        self.content = content
        self._connector = connector
        self._protocol: StrictResponseHandler | None = protocol
        content.on_eof(self._let_go)

    def _let_go(self) -> None:
        """Read to its end: the connection goes back to the pool, unless it has left HTTP."""
        protocol = self._protocol
        if protocol is not None and not protocol.upgraded:
            self._protocol = None
            self._connector.release(protocol)

    def close(self) -> None:
        """Close the connection, unless it went back to the pool."""
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            self._connector.release(protocol, should_close=True)


async def read_answer(
    connector: CheckedConnector,
    protocol: StrictResponseHandler,
    unsent: HttpRequest | None,
    read_timeout: float | None,
) -> FastResponse:
    """The response that aiohttp reads, up to its head; after sending the request, if that was not done.

    read_timeout: seconds of silence.   Raises what aiohttp raises, and NotHttpError.
    """
    try:
        if unsent is not None:
            protocol.begin_parsing(unsent.method == "HEAD", read_timeout)
            protocol.transport.write(request_bytes(unsent))  # type: ignore[union-attr]  # it was fit a moment ago
            protocol.start_timeout()
        while True:
            message, content = await protocol.read()
            if message.code >= 200 or message.code == 101:
                return FastResponse(message, content, connector, protocol)
    except HttpProcessingError:
        connector.release(protocol, should_close=True)
        raise protocol.died_of or NotHttpError(MALFORMED) from None
    except BaseException:
        connector.release(protocol, should_close=True)
        raise

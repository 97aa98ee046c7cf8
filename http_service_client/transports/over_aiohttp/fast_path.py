"""An exchange on an idle connection, with aiohttp's connector and protocol but without its session.

`ClientSession._request` merges headers, stores cookies, and looks for credentials, proxies and redirects. The
core has done all of that already, and it costs more than the exchange itself. The session still makes new
connections, and it is what mocks, recorders and tracers hook into. Where a connection is idle and nothing is
hooked in, the request is written directly to the connection, and the response is read from it.

`compatibility` lists what is private to aiohttp here.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import aiohttp

from ...http.http1.head import head_of_request, request_head
from ...http.messages import HttpRequest
from ...http.preparation import METHODS_WITHOUT_CONTENT
from ...http.urls import split_url
from ..seams import is_replaced

if TYPE_CHECKING:
    from .connector import CheckedConnector
    from .protocol import StrictResponseHandler

__all__ = ["FastResponse", "is_hooked", "is_patched", "read_response", "request_bytes"]

_CLIENT = sys.modules[aiohttp.ClientSession.__module__]


_genuine: Any = None  # the `ClientSession._request` that was found to be aiohttp's own


def is_patched() -> bool:
    """Whether another library, such as a mock, has replaced `ClientSession._request`."""
    global _genuine
    found = aiohttp.ClientSession._request
    if found is not _genuine:
        if is_replaced(found, _CLIENT):
            return True
        _genuine = found
    return False


def is_hooked(session: aiohttp.ClientSession) -> bool:
    """Whether `ClientSession._request` is patched, traced or has middlewares."""
    return is_patched() or bool(session._trace_configs or session._middlewares)


def request_bytes(request: HttpRequest) -> bytes:
    """A request whose body is in memory, as it is sent."""
    method, headers, content = request.method, request.headers, request.body.content
    target, host = _target_and_host(request.url)
    if content:
        return head_of_request(method, target, host, headers) + content
    if method not in METHODS_WITHOUT_CONTENT and "Content-Length" not in headers:
        return request_head(method, target, host, [*headers.pairs(), ("Content-Length", "0")])
    return head_of_request(method, target, host, headers)


@lru_cache(maxsize=1024)
def _target_and_host(url: str) -> tuple[str, str]:
    parts = split_url(url)
    return parts.target, parts.host_field


class FastResponse:
    """A response: the part of `aiohttp.ClientResponse` that the transport uses."""

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
        content.on_eof(self._release)

    def _release(self) -> None:
        """At the end of the body: return the connection to the pool, unless it no longer speaks HTTP."""
        protocol = self._protocol
        if protocol is not None and not protocol.upgraded:
            self._protocol = None
            self._connector.release(protocol)

    def close(self) -> None:
        """Close the connection, unless it is back in the pool."""
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            # As aiohttp does. A reader that waits for the body gets this error, and the body drops `_release`: it would
            # keep this response, and the response the body, until the cycle collector runs.
            self.content.set_exception(aiohttp.ClientConnectionError("Connection closed"))
            self._connector.release(protocol, should_close=True)


async def read_response(
    connector: CheckedConnector,
    protocol: StrictResponseHandler,
    unsent: HttpRequest | None,
    read_timeout: float | None,
) -> FastResponse:
    """The response, read up to the end of its head.

    unsent: the request to send first; None when it was sent already.   read_timeout: seconds without data, or None.
    Raises aiohttp's errors, and NotHttpError.
    """
    try:
        if unsent is not None:
            protocol.begin_parsing(unsent.method, read_timeout)
            protocol.transport.write(request_bytes(unsent))  # type: ignore[union-attr]  # it was just acquired
            protocol.start_timeout()
        message, content = await protocol.read()
        return FastResponse(message, content, connector, protocol)
    except BaseException:
        connector.release(protocol, should_close=True)
        raise

"""An exchange on a connection that is already there, by aiohttp's connector and protocol alone.

`ClientSession._request` merges headers, jars cookies, looks for credentials, proxies and redirects: all that
the core has done by then, and it costs more than the exchange itself. It makes the connections, and it is
there for whoever wants to see the calls (mocks, recorders, tracers). Where a connection waits and nobody has
hooked in, the request is written to the connection, and aiohttp's parser reads the answer from it.

What is private to aiohttp here: `_trace_configs` and `_middlewares` of the session, `set_response_params`,
`start_timeout` and `read` of the protocol, `_buffer` of the body.
"""

from __future__ import annotations

from types import FunctionType
from typing import Any

import aiohttp
import aiohttp.client
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import EMPTY_PAYLOAD

from ..messages import HttpRequest
from ..protocol.urls import split_url
from .failures import NotHttpError
from .framing import MALFORMED
from .http1 import request_head
from .over_aiohttp_connections import AsyncExchange, CarefulConnector

__all__ = ["Answer", "send_on_idle"]

# aiohttp, too, says "Content-Length: 0" for every other method without a body.
_SILENT_WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class Answer:
    """A response: as much of `aiohttp.ClientResponse` as the transport makes use of."""

    __slots__ = ("_connection", "content", "headers", "raw_headers", "reason", "status")

    def __init__(self, message: Any, content: aiohttp.StreamReader, connection: Any) -> None:
        self.status: int = message.code
        self.reason: str = message.reason
        self.headers = message.headers
        self.raw_headers = message.raw_headers
        self.content = content
        self._connection = connection
        content.on_eof(self._let_go)

    def _let_go(self) -> None:
        """Read to its end: the connection goes back to the pool, unless it has left HTTP."""
        connection = self._connection
        if connection is not None and not connection.protocol.upgraded:
            self._connection = None
            connection.release()

    def whole_content(self) -> bytes | None:
        """All of the body where it has come with the head, as small ones do."""
        content = self.content
        if content is EMPTY_PAYLOAD:
            return b""
        if not content.is_eof() or content.exception() is not None:
            return None
        return b"".join(content._buffer)  # to `read` it would wake the parser for more

    def close(self) -> None:
        """Close the connection, unless it went back to the pool."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


async def send_on_idle(
    session: aiohttp.ClientSession, request: HttpRequest, exchange: AsyncExchange
) -> Answer | None:
    """The response, up to its head; None where `ClientSession._request` has to be asked.

    The request has a body that is there, and no proxy. Raises what aiohttp raises, and NotHttpError.
    """
    connector = session.connector
    if _is_watched(session) or not isinstance(connector, CarefulConnector):
        return None
    url = split_url(request.url)
    connection = await connector.idle_connection(url)
    if connection is None:
        return None
    protocol = connection.protocol
    exchange.connected(protocol)
    try:
        protocol.set_response_params(
            skip_payload=request.method == "HEAD",
            read_until_eof=True,
            auto_decompress=False,
            read_timeout=exchange.client_timeout.sock_read,
            max_line_size=connector.limits.size,
            max_field_size=connector.limits.size,
            max_headers=connector.limits.fields,
        )
        head = _head(request, url.target, url.origin.partition("://")[2])
        protocol.transport.write(head + (request.body.content or b""))
        protocol.start_timeout()
        while True:
            message, content = await protocol.read()
            if message.code >= 200 or message.code == 101:
                return Answer(message, content, connection)
    except HttpProcessingError:
        connection.close()
        raise protocol.died_of or NotHttpError(MALFORMED) from None
    except BaseException:
        connection.close()
        raise


def _is_watched(session: aiohttp.ClientSession) -> bool:
    """Whether somebody wants to see what goes through `ClientSession._request`, or has taken its place."""
    current = aiohttp.ClientSession._request
    is_aiohttps = type(current) is FunctionType and current.__globals__ is vars(aiohttp.client)
    return not is_aiohttps or bool(session._trace_configs or session._middlewares)


def _head(request: HttpRequest, target: str, host: str) -> bytes:
    fields = request.headers.pairs()
    if (
        request.body.length == 0
        and request.method not in _SILENT_WITHOUT_BODY
        and "Content-Length" not in request.headers
    ):
        fields.append(("Content-Length", "0"))
    return request_head(request.method, target, host, fields)

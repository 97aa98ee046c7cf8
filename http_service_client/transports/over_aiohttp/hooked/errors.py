"""Translates aiohttp's errors into a phase and the builtin error beneath."""

from __future__ import annotations

import asyncio
import ssl
import sys
from socket import gaierror

import aiohttp

from ....errors import innermost
from ....http.http1.errors import CutShortError, NotHttpError
from ...failures import Phase, PhaseError, ProxyRefusedError, UnsendableError

__all__ = ["ERRORS", "NotRepeatedError", "translate_error"]


class NotRepeatedError(aiohttp.ClientError):
    """Wraps an error of aiohttp for which a session would send the request again."""


# Of aiohttp's own parser. A mock may raise it.
_ParserError: type[Exception] = getattr(
    sys.modules.get("aiohttp.http_exceptions"), "HttpProcessingError", NotHttpError
)

ERRORS = (
    *(aiohttp.ClientError, _ParserError, asyncio.TimeoutError, OSError, UnicodeError),
    *(NotHttpError, PhaseError, ProxyRefusedError),
)


def translate_error(
    phase: Phase, error: BaseException, connection_error: BaseException | None = None
) -> tuple[Phase, BaseException]:
    """The phase, and the builtin error beneath an error of aiohttp. To be called outside of its handler.

    phase: how far the exchange is known to have got.   connection_error: that of its connection, if it is known.
    """
    if isinstance(error, NotRepeatedError):
        error = error.args[0]
    if isinstance(error, PhaseError):
        return error.phase, error.error
    root = innermost(error, implicitly=True)
    if isinstance(error, ProxyRefusedError):
        return Phase.PROXY, error
    if isinstance(error, (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError)):
        return phase, UnsendableError(str(error))
    if isinstance(error, aiohttp.ServerFingerprintMismatch):
        return Phase.CONNECT, ssl.SSLCertVerificationError(str(error))
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return Phase.PROXY, ProxyRefusedError(f"{error.status} {error.message}".strip())
    if isinstance(error, aiohttp.ClientProxyConnectionError):  # raised by a mock
        return Phase.PROXY, root
    # A mock knows no phases, but these errors occur only while connecting.
    if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)) or isinstance(
        root, (ConnectionRefusedError, gaierror)
    ):
        phase = phase if phase is Phase.PROXY else Phase.CONNECT
    if isinstance(root, asyncio.TimeoutError):
        return phase, TimeoutError(str(root))  # on Python 3.10 they are two classes
    if connection_error is not None:
        return phase, connection_error
    if isinstance(root, OSError):
        return phase, root
    if isinstance(error, aiohttp.ServerDisconnectedError):
        # A message that is not text is the part of the response that did arrive.
        if not isinstance(error.message, str):
            return phase, CutShortError()
        return phase, ConnectionResetError("closed without a response")
    if isinstance(error, aiohttp.ClientPayloadError):
        return phase, CutShortError()
    if isinstance(error, (aiohttp.ClientResponseError, _ParserError, NotHttpError, UnicodeError)):
        return phase, error if isinstance(error, NotHttpError) else NotHttpError()
    return phase, ConnectionError(str(error))

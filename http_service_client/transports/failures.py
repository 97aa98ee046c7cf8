"""From a phase and a builtin error to a failure: one table for both worlds.

Each transport turns its library's errors into a phase and an error; what the caller reads is
decided here, so it is the same sentence whichever library was underneath.

    phase      error                                   failure                  what became of it
    CONNECT    gaierror                                NameResolutionError      never sent
               certificate verification                TlsVerificationError     never sent
               other TLS error                         TlsError                 never sent
               timeout                                 ConnectTimeoutError      never sent
               from a proxy                            ProxyError               never sent
               other OSError                           ConnectError             never sent
    SEND       timeout: of the attempt / of a write    AttemptTimeoutError / WriteTimeoutError    maybe processed
    RECEIVE    timeout: of the attempt / of a read     AttemptTimeoutError / ReadTimeoutError     maybe processed
    either     OSError (reset, closed, broken pipe)    ConnectionLostError      maybe processed
               anything that is not HTTP, or cut short ProtocolError            maybe processed
"""

from __future__ import annotations

import os
import ssl
from enum import Enum
from socket import gaierror

from .. import errors
from ..core.timeouts import Timeout
from ..errors import Failure, SentState
from ..messages import HttpRequest
from ..protocol.urls import redact_url, split_url

__all__ = ["NotHttpError", "Phase", "ProxyRefusedError", "failure_of", "unusable_proxy"]


class Phase(Enum):
    """How far an exchange came."""

    CONNECT = "connect"  # nothing was sent
    SEND = "send"  # some bytes of the request may have left
    RECEIVE = "receive"  # the request left in full


class NotHttpError(Exception):
    """What came is not HTTP, or was cut short; the message says how."""


class ProxyRefusedError(Exception):
    """The proxy did not do what it is for; the message says how."""


def failure_of(phase: Phase, error: BaseException, request: HttpRequest, timeout: Timeout, is_over: bool) -> Failure:
    """The failure that a caller sees.

    error: builtin (socket, ssl and timeout errors), or one of this module.
    is_over: whether the time for the whole exchange has run out.
    """
    error = _plain(error)
    if phase is Phase.CONNECT or isinstance(error, (gaierror, ConnectionRefusedError, ssl.SSLCertVerificationError)):
        error_type, message = _while_connecting(error, split_url(request.url).origin)
        return _failure(error_type, message, SentState.NEVER_SENT, error)
    error_type, message = _after_connecting(phase, error, request, timeout, is_over)
    return _failure(error_type, message, SentState.MAYBE_PROCESSED, error)


def _failure(error_type: type[errors.HttpClientError], message: str, state: SentState, error: BaseException) -> Failure:
    cause = None if isinstance(error, (NotHttpError, ProxyRefusedError)) else error
    return Failure(error_type, message, state, cause)


def _while_connecting(error: BaseException, origin: str) -> tuple[type[errors.HttpClientError], str]:
    if isinstance(error, gaierror):
        return errors.NameResolutionError, f"the host name of {origin} could not be resolved ({_reason(error)})"
    if isinstance(error, ssl.SSLCertVerificationError):
        return errors.TlsVerificationError, f"the certificate of {origin} is not to be trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return errors.TlsError, f"the TLS handshake with {origin} failed: {error.reason or error}"
    if isinstance(error, TimeoutError):
        return errors.ConnectTimeoutError, f"no connection to {origin} within the time to connect"
    if isinstance(error, ProxyRefusedError):
        return errors.ProxyError, f"the proxy made no connection to {origin}: {error}"
    return errors.ConnectError, f"no connection to {origin} ({_reason(error)})"


def _after_connecting(
    phase: Phase, error: BaseException, request: HttpRequest, timeout: Timeout, is_over: bool
) -> tuple[type[errors.HttpClientError], str]:
    url = redact_url(request.url)
    if isinstance(error, TimeoutError):
        if is_over and timeout.total is not None:
            return errors.AttemptTimeoutError, f"{url} did not answer in full within {timeout.total:.3g} s"
        if phase is Phase.SEND:
            return errors.WriteTimeoutError, f"{url} stopped taking the request for {timeout.write or 0:.3g} s"
        return errors.ReadTimeoutError, f"{url} stopped sending for {timeout.read or 0:.3g} s"
    if isinstance(error, OSError):
        return errors.ConnectionLostError, f"the connection to {url} was lost ({_reason(error)})"
    return errors.ProtocolError, f"{url} answered with something that is not HTTP, or cut it short: {error}"


def _reason(error: BaseException) -> str:
    """The name of the error and what the system says of it, the same however it was wrapped."""
    text = getattr(error, "strerror", None)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _plain(error: BaseException) -> BaseException:
    """The error with the system's own words: asyncio puts others in their place."""
    if isinstance(error, OSError) and error.errno is not None and not isinstance(error, (gaierror, ssl.SSLError)):
        return type(error)(error.errno, os.strerror(error.errno))
    return error


def unusable_proxy(proxy: str | None, request: HttpRequest) -> Failure | None:
    """A failure when the proxy speaks something else than HTTP: nothing is sent to it."""
    if proxy is None or proxy.startswith(("http://", "https://")):
        return None
    message = f"the proxy {redact_url(proxy)} is not an HTTP proxy; use http:// or https://, or exclude the host by NO_PROXY"
    return Failure(errors.ProxyError, message, SentState.NEVER_SENT)

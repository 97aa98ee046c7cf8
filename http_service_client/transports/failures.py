"""From a phase and a builtin error to a failure: one table for both worlds.

Each transport turns its library's errors into a phase and an error; what the caller reads is
decided here, so it is the same sentence whichever library was underneath.

    phase      error                                   failure                  what became of it
    any        the library will not send it            InvalidRequestError      never sent
    PROXY,     certificate verification                TlsVerificationError     never sent
    CONNECT    other TLS error                         TlsError                 never sent
               timeout                                 ConnectTimeoutError      never sent
    PROXY      any other                               ProxyError               never sent
    CONNECT    gaierror                                NameResolutionError      never sent
               other OSError                           ConnectError             never sent
    SEND,      timeout of the whole attempt            AttemptTimeoutError      maybe processed
    RECEIVE    timeout of one write, of one read       WriteTimeoutError, ReadTimeoutError      maybe processed
               the server's TLS alert on our certificate   TlsError             never sent
               other OSError (reset, closed)           ConnectionLostError      maybe processed
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
from ..http.http1.errors import CutShortError, NotHttpError
from ..http.messages import HttpRequest
from ..http.urls import redact_url, split_url

__all__ = [
    "BodySourceError",
    "Phase",
    "ProxyRefusedError",
    "UnsendableError",
    "already_closed",
    "failure_of",
    "refusal_of",
    "source_failed",
]


class Phase(Enum):
    """How far an exchange came."""

    PROXY = "proxy"  # nothing was sent; the connection is the proxy's to make
    CONNECT = "connect"  # nothing was sent
    SEND = "send"  # some bytes of the request may have left
    RECEIVE = "receive"  # the request left in full


class ProxyRefusedError(Exception):
    """The proxy answered, and made no connection; the message says what it answered."""


class UnsendableError(Exception):
    """The library below refused the request as it stands; the message says why. Only mocks get that far."""


class BodySourceError(Exception):
    """The source of the request's body (a file, the caller's generator) raised `error`: no fault of the wire."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


_ONLY_WHILE_CONNECTING = (gaierror, ConnectionRefusedError, ssl.SSLCertVerificationError)


def failure_of(
    phase: Phase,
    error: BaseException,
    request: HttpRequest,
    timeout: Timeout,
    timed_out: bool,
    proxy: str | None = None,
) -> Failure:
    """The failure that a caller sees.

    error: builtin (socket, ssl and timeout errors), or one of this module.
    timed_out: whether the time for the whole exchange has run out.   proxy: its URL, if there is one.
    """
    error = _plain(error)
    if isinstance(error, UnsendableError):
        message = f"the request cannot be sent as it stands: {error}"
        return _failure(errors.InvalidRequestError, message, SentState.NEVER_SENT, error)
    if isinstance(error, _ONLY_WHILE_CONNECTING) and phase is not Phase.PROXY:
        phase = Phase.CONNECT  # who raises it is a mock, which knows no phases
    if phase in (Phase.PROXY, Phase.CONNECT):
        error_type, message = _while_connecting(phase, error, split_url(request.url).origin, proxy)
        return _failure(error_type, message, SentState.NEVER_SENT, error)
    if isinstance(error, ssl.SSLError) and _is_about_our_certificate(error):
        message = f"{split_url(request.url).origin} wants another client certificate ({_tls_reason(error)})"
        return _failure(errors.TlsError, message, SentState.NEVER_SENT, error)
    error_type, message = _after_connecting(phase, error, redact_url(request.url), timeout, timed_out)
    return _failure(error_type, message, SentState.MAYBE_PROCESSED, error)


def refusal_of(error: errors.HttpClientError) -> Failure:
    """The failure for an error of ours that stopped the connecting, the reading, or the drawing of the body."""
    if isinstance(error, errors.EgressRefusedError):
        return Failure(type(error), str(error), SentState.NEVER_SENT, details=vars(error))
    answered = isinstance(error, errors.ResponseError)
    return Failure(type(error), str(error), SentState.ANSWERED if answered else SentState.MAYBE_PROCESSED)


def source_failed(error: BaseException) -> Failure:
    """Raises what the caller's generator raised; a failure for what is ours to say."""
    if isinstance(error, errors.HttpClientError):
        return refusal_of(error)
    try:
        raise error
    finally:
        del error


def already_closed() -> Failure:
    """The client was closed under a call that was in flight: its next exchange is not begun."""
    message = "this HttpServiceClient was closed; make a new one"
    return Failure(errors.ClientClosedError, message, SentState.NEVER_SENT)


def _failure(
    error_type: type[errors.HttpClientError], message: str, state: SentState, error: BaseException
) -> Failure:
    cause = None if isinstance(error, (NotHttpError, ProxyRefusedError, UnsendableError)) else error
    return Failure(error_type, message, state, cause)


def _while_connecting(
    phase: Phase, error: BaseException, origin: str, proxy: str | None
) -> tuple[type[errors.HttpClientError], str]:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            errors.TlsVerificationError,
            f"the certificate of {origin} is not to be trusted: {getattr(error, 'verify_message', error)}",
        )
    if isinstance(error, ssl.SSLError):
        return (
            errors.TlsError,
            f"the TLS handshake with {origin} failed: {_tls_reason(error) or type(error).__name__}",
        )
    if isinstance(error, TimeoutError):
        return errors.ConnectTimeoutError, f"no connection to {origin} within the time to connect"
    if phase is Phase.PROXY:
        named = f" {redact_url(proxy)}" if proxy else ""
        return errors.ProxyError, f"the proxy{named} made no connection to {origin} ({_reason(error)})"
    if isinstance(error, gaierror):
        return (
            errors.NameResolutionError,
            f"the host name of {origin} could not be resolved ({_reason(error)})",
        )
    return errors.ConnectError, f"no connection to {origin} ({_reason(error)})"


def _after_connecting(
    phase: Phase, error: BaseException, url: str, timeout: Timeout, timed_out: bool
) -> tuple[type[errors.HttpClientError], str]:
    if isinstance(error, TimeoutError):
        if timed_out and timeout.total is not None:
            return errors.AttemptTimeoutError, f"{url} did not answer in full within {timeout.total:.3g} s"
        if phase is Phase.SEND:
            return errors.WriteTimeoutError, f"{url} stopped taking the request{_for(timeout.write)}"
        return errors.ReadTimeoutError, f"{url} stopped sending{_for(timeout.read)}"
    if isinstance(error, CutShortError):
        return errors.ProtocolError, f"the answer of {url} was cut short"
    if isinstance(error, OSError):
        return errors.ConnectionLostError, f"the connection to {url} was lost ({_reason(error)})"
    return errors.ProtocolError, f"the answer of {url} is not HTTP: {error}"


def _is_about_our_certificate(error: ssl.SSLError) -> bool:
    """In TLS 1.3 the server judges our certificate after our handshake is done, but before it takes a request."""
    reason = _tls_reason(error) or ""
    return "ALERT" in reason and any(
        word in reason for word in ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED")
    )


def _reason(error: BaseException) -> str:
    """The name of the error and what the system says of it, the same however it was wrapped."""
    if isinstance(error, ProxyRefusedError):
        return str(error)
    text = _tls_reason(error) if isinstance(error, ssl.SSLError) else getattr(error, "strerror", None)
    if type(error) is ConnectionError:  # no system raises it: the words are a mock's
        text = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _tls_reason(error: ssl.SSLError) -> str | None:
    return getattr(error, "reason", None)  # what a mock made has none


def _for(seconds: float | None) -> str:
    """The bound that was reached; nothing for a mock's timeout where there is no bound."""
    return "" if seconds is None else f" for {seconds:.3g} s"


def _plain(error: BaseException) -> BaseException:
    """The error with the system's own words: asyncio puts others in their place.

    An end of the connection is one, also where OpenSSL was about to read from it.
    """
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return ConnectionResetError("closed without a word")
    if (
        isinstance(error, OSError)
        and error.errno is not None
        and not isinstance(error, (gaierror, ssl.SSLError))
    ):
        return OSError(error.errno, os.strerror(error.errno))  # which makes the fitting subclass
    return error

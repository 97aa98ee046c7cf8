"""From a phase and a builtin error to a failure: one table for all transports.

Each transport knows the phase of an exchange, and the builtin error that ended it, also where a library has wrapped it. The
message for the caller is written here, so it is the same sentence whichever way the exchange went.

    phase      error                                   failure                  sent state
    any        the library refuses to send it          InvalidRequestError      never sent
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
               invalid HTTP, or cut short              ProtocolError            maybe processed
"""

from __future__ import annotations

import errno
import os
import ssl
from enum import Enum
from socket import gaierror
from typing import Any

from .. import errors
from ..core.timeouts import Timeout
from ..errors import Failure, SentState
from ..http.http1.errors import CutShortError, NotHttpError
from ..http.messages import HttpRequest
from ..http.printable import printable
from ..http.urls import redact_url, split_url

__all__ = [
    "BodySourceError",
    "Phase",
    "PhaseError",
    "ProxyRefusedError",
    "UnsendableError",
    "failure_of",
    "refusal_of",
    "source_failed",
]


class Phase(Enum):
    """How far an exchange got."""

    PROXY = "proxy"  # nothing was sent; connecting through a proxy
    CONNECT = "connect"  # nothing was sent
    SEND = "send"  # some bytes of the request may have left
    RECEIVE = "receive"  # the whole request was sent


class PhaseError(Exception):
    """An exchange failed in this phase, with this error."""

    def __init__(self, phase: Phase, error: BaseException) -> None:
        super().__init__(phase, error)
        self.phase = phase
        self.error = error


class ProxyRefusedError(Exception):
    """The proxy replied but made no connection; the message is its reply."""


class UnsendableError(Exception):
    """The library below refused to send the request; the message says why. Only mocks raise it."""


class BodySourceError(Exception):
    """The source of the request's body (a file, the caller's generator) raised `error`. The network is not at fault."""

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
    timed_out: whether the time for the whole exchange has run out.   proxy: the proxy's URL, or None.
    """
    error = _plain(error)
    if isinstance(error, UnsendableError):
        message = f"the request cannot be sent: {error}"
        return _failure(errors.InvalidRequestError, message, SentState.NEVER_SENT, error)
    if isinstance(error, _ONLY_WHILE_CONNECTING) and phase is not Phase.PROXY:
        phase = Phase.CONNECT  # raised by a mock, which knows no phases
    if phase in (Phase.PROXY, Phase.CONNECT):
        error_type, message = _while_connecting(phase, error, split_url(request.url).origin, timed_out, proxy)
        return _failure(error_type, message, SentState.NEVER_SENT, error)
    if isinstance(error, ssl.SSLError) and _is_about_our_certificate(error):
        message = (
            f"{split_url(request.url).origin} requires a client certificate that it trusts "
            f"({_tls_reason(error)}); check ssl_cert_file, ssl_key_file and ssl_cert_hosts"
        )
        return _failure(errors.TlsError, message, SentState.NEVER_SENT, error)
    error_type, message = _after_connecting(phase, error, redact_url(request.url), timeout, timed_out)
    return _failure(error_type, message, SentState.MAYBE_PROCESSED, error)


def refusal_of(error: errors.HttpClientError) -> Failure:
    """The failure for an error of this package, raised while connecting, reading, or producing the body."""
    if isinstance(error, errors.EgressRefusedError):
        return Failure(type(error), str(error), SentState.NEVER_SENT, details=vars(error))
    if isinstance(error, errors.ConfigurationError):  # found while connecting
        return Failure(type(error), str(error), SentState.NEVER_SENT)
    answered = isinstance(error, errors.ResponseError)
    state = SentState.ANSWERED if answered else SentState.MAYBE_PROCESSED
    return Failure(type(error), str(error), state, details={"response": error.response})


def source_failed(error: BaseException) -> Failure:
    """The failure for a body that is invalid; anything else that the caller's generator raised is raised.

    That may be an error of this package, too: of a call to another service, whose response is the source.
    """
    if type(error) is errors.InvalidRequestError:
        return refusal_of(error)
    if isinstance(error, errors.HttpClientError):
        error.sent_state = SentState.MAYBE_PROCESSED  # of this request, which was sent in part
    try:
        raise error
    finally:
        del error


def _failure(
    error_type: type[errors.HttpClientError], message: str, state: SentState, error: BaseException
) -> Failure:
    if isinstance(error, NotHttpError):
        return Failure(error_type, message, state, details=_broken_rule(error))
    cause = None if isinstance(error, (ProxyRefusedError, UnsendableError)) else error
    return Failure(error_type, message, state, cause)


def _broken_rule(error: NotHttpError) -> dict[str, Any]:
    """The attributes of a ProtocolError."""
    rule = error.rule
    if rule is None:
        return {}
    return {"rule": rule.name, "section": rule.section, "offset": error.offset, "excerpt": error.excerpt}


def _while_connecting(
    phase: Phase, error: BaseException, origin: str, timed_out: bool, proxy: str | None
) -> tuple[type[errors.HttpClientError], str]:
    if isinstance(error, ssl.SSLCertVerificationError):
        message = (
            f"the certificate of {origin} could not be verified: {getattr(error, 'verify_message', error)}"
        )
        if getattr(error, "verify_code", None) in _UNKNOWN_ISSUER:
            message += "; if a private authority issued it, set ssl_ca_file"
        elif getattr(error, "verify_code", None) in _NOT_BY_RFC_5280:
            message += (
                "; it breaks a rule of RFC 5280 that Python checks from 3.13 on: have it issued again, "
                "or pass an ssl_context without ssl.VERIFY_X509_STRICT"
            )
        return errors.TlsVerificationError, message
    if isinstance(error, ssl.SSLError):
        reason = _tls_reason(error) or type(error).__name__
        hint = "; check that the server speaks TLS on this port" if reason in _NOT_TLS else ""
        if any(word in reason for word in _TOO_OLD):
            hint = (
                "; it is older or weaker than this system allows: upgrade it, or allow it by an ssl_context"
            )
        return errors.TlsError, f"the TLS handshake with {origin} failed: {reason}{hint}"
    if isinstance(error, TimeoutError):
        bound = "in time" if timed_out else "within the connect timeout"
        return errors.ConnectTimeoutError, f"could not connect to {origin} {bound}"
    if phase is Phase.PROXY:
        name = f" {redact_url(proxy)}" if proxy else ""
        return errors.ProxyError, f"could not connect to {origin} through the proxy{name} ({_reason(error)})"
    if isinstance(error, gaierror):
        return errors.NameResolutionError, f"could not resolve the host name of {origin} ({_reason(error)})"
    no_source = getattr(error, "errno", None) == errno.EADDRNOTAVAIL
    hint = "; no local address and port are free for it: check source_address" if no_source else ""
    return errors.ConnectError, f"could not connect to {origin} ({_reason(error)}){hint}"


# X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, …_DEPTH_ZERO_SELF_SIGNED_CERT, …_SELF_SIGNED_CERT_IN_CHAIN,
# …_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, …_UNABLE_TO_VERIFY_LEAF_SIGNATURE
_UNKNOWN_ISSUER = frozenset({2, 18, 19, 20, 21})

# X509_V_ERR_PATHLEN_INVALID_FOR_NON_CA to …_EXTENSIONS_REQUIRE_VERSION_3: only X509_V_FLAG_X509_STRICT checks these.
_NOT_BY_RFC_5280 = range(80, 94)

# OpenSSL's reasons where the server's first bytes are no TLS; the second one since OpenSSL 3.2.
_NOT_TLS = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"})

# Parts of OpenSSL's reasons where the server's TLS is too old for this side: TLS 1.0 and 1.1, small keys and groups,
# SHA-1, renegotiation as it was before RFC 5746.
_TOO_OLD = ("PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL", "TOO_SMALL", "TOO_WEAK", "UNSAFE_LEGACY")


def _after_connecting(
    phase: Phase, error: BaseException, url: str, timeout: Timeout, timed_out: bool
) -> tuple[type[errors.HttpClientError], str]:
    if isinstance(error, TimeoutError):
        if timed_out and timeout.total is not None:
            return errors.AttemptTimeoutError, f"no complete response from {url} within {timeout.total:.3g} s"
        if phase is Phase.SEND:
            message = f"timed out sending the request to {url}"
            return errors.WriteTimeoutError, message + _for("nothing was accepted", timeout.write)
        message = f"timed out reading from {url}"
        if timeout.first_byte is not None:  # the head has not arrived
            return errors.ReadTimeoutError, f"{message}: no first byte within {timeout.first_byte:.3g} s"
        return errors.ReadTimeoutError, message + _for("nothing arrived", timeout.read)
    if isinstance(error, CutShortError):
        after = "" if error.offset is None else f" after {error.offset} bytes"
        return errors.ProtocolError, f"the response from {url} was cut short{after}"
    if isinstance(error, OSError):
        return errors.ConnectionLostError, f"the connection to {url} was lost ({_reason(error)})"
    return errors.ProtocolError, f"the response from {url} is not valid HTTP: {error}"


def _is_about_our_certificate(error: ssl.SSLError) -> bool:
    """In TLS 1.3 the server checks our certificate after our side of the handshake, but before it reads a request."""
    reason = _tls_reason(error) or ""
    return "ALERT" in reason and any(
        word in reason for word in ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED")
    )


def _reason(error: BaseException) -> str:
    """The error's class and the system's message, the same however the error was wrapped."""
    if isinstance(error, ProxyRefusedError):
        return printable(str(error))
    if isinstance(error, NotHttpError):  # of a proxy, as no other sends HTTP before it is connected
        return f"its reply is not valid HTTP: {error}"
    text = _tls_reason(error) if isinstance(error, ssl.SSLError) else getattr(error, "strerror", None)
    if text and isinstance(path := getattr(error, "filename", None), str):  # of a Unix socket
        text = f"{text}: {path!r}"
    if type(error) is ConnectionError:  # the system raises subclasses only: this text is a mock's
        text = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _tls_reason(error: ssl.SSLError) -> str | None:
    return getattr(error, "reason", None)  # a mock's error has no such attribute


def _for(state: str, seconds: float | None) -> str:
    """The limit that was reached; empty for a mock's timeout where no limit is set."""
    return "" if seconds is None else f": {state} for {seconds:.3g} s"


def _plain(error: BaseException) -> BaseException:
    """The error with the system's own message, which asyncio replaces.

    A connection that ended is a ConnectionResetError, also where OpenSSL was about to read from it.
    """
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return ConnectionResetError("the connection was closed")
    if (
        isinstance(error, OSError)
        and error.errno is not None
        and not isinstance(error, (gaierror, ssl.SSLError))
    ):
        # It chooses the subclass by the number.
        return OSError(error.errno, os.strerror(error.errno), error.filename)
    return error

"""Every row of the table in `transports.failures`: the class of the error, its sentence, its sent-state and its cause."""

from __future__ import annotations

import errno
import os
import ssl
from socket import gaierror
from typing import Any

import pytest

from http_service_client import ConfigurationError, EgressRefusedError, HttpResponse, Timeout
from http_service_client.errors import (
    ConnectionLostError,
    DecodingError,
    Failure,
    HttpClientError,
    InvalidRequestError,
    SentState,
)
from http_service_client.http.http1.errors import CutShortError, NotHttpError
from http_service_client.http.http1.rules import RULES
from http_service_client.http.messages import HttpRequest
from http_service_client.transports.failures import (
    BodySourceError,
    Phase,
    ProxyRefusedError,
    UnsendableError,
    failure_of,
    refusal_of,
    source_failed,
)
from kit.rows import each_row

URL = "https://api.example.com/charges"
ORIGIN = "https://api.example.com"
PROXY = "http://user:secret@proxy.test:3128"
BOUNDS = {"total": 9.0, "write": 2.5, "read": 1.25}
RESET = os.strerror(errno.ECONNRESET)
REFUSED = os.strerror(errno.ECONNREFUSED)
NO_ADDRESS = os.strerror(errno.EADDRNOTAVAIL)


def tls(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, "it failed")
    error.reason = reason
    return error


def unverified() -> ssl.SSLError:
    error = ssl.SSLCertVerificationError(1, "x")
    error.verify_code, error.verify_message = 10, "it has expired"
    return error


def unix(code: int) -> OSError:
    return OSError(code, "of asyncio", "/run/app.sock")


def with_reason() -> OSError:
    error: Any = ConnectionResetError()
    error.reason = "TLSV13_ALERT_CERTIFICATE_REQUIRED"  # no TLS error: only those have reasons of OpenSSL
    return error  # type: ignore[no-any-return]


def nameless() -> OSError:
    error = ConnectionResetError()
    error.filename = "/run/app.sock"
    return error


PROXY_PHASE, CONNECT, SEND, RECEIVE = Phase.PROXY, Phase.CONNECT, Phase.SEND, Phase.RECEIVE

# Phase, error, keywords; then the class, the sent-state, the sentence.
ROWS: list[tuple[Phase, BaseException, dict[str, Any], str, str, str]] = [
    (SEND, UnsendableError("no"), {}, "InvalidRequestError", "never_sent", "the request cannot be sent: no"),
    (CONNECT, gaierror(-2, "Name unknown"), {}, "NameResolutionError", "never_sent",
     f"could not resolve the host name of {ORIGIN} (gaierror: Name unknown)"),
    (RECEIVE, gaierror(-2, "Name unknown"), {}, "NameResolutionError", "never_sent",
     f"could not resolve the host name of {ORIGIN} (gaierror: Name unknown)"),
    (PROXY_PHASE, gaierror(-2, "Name unknown"), {}, "ProxyError", "never_sent",
     f"could not connect to {ORIGIN} through the proxy (gaierror: Name unknown)"),
    (CONNECT, OSError(errno.ECONNREFUSED, "of asyncio"), {}, "ConnectError", "never_sent",
     f"could not connect to {ORIGIN} (ConnectionRefusedError: {REFUSED})"),
    (RECEIVE, ConnectionRefusedError(), {}, "ConnectError", "never_sent",
     f"could not connect to {ORIGIN} (ConnectionRefusedError)"),
    (CONNECT, unix(errno.ECONNREFUSED), {}, "ConnectError", "never_sent",
     f"could not connect to {ORIGIN} (ConnectionRefusedError: {REFUSED}: '/run/app.sock')"),
    (CONNECT, OSError(errno.EADDRNOTAVAIL, "x"), {}, "ConnectError", "never_sent",
     f"could not connect to {ORIGIN} (OSError: {NO_ADDRESS}); no local address and port are free for it:"
     " check source_address"),
    (CONNECT, TimeoutError(), {}, "ConnectTimeoutError", "never_sent",
     f"could not connect to {ORIGIN} within the connect timeout"),
    (PROXY_PHASE, TimeoutError(), {"timed_out": True}, "ConnectTimeoutError", "never_sent",
     f"could not connect to {ORIGIN} in time"),
    (PROXY_PHASE, ProxyRefusedError("407\x1b no"), {"proxy": PROXY}, "ProxyError", "never_sent",
     f"could not connect to {ORIGIN} through the proxy http://***@proxy.test:3128 (407 no)"),
    (PROXY_PHASE, ConnectionRefusedError(errno.ECONNREFUSED, "x"), {"proxy": PROXY}, "ProxyError", "never_sent",
     f"could not connect to {ORIGIN} through the proxy http://***@proxy.test:3128"
     f" (ConnectionRefusedError: {REFUSED})"),
    (RECEIVE, unverified(), {}, "TlsVerificationError", "never_sent",
     f"the certificate of {ORIGIN} could not be verified: it has expired"),
    (PROXY_PHASE, unverified(), {}, "TlsVerificationError", "never_sent",
     f"the certificate of {ORIGIN} could not be verified: it has expired"),
    (CONNECT, tls("NO_SHARED_CIPHER"), {}, "TlsError", "never_sent",
     f"the TLS handshake with {ORIGIN} failed: NO_SHARED_CIPHER"),
    *((CONNECT, tls(reason), {}, "TlsError", "never_sent",
       f"the TLS handshake with {ORIGIN} failed: {reason}; check that the server speaks TLS on this port")
      for reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")),
    *((CONNECT, tls(reason), {}, "TlsError", "never_sent",
       f"the TLS handshake with {ORIGIN} failed: {reason}; it is older or weaker than this system allows: upgrade it,"
       " or allow it by an ssl_context")
      for reason in ("TLSV1_ALERT_PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL", "DH_KEY_TOO_SMALL", "EE_KEY_TOO_WEAK",
                     "UNSAFE_LEGACY_RENEGOTIATION_DISABLED")),
    *((phase, tls(reason), {}, "TlsError", "never_sent",
       f"{ORIGIN} requires a client certificate that it trusts ({reason}); check ssl_cert_file, ssl_key_file and"
       " ssl_cert_hosts")
      for phase in (SEND, RECEIVE) for reason in ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "TLSV1_ALERT_UNKNOWN_CA",
                                                  "TLSV1_ALERT_ACCESS_DENIED")),
    *((phase, TimeoutError(), {"timed_out": True, **BOUNDS}, "AttemptTimeoutError", "maybe_processed",
       f"no complete response from {URL} within 9 s") for phase in (SEND, RECEIVE)),
    (SEND, TimeoutError(), BOUNDS, "WriteTimeoutError", "maybe_processed",
     f"timed out sending the request to {URL}: nothing was accepted for 2.5 s"),
    (SEND, TimeoutError(), {"timed_out": True}, "WriteTimeoutError", "maybe_processed",
     f"timed out sending the request to {URL}"),
    (RECEIVE, TimeoutError(), BOUNDS, "ReadTimeoutError", "maybe_processed",
     f"timed out reading from {URL}: nothing arrived for 1.25 s"),
    (RECEIVE, TimeoutError(), {"first_byte": 0.75, **BOUNDS}, "ReadTimeoutError", "maybe_processed",
     f"timed out reading from {URL}: no first byte within 0.75 s"),
    (RECEIVE, TimeoutError(), {}, "ReadTimeoutError", "maybe_processed", f"timed out reading from {URL}"),
    *((phase, OSError(errno.ECONNRESET, "of asyncio"), {}, "ConnectionLostError", "maybe_processed",
       f"the connection to {URL} was lost (ConnectionResetError: {RESET})") for phase in (SEND, RECEIVE)),
    (RECEIVE, with_reason(), {}, "ConnectionLostError", "maybe_processed",
     f"the connection to {URL} was lost (ConnectionResetError)"),
    (RECEIVE, nameless(), {}, "ConnectionLostError", "maybe_processed",
     f"the connection to {URL} was lost (ConnectionResetError)"),
    (RECEIVE, ssl.SSLZeroReturnError(6, "x"), {}, "ConnectionLostError", "maybe_processed",
     f"the connection to {URL} was lost (ConnectionResetError)"),
    (RECEIVE, ConnectionError("of a mock\nmore"), {}, "ConnectionLostError", "maybe_processed",
     f"the connection to {URL} was lost (ConnectionError: of a mock)"),
    (RECEIVE, tls("DECRYPTION_FAILED"), {}, "ConnectionLostError", "maybe_processed",
     f"the connection to {URL} was lost (SSLError: DECRYPTION_FAILED)"),
    (PROXY_PHASE, NotHttpError(RULES["not-http"], 0, "'S'"), {"proxy": "http://p.test:8080"}, "ProxyError", "never_sent",
     "could not connect to https://api.example.com through the proxy http://p.test:8080 (its reply is not valid HTTP: "
     "it does not begin with an HTTP status line (not-http; RFC 9112, 4) at byte 0: 'S')"),
    (RECEIVE, CutShortError(), {}, "ProtocolError", "maybe_processed", f"the response from {URL} was cut short"),
    (RECEIVE, CutShortError(offset=7), {}, "ProtocolError", "maybe_processed",
     f"the response from {URL} was cut short after 7 bytes"),
    (RECEIVE, NotHttpError(detail="Bad status"), {}, "ProtocolError", "maybe_processed",
     f"the response from {URL} is not valid HTTP: Bad status"),
]  # fmt: skip


@each_row(("phase", "error", "about", "kind", "state", "message"), ROWS)
def test_a_row_of_the_table(
    phase: Phase, error: BaseException, about: dict[str, Any], kind: str, state: str, message: str
) -> None:
    """The sentence is the same whichever library was underneath, and shows no password."""
    bounds = {name: value for name, value in about.items() if name not in ("timed_out", "proxy")}
    timed_out, proxy = about.get("timed_out", False), about.get("proxy")
    request = HttpRequest("POST", "https://api.example.com/charges")
    found = failure_of(phase, error, request, Timeout(**bounds), timed_out, proxy)
    assert (found.error_type.__name__, found.sent_state.value, found.message) == (kind, state, message)
    assert isinstance(found.error_type(found.message, **found.details), found.error_type)
    is_told = isinstance(error, (UnsendableError, ProxyRefusedError, NotHttpError))
    assert (found.cause is None) is is_told


def test_a_broken_rule_is_in_the_details() -> None:
    """Its name, its section, where and what."""
    error = NotHttpError(RULES["bare-cr"], 20, "'X:...'")
    found = failure_of(RECEIVE, error, HttpRequest("GET", URL), Timeout(), False)
    about = {"rule": "bare-cr", "section": "RFC 9112, 2.2", "offset": 20, "excerpt": "'X:...'"}
    assert {name: found.details[name] for name in about} == about


def test_an_error_of_this_package_keeps_its_class() -> None:
    """What it says of the request depends on when it can happen."""
    cases = [
        (ConfigurationError("a"), "never_sent"),
        (DecodingError("b"), "answered"),
        (InvalidRequestError("c"), "maybe_processed"),
    ]
    for error, state in cases:
        found = refusal_of(error)
        assert (found.error_type, found.message, found.sent_state.value) == (type(error), str(error), state)


def test_an_error_keeps_its_response() -> None:
    """An error of a response has it among its attributes."""
    error = DecodingError("b")
    error.response = HttpResponse(200)
    assert refusal_of(error).details["response"] is error.response


def test_a_refused_egress_keeps_all_that_it_says() -> None:
    """Nothing was sent then."""
    error = EgressRefusedError("a", host="h", address="10.0.0.1")
    found = refusal_of(error)
    assert found.sent_state.value == "never_sent"
    assert found.details == vars(error)


def test_an_error_of_the_caller_s_generator_is_raised() -> None:
    """Unless it says that the body is invalid. One of a call to another service is no failure of this one.

    But what it says of a request is about this one, which was sent in part.
    """
    error = KeyError("a")
    for raised in (error, ConnectionLostError("b"), EgressRefusedError("d", host="h", address=None)):
        with pytest.raises(type(raised)) as caught:
            source_failed(raised)
        assert caught.value is raised
        state = SentState.MAYBE_PROCESSED if isinstance(raised, HttpClientError) else None
        assert getattr(raised, "sent_state", None) is state
    assert isinstance(source_failed(InvalidRequestError("c")), Failure)
    about = BodySourceError(error)
    assert (about.error, about.args) == (error, (error,))

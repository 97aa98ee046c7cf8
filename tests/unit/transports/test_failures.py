"""From a phase and a builtin error to a failure: the sentences and the sent-states that both front ends share."""

from __future__ import annotations

import errno
import ssl
from typing import Any

from http_service_client import Timeout
from http_service_client.errors import Failure, SentState
from http_service_client.http.messages import HttpRequest
from http_service_client.transports.failures import Phase, failure_of
from kit.rows import each_row

URL = "https://api.example.com/charges"


def failure(phase: Phase, error: BaseException, timed_out: bool = False, **bounds: float) -> Failure:
    return failure_of(phase, error, HttpRequest("GET", URL), Timeout(**bounds), timed_out)


def tls_error(reason: str | None) -> ssl.SSLError:
    """As OpenSSL raises it, which sets a reason nearly always; as a mock does, without the attribute."""
    error = ssl.SSLError(1, "it failed")
    if reason is not None:
        error.reason = reason
    return error


@each_row("phase", Phase)
@each_row("reason", [None, ""])
def test_a_tls_error_without_a_reason_is_classified(phase: Phase, reason: str | None) -> None:
    """By its phase, as one with a reason: it says nothing of a certificate, and is called by its class."""
    found = failure(phase, tls_error(reason))
    if phase in (Phase.CONNECT, Phase.PROXY):
        expected: tuple[Any, ...] = ("TlsError", SentState.NEVER_SENT)
        message = "the TLS handshake with https://api.example.com failed: SSLError"
    else:
        expected = ("ConnectionLostError", SentState.MAYBE_PROCESSED)
        message = f"the connection to {URL} was lost (SSLError)"
    assert (found.error_type.__name__, found.sent_state) == expected
    assert found.message == message
    assert isinstance(found.cause, ssl.SSLError)


@each_row(
    ("reason", "error", "sent"),
    [
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "TlsError", "never_sent"),
        ("TLSV1_ALERT_UNKNOWN_CA", "TlsError", "never_sent"),
        ("TLSV1_ALERT_ACCESS_DENIED", "TlsError", "never_sent"),
        ("SSLV3_ALERT_BAD_RECORD_MAC", "ConnectionLostError", "maybe_processed"),
        ("CERTIFICATE_VERIFY_FAILED", "ConnectionLostError", "maybe_processed"),  # no alert, but our own
    ],
)
@each_row("phase", [Phase.SEND, Phase.RECEIVE])
def test_an_alert_about_our_certificate_comes_before_the_request_is_read(
    phase: Phase, reason: str, error: str, sent: str
) -> None:
    """No other alert does: what the server made of the request is not known then."""
    found = failure(phase, tls_error(reason))
    assert (found.error_type.__name__, found.sent_state.value) == (error, sent)
    assert reason in found.message


@each_row("phase", [Phase.SEND, Phase.RECEIVE])
@each_row(
    "error", [ConnectionResetError(errno.ECONNRESET, "reset"), OSError(errno.EPIPE, "pipe"), ssl.SSLEOFError(8, "EOF")]
)  # fmt: skip
def test_a_lost_connection_is_not_a_timeout(phase: Phase, error: OSError) -> None:
    """Also when the time for the exchange runs out in the moment that it is noticed."""
    found = failure(phase, error, timed_out=True, total=1.0)
    assert (found.error_type.__name__, found.sent_state.value) == ("ConnectionLostError", "maybe_processed")


@each_row(
    ("code", "remedy"),
    [
        *((code, "set ssl_ca_file") for code in (2, 18, 19, 20, 21)),
        *((code, "it breaks a rule of RFC 5280") for code in (80, 93)),
        *((code, None) for code in (1, 3, 10, 17, 22, 79, 94)),
    ],
)
def test_a_certificate_that_is_refused_has_a_remedy(code: int, remedy: str | None) -> None:
    """For an issuer that is unknown, in OpenSSL's five ways to say so, and for what only newer Pythons check."""
    error = ssl.SSLCertVerificationError(1, "x")
    error.verify_code, error.verify_message = code, "the reason"
    message = failure_of(
        Phase.CONNECT, error, HttpRequest("GET", "https://a.test/"), Timeout(), False
    ).message
    assert "could not be verified: the reason" in message
    assert [part for part in ("set ssl_ca_file", "it breaks a rule of RFC 5280") if part in message] == (
        [] if remedy is None else [remedy]
    )

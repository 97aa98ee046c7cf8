"""The TLS handshake and the certificate: does this client accept it, and for how long."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from socket import socket
from typing import Any

from ...transports.network.tls import TlsSettings
from .certificates import Certificate, read_certificate
from .findings import Finding, fail, ok, warn
from .network import milliseconds

__all__ = ["examine_tls"]

_SOON = 14  # days; certificates that renew themselves do it a month before they expire
_OUTDATED = {"SSLv3", "TLSv1", "TLSv1.1"}  # RFC 8996
_DER = 2  # the encoding, as OpenSSL numbers it

# By OpenSSL's number (`openssl verify`, X509_V_ERR_*).
_NOT_YET_VALID, _EXPIRED, _SELF_SIGNED, _UNKNOWN_ROOT, _NO_ISSUER, _UNVERIFIED_LEAF = 9, 10, 18, 19, 20, 21
_WRONG_HOST, _WRONG_ADDRESS = 62, 64


def examine_tls(
    open_socket: Callable[[], socket], host: str, port: int, tls: TlsSettings, is_verified: bool, now: float
) -> Iterator[Finding | ssl.SSLSocket]:
    """Findings, and the connection if the handshake succeeded: HTTP/1.1 can be spoken on it.

    open_socket: connects, to the host or through its proxy.   now: seconds since the epoch.
    """
    context = tls.context_for((host, port))
    began_at = time.monotonic()
    try:
        sock = _handshake(context, open_socket(), host)
    except ssl.SSLCertVerificationError as error:
        yield _refused(error, host, _certificates_of(open_socket, host), now)
        return
    except OSError as error:  # an SSLError is one
        message, advice = _broken(error)
        yield fail("tls", f"the handshake failed: {message}", advice)
        return
    seconds = time.monotonic() - began_at
    version, cipher = sock.version() or "?", (sock.cipher() or ("?",))[0]
    details: dict[str, Any] = {"version": version, "cipher": cipher, "seconds": seconds}
    message = f"{version}, {cipher}, in {milliseconds(seconds)} with the connection"
    if version in _OUTDATED:
        yield warn(
            "tls",
            message,
            f"{version} is deprecated (RFC 8996); enable TLS 1.2 and 1.3 on the server",
            **details,
        )
    else:
        yield ok("tls", message, **details)
    chain = _chain(sock)
    yield _accepted(chain, now) if is_verified else warn(
        "certificate", f"not verified, since --insecure or ssl_verify=False says so: {_subject(chain)}",
        "anyone on the way can read and change what is sent; trust the authority of the service by --cacert instead",
        **_details(chain, now),
    )  # fmt: skip
    yield _protocols(tls, open_socket, host, port)
    yield sock


def _handshake(context: ssl.SSLContext, sock: socket, host: str) -> ssl.SSLSocket:
    try:
        return context.wrap_socket(sock, server_hostname=host)
    except BaseException:
        sock.close()
        raise


def _chain(sock: ssl.SSLSocket) -> list[bytes]:
    """The certificates as the server sent them, its own first."""
    public: Any = getattr(sock, "get_unverified_chain", None)  # from Python 3.13 on
    if public is not None:
        return list(public())
    try:  # private, and done without where it is not there
        inner: Any = sock._sslobj  # type: ignore[attr-defined]
        return [each.public_bytes(_DER) for each in inner.get_unverified_chain()]
    except (AttributeError, TypeError, ValueError):
        own = sock.getpeercert(binary_form=True)
        return [own] if own else []


def _certificates_of(open_socket: Callable[[], socket], host: str) -> list[bytes]:
    """The chain of a server that could not be verified. Nothing is sent to it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with _handshake(context, open_socket(), host) as sock:
            return _chain(sock)
    except OSError:
        return []


def _subject(chain: list[bytes]) -> str:
    own = read_certificate(chain[0]) if chain else None
    if own is None:
        return "a certificate that cannot be read"
    return f"{own.subject}, issued by {'itself' if own.is_self_signed else own.issuer}"


def _days(certificate: Certificate, now: float) -> float:
    return (certificate.valid_until - datetime.fromtimestamp(now, timezone.utc)).total_seconds() / 86400


def _details(chain: list[bytes], now: float) -> dict[str, Any]:
    found = [each for each in map(read_certificate, chain) if each is not None]
    return {
        "chain": [
            {
                "subject": each.subject,
                "issuer": each.issuer,
                "valid_from": each.valid_from.isoformat(),
                "valid_until": each.valid_until.isoformat(),
                "days_left": round(_days(each, now), 2),
                "hosts": list(each.hosts),
            }
            for each in found
        ]
    }


def _accepted(chain: list[bytes], now: float) -> Finding:
    found = [each for each in map(read_certificate, chain) if each is not None]
    details = _details(chain, now)
    if not found:
        return ok("certificate", "verified for this host", **details)
    first = min(found, key=lambda each: each.valid_until)
    days = _days(first, now)
    of = "" if first is found[0] else f" (that of {first.subject}, further up the chain)"
    others = ", ".join(each.subject for each in found[1:])
    message = (
        f"verified for this host: {_subject(chain)}; expires in {days:.0f} days, on {first.valid_until:%Y-%m-%d}{of}; "
        f"the server sends {f'it with that of {others}' if others else 'it alone'}"
    )
    if days < _SOON:
        return warn("certificate", message, "renew it now: every call fails once it has expired", **details)
    return ok("certificate", message, **details)


def _refused(error: ssl.SSLCertVerificationError, host: str, chain: list[bytes], now: float) -> Finding:
    own = read_certificate(chain[0]) if chain else None
    code, subject = error.verify_code, _subject(chain)
    details: dict[str, Any] = {"error": error.verify_message, "code": code, **_details(chain, now)}
    if code == _EXPIRED and own is not None:
        found = [each for each in map(read_certificate, chain) if each is not None]
        first = min(found, key=lambda each: each.valid_until)
        message = f"{subject}: expired {-_days(first, now):.0f} days ago, on {first.valid_until:%Y-%m-%d}"
        advice = "renew it; if it should still be valid, check the clock of this machine"
    elif code == _NOT_YET_VALID and own is not None:
        message = f"{subject}: not valid before {own.valid_from:%Y-%m-%d %H:%M} UTC"
        advice = "check the clock of this machine"
    elif code in (_WRONG_HOST, _WRONG_ADDRESS):
        names = ", ".join(own.hosts) if own is not None and own.hosts else subject
        message = f"it is not for {host}, but for {names}"
        advice = "call the service by one of these names, or get a certificate for this one"
    elif code == _SELF_SIGNED:
        message = f"{subject}: nobody else vouches for it"
        advice = "trust it by --cacert FILE (ssl_ca_file), or get a certificate from an authority"
    elif code in (_UNKNOWN_ROOT, _NO_ISSUER, _UNVERIFIED_LEAF):
        message = f"{subject}: no authority that this machine trusts vouches for it"
        advice = (
            "the server sends its own certificate only; it should send those of the intermediate authorities, too. If its "
            "authority is a private one, trust it by --cacert FILE (ssl_ca_file)"
            if len(chain) == 1
            else "trust the authority by --cacert FILE (ssl_ca_file): a private one of the service, or that of a proxy "
            "which reads the TLS of your company"
        )
    else:
        message, advice = (
            f"{subject}: {error.verify_message}",
            "look the message up in the manual of openssl-verify",
        )
    return fail("certificate", f"cannot be verified. {message[0].upper()}{message[1:]}", advice, **details)


def _broken(error: OSError) -> tuple[str, str]:
    reason = getattr(error, "reason", None) or str(error) or type(error).__name__
    if reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"):
        return "the server does not speak TLS at this port", "try http://, or the port for https"
    if reason in ("UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "NO_PROTOCOLS_AVAILABLE"):
        return "client and server share no version of TLS", "enable TLS 1.2 and 1.3 on the server"
    if isinstance(error, TimeoutError):
        return (
            "the server did not go on in time",
            "is it overloaded, or is something in between dropping packets?",
        )
    if isinstance(error, (ConnectionError, ssl.SSLEOFError)):
        return (
            "the server closed the connection",
            "does it expect another host name, a client certificate (--cert), or no TLS at this port?",
        )
    if isinstance(error, ssl.SSLError):
        return str(reason), "compare the versions and ciphers of client and server"
    return str(reason), "see the findings above"


def _protocols(tls: TlsSettings, open_socket: Callable[[], socket], host: str, port: int) -> Finding:
    """What the server chooses when it may: one more handshake, since this client offers HTTP/2 only if it is set to."""
    try:
        with _handshake(
            tls.offering("h2", "http/1.1").context_for((host, port)), open_socket(), host
        ) as sock:
            chosen = sock.selected_alpn_protocol()
    except (
        OSError,
        ValueError,
    ) as error:  # a ConfigurationError, of a context of the user's own, is a ValueError
        return warn(
            "http version", f"the server refuses to be offered HTTP/2: {error}", "leave http2 off", alpn=None
        )
    if chosen == "h2":
        advice = "with many calls at once, set http2=True (extra http2): they share one connection"
        return ok("http version", "the server speaks HTTP/2 and HTTP/1.1", advice, alpn=chosen)
    return ok("http version", "HTTP/1.1; the server does not offer HTTP/2", alpn=chosen)

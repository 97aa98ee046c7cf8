"""The fault matrix: the faults of a server, and how a call must end with each of them.

An attempt that meets the fault ends with `error` and `sent`. The last three columns are for a GET, a POST, and a POST
with an idempotency key, each with at most three attempts, in the form "attempts/requests that the server received".
If the call ends in another way than its attempts, its result stands before the numbers. The server receives a POST
without a key once, unless it declined it.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from typing import Any, NamedTuple

from faults import setups
from faults.setups import Setup, does, used_before
from http_service_client import Timeout
from http_service_client.testing.actions import drip, hang_up, raw, reset, respond, stall

BIG = b"x" * 20_000_000
# Longer than the deadline of a case, so that the deadline ends its first attempt.
SOON = Timeout(total=0.4)
CONNECT_SOON = Timeout(total=3.0, connect=0.35)
READ_SOON = Timeout(total=3.0, read=0.35)


class Fault(NamedTuple):
    """One row.

    seconds: for which an attempt waits.   options: of the call.   upload: the body of a POST.
    is_declined: the server declines the request, so it may be sent again.
    has_tls_in_tls: the connection is made with a TLS proxy, and with the origin by TLS within that.
    outlasts: the server goes on when the call has ended, so more cases are run at once.
    """

    name: str
    setup: Setup
    error: str
    sent: str
    get: str
    post: str
    keyed: str
    seconds: float = 0.0
    options: Mapping[str, Any] = {}
    upload: bytes = b"amount=1"
    is_declined: bool = False
    has_tls_in_tls: bool = False
    outlasts: bool = False

    def __str__(self) -> str:
        return self.name


def waits(timeout: Timeout, seconds: float | None = None) -> dict[str, Any]:
    """The options of a row whose attempts end by this timeout. seconds: None for its tightest bound."""
    bounds = [timeout.total, timeout.connect, timeout.read, timeout.write]
    least = min(bound for bound in bounds if bound is not None)
    return {"seconds": least if seconds is None else seconds, "options": {"timeout": timeout}}


DRIPPED_HEAD = [bytes([byte]) for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"y" * 500]
INTERIM = [b"HTTP/1.1 103 Early Hints\r\n\r\n"] * 500
TLS_12, TLS_13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3

# fmt: off
FAULTS = [
    # Connecting.
    Fault("connection refused", setups.refused, "ConnectError", "never_sent", "3/0", "3/0", "3/0"),
    Fault("connection swallowed", setups.swallowed, "ConnectTimeoutError", "never_sent", "3/0", "3/0", "3/0", **waits(CONNECT_SOON)),
    Fault("first of two addresses refuses", setups.addresses("refused", "alive"), "204", "answered", "1/1", "1/1", "1/1"),
    Fault("first of two addresses swallows", setups.addresses("swallowed", "alive"), "204", "answered", "1/1", "1/1", "1/1", **waits(Timeout(6.0, connect=2.0), 1.0)),
    Fault("all addresses refuse", setups.addresses("refused", "refused"), "ConnectError", "never_sent", "3/0", "3/0", "3/0"),
    Fault("all addresses swallow", setups.addresses("swallowed", "swallowed", "swallowed"), "ConnectTimeoutError", "never_sent", "3/0", "3/0", "3/0", **waits(CONNECT_SOON)),
    Fault("a swallowing address, then a refusing one", setups.addresses("swallowed", "refused"), "ConnectTimeoutError", "never_sent", "3/0", "3/0", "3/0", **waits(CONNECT_SOON)),
    Fault("name without an address", setups.addresses(), "NameResolutionError", "never_sent", "3/0", "3/0", "3/0"),
    Fault("name unknown", setups.unknown_name(socket.EAI_NONAME), "NameResolutionError", "never_sent", "3/0", "3/0", "3/0"),
    Fault("name server fails", setups.unknown_name(socket.EAI_AGAIN), "NameResolutionError", "never_sent", "3/0", "3/0", "3/0"),
    Fault("name server hangs", setups.slow_name, "ConnectTimeoutError", "never_sent", "3/0", "3/0", "3/0", **waits(CONNECT_SOON)),
    # TLS.
    Fault("certificate of an unknown authority", setups.certified(setups.unknown_authority), "TlsVerificationError", "never_sent", "1/0", "1/0", "1/0"),
    Fault("certificate expired", setups.certified(setups.expired), "TlsVerificationError", "never_sent", "1/0", "1/0", "1/0"),
    Fault("certificate for another name", setups.certified(setups.wrong_name), "TlsVerificationError", "never_sent", "1/0", "1/0", "1/0"),
    Fault("plain HTTP on the TLS port", setups.on_tls_port(setups.sends_plain_http), "TlsError", "never_sent", "3/0", "3/0", "3/0"),
    Fault("TLS on the plain port", setups.raw_server(setups.sends_tls_alert), "ProtocolError", "maybe_processed", "3/3", "1/1", "3/3"),
    Fault("handshake stalls", setups.on_tls_port(setups.stalls), "ConnectTimeoutError", "never_sent", "3/0", "3/0", "3/0", **waits(CONNECT_SOON)),
    Fault("handshake dripped", setups.drips_handshake, "ConnectTimeoutError", "never_sent", "3/0", "3/0", "3/0", **waits(CONNECT_SOON)),
    Fault("handshake reset", setups.on_tls_port(setups.resets), "ConnectError", "never_sent", "3/0", "3/0", "3/0"),
    Fault("handshake closed", setups.on_tls_port(setups.hangs_up), "ConnectError", "never_sent", "3/0", "3/0", "3/0"),
    Fault("client certificate refused (TLS 1.3)", setups.refuses_our_certificate(TLS_13), "TlsError", "never_sent", "3/0", "3/0", "3/0"),
    Fault("client certificate refused (TLS 1.2)", setups.refuses_our_certificate(TLS_12), "TlsError", "never_sent", "3/0", "3/0", "3/0"),
    Fault("reset in a body without a length over TLS", setups.over_tls(reset(b"HTTP/1.1 200 OK\r\n\r\nhalf")), "ConnectionLostError", "maybe_processed", "3/3", "1/1", "3/3"),
    Fault("reset over TLS", setups.over_tls(reset()), "ConnectionLostError", "maybe_processed", "3/3", "1/1", "3/3"),
    Fault("truncated body over TLS", setups.over_tls(hang_up(setups.HEAD + b"half")), "ProtocolError", "maybe_processed", "3/3", "1/1", "3/3"),
    # Responses.
    Fault("reset before the head", does(reset()), "ConnectionLostError", "maybe_processed", "3/3", "1/1", "3/3"),
    Fault("reset in the head", does(reset(b"HTTP/1.1 200 OK\r\nX-")), "ConnectionLostError", "maybe_processed", "3/3", "1/1", "3/3"),
    Fault("reset in the body", does(reset(setups.HEAD + b"half")), "ConnectionLostError", "maybe_processed", "3/3", "1/1", "3/3"),
    Fault("reset in a coded body without a length", does(reset(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + setups.PACKED[:-9])), "ConnectionLostError", "maybe_processed", "3/3", "1/1", "3/3"),
    Fault("closed before the head", does(hang_up()), "ConnectionLostError", "maybe_processed", "3/3", "1/1", "3/3"),
    Fault("closed in the head", does(hang_up(b"HTTP/1.1 200 OK\r\nX-")), "ProtocolError", "maybe_processed", "3/3", "1/1", "3/3"),
    Fault("closed in the body", does(hang_up(setups.HEAD + b"half")), "ProtocolError", "maybe_processed", "3/3", "1/1", "3/3"),
    Fault("closed in a chunk", does(hang_up(setups.CHUNKED + b"5\r\nab")), "ProtocolError", "maybe_processed", "3/3", "1/1", "3/3"),
    Fault("closed before the last chunk", does(hang_up(setups.CHUNKED + b"2\r\nab\r\n")), "ProtocolError", "maybe_processed", "3/3", "1/1", "3/3"),
    Fault("head dripped", does(raw(*DRIPPED_HEAD, every=0.01)), "AttemptTimeoutError", "maybe_processed", "3/3", "1/1", "3/3", **waits(SOON)),
    Fault("interim responses without end", does(raw(*INTERIM, every=0.01)), "AttemptTimeoutError", "maybe_processed", "3/3", "1/1", "3/3", **waits(SOON)),
    Fault("body dripped", does(drip(b"x" * 500, 0.01)), "AttemptTimeoutError", "maybe_processed", "3/3", "1/1", "3/3", **waits(SOON)),
    Fault("no response", does(stall()), "AttemptTimeoutError", "maybe_processed", "3/3", "1/1", "3/3", **waits(SOON)),
    Fault("no response, read timeout", does(stall()), "ReadTimeoutError", "maybe_processed", "3/3", "1/1", "3/3", **waits(READ_SOON)),
    Fault("no body after the head", does(raw(setups.HEAD, close=False)), "AttemptTimeoutError", "maybe_processed", "3/3", "1/1", "3/3", **waits(SOON)),
    Fault("no body after the head, read timeout", does(raw(setups.HEAD, close=False)), "ReadTimeoutError", "maybe_processed", "3/3", "1/1", "3/3", **waits(READ_SOON)),
    Fault("bad chunk", does(raw(setups.CHUNKED, b"5\r\n12345\r\nzz\r\n", every=0.02)), "ProtocolError", "maybe_processed", "3/3", "1/1", "3/3"),
    Fault("response that is not HTTP", does(raw(b"SSH-2.0-OpenSSH_9.6\r\n")), "ProtocolError", "maybe_processed", "3/3", "1/1", "3/3"),
    Fault("header flood", does(raw(b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 2000 + b"\r\n")), "ProtocolError", "maybe_processed", "3/3", "1/1", "3/3"),
    Fault("truncated gzip", does(raw(setups.CUT_GZIP, close=False)), "DecodingError", "answered", "1/1", "1/1", "1/1"),
    Fault("response too large", does(respond(body=b"x" * 2_000_000), max_response_size=1000), "ResponseTooLargeError", "answered", "1/1", "1/1", "1/1"),
    Fault("408", does(respond(408)), "408", "answered", "3/3", "1/1", "3/3"),
    Fault("503", does(respond(503)), "503", "answered", "3/3", "1/1", "3/3"),
    Fault("503 with Retry-After", does(respond(503, headers={"Retry-After": "0"})), "503", "refused", "3/3", "3/3", "3/3", is_declined=True),
    # Uploads.
    Fault("upload stalls", setups.raw_server(setups.stalls_upload), "AttemptTimeoutError", "maybe_processed", "3/3", "1/1", "3/3", **waits(SOON), upload=BIG),
    Fault("upload reset", setups.raw_server(setups.resets_upload), "ConnectionLostError", "maybe_processed", "3/3", "1/1", "3/3", seconds=0.05, upload=BIG),
    Fault("early response to an upload, then closed", setups.raw_server(setups.responds_early("closes")), "413", "answered", "1/1", "1/1", "1/1", upload=BIG),
    Fault("early response to an upload, then not read", setups.raw_server(setups.responds_early("stalls")), "413", "answered", "1/1", "1/1", "1/1", upload=BIG, outlasts=True),
    # Connections that were used before.
    Fault("idle connection closed", used_before(raw(setups.NO_CONTENT), respond(204), closes=True), "204", "answered", "1/1", "1/1", "1/1"),
    Fault("idle connection reset", used_before(reset(setups.NO_CONTENT), respond(204), closes=True), "204", "answered", "1/1", "1/1", "1/1"),
    Fault("idle connection poisoned", used_before(raw(setups.NO_CONTENT, setups.POISON, close=False), respond(204)), "204", "answered", "1/1", "1/1", "1/1"),
    Fault("408 on an idle connection", used_before(raw(setups.NO_CONTENT, setups.TIMED_OUT), respond(204), closes=True), "204", "answered", "1/1", "1/1", "1/1"),
    Fault("closed at the second request", used_before(respond(204), hang_up(), respond(204)), "ConnectionLostError", "maybe_processed", "204 2/2", "1/1", "204 2/2"),
    Fault("reset at the second request", used_before(respond(204), reset(), respond(204)), "ConnectionLostError", "maybe_processed", "204 2/2", "1/1", "204 2/2"),
    Fault("408 at the second request", used_before(respond(204), raw(setups.TIMED_OUT), respond(204)), "408", "answered", "204 2/2", "1/1", "204 2/2"),
    # Slots.
    Fault("the host's only slot is taken", setups.slot_taken("max_connections_per_host"), "PoolTimeoutError", "never_sent", "3/0", "3/0", "3/0", seconds=0.15),
    Fault("the client's only slot is taken", setups.slot_taken("max_connections"), "PoolTimeoutError", "never_sent", "3/0", "3/0", "3/0", seconds=0.15),
    # Proxies.
    Fault("proxy refuses the connection", setups.proxy_refused, "ProxyError", "never_sent", "3/0", "3/0", "3/0"),
    Fault("proxy swallows the connection", setups.proxy_swallowed, "ConnectTimeoutError", "never_sent", "3/0", "3/0", "3/0", **waits(CONNECT_SOON)),
    Fault("proxy responds 407", setups.proxy_does(setups.sends(b"HTTP/1.1 407 Who Are You\r\nContent-Length: 0\r\n\r\n")), "ProxyError", "never_sent", "3/0", "3/0", "3/0"),
    Fault("proxy responds 502", setups.proxy_does(setups.sends(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")), "ProxyError", "never_sent", "3/0", "3/0", "3/0"),
    Fault("proxy responds with garbage", setups.proxy_does(setups.sends(b"SSH-2.0-OpenSSH_9.6\r\n", keeps_open=True)), "ProxyError", "never_sent", "3/0", "3/0", "3/0"),
    Fault("proxy closes", setups.proxy_does(setups.hangs_up), "ProxyError", "never_sent", "3/0", "3/0", "3/0"),
    Fault("proxy closes in its response", setups.proxy_does(setups.sends(b"HTTP/1.1 200 OK\r\nX-")), "ProxyError", "never_sent", "3/0", "3/0", "3/0"),
    Fault("proxy resets", setups.proxy_does(setups.resets), "ProxyError", "never_sent", "3/0", "3/0", "3/0"),
    Fault("proxy stalls", setups.proxy_does(setups.stalls), "ConnectTimeoutError", "never_sent", "3/0", "3/0", "3/0", **waits(CONNECT_SOON)),
    Fault("proxy drips its response", setups.proxy_does(setups.drips_a_response), "ConnectTimeoutError", "never_sent", "3/0", "3/0", "3/0", **waits(CONNECT_SOON)),
    Fault("tunnel closed in the handshake", setups.proxy_does(setups.breaks_the_tunnel), "ProxyError", "never_sent", "3/0", "3/0", "3/0"),
    Fault("tunnel stalls in the handshake", setups.proxy_does(setups.sends(setups.TUNNEL, keeps_open=True)), "ConnectTimeoutError", "never_sent", "3/0", "3/0", "3/0", **waits(CONNECT_SOON)),
    Fault("tunnel with a dripped handshake", setups.drips_handshake_in_a_tunnel, "ConnectTimeoutError", "never_sent", "3/0", "3/0", "3/0", **waits(CONNECT_SOON)),
    Fault("TLS proxy with a dripped handshake inside", setups.drips_handshake_in_a_secure_tunnel, "ConnectTimeoutError", "never_sent", "3/0", "3/0", "3/0", **waits(CONNECT_SOON), has_tls_in_tls=True),
    Fault("TLS proxy of an unknown authority", setups.proxy_is(setups.unknown_authority), "TlsVerificationError", "never_sent", "1/0", "1/0", "1/0"),
    Fault("TLS proxy stalls in the handshake", setups.proxy_does(setups.stalls, "http", "https"), "ConnectTimeoutError", "never_sent", "3/0", "3/0", "3/0", **waits(CONNECT_SOON)),
    Fault("forwarding proxy closes", setups.proxy_does(setups.forwards_nothing, "http"), "ConnectionLostError", "maybe_processed", "3/3", "1/1", "3/3"),
    Fault("SOCKS proxy refuses", setups.proxy_does(setups.sends(b"\x05\xff"), kind="socks5h"), "ProxyError", "never_sent", "3/0", "3/0", "3/0"),
    Fault("SOCKS proxy closes", setups.proxy_does(setups.hangs_up, kind="socks5h"), "ProxyError", "never_sent", "3/0", "3/0", "3/0"),
    Fault("SOCKS proxy stalls", setups.proxy_does(setups.stalls, kind="socks5h"), "ConnectTimeoutError", "never_sent", "3/0", "3/0", "3/0", **waits(CONNECT_SOON)),
]
# fmt: on

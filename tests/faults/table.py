"""The fault matrix: what the server does, and what a call must end with, row by row.

An attempt that meets the fault ends with `error` and `sent`. The last three columns say how a call ends, as
"attempts/requests that the server took": first of a GET, then of a POST, then of a POST with an
idempotency key, each with three attempts at most. Where a call ends otherwise than its attempts do, that stands
before the numbers. Whatever was sent and not answered, a POST without key is taken by the server once.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from typing import Any, NamedTuple

from faults import sites
from faults.sites import Site, plays, used_before
from http_service_client import Timeout
from http_service_client.testing.actions import drip, hang_up, raw, reset, respond, stall

BIG = b"x" * 20_000_000
SOON = Timeout(total=0.5)
CONNECT_SOON = Timeout(total=3.0, connect=0.5)
READ_SOON = Timeout(total=3.0, read=0.5)
WRITE_SOON = Timeout(total=3.0, write=0.5)


class Fault(NamedTuple):
    """One row.

    seconds: that an attempt takes at least for what it waits for.
    options: of the call.   upload: the body of a POST.   is_declined: the server says that it does nothing.
    """

    name: str
    site: Site
    error: str
    sent: str
    get: str
    post: str
    keyed: str
    seconds: float = 0.0
    options: Mapping[str, Any] = {}
    upload: bytes = b"amount=1"
    is_declined: bool = False

    def __str__(self) -> str:
        return self.name


def waits(timeout: Timeout, seconds: float = 0.5) -> dict[str, Any]:
    return {"seconds": seconds, "options": {"timeout": timeout}}


DRIPPED_HEAD = [bytes([byte]) for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"y" * 500]
INTERIM = [b"HTTP/1.1 103 Early Hints\r\n\r\n"] * 500
TLS_12, TLS_13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3

# fmt: off
FAULTS = [
    # Connecting.
    Fault("connection refused", sites.refused, "ConnectError", "never_sent", "3/0", "3/0", "3/0"),
    Fault("connection swallowed", sites.swallowed, "ConnectTimeoutError", "never_sent", "3/0", "3/0", "3/0", **waits(CONNECT_SOON)),
    Fault("first of two addresses refuses", sites.addresses("refused", "alive"), "204", "answered", "1/1", "1/1", "1/1"),
    Fault("first of two addresses swallows", sites.addresses("swallowed", "alive"), "204", "answered", "1/1", "1/1", "1/1", **waits(Timeout(6.0, connect=2.0), 1.0)),
    Fault("all addresses refuse", sites.addresses("refused", "refused"), "ConnectError", "never_sent", "3/0", "3/0", "3/0"),
    Fault("all addresses swallow", sites.addresses("swallowed", "swallowed", "swallowed"), "ConnectTimeoutError", "never_sent", "3/0", "3/0", "3/0", **waits(CONNECT_SOON)),
    Fault("a swallowing address, then a refusing one", sites.addresses("swallowed", "refused"), "ConnectTimeoutError", "never_sent", "3/0", "3/0", "3/0", **waits(CONNECT_SOON)),
    Fault("name without an address", sites.addresses(), "NameResolutionError", "never_sent", "3/0", "3/0", "3/0"),
    Fault("name unknown", sites.unknown_name(socket.EAI_NONAME), "NameResolutionError", "never_sent", "3/0", "3/0", "3/0"),
    Fault("name server fails", sites.unknown_name(socket.EAI_AGAIN), "NameResolutionError", "never_sent", "3/0", "3/0", "3/0"),
    Fault("name server hangs", sites.slow_name, "ConnectTimeoutError", "never_sent", "3/0", "3/0", "3/0", **waits(CONNECT_SOON)),
    # TLS.
    Fault("certificate of an unknown authority", sites.certified(sites.unknown_authority), "TlsVerificationError", "never_sent", "1/0", "1/0", "1/0"),
    Fault("certificate expired", sites.certified(sites.expired), "TlsVerificationError", "never_sent", "1/0", "1/0", "1/0"),
    Fault("certificate for another name", sites.certified(sites.wrong_name), "TlsVerificationError", "never_sent", "1/0", "1/0", "1/0"),
    Fault("plain HTTP on the TLS port", sites.on_tls_port(sites.speaks_http), "TlsError", "never_sent", "3/0", "3/0", "3/0"),
    Fault("TLS on the plain port", sites.serves(sites.alerts), "ProtocolError", "maybe_processed", "3/3", "1/1", "3/3"),
    Fault("handshake stalls", sites.on_tls_port(sites.stalls), "ConnectTimeoutError", "never_sent", "3/0", "3/0", "3/0", **waits(CONNECT_SOON)),
    Fault("handshake dripped", sites.drips_handshake, "ConnectTimeoutError", "never_sent", "3/0", "3/0", "3/0", **waits(CONNECT_SOON)),
    Fault("handshake reset", sites.on_tls_port(sites.resets), "ConnectError", "never_sent", "3/0", "3/0", "3/0"),
    Fault("handshake closed", sites.on_tls_port(sites.hangs_up), "ConnectError", "never_sent", "3/0", "3/0", "3/0"),
    Fault("client certificate refused (TLS 1.3)", sites.refuses_our_certificate(TLS_13), "TlsError", "never_sent", "3/0", "3/0", "3/0"),
    Fault("client certificate refused (TLS 1.2)", sites.refuses_our_certificate(TLS_12), "TlsError", "never_sent", "3/0", "3/0", "3/0"),
    Fault("reset in a body without a length over TLS", sites.over_tls(reset(b"HTTP/1.1 200 OK\r\n\r\nhalf")), "ConnectionLostError", "maybe_processed", "3/3", "1/1", "3/3"),
    Fault("reset over TLS", sites.over_tls(reset()), "ConnectionLostError", "maybe_processed", "3/3", "1/1", "3/3"),
    Fault("truncated body over TLS", sites.over_tls(hang_up(sites.HEAD + b"half")), "ProtocolError", "maybe_processed", "3/3", "1/1", "3/3"),
    # Answers.
    Fault("reset before the head", plays(reset()), "ConnectionLostError", "maybe_processed", "3/3", "1/1", "3/3"),
    Fault("reset in the head", plays(reset(b"HTTP/1.1 200 OK\r\nX-")), "ConnectionLostError", "maybe_processed", "3/3", "1/1", "3/3"),
    Fault("reset in the body", plays(reset(sites.HEAD + b"half")), "ConnectionLostError", "maybe_processed", "3/3", "1/1", "3/3"),
    Fault("reset in a coded body without a length", plays(reset(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + sites.PACKED[:-9])), "ConnectionLostError", "maybe_processed", "3/3", "1/1", "3/3"),
    Fault("closed before the head", plays(hang_up()), "ConnectionLostError", "maybe_processed", "3/3", "1/1", "3/3"),
    Fault("closed in the head", plays(hang_up(b"HTTP/1.1 200 OK\r\nX-")), "ProtocolError", "maybe_processed", "3/3", "1/1", "3/3"),
    Fault("closed in the body", plays(hang_up(sites.HEAD + b"half")), "ProtocolError", "maybe_processed", "3/3", "1/1", "3/3"),
    Fault("closed in a chunk", plays(hang_up(sites.CHUNKED + b"5\r\nab")), "ProtocolError", "maybe_processed", "3/3", "1/1", "3/3"),
    Fault("closed before the last chunk", plays(hang_up(sites.CHUNKED + b"2\r\nab\r\n")), "ProtocolError", "maybe_processed", "3/3", "1/1", "3/3"),
    Fault("head dripped", plays(raw(*DRIPPED_HEAD, every=0.01)), "AttemptTimeoutError", "maybe_processed", "3/3", "1/1", "3/3", **waits(SOON)),
    Fault("interim responses without end", plays(raw(*INTERIM, every=0.01)), "AttemptTimeoutError", "maybe_processed", "3/3", "1/1", "3/3", **waits(SOON)),
    Fault("body dripped", plays(drip(b"x" * 500, 0.01)), "AttemptTimeoutError", "maybe_processed", "3/3", "1/1", "3/3", **waits(SOON)),
    Fault("no answer", plays(stall()), "AttemptTimeoutError", "maybe_processed", "3/3", "1/1", "3/3", **waits(SOON)),
    Fault("no answer, read timeout", plays(stall()), "ReadTimeoutError", "maybe_processed", "3/3", "1/1", "3/3", **waits(READ_SOON)),
    Fault("silent after the head", plays(raw(sites.HEAD, close=False)), "AttemptTimeoutError", "maybe_processed", "3/3", "1/1", "3/3", **waits(SOON)),
    Fault("silent after the head, read timeout", plays(raw(sites.HEAD, close=False)), "ReadTimeoutError", "maybe_processed", "3/3", "1/1", "3/3", **waits(READ_SOON)),
    Fault("bad chunk", plays(raw(sites.CHUNKED, b"5\r\n12345\r\nzz\r\n", every=0.02)), "ProtocolError", "maybe_processed", "3/3", "1/1", "3/3"),
    Fault("answer that is not HTTP", plays(raw(b"SSH-2.0-OpenSSH_9.6\r\n")), "ProtocolError", "maybe_processed", "3/3", "1/1", "3/3"),
    Fault("header flood", plays(raw(b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 2000 + b"\r\n")), "ProtocolError", "maybe_processed", "3/3", "1/1", "3/3"),
    Fault("truncated gzip", plays(raw(sites.CUT_GZIP, close=False)), "DecodingError", "maybe_processed", "3/3", "1/1", "3/3"),
    Fault("response too large", plays(respond(body=b"x" * 2_000_000), max_response_size=1000), "ResponseTooLargeError", "answered", "1/1", "1/1", "1/1"),
    Fault("408", plays(respond(408)), "408", "answered", "3/3", "1/1", "3/3"),
    Fault("503", plays(respond(503)), "503", "answered", "3/3", "1/1", "3/3"),
    Fault("503 with Retry-After", plays(respond(503, headers={"Retry-After": "0"})), "503", "refused", "3/3", "3/3", "3/3", is_declined=True),
    # Uploads.
    Fault("upload stalls", sites.serves(sites.stalls_upload), "AttemptTimeoutError", "maybe_processed", "3/3", "1/1", "3/3", **waits(Timeout(total=0.4), 0.4), upload=BIG),
    Fault("upload reset", sites.serves(sites.resets_upload), "ConnectionLostError", "maybe_processed", "3/3", "1/1", "3/3", seconds=0.05, upload=BIG),
    Fault("upload answered early, then closed", sites.serves(sites.answers_early("closes")), "413", "answered", "1/1", "1/1", "1/1", upload=BIG),
    Fault("upload answered early, then not read", sites.serves(sites.answers_early("stalls")), "413", "answered", "1/1", "1/1", "1/1", upload=BIG),
    # Connections that were used before.
    Fault("idle connection closed", used_before(raw(sites.NO_CONTENT), respond(204), closes=True), "204", "answered", "1/1", "1/1", "1/1"),
    Fault("idle connection reset", used_before(reset(sites.NO_CONTENT), respond(204), closes=True), "204", "answered", "1/1", "1/1", "1/1"),
    Fault("idle connection poisoned", used_before(raw(sites.NO_CONTENT, sites.POISON, close=False), respond(204)), "204", "answered", "1/1", "1/1", "1/1"),
    Fault("408 on an idle connection", used_before(raw(sites.NO_CONTENT, sites.TIMED_OUT), respond(204), closes=True), "204", "answered", "1/1", "1/1", "1/1"),
    Fault("closed at the second request", used_before(respond(204), hang_up(), respond(204)), "ConnectionLostError", "maybe_processed", "204 2/2", "1/1", "204 2/2"),
    Fault("reset at the second request", used_before(respond(204), reset(), respond(204)), "ConnectionLostError", "maybe_processed", "204 2/2", "1/1", "204 2/2"),
    Fault("408 at the second request", used_before(respond(204), raw(sites.TIMED_OUT), respond(204)), "408", "answered", "204 2/2", "1/1", "204 2/2"),
    # Places.
    Fault("the host's only place is taken", sites.held("max_connections_per_host"), "PoolTimeoutError", "never_sent", "3/0", "3/0", "3/0", seconds=0.15),
    Fault("the client's only place is taken", sites.held("max_connections"), "PoolTimeoutError", "never_sent", "3/0", "3/0", "3/0", seconds=0.15),
    # Proxies.
    Fault("proxy refuses the connection", sites.proxy_refused, "ProxyError", "never_sent", "3/0", "3/0", "3/0"),
    Fault("proxy swallows the connection", sites.proxy_swallowed, "ConnectTimeoutError", "never_sent", "3/0", "3/0", "3/0", **waits(CONNECT_SOON)),
    Fault("proxy answers 407", sites.proxy_does(sites.says(b"HTTP/1.1 407 Who Are You\r\nContent-Length: 0\r\n\r\n")), "ProxyError", "never_sent", "3/0", "3/0", "3/0"),
    Fault("proxy answers 502", sites.proxy_does(sites.says(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")), "ProxyError", "never_sent", "3/0", "3/0", "3/0"),
    Fault("proxy answers garbage", sites.proxy_does(sites.says(b"SSH-2.0-OpenSSH_9.6\r\n", then_holds=True)), "ProxyError", "never_sent", "3/0", "3/0", "3/0"),
    Fault("proxy closes", sites.proxy_does(sites.hangs_up), "ProxyError", "never_sent", "3/0", "3/0", "3/0"),
    Fault("proxy closes in its answer", sites.proxy_does(sites.says(b"HTTP/1.1 200 OK\r\nX-")), "ProxyError", "never_sent", "3/0", "3/0", "3/0"),
    Fault("proxy resets", sites.proxy_does(sites.resets), "ProxyError", "never_sent", "3/0", "3/0", "3/0"),
    Fault("proxy stalls", sites.proxy_does(sites.stalls), "ConnectTimeoutError", "never_sent", "3/0", "3/0", "3/0", **waits(CONNECT_SOON)),
    Fault("proxy drips its answer", sites.proxy_does(sites.drips_an_answer), "ConnectTimeoutError", "never_sent", "3/0", "3/0", "3/0", **waits(CONNECT_SOON)),
    Fault("tunnel closed in the handshake", sites.proxy_does(sites.breaks_the_tunnel), "ProxyError", "never_sent", "3/0", "3/0", "3/0"),
    Fault("tunnel stalls in the handshake", sites.proxy_does(sites.says(sites.TUNNEL, then_holds=True)), "ConnectTimeoutError", "never_sent", "3/0", "3/0", "3/0", **waits(CONNECT_SOON)),
    Fault("tunnel with a dripped handshake", sites.drips_handshake_in_a_tunnel, "ConnectTimeoutError", "never_sent", "3/0", "3/0", "3/0", **waits(CONNECT_SOON)),
    Fault("TLS proxy with a dripped handshake inside", sites.drips_handshake_in_a_secure_tunnel, "ConnectTimeoutError", "never_sent", "3/0", "3/0", "3/0", **waits(CONNECT_SOON)),
    Fault("TLS proxy of an unknown authority", sites.proxy_is(sites.unknown_authority), "TlsVerificationError", "never_sent", "1/0", "1/0", "1/0"),
    Fault("TLS proxy stalls in the handshake", sites.proxy_does(sites.stalls, "http", "https"), "ConnectTimeoutError", "never_sent", "3/0", "3/0", "3/0", **waits(CONNECT_SOON)),
    Fault("forwarding proxy closes", sites.proxy_does(sites.forwards_nothing, "http"), "ConnectionLostError", "maybe_processed", "3/3", "1/1", "3/3"),
    Fault("SOCKS proxy refuses", sites.proxy_does(sites.says(b"\x05\xff"), kind="socks5h"), "ProxyError", "never_sent", "3/0", "3/0", "3/0"),
    Fault("SOCKS proxy closes", sites.proxy_does(sites.hangs_up, kind="socks5h"), "ProxyError", "never_sent", "3/0", "3/0", "3/0"),
    Fault("SOCKS proxy stalls", sites.proxy_does(sites.stalls, kind="socks5h"), "ConnectTimeoutError", "never_sent", "3/0", "3/0", "3/0", **waits(CONNECT_SOON)),
]
# fmt: on

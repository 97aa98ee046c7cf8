"""One HEAD on a connection of the doctor's own: the server's clock, and for how long it keeps an idle connection.

It speaks to the socket itself, since a client's pool would hide the instant at which the server closes.
"""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from socket import socket
from typing import Any

from ...http.fields.dates import parse_http_date
from ...http.headers import Headers
from ...http.urls import Url
from .findings import Finding, fail, ok, skip, warn

__all__ = ["Head", "examine_clock", "examine_keep_alive", "send_head"]

_STATUS_LINE = re.compile(r"(HTTP/1\.[01]) ([1-9][0-9]{2})(?: |$)").match
_MOST = 65536  # bytes of a head, and of a body that should not be there
_NOTABLE, _HARMFUL = 2.0, 300.0  # seconds of skew; signatures and tokens allow five minutes
_MARGIN = 1.0  # seconds between our end of an idle connection and the server's that make a race unlikely


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a response. sent_at, arrived_at: seconds since the epoch, around the exchange."""

    version: str
    status: int
    headers: Headers
    sent_at: float
    arrived_at: float

    @property
    def is_persistent(self) -> bool:
        """Whether the server keeps the connection open (RFC 9112, 9.3)."""
        options = ",".join(self.headers.get_all("Connection")).lower()
        return "close" not in options and (self.version != "HTTP/1.0" or "keep-alive" in options)

    @property
    def announced(self) -> float | None:
        """The seconds of `Keep-Alive: timeout=N`."""
        for value in self.headers.get_all("Keep-Alive"):
            for part in value.split(","):
                name, _, number = part.strip().partition("=")
                if name.lower() == "timeout" and number.strip().isdecimal():
                    return float(number)
        return None


def send_head(sock: socket, url: Url, fields: list[tuple[str, str]], within: float) -> Head:
    """Send HEAD, and read the head of the response. Raises OSError, or ValueError for what is not HTTP."""
    lines = [
        f"HEAD {url.target} HTTP/1.1",
        f"Host: {url.host_field}",
        *(f"{name}: {value}" for name, value in fields),
    ]
    ends_at = time.monotonic() + within
    sock.settimeout(within)
    sent_at = time.time()
    sock.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
    received = b""
    while True:
        head, end, rest = received.partition(b"\r\n\r\n")
        if end:
            parsed = _parse(head, sent_at, time.time())
            if parsed.status >= 200:
                return parsed
            received = rest  # 1xx: another one follows
            continue
        if len(received) > _MOST:
            raise ValueError("the head of the response has no end")
        left = ends_at - time.monotonic()
        if left <= 0:
            raise TimeoutError("the response did not arrive in time")
        sock.settimeout(left)
        piece = sock.recv(_MOST)
        if not piece:
            raise ConnectionError("the server closed the connection before it responded")
        received += piece


def _parse(head: bytes, sent_at: float, arrived_at: float) -> Head:
    first, *lines = head.decode("latin-1").split("\r\n")
    found = _STATUS_LINE(first)
    if found is None:
        raise ValueError("the response is not HTTP/1.1")
    pairs = [
        (name.strip(), value.strip())
        for name, colon, value in (line.partition(":") for line in lines)
        if colon
    ]
    return Head(found[1], int(found[2]), Headers(pairs), sent_at, arrived_at)


def examine_clock(head: Head) -> Finding:
    """Compare the server's Date with the clock of this machine."""
    text = head.headers.get("Date")
    date = None if text is None else parse_http_date(text, head.arrived_at)
    if date is None:
        return skip(
            "clock", "the response has no Date" if text is None else "the Date of the response is not valid"
        )
    if head.headers.get("Age", "0").strip() != "0":
        return skip("clock", "the response is from a cache (Age), and its Date is old")
    # Written at some instant of the exchange, and cut to a whole second.
    middle = (head.sent_at + head.arrived_at) / 2
    bound = (head.arrived_at - head.sent_at) / 2 + 0.5
    skew = date + 0.5 - middle
    details: dict[str, Any] = {"skew": skew, "bound": bound}
    certain = abs(skew) - bound
    if certain <= 0:
        return ok(
            "clock",
            f"the server's clock agrees with ours, as far as can be seen (to {bound:.1f} s)",
            **details,
        )
    message = f"the server's clock is {abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} ours (to {bound:.1f} s)"
    advice = "synchronise both clocks (NTP): Retry-After dates, expiry of caches and tokens, and signatures depend on them"
    if certain >= _HARMFUL:
        return fail("clock", message, f"{advice}; signed requests and fresh tokens are refused", **details)
    return (
        warn("clock", message, advice, **details) if certain >= _NOTABLE else ok("clock", message, **details)
    )


def examine_keep_alive(sock: socket, head: Head, ours: float, limit: float) -> Iterator[Finding]:
    """Wait until the server closes the idle connection, or for `limit` seconds.   ours: `keep_alive_timeout`."""
    announced = head.announced
    if not head.is_persistent:
        yield warn(
            "keep-alive",
            f"the server closes the connection after each response ({head.version})",
            "each call pays for a connection of its own; let the server, or what stands before it, keep connections alive",
            seconds=0.0, announced=announced, ours=ours,
        )  # fmt: skip
        return
    if not limit:
        yield skip("keep-alive", "not waited for (--idle 0)", announced=announced, ours=ours)
        return
    seconds = _idle_time(sock, limit)
    if seconds is None:
        yield skip(
            "keep-alive", "the server sends a body in response to HEAD", announced=announced, ours=ours
        )
        return
    says = "" if announced is None else f"; it announces timeout={announced:g}"
    details: dict[str, Any] = {
        "seconds": seconds if seconds < limit else None,
        "announced": announced,
        "ours": ours,
    }
    if seconds >= limit:
        message = (
            f"the server keeps an idle connection for more than {limit:g} s, this client for {ours:g} s{says}"
        )
        if limit < ours + _MARGIN:
            message += f"; wait longer than that to be sure: --idle {ours + _MARGIN:.0f}"
        yield ok("keep-alive", message, **details)
        return
    message = (
        f"the server closes an idle connection after {seconds:.1f} s, this client after {ours:g} s{says}"
    )
    # A server that announces its limit is believed, with a margin.
    if announced is not None and announced <= seconds + _MARGIN and announced < ours:
        yield ok("keep-alive", f"{message}, which this client obeys", **details)
    elif seconds < ours + _MARGIN:
        advice = (
            f"a request may meet the close: set keep_alive_timeout={max(0.1, min(ours, seconds - _MARGIN, seconds * 0.8)):.1f} "
            "in ConnectionPoolConfig, or let the server wait longer"
        )
        yield warn("keep-alive", message, advice, **details)
    else:
        yield ok("keep-alive", message, **details)


def _idle_time(sock: socket, limit: float) -> float | None:
    """Seconds until the connection is closed, at most `limit`; None if the server sends what it should not."""
    began_at, unwanted = time.monotonic(), 0
    while (left := limit - (time.monotonic() - began_at)) > 0:
        sock.settimeout(left)
        try:
            piece = sock.recv(_MOST)
        except TimeoutError:
            break
        except (ConnectionError, ssl.SSLError):
            piece = b""
        if not piece:
            return time.monotonic() - began_at
        unwanted += len(piece)
        if unwanted > _MOST:
            return None
    return limit

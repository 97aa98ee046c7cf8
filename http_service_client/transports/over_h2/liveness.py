"""Whether the server of a connection is still there: after a failover, nothing says that the connection is dead.

    nothing has arrived                            what happens
    for a second after a request                   before the next call, a PING is sent
    for a second after the PING                    no new stream is opened until something arrives
    for five seconds after a request               the same
    while a caller waited, who now leaves: for a   the same, and a PING is sent; a connection without other streams
    second, or for half of the caller's own limit  is closed

A server that is merely slow answers a PING at once (RFC 9113, 6.7), and keeps its one connection; one that is gone does
not. Streams that wait are left alone: a server whose event loop is busy answers the PING late, and the streams, too.

After a PING, another may be sent when HEADERS or DATA have arrived: servers of gRPC close a connection on which several
come without either (`too_many_pings`, gRFC A8).
"""

from __future__ import annotations

import math

__all__ = ["Liveness"]

_SILENCE = 1.0  # seconds in which a server that lives has sent something
# The same without a PING. Longer, since a slow server would get a new connection with each call.
_LONG_SILENCE = 5.0


class Liveness:
    """What a connection knows about its server. `now` is the event loop's time.

    heard_at: when bytes last arrived.
    """

    def __init__(self) -> None:
        self.heard_at = 0.0
        self._asked_at = 0.0  # the first request since then
        self._pong_due_at = math.inf
        self._may_ping = True
        self._is_doubted = False

    def asked(self, now: float) -> None:
        """A request was sent."""
        if self.heard_at >= self._asked_at:
            self._asked_at = now

    def heard(self, now: float) -> None:
        """Bytes have arrived."""
        self.heard_at = now
        self._pong_due_at = math.inf
        self._is_doubted = False

    def responded(self) -> None:
        """They were HEADERS or DATA."""
        self._may_ping = True

    def doubt(self) -> None:
        """Open no new stream until bytes arrive."""
        self._is_doubted = True

    def is_silent(self, now: float) -> bool:
        """Whether nothing has arrived for a while after a request."""
        return self._silence(now) >= _SILENCE

    def is_doubtful(self, now: float) -> bool:
        """Whether a new stream should go to another connection."""
        return self._is_doubted or now >= self._pong_due_at or self._silence(now) >= _LONG_SILENCE

    def takes_ping(self, now: float) -> bool:
        """Whether a PING should be sent, which then counts as sent."""
        if not self._may_ping or not (self._is_doubted or self.is_silent(now)):
            return False
        self._may_ping = False
        self._pong_due_at = now + _SILENCE
        return True

    def _silence(self, now: float) -> float:
        return now - self._asked_at if self.heard_at < self._asked_at else 0.0

"""How long a connection may be kept: by its idle time, its age, its number of requests, and what the server announced.

A request that is sent while the server closes the connection is lost, and nobody knows whether it was processed. So a
connection is not used when the server may be about to close it:

    idle for `keep_alive_timeout`         load balancers and servers close idle connections
    idle for what the server announced    less a margin for the round trip: one second, or half of the announced
                                          time if that is less (`Keep-Alive: timeout=N`)
    `keep_alive_max_requests` served      some servers close after a number of requests; so does `Keep-Alive: max=0`
    older than `max_connection_age`       a name that has moved to another address is looked up again. Jitter takes up
                                          to a tenth off, so that connections that were made together do not
                                          end together

All of this is checked between two exchanges. It never cuts one.

A connection can also be dead without a sign: its server has failed over to another machine, a gateway has forgotten it. When
an exchange on a kept connection ends without a response, whatever killed it has probably killed those that have been
idle for longer. Each of them would cost another attempt, so they are closed, and a retry connects. Those that were used since
are kept: they work.
"""

from __future__ import annotations

import math
from time import monotonic

from ..drivers.randomness import unseeded_random
from ..http.fields.keep_alive import announced_keep_alive

__all__ = ["Lifetime"]

_MARGIN = 1.0  # seconds
_JITTER = 0.1  # of the age


class Lifetime:
    """The limits of one connection, from the moment it is made.

    max_idle: seconds.   max_requests: a number.   max_age: seconds, or None.
    """

    __slots__ = ("_announced", "_limit", "max_idle", "max_requests", "retires_at")

    def __init__(self, max_idle: float, max_requests: int, max_age: float | None) -> None:
        self.max_idle = self._limit = max_idle
        self.max_requests = max_requests
        self.retires_at = (
            math.inf if max_age is None else monotonic() + max_age * (1 - _JITTER * unseeded_random())
        )
        self._announced: str | None = None

    def announce(self, keep_alive: str) -> None:
        """The server sent this Keep-Alive field. It can only shorten what the client has set."""
        if keep_alive == self._announced:
            return
        self._announced = keep_alive
        timeout, requests = announced_keep_alive(keep_alive)
        if timeout is not None:
            self.max_idle = min(self._limit, max(timeout - _MARGIN, timeout / 2))
        if requests == 0 or timeout == 0:
            self.retire()

    def retire(self) -> None:
        """Have the connection serve no other exchange."""
        self.retires_at = -math.inf

    def is_over(self, served: int) -> bool:
        """Whether the connection may serve no other exchange after this many."""
        return served >= self.max_requests or monotonic() >= self.retires_at

    def allows(self, idle_since: float) -> bool:
        """Whether an idle connection may serve another exchange now."""
        now = monotonic()
        return now - idle_since <= self.max_idle and now < self.retires_at

"""How long each part of one attempt may take. Durations, in float seconds; no clock in here.

`total` bounds the attempt *as a whole*: a server that drips a byte a second is cut on time, which
no per-operation timeout does.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from .checks import check_duration

__all__ = ["TIMER_SLACK", "Timeout"]

TIMER_SLACK = 0.02
"""Seconds by which a timer may fire early: a wait that ends this close before an instant has reached it.

Event loops and sockets wake up to one tick of the system's clock early; the coarsest tick is that of Windows, 0.016 s.
"""


@dataclass(frozen=True)
class Timeout:
    """The bounds of one attempt, each in seconds; None means no bound of its own.

    total: the attempt as a whole, from the first look for a connection to the last byte of the body.
    connect: name resolution, TCP, TLS and proxy tunnel together, over all addresses tried.
    read: the longest silence while waiting for bytes of the response.
    write: the longest stall while the server takes the request's bytes.
    pool: waiting for a free connection.

    Raises ConfigurationError for zero, negative, NaN or infinite values.

    >>> Timeout(total=30.0, connect=5.0).within(2.0)
    Timeout(total=2.0, connect=2.0, read=None, write=None, pool=None)
    """

    total: float | None = None
    connect: float | None = None
    read: float | None = None
    write: float | None = None
    pool: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            check_duration(f"Timeout.{field.name}", getattr(self, field.name))

    def within(self, remaining: float | None) -> Timeout:
        """This timeout, cut to what is left of a deadline (seconds > 0, or None)."""
        if remaining is None or (self.total is not None and self.total <= remaining):
            return self
        cut = object.__new__(Timeout)  # each value is checked already; this happens at every attempt
        bounds = cut.__dict__
        bounds.update(self.__dict__)
        bounds["total"] = remaining
        if self.connect is not None and remaining < self.connect:
            bounds["connect"] = remaining
        return cut

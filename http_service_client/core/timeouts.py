"""How long each part of one attempt may take. Durations are float seconds; this module reads no clock.

`total` bounds the attempt *as a whole*: it also ends on time when a server sends one byte a second, which no
timeout of single operations achieves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .checks import check_duration, remedies, suggests_keywords

__all__ = ["TIMER_SLACK", "Timeout"]

TIMER_SLACK = 0.02
"""A timer may fire this many seconds early: a wait that ends this close to its instant has reached it.

Event loops and sockets wake up to one tick of the system's clock early; the coarsest tick is that of Windows, 0.016 s.
"""


@suggests_keywords(
    remedies(
        {
            "it is called total": "timeout request seconds all",
            "it is called connect": "sock_connect connect_timeout dial dial_timeout lookup secure_connect"
            " tls_handshake tls_handshake_timeout",
            "it is called read": "sock_read read_timeout idle socket",
            "it is called first_byte": "header headers response response_header_timeout ttfb",
            "it is called write": "send",
            "it is called pool": "acquire_timeout pool_timeout",
        }
    )
)
@dataclass(frozen=True)
class Timeout:
    """The limits of one attempt, each in seconds; None means no limit of its own.

    total: the attempt as a whole, from a free connection slot to the last byte of the body.
    connect: name resolution, TCP, TLS and proxy tunnel together, over all addresses tried.
    read: the longest wait for more bytes of the response.
    write: the longest wait for the server to accept more bytes of the request.
    pool: the wait for a free connection slot, before the attempt's clock starts. None: it goes on while slots
        become free, until none has for 10 s longer than `total`.
    first_byte: from the request sent to the first byte of the response's body, the headers' time included; in a call
        that reads the whole response, to its headers. It replaces `read` there.
    between: each wait for more of the body after that. It replaces `read` there.

    The body of a stream may take longer than `total`: without `read`, `first_byte` and `between`, `total` bounds each
    wait for more of it.

    Raises ConfigurationError for zero, negative, NaN or infinite values.

    >>> Timeout(total=30.0, connect=5.0).within(2.0)
    Timeout(total=2.0, connect=2.0, read=None, write=None, pool=None, first_byte=None, between=None)
    """

    total: float | None = None
    connect: float | None = None
    read: float | None = None
    write: float | None = None
    pool: float | None = None
    first_byte: float | None = None
    between: float | None = None

    def __post_init__(self) -> None:
        for name, value in self.__dict__.items():  # a call with a timeout of its own makes one
            if value is not None:
                check_duration(f"Timeout.{name}", value)

    def within(self, remaining: float | None) -> Timeout:
        """This timeout, limited to what is left of a deadline (seconds > 0, or None)."""
        if remaining is None or (self.total is not None and self.total <= remaining):
            return self
        cut = self.with_total(remaining)
        if self.connect is not None and remaining < self.connect:
            cut.__dict__["connect"] = remaining  # it is frozen for others
        return cut

    def with_total(self, total: float | None) -> Timeout:
        """This timeout with another total, which has been checked."""
        other = object.__new__(Timeout)  # no value is checked again
        bounds = other.__dict__
        bounds.update(self.__dict__)
        bounds["total"] = total
        return other

    @property
    def has_phases(self) -> bool:
        """Whether other limits than `read` hold for a part of the response."""
        return self.first_byte is not None or self.between is not None

    def in_body(self) -> Timeout:
        """The limits that hold once the head of the response has arrived: `read` is that of each wait."""
        if not self.has_phases:
            return self
        return replace(
            self, read=self.read if self.between is None else self.between, first_byte=None, between=None
        )

"""The time that the waits of one blocking exchange may take: its limits as instants, and as the seconds of a wait."""

from __future__ import annotations

import time

from ...core.timeouts import Timeout

__all__ = ["ExchangeTimeouts", "seconds_left"]


class ExchangeTimeouts:
    """The limits of one exchange.

    expires_at: the instant by which the exchange must be over, or None.
    connect_expires_at: the instant by which it must be connected, or None.
    read_within, write_within: seconds that one read or one write may wait, or None.
    phases: the timeout, if it has other limits for the head and the body of the response; else None.
    sent_at: the instant at which the request was sent; None if nobody needs it.
    """

    __slots__ = ("connect_expires_at", "expires_at", "phases", "read_within", "sent_at", "write_within")

    def __init__(
        self,
        expires_at: float | None,
        connect_expires_at: float | None,
        read_within: float | None,
        write_within: float | None,
    ) -> None:
        self.expires_at = expires_at
        self.connect_expires_at = connect_expires_at
        self.read_within = read_within
        self.write_within = write_within
        self.phases: Timeout | None = None
        self.sent_at: float | None = None

    @classmethod
    def starting(cls, timeout: Timeout, started: float) -> ExchangeTimeouts:
        """The limits of an exchange that began at the instant `started`."""
        expires_at = None if timeout.total is None else started + timeout.total
        connect_expires_at = None if timeout.connect is None else started + timeout.connect
        if connect_expires_at is None or (expires_at is not None and expires_at < connect_expires_at):
            connect_expires_at = expires_at
        timeouts = cls(expires_at, connect_expires_at, timeout.read, timeout.write)
        if timeout.first_byte is not None or timeout.between is not None:
            timeouts.phases = timeout
        return timeouts

    def for_head(self, phases: Timeout) -> ExchangeTimeouts:
        """The limits of the wait for the head of the response: the request was sent just now."""
        self.sent_at = time.monotonic()
        if phases.first_byte is None:
            return self
        expires_at = self.sent_at + phases.first_byte
        if self.expires_at is not None and self.expires_at < expires_at:
            expires_at = self.expires_at
        return ExchangeTimeouts(expires_at, None, None, None)

    def for_body(self, phases: Timeout) -> ExchangeTimeouts:
        """The limits of the body, whose head has arrived."""
        return ExchangeTimeouts(self.expires_at, None, phases.in_body().read, None)


def seconds_left(expires_at: float | None, within: float | None = None) -> float | None:
    """The seconds that an operation may take, or None. Raises TimeoutError when none are left."""
    if expires_at is None:
        return within
    left = expires_at - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left if within is None or left < within else within

"""What a call lets the next service know: how long its caller waits, and whether that caller tries again.

Three headers, each with a name of the user's choice:

    time left       a duration, and not an instant, since clocks differ: whole milliseconds, as Envoy and most gateways
                    write it. A header called `grpc-timeout` has gRPC's own format, up to eight digits and a unit.
    attempt         the number of the attempt, from 1
    retried above   "true" while a failure would be retried by the caller, or by a service above it

A service reads them from strangers, too. So a value that is not exactly as above counts for nothing, and no value can
allow more than the service allows itself.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

from ...core.checks import suggests_keywords
from ...errors import ConfigurationError
from ..egress import host_matcher
from ..header_validation import is_token
from ..secret_names import CREDENTIAL_HEADERS

__all__ = ["Inbound", "Propagation"]

_GRPC = "grpc-timeout"
# TimeoutValue -> positive integer as ASCII string of at most 8 digits    gRPC over HTTP/2, "Requests"
_GRPC_VALUE = re.compile(r"([0-9]{1,8})([HMSmun])", re.ASCII).fullmatch
_GRPC_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_GRPC_MOST = 99_999_999
# Ten digits of milliseconds are 115 days. No caller means a longer limit.
_MILLISECONDS = re.compile(r"[0-9]{1,10}", re.ASCII).fullmatch
_ATTEMPT = re.compile(r"[1-9][0-9]{0,5}", re.ASCII).fullmatch
_SWITCH = {"true": True, "false": False}

# They say what the message is, or who sends it.
_TAKEN = CREDENTIAL_HEADERS | {
    *("connection", "content-encoding", "content-length", "content-type", "expect", "host"),
    *("idempotency-key", "te", "trailer", "transfer-encoding", "upgrade"),
}


class Inbound(NamedTuple):
    """What the headers of an inbound request say. ignored: the names and values of those that are not valid.

    seconds: how long the caller still waits, 0 or more; None if that is not known.
    attempt: from 1.   is_retried_above: a caller retries.
    """

    seconds: float | None
    attempt: int
    is_retried_above: bool
    ignored: tuple[tuple[str, str], ...]


@suggests_keywords({"timeout": "it is called deadline", "retries": "it is called retried_above"})
@dataclass(frozen=True, slots=True, kw_only=True)
class Propagation:
    """The headers by which services along a chain of calls share one deadline, and leave retries to one of them.

    deadline: the name of the header with the time that is left, in whole milliseconds; a header called
        `grpc-timeout` is written and read in gRPC's format.
    attempt: of the header with the number of the attempt, from 1.
    retried_above: of the header that is "true" while a caller above retries.   None for any of the three leaves it out.
    hosts: the services that get the headers: names, ``*.example.com``, addresses and networks, with a port or without.
        None for all that calls are made to, but for those that a redirect to another origin leads to.

    `HttpClientConfig(propagation=…)` sends the headers, and `integrations.asgi.DeadlineMiddleware` and
    `integrations.wsgi.DeadlineMiddleware` adopt them.

    Raises ConfigurationError for a name that cannot be that of such a header, and for hosts that cannot be read.
    """

    deadline: str | None = "X-Request-Timeout-Ms"
    attempt: str | None = "X-Request-Attempt"
    retried_above: str | None = "X-Request-Retried-Above"
    hosts: Sequence[str] | None = None

    def __post_init__(self) -> None:
        seen: dict[str, str] = {}
        for item in fields(self)[:3]:
            name = getattr(self, item.name)
            if name is None:
                continue
            if not isinstance(name, str) or is_token(name) is None:
                raise ConfigurationError(
                    f"{item.name} must be the name of a header, such as {item.default!r}, or None, not {name!r}"
                )
            if name.lower() in _TAKEN:
                raise ConfigurationError(
                    f"{item.name} is {name!r}, which has a meaning of its own; choose another header"
                )
            if name.lower() in seen:
                raise ConfigurationError(
                    f"{item.name} and {seen[name.lower()]} are both {name!r}; choose a header for each"
                )
            seen[name.lower()] = item.name
        if self.hosts is not None:
            if not isinstance(self.hosts, (str, bytes)) and isinstance(self.hosts, Iterable):
                object.__setattr__(self, "hosts", tuple(self.hosts))
            host_matcher("hosts", self.hosts)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the headers that are in use."""
        return tuple(filter(None, (self.deadline, self.attempt, self.retried_above)))

    def outbound(self, seconds: float | None, attempt: int, is_retried_above: bool) -> list[tuple[str, str]]:
        """The headers of a request.   seconds: what is left for it, None for no limit."""
        headers = []
        if self.deadline is not None and seconds is not None and (value := _written(self.deadline, seconds)):
            headers.append((self.deadline, value))
        if self.attempt is not None:
            headers.append((self.attempt, str(attempt)))
        if self.retried_above is not None and is_retried_above:
            headers.append((self.retried_above, "true"))
        return headers

    def inbound(self, get: Callable[[str], str | None]) -> Inbound:
        """What a request says.   get: the value of a header by its name in lower case, or None without it."""
        ignored: list[tuple[str, str]] = []

        def value_of(name: str | None, parse: Callable[[str], object]) -> object:
            if name is None or (given := get(name.lower())) is None:
                return None
            value = parse(given.strip(" \t"))
            if value is None:
                ignored.append((name, given))
            return value

        is_grpc = self.deadline is not None and self.deadline.lower() == _GRPC
        seconds = value_of(self.deadline, _grpc_seconds if is_grpc else _seconds)
        attempt = value_of(self.attempt, lambda text: int(text) if _ATTEMPT(text) else None)
        is_retried = value_of(self.retried_above, _SWITCH.get)
        return Inbound(
            seconds if isinstance(seconds, float) else None,
            attempt if isinstance(attempt, int) else 1,
            is_retried is True,
            tuple(ignored),
        )


def _written(name: str, seconds: float) -> str | None:
    """The duration as the header of this name has it, rounded down, but not to 0; None for one beyond its format."""
    milliseconds = max(1, math.floor(seconds * 1000)) if math.isfinite(seconds) else math.inf
    if name.lower() != _GRPC:
        return str(milliseconds) if milliseconds < 10**10 else None
    if milliseconds <= _GRPC_MOST:
        return f"{milliseconds}m"
    return f"{math.floor(seconds)}S" if seconds <= _GRPC_MOST else None


def _seconds(text: str) -> float | None:
    return int(text) / 1000 if _MILLISECONDS(text) else None


def _grpc_seconds(text: str) -> float | None:
    match = _GRPC_VALUE(text)
    return None if match is None else int(match[1]) * _GRPC_UNITS[match[2]]

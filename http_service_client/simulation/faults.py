"""What may be wrong with a modelled service, and when.

A fault is a record of settings. `begin` makes it live for one simulation: a function that is shown each exchange and says
what the fault does to it. So a fault that remembers something (the state of a burst, the tokens of a rate limit) starts
afresh in each simulation, and one list of faults can be simulated any number of times.

start: the instant at which the fault begins, in seconds of the simulation.
seconds: how long it lasts; None until the end of the simulation.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from ..core.checks import check_count, check_duration, check_number, suggests_keywords
from ..errors import ConfigurationError

__all__ = [
    "Bursts",
    "Errors",
    "Fault",
    "Flapping",
    "Outage",
    "Poison",
    "RateLimit",
    "Slowdown",
    "Treatment",
]

WAYS = ("refused", "unreachable", "silent", "reset")
"""How a service fails without a status.

refused: it refuses the connection.   unreachable: the connection is never made.
silent: it takes the request, and sends no response.   reset: it takes the request, and the connection is lost.
"""


class Treatment:
    """What becomes of one exchange. Faults change it, in the order of their list.

    how: one of `WAYS`, a status that is sent at once, or None for a request that is worked on.
    status: of its response then.   factor, extra: the work takes `factor` times as long, and `extra` seconds more.
    retry_after: seconds, for the response's header, or None.
    """

    __slots__ = ("extra", "factor", "how", "retry_after", "status")

    def __init__(self) -> None:
        self.how: str | int | None = None
        self.status = 200
        self.factor = 1.0
        self.extra = 0.0
        self.retry_after: float | None = None


Effect = Callable[[float, Treatment], None]
"""A live fault: called with the instant of an exchange and its treatment, while the fault lasts."""


class Fault(ABC):
    """Something that is wrong with a service for some time.

    start, seconds: see the module.
    """

    start: float
    seconds: float | None

    @property
    def end(self) -> float:
        """The instant at which it is over; infinite for one that stays."""
        return math.inf if self.seconds is None else self.start + self.seconds

    @abstractmethod
    def begin(self, random: Random) -> Effect:
        """The live fault of one simulation."""

    def _check_span(self) -> None:
        check_number("start", self.start, unit="of seconds ")
        check_duration("seconds", self.seconds, no_limit="use None for a fault that stays")


def _check_how(how: Any) -> None:
    if how not in WAYS and not (type(how) is int and 400 <= how <= 599):
        raise ConfigurationError(
            f"how must be a status from 400 to 599, or one of {', '.join(WAYS)}; not {how!r}"
        )


def _check_retry_after(seconds: Any) -> None:
    if seconds is not None:
        check_number("retry_after", seconds, unit="of seconds ")


def _happens(share: float, random: Random) -> bool:
    return share >= 1.0 or random.random() < share


@suggests_keywords(
    {"rate": "it is called share", "status": "it is called how", "duration": "it is called seconds"}
)
@dataclass(frozen=True, kw_only=True)
class Outage(Fault):
    """The service is down, or a share of what stands behind its name is.

    how: one of "refused", "unreachable", "silent" and "reset", or a status that is sent at once.
    share: of the requests that meet it, 0 to 1: with one of four back ends down, 0.25.
    retry_after: seconds, for the header of the same name of a status; None for no header.
    """

    how: str | int = "refused"
    share: float = 1.0
    retry_after: float | None = None
    start: float = 0.0
    seconds: float | None = None

    def __post_init__(self) -> None:
        _check_how(self.how)
        check_number("share", self.share, most=1)
        _check_retry_after(self.retry_after)
        if self.retry_after is not None and isinstance(self.how, str):
            raise ConfigurationError(
                f"retry_after needs a response to be sent with; set how to a status such as 503, not {self.how!r}"
            )
        self._check_span()

    def begin(self, random: Random) -> Effect:
        how, share, retry_after = self.how, self.share, self.retry_after

        def effect(now: float, treatment: Treatment) -> None:
            if treatment.how is None and _happens(share, random):
                treatment.how, treatment.retry_after = how, retry_after

        return effect


@suggests_keywords({"share": "it is called rate", "how": "an Outage has it; here it is called status"})
@dataclass(frozen=True, kw_only=True)
class Errors(Fault):
    """Some requests fail, each with the same chance, after the usual work.

    rate: 0 to 1.   status: of their responses, 400 to 599.
    """

    rate: float
    status: int = 503
    start: float = 0.0
    seconds: float | None = None

    def __post_init__(self) -> None:
        check_number("rate", self.rate, most=1)
        _check_status(self.status)
        self._check_span()

    def begin(self, random: Random) -> Effect:
        def effect(now: float, treatment: Treatment) -> None:
            if random.random() < self.rate:
                treatment.status = self.status

        return effect


def _check_status(status: Any) -> None:
    if type(status) is not int or not 400 <= status <= 599:
        raise ConfigurationError(f"status must be a whole number from 400 to 599, not {status!r}")


@suggests_keywords({})
@dataclass(frozen=True, kw_only=True)
class Slowdown(Fault):
    """A brown-out: the work on a request takes longer.   factor: above 0; 10 for ten times.   share: of the requests."""

    factor: float
    share: float = 1.0
    start: float = 0.0
    seconds: float | None = None

    def __post_init__(self) -> None:
        check_number("factor", self.factor, least=0.001, most=1e6)
        check_number("share", self.share, most=1)
        self._check_span()

    def begin(self, random: Random) -> Effect:
        def effect(now: float, treatment: Treatment) -> None:
            if _happens(self.share, random):
                treatment.factor *= self.factor

        return effect


@suggests_keywords({})
@dataclass(frozen=True, kw_only=True)
class Poison(Fault):
    """A few requests keep a worker busy for long, as a query without an index does.

    share: of the requests, 0 to 1.   work: the seconds that one takes in addition.
    """

    share: float
    work: float
    start: float = 0.0
    seconds: float | None = None

    def __post_init__(self) -> None:
        check_number("share", self.share, most=1)
        check_duration("work", self.work, optional=False)
        self._check_span()

    def begin(self, random: Random) -> Effect:
        def effect(now: float, treatment: Treatment) -> None:
            if random.random() < self.share:
                treatment.extra += self.work

        return effect


@suggests_keywords({})
@dataclass(frozen=True, kw_only=True)
class Flapping(Fault):
    """The service is up and down in turn, down first.   up, down: seconds.   how: as for `Outage`."""

    up: float
    down: float
    how: str | int = "refused"
    start: float = 0.0
    seconds: float | None = None

    def __post_init__(self) -> None:
        for name in ("up", "down"):
            check_duration(name, getattr(self, name), optional=False)
        _check_how(self.how)
        self._check_span()

    def begin(self, random: Random) -> Effect:
        period = self.up + self.down

        def effect(now: float, treatment: Treatment) -> None:
            if treatment.how is None and (now - self.start) % period < self.down:
                treatment.how = self.how

        return effect


@suggests_keywords({})
@dataclass(frozen=True, kw_only=True)
class Bursts(Fault):
    """Failures that come together (E. N. Gilbert, "Capacity of a burst-noise channel", 1960).

    The service alternates between good and bad spans, each of random length. In a bad one, `rate` of the requests fail.

    good, bad: the mean length of the spans, in seconds.   rate: 0 to 1.   how: as for `Outage`.
    """

    good: float
    bad: float
    rate: float = 1.0
    how: str | int = 503
    start: float = 0.0
    seconds: float | None = None

    def __post_init__(self) -> None:
        for name in ("good", "bad"):
            check_duration(name, getattr(self, name), optional=False)
        check_number("rate", self.rate, most=1)
        _check_how(self.how)
        self._check_span()

    def begin(self, random: Random) -> Effect:
        spans = Random(random.getrandbits(64))  # of its own: they do not depend on how many requests come
        is_bad, ends_at = False, self.start + spans.expovariate(1 / self.good)

        def effect(now: float, treatment: Treatment) -> None:
            nonlocal is_bad, ends_at
            while now >= ends_at:
                is_bad = not is_bad
                ends_at += spans.expovariate(1 / (self.bad if is_bad else self.good))
            if is_bad and treatment.how is None and random.random() < self.rate:
                treatment.how = self.how

        return effect


@suggests_keywords({"rate": "it is called per_second", "limit": "it is called per_second"})
@dataclass(frozen=True, kw_only=True)
class RateLimit(Fault):
    """The service refuses what comes too fast, by a token bucket, with a 429 that is sent at once.

    per_second: requests that it takes in the long run.   burst: requests that it takes at once.
    retry_after: seconds, for the header of the same name. None for the time until the next token, in whole seconds,
        rounded up, as the header needs it; 0 for no header.
    """

    per_second: float
    burst: int = 1
    retry_after: float | None = None
    start: float = 0.0
    seconds: float | None = None

    def __post_init__(self) -> None:
        check_duration("per_second", self.per_second, optional=False)
        check_count("burst", self.burst)
        _check_retry_after(self.retry_after)
        self._check_span()

    def begin(self, random: Random) -> Effect:
        tokens, counted_at = float(self.burst), self.start

        def effect(now: float, treatment: Treatment) -> None:
            nonlocal tokens, counted_at
            if treatment.how is not None:
                return
            tokens = min(self.burst, tokens + (now - counted_at) * self.per_second)
            counted_at = now
            if tokens >= 1:
                tokens -= 1
                return
            treatment.how = 429
            until_next = self.retry_after
            if until_next is None:
                until_next = math.ceil((1 - tokens) / self.per_second)
            treatment.retry_after = until_next or None

        return effect

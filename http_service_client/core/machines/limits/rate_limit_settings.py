"""The settings of a rate limiter."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from ....errors import ConfigurationError
from ...checks import (
    check_count,
    check_duration,
    check_flag,
    check_function,
    check_number,
    remedies,
    suggests_keywords,
)
from ...refusals import NUMBERS, Change, less, more, to

__all__ = ["RATE_RENAMED", "LateTurn", "RateLimitSettings"]

_SLOWEST, _FASTEST = 1e-6, 1e9  # calls a second

RATE_RENAMED = remedies(
    {
        "it is called rate": "max_rate max_calls limit calls limit_for_period permit_limit"
        " permits_per_second max_requests max_rps requests_per_second rps"
        " tokens_per_period",
        "it is called per": "time_period period interval window limit_refresh_period replenishment_period",
        "it is called burst": "max_burst capacity bucket_size token_limit",
        "it is called max_wait": "timeout timeout_duration max_delay",
        "set max_wait, which limits how long a call waits": "queue_limit",
    }
)


@suggests_keywords(RATE_RENAMED)
@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimitSettings:
    """How many calls may begin in a time.

    rate, per: so many calls (above 0) in so many seconds: `rate=100, per=60` is 100 a minute. rate=None sets no limit of its
        own, and needs `follow_headers` or `adaptive`. rate / per must be from 1e-6 to 1e9.
    burst: calls that may go at once after a pause, 1 or more. With 1, calls are evenly spaced, and a service counts no more than
        one above `rate` in `per` seconds, whatever windows it counts in.
    max_wait: seconds that a call waits for its turn, 0 or more: with 0, it is refused at once. None for as long as its deadline
        permits.
    key: called with the arguments of a guarded function; calls with the same result (any hashable value) share one limit. None for
        one limit for all. A client has a limit for each origin, and for each `key` of a call there.
    max_keys: how many such limits are kept, 1 or more, the last used ones.
    follow_headers: also keep to what responses say is left (`RateLimit`, `X-RateLimit-Remaining` and their kin).
    adaptive: "aimd" or "cubic": find the rate that the service admits, by its throttling responses, at most `rate`. None for
        a fixed rate.

    Raises `ConfigurationError` (a `ValueError`) naming the field, the value and what to write instead.
    """

    rate: float | None = None
    burst: int = 1
    per: float = 1.0
    max_wait: float | None = 60.0
    key: Callable[..., Hashable] | None = None
    max_keys: int = 10_000
    follow_headers: bool = False
    adaptive: Literal["aimd", "cubic"] | None = None

    def __post_init__(self) -> None:
        check_duration("per", self.per, optional=False)
        check_flag("follow_headers", self.follow_headers)
        if self.adaptive not in (None, "aimd", "cubic"):
            raise ConfigurationError(f"adaptive must be 'aimd', 'cubic' or None, not {self.adaptive!r}")
        if self.rate is not None:
            if isinstance(self.rate, str):  # as the limiters of web frameworks have it
                raise ConfigurationError(
                    f"rate must be a finite number of 0 or more, not {self.rate!r}; write rate=10, per=60 for ten a minute"
                )
            check_number("rate", self.rate)
            if not _SLOWEST <= self.rate / self.per <= _FASTEST:
                raise ConfigurationError(
                    f"rate={self.rate!r} in per={self.per!r} s is {self.rate / self.per:g} a second, "
                    f"and must be from {_SLOWEST:g} to {_FASTEST:g}"
                )
        elif not self.follow_headers and self.adaptive is None:
            raise ConfigurationError(
                "rate must be a number of calls, such as rate=10 for ten a second, not None; "
                "leave it out only with follow_headers=True or adaptive='cubic'"
            )
        check_count("burst", self.burst)
        if self.max_wait is not None:
            check_number("max_wait", self.max_wait, unit="of seconds ")
        if self.key is not None:
            check_function("key", self.key)
        check_count("max_keys", self.max_keys)

    @property
    def per_second(self) -> float | None:
        """Calls a second, or None for any number."""
        return None if self.rate is None else self.rate / self.per


_LEAST = 1e-6  # seconds that a deadline must leave after the wait


class LateTurn(NamedTuple):
    """What decides whether a call waits for its turn. Seconds.

    wait: until its turn.   waited: until now.   max_wait: of the settings.   remaining: until the deadline. None for no limit.
    """

    wait: float
    waited: float
    max_wait: float | None
    remaining: float | None

    def longest(self) -> tuple[float | None, bool]:
        """How long it may wait from now on, None for any time; and whether the deadline is the limit."""
        left = None if self.max_wait is None else max(0.0, self.max_wait - self.waited)
        if self.remaining is not None and (left is None or self.remaining - _LEAST < left):
            return max(0.0, self.remaining - _LEAST), True
        return left, False

    def objection(self) -> str | None:
        """See `core.refusals.Decision`."""
        longest, _ = self.longest()
        return None if longest is None or self.wait <= longest else "its turn comes too late"

    def changes(self) -> Sequence[Change]:
        """See `core.refusals.Decision`."""
        return _CHANGES

    def consequence(self) -> str:
        """See `core.refusals.Decision`."""
        return "sent"


_CHANGES = (
    to("max_wait={} of the rate limit", NUMBERS, max_wait=...),
    more("{} s more until the deadline", "remaining"),
    less("a call {} s later", "wait"),
)

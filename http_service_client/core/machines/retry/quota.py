"""A retry quota: tokens that retries spend and successes earn, so that a service in trouble gets hardly any retries.

Theory (the retry quota of the AWS SDKs' standard mode; gRPC proposal A6, "throttling retry attempts"). A share of all calls, as a
`RetryBudget` grants, lets an overloaded service have its share of retries for as long as the overload lasts, and a floor of
so many retries a second binds no small process at all. A quota is a bucket of tokens instead:

    at first              it has `capacity` tokens
    a retry               takes `cost` tokens, or `throttled_cost` after a response that asked for a pause;
                          it is not made when there are not enough
    a call that           gets back what its last retry took, if it made any;
    succeeded             else it earns `earned` tokens
    as time passes        what is above the capacity is forgotten, within about `memory` seconds

While most calls succeed, retries are nearly free: they mostly succeed, too, and then cost nothing. While most fail, hardly anything is
earned, and when the tokens are spent there are few. Each attempt failing by chance p, a call makes in the long run about

    earned / cost * (1 - p) / p

retries. At r calls a second that succeed, there are capacity + earned * r * memory tokens: enough for a short failure of many calls
at once, and hardly more than the capacity for a process with few calls. Without the forgetting, thousands of such
processes would each have saved for hours, and spend it all on the first outage, which their retries would make
a lasting one.

A quota never waits: a retry is withdrawn before its wait, so that a refusal comes at once, and refunded if it is not made.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ....errors import ConfigurationError
from ...checks import check_number, suggests_keywords
from ..counter import Counter

if TYPE_CHECKING:
    from .budget import RetryBudget, RetryBudgetSettings, Withdrawal

__all__ = [
    "AnyBudget",
    "AnyWithdrawal",
    "BudgetSettings",
    "QuotaWithdrawal",
    "RetryQuota",
    "RetryQuotaSettings",
    "new_budget",
]

_MOST = 1e6
_LEAST_RETRIES = 4
_ROUNDING = 1e-9  # five times 0.2 must pay for 1.0


@suggests_keywords({"max_tokens": "it is called capacity", "token_ratio": "it is called earned"})
@dataclass(frozen=True, slots=True, kw_only=True)
class RetryQuotaSettings:
    """How much may be retried, in tokens.

    capacity: tokens at first, and of those saved the ones that are kept for any time; above 0. None for 4, or for as many as
        the retries of one call cost, once a policy that allows more has been used.
    earned: tokens for each call that succeeds without a retry, 0 or more.
    cost: tokens for a retry, above 0.   throttled_cost: the same, after a response that asked for a pause (429, or 503
        with Retry-After).
    memory: seconds within which earned tokens above the capacity are forgotten, but for 1/e of them; 0.001 to 3600.

    Raises `ConfigurationError` (a `ValueError`) naming the field, the value and what to write instead.
    """

    capacity: float | None = None
    earned: float = 0.2
    cost: float = 1.0
    throttled_cost: float = 0.5
    memory: float = 10.0

    def __post_init__(self) -> None:
        for name in ("capacity", "earned", "cost", "throttled_cost"):
            if name != "capacity" or self.capacity is not None:
                check_number(name, getattr(self, name), least=0 if name == "earned" else 0.001, most=_MOST)
        check_number("memory", self.memory, least=0.001, most=3600, unit="of seconds ")
        for name in ("cost", "throttled_cost"):
            if self.capacity is not None and getattr(self, name) > self.capacity:
                raise ConfigurationError(
                    f"{name}={getattr(self, name)!r} is above capacity={self.capacity!r}, so that nothing could be retried; "
                    "raise the capacity, or set enable_retry_policy=False"
                )


class QuotaWithdrawal:
    """The tokens of one retry. `refund()` them when the retry is not sent, or when its call has succeeded."""

    __slots__ = ("_cost", "_is_refunded", "_quota")

    def __init__(self, quota: RetryQuota, cost: float) -> None:
        self._quota = quota
        self._cost = cost
        self._is_refunded = False

    def refund(self) -> None:
        """Return the tokens. A second time does nothing."""
        quota = self._quota
        with quota._lock:
            if not self._is_refunded:
                self._is_refunded = True
                quota._tokens += self._cost  # what is above the capacity now is forgotten in its time


class RetryQuota:
    """The quota of one key.

    settings: see `RetryQuotaSettings`.   lock: makes it safe among threads.
    clock: monotonic seconds. One that steps back forgets nothing for that moment.
    counts_calls: False: those that succeed earn the tokens, so calls that begin are not recorded.
    """

    __slots__ = (
        "_capacity",
        "_clock",
        "_count_success",
        "_lock",
        "_rewarded",
        "_settings",
        "_successes",
        "_tokens",
        "_updated_at",
    )

    counts_calls: Literal[False] = False

    def __init__(
        self,
        settings: RetryQuotaSettings,
        *,
        clock: Callable[[], float],
        lock: AbstractContextManager[Any],
    ) -> None:
        self._settings = settings
        self._capacity = _capacity_of(settings)
        self._clock = clock
        self._lock = lock
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """In a forked child: the parent spends its tokens itself."""
        self._tokens = self._capacity
        self._updated_at = self._clock()
        self._rewarded = 0
        self._successes = Counter()  # what they earn is added when it matters: a success takes no lock
        self._count_success = self._successes.advance

    def reconfigure(self, settings: RetryQuotaSettings) -> None:
        """Take new settings. The tokens stay, and a larger capacity adds to them."""
        with self._lock:
            self._update_locked()
            before, self._settings = self._settings, settings
            capacity = _capacity_of(settings)
            if before.capacity is settings.capacity is None:
                capacity = max(capacity, self._capacity)  # it has grown with the policies that were used
            self._tokens += max(0.0, capacity - self._capacity)
            self._capacity = capacity

    def record_calls(self, count: int, seconds: float, failed: int) -> None:
        """Count calls that were not counted one by one.   failed: of the `count`, those whose first attempt failed."""
        with self._lock:
            self._update_locked(count - failed)

    def record_success(self, withdrawal: object) -> None:
        """A call succeeded.   withdrawal: that of its last retry; None for a call that made none."""
        if withdrawal is None:
            self._count_success()
        elif isinstance(withdrawal, QuotaWithdrawal):
            withdrawal.refund()

    def try_withdraw(self, *, is_throttled: bool = False, retries: int = 0) -> QuotaWithdrawal | None:
        """The tokens for one retry; None when there are not enough.

        is_throttled: the service asked for a pause.   retries: those of one call, as its policy allows.
        """
        cost = self._settings.throttled_cost if is_throttled else self._settings.cost
        with self._lock:
            self._update_locked()
            self._grow_locked(retries)
            if self._tokens < cost - _ROUNDING:
                return None
            self._tokens = max(0.0, self._tokens - cost)
            return QuotaWithdrawal(self, cost)

    def shortfall(self, *, is_throttled: bool = False, retries: int = 0) -> float:
        """The tokens that are missing for one retry, 0.0 for none. Nothing is withdrawn. The arguments: see `try_withdraw`."""
        cost = self._settings.throttled_cost if is_throttled else self._settings.cost
        with self._lock:
            self._update_locked()
            self._grow_locked(retries)
            missing = cost - self._tokens
            return missing if missing > _ROUNDING else 0.0

    @property
    def balance(self) -> int:
        """How many retries of the full cost the tokens pay for, 0 or more."""
        with self._lock:
            self._update_locked()
            return int((self._tokens + _ROUNDING) / self._settings.cost)

    def __repr__(self) -> str:
        return f"<RetryQuota with {self.balance} left>"

    def _grow_locked(self, retries: int) -> None:
        """Have room for the retries of one call, unless the capacity is set."""
        if self._settings.capacity is None and retries * self._settings.cost > self._capacity:
            more = retries * self._settings.cost - self._capacity
            self._capacity, self._tokens = self._capacity + more, self._tokens + more

    def _update_locked(self, further: int = 0) -> None:
        """Add what was earned since the last update, as if it had come evenly, and forget.   further: successes."""
        now, settings = self._clock(), self._settings
        elapsed, self._updated_at = max(0.0, now - self._updated_at), now
        before, self._rewarded = self._rewarded, self._successes.read()
        earned = (self._rewarded - before + further) * settings.earned
        if earned <= self._capacity - self._tokens:
            self._tokens += earned  # while retries spend it, there is nothing to forget
            return
        kept = min(self._tokens, self._capacity)
        to_fill = min(earned, self._capacity - kept)
        share = elapsed / settings.memory
        above = (self._tokens - kept) * math.exp(-share)
        # Of tokens that come evenly over a time, this much is left at its end.
        above += (earned - to_fill) * (-math.expm1(-share) / share if share else 1.0)
        self._tokens = kept + to_fill + above


def _capacity_of(settings: RetryQuotaSettings) -> float:
    """The capacity at first."""
    return settings.capacity or max(_LEAST_RETRIES * settings.cost, settings.throttled_cost)


BudgetSettings: TypeAlias = "RetryQuotaSettings | RetryBudgetSettings"
AnyBudget: TypeAlias = "RetryQuota | RetryBudget"
AnyWithdrawal: TypeAlias = "QuotaWithdrawal | Withdrawal"


def new_budget(
    settings: BudgetSettings,
    clock: Callable[[], float],
    lock: AbstractContextManager[Any],
) -> AnyBudget:
    """What these settings describe.   clock: monotonic seconds."""
    if isinstance(settings, RetryQuotaSettings):
        return RetryQuota(settings, clock=clock, lock=lock)
    from .budget import RetryBudget  # with its settings, it is imported

    return RetryBudget(settings, clock=clock, lock=lock)

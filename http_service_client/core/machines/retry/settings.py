"""The settings of a retry policy: how often, how long, and for what."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from inspect import isasyncgenfunction

from ....errors import ConfigurationError, Failure
from ....http.fields.retry_after import asks_to_retry
from ....http.messages import HttpResponse
from ...checks import check_flag, class_remedy, is_async, shown
from ..other_libraries import READERS, status_of
from .backoff import BackoffStrategy, ExponentialBackoff
from .conditions import DEFAULT_CONDITIONS, RetryCondition

__all__ = ["IS_JUDGED", "RetrySettings"]


@dataclass(frozen=True)
class RetrySettings:
    """How often to retry, after which waits, and for which outcomes.

    max_attempts: attempts in all, the first one included (>= 1).
    backoff_strategy: the waits between attempts.
    retry_conditions: an outcome for which any of them holds is worth a retry. None: transport errors except TLS
        verification, and statuses 408, 425, 429, 500, 502, 503, 504, 520 to 524, 529.
    throttled_backoff: the waits after a response that says that the request was not processed (429, 425, or 503 with
        Retry-After), which may well be longer than after a failure that is soon over; None for the same.
    nested: retry even when an enclosing retry policy does (which multiplies the attempts).

    Raises ConfigurationError for anything else.
    """

    max_attempts: int = 3
    backoff_strategy: BackoffStrategy = field(default_factory=ExponentialBackoff)
    retry_conditions: tuple[RetryCondition, ...] | list[RetryCondition] | None = None
    nested: bool = False
    throttled_backoff: BackoffStrategy | None = None

    def __post_init__(self) -> None:
        if type(self.max_attempts) is not int or self.max_attempts < 1:
            raise ConfigurationError(
                f"max_attempts must be a whole number >= 1 (the first attempt included), not {self.max_attempts!r}"
            )
        for name in ("backoff_strategy", "throttled_backoff"):
            strategy = getattr(self, name)
            if strategy is None and name == "throttled_backoff":
                continue
            delays = getattr(strategy, "delays", None)
            if isinstance(strategy, type) or not callable(delays):
                raise ConfigurationError(
                    f"{name} must be a strategy such as ExponentialBackoff(), not {shown(strategy)}{class_remedy(strategy)}"
                )
            if is_async(delays) or isasyncgenfunction(delays):
                raise ConfigurationError(
                    f"delays of {name} must be a plain generator, not the async one of {shown(strategy)}"
                )
        check_flag("nested", self.nested)
        conditions = DEFAULT_CONDITIONS if self.retry_conditions is None else self.retry_conditions
        if not isinstance(conditions, (list, tuple)) or not all(
            isinstance(c, RetryCondition) for c in conditions
        ):
            example = (
                "[RetryCondition.on_status_codes([503]), RetryCondition.on_exceptions([ConnectionError])]"
            )
            remedy = "it in a list" if isinstance(conditions, RetryCondition) else f"for example {example}"
            raise ConfigurationError(
                f"retry_conditions must be a list of RetryCondition, not {conditions!r}; write {remedy}"
            )
        object.__setattr__(self, "retry_conditions", tuple(conditions))

    def is_worth_it(
        self,
        outcome: object,
        report: Callable[[RetryCondition], object] = lambda condition: None,
        handled: BaseException | None = None,
    ) -> bool:
        """Whether a condition holds for this outcome.

        report: called, while the exception is being handled, with a condition that raised one. It does not hold
            then: code that only judges an outcome cannot take it from the caller.
        handled: of an error, see `errors.chain`.
        """
        if isinstance(outcome, HttpResponse):
            status = outcome.status_code
            if status >= 400 and self.retry_conditions:
                requested = asks_to_retry(outcome.headers)
                if requested is not None:  # the server knows best whether a repetition can help
                    return requested
            if status in self._statuses:
                return True
        elif isinstance(outcome, (Failure, BaseException)):
            return _holds(self._conditions, outcome, report, handled)
        elif READERS[type(outcome)] is not None and status_of(outcome) in self._statuses:
            return True
        # This runs for every successful attempt. With most settings, `_judges` is an empty tuple.
        return bool(self._judges) and _holds(self._judges, outcome, report)

    def has_condition_for(
        self, response: HttpResponse, report: Callable[[RetryCondition], object] = lambda condition: None
    ) -> bool:
        """Whether a condition holds for the response, whatever the server says of a repetition."""
        return response.status_code in self._statuses or _holds(self._judges, response, report)

    def is_vouched_for(
        self, response: HttpResponse, report: Callable[[RetryCondition], object] = lambda condition: None
    ) -> bool:
        """Whether the response says that the server did nothing, by a condition with `even_if_unsafe`.

        It says so of the request that it responds to: not after a redirect that turned a POST into a GET (only 307 and
        308 never do), since the server has processed the POST then.   report: see `is_worth_it`.
        """
        if any(hop.status_code not in (307, 308) for hop in response.history):
            return False
        vouching = [each for each in self._conditions if each.even_if_unsafe]
        return _holds(vouching, response, report)

    @property
    def _conditions(self) -> tuple[RetryCondition, ...]:
        assert isinstance(self.retry_conditions, tuple)  # since __post_init__
        return self.retry_conditions

    @cached_property
    def _statuses(self) -> frozenset[int]:
        """The statuses that suffice for a condition to hold, whatever else the response has."""
        return frozenset[int]().union(*(c.statuses for c in self._conditions if type(c) is RetryCondition))

    @cached_property
    def may_repeat_successes(self) -> bool:
        """Whether a condition may hold for a response with a status below 400."""
        return bool(self._judges) or any(status < 400 for status in self._statuses)

    @cached_property
    def judges_results(self) -> bool:
        """Whether a condition judges results of any type."""
        return bool(self._judges)

    @cached_property
    def _judges(self) -> tuple[RetryCondition, ...]:
        """The conditions that judge more than a response's status, or what a function returned.

        A condition of a user's own class always judges: it may hold for fewer responses than its statuses say.
        """
        return tuple(c for c in self._conditions if c.predicate is not None or type(c) is not RetryCondition)


class _Judged(dict[type, bool]):
    """Whether results of each type say anything of an outcome; one look-up for each result."""

    def __missing__(self, kind: type) -> bool:
        if len(self) >= 1024:  # a program may make classes without end
            self.clear()
        self[kind] = found = (
            issubclass(kind, (HttpResponse, Failure, BaseException)) or READERS[kind] is not None
        )
        return found


IS_JUDGED = _Judged()
"""Of the type of a result. Where it is False, and `judges_results` is, too, no condition holds for the result."""


def _holds(
    conditions: Iterable[RetryCondition],
    outcome: object,
    report: Callable[[RetryCondition], object],
    handled: BaseException | None = None,
) -> bool:
    for condition in conditions:
        try:
            if isinstance(outcome, BaseException) and type(condition) is RetryCondition:
                if condition.holds_for_error(outcome, handled):
                    return True
            elif condition.holds_for(outcome):
                return True
        except Exception:
            report(condition)
    return False

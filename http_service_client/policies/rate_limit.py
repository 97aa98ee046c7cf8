"""The rate limit policy: for a client, or around any function or block."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Literal

from ..core.checks import suggests_keywords
from ..core.effects import Plan
from ..core.layers.rate_limit import learn, wait_for_turn
from ..core.machines.function_keys import call_key
from ..core.machines.keyed import KeyedMap
from ..core.machines.limits.rate_limit_settings import RATE_RENAMED, RateLimitSettings
from ..core.machines.limits.rate_limiter import RateLimiter, RateLimitSnapshot
from ..core.machines.other_libraries import status_of_error
from ..core.operation import Operation, Proceed
from ..drivers.clocks import Clock, SystemClock
from ..drivers.locks import ForkSafeLock
from ..errors import CallRefusedError, ConfigurationError, chain, errors_behind
from ..http.messages import HttpResponse
from .strategy import StatefulStrategy

__all__ = ["RateLimitPolicy"]

_LONGEST_KEY = 100  # characters, in errors and events


@suggests_keywords(RATE_RENAMED)
class RateLimitPolicy(StatefulStrategy[RateLimitSettings]):
    """So many calls in a time, and no more: ``RateLimitPolicy(rate=10)``. Callers beyond them wait in order.

    Around a function, or in a pipeline, all its calls share the limit, or those with the same `key`. In a client's
    configuration (`rate_limit=`), each origin has a limit, and each attempt takes a token.

    rate, per: so many calls (above 0) in so many seconds: `rate=100, per=60` is 100 a minute. None, with `follow_headers` or
        `adaptive`: no limit of its own.
    burst: calls that may go at once after a pause, 1 or more. With 1, the default, calls are evenly spaced.
    max_wait: seconds that a call waits for its turn, 60 by default; 0: it is refused at once. None: as long as its deadline
        permits. A wait that is known to be longer, or to cross the deadline, is not begun.
    key: called with the arguments of the function; calls with the same result share a limit. Errors, events and the log
        show its text: of a secret, such as a token, return a hash. Not for clients, whose calls have a `key=` of their own.
    max_keys: limits that are kept, the last used ones.
    follow_headers: also keep to what the service says is left, by `RateLimit` or `X-RateLimit-Remaining` and their kin.
    adaptive: "aimd" or "cubic": find the rate that the service admits, by its throttling responses; `rate` is the most.
    name: in errors and events.   clock: for the waits.

    A call that is refused raises `RateLimitExceededError` with `retry_after`. A caller that is cancelled while it waits
    returns its turn. Threads and event loops may share one object. `reconfigure(rate=20)` moves those that wait to the new
    rate.

    Raises ConfigurationError (a ValueError) that names the field, the value and the remedy.
    """

    rank = 60
    _live = ("_limiters", "_lock", "_only")

    def __init__(
        self,
        rate: float | None = None,
        *,
        burst: int = 1,
        per: float = 1.0,
        max_wait: float | None = 60.0,
        key: Callable[..., Hashable] | None = None,
        max_keys: int = 10_000,
        follow_headers: bool = False,
        adaptive: Literal["aimd", "cubic"] | None = None,
        name: str = "",
        clock: Clock = SystemClock(),  # noqa: B008  # it has no state
    ) -> None:
        settings = RateLimitSettings(
            rate=rate,
            burst=burst,
            per=per,
            max_wait=max_wait,
            key=key,
            max_keys=max_keys,
            follow_headers=follow_headers,
            adaptive=adaptive,
        )
        self._set_up(settings, name, clock)

    def _begin(self, settings: RateLimitSettings) -> None:
        self._lock = ForkSafeLock()
        self._only = self._new_limiter() if settings.key is None else None
        self._limiters = KeyedMap[Hashable, RateLimiter](
            self._new_limiter, lock=self._lock, most=settings.max_keys, is_at_rest=_is_at_rest
        )

    def _new_limiter(self, key: Hashable = None) -> RateLimiter:
        return RateLimiter(self._settings, clock=self._clock.monotonic, lock=self._lock)

    def _change(self, settings: RateLimitSettings) -> None:
        self._settings = settings  # first: a key may come meanwhile
        self._limiters.resize(settings.max_keys)
        for limiter in self._all():
            limiter.reconfigure(settings)
        if settings.key is not None:
            self._only = None
        elif self._only is None:
            self._limiters.clear()
            self._only = self._new_limiter()

    def _all(self) -> list[RateLimiter]:
        only = self._only
        return [limiter for _, limiter in self._limiters.items()] if only is None else [only]

    def _reset_after_fork(self) -> None:
        for limiter in self._all():
            limiter.reset_after_fork()

    def guard(self, proceed: Proceed, operation: Operation) -> Plan[Any]:
        """The plan of one token. A call that a policy further inside refuses, or that is ended while it waits there, returns it."""
        limiter, key = self._only, None
        if limiter is None:
            limiter, key = self._keyed(operation)
        if not limiter.try_acquire():
            refused = yield from wait_for_turn(limiter, operation, self._name_of(operation, key))
            if refused is not None:
                raise refused.error_type(refused.message, **refused.details)
        if limiter.learns:
            return (yield from self._learning(proceed, operation, limiter))
        attempt = operation.attempt
        try:
            return (yield from proceed(operation))
        except BaseException as error:
            if _was_not_called(operation, attempt, error):
                limiter.give_back()
            raise

    def _learning(self, proceed: Proceed, operation: Operation, limiter: RateLimiter) -> Plan[Any]:
        began_at, wall, attempt = operation.clock(), self._clock.wall, operation.attempt
        try:
            result = yield from proceed(operation)
        except BaseException as error:
            if _was_not_called(operation, attempt, error):
                limiter.give_back()
            else:
                learn(limiter, began_at, _outcome_of(error, operation.handled), wall)
            raise
        learn(limiter, began_at, result, wall)
        return result

    def _keyed(self, operation: Operation) -> tuple[RateLimiter, Hashable]:
        """The limit of a call's key, and the key."""
        function = self._settings.key
        if function is None:  # it was taken away just now
            return self._only or self._new_limiter(), None
        key = call_key(function, operation.args, operation.kwargs)
        try:
            return self._limiters.get(key), key
        except TypeError:
            raise ConfigurationError(
                f"key must return a value that can be hashed, such as text or a tuple, not {key!r}"
            ) from None

    def _name_of(self, operation: Operation, key: Hashable) -> str:
        """What a limit is called in errors and events."""
        name = self._name or operation.key
        return name if key is None else f"{name} ({str(key)[:_LONGEST_KEY]})".strip()

    def snapshot(self, *args: Any, **kwargs: Any) -> RateLimitSnapshot:
        """The limit's numbers at one instant: the tokens, the callers that wait.

        args, kwargs: those of a call, where a `key` chooses its limit.
        """
        function = self._settings.key
        limiter = self._only if function is None else self._limiters.peek(call_key(function, args, kwargs))
        return (limiter or self._new_limiter()).snapshot()


def _is_at_rest(limiter: RateLimiter) -> bool:
    return limiter.is_at_rest


def _was_not_called(operation: Operation, attempt: int, error: BaseException) -> bool:
    """Whether the function was not called: refused by a policy of this operation, or ended in a wait for one.

    attempt: the one that the token was for. If a retry inside has made another one since, the function was called before.
    """
    # An error with a request is of a client that the function called.
    if isinstance(error, CallRefusedError) and error.request is None:
        return True
    return operation.is_queued and operation.attempt == attempt


def _outcome_of(error: BaseException, handled: BaseException | None) -> object:
    """The response that an exception stems from, of another library also by its status alone; else the exception."""
    for each in errors_behind(error, handled):
        if isinstance(each.response, HttpResponse):
            return each.response
    status = next(filter(None, map(status_of_error, chain(error, handled))), None)
    return error if status is None else HttpResponse(status)

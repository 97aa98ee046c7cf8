"""Tokens that have to be fetched: the flow that sends them, and tokens from a function of the user's.

One object is one cache: calls of all clients, threads, tasks and event loops that use it share its token and the fetch
of the next one. `core.layers.tokens` runs the fetches.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Generator
from datetime import datetime
from typing import Any

from ..core.checks import check_duration, check_number
from ..core.effects import TIMED_OUT, Invoke, Plan, Work
from ..core.layers.tokens import Fetched, TokenNeeded, TokenRequests, no_token
from ..core.machines.caching.token_cache import Token, TokenCache
from ..drivers.forks import reset_in_forked_children
from ..drivers.locks import ForkSafeLock
from ..errors import ConfigurationError, Failure, HttpClientError
from ..http.auth.bearer import bearer
from ..http.messages import HttpRequest, HttpResponse

__all__ = ["BearerToken", "TokenAuth", "called", "new_cache"]

_LEASE = 10.0  # seconds after its timeout that a fetch counts as lost
# Seconds from which a number is an instant and no duration: a token is not valid for 31 years, and 2001 is over.
_EPOCH = 1e9


def new_cache(timeout: float) -> TokenCache:
    """An empty cache.   timeout: of a fetch, in seconds."""
    cache = TokenCache(lock=ForkSafeLock(), lease=timeout + _LEASE)
    reset_in_forked_children(cache)
    return cache


class TokenAuth:
    """Sends a token as `Authorization: Bearer`, and another one, once, after a 401."""

    cache: TokenCache
    refresh_ahead: float

    @property
    def source_name(self) -> str:
        """Where tokens come from, for messages."""
        raise NotImplementedError

    def fetch(self, requests: TokenRequests, refused: str | None) -> Plan[Fetched | Failure]:
        """A new token, or why there is none."""
        raise NotImplementedError

    def auth_flow(self, request: HttpRequest) -> Generator[Any, Any, None]:
        """Send the request with the token, and once more with another one after a 401."""
        token: Token = yield TokenNeeded(self)
        request.headers["Authorization"] = bearer(token.value)
        response: HttpResponse = yield request
        if response.status_code == 401:
            can_repeat = request.body.may_send
            another: Token = yield TokenNeeded(self, token, waits=can_repeat)
            if another is token and can_repeat:
                return  # asking for more tokens is of no use
            token = another
            request.headers["Authorization"] = bearer(token.value)
            response = yield request  # a body that was a stream is not sent again: the core returns the 401
        if response.status_code == 401:
            token.was_in_vain = True
        else:
            token.is_accepted = True


class BearerToken(TokenAuth):
    """A bearer token from a function that may take its time, such as one that asks a vault or reads a shared cache.

    provider: plain or async. It returns the token; or the token and when it expires: seconds from now, an aware
        datetime, or seconds since the epoch. With one parameter, it is given the token that was refused by a 401, or None.
        A plain one runs on a thread of its own, so it may block.
    refresh_ahead: seconds before its expiry from which the next token is fetched, while this one is used.
    timeout: seconds for the provider. A plain function cannot be stopped, but its callers stop waiting: at the timeout on
        an event loop, 10 seconds after it in blocking calls.

    A token without an expiry is used until it is refused. All calls that need a token wait for one run of the
    provider. What it raises is the `__cause__` of a TokenError. Give the object to as many clients as use the same token.

    Raises ConfigurationError for a wrong setting.
    """

    def __init__(
        self, provider: Callable[..., Any], *, refresh_ahead: float = 60.0, timeout: float = 30.0
    ) -> None:
        if not callable(provider):
            raise ConfigurationError(
                f"provider must be a function that returns a token, not {type(provider).__name__}; "
                "for a token that never changes write auth.Bearer(token)"
            )
        check_number("refresh_ahead", refresh_ahead, unit="of seconds ")
        check_duration("timeout", timeout, optional=False)
        self._provider = provider
        self._takes_refused = _takes_argument(provider)
        self.refresh_ahead = refresh_ahead
        self.timeout = timeout
        self.cache = new_cache(timeout)

    @property
    def source_name(self) -> str:
        """The name of the provider."""
        return getattr(self._provider, "__qualname__", type(self._provider).__name__)

    def fetch(self, requests: TokenRequests, refused: str | None) -> Plan[Fetched | Failure]:
        """Ask the provider."""
        arguments = (refused,) if self._takes_refused else ()
        try:
            found = yield from called(self._provider, *arguments, timeout=self.timeout)
        except HttpClientError as error:
            return no_token(self, str(error), error, retry_after=getattr(error, "retry_after", None))
        if found is TIMED_OUT:
            return no_token(self, f"it returned no token within {self.timeout:g} s")
        try:
            value, lifetime = _parsed(found, requests.wall_clock())
            bearer(value)
        except ValueError as error:
            return no_token(self, str(error))
        return Fetched(value, lifetime)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__reduce__() == other.__reduce__()

    def __hash__(self) -> int:
        return hash(self.__reduce__())

    def __reduce__(self) -> tuple[Any, ...]:
        return _new_bearer_token, (self._provider, self.refresh_ahead, self.timeout)

    def __repr__(self) -> str:
        return f"BearerToken({self.source_name})"


def _new_bearer_token(provider: Callable[..., Any], refresh_ahead: float, timeout: float) -> BearerToken:
    return BearerToken(provider, refresh_ahead=refresh_ahead, timeout=timeout)


def called(function: Callable[..., Any], *arguments: Any, timeout: float) -> Plan[Any]:
    """The result of a user's function, plain or async, or TIMED_OUT. A plain one must not stop an event loop."""
    if inspect.iscoroutinefunction(function):
        return (yield from Invoke(function, *arguments, timeout=timeout))
    result = yield from Work(function, *arguments, timeout=timeout)
    if hasattr(type(result), "__await__"):
        return (yield from Invoke(lambda: result, timeout=timeout))
    return result


def _takes_argument(function: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some builtins have none
        return False
    return any(
        it.kind in (it.POSITIONAL_ONLY, it.POSITIONAL_OR_KEYWORD) and it.default is it.empty
        for it in parameters
    )


def _parsed(found: object, wall_now: float) -> tuple[str, float | None]:
    """The token and its lifetime. Raises ValueError."""
    if isinstance(found, str):
        return found, None
    if isinstance(found, tuple) and len(found) == 2 and isinstance(found[0], str):
        return found[0], _lifetime(found[1], wall_now)
    raise ValueError(f"it must return a token, or (token, expiry), not {type(found).__name__}")


def _lifetime(expiry: object, wall_now: float) -> float | None:
    if expiry is None:
        return None
    if isinstance(expiry, datetime):
        if expiry.tzinfo is None:
            raise ValueError("its expiry is a datetime without a time zone; add tzinfo=timezone.utc")
        seconds = expiry.timestamp() - wall_now
    elif isinstance(expiry, (int, float)) and not isinstance(expiry, bool):
        seconds = float(expiry) if expiry < _EPOCH else expiry - wall_now
    else:
        raise ValueError(f"its expiry must be seconds or a datetime, not {type(expiry).__name__}")
    if math.isnan(seconds):
        raise ValueError("its expiry must be seconds or a datetime, not nan")
    if seconds <= 0:
        raise ValueError("its token has expired already")
    return seconds

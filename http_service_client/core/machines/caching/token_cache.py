"""A token that many calls use, and the one fetch of the next.

    token                        a fetch is under way         a caller
    valid                        either                       uses it
    valid, soon to expire        no                           uses it and starts a fetch, for which nobody waits
    missing, expired, refused    yes                          waits for that fetch
    missing, expired, refused    no                           starts a fetch and waits for it

A fetch belongs to no caller: it goes on when the caller that started it is cancelled or runs out of time. It can be lost
all the same, with its event loop or its process. Then it is abandoned, and one of those that wait starts another. If
nobody could even say so (a loop that is never run again), its lease ends: it is older than any fetch may become.

The age of a token is the larger of what the two clocks say. The monotonic clock stands still while a machine sleeps
or a function is frozen. The wall clock may be set: backwards, then the other one counts; forwards, then a valid token is
replaced once, which does no harm.

A token service that refuses the client itself is asked again after a second: until then, all calls fail with what it said.

A refused token (401) is dropped only if it is still the current one, so a hundred calls that were refused together cause one
fetch. A token that no request was ever accepted with is a special case: where *every* token is refused, the fault is
elsewhere (a wrong audience, say), and each call would cause a fetch. Such a token causes one at most every few seconds. So
does a token that was refused in the call in which it replaced another: some services answer 401 where 403 is meant.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from ....errors import Failure, TokenError
from ..limits.semaphore import Latch

__all__ = ["ABANDONED", "Fetch", "Lookup", "Token", "TokenCache"]

ABANDONED = object()
"""The result of a fetch that was cut off."""

_MARGIN = 5.0  # seconds before its end at which a token counts as expired: requests take time to arrive
_SHORT = 10  # a token that lives shorter than so many margins has a smaller one: this share of its life
_EARLIEST = 4  # a fetch ahead of expiry begins in the last quarter of a token's life, or later
_FRUITLESS = 5.0  # seconds between two fetches for tokens that are refused from the start
_PAUSE = 30.0  # the longest wait after a failed fetch ahead of expiry
# What a token service says of a client that is wrong (RFC 6749, 5.2), and how long that is believed: else each call would
# ask again, and a service may lock out a client that does.
_FINAL = frozenset(
    {
        *("invalid_request", "invalid_client", "invalid_grant", "invalid_scope"),
        *("unauthorized_client", "unsupported_grant_type"),
    }
)
_BELIEVED = 1.0


class Token:
    """A token and when it ends.

    value: the secret.   lifetime: seconds, counted from `began_at` and `began_wall`, before it was fetched; None if it
    is unknown: such a token is used until it is refused.   refresh_after: its age from which the next one is fetched.
    is_accepted: a request with it got a response other than 401.   was_in_vain: it replaced a refused one within a call, and
    was refused itself.
    """

    __slots__ = ("began_at", "began_wall", "is_accepted", "lifetime", "refresh_after", "value", "was_in_vain")

    def __init__(
        self,
        value: str,
        lifetime: float | None,
        began_at: float,
        began_wall: float,
        refresh_ahead: float,
        jitter: float,
    ) -> None:
        self.value = value
        self.lifetime = lifetime
        self.began_at = began_at
        self.began_wall = began_wall
        self.is_accepted = False
        self.was_in_vain = False
        self.refresh_after: float | None = None
        if lifetime is not None:
            # From half to all of the time ahead: processes that started together do not fetch together.
            ahead = min(refresh_ahead, lifetime / _EARLIEST) * (0.5 + 0.5 * jitter)
            self.refresh_after = lifetime - ahead

    def age(self, now: float, wall: float) -> float:
        """Seconds since it was requested, by the clock that says more."""
        return max(now - self.began_at, wall - self.began_wall)

    def is_expired(self, now: float, wall: float) -> bool:
        """Whether it has ended, or is about to."""
        if self.lifetime is None:
            return False
        return self.age(now, wall) >= self.lifetime - min(_MARGIN, self.lifetime / _SHORT)

    def __repr__(self) -> str:
        return f"<Token, lifetime {self.lifetime}>"


class Fetch:
    """One fetch of a token, and those that wait for it.

    has_begun: its plan runs, and will end it.   is_over: opened at its end.
    result: a token, a failure, or ABANDONED; None before its end.   lease_ends_at: when it is given up as lost.
    """

    __slots__ = ("has_begun", "is_over", "lease_ends_at", "result")

    def __init__(self, lock: AbstractContextManager[Any], lease_ends_at: float) -> None:
        self.has_begun = False
        self.is_over = Latch(lock=lock)
        self.lease_ends_at = lease_ends_at
        self.result: Token | Failure | object = None


class Lookup(NamedTuple):
    """What a caller does.

    token: to use; None to wait for `fetch`.   is_new: the caller starts `fetch`, whether it waits or not.
    """

    token: Token | None
    fetch: Fetch | None
    is_new: bool


class TokenCache:
    """The current token, shared by threads, tasks, event loops and clients.

    lock: reentrant; makes it safe among threads.   lease: seconds after which a fetch counts as lost.
    refused: the value of the token that was refused last and not replaced yet, or None.
    """

    def __init__(self, *, lock: AbstractContextManager[Any], lease: float) -> None:
        self._lock = lock
        self._lease = lease
        self._token: Token | None = None
        self._fetch: Fetch | None = None
        self._not_before: float | None  # for a fetch ahead of expiry; set with the first token
        self._fruitless_until: float | None = None
        self.refused: str | None = None

    def look_up(self, now: float, wall: float) -> Lookup:
        """The token to use, or the fetch to wait for.   now: monotonic seconds.   wall: seconds since the epoch."""
        with self._lock:
            token, fetch = self._token, self._fetch
            if fetch is not None and now >= fetch.lease_ends_at:
                fetch = None
            if token is not None and token.is_expired(now, wall):
                token = self._token = None
            if token is None:
                return Lookup(None, fetch or self._new_fetch_locked(now), fetch is None)
            is_due = token.refresh_after is not None and token.age(now, wall) >= token.refresh_after
            if not is_due or fetch is not None or (self._not_before is not None and now < self._not_before):
                return Lookup(token, None, False)
            return Lookup(token, self._new_fetch_locked(now), True)

    def _new_fetch_locked(self, now: float) -> Fetch:
        self._fetch = fetch = Fetch(self._lock, now + self._lease)
        return fetch

    def refuse(self, token: Token, now: float) -> bool:
        """A request with the token got a 401.   Returns whether to ask for another token."""
        with self._lock:
            if self._token is not token:
                return True  # it was replaced, or is being replaced
            if not token.is_accepted or token.was_in_vain:
                if self._fruitless_until is not None and now < self._fruitless_until:
                    return False
                self._fruitless_until = now + _FRUITLESS
            self._token = None
            self.refused = token.value
            return True

    def begin(self, fetch: Fetch) -> bool:
        """The plan of a fetch begins. False if it must not: its start was interrupted, and another has begun."""
        with self._lock:
            fetch.has_begun = fetch.result is None
            return fetch.has_begun

    def abandon(self, fetch: Fetch) -> None:
        """The fetch may never begin: its start was interrupted, or its loop has ended. One that has begun goes on."""
        with self._lock:
            if fetch.has_begun:
                return
            fetch.result = ABANDONED
            if self._fetch is fetch:
                self._fetch = None
        fetch.is_over.open()

    def finish(self, fetch: Fetch, result: Token | Failure | object, now: float) -> None:
        """End a fetch with a token, a failure, or ABANDONED."""
        with self._lock:
            if fetch.result is not None:
                return
            is_current = self._fetch is fetch
            is_final = isinstance(result, Failure) and result.details.get("error_code") in _FINAL
            if is_final:
                fetch.lease_ends_at = now + _BELIEVED  # until then, callers join it and fail at once
            elif is_current:
                self._fetch = None
            if isinstance(result, Token):
                # A fetch that was given up as lost may come to its end after the one that replaced it.
                if is_current or self._token is None:
                    self._token, self._not_before, self.refused = result, None, None
            elif isinstance(result, Failure) and result.error_type is TokenError and is_current:
                self._not_before = now + self._pause_locked(result, now)
            fetch.result = result
        fetch.is_over.open()

    def _pause_locked(self, failure: Failure, now: float) -> float:
        """Seconds without another fetch ahead of expiry; at its expiry, one is made in any case."""
        token = self._token
        left = _PAUSE
        if token is not None and token.lifetime is not None:
            left = (token.lifetime - (now - token.began_at)) / 4
        requested = failure.details.get("retry_after")
        return max(1.0, min(left, _PAUSE), requested if isinstance(requested, (int, float)) else 0.0)

    def _reset_after_fork(self) -> None:
        """For a forked child, where the fetch of the parent does not exist. The token is valid there, too."""
        self._fetch = None

    def __repr__(self) -> str:
        return f"<TokenCache {'with' if self._token is not None else 'without'} token>"

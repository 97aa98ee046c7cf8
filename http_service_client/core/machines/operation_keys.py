"""The idempotency keys of one guarded operation: the same request gets the same key in each of its attempts.

A server that has processed a request under a key answers a repetition with the stored response. So a key must be
the same for a repetition (or an order is made twice), and never the same for two requests that are meant to happen
(or the second one is lost). The client sees requests, not what they mean; it goes by three rules.

1. Requests of the same method, URL and body are *equal*. Equal requests of one attempt are meant to happen: each
   has a key of its own.
2. A repetition uses up the keys of the equal requests before it, until there are none left; only then does it get a
   new one. However the function orders its requests, as many equal ones are processed as it makes in one attempt.
3. Of several such keys, a request gets the one whose request had the most headers in common with it (two tenants
   may send the same body); then one whose request did not succeed; then the oldest.

       attempt 1     POST /items {"id": 1}  key a, 201      POST /items {"id": 1}  key b, lost
       attempt 2     POST /items {"id": 1}  key b           (a function that remembers that the first was done)
       attempt 2     POST /items {"id": 1}  key b           POST /items {"id": 1}  key a   (a function that does not)

Headers are no part of what makes requests equal: many carry a new id or token in each attempt, and a new key for it
would make the order twice. One case stays open: the function skips what was done *and* goes on with another
request that is equal to it. Rule 2 takes it for a repetition, since most functions repeat everything, and since the
requests of such a function can say what they are by keys of their own.

Policies inside policies repeat inside repetitions. The keys of an inner operation are those of the outer one: it
takes over a key when it first makes a request, and gives that key to its own repetitions.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

__all__ = ["OperationKeys"]


class _Key(NamedTuple):
    value: str
    headers: frozenset[int]  # hashes: the keys must not keep credentials in memory


class OperationKeys:
    """The keys of one operation, by request.

    make: a new key.
    lock: reentrant; makes the keys safe among threads. An outer operation must share it.
    outer: the keys of the operation around this one, or None.
    is_full: it has more keys than are kept, so that it must not be repeated.
    """

    __slots__ = ("_done", "_known", "_left", "_lock", "_make", "_outer", "_values", "is_full")

    # Each takes about a kilobyte, and an endless loop under a policy must not fill the memory. If single keys were
    # forgotten, a repetition would make new ones: beyond this number, the operation as a whole cannot be repeated.
    most = 1000

    def __init__(
        self, make: Callable[[], str], lock: AbstractContextManager[Any], outer: OperationKeys | None = None
    ) -> None:
        self._make = make
        self._lock = lock
        self._outer = outer
        self._known: dict[Hashable, list[_Key]] = {}
        self._left: dict[Hashable, list[_Key]] = {}  # those not yet given in this attempt
        self._values: set[str] = set()
        self._done: set[str] = set()
        self.is_full = False

    def begin_attempt(self) -> None:
        """From now on, requests are repetitions."""
        with self._lock:
            self._left = {}

    def key_for(self, request: Hashable, headers: Iterable[tuple[str, str]]) -> str:
        """The key of this request: that of an earlier attempt, or a new one.

        request: equal requests are those for which this is equal.
        """
        return self._key_for(request, frozenset(map(hash, headers))).value

    def record_success(self, key: str) -> None:
        """The request with this key was answered, and not by an error. Unknown keys are ignored."""
        with self._lock:
            if key in self._values:
                self._done.add(key)

    def _key_for(self, request: Hashable, headers: frozenset[int]) -> _Key:
        with self._lock:
            left = self._left.get(request)
            if left is None:
                left = list(self._known.get(request, ()))
            if left:
                key = max(left, key=lambda each: (len(each.headers & headers), each.value not in self._done))
                left.remove(key)
                self._left[request] = left
                return key
            outer = self._outer
            key = _Key(self._make(), headers) if outer is None else outer._key_for(request, headers)
            if not self.is_full:
                self._keep_locked(request, key)
            return key

    def _keep_locked(self, request: Hashable, key: _Key) -> None:
        if len(self._values) < self.most:
            self._left.setdefault(request, [])  # the ones from now on are not for this attempt
            self._known.setdefault(request, []).append(key)
            self._values.add(key.value)
        else:
            self.is_full = True
            for memory in (self._known, self._left, self._values, self._done):
                memory.clear()

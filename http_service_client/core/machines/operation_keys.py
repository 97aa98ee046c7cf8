"""The idempotency keys of one guarded operation: the same request gets the same key in each of its attempts.

A server that has processed a request under a key answers a repetition with the stored response. So a key must be
the same for a repetition, and never the same for two requests that are meant to happen. Two
requests differ by their content (method, URL, body) or by their number among equal ones in the same attempt:

    attempt 1     POST /items {"id": 1}  key a      POST /items {"id": 2}  key b
    attempt 2     POST /items {"id": 2}  key b      (the function remembered that the first was done)

Such a function must not make two *equal* requests: in the next attempt, the second would get the key of the first.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterator

__all__ = ["OperationKeys"]


class OperationKeys:
    """Keys by request. Safe among threads: each step is one operation of a dictionary or an iterator."""

    __slots__ = ("_keys", "_numbers")

    def __init__(self) -> None:
        self._keys: dict[tuple[Hashable, int], str] = {}
        self._numbers: dict[Hashable, Iterator[int]] = {}

    def begin_attempt(self) -> None:
        """Count equal requests from the beginning."""
        self._numbers = {}

    def key_for(self, request: Hashable, make: Callable[[], str]) -> str:
        """The key of this request: the one of the earlier attempt, or a new one."""
        number = next(self._numbers.setdefault(request, itertools.count()))
        return self._keys.setdefault((request, number), make())

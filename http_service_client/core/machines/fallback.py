"""What stands in for a call that failed: a value, a function's result, or the last result that was good.

The last good results are kept by key, in bounded memory: the one that was used or renewed longest ago is forgotten first.
A stored result has an age. One that is older than the user accepts is not used.
"""

from __future__ import annotations

import copy
import inspect
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import FunctionType, MethodType
from typing import Any, Final, Generic, NamedTuple, TypeVar

from ...errors import (
    CallRefusedError,
    ConfigurationError,
    EgressRefusedError,
    HttpClientError,
    SentState,
    TlsVerificationError,
    TransportError,
    chain,
    errors_behind,
)
from ...http.messages import HttpResponse
from ..checks import check_count, check_duration, check_flag, check_function, remedies, suggests_keywords
from .failure_kinds import FAILURE_STATUSES, is_among, parse_kinds
from .other_libraries import READERS, is_transient, is_unverified, status_of

__all__ = ["NOTHING", "FallbackSettings", "Good", "LastGood"]

T = TypeVar("T")


class _Nothing:
    """The type of NOTHING: no value was given. None is a value."""

    def __repr__(self) -> str:
        return "NOTHING"

    def __reduce__(self) -> str:
        return "NOTHING"


NOTHING: Final = _Nothing()

_USUAL = (CallRefusedError, TransportError, ConnectionError, TimeoutError, *FAILURE_STATUSES)
# Whatever they stem from: an error of the program while it deals with a failure is still one of the program.
_OF_THE_PROGRAM = (
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    MemoryError,
    NameError,
    NotImplementedError,
    RecursionError,
    SyntaxError,
    TypeError,
)
_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "QUERY"})
_HARMLESS = (SentState.NEVER_SENT, SentState.REFUSED)
_COPIED = (bytearray, dict, list, set)

RENAMED = remedies(
    {
        "it is called value": "default result fallback_value",
        "it is called function": "handler fallback fallback_function fallback_action fallback_method"
        " callback",
        "it is called last_good": "stale max_age stale_if_error stale_on_error ttl",
        "it is called failures": "exceptions handle on on_exceptions statuses",
        "it is called is_failure": "condition should_handle predicate",
        "pass on_event to HttpServiceClient, or to ResiliencePipeline": "on_fallback",
    }
)


@suggests_keywords(RENAMED)
@dataclass(frozen=True, kw_only=True)
class FallbackSettings:
    """The settings of a fallback. See `FallbackPolicy`, which has them as its arguments."""

    value: Any = field(default=NOTHING, hash=False)
    function: Callable[..., Any] | None = None
    last_good: float | None = None
    failures: Iterable[int | range | type[BaseException]] | None = None
    is_failure: Callable[[Any], bool | None] | None = None
    unsafe_methods: bool = False
    single_user: bool = False
    key: Callable[..., Hashable] | None = None
    max_entries: int = 1000
    max_bytes: int = 16 * 1024 * 1024

    def __post_init__(self) -> None:
        if self.value is not NOTHING and self.function is not None:
            raise ConfigurationError("value and function are both set; a fallback is one of them")
        if self.value is NOTHING and self.function is None and self.last_good is None:
            raise ConfigurationError(
                "a fallback needs value=, function= or last_good=, such as FallbackPolicy(last_good=300)"
            )
        if self.function is not None and not callable(self.function):
            raise ConfigurationError(
                f"function must be a function of the error, not {self.function!r}; pass a ready result as value="
            )
        if isinstance(self.value, (FunctionType, MethodType)):
            raise ConfigurationError(
                f"value is {self.value!r}, which would be the result itself; pass it as function="
            )
        if isinstance(self.function, FunctionType) and not inspect.signature(self.function).parameters:
            raise ConfigurationError(
                f"function must take the error, and {self.function!r} takes no arguments; write it as lambda error: …"
            )
        check_duration("last_good", self.last_good, no_limit="leave it out to keep no results")
        if self.failures is not None:
            object.__setattr__(self, "failures", parse_kinds(self.failures))
            if self.is_failure is not None:
                raise ConfigurationError("failures and is_failure are both set; choose one of them")
        for name in ("is_failure", "key"):
            if getattr(self, name) is not None:
                check_function(name, getattr(self, name))
        for name in ("unsafe_methods", "single_user"):
            check_flag(name, getattr(self, name))
        for name in ("max_entries", "max_bytes"):
            check_count(name, getattr(self, name))

    def covers(self, subject: object, handled: BaseException | None = None) -> bool:
        """Whether the fallback stands in for a result or an exception.   handled: see `errors.chain`.

        by default: an exception that is, or stems from, a refusal of a client, a transport error of any library, a
        timeout, or a response with 408, 429 or 5xx; and such a response. Never an error of the program.
        """
        if self.is_failure is not None:
            return bool(self.is_failure(subject))
        kinds: Any = self.failures
        if not isinstance(subject, BaseException):
            if READERS[type(subject)] is None:  # the usual result of a function
                return False
            return is_among(subject, kinds) if kinds else status_of(subject) in FAILURE_STATUSES
        if kinds:
            return is_among(subject, kinds, handled)
        if isinstance(subject, _OF_THE_PROGRAM):
            return False
        links = list(chain(subject, handled))
        if any(
            isinstance(each, (TlsVerificationError, EgressRefusedError)) or is_unverified(type(each))
            for each in links
        ):
            return False  # an attacker may be the cause: that must be seen
        return is_among(subject, _USUAL, handled) or any(map(is_transient, links))

    def may_answer(self, method: str) -> bool:
        """Whether it may stand in for the response to a request: for another than a safe one, it would hide a change."""
        return self.unsafe_methods or method in _SAFE

    def may_hide(self, error: BaseException, handled: BaseException | None = None) -> bool:
        """Whether it may stand in for a function's error: not if a request inside may have changed something."""
        return self.unsafe_methods or not any(map(_may_have_changed_something, errors_behind(error, handled)))

    def may_hide_response(self, response: HttpResponse) -> bool:
        """The same for a response."""
        request = response.request
        return (
            self.unsafe_methods
            or request is None
            or request.method in _SAFE
            or response.sent_state in _HARMLESS
        )

    def ready_value(self) -> Any:
        """The value. Of a list, dictionary or set a copy, which its caller may change."""
        return copy.deepcopy(self.value) if isinstance(self.value, _COPIED) else self.value

    def arguments(
        self, error: BaseException, others: tuple[Any, ...], named: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
        """What the function is called with: the error, and the other arguments if it takes more than one."""
        return ((error, *others), named) if _takes_more(self.function) else ((error,), {})


def _takes_more(function: Any) -> bool:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # some builtins
        return False
    takes_any = any(it.kind in (it.VAR_POSITIONAL, it.VAR_KEYWORD) for it in parameters)
    return takes_any or sum(it.default is it.empty for it in parameters) > 1


def _may_have_changed_something(error: HttpClientError) -> bool:
    request = error.request
    return request is not None and request.method not in _SAFE and error.sent_state not in _HARMLESS


class Good(NamedTuple):
    """A result that was good.   age: seconds."""

    result: Any
    age: float


class LastGood(Generic[T]):
    """The last good result for each key.

    max_entries, max_bytes: limits of what is kept; the least recently used ones make room for others.
    lock: makes it safe among threads.
    generation: how many times all were forgotten.
    """

    def __init__(self, max_entries: int, max_bytes: int, *, lock: AbstractContextManager[Any]) -> None:
        self._lock = lock
        self._max_entries, self._max_bytes = max_entries, max_bytes
        self._entries: OrderedDict[Hashable, tuple[T, float, int]] = OrderedDict()
        self._bytes = self.generation = 0

    def keep(
        self, key: Hashable, result: T, now: float, size: int = 0, generation: int | None = None
    ) -> None:
        """Keep a result in the place of the one before.

        size: bytes; a result that is too large is not kept.   generation: in which the call began; if all were forgotten
            since, its result is not kept either.
        """
        with self._lock:
            if generation not in (None, self.generation):
                return
            self._forget(key)
            if size <= self._max_bytes:
                self._entries[key] = (result, now, size)
                self._bytes += size
                self._make_room()

    def find(self, key: Hashable, now: float, max_age: float) -> Good | None:
        """The result that was kept last, if it is not too old."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            result, kept_at, _ = entry
            if now - kept_at > max_age:
                return None  # it stays: another call may accept an older one
            self._entries.move_to_end(key)
            return Good(result, now - kept_at)

    def resize(self, max_entries: int, max_bytes: int) -> None:
        """Change the limits."""
        with self._lock:
            self._max_entries, self._max_bytes = max_entries, max_bytes
            self._make_room()

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._entries.clear()
            self._bytes = 0
            self.generation += 1

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size(self) -> int:
        """The bytes in use, as they were given."""
        return self._bytes

    def _make_room(self) -> None:
        while len(self._entries) > self._max_entries or self._bytes > self._max_bytes:
            self._forget(next(iter(self._entries)))

    def _forget(self, key: Hashable) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= entry[2]

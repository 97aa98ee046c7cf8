"""Which outcomes are worth a retry.

A condition judges an `HttpResponse`, a `Failure` (from the client's layers) or, around a guarded function, an
exception or a returned value. Worth a retry is not the same as safe to repeat: see `core.layers.retry`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ....errors import (
    ConfigurationError,
    DeadlineTooShortError,
    EgressRefusedError,
    Failure,
    TlsVerificationError,
    TransportError,
    chain,
)
from ....http.messages import HttpResponse
from ...checks import check_flag, check_function, verdict_of
from ..other_libraries import is_transient, is_unverified, status_of, status_of_error

__all__ = ["DEFAULT_CONDITIONS", "RETRYABLE_STATUSES", "RetryCondition", "is_final_type"]

# The last six are no standard. By 520 to 524 Cloudflare says that the service behind it could not be reached, or gave no
# response that it could use: they are its 502 and 504. 525 and 526, which are about a certificate, stay as they are. By
# 529 some services, of models above all, mean "overloaded".
RETRYABLE_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})

_JUDGED = (HttpResponse, Failure, BaseException)  # only predicates judge anything else

_TIMEOUTS = frozenset({"Timeout", "TimeoutError", "TimeoutException"})

ErrorTypes = tuple[type[BaseException], ...]


@dataclass(frozen=True)
class RetryCondition:
    """One reason to retry. Made by the `on_…` constructors.

    description: the condition's text in messages.
    statuses: the response status codes for which it holds.
    errors: the error types for which it holds, subclasses included. It never holds for a certificate that
        could not be verified, though that is a `ConnectionError`, nor for an address that the egress policy
        refuses: an attacker could cause both, and would gain another try.
    predicate: a plain function that judges a response or a returned value; or None.
    other_libraries: it also holds for the transport errors of requests, urllib3, aiohttp, httpx and httpx2.
    even_if_unsafe: a response for which it holds says that the server did not do what it was asked to, so that a request
        that is not safe to repeat, such as a POST, is repeated too. It says so of responses alone: not of a timeout
        or a lost connection.
    """

    description: str
    statuses: frozenset[int] = frozenset()
    errors: ErrorTypes = ()
    predicate: Callable[[Any], bool] | None = None
    other_libraries: bool = False
    even_if_unsafe: bool = False

    def __post_init__(self) -> None:
        check_flag("even_if_unsafe", self.even_if_unsafe)
        if self.predicate is not None:
            check_function("predicate", self.predicate)

    def __repr__(self) -> str:
        return f"<RetryCondition {self.description}>"

    @classmethod
    def defaults(cls) -> list[RetryCondition]:
        """The conditions of a policy that sets none, as a list to add to or to take from.

        Transport errors, of this package and of requests, urllib3, aiohttp, httpx and httpx2; then the statuses 408,
        425, 429, 500, 502, 503, 504, 520 to 524 and 529, also of those libraries' responses and `raise_for_status()`.
        """
        return list(DEFAULT_CONDITIONS)

    @classmethod
    def on_timeout(cls) -> RetryCondition:
        """Timeouts of any kind: ours, `TimeoutError`, asyncio's, requests' and httpx's."""
        return cls("a timeout", errors=(TimeoutError,))

    @classmethod
    def on_status_codes(cls, status_codes: Iterable[int], *, even_if_unsafe: bool = False) -> RetryCondition:
        """Responses with one of these status codes (100 to 599), and errors that another library raised for one.

        even_if_unsafe: True if these responses say that the server did nothing: a POST is repeated too.
        """
        codes = _listed(status_codes, "on_status_codes takes a list of status codes")
        for code in codes:
            if type(code) is not int or not 100 <= code <= 599:
                raise ConfigurationError(f"on_status_codes takes status codes from 100 to 599, not {code!r}")
        return cls(
            f"status {', '.join(map(str, sorted(codes)))}",
            statuses=frozenset(codes),
            even_if_unsafe=even_if_unsafe,
        )

    @classmethod
    def on_exceptions(cls, exceptions: Iterable[type[BaseException]]) -> RetryCondition:
        """Errors of one of these types, and errors that stem from one: by cause, by context, or as members of a group."""
        types = _listed(exceptions, "on_exceptions takes a list of exception classes")
        for item in types:
            if not (isinstance(item, type) and issubclass(item, BaseException)):
                raise ConfigurationError(f"on_exceptions takes exception classes, not {item!r}")
        return cls(" or ".join(item.__name__ for item in types), errors=types)

    @classmethod
    def on_result(cls, predicate: Callable[[Any], bool], *, even_if_unsafe: bool = False) -> RetryCondition:
        """Responses, or values returned by a guarded function, for which the predicate is true.

        even_if_unsafe: True if these responses say that the server did nothing: a POST is repeated too.
        """
        if not callable(predicate):
            raise ConfigurationError(f"on_result takes a function of one argument, not {predicate!r}")
        return cls("the result", predicate=predicate, even_if_unsafe=even_if_unsafe)

    def holds_for(self, outcome: object) -> bool:
        """Whether this outcome is worth a retry."""
        if self.predicate is None and not isinstance(outcome, _JUDGED):
            return status_of(outcome) in self.statuses
        if isinstance(outcome, HttpResponse):
            return outcome.status_code in self.statuses or self._accepts(outcome)
        if isinstance(outcome, Failure):
            return self._matches([outcome.error_type, type(outcome.cause)])
        if isinstance(outcome, BaseException):
            return self.holds_for_error(outcome)
        return status_of(outcome) in self.statuses or self._accepts(outcome)

    def holds_for_error(self, error: BaseException, handled: BaseException | None = None) -> bool:
        """Whether a function's error is worth a retry.   handled: see `errors.chain`."""
        links = list(chain(error, handled))
        if self._matches([type(each) for each in links]):
            return True
        if self.statuses and any(status_of_error(each) in self.statuses for each in links):
            return True
        return self.other_libraries and any(map(is_transient, links)) and not any(map(_is_final, links))

    def _accepts(self, result: object) -> bool:
        return self.predicate is not None and verdict_of(self.predicate(result))

    def _matches(self, types: list[type]) -> bool:
        """types: of an error and of all that it stems from."""
        if any(map(is_final_type, types)):
            return False
        is_on_timeout = TimeoutError in self.errors
        return any(issubclass(each, self.errors) or (is_on_timeout and is_timeout(each)) for each in types)


def is_final_type(error_type: type) -> bool:
    """Whether no condition holds for an error of this type: see `RetryCondition.errors`."""
    final = (TlsVerificationError, EgressRefusedError, DeadlineTooShortError)
    return issubclass(error_type, final) or is_unverified(error_type)


def _is_final(error: BaseException) -> bool:
    return is_final_type(type(error))


def _listed(given: Any, expected: str) -> tuple[Any, ...]:
    if isinstance(given, (str, bytes, type)) or not isinstance(given, Iterable):
        shown = given.__name__ if isinstance(given, type) else repr(given)
        raise ConfigurationError(f"{expected}, not {shown}; write [{shown}] for one")
    return tuple(given)


def is_timeout(error_type: type) -> bool:
    """Whether an error of this type says that time was up."""
    # On Python 3.10 asyncio and concurrent.futures have TimeoutErrors of their own; requests and httpx everywhere.
    return any(base.__name__ in _TIMEOUTS for base in error_type.__mro__)


DEFAULT_CONDITIONS = (
    RetryCondition(
        "a transport error", errors=(TransportError, ConnectionError, TimeoutError), other_libraries=True
    ),
    RetryCondition.on_status_codes(RETRYABLE_STATUSES),
)

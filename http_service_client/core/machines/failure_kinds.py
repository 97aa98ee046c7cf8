"""Kinds of failures, as a user lists them: statuses, ranges of statuses, and exception classes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...errors import ConfigurationError, chain
from .other_libraries import status_of, status_of_error

__all__ = ["FAILURE_STATUSES", "Kind", "is_among", "parse_kinds"]

Kind = int | range | type[BaseException]

FAILURE_STATUSES = frozenset({408, 429, *range(500, 600)})
"""Those that say that a service fails, and not that the request was wrong."""


def parse_kinds(given: Any, field: str = "failures") -> tuple[Kind, ...]:
    """The kinds of failures, checked.   field: the setting, for the message."""
    kinds = tuple(given) if isinstance(given, Iterable) and not isinstance(given, (str, bytes)) else ()
    if not kinds or not all(map(_is_kind, kinds)):
        raise ConfigurationError(
            f"{field} must be a list of statuses, ranges of them and exception classes, not {given!r}; write for example "
            "[503, range(520, 530), ConnectError]"
        )
    return kinds


def _is_kind(given: object) -> bool:
    if isinstance(given, type):
        return issubclass(given, BaseException)
    return isinstance(given, range) or (type(given) is int and 100 <= given <= 599)


def is_among(subject: object, kinds: Any, handled: BaseException | None = None) -> bool:
    """Whether a response, an exception or what it stems from is of one of these kinds.   handled: see `errors.chain`."""
    if isinstance(subject, BaseException):
        links = list(chain(subject, handled))
        if any(isinstance(each, kind) for each in links for kind in kinds if isinstance(kind, type)):
            return True
        statuses = [getattr(each, "status_code", None) or status_of_error(each) for each in links]
    else:
        statuses = [status_of(subject)]
    return any(
        status == kind or (isinstance(kind, range) and status in kind)
        for status in statuses
        if status is not None
        for kind in kinds
    )

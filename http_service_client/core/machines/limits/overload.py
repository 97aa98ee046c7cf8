"""What the result of a call says about the load of the service: one table for adaptive limits and for load shedding.

result                                                        evidence     latency counts    load shedding
a response below 400; 404, 409, 410, 412, 422                 answered     yes               accepted
429, 503; connection refused; HTTP/2 REFUSED_STREAM           refused      no                rejected
504; timed out, also while connecting                         late         no                rejected
any other response: a 500, or a 401 of a gateway              other        no                accepted
the deadline expired during the exchange                      cut short    at least that     no evidence
cancelled; never sent; refused by a policy of this client;    none         no                no evidence
DNS, TLS, proxy; the connection was lost

A guarded function is judged by its result, if that is a response of a known library, and by the errors that its exception stems
from. Any other result is an answer, and any other exception of its own is "other".
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Any

from ....errors import (
    AttemptTimeoutError,
    ConnectError,
    ConnectionLostError,
    DeadlineExceededError,
    Failure,
    HttpClientError,
    HttpStatusError,
    PoolTimeoutError,
    RequestTimeoutError,
    SentState,
    chain,
    errors_behind,
)
from ....http.messages import HttpResponse
from ..failure_kinds import is_among
from ..other_libraries import is_transient, status_of, status_of_error

__all__ = ["Evidence", "evidence_of", "evidence_of_error", "evidence_of_result"]


class Evidence(Enum):
    """What the result of a call says about the load of the service."""

    ANSWERED = auto()
    REFUSED = auto()
    LATE = auto()
    OTHER = auto()
    CUT_SHORT = auto()
    NONE = auto()


_ANSWERED, _REFUSED, _LATE, _OTHER, _CUT_SHORT, _NONE = Evidence  # enum attribute access is slow (50 ns)
_BY_STATUS = {
    **dict.fromkeys((404, 409, 410, 412, 422), _ANSWERED),  # it has looked
    **dict.fromkeys((429, 503), _REFUSED),
    504: _LATE,
}
_TIMEOUTS = frozenset({"TimeoutError", "Timeout", "TimeoutException"})  # of Python, requests and httpx


def evidence_of(outcome: HttpResponse | Failure, kinds: Any = None) -> Evidence:
    """That of an attempt.   kinds: of results that say "refused", beside those of the table; see `failure_kinds`."""
    if isinstance(outcome, HttpResponse):
        if kinds is not None and is_among(outcome, kinds):
            return _REFUSED
        return _ANSWERED if outcome.status_code < 400 else _BY_STATUS.get(outcome.status_code, _OTHER)
    if kinds is not None and any(
        isinstance(kind, type) and issubclass(outcome.error_type, kind) for kind in kinds
    ):
        return _REFUSED
    return _of_type(outcome.error_type, outcome.sent_state)


def evidence_of_result(result: object, kinds: Any = None) -> Evidence:
    """That of a guarded function's result."""
    if kinds is not None and is_among(result, kinds):
        return _REFUSED
    status = status_of(result)
    return _ANSWERED if status is None or status < 400 else _BY_STATUS.get(status, _OTHER)


def evidence_of_error(error: BaseException, handled: BaseException | None, kinds: Any = None) -> Evidence:
    """That of a guarded function's exception.   handled: see `errors.chain`."""
    if not isinstance(error, Exception):  # cancelled or interrupted
        return _NONE
    if kinds is not None and is_among(error, kinds, handled):
        return _REFUSED
    for ours in errors_behind(error, handled):
        if isinstance(ours, HttpStatusError) and ours.response is not None:
            return evidence_of(ours.response)
        return _of_type(type(ours), ours.sent_state)
    links = list(chain(error, handled))
    for link in links:
        if (status := status_of_error(link)) is not None:
            return _BY_STATUS.get(status, _OTHER)
    if any(isinstance(link, ConnectionRefusedError) for link in links):
        return _REFUSED
    if any(base.__name__ in _TIMEOUTS for link in links for base in type(link).__mro__):
        return _LATE
    is_lost = any(isinstance(link, ConnectionError) or is_transient(link) for link in links)
    return _NONE if is_lost else _OTHER


def _of_type(error_type: type[HttpClientError], state: object) -> Evidence:
    if error_type is ConnectError:
        return _REFUSED
    if error_type is ConnectionLostError:
        return _REFUSED if state == SentState.REFUSED else _NONE
    if not issubclass(error_type, RequestTimeoutError) or issubclass(error_type, PoolTimeoutError):
        return _NONE
    if issubclass(error_type, DeadlineExceededError):
        return _NONE if state == SentState.NEVER_SENT else _CUT_SHORT
    if issubclass(error_type, AttemptTimeoutError) and state == SentState.NEVER_SENT:
        return _NONE  # it was spent on something of our own
    return _LATE

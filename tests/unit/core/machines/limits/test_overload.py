"""What a result says about the load of a service: the table of `core.machines.limits.overload`, row by row."""

from __future__ import annotations

import asyncio
from typing import Any

import requests

from http_service_client.core.machines.limits.overload import (
    Evidence,
    evidence_of,
    evidence_of_error,
    evidence_of_result,
)
from http_service_client.errors import (
    AttemptTimeoutError,
    CircuitOpenError,
    ConnectError,
    ConnectionLostError,
    ConnectTimeoutError,
    DeadlineExceededError,
    DecodingError,
    Failure,
    HttpStatusError,
    NameResolutionError,
    PoolTimeoutError,
    ReadTimeoutError,
    SentState,
    TlsError,
    WriteTimeoutError,
)
from http_service_client.http.messages import HttpResponse
from kit.fakes import short
from kit.rows import each_row

ANSWERED, REFUSED, LATE, OTHER, CUT_SHORT, NONE = Evidence
BY_STATUS = [
    *[(status, ANSWERED) for status in (200, 204, 302, 304, 399, 404, 409, 410, 412, 422)],
    *[(status, REFUSED) for status in (429, 503)],
    (504, LATE),
    *[(status, OTHER) for status in (400, 401, 403, 408, 500, 501, 502, 505)],
]
BY_ERROR = [
    (ConnectError, SentState.NEVER_SENT, REFUSED),
    (NameResolutionError, SentState.NEVER_SENT, NONE),
    (TlsError, SentState.NEVER_SENT, NONE),
    (ConnectTimeoutError, SentState.NEVER_SENT, LATE),
    (ReadTimeoutError, SentState.MAYBE_PROCESSED, LATE),
    (WriteTimeoutError, SentState.MAYBE_PROCESSED, LATE),
    (AttemptTimeoutError, SentState.MAYBE_PROCESSED, LATE),
    (AttemptTimeoutError, SentState.NEVER_SENT, NONE),
    (PoolTimeoutError, SentState.NEVER_SENT, NONE),
    (DeadlineExceededError, SentState.ABANDONED, CUT_SHORT),
    (DeadlineExceededError, SentState.NEVER_SENT, NONE),
    (ConnectionLostError, SentState.MAYBE_PROCESSED, NONE),
    (ConnectionLostError, SentState.REFUSED, REFUSED),
    (DecodingError, SentState.ANSWERED, NONE),
    (CircuitOpenError, SentState.NEVER_SENT, NONE),
]


class ThrottlingError(Exception):
    """A library's own error."""


def by(cause: BaseException) -> RuntimeError:
    """An error that stems from another."""
    error = RuntimeError("no rates")
    error.__cause__ = cause
    return error


@each_row(("status", "expected"), BY_STATUS)
def test_a_response_by_its_status(status: int, expected: Evidence) -> None:
    """Of a client's call, of a guarded function that returns it, and of one that raises for it."""
    response = HttpResponse(status)
    assert evidence_of(response) is expected
    assert evidence_of_result(response) is expected
    if status >= 400:
        assert evidence_of_error(HttpStatusError("it failed", response=response), None) is expected


@each_row(("kind", "state", "expected"), BY_ERROR, ids=short)
def test_a_failure_by_its_kind(kind: type[Any], state: SentState, expected: Evidence) -> None:
    """As the outcome of an attempt, and as the error inside an exception of a guarded function."""
    assert evidence_of(Failure(kind, "it failed", state)) is expected
    assert evidence_of_error(by(kind("it failed", sent_state=state)), None) is expected


def test_a_response_counts_only_where_its_status_is_the_error() -> None:
    """That of another failure says no more than the failure, and an error for a status without one says nothing."""
    cut = DecodingError("it is corrupt", response=HttpResponse(200))
    assert evidence_of_error(cut, None) is NONE
    assert evidence_of_error(HttpStatusError("it failed", status_code=503), None) is NONE


@each_row(
    ("error", "expected"),
    [
        (TimeoutError(), LATE),
        (asyncio.TimeoutError(), LATE),
        (ConnectionRefusedError(), REFUSED),
        (ConnectionResetError(), NONE),
        (by(ConnectionRefusedError()), REFUSED),
        (by(ConnectionResetError()), NONE),
        (by(TimeoutError()), LATE),
        (asyncio.CancelledError(), NONE),
        (KeyboardInterrupt(), NONE),
        (ValueError("wrong"), OTHER),
    ],
    ids=short,
)
def test_any_other_exception(error: BaseException, expected: Evidence) -> None:
    """Of the function itself: it shows that the service has answered, unless it says otherwise."""
    assert evidence_of_error(error, None) is expected


def test_the_errors_of_other_libraries() -> None:
    """A timeout by the name of its class, a status by the response, in whatever library."""
    response = requests.Response()
    response.status_code = 429
    assert evidence_of_error(requests.HTTPError("too many", response=response), None) is REFUSED
    assert evidence_of_error(requests.ReadTimeout(), None) is LATE
    assert evidence_of_error(requests.ConnectionError(), None) is NONE
    assert evidence_of_result(response) is REFUSED
    assert evidence_of_error(type("TimeoutException", (Exception,), {})(), None) is LATE  # httpx's


def test_any_other_result_is_an_answer() -> None:
    """Also None."""
    assert evidence_of_result(None) is ANSWERED


@each_row(
    ("evidence", "expected"),
    [
        (evidence_of(HttpResponse(529), (529,)), REFUSED),
        (evidence_of(HttpResponse(200), (529,)), ANSWERED),
        (evidence_of(Failure(ReadTimeoutError, "late", SentState.MAYBE_PROCESSED), (TimeoutError,)), REFUSED),
        (evidence_of(Failure(ReadTimeoutError, "late", SentState.MAYBE_PROCESSED), (529,)), LATE),
        (evidence_of(Failure(ReadTimeoutError, "late", SentState.MAYBE_PROCESSED), (KeyError,)), LATE),
        (
            evidence_of(Failure(ReadTimeoutError, "late", SentState.MAYBE_PROCESSED), (529, TimeoutError)),
            REFUSED,
        ),
        (evidence_of_result(HttpResponse(529), (range(520, 530),)), REFUSED),
        (evidence_of_error(ThrottlingError(), None, (ThrottlingError,)), REFUSED),
        (evidence_of_error(ValueError(), None, (ThrottlingError,)), OTHER),
    ],
)
def test_kinds_that_a_user_lists(evidence: Evidence, expected: Evidence) -> None:
    """They say "refused", beside those of the table."""
    assert evidence is expected

"""Which requests may be sent again, and the sent state of the resulting error."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client.core.machines.retry.backoff import ExponentialBackoff
from http_service_client.core.machines.retry.conditions import (
    DEFAULT_CONDITIONS,
)
from http_service_client.errors import (
    Failure,
    HttpClientError,
    NameResolutionError,
    PoolTimeoutError,
    ProtocolError,
    ReadTimeoutError,
    SentState,
    TlsError,
    TlsVerificationError,
    WriteTimeoutError,
)
from http_service_client.events import RetryStopped, StopReason
from http_service_client.http.messages import HttpResponse
from kit.fakes import READ_TIMEOUT, REFUSED, RESET, SLOW, Harness, failure, short
from kit.front_ends import FrontEnd
from kit.rows import each_row

EXACT = ExponentialBackoff(jitter="none")  # 1, 2, 4 ... seconds
NO_BREAKER: dict[str, Any] = {"enable_circuit_breaker": False}


def stop_reason(harness: Harness) -> StopReason | None:
    return next((event.reason for event in harness.events if isinstance(event, RetryStopped)), None)


SAFE_METHODS = ["GET", "HEAD", "OPTIONS", "QUERY", "PUT", "DELETE"]
UNSAFE_METHODS = ["POST", "PATCH"]


@each_row("status", range(200, 600))
def test_the_default_conditions_hold_for_these_statuses(status: int) -> None:
    """408, 425, 429, 500, 502, 503, 504, 520 to 524 and 529 are retried by default, and no other status."""
    is_retryable = any(condition.holds_for(HttpResponse(status)) for condition in DEFAULT_CONDITIONS)
    assert is_retryable is (status in {408, 425, 429, 500, 502, 503, 504, *range(520, 525), 529})


@each_row("method", [*SAFE_METHODS, *UNSAFE_METHODS])
@each_row(
    ("first", "when_unsafe"),
    [
        (REFUSED, True),  # connection refused: nothing left this machine
        (failure(NameResolutionError, SentState.NEVER_SENT), True),
        (failure(TlsError, SentState.NEVER_SENT), True),
        (failure(PoolTimeoutError, SentState.NEVER_SENT), True),
        ((429, {}), True),  # refused before processing
        ((425, {}), True),
        ((503, {"Retry-After": "0"}), True),
        ((503, {}), False),
        ((500, {}), False),
        ((502, {}), False),
        ((504, {}), False),
        ((521, {}), False),
        ((529, {}), False),
        ((408, {}), False),
        (READ_TIMEOUT, False),
        (RESET, False),
        (SLOW, False),
        (failure(WriteTimeoutError), False),
        (failure(ProtocolError), False),
    ],
    ids=short,
)
def test_an_unsafe_method_is_retried_only_if_it_was_not_processed(
    front_end: FrontEnd, method: str, first: Any, when_unsafe: bool
) -> None:
    """Idempotent methods are always retried; others only if the server did not process them."""
    harness = Harness(front_end, first, 200, **NO_BREAKER)
    is_repeated = when_unsafe or method in SAFE_METHODS
    if is_repeated:
        assert harness.request(method).attempts == 2
    elif isinstance(first, Failure):
        assert harness.error(first.error_type, method).sent_state is SentState.MAYBE_PROCESSED
    else:
        assert harness.request(method).status_code == first[0]
    assert harness.sends == 1 + is_repeated
    assert stop_reason(harness) is (None if is_repeated else StopReason.NOT_SAFE)


@each_row(
    ("method", "options", "is_repeated"),
    [
        ("POST", {}, False),
        ("POST", {"headers": {"Idempotency-Key": "k1"}}, True),
        ("POST", {"headers": {"X-Idempotency-Key": "k1"}}, True),
        ("POST", {"headers": {"x-idempotency-key": "k1"}}, True),
        ("PATCH", {"headers": {"idempotency-KEY": "k1"}}, True),
        ("POST", {"headers": {"Idempotency-Key": None}}, False),
        ("POST", {"headers": {"Idempotency-Key": ""}}, False),
        ("POST", {"headers": {"X-Idempotency-Key": " "}}, False),
        ("POST", {"idempotent": True}, True),
        ("POST", {"idempotent": None}, False),
        ("POST", {"idempotent": False}, False),
        ("POST", {"idempotent": False, "headers": {"Idempotency-Key": "k1"}}, False),
        ("GET", {}, True),
        ("GET", {"idempotent": False}, False),  # a GET with side effects
        ("PUT", {"idempotent": False}, False),
    ],
)
def test_an_idempotency_key_or_the_caller_makes_a_retry_safe(
    front_end: FrontEnd, method: str, options: dict[str, Any], is_repeated: bool
) -> None:
    """A key in either header or idempotent=True permits the retry; idempotent=False overrides both."""
    harness = Harness(front_end, READ_TIMEOUT, 200)
    if is_repeated:
        assert harness.request(method, **options).attempts == 2
        keys = [request.headers.get("Idempotency-Key") for request in harness.transport.sent]
        keys += [request.headers.get("X-Idempotency-Key") for request in harness.transport.sent]
        assert set(keys) <= {None, "k1"}
    else:
        harness.error(ReadTimeoutError, method, **options)
        assert harness.sends == 1


def test_the_automatic_key_is_the_same_in_all_attempts(front_end: FrontEnd) -> None:
    """Each call gets a new key and sends it with every attempt, which makes a POST safe to retry."""
    harness = Harness(front_end, READ_TIMEOUT, READ_TIMEOUT, 200, auto_idempotency_key=True)
    assert harness.request("POST").attempts == 3
    keys = {request.headers["Idempotency-Key"] for request in harness.transport.sent}
    assert len(keys) == 1
    harness.request("PATCH")
    assert harness.transport.sent[-1].headers["Idempotency-Key"] not in keys


def test_the_automatic_key_replaces_an_empty_key(front_end: FrontEnd) -> None:
    """An empty key identifies nothing, so a generated one (36 characters) is sent instead."""
    harness = Harness(front_end, READ_TIMEOUT, 200, auto_idempotency_key=True)
    assert harness.request("POST", headers={"idempotency-key": ""}).attempts == 2
    assert all(len(request.headers["Idempotency-Key"]) == 36 for request in harness.transport.sent)


@each_row(
    ("method", "options", "key"),
    [
        ("GET", {}, None),
        ("PUT", {}, None),
        ("POST", {"headers": {"Idempotency-Key": "mine"}}, "mine"),
        ("POST", {"headers": {"X-Idempotency-Key": "mine"}}, None),  # one key is enough
        ("POST", {"idempotent": False}, None),
    ],
)
def test_the_automatic_key_is_added_only_where_it_is_needed(
    front_end: FrontEnd, method: str, options: dict[str, Any], key: str | None
) -> None:
    """Idempotent methods get no key, the caller's key is kept, and idempotent=False gets no key."""
    harness = Harness(front_end, 200, auto_idempotency_key=True)
    harness.request(method, **options)
    assert harness.transport.sent[0].headers.get("Idempotency-Key") == key


@pytest.mark.parametrize(("before", "after", "is_repeated"), [(None, "k", True), ("k", None, False)])
def test_the_request_that_the_interceptors_return_decides(
    front_end: FrontEnd, before: str | None, after: str | None, is_repeated: bool
) -> None:
    """A key added by an interceptor counts, and a removed one does not: only the sent request matters."""

    class ChangesKey:
        def intercept_request(self, request: Any, context: Any) -> Any:
            request.headers.pop("Idempotency-Key", None)
            if after is not None:
                request.headers["Idempotency-Key"] = after
            return request

    harness = Harness(front_end, READ_TIMEOUT, 200, request_interceptors=[ChangesKey])
    if is_repeated:
        assert harness.request("POST", headers={"Idempotency-Key": before}).attempts == 2
    else:
        harness.error(ReadTimeoutError, "POST", headers={"Idempotency-Key": before})
        assert harness.sends == 1


@each_row(
    ("script", "state"),
    [
        ([REFUSED, REFUSED, REFUSED], SentState.NEVER_SENT),
        ([READ_TIMEOUT, REFUSED, REFUSED], SentState.MAYBE_PROCESSED),
        ([REFUSED, READ_TIMEOUT, REFUSED], SentState.MAYBE_PROCESSED),
        ([503, REFUSED, REFUSED], SentState.ANSWERED),
        ([429, REFUSED, REFUSED], SentState.REFUSED),
        ([429, RESET, REFUSED], SentState.MAYBE_PROCESSED),
        ([500, RESET, failure(TlsVerificationError, SentState.NEVER_SENT)], SentState.MAYBE_PROCESSED),
    ],
)
def test_an_error_has_the_worst_sent_state_of_all_attempts(
    front_end: FrontEnd, script: list[Any], state: SentState
) -> None:
    """Whatever happened to the last attempt, the first may have charged the customer."""
    error = Harness(front_end, *script).error(HttpClientError)
    assert error.sent_state is state
    assert error.timeline[-1].sent_state is state

"""What a service tells its caller when a service behind it fails."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from http_service_client import (
    AttemptTimeoutError,
    CircuitOpenError,
    ClientClosedError,
    ConfigurationError,
    ConnectError,
    DeadlineExceededError,
    DeadlineTooShortError,
    DecodingError,
    HttpClientError,
    HttpResponse,
    InvalidRequestError,
    PoolTimeoutError,
    ResponseTooLargeError,
    RetryPolicy,
    ThrottledError,
    TokenError,
)
from http_service_client.auth import OAuth2ClientCredentials
from http_service_client.integrations.error_responses import error_response
from kit.fakes import READ_TIMEOUT, REFUSED, Harness, failure
from kit.front_ends import FrontEnd

TITLES = {
    502: "A service that this one depends on failed",
    503: "A service that this one depends on is not available",
    504: "A service that this one depends on did not respond in time",
}


def status_error(status: int, **headers: str) -> HttpClientError:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        HttpResponse(status, headers=fields).raise_for_status()
    except HttpClientError as error:
        return error
    raise AssertionError(status)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (CircuitOpenError("open"), 503),
        (ThrottledError("a pause"), 503),
        (PoolTimeoutError("no slot"), 503),
        (AttemptTimeoutError("slow"), 504),
        (DeadlineExceededError("late"), 504),
        (DeadlineTooShortError("too late"), 504),
        (ConnectError("refused"), 502),
        (DecodingError("not gzip"), 502),
        (ResponseTooLargeError("too much"), 502),
        *(
            (status_error(given), made)
            for given, made in [(429, 503), (503, 503), (504, 504), (500, 502), (404, 502)]
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_each_failure_of_a_service_behind_has_a_status(error: HttpClientError, status: int) -> None:
    """503 to come back, 504 for time that ran out, 502 for the rest; as problem details (RFC 9457, 3.1)."""
    made = error_response(error)
    assert made is not None
    assert made.status == status
    assert json.loads(made.body) == {"type": "about:blank", "title": TITLES[status], "status": status}
    assert made.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    "error",
    [
        InvalidRequestError("x"),
        ConfigurationError("x"),
        ClientClosedError("x"),
        ValueError("x"),
        KeyboardInterrupt(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_bug_is_no_failure_of_another_service(error: BaseException) -> None:
    """The framework makes a 500 of it, and logs it."""
    assert error_response(error) is None


def no_token(cause: BaseException | None, retry_after: float | None = None) -> TokenError:
    error = TokenError("there is no token", retry_after=retry_after)
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("cause", "status"),
    [
        (status_error(503), 503),
        (CircuitOpenError("open"), 503),
        (AttemptTimeoutError("slow"), 504),
        (ConnectError("refused"), 502),
        (status_error(400), 502),
        (None, 502),
        (ConfigurationError("x"), None),
        (ValueError("a bug of the provider"), None),
    ],
    ids=repr,
)
def test_without_a_token_the_failure_of_its_request_decides(
    cause: BaseException | None, status: int | None
) -> None:
    """The token service is one behind this one, as any other. A bug in a provider of tokens is one here."""
    made = error_response(no_token(cause))
    assert (None if made is None else made.status) == status


def test_the_pause_of_a_token_service_is_passed_on() -> None:
    """In whole seconds, as any other."""
    made = error_response(no_token(status_error(503), retry_after=39.5))
    assert made is not None
    assert made.headers["Retry-After"] == "40"


def test_retries_for_a_token_are_not_repeated_above(front_end: FrontEnd) -> None:
    """Those of the token request are used up."""
    login = OAuth2ClientCredentials(token_url="https://id.test/token", client_id="shop", client_secret="s")
    assert headers_of(Harness(front_end, 503), auth=login)["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("seconds", "header"),
    [(2.1, "3"), (0.0, "1"), (30.0, "30"), (None, None), (math.inf, None), (math.nan, None)],
)
@pytest.mark.parametrize("kind", [CircuitOpenError, ThrottledError])
def test_retry_after_is_in_whole_seconds_and_never_too_early(
    kind: Any, seconds: float | None, header: str | None
) -> None:
    """Rounded up, and at least one: 0 would call for a repetition at once."""
    error = kind("refused")
    error.retry_after = seconds
    made = error_response(error)
    assert made is not None
    assert made.headers.get("Retry-After") == header


def test_the_pause_that_a_service_asks_for_is_passed_on() -> None:
    """With 503, also where it was a 429 or milliseconds; not with a 502, which is no pause."""
    shown = [
        error_response(status_error(429, Retry_After="7")),
        error_response(status_error(503, retry_after_ms="1500")),
        error_response(status_error(503)),
        error_response(status_error(500, Retry_After="7")),
    ]
    assert [None if made is None else made.headers.get("Retry-After") for made in shown] == [
        "7",
        "2",
        None,
        None,
    ]


def headers_of(harness: Harness, **options: Any) -> dict[str, str]:
    """Of the response to the error of a call."""
    try:
        harness.request(**options).raise_for_status()
    except HttpClientError as error:
        made = error_response(error)
        assert made is not None
        return made.headers
    raise AssertionError("it succeeded")


@pytest.mark.parametrize("outcome", [500, REFUSED, READ_TIMEOUT])
def test_retries_that_are_used_up_are_not_repeated_above(front_end: FrontEnd, outcome: Any) -> None:
    """The caller's retries would multiply them: an error and a status alike."""
    assert headers_of(Harness(front_end, outcome))["x-should-retry"] == "false"


def test_one_retry_is_a_level_that_retries(front_end: FrontEnd) -> None:
    """Two attempts, of which the second was the last."""
    made = headers_of(Harness(front_end, 500), retry_policy=RetryPolicy(2))
    assert made["x-should-retry"] == "false"


def test_a_service_that_forbids_retries_is_heard_at_the_top(front_end: FrontEnd) -> None:
    """Its word goes up the chain."""
    assert headers_of(Harness(front_end, (503, {"x-should-retry": "false"})))["x-should-retry"] == "false"


@pytest.mark.parametrize(
    "options", [{"retry_policy": False}, {"retry_policy": RetryPolicy(1)}, {"method": "POST"}]
)
def test_a_call_that_was_not_retried_leaves_that_to_the_caller(
    front_end: FrontEnd, options: dict[str, Any]
) -> None:
    """A single attempt is no level that retries, and a POST may be safe to repeat up there."""
    assert "x-should-retry" not in headers_of(Harness(front_end, 500), **options)


def test_a_budget_that_is_spent_stops_the_retries_above_too(front_end: FrontEnd) -> None:
    """The service behind is in trouble."""
    harness = Harness(front_end, 500, retry_budget_config={"ratio": 0.0, "min_per_second": 0.0})
    assert headers_of(harness)["x-should-retry"] == "false"


def test_nothing_in_the_response_names_the_service_behind() -> None:
    """Messages hold URLs and hosts, which are nobody's business outside."""
    error = failure(ConnectError).error_type("could not connect to db.internal")
    made = error_response(error)
    assert made is not None
    assert b"internal" not in made.body

"""What a server says about repeating a request: not, in so many milliseconds, or that it is still at work on it."""

from __future__ import annotations

import random
from typing import Any

import pytest

from http_service_client.errors import SentState
from http_service_client.events import RetryStopped, StopReason
from http_service_client.http.messages import HttpResponse
from http_service_client.policies import ConstantBackoff, RetryCondition, RetryPolicy
from kit.fakes import REFUSED, RESET, FakeClock, Harness, short
from kit.front_ends import FrontEnd
from kit.rows import each_row

NO_BREAKER: dict[str, Any] = {"enable_circuit_breaker": False}
AT_ONCE = RetryPolicy(3, ConstantBackoff(0.0))
KEYED = {"Idempotency-Key": "order-42"}
NOW = "Sun, 06 Nov 1994 08:48:37 GMT"  # of a fresh FakeClock


@each_row(
    ("headers", "wait"),
    [
        ({"retry-after-ms": "2500"}, 2.5),
        ({"Retry-After-Ms": "1250.5"}, 1.2505),
        ({"x-ms-retry-after-ms": "2500"}, 2.5),
        ({"retry-after-ms": "2000", "x-ms-retry-after-ms": "3000", "Retry-After": "4"}, 2.0),
        ({"x-ms-retry-after-ms": "3000", "Retry-After": "4"}, 3.0),
        ({"retry-after-ms": "soon", "Retry-After": "4"}, 4.0),
        ({"retry-after-ms": "-1", "Retry-After": "4"}, 4.0),
        ({"retry-after-ms": "0"}, 1.0),  # a floor, not a replacement
        ({"retry-after-ms": "9" * 400}, None),
        # A date is a wait from the response's own Date: the clock of this machine may be wrong.
        ({"Date": "Sun, 06 Nov 1994 08:43:37 GMT", "Retry-After": "Sun, 06 Nov 1994 08:43:40 GMT"}, 3.0),
        ({"Date": "Sun, 06 Nov 1994 08:58:37 GMT", "Retry-After": "Sun, 06 Nov 1994 08:58:40 GMT"}, 3.0),
        ({"Date": "yesterday", "Retry-After": "Sun, 06 Nov 1994 08:48:40 GMT"}, 3.0),
        ({"Date": NOW, "Retry-After": "Sun, 06 Nov 1994 08:00:00 GMT"}, 1.0),
    ],
    ids=short,
)
def test_a_wait_is_the_first_that_is_understood(
    front_end: FrontEnd, headers: dict[str, str], wait: float | None
) -> None:
    """Milliseconds before seconds, and never a shorter wait than the backoff."""
    harness = Harness(
        front_end,
        (429, headers),
        200,
        retry_policy_config=RetryPolicy(3, ConstantBackoff(1.0, jitter="none")),
    )
    harness.request()
    assert harness.sleeps == ([] if wait is None else [pytest.approx(wait)])


@each_row(
    ("headers", "state"),
    [
        ({}, SentState.ANSWERED),
        ({"Retry-After": "soon"}, SentState.ANSWERED),
        ({"Retry-After": ""}, SentState.ANSWERED),
        ({"Retry-After": "2"}, SentState.REFUSED),
        ({"Retry-After": NOW}, SentState.REFUSED),
        ({"retry-after-ms": "20"}, SentState.REFUSED),
        ({"retry-after-ms": "x"}, SentState.ANSWERED),
    ],
    ids=short,
)
def test_a_503_refuses_only_with_a_wait_that_can_be_read(
    front_end: FrontEnd, headers: dict[str, str], state: SentState
) -> None:
    """A POST is repeated after it, else it is not: it may have been processed."""
    harness = Harness(front_end, (503, headers), 201, retry_policy_config=AT_ONCE)
    response = harness.request("POST")
    assert (response.status_code == 201) is (state is SentState.REFUSED)
    assert HttpResponse(503, headers=headers).sent_state is state


@each_row(("said", "attempts"), [("false", 1), (" False\t", 1), ("no", 3), ("", 3)])
def test_a_server_can_forbid_a_retry(front_end: FrontEnd, said: str, attempts: int) -> None:
    """`x-should-retry: false` ends the call, and the timeline says why. Any other word counts for nothing."""
    script = [(503, {"x-should-retry": said})] * 3
    harness = Harness(front_end, *script, retry_policy_config=AT_ONCE, **NO_BREAKER)
    assert harness.request().attempts == attempts
    reasons = [event.reason for event in harness.events if isinstance(event, RetryStopped)]
    assert reasons == [StopReason.PUSHBACK if attempts == 1 else StopReason.EXHAUSTED]


@each_row("status", [400, 401, 404, 499, 501, 505, 599])
def test_a_server_can_forbid_a_retry_of_any_error(front_end: FrontEnd, status: int) -> None:
    """Also where the policy would not have retried: the timeline says that the server was the reason."""
    harness = Harness(front_end, (status, {"x-should-retry": "false"}), retry_policy_config=AT_ONCE)
    assert (harness.request().status_code, harness.sends) == (status, 1)
    assert [it.reason for it in harness.events if isinstance(it, RetryStopped)] == [StopReason.PUSHBACK]


@each_row("repeats", [None, 201])
@each_row("status", [200, 204, 304, 399])
def test_a_success_has_no_retry_to_forbid(front_end: FrontEnd, status: int, repeats: int | None) -> None:
    """The timeline does not speak of one, even where the policy repeats other successes."""
    conditions = None if repeats is None else [RetryCondition.on_status_codes([repeats])]
    policy = RetryPolicy(3, ConstantBackoff(0.0), conditions)
    harness = Harness(front_end, (status, {"x-should-retry": "false"}), retry_policy_config=policy)
    harness.request()
    assert not [it for it in harness.events if isinstance(it, RetryStopped)]


@each_row(
    ("method", "status", "attempts"), [("GET", 400, 2), ("POST", 400, 1), ("GET", 200, 1), ("GET", 302, 1)]
)
def test_a_server_can_ask_for_a_retry(front_end: FrontEnd, method: str, status: int, attempts: int) -> None:
    """`x-should-retry: true` makes an error worth a retry. Whether it is safe, the request says, not the server."""
    harness = Harness(front_end, (status, {"x-should-retry": "true"}), 200, retry_policy_config=AT_ONCE)
    assert harness.request(method).attempts == attempts


def test_pushback_cannot_switch_retries_on(front_end: FrontEnd) -> None:
    """A policy without conditions retries nothing."""
    policy = RetryPolicy(3, ConstantBackoff(0.0), retry_conditions=[])
    harness = Harness(front_end, (500, {"x-should-retry": "true"}), 200, retry_policy_config=policy)
    assert harness.request().attempts == 1


# 409: the request is still being processed.


@each_row("first", [RESET, 500, 504], ids=short)
def test_a_request_in_progress_is_sent_again(front_end: FrontEnd, first: Any) -> None:
    """After an attempt that may have been processed, 409 under the same key means: not finished yet."""
    harness = Harness(front_end, first, 409, 201, retry_policy_config=AT_ONCE)
    response = harness.request("POST", headers=KEYED)
    assert (response.status_code, response.attempts) == (201, 3)


@each_row(
    ("first", "status", "options"),
    [
        (None, 409, {"headers": KEYED}),  # the first attempt: a conflict with somebody else's request
        (REFUSED, 409, {"headers": KEYED}),
        (429, 409, {"headers": KEYED}),
        (RESET, 409, {"idempotent": True}),  # without a key, the server knows no request in progress
        (RESET, 409, {"headers": {"Idempotency-Key": ""}, "idempotent": True}),
        (RESET, 422, {"headers": KEYED}),  # the key came with another request: final
    ],
    ids=short,
)
def test_any_other_conflict_is_final(
    front_end: FrontEnd, first: Any, status: int, options: dict[str, Any]
) -> None:
    """Asking again would not resolve it."""
    script = [status] if first is None else [first, status]
    harness = Harness(front_end, *script, 201, retry_policy_config=AT_ONCE)
    assert harness.request("POST", **options).status_code == status
    assert harness.sends == len(script)


def test_a_request_in_progress_keeps_to_the_limits(front_end: FrontEnd) -> None:
    """The attempts are those of any retry, and a key of a method that is safe without one counts, too."""
    harness = Harness(front_end, RESET, 409, 409, 409, retry_policy_config=AT_ONCE)
    response = harness.request("PUT", headers=KEYED)
    assert (response.status_code, response.attempts) == (409, 3)


@pytest.mark.parametrize("raises", [False, True])
def test_a_repeated_function_asks_again_too(front_end: FrontEnd, raises: bool) -> None:
    """The rule is the same for a guarded function, whether it returns the 409 or raises for it."""
    harness = Harness(front_end, RESET, 409, 201, **NO_BREAKER)

    def body() -> Any:
        response = front_end.request(harness.client, "POST", "https://api.example.com/", headers=KEYED)
        return response.raise_for_status() if raises else response

    policy = RetryPolicy(
        3,
        ConstantBackoff(0.0),
        [RetryCondition.on_exceptions([ConnectionError])],
        clock=FakeClock(),
        random=random.random,
    )
    assert policy.call(body).status_code == 201
    assert policy.call(lambda: HttpResponse(409)).status_code == 409

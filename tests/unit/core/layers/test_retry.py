"""Retry laws: what is tried again, how often, after how long, and what the caller is told."""

from __future__ import annotations

import asyncio
import concurrent.futures
import io
import pickle
import random
import statistics
from collections.abc import AsyncIterator
from typing import Any

import pytest

from http_service_client.core.machines.backoff import ConstantBackoff, ExponentialBackoff, LinearBackoff
from http_service_client.core.machines.retry_conditions import (
    DEFAULT_CONDITIONS,
    RETRYABLE_STATUSES,
    RetryCondition,
)
from http_service_client.core.nesting import Scope, current_scope
from http_service_client.errors import (
    CircuitOpenError,
    ConfigurationError,
    ConnectError,
    ConnectionLostError,
    DeadlineExceededError,
    DecodingError,
    Failure,
    HttpClientError,
    NameResolutionError,
    PoolTimeoutError,
    ReadTimeoutError,
    ResponseTooLargeError,
    SentState,
    TlsError,
    TlsVerificationError,
    WriteTimeoutError,
)
from http_service_client.events import CallFinished, RetryScheduled, RetryStopped, StopReason
from http_service_client.http.messages import HttpResponse
from http_service_client.policies import CircuitBreakerPolicy, RetryPolicy
from http_service_client.policies.deadline import deadline
from kit.fakes import (
    READ_TIMEOUT,
    REFUSED,
    RESET,
    SLOW,
    URL,
    FakeClock,
    FrontEnd,
    Harness,
    failure,
    run_task,
    short,
)

EXACT = ExponentialBackoff(jitter="none")  # 1, 2, 4 ... seconds
NO_BREAKER: dict[str, Any] = {"enable_circuit_breaker": False}


def stop_reason(bench: Harness) -> StopReason | None:
    return next((event.reason for event in bench.events if isinstance(event, RetryStopped)), None)


# How often, and how it ends.


@pytest.mark.parametrize("attempts", [1, 2, 3, 7])
def test_max_attempts_counts_the_first(front_end: FrontEnd, attempts: int) -> None:
    """max_attempts=3 makes 3 attempts with 2 waits between them, not 4."""
    bench = Harness(front_end, 503, retry_policy_config=RetryPolicy(attempts, EXACT), **NO_BREAKER)
    response = bench.request()
    assert (bench.sends, response.attempts, response.status_code) == (attempts, attempts, 503)
    assert bench.sleeps == [2.0**n for n in range(attempts - 1)]


def test_out_of_attempts_the_last_response_is_returned(front_end: FrontEnd) -> None:
    """A response is a response, whatever its status: it is not turned into an error."""
    bench = Harness(front_end, 500, 502, 503)
    response = bench.request()
    assert response.status_code == 503
    assert response.timeline is not None
    assert [event.name for event in response.timeline] == [
        *["attempt_finished", "retry_scheduled"] * 2,
        *["attempt_finished", "retry_stopped", "call_finished"],
    ]
    assert stop_reason(bench) is StopReason.EXHAUSTED


def test_out_of_attempts_the_last_error_is_raised(front_end: FrontEnd) -> None:
    """With its cause, the request, and a timeline that tells of all attempts."""
    bench = Harness(front_end, RESET, READ_TIMEOUT, REFUSED)
    error = bench.error(ConnectError)
    assert type(error) is ConnectError
    assert type(error.__cause__) is ConnectionRefusedError
    assert error.request.method == "GET"
    assert [event.error for event in error.timeline if event.name == "attempt_finished"] == [
        "ConnectionLostError",
        "ReadTimeoutError",
        "ConnectError",
    ]
    assert isinstance(error.timeline[-1], CallFinished)
    assert error.timeline[-1].attempts == 3


def test_success_ends_it(front_end: FrontEnd) -> None:
    """The first success is the answer, and remembers how many attempts it took."""
    bench = Harness(front_end, RESET, 503, 200, 500)
    response = bench.request()
    assert (response.status_code, response.attempts, bench.sends) == (200, 3, 3)
    assert response.sent_state is SentState.ANSWERED
    assert bench.events[-1].sent_state is SentState.MAYBE_PROCESSED


# What is worth it, and what is safe.

SAFE_METHODS = ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"]
UNSAFE_METHODS = ["POST", "PATCH"]


@pytest.mark.parametrize("status", range(200, 600))
def test_which_statuses_are_worth_a_retry(status: int) -> None:
    """408, 425, 429, 500, 502, 503, 504 and nothing else."""
    is_worth = any(condition.holds_for(HttpResponse(status)) for condition in DEFAULT_CONDITIONS)
    assert is_worth is (status in {408, 425, 429, 500, 502, 503, 504})


@pytest.mark.parametrize("method", [*SAFE_METHODS, *UNSAFE_METHODS])
@pytest.mark.parametrize(
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
        ((408, {}), False),
        (READ_TIMEOUT, False),
        (RESET, False),
        (SLOW, False),
        (failure(WriteTimeoutError), False),
        (failure(DecodingError), False),
    ],
    ids=short,
)
def test_the_table_of_safety(front_end: FrontEnd, method: str, first: Any, when_unsafe: bool) -> None:
    """Idempotent methods are repeated always; others only when the server did not process them."""
    bench = Harness(front_end, first, 200, **NO_BREAKER)
    is_repeated = when_unsafe or method in SAFE_METHODS
    if is_repeated:
        assert bench.request(method).attempts == 2
    elif isinstance(first, Failure):
        assert bench.error(first.error_type, method).sent_state is SentState.MAYBE_PROCESSED
    else:
        assert bench.request(method).status_code == first[0]
    assert bench.sends == 1 + is_repeated
    assert stop_reason(bench) is (None if is_repeated else StopReason.NOT_SAFE)


@pytest.mark.parametrize(
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
        ("GET", {"idempotent": False}, False),  # a GET that is not what it should be
        ("PUT", {"idempotent": False}, False),
    ],
)
def test_who_vouches_for_a_repetition(
    front_end: FrontEnd, method: str, options: dict[str, Any], is_repeated: bool
) -> None:
    """A key in either header, or idempotent=True; idempotent=False overrules all."""
    bench = Harness(front_end, READ_TIMEOUT, 200)
    if is_repeated:
        assert bench.request(method, **options).attempts == 2
        keys = [request.headers.get("Idempotency-Key") for request in bench.transport.sent]
        keys += [request.headers.get("X-Idempotency-Key") for request in bench.transport.sent]
        assert set(keys) <= {None, "k1"}
    else:
        bench.error(ReadTimeoutError, method, **options)
        assert bench.sends == 1


def test_the_automatic_key_is_stable_over_attempts(front_end: FrontEnd) -> None:
    """One fresh key for each call, the same at each attempt; it makes the POST safe to repeat."""
    bench = Harness(front_end, READ_TIMEOUT, READ_TIMEOUT, 200, auto_idempotency_key=True)
    assert bench.request("POST").attempts == 3
    keys = {request.headers["Idempotency-Key"] for request in bench.transport.sent}
    assert len(keys) == 1
    bench.request("PATCH")
    assert bench.transport.sent[-1].headers["Idempotency-Key"] not in keys


def test_the_automatic_key_takes_the_place_of_an_empty_one(front_end: FrontEnd) -> None:
    """An empty key says nothing to the server."""
    bench = Harness(front_end, READ_TIMEOUT, 200, auto_idempotency_key=True)
    assert bench.request("POST", headers={"idempotency-key": ""}).attempts == 2
    assert all(len(request.headers["Idempotency-Key"]) == 36 for request in bench.transport.sent)


@pytest.mark.parametrize(
    ("method", "options", "key"),
    [
        ("GET", {}, None),
        ("PUT", {}, None),
        ("POST", {"headers": {"Idempotency-Key": "mine"}}, "mine"),
        ("POST", {"headers": {"X-Idempotency-Key": "mine"}}, None),  # one key is enough
        ("POST", {"idempotent": False}, None),
    ],
)
def test_the_automatic_key_stays_away(
    front_end: FrontEnd, method: str, options: dict[str, Any], key: str | None
) -> None:
    """Methods that need none get none; one's own is kept; idempotent=False is believed."""
    bench = Harness(front_end, 200, auto_idempotency_key=True)
    bench.request(method, **options)
    assert bench.transport.sent[0].headers.get("Idempotency-Key") == key


@pytest.mark.parametrize(("before", "after", "is_repeated"), [(None, "k", True), ("k", None, False)])
def test_the_request_as_the_interceptors_left_it_decides(
    front_end: FrontEnd, before: str | None, after: str | None, is_repeated: bool
) -> None:
    """A key that an interceptor adds counts, one that it takes away does not: what was sent is what matters."""

    class ChangesKey:
        def intercept_request(self, request: Any, context: Any) -> Any:
            request.headers.pop("Idempotency-Key", None)
            if after is not None:
                request.headers["Idempotency-Key"] = after
            return request

    bench = Harness(front_end, READ_TIMEOUT, 200, request_interceptors=[ChangesKey])
    if is_repeated:
        assert bench.request("POST", headers={"Idempotency-Key": before}).attempts == 2
    else:
        bench.error(ReadTimeoutError, "POST", headers={"Idempotency-Key": before})
        assert bench.sends == 1


# Bodies.


def test_a_one_shot_body_is_not_sent_twice(front_end: FrontEnd) -> None:
    """A body that ran dry would go out empty, the worst kind of success."""
    bench = Harness(front_end, 429, 200)
    response = bench.request("POST", data=(chunk for chunk in [b"a", b"b"]))
    assert (response.status_code, bench.sends, bench.transport.bodies) == (429, 1, [b"ab"])
    assert stop_reason(bench) is StopReason.NOT_REPLAYABLE


def test_a_one_shot_body_that_was_never_started_is_sent(front_end: FrontEnd) -> None:
    """A connection that was refused drew nothing from it."""
    bench = Harness(front_end, REFUSED, REFUSED, 200)
    assert bench.request("POST", data=(chunk for chunk in [b"a", b"b"])).attempts == 3
    assert bench.transport.bodies == [None, None, b"ab"]


def test_a_one_shot_async_body_is_not_sent_twice() -> None:
    """The same for async generators."""

    async def chunks() -> AsyncIterator[bytes]:
        yield b"ab"

    from kit.fakes import Tasks

    bench = Harness(Tasks(), REFUSED, 429, 200)
    assert bench.request("POST", data=chunks()).status_code == 429
    assert bench.transport.bodies == [None, b"ab"]


def test_a_file_is_rewound_to_where_it_began(front_end: FrontEnd) -> None:
    """Not to its start: what stood before the position is not the caller's to send."""
    file = io.BytesIO(b"header|payload")
    file.seek(7)
    bench = Harness(front_end, 503, RESET, 200)
    bench.request("PUT", data=file)
    assert bench.transport.bodies == [b"payload"] * 3
    assert {request.headers["Content-Length"] for request in bench.transport.sent} == {"7"}


@pytest.mark.parametrize(
    "options",
    [
        {"json": {"a": [1, None]}},
        {"data": {"a": "1"}},
        {"data": b"raw"},
        {"data": [b"ra", b"w"]},
        {"files": {"f": ("n.txt", b"content")}},
        {"files": {"f": ("n.txt", io.BytesIO(b"content"))}, "data": {"k": "v"}},
    ],
    ids=short,
)
def test_a_replayable_body_is_the_same_each_time(front_end: FrontEnd, options: dict[str, Any]) -> None:
    """Byte for byte, its headers too."""
    bench = Harness(front_end, 503, 503, 200)
    bench.request("PUT", **options)
    first, second, third = bench.transport.bodies
    assert first
    assert first == second == third
    kinds = {request.headers.get("Content-Type") for request in bench.transport.sent}
    assert len(kinds) == 1


# How long.

NOW_DATE = "Sun, 06 Nov 1994 08:48:37 GMT"  # of a fresh FakeClock
LATER_DATE = "Sun, 06 Nov 1994 08:48:47 GMT"  # ten seconds on


@pytest.mark.parametrize(
    ("retry_after", "options", "wait"),
    [
        ("10", {}, 10.0),
        (LATER_DATE, {}, 10.0),
        ("0", {}, 1.0),  # a floor, not a replacement
        (NOW_DATE, {}, 1.0),
        ("Sun, 06 Nov 1994 08:00:00 GMT", {}, 1.0),  # past: 0
        ("0.5", {}, 1.0),
        ("30", {}, 30.0),  # as long as the attempt may take
        ("30.001", {}, None),
        ("31", {}, None),  # longer than the attempt's timeout
        ("31", {"timeout": 40.0}, 31.0),
        ("60", {"timeout": None}, 60.0),
        ("61", {"timeout": None}, None),  # longer than max_delay
        ("5", {"timeout": 1.0}, None),  # the seed's own example
        ("10", {"total_timeout": 10.0}, None),  # up to the deadline is across it
        ("10", {"total_timeout": 10.5}, 10.0),
        ("99999999999999999999", {}, None),
        ("9" * 400, {"timeout": None}, None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", {"timeout": None}, None),
        ("soon", {}, 1.0),  # garbage is ignored
        ("-1", {}, 1.0),
        ("nan", {}, 1.0),
        ("inf", {}, 1.0),
        ("1e3", {}, 1.0),
        ("", {}, 1.0),
        ("10, 20", {}, 1.0),
    ],
)
def test_retry_after(
    front_end: FrontEnd, retry_after: str, options: dict[str, Any], wait: float | None
) -> None:
    """A floor of the wait; what is longer than timeout, max_delay or deadline comes back at once."""
    policy = RetryPolicy(2, EXACT)
    bench = Harness(front_end, (503, {"Retry-After": retry_after}), 200, retry_policy_config=policy)
    response = bench.request(**options)
    assert bench.sleeps == ([] if wait is None else [wait])
    assert response.status_code == (503 if wait is None else 200)
    if wait is None:
        with_deadline = "total_timeout" in options
        assert stop_reason(bench) is (
            StopReason.DEADLINE if with_deadline else StopReason.RETRY_AFTER_TOO_LONG
        )


@pytest.mark.parametrize("luck", [0.0, 0.25, 0.999999])
@pytest.mark.parametrize("jitter", ["full", "equal", "none"])
def test_jitter_never_shortens_retry_after(front_end: FrontEnd, jitter: str, luck: float) -> None:
    """A client that comes back before it was told to is what gets clients banned."""
    backoff = ExponentialBackoff(initial_delay=4.0, jitter=jitter)
    bench = Harness(
        front_end,
        (429, {"Retry-After": "3"}),
        (429, {"Retry-After": "3"}),
        200,
        random=lambda: luck,
        retry_policy_config=RetryPolicy(3, backoff),
    )
    bench.request()
    assert len(bench.sleeps) == 2
    assert min(bench.sleeps) >= 3.0


def test_a_constant_backoff_heeds_retry_after(front_end: FrontEnd) -> None:
    """A short constant delay is no reason to ignore the server: up to a minute is waited."""
    policy = RetryPolicy(2, ConstantBackoff(0.1, jitter="none"))
    bench = Harness(front_end, (429, {"Retry-After": "7"}), 200, retry_policy_config=policy)
    assert bench.request().status_code == 200
    assert bench.sleeps == [7.0]


@pytest.mark.parametrize("first", [503, RESET], ids=short)
@pytest.mark.parametrize(("total", "is_waited"), [(1.0, False), (1.001, True), (0.5, False)])
def test_a_wait_across_the_deadline_is_not_begun(
    front_end: FrontEnd, first: Any, total: float, is_waited: bool
) -> None:
    """Nothing is slept: the last outcome is the answer, at once."""
    bench = Harness(front_end, first, 200, retry_policy_config=RetryPolicy(3, EXACT))
    if is_waited:
        assert bench.request(total_timeout=total).status_code == 200
        assert bench.sleeps == [1.0]
        return
    if first == 503:
        assert bench.request(total_timeout=total).status_code == 503
    else:
        bench.error(ConnectionLostError, total_timeout=total)
    assert (bench.sleeps, bench.sends) == ([], 1)
    assert stop_reason(bench) is StopReason.DEADLINE


def test_an_ambient_deadline_holds_as_well(front_end: FrontEnd) -> None:
    """`with deadline(...)` around the call, read from another clock, bounds its waits."""
    bench = Harness(front_end, 503, 200, retry_policy_config=RetryPolicy(3, EXACT))
    with deadline(0.9, clock=FakeClock(now=7.0).monotonic):
        assert bench.request().status_code == 503
    assert bench.sleeps == []
    assert bench.request().status_code == 200


def test_a_deadline_that_has_passed_sends_nothing(front_end: FrontEnd) -> None:
    """No attempt is made, and the error says so."""
    clock = FakeClock()
    bench = Harness(front_end)
    with deadline(1.0, clock=clock.monotonic):
        clock.now += 2.0
        error = bench.error(DeadlineExceededError)
    assert (bench.sends, error.sent_state) == (0, SentState.NEVER_SENT)
    assert [event.name for event in error.timeline] == ["call_finished"]


@pytest.mark.parametrize(
    ("backoff", "waits"),
    [
        (ExponentialBackoff(jitter="none"), [1.0, 2.0, 4.0]),
        (ExponentialBackoff(3.0, max_delay=5.0, jitter="none"), [3.0, 5.0, 5.0]),
        (ExponentialBackoff(), [0.5, 1.0, 2.0]),
        (ExponentialBackoff(jitter="equal"), [0.75, 1.5, 3.0]),
        (ExponentialBackoff(initial_delay=0.0), [0.0, 0.0, 0.0]),
        (LinearBackoff(1.0, 0.5, jitter="none"), [1.0, 1.5, 2.0]),
        (ConstantBackoff(0.25, jitter="none"), [0.25, 0.25, 0.25]),
    ],
    ids=short,
)
def test_the_waits_are_the_strategy_s(front_end: FrontEnd, backoff: Any, waits: list[float]) -> None:
    """A strategy holds no position: a second call begins anew."""
    bench = Harness(front_end, 500, retry_policy_config=RetryPolicy(4, backoff), **NO_BREAKER)
    bench.request()
    assert bench.sleeps == waits
    bench.request()
    assert bench.sleeps == waits * 2


def test_the_cap_comes_before_the_jitter() -> None:
    """Far beyond the cap the waits are spread evenly below it: nobody waits at exactly the cap."""
    from kit.fakes import Blocking

    backoff = ExponentialBackoff(initial_delay=1.0, max_delay=4.0)
    bench = Harness(
        Blocking(),
        500,
        random=random.Random(20).random,
        retry_policy_config=RetryPolicy(12, backoff),
        enable_retry_budget=False,
        **NO_BREAKER,
    )
    for _ in range(200):
        bench.request()
    late = [wait for index, wait in enumerate(bench.sleeps) if index % 11 >= 3]
    assert len(late) == 1600
    assert max(late) < 4.0
    assert statistics.mean(late) == pytest.approx(2.0, abs=0.1)
    assert [sum(low <= wait < low + 1 for wait in late) / len(late) for low in range(4)] == pytest.approx(
        [0.25] * 4, abs=0.04
    )


# Conditions.


@pytest.mark.parametrize(
    "conditions",
    [
        None,
        [RetryCondition.on_exceptions([ConnectionError, TimeoutError])],  # the seed's own
        [RetryCondition.on_exceptions([Exception])],
        [RetryCondition.on_exceptions([TlsVerificationError])],
    ],
    ids=short,
)
def test_a_certificate_that_is_not_to_be_trusted_is_never_retried(
    front_end: FrontEnd, conditions: Any
) -> None:
    """It will not get better, and it derives from ConnectionError: no condition may bring it in."""
    policy = RetryPolicy(3, EXACT, conditions)
    bench = Harness(
        front_end, failure(TlsVerificationError, SentState.NEVER_SENT), retry_policy_config=policy
    )
    bench.error(TlsVerificationError)
    assert (bench.sends, bench.sleeps) == (1, [])
    assert stop_reason(bench) is StopReason.NOT_RETRYABLE


@pytest.mark.parametrize(
    ("condition", "outcome", "is_repeated"),
    [
        (RetryCondition.on_status_codes([418]), 418, True),
        (RetryCondition.on_status_codes([418]), 503, False),  # conditions replace the default
        (RetryCondition.on_status_codes([418]), RESET, False),
        (RetryCondition.on_status_codes({404, 418}), 404, True),
        (RetryCondition.on_timeout(), READ_TIMEOUT, True),
        (RetryCondition.on_timeout(), SLOW, True),
        (RetryCondition.on_timeout(), RESET, False),
        (RetryCondition.on_timeout(), 503, False),
        (RetryCondition.on_exceptions([ConnectionError]), RESET, True),
        (RetryCondition.on_exceptions([ConnectionError]), READ_TIMEOUT, False),
        (RetryCondition.on_exceptions([TimeoutError]), READ_TIMEOUT, True),
        (RetryCondition.on_exceptions([ConnectionResetError]), RESET, True),  # by its cause
        (RetryCondition.on_exceptions([ConnectionAbortedError]), RESET, False),
        (RetryCondition.on_exceptions([HttpClientError]), RESET, True),
        (RetryCondition.on_result(lambda response: response.status_code == 202), 202, True),
        (RetryCondition.on_result(lambda response: response.status_code == 202), 200, False),
        (RetryCondition.on_result(lambda response: True), RESET, False),  # no result, no answer
    ],
    ids=short,
)
def test_conditions(front_end: FrontEnd, condition: RetryCondition, outcome: Any, is_repeated: bool) -> None:
    """Exactly what was said, and no more."""
    bench = Harness(front_end, outcome, 200, retry_policy_config=RetryPolicy(2, EXACT, [condition]))
    try:
        bench.request()
    except HttpClientError:
        assert not is_repeated
    assert bench.sends == 1 + is_repeated


def test_a_predicate_is_asked_once_an_attempt(front_end: FrontEnd) -> None:
    """It may count, or be slow."""
    asked: list[int] = []

    def predicate(response: HttpResponse) -> bool:
        asked.append(response.status_code)
        return response.status_code == 202

    policy = RetryPolicy(3, EXACT, [RetryCondition.on_result(predicate)])
    bench = Harness(front_end, 202, 202, 200, retry_policy_config=policy)
    assert bench.request().status_code == 200
    assert asked == [202, 202, 200]


def test_one_condition_is_enough(front_end: FrontEnd) -> None:
    """They are joined by "or"."""
    policy = RetryPolicy(3, EXACT, [RetryCondition.on_timeout(), RetryCondition.on_status_codes([418])])
    bench = Harness(front_end, 418, READ_TIMEOUT, 200, retry_policy_config=policy)
    assert bench.request().attempts == 3


@pytest.mark.parametrize(("status", "is_repeated"), [(202, True), (409, True), (503, True), (404, False)])
def test_one_condition_of_several_is_enough(front_end: FrontEnd, status: int, is_repeated: bool) -> None:
    """Statuses, a predicate, and one that has both are asked together."""
    both = RetryCondition("both", statuses=frozenset({409}), predicate=lambda response: False)
    accepted = RetryCondition.on_result(lambda response: response.status_code == 202)
    policy = RetryPolicy(2, EXACT, [RetryCondition.on_status_codes([503]), both, accepted])
    bench = Harness(front_end, status, 200, retry_policy_config=policy)
    assert bench.request().attempts == 1 + is_repeated


def test_a_condition_of_ones_own_kind(front_end: FrontEnd) -> None:
    """A subclass decides by itself."""

    class OnEmptyBodies(RetryCondition):
        def holds_for(self, outcome: object) -> bool:
            return isinstance(outcome, HttpResponse) and not outcome.content

    policy = RetryPolicy(3, EXACT, [OnEmptyBodies("an empty body")])
    bench = Harness(front_end, 200, 200, HttpResponse(200, content=b"full"), retry_policy_config=policy)
    assert bench.request().attempts == 3


@pytest.mark.parametrize(("method", "attempts"), [("GET", 2), ("PUT", 1)])
def test_a_condition_of_ones_own_kind_may_hold_for_less(
    front_end: FrontEnd, method: str, attempts: int
) -> None:
    """Its statuses are its own affair."""

    class OfGets(RetryCondition):
        def holds_for(self, outcome: object) -> bool:
            assert isinstance(outcome, HttpResponse)
            assert outcome.request is not None
            return super().holds_for(outcome) and outcome.request.method == "GET"

    policy = RetryPolicy(2, EXACT, [OfGets("503 to a GET", statuses=frozenset({503}))])
    bench = Harness(front_end, 503, retry_policy_config=policy)
    assert bench.request(method).attempts == attempts


def test_a_policy_that_has_judged_can_be_pickled() -> None:
    """What it remembers of its conditions is right there, too."""
    policy = RetryPolicy(retry_conditions=[RetryCondition.on_status_codes([503])])
    assert policy.is_worth_it(HttpResponse(503))
    twin = pickle.loads(pickle.dumps(policy))
    assert twin == policy
    assert [twin.is_worth_it(HttpResponse(status)) for status in (503, 500)] == [True, False]


@pytest.mark.parametrize(
    "make",
    [
        lambda: RetryCondition.on_status_codes([99]),
        lambda: RetryCondition.on_status_codes(["503"]),
        lambda: RetryCondition.on_status_codes([True]),
        lambda: RetryCondition.on_status_codes(503),
        lambda: RetryCondition.on_status_codes([[503]]),
        lambda: RetryCondition.on_status_codes(None),
        lambda: RetryCondition.on_exceptions([ValueError()]),
        lambda: RetryCondition.on_exceptions(ValueError),
        lambda: RetryCondition.on_exceptions(["ValueError"]),
        lambda: RetryCondition.on_exceptions([int]),
        lambda: RetryCondition.on_result(True),
    ],
)
def test_a_wrong_condition_is_refused(make: Any) -> None:
    """When it is made, with what to write instead; never an odd TypeError."""
    with pytest.raises(ConfigurationError, match=r"on_\w+ takes"):
        make()


# Other answers that nobody should repeat.


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (failure(ResponseTooLargeError, SentState.ANSWERED), StopReason.NOT_RETRYABLE),
        (failure(DeadlineExceededError, SentState.ABANDONED), StopReason.DEADLINE),
    ],
    ids=["too large", "out of time"],
)
def test_what_a_retry_would_not_mend(front_end: FrontEnd, first: Failure, reason: StopReason) -> None:
    """Neither does an answer that is too large shrink, nor time come back."""
    bench = Harness(front_end, first, 200)
    bench.error(first.error_type)
    assert bench.sends == 1
    assert stop_reason(bench) is reason


# Budget.


def budgeted(front_end: FrontEnd, *script: Any, **settings: Any) -> Harness:
    """One retry for each five calls, and none for free."""
    return Harness(
        front_end,
        *script,
        retry_policy_config=RetryPolicy(3, EXACT),
        retry_budget_config={"ratio": 0.2, "min_per_second": 0.0, "window": 3600.0},
        **NO_BREAKER | settings,
    )


@pytest.mark.parametrize("outcome", [503, RESET], ids=short)
def test_a_refused_budget_returns_the_last_outcome_at_once(front_end: FrontEnd, outcome: Any) -> None:
    """Asked before the wait: the failure comes now, not after a sleep that was for nothing."""
    bench = budgeted(front_end, outcome)
    if outcome == 503:
        assert bench.request().status_code == 503
    else:
        bench.error(ConnectionLostError)
    assert (bench.sends, bench.sleeps) == (1, [])
    assert stop_reason(bench) is StopReason.BUDGET


def test_the_budget_is_paid_by_calls(front_end: FrontEnd) -> None:
    """Five calls pay for one retry, which the sixth failing call may not make again."""
    bench = budgeted(front_end, 200, 200, 200, 200, 503)
    for _ in range(5):
        bench.request()
    assert bench.sends == 6
    assert (bench.sleeps, bench.state.budget.balance) == ([1.0], 0)


def test_the_budget_is_kept_per_key(front_end: FrontEnd) -> None:
    """One service's trouble is not paid for by another's calls."""
    bench = budgeted(front_end, 200)
    for _ in range(5):
        bench.request()
    bench.transport.script = [503]
    bench.request(url="https://other.example.com/")
    assert bench.sleeps == []
    bench.request()
    assert bench.sleeps == [1.0]


def test_no_budget_is_unlimited(front_end: FrontEnd) -> None:
    """enable_retry_budget=False."""
    bench = budgeted(front_end, 503, enable_retry_budget=False)
    assert bench.request().attempts == 3


def test_a_cancelled_wait_refunds_its_retry() -> None:
    """A retry that is not made is not paid for."""
    from kit.fakes import Tasks

    bench = budgeted(Tasks(), 200)
    for _ in range(5):
        bench.request()
    bench.transport.script = [503]
    balances: list[int] = []

    async def sleep_for_ever(seconds: float) -> None:
        balances.append(bench.state.budget.balance)
        await asyncio.Event().wait()

    bench.clock.sleep_async = sleep_for_ever  # type: ignore[method-assign]

    async def cancelled() -> None:
        task = asyncio.create_task(bench.client.get_async(URL))
        while not balances:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    # The driver keeps the clock's method from its first call on.
    bench.client._backends._asyncio = None
    run_task(cancelled())
    assert (balances, bench.state.budget.balance) == ([0], 1)


def test_an_interrupted_wait_refunds_its_retry() -> None:
    """The same for KeyboardInterrupt on a thread."""
    from kit.fakes import Blocking

    bench = budgeted(Blocking(), 200)
    for _ in range(5):
        bench.request()
    bench.transport.script = [503]

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    bench.clock.sleep = interrupted  # type: ignore[method-assign]
    bench.client._backends._blocking = None
    with pytest.raises(KeyboardInterrupt):
        bench.request()
    assert bench.state.budget.balance == 1


def test_a_retry_that_the_circuit_refuses_is_refunded(front_end: FrontEnd) -> None:
    """It was paid for and not made."""
    bench = budgeted(front_end, 200, enable_circuit_breaker=True)
    for _ in range(5):
        bench.request()
    bench.transport.script = [503]
    isolate_while_sleeping(bench)
    assert bench.request().status_code == 503
    assert bench.state.budget.balance == 1


# The circuit.


def isolate_while_sleeping(bench: Harness) -> None:
    """Somebody opens the circuit while this call waits for its retry."""
    sleep = bench.clock.sleep

    def sleep_and_isolate(seconds: float) -> None:
        sleep(seconds)
        bench.state.breaker.isolate()

    bench.clock.sleep = sleep_and_isolate  # type: ignore[method-assign]
    bench.client._backends._blocking = bench.client._backends._asyncio = None


@pytest.mark.parametrize("first", [503, RESET, REFUSED], ids=short)
def test_a_circuit_that_opens_ends_the_retries(front_end: FrontEnd, first: Any) -> None:
    """At the failure that opens it: a wait that would end in front of a closed door is not begun."""
    bench = Harness(front_end, first, circuit_breaker_config={"failure_threshold": 1})
    if first == 503:
        response = bench.request()
        assert (response.status_code, response.attempts) == (503, 1)
    else:
        error = bench.error(first.error_type)
        assert type(error) is first.error_type
    assert (bench.sends, bench.sleeps) == (1, [])
    assert stop_reason(bench) is StopReason.CIRCUIT_OPEN


@pytest.mark.parametrize("first", [503, RESET], ids=short)
def test_a_refused_retry_does_not_hide_what_was_sent(front_end: FrontEnd, first: Any) -> None:
    """ "The circuit is open, nothing was sent" would be a lie about a call whose first attempt went out."""
    bench = Harness(front_end, first)
    isolate_while_sleeping(bench)
    if first == 503:
        response = bench.request()
        assert (response.status_code, response.attempts) == (503, 1)
    else:
        error = bench.error(HttpClientError)
        assert type(error) is ConnectionLostError
        assert error.sent_state is SentState.MAYBE_PROCESSED
    assert (bench.sends, len(bench.sleeps)) == (1, 1)
    assert bench.names()[-3:] == ["circuit_refused", "retry_stopped", "call_finished"]
    assert bench.events[-1].attempts == 1


def test_a_refused_first_attempt_is_a_circuit_open_error(front_end: FrontEnd) -> None:
    """Nothing was sent, and it says when to come back."""
    bench = Harness(front_end, 500, circuit_breaker_config={"failure_threshold": 1, "recovery_timeout": 60})
    bench.request("POST")
    bench.clock.now += 20.0
    error = bench.error(CircuitOpenError)
    assert (error.sent_state, error.retry_after, error.key) == (
        SentState.NEVER_SENT,
        40.0,
        "https://api.example.com",
    )
    assert bench.sends == 1


def test_a_recovery_within_the_wait_is_waited_for(front_end: FrontEnd) -> None:
    """Where the backoff outlasts the open time, the retry becomes the trial."""
    bench = Harness(
        front_end,
        503,
        200,
        retry_policy_config=RetryPolicy(2, ConstantBackoff(10.0, jitter="none")),
        circuit_breaker_config={"failure_threshold": 1, "recovery_timeout": 10.0, "success_threshold": 1},
    )
    assert bench.request().status_code == 200
    assert bench.state.breaker.state == "closed"


def test_metrics_only_never_ends_the_retries(front_end: FrontEnd) -> None:
    """A breaker that refuses nobody must not refuse a retry either."""
    bench = Harness(
        front_end, 503, 503, 200, circuit_breaker_config={"failure_threshold": 1, "metrics_only": True}
    )
    assert bench.request().attempts == 3


# What the call admits to.


@pytest.mark.parametrize(
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
def test_an_error_admits_to_the_worst_of_all_attempts(
    front_end: FrontEnd, script: list[Any], state: SentState
) -> None:
    """Whatever the last attempt says: the first may have charged the customer."""
    error = Harness(front_end, *script).error(HttpClientError)
    assert error.sent_state is state
    assert error.timeline[-1].sent_state is state


# Whose turn it is.


def test_false_is_a_single_attempt(front_end: FrontEnd) -> None:
    """retry_policy=False or None for one call; True is the client's own."""
    for value, sends in [(False, 1), (None, 1), (True, 3), (RetryPolicy(2), 2)]:
        bench = Harness(front_end, 503)
        bench.request(retry_policy=value)
        assert bench.sends == sends


def test_no_policy_at_all(front_end: FrontEnd) -> None:
    """enable_retry_policy=False: one attempt, unless the call brings its own."""
    bench = Harness(front_end, 503, enable_retry_policy=False)
    bench.request()
    assert bench.sends == 1
    bench.request(retry_policy=RetryPolicy(2))
    assert bench.sends == 3


def policy_of(attempts: int = 3, **options: Any) -> RetryPolicy:
    clock = FakeClock()
    return RetryPolicy(attempts, ConstantBackoff(0.0), clock=clock, **options)


@pytest.mark.parametrize(("is_nested", "sends"), [(False, 3), (True, 9)])
def test_a_decorated_function_around_a_client_call(front_end: FrontEnd, is_nested: bool, sends: int) -> None:
    """Only one level retries: 3, not 9. With nested=True they multiply, as was asked for."""
    bench = Harness(front_end, 503, retry_policy_config=RetryPolicy(3, EXACT, nested=is_nested), **NO_BREAKER)
    guarded = policy_of().apply(bench.front_end.calling(bench.client))
    assert front_end.run(guarded).status_code == 503
    assert bench.sends == sends
    assert (stop_reason(bench) is StopReason.NESTED) is not is_nested


@pytest.mark.parametrize(
    ("nested", "calls"),
    [
        ((False, False, False), 3),
        ((True, False, False), 3),
        ((False, True, False), 9),
        ((True, True, True), 27),
    ],
)
def test_nested_decorators(front_end: FrontEnd, nested: tuple[bool, ...], calls: int) -> None:
    """Three policies of three attempts make 3 calls, not 27. (Outermost first.)"""
    count = 0

    def body() -> int:
        nonlocal count
        count += 1
        return 503

    condition = [RetryCondition.on_result(lambda value: value == 503)]
    function = front_end.function(body)
    for is_nested in reversed(nested):
        function = policy_of(retry_conditions=condition, nested=is_nested).apply(function)
    assert front_end.run(function) == 503
    assert count == calls


def test_nested_across_tasks() -> None:
    """Tasks that a guarded function starts are inside of it: 2 calls × 3 attempts, not × 9."""
    from kit.fakes import Tasks

    bench = Harness(Tasks(), 503, **NO_BREAKER)

    async def both() -> int:
        responses = await asyncio.gather(*(bench.client.get_async(URL) for _ in range(2)))
        return max(response.status_code for response in responses)

    condition = [RetryCondition.on_result(lambda value: value == 503)]
    assert run_task(policy_of(retry_conditions=condition).apply(both)()) == 503
    assert bench.sends == 6


def test_a_task_that_outlives_the_guarded_function_retries_for_itself() -> None:
    """The enclosing policy is in charge of nothing any more: a worker begun inside must not inherit it."""
    from kit.fakes import Tasks

    bench = Harness(Tasks(), 503, **NO_BREAKER)

    async def main() -> None:
        gate = asyncio.Event()

        async def worker() -> None:
            await gate.wait()
            await bench.client.get_async(URL)

        async def start() -> asyncio.Task[None]:
            return asyncio.create_task(worker())

        task = await policy_of().apply(start)()
        gate.set()
        await task

    run_task(main())
    assert bench.sends == 3


def test_a_breaker_between_does_not_hide_the_policy_outside(front_end: FrontEnd) -> None:
    """retry(breaker(call)): the retry policy is in charge, however many guards are between."""
    bench = Harness(front_end, 503, **NO_BREAKER)
    breaker = CircuitBreakerPolicy(failure_threshold=99)
    guarded = policy_of().apply(breaker.apply(front_end.calling(bench.client)))
    front_end.run(guarded)
    assert bench.sends == 3
    assert breaker.snapshot().failures == 3


def test_a_breaker_alone_is_in_charge_of_no_retries(front_end: FrontEnd) -> None:
    """A client's calls inside of it make all their attempts."""
    bench = Harness(front_end, 503, **NO_BREAKER)
    front_end.run(CircuitBreakerPolicy().apply(front_end.calling(bench.client)))
    assert bench.sends == 3


def test_scopes_are_left(front_end: FrontEnd) -> None:
    """After calls and guarded functions, whatever came of them, nobody is in charge."""
    bench = Harness(front_end, RESET, **NO_BREAKER)
    calling = front_end.calling(bench.client, retry_policy=None)
    breaker = CircuitBreakerPolicy(failure_threshold=99)
    for function in (calling, breaker.apply(calling), policy_of().apply(calling)):
        left: list[Any] = []

        def blocking(function: Any = function, left: list[Any] = left) -> None:
            with pytest.raises(ConnectionLostError):
                function()
            left.append(current_scope())

        async def in_task(function: Any = function, left: list[Any] = left) -> None:
            with pytest.raises(ConnectionLostError):
                await function()
            left.append(current_scope())

        front_end.run(blocking if front_end.name == "blocking" else in_task)
        assert left == [None]


def test_a_chain_of_tasks_does_not_grow() -> None:
    """A worker that starts its successor from within holds on to no scope of those before."""
    depths: list[int] = []

    async def main() -> None:
        done = asyncio.Event()

        async def generation(number: int) -> None:
            await asyncio.sleep(0)  # the one before has left its scope
            depth, mine = 0, Scope(retries=False)
            scope = mine
            while scope.outer is not None:
                depth, scope = depth + 1, scope.outer
            depths.append(depth)
            if number < 10:
                follower.append(asyncio.create_task(generation(number + 1)))
            else:
                done.set()
            mine.leave()

        follower = [asyncio.create_task(generation(0))]
        await done.wait()

    run_task(main())
    assert set(depths) == {0}


def test_a_call_inside_an_interceptor_makes_a_single_attempt(front_end: FrontEnd) -> None:
    """Fetching a token for each attempt must not multiply the attempts: 3 × 1, not 3 × 3."""
    tokens = Harness(front_end, 503, **NO_BREAKER)

    class FetchToken:
        async def intercept_request(self, request: Any, context: Any) -> Any:
            await tokens.client.get_async("https://tokens.example.com/")
            return request

    bench = Harness(front_end, 503, request_interceptors=[FetchToken], **NO_BREAKER)
    bench.request()
    assert (bench.sends, tokens.sends) == (3, 3)
    tokens.request()
    assert tokens.sends == 6  # on its own, it retries again


# Guarded functions keep to the same waits.


def test_a_guarded_function_heeds_retry_after(front_end: FrontEnd) -> None:
    """The response behind the function's own exception says how long."""
    clock = FakeClock()
    policy = RetryPolicy(2, EXACT, [RetryCondition.on_status_codes([503])], clock=clock)
    bench = Harness(front_end, (503, {"Retry-After": "9"}), 200)

    class EmailError(Exception):
        pass

    calling = front_end.calling(bench.client)

    def raising(response: HttpResponse) -> HttpResponse:
        if not response.is_success:
            raise EmailError(response.status_code)
        return response

    if front_end.name == "blocking":
        function: Any = lambda: raising(calling())  # noqa: E731
    else:

        async def function() -> HttpResponse:
            return raising(await calling())

    assert front_end.run(policy.apply(function)).status_code == 200
    assert clock.sleeps == [9.0]


@pytest.mark.parametrize(("asked", "sleeps"), [("0", [1.0]), ("60", [60.0]), ("61", [])])
def test_a_guarded_function_does_not_wait_beyond_max_delay(
    front_end: FrontEnd, asked: str, sleeps: list[float]
) -> None:
    """A Retry-After that is longer ends it: the last response is what comes out. A shorter one shortens nothing."""
    clock = FakeClock()
    answer = HttpResponse(503, headers={"Retry-After": asked})
    front_end.run(RetryPolicy(2, EXACT, clock=clock).apply(front_end.function(lambda: answer)))
    assert clock.sleeps == sleeps


@pytest.mark.parametrize(("total", "calls"), [(0.5, 1), (1.0, 1), (1.5, 2)])
def test_a_guarded_function_keeps_to_the_deadline(front_end: FrontEnd, total: float, calls: int) -> None:
    """A wait across the ambient deadline is not begun."""
    clock = FakeClock()
    count = 0

    def body() -> None:
        nonlocal count
        count += 1
        raise ConnectionError("down")

    guarded = RetryPolicy(3, EXACT, clock=clock).apply(front_end.function(body))
    with deadline(total, clock=clock.monotonic), pytest.raises(ConnectionError):
        front_end.run(guarded)
    assert count == calls


@pytest.mark.parametrize("error", [asyncio.CancelledError(), concurrent.futures.CancelledError()], ids=repr)
def test_a_cancelled_function_is_not_repeated(front_end: FrontEnd, error: BaseException) -> None:
    """Whoever cancelled it wants an end, even where any exception is worth a retry."""
    count = 0

    def body() -> None:
        nonlocal count
        count += 1
        raise error

    guarded = policy_of(retry_conditions=[RetryCondition.on_exceptions([Exception])])
    with pytest.raises(type(error)):
        front_end.run(guarded.apply(front_end.function(body)))
    assert count == 1


def test_a_guarded_function_stops_at_an_open_circuit(front_end: FrontEnd) -> None:
    """Knocking again at once is what the circuit is there to stop."""
    breaker = CircuitBreakerPolicy(failure_threshold=1)
    breaker.isolate()
    clock = FakeClock()
    conditions = [RetryCondition.on_exceptions([Exception])]
    guarded = RetryPolicy(3, EXACT, conditions, clock=clock).apply(
        breaker.apply(front_end.function(lambda: 1))
    )
    with pytest.raises(CircuitOpenError):
        front_end.run(guarded)
    assert clock.sleeps == []


def test_the_story_reads_as_a_person_would_tell_it(front_end: FrontEnd) -> None:
    """explain() names each attempt, each wait with its reason, and the end."""
    bench = Harness(
        front_end, READ_TIMEOUT, (503, {"Retry-After": "2"}), 200, retry_policy_config=RetryPolicy(3, EXACT)
    )
    story = bench.request(total_timeout=60.0).explain()
    for words in [
        f"GET {URL}",
        "attempt 1: ReadTimeoutError: no answer",
        "retry in 1.000 s because of ReadTimeoutError",
        "attempt 2: 503",
        "Retry-After asked for 2.000 s",
        "attempt 3: 200",
        "done: 200 after 3 attempts, maybe processed",
    ]:
        assert words in story


def test_events_of_a_retry(front_end: FrontEnd) -> None:
    """What the metrics and logs are made of."""
    bench = Harness(front_end, (429, {"Retry-After": "5"}), 200, retry_policy_config=RetryPolicy(2, EXACT))
    bench.request(total_timeout=20.0)
    (scheduled,) = [event for event in bench.events if isinstance(event, RetryScheduled)]
    assert (scheduled.attempt, scheduled.delay, scheduled.cause) == (1, 5.0, "status 429")
    assert (scheduled.retry_after, scheduled.deadline_left) == (5.0, 20.0)
    assert scheduled.budget_left == 99


def test_the_table_of_retryable_statuses_is_the_documented_one() -> None:
    """README, docs and code name the same seven."""
    assert {408, 425, 429, 500, 502, 503, 504} == RETRYABLE_STATUSES


class Listed:
    """A strategy of the user's own, whose delays come from a list."""

    def __init__(self, *delays: Any) -> None:
        self._delays = delays

    def delays(self, random: Any) -> Any:
        return iter(self._delays)


def test_a_strategy_that_ends_repeats_its_last_delay(front_end: FrontEnd) -> None:
    """Who lists the first waits means the rest to be like the last."""
    bench = Harness(
        front_end, 503, retry_policy_config=RetryPolicy(max_attempts=5, backoff_strategy=Listed(1, 2.5))
    )
    assert bench.request().status_code == 503
    assert bench.sleeps == [1, 2.5, 2.5, 2.5]


@pytest.mark.parametrize("delays", [(), (-1.0,), (float("nan"),), ("1",), (None,), (float("inf"),)])
def test_a_strategy_that_gives_no_sensible_delay_is_named(front_end: FrontEnd, delays: Any) -> None:
    """A delay that cannot be waited for is a ConfigurationError; nothing is waited for, nothing kept."""
    bench = Harness(front_end, 503, retry_policy_config=RetryPolicy(backoff_strategy=Listed(*delays)))
    assert "Listed" in str(bench.error(ConfigurationError))
    assert (bench.sends, bench.sleeps) == (1, [])
    assert all(limit.in_use == 0 for limit in bench.limits)


def test_the_strategy_of_a_guarded_function_may_end_too(front_end: FrontEnd) -> None:
    """`RetryPolicy.apply` reads the delays by the same rule."""
    clock = FakeClock()
    policy = RetryPolicy(max_attempts=4, backoff_strategy=Listed(1, 2), clock=clock)

    def failing() -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        front_end.run(policy.apply(front_end.function(failing)))
    assert clock.sleeps == [1, 2, 2]

"""Each event of a call says when it happened and in which attempt, so that a timeline can be read as a story."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, get_args

from http_service_client import ConstantBackoff, HttpClientError, RetryPolicy, SentState, Timeline
from http_service_client.events import (
    AttemptFinished,
    AuthContinued,
    AuthStopped,
    CacheFailed,
    CacheResult,
    CacheUsed,
    CallFinished,
    CircuitRefused,
    CodingRefused,
    ConnectionAwaited,
    DeadlineRefused,
    Event,
    HostChanged,
    LimitRefused,
    LimitWaited,
    ProxyRetried,
    RedirectFollowed,
    RetryScheduled,
    RetryStopped,
    StopReason,
    ThrottleRefused,
    ThrottleWaited,
    TokenAwaited,
)
from kit.fakes import ORIGIN, Harness
from kit.front_ends import FrontEnd
from kit.rows import each_row

RETRIES = {"retry_policy_config": RetryPolicy(3, ConstantBackoff(0.1, jitter="none"))}
NEXT = {"Location": "/next"}


def harness(front_end: FrontEnd, *script: tuple[float, Any], **settings: Any) -> Harness:
    """A client whose server takes so many seconds for each outcome of the script."""

    def late(seconds: float, outcome: Any) -> Callable[[Any], Any]:
        def answer(request: Any) -> Any:
            made.clock.now += seconds
            return outcome

        return answer

    made = Harness(front_end, *(late(*entry) for entry in script), **{**RETRIES, **settings})
    return made


def when(made: Harness, kind: type[Any]) -> list[tuple[float, int]]:
    """Time and attempt of the events of a kind, in order."""
    return [(round(event.at, 6), event.attempt) for event in made.events if isinstance(event, kind)]


def test_each_redirect_has_its_time_and_attempt(front_end: FrontEnd) -> None:
    """Seconds since the call began, waits between attempts included, and the attempt that followed it."""
    made = harness(
        front_end, (0.25, (302, NEXT)), (0.5, 503), (1.0, (307, NEXT)), (2.0, (303, NEXT)), (4.0, 200)
    )
    made.request()
    assert when(made, RedirectFollowed) == [(0.25, 1), (1.85, 2), (3.85, 2)]
    first = next(event for event in made.events if isinstance(event, RedirectFollowed))
    assert first == RedirectFollowed(0.25, 1, ORIGIN, 302, "GET", f"{ORIGIN}/next", first.call_id)


def test_each_retry_has_its_time_and_attempt(front_end: FrontEnd) -> None:
    """That of the attempt that failed, and before the wait."""
    made = harness(front_end, (0.25, 503), (0.5, 503), (1.0, 200))
    made.request()
    assert when(made, RetryScheduled) == [(0.25, 1), (0.85, 2)]


def test_the_end_of_the_retries_has_its_time_and_attempt(front_end: FrontEnd) -> None:
    """Whatever ended them: the last attempt, or an outcome that is not retryable."""
    made = harness(front_end, (0.25, 503), (0.5, 404), (0.5, 503), (0.5, 503), (0.5, 503))
    made.request()
    assert when(made, RetryStopped) == []  # a 404 is a response, and no reason to explain anything
    made.events.clear()
    made.request()
    assert when(made, RetryStopped) == [(1.7, 3)]


def test_a_circuit_that_stops_the_retries_has_its_time_and_attempt(front_end: FrontEnd) -> None:
    """The refusal and the end of the retries: those of the attempt that was refused."""
    made = harness(front_end, (0.25, 503), (0.5, 503))
    breaker = made.state.breaker

    def open_meanwhile(seconds: float) -> None:
        made.clock.now += seconds
        breaker.isolate()

    made.clock.sleep = open_meanwhile  # type: ignore[method-assign]
    with suppress(HttpClientError):
        made.request()
    assert when(made, CircuitRefused) == [(0.35, 2)]
    assert when(made, RetryStopped) == [(0.35, 2)]
    stopped = next(event for event in made.events if isinstance(event, RetryStopped))
    assert stopped.reason is StopReason.CIRCUIT_OPEN


def test_a_coding_that_is_refused_has_its_time_and_attempt(front_end: FrontEnd) -> None:
    """Once for each exchange that met with 415."""
    made = harness(
        front_end, (0.25, 415), (0.5, 503), (1.0, 415), (2.0, 200),
        enable_request_compression=True,
    )  # fmt: skip
    made.request("PUT", data=b"x" * 10_000)
    assert when(made, CodingRefused) == [(0.25, 1), (1.85, 2)]


@each_row("kind", get_args(Event), ids=lambda kind: kind.__name__)
def test_the_last_fields_of_an_event_have_defaults(kind: type[Any]) -> None:
    """An event that is made by hand, in a test, belongs to no call; its name is that of its kind."""
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()
    assert list(kind._field_defaults.items())[-3:] == [("call_id", ""), ("call_name", None), ("name", name)]
    assert kind._fields[-3:] == ("call_id", "call_name", "name")
    assert {name for name, default in kind._field_defaults.items() if default} == {"name"}


def test_what_is_rare_in_an_event_may_be_left_out() -> None:
    """The network answered, the attempt was no trial, and the call was not made by another one."""
    attempt = AttemptFinished(0.0, 1, "", 0.1, 200, None, "", SentState.ANSWERED)
    assert (attempt.answered_by, attempt.is_trial) == (None, False)
    end = CallFinished(0.0, "GET", "", "", 1, 200, None, SentState.ANSWERED, None)
    assert end.parent_id is None


STATE = SentState.MAYBE_PROCESSED


def cache_used(
    result: str, age: float | None, ttl: float | None, reason: str = "", **flags: bool
) -> CacheUsed:
    """What a cache did, in the second attempt."""
    return CacheUsed(1.0, 2, "", CacheResult[result], age, ttl, reason, **flags)


@each_row(
    ("event", "text"),
    [
        (
            AttemptFinished(1.0, 2, "", 0.25, 503, None, "Busy", STATE),
            "attempt 2: 503 Busy (after 0.250 s, maybe processed)",
        ),
        (
            AttemptFinished(1.0, 2, "", 0.25, 503, None, "", STATE, "Cache"),
            "attempt 2: 503 (after 0.250 s, maybe processed, answered by Cache)",
        ),
        (
            AttemptFinished(1.0, 2, "", 0.25, None, "ReadTimeoutError", "slow", STATE),
            "attempt 2: ReadTimeoutError: slow (after 0.250 s, maybe processed)",
        ),
        (
            RedirectFollowed(1.0, 2, "", 302, "GET", "https://a.test/"),
            "attempt 2: 302, following to GET https://a.test/",
        ),
        (CodingRefused(1.0, 2, "", "gzip"), "attempt 2: 415 to a gzip body, sent again uncompressed"),
        (
            AuthContinued(1.0, 2, "", 401, "a.test", "POST", "https://b.test/"),
            "attempt 2: 401 from a.test, the auth flow continues with POST https://b.test/",
        ),
        (
            AuthStopped(1.0, 2, "", 401),
            "attempt 2: 401, and the auth flow cannot send the request again: its body was a stream and is consumed; "
            "pass bytes or a file",
        ),
        (
            RetryScheduled(1.0, 2, "", 0.5, "status 503", None, None, None),
            "retry in 0.500 s because of status 503",
        ),
        (
            RetryScheduled(1.0, 2, "", 0.5, "status 503", 2.0, 7.0, -1.0),
            "retry in 0.500 s because of status 503, Retry-After asked for 2.000 s "
            "[7 retries left in the budget, 0.000 s left of the deadline]",
        ),
        (
            RetryStopped(1.0, 2, "", StopReason.EXHAUSTED, 1.4, None),
            "not retried: that was the last attempt [1 retry left in the budget]",
        ),
        (
            RetryStopped(1.0, 2, "", StopReason.BUDGET, 0.0, 1.5),
            "not retried: the retry budget is spent [0 retries left in the budget, 1.500 s left of the deadline]",
        ),
        (
            CircuitRefused(1.0, 2, "k", "5 failures", None),
            "attempt 2: refused by the circuit breaker for k (5 failures)",
        ),
        (
            CircuitRefused(1.0, 2, "k", "5 failures", 3.0),
            "attempt 2: refused by the circuit breaker for k (5 failures; next trial in 3.000 s)",
        ),
        (
            ThrottleWaited(1.0, 2, "k", 3.0),
            "attempt 2: waits for 3.000 s, since k asked for a pause",
        ),
        (
            ThrottleRefused(1.0, 2, "k", 3.0),
            "attempt 2: refused, since k asked for a pause of another 3.000 s",
        ),
        (ProxyRetried(1.0, 2, "k", 3), "attempt 2: a proxy made 3 attempts of it (x-envoy-attempt-count)"),
        (LimitWaited(1.0, 2, "k", "rate limit", 3.0), "attempt 2: waited 3.000 s for the rate limit of k"),
        (LimitRefused(1.0, 2, "", "bulkhead", None), "attempt 2: refused by the bulkhead of this policy"),
        (
            LimitRefused(1.0, 2, "k", "bulkhead", None, "low priority: there is no room in the queue"),
            "attempt 2: refused by the bulkhead of k (low priority: there is no room in the queue)",
        ),
        (
            LimitRefused(1.0, 2, "k", "rate limit", 3.0),
            "attempt 2: refused by the rate limit of k; another may pass in 3.000 s",
        ),
        (
            DeadlineRefused(1.0, 2, "k", 0.9, 1.8, 1.5),
            "attempt 2: not begun, since it could hardly end in time: p50 of k is 1.800 s, 0.900 s left",
        ),
        (HostChanged(1.0, 2, "k", "j"), "attempt 2: goes to k, in place of j"),
        (
            TokenAwaited(1.0, 2, "", 0.25, "https://id.test"),
            "attempt 2: waited 0.250 s for a token from https://id.test",
        ),
        (
            ConnectionAwaited(1.0, 2, "", 0.25),
            "attempt 2: waited 0.250 s for a free connection",
        ),
        (
            TokenAwaited(1.0, 2, "", 0.25, "https://id.test", "TokenError"),
            "attempt 2: waited 0.250 s for a token from https://id.test, in vain: TokenError",
        ),
        (cache_used("MISS", None, None, is_stored=True), "not in the cache; stored"),
        (cache_used("MISS", None, None), "not in the cache; not stored"),
        (
            cache_used("MISS", 20.0, None, "no-store"),
            "the stored response is out of date; not stored: no-store",
        ),
        (cache_used("HIT", 20.0, 40.0), "from the cache, 20 s old, fresh for another 40 s"),
        (
            cache_used("HIT", 20.0, 40.0, is_collapsed=True),
            "from the cache, 20 s old, fresh for another 40 s, brought by an equal request in flight",
        ),
        (cache_used("REVALIDATED", 0.0, 60.0), "from the cache, 0 s old, confirmed by the server (304)"),
        (cache_used("STALE", 90.0, -30.0, "503"), "from the cache, 90 s old, stale for 30 s: 503"),
        (cache_used("STALE", 20.0, 40.0, "503"), "from the cache, 20 s old, fresh for another 40 s: 503"),
        (
            CacheFailed(1.0, 0, "", "get", "OSError", "the disk is gone"),
            "the cache's storage failed to get: OSError: the disk is gone",
        ),
        (
            CallFinished(1.0, "GET", "", "", 1, 200, None, SentState.ANSWERED, None),
            "done: 200 after 1 attempt, answered",
        ),
        (
            CallFinished(1.0, "GET", "", "", 2, None, "ConnectError", SentState.NEVER_SENT, 0.25),
            "done: ConnectError after 2 attempts, never sent [0.250 s left of the deadline]",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, tuple) else "",
)
def test_an_event_is_a_sentence(event: Any, text: str) -> None:
    """A line of a story, without its time."""
    assert str(event) == text


def test_a_story_has_a_heading_when_the_call_has_ended() -> None:
    """With the name of the call, if it has one; an empty one has neither lines nor an id."""
    end = CallFinished(
        1.0, "GET", "https://a.test/", "", 1, 200, None, SentState.ANSWERED, None, None, None, "c", "load"
    )
    coding = CodingRefused(0.5, 1, "", "gzip", "c")
    assert Timeline([coding, end]).explain().splitlines() == [
        "GET https://a.test/ (load)",
        "  0.500 s  attempt 1: 415 to a gzip body, sent again uncompressed",
        "  1.000 s  done: 200 after 1 attempt, answered",
    ]
    assert Timeline([end._replace(call_name=None)]).explain().splitlines()[0] == "GET https://a.test/"
    assert Timeline([coding]).explain().count("\n") == 0
    assert (Timeline([coding]).call_id, Timeline().call_id, Timeline().explain()) == ("c", "", "")

"""Events that are made by hand: the sentences of rare ones, and what a timeline says of all of them."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client import SentState, Timeline
from http_service_client.events import (
    AttemptFinished,
    CacheResult,
    CacheUsed,
    CallFinished,
    ChaosInjected,
    FallbackSource,
    FallbackUsed,
    HedgeFinished,
    HedgeResult,
    HedgeStarted,
    OperationFinished,
    OperationTimedOut,
)
from kit.rows import each_row

MAYBE, ANSWERED = SentState.MAYBE_PROCESSED, SentState.ANSWERED


@each_row(
    ("ttl", "text"),
    [
        (1.0, "fresh for another 1 s"),
        (0.6, "fresh for another 1 s"),
        (0.0, "stale for 0 s"),
        (-0.6, "stale for 1 s"),
        (-5.0, "stale for 5 s"),
        (None, "stale for 0 s"),
    ],
)
def test_a_result_that_stands_in_is_fresh_or_stale(ttl: float | None, text: str) -> None:
    """One that is fresh may stand in as well; one whose lifetime has just ended is stale."""
    used = CacheUsed(0.0, 1, "k", CacheResult.STALE, 9.0, ttl, "ConnectError")
    assert str(used) == f"from the cache, 9 s old, {text}: ConnectError"


@each_row(
    ("result", "attempt", "age", "ttl", "flags", "text"),
    [
        ("HIT", 0, 2.0, 48.9, {}, "hit; ttl=48"),
        ("STALE", 0, 60.0, -3.0, {}, "hit; ttl=-3"),
        ("MISS", 0, None, None, {"is_stored": True}, "fwd=miss; stored"),
        ("MISS", 1, None, None, {}, "fwd=miss"),
        ("MISS", 1, 60.0, 9.0, {"is_stored": True}, "fwd=stale; ttl=9; stored"),
        ("MISS", 0, 60.0, None, {}, "fwd=stale"),
        ("STALE", 1, None, -3.0, {}, "fwd=stale; ttl=-3"),
        ("REVALIDATED", 1, 60.0, 9.0, {"is_stored": True}, "fwd=stale; fwd-status=304; ttl=9; stored"),
        ("HIT", 0, 0.0, 9.0, {"is_collapsed": True}, "fwd=miss; ttl=9; collapsed"),
    ],
)
def test_what_a_cache_did_may_be_a_header(
    result: str, attempt: int, age: float | None, ttl: float | None, flags: dict[str, Any], text: str
) -> None:
    """As RFC 9211 has it: a hit needed no request, and one that was forwarded says why."""
    used = CacheUsed(0.0, attempt, "k", CacheResult[result], age, ttl, **flags)
    assert used.cache_status == f"http-service-client; {text}"


@each_row(
    ("event", "text"),
    [
        (OperationFinished(0.0, "k", 1, None), "done: success after 1 attempt"),
        (OperationFinished(0.0, "k", 2, None), "done: success after 2 attempts"),
        (OperationFinished(0.0, "k", 0, "CircuitOpenError"), "done: CircuitOpenError after 0 attempts"),
        (
            OperationTimedOut(0.0, 2, "k", 1.5, "cancelled"),
            "attempt 2: took longer than 1.5 s; it was ended",
        ),
        (
            OperationTimedOut(0.0, 1, "k", 3.0, "late"),
            "attempt 1: took longer than 3 s; it could not be interrupted, and its result is returned",
        ),
        (
            OperationTimedOut(0.0, 1, "k", 3.0, "abandoned"),
            "attempt 1: took longer than 3 s; it runs on in its thread, and its result will be dropped",
        ),
        (
            HedgeStarted(0.0, 1, "k", 1, 0.25, 3.0),
            "attempt 1: no response within 0.250 s, hedge 1 begins [3 retries left in the budget]",
        ),
        (
            HedgeStarted(0.0, 1, "k", 2, 0.25),
            "attempt 1: no response within 0.250 s, hedge 2 begins",
        ),
        (
            HedgeFinished(0.0, 1, "k", 1, HedgeResult.WON, 0.5, 200, None, ANSWERED),
            "attempt 1: hedge 1 won: 200 (after 0.500 s, answered)",
        ),
        (
            HedgeFinished(0.0, 2, "k", 0, HedgeResult.FAILED, 0.5, None, "ReadTimeoutError", MAYBE),
            "attempt 2: the first request failed: ReadTimeoutError (after 0.500 s, maybe processed)",
        ),
        (
            HedgeFinished(0.0, 1, "k", 0, HedgeResult.FAILED, 0.5, None, None, MAYBE),
            "attempt 1: the first request failed (after 0.500 s, maybe processed)",
        ),
        (
            AttemptFinished(0.0, 1, "k", 0.1, 503, None, "Service Unavailable", ANSWERED),
            "attempt 1: 503 Service Unavailable (after 0.100 s, answered)",
        ),
        (
            AttemptFinished(0.0, 1, "k", 0.1, 503, None, "", ANSWERED, "Mock"),
            "attempt 1: 503 (after 0.100 s, answered, answered by Mock)",
        ),
        (ChaosInjected(0.0, 1, "k", "latency", "1.5 s"), "attempt 1: chaos injected a delay of 1.5 s"),
        (ChaosInjected(0.0, 1, "k", "status", "503"), "attempt 1: chaos injected status 503"),
        (ChaosInjected(0.0, 1, "k", "error", "ConnectError"), "attempt 1: chaos injected ConnectError"),
        (
            ChaosInjected(0.0, 2, "k", "truncation", "after 5 bytes"),
            "attempt 2: chaos injected the end of the body after 5 bytes",
        ),
        (
            FallbackUsed(0.0, 1, "k", FallbackSource.VALUE, "KeyError"),
            "the fallback stands in for KeyError: its value",
        ),
        (
            FallbackUsed(0.0, 1, "k", FallbackSource.LAST_GOOD, "status 503", ANSWERED, 2.5),
            "the fallback stands in for status 503 (answered): the last good result, 2.500 s old",
        ),
    ],
)
def test_rare_events_are_sentences(event: Any, text: str) -> None:
    """For a timeline and a log."""
    assert str(event) == text


def attempt(number: int, state: SentState, call_id: str = "a") -> AttemptFinished:
    return AttemptFinished(0.5, number, "k", 0.25, None, "ReadTimeoutError", "", state, call_id=call_id)


def end(error: str | None, state: SentState, attempts: int = 2, left: float | None = None) -> CallFinished:
    return CallFinished(1.0, "GET", "/", "k", attempts, 200, error, state, left, call_id="b")


def test_a_timeline_has_the_id_of_its_first_event_and_the_worst_state() -> None:
    """Of no event, it has neither."""
    assert (Timeline(()).call_id, Timeline(()).sent_state) == ("", None)
    timeline = Timeline((attempt(1, MAYBE), attempt(2, ANSWERED), end(None, MAYBE)))
    assert (timeline.call_id, timeline.sent_state) == ("a", MAYBE)
    assert Timeline((attempt(1, ANSWERED),)).sent_state is ANSWERED


@pytest.mark.parametrize(
    ("error", "state", "text"),
    [
        (None, ANSWERED, "done: 200 after 2 attempts, answered"),
        (
            None,
            MAYBE,
            "done: 200 after 2 attempts; one without a complete response may have been processed, too",
        ),
        ("ReadTimeoutError", MAYBE, "done: ReadTimeoutError after 2 attempts, maybe processed"),
    ],
)
def test_the_end_of_a_call_says_what_became_of_its_request(
    error: str | None, state: SentState, text: str
) -> None:
    """After a response, the state is that of another attempt."""
    assert str(end(error, state)) == text


@pytest.mark.parametrize(
    ("error", "attempts", "left", "is_refused"),
    [
        ("DeadlineExceededError", 0, -0.5, True),
        ("DeadlineExceededError", 1, -0.5, False),
        ("DeadlineExceededError", 0, None, False),
        ("PoolTimeoutError", 0, 3.0, False),
    ],
)
def test_a_call_that_came_too_late_was_refused_by_its_deadline(
    error: str, attempts: int, left: float | None, is_refused: bool
) -> None:
    """One that began was not, nor was one that another limit ended."""
    decision = end(error, SentState.NEVER_SENT, attempts, left).decision
    assert (decision is not None) == is_refused

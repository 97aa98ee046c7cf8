"""Whether to retry and after which wait: every reason to stop, and their order."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from http_service_client.core.machines.retry.backoff import ExponentialBackoff
from http_service_client.core.machines.retry.decision import NoRetry, Situation, is_in_progress, next_wait
from http_service_client.core.machines.retry.settings import RetrySettings
from http_service_client.core.refusals import would_have_been
from http_service_client.errors import SentState
from http_service_client.events import StopReason
from http_service_client.http.messages import HttpRequest, HttpResponse
from kit.rows import each_row

SETTINGS = RetrySettings(max_attempts=3, backoff_strategy=ExponentialBackoff(max_delay=60.0))
FINE = Situation(attempt=1, is_nested=False, retry_after=None, remaining=None)

# Each reason to stop, with the one fact that causes it, in the order in which they are checked.
REASONS: list[tuple[dict[str, Any], StopReason]] = [
    ({"is_cut": True}, StopReason.DEADLINE),
    ({"attempt": 3}, StopReason.EXHAUSTED),
    ({"is_nested": True}, StopReason.NESTED),
    ({"is_safe": False}, StopReason.NOT_SAFE),
    ({"is_replayable": False}, StopReason.NOT_REPLAYABLE),
    ({"retry_after": 30.5, "patience": 30.0}, StopReason.RETRY_AFTER_TOO_LONG),
    ({"remaining": 2.0}, StopReason.DEADLINE),
    ({"remaining": 3.0, "needed": 1.5}, StopReason.TOO_LITTLE_TIME),
    ({"blocked_for": 2.5}, StopReason.CIRCUIT_OPEN),
]


class OneSecond:
    """A user-defined strategy without `max_delay`."""

    def delays(self, random: Callable[[], float]) -> Iterator[float]:
        return itertools.repeat(1.0)


def delays(*seconds: float) -> Iterator[float]:
    return iter(seconds or (2.0, 4.0))


@each_row(("fact", "reason"), REASONS, ids=lambda value: ascii(value))
def test_each_reason_alone_ends_the_retries(fact: dict[str, Any], reason: StopReason) -> None:
    """One fact against a retry is enough to stop."""
    assert next_wait(SETTINGS, FINE._replace(**fact), delays()) is reason


@each_row(
    ("facts", "change"),
    [
        ({"is_cut": True}, "no deadline"),
        ({"attempt": 3}, "max_attempts=4"),
        ({"is_nested": True}, "nested=True in its retry policy"),
        ({"is_safe": False}, "idempotent=True (or an Idempotency-Key)"),
        ({"is_replayable": False}, "a body of bytes or from a file, which can be sent again"),
        (
            {"retry_after": 30.5, "patience": 30.0},
            "timeout=30.5, which is the longest Retry-After to wait for",
        ),
        ({"retry_after": 60.5}, "max_delay=60.5 in the backoff"),
        ({"remaining": 2.0}, "0.001 s more until the deadline"),
        ({"remaining": 3.0, "needed": 2.5}, "1.5 s more until the deadline"),
        ({"blocked_for": 2.5}, "a backoff of 2.5 s, since the circuit lets a trial pass then"),
        ({"blocked_for": 0.5, "wait": None}, "a backoff of 0.5 s, since the circuit lets a trial pass then"),
        # The circuit lets a trial pass before the backoff is over: it is no reason.
        ({"remaining": 1.5, "blocked_for": 1.0}, "0.501 s more until the deadline"),
        ({"shortfall": 0.4}, "0.4 more in the retry budget"),
        ({"is_worth_it": False}, "a retry condition that holds for it"),
        ({"is_forbidden": True}, "a server that does not forbid it (x-should-retry: false)"),
        ({"is_cut": True, "overrun": 1.5}, "3.51 s more until the deadline"),
    ],
    ids=lambda value: ascii(value)[:60],
)
def test_each_reason_alone_has_one_change_that_ends_it(facts: dict[str, Any], change: str) -> None:
    """The fact itself, changed as little as it takes."""
    decision = NoRetry.of(SETTINGS, FINE, 2.0)._replace(**facts)
    assert would_have_been(decision) == f"would have been retried with {change}"


@each_row(("first", "second"), list(itertools.combinations(REASONS, 2)), ids=lambda _: "")
def test_of_two_reasons_the_first_of_the_table_is_returned(
    first: tuple[dict[str, Any], StopReason], second: tuple[dict[str, Any], StopReason]
) -> None:
    """If two facts speak against a retry, the caller gets the reason that is checked first."""
    situation = FINE._replace(**{**second[0], **first[0]})
    assert next_wait(SETTINGS, situation, delays()) is first[1]


@each_row(
    ("situation", "wait"),
    [
        (FINE, 2.0),
        (FINE._replace(attempt=2), 2.0),
        (FINE._replace(retry_after=0.0), 2.0),
        (FINE._replace(retry_after=1.9), 2.0),
        (FINE._replace(retry_after=2.1), 2.1),
        (FINE._replace(retry_after=30.0, patience=30.0), 30.0),
        (FINE._replace(retry_after=60.0), 60.0),
        (FINE._replace(remaining=2.001), 2.0),
        (FINE._replace(remaining=3.0, needed=1.0), 2.0),
        (FINE._replace(blocked_for=2.0), 2.0),
        (FINE._replace(blocked_for=-5.0), 2.0),
    ],
)
def test_the_wait_is_the_longer_of_backoff_and_retry_after(situation: Situation, wait: float) -> None:
    """Retry-After is a minimum; a limit may be met exactly, and only the deadline must be later than the wait."""
    assert next_wait(SETTINGS, situation, delays()) == wait


def test_a_retry_may_follow_at_once() -> None:
    """Where the backoff is 0, and nothing else is known."""
    assert next_wait(SETTINGS, FINE, delays(0.0)) == 0.0


def test_a_retry_after_above_max_delay_stops_the_retries() -> None:
    """`max_delay` of the strategy bounds Retry-After; a strategy without `max_delay` sets no bound."""
    situation = FINE._replace(retry_after=60.5)
    without_max_delay = RetrySettings(backoff_strategy=OneSecond())
    assert next_wait(SETTINGS, situation, delays()) is StopReason.RETRY_AFTER_TOO_LONG
    assert next_wait(without_max_delay, situation, delays()) == 60.5


def test_a_nested_policy_retries_inside_another_policy() -> None:
    """`nested=True` permits retries inside another policy, which multiplies the attempts."""
    nested = RetrySettings(nested=True)
    assert next_wait(nested, FINE._replace(is_nested=True), delays()) == 2.0


@pytest.mark.parametrize("fact", [fact for fact, _ in REASONS[:5]], ids=lambda value: ascii(value))
def test_no_delay_is_drawn_when_a_reason_rules_out_the_wait(fact: dict[str, Any]) -> None:
    """The delay stays in the sequence for the next wait."""
    remaining = delays(2.0, 4.0)
    next_wait(SETTINGS, FINE._replace(**fact), remaining)
    assert next(remaining) == 2.0


KEYED = HttpRequest("POST", "https://api.example.com/", headers={"Idempotency-Key": "k"})
UNKEYED = HttpRequest("POST", "https://api.example.com/")


@each_row(
    ("outcome", "before", "request_sent", "expected"),
    [
        (HttpResponse(409), SentState.MAYBE_PROCESSED, KEYED, True),
        (HttpResponse(409), SentState.ANSWERED, KEYED, True),
        (HttpResponse(409), SentState.ABANDONED, KEYED, True),
        (HttpResponse(409), SentState.NEVER_SENT, KEYED, False),
        (HttpResponse(409), SentState.REFUSED, KEYED, False),
        (HttpResponse(409), SentState.MAYBE_PROCESSED, UNKEYED, False),
        (HttpResponse(409), SentState.MAYBE_PROCESSED, None, False),
        (HttpResponse(422), SentState.MAYBE_PROCESSED, KEYED, False),
        (HttpResponse(200), SentState.MAYBE_PROCESSED, KEYED, False),
        (ValueError(), SentState.MAYBE_PROCESSED, KEYED, False),
    ],
)
def test_a_conflict_with_an_own_attempt_may_be_over_soon(
    outcome: object, before: SentState, request_sent: HttpRequest | None, expected: bool
) -> None:
    """Only where an earlier attempt with the same key may be what the server is working on."""
    assert is_in_progress(outcome, before, request_sent) is expected

"""Adaptive limits, as rows: see `kit.strategies`."""

from __future__ import annotations

from typing import Any

from http_service_client import (
    AdaptiveLimitPolicy,
    ConstantBackoff,
    RetryCondition,
    RetryPolicy,
    deadline,
    priority,
)
from http_service_client.http.messages import HttpResponse
from kit.strategies import Act, Op, Row

__all__ = ["ROWS"]


def limit(clock: Any, initial: int = 1, **settings: Any) -> AdaptiveLimitPolicy:
    given = {"initial_limit": initial, "max_limit": 20, "max_wait": 60.0, **settings}
    return AdaptiveLimitPolicy(clock=clock, **given)


def within(seconds: float) -> Any:
    return lambda clock: deadline(seconds, clock=clock.monotonic)


def by(level: str) -> Any:
    return lambda clock: priority(level)  # type: ignore[arg-type]  # a name


def ten(takes: float, gives: Any = "ok", at: float = 0.0) -> list[Op]:
    """As many results as a window needs, one after the other."""
    return [Op(at=at + number * takes, takes=takes, gives=gives) for number in range(10)]


def two_by_two(gives: Any) -> list[Op]:
    """The same, two at a time."""
    return [Op(at=float(number // 2), takes=1.0, gives=gives) for number in range(10)]


BUSY = "<HttpResponse [503]>"
REFUSED = "ConnectionRefusedError"
ROWS = [
    Row(
        "a call waits for a permit",
        lambda clock: [limit(clock)],
        [Op(takes=2.0), Op(takes=1.0)],
        "ok@2 ok@3",
        "LimitWaited",
    ),
    Row(
        "a call that finds the queue full is refused at once",
        lambda clock: [limit(clock, max_waiting=1)],
        [Op(takes=2.0), Op(at=0.5), Op(at=1.0)],
        "ok@2 ok@2 ConcurrencyLimitError@1",
        "LimitRefused LimitWaited",
    ),
    Row(
        "a call waits no longer than it may",
        lambda clock: [limit(clock, max_wait=0.5)],
        [Op(takes=2.0), Op(at=1.0)],
        "ok@2 ConcurrencyLimitError@1.5",
        "LimitRefused",
    ),
    Row(
        "a deadline that is nearer ends the wait",
        lambda clock: [limit(clock)],
        [Op(takes=5.0), Op(at=1.0, inside=within(2.0))],
        "ok@5 DeadlineExceededError@3",
        "",
    ),
    Row(
        "a cancelled wait loses no permit",
        lambda clock: [limit(clock, max_waiting=2)],
        [Op(takes=3.0), Op(at=1.0, cancel=2.0), Op(at=1.5)],
        "ok@3 cancelled@2 ok@3",
    ),
    Row(
        "a cancelled call gives its permit to the next",
        lambda clock: [limit(clock)],
        [Op(takes=9.0, cancel=2.0), Op(at=1.0)],
        "cancelled@2 ok@2",
    ),
    Row(
        "the most important call is next",
        lambda clock: [limit(clock, max_waiting=2)],
        [Op(takes=2.0), Op(at=0.5, takes=1.0, inside=by("low")), Op(at=1.0, takes=1.0, inside=by("high"))],
        "ok@2 ok@4 ok@3",
    ),
    Row(
        "a retry waits without a permit",
        lambda clock: [
            RetryPolicy(
                2,
                ConstantBackoff(3.0, jitter="none"),
                [RetryCondition.on_exceptions([OSError])],
                clock=clock,
                budget=None,
            ),
            limit(clock),
        ],
        [Op(takes=1.0, gives=(OSError, "ok")), Op(at=1.5, takes=1.0)],
        "ok@5 ok@2.5",
        "RetryScheduled",
    ),
    Row(
        "a limit that is reached grows, and the calls that wait go on together",
        lambda clock: [limit(clock, max_waiting=20, algorithm="aimd")],
        [*ten(1.0), *[Op(at=10.0, takes=1.0)] * 3],
        " ".join(f"ok@{number}" for number in range(1, 11)) + " ok@11 ok@11 ok@12",
    ),
    Row(
        "late calls halve the limit",
        lambda clock: [limit(clock, 2, slow_call_duration=0.5, max_waiting=20)],
        [*two_by_two("ok"), *[Op(at=10.0, takes=1.0)] * 3],
        f"{' '.join(f'ok@{number} ok@{number}' for number in range(1, 6))} ok@11 ok@12 ok@13",
    ),
    Row(
        "responses that say overload lower the limit",
        lambda clock: [limit(clock, 2, max_waiting=20)],
        [*two_by_two(HttpResponse(503)), *[Op(at=10.0, takes=1.0)] * 3],
        f"{' '.join(f'{BUSY}@{number} {BUSY}@{number}' for number in range(1, 6))} ok@11 ok@12 ok@13",
    ),
    Row(
        "so do connections that are refused",
        lambda clock: [limit(clock, 2, max_waiting=20)],
        [*two_by_two(ConnectionRefusedError), *[Op(at=10.0, takes=1.0)] * 3],
        f"{' '.join(f'{REFUSED}@{number} {REFUSED}@{number}' for number in range(1, 6))} ok@11 ok@12 ok@13",
    ),
    Row(
        "errors of the function's own change nothing",
        lambda clock: [limit(clock, 10)],
        [*[Op(takes=1.0, gives=ValueError)] * 10, *[Op(at=5.0, takes=1.0)] * 10],
        " ".join(["ValueError@1"] * 10 + ["ok@6"] * 10),
    ),
    Row(
        "a larger limit reaches a call that waits",
        lambda clock: [limit(clock)],
        [Op(takes=5.0), Op(at=1.0)],
        "ok@5 ok@2",
        acts=[Act(2.0, lambda policies: policies[0].reconfigure(min_limit=2, initial_limit=2))],
    ),
]

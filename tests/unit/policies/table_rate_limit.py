"""Rate limits around functions, as rows: see `kit.strategies`."""

from __future__ import annotations

from typing import Any

from http_service_client import (
    BulkheadPolicy,
    CircuitBreakerPolicy,
    ConstantBackoff,
    RateLimitPolicy,
    RetryCondition,
    RetryPolicy,
    deadline,
)
from kit.strategies import WORLDS, Act, Op, Row

__all__ = ["ROWS"]

TASKS = ("asyncio", "virtual")  # where a wait on the clock can be ended from outside


def limit(clock: Any, rate: float = 1.0, **settings: Any) -> RateLimitPolicy:
    return RateLimitPolicy(rate, clock=clock, **settings)


def retry(clock: Any) -> RetryPolicy:
    conditions = [RetryCondition.on_exceptions([OSError])]
    return RetryPolicy(3, ConstantBackoff(0.25, jitter="none"), conditions, clock=clock, budget=None)


ROWS = [
    Row(
        "calls are evenly spaced, in their order",
        lambda clock: [limit(clock)],
        [Op(), Op(), Op(at=0.5), Op(at=0.25)],
        "ok@0 ok@1 ok@3 ok@2",
        "LimitWaited LimitWaited LimitWaited",
    ),
    Row(
        "a burst passes at once, and the rest at the rate",
        lambda clock: [limit(clock, burst=3)],
        [Op(), Op(), Op(), Op(), Op(at=9.0), Op(at=9.0), Op(at=9.0), Op(at=9.0)],
        "ok@0 ok@0 ok@0 ok@1 ok@9 ok@9 ok@9 ok@10",
    ),
    Row(
        "what a call takes is not counted",
        lambda clock: [limit(clock)],
        [Op(takes=5.0), Op(takes=5.0)],
        "ok@5 ok@6",
    ),
    Row(
        "one that may not wait is refused at once",
        lambda clock: [limit(clock, max_wait=0)],
        [Op(), Op(at=0.25), Op(at=1.0)],
        "ok@0 RateLimitExceededError@0.25 ok@1",
        "LimitRefused",
    ),
    Row(
        "one whose turn would come too late is refused at once, and takes nothing from those that come later",
        lambda clock: [limit(clock, max_wait=1.5)],
        [Op(), Op(), Op(), Op(at=0.5)],
        "ok@0 ok@1 RateLimitExceededError@0 ok@2",
    ),
    Row(
        "a wait that would cross the deadline is not begun",
        lambda clock: [limit(clock)],
        [
            Op(),
            Op(),
            Op(inside=lambda clock: deadline(1.5, clock=clock.monotonic)),
            Op(inside=lambda clock: deadline(2.5, clock=clock.monotonic)),
        ],
        "ok@0 ok@1 RateLimitExceededError@0 ok@2",
        "LimitRefused LimitWaited LimitWaited",
    ),
    Row(
        "a cancelled waiter returns its turn to the next one",
        lambda clock: [limit(clock)],
        [Op(), Op(cancel=0.5), Op(), Op()],
        "ok@0 cancelled@0.5 ok@1 ok@2",
        "LimitWaited LimitWaited",
        worlds=TASKS,
    ),
    Row(
        "on threads, an interrupted waiter loses no token either",
        lambda clock: [limit(clock)],
        [Op(), Op(cancel=0.5), Op(at=1.0), Op(at=1.25)],
        "ok@0 cancelled@0.5 ok@1 ok@2",
    ),
    Row(
        "a call that is cancelled while its function runs has used its token",
        lambda clock: [limit(clock)],
        [Op(takes=9.0, cancel=0.25), Op(at=0.5)],
        "cancelled@0.25 ok@1",
    ),
    Row(
        "those that wait move to a faster rate at once",
        lambda clock: [limit(clock, 0.01, max_wait=None)],
        [Op(), Op(), Op()],
        "ok@0 ok@2.98 ok@3.98",
        acts=[Act(2.0, lambda policies: policies[0].reconfigure(rate=1.0))],
        worlds=TASKS,
    ),
    Row(
        "those that wait move to a slower rate, and may find that it is too slow for them",
        lambda clock: [limit(clock, max_wait=4.0)],
        [Op(), Op(), Op(), Op()],
        "ok@0 ok@1 ok@4 RateLimitExceededError@3",
        acts=[Act(1.5, lambda policies: policies[0].reconfigure(rate=0.2))],
    ),
    Row(
        "each attempt takes a token",
        lambda clock: [retry(clock), limit(clock)],
        [Op(gives=(OSError, OSError, "ok"))],
        "ok@2",
        "RetryScheduled LimitWaited RetryScheduled LimitWaited",
    ),
    Row(
        "a refusal ends the retries with the last real error",
        lambda clock: [retry(clock), limit(clock, max_wait=0.5)],
        [Op(gives=OSError)],
        "OSError@0.25",
    ),
    Row(
        "a call that a circuit inside refuses returns its token",
        lambda clock: [limit(clock), CircuitBreakerPolicy(1, 100.0, clock=clock.monotonic)],
        [Op(gives=ValueError), Op(at=1.0), Op(at=1.0), Op(at=1.25)],
        "ValueError@0 CircuitOpenError@1 CircuitOpenError@1 CircuitOpenError@1.25",
    ),
    Row(
        "a call that is cancelled while it waits for a permit returns its token",
        lambda clock: [limit(clock, burst=2), BulkheadPolicy(1, max_wait=None, clock=clock)],
        [Op(takes=0.375), Op(cancel=0.25), Op(at=0.5)],
        "ok@0.375 cancelled@0.25 ok@0.5",
    ),
    Row(
        "a call whose deadline ends its wait for a permit returns its token",
        lambda clock: [limit(clock, burst=2), BulkheadPolicy(1, max_wait=None, clock=clock)],
        [Op(takes=0.375), Op(inside=lambda clock: deadline(0.25, clock=clock.monotonic)), Op(at=0.5)],
        "ok@0.375 DeadlineExceededError@0.25 ok@0.5",
    ),
    Row(
        "a call that fails after a wait for a permit has used its token",
        lambda clock: [limit(clock, burst=2), BulkheadPolicy(1, max_wait=None, clock=clock)],
        [Op(takes=0.25), Op(gives=ValueError), Op(at=0.5)],
        "ok@0.25 ValueError@0.25 ok@1",
    ),
    Row(
        "each key has a limit of its own",
        lambda clock: [limit(clock, key=lambda tenant: tenant)],
        [Op(args=("a",)), Op(args=("b",)), Op(args=("a",)), Op(args=("b",))],
        "ok@0 ok@0 ok@1 ok@1",
    ),
]
assert set(TASKS) < set(WORLDS)

"""Bulkheads and priorities around functions, as rows: see `kit.strategies`."""

from __future__ import annotations

from typing import Any

from http_service_client import (
    BulkheadPolicy,
    CircuitBreakerPolicy,
    ConstantBackoff,
    HedgingPolicy,
    RetryCondition,
    RetryPolicy,
    deadline,
    priority,
)
from kit.strategies import Act, Op, Row

__all__ = ["ROWS"]


def of(clock: Any, max_concurrent: int = 1, max_waiting: int | None = 9, **settings: Any) -> BulkheadPolicy:
    settings.setdefault("max_wait", None)
    return BulkheadPolicy(max_concurrent, max_waiting, clock=clock, **settings)


def marked(level: Any) -> Any:
    return lambda clock: priority(level)


LOW, HIGH = marked("low"), marked("high")

ROWS = [
    Row(
        "the third call waits for a permit",
        lambda clock: [of(clock, 2)],
        [Op(takes=2.0), Op(takes=3.0), Op(takes=1.0)],
        "ok@2 ok@3 ok@3",
        "LimitWaited",
    ),
    Row(
        "calls that wait have their turn in their order",
        lambda clock: [of(clock)],
        [Op(takes=1.0), Op(at=0.1, takes=1.0), Op(at=0.2, takes=1.0), Op(at=0.3, takes=1.0)],
        "ok@1 ok@2 ok@3 ok@4",
        "LimitWaited LimitWaited LimitWaited",
    ),
    Row(
        "a full queue refuses at once",
        lambda clock: [of(clock, 1, 1)],
        [Op(takes=5.0), Op(at=1.0), Op(at=2.0), Op(at=6.0)],
        "ok@5 ok@5 BulkheadFullError@2 ok@6",
        "LimitRefused LimitWaited",
    ),
    Row(
        "without a queue, a second call is refused at once",
        lambda clock: [of(clock, 1, 0)],
        [Op(takes=5.0), Op(at=1.0), Op(at=5.5)],
        "ok@5 BulkheadFullError@1 ok@5.5",
    ),
    Row(
        "a wait ends after max_wait",
        lambda clock: [of(clock, max_wait=1.5)],
        [Op(takes=5.0), Op(at=1.0), Op(at=4.0, takes=1.0)],
        "ok@5 BulkheadFullError@2.5 ok@6",
        "LimitRefused LimitWaited",
    ),
    Row(
        "the outer deadline ends a wait",
        lambda clock: [of(clock, max_wait=60.0)],
        [Op(takes=5.0), Op(at=1.0, inside=lambda clock: deadline(2.0, clock=clock.monotonic))],
        "ok@5 DeadlineExceededError@3",
        "",
    ),
    Row(
        "a cancelled waiter leaves the queue, and its turn is the next one's",
        lambda clock: [of(clock)],
        [Op(takes=4.0), Op(at=1.0, takes=9.0, cancel=2.0), Op(at=1.5, takes=1.0)],
        "ok@4 cancelled@2 ok@5",
        "LimitWaited",
    ),
    Row(
        "a cancelled call releases its permit",
        lambda clock: [of(clock)],
        [Op(takes=9.0, cancel=2.0), Op(at=1.0, takes=1.0)],
        "cancelled@2 ok@3",
        "LimitWaited",
    ),
    Row(
        "a call that raises releases its permit",
        lambda clock: [of(clock)],
        [Op(takes=2.0, gives=KeyError), Op(at=1.0, takes=1.0)],
        "KeyError@2 ok@3",
    ),
    Row(
        "of calls that wait, the most important is first",
        lambda clock: [of(clock)],
        [
            Op(takes=2.0),
            Op(at=0.5, takes=1.0, inside=LOW),
            Op(at=0.6, takes=1.0),
            Op(at=1.0, takes=1.0, inside=HIGH),
        ],
        "ok@2 ok@5 ok@4 ok@3",
    ),
    Row(
        "priorities starve nobody: every eighth turn is that of the one that has waited longest",
        lambda clock: [of(clock, 1, 20)],
        [
            Op(takes=1.0),
            Op(at=0.1, takes=1.0, inside=LOW),
            *(Op(at=0.2 + number, takes=1.0, inside=HIGH) for number in range(10)),
        ],
        "ok@1 ok@9 ok@2 ok@3 ok@4 ok@5 ok@6 ok@7 ok@8 ok@10 ok@11 ok@12",
    ),
    Row(
        "an important call displaces the newest of the least important, but not its last one",
        lambda clock: [of(clock, 1, 2)],
        [
            Op(takes=4.0),
            Op(at=1.0, inside=LOW),
            Op(at=1.1, inside=LOW),
            Op(at=2.0, inside=HIGH),
            Op(at=3.0, inside=marked("critical")),
        ],
        "ok@4 ok@4 BulkheadFullError@2 ok@4 BulkheadFullError@3",
    ),
    Row(
        "more permits are granted mid-wait, at once",
        lambda clock: [of(clock)],
        [Op(takes=9.0), Op(at=1.0, takes=1.0), Op(at=1.0, takes=1.0), Op(at=1.5, takes=1.0)],
        "ok@9 ok@3 ok@3 ok@4",
        acts=[Act(2.0, lambda policies: policies[0].reconfigure(max_concurrent=3))],
    ),
    Row(
        "fewer permits hold as calls end",
        lambda clock: [of(clock, 3)],
        [Op(takes=2.0), Op(takes=3.0), Op(takes=4.0), Op(at=1.5, takes=1.0)],
        "ok@2 ok@3 ok@4 ok@5",
        acts=[Act(1.0, lambda policies: policies[0].reconfigure(max_concurrent=1))],
    ),
    Row(
        "a partition has its share, whatever the others have waiting",
        lambda clock: [
            of(
                clock,
                2,
                10,
                partitions={"web": 0.5, "batch": 0.5},
                partition_by=lambda operation: operation.args[0],
            )
        ],
        [
            Op(takes=2.0, args=("batch",)),
            Op(takes=4.0, args=("batch",)),
            *(Op(at=0.5, takes=4.0, args=("batch",)) for _ in range(3)),
            Op(at=1.0, takes=1.0, args=("web",)),
        ],
        "ok@2 ok@4 ok@7 ok@8 ok@11 ok@3",
    ),
    Row(
        "partitions by priority",
        lambda clock: [of(clock, 1, 4, partitions={"high": 0.5}, partition_by="priority")],
        [
            Op(takes=2.0),
            *(Op(at=at, takes=1.0) for at in (0.5, 0.6, 0.7)),
            *(Op(at=at, takes=1.0, inside=HIGH) for at in (1.0, 1.1, 1.2)),
        ],
        "ok@2 ok@4 ok@6 BulkheadFullError@0.7 ok@3 ok@5 BulkheadFullError@1.2",
    ),
    Row(
        "a retry waits between its attempts without a permit",
        lambda clock: [
            RetryPolicy(
                2,
                ConstantBackoff(2.0, jitter="none"),
                [RetryCondition.on_exceptions([OSError])],
                clock=clock,
                budget=None,
            ),
            of(clock, 1, 0),
        ],
        [Op(takes=1.0, gives=(OSError, "ok")), Op(at=1.5, takes=1.0)],
        "ok@4 ok@2.5",
        "RetryScheduled",
    ),
    Row(
        "a hedge that is refused does not end the first one",
        lambda clock: [HedgingPolicy(delay=1.0, in_threads=True, clock=clock), of(clock, 1, 0)],
        [Op(takes=3.0)],
        "ok@3",
    ),
    Row(
        "a hedge waits for a permit, with the priority of its call",
        lambda clock: [HedgingPolicy(delay=1.0, in_threads=True, clock=clock), of(clock, 2)],
        [
            Op(takes=(9.0, 0.5), gives=("first", "hedge"), inside=HIGH),
            Op(takes=2.0),
            Op(at=0.5, takes=1.0),
        ],
        "hedge@2.5 ok@2 ok@3.5",
    ),
    Row(
        "a refusal is no evidence for a circuit, and is not retried",
        lambda clock: [
            RetryPolicy(3, ConstantBackoff(1.0, jitter="none"), clock=clock, budget=None),
            CircuitBreakerPolicy(1, 60.0, clock=clock.monotonic),
            of(clock, 1, 0),
        ],
        [Op(takes=2.0), Op(at=1.0), Op(at=3.0)],
        "ok@2 BulkheadFullError@1 ok@3",
    ),
]

"""Retries and circuits in a pipeline, as rows: see `kit.strategies`."""

from __future__ import annotations

from typing import Any

from http_service_client import (
    CircuitBreakerPolicy,
    ConstantBackoff,
    RetryCondition,
    RetryPolicy,
    deadline,
)
from kit.strategies import Act, Op, Row

__all__ = ["ROWS"]


def retry(clock: Any, attempts: int = 3, delay: float = 1.0) -> RetryPolicy:
    conditions = [RetryCondition.on_exceptions([OSError])]
    return RetryPolicy(attempts, ConstantBackoff(delay, jitter="none"), conditions, clock=clock, budget=None)


def breaker(clock: Any, threshold: int = 1, seconds: float = 10.0) -> CircuitBreakerPolicy:
    return CircuitBreakerPolicy(threshold, seconds, clock=clock.monotonic)


ROWS = [
    Row(
        "attempts and waits take their time",
        lambda clock: [retry(clock)],
        [Op(takes=(2.0, 3.0), gives=(OSError, "ok"))],
        "ok@6",
        "RetryScheduled",
    ),
    Row(
        "calls wait at the same time",
        lambda clock: [retry(clock)],
        [Op(gives=(OSError, "ok")), Op(at=0.5, gives=(OSError, OSError, "ok"))],
        "ok@1 ok@2.5",
        "RetryScheduled RetryScheduled RetryScheduled",
    ),
    Row(
        "the last error is raised",
        lambda clock: [retry(clock, 2)],
        [Op(takes=1.0, gives=OSError)],
        "OSError@3",
        "RetryScheduled RetryStopped",
    ),
    Row(
        "a cancelled wait ends at once",
        lambda clock: [retry(clock, delay=10.0)],
        [Op(gives=OSError, cancel=2.0)],
        "cancelled@2",
        "RetryScheduled",
    ),
    Row(
        "a cancelled function ends at once and is no evidence",
        lambda clock: [breaker(clock)],
        [Op(takes=9.0, cancel=2.0), Op(at=3.0)],
        "cancelled@2 ok@3",
        "",
    ),
    Row(
        "a wait that would cross the deadline around is not begun",
        lambda clock: [retry(clock, delay=4.0)],
        [Op(takes=1.0, gives=OSError, inside=lambda clock: deadline(3.0, clock=clock.monotonic))],
        "OSError@1",
        "RetryStopped",
    ),
    Row(
        "an open circuit refuses, and lets a trial pass",
        lambda clock: [breaker(clock)],
        [Op(gives=OSError), Op(at=5.0), Op(at=10.0), Op(at=10.5)],
        "OSError@0 CircuitOpenError@5 ok@10 ok@10.5",
        "CircuitRefused",
    ),
    Row(
        "a second call does not join the trial",
        lambda clock: [breaker(clock)],
        [Op(gives=OSError), Op(at=10.0, takes=2.0), Op(at=11.0), Op(at=12.5)],
        "OSError@0 ok@12 CircuitOpenError@11 ok@12.5",
        "CircuitRefused",
    ),
    Row(
        "a circuit that opens during the wait ends the attempts with the real error",
        lambda clock: [retry(clock, 5, delay=3.0), breaker(clock, 2)],
        [Op(gives=OSError), Op(at=1.0, gives=OSError)],
        "OSError@3 OSError@4",
    ),
    Row(
        "a circuit that is closed by hand in mid-wait lets the next attempt pass",
        lambda clock: [retry(clock, 2, delay=2.0), breaker(clock)],
        [Op(gives=(OSError, "ok"))],
        "ok@2",
        acts=[Act(1.0, lambda policies: policies[1].reset())],
    ),
    Row(
        "a reconfigured circuit goes by its new time from the instant at which it opened",
        lambda clock: [breaker(clock, seconds=60.0)],
        [Op(gives=OSError), Op(at=4.0), Op(at=6.0)],
        "OSError@0 CircuitOpenError@4 ok@6",
        acts=[Act(3.0, lambda policies: policies[0].reconfigure(recovery_timeout=5.0))],
    ),
]

"""Chaos around functions, as rows: see `kit.strategies`."""

from __future__ import annotations

from typing import Any

from http_service_client import (
    ChaosPolicy,
    CircuitBreakerPolicy,
    ConnectError,
    ConstantBackoff,
    FallbackPolicy,
    ReadTimeoutError,
    RetryCondition,
    RetryPolicy,
    deadline,
)
from kit.strategies import Act, Op, Row

__all__ = ["ROWS"]


def late(clock: Any, seconds: float = 5.0, **settings: Any) -> ChaosPolicy:
    return ChaosPolicy(latency=seconds, latency_rate=1.0, clock=clock, **settings)


def failing(clock: Any, error: type[Exception] = OSError, **settings: Any) -> ChaosPolicy:
    return ChaosPolicy(errors=[error], error_rate=1.0, clock=clock, **settings)


def retry(clock: Any, attempts: int = 3) -> RetryPolicy:
    conditions = [RetryCondition.on_exceptions([OSError])]
    return RetryPolicy(attempts, ConstantBackoff(1.0, jitter="none"), conditions, clock=clock, budget=None)


ROWS = [
    Row(
        "a delay comes before the function, at the same time for each call",
        lambda clock: [late(clock)],
        [Op(takes=1.0), Op(at=2.0, takes=1.0)],
        "ok@6 ok@8",
        "ChaosInjected ChaosInjected",
    ),
    Row(
        "a delay ends when the chaos is switched off in mid-call",
        lambda clock: [late(clock, 600.0)],
        [Op(takes=1.0), Op(at=1.0, takes=1.0), Op(at=4.0)],
        "ok@4 ok@4 ok@4",
        "ChaosInjected ChaosInjected",
        acts=[Act(3.0, lambda policies: policies[0].disable())],
    ),
    Row(
        "a delay ends when the setting switches it off in mid-call",
        lambda clock: [late(clock, 600.0)],
        [Op(takes=1.0)],
        "ok@4",
        "ChaosInjected",
        acts=[Act(3.0, lambda policies: policies[0].reconfigure(enabled=False))],
    ),
    Row(
        "an error that was decided is not raised after the chaos was switched off",
        lambda clock: [ChaosPolicy(latency=5, latency_rate=1, errors=[OSError], error_rate=1, clock=clock)],
        [Op(takes=1.0), Op(at=9.0)],
        "ok@4 ok@9",
        "ChaosInjected",
        acts=[Act(3.0, lambda policies: policies[0].disable())],
    ),
    Row(
        "it goes on when it is switched on again",
        lambda clock: [failing(clock)],
        [Op(), Op(at=2.0), Op(at=4.0)],
        "OSError@0 ok@2 OSError@4",
        "ChaosInjected ChaosInjected",
        acts=[
            Act(1.0, lambda policies: policies[0].disable()),
            Act(3.0, lambda policies: policies[0].enable()),
        ],
    ),
    Row(
        "it is bounded in calls, however many attempts they make",
        lambda clock: [retry(clock), failing(clock, max_calls=2)],
        [Op(), Op(at=10.0), Op(at=20.0)],
        "OSError@2 OSError@12 ok@20",
        "ChaosInjected RetryScheduled ChaosInjected RetryScheduled ChaosInjected RetryStopped "
        "ChaosInjected RetryScheduled ChaosInjected RetryScheduled ChaosInjected RetryStopped",
    ),
    Row(
        "it has a time window, from the instant at which it was made",
        lambda clock: [failing(clock, begins_after=5.0, ends_after=10.0)],
        [Op(at=4.0), Op(at=5.0), Op(at=9.0), Op(at=10.0)],
        "ok@4 OSError@5 OSError@9 ok@10",
        "ChaosInjected ChaosInjected",
    ),
    Row(
        "an error of sending comes instead of the function",
        lambda clock: [failing(clock, ConnectError)],
        [Op(takes=3.0)],
        "ConnectError@0",
    ),
    Row(
        "an error of receiving comes after the function, which has acted",
        lambda clock: [failing(clock, ReadTimeoutError)],
        [Op(takes=3.0)],
        "ReadTimeoutError@3",
    ),
    Row(
        "what the function raises itself comes first",
        lambda clock: [failing(clock, ReadTimeoutError)],
        [Op(takes=3.0, gives=KeyError)],
        "KeyError@3",
        "",
    ),
    Row(
        "a circuit opens by injected errors, and a fallback stands in for them",
        lambda clock: [
            FallbackPolicy(value="instead"),
            CircuitBreakerPolicy(2, 60.0, clock=clock.monotonic),
            failing(clock, ConnectError),
        ],
        [Op(), Op(at=1.0), Op(at=2.0)],
        "instead@0 instead@1 instead@2",
        "ChaosInjected FallbackUsed ChaosInjected FallbackUsed CircuitRefused FallbackUsed",
    ),
    Row(
        "a delay does not outlast the deadline around it",
        lambda clock: [late(clock, 9.0)],
        [Op(takes=1.0, inside=lambda clock: deadline(2.0, clock=clock.monotonic))],
        "ok@3",
        "ChaosInjected",
    ),
    Row(
        "a cancelled delay ends at once, and the function is not called",
        lambda clock: [late(clock, 9.0, max_calls=1)],
        [Op(takes=1.0, cancel=2.0), Op(at=3.0)],
        "cancelled@2 ok@3",
        "ChaosInjected",
    ),
    Row(
        "a changed rate holds from the next call on",
        lambda clock: [failing(clock)],
        [Op(), Op(at=2.0)],
        "OSError@0 KeyError@2",
        acts=[Act(1.0, lambda policies: policies[0].reconfigure(errors=[KeyError]))],
    ),
]

"""Timeouts, as rows: see `kit.strategies`.

A plain function cannot be interrupted, so some rows are of async functions only.
"""

from __future__ import annotations

from typing import Any

from http_service_client import (
    CircuitBreakerPolicy,
    ConnectError,
    ConstantBackoff,
    FallbackPolicy,
    HedgingPolicy,
    RetryCondition,
    RetryPolicy,
    TimeoutPolicy,
    deadline,
)
from http_service_client.core.effects import Acquire, Plan
from http_service_client.core.machines.limits.semaphore import FairSemaphore
from http_service_client.core.operation import Operation, Proceed
from http_service_client.drivers.locks import ForkSafeLock
from http_service_client.policies.strategy import Strategy
from kit.strategies import Act, Op, Row

__all__ = ["ROWS"]

ASYNC = ("asyncio", "virtual")


def retry(clock: Any, attempts: int = 3, delay: float = 1.0) -> RetryPolicy:
    conditions = [RetryCondition.on_exceptions([OSError])]
    return RetryPolicy(attempts, ConstantBackoff(delay, jitter="none"), conditions, clock=clock, budget=None)


def breaker(clock: Any) -> CircuitBreakerPolicy:
    return CircuitBreakerPolicy(1, 60.0, clock=clock.monotonic)


class Door(Strategy):
    """A limit of one call at a time, that waits without asking for a deadline."""

    def __init__(self) -> None:
        self.permits = FairSemaphore(1, lock=ForkSafeLock())

    def guard(self, proceed: Proceed, operation: Operation) -> Plan[Any]:
        waiter = self.permits.acquire_later()
        try:
            if not waiter.is_granted:
                yield from Acquire(waiter, None)
            return (yield from proceed(operation))
        finally:
            waiter.release()


ROWS = [
    Row(
        "a function that is quick enough is left alone",
        lambda clock: [TimeoutPolicy(2.0)],
        [Op(takes=2.0), Op(takes=1.0, gives=KeyError)],
        "ok@2 KeyError@1",
        "",
    ),
    Row(
        "an async function is cancelled at the instant",
        lambda clock: [TimeoutPolicy(2.0)],
        [Op(takes=3.0), Op(at=1.0, takes=60.0)],
        "OperationTimeoutError@2 OperationTimeoutError@3",
        "OperationTimedOut OperationTimedOut",
        worlds=ASYNC,
    ),
    Row(
        "the late result of a plain function is returned, and counted",
        lambda clock: [TimeoutPolicy(2.0)],
        [Op(takes=3.0)],
        "ok@3",
        "OperationTimedOut",
        worlds=("blocking",),
    ),
    Row(
        "a plain function in a thread is left behind",
        lambda clock: [TimeoutPolicy(2.0, in_thread=True)],
        [Op(takes=3.0), Op(takes=1.0), Op(takes=1.0, gives=KeyError)],
        "OperationTimeoutError@2 ok@1 KeyError@1",
        "OperationTimedOut",
    ),
    Row(
        "outside of the retries it bounds all attempts and waits: one that would cross it is not begun",
        lambda clock: [TimeoutPolicy(4.0), retry(clock, attempts=9, delay=1.5)],
        [Op(takes=0.5, gives=OSError)],
        "OSError@2.5",
        "RetryScheduled RetryStopped",
    ),
    Row(
        "outside of the retries it cuts an attempt",
        lambda clock: [TimeoutPolicy(4.0), retry(clock)],
        [Op(takes=(1.0, 9.0), gives=OSError)],
        "OperationTimeoutError@4",
        "RetryScheduled OperationTimedOut",
        worlds=ASYNC,
    ),
    Row(
        "inside of the retries it bounds each attempt, which is repeated",
        lambda clock: [retry(clock), TimeoutPolicy(2.0)],
        [Op(takes=(9.0, 9.0, 1.0))],
        "ok@7",
        "OperationTimedOut RetryScheduled OperationTimedOut RetryScheduled",
        worlds=ASYNC,
    ),
    Row(
        "inside of the retries, in a thread",
        lambda clock: [retry(clock), TimeoutPolicy(2.0, in_thread=True)],
        [Op(takes=(9.0, 1.0))],
        "ok@4",
        "OperationTimedOut RetryScheduled",
    ),
    Row(
        "of nested timeouts, the one that expires ends what is inside of it",
        lambda clock: [TimeoutPolicy(4.0), retry(clock, delay=0.5), TimeoutPolicy(2.0)],
        [Op(takes=(9.0, 9.0))],
        "OperationTimeoutError@4",
        "OperationTimedOut RetryScheduled OperationTimedOut",
        worlds=ASYNC,
    ),
    Row(
        "a circuit outside counts a timeout as a failure",
        lambda clock: [breaker(clock), TimeoutPolicy(2.0)],
        [Op(takes=9.0), Op(at=3.0)],
        "OperationTimeoutError@2 CircuitOpenError@3",
        worlds=ASYNC,
    ),
    Row(
        "a circuit inside counts nothing: the limit is not the service's",
        lambda clock: [TimeoutPolicy(2.0), breaker(clock)],
        [Op(takes=9.0), Op(at=3.0)],
        "OperationTimeoutError@2 ok@3",
        worlds=ASYNC,
    ),
    Row(
        "a wait inside ends with it, and leaves the queue",
        lambda clock: [TimeoutPolicy(2.0), Door()],
        [Op(takes=1.5), Op(at=0.1, takes=1.5), Op(at=1.4, takes=1.0), Op(at=5.0)],
        "ok@1.5 OperationTimeoutError@2.1 ok@3.1 ok@5",
        worlds=ASYNC,
    ),
    Row(
        "a wait of a plain function inside ends with it, too",
        lambda clock: [TimeoutPolicy(2.0), Door()],
        [Op(takes=1.9), Op(at=0.1, takes=1.0), Op(at=0.2), Op(at=5.0)],
        "ok@1.9 ok@2.9 OperationTimeoutError@2.2 ok@5",
        worlds=("blocking",),
    ),
    Row(
        "a cancellation from outside is no timeout",
        lambda clock: [TimeoutPolicy(2.0)],
        [Op(takes=9.0, cancel=1.0)],
        "cancelled@1",
        "",
    ),
    Row(
        "a cancellation during an inner wait passes, and leaves the queue",
        lambda clock: [TimeoutPolicy(20.0), Door()],
        [Op(takes=3.0), Op(at=0.1, cancel=1.0), Op(at=0.2)],
        "ok@3 cancelled@1 ok@3",
        "",
    ),
    Row(
        "a cancellation of a call in a thread ends at once",
        lambda clock: [TimeoutPolicy(20.0, in_thread=True)],
        [Op(takes=9.0, cancel=1.0)],
        "cancelled@1",
        "",
        worlds=("blocking",),
    ),
    Row(
        "a TimeoutError of the function's own is its own",
        lambda clock: [TimeoutPolicy(2.0)],
        [Op(takes=1.0, gives=TimeoutError)],
        "TimeoutError@1",
        "",
    ),
    Row(
        "an earlier deadline around it counts for the waits inside",
        lambda clock: [TimeoutPolicy(9.0), retry(clock, delay=3.0)],
        [Op(takes=1.0, gives=OSError, inside=lambda clock: deadline(3.0, clock=clock.monotonic))],
        "OSError@1",
        "RetryStopped",
    ),
    Row(
        "a fallback outside stands in for a timeout",
        lambda clock: [FallbackPolicy(value="instead"), TimeoutPolicy(2.0, in_thread=True)],
        [Op(takes=9.0)],
        "instead@2",
        "OperationTimedOut FallbackUsed",
    ),
    Row(
        "a fallback inside has no time left for its function, and its failure is raised",
        lambda clock: [TimeoutPolicy(2.0), FallbackPolicy(value="instead")],
        [Op(takes=1.0, gives=ConnectError), Op(takes=9.0)],
        "instead@1 OperationTimeoutError@2",
        worlds=ASYNC,
    ),
    Row(
        "hedges inside are cancelled with the call",
        lambda clock: [TimeoutPolicy(3.0), HedgingPolicy(delay=1.0, clock=clock)],
        [Op(takes=9.0), Op(at=0.5, takes=(9.0, 0.5))],
        "OperationTimeoutError@3 ok@2",
        worlds=ASYNC,
    ),
    Row(
        "inside of hedges it bounds each of them",
        lambda clock: [HedgingPolicy(delay=1.5, clock=clock), TimeoutPolicy(2.0)],
        [Op(takes=(9.0, 1.0))],
        "ok@2.5",
        worlds=ASYNC,
    ),
    Row(
        "a change holds for the calls that begin after it",
        lambda clock: [TimeoutPolicy(2.0, in_thread=True)],
        [Op(takes=9.0), Op(at=1.0, takes=9.0)],
        "OperationTimeoutError@2 OperationTimeoutError@6",
        acts=[Act(0.5, lambda policies: policies[0].reconfigure(seconds=5.0))],
    ),
]

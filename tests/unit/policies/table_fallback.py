"""Fallbacks, as rows: see `kit.strategies`."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from http_service_client import (
    CircuitBreakerPolicy,
    ConnectError,
    ConstantBackoff,
    FallbackPolicy,
    RetryPolicy,
    deadline,
)
from http_service_client.core.operation import Operation
from kit.strategies import Act, Op, Row

__all__ = ["ROWS"]

DOWN = ConnectError("no route")


def retry(clock: Any, attempts: int = 3) -> RetryPolicy:
    return RetryPolicy(attempts, ConstantBackoff(1.0, jitter="none"), clock=clock, budget=None)


def raises(error: BaseException) -> Any:
    raise LookupError("no copy")


def declines(error: BaseException) -> Any:
    raise error


def slow(clock: Any, seconds: float) -> Any:
    async def stand_in(error: BaseException) -> str:
        await clock.sleep_async(seconds)
        return "by hand"

    return stand_in


class _OneFunction(FallbackPolicy):
    """Takes the functions of all calls for the same one."""

    def _key(self, operation: Operation) -> Hashable:
        return operation.args


ROWS = [
    Row(
        "a value stands in, after the retries",
        lambda clock: [FallbackPolicy(value="instead"), retry(clock)],
        [Op(takes=1.0, gives=ConnectError), Op(takes=1.0, gives=(ConnectError, "ok"))],
        "instead@5 ok@3",
        "RetryScheduled RetryScheduled RetryScheduled RetryStopped FallbackUsed",
    ),
    Row(
        "a fallback that raises raises its own error",
        lambda clock: [FallbackPolicy(function=raises)],
        [Op(takes=1.0, gives=ConnectError)],
        "LookupError@1",
        "",
    ),
    Row(
        "a fallback that declines leaves the error",
        lambda clock: [FallbackPolicy(function=declines)],
        [Op(takes=1.0, gives=DOWN)],
        "ConnectError@1",
        "",
    ),
    Row(
        "a function's result stands in",
        lambda clock: [FallbackPolicy(function=lambda error, number: f"{number} by hand")],
        [Op(gives=ConnectError, args=(5,))],
        "5 by hand@0",
        "FallbackUsed",
    ),
    Row(
        "an async function has what is left of the deadline",
        lambda clock: [FallbackPolicy(function=slow(clock, 0.3))],
        [Op(takes=1.5, gives=ConnectError, inside=lambda clock: deadline(2.0, clock=clock.monotonic))],
        "by hand@1.8",
        "FallbackUsed",
        worlds=("asyncio", "virtual"),
    ),
    Row(
        "after that the failure is raised",
        lambda clock: [FallbackPolicy(function=slow(clock, 0.9))],
        [Op(takes=1.5, gives=ConnectError, inside=lambda clock: deadline(2.0, clock=clock.monotonic))],
        "ConnectError@2",
        "",
        worlds=("asyncio", "virtual"),
    ),
    Row(
        "the last good result stands in while it is not too old",
        lambda clock: [FallbackPolicy(last_good=10.0)],
        [Op(takes=1.0, gives="good"), Op(at=5.0, gives=ConnectError), Op(at=20.0, gives=ConnectError)],
        "good@1 ConnectError@5 ConnectError@20",
        "",
    ),
    Row(
        "the last good result is found by a key",
        lambda clock: [_OneFunction(last_good=10.0)],
        [
            Op(takes=1.0, gives="good", args=("a",)),
            Op(at=5.0, gives=ConnectError, args=("a",)),
            Op(at=6.0, gives=ConnectError, args=("b",)),
            Op(at=11.0, gives=ConnectError, args=("a",)),
            Op(at=11.1, gives=ConnectError, args=("a",)),
        ],
        "good@1 good@5 ConnectError@6 good@11 ConnectError@11.1",
        "FallbackUsed FallbackUsed",
    ),
    Row(
        "a refusal of an open circuit is covered at once",
        lambda clock: [
            FallbackPolicy(value="instead"),
            CircuitBreakerPolicy(1, 60.0, clock=clock.monotonic),
        ],
        [Op(takes=1.0, gives=ConnectError), Op(at=2.0, takes=9.0)],
        "instead@1 instead@2",
        "FallbackUsed CircuitRefused FallbackUsed",
    ),
    Row(
        "a cancelled function has no fallback",
        lambda clock: [FallbackPolicy(value="instead", is_failure=lambda outcome: True)],
        [Op(takes=9.0, cancel=1.0)],
        "cancelled@1",
        "",
    ),
    Row(
        "a cancelled wait between the attempts has none",
        lambda clock: [FallbackPolicy(value="instead"), retry(clock)],
        [Op(takes=1.0, gives=ConnectError, cancel=1.5)],
        "cancelled@1.5",
        "RetryScheduled",
    ),
    Row(
        "errors of the program are raised",
        lambda clock: [FallbackPolicy(value="instead")],
        [Op(gives=TypeError), Op(gives=KeyError), Op(gives=ValueError)],
        "TypeError@0 KeyError@0 ValueError@0",
        "",
    ),
    Row(
        "another value holds from the change on",
        lambda clock: [FallbackPolicy(value="one")],
        [Op(takes=2.0, gives=ConnectError), Op(at=2.0, takes=2.0, gives=ConnectError)],
        "one@2 two@4",
        acts=[Act(1.0, lambda policies: policies[0].reconfigure(value="two"))],
    ),
]

"""A call under many policies, cancelled at each of its waits: it ends at once, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import pytest

from http_service_client import (
    BulkheadPolicy,
    CircuitBreakerPolicy,
    ConstantBackoff,
    FallbackPolicy,
    RateLimitPolicy,
    ResultCachePolicy,
    RetryCondition,
    RetryPolicy,
    TimeoutPolicy,
)
from http_service_client.core.operation import Operation
from http_service_client.policies import Strategy
from kit.strategies import WORLDS, Op, Row, play


class _Cache(ResultCachePolicy):
    """Takes the functions of all calls for the same one."""

    def _key(self, operation: Operation) -> Hashable:
        return operation.args


def policies(clock: Any) -> list[Strategy]:
    conditions = [RetryCondition.on_exceptions([OSError])]
    retry = RetryPolicy(3, ConstantBackoff(1.0, jitter="none"), conditions, clock=clock, budget=None)
    return [
        FallbackPolicy(value="instead", failures=[ZeroDivisionError]),
        _Cache(60.0),
        TimeoutPolicy(30.0),
        retry,
        RateLimitPolicy(rate=2, clock=clock),
        CircuitBreakerPolicy(9, 60.0, clock=clock.monotonic),
        BulkheadPolicy(max_concurrent=1, max_waiting=5, clock=clock),
        TimeoutPolicy(10.0),
    ]


# Attempts from 0 to 1, from 2 to 3 and from 4 to 5; waits between them.
@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("cancel", [0.5, 1.5, 2.5, 3.5, 4.5])
def test_a_cancelled_call_leaves_nothing_behind(
    cancel: float, world: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that shared it makes a call of its own, for which permit, token and circuit are free."""
    row = Row(
        "cancelled",
        policies,
        [
            Op(takes=1.0, gives=(OSError, OSError, "one"), cancel=cancel),
            Op(at=0.2, takes=1.0, gives="two"),
            Op(at=20.0, gives="three"),
        ],
        f"cancelled@{cancel:g} two@{cancel + 1:g} two@20",
    )
    play(row, world, monkeypatch)


@pytest.mark.parametrize("world", WORLDS)
def test_a_call_that_is_not_cancelled(world: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, for comparison."""
    ops = [Op(takes=1.0, gives=(OSError, OSError, "one")), Op(at=0.2), Op(at=20.0)]
    play(Row("whole", policies, ops, "one@5 one@5 one@20"), world, monkeypatch)

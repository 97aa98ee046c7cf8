"""Hedging around functions, as rows: see `kit.strategies`."""

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
)
from http_service_client.core.machines.retry.quota import RetryQuotaSettings
from kit.strategies import Act, Op, Row

__all__ = ["ROWS"]


def hedging(clock: Any, delay: float | None = 1.0, **settings: Any) -> HedgingPolicy:
    return HedgingPolicy(delay=delay, in_threads=True, clock=clock, **settings)


def retry(clock: Any) -> RetryPolicy:
    conditions = [RetryCondition.on_exceptions([OSError])]
    return RetryPolicy(3, ConstantBackoff(1.0, jitter="none"), conditions, clock=clock, budget=None)


def paying_retry(clock: Any) -> RetryPolicy:
    """One with a budget of a single token, and with nothing that earns another."""
    budget = RetryQuotaSettings(capacity=1.0, earned=0.0)
    conditions = [RetryCondition.on_exceptions([OSError])]
    return RetryPolicy(3, ConstantBackoff(1.0, jitter="none"), conditions, clock=clock, budget=budget)


ROWS = [
    Row("a quick result needs no hedge", lambda clock: [hedging(clock)], [Op(takes=0.5)], "ok@0.5", ""),
    Row(
        "the hedge wins",
        lambda clock: [hedging(clock)],
        [Op(takes=(9.0, 0.5), gives=("first", "hedge"))],
        "hedge@1.5",
        "HedgeStarted HedgeFinished HedgeFinished",
    ),
    Row(
        "both have the arguments",
        lambda clock: [hedging(clock)],
        [Op(takes=(9.0, 0.5), gives=("first", "hedge"), args=("x",))],
        "hedge@1.5",
        "HedgeStarted HedgeFinished HedgeFinished",
    ),
    Row(
        "the hedge loses",
        lambda clock: [hedging(clock)],
        [Op(takes=(1.5, 9.0), gives=("first", "hedge"))],
        "first@1.5",
        "HedgeStarted HedgeFinished HedgeFinished",
    ),
    Row(
        "an error before the delay is raised",
        lambda clock: [hedging(clock)],
        [Op(takes=0.5, gives=OSError)],
        "OSError@0.5",
        "",
    ),
    Row(
        "an error is not raised while a hedge is in flight",
        lambda clock: [hedging(clock)],
        [Op(takes=(1.5, 2.0), gives=(OSError, "hedge"))],
        "hedge@3",
        "HedgeStarted HedgeFinished HedgeFinished",
    ),
    Row(
        "both fail: the error is that of the first",
        lambda clock: [hedging(clock)],
        [Op(takes=(2.0, 0.5), gives=(OSError, KeyError))],
        "OSError@2",
        "HedgeStarted HedgeFinished HedgeFinished",
    ),
    Row(
        "the budget of the retry policy pays for hedges; without a token, the first call simply goes on",
        lambda clock: [paying_retry(clock), hedging(clock, max_share=1.0)],
        [Op(takes=(1.5, 9.0)), Op(at=10.0, takes=(1.5, 9.0))],
        "ok@1.5 ok@11.5",
        "HedgeStarted HedgeFinished HedgeFinished HedgeDenied",
    ),
    Row(
        "hedges leave nothing in the budget for a retry",
        lambda clock: [paying_retry(clock), hedging(clock, max_share=1.0)],
        [Op(takes=(1.5, 2.0), gives=OSError)],
        "OSError@3",
        "HedgeStarted HedgeFinished HedgeFinished RetryStopped",
    ),
    Row(
        "a hedge that a bulkhead refuses is paid back",
        lambda clock: [
            paying_retry(clock),
            hedging(clock, max_share=1.0),
            BulkheadPolicy(1, 0, clock=clock),
        ],
        [Op(takes=1.5), Op(at=10.0, takes=1.5)],
        "ok@1.5 ok@11.5",
        "HedgeStarted LimitRefused HedgeFinished HedgeFinished HedgeStarted LimitRefused HedgeFinished HedgeFinished",
    ),
    Row(
        "each attempt of a retry is hedged",
        lambda clock: [retry(clock), hedging(clock)],
        [Op(takes=(0.5, 9.0, 0.5), gives=(OSError, "first", "hedge"))],
        "hedge@3",
        "RetryScheduled HedgeStarted HedgeFinished HedgeFinished",
    ),
    Row(
        "each of the calls asks the circuit, and the loser is no evidence",
        lambda clock: [hedging(clock), CircuitBreakerPolicy(1, 10.0, clock=clock.monotonic)],
        [Op(takes=(9.0, 0.5), gives=(OSError, "hedge")), Op(at=20.0)],
        "hedge@1.5 ok@20",
    ),
    Row(
        "hedges are a share of the calls",
        lambda clock: [hedging(clock, max_share=0.001)],
        [Op(at=10.0 * number, takes=(1.5, 9.0)) for number in range(6)],
        "ok@1.5 ok@11.5 ok@21.5 ok@31.5 ok@41.5 ok@51.5",
        " ".join(["HedgeStarted HedgeFinished HedgeFinished"] * 5 + ["HedgeDenied"]),
    ),
    Row(
        "no hedge when the deadline around leaves no time for it",
        lambda clock: [hedging(clock, 3.0)],
        [Op(takes=4.0, inside=lambda clock: deadline(2.0, clock=clock.monotonic))],
        "ok@4",
        "",
    ),
    Row(
        "a cancelled call cancels both",
        lambda clock: [hedging(clock)],
        [Op(takes=9.0, cancel=3.0)],
        "cancelled@3",
        "HedgeStarted",
    ),
    Row(
        "two hedges, a delay apart",
        lambda clock: [hedging(clock, max_hedges=2)],
        [Op(takes=(9.0, 9.0, 0.5), gives=("first", "second", "third"))],
        "third@2.5",
        "HedgeStarted HedgeStarted HedgeFinished HedgeFinished HedgeFinished",
    ),
    Row(
        "new settings hold for the calls from then on",
        lambda clock: [hedging(clock)],
        [Op(takes=(9.0, 0.5)), Op(at=2.0, takes=(9.0, 0.5))],
        "ok@1.5 ok@7.5",
        acts=[Act(1.2, lambda policies: policies[0].reconfigure(delay=5.0))],
    ),
    Row(
        "a learned delay",
        lambda clock: [hedging(clock, None, min_calls=3)],
        [*(Op(at=float(number), takes=0.5) for number in range(3)), Op(at=5.0, takes=(9.0, 0.1))],
        "ok@0.5 ok@1.5 ok@2.5 ok@5.6031",
    ),
    Row(
        "a learned delay follows the calls that could have been hedged",
        lambda clock: [hedging(clock, None, min_calls=3)],
        [
            *(Op(at=3.0 * number, takes=2.0) for number in range(3)),
            *(Op(at=10.0 + number, takes=0.125) for number in range(60)),
            Op(at=100.0, takes=(9.0, 0.125)),
        ],
        " ".join(["ok@2 ok@5 ok@8", *(f"ok@{10.125 + number:g}" for number in range(60)), "ok@100.276"]),
        worlds=("asyncio", "virtual"),  # as many threads take their time
    ),
]

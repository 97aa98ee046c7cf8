"""Cached results and shared calls, as rows: see `kit.strategies`."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from http_service_client import (
    ConstantBackoff,
    ResultCachePolicy,
    RetryCondition,
    RetryPolicy,
    TimeoutPolicy,
    deadline,
)
from http_service_client.core.operation import Operation
from kit.strategies import Act, Op, Row

__all__ = ["ROWS"]


class Cache(ResultCachePolicy):
    """Takes the functions of all calls of a row for the same one."""

    def _key(self, operation: Operation) -> Hashable:
        return operation.args


def retry(clock: Any) -> RetryPolicy:
    conditions = [RetryCondition.on_exceptions([OSError])]
    return RetryPolicy(3, ConstantBackoff(1.0, jitter="none"), conditions, clock=clock, budget=None)


ROWS = [
    Row(
        "a result is used while it is fresh",
        lambda clock: [Cache(10.0)],
        [
            Op(takes=1.0, gives="one"),
            Op(at=5.0, gives="two"),
            Op(at=10.9, gives="two"),
            Op(at=11.0, gives="two"),
        ],
        "one@1 one@5 one@10.9 two@11",
    ),
    Row(
        "callers at the same time share one call",
        lambda clock: [Cache(10.0)],
        [
            Op(takes=2.0, gives="one"),
            Op(at=0.5, gives="two"),
            Op(at=1.0, gives="two"),
            Op(at=1.5, args=("b",)),
        ],
        "one@2 one@2 one@2 ok@1.5",
    ),
    Row(
        "they share its error, which is not kept",
        lambda clock: [Cache(10.0)],
        [Op(takes=2.0, gives=OSError), Op(at=0.5, gives="two"), Op(at=3.0, gives="three")],
        "OSError@2 OSError@2 three@3",
    ),
    Row(
        "if the one that makes the call is cancelled, another one makes it for the rest",
        lambda clock: [Cache(10.0)],
        [
            Op(takes=9.0, gives="one", cancel=1.0),
            Op(at=0.5, takes=2.0, gives="two"),
            Op(at=0.6, takes=9.0, gives="three"),
        ],
        "cancelled@1 two@3 two@3",
    ),
    Row(
        "one that waits may be cancelled, and the others go on",
        lambda clock: [Cache(10.0)],
        [Op(takes=2.0, gives="one"), Op(at=0.5, cancel=1.0), Op(at=0.6)],
        "one@2 cancelled@1 one@2",
    ),
    Row(
        "each waits no longer than its own deadline",
        lambda clock: [Cache(10.0)],
        [
            Op(takes=4.0, gives="one"),
            Op(at=0.5, inside=lambda clock: deadline(1.0, clock=clock.monotonic)),
            Op(at=0.6),
        ],
        "one@4 DeadlineExceededError@1.5 one@4",
    ),
    Row(
        "an old result stands in for a wait that the deadline ends, and one that is too old does not",
        lambda clock: [Cache(5.0, stale_on_error=10.0)],
        [
            Op(gives="one"),
            Op(at=6.0, takes=20.0, gives="two"),
            Op(at=7.0, inside=lambda clock: deadline(0.5, clock=clock.monotonic)),
            Op(at=16.0, inside=lambda clock: deadline(0.5, clock=clock.monotonic)),
        ],
        "one@0 two@26 one@7.5 DeadlineExceededError@16.5",
    ),
    Row(
        "an outer timeout during the wait is named as such",
        lambda clock: [TimeoutPolicy(3.0), Cache(10.0)],
        [Op(takes=2.5, gives="one"), Op(at=0.5, takes=9.0, args=("b",), cancel=3.4), Op(at=0.6, args=("b",))],
        "one@2.5 cancelled@3.4 ok@3.4",
    ),
    Row(
        "an old result stands in for an error",
        lambda clock: [Cache(5.0, stale_on_error=10.0)],
        [
            Op(takes=1.0, gives="one"),
            Op(at=7.0, takes=1.0, gives=OSError),
            Op(at=7.5),
            Op(at=15.0, gives=OSError),
            Op(at=20.0, gives=OSError),
        ],
        "one@1 one@8 one@8 one@15 OSError@20",
    ),
    Row(
        "an error may be kept, so that the function is left in peace",
        lambda clock: [Cache(5.0, cache_errors=2.0)],
        [Op(takes=1.0, gives=OSError), Op(at=2.0, takes=9.0), Op(at=3.0, takes=1.0, gives="two")],
        "OSError@1 OSError@2 two@4",
    ),
    Row(
        "with both, the old result stands in without a call",
        lambda clock: [Cache(5.0, stale_on_error=60.0, cache_errors=4.0)],
        [Op(gives="one"), Op(at=6.0, gives=OSError), Op(at=8.0, takes=9.0), Op(at=11.0, gives="two")],
        "one@0 one@6 one@8 two@11",
    ),
    Row(
        "the retries stand inside, and their wait is shared",
        lambda clock: [Cache(10.0), retry(clock)],
        [Op(takes=1.0, gives=(OSError, "one")), Op(at=0.5)],
        "one@3 one@3",
    ),
    Row(
        "a cancelled wait between the attempts hands over as well",
        lambda clock: [Cache(10.0), retry(clock)],
        [Op(takes=1.0, gives=(OSError, "one"), cancel=1.5), Op(at=0.5, takes=1.0, gives="two")],
        "cancelled@1.5 two@2.5",
    ),
    Row(
        "what is on its way when all is forgotten is not kept",
        lambda clock: [Cache(10.0)],
        [
            Op(takes=2.0, gives="one"),
            Op(at=0.5),
            Op(at=1.5, takes=1.0, gives="two"),
            Op(at=3.0, gives="three"),
        ],
        "one@2 one@2 two@2.5 two@3",
        acts=[Act(1.0, lambda policies: policies[0].clear())],
    ),
    Row(
        "a shorter life holds for the results that are there",
        lambda clock: [Cache(10.0)],
        [Op(gives="one"), Op(at=3.0, gives="two")],
        "one@0 two@3",
        acts=[Act(1.0, lambda policies: policies[0].reconfigure(seconds=2.0))],
    ),
    Row(
        "only so many results are kept, those used lately",
        lambda clock: [Cache(60.0, max_entries=2)],
        [
            Op(gives="a", args=("a",)),
            Op(at=1.0, gives="b", args=("b",)),
            Op(at=2.0, args=("a",)),
            Op(at=3.0, gives="c", args=("c",)),
            Op(at=4.0, args=("a",)),
            Op(at=5.0, gives="b again", args=("b",)),
        ],
        "a@0 b@1 a@2 c@3 a@4 b again@5",
    ),
]

"""The deadline check around functions, as rows: see `kit.strategies`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from http_service_client import (
    BulkheadPolicy,
    ConstantBackoff,
    DeadlineCheckPolicy,
    RetryCondition,
    RetryPolicy,
    TimeoutPolicy,
    deadline,
)
from kit.strategies import Act, Op, Row

__all__ = ["ROWS"]


def of(clock: Any, **settings: Any) -> DeadlineCheckPolicy:
    return DeadlineCheckPolicy(**{"min_samples": 10, "probe_interval": 30.0, **settings}, clock=clock)


def within(seconds: float) -> Any:
    return lambda clock: deadline(seconds, clock=clock.monotonic)


LEARNT: Sequence[Op] = [Op(at=float(2 * number), takes=1.8) for number in range(10)]
KNOWN = " ".join(f"ok@{2 * number + 1.8:g}" for number in range(10))  # until second 20


def after(*ops: Op) -> list[Op]:
    """The calls, once it is known that the function takes 1.8 s."""
    return [*LEARNT, *ops]


def short(at: float, **changes: Any) -> Op:
    """A call with 0.9 s, which needs 1.8 s."""
    return Op(**{"at": at, "takes": 1.8, "inside": within(0.9), **changes})


RETRY = dict[str, Any](
    retry_conditions=[RetryCondition.on_exceptions([ConnectionError, TimeoutError])], budget=None
)

ROWS = [
    Row(
        "time enough",
        lambda clock: [of(clock)],
        after(Op(at=30.0, takes=1.8, inside=within(2.0))),
        f"{KNOWN} ok@31.8",
        "",
    ),
    Row("no deadline", lambda clock: [of(clock)], after(Op(at=30.0, takes=9.0)), f"{KNOWN} ok@39", ""),
    Row(
        "one with too little time is not begun after the probe",
        lambda clock: [of(clock)],
        after(short(30.0, gives=OSError), short(40.0), short(50.0)),
        f"{KNOWN} OSError@31.8 DeadlineTooShortError@40 DeadlineTooShortError@50",
        "DeadlineRefused DeadlineRefused",
    ),
    Row(
        "a probe that is in time makes all forgotten",
        lambda clock: [of(clock, min_chance=0.5)],
        after(short(30.0, takes=0.1), short(31.0, takes=0.1), short(32.0, takes=0.1)),
        f"{KNOWN} ok@30.1 ok@31.1 ok@32.1",
        "",
    ),
    Row(
        "after an interval there is another probe",
        lambda clock: [of(clock)],
        after(short(30.0, gives=OSError), short(59.0), short(60.0, takes=0.1)),
        f"{KNOWN} OSError@31.8 DeadlineTooShortError@59 ok@60.1",
        "DeadlineRefused",
    ),
    Row(
        "errors say nothing about how long it takes",
        lambda clock: [of(clock)],
        [*[Op(at=float(2 * n), takes=1.8, gives=OSError) for n in range(20)], short(50.0), short(55.0)],
        " ".join(f"OSError@{2 * n + 1.8:g}" for n in range(20)) + " ok@51.8 ok@56.8",
        "",
    ),
    Row(
        "calls whose time was up took longer",
        lambda clock: [of(clock)],
        [*[Op(at=float(n), takes=0.9, gives=TimeoutError) for n in range(11)],
         short(20.0, takes=0.9, gives=TimeoutError), short(21.0)],
        " ".join(f"TimeoutError@{n + 0.9:g}" for n in range(12 - 1)) + " TimeoutError@20.9 DeadlineTooShortError@21",
        "DeadlineRefused",
    ),
    Row(
        "a timeout around it is a deadline",
        lambda clock: [TimeoutPolicy(9.0, clock=clock), of(clock)],
        after(Op(at=30.0, takes=1.8), Op(at=40.0, takes=0.5, gives=OSError), Op(at=50.0, takes=1.8)),
        f"{KNOWN} ok@31.8 OSError@40.5 DeadlineTooShortError@50",
        "DeadlineRefused",
        acts=[Act(35.0, lambda made: made[0].reconfigure(seconds=0.9))],
    ),
    Row(
        "a retry that comes too late is not begun, and the refusal is not retried",
        lambda clock: [
            RetryPolicy(3, ConstantBackoff(1.0, jitter="none"), **RETRY, clock=clock),
            of(clock),
        ],
        after(short(30.0, gives=ValueError), Op(at=40.0, takes=(1.8, 0.1), gives=(ConnectionError, "ok"), inside=within(3.5))),
        f"{KNOWN} ValueError@31.8 ConnectionError@42.8",
    ),
    Row(
        "it learns how long the function takes, and not the wait for a limit",
        lambda clock: [BulkheadPolicy(1, 99, None, clock=clock), of(clock)],
        [*[Op(at=0.0, takes=0.5) for _ in range(12)], Op(at=20.0, takes=0.5, inside=within(0.6))],
        " ".join(f"ok@{0.5 * (n + 1):g}" for n in range(12)) + " ok@20.5",
    ),
    Row(
        "settings change while it runs, and what is known stays",
        lambda clock: [of(clock)],
        after(short(30.0, gives=OSError), short(40.0, gives=OSError), short(50.0)),
        f"{KNOWN} OSError@31.8 OSError@41.8 DeadlineTooShortError@50",
        "DeadlineRefused",
        acts=[Act(35.0, lambda made: made[0].reconfigure(min_samples=1000)),
              Act(45.0, lambda made: made[0].reconfigure(min_samples=10))],
    ),
]  # fmt: skip

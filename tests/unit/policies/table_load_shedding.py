"""Load shedding, as rows: see `kit.strategies`. The random number is 0, so that all is shed that may be."""

from __future__ import annotations

from typing import Any

from http_service_client import ConstantBackoff, LoadSheddingPolicy, RetryCondition, RetryPolicy, priority
from http_service_client.http.messages import HttpResponse
from kit.strategies import Act, Op, Row

__all__ = ["ROWS"]


def shedding(clock: Any, **settings: Any) -> LoadSheddingPolicy:
    given = {"window": 10.0, "min_rate": 0.0, "random": lambda: 0.0, **settings}
    return LoadSheddingPolicy(clock=clock, **given)


def retry(clock: Any) -> RetryPolicy:
    conditions = [RetryCondition.on_exceptions([OSError])]
    return RetryPolicy(3, ConstantBackoff(1.0, jitter="none"), conditions, clock=clock, budget=None)


def by(level: str) -> Any:
    return lambda clock: priority(level)  # type: ignore[arg-type]  # a name


ROWS = [
    Row(
        "a call is shed after a rejection, and again when the window has passed no longer",
        lambda clock: [shedding(clock)],
        [Op(gives=TimeoutError), Op(at=1.0), Op(at=9.0), Op(at=20.0)],
        "TimeoutError@0 LoadShedError@1 LoadShedError@9 ok@20",
        "LimitRefused LimitRefused",
    ),
    Row(
        "a response that says overload is returned, and counts",
        lambda clock: [shedding(clock)],
        [Op(gives=HttpResponse(503)), Op(at=1.0)],
        "<HttpResponse [503]>@0 LoadShedError@1",
    ),
    Row(
        "an error of the function's own is no sign of overload",
        lambda clock: [shedding(clock)],
        [Op(gives=ValueError), Op(at=1.0, gives=HttpResponse(500)), Op(at=2.0)],
        "ValueError@0 <HttpResponse [500]>@1 ok@2",
        "",
    ),
    Row(
        "half of the calls rejected is what is allowed for",
        lambda clock: [shedding(clock)],
        [Op(), Op(gives=TimeoutError), Op(at=1.0, gives=TimeoutError), Op(at=2.0)],
        "ok@0 TimeoutError@0 TimeoutError@1 LoadShedError@2",
    ),
    Row(
        "what is in flight does not count yet",
        lambda clock: [shedding(clock)],
        [Op(takes=5.0, gives=TimeoutError), Op(at=1.0), Op(at=6.0, gives=TimeoutError), Op(at=7.0)],
        "TimeoutError@5 ok@1 TimeoutError@6 LoadShedError@7",
    ),
    Row(
        "a cancelled call counts as nothing",
        lambda clock: [shedding(clock)],
        [Op(takes=5.0, cancel=1.0), Op(at=2.0)],
        "cancelled@1 ok@2",
        "",
    ),
    Row(
        "the most important calls are shed last",
        lambda clock: [shedding(clock)],
        [
            *[Op(), Op(gives=TimeoutError), Op(gives=TimeoutError)],
            *[Op(at=1.0, inside=by("critical")), Op(at=2.0, inside=by("high"))],
            *[Op(at=3.0, inside=by("low")), Op(at=4.0)],
        ],
        "ok@0 TimeoutError@0 TimeoutError@0 ok@1 ok@2 LoadShedError@3 ok@4",
    ),
    Row(
        "a retry that is shed ends with the last real error",
        lambda clock: [retry(clock), shedding(clock)],
        [Op(gives=TimeoutError)],
        "TimeoutError@1",
        "RetryScheduled LimitRefused RetryStopped",
    ),
    Row(
        "so many calls a second are never shed",
        lambda clock: [shedding(clock, min_rate=0.2)],
        [Op(gives=TimeoutError), Op(at=1.0, gives=TimeoutError), Op(at=2.0)],
        "TimeoutError@0 TimeoutError@1 LoadShedError@2",
    ),
    Row(
        "a reconfigured policy keeps its counts",
        lambda clock: [shedding(clock)],
        [Op(), *[Op(gives=TimeoutError)] * 2, Op(at=1.0), Op(at=3.0), Op(at=5.0)],
        "ok@0 TimeoutError@0 TimeoutError@0 LoadShedError@1 ok@3 LoadShedError@5",
        acts=[
            Act(2.0, lambda policies: policies[0].reconfigure(multiplier=9.0)),
            Act(4.0, lambda policies: policies[0].reconfigure(multiplier=2.0)),
        ],
    ),
]

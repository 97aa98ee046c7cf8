"""Alternate hosts and deadlines that are too short, as rows through the three drivers: which host, when, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from http_service_client import ConstantBackoff, DeadlineCheckPolicy, HttpResponse, RetryPolicy
from http_service_client.http.messages import HttpRequest
from http_service_client.testing import late
from kit.hedged_calls import OK, WORLDS, Get, play

A, B = "https://a.example.com", "https://b.example.com"
HOSTS: dict[str, Any] = {
    "hedging": None,
    "base_url": f"{A}/v1",
    "alternate_urls": [B],
    "base_timeout": 4.0,
    "retry_policy_config": RetryPolicy(3, backoff_strategy=ConstantBackoff(1.0, jitter="none")),
    "circuit_breaker_config": {"failure_threshold": 2, "recovery_timeout": 10.0},
}
CHECKED: dict[str, Any] = {
    "hedging": None,
    "deadline_check": DeadlineCheckPolicy(min_samples=10, probe_interval=30.0),
    "retry_policy_config": RetryPolicy(2, backoff_strategy=ConstantBackoff(1.0, jitter="none")),
}
REFUSED, LOST = ConnectionRefusedError(), ConnectionResetError()
BUSY = HttpResponse(503, headers={"Retry-After": "5"})
UP = [(0.1, OK)]


def items(at: float = 0.0, **options: Any) -> Get:
    """A call with a relative URL."""
    return Get(at, options=options, url="items")


def at_hosts(**scripts: list[Any]) -> Callable[[HttpRequest], Any]:
    """What each host does, request by request; the last one forever."""

    def serve(request: HttpRequest) -> Any:
        script = scripts[request.url[len("https://")]]
        seconds, outcome = script.pop(0) if len(script) > 1 else script[0]
        return late(seconds, outcome)

    return serve


class Row(NamedTuple):
    """then: the calls' results.   hosts: those that were asked, in order."""

    name: str
    a: list[Any]
    b: list[Any]
    then: str
    hosts: str
    calls: tuple[Get, ...] = (items(),)
    settings: dict[str, Any] = {}  # it never changes


ROWS = [
    Row("the first host serves", UP, UP, "200@0.1", "a"),
    Row("the first host is down", [(0.0, REFUSED)], UP, "200@0.1", "ab"),
    Row("the first host hangs", [(9.0, OK)], UP, "200@4.1", "ab"),
    Row("both are down once", [(0.0, REFUSED), *UP], [(0.0, REFUSED)], "200@1.1", "aba"),
    Row("both stay down", [(0.0, REFUSED)], [(0.0, LOST)], "ConnectError@1", "aba"),
    Row("the first host asks for a pause", [(0.1, BUSY)], UP, "200@0.2", "ab"),
    Row("a pause holds for the calls after it", [(0.1, BUSY), *UP], UP, "200@0.2 200@1.1 200@8.1", "abba",
        (items(), items(1.0), items(8.0))),
    Row("a POST that was processed stays", [(0.1, HttpResponse(500))], UP, "500@0.1", "a", (Get(method="POST", url="items"),)),
    Row("a POST that was never sent moves", [(0.0, REFUSED)], UP, "200@0.1", "ab", (Get(method="POST", url="items"),)),
    Row("an open circuit moves first attempts", [(0.0, REFUSED)], UP, "200@0.1 200@1.1 200@2.1 200@3.1", "ababbb",
        tuple(items(float(at)) for at in range(4))),
    Row("a trial brings calls back", [(0.0, REFUSED), (0.0, REFUSED), *UP], UP, "200@0.1 200@1.1 200@12.1 200@13.1",
        "ababaa", tuple(items(float(at)) for at in (0, 1, 12, 13))),
    Row("a retry that a policy forbids does not move", [(0.0, REFUSED)], UP, "ConnectError@0", "a", (items(retry_policy=False),)),
    Row("the deadline holds at all hosts", [(9.0, OK)], [(9.0, OK)], "DeadlineExceededError@5", "ab", (items(total_timeout=5.0),)),
    Row("a hedge goes to the other host", [(3.0, OK)], UP, "200@1.1", "ab", (items(),), {"hedging": {"delay": 1.0, "max_share": 1.0}}),
    Row("a hedge at the other host fails, the first is waited for", [(3.0, OK)], [(0.0, REFUSED)], "200@3", "ab", (items(),),
        {"hedging": {"delay": 1.0, "max_share": 1.0}}),
    Row("a host whose connections are all in use is passed over", [(3.0, OK)], UP, "200@3 200@1.1", "ab",
        (items(), items(1.0)), {"max_connections_per_host": 1}),
    Row("with one host, they are waited for", [(3.0, OK)], [(9.0, OK)], "200@3 200@6",
        "aa", (items(), items(1.0)), {"max_connections_per_host": 1, "alternate_urls": ()}),
    Row("a caller that is cancelled moves nowhere", [(9.0, OK)], UP, "cancelled@1", "a", (Get(cancel=1.0, url="items"),)),
]  # fmt: skip


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_about_hosts_is_the_same_in_every_driver(
    row: Row, world: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hosts, the instants and the results."""
    serve = at_hosts(a=list(row.a), b=list(row.b))
    played = play(world, monkeypatch, [serve], *row.calls, **{**HOSTS, **row.settings})
    assert " ".join(played.results) == row.then
    assert "".join(sent.request.url[len("https://")] for sent in played.transport.sent) == row.hosts


SLOW = tuple(Get(float(at * 2)) for at in range(10))  # 1.8 s each, known from second 20 on


class DeadlineRow(NamedTuple):
    """calls: after those from which the client learns.   then: their results.   requests: how many were sent for them."""

    name: str
    calls: tuple[Get, ...]
    then: str
    requests: int
    outcome: Any = (1.8, OK)
    settings: dict[str, Any] = {}  # it never changes


def within(seconds: float, at: float) -> Get:
    """A call with a deadline."""
    return Get(at, options={"total_timeout": seconds})


DEADLINE_ROWS = [
    DeadlineRow("time enough", (within(2.0, 30.0),), "200@31.8", 1),
    DeadlineRow("no deadline", (Get(30.0),), "200@31.8", 1),
    DeadlineRow("the first one is a probe", (within(0.9, 30.0),), "DeadlineExceededError@30.9", 1),
    DeadlineRow(
        "then none is begun",
        (within(0.9, 30.0), within(0.9, 32.0), within(0.9, 34.0)),
        "DeadlineExceededError@30.9 DeadlineTooShortError@32 DeadlineTooShortError@34",
        1,
    ),
    DeadlineRow(
        "a probe finds that the service is fast, and all calls are made",
        (within(0.9, 30.0), within(0.9, 31.0), within(0.9, 32.0)),
        "200@30.1 200@31.1 200@32.1",
        3,
        (0.1, OK),
    ),
    DeadlineRow(
        "a retry is not waited for",
        (within(4.0, 30.0),),
        "503@31.8",
        1,
        (1.8, HttpResponse(503)),
    ),
    DeadlineRow(
        "a retry that can end in time is made",
        (within(5.0, 30.0),),
        "503@34.6",
        2,
        (1.8, HttpResponse(503)),
    ),
    DeadlineRow(
        "a turn of the rate limit is not waited for",
        (Get(30.0), within(3.0, 30.1), within(4.0, 30.2)),
        "200@31.8 RateLimitExceededError@30.1 200@33.8",
        2,
        settings={"rate_limit": {"rate": 0.5}},
    ),
    DeadlineRow(
        "a permit of the bulkhead is waited for as long as it may help",
        (Get(30.0), within(2.5, 30.1), within(4.0, 30.2)),
        "200@31.8 DeadlineExceededError@30.9229 200@33.6",
        2,
        settings={"bulkhead": {"max_concurrent": 1, "max_waiting": 5, "max_wait": None}},
    ),
    DeadlineRow(
        "a free connection is, too",
        (Get(30.0), within(2.5, 30.1), within(4.0, 30.2)),
        "200@31.8 DeadlineExceededError@30.9229 200@33.6",
        2,
        settings={"max_connections_per_host": 1, "retry_policy_config": RetryPolicy(1)},
    ),
    DeadlineRow(
        "a pause is not waited for",
        (Get(30.0, options={"retry_policy": False}), within(6.0, 32.0)),
        "503@31.8 ThrottledError@32",
        1,
        (1.8, BUSY),
    ),
]


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("row", DEADLINE_ROWS, ids=lambda row: row.name)
def test_a_row_about_deadlines_is_the_same_in_every_driver(
    row: DeadlineRow, world: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The instants, the results, and how many requests were sent."""
    script = [(1.8, OK)] * len(SLOW) + [row.outcome]
    played = play(world, monkeypatch, script, *SLOW, *row.calls, **{**CHECKED, **row.settings})
    assert " ".join(played.results[len(SLOW) :]) == row.then
    assert len(played.transport.sent) == len(SLOW) + row.requests

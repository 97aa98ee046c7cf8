"""What becomes of single exchanges with the modelled service."""

from __future__ import annotations

import errno
import math
import os
from dataclasses import replace
from itertools import pairwise
from random import Random
from typing import Any

import pytest

from http_service_client import HttpRequest, HttpResponse, SentState, Timeout
from http_service_client.errors import Failure
from http_service_client.simulation import (
    SCENARIOS,
    Bursts,
    Errors,
    Fault,
    Flapping,
    Outage,
    Poison,
    RateLimit,
    Service,
    Slowdown,
)
from http_service_client.simulation.faults import Treatment
from http_service_client.simulation.service import Exchange, LiveService
from kit.fakes import URL
from kit.rows import each_row

NETWORK = 0.125  # of seconds: exact in binary


def live(*faults: Fault, **settings: Any) -> LiveService:
    """A service that works for a second on each request."""
    service = Service(latency=1.0, network=NETWORK, faults=faults, **settings)
    return LiveService(service, HttpRequest("GET", URL), Random(0))


def brief(exchange: Exchange) -> tuple[Any, ...]:
    """An exchange without what its outcome says in words."""
    outcome = exchange.outcome
    what = outcome.status_code if isinstance(outcome, HttpResponse) else outcome.error_type.__name__
    return (exchange.seconds, what, exchange.work, exchange.is_wasted, exchange.has_acted)


LIMITS = Timeout(total=8.0, connect=4.0, read=2.0)


@each_row(
    ("fault", "timeout", "expected"),
    [
        (None, Timeout(), (1.25, 200, 1.0, False, True)),
        (Errors(rate=1.0), Timeout(), (1.25, 503, 1.0, False, False)),
        (Errors(rate=1.0, status=400), Timeout(), (1.25, 400, 1.0, False, False)),
        (Poison(share=1.0, work=0.5), Timeout(), (1.75, 200, 1.5, False, True)),
        (Slowdown(factor=3), Timeout(), (3.25, 200, 3.0, False, True)),
        (Slowdown(factor=1.75), LIMITS, (2.0, 200, 1.75, False, True)),  # at the very limit
        (Slowdown(factor=1.875), LIMITS, (2.0, "ReadTimeoutError", 1.875, True, True)),
        (Slowdown(factor=3), Timeout(total=1.5, read=2.0), (1.5, "AttemptTimeoutError", 3.0, True, True)),
        (Slowdown(factor=3), Timeout(total=1.5), (1.5, "AttemptTimeoutError", 3.0, True, True)),
        (Outage(how="refused"), LIMITS, (0.25, "ConnectError", 0.0, False, False)),
        (Outage(how="refused"), Timeout(total=0.25), (0.25, "ConnectError", 0.0, False, False)),
        (Outage(how="refused"), Timeout(total=0.2), (0.2, "ConnectTimeoutError", 0.0, False, False)),
        (Outage(how="reset"), LIMITS, (0.25, "ConnectionLostError", 0.0, False, True)),
        (Outage(how="unreachable"), LIMITS, (4.0, "ConnectTimeoutError", 0.0, False, False)),
        (Outage(how="unreachable"), Timeout(total=3.0), (3.0, "ConnectTimeoutError", 0.0, False, False)),
        (Outage(how="silent"), LIMITS, (2.0, "ReadTimeoutError", 0.0, False, True)),
        (Outage(how="silent"), Timeout(), (math.inf, "ReadTimeoutError", 0.0, False, True)),
        (Outage(how=429), LIMITS, (0.25, 429, 0.0, False, False)),
    ],
)
def test_an_exchange_is_what_the_faults_and_the_limits_make_of_it(
    fault: Fault | None, timeout: Timeout, expected: tuple[Any, ...]
) -> None:
    """The seconds until its outcome, the outcome, the work, whether that was in vain, and whether it was acted on."""
    faults = () if fault is None else (fault,)
    assert brief(live(*faults).exchange(0.0, timeout)) == expected


@pytest.mark.parametrize(("start", "seconds"), [(10.0, 5.0), (0.0, None)])
def test_a_fault_holds_from_its_start_and_before_its_end(start: float, seconds: float | None) -> None:
    """Without an end, permanently."""
    service = live(Outage(start=start, seconds=seconds))
    met = [brief(service.exchange(at, Timeout()))[1] != 200 for at in (9.99, 10.0, 14.99, 15.0, 1e9)]
    assert met == ([True] * 5 if seconds is None else [False, True, True, False, False])


def test_the_outcome_of_a_failed_exchange_is_that_of_a_transport() -> None:
    """With the error number of the system, and what became of the request."""
    refused = live(Outage(how="refused")).exchange(0.0, LIMITS).outcome
    lost = live(Outage(how="reset")).exchange(0.0, LIMITS).outcome
    assert isinstance(refused, Failure)
    assert isinstance(lost, Failure)
    assert (refused.sent_state, lost.sent_state) == (SentState.NEVER_SENT, SentState.MAYBE_PROCESSED)
    assert isinstance(refused.cause, ConnectionRefusedError)
    assert isinstance(lost.cause, ConnectionResetError)
    assert (refused.cause.errno, lost.cause.errno) == (errno.ECONNREFUSED, errno.ECONNRESET)
    for cause in (refused.cause, lost.cause):
        assert cause.errno is not None
        assert cause.strerror == os.strerror(cause.errno)


def test_the_response_names_its_request_and_its_status() -> None:
    """And says in whole seconds, rounded up, when to come back."""
    outcome = live(Outage(how=503, retry_after=2.1)).exchange(0.0, LIMITS).outcome
    assert isinstance(outcome, HttpResponse)
    assert (outcome.reason_phrase, outcome.url) == ("Service Unavailable", URL)
    assert outcome.request is not None
    assert outcome.request.url == URL
    assert dict(outcome.headers) == {"Retry-After": "3"}
    unknown = live(Outage(how=599)).exchange(0.0, LIMITS).outcome
    assert isinstance(unknown, HttpResponse)
    assert (unknown.reason_phrase, dict(unknown.headers)) == ("", {})


def test_requests_wait_for_a_worker_in_the_order_of_their_arrival() -> None:
    """Two workers: the third request begins when the first ends, a network delay after it was sent."""
    service = live(workers=2)
    assert [service.exchange(0.0, Timeout()).seconds for _ in range(5)] == [1.25, 1.25, 2.25, 2.25, 3.25]
    assert [service.exchange(2.5, Timeout()).seconds for _ in range(2)] == [1.25, 1.75]


def test_a_queue_has_room_again_when_a_request_leaves_it() -> None:
    """At the instant at which a worker takes it."""
    service = live(workers=1, queue=1)
    assert [brief(service.exchange(0.0, Timeout()))[1] for _ in range(3)] == [200, 200, 503]
    # The worker takes the second one at 1.125; a request that is sent at 1.0 arrives at that instant.
    assert brief(service.exchange(0.984375, Timeout()))[1] == 503
    assert brief(service.exchange(1.0, Timeout()))[:2] == (0.125 + 1.0 + 1.0 + 0.125, 200)


def test_each_request_that_leaves_the_queue_makes_room_for_one() -> None:
    """Of two that wait, the first leaves it at 1.125, the second at 2.125."""
    service = live(workers=1, queue=2)
    assert [brief(service.exchange(0.0, Timeout()))[1] for _ in range(4)] == [200, 200, 200, 503]
    assert [brief(service.exchange(1.0, Timeout()))[1] for _ in range(2)] == [200, 503]
    assert [brief(service.exchange(2.0, Timeout()))[1] for _ in range(2)] == [200, 503]


def test_a_request_that_comes_as_a_worker_becomes_free_needs_no_seat() -> None:
    """It does not wait."""
    service = live(workers=1, queue=0)
    assert brief(service.exchange(0.0, Timeout()))[1] == 200
    assert [brief(service.exchange(at, Timeout()))[:2] for at in (0.984375, 1.0)] == [
        (0.25, 503),
        (1.25, 200),
    ]


class Answers(Fault):
    """A fault of a user: another status after the usual work."""

    seconds = None

    def __init__(self, status: int) -> None:
        self.start = 0.0
        self._status = status

    def begin(self, random: Random) -> Any:
        def effect(now: float, treatment: Treatment) -> None:
            treatment.status = self._status

        return effect


@pytest.mark.parametrize(("status", "has_acted"), [(204, True), (399, True), (400, False)])
def test_a_service_has_acted_if_its_status_is_below_400(status: int, has_acted: bool) -> None:
    """Whoever set it."""
    assert brief(live(Answers(status)).exchange(0.0, Timeout())) == (1.25, status, 1.0, False, has_acted)


@pytest.mark.parametrize(
    ("total", "work", "next_seconds"),
    [
        # The client gives up at this instant, and the service knows it a network delay later.
        (0.5, 0.5, 0.5 + 1.25),
        (0.0625, 0.0625, 0.0625 + 1.25),
    ],
)
def test_abandoned_work_stops_when_the_service_learns_of_it(
    total: float, work: float, next_seconds: float
) -> None:
    """The worker is free then."""
    service = live(workers=1, stops_abandoned_work=True)
    late = service.exchange(0.0, Timeout(total=total))
    assert (late.seconds, late.work, late.is_wasted, late.has_acted) == (total, work, True, True)
    assert service.exchange(0.0, Timeout()).seconds == next_seconds


def test_a_request_that_is_abandoned_in_the_queue_is_never_worked_on() -> None:
    """Where abandoned work stops; so the service has not acted on it."""
    service = live(workers=1, stops_abandoned_work=True)
    service.exchange(0.0, Timeout())
    late = service.exchange(0.0, Timeout(total=0.5))
    assert (late.work, late.is_wasted, late.has_acted) == (0.0, True, False)


@pytest.mark.parametrize(
    ("retry_after", "header"), [(None, "4"), (7.0, "7"), (0.0, None)]
)  # fmt: skip
def test_a_rate_limit_fills_its_bucket_while_nobody_calls(
    retry_after: float | None, header: str | None
) -> None:
    """A burst, then one request in four seconds; the header has the seconds to the next token, rounded up."""
    service = live(RateLimit(per_second=0.25, burst=2, retry_after=retry_after, start=8.0))
    instants = [8.0, 8.0, 8.5, 12.0, 15.75, 16.0, 1000.0, 1000.0, 1000.0]
    outcomes = [service.exchange(at, Timeout()).outcome for at in instants]
    statuses = [outcome.status_code for outcome in outcomes if isinstance(outcome, HttpResponse)]
    assert statuses == [200, 200, 429, 200, 429, 200, 200, 200, 429]
    assert isinstance(outcomes[2], HttpResponse)
    assert outcomes[2].headers.get("Retry-After") == header


@pytest.mark.parametrize(
    ("at", "is_down"), [(3.0, True), (4.9, True), (5.0, False), (12.9, False), (13.0, True)]
)
def test_a_flapping_service_is_down_first(at: float, is_down: bool) -> None:
    """From the start of the fault on: 2 s down, 8 s up."""
    outcome = live(Flapping(up=8, down=2, how=500, start=3)).exchange(at, Timeout()).outcome
    assert isinstance(outcome, HttpResponse)
    assert (outcome.status_code == 500) is is_down


def test_bursts_alternate_between_good_and_bad_spans() -> None:
    """The spans have the means that were set, and in a bad one so many requests fail."""
    service = live(Bursts(good=8, bad=2, rate=0.5, how=502, start=4))
    statuses: list[int] = []
    for tick in range(20_000):
        outcome = service.exchange(4 + tick / 4, Timeout()).outcome
        assert isinstance(outcome, HttpResponse)
        statuses.append(outcome.status_code)
    assert set(statuses) == {200, 502}
    assert statuses[:4] == [200] * 4  # it begins with a good one
    assert statuses.count(502) / len(statuses) == pytest.approx(0.1, abs=0.015)
    changes = sum(a != b for a, b in pairwise(statuses))
    assert changes / len(statuses) < 0.15  # single errors of this share change 18 % of the time


def test_the_first_of_two_outages_decides() -> None:
    """Faults change a request in the order of their list; a later one neither fails it again nor takes a token."""
    service = live(RateLimit(per_second=1, burst=1), Outage(how="reset"), Flapping(up=1, down=1, how=500))
    names = [brief(service.exchange(0.0, Timeout()))[1] for _ in range(2)]
    assert names == ["ConnectionLostError", 429]
    assert (
        brief(live(Outage(how=500), Outage(how=501), Bursts(good=1e-3, bad=1e9)).exchange(1.0, Timeout()))[1]
        == 500
    )


def test_slowdowns_and_errors_add_up() -> None:
    """All of the faults of a request that is worked on."""
    service = live(
        Slowdown(factor=2),
        Slowdown(factor=3),
        Poison(share=1, work=4),
        Poison(share=1, work=8),
        Errors(rate=1),
    )
    assert brief(service.exchange(0.0, Timeout())) == (6.0 + 12.0 + 0.25, 503, 18.0, False, False)


def test_a_service_knows_when_its_faults_begin_and_end() -> None:
    """The first and the last of them; infinite where there is none, or one that stays."""
    faults = [Outage(start=5, seconds=10), Outage(start=2, seconds=1), Outage(start=4, seconds=8)]
    assert (Service(faults=faults).trigger, Service(faults=faults).relief) == (2, 15)
    assert (Service().trigger, Service().relief) == (math.inf, math.inf)
    assert Service(faults=[*faults, Outage()]).relief == math.inf


# What a name means stays the same: two people who compare a scenario compare the same thing.
BUILT_IN = {
    "healthy": "()",
    "failing-10": "(Errors(rate=0.1, status=503, start=0.0, seconds=None),)",
    "failing-30": "(Errors(rate=0.3, status=503, start=0.0, seconds=None),)",
    "failing-70": "(Errors(rate=0.7, status=503, start=0.0, seconds=None),)",
    "outage-refused": "(Outage(how='refused', share=1.0, retry_after=None, start=60, seconds=60),)",
    "outage-silent": "(Outage(how='silent', share=1.0, retry_after=None, start=60, seconds=60),)",
    "outage-reset": "(Outage(how='reset', share=1.0, retry_after=None, start=60, seconds=60),)",
    "brown-out": "(Slowdown(factor=20, share=1.0, start=60, seconds=60),)",
    "slow-poison": "(Poison(share=0.02, work=30, start=60, seconds=60),)",
    "rate-limited": "(RateLimit(per_second=10, burst=20, retry_after=None, start=60, seconds=120),)",
    "flapping": "(Flapping(up=15, down=5, how='refused', start=60, seconds=120),)",
    "bursts": "(Bursts(good=20, bad=2, rate=1.0, how=503, start=30, seconds=210),)",
    "partial-outage": "(Outage(how='refused', share=0.25, retry_after=None, start=60, seconds=60),)",
    "rolling-deploy": str(tuple(Outage(how="reset", share=0.25, start=start, seconds=10) for start in (60, 75, 90, 105))),
    "overload": "(Slowdown(factor=3, share=1.0, start=60, seconds=60),)",
    "retry-storm": "(Outage(how='refused', share=1.0, retry_after=None, start=60, seconds=30),)",
}  # fmt: skip
WORKERS = {"slow-poison": (8, 200), "overload": (2, 100), "retry-storm": (100, None)}


def test_the_built_in_scenarios_stay_the_same() -> None:
    """Their faults, their workers and queues, and how they are called."""
    assert {name: str(scenario.service.faults) for name, scenario in SCENARIOS.items()} == BUILT_IN
    plain = SCENARIOS["healthy"]
    assert str(plain.service) == (
        "Service(latency=LogNormal(median=0.05, p99=0.25), workers=None, queue=None, network=0.001, "
        "stops_abandoned_work=False, faults=())"
    )
    for name, scenario in SCENARIOS.items():
        workers, queue = WORKERS.get(name, (None, None))
        assert replace(scenario.service, faults=()) == replace(plain.service, workers=workers, queue=queue)
        if name != "retry-storm":
            assert replace(scenario, service=plain.service, about=plain.about) == plain
    assert (plain.clients, plain.rate, plain.seconds, plain.method, plain.options) == (
        10,
        2.0,
        300.0,
        "GET",
        {},
    )
    storm = SCENARIOS["retry-storm"]
    assert (storm.clients, storm.seconds, storm.options) == (10_000, 240, {"timeout": 0.5})
    assert storm.clients * storm.rate == pytest.approx(0.8 * storm.service.capacity)

"""Hedged calls, as rows through the three drivers: who wins, what the loser leaves behind, and when there is no hedge."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from http_service_client import HttpResponse, SentState
from kit.fakes import RESET
from kit.hedged_calls import OK, WORLDS, Get, Played, play

BUSY = HttpResponse(503)
ONCE: dict[str, Any] = {"enable_retry_policy": False}


class Row(NamedTuple):
    """script: (seconds, outcome) of each request, in the order in which they begin.   then: the calls' results."""

    name: str
    script: list[Any]
    then: str
    story: str
    requests: int
    settings: dict[str, Any] = {}  # it never changes
    calls: tuple[Get, ...] = (Get(),)


ROWS = [
    Row("a quick response needs no hedge", [(0.9, OK)], "200@0.9", "", 1),
    Row("the hedge wins", [(9.0, OK), (0.5, OK)], "200@1.5", "sent1@1 won1@1.5 lost0@1.5", 2),
    Row("the hedge loses", [(1.2, OK), (9.0, OK)], "200@1.2", "sent1@1 won0@1.2 lost1@1.2", 2),
    Row(
        "a first request that hangs costs a delay",
        [(1e6, OK), (0.1, OK)],
        "200@1.1",
        "sent1@1 won1@1.1 lost0@1.1",
        2,
        {"base_timeout": None, "connection_pool": None},
    ),
    Row(
        "a failure before the delay is for the retry",
        [(0.5, RESET), (0.5, OK)],
        "200@2.125",
        "",
        2,
        {"retry_policy_config": {"initial_delay": 1.5, "jitter": "equal"}},
    ),
    Row(
        "the first fails while the hedge is in flight",
        [(1.5, RESET), (2.0, OK)],
        "200@3",
        "sent1@1 failed0@1.5 won1@3",
        2,
    ),
    Row(
        "the hedge fails, and the first is waited for",
        [(3.0, OK), (0.5, BUSY)],
        "200@3",
        "sent1@1 failed1@1.5 won0@3",
        2,
    ),
    Row(
        "both fail: the outcome is that of the first",
        [(2.0, RESET), (0.5, BUSY)],
        "ConnectionLostError@2",
        "sent1@1 failed1@1.5 failed0@2",
        2,
        ONCE,
    ),
    Row(
        "both fail, and the next attempt is hedged as well",
        [(2.0, RESET), (0.5, BUSY), (9.0, OK), (0.5, OK)],
        "200@5",
        "sent1@1 failed1@1.5 failed0@2 sent1@4.5 won1@5 lost0@5",
        4,
        {"retry_policy_config": {"initial_delay": 2.0, "jitter": "equal"}},
    ),
    Row(
        "a status that is no failure wins",
        [(9.0, OK), (0.5, HttpResponse(404))],
        "404@1.5",
        "sent1@1 won1@1.5 lost0@1.5",
        2,
    ),
    Row(
        "two hedges, a delay apart",
        [(9.0, OK), (9.0, OK), (0.5, OK)],
        "200@2.5",
        "sent1@1 sent2@2 won2@2.5 lost1@2.5 lost0@2.5",
        3,
        {"hedging": {"delay": 1.0, "max_hedges": 2}},
    ),
    Row(
        "no further hedge once one has failed",
        [(5.0, OK), (0.5, BUSY)],
        "200@5",
        "sent1@1 failed1@1.5 won0@5",
        2,
        {"hedging": {"delay": 1.0, "max_hedges": 3}},
    ),
    Row(
        "the retry quota denies it, and the first request goes on",
        [(5.0, OK)],
        "200@5",
        "denied@1",
        1,
        {"retry_budget_config": {"ratio": 0.0, "min_per_second": 0.0}},
    ),
    Row(
        "hedges are a share of the calls",
        [(1.5, OK), (9.0, OK)] * 5 + [(2.0, OK)],
        "200@1.5 200@11.5 200@21.5 200@31.5 200@41.5 200@52",
        " ".join(["sent1@1 won0@1.5 lost1@1.5"] * 5 + ["denied@1"]),
        11,
        {"enable_retry_budget": False, "hedging": {"delay": 1.0, "max_share": 0.001}},
        tuple(Get(at=10.0 * number) for number in range(6)),
    ),
    Row(
        "a hedge that the circuit refuses is no failure",
        [(0.1, RESET), (3.0, OK)],
        "ConnectionLostError@0.1 200@8",
        "sent1@1 refused1@1 won0@3",
        2,
        {
            **ONCE,
            "circuit_breaker_config": {"failure_threshold": 1, "recovery_timeout": 2.0},
        },
        (Get(), Get(at=5.0)),
    ),
    Row(
        "no hedge when the deadline leaves no time for it",
        [(0.9, OK)],
        "200@0.9",
        "",
        1,
        {"total_timeout": 1.0},
    ),
    Row(
        "the deadline ends both",
        [(9.0, OK), (9.0, OK)],
        "DeadlineExceededError@2",
        "sent1@1 failed0@2 failed1@2",
        2,
        {"total_timeout": 2.0},
    ),
    Row(
        "a hedge has what is left of the attempt",
        [(9.0, OK), (9.0, OK)],
        "AttemptTimeoutError@3",
        "sent1@1 failed0@3 failed1@3",
        2,
        {**ONCE, "base_timeout": 3.0},
    ),
    Row("a POST is not sent twice", [(5.0, OK)], "200@5", "", 1, {}, (Get(method="POST"),)),
    Row(
        "a POST with a key is",
        [(9.0, OK), (0.5, OK)],
        "200@1.5",
        "sent1@1 won1@1.5 lost0@1.5",
        2,
        {"auto_idempotency_key": True},
        (Get(method="POST"),),
    ),
    Row(
        "a POST that the caller vouches for is",
        [(9.0, OK), (0.5, OK)],
        "200@1.5",
        "sent1@1 won1@1.5 lost0@1.5",
        2,
        {},
        (Get(method="POST", options={"idempotent": True}),),
    ),
    Row(
        "a call that wants none",
        [(5.0, OK)] * 2,
        "200@5 200@11",
        "",
        2,
        {},
        (Get(options={"hedging": False}), Get(at=6.0, options={"hedging": None})),
    ),
    Row(
        "a call that is cancelled cancels both",
        [(9.0, OK), (9.0, OK)],
        "cancelled@3",
        "sent1@1",
        2,
        {},
        (Get(cancel=3.0),),
    ),
    Row(
        "a hedge waits for a connection like any request",
        [(3.0, OK), (9.0, OK)],
        "200@3",
        "sent1@1 won0@3 lost1@3",
        1,
        {"max_connections": 1, "max_connections_per_host": 1},
    ),
    Row(
        "no hedge while the first waits for a connection",
        [(4.0, OK), (0.5, OK)],
        "200@4 200@4.5",
        "",
        2,
        {"max_connections": 1, "max_connections_per_host": 1},
        (Get(options={"hedging": False}), Get(at=0.1)),
    ),
]


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in ROWS])
def test_a_row(row: Row, world: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads, tasks and the simulator make the same requests, at the same instants, with the same story."""
    played = play(world, monkeypatch, row.script, *row.calls, **row.settings)
    assert " ".join(played.results) == row.then
    assert played.story == row.story
    assert len(played.transport.sent) == row.requests


def hedge_wins(world: str, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> Played:
    return play(world, monkeypatch, [(9.0, OK), (0.5, OK)], **settings)


@pytest.mark.parametrize("world", WORLDS)
def test_a_loser_may_have_been_processed_and_is_no_evidence(
    world: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The timeline says so; the circuit counts one success and one permit that was given back."""
    played = hedge_wins(world, monkeypatch)
    lost = next(event for event in played.events if getattr(event, "hedge", None) == 0)
    assert (lost.result.value, lost.sent_state, lost.status_code, lost.error) == (
        "lost",
        SentState.MAYBE_PROCESSED,
        None,
        None,
    )
    assert played.events[-1].sent_state is SentState.MAYBE_PROCESSED
    snapshot = played.state.breaker.snapshot()
    assert (snapshot.successes, snapshot.failures, snapshot.abandoned) == (1, 0, 1)
    assert played.names == [
        *("hedge_started", "hedge_finished", "hedge_finished"),
        *("attempt_finished", "call_finished"),
    ]


@pytest.mark.parametrize("world", WORLDS)
def test_a_hedge_spends_the_retry_quota(world: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One token, which a success does not return: a service that is slow as a whole would get twice its load."""
    played = hedge_wins(world, monkeypatch)
    assert played.state.budget.balance == 3


@pytest.mark.parametrize("world", WORLDS)
def test_a_hedge_that_was_not_sent_costs_nothing(world: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waited for a connection until the first request had succeeded."""
    played = play(world, monkeypatch, [(3.0, OK)], max_connections=1, max_connections_per_host=1)
    assert played.state.budget.balance == 4
    assert played.state.hedging.snapshot()[1:] == (1, 0, 5)
    assert played.events[-1].sent_state is SentState.ANSWERED


@pytest.mark.parametrize("world", WORLDS)
def test_a_learned_delay(world: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is hedged until 20 latencies are known; then the slow call is, and its loser counts as at least so long."""
    script = [*[(0.1, OK)] * 20, (9.0, OK), (0.1, OK)]
    calls = [Get(at=float(number)) for number in range(21)]
    played = play(world, monkeypatch, script, *calls, hedging={})
    assert played.story.startswith("sent1@0.1")
    assert played.results[-1].startswith("200@20.2")
    assert played.state.hedging.snapshot().hedges == 1


@pytest.mark.parametrize("world", WORLDS)
def test_a_policy_of_a_call_has_latencies_and_a_budget_of_its_own(
    world: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the client has none."""
    from http_service_client import HedgingPolicy

    policy = HedgingPolicy(delay=2.0)
    played = play(world, monkeypatch, [(9.0, OK), (0.5, OK)], Get(options={"hedging": policy}), hedging=None)
    assert played.results == ["200@2.5"]
    assert policy.snapshot()[1:] == (1, 1, 4)
    assert played.state.hedging is None


@pytest.mark.parametrize("world", WORLDS)
def test_error_pages_do_not_shorten_a_learned_delay(world: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They come quickly. A timeout counts as at least so long, and what an interceptor answers as nothing."""

    class Answering:
        def intercept_request(self, request: Any, context: Any) -> Any:
            return HttpResponse(200) if context.call_name == "answered" else request

    quick_errors = [(0.01, HttpResponse(500))] * 10
    script = [*quick_errors, *[(1.0, OK)] * 8, (9.0, OK), (9.0, OK), (9.0, OK)]
    calls = [Get(at=float(number)) for number in range(20)]
    calls += [Get(at=20.0 + number, options={"name": "answered"}) for number in range(20)]
    played = play(
        world,
        monkeypatch,
        script,
        *calls,
        **ONCE,
        hedging={"min_calls": 10, "quantile": 0.5},
        base_timeout=3.0,
        circuit_breaker_config={"failure_threshold": 1000},
        request_interceptors=[Answering()],
    )
    assert played.story == ""
    delay = played.state.hedging.snapshot().delay
    assert delay == pytest.approx(1.0, rel=0.15), "of eight at one second and two of at least three"


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize(
    ("script", "expected"),
    [
        # At work on the first one; on the hedge; on none; a hedge was not sent.
        ([(3.0, HttpResponse(201)), (0.5, HttpResponse(409))], "201@3"),
        ([(2.0, HttpResponse(409)), (2.0, HttpResponse(201))], "201@3"),
        ([(2.0, HttpResponse(409)), (2.0, HttpResponse(409))], "409@3"),
        ([(0.5, HttpResponse(409))], "409@0.5"),
    ],
)
def test_a_409_under_a_key_means_that_the_other_request_is_in_progress(
    script: list[Any], expected: str, world: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A payment that is being made is not reported as refused."""
    call = Get(method="POST", options={"headers": {"Idempotency-Key": "k"}})
    assert play(world, monkeypatch, script, call).results == [expected]

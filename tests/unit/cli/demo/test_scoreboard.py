"""What the demo counts from timelines and changes of circuits."""

from __future__ import annotations

import pytest

from http_service_client import SentState, StateChange, Timeline
from http_service_client.cli.demo.scoreboard import Row, Scoreboard
from http_service_client.core.machines.circuit_breaker.states import CircuitBreakerState
from http_service_client.events import AttemptFinished, CallFinished, CircuitRefused, RetryStopped, StopReason
from kit.rows import each_row

PAY, MAIL = "http://127.0.0.1:1", "http://127.0.0.1:2"


def attempt(number: int, state: SentState = SentState.ANSWERED) -> AttemptFinished:
    return AttemptFinished(0.0, number, PAY, 0.1, 503, None, "", state)


def refusal(number: int) -> CircuitRefused:
    return CircuitRefused(0.0, number, PAY, "open", 1.0)


def stop(reason: StopReason) -> RetryStopped:
    return RetryStopped(0.0, 1, PAY, reason, None, None)


END = CallFinished(1.0, "POST", PAY, PAY, 1, 503, None, SentState.ANSWERED, None)


def board(changes: list[tuple[str, bool]] | None = None) -> Scoreboard:
    made: list[tuple[str, bool]] = [] if changes is None else changes
    return Scoreboard({PAY: "payment", MAIL: "email"}, lambda *change: made.append(change))


@each_row(
    ("timeline", "row"),
    [
        ([], Row()),
        ([attempt(1), END], Row(calls=1, attempts=1)),
        ([attempt(1), attempt(2), attempt(3), END], Row(calls=1, attempts=3, retries=2)),
        (
            [attempt(1, SentState.NEVER_SENT), attempt(2, SentState.MAYBE_PROCESSED), END],
            Row(calls=1, attempts=2, retries=1, unsent=1),
        ),
        ([refusal(1), END], Row(calls=1, refusals=1, refused_calls=1)),
        ([attempt(1), refusal(2), END], Row(calls=1, attempts=1, refusals=1)),
        ([attempt(1), stop(StopReason.NOT_SAFE), END], Row(calls=1, attempts=1, unsafe=1)),
        ([attempt(1), stop(StopReason.BUDGET), END], Row(calls=1, attempts=1, over_budget=1)),
        ([attempt(1), stop(StopReason.CIRCUIT_OPEN), END], Row(calls=1, attempts=1, cut_off=1)),
        ([attempt(1), stop(StopReason.EXHAUSTED), END], Row(calls=1, attempts=1)),
    ],
)
def test_a_timeline_is_counted_for_its_service(timeline: list[object], row: Row) -> None:
    """Each event in its column, and nothing for the other services."""
    scores = board()
    scores.record("payment", Timeline(timeline))  # type: ignore[arg-type]  # events, all of them
    assert scores.rows() == {"payment": row, "email": Row()}


def test_rows_add_up() -> None:
    """Column by column, call after call and over all services."""
    scores = board()
    for service in ("payment", "email", "email"):
        scores.record(service, Timeline([attempt(1), attempt(2), END]))
    assert scores.rows()["email"] == Row(calls=2, attempts=4, retries=2)
    assert scores.total() == Row(calls=3, attempts=6, retries=3)


@pytest.mark.parametrize(
    ("old", "new", "row", "sentence", "is_decisive"),
    [
        ("closed", "open", Row(openings=1), "email: closed → open (5 failures)", True),
        ("half_open", "open", Row(failed_trials=1), "email: half-open → open (5 failures)", False),
        ("open", "half_open", Row(), "email: open → half-open (5 failures)", False),
        ("half_open", "closed", Row(), "email: half-open → closed (5 failures)", True),
    ],
)
def test_a_change_of_a_circuit_is_counted_and_announced(
    old: str, new: str, row: Row, sentence: str, is_decisive: bool
) -> None:
    """An opening counts once: from closed, or after a failed trial. Trials decide nothing, unless one closes the circuit."""
    changes: list[tuple[str, bool]] = []
    scores = board(changes)
    states = CircuitBreakerState(old), CircuitBreakerState(new)
    scores.listen(StateChange(MAIL, *states, "5 failures", 0.0, 1, None))
    assert scores.rows() == {"payment": Row(), "email": row}
    assert changes == [(sentence, is_decisive)]


def test_other_events_are_not_counted_as_they_happen() -> None:
    """They are in the timeline, which is counted at the end of the call."""
    changes: list[tuple[str, bool]] = []
    scores = board(changes)
    for event in (attempt(1), END):
        scores.listen(event)
    assert scores.total() == Row()
    assert changes == []

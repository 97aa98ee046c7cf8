"""What becomes of the calls of a load, counted as they begin and end."""

from __future__ import annotations

import pytest

from http_service_client import ConnectError, HttpResponse
from http_service_client.cli.load.schedule import Start
from http_service_client.cli.load.tally import Tally


def tally_of(*results: HttpResponse | ConnectError) -> Tally:
    """Calls that were due and began at 0 and took a quarter of a second."""
    made = Tally()
    for result in results:
        made.begin(Start(0.0, True), 0.0, was_free=True)
        made.end(Start(0.0, True), 0.0, 0.25, result)
    return made


@pytest.mark.parametrize(("status", "failures"), [(200, 0), (304, 0), (399, 0), (400, 1), (503, 1)])
def test_a_status_of_400_or_more_is_a_failure(status: int, failures: int) -> None:
    """Its body counts as received all the same."""
    made = tally_of(HttpResponse(status, content=b"tea"))
    assert (made.failures, made.received) == (failures, 3)


def test_an_error_is_a_failure_without_a_body() -> None:
    """The first message of each kind is kept."""
    made = tally_of(ConnectError("first"), ConnectError("second"), HttpResponse(200, content=b"tea"))
    assert (made.ended, made.failures, made.received) == (3, 2, 3)
    assert made.outcomes["ConnectError"].example == "first"


@pytest.mark.parametrize(
    ("due", "was_free", "late", "overslept", "queued"),
    [
        (1.0, True, 0, 0.0, None),
        (0.75, True, 1, 0.25, None),
        (0.75, False, 0, None, 0.25),
        (1.5, True, 0, 0.0, None),
    ],
)
def test_a_late_start_is_due_to_the_workers_or_to_this_program(
    due: float, was_free: bool, late: int, overslept: float | None, queued: float | None
) -> None:
    """If a worker was waiting for its time, this program began it late: of more than 10 ms, that is counted."""
    made = Tally()
    made.begin(Start(due, True), 1.0, was_free)
    assert made.late == late
    seen = [each.most if each.count else None for each in (made.overslept, made.queued)]
    assert seen == [overslept, queued]


def test_ten_milliseconds_are_not_late() -> None:
    """More than those are."""
    made = Tally()
    for now in (0.01, 0.0101):
        made.begin(Start(0.0, True), now, was_free=True)
    assert made.late == 1


def test_a_call_of_the_warm_up_is_a_number_and_nothing_else() -> None:
    """However late it began, and whatever became of it."""
    made = Tally()
    made.begin(Start(0.0, False), 5.0, was_free=True)
    made.end(Start(0.0, False), 5.0, 6.0, HttpResponse(503, content=b"tea"))
    assert made.warm_up_calls == 1
    assert (made.begun, made.ended, made.late, made.received, made.last_end) == (0, 0, 0, 0, 0.0)
    assert (made.overslept.count, made.service.count, made.outcomes) == (0, 0, {})


def test_the_last_end_is_the_latest() -> None:
    """Calls do not end in the order in which they began, and threads do not count them in the order in which they end."""
    made = Tally()
    for now in (0.25, 0.75, 0.5):
        made.begin(Start(0.0, True), 0.0, was_free=True)
        made.end(Start(0.0, True), 0.0, now, HttpResponse(200))
    assert made.last_end == 0.75

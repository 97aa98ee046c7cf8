"""A result that says nothing about the client is not the result of its case."""

from __future__ import annotations

from typing import Any

import pytest

from faults.runner import Result, Servers, run_in_parallel, run_once
from http_service_client import Timeout
from http_service_client.testing import stall
from kit.front_ends import FrontEnd
from kit.metronome import Metronome
from network.faults import Certificates


def result(seconds: float = 0.1, unsent: int = 0) -> Result:
    return Result("200", "answered", 1, unsent, [], seconds, 0.0, [], "")


@pytest.mark.parametrize(
    ("found", "sent", "expected"),
    [
        (result(), "maybe_processed", True),
        (result(seconds=1.1), "maybe_processed", False),
        (result(unsent=1), "maybe_processed", False),
        (result(unsent=3), "never_sent", True),
        (result(seconds=1.1), "never_sent", False),
    ],
)
def test_a_result_is_conclusive_on_time_and_where_attempts_met_the_fault(
    found: Result, sent: str, expected: bool
) -> None:
    """An attempt that was never sent has not met a fault that comes after that."""
    assert found.is_conclusive(1.0, sent) is expected


def test_a_case_without_a_conclusive_result_is_run_again() -> None:
    """Until there is one; what stays inconclusive is the result, for the test to fail by."""
    left = {
        "once": [result(), result(9.0)],
        "twice": [result(), result(unsent=1)],
        "never": [result(9.0)] * 9,
    }

    def run_one(case: str) -> Result:
        return left[case].pop()

    found = run_in_parallel(
        list(left), run_one, lambda case, found: found.is_conclusive(1.0, "maybe_processed"), 1
    )
    assert [(each.seconds, each.unsent) for each in found] == [(0.1, 0), (0.1, 0), (9.0, 0)]


@pytest.mark.parametrize(("connect", "unsent"), [(1e-9, 1), (None, 0)])
def test_an_attempt_whose_time_is_over_before_it_is_sent_is_counted(
    front_end: FrontEnd,
    certificates: Certificates,
    strangers: Certificates,
    metronome: Metronome,
    connect: float | None,
    unsent: int,
) -> None:
    """Not one that waits for its response."""

    def act(front_end: FrontEnd, client: Any, url: str, call_id: str) -> Any:
        timeout = Timeout(total=0.4, connect=connect)
        return front_end.request(client, "GET", url, timeout=timeout, retry_policy=None)

    with Servers(certificates, strangers) as servers:
        end = run_once(front_end, servers, lambda servers: servers.loopback(stall()), act, metronome)
    assert (end.attempts, end.unsent) == (1, unsent)

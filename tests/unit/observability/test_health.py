"""What a client's health summary says in words."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from http_service_client import CircuitOpenError, ThrottledError
from http_service_client.observability import HealthSummary
from kit.fakes import Harness
from kit.front_ends import FrontEnd

ORIGIN = "https://api.example.com"
AT_ONCE = "p50 0 ms, p95 0 ms, p99 0 ms; the slowest took 0 ms"
FAST = {
    "enable_retry_policy": False,
    "circuit_breaker_config": {"failure_threshold": 2, "recovery_timeout": 10.0},
}


def lines(harness: Harness) -> list[str]:
    return harness.client.get_health_summary().explain().splitlines()


def test_an_idle_client_says_so(front_end: FrontEnd) -> None:
    """Without a call there is nothing to say, also of an origin that is only known."""
    harness = Harness(front_end, 200)
    assert lines(harness) == ["no calls yet"]


def test_a_client_in_good_health_needs_no_attention(front_end: FrontEnd) -> None:
    """Four lines an origin: its calls, what they cost, how long they took, its state."""
    harness = Harness(front_end, 200)
    harness.request()
    assert lines(harness) == [
        "1 call, 100.0% succeeded; no origin needs attention",
        f"{ORIGIN}: 1 call, 100.0% succeeded",
        "  1.00 requests a call",
        f"  {AT_ONCE}",
        "  circuit closed; 4 retries left in the budget",
    ]


def test_an_open_circuit_is_explained(front_end: FrontEnd) -> None:
    """Since when it refuses does not matter; when the next trial comes, and what failed before, does."""
    harness = Harness(front_end, 500, 503, **FAST)
    harness.request()
    harness.request()
    harness.error(CircuitOpenError)
    assert lines(harness) == [
        "3 calls, 0.0% succeeded; 1 of 1 origin needs attention",
        f"{ORIGIN}: 3 calls, 0.0% succeeded",
        "  0.67 requests a call",
        f"  {AT_ONCE}",
        "  circuit open, next trial in 10.000 s, 1 attempt refused; 4 retries left in the budget",
        "  ! the service is taken to be down, and calls are refused until trials succeed; see what failed before",
        "  ! 3 calls failed; the errors are 500 (1), 503 (1), CircuitOpenError (1); see error.explain() of one",
    ]


def test_the_load_is_split_by_its_causes(front_end: FrontEnd) -> None:
    """Retries and redirects, for each call; too many retries are a reason to look."""
    harness = Harness(front_end, 503, (302, {"Location": "/b"}), 200)
    harness.request()
    text = lines(harness)
    assert text[2] == "  3.00 requests a call, 1.00 retries, 1.00 redirects among them"
    assert text[-1].startswith("  ! retries add much to the load of the service")


def test_a_pause_and_a_spent_budget_are_explained(front_end: FrontEnd) -> None:
    """Both are states of now, whatever the calls before."""
    harness = Harness(
        front_end,
        *(500, (429, {"Retry-After": "60"})),
        retry_budget_config={"capacity": 1.0},
        retry_policy_config={"max_attempts": 2},
    )
    harness.request()
    harness.error(ThrottledError)
    text = "\n".join(lines(harness))
    assert "0 retries left in the budget; paused for another 60 s" in text
    assert "! the service asked for a pause; see how many callers share its limit" in text
    assert "! no retries are left" in text


@pytest.mark.parametrize(
    ("act", "settings", "expected"),
    [
        (lambda circuit: circuit.isolate(), {}, "isolated by hand, so that nothing is sent"),
        (lambda circuit: None, {"metrics_only": True}, "the circuit would refuse calls, and does not"),
    ],
    ids=["isolated", "metrics only"],
)
def test_circuits_that_people_hold_are_explained(
    front_end: FrontEnd, act: Callable[[Any], None], settings: dict[str, Any], expected: str
) -> None:
    """One that was isolated says so, and one that only measures does not claim to refuse."""
    circuit = {**FAST["circuit_breaker_config"], **settings}  # type: ignore[dict-item]  # the second entry
    harness = Harness(front_end, 500, 500, enable_retry_policy=False, circuit_breaker_config=circuit)
    harness.request()
    harness.request()
    act(harness.client.get_circuit_breaker(ORIGIN))
    text = harness.client.get_health_summary().explain()
    assert expected in text
    assert "taken to be down" not in text


def test_errors_of_the_caller_need_no_attention(front_end: FrontEnd) -> None:
    """A 404 is counted as an error, and the service is not to blame."""
    harness = Harness(front_end, 404)
    harness.request()
    assert lines(harness)[:5] == [
        "1 call, 0.0% succeeded; no origin needs attention",
        f"{ORIGIN}: 1 call, 0.0% succeeded",
        "  1.00 requests a call",
        f"  {AT_ONCE}",
        "  the errors are 404 (1)",
    ]


def test_the_text_is_bounded(front_end: FrontEnd) -> None:
    """Of many origins the ten that need attention most are shown, and of many keys three."""
    harness = Harness(front_end, *[200] * 30, *[500] * 12, **FAST)
    for number in range(30):
        harness.request(url=f"https://host-{number}.example.com/")
    for number in range(6):
        for _ in range(2):
            harness.request(url="https://failing.example.com/", key=f"tenant-{number}")
    text = lines(harness)
    assert text[0] == "42 calls, 71.4% succeeded; 1 of 31 origins needs attention"
    assert text[1] == "https://failing.example.com: 12 calls, 0.0% succeeded"
    assert sum("(tenant-" in line for line in text) == 3
    assert "  ! and 3 more keys with problems" in text
    assert text[-1] == "and 21 more origins"
    assert len(text) < 70


def test_it_is_a_dictionary_of_plain_values(front_end: FrontEnd) -> None:
    """JSON and pickle keep it, and the text of what comes back is the same."""
    harness = Harness(front_end, 503, 200)
    harness.request()
    summary = harness.client.get_health_summary()
    assert isinstance(summary, dict)
    copies: list[HealthSummary] = [
        HealthSummary(json.loads(json.dumps(summary))),
        pickle.loads(pickle.dumps(summary)),
    ]
    for kept in copies:
        assert kept == summary
        assert kept.explain() == summary.explain()
    assert summary["origins"][ORIGIN]["circuit"]["state"] == "closed"


def test_refusals_are_those_of_circuits_and_gates(front_end: FrontEnd) -> None:
    """A call that the throttle gate refused was refused as well."""
    harness = Harness(front_end, (429, {"Retry-After": "60"}))
    harness.request()
    harness.error(ThrottledError)
    assert harness.client.get_health_summary()["refusals"] == 1

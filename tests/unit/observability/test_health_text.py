"""What a health summary says of states and counts, made by hand: it reads its dictionary alone."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client.observability import HealthSummary
from http_service_client.observability.explanation import _problems, is_calm
from kit.rows import each_row

A, B, C, D = (f"https://{name}.example.com" for name in "abcd")


def circuit(state: str = "closed", **changes: Any) -> dict[str, Any]:
    calm = {"is_isolated": False, "is_metrics_only": False, "failures_in_row": 0, "refused": 0}
    return {"state": state, **calm, "retry_after": None if state != "open" else 5.0, **changes}


def state(of_circuit: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    calm = {"retries_left": None, "pause_left": 0.0, "connections_in_use": 0, "connections_awaited": 0}
    return {"circuit": of_circuit, **calm, "proxy_attempts": 1, **changes}


def window(**origins: Any) -> dict[str, Any]:
    """The last minute, with these origins by their letters."""
    calls = sum(each["calls"] for each in origins.values())
    errors = sum(sum(each["errors"].values()) for each in origins.values())
    named = {f"https://{name}.example.com": each for name, each in origins.items()}
    return {"seconds": 60.0, "total_requests": calls, "total_errors": errors, "origins": named, "slow": []}


def recent(calls: int = 1, seconds: float = 0.1, **errors: int) -> dict[str, Any]:
    """An origin in the window, whose calls all took as long."""
    times = dict.fromkeys(("p50", "p95", "p99", "slowest"), seconds)
    return {"calls": calls, "amplification": 1.0, "retries": 0, **times, "slowest_call": "", "errors": errors}


def texts(**summary: Any) -> list[str]:
    return HealthSummary(summary).explain().splitlines()


def load(calls: int, amplification: float = 1.0, retries: int = 0) -> dict[str, float]:
    return {"calls": calls, "amplification": amplification, "retries": retries}


def test_those_that_need_attention_come_first_and_then_those_with_most_calls() -> None:
    """Of as many calls, by their names."""
    found = texts(
        total_requests=11,
        amplification={A: load(1), C: load(5), B: load(5), D: load(0)},
        origins={D: state(circuit("open"))},
    )
    assert [line.partition(": ")[0] for line in found if line.startswith("https")] == [D, B, C, A]


def test_counts_that_are_missing_are_none() -> None:
    """Such as in a summary of which a part was kept."""
    assert texts(amplification={A: load(2)})[0] == "no calls yet; no origin needs attention"
    assert texts(total_requests=4, amplification={A: load(4)})[0] == (
        "4 calls, 100.0% succeeded; no origin needs attention"
    )


@each_row(
    ("of_all", "last", "head"),
    [
        ({}, None, "0 calls"),
        ({A: load(2)}, None, "2 calls, 100.0% succeeded"),
        ({}, window(), "0 calls"),
        ({}, window(a=recent(3)), "in the last 60 s 3 calls, 100.0% succeeded"),
        ({A: load(2)}, window(), "2 calls, 100.0% succeeded; in the last 60 s none"),
        ({A: load(3)}, window(a=recent(3)), "3 calls, 100.0% succeeded"),
        (
            {A: load(4)},
            window(a=recent(3)),
            "4 calls, 100.0% succeeded; in the last 60 s 3 calls, 100.0% succeeded",
        ),
    ],
)
def test_an_origin_begins_with_its_calls(of_all: Any, last: Any, head: str) -> None:
    """Since the start, and of the window, unless they are the same. The first ones may be beyond what the metrics hold."""
    found = texts(total_requests=9, amplification=of_all, origins={A: state(circuit())}, window=last)
    assert found[1] == f"{A}: {head}"


def test_the_three_errors_of_which_there_are_most_are_listed() -> None:
    """And whether there are more."""
    errors = {"400": 1, "404": 3, "409": 2}
    listed = [
        texts(total_requests=9, amplification={A: load(9)}, errors={A: each})[-1]
        for each in (errors, {"418": 1, **errors})
    ]
    assert listed == [
        "  the errors are 404 (3), 409 (2), 400 (1)",
        "  the errors are 404 (3), 409 (2), 418 (1) …",
    ]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.0123456, "12.3 ms"), (0.9994, "999 ms"), (0.9995, "1 s"), (1.5, "1.5 s"), (12345.0, "1.23e+04 s")],
)
def test_a_duration_has_three_digits(seconds: float, shown: str) -> None:
    """In milliseconds below a second."""
    found = texts(total_requests=1, amplification={A: load(1)}, window=window(a=recent(seconds=seconds)))
    assert f"the slowest took {shown}" in found[-1]


@each_row(
    ("calls", "amplification", "retries", "is_told"),
    [
        (10, 1.3, 2, True),
        (10, 1.2, 2, False),
        (10, 1.3, 1, False),
        (10, 3.0, 1, False),
        (5, 1.3, 1, True),
        (0, 0.0, 0, False),
    ],
)
def test_retries_are_told_of_where_they_add_a_fifth_to_the_load(
    calls: int, amplification: float, retries: int, is_told: bool
) -> None:
    """And the load is more than that. Redirects, say, are none."""
    found = HealthSummary(amplification={A: load(calls, amplification, retries)}).problems()
    assert any("retries add much" in each for each in found.get(A, [])) == is_told


def test_a_key_with_problems_has_its_state() -> None:
    """Beneath its origin, whose own has a line as well."""
    key = f"{A} (alice)"
    found = texts(origins={A: state(circuit(), retries_left=3), key: state(circuit("open", refused=2))})
    assert found[1:] == [
        f"{A}: 0 calls",
        "  circuit closed; 3 retries left in the budget",
        f"  {key}: circuit open, next trial in 5.000 s, 2 attempts refused",
        "  ! the service is taken to be down, and calls are refused until trials succeed; see what failed before",
    ]


@pytest.mark.parametrize("last", [None, window()])
def test_problems_are_found_wherever_they_are_told_of(last: Any) -> None:
    """In the calls since the start, or of the window if there is one, and in the states of origins without calls."""
    down = state(circuit("open"))
    summary = HealthSummary(
        amplification={A: load(1), B: load(1)},
        errors={A: {"500": 1}},
        origins={B: state(circuit()), C: state(circuit()), f"{D} (alice)": down},
        window=last,
    )
    assert list(summary.problems()) == ([A] if last is None else []) + [D]


def test_problems_of_the_window_are_those_of_origins_beyond_the_bound_of_the_metrics_too() -> None:
    """Their calls since the start are counted together, as those of other origins."""
    summary = HealthSummary(amplification={A: load(1)}, window=window(a=recent(), b=recent(**{"500": 1})))
    assert list(summary.problems()) == [B]


CLOSED, OPEN = circuit(), circuit("open")


@each_row(
    ("circuits", "is_unavailable"),
    [
        ([OPEN], True),
        ([circuit("open", is_isolated=True, retry_after=None)], True),
        ([circuit("open", retry_after=0.0)], False),
        ([circuit("half_open")], False),
        ([CLOSED], False),
        ([None], False),
        ([circuit("open", is_metrics_only=True)], False),
        ([OPEN, CLOSED], False),
        ([CLOSED, OPEN], False),
        ([OPEN, OPEN], True),
    ],
)
def test_an_origin_is_unavailable_when_every_circuit_of_it_refuses(
    circuits: list[Any], is_unavailable: bool
) -> None:
    """Each key has its own."""
    summary = HealthSummary(origins={f"{A} ({key})": state(each) for key, each in enumerate(circuits)})
    assert summary.unavailable() == ([A] if is_unavailable else [])


def test_the_states_of_keys_become_one() -> None:
    """The worst of each, and the sum of what is counted."""
    summary = HealthSummary(
        origins={
            A: state(
                circuit("half_open", refused=1, failures_in_row=2),
                retries_left=7,
                pause_left=1.0,
                connections_in_use=1,
                connections_awaited=2,
            ),
            f"{A} (alice)": state(
                circuit("open", refused=4, failures_in_row=9),
                retries_left=3,
                pause_left=5.0,
                connections_in_use=10,
                connections_awaited=20,
                proxy_attempts=3,
            ),
            f"{A} (bob)": state(circuit("open", is_isolated=True, failures_in_row=3, retry_after=None)),
            f"{A} (carol)": state(circuit()),
            f"{A} (dave)": state(),
        }
    )
    assert summary.without_keys()["origins"] == {
        A: state(
            circuit("open", is_isolated=True, retry_after=None, refused=5, failures_in_row=9),
            retries_left=3,
            pause_left=5.0,
            connections_in_use=11,
            connections_awaited=22,
            proxy_attempts=3,
            keys=4,
            keys_in_trouble=2,
        )
    }


@pytest.mark.parametrize("of_circuit", [None, circuit("half_open", refused=2)])
def test_a_state_without_keys_stays_as_it_is(of_circuit: Any) -> None:
    """Its origin has no key that could name somebody. One of an earlier release knows no attempts of proxies."""
    alone = state(of_circuit, retries_left=2, pause_left=1.0, connections_in_use=3)
    earlier = {name: value for name, value in alone.items() if name != "proxy_attempts"}
    summary = HealthSummary(origins={A: alone, B: earlier})
    assert summary.without_keys()["origins"] == {A: alone, B: alone}


@pytest.mark.parametrize("attempts", [1, 2])
def test_attempts_of_a_proxy_are_a_problem(attempts: int) -> None:
    """More than one; an origin without problems is calm."""
    found = state(circuit(), proxy_attempts=attempts)
    assert (len(list(_problems(found))), is_calm(found)) == (attempts - 1, attempts == 1)

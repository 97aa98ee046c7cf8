"""`window_of`: what a health summary says of the recent calls, by numbers that are made up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from http_service_client.observability.recent import PERCENTILE_ERROR, Key, Recent, Tally
from http_service_client.observability.window import window_of
from kit.rows import each_row

A, B, C = "https://a.test", "https://b.test", "https://c.test"
HIGHEST = 200  # a bucket of nearly an hour: no percentile is above the slowest call


def tally(calls: int, seconds: float = 0.0, **counts: Any) -> Tally:
    """Calls that took so long, and what else was counted of them."""
    made = Tally()
    made.calls = calls
    if seconds:
        made.buckets[HIGHEST], made.slowest = calls, seconds
    for name, value in counts.items():
        setattr(made, name, value)
    return made


def window(now: Mapping[Key, Tally], usual: Mapping[Key, Tally] | None = None, seconds: float = 60.0) -> Any:
    return window_of(Recent(seconds, now, usual or {}))


def test_all_that_was_counted_is_said_of_each_origin_and_of_all() -> None:
    charges = tally(
        *(8, 0.1234567),
        errors={"500": 2},
        refused=1,
        attempts=9,
        retries=3,
        redirects=4,
        auth=5,
        codings=6,
        hedges=7,
        trials=8,
        slowest_call="c-1",
    )
    found = window({(A, "charge"): charges, B: tally(2, errors={"TlsError": 1})}, seconds=12.34567)
    assert found == {
        "seconds": 12.346,
        "total_requests": 10,
        "total_errors": 3,
        "error_rate": 0.3,
        "refused": 1,
        "amplification": 3.1,
        "percentile_error": PERCENTILE_ERROR,
        "slow": [],
        "origins": {
            A: {
                "calls": 8,
                "errors": {"500": 2},
                "refused": 1,
                "exchanges": 31,
                "retries": 3,
                "redirects": 4,
                "auth": 5,
                "codings": 6,
                "hedges": 7,
                "trials": 8,
                "amplification": 31 / 8,
                "p50": 0.123457,
                "p95": 0.123457,
                "p99": 0.123457,
                "slowest": 0.123457,
                "slowest_call": "c-1",
            },
            B: {
                "calls": 2,
                "errors": {"TlsError": 1},
                "refused": 0,
                "exchanges": 0,
                "retries": 0,
                "redirects": 0,
                "auth": 0,
                "codings": 0,
                "hedges": 0,
                "trials": 0,
                "amplification": 0.0,
                "p50": None,
                "p95": None,
                "p99": None,
                "slowest": None,
                "slowest_call": "",
            },
        },
    }


def test_without_calls_all_rates_are_0() -> None:
    found = window({A: tally(0)})
    assert (found["error_rate"], found["amplification"], found["origins"][A]["amplification"]) == (0, 0, 0)


def test_the_origins_with_most_calls_stand_first_and_those_beyond_the_limit_last() -> None:
    """The latter are one origin without a name."""
    assert [*window({B: tally(1), "": tally(9), A: tally(3), C: tally(2)})["origins"]] == [A, C, B, ""]


def times(then: float, now: float) -> list[float]:
    """How many times as long as usual calls take, if that is remarkable."""
    return [slow["times"] for slow in window({A: tally(10, now)}, {A: tally(20, then)})["slow"]]


@each_row(
    ("then", "now", "found"),
    [
        (0.1, 0.2, [2.0]),
        (0.1, 0.199, []),
        (0.01, 0.02, [2.0]),
        (0.01, 0.0199, []),
        (0.001, 0.0109, []),
        (0.3, 1.0, [3.3]),
        (0.00005, 0.02, [200.0]),
    ],
)
def test_twice_as_long_and_10_ms_more_is_slow(then: float, now: float, found: list[float]) -> None:
    """Of what takes less than 0.1 ms, the times are those of 0.1 ms."""
    assert times(then, now) == found


def test_kinds_of_calls_are_compared_with_themselves_those_that_are_slowed_most_first() -> None:
    """A kind that is new, or was rare, is passed over."""
    now: dict[Key, Tally] = {
        C: tally(10, 9.0),
        B: tally(10, 9.0),
        (A, "charge"): tally(10, 0.2),
        A: tally(10, 0.5),
        (A, "refund"): tally(10, 0.1),
    }
    usual: dict[Key, Tally] = {key: tally(20, 0.1) for key in now if key != C} | {B: tally(19, 0.1)}
    found = window(now, usual)["slow"]
    assert [(slow["origin"], slow["name"], slow["times"]) for slow in found] == [
        (A, None, 5.0),
        (A, "charge", 2.0),
    ]
    assert found[0] == {
        "origin": A,
        "name": None,
        "calls": 10,
        "times": 5.0,
        "p50": 0.5,
        "p95": 0.5,
        "usual_p50": 0.1,
        "usual_p95": 0.1,
    }


def test_the_95th_percentile_counts_from_40_calls() -> None:
    """The median does from ten."""
    tail = {A: tally(40, 9.0, buckets={1: 37, HIGHEST: 3})}
    (slow,) = window(tail, {A: tally(20, 1.0)})["slow"]
    assert (slow["times"], slow["p50"] < 1.0, slow["p95"]) == (9.0, True, 9.0)
    fewer = {A: tally(39, 9.0, buckets={1: 36, HIGHEST: 3})}
    assert window(fewer, {A: tally(20, 1.0)})["slow"] == []


def test_the_slowest_percentile_is_within_the_tail() -> None:
    """Not the slowest call."""
    (slow,) = window(
        {A: tally(40, 9.0, buckets={100: 39, HIGHEST: 1})}, {A: tally(40, 0.01, buckets={1: 39, HIGHEST: 1})}
    )["slow"]
    assert slow["p50"] == slow["p95"] < 9.0
    assert slow["usual_p50"] == slow["usual_p95"] < 0.01


def test_ten_kinds_of_calls_at_most_are_named() -> None:
    keys: list[Key] = [(A, str(number)) for number in range(11)]
    found = window({key: tally(10, 1.0) for key in keys}, {key: tally(20, 0.1) for key in keys})
    assert len(found["slow"]) == 10

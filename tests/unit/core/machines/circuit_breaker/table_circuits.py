"""What a circuit does, as rows: given these settings, when these calls are made, then it is in that state.

In `when`, separated by spaces:

    S, F       a call that succeeds, or fails, at once; it must be let through
    S3, F0.5   the same, after so many seconds
    T          a call that the service throttles (429): no evidence
    x          a call that the circuit must refuse
    +10        time that passes, in seconds
    =open      the state at this point, such as =closed, =half_open
"""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["ROWS", "Row"]


class Row(NamedTuple):
    """name: the law.   given: settings of the circuit."""

    name: str
    given: dict[str, Any]
    when: str


SEED = {"failure_threshold": 5, "recovery_timeout": 60, "success_threshold": 3}
DEFAULT: dict[str, Any] = {}
RATE = {"failure_rate": 0.5, "window_calls": 10, "minimum_calls": 10, "recovery_timeout": 5.0}
TIMED = {"failure_rate": 0.5, "window": 10.0, "minimum_calls": 4, "recovery_timeout": 60.0}
SLOW = {
    "slow_call_rate": 0.5,
    "slow_call_duration": 2.0,
    "window_calls": 4,
    "minimum_calls": 4,
    "recovery_timeout": 9.0,
}
ONE = {"failure_threshold": 1, "recovery_timeout": 4.0}
THREE_OF_FOUR = ONE | {"success_threshold": 3, "trial_count": 4}
GROWING = ONE | {"recovery_multiplier": 2.0, "max_recovery_timeout": 20.0}
RAMP = ONE | {"ramp": [0.25, 0.5], "ramp_step": 10.0}

ROWS = [
    # failures in a row
    Row("five failures open the circuit of the first document", SEED, "F F F F =closed F =open x"),
    Row("a success among them starts the count again", SEED, "F F F F S F F F F =closed"),
    Row(
        "sixty seconds later there are trials, and three close it",
        SEED,
        "F F F F F +59.9 x +0.1 S S =half_open S =closed",
    ),
    Row("a failed trial opens it for as long again", SEED, "F F F F F +60 S F =open +59 x +1 S S S =closed"),
    Row("a threshold alone opens at once", {"failure_threshold": 2}, "F F =open"),
    Row(
        "with a duration, failures must go on for so long",
        {"failure_threshold": 2, "failure_duration": 5.0},
        "F F F F +4.9 F =closed +0.1 F =open",
    ),
    Row(
        "the duration alone does not open it",
        {"failure_threshold": 4, "failure_duration": 5.0},
        "F +9 F +9 F =closed F =open",
    ),
    Row(
        "the duration counts from the first failure after a success",
        {"failure_threshold": 2, "failure_duration": 5.0},
        "F +9 S F +4 F =closed +1 F =open",
    ),
    # the defaults
    Row("by default thirty failures at once are not enough", DEFAULT, "F " * 40 + "=closed"),
    Row("by default ten seconds of failures are not enough", DEFAULT, "F +1 " * 29 + "=closed F =open"),
    Row("by default both are", DEFAULT, "F " * 30 + "+10 F =open x"),
    Row(
        "by default one success in ten seconds keeps it closed",
        DEFAULT,
        ("F " * 20 + "+9 S ") * 3 + "=closed",
    ),
    Row(
        "by default the first trial is due after a second", DEFAULT, "F " * 30 + "+10 F +0.9 x +0.1 S =closed"
    ),
    Row(
        "by default a trial that fails makes the next one due a twentieth later",
        DEFAULT,
        "F " * 30 + "+10 F +1 F =open +1 x +0.06 S =closed",
    ),
    Row("throttling is no evidence", SEED, "T T T T T T T =closed F F F F T F =open"),
    # rate over a count window
    Row("half of ten calls", RATE, "S S S S S F F F F F =open x"),
    Row("fewer than the minimum are not judged", RATE, "F F F F F F F F F =closed F =open"),
    Row(
        "a success is no reason to open, though it fills the minimum",
        RATE,
        "F F F F F S S S S S =closed F =open",
    ),
    Row("failures slide out of the window", RATE, "F F F F S S S S S S S S S S F F F F =closed F =open"),
    Row("the rate is exact at the bound", RATE, "S S S S S S F F F F =closed F =open"),
    Row("alternating failures do not come in a row, but open it", RATE, "S F S F S F S F S F =open"),
    Row(
        "after a closing the window is empty",
        RATE,
        "S S S S S F F F F F +5 S =closed F F F F F F F F F =closed F =open",
    ),
    Row(
        "a rate replaces the test of failures in a row",
        {"failure_rate": 1.0, "window_calls": 60, "minimum_calls": 60},
        "F " * 31 + "+10 F =closed",
    ),
    # rate over a time window
    Row("failures split over adjacent buckets count together", TIMED, "S F +0.9 F +0.2 S F =open"),
    Row(
        "a failure at the end of the window is forgotten",
        TIMED,
        "F F F +10 S F S =closed S F =closed F =open",
    ),
    Row("a failure just inside it is not", TIMED, "F F F +8.9 S F =open"),
    Row("rate exceeded under minimum throughput", TIMED, "F F F =closed +10 F F F =closed"),
    Row("a quiet time empties the window", TIMED, "F F F +100 F =closed"),
    Row("threshold and throughput met but the last call succeeds", TIMED, "F F F S =closed F =open"),
    # slow calls
    Row("half of the calls are slow", SLOW, "S S S2 =closed S2 =open"),
    Row("what is quicker than the bound is not slow", SLOW, "S1.9 S1.9 S1.9 S1.9 =closed"),
    Row("quick failures are not slow", SLOW, "S S F F =closed"),
    Row("slow failures count once", SLOW, "F2 S S =closed S2 =open"),
    Row("slow calls under the minimum are not judged", SLOW, "S2 S2 S2 =closed S2 =open"),
    Row("quick calls push slow ones out", SLOW, "S2 S S S S S2 =closed S2 =open"),
    # any and all
    Row(
        "any: the rate holds first",
        RATE | {"failure_threshold": 30, "opens_when": "any"},
        "F " * 10 + "=open",
    ),
    Row("any: the row holds first", RATE | {"failure_threshold": 3, "opens_when": "any"}, "F F F =open"),
    Row(
        "all: both must hold",
        RATE | {"failure_threshold": 3, "opens_when": "all"},
        "F F F S F F S F F F =open",
    ),
    Row(
        "all: one is not enough",
        RATE | {"failure_threshold": 3, "opens_when": "all"},
        "F F S F F S F F S F F S F F =closed F =open",
    ),
    # recovery
    Row(
        "S F S F of four trials, three wanted: open at the second failure",
        THREE_OF_FOUR,
        "F +4 S F S =half_open F =open",
    ),
    Row("S F S S of four trials, three wanted: closed", THREE_OF_FOUR, "F +4 S F S =half_open S =closed"),
    Row("S S S of four: the fourth is not needed", THREE_OF_FOUR, "F +4 S S S =closed"),
    Row("a throttled trial is none", ONE, "F +4 T =half_open S =closed"),
    Row("growth: nothing at the first opening", GROWING, "F +3.9 x +0.1 S =closed"),
    Row("growth: twice as long after one failed trial", GROWING, "F +4 F +7.9 x +0.1 S =closed"),
    Row("growth: four times as long after two", GROWING, "F +4 F +8 F +15.9 x +0.1 S =closed"),
    Row("growth: at most the limit after three", GROWING, "F +4 F +8 F +16 F +19.9 x +0.1 S =closed"),
    Row(
        "growth: starts over when the circuit closes", GROWING, "F +4 F +8 S =closed F +3.9 x +0.1 S =closed"
    ),
    Row("a long growth does not overflow", GROWING, "F " + "+20 F " * 2000 + "+19 x +1 S =closed"),
    # the ramp
    Row(
        "the ramp passes a quarter, then a half, then all",
        RAMP,
        "F +4 S =half_open x x x S x x x S +10 x S x S +10 S =closed S S",
    ),
    Row("a failure in the ramp opens it again", RAMP, "F +4 S x x x F =open +3.9 x +0.1 S =half_open"),
    Row(
        "what the trials tolerate, each step of the ramp does",
        RAMP | {"trial_count": 2},
        "F +4 S x x x F =half_open x x x F =open",
    ),
    Row(
        "a new step forgets the failures of the last one",
        RAMP | {"trial_count": 2},
        "F +4 S x x x F +10 x F =half_open +10 S =closed",
    ),
    Row("a ramp that nobody walks is over in its time", RAMP, "F +4 S +20 S =closed"),
    # the cap
    Row(
        "a tenth of the calls passes while the service answers some",
        {"failure_threshold": 1, "recovery_timeout": 60.0, "max_rejected": 0.5},
        "S F =open x x F =open x F",
    ),
    Row(
        "a service that answers nothing gets no more",
        {"failure_threshold": 1, "recovery_timeout": 60.0, "max_rejected": 0.5},
        "F =open " + "x " * 20,
    ),
    # nothing is refused
    Row(
        "metrics only: the states change, and no call is refused",
        SEED | {"metrics_only": True},
        "F F F F F =open S S S F =open +60 S S S =closed",
    ),
]

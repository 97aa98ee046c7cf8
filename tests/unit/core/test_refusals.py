"""The smallest change after which a decision says yes."""

from __future__ import annotations

import importlib
import itertools
import pickle
import pkgutil
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from http_service_client import core
from http_service_client.core.machines.circuit_breaker.breaker import Permit
from http_service_client.core.machines.circuit_breaker.states import Refusal
from http_service_client.core.machines.hedging import HedgeRefusal
from http_service_client.core.machines.limits.bulkhead_settings import BulkheadRefusal
from http_service_client.core.machines.limits.load_shedding import SheddingRefusal
from http_service_client.core.machines.limits.rate_limit_settings import LateTurn
from http_service_client.core.machines.limits.throttle_gate import Pause
from http_service_client.core.machines.retry.backoff import ExponentialBackoff, Waits
from http_service_client.core.machines.retry.decision import NoRetry, Situation, next_wait
from http_service_client.core.machines.retry.other_backoffs import ConstantBackoff
from http_service_client.core.machines.retry.settings import RetrySettings
from http_service_client.core.priority import Priority
from http_service_client.core.refusals import (
    NUMBERS,
    Change,
    CircuitRefusal,
    DeadlineRefusal,
    Decision,
    NoConnection,
    more,
    rounded_up,
    smallest_changes,
    would_have_been,
)
from http_service_client.events import StopReason
from kit.circuits import opened
from kit.rows import each_row

SECONDS = st.floats(0, 100)
SOME_SECONDS = st.none() | SECONDS
SITUATIONS = st.builds(
    Situation,
    attempt=st.integers(1, 6),
    is_nested=st.booleans(),
    retry_after=SOME_SECONDS,
    remaining=st.none() | st.floats(-5, 100),
    patience=SOME_SECONDS,
    blocked_for=SECONDS,
    is_cut=st.booleans(),
    is_safe=st.booleans(),
    is_replayable=st.booleans(),
    needed=SECONDS,
)
STOPS = st.builds(
    lambda situation, rest: NoRetry(*situation, **rest),
    SITUATIONS,
    st.fixed_dictionaries(
        {
            "max_attempts": st.integers(1, 6),
            "nested": st.booleans(),
            "max_delay": SOME_SECONDS,
            "wait": SOME_SECONDS,
            "shortfall": st.sampled_from([0.0, 0.3, 1.0]),
            "is_worth_it": st.booleans(),
            "is_forbidden": st.booleans(),
            "overrun": SOME_SECONDS,
        }
    ),
)
HEDGES = st.builds(
    HedgeRefusal,
    st.sampled_from(["", "the request is not safe to repeat"]),
    st.sampled_from([0.0, 0.4]),
    st.sampled_from([0.0, 1.0]),
    st.booleans(),
)
SLOTS = st.builds(
    NoConnection, st.just("max_connections"), st.integers(1, 50), st.integers(1, 50), st.integers(0, 50)
)
TURNS = st.builds(LateTurn, SECONDS, SECONDS, SOME_SECONDS, SOME_SECONDS)
PAUSES = st.builds(Pause, SECONDS, SECONDS, SOME_SECONDS, SOME_SECONDS)
CIRCUITS = st.builds(
    CircuitRefusal,
    st.sampled_from(["open", "isolated", "trial in progress", "recovering"]),
    st.floats(0.001, 100),
)
DEADLINES = st.builds(DeadlineRefusal, st.floats(-5, 100), SECONDS)
LEVELS = st.sampled_from(list(map(int, Priority)))
BULKHEADS = st.builds(
    BulkheadRefusal,
    st.sampled_from(["full", "displaced", "max_wait"]),
    st.integers(0, 9),
    st.integers(1, 9),
    st.integers(0, 9),
    st.integers(0, 9),
    LEVELS,
    st.none() | st.integers(0, 3),
    st.just("bulkhead"),
)
SHEDDINGS = st.builds(
    SheddingRefusal,
    st.floats(0, 0.999),
    st.integers(50, 100),
    st.integers(1, 50),
    LEVELS,
    st.floats(1.1, 100),
    st.floats(0, 0.99),
)


def changed(decision: Decision, *changes: tuple[Change, float]) -> Decision:
    for change, value in changes:
        decision = change.apply(decision, value)
    return decision


def value_before(change: Change, value: float) -> float | None:
    """The next smaller value of the change's menu, or None."""
    least = change.values[0]
    if value == least:
        return None
    low, high = 0, len(change.values) - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if change.values[middle] < value else (low, middle)
    return change.values[low]


@settings(max_examples=150, deadline=None)
@given(STOPS | PAUSES | CIRCUITS | DEADLINES | HEDGES | SLOTS | TURNS | BULKHEADS | SHEDDINGS)
def test_the_named_change_turns_the_no_into_a_yes(decision: Decision) -> None:
    """And nothing smaller does: neither fewer changes of the menu, however large, nor a smaller number."""
    found = smallest_changes(decision)
    if decision.objection() is None:
        assert found == [[]]
        return
    assert found
    size = len(found[0])
    for chosen in found:
        assert len(chosen) == size
        assert changed(decision, *chosen).objection() is None
        for number, (change, value) in enumerate(chosen):
            smaller = value_before(change, value)
            if smaller is not None:
                others = [*chosen[:number], (change, smaller), *chosen[number + 1 :]]
                assert changed(decision, *others).objection() is not None
    menu = [(change, change.values[-1]) for change in decision.changes()]
    for fewer in itertools.combinations(menu, size - 1):
        assert changed(decision, *fewer).objection() is not None
    assert would_have_been(decision).count(", or with ") == min(3, len(found)) - 1


FULL = BulkheadRefusal("full", 3, 3, 5, 5, Priority.NORMAL)
SHED = SheddingRefusal(0.3, 100, 30, Priority.NORMAL, 2.0, 0.9)


@each_row(
    ("decision", "objection", "clause"),
    [
        (HedgeRefusal(), None, ""),
        (HedgeRefusal(share=0.4), "too many hedges",
         "hedged with 0.4 more in the share of hedges, which max_share adds for each call"),
        (HedgeRefusal(budget=0.5), "the retry budget is spent", "hedged with 0.5 more in the retry budget"),
        (HedgeRefusal(has_thread=False), "no thread is free", "hedged with a free thread"),
        (HedgeRefusal("it is not safe"), "it is not safe", "hedged with idempotent=True (or an Idempotency-Key)"),
        (HedgeRefusal("too little is known"), "too little is known", "nothing: hedged"),
        (DeadlineRefusal(3.5, 3.5), None, ""),
        (DeadlineRefusal(1.0, 3.5), "too little time", "sent with 2.5 s more until the deadline"),
        (NoConnection("max_connections", 10, 7, 2), None, ""),
        (NoConnection("max_connections", 10, 8, 2), "no connection is free", "sent at once with max_connections=11"),
        (NoConnection("max_connections", 10, 10, 2), "no connection is free", "sent at once with max_connections=13"),
        (NoConnection("max_connections", 999_998, 999_998, 0), "no connection is free",
         "sent at once with max_connections=999999"),
        (NoConnection("max_connections", 999_999, 999_999, 0), "no connection is free", "nothing: sent at once"),
        (LateTurn(5.0, 1.0, 6.0, None), None, ""),
        (LateTurn(5.5, 1.0, 6.0, None), "its turn comes too late",
         "sent with max_wait=6.5 of the rate limit, or with a call 0.5 s later"),
        (LateTurn(5.5, 1.0, None, 5.5), "its turn comes too late",
         "sent with 0.001 s more until the deadline, or with a call 0.001 s later"),
        (Pause(5.0, 1.0, 12.0, 5.1), None, ""),
        (Pause(0.0, 1.0, 0.1, 0.1), None, ""),
        (Pause(5.5, 1.0, 12.0, None), "the pause is too long",
         "sent with timeout=13, half of which it may wait for the end of the pause, "
         "or with a call 0.5 s later, after the pause"),
        (Pause(5.0, 1.0, None, 5.0), "the pause is too long",
         "sent with 0.001 s more until the deadline, or with a call 0.001 s later, after the pause"),
        (FULL, "full", "sent with room for 6 in the queue of the bulkhead (max_waiting), "
         "or with max_concurrent=4 of the bulkhead"),
        (FULL._replace(waiting=0, max_waiting=0), "full", "sent with room for 1 in the queue of the bulkhead (max_waiting), "
         "or with max_concurrent=4 of the bulkhead"),
        (FULL._replace(in_use=2), None, ""),
        (FULL._replace(waiting=4), None, ""),
        (FULL._replace(displaceable=Priority.LOW), None, ""),
        (FULL._replace(displaceable=Priority.NORMAL), "full", 'sent with priority("high"), '
         "or with room for 6 in the queue of the bulkhead (max_waiting), or with max_concurrent=4 of the bulkhead"),
        (FULL._replace(reason="displaced"), "displaced", "sent with max_concurrent=4 of the bulkhead"),
        (FULL._replace(reason="max_wait", waiting=0), "max_wait", "sent with max_concurrent=4 of the bulkhead"),
        (FULL._replace(limit="adaptive limit"), "full",
         "sent with room for 6 in the queue of the adaptive limit (max_waiting)"),
        (FULL._replace(limit="adaptive limit", reason="max_wait"), "max_wait", "nothing: sent"),
        (SHED, "shed", 'sent with priority("high"), or with priority("critical"), '
         "or with multiplier=2.4 of the load shedding"),
        (SHED._replace(level=Priority.LOW), "shed", 'sent with priority("high"), or with priority("critical"), '
         "or with multiplier=3.7 of the load shedding"),
        (SHED._replace(level=Priority.BACKGROUND, drawn=0.35, accepted=45), "shed",
         'sent with priority("low"), or with priority("normal"), or with priority("high")'),  # three ways of five
        (SHED._replace(level=Priority.CRITICAL), None, ""),
        (SHED._replace(drawn=0.05), "shed",
         'sent with priority("critical"), or with multiplier=3.2 of the load shedding'),
        (SHED._replace(drawn=0.05, calls=1000, accepted=10), "shed", "sent with multiplier=95 of the load shedding"),
        (SHED._replace(drawn=0.05, accepted=85, multiplier=1.1), "shed",
         'sent with priority("high"), or with priority("critical"), or with multiplier=1.2 of the load shedding'),
        (SHED._replace(drawn=0.0, calls=1000, accepted=10), "shed", "sent with multiplier=100 of the load shedding"),
        (SHED._replace(drawn=0.0, calls=3972, accepted=10, level=Priority.CRITICAL), "shed", "nothing: sent"),
        (SHED._replace(drawn=40 / 101), None, ""),
        (SHED._replace(accepted=0), "shed", "nothing: sent"),
    ],
    ids=repr,
)  # fmt: skip
def test_what_was_decided_and_what_would_have_been(
    decision: Decision, objection: str | None, clause: str
) -> None:
    """The rule that said no, and the smallest change, in words. An equal number decides for the call."""
    assert decision.objection() == objection
    if clause.startswith("nothing: "):
        clause = f"nothing that can be set would have had it {clause.removeprefix('nothing: ')}"
    elif clause:
        clause = f"would have been {clause}"
    assert would_have_been(decision) == clause


class Parcel(NamedTuple):
    """What a shelf refused: it must be as large as the parcel in each direction."""

    width: float
    height: float
    depth: float
    can_grow: bool = True

    def objection(self) -> str | None:
        return None if min(self.width, self.height - 1, self.depth - 2) >= 3 else "it does not fit"

    def changes(self) -> tuple[Change, ...]:
        names = ("width", "height", "depth") if self.can_grow else ("width", "height")
        return tuple(more(f"{{}} cm of {name}", name) for name in names)

    def consequence(self) -> str:
        return "put in"


@pytest.mark.parametrize(
    ("parcel", "ways"),
    [
        (Parcel(1, 9, 9), "2 cm of width"),
        (Parcel(1, 3, 9), "2 cm of width and 1 cm of height"),
        (Parcel(1, 1, 1), "2 cm of width, 3 cm of height and 4 cm of depth"),
    ],
)
def test_all_changes_that_are_needed_are_named_each_as_small_as_it_may_be(parcel: Parcel, ways: str) -> None:
    """As a list in a sentence."""
    assert would_have_been(parcel) == f"would have been put in with {ways}"


def test_where_nothing_would_do_nothing_is_named() -> None:
    """Not even all changes together."""
    parcel = Parcel(1, 1, 1, can_grow=False)
    assert smallest_changes(parcel) == []
    assert would_have_been(parcel) == "nothing that can be set would have had it put in"


@settings(max_examples=100, deadline=None)
@given(
    SITUATIONS,
    st.integers(1, 6),
    st.booleans(),
    st.floats(0, 100),
    st.sampled_from([ConstantBackoff(2.0), ExponentialBackoff(max_delay=20.0)]),
)
def test_a_recorded_decision_is_that_of_the_core(
    now: Situation, most: int, nested: bool, wait: float, strategy: ConstantBackoff
) -> None:
    """The record of a stop gives the same reason as the decision had, or none where it scheduled a retry."""
    policy = RetrySettings(max_attempts=most, nested=nested, backoff_strategy=strategy)
    decided = next_wait(policy, now, iter([wait]))
    record = NoRetry.of(policy, now, wait)
    expected = decided.value if isinstance(decided, StopReason) else None
    assert record.objection() == pickle.loads(pickle.dumps(record)).objection() == expected


def test_numbers_have_three_digits_and_grow() -> None:
    """From a millisecond to as long as anybody may set."""
    assert list(NUMBERS[:3]) == [0.001, 0.00101, 0.00102]
    assert NUMBERS[899:902] == [0.00999, 0.01, 0.0101]
    assert (NUMBERS[-1], len(NUMBERS)) == (9.99e11, 13_500)
    assert all(earlier < later for earlier, later in itertools.pairwise(NUMBERS))
    for beyond in (13_500, -13_501):
        with pytest.raises(IndexError):
            NUMBERS[beyond]


def test_a_number_is_rounded_up_to_three_digits() -> None:
    """One beyond the largest is that one."""
    for number, rounded in [(0.0, 0.001), (2.1374, 2.14), (3.0, 3.0), (9.98e11, 9.98e11), (1e12, 9.99e11)]:
        assert rounded_up(number) == rounded


def test_the_wait_that_is_named_for_an_open_circuit_is_the_circuits_own() -> None:
    """A call that much later is its trial; one a moment earlier is refused."""
    circuit = opened()
    circuit.now += 56.5
    refusal = circuit.try_acquire()
    assert isinstance(refusal, Refusal)
    ((later,),) = smallest_changes(CircuitRefusal(refusal.reason, refusal.retry_after))
    assert later[0].says(later[1]) == "a call 3.5 s later, as a trial"
    circuit.now += later[1] - 0.001
    assert isinstance(circuit.try_acquire(), Refusal)
    circuit.now += 0.001
    permit = circuit.try_acquire()
    assert isinstance(permit, Permit)
    assert permit.is_trial


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("isolated", "sent with reset() of the circuit, which was isolated by hand"),
        ("trial in progress", "sent with a call after the trial that is in progress"),
        ("recovering", "sent with a later call: a growing share passes while the service recovers"),
    ],
)
def test_what_ends_the_other_refusals_of_a_circuit(reason: str, text: str) -> None:
    """Neither has an instant that is known."""
    assert would_have_been(CircuitRefusal(reason, None)) == f"would have been {text}"


def test_the_next_wait_is_known_without_a_random_number() -> None:
    """The longest that it may be, unless it has been taken; a strategy of a user's own is not run for an explanation."""

    def no_random() -> float:
        raise AssertionError("a random number was drawn")

    waits = Waits(ExponentialBackoff(1.0, backoff_factor=3.0), ConstantBackoff(7.0), no_random)
    assert waits.series(is_throttled=False).longest() == 1.0
    assert waits.series(is_throttled=True).longest() == 7.0
    waits = Waits(ExponentialBackoff(1.0, backoff_factor=3.0), None, lambda: 0.5)
    drawn = waits.series(is_throttled=False)
    assert (next(drawn), drawn.longest()) == (0.5, 0.5)
    assert waits.series(is_throttled=False).longest() == 3.0  # for the next decision
    own = type("Own", (), {"delays": lambda self, random: iter([random()])})()
    assert Waits(own, None, no_random).series(is_throttled=False).longest() is None


def test_each_decision_is_known_where_json_is_read() -> None:
    """A timeline that was kept as JSON is explained like any other; some events make their decision of their own fields."""
    from http_service_client.simulation.recordings import _DECISIONS

    kinds = {
        kind
        for about in pkgutil.walk_packages(core.__path__, f"{core.__name__}.")
        for kind in vars(importlib.import_module(about.name)).values()
        if isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "objection")
    }
    assert kinds - set(_DECISIONS.values()) == {CircuitRefusal, DeadlineRefusal}

"""The bulkhead: its permits, its bounded queue, and its settings."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from typing import Any

import pytest

from http_service_client import ConfigurationError, Priority
from http_service_client.core.machines.limits.bulkhead_settings import BulkheadRefusal, BulkheadSettings
from kit.bulkheads import CRITICAL, LOW, NORMAL, bulkhead_of, held, is_refused, waiter
from kit.rows import each_row


def test_so_many_calls_are_in_progress_and_so_many_wait() -> None:
    """The next one is refused at once."""
    bulkhead = bulkhead_of(2, max_waiting=3)
    first = [held(bulkhead) for _ in range(2)]
    queue = [waiter(bulkhead) for _ in range(3)]
    assert (bulkhead.in_use, bulkhead.waiting) == (2, 3)
    assert is_refused(bulkhead)
    assert (bulkhead.in_use, bulkhead.waiting, bulkhead.snapshot().refused) == (2, 3, 1)
    first[0].release()
    assert [each.is_granted for each in queue] == [True, False, False]
    assert (bulkhead.in_use, bulkhead.waiting) == (2, 2)


@pytest.mark.parametrize(("given", "most"), [(None, 7), (0, 0), (3, 3)])
def test_by_default_as_many_may_wait_as_be_in_progress(given: int | None, most: int) -> None:
    """The last of them waits for about one call."""
    bulkhead = bulkhead_of(7, max_waiting=given)
    for _ in range(7):
        held(bulkhead)
    for _ in range(most):
        waiter(bulkhead)
    assert is_refused(bulkhead)


def test_a_permit_is_released_once() -> None:
    """Whoever releases it again takes nothing from the next holder."""
    bulkhead = bulkhead_of(1)
    first = held(bulkhead)
    next_one = waiter(bulkhead)
    for _ in range(3):
        first.release()
    assert next_one.is_granted
    assert (bulkhead.in_use, bulkhead.waiting) == (1, 0)


def test_a_permit_that_was_released_is_not_granted() -> None:
    """Whether somebody waits or nobody does; nor is one that left the queue."""
    bulkhead = bulkhead_of(1, max_waiting=3)
    alone = held(bulkhead)
    assert not bulkhead.is_idle
    alone.release()
    assert (alone.is_granted, alone.is_held, bulkhead.is_idle) == (False, False, True)
    holder, first, second = held(bulkhead), waiter(bulkhead), waiter(bulkhead)
    second.release()
    assert repr(second).startswith("<BulkheadPermit released")
    holder.release()
    assert (holder.is_granted, first.is_granted) == (False, True)


def test_why_a_wait_was_in_vain() -> None:
    """Its time was over, or a more important call needed the room; the others that wait are counted without it."""
    bulkhead, told = bulkhead_of(1, max_waiting=2), list[str]()
    held(bulkhead)
    first, second = waiter(bulkhead, LOW), waiter(bulkhead, LOW)
    second.notify(lambda: told.append("second"))
    critical = bulkhead.permit()
    assert critical.wait_later(CRITICAL) is None
    assert (told, bulkhead.snapshot().refused) == (["second"], 1)
    assert second.refusal() == BulkheadRefusal("displaced", 1, 1, 2, 2, LOW)
    assert first.refusal() == BulkheadRefusal("max_wait", 1, 1, 1, 2, LOW)
    assert critical.refusal() == BulkheadRefusal("max_wait", 1, 1, 0, 2, CRITICAL)


@pytest.mark.parametrize(
    ("levels", "most", "displaceable"),
    [
        ([LOW, LOW], 2, LOW),
        ([LOW, NORMAL], 2, None),  # the last one of a priority is spared
        ([NORMAL, NORMAL, LOW, LOW], 4, LOW),
        ([CRITICAL, CRITICAL], 2, None),
        ([LOW, LOW, LOW], 2, None),  # the queue became shorter: nobody's room is enough
    ],
)
def test_a_full_queue_says_which_priority_would_have_been_displaced(
    levels: list[Priority], most: int, displaceable: Priority | None
) -> None:
    """By a more important call."""
    bulkhead = bulkhead_of(1, max_waiting=len(levels))
    held(bulkhead)
    for level in levels:
        waiter(bulkhead, level)
    bulkhead.reconfigure(BulkheadSettings(max_concurrent=1, max_waiting=most))
    permit = bulkhead.permit()
    refusal = permit.wait_later(LOW)
    assert refusal == BulkheadRefusal("full", 1, 1, len(levels), most, LOW, displaceable)
    assert repr(permit).startswith("<BulkheadPermit released")


def test_a_permit_of_one_partition_goes_to_a_waiter_of_another() -> None:
    """Nobody waits in its own."""
    bulkhead = bulkhead_of(1, max_waiting=4, partitions={"a": 0.5, "b": 0.5})
    holder = held(bulkhead, "a")
    assert not bulkhead.is_idle
    other = waiter(bulkhead, name="b")
    holder.release()
    assert (other.is_granted, bulkhead.in_use) == (True, 1)


@each_row(
    ("share", "room"),
    [(0.3, 3), (0.1 * 3, 3), (0.25, 3), (0.3 + 0.05e-9, 3), (0.3 + 0.15e-9, 4), (1.0, 10), (0.01, 1)],
)
def test_a_partition_has_its_share_of_the_queue(share: float, room: int) -> None:
    """Rounded up; a rounding error of a billionth is no place more."""
    assert bulkhead_of(1, max_waiting=10, partitions={"a": share}).partitions["a"].most_waiting == room


def test_calls_of_a_partition_that_is_no_more_belong_to_the_rest() -> None:
    """It keeps none of them, and leads those that come for it to the rest."""
    bulkhead = bulkhead_of(1, max_waiting=4, partitions={"a": 0.5})
    calls = [held(bulkhead, "a"), waiter(bulkhead, name="a")]
    gone = bulkhead.partitions["a"]
    bulkhead.reconfigure(BulkheadSettings(max_concurrent=1, max_waiting=4))
    assert [call.partition for call in calls] == [bulkhead.rest, bulkhead.rest]
    assert (gone.successor, len(gone.holders), len(gone.queue)) == (bulkhead.rest, 0, 0)


def test_a_bulkhead_is_a_limit_of_its_permits() -> None:
    """As a semaphore is of its waiters, for code that has either."""
    bulkhead = bulkhead_of(1)
    permit = held(bulkhead)
    bulkhead._release(permit)
    assert bulkhead.is_idle


def test_only_a_permit_that_is_held_can_be_lent() -> None:
    """Not one that was never acquired, nor one that was released."""
    bulkhead = bulkhead_of(1)
    permit = bulkhead.permit()
    assert permit.lend() is None
    assert permit.try_acquire()
    permit.release()
    assert permit.lend() is None


def test_a_limit_that_was_lifted_admits_everybody() -> None:
    """Those that wait at once, and whatever settings come later."""
    bulkhead, told = bulkhead_of(1, max_waiting=2), list[int]()
    held(bulkhead)
    for number in range(2):
        waiter(bulkhead).notify(lambda number=number: told.append(number))  # type: ignore[misc]
    bulkhead.lift()
    assert (told, bulkhead.in_use) == ([0, 1], 3)
    bulkhead.reconfigure(BulkheadSettings(max_concurrent=1))
    assert bulkhead.permit().try_acquire()


def test_a_forked_child_has_granted_and_refused_nothing() -> None:
    """Its parent's counts are its parent's."""
    bulkhead = bulkhead_of(1, max_waiting=1)
    holder = held(bulkhead)
    waiter(bulkhead)
    assert is_refused(bulkhead)
    holder.release()
    before = bulkhead.snapshot()
    bulkhead.reset_after_fork()
    after = bulkhead.snapshot()
    assert [(each.granted, each.refused) for each in (before, after)] == [(1, 1), (0, 0)]


def test_growing_grants_at_once() -> None:
    """As many as there are new permits, and they are notified."""
    bulkhead, notified = bulkhead_of(1, max_waiting=5), list[int]()
    held(bulkhead)
    for number in range(4):
        waiter(bulkhead).notify(lambda number=number: notified.append(number))  # type: ignore[misc]
    bulkhead.reconfigure(BulkheadSettings(max_concurrent=3))
    assert notified == [0, 1]
    assert (bulkhead.in_use, bulkhead.waiting) == (3, 2)


def test_shrinking_takes_no_permit_from_a_caller() -> None:
    """Those beyond the new number are not granted again."""
    bulkhead = bulkhead_of(3, max_waiting=5)
    holders = [held(bulkhead) for _ in range(3)]
    last = waiter(bulkhead)
    bulkhead.reconfigure(BulkheadSettings(max_concurrent=1, max_waiting=1))
    assert is_refused(bulkhead)
    holders[0].release()
    holders[1].release()
    assert (bulkhead.in_use, last.is_granted) == (1, False)
    holders[2].release()
    assert (bulkhead.in_use, last.is_granted) == (1, True)


def test_a_shorter_queue_keeps_those_that_wait() -> None:
    """And admits nobody, not even in the stead of another, before it has room."""
    bulkhead = bulkhead_of(1, max_waiting=5)
    held(bulkhead)
    queue = [waiter(bulkhead, LOW) for _ in range(4)]
    bulkhead.reconfigure(BulkheadSettings(max_concurrent=1, max_waiting=2))
    assert is_refused(bulkhead, CRITICAL)
    assert not any(each.was_displaced for each in queue)
    assert bulkhead.waiting == 4


def test_a_forked_child_starts_with_all_permits() -> None:
    """What the child inherited and releases is nobody's there."""
    bulkhead = bulkhead_of(1, max_waiting=2)
    inherited, waiting = held(bulkhead), waiter(bulkhead)
    bulkhead.reset_after_fork()
    assert bulkhead.is_idle
    own = held(bulkhead)
    inherited.release()
    waiting.release()
    assert (own.is_held, bulkhead.in_use) == (True, 1)


def test_a_call_inside_a_call_goes_on_with_its_permit() -> None:
    """It would wait for its own caller. One at a time: a second call beside it needs a permit of its own."""
    bulkhead = bulkhead_of(1, max_waiting=0)
    outer = held(bulkhead)
    inner = outer.lend()
    assert inner is not None
    assert inner.try_acquire()
    assert inner.is_held
    assert outer.lend() is None
    innermost = inner.lend()
    assert innermost is not None
    innermost.release()
    inner.release()
    assert (bulkhead.in_use, outer.is_held) == (1, True)
    again = outer.lend()
    inner.release()  # its second release does not end the loan to another
    assert (again is not None, outer.lend()) == (True, None)
    outer.release()
    assert outer.lend() is None
    assert bulkhead.is_idle


@each_row(
    ("settings", "message"),
    [
        ({"max_concurrent": 0}, "max_concurrent must be a whole number of 1 or more, not 0"),
        ({"max_concurrent": True}, "max_concurrent"),
        ({"max_concurrent": 1.5}, "max_concurrent"),
        ({"max_waiting": -1}, "max_waiting must be a whole number of 0 or more, not -1"),
        (
            {"max_wait": 0},
            "max_wait must be a positive.*not 0; use None for as long as the deadline allows, or max_waiting=0",
        ),
        ({"max_wait": float("nan")}, "max_wait"),
        ({"partitions": ["a"]}, "partitions must be a mapping of names to shares"),
        ({"partitions": {1: 0.5}}, "partitions must have printable names"),
        ({"partitions": {"": 0.5}}, "partitions must have printable names"),
        ({"partitions": {" ": 0.5}}, "partitions must have printable names"),
        ({"partitions": {"a\n": 0.5}}, "partitions must have printable names"),
        ({"partitions": {"a": 1, "b": 1.5e-9}}, "add up to at most 1"),
        ({"partitions": {"a": 0}}, r"partitions\['a'\] must be above 0"),
        ({"partitions": {"a": 1.1}}, r"partitions\['a'\] must be a finite number from 0 to 1"),
        ({"partitions": {"a": "half"}}, r"partitions\['a'\]"),
        ({"partitions": {"a": 0.7, "b": 0.4}}, "add up to at most 1.*1.1"),
        ({"partition_by": "tenant"}, "partition_by must be 'name', 'priority' or a function, not 'tenant'"),
        ({"partition_by": 3}, "partition_by must be a function, not 3"),
        (
            {"partitions": {"urgent": 0.5}, "partition_by": "priority"},
            "'urgent', which is no priority.*critical",
        ),
    ],
)
def test_a_wrong_setting_names_field_value_and_remedy(settings: dict[str, Any], message: str) -> None:
    """Before anything is called."""
    with pytest.raises(ConfigurationError, match=message):
        BulkheadSettings(**{"max_concurrent": 5, **settings})


def test_a_name_of_another_library_leads_to_ours() -> None:
    """resilience4j, Polly and failsafe-go have names of their own."""
    with pytest.raises(TypeError, match="it is called max_concurrent"):
        BulkheadSettings(max_concurrent_calls=3)  # type: ignore[call-arg]


def test_shares_that_add_up_to_one_may_do_so_inexactly() -> None:
    """In binary, 0.7 + 0.2 + 0.1 are not 1."""
    BulkheadSettings(max_concurrent=5, partitions={"a": 0.7, "b": 0.2, "c": 0.1})
    BulkheadSettings(max_concurrent=5, partitions={"a": 1, "b": 1e-9})


def test_settings_are_values() -> None:
    """They compare, hash, copy and pickle, and a mapping that is changed later changes nothing."""
    shares = {"a": 0.7}
    settings = BulkheadSettings(max_concurrent=5, partitions=shares)
    shares["a"] = 0.1
    assert settings.partitions == {"a": 0.7}
    for twin in (pickle.loads(pickle.dumps(settings)), copy.copy(settings), copy.deepcopy(settings)):
        assert twin == settings
        assert hash(twin) == hash(settings)
    assert replace(settings, max_concurrent=6) != settings


def test_it_says_how_it_is_doing() -> None:
    """In the text for a debugger, and as a record."""
    bulkhead = bulkhead_of(2, partitions={"a": 0.5})
    held(bulkhead, "a")
    permit = held(bulkhead)
    waiter(bulkhead, name="a")
    assert repr(bulkhead) == "<Bulkhead 2 of 2 in use, 1 waiting>"
    assert repr(permit) == "<BulkheadPermit granted of <Bulkhead 2 of 2 in use, 1 waiting>>"
    snapshot = bulkhead.snapshot()
    assert snapshot.partitions == {"a": (1, 1), "": (1, 0)}
    assert (snapshot.max_concurrent, snapshot.in_use, snapshot.waiting) == (2, 2, 1)

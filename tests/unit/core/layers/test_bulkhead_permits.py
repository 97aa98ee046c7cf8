"""Permits by themselves: those around a call, the partition of a call, and what a refusal says."""

from __future__ import annotations

from contextvars import Context
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import BulkheadFullError, ConfigurationError, Priority, priority
from http_service_client.core.layers.bulkhead import _partition_of, admit, enter, leave
from http_service_client.core.machines.limits.bulkhead_settings import BulkheadRefusal
from http_service_client.core.operation import Operation
from http_service_client.errors import ConcurrencyLimitError
from http_service_client.events import LimitRefused
from kit.bulkheads import bulkhead_of
from kit.rows import each_row

ALL: Any = SimpleNamespace(call_name="all", key="the origin")
PARTS: dict[str, Any] = {"partitions": {"all": 1.0}}


@pytest.mark.parametrize("settings", [{}, PARTS], ids=["whole", "partitions"])
def test_a_permit_is_lent_to_what_is_inside_whatever_is_between(settings: dict[str, Any]) -> None:
    """By each bulkhead of its own: one that is inside two of them needs no other permit of either."""

    def nested() -> None:
        first, second = bulkhead_of(**settings), bulkhead_of(**settings)
        entered = []
        for bulkhead in (first, second, first, second):
            permit, token = enter(bulkhead, ALL)
            entered.append((permit, token))
            assert permit.bulkhead is bulkhead
            assert permit.try_acquire(), "one is free, or it stands in for one"
        assert [permit.lender is not None for permit, _ in entered] == [False, False, True, True]
        assert (first.in_use, second.in_use) == (1, 1)
        for permit, token in reversed(entered):
            permit.release()
            leave(permit, token)
            assert permit.outer is None, "what the running code starts now is not inside it"
        assert first.is_idle
        assert second.is_idle
        permit, token = enter(first, ALL)
        assert permit.outer is None, "nothing is around it any more"
        leave(permit, token)

    Context().run(nested)  # what an earlier test has left is not around it


def test_a_bulkhead_lends_nothing_to_another() -> None:
    """The inner one has limits of its own."""
    outer, inner = bulkhead_of(), bulkhead_of()
    permit, token = enter(outer, ALL)
    assert permit.try_acquire()
    other, other_token = enter(inner, ALL)
    assert (other.bulkhead, other.lender) == (inner, None)
    leave(other, other_token)
    leave(permit, token)
    permit.release()


def test_a_permit_may_be_left_from_another_context() -> None:
    """That of a coroutine which the collector closes, for example. It stays as it is."""
    bulkhead = bulkhead_of()
    permit, token = Context().run(enter, bulkhead, ALL)
    leave(permit, token)


def function() -> None:
    """A guarded one."""


def operation(call_name: str | None = None) -> Operation:
    guarded: Any = SimpleNamespace(function=function, clock=lambda: 0.0)
    found = Operation(guarded, (), {}, None)
    found.call_name = call_name
    return found


@each_row(
    ("by", "subject", "expected"),
    [
        ("priority", ALL, "high"),
        ("name", ALL, "all"),
        ("name", SimpleNamespace(call_name=None), None),
        ("name", operation(), "function"),
        ("name", operation("its name"), "its name"),
        (lambda subject: subject.call_name, ALL, "all"),
        (lambda subject: None, ALL, None),
    ],
    ids=["priority", "a name", "no name", "a function", "a named function", "the user's", "the user's rest"],
)
def test_the_partition_of_a_call(by: Any, subject: Any, expected: str | None) -> None:
    """By its priority, by its name or that of its function, or by what a function of the user says."""
    bulkhead: Any = SimpleNamespace(settings=SimpleNamespace(partition_by=by))
    with priority("high"):
        assert _partition_of(bulkhead, subject) == expected


def test_a_partition_that_is_no_name_is_an_error() -> None:
    """Not the rest: the user's function has a bug."""
    bulkhead: Any = SimpleNamespace(settings=SimpleNamespace(partition_by=lambda subject: 5))
    with pytest.raises(ConfigurationError, match="or None, not 5"):
        _partition_of(bulkhead, ALL)


@each_row(
    ("limit", "key", "own", "partition", "whose"),
    [
        ("bulkhead", "orders", "", None, "the bulkhead for orders"),
        ("bulkhead", "orders", "the origin", "pay", "the bulkhead for orders, partition 'pay'"),
        ("bulkhead", "", "the origin", None, "this bulkhead"),
        ("adaptive limit", "orders", "", None, "the adaptive limit for orders"),
    ],
)
@each_row(
    ("reason", "words"),
    [
        ("full", "there is no room in the queue"),
        ("displaced", "a call of a higher priority needed the room in the queue"),
        ("max_wait", "there was no permit within max_wait=2.0 s"),
    ],
)
def test_a_refusal_says_whose_permits_there_were_and_why(
    limit: str, key: str, own: str, partition: str | None, whose: str, reason: str, words: str
) -> None:
    """Of an adaptive limit, only the room in its queue can be set, so only that is explained."""
    refusal = BulkheadRefusal(reason, 3, 4, 5, 5, Priority.NORMAL)
    permit: Any = SimpleNamespace(
        bulkhead=SimpleNamespace(settings=SimpleNamespace(max_wait=2.0), key=key),
        partition=SimpleNamespace(name=partition),
        wait_later=lambda level: refusal,
    )
    events: list[Any] = []
    subject: Any = SimpleNamespace(
        key=own, elapsed=lambda: 0.5, attempt=2, call_id="7", call_name="pay", record=events.append
    )
    error_type = BulkheadFullError if limit == "bulkhead" else ConcurrencyLimitError
    with pytest.raises(StopIteration) as ended:
        next(admit(permit, subject, limit, error_type))
    found = ended.value.value
    assert found.error_type is error_type
    assert found.message == (
        f"{whose} refused a call of normal priority: {words} (3 of 4 permits in use, 5 waiting); nothing was sent"
    )
    assert found.details == {"key": key or own, "reason": reason}
    is_explained = limit == "bulkhead" or reason == "full"
    decision = refusal._replace(limit=limit) if is_explained else None
    text = f"normal priority: {words}"
    assert events == [LimitRefused(0.5, 2, key or own, limit, None, text, decision, "7", "pay")]

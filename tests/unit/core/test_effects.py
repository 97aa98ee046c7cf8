"""What plans ask for, as drivers read it, and the branches that a plan owns."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from typing import Any

import pytest

from http_service_client import HttpRequest, Timeout, deadline
from http_service_client.core.deadline import AMBIENT_DEADLINE
from http_service_client.core.effects import (
    Acquire,
    Begin,
    Branch,
    Effect,
    FirstOf,
    Invoke,
    Open,
    Plan,
    Receive,
    Send,
    Sleep,
    Start,
    Work,
)
from kit.fakes import URL
from kit.rows import each_row

REQUEST, TIMEOUT = HttpRequest("GET", URL), Timeout(total=5.0)
SOURCE: Any = object()
WAITER: Any = object()
USERS: ContextVar[str] = ContextVar("users", default="unset")


def plan() -> Plan[Any]:
    yield from ()


BRANCH = Branch(plan)


@each_row(
    ("make", "fields"),
    [
        (lambda: Send(REQUEST, TIMEOUT), {"request": REQUEST, "timeout": TIMEOUT}),
        (lambda: Open(REQUEST, TIMEOUT), {"request": REQUEST, "timeout": TIMEOUT}),
        (lambda: Receive(SOURCE, TIMEOUT), {"source": SOURCE, "timeout": TIMEOUT}),
        (lambda: Sleep(2.0), {"seconds": 2.0, "waiter": None}),
        (lambda: Sleep(2.0, WAITER), {"seconds": 2.0, "waiter": WAITER}),
        (lambda: Acquire(WAITER, 3.0), {"waiter": WAITER, "timeout": 3.0}),
        (lambda: Invoke(max), {"function": max, "arguments": (), "timeout": None}),
        (lambda: Invoke(max, 1, 2, timeout=3.0), {"function": max, "arguments": (1, 2), "timeout": 3.0}),
        (lambda: Work(max), {"function": max, "arguments": (), "timeout": None, "is_needed": True}),
        (lambda: Work(max, 1, 2, timeout=3.0, is_needed=False),
         {"function": max, "arguments": (1, 2), "timeout": 3.0, "is_needed": False}),
        (lambda: Start(plan), {"make_plan": plan, "is_needed": True, "on_end": None}),
        (lambda: Start(plan, is_needed=False, on_end=print), {"make_plan": plan, "is_needed": False, "on_end": print}),
        (lambda: Begin(BRANCH), {"branch": BRANCH}),
        (lambda: FirstOf([BRANCH]), {"branches": [BRANCH], "timeout": None}),
        (lambda: FirstOf([BRANCH], 3.0), {"branches": [BRANCH], "timeout": 3.0}),
    ],
)  # fmt: skip
def test_an_effect_says_what_is_to_be_done(make: Callable[[], Effect[Any]], fields: dict[str, Any]) -> None:
    """It evaluates to the driver's answer. Without a limit there is none."""
    effect = make()
    assert {name: getattr(effect, name) for name in fields} == fields
    steps = iter(effect)
    assert next(steps) is effect
    with pytest.raises(StopIteration) as ended:
        steps.send(42)
    assert ended.value.value == 42


def test_what_runs_beside_a_plan_is_outside_of_its_scopes_and_deadlines() -> None:
    """What is done for the caller alone sees the user's context variables; anything else sees none."""

    def contexts() -> list[Context]:
        USERS.set("a tenant")
        with deadline(5.0):
            assert AMBIENT_DEADLINE.get() is not None
            return [Start(plan, for_caller=each).context for each in (True, False)]

    for_caller, for_all = copy_context().run(contexts)
    assert (for_caller[USERS], AMBIENT_DEADLINE in for_caller) == ("a tenant", False)
    assert list(for_all) == []


def test_a_branch_has_a_result_or_an_error() -> None:
    """Its error is raised once, and kept by no frame: its traceback holds the branch."""
    branch: Branch[Any] = Branch(plan)
    assert (branch.is_done, branch.is_cancelled, branch.result, branch.error) == (False, False, None, None)
    branch.end("done")
    assert (branch.is_done, branch.take(), branch.take()) == (True, "done", "done")

    failed, error = Branch(plan), ValueError()
    failed.end(error=error)
    with pytest.raises(ValueError) as caught:
        failed.take()
    assert caught.value is error
    frames = [frame for frame, _ in traceback.walk_tb(caught.tb) if frame.f_code.co_name == "take"]
    assert [each for frame in frames for each in frame.f_locals.values() if each is error] == []
    assert (len(frames), failed.error, failed.take()) == (1, None, None)


def test_a_branch_that_is_cancelled_is_ended_by_its_driver() -> None:
    """While it runs, and no more. What it comes to is of no interest."""
    branch: Branch[Any] = Branch(plan)
    calls: list[str] = []
    branch.cancel()  # not begun: its driver sees it
    assert branch.is_cancelled
    branch.begin(lambda: calls.append("end now"))
    branch.cancel()
    assert calls == ["end now"]
    branch.end("late", ValueError())
    branch.cancel()
    assert calls == ["end now"]
    assert (branch.is_done, branch.result, branch.error) == (True, None, None)


def test_a_branch_that_ends_while_it_is_cancelled_is_not_ended_again() -> None:
    """It may end on another thread between the two questions."""
    branch: Branch[Any] = Branch(plan)
    calls: list[str] = []
    branch.begin(lambda: calls.append("end now"))
    branch.is_done = True
    branch.cancel()
    assert calls == []


def test_the_plan_of_a_branch_is_made_once_inside_of_what_wraps_it() -> None:
    """What makes it is forgotten, since it may hold the branch."""
    made: list[str] = []

    def make() -> Plan[Any]:
        made.append("plan")
        return plan()

    branch = Branch(make)

    def wrapped(make_plan: Any) -> Plan[Any]:
        made.append("wrapper")
        result: Plan[Any] = make_plan()
        return result

    branch.wrap(wrapped)
    assert made == []
    assert list(branch.new_plan()) == []
    assert made == ["wrapper", "plan"]
    with pytest.raises(AssertionError):
        branch.new_plan()


def test_the_first_of_some_branches_is_found_in_their_order() -> None:
    """The driver is notified of each that ends, also of one that had ended before; until it wants to know no more."""
    first, second, third = (Branch(plan) for _ in range(3))
    effect, ends = FirstOf([first, second, third]), list[int | None]()
    effect.notify(lambda: ends.append(effect.found()))
    assert (ends, effect.found()) == ([], None)
    third.end()
    second.end()
    assert ends == [2, 1]
    effect.forget()
    first.end()
    assert (ends, effect.found()) == ([2, 1], 0)
    effect.notify(lambda: ends.append(-1))
    assert ends == [2, 1, -1]

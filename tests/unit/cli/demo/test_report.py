"""The report at the end of the demo, line by line, and the invariants that it checks."""

from __future__ import annotations

import io
import os
import shutil
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import ConnectError, HttpResponse, SentState, Timeline
from http_service_client.cli.demo.orders import SERVICES, Status, Ticket
from http_service_client.cli.demo.report import broken_invariants, print_report
from http_service_client.cli.demo.scoreboard import Row
from http_service_client.cli.demo.script import Order
from http_service_client.cli.screen import Ink, Screen
from http_service_client.events import AttemptFinished
from kit.rows import each_row

TOTAL = Row(
    calls=20,
    attempts=21,
    unsent=2,
    retries=5,
    refusals=4,
    refused_calls=3,
    unsafe=6,
    over_budget=7,
    cut_off=8,
    openings=9,
    failed_trials=1,
)
SUMMARY = {"total_requests": 20, "retries": 5, "refusals": 4}


def ticket(number: int, *statuses: Status, reason: str = "", postponed: str = "") -> Ticket:
    """An order, how its steps ended, and why those that failed did."""
    made = Ticket(Order(number=number, customer="Ada", pizza="Funghi", amount=9.9))
    made.statuses = dict(zip(SERVICES, statuses, strict=False))
    made.reasons = {name: "" if made.is_done(name) else reason for name in made.statuses}
    made.postponed = set(postponed.split())
    return made


def payment(*codes: int) -> HttpResponse:
    """The outcome of a payment call whose attempts ended with these status codes."""
    response = HttpResponse(codes[-1])
    response.timeline = Timeline(
        AttemptFinished(float(n), n, "", 1.0, code, None, "", SentState.ANSWERED)
        for n, code in enumerate(codes, 1)
    )
    return response


def runner(name: str, tickets: list[Ticket], total: Row = TOTAL, **numbers: Any) -> Any:
    """A runner after the evening. numbers: what its services and its client counted; all is well by default."""
    ids = [ticket.order.id for ticket in tickets]
    gateway = SimpleNamespace(
        duplicates=numbers.get("charges", 0),
        replays=numbers.get("replays", 0),
        done=Counter(ids),
        requests=Counter(ids * 2),
    )
    return SimpleNamespace(
        name=name,
        tickets=tickets,
        board=SimpleNamespace(total=lambda: total),
        states=lambda: {"payment": "closed", "delivery": numbers.get("state", "closed")},
        client=SimpleNamespace(get_health_summary=lambda: {**SUMMARY, **numbers.get("summary", {})}),
        services=SimpleNamespace(
            payment=gateway,
            email=SimpleNamespace(duplicates=numbers.get("mails", 0)),
            request_count=numbers.get("requests", total.attempts),
        ),
    )


def done(number: int) -> Ticket:
    """An order of which every step succeeded."""
    return ticket(number, *[Status.DONE] * 4)


def printed(*runners: Any) -> list[str]:
    """The lines of the report."""
    stream = io.StringIO()
    print_report(Screen(stream, is_live=False), runners, [0, 0], Ink(False))
    return stream.getvalue().splitlines()


REPORT = """
what happened                                                 threads      tasks
orders placed                                                       3          3
  paid                                                              3          2
    not: 402 Payment Required                                       0          1
  delivered                                                         2          2
    of these postponed at first                                     1          0
    not: refused                                                    1          0
  confirmed by e-mail                                               2          2
    not: refused                                                    1          0
  notified by SMS                                                   2          2
    not: refused                                                    1          0
calls                                                              20         30
  refused by an open circuit                                        3          0
attempts                                                           21         31
  retries                                                           5          0
  could not connect                                                 2          0
retries not made: not safe to repeat                                6          0
retries not made: budget spent                                      7          0
retries not made: circuit open                                      8          0
circuits opened                                                     9          0
  opened again after a failed trial                                 1          0
requests seen by the services                                      21         31
  repeated charges, recognised by their key                         0         11
  duplicate charges                                                12          0
  duplicate e-mails                                                 0         13

the payment of order-001 in threads, explained by explain()
  1.000 s  attempt 1: 200 (after 1.000 s, answered)
the payment service saw 2 requests and made 1 charge
"""


def test_the_report_has_a_line_for_each_figure() -> None:
    """Threads and tasks side by side; a reason that only one of them has is 0 in the other, under its own service."""
    first = ticket(1, *[Status.DONE] * 4, postponed="delivery")
    first.payments = [payment(200)]
    unlucky = ticket(3, Status.DONE, Status.POSTPONED, Status.FAILED, Status.FAILED, reason="refused")
    threads = runner("threads", [first, done(2), unlucky], charges=12)
    unpaid = ticket(3, Status.FAILED, reason="402 Payment Required")
    tasks = runner("tasks", [done(1), done(2), unpaid], Row(calls=30, attempts=31), replays=11, mails=13)
    lines = printed(threads, tasks)
    assert lines[: REPORT.count("\n")] == REPORT.splitlines()
    assert lines[REPORT.count("\n") + 1].startswith("invariants broken: ")


def test_a_report_without_faults_lists_the_invariants() -> None:
    """All of them, in one line, so that a reader knows what was checked; the result is True."""
    tickets = [done(1)]
    tickets[0].payments = [payment(200)]
    stream = io.StringIO()
    both = [runner("threads", tickets), runner("tasks", tickets)]
    assert print_report(Screen(stream, is_live=False), both, [0, 0], Ink(True)) is True
    assert stream.getvalue().splitlines()[-1] == (
        "\x1b[32minvariants hold: no duplicate charge; no duplicate e-mail; every order is finished; "
        "every circuit is closed again; same results for threads and tasks; no request without a timeline; "
        "metrics and timelines agree; no connection left open\x1b[0m"
    )
    assert stream.getvalue().startswith("\n\x1b[1mwhat happened")
    assert "\n\x1b[1mthe payment of order-001" in stream.getvalue()


def test_a_broken_invariant_is_red() -> None:
    """And the result is False."""
    tickets = [done(1)]
    tickets[0].payments = [payment(200)]
    stream = io.StringIO()
    both = [runner("threads", tickets), runner("tasks", tickets)]
    assert print_report(Screen(stream, is_live=False), both, [0, 1], Ink(True)) is False
    last = stream.getvalue().splitlines()[-1]
    assert last == "\x1b[31minvariants broken: connections left open (threads 0, tasks 1)\x1b[0m"


def test_the_payment_with_the_most_kinds_of_outcome_is_explained() -> None:
    """Of those that succeeded; repetitions of the same outcome make it no more interesting."""
    tickets = [done(number) for number in (1, 2, 3)]
    tickets[0].payments = [payment(503, 503, 503, 200)]
    tickets[1].payments = [payment(429, 503, 402)]
    tickets[2].payments = [payment(502), payment(503, 429, 200)]
    lines = printed(runner("threads", tickets[:2]), runner("tasks", tickets[2:]))
    assert "the payment of order-003 in tasks, explained by explain()" in lines
    assert "  2.000 s  attempt 2: 429 (after 1.000 s, answered)" in lines
    assert "the payment service saw 2 requests and made 1 charge" in lines


def test_only_orders_that_were_done_later_were_postponed_at_first() -> None:
    """One that was postponed and then failed counts as failed."""
    lucky = ticket(1, *[Status.DONE] * 4, postponed="payment")
    lucky.payments = [payment(200)]
    unlucky = ticket(2, Status.FAILED, reason="402 Payment Required", postponed="payment")
    lines = printed(*(runner(name, [lucky, unlucky]) for name in ("threads", "tasks")))
    assert [line.rstrip("0123456789 ") for line in lines[3:6]] == [
        "  paid",
        "    of these postponed at first",
        "    not: 402 Payment Required",
    ]
    assert [line.split()[-2:] for line in lines[3:6]] == [["1", "1"]] * 3


@pytest.mark.parametrize(("statuses", "is_said"), [((200,), True), ((503,), False)], ids=["paid", "unpaid"])
def test_a_payment_that_may_have_been_made_twice_is_explained(statuses: tuple[int], is_said: bool) -> None:
    """Why the client reports that, though the payment succeeded: an attempt before has lost its connection."""
    bought = done(1)
    bought.payments = [payment(*statuses)]
    attempts = bought.payments[0].timeline or ()
    lost = AttemptFinished(0.0, 1, "", 0.1, None, None, "gone", SentState.MAYBE_PROCESSED)
    bought.payments[0].timeline = Timeline([lost, *attempts])
    lines = printed(*(runner(name, [bought]) for name in ("threads", "tasks")))
    assert any(line.startswith("Why processed, too, after a 200? ") for line in lines) is is_said


def test_an_outcome_without_a_story_is_explained_all_the_same() -> None:
    """As far as it can be."""
    bought = done(1)
    bought.payments = [HttpResponse(200)]
    lines = printed(*(runner(name, [bought]) for name in ("threads", "tasks")))
    assert "the payment of order-001 in threads, explained by explain()" in lines


def test_errors_are_kinds_of_outcome_too() -> None:
    """A payment with two of them before its success is more interesting than one with a 503 before it."""
    tickets = [done(1), done(2)]
    tickets[0].payments = [ConnectError(), payment(503, 200)]
    tickets[1].payments = [payment(200)]
    lost = [
        AttemptFinished(0.0, number, "", 0.1, None, error, "", SentState.NEVER_SENT)
        for number, error in enumerate(("ConnectError", "NameResolutionError"), 1)
    ]
    tickets[1].payments[0].timeline = Timeline([*lost, *(tickets[1].payments[0].timeline or ())])
    lines = printed(*(runner(name, tickets) for name in ("threads", "tasks")))
    assert "the payment of order-002 in threads, explained by explain()" in lines


def test_long_lines_are_wrapped_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Below the text of an attempt, and two columns further in than the verdict."""
    monkeypatch.setattr(shutil, "get_terminal_size", lambda: os.terminal_size((40, 50)))
    bought = done(1)
    bought.payments = [payment(200)]
    lost = AttemptFinished(0.0, 1, "", 0.1, None, None, "gone", SentState.MAYBE_PROCESSED)
    bought.payments[0].timeline = Timeline([lost, *(bought.payments[0].timeline or ())])
    stream = io.StringIO()
    both = [runner(name, [bought]) for name in ("threads", "tasks")]
    print_report(Screen(stream, is_live=True), both, [0, 0], Ink(False))
    lines = iter(stream.getvalue().splitlines())
    assert "  1.000 s  attempt 1: 200 (after 1.000" in lines
    assert next(lines) == "           s, answered)"
    assert "Why processed, too, after a 200? The" in lines
    assert next(lines) == "connection of an earlier attempt was"
    assert "invariants hold: no duplicate charge; no" in lines
    assert next(lines) == "  duplicate e-mail; every order is"


@each_row(
    ("numbers", "complaint"),
    [
        ({"charges": 2}, "duplicate charges (threads 0, tasks 2)"),
        ({"mails": 3}, "duplicate e-mails (threads 0, tasks 3)"),
        ({"state": "half_open"}, "circuits not closed (threads 0, tasks 1)"),
        ({"requests": 24}, "requests without a timeline (threads 0, tasks 3)"),
        ({"requests": 19}, ""),  # an attempt that timed out before the service had read it
        ({"summary": {"retries": 6}}, "metrics that differ from the timelines (threads 0, tasks 1)"),
        (
            {"summary": {"total_requests": 0, "refusals": 0}},
            "metrics that differ from the timelines (threads 0, tasks 2)",
        ),
    ],
)
def test_each_invariant_is_checked_for_each_runner(numbers: dict[str, Any], complaint: str) -> None:
    """By what the services, the timelines and the client counted."""
    both = [runner("threads", [done(1)]), runner("tasks", [done(1)], **numbers)]
    assert broken_invariants(both, [0, 0]) == [complaint] * bool(complaint)


def test_all_broken_invariants_are_named() -> None:
    """In one line."""
    bought = done(1)
    bought.payments = [payment(200)]
    lines = printed(*(runner(name, [bought], charges=1, mails=2) for name in ("threads", "tasks")))
    assert lines[-2:] == [
        "",
        "invariants broken: duplicate charges (threads 1, tasks 1); duplicate e-mails (threads 2, tasks 2)",
    ]


def test_an_order_without_an_end_is_unfinished() -> None:
    """A postponed step is no end."""
    both = [runner(name, [ticket(1, *[Status.POSTPONED] * 4)]) for name in ("threads", "tasks")]
    assert broken_invariants(both, [0, 0]) == ["unfinished orders (threads 1, tasks 1)"]


def test_orders_with_different_results_are_named() -> None:
    """In their order, also one that only threads or only tasks have. Whether an SMS got through is luck."""
    unlucky = ticket(2, Status.DONE, Status.DONE, Status.DONE, Status.FAILED)
    failed = ticket(3, Status.DONE, Status.DONE, Status.FAILED, Status.DONE)
    threads, tasks = [done(1), done(2), done(3)], [unlucky, failed, done(4)]
    assert broken_invariants([runner("threads", threads), runner("tasks", tasks)], [0, 0]) == [
        "orders with different results for threads and tasks (order-001, order-003, order-004)"
    ]

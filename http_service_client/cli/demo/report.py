"""The end of the evening: the results of threads and tasks side by side, and whether the invariants hold.

The services count duplicates; the client's timelines count calls and attempts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ... import HttpResponse, SentState, Timeline
from ...events import AttemptFinished
from ..screen import Ink, Screen
from .orders import SERVICES, Outcome, Status, Ticket
from .runners import Runner

__all__ = ["broken_invariants", "print_report"]

_INVARIANTS = (
    "no duplicate charge",
    "no duplicate e-mail",
    "every order is finished",
    "every circuit is closed again",
    "same results for threads and tasks",
    "no request without a timeline",
    "metrics and timelines agree",
    "no connection left open",
)
_DONE = {"payment": "paid", "delivery": "delivered", "email": "confirmed by e-mail", "sms": "notified by SMS"}
_WORST_CASE = (
    "Why processed, too, after a 200? The connection of an earlier attempt was lost after the request had been sent: the "
    "client cannot know whether the card was charged then, and reports the worst case of all attempts. It sent the request "
    "again only because of the idempotency key, by which the service recognises it:"
)


def print_report(screen: Screen, runners: Sequence[Runner], left_open: Sequence[int], ink: Ink) -> bool:
    """Print the report; whether the invariants hold.

    left_open: for each runner, the connections that its services had open after its client was closed.
    """
    screen.print("", ink(_line("what happened", [runner.name for runner in runners]), "bold"))
    for label, numbers in _side_by_side([list(_figures(runner)) for runner in runners]):
        screen.print(_line(label, numbers))

    _explain_a_payment(screen, runners, ink)

    broken = broken_invariants(runners, left_open)
    if broken:
        verdict = "invariants broken: " + "; ".join(broken)
    else:
        verdict = "invariants hold: " + "; ".join(_INVARIANTS)
    screen.print("", *(ink(line, "red" if broken else "green") for line in screen.wrapped(verdict, "  ")))
    return not broken


def _line(label: str, cells: Sequence[object]) -> str:
    return f"{label:<58}" + "".join(f"{cell:>11}" for cell in cells)


class _Figure(NamedTuple):
    """A figure of one runner.   about: a service; figures of several may have the same label."""

    label: str
    number: int
    about: str = ""

    @property
    def line(self) -> tuple[str, str]:
        """The line of the report that it is in."""
        return self.about, self.label


def _side_by_side(columns: Sequence[Sequence[_Figure]]) -> list[tuple[str, list[int]]]:
    """The figures of all runners, line by line. A figure that only one has, such as a reason, is 0 in the others."""
    lines: list[tuple[str, str]] = []
    for column in columns:
        at = 0  # below the one before it
        for figure in column:
            if figure.line not in lines:
                lines.insert(at, figure.line)
            at = lines.index(figure.line) + 1
    numbers = [{figure.line: figure.number for figure in column} for column in columns]
    return [(label, [known.get((about, label), 0) for known in numbers]) for about, label in lines]


def _figures(runner: Runner) -> Iterator[_Figure]:
    """The figures of one runner. A label with more indentation explains the one above it."""
    tickets, total, services = runner.tickets, runner.board.total(), runner.services
    yield _Figure("orders placed", len(tickets))
    for service in SERVICES:
        yield _Figure(f"  {_DONE[service]}", sum(ticket.is_done(service) for ticket in tickets), service)
        later = sum(ticket.is_done(service) and service in ticket.postponed for ticket in tickets)
        if later:
            yield _Figure("    of these postponed at first", later, service)
        reasons = Counter(
            ticket.reasons[service]
            for ticket in tickets
            if ticket.statuses.get(service) in (Status.FAILED, Status.POSTPONED)
        )
        for reason, count in sorted(reasons.items()):
            yield _Figure(f"    not: {reason}", count, service)
    yield _Figure("calls", total.calls)
    yield _Figure("  refused by an open circuit", total.refused_calls)
    yield _Figure("attempts", total.attempts)
    yield _Figure("  retries", total.retries)
    yield _Figure("  could not connect", total.unsent)
    yield _Figure("retries not made: not safe to repeat", total.unsafe)
    yield _Figure("retries not made: budget spent", total.over_budget)
    yield _Figure("retries not made: circuit open", total.cut_off)
    yield _Figure("circuits opened", total.openings)
    yield _Figure("  opened again after a failed trial", total.failed_trials)
    yield _Figure("requests seen by the services", services.request_count)
    yield _Figure("  repeated charges, recognised by their key", services.payment.replays)
    yield _Figure("  duplicate charges", services.payment.duplicates)
    yield _Figure("  duplicate e-mails", services.email.duplicates)


def _explain_a_payment(screen: Screen, runners: Sequence[Runner], ink: Ink) -> None:
    """Explain the payment call with the most kinds of outcome; successful calls come first."""

    def interest(candidate: tuple[Runner, Ticket, Outcome]) -> tuple[bool, int]:
        outcome = candidate[2]
        attempts = [event for event in outcome.timeline or () if isinstance(event, AttemptFinished)]
        return _is_paid(outcome), len({event.error or event.status_code for event in attempts})

    runner, ticket, outcome = max(
        (
            (runner, ticket, outcome)
            for runner in runners
            for ticket in runner.tickets
            for outcome in ticket.payments
        ),
        key=interest,
    )
    screen.print(
        "", ink(f"the payment of {ticket.order.id} in {runner.name}, explained by explain()", "bold")
    )
    for line in outcome.explain().splitlines():
        screen.print(*screen.wrapped(line, " " * 11))
    if (outcome.timeline or Timeline()).sent_state is SentState.MAYBE_PROCESSED and _is_paid(outcome):
        screen.print(*screen.wrapped(_WORST_CASE, ""))
    charges = _counted(runner.services.payment.done[ticket.order.id], "charge")
    requests = _counted(runner.services.payment.requests[ticket.order.id], "request")
    screen.print(f"the payment service saw {requests} and made {charges}")


def _is_paid(outcome: Outcome) -> bool:
    return isinstance(outcome, HttpResponse) and outcome.is_success


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def broken_invariants(runners: Sequence[Runner], left_open: Sequence[int]) -> list[str]:
    """The `_INVARIANTS` that do not hold, each with the numbers of threads and tasks."""
    checks: list[tuple[str, list[int]]] = [
        ("duplicate charges", [runner.services.payment.duplicates for runner in runners]),
        ("duplicate e-mails", [runner.services.email.duplicates for runner in runners]),
        ("unfinished orders", [sum(not t.is_finished for t in runner.tickets) for runner in runners]),
        ("circuits not closed", [sum(s != "closed" for s in runner.states().values()) for runner in runners]),
        ("requests without a timeline", [_requests_without_timeline(runner) for runner in runners]),
        ("metrics that differ from the timelines", [_wrong_metrics(runner) for runner in runners]),
        ("connections left open", list(left_open)),
    ]
    broken = [
        f"{what} ({', '.join(f'{runner.name} {count}' for runner, count in zip(runners, counts, strict=True))})"
        for what, counts in checks
        if any(counts)
    ]
    outlines = [{ticket.order.id: ticket.outline for ticket in runner.tickets} for runner in runners]
    different = [
        order
        for order in outlines[0].keys() | outlines[1].keys()
        if len({str(o.get(order)) for o in outlines}) > 1
    ]
    if different:
        broken.append(f"orders with different results for threads and tasks ({', '.join(sorted(different))})")
    return broken


def _requests_without_timeline(runner: Runner) -> int:
    """Requests that the services saw and no timeline has: something below the client sent them again."""
    return max(0, runner.services.request_count - runner.board.total().attempts)


def _wrong_metrics(runner: Runner) -> int:
    """How many of the client's own totals differ from its timelines."""
    total, summary = runner.board.total(), runner.client.get_health_summary()
    pairs = [("total_requests", total.calls), ("retries", total.retries), ("refusals", total.refusals)]
    return sum(summary[name] != counted for name, counted in pairs)

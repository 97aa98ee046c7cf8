"""The end of the evening: what happened in both worlds side by side, and whether the invariants hold.

Duplicates are counted by the services, calls and attempts by the client's timelines.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from ... import HttpResponse
from ...events import AttemptFinished
from .orders import SERVICES, Answer, End, Waiter
from .runners import Runner
from .screen import Ink, Screen

__all__ = ["broken_invariants", "print_report"]

_INVARIANTS = (
    "no duplicate charge",
    "no duplicate e-mail",
    "every order came to an end",
    "every circuit is closed again",
    "same orders and same ends in both worlds",
    "no request without a timeline",
    "metrics and timelines agree",
    "no connection left open",
)
_DONE = {"payment": "paid", "delivery": "delivered", "email": "confirmed by e-mail", "sms": "told by SMS"}


def print_report(screen: Screen, worlds: Sequence[Runner], left_open: Sequence[int], ink: Ink) -> bool:
    """Print all of it; whether the invariants hold.

    left_open: connections that the services of each world had open after its client was closed.
    """
    screen.print("", ink(_line("what happened", [world.name for world in worlds]), "bold"))
    for label, numbers in _side_by_side([list(_figures(world)) for world in worlds]):
        screen.print(_line(label, numbers))

    _tell_a_story(screen, worlds, ink)

    broken = broken_invariants(worlds, left_open)
    if broken:
        verdict = "invariants broken: " + "; ".join(broken)
    else:
        verdict = "invariants hold: " + "; ".join(_INVARIANTS)
    screen.print("", *(ink(line, "red" if broken else "green") for line in screen.wrapped(verdict, "  ")))
    return not broken


def _line(label: str, cells: Sequence[object]) -> str:
    return f"{label:<58}" + "".join(f"{cell:>11}" for cell in cells)


# What a figure is about (two figures may have the same label), its label, and the number.
_Figure = tuple[str, str, int]


def _side_by_side(columns: Sequence[Sequence[_Figure]]) -> list[tuple[str, list[int]]]:
    """The figures of all worlds, line by line. What only one world has, such as a reason, is 0 in the others."""
    lines = [(about, label) for about, label, _ in columns[0]]
    for column in columns[1:]:
        for index, (about, label, _) in enumerate(column):
            if (about, label) not in lines:
                above = column[index - 1][:2]
                lines.insert(lines.index(above) + 1, (about, label))
    numbers = [{(about, label): number for about, label, number in column} for column in columns]
    return [(line[1], [known.get(line, 0) for known in numbers]) for line in lines]


def _figures(world: Runner) -> Iterator[_Figure]:
    """What is told of a world. A label that is indented further explains the one above it."""
    tickets, total, street = world.tickets, world.board.total(), world.street
    yield "", "orders placed", len(tickets)
    for service in SERVICES:
        yield service, f"  {_DONE[service]}", sum(ticket.is_done(service) for ticket in tickets)
        later = sum(ticket.is_done(service) and service in ticket.waited for ticket in tickets)
        if later:
            yield service, "    of these later, having had to wait", later
        reasons = Counter(
            ticket.reasons[service]
            for ticket in tickets
            if ticket.ends.get(service) in (End.FAILED, End.WAITING)
        )
        for reason, count in sorted(reasons.items()):
            yield service, f"    not: {reason}", count
    yield "", "calls", total.calls
    yield "", "  turned away by an open circuit", total.turned_away
    yield "", "attempts", total.attempts
    yield "", "  retries", total.retries
    yield "", "  found no connection", total.unsent
    yield "", "retries refused: not safe to repeat", total.unsafe
    yield "", "retries refused: budget spent", total.over_budget
    yield "", "retries refused: circuit open", total.cut_off
    yield "", "circuits opened", total.openings
    yield "", "  opened again, as a trial failed", total.failed_trials
    yield "", "seen by the services: requests", street.request_count
    yield "", "  charges asked for again, recognised by their key", street.payment.replays
    yield "", "  duplicate charges", street.payment.duplicates
    yield "", "  duplicate e-mails", street.email.duplicates


def _tell_a_story(screen: Screen, worlds: Sequence[Runner], ink: Ink) -> None:
    """Explain the payment call with the most kinds of outcome, one with a good end before all others."""

    def interest(told: tuple[Runner, Waiter, Answer]) -> tuple[bool, int]:
        answer = told[2]
        attempts = [event for event in answer.timeline or () if isinstance(event, AttemptFinished)]
        is_paid = isinstance(answer, HttpResponse) and answer.is_success
        return is_paid, len({event.error or event.status_code for event in attempts})

    world, ticket, answer = max(
        (
            (world, ticket, answer)
            for world in worlds
            for ticket in world.tickets
            for answer in ticket.payments
        ),
        key=interest,
    )
    screen.print("", ink(f"the payment of {ticket.order.id} in {world.name}, as explain() tells it", "bold"))
    for line in answer.explain().splitlines():
        screen.print(*screen.wrapped(line, " " * 11))
    charges = _counted(world.street.payment.done[ticket.order.id], "charge")
    asked = _counted(world.street.payment.asked[ticket.order.id], "request")
    screen.print(f"the payment service saw {asked} and made {charges}")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def broken_invariants(worlds: Sequence[Runner], left_open: Sequence[int]) -> list[str]:
    """Those of `_INVARIANTS` that do not hold, each with the world and the number."""
    checks: list[tuple[str, list[int]]] = [
        ("duplicate charges", [world.street.payment.duplicates for world in worlds]),
        ("duplicate e-mails", [world.street.email.duplicates for world in worlds]),
        ("orders without an end", [sum(not t.has_an_end for t in world.tickets) for world in worlds]),
        ("circuits not closed", [sum(s != "closed" for s in world.states().values()) for world in worlds]),
        ("requests without a timeline", [_untold_requests(world) for world in worlds]),
        ("metrics that differ from the timelines", [_wrong_metrics(world) for world in worlds]),
        ("connections left open", list(left_open)),
    ]
    broken = [
        f"{what} ({', '.join(f'{world.name} {count}' for world, count in zip(worlds, counts, strict=True))})"
        for what, counts in checks
        if any(counts)
    ]
    outlines = [{ticket.order.id: ticket.outline for ticket in world.tickets} for world in worlds]
    unlike = [
        order
        for order in outlines[0].keys() | outlines[1].keys()
        if len({str(o.get(order)) for o in outlines}) > 1
    ]
    if unlike:
        broken.append(f"orders that ended otherwise in the other world ({', '.join(sorted(unlike))})")
    return broken


def _untold_requests(world: Runner) -> int:
    """Requests that the services saw and no timeline tells of: sent again behind our back."""
    return max(0, world.street.request_count - world.board.total().attempts)


def _wrong_metrics(world: Runner) -> int:
    """How many of the client's own totals differ from what its timelines say."""
    total, summary = world.board.total(), world.client.get_health_summary()
    pairs = [("total_requests", total.calls), ("retries", total.retries), ("refusals", total.refusals)]
    return sum(summary[name] != counted for name, counted in pairs)

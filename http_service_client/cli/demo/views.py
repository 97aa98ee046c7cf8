"""Two views of the evening: a table that is redrawn all the time, or lines of text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ..screen import Ink, Screen, visible_length
from .orders import SERVICES
from .runners import Runner

__all__ = ["LiveView", "PlainView", "table"]

_LABELS = {"payment": "payment", "delivery": "delivery", "email": "e-mail", "sms": "SMS"}
_COLOURS = {"closed": "green", "half-open": "yellow", "open": "red"}
_CIRCUIT, _NUMBERS = 9, (("attempts", 8), ("retries", 7), ("refused", 7))
_ORDERS = (("placed", 7), ("paid", 6), ("delivered", 9), ("postponed", 9))
_FPS = 10


@dataclass(frozen=True, slots=True)
class _News:
    """A line of the history.   is_decisive: it stays on the screen when others no longer fit."""

    text: str
    is_decisive: bool


class LiveView:
    """For a terminal. Announce news at once; call `update` as often as you like.

    The history of the evening stands below the table: all of it where the terminal is tall enough. Else the trials
    of open circuits are left out, the oldest first, and then the oldest of the decisive lines.
    """

    def __init__(self, screen: Screen, runners: Sequence[Runner], ink: Ink) -> None:
        self._screen, self._runners, self._ink = screen, runners, ink
        self._title = ""
        self._news: list[_News] = []
        self._due_at = 0.0

    def begin(self, now: float, title: str) -> None:
        """A new act."""
        self._title = title
        self._news.append(_News(f"{now:5.1f} s  {title}", is_decisive=True))
        self.update(now, force=True)

    def announce(self, at: float, runner: str, text: str, is_decisive: bool) -> None:
        """A circuit has changed."""
        self._news.append(_News(f"{at:5.1f} s  {runner:<7}  {text}", is_decisive))

    def update(self, now: float, force: bool = False) -> None:
        """Draw, if it is time to."""
        if now < self._due_at and not force:
            return
        self._due_at = now + 1 / _FPS
        ink, width = self._ink, self._screen.width
        picture = table(self._runners, width, ink)
        title, clock = f"Mario's Pizzeria · {self._title}", f"{now:.1f} s"
        edge = min(width, max(map(visible_length, picture)))
        room = " " * max(1, edge - len(title) - len(clock))
        lines = [ink(title, "bold") + room + ink(clock, "dim"), "", *picture, ""]
        news = _most_decisive(self._news, self._screen.height - len(lines))
        self._screen.draw(
            [*lines, *(line.text if line.is_decisive else ink(line.text, "dim") for line in news)]
        )

    def end(self, now: float) -> None:
        """The last picture stays."""
        self.begin(now, "closed for today")


def _most_decisive(news: Sequence[_News], room: int) -> Sequence[_News]:
    """As many lines as there is room for, in their order; none where the room is negative."""
    surplus = max(0, len(news) - room)
    ordinary = [index for index, line in enumerate(news) if not line.is_decisive]
    left_out = set(ordinary[:surplus])
    kept = [line for index, line in enumerate(news) if index not in left_out]
    return kept[max(0, len(kept) - room) :]


class PlainView:
    """For a file, a pipe, or a log: each line is written once."""

    def __init__(self, screen: Screen, runners: Sequence[Runner]) -> None:
        self._screen, self._runners = screen, runners
        self._has_begun = False

    def begin(self, now: float, title: str) -> None:
        """A new act, after the table of the one before."""
        if self._has_begun:
            self._screen.print("", *table(self._runners, self._screen.width, Ink(False)), "")
        self._has_begun = True
        self._screen.print(f"{now:5.1f} s  {title}")

    def announce(self, at: float, runner: str, text: str, is_decisive: bool) -> None:
        """A circuit has changed."""
        self._screen.print(f"{at:5.1f} s  {runner:<7}  {text}")

    def update(self, now: float) -> None:
        """Do nothing: this view prints a line only when something happens."""

    def end(self, now: float) -> None:
        """The table of the last act."""
        self._screen.print("", *table(self._runners, self._screen.width, Ink(False)))


def table(runners: Sequence[Runner], width: int, ink: Ink) -> list[str]:
    """The state of each circuit, the attempts, retries and refusals, and the progress of the orders.

    The runners are side by side, or one below the other in fewer than 80 columns.
    """
    gap = "   " if width >= 100 else " "
    labels = ["", "service", *(_LABELS[service] for service in SERVICES), "", "orders"]
    blocks = [list(_block(runner, gap, ink)) for runner in runners]
    if width < 80:
        return [f"{label:<8} {row}" for block in blocks for label, row in zip(labels, block, strict=True)]
    rows = zip(labels, *blocks, strict=True)
    return [f"{label:<8}{gap}{f'{gap}│{gap}'.join(cells)}" for label, *cells in rows]


def _block(runner: Runner, gap: str, ink: Ink) -> Iterator[str]:
    """The columns of one runner, all rows of one width."""
    states, rows = runner.states(), runner.board.rows()
    wide = _CIRCUIT + sum(len(gap) + columns for _, columns in _NUMBERS)
    yield ink(f"{runner.name} · {runner.verbs}".ljust(wide), "bold")
    yield ink(
        gap.join(["circuit".ljust(_CIRCUIT), *(name.rjust(columns) for name, columns in _NUMBERS)]), "dim"
    )
    for service in SERVICES:
        state, row = states[service].replace("_", "-"), rows[service]
        numbers = zip(_NUMBERS, (row.attempts, row.retries, row.refusals), strict=True)
        cells = (_number(number, columns, ink) for (_, columns), number in numbers)
        yield gap.join([ink(state.ljust(_CIRCUIT), _COLOURS[state]), *cells])
    yield ink(gap.join(name.rjust(columns) for name, columns in _ORDERS), "dim")
    yield gap.join(
        _number(number, columns, ink) for (_, columns), number in zip(_ORDERS, _orders(runner), strict=True)
    )


def _orders(runner: Runner) -> Iterable[int]:
    tickets = runner.tickets
    return (
        len(tickets),
        sum(ticket.is_done("payment") for ticket in tickets),
        sum(ticket.is_done("delivery") for ticket in tickets),
        sum(ticket.is_postponed for ticket in tickets),
    )


def _number(number: int, columns: int, ink: Ink) -> str:
    return ink(f"{number:>{columns}}", *(() if number else ("dim",)))

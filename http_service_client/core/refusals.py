"""A decision that said no, and the smallest change after which it says yes.

The event of a refusal has the inputs of its decision, as plain values. Nothing is computed from them until somebody
wants to know: then the same pure decision is asked again, with inputs changed. So an explanation cannot differ from
what the core does.

    1   The changes without which even all others would not do are needed in any case.
    2   If they are not enough: each of the others with them, then each two of the others, …
    3   In each of the first sets that turn the no into a yes, each change is made as small as it may be.

A change must never turn a yes into a no, nor must a larger number: numbers are found by bisection. Those that are no
counts have three digits, since nobody sets a deadline of 2.1374 s.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any, NamedTuple, Protocol, overload

__all__ = [
    "COUNTS",
    "NUMBERS",
    "Change",
    "CircuitRefusal",
    "DeadlineRefusal",
    "Decision",
    "NoConnection",
    "less",
    "more",
    "rounded_up",
    "smallest_changes",
    "to",
    "would_have_been",
]


class Decision(Protocol):
    """What a refusal was decided by. Make it a named tuple of plain values: events are pickled, and kept as JSON."""

    def objection(self) -> str | None:
        """The rule that says no, in any words; None if the decision says yes."""
        ...

    def changes(self) -> Sequence[Change]:
        """The menu of what might be changed, the least effort first."""
        ...

    def consequence(self) -> str:
        """What a yes would have led to, after "would have been": "retried", or "sent"."""
        ...


class Change(NamedTuple):
    """One thing that might be changed.

    text: what to write or to wait for, such as "idempotent=True"; with a {} for the number, if it is one of `values`.
    apply: returns the inputs with the change.   values: the numbers to choose from, in the order of their effect.
    """

    text: str
    apply: Callable[[Any, float], Any]
    values: Sequence[float]

    def says(self, value: float) -> str:
        """The text with the number."""
        return self.text.format(f"{value:.15g}")


def to(text: str, values: Sequence[float] = (0.0,), **fields: Any) -> Change:
    """Fields of the inputs get other values. A field of `...` gets the number."""

    def apply(inputs: Any, value: float) -> Any:
        return inputs._replace(**{name: value if given is ... else given for name, given in fields.items()})

    return Change(text, apply, values)


def more(text: str, *fields: str) -> Change:
    """Fields of the inputs, numbers or None for no limit, are larger by the number."""

    def apply(inputs: Any, value: float) -> Any:
        before = ((name, getattr(inputs, name)) for name in fields)
        return inputs._replace(**{name: old + value for name, old in before if old is not None})

    return Change(text, apply, NUMBERS)


def less(text: str, *fields: str) -> Change:
    """Fields of the inputs, numbers, are smaller by the number, and not below 0."""

    def apply(inputs: Any, value: float) -> Any:
        return inputs._replace(**{name: max(0.0, getattr(inputs, name) - value) for name in fields})

    return Change(text, apply, NUMBERS)


COUNTS = range(1_000_000)


class _ThreeDigits(Sequence[float]):
    """0.001, 0.00101, …, 0.00999, 0.01, … 9.99e11."""

    _BELOW, _DECADES, _EACH = -3, 15, 900

    def __len__(self) -> int:
        return self._DECADES * self._EACH

    @overload
    def __getitem__(self, index: int) -> float: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[float]: ...
    def __getitem__(self, index: int | slice) -> float | Sequence[float]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        if index < 0:
            index += len(self)
        if not 0 <= index < len(self):
            raise IndexError(index)
        decade, digits = divmod(index, self._EACH)
        return float(f"{100 + digits}e{decade + self._BELOW - 2}")


NUMBERS = _ThreeDigits()


def rounded_up(number: float) -> float:
    """The smallest of `NUMBERS` that is not below, or the largest of them.

    >>> rounded_up(2.1374), rounded_up(3.0)
    (2.14, 3.0)
    """
    return NUMBERS[min(bisect_left(NUMBERS, number), len(NUMBERS) - 1)]


def smallest_changes(decision: Decision) -> list[list[tuple[Change, float]]]:
    """The smallest sets of changes after which the decision says yes, each with its number; [] if there are none.

    All of them have the same length: one, if a single change is enough.
    """
    menu = decision.changes()
    needed = {
        number for number in range(len(menu)) if not _may_do(decision, [*menu[:number], *menu[number + 1 :]])
    }
    others = [number for number in range(len(menu)) if number not in needed]
    for size in range(len(others) + 1):
        sets = (
            [menu[number] for number in sorted(needed.union(more))] for more in combinations(others, size)
        )
        found = [_least(decision, changes) for changes in sets if _may_do(decision, changes)]
        if found:
            return found
    return []


def would_have_been(decision: Decision, most: int = 3) -> str:
    """The same as a clause: "would have been retried with idempotent=True".   most: of the sets that are listed."""
    found = smallest_changes(decision)
    if found == [[]]:
        return ""  # by rounding, say, the record alone is no refusal
    if not found:
        return f"nothing that can be set would have had it {decision.consequence()}"
    ways = (_listed([change.says(value) for change, value in chosen]) for chosen in found[:most])
    return f"would have been {decision.consequence()} with {', or with '.join(ways)}"


def _listed(texts: Sequence[str]) -> str:
    """The texts as a list in a sentence.

    >>> _listed(["a"]), _listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def _may_do(decision: Decision, changes: Sequence[Change]) -> bool:
    """Whether the changes are enough, each as large as it may be."""
    return _says_yes(decision, changes, [change.values[-1] for change in changes])


def _least(decision: Decision, changes: Sequence[Change]) -> list[tuple[Change, float]]:
    """Changes that are enough, each as small as it may be."""
    values = [change.values[-1] for change in changes]
    for number, change in enumerate(changes):

        def is_enough(value: float, number: int = number) -> bool:
            return _says_yes(decision, changes, [*values[:number], value, *values[number + 1 :]])

        values[number] = change.values[bisect_left(change.values, True, key=is_enough)]
    return list(zip(changes, values, strict=True))


def _says_yes(decision: Decision, changes: Sequence[Change], values: Sequence[float]) -> bool:
    for change, value in zip(changes, values, strict=True):
        decision = change.apply(decision, value)
    return decision.objection() is None


class CircuitRefusal(NamedTuple):
    """What a circuit refused by.   reason, retry_after: see `core.machines.circuit_breaker.states.Refusal`."""

    reason: str
    retry_after: float | None

    def objection(self) -> str | None:
        """See `Decision`: the table of `CircuitBreaker`, for the circuits that refuse."""
        return None if self.reason == "open" and not self.retry_after else self.reason

    def changes(self) -> Sequence[Change]:
        """See `Decision`: time alone ends an open span."""
        if self.reason == "open":
            return (less("a call {} s later, as a trial", "retry_after"),)
        return (_ENDS_OF_REFUSALS[self.reason],) if self.reason in _ENDS_OF_REFUSALS else ()

    def consequence(self) -> str:
        """See `Decision`."""
        return "sent"


class DeadlineRefusal(NamedTuple):
    """What the deadline check refused by, in seconds.   left: of the deadline.   needed: by an attempt, at least."""

    left: float
    needed: float

    def objection(self) -> str | None:
        """See `Decision`."""
        return "too little time" if self.left < self.needed else None

    def changes(self) -> Sequence[Change]:
        """See `Decision`."""
        return (more("{} s more until the deadline", "left"),)

    def consequence(self) -> str:
        """See `Decision`."""
        return "sent"


class NoConnection(NamedTuple):
    """Why a call had to wait for a connection, in vain.

    setting: that limits them.   limit: its value.   in_use, ahead: connections, and calls that waited already, when it came.
    """

    setting: str
    limit: int
    in_use: int
    ahead: int

    def objection(self) -> str | None:
        """See `Decision`."""
        return None if self.in_use + self.ahead < self.limit else "no connection is free"

    def changes(self) -> Sequence[Change]:
        """See `Decision`: when one would have become free, nobody knows."""
        return (to(f"{self.setting}={{}}", COUNTS, limit=...),)

    def consequence(self) -> str:
        """See `Decision`."""
        return "sent at once"


_ENDS_OF_REFUSALS = {
    "isolated": to("reset() of the circuit, which was isolated by hand", reason="open", retry_after=0.0),
    "trial in progress": to("a call after the trial that is in progress", reason="open", retry_after=0.0),
    "recovering": to(
        "a later call: a growing share passes while the service recovers", reason="open", retry_after=0.0
    ),
}

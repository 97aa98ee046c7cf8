"""The numbers of each service for one runner: events come in, rows come out.

Calls and attempts are counted from the timelines that each response and each error carries, changes of
circuits from the client's `on_event`.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ... import SentState, StateChange, Timeline
from ...events import (
    AttemptFinished,
    CallFinished,
    CircuitRefused,
    Event,
    RetryStopped,
    StopReason,
)

__all__ = ["Row", "Scoreboard"]


@dataclass(frozen=True, slots=True)
class Row:
    """The counts of the calls to one service.

    attempts: all that were made.  unsent: those that could not connect.  retries: those after the first of a call.
    refusals: attempts that an open circuit refused.  refused_calls: first attempts among them.
    unsafe, over_budget, cut_off: retries that were not made because repeating is not safe; because the
        budget was spent; because the circuit had opened.
    openings: of a closed circuit.  failed_trials: openings of a half-open one.
    """

    calls: int = 0
    attempts: int = 0
    unsent: int = 0
    retries: int = 0
    refusals: int = 0
    refused_calls: int = 0
    unsafe: int = 0
    over_budget: int = 0
    cut_off: int = 0
    openings: int = 0
    failed_trials: int = 0

    def __add__(self, other: Row) -> Row:
        return Row(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))


class Scoreboard:
    """The numbers of one runner. Thread-safe.

    services: name by URL.  on_change: called with each change of a circuit, as a sentence, and whether it decides
    something: the circuit opens or closes, rather than trying once more.
    """

    def __init__(self, services: Mapping[str, str], on_change: Callable[[str, bool], None]) -> None:
        self._services = services
        self._on_change = on_change
        self._rows = dict.fromkeys(services.values(), Row())
        self._lock = threading.Lock()

    def listen(self, event: Event | StateChange) -> None:
        """For the client's `on_event`."""
        if not isinstance(event, StateChange):
            return
        service = self._services[event.key]
        if event.new == "open":
            self._add(service, Row(openings=event.old == "closed", failed_trials=event.old == "half_open"))
        old, new = (str(state).replace("_", "-") for state in (event.old, event.new))
        self._on_change(f"{service}: {old} → {new} ({event.reason})", "closed" in (old, new))

    def record(self, service: str, timeline: Timeline) -> None:
        """Count the events of a call."""
        seen = Counter(type(event) for event in timeline)
        attempts = [event for event in timeline if isinstance(event, AttemptFinished)]
        stops = Counter(event.reason for event in timeline if isinstance(event, RetryStopped))
        self._add(
            service,
            Row(
                calls=seen[CallFinished],
                attempts=len(attempts),
                unsent=sum(event.sent_state is SentState.NEVER_SENT for event in attempts),
                retries=sum(event.attempt > 1 for event in attempts),
                refusals=seen[CircuitRefused],
                refused_calls=sum(
                    isinstance(event, CircuitRefused) and event.attempt == 1 for event in timeline
                ),
                unsafe=stops[StopReason.NOT_SAFE],
                over_budget=stops[StopReason.BUDGET],
                cut_off=stops[StopReason.CIRCUIT_OPEN],
            ),
        )

    def rows(self) -> dict[str, Row]:
        """A row for each service, all at the same instant."""
        with self._lock:
            return dict(self._rows)

    def total(self) -> Row:
        """The sum of the rows."""
        return sum(self.rows().values(), Row())

    def _add(self, service: str, row: Row) -> None:
        with self._lock:
            self._rows[service] += row

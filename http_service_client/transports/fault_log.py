"""Logs the faults of responses that the settings tolerate, so that the operator can report them to the server's."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from logging import INFO

from ..drivers.loggers import branch, write
from ..http.http1.rules import Rule

__all__ = ["FaultLog"]

_MOST = 10_000  # origins and rules that are remembered; a client of more is a crawler


class FaultLog:
    """One record for each origin and rule, at level INFO."""

    def __init__(self) -> None:
        self._logged: dict[tuple[str, str], object] = {}

    def for_origin(self, origin: str) -> Callable[[Rule], None]:
        """A function that logs a fault of this origin."""
        return partial(self._log, origin)

    def _log(self, origin: str, rule: Rule) -> None:
        mine = object()
        if len(self._logged) >= _MOST or self._logged.setdefault((origin, rule.name), mine) is not mine:
            return
        write(
            branch("protocol"),
            INFO,
            "%s: tolerated a fault of a response: %s (%s; %s); %s, and the connection is closed",
            *(origin, rule.text, rule.name, rule.section, rule.remedy),
            fields={"event": "fault_tolerated", "key": origin, "rule": rule.name},
        )

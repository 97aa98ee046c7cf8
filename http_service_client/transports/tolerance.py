"""Logs the faults of responses that the settings tolerate, so that the operator can report them to the server's."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from ..http.http1.rules import Rule

__all__ = ["FaultLog"]

_LOGGER = logging.getLogger("http_service_client")
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
        try:
            _LOGGER.info(
                "%s: tolerated a fault of a response: %s (%s; %s); %s, and the connection is closed",
                *(origin, rule.text, rule.name, rule.section, rule.remedy),
                extra={"http_event": "fault_tolerated", "http_key": origin, "http_rule": rule.name},
            )
        except Exception:
            pass  # of a filter or a handler: a broken log must not cost the caller the response

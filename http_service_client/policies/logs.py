"""The events that an operator sees without any set-up, on the standard library's logger `http_service_client`.

    a circuit opens                         WARNING    somebody should look
    a circuit lets trials pass, or closes   INFO
    a retry is scheduled                    INFO
    a cache's storage fails                 WARNING
    every other event of a call             DEBUG

Each record has the fields of its event as attributes, named `http_event`, `http_key` and so on, for handlers that
write JSON. Events hold redacted URLs and no headers, so no record has a secret.
"""

from __future__ import annotations

import logging
from enum import Enum
from typing import Any

from ..core.machines.circuit_states import CircuitBreakerState, StateChange
from ..events import CacheFailed, Event, RetryScheduled

__all__ = ["LOGGER", "SHOWN", "log_change", "log_event"]

SHOWN = {RetryScheduled: logging.INFO, CacheFailed: logging.WARNING}
"""The kinds of event that are logged above DEBUG, with their levels."""

LOGGER = logging.getLogger("http_service_client")


def log_event(event: Event) -> None:
    """Log an event of a call, or of a guarded function."""
    level = SHOWN.get(type(event), logging.DEBUG)
    if LOGGER.isEnabledFor(level):
        subject = event.key or "a guarded function"
        if event.call_name is not None:
            subject += f" ({event.call_name})"
        _log(level, event.name, subject, str(event), event._asdict())


def log_change(change: StateChange) -> None:
    """Log a change of a circuit's state."""
    is_serious = change.new is CircuitBreakerState.OPEN and not change.is_shadow
    level = logging.WARNING if is_serious else logging.INFO
    if LOGGER.isEnabledFor(level):
        state = change.new.value.replace("_", "-")
        if change.is_metrics_only and change.new is not CircuitBreakerState.CLOSED:
            state += ", but refuses nothing (metrics_only)"
        until = "" if change.open_for is None else f"; next trial in {change.open_for:.3f} s"
        text = f"the circuit is {state}: {change.reason}{until}"
        _log(level, "circuit_state_changed", change.key or "a guarded function", text, change._asdict())


def _log(level: int, name: str, subject: str, text: str, fields: dict[str, Any]) -> None:
    # With a prefix: a record has a `name` and a `message` of its own.
    extra = {f"http_{field}": _plain(value) for field, value in fields.items() if field != "name"}
    try:
        LOGGER.log(level, "%s: %s", subject, text, extra={"http_event": name, **extra})
    except Exception:
        pass  # of a filter or a handler: a broken log must not cost the caller the response


def _plain(value: object) -> object:
    return value.value if isinstance(value, Enum) else value

"""What the log says of calls and circuits, on the standard library's loggers below `http_service_client`.

    .circuit    opens: WARNING; lets trials pass, or closes: INFO; refuses an attempt: DEBUG
    .retry      is scheduled: INFO; is left out: DEBUG; a proxy retries, too: WARNING, once for each origin, then DEBUG
    .chaos      injects a fault, or is there: WARNING
    .fallback   stands in for a failure: INFO      .timeout    of a function expires: INFO
    .cache      its storage fails: WARNING; what it did for a call: DEBUG
    .call       ends: DEBUG, or INFO if this very logger has been given a level: one line a call, for those who ask
    .attempt    ends, or is not begun: DEBUG      .redirect, .auth, .throttle, .hedge    DEBUG
    .hooks      a function of the user's raised an exception: ERROR

Each record has the fields of its event as attributes, named `http_event`, `http_key` and so on, for handlers that
write JSON. Events hold redacted URLs and no headers, so no record has a secret.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from logging import DEBUG, INFO, WARNING

from ..core.machines.circuit_breaker.states import CircuitBreakerState, StateChange
from ..drivers.loggers import branch, write
from ..events import (
    AttemptFinished,
    AuthContinued,
    AuthStopped,
    CacheFailed,
    CacheUsed,
    CallFinished,
    ChaosInjected,
    CircuitRefused,
    CodingRefused,
    ConnectionAwaited,
    DeadlineRefused,
    Event,
    FallbackUsed,
    HedgeDenied,
    HedgeFinished,
    HedgeStarted,
    HostChanged,
    LimitRefused,
    LimitWaited,
    OperationFinished,
    OperationTimedOut,
    ProxyRetried,
    RedirectFollowed,
    RetryScheduled,
    RetryStopped,
    ThrottleRefused,
    ThrottleWaited,
    TokenAwaited,
    heading,
    outcome,
    why_not,
)
from ..http.printable import printable

__all__ = ["IS_LOGGED", "log_change", "log_chaos", "log_event"]

_BRANCHES: dict[type, tuple[str, int]] = {
    CallFinished: ("call", INFO),  # or DEBUG
    AttemptFinished: ("attempt", DEBUG),
    CodingRefused: ("attempt", DEBUG),
    ConnectionAwaited: ("attempt", DEBUG),
    RetryScheduled: ("retry", INFO),
    RetryStopped: ("retry", DEBUG),
    ProxyRetried: ("retry", WARNING),  # or DEBUG
    RedirectFollowed: ("redirect", DEBUG),
    AuthContinued: ("auth", DEBUG),
    AuthStopped: ("auth", DEBUG),
    TokenAwaited: ("auth", DEBUG),
    CircuitRefused: ("circuit", DEBUG),
    ThrottleWaited: ("throttle", DEBUG),
    OperationFinished: ("call", DEBUG),
    ThrottleRefused: ("throttle", DEBUG),
    LimitWaited: ("limit", DEBUG),
    LimitRefused: ("limit", DEBUG),
    DeadlineRefused: ("attempt", DEBUG),
    HostChanged: ("attempt", DEBUG),
    CacheUsed: ("cache", DEBUG),
    CacheFailed: ("cache", WARNING),
    FallbackUsed: ("fallback", INFO),
    HedgeStarted: ("hedge", DEBUG),
    HedgeDenied: ("hedge", DEBUG),
    HedgeFinished: ("hedge", DEBUG),
    ChaosInjected: ("chaos", WARNING),
    OperationTimedOut: ("timeout", INFO),
}


def _is_first_logged(kind: type) -> bool:
    """Make the logger of a kind of event, now that one has come, and answer for it."""
    name, level = _BRANCHES[kind]
    logger = branch(name)
    is_call = kind is CallFinished
    question = partial(_is_call_logged, logger) if is_call else partial(logger.isEnabledFor, level)
    IS_LOGGED[kind] = question
    return question()


def _is_call_logged(logger: logging.Logger) -> bool:
    return logger.isEnabledFor(INFO if logger.level else DEBUG)  # as `_level_of_calls`


def _level_of_calls(logger: logging.Logger) -> int:
    # An application at INFO has not asked for a line a call; one that sets the level of this logger has.
    return INFO if logger.level else DEBUG


IS_LOGGED: dict[type, Callable[[], bool]] = {kind: partial(_is_first_logged, kind) for kind in _BRANCHES}
"""For each kind of event, a function that says whether it may be logged. It is asked before `log_event` is called: each call
has several events, and nearly all are for debugging only."""
IS_LOGGED[StateChange] = bool  # no: `log_change` logs it, once for all clients


def log_event(event: Event) -> None:
    """Log an event of a call, or of a guarded function."""
    name, level = _BRANCHES[type(event)]
    if isinstance(event, ProxyRetried) and not event.is_first:
        level = DEBUG
    logger = branch(name)
    if isinstance(event, CallFinished):
        _log_call(logger, event)
    elif logger.isEnabledFor(level):
        text = str(event)
        if not text.isprintable():  # an error's message may have a second line, or what a terminal acts on
            text = printable(text, _MOST)
        write(logger, level, "%s: %s", _subject(event), text, fields=_fields(event))


def _log_call(logger: logging.Logger, event: CallFinished) -> None:
    level = _level_of_calls(logger)
    if logger.isEnabledFor(level):
        text = outcome(event, f" in {event.at:.3f} s")
        subject = heading(event.method, event.url, event.call_name)
        write(logger, level, "%s: %s", subject, text, fields={**_fields(event), "duration": event.at})


def log_change(change: StateChange) -> None:
    """Log a change of a circuit's state."""
    is_serious = change.new is CircuitBreakerState.OPEN and not change.is_shadow
    level = WARNING if is_serious else INFO
    logger = branch("circuit")
    if logger.isEnabledFor(level):
        state = change.new.value.replace("_", "-")
        if change.is_metrics_only and change.new is not CircuitBreakerState.CLOSED:
            state += ", but refuses nothing (metrics_only)"
        until = "" if change.open_for is None else f"; next trial in {change.open_for:.3f} s"
        text = f"the circuit is {state}: {change.reason}{until}"
        fields = change._asdict()
        named = {"event": fields.pop("name"), **fields}
        write(logger, level, "%s: %s", change.key or _FUNCTION, text, fields=named)


def log_chaos(where: str, words: str, reason: str | None) -> None:
    """Say that a chaos is there.   where: what it disturbs.   words: what it injects.   reason: why it does not, or None."""
    state = "chaos is on" if reason is None else f"chaos is configured, but off now: {reason}"
    fields = {"event": "chaos_configured", "key": where, "reason": reason}
    write(branch("chaos"), WARNING, "%s: %s; it injects %s", where, state, words, fields=fields)


_FUNCTION = "a guarded function"
_MOST = 1000  # characters of a text that is not printable


def _subject(event: Event) -> str:
    subject = event.key or _FUNCTION
    return subject if event.call_name is None else f"{subject} ({event.call_name})"


def _fields(event: Event) -> dict[str, object]:
    fields = event._asdict()
    if fields.pop("decision", None) is not None:
        fields["why"] = why_not(event)
    return {"event": fields.pop("name"), **fields}

"""The bulkhead in a call, and around a function: one permit for each attempt, from its beginning to its end."""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import TYPE_CHECKING

from ...errors import (
    BulkheadFullError,
    CallRefusedError,
    ConfigurationError,
    DeadlineExceededError,
    Failure,
    SentState,
)
from ...events import LimitRefused, LimitWaited
from ...http.messages import HttpRequest
from ..effects import Acquire, Outcome, Plan
from ..machines.limits.bulkhead import Bulkhead, BulkheadPermit
from ..open_body import OpenBody
from ..operation import Operation
from ..priority import current_priority
from ..signals import raise_if_of_signal_handler

if TYPE_CHECKING:
    from ..call import Call
    from ..layer import Handler
    from ..operation import Subject

__all__ = ["BulkheadLayer", "admit", "enter", "leave"]

_PERMIT: ContextVar[BulkheadPermit | None] = ContextVar("http_service_client.bulkhead", default=None)

_current_permit = _PERMIT.get


class BulkheadLayer:
    """Acquires a permit before each attempt, and releases it when the attempt has ended.

    The wait is no part of the attempt's time, and a retry waits between its attempts without a permit. A streamed response
    keeps its permit until its body is closed: as long as it is read, it occupies a connection, and a worker of the service
    and of ours.

    A refusal is no evidence for the circuit and ends the retries.
    """

    def __call__(self, proceed: Handler, request: HttpRequest, call: Call) -> Plan[Outcome]:
        bulkhead = call.origin_state.bulkhead
        if bulkhead is None or call.current.passes_gate:
            return proceed(request, call)
        return self._with_permit(bulkhead, proceed, request, call)

    def _with_permit(
        self, bulkhead: Bulkhead, proceed: Handler, request: HttpRequest, call: Call
    ) -> Plan[Outcome]:
        permit, token = enter(bulkhead, call)
        is_kept = False
        try:
            if not permit.try_acquire():
                failure = yield from admit(permit, call)
                if failure is not None:
                    return failure
            outcome = yield from proceed(request, call)
            body = call.current.body
            if isinstance(body, OpenBody):
                body.keep(permit.release)  # the body owns it from here on
                is_kept = True
            return outcome
        finally:
            try:
                leave(permit, token)
                if not is_kept:
                    permit.release()
            except BaseException:  # Ctrl-C meanwhile must not cost a permit
                if not is_kept:
                    permit.release()
                raise


def enter(bulkhead: Bulkhead, subject: Subject) -> tuple[BulkheadPermit, Token[BulkheadPermit | None]]:
    """A permit to be acquired, which is the one around the running code until `leave`.

    It stands in for that of a call around this one, if there is one (see `BulkheadPermit`).
    """
    outer = around = _current_permit()
    while around is not None:
        if around.bulkhead is bulkhead and (stand_in := around.lend()) is not None:
            stand_in.outer = outer  # permits of other limits may be between the two
            return stand_in, _PERMIT.set(stand_in)
        around = around.outer
    if bulkhead.partitions:
        permit = bulkhead.permit(_partition_of(bulkhead, subject))
        permit.outer = outer
    else:
        permit = BulkheadPermit(bulkhead, bulkhead.rest, outer)
    return permit, _PERMIT.set(permit)


def leave(permit: BulkheadPermit, token: Token[BulkheadPermit | None]) -> None:
    """The running code is outside again."""
    permit.outer = None  # tasks that start the next must not make a chain
    try:
        _PERMIT.reset(token)
    except ValueError:
        pass  # the coroutine is being closed from another context, which must stay as it is


def admit(
    permit: BulkheadPermit,
    subject: Subject,
    limit: str = "bulkhead",
    error_type: type[CallRefusedError] = BulkheadFullError,
) -> Plan[Failure | None]:
    """Wait for a permit that is not free. None when it may go on; else why not. The caller releases it in any case.

    limit: its name in events and messages.   error_type: of a refusal; it has a `reason`.
    """
    bulkhead = permit.bulkhead
    level = current_priority()
    refusal = permit.wait_later(level)
    waited: float | None = None
    max_wait = bulkhead.settings.max_wait
    if refusal is None and not permit.is_granted:
        began = subject.clock()
        remaining = subject.slack()
        ends_with_deadline = remaining is not None and (max_wait is None or remaining <= max_wait)
        subject.is_queued = True
        may_go_on = yield from Acquire(permit, max(0.0, remaining or 0.0) if ends_with_deadline else max_wait)
        subject.is_queued = not may_go_on
        waited = subject.clock() - began
        if not may_go_on:
            if ends_with_deadline and not permit.was_displaced:
                return _late(permit, limit)
            refusal = permit.refusal()
    key = bulkhead.key or subject.key
    about = subject.elapsed(), subject.attempt, key, limit
    of_call = subject.call_id, subject.call_name
    if refusal is None:
        if waited is not None:
            subject.record(LimitWaited(*about, waited, *of_call))
        return None
    reason = _REASONS[refusal.reason].format(max_wait)
    # Of permits that cannot be set, there is nothing to say but about the queue.
    is_explained = limit == "bulkhead" or refusal.reason == "full"
    decision = refusal._replace(limit=limit) if is_explained else None
    subject.record(LimitRefused(*about, None, f"{level.name.lower()} priority: {reason}", decision, *of_call))
    message = (
        f"{_name_of(permit, limit)} refused a call of {level.name.lower()} priority: {reason} "
        f"({refusal.in_use} of {refusal.max_concurrent} permits in use, {refusal.waiting} waiting); nothing was sent"
    )
    return Failure(error_type, message, SentState.NEVER_SENT, details={"key": key, "reason": refusal.reason})


_REASONS = {
    "full": "there is no room in the queue",
    "displaced": "a call of a higher priority needed the room in the queue",
    "max_wait": "there was no permit within max_wait={} s",
}


def _name_of(permit: BulkheadPermit, limit: str) -> str:
    whose = f"the {limit} for {permit.bulkhead.key}" if permit.bulkhead.key else f"this {limit}"
    partition = permit.partition.name
    return f"{whose}, partition {partition!r}" if partition else whose


def _late(permit: BulkheadPermit, limit: str) -> Failure:
    whose = _name_of(permit, limit)
    message = f"the deadline expired while the call waited for a permit of {whose}; nothing was sent"
    return Failure(DeadlineExceededError, message, SentState.NEVER_SENT)


def _partition_of(bulkhead: Bulkhead, subject: Subject) -> str | None:
    """The name of the call's partition; None for the rest. Raises ConfigurationError if the user's function fails."""
    by = bulkhead.settings.partition_by
    if by == "priority":
        return current_priority().name.lower()
    if by == "name":
        if subject.call_name is None and isinstance(subject, Operation):
            return getattr(subject.guarded.function, "__name__", None)
        return subject.call_name
    try:
        name = by(subject)
    except Exception as error:
        raise_if_of_signal_handler()
        raise ConfigurationError(
            f"partition_by raised {type(error).__name__}: {error}; nothing was sent"
        ) from error
    if name is not None and not isinstance(name, str):
        raise ConfigurationError(
            f"partition_by must return the name of a partition or None, not {name!r}; nothing was sent"
        )
    return name

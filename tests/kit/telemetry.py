"""A telemetry that writes down what it sees."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from http_service_client.core.call import Call
from http_service_client.core.effects import Outcome
from http_service_client.events import CallFinished, Event
from http_service_client.http.messages import HttpRequest
from http_service_client.policies import StateChange
from kit.front_ends import AsyncioFrontEnd, FrontEnd
from kit.threads import wait_until

__all__ = ["Notes", "settle"]


class Notes:
    """Writes a line for each thing that it sees, and numbers the exchanges in a header of theirs.

    ignores: see no call.
    """

    header_names = ("X-Exchange",)

    def __init__(self, *, ignores: bool = False) -> None:
        self.lines: list[str] = []
        self.clients: list[str] = []
        self.ignores = ignores
        self.exchanges = 0

    def watch(self, client: Any) -> None:
        self.clients.append(type(client).__name__)

    def begin(self, call: Call, parent: _CallNotes | None) -> _CallNotes | None:
        if self.ignores:
            return None
        beside = "" if parent is None else f" for {parent.name}"
        self.lines.append(f"begin {call.call_name or call.request.method}{beside}")
        return _CallNotes(self, call)

    def changed(self, change: StateChange) -> None:
        self.lines.append(f"circuit {change.new.value}")


class _CallNotes:
    def __init__(self, notes: Notes, call: Call) -> None:
        self._lines = notes.lines
        self._notes, self.listener = notes, call.listener
        self.name = call.call_name or call.request.method

    def enter(self) -> None:
        self._lines.append("enter")

    def leave(self) -> None:
        self._lines.append("leave")

    def record(self, event: Event) -> None:
        error = f" {event.error}" if isinstance(event, CallFinished) and event.error else ""
        self._lines.append(event.name + error)
        if self.listener is not None:
            self.listener(event)

    def begin_exchange(self, request: HttpRequest, context: Any, is_own: bool) -> Any:
        self._notes.exchanges += 1
        number = self._notes.exchanges
        request.headers["X-Exchange"] = str(number)
        path = request.url.partition("example.com")[2]
        self._lines.append(f"{number} {request.method} {path}{'' if is_own else ' of the flow'}")

        def end(outcome: Outcome | BaseException) -> None:
            if isinstance(outcome, BaseException):
                result = type(outcome).__name__
            else:
                result = str(getattr(outcome, "status_code", None) or outcome.error_type.__name__)  # type: ignore[union-attr]
            self._lines.append(f"{number} ended: {result}")

        return end


def settle(front_end: FrontEnd, condition: Callable[[], object]) -> None:
    """Wait for something that runs beside the calls: in a thread, or in a task of the front end's loop."""
    if not isinstance(front_end, AsyncioFrontEnd):
        wait_until(condition)
        return
    for _ in range(1000):
        if not condition():
            front_end.loop.run_until_complete(asyncio.sleep(0))
    assert condition()

"""The attributes of OpenTelemetry's semantic conventions for HTTP, 1.44, of requests and their outcomes.

http.request.method              "_OTHER" for a method that is not well known: anybody may invent one, and a metric
                                 would get a series for each. A span has the method itself, too
url.full                         as `redact_url` shows it, in spans only
error.type                       the status of 400 or more as text, or the class of the error, as in our own metrics
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import Enum
from typing import Any

from ...core.machines.circuit_breaker.states import StateChange
from ...core.open_body import OpenResponse
from ...errors import Failure
from ...events import Event
from ...http.messages import HttpResponse

__all__ = [
    "OURS",
    "Attributes",
    "KnownMethods",
    "circuit_attributes",
    "event_attributes",
    "kind_of",
    "outcome_attributes",
    "response_size",
    "status_attributes",
]

Attributes = dict[str, Any]

OURS = "http_service_client"
"""What names of ours begin with: spans' attributes, events and metrics that no convention has."""

_OF_SIZE = frozenset({"content-length", "content-encoding"})
_METHODS = ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE")
_KNOWN_METHODS = "OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS"

# Of events: what a span has anyway.
_OF_EACH_EVENT = frozenset({"at", "key", "call_id", "call_name", "name", "decision"})
_OF_CONVENTIONS = {
    "status_code": "http.response.status_code",
    "method": "http.request.method",
    "url": "url.full",
    "error": "error.type",
}


class KnownMethods:
    """The methods that a trace and a metric show by name. The environment may replace the list of the conventions."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        given = environ.get(_KNOWN_METHODS)
        listed = _METHODS if given is None else (name.strip() for name in given.split(","))
        self._names = frozenset(listed)

    def shown(self, method: str) -> str:
        """The value of http.request.method."""
        return method if method in self._names else "_OTHER"


def kind_of(outcome: Failure | BaseException) -> type[BaseException]:
    """The class of the error that ended an exchange."""
    return outcome.error_type if isinstance(outcome, Failure) else type(outcome)


def outcome_attributes(outcome: HttpResponse | Failure | BaseException) -> Attributes:
    """Those that the end of an exchange adds. What the caller cancelled is no error."""
    if isinstance(outcome, HttpResponse):
        version = "2" if outcome.http_version == "HTTP/2" else "1.1"
        return {**status_attributes(outcome.status_code), "network.protocol.version": version}
    if isinstance(outcome, Failure):
        return {"error.type": outcome.error_type.__name__}
    return {"error.type": type(outcome).__name__} if isinstance(outcome, Exception) else {}


def status_attributes(status: int) -> Attributes:
    """Of a response with this status."""
    found: Attributes = {"http.response.status_code": status}
    if status >= 400:
        found["error.type"] = str(status)
    return found


def response_size(response: HttpResponse) -> int | None:
    """The bytes of the body on the wire; None where they are not known: it is coded, or still to come."""
    headers = response.headers
    is_open = isinstance(response, OpenResponse)
    if not headers.has_any(_OF_SIZE):
        return None if is_open else len(response.content)
    if (declared := headers.get("Content-Length", "")).isdecimal():
        is_without_body = response.request is not None and response.request.method == "HEAD"
        return 0 if is_without_body or response.status_code == 304 else int(declared)
    return None if is_open or "Content-Encoding" in headers else len(response.content)


def event_attributes(event: Event) -> Attributes:
    """Of an event of the call's span: the fields of ours, under the names of the conventions where they have one."""
    return {
        _OF_CONVENTIONS.get(name) or f"{OURS}.{name}": value.value if isinstance(value, Enum) else value
        for name, value in event._asdict().items()
        if value not in (None, "") and name not in _OF_EACH_EVENT
    }


def circuit_attributes(change: StateChange) -> Attributes:
    """Of the event of a circuit that has changed its state."""
    found: Attributes = {f"{OURS}.state": change.new.value, f"{OURS}.reason": change.reason}
    if change.key:
        found[f"{OURS}.circuit"] = change.key
    return found

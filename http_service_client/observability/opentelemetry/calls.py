"""The spans of one call: INTERNAL for the call, CLIENT for each exchange, and the context in which its code runs.

The span of the call is current while its plan runs: interceptors, listeners and logs find it there. That of an
exchange is current while the transport works, with a mark that tells instrumentations of requests, urllib3 or aiohttp
that these requests have their span already.

A context is left where it was entered. A coroutine that nobody finishes may be closed from another task, or by the
collector: the other task's context must stay as it is. `opentelemetry.context.detach` would log an error there.
"""

from __future__ import annotations

import sys
from contextvars import Token
from typing import TYPE_CHECKING, Any

from opentelemetry import context as api
from opentelemetry.context import Context, create_key, get_current
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind, Status, StatusCode, set_span_in_context

from ...errors import Failure
from ...events import AttemptFinished, CallFinished, Event
from ...http.messages import HttpContext, HttpRequest, HttpResponse
from ...http.urls import redact_url
from .attributes import (
    OURS,
    Attributes,
    circuit_attributes,
    event_attributes,
    kind_of,
    outcome_attributes,
    response_size,
    status_attributes,
)

if TYPE_CHECKING:
    from ...core.call import Call
    from ...core.machines.circuit_breaker.states import StateChange
    from ...core.telemetry import CallTelemetry, ExchangeEnd
    from .tracing import Tracing

__all__ = ["CallSpans", "begin_call", "note_change"]

# Private names, which the SDK and the instrumentations share. Without them, `detach` would log what it cannot do, and other
# instrumentations would not know that a request has its span.
_runtime: Any = getattr(api, "_RUNTIME_CONTEXT", api)
_attach, _detach = _runtime.attach, _runtime.detach
_SUPPRESSED = "suppress_instrumentation"  # as older instrumentations mark their own requests
_SUPPRESS: str = getattr(api, "_SUPPRESS_INSTRUMENTATION_KEY", _SUPPRESSED)
_SUPPRESS_HTTP: str = getattr(api, "_SUPPRESS_HTTP_INSTRUMENTATION_KEY", "suppress_http_instrumentation")
# Enum attribute access is slow (50 ns).
_INTERNAL, _CLIENT, _FAILED = SpanKind.INTERNAL, SpanKind.CLIENT, StatusCode.ERROR
_ERROR = Status(_FAILED)
# Names of what a caller ends a call with, such as a cancellation or Ctrl-C. gevent has the last one.
_CANCELLATIONS = frozenset(
    {"CancelledError", "KeyboardInterrupt", "SystemExit", "GeneratorExit", "GreenletExit"}
)

_INSTRUMENTATIONS = frozenset(
    f"opentelemetry.instrumentation.{library}"
    for library in ("aiohttp_client", "httpx", "requests", "urllib3")
)

_HTTP = {_SUPPRESS_HTTP: True}
_ALL = {**_HTTP, _SUPPRESS: True}

# Keys of a context: of the current span, which OpenTelemetry has no public name for, and of the span of the call around
# the running code. (The call itself would be a reference cycle: it has this context.)
_SPAN = next(iter(set_span_in_context(INVALID_SPAN, Context())))
_CALL = create_key("http_service_client.call")

_CALL_ID, _CALL_NAME = f"{OURS}.call.id", f"{OURS}.call.name"
_ATTEMPTS, _SENT_STATE = f"{OURS}.attempts", f"{OURS}.sent_state"


def begin_call(tracing: Tracing, call: Call, parent: CallTelemetry | None) -> CallSpans | None:
    """The spans of a call; None where the running code, or that of the parent, has switched tracing off."""
    try:
        context = parent.context if isinstance(parent, CallSpans) else get_current()
        if context.get(_SUPPRESS) or context.get(_SUPPRESSED):
            return None
        is_traced = context.get(_SUPPRESS_HTTP) or _is_of_instrumentation(context, call)
        return CallSpans(tracing, call, context, not is_traced)
    except Exception:
        tracing.report()
        return None


def _is_of_instrumentation(context: Context, call: Call) -> bool:
    """Whether an instrumentation around an adapter has made a CLIENT span: not all of them set the mark."""
    span = context.get(_SPAN)
    if type(call.request) is HttpRequest:
        return False  # of no other library
    scope = getattr(span, "instrumentation_scope", None)
    return getattr(scope, "name", None) in _INSTRUMENTATIONS


def note_change(tracing: Tracing, change: StateChange) -> None:
    """Show the change of a circuit in the span of the call that caused it."""
    try:
        span = get_current().get(_CALL)
        if isinstance(span, Span) and span.is_recording():
            span.add_event(f"{OURS}.circuit_changed", circuit_attributes(change))
        tracing.instruments.circuit_changed(change)
    except Exception:
        tracing.report()


class CallSpans:
    """What OpenTelemetry sees of one call.   context: with the call's span."""

    __slots__ = (
        *("_cancelled_by", "_clock", "_entered", "_has_http_spans", "_is_recording", "_method", "_sent"),
        *("_shown_url", "_span", "_target", "_tracing", "_url", "context", "listener"),
    )

    def __init__(self, tracing: Tracing, call: Call, context: Context, has_http_spans: bool) -> None:
        self._tracing = tracing
        self.listener, self._clock = call.listener, call.clock
        self._has_http_spans = has_http_spans
        self._entered: Token[Context] | None = None
        self._sent = 0
        self._cancelled_by: str | None = None
        request = call.request
        self._method, self._url = request.method, request.url  # interceptors may change them in place
        url = self._url
        self._shown_url = shown = redact_url(url)
        self._target = target = tracing.targets.of(request.method, url, call.url_template)
        attributes = {**target.attributes, "url.full": shown, _CALL_ID: call.call_id}
        name = call.call_name
        if name is not None:
            attributes[_CALL_NAME] = name
        self._span = span = tracing.start_span(
            target.span_name if name is None else name, context, _INTERNAL, attributes
        )
        self._is_recording = span.is_recording()
        self.context = Context({**context, _SPAN: span, _CALL: span})

    def enter(self) -> None:
        self._entered = _attach(self.context)

    def leave(self) -> None:
        entered, self._entered = self._entered, None
        if entered is not None:
            try:
                _detach(entered)
            except Exception:
                pass  # this is elsewhere: see above

    def record(self, event: Event) -> None:
        kind = type(event)
        if kind is CallFinished:
            self._finish(event)  # type: ignore[arg-type]
            return
        # The span of an exchange shows an attempt already, unless it was answered without one.
        is_shown = kind is AttemptFinished and event.answered_by is None  # type: ignore[union-attr]
        if not is_shown:
            try:
                if self._is_recording:
                    self._span.add_event(f"{OURS}.{event.name}", event_attributes(event))
                self._tracing.instruments.happened(event, self._target.server, self.context)
            except Exception:
                self._tracing.report()
        if self.listener is not None:
            self.listener(event)

    def _finish(self, event: CallFinished) -> None:
        """The end of the call. What its listeners log belongs to its span, also when its plan is long over."""
        entered = _attach(self.context) if self._entered is None else None
        try:
            if self.listener is not None:
                self.listener(event)
        finally:
            if entered is not None:
                _detach(entered)
            span = self._span
            try:
                found = self._outcome(event)
                if self._is_recording:
                    span.set_attributes(
                        {**found, _ATTEMPTS: event.attempts, _SENT_STATE: event.sent_state.value}
                    )
                    if "error.type" in found:
                        span.set_status(_ERROR)
                span.end()
                name, common = event.call_name, self._target.common
                attributes = {**common, **found} if name is None else {**common, **found, _CALL_NAME: name}
                self._tracing.instruments.record_call(event.at, attributes, self.context)
            except Exception:
                self._tracing.report()

    def _outcome(self, event: CallFinished) -> Attributes:
        if event.status_code is not None:
            return status_attributes(event.status_code)
        error = event.error
        if error in _CANCELLATIONS or error == self._cancelled_by:
            return {}
        return {"error.type": error}

    def begin_exchange(self, request: HttpRequest, context: HttpContext, is_own: bool) -> ExchangeEnd:
        if not self._has_http_spans:
            return _nothing
        try:
            return _Exchange(self, request, context, is_own).end
        except Exception:
            self._tracing.report()
            return _nothing


class _Exchange:
    """One exchange: its span, its metrics, and its context, from the beginning to `end`.

    is_own: see `CallTelemetry.begin_exchange`.
    """

    __slots__ = ("_active", "_began", "_context", "_entered", "_of", "_request", "_span", "_target")

    def __init__(self, of: CallSpans, request: HttpRequest, call: HttpContext, is_own: bool) -> None:
        self._of, self._request = of, request
        tracing, url = of._tracing, request.url
        if url is of._url and request.method == of._method:
            target, shown = of._target, of._shown_url
        else:
            template = call.url_template if _path(url) == _path(of._url) else None
            target, shown = tracing.targets.of(request.method, url, template), redact_url(url)
        attributes = {**target.attributes, "url.full": shown}
        if is_own:
            if of._sent:
                attributes["http.request.resend_count"] = of._sent
            of._sent += 1
        self._target = target
        self._began = of._clock()
        self._span = span = tracing.start_span(target.span_name, of.context, _CLIENT, attributes)
        self._context = context = Context({**of.context, _SPAN: span, **_marks()})
        try:
            tracing.inject(request, context)
        except Exception:  # of a propagator
            tracing.report()
        except BaseException:  # Ctrl-C, or a timeout of gevent: there will be no `end`
            span.end()
            raise
        self._active = active = target.active
        active.append(None)
        self._entered: Token[Context] = _attach(context)

    def end(self, outcome: HttpResponse | Failure | BaseException) -> None:
        """End the span with this outcome, or with what interrupted the exchange."""
        of, target, span = self._of, self._target, self._span
        seconds = of._clock() - self._began
        try:
            _detach(self._entered)
        except Exception:
            pass  # this is elsewhere: see above
        self._active.pop()
        try:
            if isinstance(outcome, HttpResponse):
                key: object = (outcome.status_code, outcome.http_version)
            else:
                key = kind_of(outcome)
                if not issubclass(key, Exception):
                    of._cancelled_by = key.__name__  # by the caller
            known = target.outcomes.get(key) or target.with_outcome(key, outcome_attributes(outcome))
            found, attributes = known
            if span.is_recording():
                span.set_attributes(found)
                if "error.type" in found:
                    span.set_status(
                        Status(_FAILED, outcome.message) if isinstance(outcome, Failure) else _ERROR
                    )
            span.end()
            instruments, context = of._tracing.instruments, self._context
            instruments.record_duration(seconds, attributes, context)
            length = self._request.body.length
            if length is not None:
                instruments.record_sent(length, attributes, context)
            if isinstance(outcome, HttpResponse) and (size := response_size(outcome)) is not None:
                instruments.record_received(size, attributes, context)
        except Exception:
            of._tracing.report()


def _marks() -> dict[str, bool]:
    """What tells other instrumentations that an exchange has its span."""
    module = sys.modules.get("opentelemetry.instrumentation.aiohttp_client")
    # Before 0.60b0, that of aiohttp knows only the mark that is for all instrumentations.
    return _HTTP if module is None or hasattr(module, "is_http_instrumentation_enabled") else _ALL


def _path(url: str) -> str:
    return url.partition("?")[0]


def _nothing(outcome: object) -> None:
    """The end of an exchange that has no span."""

"""What `client.events(...)` gives: server-sent events that go on when the connection ends (WHATWG HTML, 9.2.3).

What follows the end of a connection is decided in `Listening`, without any I/O:

    what happened                                            then
    204                                                      the end: the server wants no reconnection
    another status than 200, or another content type         an error; at a reconnection, a status that is worth a
                                                             retry is a connection that could not be opened
    the first connection cannot be opened                    an error, after the retries of the call
    the body ends, breaks off, or is idle for too long       reconnect
    a reconnection cannot be opened, the circuit refuses     reconnect later
    the deadline, TLS verification, an event that is too     an error
    large, a closed client

The wait before a reconnection is the server's `retry:`, else `reconnect_delay`, or a longer Retry-After, and on top of it a
delay of the retry policy's backoff: that of a first retry after a connection that brought an event or lasted for a while,
and a longer one after each connection that did not. Its jitter keeps the clients of a server that restarts from coming
back together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from logging import INFO
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from ...core.checks import check_count, check_duration, check_number
from ...core.deadline import earliest
from ...core.effects import Plan, Sleep
from ...core.machines.retry.backoff import endless_waits
from ...core.machines.retry.settings import RetrySettings
from ...core.outcomes import requested_wait
from ...drivers.interruptible_waits import Waits
from ...drivers.loggers import branch, write
from ...errors import (
    CallRefusedError,
    ConfigurationError,
    DeadlineExceededError,
    HttpClientError,
    HttpStatusError,
    InvalidRequestError,
    ResponseValidationError,
    StreamError,
    TlsVerificationError,
    TransportError,
)
from ...http.bodies.event_stream import EventStreamDecoder, ServerSentEvent
from ...http.headers import build_headers
from ...http.media_types import parse_content_type
from ...http.urls import redact_url
from .base import Streamed
from .iterators import AsyncDecodedIterator, DecodedIterator

if TYPE_CHECKING:
    from ...core.call import Call
    from ...core.machines.retry.quota import AnyWithdrawal
    from ...drivers.clocks import Clock
    from .response import AsyncStreamedResponse, StreamedResponse

__all__ = ["AsyncEventSource", "EventSource", "Listening"]

_LONGEST = 300.0  # seconds: a server must not block its listener for a day by `retry:`
_STEADY = 10.0  # seconds: a connection that lasted this long counts as a good one, even without an event
_LONGEST_PAUSE = 3600.0  # seconds: nor for years by Retry-After
# No header can carry such an id. The one before it repeats an event or two; an error would end the events.
_UNSENDABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]").search
_LEAST = 1e-9  # seconds: a deadline that has passed ends the next call at once


class Listening:
    """Where an event source stands, and what comes next.

    build: makes a call of its arguments, or raises what is wrong with them.
    last_event_id: for the next connection, or "".   is_over: nothing follows.   has_failed: because of an error.
    """

    _opened_at: float  # when the last connection was opened

    def __init__(
        self,
        build: Callable[..., Call],
        method: str,
        url: str,
        clock: Clock,
        random: Callable[[], float],
        last_event_id: str | None,
        reconnect_delay: float,
        max_reconnects: int | None,
        max_length: int | None,
        idle_timeout: float | None,
        total_timeout: float | None,
        options: Mapping[str, Any],
    ) -> None:
        check_number("reconnect_delay", reconnect_delay, unit="of seconds ")
        for name, count in (("max_reconnects", max_reconnects), ("max_length", max_length)):
            if count is not None:
                check_count(name, count)
        if idle_timeout is not None:
            check_duration("idle_timeout", idle_timeout)
        if last_event_id is not None and not isinstance(last_event_id, str):
            raise ConfigurationError(f"last_event_id must be text or None, not {last_event_id!r}")
        if last_event_id and _UNSENDABLE(last_event_id):
            raise ConfigurationError("last_event_id has a character that no header can carry; remove it")
        self.method, self.url = method, url
        self.last_event_id = last_event_id or ""
        self.max_length, self.idle_timeout = max_length, idle_timeout
        self.is_over = self.has_failed = False
        self._given = {**options, "total_timeout": None}  # of one connection: `next_options` has that of all
        headers = self._given.get("headers")
        pairs = headers.items() if isinstance(headers, Mapping) else headers or ()
        self._headers = list(pairs)
        names = build_headers(self._headers)
        # A stream that has ended is a response like any other for the caches on the way, which do not know Last-Event-ID: its
        # events would be repeated. Browsers send this, too.
        for name, value in (("Accept", "text/event-stream"), ("Cache-Control", "no-cache")):
            if name not in names:
                self._headers.append((name, value))
        if "Last-Event-ID" in names:
            raise InvalidRequestError(
                "events() sends Last-Event-ID itself; pass last_event_id= to start there"
            )
        call = build(method, url, **{**self._given, "headers": self._headers})
        _check_repeatable(call)
        settings = call.options.retry or RetrySettings()
        self._settings = settings
        self._new_delays: Callable[[], Iterator[float]] = lambda: endless_waits(
            settings.backoff_strategy, random
        )
        self._delays = self._new_delays()
        self._budget = call.budget
        self._now, self._wall_clock = clock.monotonic, clock.wall
        self._seconds = total_timeout
        self._ends_at: float | None = None
        self._delay = reconnect_delay
        self._most = max_reconnects
        self._fruitless = 0  # connections in a row that brought nothing
        self._withdrawal: AnyWithdrawal | None = None  # of the last one
        self._has_opened = False

    def next_options(self) -> dict[str, Any]:
        """The keywords of the connection that is opened now."""
        headers = list(self._headers)
        if self.last_event_id:
            headers.append(("Last-Event-ID", self.last_event_id))
        options = {**self._given, "headers": headers}
        if self._seconds is not None:
            now = self._now()
            if self._ends_at is None:
                self._ends_at = now + self._seconds
            options["total_timeout"] = max(_LEAST, self._ends_at - now)
        if self._has_opened:
            options["retry_policy"] = False  # this object makes the retries
        return options

    def new_decoder(self) -> EventStreamDecoder:
        """Decodes the events of the connection that was just opened."""
        return EventStreamDecoder(self.max_length, self.last_event_id)

    def opened(self, response: Streamed) -> float | None:
        """Judge the response: None if its events follow, or if `is_over`; else the wait before the next connection.

        Raises HttpStatusError or ResponseValidationError.
        """
        self._opened_at = self._now()
        if self.is_over:  # another thread has closed the source meanwhile
            return None
        status = response.status_code
        if status == 204:
            self.is_over = True
            return None
        if status == 200:
            media_type = parse_content_type(response.headers.get("Content-Type", ""))[0]
            if media_type == "text/event-stream":
                self._has_opened = True
                return None
            self.end()
            what = f"content of type {media_type or '(none)'}, not text/event-stream"
            raise ResponseValidationError(self._answered(what), **response._evidence())
        if self._has_opened and self._settings.is_worth_it(response):
            return self._wait(f"status {status}", requested_wait(response, self._wall_clock))
        self.end()
        response.raise_for_status()
        message = self._answered(f"{status}, which brings no events")
        raise HttpStatusError(message, status_code=status, **response._evidence())

    def failed(self, error: HttpClientError) -> float | None:
        """Seconds to wait after a connection that could not be opened, or broke off. None to raise the error."""
        if self.is_over:  # as above
            return 0.0
        is_final = isinstance(error, (DeadlineExceededError, TlsVerificationError))
        if not self._has_opened or is_final or not isinstance(error, (TransportError, CallRefusedError)):
            self.end()
            return None
        return self._wait(type(error).__name__, getattr(error, "retry_after", None))

    def end(self) -> None:
        """End with an error."""
        self.is_over = self.has_failed = True

    def received(self, event: ServerSentEvent, decoder: EventStreamDecoder) -> None:
        """An event arrived."""
        self._continue_after(event.id)
        if self._fruitless:
            self._begin_afresh()
        self._note(decoder)

    def ended(self, decoder: EventStreamDecoder, error: HttpClientError | None) -> float | None:
        """Seconds to wait after a connection whose events have ended, with this error. None to raise it."""
        if self.is_over:  # as above
            return 0.0
        self._note(decoder)
        self._continue_after(decoder.last_event_id)
        if self._now() - self._opened_at >= _STEADY:
            self._begin_afresh()
        return self._wait("its end") if error is None else self.failed(error)

    def _begin_afresh(self) -> None:
        """The connection was a good one."""
        self._fruitless, self._delays = 0, self._new_delays()
        if self._budget is not None and self._withdrawal is not None:
            self._budget.record_success(self._withdrawal)  # a second time does nothing

    def _continue_after(self, event_id: str) -> None:
        if event_id != self.last_event_id and _UNSENDABLE(event_id) is None:
            self.last_event_id = event_id

    def _note(self, decoder: EventStreamDecoder) -> None:
        if decoder.retry is not None:
            self._delay = min(decoder.retry / 1000, _LONGEST)

    def _wait(self, cause: str, requested: float | None = None) -> float | None:
        self._fruitless += 1
        if self._most is not None and self._fruitless > self._most:
            self.end()
            if cause == "its end":
                message = f"{self._most + 1} connections in a row to {redact_url(self.url)} brought no event"
                raise StreamError(message)
            return None
        wait = max(self._delay, min(requested or 0.0, _LONGEST_PAUSE)) + next(self._delays)
        if self._fruitless > 1 and self._budget is not None:
            self._withdrawal = self._budget.try_withdraw()
            if self._withdrawal is None:
                wait += next(self._delays)  # nothing is left for retries: come back later than planned
        now = self._now()
        ends_at = earliest(None if self._ends_at is None else self._ends_at - now, self._now)
        if ends_at is not None and now + wait >= ends_at:
            self.end()
            message = (
                f"the deadline expires before the next connection to {redact_url(self.url)}, in {wait:.3g} s"
            )
            raise DeadlineExceededError(message)
        url = redact_url(self.url)
        fields = {"event": "reconnecting", "url": url, "delay": wait, "cause": cause}
        write(
            branch("events"), INFO, "reconnecting to %s in %.3f s after %s", url, wait, cause, fields=fields
        )
        return wait

    def _answered(self, what: str) -> str:
        return f"{self.method} {redact_url(self.url)} answered {what}"


def _check_repeatable(call: Call) -> None:
    request = call.request
    if not request.is_safe_to_repeat:
        raise InvalidRequestError(
            f"events() sends its {request.method} again when the connection ends; pass idempotent=True if that does no "
            "harm, or use stream() and iter_events()"
        )
    if request.body.content is None:
        raise InvalidRequestError(
            "events() sends its body again when the connection ends; pass bytes, text, a form or json"
        )


class _Source:
    """What both front ends share.

    response: that of the connection that is open, or was open last; None before the first.
    """

    _decoder: Any  # of the connection that is open, or was open last

    def __init__(self, listening: Listening, open_stream: Callable[[Any], Any]) -> None:
        self._listening = listening
        self._open_stream = open_stream
        self._events: Any = None  # of the open connection
        self._waits = Waits()
        self.response: Any = None

    @property
    def last_event_id(self) -> str:
        """The id of the last event, for `last_event_id=` of another source; "" if the server sent none."""
        return self._listening.last_event_id

    def close(self) -> None:
        """End the iteration and release the connection. Any thread may call it; a second call does nothing.

        A wait for the next connection ends at once, a connection that is being opened with its head or its timeout.
        """
        self._listening.is_over = True
        self._waits.end()
        if self.response is not None:
            self.response.close()

    def _pause(self, seconds: float) -> Plan[None]:
        """Wait for so long, or until the source is closed."""
        waits = self._waits
        waiter = waits.sleep(seconds).waiter
        try:
            if waits.enter(waiter):
                yield from Sleep(seconds, waiter)
        finally:
            waits.leave(waiter)
            waiter.release()

    def _check(self) -> None:
        if self._listening.has_failed:
            raise StreamError("these events ended with an error; call events() again for others")

    def _begin(self, response: Any, iterate: Any) -> float | None:
        """The connection is open: begin to read it, or return the wait before the next one."""
        listening = self._listening
        self.response = response
        try:
            wait = listening.opened(response)
        except BaseException:
            response.close()
            raise
        if wait is not None or listening.is_over:
            response.close()
            return wait
        self._decoder = listening.new_decoder()
        self._events = iterate(response, self._decoder, response._idle("event", listening.idle_timeout))
        return None

    def _end(self, error: HttpClientError | None) -> float | None:
        """The events of the connection have ended. Returns as `Listening.ended`."""
        self._events = None
        self.response.close()
        return self._listening.ended(self._decoder, error)

    def __repr__(self) -> str:
        listening = self._listening
        state = "over" if listening.is_over else "open" if self._events is not None else "not connected"
        return f"<{type(self).__name__} {listening.method} {redact_url(listening.url)} {state}>"


class EventSource(_Source):
    """The events of `HttpServiceClient.events`, an iterator: for `with`, which closes it, and `for`.

    It connects when the first event is asked for.
    """

    response: StreamedResponse | None

    def __iter__(self) -> EventSource:
        return self

    def __next__(self) -> ServerSentEvent:
        self._check()
        while not self._listening.is_over:
            found = self._connect() if self._events is None else self._receive()
            if isinstance(found, ServerSentEvent):
                return found
            if found is not None:
                assert self.response is not None  # a first connection that fails is not followed by a wait
                self.response._driver.run(self._pause(found))
        raise StopIteration

    def _connect(self) -> float | None:
        try:
            response = self._open_stream(self._listening.next_options())
        except HttpClientError as error:
            wait = self._listening.failed(error)
            if wait is None:
                raise
            return wait
        return self._begin(response, DecodedIterator)

    def _receive(self) -> ServerSentEvent | float | None:
        try:
            event: ServerSentEvent | None = next(self._events, None)
        except HttpClientError as error:
            wait = self._end(error)
            if wait is None:
                raise
            return wait
        except BaseException:
            # Cancelled, or interrupted: that took the connection, and the next step opens another.
            self._events = None
            raise
        if event is None:
            return self._end(None)
        self._listening.received(event, self._decoder)
        return event

    def __enter__(self) -> EventSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    if not TYPE_CHECKING:  # a type checker finds these mistakes on its own

        def _refuse(self, *_: object) -> NoReturn:
            raise TypeError(
                "these events are read by blocking calls: write 'with' and 'for', "
                "or in asyncio 'async with client.events_async(…) as events'"
            )

        __aiter__ = __aenter__ = __aexit__ = _refuse


class AsyncEventSource(_Source):
    """The events of `HttpServiceClient.events_async`: as `EventSource`, for `async with` and `async for`."""

    response: AsyncStreamedResponse | None

    def __aiter__(self) -> AsyncEventSource:
        return self

    async def __anext__(self) -> ServerSentEvent:
        self._check()
        while not self._listening.is_over:
            found = await (self._connect() if self._events is None else self._receive())
            if isinstance(found, ServerSentEvent):
                return found
            if found is not None:
                assert self.response is not None  # as above
                await self.response._driver.run(self._pause(found))
        raise StopAsyncIteration

    async def _connect(self) -> ServerSentEvent | float | None:
        try:
            response = await self._open_stream(self._listening.next_options())
        except HttpClientError as error:
            wait = self._listening.failed(error)
            if wait is None:
                raise
            return wait
        return self._begin(response, AsyncDecodedIterator)

    async def _receive(self) -> ServerSentEvent | float | None:
        try:
            event: ServerSentEvent | None = await anext(self._events, None)
        except HttpClientError as error:
            wait = self._end(error)
            if wait is None:
                raise
            return wait
        except BaseException:
            # Cancelled, or interrupted: that took the connection, and the next step opens another.
            self._events = None
            raise
        if event is None:
            return self._end(None)
        self._listening.received(event, self._decoder)
        return event

    async def __aenter__(self) -> AsyncEventSource:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    if not TYPE_CHECKING:  # a type checker finds these mistakes on its own

        def _refuse(self, *_: object) -> NoReturn:
            raise TypeError("these events are read in asyncio: write 'async with' and 'async for'")

        __iter__ = __enter__ = __exit__ = _refuse

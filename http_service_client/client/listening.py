"""`client.events(url)`: server-sent events that go on when the connection ends."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from ..drivers.imports import import_apart
from . import streams
from .call_builder import CallBuilder
from .config.defaults import MAX_LENGTH
from .download_parallel import ParallelDownloads
from .keywords import StreamRequestOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..drivers.clocks import Clock

__all__ = ["Events"]

_Arguments = tuple[str | None, float, int | None, int | None, float | None]


class Events(ParallelDownloads):
    """`events` and `events_async`, made of `stream` and `stream_async`."""

    __slots__ = ()

    _call_builder: CallBuilder
    _clock: Clock
    _random: Callable[[], float]

    @abstractmethod
    def _open_stream(self, method: str, url: str, max_size: int | None, options: StreamRequestOptions) -> Any:
        """Open a stream."""

    @abstractmethod
    async def _open_stream_async(
        self, method: str, url: str, max_size: int | None, options: StreamRequestOptions
    ) -> Any:
        """Open a stream."""

    def events(
        self,
        url: str,
        *,
        method: str = "GET",
        last_event_id: str | None = None,
        reconnect_delay: float = 3.0,
        max_reconnects: int | None = None,
        max_length: int | None = MAX_LENGTH,
        idle_timeout: float | None = None,
        **options: Unpack[StreamRequestOptions],
    ) -> streams.EventSource:
        """Server-sent events that go on when the connection ends: ``with client.events(url) as events``.

        A new connection begins after the last event, by `Last-Event-ID`. 204 ends the events; another status than 200,
        or another content type than text/event-stream, is an error.

        url: absolute, or relative to the client's `base_url`.
        method: such as "GET" or "POST"; one that is not idempotent needs `idempotent=True` or an idempotency key.
        last_event_id: of the last event before, to continue after it; None to begin at the server's choice.
        reconnect_delay: seconds to wait before a reconnection, until the server sets them by `retry:`.
        max_reconnects: connections in a row that bring no event before it gives up; None for no limit.
        max_length: characters of one event, None for no limit.
        idle_timeout: seconds to wait for each event, comments not counted; then it reconnects. None for no limit but
            that of the bytes, which `timeout` sets.
        path_params: values for the ``{name}`` placeholders in the path of the URL, each encoded to stay within its segment.
        params: query parameters, added to those of the URL; values of None are left out.
        headers: replace default headers of the same name; a value of None leaves a default header out.
        json: sent as application/json.   data: a form, text, bytes, a file or an iterable of bytes.
        files: a multipart form, whose plain fields are `data`.
        cookies: names and values, for this call alone.
        auth: (user, password), a bearer token, or an object with an auth flow; False or None for none.
        timeout: seconds for each attempt as a whole, or a `Timeout`; None for no limit.
        total_timeout: seconds for all connections and the waits between them; None for no limit.
        allow_redirects: False returns the redirect itself.
        retry_policy: a `RetryPolicy` for this call; False or None for a single attempt.
        circuit_breaker: a `CircuitBreakerPolicy` for this call; False or None for no circuit breaker.
        retry_budget: False or None for retries that the budget does not count.
        fallback: a `FallbackPolicy` for this call; False or None for no fallback.
        hedging: a `HedgingPolicy` for this call; False or None for no hedges.
        key: a name, such as a tenant's, that has a circuit, retry budget, throttle gate and connection slots of its own at
            each origin; None for those of the origin.
        idempotent: True if processing the request twice does no harm, False if it does; None decides by the
            method and the headers.
        progress: called during an upload with the bytes sent and the total (None if unknown), from 0 in each
            attempt; True draws a bar with tqdm, a text one with this label.
        decompress: False returns the body as it arrived, with its content coding; True decodes it.
        name: of this kind of call, such as "charge card": events, the log, metrics and `explain()` have it.
        error_type: a type as for `response_type`: `data` of a 4xx or 5xx response, and of its HttpStatusError, is then of
            this type, or None where the body is not.

        The first connection is made when the first event is asked for, with the retries of any call; what it raises is
        raised. Each reconnection is one attempt, after the server's delay and a backoff of the retry policy, which
        grows while connections bring nothing. The circuit breaker and the retry budget hold for them.

        Raises InvalidRequestError or ConfigurationError when an argument is wrong, or the request may not or cannot be
        sent again. The iteration raises HttpStatusError and ResponseValidationError for a response without events,
        DecodingError for an event that is too large, DeadlineExceededError, and after `max_reconnects` what the last
        connection ended with.
        """
        arguments = (last_event_id, reconnect_delay, max_reconnects, max_length, idle_timeout)
        listening = self._listening(method, url, arguments, options)
        return streams.EventSource(listening, partial(self._open_stream, method, url, None))

    def events_async(
        self,
        url: str,
        *,
        method: str = "GET",
        last_event_id: str | None = None,
        reconnect_delay: float = 3.0,
        max_reconnects: int | None = None,
        max_length: int | None = MAX_LENGTH,
        idle_timeout: float | None = None,
        **options: Unpack[StreamRequestOptions],
    ) -> streams.AsyncEventSource:
        """As `events`, in an asyncio task: ``async with client.events_async(url) as events``, and ``async for``.

        url: absolute, or relative to the client's `base_url`.
        method: such as "GET" or "POST"; one that is not idempotent needs `idempotent=True` or an idempotency key.
        last_event_id: of the last event before, to continue after it; None to begin at the server's choice.
        reconnect_delay: seconds to wait before a reconnection, until the server sets them by `retry:`.
        max_reconnects: connections in a row that bring no event before it gives up; None for no limit.
        max_length: characters of one event, None for no limit.
        idle_timeout: seconds to wait for each event, comments not counted; then it reconnects. None for no limit but
            that of the bytes, which `timeout` sets.
        path_params: values for the ``{name}`` placeholders in the path of the URL, each encoded to stay within its segment.
        params: query parameters, added to those of the URL; values of None are left out.
        headers: replace default headers of the same name; a value of None leaves a default header out.
        json: sent as application/json.   data: a form, text, bytes, a file or an iterable of bytes.
        files: a multipart form, whose plain fields are `data`.
        cookies: names and values, for this call alone.
        auth: (user, password), a bearer token, or an object with an auth flow; False or None for none.
        timeout: seconds for each attempt as a whole, or a `Timeout`; None for no limit.
        total_timeout: seconds for all connections and the waits between them; None for no limit.
        allow_redirects: False returns the redirect itself.
        retry_policy: a `RetryPolicy` for this call; False or None for a single attempt.
        circuit_breaker: a `CircuitBreakerPolicy` for this call; False or None for no circuit breaker.
        retry_budget: False or None for retries that the budget does not count.
        fallback: a `FallbackPolicy` for this call; False or None for no fallback.
        hedging: a `HedgingPolicy` for this call; False or None for no hedges.
        key: a name, such as a tenant's, that has a circuit, retry budget, throttle gate and connection slots of its own at
            each origin; None for those of the origin.
        idempotent: True if processing the request twice does no harm, False if it does; None decides by the
            method and the headers.
        progress: called during an upload with the bytes sent and the total (None if unknown), from 0 in each
            attempt; True draws a bar with tqdm, a text one with this label.
        decompress: False returns the body as it arrived, with its content coding; True decodes it.
        name: of this kind of call, such as "charge card": events, the log, metrics and `explain()` have it.
        error_type: a type as for `response_type`: `data` of a 4xx or 5xx response, and of its HttpStatusError, is then of
            this type, or None where the body is not.

        Raises as `events`.
        """
        arguments = (last_event_id, reconnect_delay, max_reconnects, max_length, idle_timeout)
        listening = self._listening(method, url, arguments, options)
        return streams.AsyncEventSource(listening, partial(self._open_stream_async, method, url, None))

    def _listening(self, method: str, url: str, arguments: _Arguments, options: Any) -> streams.Listening:
        import_apart(_load_events)
        total_timeout = self._call_builder.total_timeout(options)
        build = self._call_builder.build
        return streams.Listening(
            build, method, url, self._clock, self._random, *arguments, total_timeout, options
        )


def _load_events() -> None:
    """Import what streams of events need, before the first call begins."""
    from .streams import event_source, response  # noqa: F401

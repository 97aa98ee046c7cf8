"""The front door: one client object, the same verbs for blocking and for async code.

Both front ends take the same four steps: build the call, run the plan that the layers make of it, close
the timeline, return or raise. The layers in `core/` decide; the drivers in `drivers/` wait and perform.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from .. import observability, policies
from ..core.checks import (
    check_duration,
    check_flag,
    check_number,
    refuse_awaitable,
    suggests_arguments,
    suggests_keywords,
)
from ..drivers.clocks import Clock, SystemClock, is_in_trio
from ..drivers.greenlets import is_running_here
from ..drivers.imports import import_apart
from ..drivers.loggers import log_hook
from ..drivers.randomness import unseeded_random
from ..errors import ConfigurationError, Failure
from ..http.messages import HttpContext, HttpRequest, HttpResponse
from ..observability.accounts import MOST_WAITING, ClientAccount
from ..observability.collector import MetricsCollector
from ..observability.metrics import HttpMetrics
from ..observability.recent import LONGEST_WINDOW, RecentCalls
from ..policies.logs import IS_LOGGED, log_event
from . import streams
from .backends import Backends, check_parts
from .config.client_config import HttpClientConfig, renamed
from .config.defaults import CLIENT_DEFAULT
from .listening import Events
from .reconfiguration import Assembly
from .results import check_download, finish, open_stream
from .views import ViewCallBuilder, about_assignment, check_view_options
from .wiring import cookie_jar

if TYPE_CHECKING:
    from typing_extensions import Self, TypeVar, Unpack

    from ..core.layers.telemetry import Telemetry
    from ..core.machines.circuit_breaker.breaker import CircuitBreaker
    from ..core.machines.circuit_breaker.changes import CircuitBreakerChanges
    from ..core.machines.circuit_breaker.states import StateChange
    from ..events import Event
    from ..http.cookies.jar import CookieJar
    from ..observability.load import ClientLoad
    from ..policies.cache import Cache
    from .keywords import SendOptions, StreamRequestOptions
    from .views import ViewOptions

    T = TypeVar("T", default=None)  # of the data: None without a `response_type`

__all__ = ["HttpServiceClient"]

_LOOK_EVERY = 0.01  # seconds between two looks at the calls in flight, while `close` waits for them


_SETTINGS = frozenset(item.name for item in fields(HttpClientConfig))


def _about_setting(name: str) -> str | None:
    return f"pass dataclasses.replace(client.config, {name}=…)" if name in _SETTINGS else renamed().get(name)


@suggests_keywords(lambda: renamed() | dict.fromkeys(_SETTINGS, "set it in HttpClientConfig"))
class HttpServiceClient(Events):
    """An HTTP client for calls that matter: retries, circuit breakers, deadlines, one timeline.

    config: see `HttpClientConfig`; None for the defaults.
    base_url: prefix of relative URLs, such as ``https://api.example.com/v1``; None for that of the configuration.
    transport: replaces the network, sync and async, such as a `testing.ScriptedTransport`; None for
        connections of the client's own. It ends each exchange within the timeout that it is passed, as nothing else does.
    metrics: an `HttpMetrics` to feed, or a `MetricsCollector`; None for one of its own.
    on_event: called with each event of each call, and each `StateChange` of a circuit.
    on_exchange: called after each exchange on the wire, such as a redirect or a retry, with the request as it was
        sent, its outcome (an `HttpResponse` or an `errors.Failure`), and the context of the call.
    cache: a `Cache` of responses, which several clients may share; None for none.
    telemetry: an `observability.OpenTelemetry`, which several clients may share; None for that of all clients, if
        `observability.instrument` has set one; False for none.
    interceptor_factory: makes an interceptor from its class, such as a container's; None calls the class.
    clock: the time that calls wait and are measured by.   random: uniform floats in [0, 1), for the jitter.

    Thread-safe, and usable from any number of event loops at once. Close it with `close()`,
    `await close_async()`, or by `with` / `async with`.
    Settings are those of `config` until `reconfigure` replaces it; `with_options` makes a view with others.

    Raises ConfigurationError for a wrong setting.
    """

    config: HttpClientConfig
    _view_of: HttpServiceClient  # of a view: the client, or the view, that it was made of

    def __init__(
        self,
        config: HttpClientConfig | None = None,
        *,
        base_url: str | None = None,
        transport: object = None,
        metrics: HttpMetrics | MetricsCollector | None = None,
        on_event: Callable[[Event | StateChange], None] | None = None,
        on_exchange: Callable[[HttpRequest, HttpResponse | Failure, HttpContext], object] | None = None,
        interceptor_factory: Callable[[type], object] | None = None,
        cache: Cache | None = None,
        telemetry: Telemetry | Literal[False] | None = None,
        clock: Clock | None = None,
        random: Callable[[], float] | None = None,
    ) -> None:
        if config is not None:
            _check_config(config)
        check_parts(
            transport,
            clock,
            random=random,
            on_event=on_event,
            on_exchange=on_exchange,
            interceptor_factory=interceptor_factory,
        )
        if cache is not None and not isinstance(cache, policies.Cache):
            raise ConfigurationError(f"cache must be a Cache or None, not {cache!r}; write cache=Cache()")
        config = config or HttpClientConfig()
        vars(self)["config"] = config
        self._has_warned = False
        self._collector = metrics if isinstance(metrics, MetricsCollector) else MetricsCollector(metrics)
        clock, random = clock or SystemClock(), random or unseeded_random
        self._clock, self._random = clock, random
        self._recent = RecentCalls(clock.monotonic, self.metrics._lock)
        self._assembly = Assembly(
            config,
            base_url,
            transport=transport,
            clock=clock,
            random=random,
            listener=_listener(self._collector, self._recent, clock.monotonic, on_event),
            interceptor_factory=interceptor_factory,
            on_exchange=on_exchange,
            cache=cache,
            telemetry=telemetry,
        )
        self._call_builder = self._assembly.builder(config)
        self._assembly.follow_telemetry(self)
        self._view_options: tuple[ViewOptions, ...] = ()

    @property
    def _backends(self) -> Backends:
        return self._call_builder.backends

    def with_options(self, **options: Unpack[ViewOptions]) -> Self:
        """This client with other defaults for its calls: ``client.with_options(timeout=5, key="tenant-a")``.

        The result is a client as well. It shares everything with this one (connections, circuits, retry budgets, limits,
        metrics, listeners), is made in microseconds, and may have views of its own. A call's own keywords come first.

        timeout, total_timeout, allow_redirects, retry_policy, circuit_breaker, retry_budget, key, name, decompress,
            error_type: as in a call.
        auth: as in `HttpClientConfig`; False or None for no credentials.
        base_url: prefix of relative URLs; None for none.
        default_headers: replace those of the same name; a value of None leaves a header out.
        cookies: True for a jar of the view's own, a `CookieJar`, or False for none.
        cache: another `Cache`; False for none.
        proxy: as in `HttpClientConfig`. The connections through it are open for as long as the view is kept, and count
            for the limits of the client.

        `close` of the view ends the view only; that of the client ends all. Raises TypeError for an unknown option and
        ConfigurationError for a wrong value.
        """
        check_view_options(options)
        view = object.__new__(type(self))
        parts = vars(view)  # an assignment would be checked
        parts.update(vars(self))
        if "cookies" in options:
            options["cookies"] = cookie_jar(options["cookies"])  # type: ignore[typeddict-item]  # the jar itself, or None
        with self._assembly.lock:
            parts["_call_builder"] = ViewCallBuilder(self._call_builder, options)
            parts.update(config=self.config, _view_of=self, _view_options=(*self._view_options, options))
            self._assembly.views[id(view)] = view
        return view

    # The two front ends.

    def request(
        self,
        method: str,
        url: str,
        *,
        response_type: type[T] | None = None,
        **options: Unpack[StreamRequestOptions],
    ) -> HttpResponse[T]:
        """Make a call and return the response, whatever its status.

        method: such as "GET"; case does not matter.   url: absolute, or relative to the client's `base_url`.
        path_params: values for the ``{name}`` placeholders in the path of the URL, each encoded to stay within its segment.
        params: query parameters, added to those of the URL; values of None are left out.
        headers: replace default headers of the same name; a value of None leaves a default header out.
        json: sent as application/json.   data: a form, text, bytes, a file or an iterable of bytes.
        files: a multipart form, whose plain fields are `data`.
        cookies: names and values, for this call alone.
        auth: (user, password), a bearer token, or an object with an auth flow; False or None for none.
        timeout: seconds for each attempt as a whole, or a `Timeout`; None for no limit.
        total_timeout: seconds for the call, waits between attempts included; None for no limit.
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
        response_type: any type that pydantic can validate; `data` of a 2xx response is then of this type.
        progress: called during an upload with the bytes sent and the total (None if unknown), from 0 in each
            attempt; True draws a bar with tqdm, a text one with this label.
        decompress: False returns the body as it arrived, with its content coding; True decodes it.
        name: of this kind of call, such as "charge card": events, the log, metrics and `explain()` have it.
        error_type: a type as for `response_type`: `data` of a 4xx or 5xx response, and of its HttpStatusError, is then of
            this type, or None where the body is not.

        auth, timeout, total_timeout, retry_policy, circuit_breaker, retry_budget and decompress are the client's own
        when left out.

        Raises InvalidRequestError or ConfigurationError, before anything is sent, when an argument is wrong;
        CircuitOpenError when the circuit breaker rejects the call; TransportError when no complete response
        was received; ResponseValidationError when a 2xx response is not of the `response_type`. Every error
        carries the timeline.
        """
        builder = self._call_builder  # all of one configuration
        # The first time imports the transport, before the call's time starts.
        driver = builder.backends.blocking()
        call = builder.build_of(method, url, response_type, options)
        self._warn_inside_a_loop()
        pipeline = builder.pipelines.of(call)
        outcome = driver.run(pipeline(call.request, call))
        return finish(call, outcome, response_type)

    async def request_async(
        self,
        method: str,
        url: str,
        *,
        response_type: type[T] | None = None,
        **options: Unpack[StreamRequestOptions],
    ) -> HttpResponse[T]:
        """As `request`, in an asyncio task.

        method: such as "GET"; case does not matter.   url: absolute, or relative to the client's `base_url`.
        path_params: values for the ``{name}`` placeholders in the path of the URL, each encoded to stay within its segment.
        params: query parameters, added to those of the URL; values of None are left out.
        headers: replace default headers of the same name; a value of None leaves a default header out.
        json: sent as application/json.   data: a form, text, bytes, a file or an iterable of bytes.
        files: a multipart form, whose plain fields are `data`.
        cookies: names and values, for this call alone.
        auth: (user, password), a bearer token, or an object with an auth flow; False or None for none.
        timeout: seconds for each attempt as a whole, or a `Timeout`; None for no limit.
        total_timeout: seconds for the call, waits between attempts included; None for no limit.
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
        response_type: any type that pydantic can validate; `data` of a 2xx response is then of this type.
        progress: called during an upload with the bytes sent and the total (None if unknown), from 0 in each
            attempt; True draws a bar with tqdm, a text one with this label.
        decompress: False returns the body as it arrived, with its content coding; True decodes it.
        name: of this kind of call, such as "charge card": events, the log, metrics and `explain()` have it.
        error_type: a type as for `response_type`: `data` of a 4xx or 5xx response, and of its HttpStatusError, is then of
            this type, or None where the body is not.

        auth, timeout, total_timeout, retry_policy, circuit_breaker, retry_budget and decompress are the client's own
        when left out.
        Raises as `request`.
        """
        builder = self._call_builder
        driver = builder.backends.asyncio()  # may import modules: before the call's time starts
        call = builder.build_of(method, url, response_type, options)
        pipeline = builder.pipelines.of(call)
        outcome = await driver.run(pipeline(call.request, call))
        return finish(call, outcome, response_type)

    def send(
        self, request: HttpRequest, *, response_type: type[T] | None = None, **options: Unpack[SendOptions]
    ) -> HttpResponse[T]:
        """Send a request that was kept, a dead letter say, as a call with all policies.

        request: such as `error.request`, or what was unpickled of it. Its method, URL, headers and body are sent, under
            the same Idempotency-Key. The client's headers and credentials take the place of those that it does not have.
        auth: (user, password), a bearer token, or an object with an auth flow; False or None for none.
        timeout: seconds for each attempt as a whole, or a `Timeout`; None for no limit.
        total_timeout: seconds for the call, waits between attempts included; None for no limit.
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
        response_type: any type that pydantic can validate; `data` of a 2xx response is then of this type.
        progress: called during an upload with the bytes sent and the total (None if unknown), from 0 in each
            attempt; True draws a bar with tqdm, a text one with this label.
        decompress: False returns the body as it arrived, with its content coding; True decodes it.
        name: of this kind of call, such as "charge card": events, the log, metrics and `explain()` have it.
        error_type: a type as for `response_type`: `data` of a 4xx or 5xx response, and of its HttpStatusError, is then of
            this type, or None where the body is not.

        auth, timeout, total_timeout, retry_policy, circuit_breaker, retry_budget and decompress are the client's own
        when left out.

        A pickle of a request has ``***`` for its credentials. InvalidRequestError says so if the client has none to put
        there, if a secret of the URL is missing, or if the body was a stream, which cannot be kept. A request that a
        redirect led to another origin gets no credentials of the client.

        Raises as `request`.
        """
        builder = self._call_builder
        driver = builder.backends.blocking()
        call = builder.build_kept(request, response_type, **options)
        self._warn_inside_a_loop()
        pipeline = builder.pipelines.of(call)
        outcome = driver.run(pipeline(call.request, call))
        return finish(call, outcome, response_type)

    async def send_async(
        self, request: HttpRequest, *, response_type: type[T] | None = None, **options: Unpack[SendOptions]
    ) -> HttpResponse[T]:
        """As `send`, in an asyncio task.

        request: such as `error.request`, or what was unpickled of it. Its method, URL, headers and body are sent, under
            the same Idempotency-Key. The client's headers and credentials take the place of those that it does not have.
        auth: (user, password), a bearer token, or an object with an auth flow; False or None for none.
        timeout: seconds for each attempt as a whole, or a `Timeout`; None for no limit.
        total_timeout: seconds for the call, waits between attempts included; None for no limit.
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
        response_type: any type that pydantic can validate; `data` of a 2xx response is then of this type.
        progress: called during an upload with the bytes sent and the total (None if unknown), from 0 in each
            attempt; True draws a bar with tqdm, a text one with this label.
        decompress: False returns the body as it arrived, with its content coding; True decodes it.
        name: of this kind of call, such as "charge card": events, the log, metrics and `explain()` have it.
        error_type: a type as for `response_type`: `data` of a 4xx or 5xx response, and of its HttpStatusError, is then of
            this type, or None where the body is not.

        auth, timeout, total_timeout, retry_policy, circuit_breaker, retry_budget and decompress are the client's own
        when left out.
        Raises as `send`.
        """
        builder = self._call_builder
        driver = builder.backends.asyncio()
        call = builder.build_kept(request, response_type, **options)
        pipeline = builder.pipelines.of(call)
        outcome = await driver.run(pipeline(call.request, call))
        return finish(call, outcome, response_type)

    def stream(
        self,
        method: str,
        url: str,
        *,
        max_response_size: int | None = CLIENT_DEFAULT,
        **options: Unpack[StreamRequestOptions],
    ) -> streams.StreamContext:
        """Make a call and read the response's body as it arrives: ``with client.stream("GET", url) as response``.

        method: such as "GET"; case does not matter.   url: absolute, or relative to the client's `base_url`.
        max_response_size: decoded bytes; None for no limit; left out, the client's limit bounds what is kept in memory.
        path_params: values for the ``{name}`` placeholders in the path of the URL, each encoded to stay within its segment.
        params: query parameters, added to those of the URL; values of None are left out.
        headers: replace default headers of the same name; a value of None leaves a default header out.
        json: sent as application/json.   data: a form, text, bytes, a file or an iterable of bytes.
        files: a multipart form, whose plain fields are `data`.
        cookies: names and values, for this call alone.
        auth: (user, password), a bearer token, or an object with an auth flow; False or None for none.
        timeout: seconds for each attempt as a whole, or a `Timeout`; None for no limit.
        total_timeout: seconds for the call, waits between attempts included; None for no limit.
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

        The timeout bounds the attempt until the headers have arrived. After that it, or `Timeout.read`, bounds
        each wait for more of the body, and `total_timeout` bounds the whole call.
        auth, timeout, total_timeout, retry_policy, circuit_breaker, retry_budget and decompress are the client's own
        when left out.

        Raises as `request`, on entering the block; `StreamedResponse` says what reading raises.
        """
        import_apart(_load_streams)
        return streams.StreamContext(partial(self._open_stream, method, url, max_response_size, options))

    def stream_async(
        self,
        method: str,
        url: str,
        *,
        max_response_size: int | None = CLIENT_DEFAULT,
        **options: Unpack[StreamRequestOptions],
    ) -> streams.AsyncStreamContext:
        """As `stream`, in an asyncio task: ``async with client.stream_async("GET", url) as response``.

        method: such as "GET"; case does not matter.   url: absolute, or relative to the client's `base_url`.
        max_response_size: decoded bytes; None for no limit; left out, the client's limit bounds what is kept in memory.
        path_params: values for the ``{name}`` placeholders in the path of the URL, each encoded to stay within its segment.
        params: query parameters, added to those of the URL; values of None are left out.
        headers: replace default headers of the same name; a value of None leaves a default header out.
        json: sent as application/json.   data: a form, text, bytes, a file or an iterable of bytes.
        files: a multipart form, whose plain fields are `data`.
        cookies: names and values, for this call alone.
        auth: (user, password), a bearer token, or an object with an auth flow; False or None for none.
        timeout: seconds for each attempt as a whole, or a `Timeout`; None for no limit.
        total_timeout: seconds for the call, waits between attempts included; None for no limit.
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

        The timeout bounds the attempt until the headers have arrived. After that it, or `Timeout.read`, bounds
        each wait for more of the body, and `total_timeout` bounds the whole call.
        auth, timeout, total_timeout, retry_policy, circuit_breaker, retry_budget and decompress are the client's own
        when left out.

        Raises as `request_async`, on entering the block; `AsyncStreamedResponse` says what reading raises.
        """
        import_apart(_load_streams)
        return streams.AsyncStreamContext(
            partial(self._open_stream_async, method, url, max_response_size, options)
        )

    def _open_stream(
        self, method: str, url: str, max_size: int | None, options: StreamRequestOptions
    ) -> streams.StreamedResponse:
        builder = self._call_builder
        driver = builder.backends.blocking()
        call = builder.build(method, url, _stream=builder.streaming(max_size, options), **options)
        self._warn_inside_a_loop()
        pipeline = builder.pipelines.of(call)
        try:
            outcome = driver.run(pipeline(call.request, call))
            return streams.StreamedResponse(call, open_stream(call, outcome), driver)
        except BaseException as error:
            call.abort(error)  # the body may be open, and nobody owns it yet
            raise

    async def _open_stream_async(
        self, method: str, url: str, max_size: int | None, options: StreamRequestOptions
    ) -> streams.AsyncStreamedResponse:
        builder = self._call_builder
        driver = builder.backends.asyncio()
        call = builder.build(method, url, _stream=builder.streaming(max_size, options), **options)
        pipeline = builder.pipelines.of(call)
        outcome = await driver.run(pipeline(call.request, call))
        return streams.AsyncStreamedResponse(call, open_stream(call, outcome), driver)

    def download(
        self,
        url: str,
        path: str | os.PathLike[str],
        *,
        checksum: str | None = None,
        max_response_size: int | None = CLIENT_DEFAULT,
        resume: bool = False,
        **options: Unpack[StreamRequestOptions],
    ) -> HttpResponse:
        """GET a resource into a file, which appears at `path` complete or not at all.

        A connection that breaks mid-body is a failed attempt. The next attempt resumes where it stopped if the
        server can confirm that the resource is unchanged; otherwise it starts over.

        url: absolute, or relative to the client's `base_url`.   path: of the file; its folder must exist.
        checksum: what the file must have, such as ``sha256:9f86d0...``.
        resume: keep what has arrived when the download fails or its process is killed; the next download of the
            same URL to the same path, with resume=True, continues there if the file is still the same.
        max_response_size: decoded bytes, over all attempts; None for no limit; left out, the client's.
        path_params: values for the ``{name}`` placeholders in the path of the URL, each encoded to stay within its segment.
        params: query parameters, added to those of the URL; values of None are left out.
        headers: replace default headers of the same name; a value of None leaves a default header out.
        json: sent as application/json.   data: a form, text, bytes, a file or an iterable of bytes.
        files: a multipart form, whose plain fields are `data`.
        cookies: names and values, for this call alone.
        auth: (user, password), a bearer token, or an object with an auth flow; False or None for none.
        timeout: seconds for each attempt as a whole, or a `Timeout`; None for no limit.
        total_timeout: seconds for the call, waits between attempts included; None for no limit.
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
        progress: called with the bytes received and the total (None if unknown), plain or async; True draws a
            bar with tqdm, a text one with this label.
        decompress: False returns the body as it arrived, with its content coding; True decodes it.
        name: of this kind of call, such as "charge card": events, the log, metrics and `explain()` have it.
        error_type: a type as for `response_type`: `data` of a 4xx or 5xx response, and of its HttpStatusError, is then of
            this type, or None where the body is not.

        auth, timeout, total_timeout, retry_policy, circuit_breaker, retry_budget and decompress are the client's own
        when left out.

        Returns the response without its content, which is in the file; with status 304, when If-None-Match or
        If-Modified-Since is among the headers and the file at `path` is still current. Raises as `request`;
        HttpStatusError when the final status is another one than 200 or 206, ChecksumError, and OSError when the
        file cannot be written.
        """
        check_flag("resume", resume)
        builder = self._call_builder
        driver = builder.backends.blocking()
        import_apart(_load_download)
        from ..core.layers.download import Download
        from .downloads.part_file import PartFile

        with PartFile(path, checksum, resume) as file:
            stream = builder.streaming(max_response_size, options, Download(file))
            call = builder.build("GET", url, _stream=stream, **options)
            self._warn_inside_a_loop()
            outcome = driver.run(builder.pipelines.of_download(call)(call.request, call))
            return check_download(finish(call, outcome, None))

    async def download_async(
        self,
        url: str,
        path: str | os.PathLike[str],
        *,
        checksum: str | None = None,
        max_response_size: int | None = CLIENT_DEFAULT,
        resume: bool = False,
        **options: Unpack[StreamRequestOptions],
    ) -> HttpResponse:
        """As `download`, in an asyncio task; the file is written in a thread.

        url: absolute, or relative to the client's `base_url`.   path: of the file; its folder must exist.
        checksum: what the file must have, such as ``sha256:9f86d0...``.
        resume: keep what has arrived when the download fails or its process is killed; the next download of the
            same URL to the same path, with resume=True, continues there if the file is still the same.
        max_response_size: decoded bytes, over all attempts; None for no limit; left out, the client's.
        path_params: values for the ``{name}`` placeholders in the path of the URL, each encoded to stay within its segment.
        params: query parameters, added to those of the URL; values of None are left out.
        headers: replace default headers of the same name; a value of None leaves a default header out.
        json: sent as application/json.   data: a form, text, bytes, a file or an iterable of bytes.
        files: a multipart form, whose plain fields are `data`.
        cookies: names and values, for this call alone.
        auth: (user, password), a bearer token, or an object with an auth flow; False or None for none.
        timeout: seconds for each attempt as a whole, or a `Timeout`; None for no limit.
        total_timeout: seconds for the call, waits between attempts included; None for no limit.
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
        progress: called with the bytes received and the total (None if unknown), plain or async; True draws a
            bar with tqdm, a text one with this label.
        decompress: False returns the body as it arrived, with its content coding; True decodes it.
        name: of this kind of call, such as "charge card": events, the log, metrics and `explain()` have it.
        error_type: a type as for `response_type`: `data` of a 4xx or 5xx response, and of its HttpStatusError, is then of
            this type, or None where the body is not.

        auth, timeout, total_timeout, retry_policy, circuit_breaker, retry_budget and decompress are the client's own
        when left out.
        Returns and raises as `download`.
        """
        check_flag("resume", resume)
        builder = self._call_builder
        driver = builder.backends.asyncio()
        import_apart(_load_download)
        from ..core.layers.download import BLOCK_FOR_A_THREAD, Download
        from .downloads.part_file import PartFile

        with PartFile(path, checksum, resume) as file:
            saver = Download(file, block=BLOCK_FOR_A_THREAD)
            stream = builder.streaming(max_response_size, options, saver)
            call = builder.build("GET", url, _stream=stream, **options)
            outcome = await driver.run(builder.pipelines.of_download(call)(call.request, call))
            return check_download(finish(call, outcome, None))

    def _warn_inside_a_loop(self) -> None:
        if self._has_warned:
            return
        asyncio = sys.modules.get("asyncio")  # without the import, no loop runs
        loop = None if asyncio is None else asyncio._get_running_loop()
        if is_running_here(loop):
            message = "a blocking call inside a running event loop stops all of its tasks; use the *_async methods there"
        elif is_in_trio():
            message = (
                "a blocking call in a task of trio stops all other tasks; "
                "make it in a thread: await trio.to_thread.run_sync(client.get, url)"
            )
        else:
            return
        self._has_warned = True
        from .call_site import warn_caller

        warn_caller(message, RuntimeWarning)

    # Metrics and state.

    @property
    def metrics(self) -> HttpMetrics:
        """The counters and histograms of this client."""
        return self._collector.metrics

    @property
    def cookies(self) -> CookieJar | None:
        """The jar of this client, or None without one (see `HttpClientConfig.cookies`)."""
        return self._call_builder.jar

    def get_circuit_breaker_states(self) -> dict[str, str]:
        """The state of each circuit, such as ``{"https://api.example.com": "closed"}``.

        A `CircuitBreakerPolicy` that a call brought along appears under its name.
        """
        origins = self._call_builder.origins.items()
        states = {key: state.breaker.state.value for key, state in origins if state.breaker is not None}
        for policy in list(self._call_builder.policies.values()):
            name = policy.name or "unnamed circuit breaker"
            states[name if name not in states else f"{name} {id(policy):#x}"] = policy.state.value
        return states

    def get_circuit_breaker(self, key: str) -> CircuitBreaker | None:
        """The circuit of an origin such as ``https://api.example.com``, to inspect, isolate or reset; None if unknown.

        key: the origin, as `get_circuit_breaker_states` lists it.
        """
        return next(
            (state.breaker for known, state in self._call_builder.origins.items() if known == key), None
        )

    @suggests_arguments(_about_setting)
    def reconfigure(self, config: HttpClientConfig) -> None:
        """Change the settings while the client runs: ``client.reconfigure(HttpClientConfig.from_file(path))``.

        What the calls have learned stays: circuits, budgets, throttle gates, cookies, counts; and so do connections, unless
        the settings of connections change (TLS, proxies, sockets, keep-alive, sizes of responses, `egress_policy`): then
        those in use are closed after their exchange, and the others at once. Views get the new settings too, beneath their
        own options. A jar, and an interceptor that is listed as a class, stay the same object.

        A call goes by the settings of the instant at which it began, retries and redirects included; circuits, budgets and
        limits, which calls share, change for all calls at once. A call sees all of the new settings or none of them.

        config: of which every setting counts, also those that have their default: make it from the file again, or by
            `dataclasses.replace(client.config, …)`. It replaces what `reconfigure_circuit_breakers` has changed.

        Threads may call it. Raises ConfigurationError for a configuration that the client or a view cannot have, and for a
        view, which has the settings of its client; ClientClosedError when the client is closed. Then nothing has changed.
        """
        _check_config(config)
        if isinstance(self._call_builder, ViewCallBuilder):
            raise ConfigurationError(
                "a view has the settings of its client; call reconfigure() of the client that it was made of, "
                "or make another view"
            )
        self._assembly.reconfigure(self, config)

    def reconfigure_circuit_breakers(self, **changes: Unpack[CircuitBreakerChanges]) -> None:
        """Change the settings of all circuits while the client runs: ``reconfigure_circuit_breakers(recovery_timeout=5)``.

        The circuits keep their states and counts: see `CircuitBreakerPolicy.reconfigure`. Circuits that come later have
        the new settings too; `config` remains as the client was made with it. A policy that a call brings along has
        a `reconfigure` of its own.

        changes: any argument of `CircuitBreakerPolicy` but `name`, `clock` and `timeout`, which bounds attempts here:
            use `timeout=` of a call.

        Raises ConfigurationError for a wrong value, or when `enable_circuit_breaker` is False; TypeError for an
        unknown name. Then nothing has changed.
        """
        circuits = self._assembly.origins.circuits
        if circuits is None:
            raise ConfigurationError("this client has no circuit breakers: enable_circuit_breaker is False")
        if "timeout" in changes:
            raise ConfigurationError(
                "the timeout of circuit_breaker_config bounds attempts; "
                "use client.with_options(timeout=…), or timeout= of a call"
            )
        circuits.reconfigure(changes, self._call_builder.origins)

    def get_health_summary(self, *, window: float = 60.0) -> observability.HealthSummary:
        """Totals, the error rate, the mean response time in seconds, and the state of each circuit, since the client was made.

        And for each origin the ``amplification``: what its calls cost in exchanges (see `MetricsCollector.amplification`);
        the ``errors`` of its calls, by status or class; and, under ``origins``, its circuit, its budget and its pause.
        ``connections`` are those of the client that are in use.

        ``window`` has the calls that ended lately: how many, their errors and exchanges; for each origin the percentiles of
        their durations; and which calls take longer than usual.

        window: seconds, above 0, up to 600. The window begins up to ten seconds earlier, and not before the client was made;
            its ``seconds`` say so.

        It is a dictionary of plain values, whose `explain()` says in words what is wrong, and what to look at.
        Raises ConfigurationError for a wrong window.
        """
        check_duration("window", window, optional=False)
        check_number("window", window, most=LONGEST_WINDOW, unit="of seconds ")
        origins = self._call_builder.origins.items()

        from ..observability.health import health_of
        from ..observability.window import window_of

        return observability.HealthSummary(
            **self._collector.summary(),
            window=window_of(self._recent.recall(window)),
            amplification=self._collector.amplification(),
            errors=self._collector.errors(),
            circuit_breaker_states=self.get_circuit_breaker_states(),
            origins={key: health_of(state) for key, state in origins},
            connections=self._assembly.connections(),
            chaos=None if self.config.resolved.chaos is None else self.config.resolved.chaos.health(),
            is_closed=self._call_builder.is_closed,
        )

    def _load(self, most_services: int) -> ClientLoad | None:
        """What the client does now, with all its views: what gauges show. None once it is closed.

        most_services: services that have an entry of their own.
        """
        builder = self._call_builder
        if builder.lifetime.is_closed:
            return None
        origins, backends, pool = builder.origins, builder.backends, self.config.pool
        from ..observability.load import ClientLoad, load_of_services

        return ClientLoad(
            services=load_of_services(origins, most_services),
            calls_in_flight=backends.calls_in_flight,
            streams_open=len(origins.open_bodies),
            connections_idle=backends.idle_connections,
            connections_limit=pool.max_connections,
            connections_limit_per_service=pool.max_connections_per_host,
        )

    # Closing.

    def drop_idle_connections(self) -> int:
        """Close the connections that no call uses, of blocking and asyncio calls; returns how many there were.

        Later calls connect again. For a process that was frozen, a network that changed, or before a fork: the servers may
        have closed these connections since. Calls in flight are not touched. Any thread may call it.
        """
        return self._backends.drop_idle()

    def close(self, *, grace: float | None = None, abort: bool = False) -> None:
        """Close the client: new calls raise ClientClosedError. A second call may still abort what the first one left.

        grace: seconds to wait for calls in flight, open streams included; those that are left are then aborted,
            and so they are when the wait is interrupted or cancelled.
        abort: abort the calls in flight now, or after the grace: they raise ClientClosedError, also before their
            headers have arrived. `sent_state` is `abandoned` if their request was sent.

        Without either, calls that wait (for a retry, for a connection) end with ClientClosedError. Exchanges in flight
        go on in other threads, and are aborted in asyncio.

        Of a view (see `with_options`) it closes nothing: new calls by the view raise ClientClosedError.

        Any thread may call it, a signal handler too. While it waits, it blocks its thread: in asyncio use
        `close_async`. Raises ConfigurationError for a negative grace, and for grace or abort of a view.
        """
        if self._leave_view(grace, abort):
            return
        ends_at = self._stop(grace, abort)
        try:
            while ends_at is not None and not self._backends.is_idle():
                left = ends_at - self._clock.monotonic()
                if left <= 0:
                    break
                self._clock.sleep(min(_LOOK_EVERY, left))
        except BaseException:  # Ctrl-C: the caller waits no longer, and no one else would abort them
            self._backends.close(abort=True)
            raise
        self._backends.close(abort=abort or grace is not None)

    async def close_async(self, *, grace: float | None = None, abort: bool = False) -> None:
        """As `close`, in an asyncio task. The connections of the running loop are closed on return.

        grace: seconds to wait for calls in flight, open streams included; those that are left are then aborted.
        abort: abort the calls in flight now, or after the grace.
        """
        if self._leave_view(grace, abort):
            return
        ends_at = self._stop(grace, abort)
        try:
            while ends_at is not None and not self._backends.is_idle():
                left = ends_at - self._clock.monotonic()
                if left <= 0:
                    break
                await self._clock.sleep_async(min(_LOOK_EVERY, left))
        except BaseException:  # cancelled: as in `close`
            self._backends.close(abort=True)
            raise
        await self._backends.close_async(abort=abort or grace is not None)

    def _leave_view(self, grace: float | None, abort: bool) -> bool:
        """Close this client if it is a view. Returns whether it is one."""
        builder = self._call_builder
        if not isinstance(builder, ViewCallBuilder):
            return False
        if grace is not None or abort:
            raise ConfigurationError(
                "a view has no connections of its own; pass grace and abort to close() of the client that it was made of"
            )
        builder.own_lifetime.is_left = True
        return True

    def _stop(self, grace: float | None, abort: bool) -> float | None:
        """Refuse new calls. Returns the instant by which those in flight have to end, or None."""
        if grace is not None:
            check_number("grace", grace, unit="of seconds ")
        check_flag("abort", abort)
        self._call_builder.lifetime.is_closed = True
        return self._clock.monotonic() + grace if grace else None

    def __enter__(self) -> HttpServiceClient:
        self._backends.blocking()  # imported here, and not within the deadline of the first call
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> HttpServiceClient:
        self._backends.asyncio()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close_async()

    def __reduce_ex__(self, protocol: object) -> Any:
        raise TypeError(
            "an HttpServiceClient cannot be copied or pickled, since it holds connections and circuits; "
            "pickle its config, and make a client of it: HttpServiceClient(config). "
            "In the same process, share it, or use client.with_options(…)"
        )

    if not TYPE_CHECKING:  # a type checker would accept an assignment of any name

        def __setattr__(self, name: str, value: object) -> None:
            # A subclass may have attributes of any name; an assignment to a setting of ours would do nothing.
            if type(self) is HttpServiceClient and (remedy := about_assignment(name)):
                raise AttributeError(f"{name} of an HttpServiceClient cannot be assigned; {remedy}")
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        base = f" {self._call_builder.base_url}" if self._call_builder.base_url else ""
        kind = " view" if isinstance(self._call_builder, ViewCallBuilder) else ""
        return f"<HttpServiceClient{base}{kind}{' closed' if self._call_builder.is_closed else ''}>"


def _load_streams() -> None:
    """Import what a stream needs, before its call begins."""
    from .streams import context, response  # noqa: F401


def _load_download() -> None:
    """Import what a download needs, before its call begins."""
    from ..core.layers import download  # noqa: F401
    from .downloads import part_file  # noqa: F401


def _check_config(config: object) -> None:
    if not isinstance(config, HttpClientConfig):
        from .config.remedies import config_remedy

        raise ConfigurationError(
            f"config must be an HttpClientConfig, not {type(config).__name__}{config_remedy(config)}"
        )


def _listener(
    collector: MetricsCollector,
    recent: RecentCalls,
    clock: Callable[[], float],
    on_event: Callable[[Event | StateChange], None] | None,
) -> Callable[[Event | StateChange], None]:
    """Feeds the metrics and the log, then calls the user's listener, whose errors must not fail the call.

    A circuit's changes are logged where they happen, since several clients may be notified of the same change.
    It holds no reference to the client, so a client that is dropped is freed at once, and its sockets with it.
    """
    account, metrics, is_logged = ClientAccount(collector, recent), collector.metrics, IS_LOGGED
    waiting = metrics._waiting

    def notify(event: Event | StateChange) -> None:
        if collector.counts_at_once:
            account.count([(account, event, clock())])
        else:
            waiting.append((account, event, clock()))
            if len(waiting) >= MOST_WAITING:
                metrics.catch_up()
        if is_logged[type(event)]():
            log_event(event)  # type: ignore[arg-type]  # a StateChange is known, and not logged here
        if on_event is not None:
            try:
                result: object = on_event(event)
                if result is not None:
                    refuse_awaitable(result)
            except Exception:
                log_hook("on_event failed on %s", type(event).__name__)

    return notify

"""The front door: one client object, the same verbs for blocking and for async code.

Both front ends do the same four things: open the call, run the plan that the layers make of it, close
the timeline, return or raise. What the plan decides is in `core/`; how it is performed, in `drivers/`.
"""

from __future__ import annotations

import logging
import os
import random as _random
import sys
import warnings
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..core.call import StreamOptions
from ..core.checks import check_count, suggests_keywords
from ..core.layers.download import Download
from ..core.machines.circuit_breaker import CircuitBreaker
from ..core.machines.circuit_states import StateChange
from ..core.machines.semaphore import FairSemaphore
from ..drivers.clocks import Clock, SystemClock
from ..drivers.locks import ForkSafeLock
from ..errors import ConfigurationError
from ..events import Event
from ..http.bodies.encoding import UNSET
from ..http.cookies.jar import CookieJar
from ..http.messages import HttpResponse
from ..observability.collector import MetricsCollector
from ..observability.metrics import HttpMetrics
from .backends import Backends, check_parts
from .call_builder import CallBuilder
from .config import RENAMED, HttpClientConfig
from .part_file import PartFile
from .results import check_download, finish, open_stream
from .streams.context import AsyncStreamContext, StreamContext
from .streams.response import AsyncStreamedResponse, StreamedResponse
from .verbs import Verbs
from .wiring import cookie_jar, origin_registry, pipelines, transport_settings

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .call_builder import RequestOptions

__all__ = ["HttpServiceClient"]

_LOGGER = logging.getLogger("http_service_client")


@suggests_keywords(RENAMED | {item.name: "set it in HttpClientConfig" for item in fields(HttpClientConfig)})
class HttpServiceClient(Verbs):
    """An HTTP client for calls that matter: retries, circuit breakers, deadlines, one timeline.

    config: see `HttpClientConfig`; None for the defaults.
    base_url: prefix of relative URLs, such as ``https://api.example.com/v1``.
    transport: replaces the network, in both worlds (see `transports.base`); None for requests and aiohttp.
    metrics: an `HttpMetrics` to feed, or a `MetricsCollector`; None for one of its own.
    on_event: called with each event of each call, and each `StateChange` of a circuit.
    interceptor_factory: makes an interceptor from its class, such as a container's; None calls the class.
    clock, random: the time and the chance to live by, for tests.

    Thread-safe, and usable from any number of event loops at once. Close it with `close()`,
    `await close_async()`, or by `with` / `async with`.

    Raises ConfigurationError for a setting that is wrong.
    """

    def __init__(
        self,
        config: HttpClientConfig | None = None,
        *,
        base_url: str | None = None,
        transport: Any = None,
        metrics: HttpMetrics | MetricsCollector | None = None,
        on_event: Callable[[Event | StateChange], None] | None = None,
        interceptor_factory: Callable[[type], Any] | None = None,
        clock: Clock | None = None,
        random: Callable[[], float] | None = None,
    ) -> None:
        if config is not None and not isinstance(config, HttpClientConfig):
            remedies = {str: "; pass a URL as base_url=", dict: "; write HttpClientConfig(**settings)"}
            raise ConfigurationError(
                f"config must be an HttpClientConfig, not {type(config).__name__}{remedies.get(type(config), '')}"
            )
        check_parts(transport, clock, random, on_event, interceptor_factory)
        self.config = config = config or HttpClientConfig()
        self._has_warned = False
        self._collector = metrics if isinstance(metrics, MetricsCollector) else MetricsCollector(metrics)
        clock, random = clock or SystemClock(), random or _random.random
        self._base_url = base_url
        listener = _listener(self._collector, on_event)
        keys = origin_registry(config, clock, random, listener)
        connections = FairSemaphore(config.pool.max_connections, lock=ForkSafeLock())
        self._call_builder = CallBuilder(config, base_url, keys, clock, listener)
        self._jar = cookie_jar(config.cookies)
        self._pipeline, self._download_pipeline = pipelines(
            config, keys, connections, self._jar, interceptor_factory, clock, random
        )
        self._backends = Backends(
            transport_settings(config),
            transport,
            clock,
            lambda: [connections, *(s.connections for _, s in keys.items())],
        )

    # The two front ends.

    def request(self, method: str, url: str, **options: Unpack[RequestOptions]) -> HttpResponse:
        """Make a call and return the response, whatever its status.

        url: absolute, or relative to `base_url`.   params: merged into the query; None values drop.
        headers: added to the default ones; a value of None leaves a default header out.
        json, data, files: the body. At most one of json and (data, files).
        cookies: sent with this call alone.   auth: (user, password), or a bearer token.
        timeout: seconds for each attempt as a whole, or a `Timeout`; None for no limit.
        total_timeout: seconds for the call, waits included; None for no limit.
        allow_redirects: False returns the redirect itself.
        retry_policy: another `RetryPolicy` for this call; False or None for a single attempt.
        circuit_breaker: a `CircuitBreakerPolicy` for this call; False or None for no breaker.
        idempotent: True vouches that processing the request twice does no harm; False that it does.
        response_type: any type that pydantic can validate; `response.data` is then of that type.
        progress: called while the body is sent, with the bytes so far and the total (None if unknown), from 0
            in each attempt. True draws a bar by tqdm (extra ``progress``).

        Raises InvalidRequestError before anything is sent when the request is wrong; CircuitOpenError when
        the circuit refuses; TransportError when no complete response came; ResponseValidationError when
        a 2xx response is not of the `response_type`. Every error carries the timeline.
        """
        driver = self._backends.blocking()  # the first time imports requests: not on the call's time
        call = self._call_builder.build(method, url, **options)
        self._warn_inside_a_loop()
        outcome = driver.run(self._pipeline(call.request, call))
        return finish(call, outcome, options.get("response_type"))

    async def request_async(self, method: str, url: str, **options: Unpack[RequestOptions]) -> HttpResponse:
        """As `request`, in an asyncio task."""
        driver = self._backends.asyncio()  # the first time imports aiohttp: not on the call's time
        call = self._call_builder.build(method, url, **options)
        outcome = await driver.run(self._pipeline(call.request, call))
        return finish(call, outcome, options.get("response_type"))

    def stream(
        self, method: str, url: str, *, max_response_size: Any = UNSET, **options: Unpack[RequestOptions]
    ) -> StreamContext:
        """Make a call and take the response's body as it comes: ``with client.stream("GET", url) as response``.

        max_response_size: decoded bytes, None for no limit; without it, the configuration's.

        Further keywords as for `request`, without response_type. The attempt's timeout holds until the headers
        are there; then it, or `Timeout.read`, bounds each silence, and `total_timeout` the whole.

        Raises as `request`; see `StreamedResponse` for what reading raises.
        """
        return StreamContext(partial(self._open_stream, method, url, max_response_size, options))

    def stream_async(
        self, method: str, url: str, *, max_response_size: Any = UNSET, **options: Unpack[RequestOptions]
    ) -> AsyncStreamContext:
        """As `stream`, in an asyncio task: ``async with client.stream_async("GET", url) as response``."""
        return AsyncStreamContext(partial(self._open_stream_async, method, url, max_response_size, options))

    def _open_stream(self, method: str, url: str, max_size: Any, options: RequestOptions) -> StreamedResponse:
        driver = self._backends.blocking()
        call = self._call_builder.build(method, url, _stream=self._streaming(max_size, options), **options)
        self._warn_inside_a_loop()
        return StreamedResponse(
            call, open_stream(call, driver.run(self._pipeline(call.request, call))), driver
        )

    async def _open_stream_async(
        self, method: str, url: str, max_size: Any, options: RequestOptions
    ) -> AsyncStreamedResponse:
        driver = self._backends.asyncio()
        call = self._call_builder.build(method, url, _stream=self._streaming(max_size, options), **options)
        outcome = await driver.run(self._pipeline(call.request, call))
        return AsyncStreamedResponse(call, open_stream(call, outcome), driver)

    def download(
        self,
        url: str,
        path: str | os.PathLike[str],
        *,
        checksum: str | None = None,
        max_response_size: Any = UNSET,
        **options: Unpack[RequestOptions],
    ) -> HttpResponse:
        """GET a resource into a file, which appears at `path` whole or not at all.

        A connection that breaks in mid-body is a failed attempt: the next one goes on where it stopped, if the
        server can tell that the resource is still the same, and else begins anew.

        checksum: what the file must have, such as ``sha256:9f86d0...``.
        progress: called with the bytes there are and the total, None where unknown; plain or async. True: a bar.
        max_response_size: as for `stream`, and so are further keywords.

        Returns the response, its content left to the file. Raises as `request`; HttpStatusError when the
        final status is no 200 or 206, ChecksumError, and OSError when the file cannot be written.
        """
        driver = self._backends.blocking()
        with PartFile(path, checksum) as file:
            stream = self._streaming(max_response_size, options, Download(file))
            call = self._call_builder.build("GET", url, _stream=stream, **options)
            self._warn_inside_a_loop()
            outcome = driver.run(self._download_pipeline(call.request, call))
            return check_download(finish(call, outcome, None))

    async def download_async(
        self,
        url: str,
        path: str | os.PathLike[str],
        *,
        checksum: str | None = None,
        max_response_size: Any = UNSET,
        **options: Unpack[RequestOptions],
    ) -> HttpResponse:
        """As `download`, in an asyncio task; the file is written in a thread."""
        driver = self._backends.asyncio()
        with PartFile(path, checksum) as file:
            stream = self._streaming(max_response_size, options, Download(file))
            call = self._call_builder.build("GET", url, _stream=stream, **options)
            outcome = await driver.run(self._download_pipeline(call.request, call))
            return check_download(finish(call, outcome, None))

    def _streaming(
        self, max_size: Any, options: RequestOptions, download: Download | None = None
    ) -> StreamOptions:
        if options.get("response_type") is not None:
            raise ConfigurationError("response_type is for a response that is read whole; use request()")
        if max_size is UNSET:
            max_size = self.config.max_response_size
        elif max_size is not None:
            check_count("max_response_size", max_size)
        return StreamOptions(max_size, self.config.enable_response_decompression, download)

    def _warn_inside_a_loop(self) -> None:
        asyncio = sys.modules.get("asyncio")  # who has not imported it has no loop running
        if self._has_warned or asyncio is None or asyncio._get_running_loop() is None:
            return
        self._has_warned = True
        message = (
            "a blocking call inside a running event loop stops every task of it; use the *_async verbs there"
        )
        level, frame = 2, sys._getframe(1)  # the caller's own line, whichever verb it is on
        while frame.f_back is not None and _is_ours(frame.f_code.co_filename):
            level, frame = level + 1, frame.f_back
        warnings.warn(message, RuntimeWarning, stacklevel=level)

    # What happened, and how things stand.

    @property
    def metrics(self) -> HttpMetrics:
        """What this client has counted and measured."""
        return self._collector.metrics

    @property
    def cookies(self) -> CookieJar | None:
        """The jar of this client, or None without one (see `HttpClientConfig.cookies`)."""
        return self._jar

    def get_circuit_breaker_states(self) -> dict[str, str]:
        """The state of each circuit, such as ``{"https://api.example.com": "closed"}``.

        A `CircuitBreakerPolicy` that calls brought along appears under its name.
        """
        origins = self._call_builder.keys.items()
        states = {key: state.breaker.state.value for key, state in origins if state.breaker is not None}
        for policy in list(self._call_builder.policies):
            name = policy.name or "unnamed circuit breaker"
            states[name if name not in states else f"{name} {id(policy):#x}"] = policy.state.value
        return states

    def get_circuit_breaker(self, key: str) -> CircuitBreaker | None:
        """The circuit of a key such as ``https://api.example.com``, to look at, isolate or reset; None if unknown."""
        return next((state.breaker for known, state in self._call_builder.keys.items() if known == key), None)

    def get_health_summary(self) -> dict[str, Any]:
        """Totals, the error rate, the mean response time in seconds, and the state of each circuit."""
        return {**self._collector.summary(), "circuit_breaker_states": self.get_circuit_breaker_states()}

    # The end.

    def close(self) -> None:
        """Close every connection, of both worlds. A second time does nothing."""
        self._call_builder.is_closed = True
        self._backends.close()

    async def close_async(self) -> None:
        """Close every connection, of both worlds. A second time does nothing."""
        self._call_builder.is_closed = True
        await self._backends.close_async()

    def __enter__(self) -> HttpServiceClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> HttpServiceClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close_async()

    def __repr__(self) -> str:
        base = f" {self._base_url}" if self._base_url else ""
        return f"<HttpServiceClient{base}{' closed' if self._call_builder.is_closed else ''}>"


def _is_ours(file: str) -> bool:
    return file.startswith(_PACKAGE)


_PACKAGE = os.path.join(os.path.dirname(os.path.dirname(__file__)), "")  # with its separator at the end


def _listener(
    collector: MetricsCollector, on_event: Callable[[Event | StateChange], None] | None
) -> Callable[[Event | StateChange], None]:
    """What feeds the metrics, and tells the user's listener, which must not fail the call.

    It does not hold the client, so a client that nobody holds any more is freed at once, its sockets with it.
    """
    if on_event is None:
        return collector.collect

    def tell(event: Event | StateChange) -> None:
        collector.collect(event)
        try:
            on_event(event)
        except Exception:
            _LOGGER.exception("on_event failed on %s", type(event).__name__)

    return tell

"""Policies under any `requests.Session`: an adapter to mount on it.

The adapter sends by the `HTTPAdapter` that it is, or by another one. Around that stand the layers of a client. requests
itself has no bound for an attempt as a whole: see `bounded_sockets`.
"""

from __future__ import annotations

import io
import ssl
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import requests
import requests.exceptions as rex
import urllib3.exceptions as uex
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3.util import Retry
from urllib3.util import Timeout as Urllib3Timeout

from ..client.client import HttpServiceClient
from ..client.config.client_config import HttpClientConfig
from ..core.checks import suggests_keywords
from ..core.timeouts import Timeout
from ..drivers.forks import reset_in_forked_children
from ..errors import (
    ConfigurationError,
    ConnectTimeoutError,
    DecodingError,
    Failure,
    HttpClientError,
    InvalidRequestError,
    ProxyError,
    ReadTimeoutError,
    RequestTimeoutError,
    SentState,
    TlsError,
)
from ..http.messages import HttpResponse
from ..http.urls import redact_url
from ..transports.failures import Phase, failure_of
from ..transports.over_requests.hooked.errors import translate_error
from .adapter_base import RENAMED, AdaptedRequest, ForeignCalls, Idempotent, headers_of
from .bounded_sockets import BoundedExchange, bound_pools

__all__ = ["ResilientAdapter"]

_LIMITS = ("connect", "read")
# Of parents of this process; see `ResilientAdapter._reset_after_fork`.
_KEPT_FOR_PARENT: list[Any] = []


@suggests_keywords(RENAMED)
class ResilientAdapter(HTTPAdapter):
    """An adapter to mount on a `requests.Session`: ``session.mount("https://", ResilientAdapter())``.

    Each hop of the session is a call with the policies of a client: retries, circuit breaker, throttle gate, retry
    budget, deadlines, timeline, metrics, events. `integrations.explain` tells the story of a response or an error.

    config: settings of a client of its own; None for the defaults.
    client: an `HttpServiceClient`, or a view of it, to share circuits, budgets, metrics and listeners with.
    adapter: the adapter that sends, such as one for Unix sockets; None for requests' own.
    idempotent: True if processing a request twice does no harm, False if it does; None decides by the method and the
        headers; or a function of an `HttpRequest` that returns one of these.
    pool_connections, pool_maxsize, pool_block: as in `HTTPAdapter`.
    max_retries: 0. Retries are set in `HttpClientConfig.retry_policy_config`.

    Its errors are those of requests, such as `requests.ConnectionError`, with a `timeline` and a `sent_state`. Those of
    this package, such as `CircuitOpenError`, are subclasses of requests' as well.

    Raises ConfigurationError for a wrong setting, for max_retries, and for settings that requests owns.
    """

    __attrs__ = [*HTTPAdapter.__attrs__, "_adapter", "_config", "_idempotent"]

    def __init__(
        self,
        config: HttpClientConfig | None = None,
        *,
        client: HttpServiceClient | None = None,
        adapter: BaseAdapter | None = None,
        idempotent: Idempotent = None,
        pool_connections: int = 10,
        pool_maxsize: int = 10,
        pool_block: bool = False,
        max_retries: int | Retry = 0,
    ) -> None:
        if adapter is not None:
            _check_adapter(adapter)
        self._adapter, self._config, self._idempotent = adapter, config, idempotent
        self._calls = ForeignCalls("ResilientAdapter", "requests", config, client, idempotent, limits=_LIMITS)
        super().__init__(pool_connections, pool_maxsize, max_retries, pool_block)
        reset_in_forked_children(self)

    @property
    def client(self) -> HttpServiceClient:
        """The client whose state its calls use: for metrics, and for circuits to inspect."""
        return self._calls.client

    @property
    def max_retries(self) -> Retry:
        """Those of urllib3, of which there are none."""
        return self.__dict__["max_retries"]  # type: ignore[no-any-return]

    @max_retries.setter
    def max_retries(self, value: Retry) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        _check_retries("max_retries", value)
        self.__dict__["max_retries"] = value

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        """Send a request as one call. The session calls it."""
        options = {"stream": stream, "verify": verify, "cert": cert, "proxies": proxies}
        if self._calls.is_inside(str(request.method), str(request.url)):
            return self._send_once(request, timeout=timeout, **options)
        return self._calls.run(_Request(self, request, timeout, options))

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """As in `HTTPAdapter`; sockets that wait no longer than an attempt may take."""
        super().init_poolmanager(*arguments, **options)
        bound_pools(self.poolmanager)

    def proxy_manager_for(self, *arguments: Any, **options: Any) -> Any:
        """As in `HTTPAdapter`; sockets that wait no longer than an attempt may take."""
        manager: Any = super().proxy_manager_for(*arguments, **options)
        bound_pools(manager)
        return manager

    def _send_once(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        send = super().send if self._adapter is None else self._adapter.send
        response: Any = send(request, **options)
        response.connection = self  # digest authentication sends by it once more
        return response  # type: ignore[no-any-return]

    def close(self) -> None:
        """Close the connections. A session can go on after that, as with any adapter."""
        super().close()
        if self._adapter is not None:
            self._adapter.close()

    def __getstate__(self) -> dict[str, Any]:
        if not self._calls.has_own_client:
            raise TypeError(
                "a ResilientAdapter that shares a client cannot be copied or pickled; make it of a configuration"
            )
        state = {name: getattr(self, name) for name in self.__attrs__}
        return {**state, "_config": self.client.config}  # it may have changed

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[misc]  # the stubs do not know it
        self._calls = ForeignCalls(
            "ResilientAdapter", "requests", self._config, None, self._idempotent, limits=_LIMITS
        )
        reset_in_forked_children(self)

    def _reset_after_fork(self) -> None:
        # Parent and child must not read from one connection. The child does not close them either: they are kept.
        _KEPT_FOR_PARENT.append((self.poolmanager, self.proxy_manager))
        self.proxy_manager = {}
        connections, maxsize, block = (
            getattr(self, f"_pool_{name}") for name in ("connections", "maxsize", "block")
        )
        self.init_poolmanager(connections, maxsize, block=block)


def _check_adapter(adapter: BaseAdapter) -> None:
    if not isinstance(adapter, BaseAdapter):
        raise ConfigurationError(f"adapter must be an adapter of requests, not {type(adapter).__name__}")
    if isinstance(adapter, ResilientAdapter):
        raise ConfigurationError("adapter is a ResilientAdapter itself; mount it on the session")
    _check_retries("adapter.max_retries", getattr(adapter, "max_retries", 0))


def _check_retries(name: str, value: object) -> None:
    # A Retry without a total is bounded by its other counts alone, or by nothing.
    never = value.total == 0 if isinstance(value, Retry) else value in (0, None)  # and False, which is 0
    if not never:
        raise ConfigurationError(
            f"{name} must be 0, not {value!r}: urllib3 would retry within each attempt; "
            "set max_attempts in retry_policy_config"
        )


class _Request(AdaptedRequest[requests.Response]):
    """A prepared request on its way through a `ResilientAdapter`."""

    __slots__ = ("_adapter", "_exchange", "_given", "_is_copied", "_options", "_position", "_timeout")

    errors = (rex.RequestException, uex.HTTPError, ConnectionError, TimeoutError)
    raises = (
        (ConnectTimeoutError, rex.ConnectTimeout),
        (ReadTimeoutError, rex.ReadTimeout),
        (RequestTimeoutError, rex.Timeout),
        (TlsError, rex.SSLError),
        (ProxyError, rex.ProxyError),
        (InvalidRequestError, rex.RequestException),
        (ConfigurationError, rex.RequestException),
        (HttpClientError, rex.ConnectionError),
    )

    def __init__(
        self,
        adapter: ResilientAdapter,
        prepared: requests.PreparedRequest,
        timeout: Any,
        options: dict[str, Any],
    ) -> None:
        body: Any = prepared.body
        self._position = _position(body)
        if isinstance(body, str):
            body = body.encode()
        content = b"" if body is None else body if isinstance(body, bytes) else None
        super().__init__(
            prepared,
            str(prepared.method),
            str(prepared.url),
            headers_of(prepared.headers.items()),
            content,
            is_replayable=content is not None or self._position is not None or _starts_over(body),
        )
        self._adapter, self._given, self._options = adapter, timeout, options
        self._timeout = Timeout()  # of the running exchange
        self._exchange = BoundedExchange(None)
        self._is_copied = False

    def _send(self, timeout: Timeout) -> requests.Response:
        if self._position is not None:
            self.native.body.seek(self._position)
        self._timeout = timeout = _within(timeout, self._given)
        with BoundedExchange(timeout.total) as self._exchange:
            response = self._send_watched(timeout)
            if not self._options["stream"]:
                try:
                    response.content  # noqa: B018  # the session would read it now, outside of the attempt
                except BaseException:
                    response.close()
                    raise
        return response

    def _send_watched(self, timeout: Timeout) -> requests.Response:
        native, options = self.native, {"timeout": _for_urllib3(timeout), **self._options}
        if self.body.content is not None or _is_read_by_type(native.body):
            return self._adapter._send_once(native, **options)
        sent = native.copy()
        sent.body = watched = _WatchedBody(native.body)
        try:
            response = self._adapter._send_once(sent, **options)
        except rex.RequestException as error:
            error.request = native
            raise
        finally:
            self.source_error = watched.forget_error()
        response.request = native
        return response

    def _meaning(self, error: Exception, timeout: Timeout, timed_out: bool) -> Failure:
        if isinstance(error, rex.ContentDecodingError):
            message = f"the body of the response from {redact_url(self.url)} could not be decoded: {error}"
            return Failure(DecodingError, message, SentState.ANSWERED)
        phase, plain = translate_error(Phase.RECEIVE, error)
        if self._exchange.is_connecting:
            phase = Phase.PROXY if phase is Phase.PROXY else Phase.CONNECT
        elif isinstance(plain, ssl.SSLError):
            phase = Phase.RECEIVE  # it may be about the response, unless it is about the certificate
        return failure_of(phase, plain, self, self._timeout, timed_out)

    def _head(self, response: requests.Response, elapsed: float) -> HttpResponse:
        fields: Any = getattr(response.raw, "headers", None) or response.headers
        return HttpResponse(
            response.status_code,
            headers=[(str(name), str(value)) for name, value in fields.items()],
            content=b"" if self._options["stream"] else response.content or b"",  # None: one without `raw`
            reason_phrase=response.reason or "",
            url=self.url,
            request=self,
            elapsed=elapsed,
        )

    def _close(self, response: requests.Response) -> None:
        response.close()  # a connection whose response has been read is in the pool already

    def _set_header(self, name: str, value: str | None) -> None:
        if not self._is_copied:
            self.native, self._is_copied = self.native.copy(), True
        if value is None:
            self.native.headers.pop(name, None)
        else:
            self.native.headers[name] = value


class _WatchedBody:
    """A body that is not in memory, a file or an iterable. Notes what its source raises."""

    def __init__(self, body: Any) -> None:
        self._body = body
        self._error: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._body, name)
        return partial(self._noting, value) if name == "read" else value

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self._body
        except Exception as error:
            self._error = error
            raise

    def _noting(self, read: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return read(*arguments)
        except Exception as error:
            self._error = error
            raise

    def forget_error(self) -> Exception | None:
        """What the source has raised, once: its traceback refers to this object."""
        error, self._error = self._error, None
        return error


def _is_read_by_type(body: Any) -> bool:
    """Whether urllib3 looks at the type: of text, which it encodes, and of what is in memory after all."""
    if isinstance(body, io.TextIOBase):
        return True
    try:
        memoryview(body)
    except TypeError:
        return False
    return True


def _position(body: Any) -> Any:
    """Where a file begins that can be rewound; None for any other body."""
    try:
        position = body.tell()
        body.seek(position)
    except Exception:  # it is no file, or one that cannot, whatever it raises then
        return None
    return position


def _starts_over(body: Any) -> bool:
    """Whether it is an iterable that begins from its start each time."""
    return not hasattr(body, "read") and hasattr(body, "__iter__") and iter(body) is not body


def _within(timeout: Timeout, given: Any) -> Timeout:
    """The smaller limits of the attempt's and of those that the caller of the session gave."""
    if isinstance(given, Urllib3Timeout):
        started = given.clone()
        started.start_connect()
        connect, read = started.connect_timeout, started.read_timeout
    elif isinstance(given, tuple):
        if len(given) != 2:
            raise ValueError(
                f"Invalid timeout {given}. Pass a (connect, read) timeout tuple, or a single float."
            )
        connect, read = given
    else:
        connect = read = given
    return Timeout(
        total=timeout.total,
        connect=_smallest(timeout.connect, connect),
        read=_smallest(timeout.read, read),
    )


def _smallest(limit: float | None, given: Any) -> float | None:
    if not isinstance(given, (int, float)):
        return limit  # None, or urllib3's mark for the default
    return given if limit is None else min(limit, given)


def _for_urllib3(timeout: Timeout) -> Urllib3Timeout:
    # `total` cuts the time to connect and the first read to what is left of the attempt.
    return Urllib3Timeout(total=timeout.total, connect=timeout.connect, read=timeout.read)

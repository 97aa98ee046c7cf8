"""Policies under any client of httpx or httpx2: transports for them.

The two libraries have the same interfaces under another name, so there is one class for both front ends of both. Neither
library is imported here: a transport meets the one that calls it.

A transport sends by another one of that library, which reads `request.extensions["timeout"]` at each step of an exchange.
So the limits in it are what is left of the attempt at that moment. A body that can be sent once only is watched, since
httpx itself would send what is left of it: nothing.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

from ..client.client import HttpServiceClient
from ..client.config.client_config import HttpClientConfig
from ..core.checks import check_flag, remedies, suggests_keywords
from ..core.timeouts import Timeout
from ..errors import (
    ConfigurationError,
    ConnectionLostError,
    ConnectTimeoutError,
    Failure,
    HttpClientError,
    InvalidRequestError,
    NetworkError,
    PoolTimeoutError,
    ProtocolError,
    ProxyError,
    ReadTimeoutError,
    RequestTimeoutError,
    SentState,
    WriteTimeoutError,
)
from ..http.http1.errors import CutShortError, NotHttpError
from ..http.messages import HttpResponse
from ..http.urls import redact_url
from ..transports.failures import Phase, ProxyRefusedError, UnsendableError, failure_of
from .adapter_base import DRAINED, RENAMED, AdaptedRequest, ForeignCalls, Idempotent, headers_of, links

if TYPE_CHECKING:
    # A client of either takes them. A library that is not installed is `Any` to a type checker.
    import httpx
    import httpx2

    class _Blocking(httpx.BaseTransport, httpx2.BaseTransport):  # type: ignore[misc,unused-ignore]
        pass

    class _Async(httpx.AsyncBaseTransport, httpx2.AsyncBaseTransport):  # type: ignore[misc,unused-ignore]
        pass

else:
    _Blocking = _Async = object

__all__ = ["AsyncResilientTransport", "ResilientTransport"]

_LIBRARIES = ("httpx", "httpx2")
_RENAMED = {
    **RENAMED,
    **remedies(
        {
            "give it to the HTTPTransport or AsyncHTTPTransport in transport=…": (
                "verify cert trust_env http1 http2 limits proxy local_address uds"
            ),
        }
    ),
}
_LEAST = 0.001  # seconds for a step whose time is over: it ends the exchange


class _Transport:
    """What both transports have in common."""

    _name: str
    _verb: str  # of a transport of the library
    _default: str  # the library's own transport

    def __init__(
        self,
        config: HttpClientConfig | None,
        client: HttpServiceClient | None,
        transport: Any,
        idempotent: Idempotent,
        read_bodies: bool,
    ) -> None:
        check_flag("read_bodies", read_bodies)
        if transport is not None:
            self._check(transport)
        self._given = transport
        self._made: dict[ModuleType, Any] = {}
        self._read_bodies = read_bodies
        self._calls = ForeignCalls(
            self._name, "httpx", config, client, idempotent, limits=("connect", "read", "write")
        )

    @property
    def client(self) -> HttpServiceClient:
        """The client whose state its calls use: for metrics, and for circuits to inspect."""
        return self._calls.client

    def _check(self, transport: Any) -> None:
        if isinstance(transport, type) or not callable(getattr(transport, self._verb, None)):
            raise ConfigurationError(
                f"transport must be a transport with {self._verb}, such as httpx.{self._default}(), not {transport!r}"
            )
        if isinstance(transport, _Transport):
            raise ConfigurationError(f"transport is a {transport._name} itself; pass it to the client")
        retries = getattr(getattr(transport, "_pool", None), "_retries", 0)
        if retries:
            raise ConfigurationError(
                f"transport has retries={retries}: httpx would retry within each attempt; "
                "set max_attempts in retry_policy_config"
            )

    def _inner(self, library: ModuleType) -> Any:
        """The transport that sends."""
        if self._given is not None:
            return self._given
        made = self._made.get(library)
        if made is None:
            made = self._made.setdefault(library, getattr(library, self._default)())
        return made

    if not TYPE_CHECKING:  # a type checker finds the mistake on its own

        def __getattr__(self, name: str) -> NoReturn:
            """A client of the other way is told which transport it takes. It asks for one of these first."""
            message = f"{type(self).__name__!r} object has no attribute {name!r}"
            if name in ("handle_request", "__enter__", "close"):
                message += "; it is for an AsyncClient, and a Client takes a ResilientTransport"
            elif name in ("handle_async_request", "__aenter__", "aclose"):
                message += "; it is for a Client, and an AsyncClient takes an AsyncResilientTransport"
            raise AttributeError(message)

    def _inners(self) -> list[Any]:
        return list(self._made.values()) if self._given is None else [self._given]


@suggests_keywords(_RENAMED)
class ResilientTransport(_Transport, _Blocking):
    """A transport for a client of httpx or httpx2: ``httpx.Client(transport=ResilientTransport())``.

    Each hop of the client is a call with the policies of this package: retries, circuit breaker, throttle gate, retry
    budget, deadlines, timeline, metrics, events. `integrations.explain` tells the story of a response or an error.

    config: settings of a client of its own; None for the defaults.
    client: an `HttpServiceClient`, or a view of it, to share circuits, budgets, metrics and listeners with.
    transport: the transport that sends, such as `httpx.HTTPTransport(verify=…, proxy=…)`: httpx.Client does not apply
        its own `verify`, `cert`, `http2`, `limits` and proxies to a transport that it is given. None for a default one.
    idempotent: True if processing a request twice does no harm, False if it does; None decides by the method and the
        headers; or a function of an `HttpRequest` that returns one of these.
    read_bodies: True if an attempt includes the response's body, so that a lost one is retried. It must fit into memory.
        False leaves the body to httpx, which reads it after the call.

    Its errors are those of the library, such as `httpx.ConnectError`, with a `timeline` and a `sent_state`. Those of this
    package, such as `CircuitOpenError`, are subclasses of `httpx.TransportError` as well.

    Raises ConfigurationError for a wrong setting, for a transport that retries, and for settings that httpx owns.
    """

    _name, _verb, _default = "ResilientTransport", "handle_request", "HTTPTransport"

    def __init__(
        self,
        config: HttpClientConfig | None = None,
        *,
        client: HttpServiceClient | None = None,
        transport: Any = None,
        idempotent: Idempotent = None,
        read_bodies: bool = False,
    ) -> None:
        super().__init__(config, client, transport, idempotent, read_bodies)

    def handle_request(self, request: Any) -> Any:
        """Send a request as one call. The client calls it."""
        kind = _kind_for(_library_of(request))
        inner = self._inner(kind.library)
        if self._calls.is_inside(request.method, str(request.url)):
            return inner.handle_request(request)
        return self._calls.run(kind(request, inner, self._read_bodies))

    def close(self) -> None:
        """Close the connections."""
        for inner in self._inners():
            inner.close()

    def __enter__(self) -> ResilientTransport:
        for inner in self._inners():
            inner.__enter__()
        return self

    def __exit__(self, *about: Any) -> None:
        for inner in self._inners():
            inner.__exit__(*about)


@suggests_keywords(_RENAMED)
class AsyncResilientTransport(_Transport, _Async):
    """As `ResilientTransport`, for an `httpx.AsyncClient` or `httpx2.AsyncClient` on asyncio."""

    _name, _verb, _default = "AsyncResilientTransport", "handle_async_request", "AsyncHTTPTransport"

    def __init__(
        self,
        config: HttpClientConfig | None = None,
        *,
        client: HttpServiceClient | None = None,
        transport: Any = None,
        idempotent: Idempotent = None,
        read_bodies: bool = False,
    ) -> None:
        super().__init__(config, client, transport, idempotent, read_bodies)

    async def handle_async_request(self, request: Any) -> Any:
        """Send a request as one call. The client calls it."""
        kind = _kind_for(_library_of(request))
        inner = self._inner(kind.library)
        if self._calls.is_inside(request.method, str(request.url)):
            return await inner.handle_async_request(request)
        return await self._calls.run_async(kind(request, inner, self._read_bodies))

    async def aclose(self) -> None:
        """Close the connections."""
        for inner in self._inners():
            await inner.aclose()

    async def __aenter__(self) -> AsyncResilientTransport:
        for inner in self._inners():
            await inner.__aenter__()
        return self

    async def __aexit__(self, *about: Any) -> None:
        for inner in self._inners():
            await inner.__aexit__(*about)


def _library_of(request: Any) -> ModuleType:
    """The library that a request is of."""
    for kind in type(request).__mro__:
        name = kind.__module__.partition(".")[0]
        if name in _LIBRARIES:
            return sys.modules[name]
    raise TypeError(f"this transport is for requests of httpx and httpx2, not {type(request).__name__}")


class _Timeouts(dict[str, "float | None"]):
    """The timeouts of a request, none longer than what is left of the attempt when it is read.

    expires_at: by `time.monotonic`, or None.
    """

    expires_at: float | None = None

    def get(self, name: str, default: Any = None) -> Any:
        limit = super().get(name, default)
        if self.expires_at is None:
            return limit
        left = max(_LEAST, self.expires_at - time.monotonic())
        return left if limit is None else min(left, limit)

    def __getitem__(self, name: str) -> Any:
        return self.get(name)


class _Request(AdaptedRequest[Any]):
    """A request on its way through a transport.

    library: the module that it is of.
    """

    __slots__ = ("_content_read", "_inner", "_limits", "_reads_body", "_rewind", "_timeout", "_watched")

    library: ModuleType
    _limits: _Timeouts  # of the running exchange
    _timeout: Timeout  # likewise

    def __init__(self, native: Any, inner: Any, reads_body: bool) -> None:
        content = _content_of(native)
        self._rewind = _nothing if content is not None else _rewinding(native.stream)
        super().__init__(
            native,
            native.method,
            str(native.url),
            headers_of(native.headers.multi_items()),
            content,
            is_replayable=self._rewind is not None,
        )
        self._inner, self._reads_body = inner, reads_body
        # The body, if it is not in memory.
        self._watched: Any = None if content is not None else _watching(self.library)(native.stream)
        self._content_read = b""  # of the last response

    # What the library is asked for.

    def _send(self, timeout: Timeout) -> Any:
        prepared = self._prepared(timeout)
        try:
            response = self._inner.handle_request(prepared)
        finally:
            self._take_source_error()
        if self._reads_body and response.status_code != 101:
            stream = response.stream
            try:
                self._take(response, b"".join(self._pieces(stream)))
            finally:
                with suppress(*self.errors):
                    stream.close()
        return response

    def _pieces(self, stream: Any) -> Iterator[bytes]:
        for piece in stream:
            if self._limits.expires_at is not None and time.monotonic() > self._limits.expires_at:
                raise self.library.ReadTimeout("the attempt's time is over")
            yield piece

    async def _send_async(self, timeout: Timeout) -> Any:
        prepared = self._prepared(timeout)
        try:
            response = await self._inner.handle_async_request(prepared)
        finally:
            self._take_source_error()
        if self._reads_body and response.status_code != 101:
            stream = response.stream
            try:
                self._take(response, b"".join([piece async for piece in stream]))
            finally:
                with suppress(*self.errors):
                    await stream.aclose()
        return response

    def _take_source_error(self) -> None:
        """Note what the source of the body has raised. The stream forgets it: its traceback refers to the stream."""
        watched = self._watched
        if watched is not None:
            self.source_error, watched.error = watched.error, None

    def _prepared(self, timeout: Timeout) -> Any:
        """The library's request for this attempt. The object of the caller remains as it is."""
        native = self.native
        given = native.extensions.get("timeout") or {}
        self._timeout = timeout = Timeout(
            total=timeout.total,
            connect=_smaller(timeout.connect, given.get("connect")),
            read=_smaller(timeout.read, given.get("read")),
            write=_smaller(timeout.write, given.get("write")),
            pool=_positive(given.get("pool")),
        )
        names = ("connect", "read", "write", "pool")
        self._limits = _Timeouts({name: getattr(timeout, name) for name in names})
        self._limits.expires_at = None if timeout.total is None else time.monotonic() + timeout.total
        watched = self._watched
        if self._rewind is not None:
            self._rewind()
        request = self.library.Request(
            native.method,
            native.url,
            headers=native.headers,
            stream=native.stream if watched is None else watched,
            extensions={**native.extensions, "timeout": self._limits},
        )
        if watched is None:
            request.read()  # it is in memory: whoever looks at the request finds it there
        return request

    def _take(self, response: Any, content: bytes) -> None:
        """Give the response its body, which is still coded."""
        self._content_read, response.stream = content, self.library.ByteStream(content)

    def _has_started(self, failure: Failure | None) -> bool:
        return bool(self._watched and self._watched.has_begun)

    # What it means.

    def _meaning(self, error: Exception, timeout: Timeout, timed_out: bool) -> Failure:
        library: Any = self.library
        if _is_refused_stream(error):
            message = f"{redact_url(self.url)}: the server did not process this request (REFUSED_STREAM)"
            return Failure(ConnectionLostError, message, SentState.REFUSED, error)
        if isinstance(error, library.PoolTimeout):
            message = f"no connection of {library.__name__} to {redact_url(self.url)} became free in time"
            return Failure(PoolTimeoutError, message, SentState.NEVER_SENT, error)
        phase, plain = self._plain(error)
        return failure_of(phase, plain, self, self._timeout, timed_out)

    def _plain(self, error: Exception) -> tuple[Phase, Exception]:
        """The phase, and the builtin error beneath an error of the library."""
        library: Any = self.library
        text = str(error)
        if isinstance(error, (library.ConnectTimeout, library.ConnectError)):
            beneath = _builtin_beneath(error)
            is_timeout = isinstance(error, library.ConnectTimeout)
            return Phase.CONNECT, TimeoutError() if is_timeout else beneath or ConnectionError(text)
        if isinstance(error, library.ProxyError):
            return Phase.PROXY, ProxyRefusedError(text)
        if isinstance(error, library.UnsupportedProtocol):
            return Phase.CONNECT, UnsendableError(text)
        if isinstance(error, library.WriteTimeout):
            return Phase.SEND, TimeoutError()
        if isinstance(error, library.TimeoutException):
            return Phase.RECEIVE, TimeoutError()
        if isinstance(error, library.ProtocolError):
            if "disconnected" in text:  # before any byte of a response
                return Phase.RECEIVE, ConnectionResetError("closed without a response")
            if "without sending complete message body" in text:
                return Phase.RECEIVE, CutShortError()
            return Phase.RECEIVE, NotHttpError(detail=text)
        return Phase.RECEIVE, _builtin_beneath(error) or ConnectionError(text)

    def _head(self, response: Any, elapsed: float) -> HttpResponse:
        return HttpResponse(
            response.status_code,
            headers=response.headers.multi_items(),
            content=self._content_read,
            reason_phrase=response.reason_phrase,
            url=self.url,
            request=self,
            elapsed=elapsed,
            http_version="HTTP/2" if response.http_version == "HTTP/2" else "HTTP/1.1",
        )

    # What is done with a response that is of no use.

    def _close(self, response: Any) -> None:
        stream = response.stream
        with suppress(*self.errors):
            if hasattr(stream, "close"):
                stream.close()
            else:
                _close_soon(stream)

    def _drain(self, response: Any, seconds: float) -> None:
        left, until = DRAINED, time.monotonic() + seconds
        self._limits.expires_at = until  # the library looks at it when it begins to read
        with suppress(*self.errors):
            if _may_be_short(response):
                for piece in response.stream:
                    left -= len(piece)
                    if left < 0 or time.monotonic() > until:
                        break
        self._close(response)

    async def _drain_async(self, response: Any) -> None:
        left = DRAINED
        try:
            with suppress(*self.errors):
                if _may_be_short(response):
                    async for piece in response.stream:
                        left -= len(piece)
                        if left < 0:
                            break
        finally:
            with suppress(*self.errors):
                await response.stream.aclose()

    def _set_header(self, name: str, value: str | None) -> None:
        native = self.native
        headers = native.headers.copy()
        if value is None:
            headers.pop(name, None)
        else:
            headers[name] = value
        self.native = self.library.Request(
            native.method, native.url, headers=headers, stream=native.stream, extensions=native.extensions
        )


@cache
def _kind_for(library: Any) -> type[_Request]:
    """The class of requests of a library."""
    return type(
        _Request.__name__,
        (_Request,),
        {
            "__slots__": (),
            "library": library,
            "errors": (library.TransportError,),
            "raises": (
                (ConnectTimeoutError, library.ConnectTimeout),
                (PoolTimeoutError, library.PoolTimeout),
                (WriteTimeoutError, library.WriteTimeout),
                (ReadTimeoutError, library.ReadTimeout),
                (RequestTimeoutError, library.TimeoutException),
                (ProxyError, library.ProxyError),
                (ProtocolError, library.RemoteProtocolError),
                (ConnectionLostError, library.ReadError),
                (InvalidRequestError, library.LocalProtocolError),
                (ConfigurationError, library.TransportError),
                (NetworkError, library.ConnectError),
                (HttpClientError, library.ConnectError),
            ),
        },
    )


@cache
def _watching(library: Any) -> Callable[[Any], Any]:
    """A class of streams that note when their first piece is asked for, and what their source raises."""

    class Watched(library.SyncByteStream, library.AsyncByteStream):  # type: ignore[misc]
        def __init__(self, stream: Any) -> None:
            self._watched = stream
            self.has_begun = False
            self.error: Exception | None = None

        def __iter__(self) -> Iterator[bytes]:
            self.has_begun = True
            try:
                yield from self._watched
            except Exception as error:
                self.error = error
                raise

        async def __aiter__(self) -> AsyncIterator[bytes]:
            self.has_begun = True
            try:
                async for piece in self._watched:
                    yield piece
            except Exception as error:
                self.error = error
                raise

        def close(self) -> None:
            self._watched.close()

        async def aclose(self) -> None:
            await self._watched.aclose()

    return Watched


def _content_of(native: Any) -> bytes | None:
    """The body of a request if it is in memory."""
    try:
        content: bytes = native.content
    except Exception:  # RequestNotRead, of either library
        return None
    return content


def _rewinding(stream: Any) -> Callable[[], object] | None:
    """What makes a body ready to be sent again; None if nothing does.

    What is inside the library's streams is private to it. Where it is not as expected, the body is sent once.
    """
    if type(stream).__name__ == "MultipartStream":
        fields = getattr(stream, "fields", None)
        if fields is None:
            return None
        files = [each.file for each in fields if hasattr(each, "file")]
        can = all(isinstance(file, (str, bytes)) or _can_seek(file) for file in files)
        return _nothing if can else None  # it rewinds its files itself
    source: Any = getattr(stream, "_stream", None)
    if hasattr(source, "__aiter__") and not hasattr(stream, "__iter__"):
        is_file = hasattr(source, "read") or hasattr(source, "aread")  # it can be rewound by awaiting alone
        return None if is_file or source.__aiter__() is source else _nothing
    if hasattr(source, "read"):
        if not _can_seek(source):
            return None
        position = source.tell()
        return lambda: source.seek(position)
    if hasattr(source, "__iter__"):
        return None if iter(source) is source else _nothing
    return None


def _nothing() -> None:
    """It begins from its start each time."""


def _can_seek(file: Any) -> bool:
    try:
        file.seek(file.tell())
    except Exception:  # whatever a file-like object raises that cannot
        return False
    return True


def _smaller(limit: float | None, given: float | None) -> float | None:
    given = _positive(given)
    return given if limit is None else limit if given is None else min(limit, given)


def _positive(given: Any) -> float | None:
    """A limit of the library's, in which 0 means at once."""
    return max(_LEAST, float(given)) if isinstance(given, (int, float)) else None


def _may_be_short(response: Any) -> bool:
    """Whether it does not say that its body is longer than what is read of one that is discarded."""
    length = response.headers.get("Content-Length")
    if length is None or not length.isdecimal():
        return True
    return len(length) < 19 and int(length) <= DRAINED  # Python refuses to read thousands of digits


def _builtin_beneath(error: Exception) -> OSError | None:
    """The system's error, by which its own message and kind are known."""
    found = [link for link in links(error) if isinstance(link, OSError)]
    return found[-1] if found else None


_REFUSED_STREAM = 7


def _is_refused_stream(error: Exception) -> bool:
    """Whether the server says that it did not process the request.

    By HTTP/2 (RFC 9113, 8.7). After GOAWAY, the library sends again by itself what was not processed. An error that
    it raises for one does not tell the stream, so nothing follows from it.
    """
    return any(
        type(each).__name__ == "StreamReset" and each.error_code == _REFUSED_STREAM
        for link in links(error)
        for each in link.args
    )


_CLOSING: set[asyncio.Task[None]] = set()


def _close_soon(stream: Any) -> None:
    """Close an asynchronous stream from plain code on its loop."""

    async def close() -> None:
        with suppress(Exception):
            await stream.aclose()

    try:
        task = asyncio.get_running_loop().create_task(close())
    except RuntimeError:  # the loop has ended, and its connections with it
        return
    _CLOSING.add(task)
    task.add_done_callback(_CLOSING.discard)

"""What the adapters inside other libraries' sessions have in common: requests, aiohttp, httpx.

An adapter makes an `AdaptedRequest` of each request of its library, and has a `ForeignCalls` run it as a call: the
layers of a client, its state and its listener, around the library's own exchange. The library's response is returned,
unread where the library leaves it unread. What is raised is

    the library's own error     if it was the outcome of the last attempt, as it is
    a class of both             for an error of ours: a circuit that is open, a deadline that has passed

and both have the `timeline` and the `sent_state` of the call.
"""

from __future__ import annotations

import re
import sys
import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar, Token
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from ..client.call_builder import CallBuilder
from ..client.client import HttpServiceClient
from ..client.config.client_config import HttpClientConfig
from ..client.config.pool import ConnectionPoolConfig
from ..core.checks import check_function, remedies
from ..core.effects import TIMED_OUT, Outcome
from ..core.outcomes import already_closed, ended_by_close
from ..core.signals import is_of_signal_handler
from ..core.timeouts import TIMER_SLACK, Timeout
from ..drivers.aio import ABORTED, Aborts, bounded
from ..errors import (
    ConfigurationError,
    ConnectError,
    ConnectTimeoutError,
    Failure,
    HttpClientError,
    InvalidRequestError,
    chain,
)
from ..events import Timeline
from ..http.headers import Headers
from ..http.messages import HttpRequest, HttpResponse
from ..http.urls import normalise_url
from ..transports.adapted_requests import ForeignRequest
from ..transports.failures import Phase, failure_of

if TYPE_CHECKING:
    from ..core.call import Call

__all__ = [
    "DRAINED",
    "RENAMED",
    "AdaptedRequest",
    "ForeignCalls",
    "explain",
    "headers_of",
    "joined_error",
    "links",
]

Response = TypeVar("Response")
Idempotent = bool | Callable[[HttpRequest], bool | None] | None

DRAINED = 64 * 1024
"""Bytes of a response that is discarded before a retry, up to which its body is read to keep the connection."""
DRAIN_TIME = 1.0
"""Seconds that this may take, of the next attempt's: half of them at most. Then the connection is closed."""

_WHILE_CONNECTING = (ConnectError, ConnectTimeoutError)  # nothing of a body has been read by then

# The method and URL of the exchange that is being made, where an adapter makes it: another adapter inside passes it on.
_INSIDE: ContextVar[tuple[str, str] | None] = ContextVar("http_service_client.inside", default=None)


class AdaptedRequest(ForeignRequest, Generic[Response]):
    """A request of another library, and what the library made of it.

    url: that of the library, whatever it is.   content, is_replayable: see `ForeignRequest`.

    A subclass says how the library sends it (`_send` or `_send_async`), what its errors mean (`_meaning`), what its
    response looks like from outside (`_head`), and how one is discarded (`_close`, `_drain`, `_drain_async`).

    errors: the classes of the library's errors; any other error is a bug, or the caller's own, and is raised as it is.
    raises: for classes of our errors, the class of the library that code catches for them; the first that fits. Each can
        be made of a message alone.
    native: the library's own request, which errors have as their `request`.
    aborts: end its exchanges in asyncio when the client is closed with `abort`.
    response: the last response that came and has not been discarded.   error: the last error of the library.
    source_error: what the source of the body has raised in the exchange, or None. The library's error came by that, and
        not from the exchange: it is raised as it is, and nothing is sent again.
    """

    __slots__ = ("_known", "_latest", "aborts", "error", "native", "response", "source_error")

    errors: ClassVar[tuple[type[Exception], ...]]
    raises: ClassVar[tuple[tuple[type[HttpClientError], type[Exception]], ...]]
    aborts: Aborts  # in asyncio

    def __init__(
        self,
        native: Any,
        method: str,
        url: str,
        headers: Headers,
        content: bytes | None,
        *,
        is_replayable: bool,
    ) -> None:
        super().__init__(method.upper(), _known_url(url), headers, content, is_replayable=is_replayable)
        self.native = native
        self.response: Response | None = None
        self.error: Exception | None = None
        self.source_error: BaseException | None = None
        self._known = headers.copy()  # those that the library's request has
        self._latest: Outcome | None = None  # what `response` or `error` is to the layers

    # What a subclass defines.

    def _send(self, timeout: Timeout) -> Response:
        """Have the library send it. Raises one of `errors`.   timeout: as far as the library can keep to it."""
        raise NotImplementedError

    async def _send_async(self, timeout: Timeout) -> Response:
        """As `_send`. It is cancelled after `timeout.total`."""
        raise NotImplementedError

    @abstractmethod
    def _meaning(self, error: Exception, timeout: Timeout, timed_out: bool) -> Failure:
        """The failure for an error of the library.   timed_out: the attempt's whole time is over."""

    @abstractmethod
    def _head(self, response: Response, elapsed: float) -> HttpResponse:
        """The status and headers of a response, and its body if it has been read."""

    @abstractmethod
    def _close(self, response: Response) -> None:
        """Discard a response and its connection at once. It does not fail."""

    def _drain(self, response: Response, seconds: float) -> None:
        """Discard a response; read the rest of it first if that is at most `DRAINED` bytes. It does not fail.

        seconds: how long it may read.
        """
        self._close(response)

    async def _drain_async(self, response: Response) -> None:
        """As `_drain`. It is cancelled when its time is over, and the response is closed then."""
        raise NotImplementedError

    @abstractmethod
    def _set_header(self, name: str, value: str | None) -> None:
        """Set a header of the library's request, or remove it. The object that its caller has remains as it is."""

    def _has_started(self, failure: Failure | None) -> bool:
        """Whether the exchange may have read some of a one-shot body.   failure: None after a response."""
        return failure is None or not issubclass(failure.error_type, _WHILE_CONNECTING)

    def _may_raise(self, error: Exception) -> bool:
        """Whether the library may see its own error again. It must not if it would send the request once more."""
        return True

    # What the layers call.

    def exchange(self, timeout: Timeout) -> Outcome:
        self._set_headers()
        if (before := self._forget()) is not None:
            began = time.monotonic()
            self._drain(before, _time_to_drain(timeout))
            timeout = _rest_of(timeout, began)
        began, token = time.monotonic(), self._enter()
        response: Any = None
        failed: Exception | None = None
        try:
            response = self._send(timeout)
        except self.errors as error:
            failed = error
        except BaseException:
            self.source_error = None  # its traceback refers to this request
            raise
        finally:
            _leave(token)
        source_error, self.source_error = self.source_error, None
        try:
            if failed is not None:
                _check_signals(failed)
                if source_error is not None:
                    raise failed if self._may_raise(failed) else source_error
            return self._outcome(response, failed, timeout, began)
        finally:
            del failed, source_error  # their tracebacks hold this frame

    async def exchange_async(self, timeout: Timeout) -> Outcome:
        self._set_headers()
        if (before := self._forget()) is not None:
            began = time.monotonic()
            try:
                await bounded(self._drain_async(before), _time_to_drain(timeout))
            finally:
                self._close(before)
            timeout = _rest_of(timeout, began)
        began, token = time.monotonic(), self._enter()
        response: Any = None
        failed: Exception | None = None
        try:
            if self.aborts.are_over:  # while the last response was drained
                return already_closed()
            response = await bounded(self._send_async(timeout), timeout.total, self.aborts)
        except self.errors as error:
            failed = error
        except BaseException:
            self.source_error = None  # its traceback refers to this request
            raise
        finally:
            _leave(token)
        if response is TIMED_OUT or response is ABORTED:
            failure = failure_of(Phase.RECEIVE, TimeoutError(), self, timeout, True)
            if response is ABORTED:
                failure = ended_by_close(failure)
            self.body.has_started = self._has_started(failure)
            self.error, self.source_error, self._latest = None, None, failure
            return failure
        source_error, self.source_error = self.source_error, None
        try:
            if failed is not None and source_error is not None:
                raise failed if self._may_raise(failed) else source_error
            return self._outcome(response, failed, timeout, began)
        finally:
            del failed, source_error  # their tracebacks hold this frame

    def _set_headers(self) -> None:
        """Give the library's request the headers that were added for this call or this attempt."""
        headers, known = self.headers, self._known
        if headers._fields != known._fields:
            for name in {*headers, *known}:
                if headers.get(name) != known.get(name):
                    self._set_header(name, headers.get(name))
            self._known = headers.copy()

    def _enter(self) -> Token[tuple[str, str] | None]:
        return _INSIDE.set((self.method, self.url))

    def _outcome(
        self, response: Response, failed: Exception | None, timeout: Timeout, began: float
    ) -> Outcome:
        """Of an attempt. Outside of the handler of its error, so that what the caller handles is known: see `innermost`."""
        return self._succeeded(response, began) if failed is None else self._failed(failed, timeout, began)

    def _succeeded(self, response: Response, began: float) -> HttpResponse:
        self.body.has_started = self._has_started(None)
        self.response, self.error = response, None
        self._latest = head = self._head(response, time.monotonic() - began)
        return head

    def _failed(self, error: Exception, timeout: Timeout, began: float) -> Failure:
        timed_out = timeout.total is not None and time.monotonic() - began >= timeout.total - TIMER_SLACK
        failure = self._meaning(error, timeout, timed_out)
        self.body.has_started = self._has_started(failure)
        self.error, self._latest = error, failure
        return failure

    # What `ForeignCalls` calls.

    def _forget(self) -> Response | None:
        response, self.response = self.response, None
        return response

    def abandon(self) -> None:
        """The call ended with an error: its last response, if it is still open, is of no use."""
        self._latest = None
        if (response := self._forget()) is not None:
            self._close(response)

    def finish(self, call: Call, outcome: Outcome) -> Response:
        """Close the timeline, then return the library's response, or raise the library's error or one of both."""
        result = call.finish(outcome)
        response, error = self.response, self.error
        is_latest, self._latest = outcome is self._latest, None  # a response refers to its request
        if isinstance(result, HttpResponse) and response is not None:
            response.timeline = result.timeline  # type: ignore[attr-defined]
            return response
        assert isinstance(result, HttpClientError)
        self.abandon()
        self.error = None  # its traceback will have this frame
        try:
            if error is not None and is_latest and self._may_raise(error):
                for name in ("timeline", "sent_state"):
                    setattr(error, name, getattr(result, name))
                raise error
            raise self.joined(result) from (result.__cause__ if error is None else error)
        finally:
            del result, error

    def joined(self, error: HttpClientError) -> HttpClientError:
        """An error of ours, of a class that code for this library catches as well."""
        theirs = next((theirs for ours, theirs in self.raises if isinstance(error, ours)), None)
        kind = type(error) if theirs is None else joined_error(type(error), theirs)
        details = {**vars(error), "request": self.native, "response": None}
        return kind(str(error), **details)


def links(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that it stems from, also where httpcore hides them. To be called outside of its handler: see `innermost`."""
    seen = {id(sys.exc_info()[1])}
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _check_signals(error: Exception) -> None:
    """Raise what the handler of a signal raised, where the library has made an error of its own of it: a TimeoutError, say."""
    found = [link for link in links(error) if is_of_signal_handler(link)]
    if found:
        try:
            raise found[-1]  # urllib3 gives its own error the traceback of the one that it wraps
        finally:
            del found, error  # the traceback holds this frame


def _leave(token: Token[tuple[str, str] | None]) -> None:
    try:
        _INSIDE.reset(token)
    except ValueError:
        pass  # the coroutine is being closed from another context


def _time_to_drain(timeout: Timeout) -> float:
    return DRAIN_TIME if timeout.total is None else min(DRAIN_TIME, timeout.total / 2)


def _rest_of(timeout: Timeout, began: float) -> Timeout:
    """What an attempt has left of its timeout."""
    return timeout.within(
        None if timeout.total is None else max(TIMER_SLACK, timeout.total - (time.monotonic() - began))
    )


class ForeignCalls:
    """Runs the requests of one adapter as calls of a client.

    adapter: its name, for messages.   library: the name of its library.
    config: of a client of its own, None for the defaults; or client: one to share all state with, or a view of it.
    idempotent: True if processing a request twice does no harm, False if it does; None decides by the method and the
        headers; or a function of the `HttpRequest` that returns one of these.
    limits: the parts of a `Timeout` that it keeps to, beside `total`.

    Raises ConfigurationError for both, and for a setting that the library owns.
    """

    def __init__(
        self,
        adapter: str,
        library: str,
        config: HttpClientConfig | None,
        client: HttpServiceClient | None,
        idempotent: Idempotent = None,
        *,
        limits: Iterable[str],
    ) -> None:
        check_settings = partial(_check_settings, adapter, library, limits)
        if client is None:
            if config is not None and not isinstance(config, HttpClientConfig):
                from ..client.config.remedies import config_remedy

                remedy = config_remedy(config, client="pass a client as client=…")
                raise ConfigurationError(
                    f"{adapter} takes an HttpClientConfig, not {type(config).__name__}{remedy}"
                )
            if config is not None:
                check_settings(config)
        elif not isinstance(client, HttpServiceClient):
            raise ConfigurationError(f"client must be an HttpServiceClient, not {type(client).__name__}")
        elif config is not None:
            raise ConfigurationError(f"{adapter} takes a config or a client, not both: a client has a config")
        if idempotent is not None and type(idempotent) is not bool:
            check_function("idempotent", idempotent)
        self._names = (adapter, library)
        self._limits = frozenset(limits)
        self.has_own_client = client is None
        if client is not None:
            self._check_egress(client.config)
            self._check_view(client)
        self.client = client or _OwnClient(config, check_settings)
        self.idempotent = idempotent

    def _check_egress(self, config: HttpClientConfig) -> None:
        adapter, library = self._names
        if config.egress_policy is not None:
            raise ConfigurationError(
                f"{adapter} cannot keep to the egress_policy of the client, since {library} resolves names itself; "
                "share a client without one"
            )

    def _check_view(self, client: HttpServiceClient) -> None:
        """A view is made for its options, so one that would do nothing is an error. A client has calls of its own."""
        adapter, library = self._names
        names = {name for options in client._view_options for name in options} - _OURS_OF_VIEWS
        for options in client._view_options:
            if isinstance(timeout := options.get("timeout"), Timeout):
                given = {name for name, seconds in vars(timeout).items() if seconds is not None}
                names.update(f"Timeout.{name}" for name in given - {"total"} - self._limits)
        for name in sorted(names):
            raise ConfigurationError(
                f"{name} of this view does nothing in {adapter}: {library} decides about that; "
                f"set it up on the session of {library}, and pass the client, or a view without it"
            )

    def is_inside(self, method: str, url: str) -> bool:
        """Whether an adapter around this one is making this very exchange: only one of them retries it."""
        inside = _INSIDE.get()
        return inside is not None and inside == (method.upper(), _known_url(url))

    def run(self, request: AdaptedRequest[Response]) -> Response:
        """The library's response. Raises the library's error, or one of ours that is one of its classes, too."""
        builder = self.client._call_builder
        driver = builder.backends.foreign_blocking()
        call = self._call(builder, request)
        try:
            outcome = driver.run(builder.foreign_calls(request, call))
        except BaseException:
            request.abandon()
            raise
        return request.finish(call, outcome)

    async def run_async(self, request: AdaptedRequest[Response]) -> Response:
        """As `run`, in an asyncio task."""
        builder = self.client._call_builder
        driver = builder.backends.foreign_asyncio()
        aborts = builder.backends.foreign_aborts
        assert aborts is not None  # since it has a driver
        request.aborts = aborts
        call = self._call(builder, request)
        try:
            outcome = await driver.run(builder.foreign_calls(request, call))
        except BaseException:
            request.abandon()
            raise
        return request.finish(call, outcome)

    def _call(self, builder: CallBuilder, request: AdaptedRequest[Any]) -> Call:
        self._check_egress(builder.config)  # it may have changed
        request.headers.secret_names = builder.config.resolved.secret_names
        given = self.idempotent
        request.idempotent = given(request) if callable(given) else given
        try:
            return builder.build(request.method, request.url, idempotent=request.idempotent, _foreign=request)
        except HttpClientError as error:  # the client is closed
            raise request.joined(error) from None


# Errors that are of our class and of the library's.


class _OfBoth:
    """An error of ours that is one of another library, too."""

    __dict__: dict[str, Any]
    args: tuple[Any, ...]

    def __reduce__(self) -> tuple[Any, ...]:
        # Without the library's request and response, which hold credentials, and may hold a connection.
        secret = ("request", "response", "_request")  # the last one is httpx's
        state = {name: value for name, value in vars(self).items() if name not in secret}
        _, ours, theirs = type(self).__bases__
        return _rebuild, (ours, theirs, self.args, state)

    def redacted(self) -> Any:
        """A copy without secrets; it has no request."""
        rebuild, arguments = self.__reduce__()
        return rebuild(*arguments)


_JOINED: dict[tuple[type, type], type[HttpClientError]] = {}


def joined_error(ours: type[HttpClientError], theirs: type[Exception]) -> type[HttpClientError]:
    """The class of errors that are of both classes. It has the name of ours."""
    joined = _JOINED.get((ours, theirs))
    if joined is None:
        body = {"__doc__": ours.__doc__, "__module__": ours.__module__}
        made = type(ours.__name__, (_OfBoth, ours, theirs), body)
        joined = _JOINED.setdefault((ours, theirs), made)  # another thread may have been faster
    return joined


def _rebuild(
    ours: type[HttpClientError], theirs: type[Exception], args: tuple[Any, ...], state: dict[str, Any]
) -> HttpClientError:
    return joined_error(ours, theirs)(*args, **state)


def explain(subject: object, *, why: bool = False) -> str:
    """What happened in the calls behind a response or an error of another library, one line for each event.

    subject: a response that came through an adapter, or an error; also an SDK's own error that stems from one. A
        response that redirects led to has one story for each hop. One without a story is shown by its `repr`.
    why: see `Timeline.explain`.
    """
    found: list[Timeline] = []
    if isinstance(subject, BaseException):
        for link in chain(subject):
            found = _timelines(link) or _timelines(getattr(link, "response", None))
            if found:
                break
    else:
        found = _timelines(subject)
    return "\n".join(timeline.explain(why=why) for timeline in found) or repr(subject)


def _timelines(subject: object) -> list[Timeline]:
    """Those of a response's redirects, and its own."""
    history = getattr(subject, "history", None) or ()
    known = [getattr(each, "timeline", None) for each in (*history, subject)]
    return [timeline for timeline in known if isinstance(timeline, Timeline)]


# The library's request.


def headers_of(pairs: Iterable[tuple[Any, Any]]) -> Headers:
    """The headers of a library's request. It has checked them, or will."""
    return Headers([(_text(name), _text(value)) for name, value in pairs])


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


_AUTHORITY = re.compile(r"^([^:/?#]*)://(?:[^/?#@]*@)?([^/?#]*)")


@lru_cache(maxsize=1024)
def _known_url(url: str) -> str:
    """The URL in the form by which state is kept.

    An origin of another scheme, such as docker's, has a name that no host can have (RFC 2606).
    """
    try:
        return normalise_url(url)
    except InvalidRequestError:
        match = _AUTHORITY.match(url)
        parts = match.groups() if match else ("", "")
        host = ".".join(re.sub(r"[^a-z0-9.-]", "-", part.lower()).strip(".-") or "unknown" for part in parts)
        try:
            return normalise_url(f"http://{host}.invalid/")
        except InvalidRequestError:
            return "http://unknown.invalid/"


# Settings.

RENAMED = {
    **dict.fromkeys(HttpClientConfig.__dataclass_fields__, "set it in HttpClientConfig"),
    **remedies(
        {
            "set max_attempts in retry_policy_config of HttpClientConfig": "retries max_attempts",
            "set base_timeout in HttpClientConfig": "timeout",
        }
    ),
}
"""Remedies for keywords that the adapters do not have."""


class _OwnClient(HttpServiceClient):
    """The client of one adapter."""

    _check_settings: Callable[[HttpClientConfig], None]

    def __init__(
        self, config: HttpClientConfig | None, check_settings: Callable[[HttpClientConfig], None]
    ) -> None:
        super().__init__(config)
        vars(self)["_check_settings"] = check_settings

    def reconfigure(self, config: HttpClientConfig) -> None:
        """As that of any client. Raises ConfigurationError for a setting that would do nothing, too."""
        if isinstance(config, HttpClientConfig):
            self._check_settings(config)
        super().reconfigure(config)


# All others are about what the library does.
_OURS = frozenset(
    {
        *(
            "base_timeout",
            "connection_timeout",
            "total_timeout",
            "enable_circuit_breaker",
            "circuit_breaker_config",
        ),
        *(
            "enable_retry_policy",
            "retry_policy_config",
            "enable_throttle_gate",
            "enable_retry_budget",
            "rate_limit",
        ),
        *("bulkhead", "adaptive_limit", "load_shedding", "deadline_check"),
        *("retry_budget_config", "auto_idempotency_key", "quote_idempotency_key", "propagation"),
        *("sensitive_headers", "public_headers", "connection_pool", "state_key", "routes", "chaos"),
    }
)
_OURS_OF_POOLS = frozenset({"request_timeout", "connection_timeout"})
_OURS_OF_VIEWS = frozenset(
    {
        *("timeout", "total_timeout", "retry_policy", "circuit_breaker", "retry_budget"),
        *("key", "name"),
    }
)
_OURS_OF_ROUTES = _OURS_OF_VIEWS | {"idempotent"}


def _check_settings(adapter: str, library: str, limits: Iterable[str], config: HttpClientConfig) -> None:
    """Raise ConfigurationError for a setting that would do nothing."""
    propagation = config.resolved.propagation
    if propagation is not None and propagation.hosts is None:
        raise ConfigurationError(
            f"propagation needs hosts=… in {adapter}: {library} follows redirects, which may lead to a stranger"
        )
    chaos = config.resolved.chaos
    if chaos is not None and (chaos.settings.status_rate or chaos.settings.truncation_rate):
        raise ConfigurationError(
            f"status_rate and truncation_rate of chaos do nothing in {adapter}: a response is {library}'s own; "
            "inject errors and latency"
        )
    ours, found = _OURS_OF_POOLS if "connect" in limits else _OURS_OF_POOLS - {"connection_timeout"}, []
    for kept, given, plain in (
        (_OURS, config, HttpClientConfig()),
        (ours, config.resolved.pool, ConnectionPoolConfig()),
    ):
        for name in plain.__dataclass_fields__:
            value = getattr(given, name)
            if name not in kept and value != getattr(plain, name):
                found.append(name)
    for route, options in config.routes.items():
        found += [f"routes[{route!r}][{name!r}]" for name in options if name not in _OURS_OF_ROUTES]
    if found:
        raise ConfigurationError(
            f"{found[0]} does nothing in {adapter}: {library} decides about that; "
            f"set it up on the session of {library}, and leave it out here"
        )

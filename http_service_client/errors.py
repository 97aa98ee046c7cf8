"""Every error that this package raises.

The module holds the vocabulary of failure and decides nothing: what became of a request (`SentState`), a failed
exchange as a value (`Failure`), and the errors that a caller sees.

    HttpClientError
    ├── ConfigurationError            (ValueError)       a setting is wrong
    ├── InvalidRequestError           (ValueError)       the request is wrong; nothing was sent
    │   └── EgressRefusedError                           the egress policy forbids its destination
    ├── ClientClosedError             (RuntimeError)     the client is closed
    ├── StreamError                   (RuntimeError)     a streamed body cannot be read: not yet, or no longer
    ├── InterceptorError              (TypeError)        an interceptor or an auth flow broke its rules
    ├── CallRefusedError                                 a policy of this client refused the call
    │   ├── BulkheadFullError                            too many calls are in progress, and enough wait
    │   ├── CircuitOpenError                             the circuit breaker did
    │   ├── ConcurrencyLimitError                        the adaptive limit had no permit in time
    │   ├── LoadShedError                                load shedding did: the service is overloaded
    │   ├── RateLimitExceededError                       the rate limit did, or its wait would be too long
    │   └── ThrottledError                               the service asked for a pause, and the call cannot wait
    ├── OperationTimeoutError         (TimeoutError)     a guarded function took longer than its TimeoutPolicy allows
    ├── TokenError                                       there is no token to send, so nothing was sent
    ├── TransportError
    │   ├── NetworkError              (ConnectionError)
    │   │   ├── ConnectError                             no connection could be made
    │   │   │   ├── NameResolutionError
    │   │   │   └── ProxyError
    │   │   ├── TlsError                                 the handshake failed
    │   │   │   └── TlsVerificationError                 the certificate could not be verified
    │   │   ├── ConnectionLostError                      reset or closed mid-exchange
    │   │   └── ProtocolError                            the response is not valid HTTP, or was cut short
    │   └── RequestTimeoutError       (TimeoutError)
    │       ├── ConnectTimeoutError
    │       ├── PoolTimeoutError                         no free connection in time
    │       ├── WriteTimeoutError
    │       ├── ReadTimeoutError
    │       ├── AttemptTimeoutError                      the attempt as a whole took too long
    │       └── DeadlineExceededError                    the call as a whole took too long
    │           └── DeadlineTooShortError (CallRefusedError)  too little time was left to begin an attempt
    └── ResponseError
        ├── ResponseTooLargeError
        ├── DecodingError             (ValueError)       the body's content coding is corrupt or cut short
        ├── ChecksumError             (ValueError)       a downloaded file has another checksum
        ├── TooManyRedirectsError
        ├── UnsafeRedirectError
        ├── PaginationError                              the next page is elsewhere, or was there before
        ├── PollingError                                 an operation has no URL to poll, or one elsewhere
        ├── ResponseValidationError   (ValueError)       the data is not of the `response_type`
        └── HttpStatusError                              raised by `raise_for_status()`

The transport errors derive from the builtins `ConnectionError` and `TimeoutError`, so code that
catches those keeps working.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

    from .events import Timeline
    from .http.messages import HttpRequest, HttpResponse
    from .http.problems import Problem

__all__ = [
    "AttemptTimeoutError",
    "BulkheadFullError",
    "CallRefusedError",
    "ChecksumError",
    "CircuitOpenError",
    "ClientClosedError",
    "ConcurrencyLimitError",
    "ConfigurationError",
    "ConnectError",
    "ConnectTimeoutError",
    "ConnectionLostError",
    "DeadlineExceededError",
    "DeadlineTooShortError",
    "DecodingError",
    "EgressRefusedError",
    "Failure",
    "HttpClientError",
    "HttpStatusError",
    "InterceptorError",
    "InvalidRequestError",
    "LoadShedError",
    "NameResolutionError",
    "NetworkError",
    "OperationTimeoutError",
    "PaginationError",
    "PollingError",
    "PoolTimeoutError",
    "ProtocolError",
    "ProxyError",
    "RateLimitExceededError",
    "ReadTimeoutError",
    "RequestTimeoutError",
    "ResponseError",
    "ResponseTooLargeError",
    "ResponseValidationError",
    "SentState",
    "StreamError",
    "ThrottledError",
    "TlsError",
    "TlsVerificationError",
    "TokenError",
    "TooManyRedirectsError",
    "TransportError",
    "UnsafeRedirectError",
    "WriteTimeoutError",
]


class SentState(str, Enum):
    """What became of a request, as far as the client can know.

    Listed by how much the server may have done. A call reports the worst state over all its attempts, whatever
    the last one says.
    """

    NEVER_SENT = "never_sent"  # no byte of it left this machine: sending it again is safe
    REFUSED = "refused"  # 425, 429, 503 with Retry-After, a 401 that was followed up, a 307, or HTTP/2: the server did not process it
    ANSWERED = "answered"  # a complete response arrived
    ABANDONED = "abandoned"  # we gave up while it was in flight; this says nothing about the server
    MAYBE_PROCESSED = "maybe_processed"  # sent, and no response arrived: nobody knows


_RANK = {state: rank for rank, state in enumerate(SentState)}


def worst(one: SentState, other: SentState) -> SentState:
    """The one by which the server may have done more."""
    return one if one is other else max(one, other, key=_RANK.__getitem__)


@dataclass(frozen=True)
class Failure:
    """A failed exchange as a value. Layers pass it on; the front end raises it, once, as an error.

    error_type: the class that the caller will see.
    message: one sentence that names the subject, its value and the next step.
    sent_state: what became of this attempt's request.
    cause: the innermost builtin error (`ConnectionRefusedError`, `ssl.SSLError`, ...), the same
        in blocking and asyncio calls, without its traceback so that a failure never keeps frames alive. Of a `TokenError`, the
        error of another call, or what a user's function raised, as it is.
    details: attributes set on the error, such as `retry_after`.
    """

    error_type: type[HttpClientError]
    message: str
    sent_state: SentState
    cause: BaseException | None = None
    details: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        if self.cause is not None and self.error_type is not TokenError:
            object.__setattr__(self, "cause", innermost(self.cause))

    def __reduce__(self) -> tuple[Any, ...]:
        # A mapping proxy cannot be pickled.
        return Failure, (self.error_type, self.message, self.sent_state, self.cause, dict(self.details))


def chain(error: BaseException, handled: BaseException | None = None) -> Iterator[BaseException]:
    """The error and all that it stems from, each once: members of a group, then the cause, or else the context.

    A context counts where Python would show it: not after ``raise ... from None``.
    handled: the exception that was being handled when the function that raised the error was called. Python makes
        it the context of whatever the function raises, though the error does not stem from it.
    """
    seen: set[int] = set()
    waiting = [error]
    while waiting and len(seen) < _MOST_LINKS:
        current = waiting.pop()
        if id(current) not in seen:
            seen.add(id(current))
            yield current
            waiting += _behind(current, handled)


def errors_behind(error: BaseException, handled: BaseException | None = None) -> Iterator[HttpClientError]:
    """The errors of this package that an error is, or stems from: on each branch of its chain, the nearest one.

    handled: see `chain`.
    """
    seen: set[int] = set()
    waiting = [error]
    while waiting and len(seen) < _MOST_LINKS:
        current = waiting.pop()
        if isinstance(current, HttpClientError):
            yield current
        elif id(current) not in seen:
            seen.add(id(current))
            waiting += _behind(current, handled)


def _behind(error: BaseException, handled: BaseException | None) -> list[BaseException]:
    """What an error directly stems from, the most telling one last."""
    cause = error.__cause__
    if cause is None and not error.__suppress_context__:
        cause = None if error.__context__ is handled else error.__context__
    members = _attribute(error, "exceptions")  # of an ExceptionGroup, or of its backport to Python 3.10
    found = [] if cause is None else [cause]
    if isinstance(members, (tuple, list)):
        found += [member for member in reversed(members) if isinstance(member, BaseException)]
    return found


_MOST_LINKS = 1000  # an `exceptions` that makes new errors each time it is read would have no end


def _attribute(error: BaseException, name: str) -> object:
    """An attribute that an error may have, or None. Looking at an error must not replace it by another one."""
    try:
        return getattr(error, name, None)
    except Exception:
        return None


def innermost(error: BaseException, *, implicitly: bool = False) -> BaseException:
    """The builtin error at the bottom of a chain of wrapped errors, without its traceback.

    requests wraps urllib3, which wraps the socket's error; aiohttp wraps it once. At the bottom there is
    the same `OSError`. Tracebacks hold frames, and frames hold errors: without this, each failing call would
    leave a reference cycle behind.

    implicitly: whether an error's context is what it wraps, as with some other libraries. Call it outside of the handler
        then: what is handled at that moment is the caller's, and Python has made it the context of all errors that were
        raised meanwhile. They do not stem from it.
    """
    callers = sys.exc_info()[1] if implicitly else None
    seen = {id(callers)}
    chain = [error]
    found = error
    while chain:
        current = chain.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        current.__traceback__ = None
        if type(current).__module__ in {"builtins", "ssl", "socket"}:
            found = current
        # Of two that are equally deep, the last is taken: a context is only what was being handled.
        inner: list[object] = [current.__context__ if implicitly else None, current.__cause__]
        inner += [_attribute(current, "reason"), *current.args]
        chain.extend(link for link in inner if isinstance(link, BaseException))
    found.__cause__ = found.__context__ = None
    return found


class HttpClientError(Exception):
    """The base class of every error that this package raises.

    request: the request of the call, or None.
    response: the last response of the call, or None.
    sent_state: what became of the request over *all* attempts. A call whose first attempt may
        have been processed says so even when its last attempt never left the machine.
    timeline: what was tried, and why it was retried or refused.
    """

    request: HttpRequest | None = None
    response: HttpResponse | None = None
    sent_state: SentState = SentState.NEVER_SENT
    timeline: Timeline | None = None

    def __init__(self, message: str = "", **details: object) -> None:
        super().__init__(message)
        self.__dict__.update(details)

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""

    def __reduce__(self) -> tuple[Any, ...]:
        # OSError's own __reduce__ would drop the attributes. Python does not pickle a cause.
        return (_rebuild, (type(self), self.args, self.__dict__))

    def redacted(self) -> Self:
        """A copy without secrets, for a log, a queue or another process: its request and response are redacted.

        A log of local variables or a debugger shows what the error holds: credentials in headers, and bodies. A
        pickle has the bodies. The copy's request and response have neither (see `HttpResponse.redacted`). As after
        pickling, it has no `__cause__` and no traceback.
        """
        twin: Self = _rebuild(type(self), self.args, self.__dict__)  # type: ignore[assignment]  # of the same class
        for name in ("request", "response"):
            held = getattr(self, name)
            if held is not None:
                setattr(twin, name, held.redacted())
        twin.__dict__.pop("data", None)  # as the body
        return twin

    def explain(self, *, why: bool = False) -> str:
        """The story of the call for people, one line for each event.   why: see `Timeline.explain`."""
        story = self.timeline.explain(why=why) if self.timeline is not None else ""
        return f"{story}\n{type(self).__name__}: {self}".lstrip()


def _rebuild(cls: type[HttpClientError], args: tuple[Any, ...], state: dict[str, Any]) -> HttpClientError:
    error = cls(*args)
    error.__dict__.update(state)
    return error


class ConfigurationError(HttpClientError, ValueError):
    """A setting is wrong. The message names the field, the value and what to write instead."""


class InvalidRequestError(HttpClientError, ValueError):
    """The request is invalid (URL, header, body). Nothing was sent."""


class EgressRefusedError(InvalidRequestError):
    """The egress policy refuses the URL, or every address that its host resolves to. Nothing was sent there.

    host: of the URL.  address: the refused address, or None when the host itself was refused.
    """

    host: str = ""
    address: str | None = None


class ClientClosedError(HttpClientError, RuntimeError):
    """The client was closed: before this call, or during it.

    sent_state: `abandoned` if `close` aborted the call after its request was sent.
    """


class StreamError(HttpClientError, RuntimeError):
    """The body of a streamed response cannot be read now: not yet, no longer, or a second time."""


class InterceptorError(HttpClientError, TypeError):
    """An interceptor returned something that is neither a request nor a response, or an auth flow broke its rules."""


class CallRefusedError(HttpClientError):
    """A policy of this client refused the call, before anything was sent. The subclasses say which one.

    key: what the policy keeps its state for, such as ``https://api.example.com``, or the name of a policy.
    retry_after: seconds until another call may pass, or None when nobody knows.
    """

    key: str | None = None
    retry_after: float | None = None


class CircuitOpenError(CallRefusedError):
    """The circuit breaker refused the call; nothing was sent.

    key: the circuit's key, such as ``https://api.example.com``.
    retry_after: seconds until a trial call may pass, or None when the circuit is isolated or a trial is
        in progress.
    reason: "open", "isolated", "trial in progress" or "recovering".
    """

    reason: str = ""


class BulkheadFullError(CallRefusedError):
    """The bulkhead had no permit for the call: its queue was full, or the wait took too long. Nothing was sent.

    key: of the bulkhead, such as ``https://api.example.com``, or the name of a policy.
    reason: "full", the queue had no room; "max_wait", no permit within that time; or "displaced", a call of a higher
        priority needed the room in the queue.
    """

    reason: str = ""


class ConcurrencyLimitError(CallRefusedError):
    """The adaptive limit refused the call: as many are in progress as the service can do with; nothing was sent.

    key: what the limit is kept for, such as ``https://api.example.com``, or the name of a policy.
    retry_after: None, nobody knows.
    reason: "full", "max_wait" or "displaced": the queue was full, the wait too long, or a more important call came.
    """

    reason: str = ""


class LoadShedError(CallRefusedError):
    """Load shedding refused the call, since the service rejects too many for overload; nothing was sent.

    key: what the counts are kept for, such as ``https://api.example.com``, or the name of a policy.
    share: 0 to 1, the chance with which a call of this priority was shed.   retry_after: None, nobody knows.
    """

    share: float | None = None


class RateLimitExceededError(CallRefusedError):
    """The rate limit refused the call: it may not wait, or its turn would come too late; nothing was sent.

    key: what the limit is kept for, such as ``https://api.example.com``, or the name of a policy.
    retry_after: seconds until the call would have had its turn.
    """


class ThrottledError(CallRefusedError):
    """The service asked for a pause (429, or 503 with Retry-After) that is longer than this call may wait; nothing was sent.

    key: of the service, such as ``https://api.example.com``.   retry_after: seconds until the pause is over.
    """


class OperationTimeoutError(HttpClientError, TimeoutError):
    """A guarded function took longer than its `TimeoutPolicy` allows.

    key: the name of the policy or of its pipeline.   timeout: the seconds that were allowed.
    sent_state: `maybe_processed`, unless a client's call inside knows better: nobody knows how far the function has come.
    """

    key: str = ""
    timeout: float = 0.0


class TokenError(HttpClientError):
    """There is no token for the call: the token service refused it or failed. The request was not sent without one.

    source: where tokens come from, such as ``https://id.example.com/token``.
    error_code: what an OAuth 2.0 token service says is wrong, such as ``invalid_client``; or None.
    retry_after: seconds that the token service asks its clients to wait, or until its circuit lets a trial pass; or None.
    `__cause__` is the error of the token request, with a timeline of its own, or the exception of the provider.
    """

    source: str = ""
    error_code: str | None = None
    retry_after: float | None = None


class TransportError(HttpClientError):
    """The exchange failed before a complete response arrived."""


class NetworkError(TransportError, ConnectionError):
    """The connection could not be made, or was lost."""


class ConnectError(NetworkError):
    """No connection was made (refused, unreachable). The request was never sent."""


class NameResolutionError(ConnectError):
    """The host name could not be resolved. The request was never sent."""


class ProxyError(ConnectError):
    """The proxy refused or failed to open the tunnel. The request was never sent."""


class TlsError(NetworkError):
    """The TLS handshake failed. The request was never sent."""


class TlsVerificationError(TlsError):
    """The server's certificate could not be verified. Never retried: another attempt would fail, too."""


class ConnectionLostError(NetworkError):
    """The connection was reset or closed mid-exchange: the server may have acted on the request."""


class ProtocolError(NetworkError):
    """The response is not valid HTTP, or was cut short.

    rule: the name of the rule that it breaks, such as ``repeated-content-length``; ``cut-short`` if it is incomplete.
        None if a library below found the fault and does not say which.
    section: where the rule is stated, such as ``RFC 9112, 6.3``; or None.
    offset: of the first byte at fault, counted from 0 with the first byte that arrived after the request, interim
        responses included. Of an incomplete response, the number of bytes that arrived. Or None.
    excerpt: the bytes up to the fault, escaped and at most some 60. It never shows the value of a header, but those of
        Content-Length and Transfer-Encoding.
    """

    rule: str | None = None
    section: str | None = None
    offset: int | None = None
    excerpt: str = ""


class RequestTimeoutError(TransportError, TimeoutError):
    """A part of the exchange took too long."""


class ConnectTimeoutError(RequestTimeoutError):
    """No connection within the connect timeout. The request was never sent."""


class PoolTimeoutError(RequestTimeoutError):
    """No connection became free within the pool timeout. The request was never sent."""


class WriteTimeoutError(RequestTimeoutError):
    """The server stopped accepting the request's bytes."""


class ReadTimeoutError(RequestTimeoutError):
    """The server stopped sending."""


class AttemptTimeoutError(RequestTimeoutError):
    """The attempt as a whole took longer than `timeout`."""


class DeadlineExceededError(RequestTimeoutError):
    """The call as a whole exceeded `total_timeout` or an enclosing `deadline`."""


class DeadlineTooShortError(DeadlineExceededError, CallRefusedError):
    """The deadline leaves less time than the service takes, so no attempt was begun; nothing was sent.

    key: of the service, such as ``https://api.example.com``.   retry_after: None.
    deadline_left: seconds.   median: seconds that an attempt usually takes, exact to 10 %.
    """

    deadline_left: float = 0.0
    median: float = 0.0


class ResponseError(HttpClientError):
    """A response arrived that cannot be used."""


class ResponseTooLargeError(ResponseError):
    """The response is larger than `max_response_size`. Reading stopped there."""


class DecodingError(ResponseError, ValueError):
    """The response's content coding (gzip, br, ...) is corrupt or cut short, or its library is not installed.

    The server has answered, so the call is not repeated. `response` has the status, the headers and, unless the body
    was streamed, the bytes as they arrived.
    """


class ChecksumError(ResponseError, ValueError):
    """A downloaded file does not match the given `checksum`. It was deleted."""


class TooManyRedirectsError(ResponseError):
    """More redirects than `allowed_redirect_count`."""


class UnsafeRedirectError(ResponseError):
    """A redirect that would leave http(s), downgrade to http, or cannot be followed safely."""


class PaginationError(ResponseError):
    """The next page of a listing is at another origin, was requested before, or its URL is wrong."""


class PollingError(ResponseError):
    """An operation that was accepted cannot be followed: it has no URL to look at, or one of another origin."""


class ResponseValidationError(ResponseError, ValueError):
    """The response's data is not of the given `response_type`; the message names the path."""


class HttpStatusError(ResponseError):
    """`raise_for_status()` on a 4xx or 5xx response.

    problem: what an application/problem+json response (RFC 9457) says is wrong; else None.
    data: the body as the call's `error_type`; None without one, or where the body is not of that type.
    """

    status_code: int = 0
    problem: Problem | None = None
    data: Any = None

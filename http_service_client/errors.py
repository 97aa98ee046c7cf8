"""Everything that can go wrong with a call, told once and told truly.

This module holds the vocabulary of failure and nothing that decides or does: what became of a
request (`SentState`), a failed exchange as a value (`Failure`), and the errors that a caller sees.

    HttpClientError
    ├── ConfigurationError            (ValueError)       a setting is wrong
    ├── InvalidRequestError           (ValueError)       the request is wrong; nothing was sent
    │   └── EgressRefusedError                           it would go where the egress policy forbids
    ├── ClientClosedError             (RuntimeError)     the client was closed before
    ├── StreamError                   (RuntimeError)     a streamed body is not there: not yet, no more
    ├── InterceptorError              (TypeError)        an interceptor answered with the wrong thing
    ├── CircuitOpenError                                 the circuit breaker refused the call
    ├── TransportError
    │   ├── NetworkError              (ConnectionError)
    │   │   ├── ConnectError                             no connection was made
    │   │   │   ├── NameResolutionError
    │   │   │   └── ProxyError
    │   │   ├── TlsError                                 the handshake failed
    │   │   │   └── TlsVerificationError                 the certificate is not to be trusted
    │   │   ├── ConnectionLostError                      reset or closed in mid-exchange
    │   │   └── ProtocolError                            what came is not HTTP, or was cut short
    │   │       └── DecodingError                        the content coding is broken or cut short
    │   └── RequestTimeoutError       (TimeoutError)
    │       ├── ConnectTimeoutError
    │       ├── PoolTimeoutError                         no free connection in time
    │       ├── WriteTimeoutError
    │       ├── ReadTimeoutError
    │       ├── AttemptTimeoutError                      the attempt as a whole took too long
    │       └── DeadlineExceededError                    the call as a whole took too long
    └── ResponseError
        ├── ResponseTooLargeError
        ├── ChecksumError             (ValueError)       a downloaded file is not the one asked for
        ├── TooManyRedirectsError
        ├── UnsafeRedirectError
        ├── ResponseValidationError   (ValueError)       the data is not what was asked for
        └── HttpStatusError                              raised by `raise_for_status()`

The transport errors derive from the builtins `ConnectionError` and `TimeoutError`, so code that
catches those keeps working.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .events import Timeline
    from .http.messages import HttpRequest, HttpResponse
    from .http.problems import Problem

__all__ = [
    "AttemptTimeoutError",
    "ChecksumError",
    "CircuitOpenError",
    "ClientClosedError",
    "ConfigurationError",
    "ConnectError",
    "ConnectTimeoutError",
    "ConnectionLostError",
    "DeadlineExceededError",
    "DecodingError",
    "EgressRefusedError",
    "Failure",
    "HttpClientError",
    "HttpStatusError",
    "InterceptorError",
    "InvalidRequestError",
    "NameResolutionError",
    "NetworkError",
    "PoolTimeoutError",
    "ProtocolError",
    "ProxyError",
    "ReadTimeoutError",
    "RequestTimeoutError",
    "ResponseError",
    "ResponseTooLargeError",
    "ResponseValidationError",
    "SentState",
    "StreamError",
    "TlsError",
    "TlsVerificationError",
    "TooManyRedirectsError",
    "TransportError",
    "UnsafeRedirectError",
    "WriteTimeoutError",
]


class SentState(str, Enum):
    """What became of a request, as far as the client can know.

    Listed by how much the server may have done. A call as a whole admits to the worst of its attempts,
    whatever its last attempt says.
    """

    NEVER_SENT = "never_sent"  # no byte of it left this machine: sending it again is safe
    REFUSED = "refused"  # 425, 429, 503 with Retry-After, or passed on by 307: the server did not process it
    ANSWERED = "answered"  # the server answered in full
    ABANDONED = "abandoned"  # given up by us while it was on its way; no evidence about the server
    MAYBE_PROCESSED = "maybe_processed"  # sent, and no answer came: nobody knows


@dataclass(frozen=True)
class Failure:
    """A failed exchange as a value. Layers pass it on; the front end raises it, once, as an error.

    error_type: the class that the caller will see.
    message: one sentence that names the thing and the next step.
    sent_state: what became of this attempt's request.
    cause: the innermost builtin error (`ConnectionRefusedError`, `ssl.SSLError`, ...), the same in
        both worlds, stripped of its traceback so that a failure never keeps frames alive.
    details: attributes set on the error, such as `retry_after`.
    """

    error_type: type[HttpClientError]
    message: str
    sent_state: SentState
    cause: BaseException | None = None
    details: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        if self.cause is not None:
            object.__setattr__(self, "cause", innermost(self.cause))


def innermost(error: BaseException) -> BaseException:
    """The builtin error at the bottom of a chain of wrapped errors, freed of its traceback.

    requests wraps urllib3, which wraps the socket's error; aiohttp wraps it once. What they all
    rest on is the same `OSError`. Tracebacks hold frames, frames hold errors: without this,
    each failing call would leave a reference cycle behind.
    """
    seen: set[int] = set()
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
        inner = [current.__cause__, current.__context__, getattr(current, "reason", None), *current.args]
        chain.extend(link for link in inner if isinstance(link, BaseException))
    found.__cause__ = found.__context__ = None
    return found


class HttpClientError(Exception):
    """The root of everything that this package raises.

    request: the request of the call, or None where there was none.
    response: the last response of the call, or None.
    sent_state: what became of the request over *all* attempts. A call whose first attempt may
        have been processed says so even when its last attempt never left the machine.
    timeline: what was tried, and why it was retried or refused.
    """

    request: HttpRequest | None = None
    response: HttpResponse | None = None
    sent_state: SentState = SentState.NEVER_SENT
    timeline: Timeline | None = None

    def __init__(self, message: str = "", **details: Any) -> None:
        super().__init__(message)
        self.__dict__.update(details)

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""

    def __reduce__(self) -> tuple[Any, ...]:
        # OSError's own __reduce__ would forget the attributes; a cause is not pickled by Python.
        return (_rebuild, (type(self), self.args, self.__dict__))

    def explain(self) -> str:
        """The story of the call as a person would tell it, one line an event."""
        story = self.timeline.explain() if self.timeline is not None else ""
        return f"{story}\n{type(self).__name__}: {self}".lstrip()


def _rebuild(cls: type[HttpClientError], args: tuple[Any, ...], state: dict[str, Any]) -> HttpClientError:
    error = cls(*args)
    error.__dict__.update(state)
    return error


class ConfigurationError(HttpClientError, ValueError):
    """A setting is wrong. The message names the field, the value and what to write instead."""


class InvalidRequestError(HttpClientError, ValueError):
    """The request cannot be sent as it stands (URL, header, body). Nothing was sent."""


class EgressRefusedError(InvalidRequestError):
    """The egress policy refuses the URL, or every address that its host resolves to. Nothing was sent there.

    host: of the URL. address: what was refused, where it was an address; else None.
    """

    host: str = ""
    address: str | None = None


class ClientClosedError(HttpClientError, RuntimeError):
    """The client was closed before this call."""


class StreamError(HttpClientError, RuntimeError):
    """The body of a streamed response was asked for when it was not there: not yet, no more, or twice."""


class InterceptorError(HttpClientError, TypeError):
    """An interceptor returned something that is neither a request nor a response."""


class CircuitOpenError(HttpClientError):
    """The circuit breaker refused the call; nothing was sent.

    key: the circuit's key, such as ``https://api.example.com``.
    retry_after: seconds until a trial call may pass, or None when the circuit is isolated or its
        trials are all taken.
    """

    key: str | None = None
    retry_after: float | None = None


class TransportError(HttpClientError):
    """The exchange failed before a complete response arrived."""


class NetworkError(TransportError, ConnectionError):
    """The connection could not be made, or broke."""


class ConnectError(NetworkError):
    """No connection was made (refused, unreachable). The request was never sent."""


class NameResolutionError(ConnectError):
    """The host name could not be resolved. The request was never sent."""


class ProxyError(ConnectError):
    """The proxy refused or failed to open the tunnel. The request was never sent."""


class TlsError(NetworkError):
    """The TLS handshake failed. The request was never sent."""


class TlsVerificationError(TlsError):
    """The server's certificate is not to be trusted. Never retried: it will not get better."""


class ConnectionLostError(NetworkError):
    """The connection was reset or closed in mid-exchange: the server may have acted on the request."""


class ProtocolError(NetworkError):
    """What came is not HTTP, or was cut short."""


class DecodingError(ProtocolError):
    """The response's content coding (gzip, br, ...) is unknown, corrupt or cut short."""


class RequestTimeoutError(TransportError, TimeoutError):
    """Some part of the exchange took too long."""


class ConnectTimeoutError(RequestTimeoutError):
    """No connection within the connect timeout. The request was never sent."""


class PoolTimeoutError(RequestTimeoutError):
    """No connection became free within the pool timeout. The request was never sent."""


class WriteTimeoutError(RequestTimeoutError):
    """The server stopped taking the request's bytes."""


class ReadTimeoutError(RequestTimeoutError):
    """The server stopped sending."""


class AttemptTimeoutError(RequestTimeoutError):
    """The attempt as a whole took longer than `timeout`."""


class DeadlineExceededError(RequestTimeoutError):
    """The call as a whole ran into `total_timeout` or an enclosing `deadline`."""


class ResponseError(HttpClientError):
    """A response came that cannot be used."""


class ResponseTooLargeError(ResponseError):
    """The response is larger than `max_response_size`. Reading stopped there."""


class ChecksumError(ResponseError, ValueError):
    """A downloaded file does not have the `checksum` asked for. It was thrown away."""


class TooManyRedirectsError(ResponseError):
    """More redirects than `allowed_redirect_count`."""


class UnsafeRedirectError(ResponseError):
    """A redirect that would leave http(s), downgrade to http, or cannot be followed safely."""


class ResponseValidationError(ResponseError, ValueError):
    """The response's data is not of the `response_type` asked for; the message has the path."""


class HttpStatusError(ResponseError):
    """`raise_for_status()` on a 4xx or 5xx response.

    problem: what an application/problem+json response (RFC 9457) says is wrong; else None.
    """

    status_code: int = 0
    problem: Problem | None = None

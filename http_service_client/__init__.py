"""One HTTP client for blocking and asyncio code, for calls where a lost or doubled request costs money.

The public names, nothing else. Each is imported when first used, so that `import http_service_client`
costs next to nothing and pulls in neither requests nor aiohttp.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

from ._version import __version__ as __version__

if TYPE_CHECKING:
    from .client import HttpServiceClient as HttpServiceClient
    from .config import ConnectionPoolConfig as ConnectionPoolConfig
    from .config import HttpClientConfig as HttpClientConfig
    from .config import Timeout as Timeout
    from .core.backoff import ConstantBackoff as ConstantBackoff
    from .core.backoff import DecorrelatedBackoff as DecorrelatedBackoff
    from .core.backoff import ExponentialBackoff as ExponentialBackoff
    from .core.backoff import FibonacciBackoff as FibonacciBackoff
    from .core.backoff import LinearBackoff as LinearBackoff
    from .core.budget import RetryBudgetSettings as RetryBudgetSettings
    from .core.circuit_states import CircuitBreakerState as CircuitBreakerState
    from .core.circuit_states import StateChange as StateChange
    from .core.conditions import RetryCondition as RetryCondition
    from .core.interceptors import RequestInterceptor as RequestInterceptor
    from .core.interceptors import ResponseInterceptor as ResponseInterceptor
    from .deadlines import deadline as deadline
    from .errors import AttemptTimeoutError as AttemptTimeoutError
    from .errors import ChecksumError as ChecksumError
    from .errors import CircuitOpenError as CircuitOpenError
    from .errors import ClientClosedError as ClientClosedError
    from .errors import ConfigurationError as ConfigurationError
    from .errors import ConnectError as ConnectError
    from .errors import ConnectionLostError as ConnectionLostError
    from .errors import ConnectTimeoutError as ConnectTimeoutError
    from .errors import DeadlineExceededError as DeadlineExceededError
    from .errors import DecodingError as DecodingError
    from .errors import EgressRefusedError as EgressRefusedError
    from .errors import HttpClientError as HttpClientError
    from .errors import HttpStatusError as HttpStatusError
    from .errors import InterceptorError as InterceptorError
    from .errors import InvalidRequestError as InvalidRequestError
    from .errors import NameResolutionError as NameResolutionError
    from .errors import NetworkError as NetworkError
    from .errors import PoolTimeoutError as PoolTimeoutError
    from .errors import ProtocolError as ProtocolError
    from .errors import ProxyError as ProxyError
    from .errors import ReadTimeoutError as ReadTimeoutError
    from .errors import RequestTimeoutError as RequestTimeoutError
    from .errors import ResponseError as ResponseError
    from .errors import ResponseTooLargeError as ResponseTooLargeError
    from .errors import ResponseValidationError as ResponseValidationError
    from .errors import SentState as SentState
    from .errors import StreamError as StreamError
    from .errors import TlsError as TlsError
    from .errors import TlsVerificationError as TlsVerificationError
    from .errors import TooManyRedirectsError as TooManyRedirectsError
    from .errors import TransportError as TransportError
    from .errors import UnsafeRedirectError as UnsafeRedirectError
    from .errors import WriteTimeoutError as WriteTimeoutError
    from .events import Timeline as Timeline
    from .guarding import circuit_breaker as circuit_breaker
    from .guarding import retry_policy as retry_policy
    from .messages import Headers as Headers
    from .messages import HttpContext as HttpContext
    from .messages import HttpRequest as HttpRequest
    from .messages import HttpResponse as HttpResponse
    from .observability.collector import MetricsCollector as MetricsCollector
    from .observability.metrics import HttpMetrics as HttpMetrics
    from .policies import CircuitBreakerPolicy as CircuitBreakerPolicy
    from .policies import RetryPolicy as RetryPolicy
    from .protocol.cookie_jar import Cookie as Cookie
    from .protocol.cookie_jar import CookieJar as CookieJar
    from .protocol.egress import EgressPolicy as EgressPolicy
    from .protocol.event_stream import ServerSentEvent as ServerSentEvent
    from .protocol.problems import Problem as Problem
    from .streaming import AsyncStreamedResponse as AsyncStreamedResponse
    from .streaming import StreamedResponse as StreamedResponse

_PLACES = {
    "client": "HttpServiceClient",
    "config": "ConnectionPoolConfig HttpClientConfig Timeout",
    "core.backoff": "ConstantBackoff DecorrelatedBackoff ExponentialBackoff FibonacciBackoff LinearBackoff",
    "core.budget": "RetryBudgetSettings",
    "core.conditions": "RetryCondition",
    "core.circuit_states": "CircuitBreakerState StateChange",
    "core.interceptors": "RequestInterceptor ResponseInterceptor",
    "deadlines": "deadline",
    "errors": (
        "AttemptTimeoutError ChecksumError CircuitOpenError ClientClosedError ConfigurationError ConnectError ConnectTimeoutError "
        "ConnectionLostError DeadlineExceededError DecodingError EgressRefusedError HttpClientError HttpStatusError "
        "InterceptorError InvalidRequestError NameResolutionError NetworkError PoolTimeoutError ProtocolError "
        "ProxyError ReadTimeoutError RequestTimeoutError ResponseError ResponseTooLargeError ResponseValidationError "
        "SentState StreamError TlsError TlsVerificationError TooManyRedirectsError TransportError UnsafeRedirectError "
        "WriteTimeoutError"
    ),
    "events": "Timeline",
    "guarding": "circuit_breaker retry_policy",
    "messages": "Headers HttpContext HttpRequest HttpResponse",
    "observability.collector": "MetricsCollector",
    "observability.metrics": "HttpMetrics",
    "policies": "CircuitBreakerPolicy RetryPolicy",
    "protocol.cookie_jar": "Cookie CookieJar",
    "protocol.egress": "EgressPolicy",
    "protocol.problems": "Problem",
    "protocol.event_stream": "ServerSentEvent",
    "streaming": "AsyncStreamedResponse StreamedResponse",
}
_MODULE_OF = {name: module for module, names in _PLACES.items() for name in names.split()}

__all__ = ["__version__", *sorted(_MODULE_OF)]  # strings, computed


def __getattr__(name: str) -> object:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(_import_module(f".{module}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

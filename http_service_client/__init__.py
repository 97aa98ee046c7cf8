"""One HTTP client for blocking and asyncio code, for calls where a lost or repeated request costs money.

The public names, and nothing else. Each is imported when first used, so `import http_service_client` costs
next to nothing and imports neither requests nor aiohttp.

How to write correct code with it, in short:
https://github.com/http-service-client/http-service-client/blob/main/docs/assistants.md
"""

from typing import TYPE_CHECKING

from ._version import __version__ as __version__
from .lazy import lazy_names as _lazy_names

if TYPE_CHECKING:
    from .client.client import HttpServiceClient as HttpServiceClient
    from .client.config.client_config import ConnectionPoolConfig as ConnectionPoolConfig
    from .client.config.client_config import HttpClientConfig as HttpClientConfig
    from .client.config.client_config import Timeout as Timeout
    from .client.keywords import RequestOptions as RequestOptions
    from .client.keywords import SendOptions as SendOptions
    from .client.pages import next_by_field as next_by_field
    from .client.state_keys import by_header as by_header
    from .client.state_keys import by_route as by_route
    from .client.streams.event_source import AsyncEventSource as AsyncEventSource
    from .client.streams.event_source import EventSource as EventSource
    from .client.streams.response import AsyncStreamedResponse as AsyncStreamedResponse
    from .client.streams.response import StreamedResponse as StreamedResponse
    from .core.layers.interceptors import RequestInterceptor as RequestInterceptor
    from .core.layers.interceptors import ResponseInterceptor as ResponseInterceptor
    from .core.machines.circuit_breaker.states import CircuitBreakerState as CircuitBreakerState
    from .core.machines.circuit_breaker.states import StateChange as StateChange
    from .core.machines.retry.backoff import ExponentialBackoff as ExponentialBackoff
    from .core.machines.retry.budget import RetryBudgetSettings as RetryBudgetSettings
    from .core.machines.retry.conditions import RetryCondition as RetryCondition
    from .core.machines.retry.other_backoffs import ConstantBackoff as ConstantBackoff
    from .core.machines.retry.other_backoffs import DecorrelatedBackoff as DecorrelatedBackoff
    from .core.machines.retry.other_backoffs import FibonacciBackoff as FibonacciBackoff
    from .core.machines.retry.other_backoffs import LinearBackoff as LinearBackoff
    from .core.machines.retry.quota import RetryQuotaSettings as RetryQuotaSettings
    from .core.priority import Priority as Priority
    from .errors import AttemptTimeoutError as AttemptTimeoutError
    from .errors import BulkheadFullError as BulkheadFullError
    from .errors import CallRefusedError as CallRefusedError
    from .errors import ChecksumError as ChecksumError
    from .errors import CircuitOpenError as CircuitOpenError
    from .errors import ClientClosedError as ClientClosedError
    from .errors import ConcurrencyLimitError as ConcurrencyLimitError
    from .errors import ConfigurationError as ConfigurationError
    from .errors import ConnectError as ConnectError
    from .errors import ConnectionLostError as ConnectionLostError
    from .errors import ConnectTimeoutError as ConnectTimeoutError
    from .errors import DeadlineExceededError as DeadlineExceededError
    from .errors import DeadlineTooShortError as DeadlineTooShortError
    from .errors import DecodingError as DecodingError
    from .errors import EgressRefusedError as EgressRefusedError
    from .errors import HttpClientError as HttpClientError
    from .errors import HttpStatusError as HttpStatusError
    from .errors import InterceptorError as InterceptorError
    from .errors import InvalidRequestError as InvalidRequestError
    from .errors import LoadShedError as LoadShedError
    from .errors import NameResolutionError as NameResolutionError
    from .errors import NetworkError as NetworkError
    from .errors import OperationTimeoutError as OperationTimeoutError
    from .errors import PaginationError as PaginationError
    from .errors import PollingError as PollingError
    from .errors import PoolTimeoutError as PoolTimeoutError
    from .errors import ProtocolError as ProtocolError
    from .errors import ProxyError as ProxyError
    from .errors import RateLimitExceededError as RateLimitExceededError
    from .errors import ReadTimeoutError as ReadTimeoutError
    from .errors import RequestTimeoutError as RequestTimeoutError
    from .errors import ResponseError as ResponseError
    from .errors import ResponseTooLargeError as ResponseTooLargeError
    from .errors import ResponseValidationError as ResponseValidationError
    from .errors import SentState as SentState
    from .errors import StreamError as StreamError
    from .errors import ThrottledError as ThrottledError
    from .errors import TlsError as TlsError
    from .errors import TlsVerificationError as TlsVerificationError
    from .errors import TokenError as TokenError
    from .errors import TooManyRedirectsError as TooManyRedirectsError
    from .errors import TransportError as TransportError
    from .errors import UnsafeRedirectError as UnsafeRedirectError
    from .errors import WriteTimeoutError as WriteTimeoutError
    from .events import Timeline as Timeline
    from .http.bodies.event_stream import ServerSentEvent as ServerSentEvent
    from .http.cookies.jar import Cookie as Cookie
    from .http.cookies.jar import CookieJar as CookieJar
    from .http.egress import EgressPolicy as EgressPolicy
    from .http.fields.propagation import Propagation as Propagation
    from .http.messages import Headers as Headers
    from .http.messages import HttpContext as HttpContext
    from .http.messages import HttpRequest as HttpRequest
    from .http.messages import HttpResponse as HttpResponse
    from .http.problems import Problem as Problem
    from .http.urls import RawUrl as RawUrl
    from .observability.collector import MetricsCollector as MetricsCollector
    from .observability.metrics import HttpMetrics as HttpMetrics
    from .policies.adaptive_limit import AdaptiveLimitPolicy as AdaptiveLimitPolicy
    from .policies.bulkhead import BulkheadPolicy as BulkheadPolicy
    from .policies.cache import Cache as Cache
    from .policies.cache_storages import MemoryStorage as MemoryStorage
    from .policies.chaos import ChaosPolicy as ChaosPolicy
    from .policies.circuit_breaker import CircuitBreakerPolicy as CircuitBreakerPolicy
    from .policies.deadline import deadline as deadline
    from .policies.deadline_check import DeadlineCheckPolicy as DeadlineCheckPolicy
    from .policies.fallback import FallbackPolicy as FallbackPolicy
    from .policies.gather import gather as gather
    from .policies.gather_in_threads import gather_in_threads as gather_in_threads
    from .policies.hedging import HedgingPolicy as HedgingPolicy
    from .policies.load_shedding import LoadSheddingPolicy as LoadSheddingPolicy
    from .policies.on_self import circuit_breaker as circuit_breaker
    from .policies.on_self import retry_policy as retry_policy
    from .policies.pipeline import PipelineRegistry as PipelineRegistry
    from .policies.pipeline import ResiliencePipeline as ResiliencePipeline
    from .policies.priority import priority as priority
    from .policies.rate_limit import RateLimitPolicy as RateLimitPolicy
    from .policies.result_cache import ResultCachePolicy as ResultCachePolicy
    from .policies.retry import RetryPolicy as RetryPolicy
    from .policies.sqlite_storage import SqliteStorage as SqliteStorage
    from .policies.timeout import TimeoutPolicy as TimeoutPolicy

if not TYPE_CHECKING:  # a type checker would take `from … import *` for an import of nothing
    __all__ = _lazy_names(
        globals(),
        {
            "._version": "__version__",
            ".client.keywords": "RequestOptions SendOptions",
            ".client.client": "HttpServiceClient",
            ".client.config.client_config": "ConnectionPoolConfig HttpClientConfig Timeout",
            ".client.pages": "next_by_field",
            ".client.state_keys": "by_header by_route",
            ".core.machines.retry.backoff": "ExponentialBackoff",
            ".core.machines.retry.other_backoffs": "ConstantBackoff DecorrelatedBackoff FibonacciBackoff LinearBackoff",
            ".core.machines.retry.budget": "RetryBudgetSettings",
            ".core.machines.retry.quota": "RetryQuotaSettings",
            ".core.machines.retry.conditions": "RetryCondition",
            ".core.machines.circuit_breaker.states": "CircuitBreakerState StateChange",
            ".core.priority": "Priority",
            ".core.layers.interceptors": "RequestInterceptor ResponseInterceptor",
            ".policies.deadline": "deadline",
            ".policies.deadline_check": "DeadlineCheckPolicy",
            ".policies.fallback": "FallbackPolicy",
            ".policies.rate_limit": "RateLimitPolicy",
            ".policies.adaptive_limit": "AdaptiveLimitPolicy",
            ".policies.load_shedding": "LoadSheddingPolicy",
            ".policies.gather": "gather",
            ".policies.gather_in_threads": "gather_in_threads",
            ".policies.hedging": "HedgingPolicy",
            ".errors": (
                "AttemptTimeoutError BulkheadFullError CallRefusedError ChecksumError CircuitOpenError ClientClosedError ConcurrencyLimitError ConfigurationError ConnectError ConnectTimeoutError "
                "ConnectionLostError DeadlineExceededError DeadlineTooShortError DecodingError EgressRefusedError HttpClientError HttpStatusError "
                "InterceptorError InvalidRequestError LoadShedError NameResolutionError NetworkError OperationTimeoutError PaginationError PollingError PoolTimeoutError "
                "ProtocolError ProxyError RateLimitExceededError ReadTimeoutError RequestTimeoutError ResponseError ResponseTooLargeError ResponseValidationError "
                "SentState StreamError ThrottledError TlsError TlsVerificationError TokenError TooManyRedirectsError TransportError "
                "UnsafeRedirectError WriteTimeoutError"
            ),
            ".events": "Timeline",
            ".policies.on_self": "circuit_breaker retry_policy",
            ".policies.pipeline": "PipelineRegistry ResiliencePipeline",
            ".http.messages": "Headers HttpContext HttpRequest HttpResponse",
            ".observability.collector": "MetricsCollector",
            ".observability.metrics": "HttpMetrics",
            ".policies.bulkhead": "BulkheadPolicy",
            ".policies.cache": "Cache",
            ".policies.chaos": "ChaosPolicy",
            ".policies.cache_storages": "MemoryStorage",
            ".policies.sqlite_storage": "SqliteStorage",
            ".policies.circuit_breaker": "CircuitBreakerPolicy",
            ".policies.priority": "priority",
            ".policies.result_cache": "ResultCachePolicy",
            ".policies.retry": "RetryPolicy",
            ".policies.timeout": "TimeoutPolicy",
            ".http.cookies.jar": "Cookie CookieJar",
            ".http.egress": "EgressPolicy",
            ".http.problems": "Problem",
            ".http.fields.propagation": "Propagation",
            ".http.urls": "RawUrl",
            ".http.bodies.event_stream": "ServerSentEvent",
            ".client.streams.event_source": "AsyncEventSource EventSource",
            ".client.streams.response": "AsyncStreamedResponse StreamedResponse",
        },
    )

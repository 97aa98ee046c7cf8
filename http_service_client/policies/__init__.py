"""The policies that users hold: for a client, for one call, and around any function.

Also what a policy is made of and reports: backoff strategies, conditions, and the state of a circuit.
"""

from typing import TYPE_CHECKING

from ..lazy import lazy_names as _lazy_names

if TYPE_CHECKING:
    from ..core.machines.adaptive_limit import AdaptiveLimitSettings as AdaptiveLimitSettings
    from ..core.machines.adaptive_limit import AdaptiveLimitSnapshot as AdaptiveLimitSnapshot
    from ..core.machines.backoff import BackoffStrategy as BackoffStrategy
    from ..core.machines.backoff import ExponentialBackoff as ExponentialBackoff
    from ..core.machines.backoff import Jitter as Jitter
    from ..core.machines.bulkhead_settings import BulkheadSettings as BulkheadSettings
    from ..core.machines.bulkhead_settings import BulkheadSnapshot as BulkheadSnapshot
    from ..core.machines.chaos import ChaosSnapshot as ChaosSnapshot
    from ..core.machines.chaos_settings import ChaosSettings as ChaosSettings
    from ..core.machines.circuit_breaker import CircuitBreaker as CircuitBreaker
    from ..core.machines.circuit_snapshot import CircuitBreakerSnapshot as CircuitBreakerSnapshot
    from ..core.machines.circuit_states import CircuitBreakerSettings as CircuitBreakerSettings
    from ..core.machines.circuit_states import CircuitBreakerState as CircuitBreakerState
    from ..core.machines.circuit_states import StateChange as StateChange
    from ..core.machines.deadline_check import DeadlineCheckSettings as DeadlineCheckSettings
    from ..core.machines.fallback import FallbackSettings as FallbackSettings
    from ..core.machines.hedging import HedgingSettings as HedgingSettings
    from ..core.machines.hedging import HedgingSnapshot as HedgingSnapshot
    from ..core.machines.load_shedding import LoadSheddingSettings as LoadSheddingSettings
    from ..core.machines.load_shedding import LoadSheddingSnapshot as LoadSheddingSnapshot
    from ..core.machines.other_backoffs import ConstantBackoff as ConstantBackoff
    from ..core.machines.other_backoffs import DecorrelatedBackoff as DecorrelatedBackoff
    from ..core.machines.other_backoffs import FibonacciBackoff as FibonacciBackoff
    from ..core.machines.other_backoffs import LinearBackoff as LinearBackoff
    from ..core.machines.rate_limit_settings import RateLimitSettings as RateLimitSettings
    from ..core.machines.rate_limiter import RateLimitSnapshot as RateLimitSnapshot
    from ..core.machines.response_cache import CacheStorage as CacheStorage
    from ..core.machines.result_cache import ResultCacheSettings as ResultCacheSettings
    from ..core.machines.result_cache import ResultCacheSnapshot as ResultCacheSnapshot
    from ..core.machines.retry_budget import RetryBudgetSettings as RetryBudgetSettings
    from ..core.machines.retry_conditions import RetryCondition as RetryCondition
    from ..core.machines.retry_quota import RetryQuotaSettings as RetryQuotaSettings
    from ..core.machines.timeout import TimeoutSettings as TimeoutSettings
    from ..http.caching.stored import StoredResponse as StoredResponse
    from .adaptive_limit import AdaptiveLimitPolicy as AdaptiveLimitPolicy
    from .bulkhead import BulkheadPolicy as BulkheadPolicy
    from .cache import Cache as Cache
    from .cache_storages import MemoryStorage as MemoryStorage
    from .chaos import ChaosPolicy as ChaosPolicy
    from .circuit_breaker import CircuitBreakerPolicy as CircuitBreakerPolicy
    from .deadline_check import DeadlineCheckPolicy as DeadlineCheckPolicy
    from .fallback import FallbackPolicy as FallbackPolicy
    from .hedging import HedgingPolicy as HedgingPolicy
    from .load_shedding import LoadSheddingPolicy as LoadSheddingPolicy
    from .rate_limit import RateLimitPolicy as RateLimitPolicy
    from .result_cache import ResultCachePolicy as ResultCachePolicy
    from .retry import RetryPolicy as RetryPolicy
    from .strategy import Strategy as Strategy
    from .timeout import TimeoutPolicy as TimeoutPolicy

__all__ = _lazy_names(
    globals(),
    {
        "..core.machines.adaptive_limit": "AdaptiveLimitSettings AdaptiveLimitSnapshot",
        "..core.machines.backoff": "BackoffStrategy ExponentialBackoff Jitter",
        "..core.machines.other_backoffs": "ConstantBackoff DecorrelatedBackoff FibonacciBackoff LinearBackoff",
        "..core.machines.bulkhead_settings": "BulkheadSettings BulkheadSnapshot",
        "..core.machines.chaos": "ChaosSnapshot",
        "..core.machines.chaos_settings": "ChaosSettings",
        "..core.machines.circuit_breaker": "CircuitBreaker",
        "..core.machines.circuit_snapshot": "CircuitBreakerSnapshot",
        "..core.machines.circuit_states": "CircuitBreakerSettings CircuitBreakerState StateChange",
        "..core.machines.deadline_check": "DeadlineCheckSettings",
        "..core.machines.fallback": "FallbackSettings",
        "..core.machines.hedging": "HedgingSettings HedgingSnapshot",
        "..core.machines.load_shedding": "LoadSheddingSettings LoadSheddingSnapshot",
        "..core.machines.rate_limit_settings": "RateLimitSettings",
        "..core.machines.rate_limiter": "RateLimitSnapshot",
        "..core.machines.response_cache": "CacheStorage",
        "..core.machines.result_cache": "ResultCacheSettings ResultCacheSnapshot",
        "..core.machines.retry_budget": "RetryBudgetSettings",
        "..core.machines.retry_conditions": "RetryCondition",
        "..core.machines.retry_quota": "RetryQuotaSettings",
        "..core.machines.timeout": "TimeoutSettings",
        "..http.caching.stored": "StoredResponse",
        ".adaptive_limit": "AdaptiveLimitPolicy",
        ".bulkhead": "BulkheadPolicy",
        ".cache": "Cache",
        ".cache_storages": "MemoryStorage",
        ".chaos": "ChaosPolicy",
        ".circuit_breaker": "CircuitBreakerPolicy",
        ".deadline_check": "DeadlineCheckPolicy",
        ".fallback": "FallbackPolicy",
        ".hedging": "HedgingPolicy",
        ".load_shedding": "LoadSheddingPolicy",
        ".rate_limit": "RateLimitPolicy",
        ".result_cache": "ResultCachePolicy",
        ".retry": "RetryPolicy",
        ".strategy": "Strategy",
        ".timeout": "TimeoutPolicy",
    },
)

"""The policies that users hold: for a client, for one call, and around any function.

Also what a policy is made of and reports: backoff strategies, conditions, and the state of a circuit.
"""

from typing import TYPE_CHECKING

from ..lazy import lazy_names as _lazy_names

if TYPE_CHECKING:
    from ..core.machines.caching.response_cache import CacheStorage as CacheStorage
    from ..core.machines.caching.result_cache import ResultCacheSettings as ResultCacheSettings
    from ..core.machines.caching.result_cache import ResultCacheSnapshot as ResultCacheSnapshot
    from ..core.machines.chaos import ChaosSnapshot as ChaosSnapshot
    from ..core.machines.chaos_settings import ChaosSettings as ChaosSettings
    from ..core.machines.circuit_breaker.breaker import CircuitBreaker as CircuitBreaker
    from ..core.machines.circuit_breaker.snapshot import CircuitBreakerSnapshot as CircuitBreakerSnapshot
    from ..core.machines.circuit_breaker.states import CircuitBreakerSettings as CircuitBreakerSettings
    from ..core.machines.circuit_breaker.states import CircuitBreakerState as CircuitBreakerState
    from ..core.machines.circuit_breaker.states import StateChange as StateChange
    from ..core.machines.deadline_check import DeadlineCheckSettings as DeadlineCheckSettings
    from ..core.machines.fallback import FallbackSettings as FallbackSettings
    from ..core.machines.hedging import HedgingSettings as HedgingSettings
    from ..core.machines.hedging import HedgingSnapshot as HedgingSnapshot
    from ..core.machines.limits.adaptive_limit import AdaptiveLimitSettings as AdaptiveLimitSettings
    from ..core.machines.limits.adaptive_limit import AdaptiveLimitSnapshot as AdaptiveLimitSnapshot
    from ..core.machines.limits.bulkhead_settings import BulkheadSettings as BulkheadSettings
    from ..core.machines.limits.bulkhead_settings import BulkheadSnapshot as BulkheadSnapshot
    from ..core.machines.limits.load_shedding import LoadSheddingSettings as LoadSheddingSettings
    from ..core.machines.limits.load_shedding import LoadSheddingSnapshot as LoadSheddingSnapshot
    from ..core.machines.limits.rate_limit_settings import RateLimitSettings as RateLimitSettings
    from ..core.machines.limits.rate_limiter import RateLimitSnapshot as RateLimitSnapshot
    from ..core.machines.retry.backoff import BackoffStrategy as BackoffStrategy
    from ..core.machines.retry.backoff import ExponentialBackoff as ExponentialBackoff
    from ..core.machines.retry.backoff import Jitter as Jitter
    from ..core.machines.retry.budget import RetryBudgetSettings as RetryBudgetSettings
    from ..core.machines.retry.conditions import RetryCondition as RetryCondition
    from ..core.machines.retry.other_backoffs import ConstantBackoff as ConstantBackoff
    from ..core.machines.retry.other_backoffs import DecorrelatedBackoff as DecorrelatedBackoff
    from ..core.machines.retry.other_backoffs import FibonacciBackoff as FibonacciBackoff
    from ..core.machines.retry.other_backoffs import LinearBackoff as LinearBackoff
    from ..core.machines.retry.quota import RetryQuotaSettings as RetryQuotaSettings
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

if not TYPE_CHECKING:  # a type checker would take `from … import *` for an import of nothing
    __all__ = _lazy_names(
        globals(),
        {
            "..core.machines.limits.adaptive_limit": "AdaptiveLimitSettings AdaptiveLimitSnapshot",
            "..core.machines.retry.backoff": "BackoffStrategy ExponentialBackoff Jitter",
            "..core.machines.retry.other_backoffs": "ConstantBackoff DecorrelatedBackoff FibonacciBackoff LinearBackoff",
            "..core.machines.limits.bulkhead_settings": "BulkheadSettings BulkheadSnapshot",
            "..core.machines.chaos": "ChaosSnapshot",
            "..core.machines.chaos_settings": "ChaosSettings",
            "..core.machines.circuit_breaker.breaker": "CircuitBreaker",
            "..core.machines.circuit_breaker.snapshot": "CircuitBreakerSnapshot",
            "..core.machines.circuit_breaker.states": "CircuitBreakerSettings CircuitBreakerState StateChange",
            "..core.machines.deadline_check": "DeadlineCheckSettings",
            "..core.machines.fallback": "FallbackSettings",
            "..core.machines.hedging": "HedgingSettings HedgingSnapshot",
            "..core.machines.limits.load_shedding": "LoadSheddingSettings LoadSheddingSnapshot",
            "..core.machines.limits.rate_limit_settings": "RateLimitSettings",
            "..core.machines.limits.rate_limiter": "RateLimitSnapshot",
            "..core.machines.caching.response_cache": "CacheStorage",
            "..core.machines.caching.result_cache": "ResultCacheSettings ResultCacheSnapshot",
            "..core.machines.retry.budget": "RetryBudgetSettings",
            "..core.machines.retry.conditions": "RetryCondition",
            "..core.machines.retry.quota": "RetryQuotaSettings",
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

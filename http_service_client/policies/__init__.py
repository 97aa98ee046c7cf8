"""The policies that users hold: for a client, for one call, and around any function.

Also what a policy is made of and reports: backoff strategies, conditions, and the state of a circuit.
"""

from ..core.machines.adaptive_limit import AdaptiveLimitSettings, AdaptiveLimitSnapshot
from ..core.machines.backoff import (
    BackoffStrategy,
    ConstantBackoff,
    DecorrelatedBackoff,
    ExponentialBackoff,
    FibonacciBackoff,
    Jitter,
    LinearBackoff,
)
from ..core.machines.bulkhead_settings import BulkheadSettings, BulkheadSnapshot
from ..core.machines.chaos import ChaosSnapshot
from ..core.machines.chaos_settings import ChaosSettings
from ..core.machines.circuit_breaker import CircuitBreaker
from ..core.machines.circuit_states import (
    CircuitBreakerSettings,
    CircuitBreakerSnapshot,
    CircuitBreakerState,
    StateChange,
)
from ..core.machines.deadline_check import DeadlineCheckSettings
from ..core.machines.fallback import FallbackSettings
from ..core.machines.hedging import HedgingSettings, HedgingSnapshot
from ..core.machines.load_shedding import LoadSheddingSettings, LoadSheddingSnapshot
from ..core.machines.rate_limit_settings import RateLimitSettings
from ..core.machines.rate_limiter import RateLimitSnapshot
from ..core.machines.response_cache import CacheStorage
from ..core.machines.result_cache import ResultCacheSettings, ResultCacheSnapshot
from ..core.machines.retry_budget import RetryBudgetSettings
from ..core.machines.retry_conditions import RetryCondition
from ..core.machines.retry_quota import RetryQuotaSettings
from ..core.machines.timeout import TimeoutSettings
from ..http.caching.stored import StoredResponse
from .adaptive_limit import AdaptiveLimitPolicy
from .bulkhead import BulkheadPolicy
from .cache import Cache
from .cache_storages import MemoryStorage
from .chaos import ChaosPolicy
from .circuit_breaker import CircuitBreakerPolicy
from .deadline_check import DeadlineCheckPolicy
from .fallback import FallbackPolicy
from .hedging import HedgingPolicy
from .load_shedding import LoadSheddingPolicy
from .rate_limit import RateLimitPolicy
from .result_cache import ResultCachePolicy
from .retry import RetryPolicy
from .strategy import Strategy
from .timeout import TimeoutPolicy

__all__ = [
    "AdaptiveLimitPolicy",
    "AdaptiveLimitSettings",
    "AdaptiveLimitSnapshot",
    "BackoffStrategy",
    "BulkheadPolicy",
    "BulkheadSettings",
    "BulkheadSnapshot",
    "Cache",
    "CacheStorage",
    "ChaosPolicy",
    "ChaosSettings",
    "ChaosSnapshot",
    "CircuitBreaker",
    "CircuitBreakerPolicy",
    "CircuitBreakerSettings",
    "CircuitBreakerSnapshot",
    "CircuitBreakerState",
    "ConstantBackoff",
    "DeadlineCheckPolicy",
    "DeadlineCheckSettings",
    "DecorrelatedBackoff",
    "ExponentialBackoff",
    "FallbackPolicy",
    "FallbackSettings",
    "FibonacciBackoff",
    "HedgingPolicy",
    "HedgingSettings",
    "HedgingSnapshot",
    "Jitter",
    "LinearBackoff",
    "LoadSheddingPolicy",
    "LoadSheddingSettings",
    "LoadSheddingSnapshot",
    "MemoryStorage",
    "RateLimitPolicy",
    "RateLimitSettings",
    "RateLimitSnapshot",
    "ResultCachePolicy",
    "ResultCacheSettings",
    "ResultCacheSnapshot",
    "RetryBudgetSettings",
    "RetryCondition",
    "RetryPolicy",
    "RetryQuotaSettings",
    "StateChange",
    "StoredResponse",
    "Strategy",
    "TimeoutPolicy",
    "TimeoutSettings",
]

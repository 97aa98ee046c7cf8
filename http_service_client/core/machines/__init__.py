"""State machines and decisions that know no call: a client's layers and the policies around functions share them.

The machines and the settings that not every client has are names of this package.
"""

from typing import TYPE_CHECKING

from ...lazy import lazy_names as _lazy_names

if TYPE_CHECKING:
    from .adaptive_limit import AdaptiveLimit as AdaptiveLimit
    from .adaptive_limit import AdaptiveLimitSettings as AdaptiveLimitSettings
    from .bulkhead import Bulkhead as Bulkhead
    from .bulkhead_settings import BulkheadSettings as BulkheadSettings
    from .chaos_settings import ChaosSettings as ChaosSettings
    from .deadline_check import DeadlineCheck as DeadlineCheck
    from .deadline_check import DeadlineCheckSettings as DeadlineCheckSettings
    from .fallback import FallbackSettings as FallbackSettings
    from .hedging import Hedging as Hedging
    from .hedging import HedgingSettings as HedgingSettings
    from .load_shedding import LoadShedder as LoadShedder
    from .load_shedding import LoadSheddingSettings as LoadSheddingSettings
    from .rate_limit_settings import RateLimitSettings as RateLimitSettings
    from .rate_limiter import RateLimiter as RateLimiter
    from .retry_budget import RetryBudget as RetryBudget
    from .retry_budget import RetryBudgetSettings as RetryBudgetSettings

__all__ = _lazy_names(
    globals(),
    {
        ".adaptive_limit": "AdaptiveLimit AdaptiveLimitSettings",
        ".bulkhead": "Bulkhead",
        ".bulkhead_settings": "BulkheadSettings",
        ".chaos_settings": "ChaosSettings",
        ".deadline_check": "DeadlineCheck DeadlineCheckSettings",
        ".fallback": "FallbackSettings",
        ".hedging": "Hedging HedgingSettings",
        ".load_shedding": "LoadShedder LoadSheddingSettings",
        ".rate_limit_settings": "RateLimitSettings",
        ".rate_limiter": "RateLimiter",
        ".retry_budget": "RetryBudget RetryBudgetSettings",
    },
)

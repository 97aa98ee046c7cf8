"""State machines and decisions that know no call: a client's layers and the policies around functions share them.

The machines and the settings that not every client has are names of this package.
"""

from typing import TYPE_CHECKING

from ...lazy import lazy_names as _lazy_names

if TYPE_CHECKING:
    from .chaos_settings import ChaosSettings as ChaosSettings
    from .deadline_check import DeadlineCheck as DeadlineCheck
    from .deadline_check import DeadlineCheckSettings as DeadlineCheckSettings
    from .fallback import FallbackSettings as FallbackSettings
    from .hedging import Hedging as Hedging
    from .hedging import HedgingSettings as HedgingSettings
    from .limits.adaptive_limit import AdaptiveLimit as AdaptiveLimit
    from .limits.adaptive_limit import AdaptiveLimitSettings as AdaptiveLimitSettings
    from .limits.bulkhead import Bulkhead as Bulkhead
    from .limits.bulkhead_settings import BulkheadSettings as BulkheadSettings
    from .limits.load_shedding import LoadShedder as LoadShedder
    from .limits.load_shedding import LoadSheddingSettings as LoadSheddingSettings
    from .limits.rate_limit_settings import RateLimitSettings as RateLimitSettings
    from .limits.rate_limiter import RateLimiter as RateLimiter
    from .retry.budget import RetryBudget as RetryBudget
    from .retry.budget import RetryBudgetSettings as RetryBudgetSettings

if not TYPE_CHECKING:  # a type checker would take `from … import *` for an import of nothing
    __all__ = _lazy_names(
        globals(),
        {
            ".limits.adaptive_limit": "AdaptiveLimit AdaptiveLimitSettings",
            ".limits.bulkhead": "Bulkhead",
            ".limits.bulkhead_settings": "BulkheadSettings",
            ".chaos_settings": "ChaosSettings",
            ".deadline_check": "DeadlineCheck DeadlineCheckSettings",
            ".fallback": "FallbackSettings",
            ".hedging": "Hedging HedgingSettings",
            ".limits.load_shedding": "LoadShedder LoadSheddingSettings",
            ".limits.rate_limit_settings": "RateLimitSettings",
            ".limits.rate_limiter": "RateLimiter",
            ".retry.budget": "RetryBudget RetryBudgetSettings",
        },
    )

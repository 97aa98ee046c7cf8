"""One concern of a call each: generator functions around a handler. Their order stands in `core.layer_order`.

The layers that not every call has are names of this package, with what makes them.
"""

from typing import TYPE_CHECKING

from ...lazy import lazy_names as _lazy_names

if TYPE_CHECKING:
    from .adaptive_limit import AdaptiveLimitLayer as AdaptiveLimitLayer
    from .auth import AuthLayer as AuthLayer
    from .bulkhead import BulkheadLayer as BulkheadLayer
    from .cache import CacheLayer as CacheLayer
    from .cache import CacheMembership as CacheMembership
    from .chaos import ChaosLayer as ChaosLayer
    from .compression import CompressionLayer as CompressionLayer
    from .cookies import CookiesLayer as CookiesLayer
    from .deadline_check import DeadlineCheckLayer as DeadlineCheckLayer
    from .deadline_check import LatencyLayer as LatencyLayer
    from .download import DownloadLayer as DownloadLayer
    from .fallback import FallbackLayer as FallbackLayer
    from .fallback import FallbackMembership as FallbackMembership
    from .hedging import HedgingLayer as HedgingLayer
    from .hosts import HostsLayer as HostsLayer
    from .load_shedding import LoadSheddingLayer as LoadSheddingLayer
    from .propagation import PropagationLayer as PropagationLayer
    from .propagation import Stamp as Stamp
    from .rate_limit import RateLimitLayer as RateLimitLayer
    from .signing import Signer as Signer
    from .signing import SigningLayer as SigningLayer
    from .telemetry import TelemetryLayer as TelemetryLayer
    from .telemetry import UnsignedHeadersLayer as UnsignedHeadersLayer
    from .throttle_gate import ThrottleGateLayer as ThrottleGateLayer
    from .tokens import Tokens as Tokens
    from .tokens import TokensLayer as TokensLayer

if not TYPE_CHECKING:  # a type checker would take `from … import *` for an import of nothing
    __all__ = _lazy_names(
        globals(),
        {
            ".adaptive_limit": "AdaptiveLimitLayer",
            ".auth": "AuthLayer",
            ".bulkhead": "BulkheadLayer",
            ".cache": "CacheLayer CacheMembership",
            ".chaos": "ChaosLayer",
            ".compression": "CompressionLayer",
            ".cookies": "CookiesLayer",
            ".deadline_check": "DeadlineCheckLayer LatencyLayer",
            ".download": "DownloadLayer",
            ".fallback": "FallbackLayer FallbackMembership",
            ".hedging": "HedgingLayer",
            ".hosts": "HostsLayer",
            ".load_shedding": "LoadSheddingLayer",
            ".propagation": "PropagationLayer Stamp",
            ".rate_limit": "RateLimitLayer",
            ".signing": "Signer SigningLayer",
            ".telemetry": "TelemetryLayer UnsignedHeadersLayer",
            ".throttle_gate": "ThrottleGateLayer",
            ".tokens": "Tokens TokensLayer",
        },
    )

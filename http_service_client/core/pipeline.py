"""The table of contents of a call: its layers, outermost first. What a layer is: see `core.layer`."""

from __future__ import annotations

from .layer import Handler, compose
from .layers.attempt_timeout import AttemptTimeoutLayer
from .layers.circuit_breaker import CircuitBreakerLayer
from .layers.compression import CompressionLayer
from .layers.cookies import CookiesLayer
from .layers.download import DownloadLayer
from .layers.exchange import Exchange
from .layers.interceptors import InterceptorsLayer
from .layers.redirects import RedirectsLayer
from .layers.retry import RetryLayer
from .layers.whole_call import CallLayer

__all__ = ["call_pipeline"]


def call_pipeline(
    retry: RetryLayer,
    saving: DownloadLayer | None,
    interceptors: InterceptorsLayer,
    redirects: RedirectsLayer,
    compression: CompressionLayer | None,
    cookies: CookiesLayer | None,
    exchange: Exchange,
) -> Handler:
    """The layers of a call, in the order in which a request meets them; those that are None are left out.

    A fast failure of the circuit runs no interceptor; every attempt asks the breaker anew;
    interceptors see each attempt; an attempt's timeout covers all its redirects.
    """
    return compose(
        [
            CallLayer(),  # from its first step to whatever ends it
            retry,  # attempts, waits, budget
            CircuitBreakerLayer(),  # a permit for each attempt
            saving,  # of a download: its body, to the file
            interceptors,  # user code, then the request's final form
            AttemptTimeoutLayer(),  # an attempt's end, and whose limit it was
            redirects,  # hops
            compression,  # of the body, where it is switched on
            cookies,  # from the jar and into it, where there is one
        ],
        exchange,  # a place, and one exchange on the wire
    )

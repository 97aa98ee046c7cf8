"""The table of contents of a call: its layers, outermost first.

A **layer** is a generator function `(proceed, request, call) -> Plan[Outcome]` around a **handler**
`(request, call) -> Plan[Outcome]`. It may answer without proceeding, proceed several times, or change
what it passes on; it holds what it holds in a `finally`, and knows nothing of its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from ..messages import HttpRequest
from .attempt_timeout import AttemptTimeoutLayer
from .call import Call
from .circuits import CircuitBreakerLayer
from .cookies import CookiesLayer
from .effects import Outcome, Plan
from .exchange import Exchange
from .interceptors import InterceptorsLayer
from .redirects import RedirectsLayer
from .request_compression import RequestCompressionLayer
from .retry import RetryLayer
from .saving import SavingLayer
from .whole_call import WholeCallLayer

__all__ = ["Handler", "Layer", "call_pipeline", "compose"]

Handler = Callable[[HttpRequest, Call], Plan[Outcome]]


class Layer(Protocol):
    """One concern of a call."""

    def __call__(self, proceed: Handler, request: HttpRequest, call: Call) -> Plan[Outcome]: ...


def call_pipeline(
    retry: RetryLayer,
    saving: SavingLayer | None,
    interceptors: InterceptorsLayer,
    redirects: RedirectsLayer,
    compression: RequestCompressionLayer | None,
    cookies: CookiesLayer | None,
    exchange: Exchange,
) -> Handler:
    """The layers of a call, in the order in which a request meets them; those that are None are left out.

    A fast failure of the circuit runs no interceptor; every attempt asks the breaker anew;
    interceptors see each attempt; an attempt's timeout covers all its redirects.
    """
    return compose(
        [
            WholeCallLayer(),  # from its first step to whatever ends it
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


def compose(layers: Sequence[Layer | None], handler: Handler) -> Handler:
    """`handler` with the layers around it, the first one outermost.

    A bound method in a `partial` is entered without a step of Python's own in between.
    """
    for layer in reversed(layers):
        if layer is not None:
            handler = partial(layer.__call__, handler)
    return handler

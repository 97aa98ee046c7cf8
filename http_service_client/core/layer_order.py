"""The table of contents of a call: its layers, outermost first. What a layer is: see `core.layer`.

Every call has the layers that are imported here by name. The others are parts of `layers`, each of which is imported when the
first pipeline is put together that has it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from types import MethodType
from typing import TYPE_CHECKING

from ..http.messages import HttpRequest
from . import layers
from .layer import Handler, Layer, compose
from .layers.attempt_timeout import AttemptTimeoutLayer
from .layers.circuit_breaker import CircuitBreakerLayer
from .layers.exchange import Exchange
from .layers.interceptors import InterceptorsLayer
from .layers.redirects import RedirectsLayer
from .layers.retry import RetryLayer
from .layers.whole_call import CallLayer

if TYPE_CHECKING:
    from ..http.cookies.jar import CookieJar
    from ..http.egress import EgressPolicy
    from ..http.fields.propagation import Propagation
    from ..http.headers import Headers
    from ..http.secret_names import SecretNames
    from .call import Call
    from .layers.cache import CacheMembership
    from .layers.chaos import Faults, HasChaos
    from .layers.exchange import Observer
    from .layers.fallback import FallbackMembership
    from .layers.interceptors import Interceptor
    from .layers.propagation import Stamp
    from .layers.signing import Signer
    from .layers.telemetry import Telemetry
    from .layers.tokens import Tokens
    from .machines.limits.semaphore import FairSemaphore
    from .machines.retry.conditions import RetryCondition
    from .origins import OriginRegistry

__all__ = ["call_pipeline", "foreign_pipeline"]


def call_pipeline(
    *,
    origins: OriginRegistry,
    connections: FairSemaphore,
    interceptors: tuple[Sequence[Interceptor], Sequence[Interceptor]],
    prepare: Callable[[HttpRequest, HttpRequest], None],
    secret_names: SecretNames,
    compression: tuple[int, str] | None,
    cookies: CookieJar | None,
    egress: EgressPolicy | None,
    max_size: int | None,
    random: Callable[[], float],
    wall_clock: Callable[[], float],
    report: Callable[[RetryCondition], None],
    observe: Observer | None,
    signers: Sequence[Signer],
    collect: Callable[[], object] | None,
    has_gates: bool,
    has_rate_limit: bool,
    propagation: Propagation | None,
    telemetry: Telemetry | None,
    checks_deadlines: bool,
    sheds_load: bool,
    adapts_limits: bool,
    has_hosts: bool,
    has_bulkheads: bool,
    chaos: tuple[HasChaos, Faults] | None,
    is_download: bool = False,
    auth: tuple[Headers, Tokens] | None = None,
    cache: CacheMembership | None = None,
    fallback: FallbackMembership | None = None,
    has_hedges: bool = False,
) -> Handler:
    """The layers of a call, in the order in which a request meets them.

    A fast failure of the circuit runs no interceptor; every attempt asks the breaker again;
    interceptors see each attempt; an attempt's timeout covers all its redirects.

    interceptors: those of requests, and those of responses.
    prepare: brings a request into its final form (see `InterceptorsLayer`).
    max_size: bytes of a response, its redirects included; None for any number.
    compression: the smallest request body to compress, in bytes, and "gzip" or "zstd"; None for none.
    report: called with a retry condition that raised an exception, while it is being handled.
    observe: called with each exchange (see `Exchange`); None for nothing.
    signers: of each request as it goes out.
    is_download: the body is saved to a file, over as many attempts as it takes.
    cache: of responses; None for none.
    checks_deadlines: no attempt is begun that could hardly end in time.
    has_bulkheads: so many calls of an origin may be in progress.
    has_gates: a pause that a service asks for holds for all calls.   has_rate_limit: origins may have one.
    has_hosts: calls may go to one of several base URLs.
    auth: calls may have auth flows; the headers of requests that a flow makes itself, and where it finds tokens.
    collect: collects garbage, which may hold slots; None for nothing.
    propagation: the headers that say what is left of the call's time, and more; None for none.
    telemetry: sees calls and exchanges; None where it is switched off.
    fallback: calls may have one; None for none.
    sheds_load: origins that reject too much are sent less.
    adapts_limits: as many attempts are in progress as an origin can do with.
    has_hedges: attempts may consist of several requests at the same time.
    chaos: decides about faults to inject, and what makes them; None for none.
    """
    gates = wall_clock if has_gates else None
    for_telemetry = None if telemetry is None else HttpRequest.copy
    wire = (origins, connections, egress, max_size, observe, collect, gates, for_telemetry)
    whole = _disturbed(chaos, Exchange(*wire, is_whole=True))  # of requests that a flow makes
    stamp = None if propagation is None else layers.Stamp(propagation)
    stack: list[Layer | None] = [
        layers.TelemetryLayer(telemetry) if telemetry is not None else None,  # traces and metrics
        CallLayer(),  # from its first step to whatever ends it
        layers.FallbackLayer(fallback, wall_clock) if fallback else None,  # what stands in for a failure
        layers.CacheLayer(cache, wall_clock, telemetry) if cache else None,  # stored responses
        RetryLayer(random, wall_clock, report),  # attempts, waits, budget
        layers.HedgingLayer(report) if has_hedges else None,  # several requests for one attempt
        layers.HostsLayer() if has_hosts else None,  # one of several base URLs
        layers.DeadlineCheckLayer() if checks_deadlines else None,  # no attempt that could hardly end in time
        layers.TokensLayer(auth[1]) if auth is not None else None,  # a token for the auth flow
        layers.ThrottleGateLayer(random) if has_gates else None,  # the pauses that services ask for
        layers.LoadSheddingLayer() if sheds_load else None,  # less for a service that rejects too much
        layers.RateLimitLayer(wall_clock) if has_rate_limit else None,  # a token for each attempt
        CircuitBreakerLayer(),  # a permit for each attempt
        layers.BulkheadLayer() if has_bulkheads else None,  # so many attempts at once
        layers.DownloadLayer() if is_download else None,  # of a download: its body, to the file
        InterceptorsLayer(*interceptors, prepare),  # user code, then the request's final form
        layers.AdaptiveLimitLayer() if adapts_limits else None,  # as many at once as the service can do
        layers.LatencyLayer() if checks_deadlines else None,  # how long the service takes
        AttemptTimeoutLayer(),  # an attempt's end, and whose limit it was
        RedirectsLayer(secret_names, max_size),  # hops
        layers.CompressionLayer(origins, *compression) if compression else None,  # of the body, if set
        layers.AuthLayer(whole, prepare, *auth) if auth is not None else None,  # credentials, by an auth flow
        layers.CookiesLayer(cookies, wall_clock) if cookies is not None else None,  # from the jar and into it
        # Signers sign its headers. Without signers the exchange adds them, after the wait for a slot.
        layers.PropagationLayer(stamp) if stamp and signers else None,  # what is left of the time
        layers.UnsignedHeadersLayer(telemetry) if telemetry and signers else None,  # those of telemetry
        layers.SigningLayer(signers) if signers else None,  # of each exchange in its final form, if asked for
        layers.ChaosLayer(*chaos) if chaos else None,  # injected faults in place of the wire, if configured
    ]
    stamp = None if signers else stamp
    return compose(
        stack,
        Exchange(*wire, stamp=stamp),  # connection slots, then the wire
    )


def foreign_pipeline(
    *,
    origins: OriginRegistry,
    random: Callable[[], float],
    wall_clock: Callable[[], float],
    report: Callable[[RetryCondition], None],
    observe: Observer | None,
    has_gates: bool,
    has_rate_limit: bool,
    propagation: Propagation | None,
    telemetry: Telemetry | None,
    checks_deadlines: bool,
    sheds_load: bool,
    adapts_limits: bool,
    has_bulkheads: bool,
    chaos: tuple[HasChaos, Faults] | None,
) -> Handler:
    """The layers of a call whose exchange another library makes (see `transports.adapted_requests`).

    That library owns the rest: it has built the request, and will follow redirects, keep cookies, authenticate and
    decode. One call is one hop of it. Its connections are limited by its own pool. The arguments are as above.
    """
    stack: list[Layer | None] = [
        layers.TelemetryLayer(telemetry) if telemetry is not None else None,
        CallLayer(),
        RetryLayer(random, wall_clock, report),
        layers.DeadlineCheckLayer() if checks_deadlines else None,
        layers.ThrottleGateLayer(random) if has_gates else None,
        layers.LoadSheddingLayer() if sheds_load else None,
        layers.RateLimitLayer(wall_clock) if has_rate_limit else None,
        CircuitBreakerLayer(),
        layers.BulkheadLayer() if has_bulkheads else None,
        layers.AdaptiveLimitLayer() if adapts_limits else None,
        layers.LatencyLayer() if checks_deadlines else None,
        AttemptTimeoutLayer(),
        layers.ChaosLayer(*chaos, has_bodies=False) if chaos else None,
    ]
    stamp = None if propagation is None else partial(_stamped, layers.Stamp(propagation))
    gates = wall_clock if has_gates else None
    seen = None if telemetry is None else _itself
    return compose(
        stack,
        Exchange(origins, None, observe=observe, wall_clock=gates, stamp=stamp, for_telemetry=seen),
    )


def _disturbed(chaos: tuple[HasChaos, Faults] | None, exchange: Handler) -> Handler:
    return exchange if chaos is None else MethodType(layers.ChaosLayer(*chaos).__call__, exchange)


def _stamped(stamp: Stamp, request: HttpRequest, call: Call) -> HttpRequest:
    """The same request, since only that can be sent by its library, with other headers."""
    request.headers = stamp(request, call).headers
    return request


def _itself(request: HttpRequest) -> HttpRequest:
    """Only this request can be sent by its library. Its headers are a copy of those that the library has."""
    return request
